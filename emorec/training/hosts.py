"""The processes that train one network together, a process a host.

JAX brings them together, and Keras' TensorFlow backend cannot (docs/cluster.md). The
first process leads: it alone prepares data and writes files. Where nothing was joined
there is one process, which leads.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from emorec.artifacts.runs import RunFolder
from emorec.errors import DataError, HostError, MissingExtraError, SpecError
from emorec.files import digest, whole_file

# Seconds until a host that is silent counts as lost, and until all must have come.
LOST = 60
GATHERING = 300
# Seconds for which hosts wait for the one that prepares data or evaluates.
PATIENCE = 7 * 24 * 3600
# Seconds until a file that one host wrote is seen by another, through caches.
_SEEN = 30
_VARIABLES = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID")


@dataclass
class Hosts:
    """The processes of a training.

    Attributes
    ----------
    rank : int
        This process' number, from 0.
    count : int
        Their number.
    """

    rank: int = 0
    count: int = 1
    _meetings: int = field(default=0, repr=False)

    @property
    def lead(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def meet(self) -> None:
        """Wait until every process is here, however long one of them takes."""
        if self.count == 1:
            return
        self._meetings += 1
        # JAX's public barrier computes on the devices, whose messages time out while
        # the leader prepares data.
        from jax._src import distributed

        with lost_hosts():
            distributed.global_state.client.wait_at_barrier(
                f"emorec {self._meetings}", PATIENCE * 1000
            )

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """Let the leader do the block first, and the others when it has.

        Inside of it each is by itself.
        """
        if not self.lead:
            self.meet()
        with self.by_itself():
            yield
        if self.lead:
            self.meet()

    @contextmanager
    def by_itself(self) -> Iterator[None]:
        """Let this process be the only one: a training in the block is its own."""
        global _hosts
        _hosts = Hosts()
        try:
            yield
        finally:
            _hosts = self

    def agree(self, content: Any, otherwise: str) -> None:
        """Check that something is the same for every process.

        Parameters
        ----------
        content : JSON-able
            What is compared.
        otherwise : str
            Message of the error.

        Raises
        ------
        DataError
            In every process, when one has something else.
        """
        if self.count == 1:
            return
        from jax.experimental.multihost_utils import process_allgather

        own = np.frombuffer(digest(content).encode(), np.uint8)
        with lost_hosts():
            others = process_allgather(own)
        if (others != own).any():
            raise DataError(otherwise)

    def check_shared(self, folder: Path) -> None:
        """Check that every process sees what the leader writes into a folder.

        Raises
        ------
        DataError
            When one does not.
        """
        if self.count == 1:
            return
        path = folder / f".hosts-{os.environ.get('SLURM_JOB_ID', 'together')}"
        if self.lead:
            with whole_file(path) as temporary:
                temporary.touch()
        self.meet()
        end = time.monotonic() + _SEEN
        while not path.exists() and time.monotonic() < end:
            time.sleep(0.5)
        self.agree(
            path.exists(),
            f"{folder}: not every host sees the files that the first one writes there. "
            "Choose a folder on a file system that all hosts share.",
        )
        if self.lead:
            path.unlink()

    def of_leader(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return the leader's values, so that every process decides alike."""
        if self.count == 1:
            return dict(values)
        from jax.experimental.multihost_utils import broadcast_one_to_all

        own = np.array([float(value) for value in values.values()], np.float32)
        with lost_hosts():
            told = broadcast_one_to_all(own)
        return dict(zip(values, told.tolist(), strict=True))

    def alone(self, folder: RunFolder) -> AbstractContextManager[None]:
        """Return the lock of a run, which the leader takes for all."""
        return folder.alone() if self.lead else nullcontext()


_hosts = Hosts()


def here() -> Hosts:
    """Return the processes of this training."""
    return _hosts


