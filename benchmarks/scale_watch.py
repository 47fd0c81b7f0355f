"""What calls and commands use: processor seconds, memory, disk."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

EMOREC = [sys.executable, "-m", "emorec"]
_TICK = os.sysconf("SC_CLK_TCK")


def processor(function: Callable[[], object]) -> float:
    """Return the processor seconds of a call."""
    began = time.process_time()
    function()
    return time.process_time() - began


def median(function: Callable[[], object], rounds: int) -> float:
    """Return the median processor seconds of calls, without a first one."""
    function()
    return statistics.median(processor(function) for _ in range(rounds))


def one_core() -> None:
    """Bind this process and its libraries to one core; call before they are loaded."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    for name in ("OMP_NUM", "OPENBLAS_NUM", "TF_NUM_INTRAOP", "TF_NUM_INTEROP"):
        os.environ[f"{name}_THREADS"] = "1"


def all_cores() -> None:
    """Let this process use every core of the machine again."""
    os.sched_setaffinity(0, range(os.cpu_count() or 1))


@dataclass
class Used:
    """What a command used, with all processes that it began.

    Attributes
    ----------
    wall, processor : float
        Seconds.
    memory : float
        Bytes that its processes held at most, without mapped files: the largest sum.
    first : float
        The same of the first process alone.
    disk : float
        Bytes that it wrote.
    code : int
        Its exit status.
    """

    wall: float = 0.0
    processor: float = 0.0
    memory: float = 0.0
    first: float = 0.0
    disk: float = 0.0
    code: int = 0


class Watch(threading.Thread):
    """Samples processor seconds and memory of a process and those that it began."""

    def __init__(self, process: int, pause: float = 0.2) -> None:
        super().__init__(daemon=True)
        self.process, self.pause = process, pause
        self.seconds: dict[int, float] = {}
        self.memory = self.first = 0.0

    def run(self) -> None:
        """Sample until the process has ended."""
        while tree := self._tree():
            sizes = {number: _held(number) for number in tree}
            for number in tree:
                # A number that is used again counts as one process.
                self.seconds[number] = max(
                    _seconds(number), self.seconds.get(number, 0)
                )
            self.memory = max(self.memory, sum(sizes.values()))
            self.first = max(self.first, sizes[self.process])
            time.sleep(self.pause)

    def _tree(self) -> list[int]:
        found, waiting = [], [self.process]
        while waiting:
            number = waiting.pop()
            try:
                if _state(number) == "Z":
                    continue
                task = Path(f"/proc/{number}/task/{number}/children")
                waiting += map(int, task.read_text().split())
            except OSError:
                continue
            found.append(number)
        return found


def _fields(number: int) -> list[str]:
    # The name, in brackets, may hold anything.
    return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()


def _state(number: int) -> str:
    return _fields(number)[0]


def _seconds(number: int) -> float:
    """Return the processor seconds of a process, and of its ended children."""
    try:
        return sum(map(int, _fields(number)[11:13])) / _TICK
    except OSError:
        return 0.0


def _held(number: int) -> float:
    try:
        text = Path(f"/proc/{number}/status").read_text()
    except OSError:
        return 0.0
    for each in text.splitlines():
        if each.startswith("RssAnon"):
            return 1024.0 * int(each.split()[1])
    return 0.0


def run(command: list, output: Path, log: Path) -> Used:
    """Run a command that writes into `output`; return what it used."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as file:
        began = time.perf_counter()
        process = subprocess.Popen(
            [str(word) for word in command], stdout=file, stderr=subprocess.STDOUT
        )
        watch = Watch(process.pid)
        watch.start()
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
    watch.join(2)
    code = process.returncode = os.waitstatus_to_exitcode(status)
    if code not in (0, 3):
        sys.exit(f"{' '.join(map(str, command))}\nfailed:\n{log.read_text()[-3000:]}")
    # The kernel's own sum has the last moments, the watch has those who were not
    # waited for, such as Ray's.
    processor = max(used.ru_utime + used.ru_stime, sum(watch.seconds.values()))
    disk = sum(p.stat().st_size for p in output.rglob("*") if p.is_file())
    return Used(wall, processor, watch.memory, watch.first, disk, code)
