"""What makes shards in a process: a recipe's functions, loaded when first needed."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from typing import Any

from emorec.cluster.extraction_notes import Note, noted
from emorec.cluster.extraction_plan import Clip, Task
from emorec.cluster.extraction_shards import (
    Arrays,
    Done,
    Job,
    Reasons,
    attempt,
    check_seen,
    kept_of,
    left_of,
    make_shard,
    opened_before,
)
from emorec.errors import DataError


class _Loaded:
    """A function of a recipe in this process.

    Parameters
    ----------
    job : Job
        With the recipe.
    name : str
        Which of its functions: whole, reader or judge.
    """

    def __init__(self, job: Job, name: str) -> None:
        self._job, self._name = job, name
        self._function: Callable | None = None

    def load(self, note: Note) -> Callable:
        """Return the function."""
        if self._function is None:
            check_seen(self._job)
            note.check_loading()
            self._function = getattr(self._job.recipe, self._name)()
        return self._function


class Maker:
    """Makes shards with a recipe's whole function."""

    def __init__(self, job: Job) -> None:
        self._job, self._whole = job, _Loaded(job, "whole")

    def make(
        self, task: Task, tell: Callable[[int], None] = lambda clips: None
    ) -> Done:
        """Make a shard; call `tell` after each clip."""
        with noted(self._job.where, f"{task.shard:05d}") as note:
            whole = self._whole.load(note)
            return make_shard(
                self._job, task, lambda clip: whole(clip.source), note, tell
            )


class Reader:
    """Reads the clips of a shard for those that hold the network."""

    def __init__(self, job: Job) -> None:
        self._job, self._reader = job, _Loaded(job, "reader")

    def read(self, task: Task) -> dict[str, bytes]:
        """Return what was read of each clip that is to be extracted."""
        job = self._job
        with noted(job.where, f"{task.shard:05d}-read") as note:
            reader = self._reader.load(note)
            with opened_before(job, task.shard) as before:
                left = left_of(task, kept_of(before, task, job.retry_failed))
            return {
                clip.id: pickle.dumps(
                    attempt(job, clip, note, lambda clip: reader(clip.source)), 5
                )
                for clip in left
            }


class Judge:
    """Makes shards of what a `Reader` has read, elsewhere."""

    def __init__(self, job: Job) -> None:
        self._job, self._judge = job, _Loaded(job, "judge")

    def make(self, task: Task, read: Mapping[str, Any]) -> Done:
        """Make a shard of its clips, as pickled by `Reader.read`."""
        with noted(self._job.where, f"{task.shard:05d}-judge") as note:
            judge = self._judge.load(note)

            def function(clip: Clip) -> tuple[Arrays, Reasons]:
                content, reason = pickle.loads(read[clip.id])
                if reason:
                    return {}, {"": reason}
                try:
                    return judge(content), {}
                except DataError as error:
                    return {}, {"": str(error)}

            return make_shard(self._job, task, function, note)