def join(hosts: str, coordinator: str = "", rank: int | None = None) -> Hosts:
    """Come together with the other processes; before anything else touches JAX.

    Parameters
    ----------
    hosts : str
        Their number; or ``auto``, as SLURM tells of a job step.
    coordinator : str
        ``ADDRESS:PORT`` of the first process, where SLURM does not tell it.
    rank : int, optional
        Number of this process, from 0, where SLURM does not tell it.

    Raises
    ------
    SpecError
        When the backend is not JAX, or what is asked for is not what SLURM offers.
    MissingExtraError
        When JAX is not installed.
    HostError
        When not all processes come.
    """
    global _hosts
    told = _told(hosts, coordinator, rank)
    chosen = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if chosen != "jax":
        raise SpecError(
            f"--hosts {hosts}: Keras trains on several hosts on JAX only, and the "
            f"backend is {chosen}. Install emorec[jax] and set KERAS_BACKEND=jax. On "
            "one host, --gpus divides a batch among its GPUs on TensorFlow, too."
        )
    if find_spec("jax") is None:
        raise MissingExtraError("jax", "jax", f"--hosts {hosts}")
    import jax

    # Else JAX catches the signal by which SLURM ends a job.
    with suppress(AttributeError):
        jax.config.update("jax_enable_preemption_service", False)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    limits = {
        "initialization_timeout": GATHERING,
        "heartbeat_timeout_seconds": LOST,
        "shutdown_timeout_seconds": PATIENCE,
    }
    # The last two came with JAX 0.8.
    known = inspect.signature(jax.distributed.initialize).parameters
    told |= {name: limit for name, limit in limits.items() if name in known}
    try:
        jax.distributed.initialize(**told)
        count, number = jax.process_count(), jax.process_index()
    except (RuntimeError, ValueError, OSError) as error:
        raise HostError(
            f"--hosts {hosts}: the processes did not come together within {GATHERING} "
            f"s ({_first_line(error)}). Check that --coordinator is the address of the "
            "first process, as the other hosts reach it, with a free port, and that "
            "every process was started."
        ) from error
    _hosts = Hosts(number, count)
    return _hosts


def _told(hosts: str, coordinator: str, rank: int | None) -> dict[str, Any]:
    """Return the arguments of jax.distributed.initialize."""
    slurm = all(name in os.environ for name in _VARIABLES)
    if hosts != "auto" and (not hosts.isdigit() or int(hosts) < 1):
        raise SpecError(f"--hosts {hosts}: expected auto, or a number of processes.")
    if not coordinator and rank is None:
        if not slurm:
            raise SpecError(
                f"--hosts {hosts}: no job step of SLURM tells the processes of each "
                "other (start them by srun). Without SLURM start each with --hosts N "
                "--coordinator ADDRESS:PORT --host_rank 0 to N-1."
            )
        tasks = os.environ["SLURM_NTASKS"]
        if hosts not in ("auto", tasks):
            raise SpecError(
                f"--hosts {hosts}: this job step has {tasks} processes. Start it by "
                f"srun --ntasks={hosts}, or give --hosts auto."
            )
        return {"local_device_ids": _devices_of_task()}
    if hosts == "auto" or rank is None or ":" not in coordinator:
        raise SpecError(
            "--coordinator, --host_rank: expected --hosts N, --coordinator "
            "ADDRESS:PORT of the first process, and --host_rank 0 to N-1, all three."
        )
    if not 0 <= rank < int(hosts):
        raise SpecError(f"--host_rank {rank}: expected 0 to {int(hosts) - 1}.")
    return {
        "coordinator_address": coordinator,
        "num_processes": int(hosts),
        "process_id": rank,
        "local_device_ids": [],
    }


def _devices_of_task() -> list[int] | None:
    """Return what JAX shall use of a host: all, or where tasks share it, one each."""
    tasks = os.environ.get("SLURM_STEP_TASKS_PER_NODE", "1")  # such as 2(x3),1
    numbers = re.sub(r"\(x\d+\)", "", tasks).split(",")
    return [] if set(numbers) == {"1"} else None


@contextmanager
def lost_hosts() -> Iterator[None]:
    """Tell an error of the connection as what it means: another host has ended.

    Raises
    ------
    HostError
        For it; other errors pass.
    """
    if _hosts.count == 1:
        yield
        return
    try:
        yield
    except Exception as error:
        # A RuntimeError of JAX, or a ValueError out of a transfer.
        words = ("Gloo", "NCCL", "UNAVAILABLE", "coordination service", "Barrier")
        if not any(word in str(error) for word in words):
            raise
        raise HostError(
            f"Host {_hosts.rank} of {_hosts.count} lost the others "
            f"({_first_line(error)}). One of them has ended; its own output says why. "
            "The same command goes on after the last whole epoch, on any number of "
            "hosts."
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def quiet(say: Callable[[str], None]) -> Callable[[str], None]:
    """Return `say` for the leader, for the others what says nothing."""
    return say if _hosts.lead else lambda line: None


def leave(code: int) -> None:
    """End this process after an error, without waiting for the others.

    Its connections break, by which they learn of it. After success a process ends as
    any other does, and waits for all.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
