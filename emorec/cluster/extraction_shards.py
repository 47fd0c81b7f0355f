"""Making one shard: what is there stays, the rest is extracted, and written whole.

Resuming, files that have changed and clips that are tried again are all this.
"""

from __future__ import annotations

import errno
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from emorec.artifacts.locations import Location
from emorec.artifacts.shards import Entry, Shard, open_shard, write_shard
from emorec.artifacts.stores import SETTINGS, SHARDS, read_settings, shard_name
from emorec.cluster.extraction_notes import Note
from emorec.cluster.extraction_plan import Clip, Task
from emorec.errors import DataError
from emorec.files import digest

# Seconds until a file that was just written is seen on another node (NFS, attributes).
_PATIENCE = 30
# What a file answers that has gone, or is on a disk that has gone.
_UNREADABLE = {errno.EIO, errno.ENOENT, errno.EACCES, errno.ESTALE}
Arrays = dict[str, np.ndarray]
Reasons = dict[str, str]
Function = Callable[[Clip], tuple[Arrays, Reasons]]


@dataclass(frozen=True)
class Job:
    """What every process of an extraction knows.

    Attributes
    ----------
    recipe : recipe of `emorec.training.recipes`
        How arrays are made of a clip.
    where : Location
        The store.
    settings : str
        Digest of what decides the arrays.
    retry_failed : bool
        Try clips again that have failed before.
    host : str
        Name of the computer where the command runs.
    """

    recipe: Any
    where: Location
    settings: str
    retry_failed: bool
    host: str


class Done(NamedTuple):
    """A finished shard.

    Attributes
    ----------
    shard, clips, bytes : int
        Its number, how many clips it has, and the size of its file.
    failures : list of (str, str, str)
        Clip, part and reason.
    """

    shard: int
    clips: int
    bytes: int
    failures: list[tuple[str, str, str]]

    @property
    def failed(self) -> int:
        """Clips that lack something."""
        return len({clip for clip, _, _ in self.failures})


def check_seen(job: Job) -> None:
    """Check, in a worker, that the store is the one that the command has opened.

    Raises
    ------
    DataError
        When it is another, or none, as on a disk that the computers do not share.
    """
    host = platform.node()
    until = time.monotonic() + (_PATIENCE if host != job.host else 0)
    while not job.where.exists(SETTINGS) and time.monotonic() < until:
        time.sleep(1)
    with suppress(DataError):
        if digest(read_settings(job.where)) == job.settings:
            return
    raise DataError(
        f"{job.where.name}: the computer {host} does not see there what {job.host} has "
        "written. Choose an --output that all computers of the cluster share, or an "
        "address such as s3://bucket/folder."
    )


@contextmanager
def opened_before(job: Job, shard: int) -> Iterator[Shard | None]:
    """Yield the shard as it is, or None where it is missing, damaged or of others."""
    name = shard_name(shard)
    try:
        before = open_shard(job.where.fetch(name)) if job.where.exists(name) else None
    except DataError:
        before = None
    if before is None:
        yield None
        return
    with before:
        yield before if before.settings == job.settings else None


def kept_of(before: Shard | None, task: Task, retry_failed: bool) -> dict[str, int]:
    """Return the clips that a shard needs not extract again, and their rows in it.

    Those are clips of the same files that did not fail, or are not to be tried again;
    and those that are not among the clips of this call.
    """
    if before is None:
        return {}
    rows = {name: row for row, name in enumerate(before.ids)}
    kept = {}
    for clip in task.clips:
        row = rows.get(clip.id)
        if row is None:
            continue
        same = before.sources[row] == clip.stamp
        again = retry_failed and before.reasons[row]
        if clip.source is None or (same and not again and not task.damaged):
            kept[clip.id] = row
    return kept


def left_of(task: Task, kept: dict[str, int]) -> list[Clip]:
    """Return the clips that are to be extracted."""
    return [c for c in task.clips if c.source is not None and c.id not in kept]


