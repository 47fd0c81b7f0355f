"""An extraction on Ray Data: shards made in processes of this machine or of a cluster.

A row of Ray Data is a shard. A worker writes the shard itself, so that what comes back
to the command is a few numbers. With readers, a row between readers and workers holds
what was read of all clips of a shard.
"""

from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from emorec.cluster.extraction_makers import Judge, Maker, Reader
from emorec.cluster.extraction_shards import Done, Job
from emorec.cluster.extraction_state import Extraction
from emorec.cluster.extraction_usage import (
    READER,
    WORKER,
    Clock,
    StoreWatch,
    Usage,
)
from emorec.cluster.ray_engine import Resources, connected, require_ray, share_gpu
from emorec.errors import SpecError
from emorec.processes import limit_threads

PURPOSE = (
    "An extraction in several processes (with --local it runs in this one, a clip "
    "after the other)"
)
# Ray keeps account of each block, so that many shards share one.
_BLOCKS = 10_000
# Bytes for what readers hand to workers.
_STORE = 1_000_000_000


def run_on_ray(
    extraction: Extraction, resources: Resources, tell: Callable[[int], None]
) -> None:
    """Make the shards that are left in processes of Ray.

    Parameters
    ----------
    extraction : Extraction
        Its state stays in this process.
    resources : Resources
        Where and how many; 0 workers for as many as there is room for.
    tell : callable
        Called with how many clips have come.

    Raises
    ------
    SpecError
        When the cluster has no room for the processes.
    EmorecError
        Of a worker, when it was about more than one clip.
    """
    if not extraction.left:
        return
    require_ray("ray.data", PURPOSE)
    store = {"store": _STORE} if resources.readers else {}
    with connected(resources, **store):
        rows = _rows(extraction, resources)
        with StoreWatch() as watch:
            for data in rows.iter_rows():
                ended = pickle.loads(data["ended"])
                if isinstance(ended, _Fault):
                    ended.throw()
                done, usages = ended
                for usage in usages:
                    extraction.measured.add(usage)
                extraction.end(done)
                tell(extraction.to_do(done.shard))
        extraction.measured.store = watch.peak


def _rows(extraction: Extraction, resources: Resources) -> Any:
    """Return the data set of what comes back."""
    import ray

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    workers = _workers(resources)
    tasks = [{"task": pickle.dumps(task)} for task in extraction.tasks()]
    rows = ray.data.from_items(tasks, override_num_blocks=min(len(tasks), _BLOCKS))
    of_reader = {
        "num_cpus": resources.cpus,
        "batch_size": None,
        "batch_format": "pyarrow",
        "fn_constructor_args": (extraction.job, resources, os.getcwd()),
    }
    of_worker = of_reader | ({"num_gpus": resources.gpus} if resources.gpus else {})
    if resources.readers:
        pool = ray.data.ActorPoolStrategy(
            size=resources.readers, max_tasks_in_flight_per_actor=1
        )
        rows = rows.map_batches(_Reading, compute=pool, **of_reader)
    pool = ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=1)
    worker = _Judging if resources.readers else _Making
    return rows.map_batches(worker, compute=pool, **of_worker)


