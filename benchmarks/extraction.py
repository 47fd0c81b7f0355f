"""What the engine of an extraction costs: clips/s, memory, and waiting.

    python benchmarks/extraction.py
    python benchmarks/extraction.py --workers 1 2 --clips 400 --rounds 3 --many 10000

Three measurements, each run in a process of its own.

*Speed*: clips of so much processor's work each, in one thread. The peer is a plain loop
in one process that writes an .npz for each clip. Beside it: ``--local``, and Ray with
each number of workers, every process on a core of its own. Ratios are those of one
round, in which all ways run one after another; the median of rounds counts. *Steady* is
the time from each worker's first shard to the last one, *all* includes the processes'
start. *Cores* are the seconds of processor's work of the workers in each second: on a
machine whose cores are now fast and now slow, because others use them, too, these tell
what clips/s do not.

*Memory*: of clips without work, the command's, a worker's and what lies between them.

*Waiting*: readers that take no time, and judges that take some for clips of a megabyte:
what lies between them must stay within bounds, and the readers wait.

The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SHARD = 16


@dataclass(frozen=True)
class Work:
    """Arrays of 100 steps, after so many rounds of a hash that uses one core."""

    rounds: int = 0
    megabytes: float = 0.0
    judging: float = 0.0
    cores: str = ""
    kind: str = "work"

    def settings(self):
        """Return what decides the arrays."""
        return {"rounds": self.rounds, "megabytes": self.megabytes}

    def sources(self, paths):
        """Return as many clips as the first path says."""
        from emorec.training.recipes import Source

        count = int(paths[0])
        return [Source(f"c{number:07d}", {}) for number in range(count)]

    def whole(self):
        """Return the function of a clip, on a core of its own."""
        pin(self.cores)
        return lambda source: (self._judge(self._read(source)), {})

    def reader(self):
        """Return what reads a clip."""
        return self._read

    def judge(self):
        """Return what judges what was read."""
        return self._judge

    def _read(self, source):
        if self.rounds:
            hashlib.pbkdf2_hmac("sha256", source.id.encode(), b"salt", self.rounds)
        size = max(1, int(self.megabytes * 1e6))
        return {"clip": np.full(size, int(source.id[1:]) % 251, np.uint8)}

    def _judge(self, read):
        time.sleep(self.judging)
        return {"scores": np.full((100, 8), read["clip"][0], np.float32)}


def pin(folder: str) -> None:
    """Keep this process to a core that no other process of the run has taken."""
    if not folder:
        return
    Path(folder).mkdir(exist_ok=True)
    for core in sorted(os.sched_getaffinity(0)):
        with suppress(FileExistsError):
            (Path(folder) / str(core)).touch(exist_ok=False)
            os.sched_setaffinity(0, {core})
            return


def loop(recipe: Work, count: int, output: Path, tell: Callable[[int], None]) -> None:
    """Extract as a script would."""
    function = recipe.whole()
    output.mkdir()
    for source in recipe.sources([count]):
        arrays, _ = function(source)
        np.savez(output / f"{source.id}.npz", **arrays)
        tell(1)


def one(given: dict) -> dict:
    """Run one way in this process; return what was measured."""
    from emorec.cluster.extraction import opened, run_here
    from emorec.processes import limit_threads, peak_memory

    limit_threads(1)
    told: list[tuple[float, int]] = []

    def tell(clips: int) -> None:
        told.append((time.perf_counter(), clips))

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        recipe = Work(
            given["rounds"],
            given.get("megabytes", 0.0),
            given.get("judging", 0.0),
            str(place / "cores") if given["rounds"] else "",
        )
        count, result = given["clips"], {}
        began = time.perf_counter()
        if given["way"] == "loop":
            loop(recipe, count, place / "out", tell)
        else:
            with opened(recipe, [count], place / "out", SHARD, say=str) as own:
                if given["way"] == "local":
                    run_here(own, tell)
                else:
                    from emorec.cluster.extraction_on_ray import run_on_ray
                    from emorec.cluster.ray_engine import Resources

                    readers = given.get("readers", 0)
                    run_on_ray(own, Resources(given["workers"], readers=readers), tell)
            assert own.new == count and not own.failed
            measured = own.measured
            result = {
                "memory": {k: round(v / 1e6) for k, v in measured.memory.items()},
                "cores": cores(measured, told),
                "between_mb": round(measured.store / 1e6),
                "waiting": {
                    role: round(measured.waiting(role), 3) for role in measured.busy
                },
            }
        ended = time.perf_counter()
    # From when every worker has ended its first shard.
    first = given.get("workers", 1) - 1
    after_first = sum(clips for _, clips in told[first + 1 :])
    return result | {
        "all_s": round(ended - began, 3),
        "steady": round(after_first / (told[-1][0] - told[first][0]), 3),
        "command_mb": round(peak_memory() / 1e6),
    }


def cores(measured, told: list[tuple[float, int]]) -> float:
    """Return how many cores the workers used from their first clip to their last."""
    if not measured.processor:  # this process alone
        return 1.0
    # The first shard had begun when it was told.
    before = measured.busy["worker"] / len(told)
    return round(measured.processor["worker"] / (told[-1][0] - told[0][0] + before), 3)


def measured(**given) -> dict:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, __file__, "ONE", json.dumps(given)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def speed(workers: list[int], clips: int, milliseconds: float, rounds: int) -> dict:
    """Time the ways in turn; return their clips/s, and ratios to the plain loop."""
    began = time.process_time()
    hashlib.pbkdf2_hmac("sha256", b"clip", b"salt", 20_000)
    work = int(milliseconds / 1000 * 20_000 / (time.process_time() - began))
    ways = {"loop": {"way": "loop"}, "local": {"way": "local"}}
    ways |= {f"ray {n}": {"way": "ray", "workers": n} for n in workers}
    found: dict[str, list[dict]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            found[name].append(measured(rounds=work, clips=clips, **way))
    table = {}
    for name, runs in found.items():
        pairs = list(zip(runs, found["loop"], strict=True))
        table[name] = {
            "steady": statistics.median(run["steady"] for run in runs),
            "all_s": statistics.median(run["all_s"] for run in runs),
            "ratio": round(
                statistics.median(a["steady"] / b["steady"] for a, b in pairs), 3
            ),
            "cores": statistics.median(run.get("cores", 1.0) for run in runs),
            "ratios": [round(a["steady"] / b["steady"], 3) for a, b in pairs],
        }
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--clips", type=int, default=400, help="of the speed")
    parser.add_argument("--milliseconds", type=float, default=50, help="work of a clip")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--many", type=int, nargs="*", default=[1000, 10_000])
    parser.add_argument(
        "--megabytes", type=int, default=2000, help="read by the readers, together"
    )
    arguments = parser.parse_args()
    found = {"cores": len(os.sched_getaffinity(0)), "load": os.getloadavg()[0]}
    found["speed"] = speed(
        arguments.workers, arguments.clips, arguments.milliseconds, arguments.rounds
    )
    print(
        "way       clips/s   of the loop's  rounds                cores seconds in all"
    )
    for name, row in found["speed"].items():
        ratios = " ".join(f"{ratio:.2f}" for ratio in row["ratios"])
        print(
            f"{name:8s} {row['steady']:8.2f} {row['ratio']:15.3f}  {ratios:20s} "
            f"{row['cores']:6.2f} {row['all_s']:8.1f}"
        )
    found["memory"] = {
        str(count): measured(rounds=0, clips=count, way="ray", workers=2)
        for count in arguments.many
    }
    for count, row in found["memory"].items():
        print(
            f"{count} clips: the command {row['command_mb']} MB, a worker "
            f"{row['memory']['worker']} MB, between them {row['between_mb']} MB; "
            f"{row['steady']:.0f} clips/s without work"
        )
    if arguments.megabytes:
        found["waiting"] = row = measured(
            **{"rounds": 0, "clips": arguments.megabytes, "megabytes": 1.0},
            **{"judging": 0.01, "way": "ray", "workers": 1, "readers": 1},
        )
        print(
            f"{arguments.megabytes} MB through a slow judge: at most "
            f"{row['between_mb']} MB between, a reader waits "
            f"{row['waiting']['reader']:.0%} of its time, the judge "
            f"{row['waiting']['worker']:.0%}"
        )
    found["load_after"] = os.getloadavg()[0]
    print(json.dumps(found))


if __name__ == "__main__":
    if sys.argv[1:2] == ["ONE"]:
        print(json.dumps(one(json.loads(sys.argv[2]))))
    else:
        main()
