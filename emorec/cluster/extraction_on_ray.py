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
from emorec.cluster.extraction_nodes import (
    NodeLostError,
    Progress,
    interrupted_when_stuck,
    room_of,
)
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
# Shards that a worker has in hand and in store. One that judges must not wait for Ray;
# one that does all must not keep a shard back while it is busy with a long one.
_JUDGING, _MAKING = 2, 1
_BEGINNINGS = 3
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
    if extraction.waiting:
        require_ray("ray.data", PURPOSE)
    while shards := extraction.waiting:
        try:
            _run(extraction, shards, resources, tell)
        except NodeLostError:
            extraction.say(
                "A node of the cluster has gone; its shards are made on the others."
            )


def _run(
    extraction: Extraction,
    shards: list[int],
    resources: Resources,
    tell: Callable[[int], None],
) -> None:
    """Make shards, until all are made or nobody is there to make the rest."""
    store = {"store": _STORE} if resources.readers else {}
    with connected(resources, **store):
        room = _room(extraction, resources)
        workers = resources.workers or room
        if resources.readers:
            # All readers and no worker might find room, and wait for ever.
            workers = min(workers, room)
        rows = _rows(extraction, shards, resources, workers)
        progress = Progress()
        with (
            StoreWatch(extraction.measured),
            interrupted_when_stuck(resources, min(workers, room), progress),
        ):
            for data in rows.iter_rows():
                ended = pickle.loads(data["ended"])
                if isinstance(ended, _Fault):
                    ended.throw()
                done, usages = ended
                for usage in usages:
                    extraction.measured.add(usage)
                extraction.end(done)
                tell(extraction.to_do(done.shard))
                progress.tick()


def _rows(
    extraction: Extraction, shards: list[int], resources: Resources, workers: int
) -> Any:
    """Return the data set of what comes back."""
    import ray

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    if hasattr(context, "max_consecutive_actor_init_deaths"):
        # A node may die while a process begins on it.
        context.max_consecutive_actor_init_deaths = _BEGINNINGS
    tasks = [{"task": pickle.dumps(extraction.plan.task(n))} for n in shards]
    rows = ray.data.from_items(tasks, override_num_blocks=min(len(tasks), _BLOCKS))
    common = {
        "num_cpus": resources.cpus,
        "batch_size": None,
        "batch_format": "pyarrow",
    }
    begin = extraction.job, resources.cpus, os.getcwd()

    def pool(size: int, shards: int) -> Any:
        return ray.data.ActorPoolStrategy(
            size=size, max_tasks_in_flight_per_actor=shards
        )

    if resources.readers:
        rows = rows.map_batches(
            _Reading,
            compute=pool(resources.readers, _MAKING),
            fn_constructor_args=(*begin, 0),
            **common,
        )
    return rows.map_batches(
        _Judging if resources.readers else _Making,
        compute=pool(workers, _JUDGING if resources.readers else _MAKING),
        fn_constructor_args=(*begin, resources.gpus),
        **({"num_gpus": resources.gpus} if resources.gpus else {}),
        **common,
    )


def _room(extraction: Extraction, resources: Resources) -> int:
    """Return for how many workers there is room now.

    Raises
    ------
    SpecError
        When there is for none.
    """
    import ray

    there = ray.cluster_resources()
    has = f"{there.get('CPU', 0):g} cores and {there.get('GPU', 0):g} GPUs"
    each = f"{resources.cpus} cores and {resources.gpus:g} GPUs"
    room = room_of(resources)
    if room < 1:
        raise SpecError(
            f"The cluster has {has}: no room for a worker of {each} beside "
            f"{resources.readers} readers. Ask for less by --cpus, --gpus or "
            "--readers, or add nodes."
        )
    # A machine of the cluster must have room for a whole process.
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(
        node.get("CPU", 0) >= resources.cpus and node.get("GPU", 0) >= resources.gpus
        for node in nodes
    ):
        raise SpecError(
            f"The cluster has {has}, but no node has {each}. Ask for less by --cpus or "
            "--gpus."
        )
    if resources.workers > room:
        extraction.say(f"The cluster has {has}: room for {room} workers.")
    return room


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

    def __init__(self, job: Job, cpus: int, folder: str, gpus: float) -> None:
        with suppress(OSError):  # on another computer it may be missing
            os.chdir(folder)
        if not gpus:
            # Else each process would take all memory of the first GPU.
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        limit_threads(cpus)
        share_gpu(gpus)
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
