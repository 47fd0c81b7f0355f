"""Which clip is in which shard: a table that only grows.

A clip keeps its shard for ever. So an extraction that goes on, and a process that was
thought lost and still works, write the same file of the same clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from emorec.artifacts.locations import Location
from emorec.artifacts.stores import PLAN, PLAN_COLUMNS, read_table
from emorec.errors import DataError, shorten

if TYPE_CHECKING:
    from emorec.training.recipes import Source

# File systems of a network answer slowly, and many questions at a time.
_ASKING, _QUESTIONS = 16, 256
# What stands for a file that has gone.
_GONE = (-1, -1)


class Clip(NamedTuple):
    """A clip of a shard.

    Attributes
    ----------
    id : str
        Its name.
    stamp : (int, int)
        Bytes and modification time (ns) of its file.
    source : Source or None
        Where it lies; None when it is not among the clips of this call.
    """

    id: str
    stamp: tuple[int, int]
    source: Source | None


class Task(NamedTuple):
    """A shard that is to be made.

    Attributes
    ----------
    shard : int
        Its number.
    clips : list of Clip
        All of its clips, in their order.
    damaged : bool
        What is there of it must not be trusted.
    """

    shard: int
    clips: list[Clip]
    damaged: bool = False


@dataclass
class Plan:
    """The clips of all shards.

    Attributes
    ----------
    table : DataFrame
        shard, id, bytes, modified; shards in their order.
    sources : sequence of Source
        Clips of this call.
    places : (rows,) int64
        Where the clip of a row is in `sources`; -1 when it is not.
    changed : set of int
        Shards with a clip whose file has changed since it was planned.
    damaged : set of int
        Shards that were found to be damaged.
    """

    table: pd.DataFrame
    sources: Sequence[Source]
    places: np.ndarray
    changed: set[int] = field(default_factory=set)
    damaged: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        numbers = self.table["shard"].to_numpy()
        self.shards, first = np.unique(numbers, return_index=True)
        self._first = dict(zip(self.shards.tolist(), first.tolist(), strict=True))
        self._behind = dict(
            zip(self.shards.tolist(), [*first[1:].tolist(), len(numbers)], strict=True)
        )
        self._ids = self.table["id"].tolist()
        self._stamps = self.table[["bytes", "modified"]].to_numpy()

    def task(self, shard: int) -> Task:
        """Return a shard with its clips."""
        clips = []
        for row in range(self._first[shard], self._behind[shard]):
            place = self.places[row]
            bytes_, modified = self._stamps[row]
            source = self.sources[place] if place >= 0 else None
            clips.append(Clip(self._ids[row], (int(bytes_), int(modified)), source))
        return Task(shard, clips, shard in self.damaged)

    def given(self, shard: int) -> int:
        """Return how many clips of a shard are among those of this call."""
        places = self.places[self._first[shard] : self._behind[shard]]
        return int((places >= 0).sum())

    def clips(self, shard: int) -> int:
        """Return how many clips a shard has."""
        return self._behind[shard] - self._first[shard]

    def write(self, where: Location) -> None:
        """Write it to its store."""
        columns = list(PLAN_COLUMNS)
        where.write(PLAN, self.table[columns].to_csv(index=False).encode())


def stamps_of(sources: Sequence[Source]) -> list[tuple[int, int]]:
    """Return bytes and modification time (ns) of the files of clips."""
    from emorec.training.recipes import stamp

    def ask(part: Sequence[Source]) -> list[tuple[int, int]]:
        found = []
        for source in part:
            try:
                found.append(stamp(source))
            except OSError:
                found.append(_GONE)
        return found

    parts = [
        sources[first : first + _QUESTIONS]
        for first in range(0, len(sources), _QUESTIONS)
    ]
    with ThreadPoolExecutor(_ASKING) as pool:
        return list(chain.from_iterable(pool.map(ask, parts)))


def plan_of(where: Location, sources: Sequence[Source], shard_size: int) -> Plan:
    """Return the plan of a store, with the clips of this call in it.

    Parameters
    ----------
    where : Location
        The store; nothing is written.
    sources : sequence of Source
        Clips with ids of their own.
    shard_size : int
        Clips of a new shard.

    Raises
    ------
    DataError
        When two clips have one id, or the plan of the store cannot be read.
    """
    now = pd.DataFrame({"id": [source.id for source in sources]}, dtype=object)
    if (twice := now["id"][now["id"].duplicated()]).size:
        raise DataError(
            f"Expected clips with names of their own; several are called "
            f"{shorten(twice.unique())}. Extract them into folders of their own."
        )
    stamps = np.array(stamps_of(sources), np.int64).reshape(-1, 2)
    now["bytes"], now["modified"] = stamps[:, 0], stamps[:, 1]
    now["place"] = np.arange(len(now))
    before = _read(where)
    old = before.merge(now, how="left", on="id", suffixes=("", "_now"))
    given = old["place"].notna()
    places = old["place"].fillna(-1).to_numpy(np.int64)
    different = pd.Series(False, index=old.index)
    for name in ("bytes", "modified"):
        # Through the places: a missing number would make them fractions.
        recent = now[name].to_numpy()[places] if len(now) else old[name].to_numpy()
        different |= given & (old[name] != recent)
        old[name] = np.where(given, recent, old[name])
    changed = set(old["shard"][different].tolist())
    new = now[~now["id"].isin(before["id"])]
    first = int(before["shard"].max()) + 1 if len(before) else 0
    new = new.assign(shard=first + np.arange(len(new)) // shard_size)
    columns = list(PLAN_COLUMNS)
    table = pd.concat([old[columns], new[columns]], ignore_index=True)
    places = np.concatenate([places, new["place"].to_numpy(np.int64)])
    return Plan(table, sources, places, changed)


def _read(where: Location) -> pd.DataFrame:
    """Read the plan of a store; an empty one where there is none."""
    numbers = {"shard": np.int64, "bytes": np.int64, "modified": np.int64}
    if not where.exists(PLAN):
        return pd.DataFrame(columns=list(PLAN_COLUMNS), dtype=object).astype(numbers)
    table = read_table(where, PLAN, PLAN_COLUMNS)
    try:
        table = table.astype(numbers)
    except ValueError as error:
        raise DataError(
            f"{where.name}/{PLAN}: expected numbers ({error}). Restore the file, or "
            "extract into another folder."
        ) from error
    if (twice := table["id"][table["id"].duplicated()]).size:
        raise DataError(
            f"{where.name}/{PLAN}: expected each clip once, found "
            f"{shorten(twice.unique())} again. Restore the file, or extract into "
            "another folder."
        )
    return table.sort_values("shard", kind="stable", ignore_index=True)
