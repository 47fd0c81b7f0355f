"""Nodes of a cluster that have gone, with shards which nobody would make."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from emorec.cluster.ray_engine import Resources

# Seconds between questions to Ray, and without any result until it counts as stuck.
_EVERY, _PATIENCE = 2.0, 60.0


class NodeLostError(Exception):
    """The shards of a node that has gone wait for one to take its place."""


def room_of(resources: Resources) -> int:
    """Return for how many workers the cluster has room beside the readers."""
    import ray

    there = ray.cluster_resources()
    room = int(there.get("CPU", 0) // resources.cpus) - resources.readers
    if resources.gpus:
        room = min(room, int(there.get("GPU", 0) / resources.gpus + 1e-9))
    return room


class Progress:
    """When results came; see `interrupted_when_stuck`."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._longest = 0.0

    def tick(self) -> None:
        """Note that a result has come."""
        now = time.monotonic()
        self._longest = max(self._longest, now - self._last)
        self._last = now

    def is_late(self) -> bool:
        """Return whether the next result takes much longer than those before."""
        waited = time.monotonic() - self._last
        return waited > max(_PATIENCE, 3 * self._longest)


@contextmanager
def interrupted_when_stuck(
    resources: Resources, workers: int, progress: Progress
) -> Iterator[None]:
    """Interrupt the block when shards wait for a node that has gone.

    Ray begins the processes of a node elsewhere, and keeps the shards that they had in
    hand for them. Where no other node has room, that is for ever. Only the main thread
    can be interrupted, and not on Windows; else the block waits.

    Parameters
    ----------
    resources : Resources
        What the processes need.
    workers : int
        How many had room in the beginning.
    progress : Progress
        Told of each result by the block.

    Raises
    ------
    NodeLostError
        In the block, which can then begin anew with what is left.
    """
    main = threading.main_thread()
    if threading.current_thread() is not main or not hasattr(signal, "SIGUSR1"):
        yield
        return
    end = threading.Event()

    def watch() -> None:
        while not end.wait(_EVERY):
            # At the end of Ray there is nobody to answer.
            with suppress(Exception):
                if progress.is_late() and room_of(resources) < workers:
                    signal.pthread_kill(main.ident, signal.SIGUSR1)
                    return

    def lost(number: int, frame: object) -> None:
        if not end.is_set():
            raise NodeLostError

    before = signal.signal(signal.SIGUSR1, lost)
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
        signal.signal(signal.SIGUSR1, before)
