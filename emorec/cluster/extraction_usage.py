"""What an extraction takes: memory, and how long processes wait for one another."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from emorec.processes import peak_memory

READER, WORKER = "reader", "worker"
# Seconds between questions to Ray.
_EVERY = 0.5


class Usage(NamedTuple):
    """Of a process, for one shard.

    Attributes
    ----------
    role : str
        `READER` or `WORKER`.
    busy, idle : float
        Seconds with the shard, and before it.
    processor : float
        Seconds of processor's work for the shard, of all threads.
    memory : int
        Most bytes since the process began.
    """

    role: str
    busy: float
    idle: float
    processor: float
    memory: int


@dataclass
class Measured:
    """What all processes took.

    Attributes
    ----------
    memory : dict
        Role -> most bytes of one process.
    busy, idle, processor : dict
        Role -> seconds of all processes.
    store : int
        Most bytes that lay between processes.
    """

    memory: dict[str, int] = field(default_factory=dict)
    busy: dict[str, float] = field(default_factory=dict)
    idle: dict[str, float] = field(default_factory=dict)
    processor: dict[str, float] = field(default_factory=dict)
    store: int = 0

    def add(self, usage: Usage) -> None:
        """Add what a process tells."""
        role = usage.role
        self.memory[role] = max(self.memory.get(role, 0), usage.memory)
        self.busy[role] = self.busy.get(role, 0) + usage.busy
        self.idle[role] = self.idle.get(role, 0) + usage.idle
        self.processor[role] = self.processor.get(role, 0) + usage.processor

    def waiting(self, role: str) -> float:
        """Return the share of their time in which processes waited."""
        both = self.busy.get(role, 0) + self.idle.get(role, 0)
        return self.idle.get(role, 0) / both if both else 0.0


class Clock:
    """Tells how long a process was busy with a shard, and idle before it."""

    def __init__(self, role: str) -> None:
        self._role = role
        self._ended: float | None = None
        self._busy = self._idle = self._processor = 0.0

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Count the block as work."""
        began, worked = time.perf_counter(), time.process_time()
        # Before its first shard a process was not there.
        self._idle = began - self._ended if self._ended is not None else 0.0
        try:
            yield
        finally:
            self._ended = time.perf_counter()
            self._busy = self._ended - began
            self._processor = time.process_time() - worked

    def usage(self) -> Usage:
        """Return what the last block took."""
        times = self._busy, self._idle, self._processor
        return Usage(self._role, *times, peak_memory())


class StoreWatch:
    """Asks Ray now and then how much lies between processes; a context manager.

    Parameters
    ----------
    measured : Measured
        Is told of the most bytes.
    """

    def __init__(self, measured: Measured) -> None:
        self._measured = measured
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> StoreWatch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        import ray

        while not self._end.wait(_EVERY):
            # At the end of Ray there is nobody to answer.
            with suppress(Exception):
                name = "object_store_memory"
                size = ray.cluster_resources()[name]
                used = size - ray.available_resources().get(name, 0)
                self._measured.store = max(self._measured.store, int(used))