def make_shard(
    job: Job,
    task: Task,
    function: Function,
    note: Note,
    tell: Callable[[int], None] = lambda clips: None,
) -> Done:
    """Make a shard of what is there of it and what a function makes of the rest.

    Parameters
    ----------
    job : Job
        The store and its settings.
    task : Task
        The shard and its clips.
    function : callable
        Takes a clip; returns arrays, and part -> why it is missing; a DataError says
        that nothing could be made.
    note : Note
        Of this process' work.
    tell : callable
        Called with the number of clips that were extracted, 1.

    Raises
    ------
    DataError
        When the shard cannot be written.
    """
    failures: list[tuple[str, str, str]] = []
    clips = 0

    def entries() -> Iterator[Entry]:
        nonlocal clips
        for clip in task.clips:
            if clip.id in kept:
                entry = _kept(before, kept[clip.id], clip, make)
            elif clip.source is None:
                continue
            else:
                entry = make(clip)
                tell(1)
            failures.extend((clip.id, *reason) for reason in entry.reasons.items())
            clips += 1
            yield entry

    def make(clip: Clip) -> Entry:
        return _made(job, clip, function, note)

    with opened_before(job, task.shard) as before:
        kept = kept_of(before, task, job.retry_failed)
        if before is not None and not left_of(task, kept):
            # By a process that was lost before it could tell.
            size = job.where.files(SHARDS)[shard_name(task.shard)]
            return done_before(task.shard, before, size)
        size = _write(job, shard_name(task.shard), entries())
    return Done(task.shard, clips, size, failures)


def done_before(shard: int, before: Shard, size: int) -> Done:
    """Return what a finished shard tells of itself."""
    failures = [
        (name, *reason)
        for name, reasons in zip(before.ids, before.reasons, strict=True)
        for reason in reasons.items()
    ]
    return Done(shard, len(before.ids), size, failures)


def attempt(
    job: Job, clip: Clip, note: Note, function: Callable[[Clip], Any]
) -> tuple[Any, str]:
    """Call a function with a clip; return its result, or None and why there is none."""
    if reason := note.begin(clip.id):
        return None, reason
    try:
        return function(clip), ""
    except DataError as error:
        _check_clip_seen(job, clip)
        return None, str(error)
    except MemoryError:
        return None, "The memory does not suffice for it."
    except OSError as error:
        if error.errno not in _UNREADABLE:
            raise
        _check_clip_seen(job, clip)
        return None, f"Its file cannot be read ({error.strerror})."


def _made(job: Job, clip: Clip, function: Function, note: Note) -> Entry:
    result, reason = attempt(job, clip, note, function)
    arrays, reasons = result or ({}, {"": reason})
    return Entry(clip.id, clip.stamp, arrays, reasons)


def _check_clip_seen(job: Job, clip: Clip) -> None:
    """Refuse to call a clip failed that only this computer does not see."""
    host = platform.node()
    gone = [path for path in clip.source.paths.values() if not Path(path).exists()]
    if gone and host != job.host:
        raise DataError(
            f"{gone[0]}: the computer {host} does not see the file that {job.host} has "
            "found. Clips must lie where all computers of the cluster see them."
        )


def _kept(before: Shard, row: int, clip: Clip, make: Callable[[Clip], Entry]) -> Entry:
    try:
        return before.entry(row)
    except DataError as error:
        if clip.source is not None:
            return make(clip)
        reason = f"What was extracted of it is damaged ({error}); extract it again."
        return Entry(clip.id, (0, 0), {}, {"": reason})


def _write(job: Job, name: str, entries: Iterator[Entry]) -> int:
    """Write a shard to its place; return its bytes."""
    if job.where.is_local:
        path = job.where.root / name
        write_shard(path, entries, job.settings)
        return path.stat().st_size
    with tempfile.TemporaryDirectory(prefix="emorec-") as folder:
        path = Path(folder) / Path(name).name
        write_shard(path, entries, job.settings)
        job.where.put(path, name)
        return path.stat().st_size