def _workers(resources: Resources) -> int:
    """Return how many workers there are to be, for which there is room.

    Raises
    ------
    SpecError
        When there is none.
    """
    import ray

    there = ray.cluster_resources()
    cores, gpus = there.get("CPU", 0), there.get("GPU", 0)
    room = int(cores // resources.cpus) - resources.readers
    if resources.gpus:
        room = min(room, int(gpus / resources.gpus + 1e-9))
    has = f"the cluster has {cores:g} cores and {gpus:g} GPUs"
    if room < 1:
        raise SpecError(
            f"{has}: no room for {resources.readers + 1} processes of {resources.cpus} "
            f"cores, and {resources.gpus:g} GPUs for each worker. Ask for less by "
            "--cpus, --gpus or --readers, or add nodes."
        )
    # A machine of the cluster must have room for a whole process.
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(
        machine.get("CPU", 0) >= resources.cpus
        and machine.get("GPU", 0) >= resources.gpus
        for machine in machines
    ):
        raise SpecError(
            f"{has}, but no node has {resources.cpus} cores and {resources.gpus:g} "
            "GPUs. Ask for less by --cpus or --gpus."
        )
    if resources.readers and resources.workers > room:
        # All readers and no worker might find room, and wait for ever.
        raise SpecError(
            f"{has}: room for {room} workers beside {resources.readers} readers, not "
            f"for {resources.workers}. Ask for fewer."
        )
    return resources.workers or room


class _Fault:
    """An exception of a worker, on its way to the command."""

    def __init__(self, error: BaseException) -> None:
        self.text = "".join(traceback.format_exception(error))
        self.data = b""
        with suppress(Exception):
            data = pickle.dumps(error)
            pickle.loads(data)
            self.data = data

    def throw(self) -> None:
        error = (
            pickle.loads(self.data)
            if self.data
            else RuntimeError("A worker failed; its own error follows.")
        )
        # Printed behind the traceback, which ends here.
        error.add_note(f"\nIn a worker:\n{self.text}")
        raise error


class _Process:
    """What an actor begins with."""

    def __init__(self, job: Job, resources: Resources, folder: str) -> None:
        with suppress(OSError):  # on another computer it may be missing
            os.chdir(folder)
        if not resources.gpus:
            # Else each process would take all memory of the first GPU.
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        limit_threads(resources.cpus)
        share_gpu(resources.gpus)
        self.job = job


class _Making(_Process):
    """A worker that reads and judges."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._maker, self._clock = Maker(self.job), Clock(WORKER)

    def __call__(self, batch: Any) -> Iterator[dict[str, list[bytes]]]:
        for task in batch["task"]:
            yield {"ended": [_dumped(self._make, task.as_py())]}

    def _make(self, task: bytes) -> tuple[Done, list[Usage]]:
        with self._clock.busy():
            done = self._maker.make(pickle.loads(task))
        return done, [self._clock.usage()]


class _Reading(_Process):
    """A reader: makes a row of the clips of a shard."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._reader, self._clock = Reader(self.job), Clock(READER)

    def __call__(self, batch: Any) -> Iterator[Any]:
        import pyarrow as pa

        for task in batch["task"]:
            read: dict[str, bytes] = {}
            told = _dumped(self._read, task.as_py(), read)
            contents = pa.array([list(read.values())], pa.large_list(pa.large_binary()))
            yield pa.table(
                {
                    "task": pa.array([task.as_py()], pa.large_binary()),
                    "told": pa.array([told], pa.large_binary()),
                    "ids": pa.array([list(read)], pa.large_list(pa.large_string())),
                    "contents": contents,
                }
            )

    def _read(self, task: bytes, read: dict[str, bytes]) -> Usage:
        with self._clock.busy():
            read.update(self._reader.read(pickle.loads(task)))
        return self._clock.usage()


class _Judging(_Process):
    """A worker that judges what readers have read."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._judge, self._clock = Judge(self.job), Clock(WORKER)

    def __call__(self, batch: Any) -> Iterator[dict[str, list[bytes]]]:
        for row in range(len(batch)):
            told = batch["told"][row].as_py()
            reading = pickle.loads(told)
            if isinstance(reading, _Fault):
                yield {"ended": [told]}
            else:
                yield {"ended": [_dumped(self._make, batch.slice(row, 1), reading)]}

    def _make(self, row: Any, reading: Usage) -> tuple[Done, list[Usage]]:
        with self._clock.busy():
            ids = row["ids"][0].as_py()
            # In the memory that the processes share; a clip is copied out when it is
            # its turn.
            contents = row["contents"][0].values
            read = {
                name: content.as_buffer()
                for name, content in zip(ids, contents, strict=True)
            }
            task = pickle.loads(row["task"][0].as_py())
            done = self._judge.make(task, read)
        return done, [reading, self._clock.usage()]


def _dumped(function: Callable[..., Any], *arguments: Any) -> bytes:
    """Return what a function returns or raises, pickled."""
    try:
        return pickle.dumps(function(*arguments))
    except Exception as error:
        return pickle.dumps(_Fault(error))
