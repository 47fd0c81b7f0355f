"""The state of an extraction: what is finished, what is left, what has failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import pandas as pd

from emorec.artifacts.shards import open_shard
from emorec.artifacts.stores import (
    FAILURE_COLUMNS,
    FAILURES,
    INDEX,
    INDEX_COLUMNS,
    SHARDS,
    read_table,
    shard_name,
)
from emorec.cluster.extraction_plan import Plan, Task
from emorec.cluster.extraction_shards import (
    Done,
    Job,
    done_before,
    kept_of,
    left_of,
)
from emorec.cluster.extraction_usage import Measured
from emorec.errors import DataError

Say = Callable[[str], None]
# Seconds between writings of the tables. They are an index only: a shard that is not
# in it is opened.
_EVERY = 10.0


class Row(NamedTuple):
    """A finished shard in the index."""

    clips: int
    failed: int
    bytes: int


@dataclass
class Extraction:
    """The state of an extraction.

    Attributes
    ----------
    job : Job
        What every process knows.
    plan : Plan
        Which clip is in which shard.
    say : callable
        Receives lines for the user.
    index : dict
        Number -> row of each finished shard.
    failures : dict
        Number -> (clip, part, reason) of each finished shard that has failures.
    left : list of int
        Shards that are to be made.
    before : int
        Clips of this call that were finished when it began.
    measured : Measured
        What the processes took.
    """

    job: Job
    plan: Plan
    say: Say
    index: dict[int, Row] = field(default_factory=dict)
    failures: dict[int, list[tuple[str, str, str]]] = field(default_factory=dict)
    left: list[int] = field(default_factory=list)
    before: int = 0
    measured: Measured = field(default_factory=Measured)

    def __post_init__(self) -> None:
        self._written = time.monotonic()
        # Clips of this call that shards in `left` have already.
        self._kept: dict[int, int] = {}

    @property
    def given(self) -> int:
        """Clips of this call."""
        return len(self.plan.sources)

    @property
    def new(self) -> int:
        """Clips that this run has extracted."""
        return sum(self.to_do(number) for number in self.left if number in self.index)

    @property
    def failed(self) -> int:
        """Clips of the store that lack something."""
        return sum(row.failed for row in self.index.values())

    def to_do(self, shard: int) -> int:
        """Return how many clips of a shard in `left` were to be extracted."""
        return self.plan.given(shard) - self._kept.get(shard, 0)

    @property
    def waiting(self) -> list[int]:
        """Shards in `left` that are not made yet."""
        return [number for number in self.left if number not in self.index]

    def tasks(self) -> Iterator[Task]:
        """Yield the shards that are to be made."""
        return map(self.plan.task, self.left)

    def load(self, check: bool) -> None:
        """Find out what is finished.

        Parameters
        ----------
        check : bool
            Read every shard, rather than believe the index.
        """
        known, failures = self._read_index()
        there = self.job.where.files(SHARDS)
        for number in self.plan.shards.tolist():
            size = there.get(shard_name(number))
            row = known.get(number)
            if (
                not check
                and row is not None
                and row.bytes == size
                and row.clips == self.plan.clips(number)
                and number not in self.plan.changed
                and not (self.job.retry_failed and row.failed)
            ):
                self.index[number] = row
                self.failures[number] = failures.get(number, [])
                self.before += self.plan.given(number)
            elif size is not None:
                self._inspect(number, size, check)
            elif self.plan.given(number):
                self.left.append(number)

    def _read_index(self) -> tuple[dict[int, Row], dict[int, list]]:
        """Read the tables of an earlier run, as far as they agree with each other."""
        where = self.job.where
        if not (where.exists(INDEX) and where.exists(FAILURES)):
            return {}, {}
        try:
            index = read_table(where, INDEX, INDEX_COLUMNS).astype(int)
            failed = read_table(where, FAILURES, FAILURE_COLUMNS)
        except (DataError, ValueError) as error:
            self.say(f"The shards are looked through, for an index is damaged: {error}")
            return {}, {}
        table = self.plan.table
        shard_of = dict(zip(table["id"], table["shard"].tolist(), strict=True))
        failures: dict[int, list] = {}
        for row in failed.itertuples(index=False, name=None):
            if row[0] in shard_of:
                failures.setdefault(shard_of[row[0]], []).append(row)
        known = {number: Row(*rest) for number, *rest in index.to_numpy().tolist()}
        agreed = {
            number: row
            for number, row in known.items()
            if row.failed == len({name for name, *_ in failures.get(number, [])})
        }
        return agreed, failures

    def _inspect(self, number: int, size: int, whole: bool) -> None:
        """Open a shard, and note whether it is finished or what it has."""
        where, task = self.job.where, self.plan.task(number)
        try:
            with open_shard(where.fetch(shard_name(number))) as shard:
                if shard.settings != self.job.settings:
                    raise DataError(
                        f"{where.name}/{shard_name(number)}: it was made with other "
                        "settings than those of its folder."
                    )
                for row in range(len(shard) if whole else 0):
                    shard.entry(row)
                kept = kept_of(shard, task, self.job.retry_failed)
                left = left_of(task, kept)
                done = done_before(number, shard, size)
        except DataError as error:
            self.say(f"shard {number} is made again: {error}")
            self.plan.damaged.add(number)
            if self.plan.given(number):
                self.left.append(number)
            return
        present = self.plan.given(number) - len(left)
        self.before += present
        if left:
            self._kept[number] = present
            self.left.append(number)
        else:
            self._note(done)

    def _note(self, done: Done) -> None:
        self.index[done.shard] = Row(done.clips, done.failed, done.bytes)
        self.failures[done.shard] = done.failures

    def end(self, done: Done) -> None:
        """Note a shard that was made."""
        self._note(done)
        if time.monotonic() - self._written > _EVERY:
            self.write()

    def write(self) -> None:
        """Write the tables; the failures first, which the index counts."""
        where = self.job.where
        failures = [row for n in sorted(self.failures) for row in self.failures[n]]
        index = [(number, *self.index[number]) for number in sorted(self.index)]
        for name, rows, columns in (
            (FAILURES, failures, FAILURE_COLUMNS),
            (INDEX, index, INDEX_COLUMNS),
        ):
            table = pd.DataFrame(rows, columns=list(columns))
            where.write(name, table.to_csv(index=False).encode())
        self._written = time.monotonic()
