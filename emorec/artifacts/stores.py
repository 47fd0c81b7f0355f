"""Stores: what was extracted from many clips, in shards, here or in an object store.

A store is a folder or an address, which holds

- ``extraction.json``: what decides the arrays; its "kind" says what was extracted;
- ``plan.csv``: shard, id, bytes, modified: which clip is in which shard;
- ``shards/00000.h5`` and so on (see `emorec.artifacts.shards`);
- ``shards.csv``: shard, clips, failed, bytes of those that are finished;
- ``failures.csv``: id, part, reason: what is missing of which clip, and why.
"""

from __future__ import annotations

import io
import json
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emorec.artifacts.cache import SIZE_VARIABLE, Cache
from emorec.artifacts.locations import Location, is_address, location
from emorec.artifacts.shards import Entry, Shard, open_shard
from emorec.errors import DataError, SpecError, shorten
from emorec.files import digest

SETTINGS, PLAN = "extraction.json", "plan.csv"
INDEX, FAILURES, SHARDS = "shards.csv", "failures.csv", "shards"
PLAN_COLUMNS = ("shard", "id", "bytes", "modified")
INDEX_COLUMNS = ("shard", "clips", "failed", "bytes")
FAILURE_COLUMNS = ("id", "part", "reason")
KIND = "kind"
# Shards that a store keeps open: training reads clips in any order.
_OPEN = 8
_TRIES = 3


def shard_name(number: int) -> str:
    """Return the name of a shard within its store."""
    return f"{SHARDS}/{number:05d}.h5"


def read_table(where: Location, name: str, columns: Sequence[str]) -> pd.DataFrame:
    """Read a table of a store, all cells as text.

    Raises
    ------
    DataError
        When it is missing or has other columns.
    """
    data = where.read(name)
    try:
        table = pd.read_csv(io.BytesIO(data), dtype=str, keep_default_na=False)
        found = list(table.columns)
    except (ValueError, OSError) as error:
        raise DataError(f"{where.name}/{name}: expected a table ({error}).") from error
    if found != list(columns):
        raise DataError(
            f"{where.name}/{name}: expected the columns {', '.join(columns)}, found "
            f"{shorten(found)}."
        )
    return table


def read_settings(where: Location) -> dict[str, Any]:
    """Read what decides the arrays of a store.

    Raises
    ------
    DataError
        When the place holds no store.
    """
    if not where.exists(SETTINGS):
        raise DataError(
            f"{where.name}: expected a store, found no {SETTINGS}. Make one: emorec "
            "extract."
        )
    try:
        settings = json.loads(where.read(SETTINGS))
        if not isinstance(settings.get(KIND), str):
            raise ValueError(f"no '{KIND}'")
    except (ValueError, AttributeError) as error:
        raise DataError(
            f"{where.name}/{SETTINGS}: expected the settings of a store ({error})."
        ) from error
    return settings


class Store:
    """What was extracted, read clip by clip; made by `open_store`.

    Shards are fetched when something of them is needed, and a few stay open. A store
    that goes to another process opens its shards there. It is a context manager.

    Attributes
    ----------
    where : Location
        The place.
    settings : dict
        What decides the arrays.
    """

    def __init__(self, where: Location) -> None:
        self.where = where
        self.settings = read_settings(where)
        self._open: OrderedDict[int, tuple[Shard, dict[str, int]]] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": OrderedDict()}

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the open shards; reading opens them anew."""
        while self._open:
            self._open.popitem()[1][0].close()

    @property
    def kind(self) -> str:
        """What was extracted: faces, teacher, speech, text or open."""
        return self.settings[KIND]

    @cached_property
    def _shard_of(self) -> dict[str, int]:
        """Clip -> its shard, of those that are finished."""
        plan = read_table(self.where, PLAN, PLAN_COLUMNS)
        finished = set(self.where.files(SHARDS))
        try:
            numbers = plan["shard"].astype(int)
        except ValueError as error:
            raise DataError(
                f"{self.where.name}/{PLAN}: expected numbers of shards ({error})."
            ) from error
        there = numbers.map(shard_name).isin(finished)
        return dict(zip(plan["id"][there], numbers[there].tolist(), strict=True))

    @cached_property
    def failures(self) -> pd.DataFrame:
        """What is missing: id, part ("" where a clip has only one), reason."""
        if not self.where.exists(FAILURES):
            return pd.DataFrame(columns=list(FAILURE_COLUMNS), dtype=str)
        return read_table(self.where, FAILURES, FAILURE_COLUMNS)

    @cached_property
    def ids(self) -> list[str]:
        """Clips of finished shards, but those that failed as a whole."""
        failed = set(self.failures["id"][self.failures["part"] == ""])
        return [name for name in self._shard_of if name not in failed]

    def read(
        self, id: str, names: Sequence[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Return the arrays of a clip.

        Parameters
        ----------
        id : str
            The clip.
        names : sequence of str, optional
            Only these, all of which the clip must have.

        Raises
        ------
        DataError
            When the clip is not in the store or failed, lacks a named array, or its
            shard is damaged.
        """
        if id not in self._shard_of:
            raise DataError(
                f"{self.where.name}: no clip '{id}' in its finished shards; there are "
                f"{shorten(self._shard_of) or 'none'}."
            )
        shard, rows = self._shard(self._shard_of[id])
        if id not in rows:
            raise DataError(
                f"{self._address(self._shard_of[id])}: {PLAN} expects the clip '{id}' "
                "there, but it is not. Repeat the extraction."
            )
        with self._reading(self._shard_of[id], shard.path):
            entry = shard.entry(rows[id], names)
        lacking = [name for name in names or () if name not in entry.arrays]
        if lacking or not entry.arrays:
            reasons = "; ".join(
                f"{part}: {why}" if part else why for part, why in entry.reasons.items()
            )
            what = f"no {shorten(lacking)}" if lacking else "nothing"
            raise DataError(
                f"{self.where.name}: {id}: {what} was extracted"
                f"{f' ({reasons})' if reasons else ''}."
            )
        return entry.arrays

    def entries(self, names: Sequence[str] | None = None) -> Iterator[Entry]:
        """Yield the clips that have arrays, shard by shard.

        Parameters
        ----------
        names : sequence of str, optional
            Only these arrays, as far as a clip has them.
        """
        for number in sorted(set(self._shard_of.values())):
            # Its own, which reading other clips meanwhile does not close.
            with self._opened(number) as shard, self._reading(number, shard.path):
                for entry in shard.entries(names):
                    if entry.arrays and self._shard_of.get(entry.id) == number:
                        yield entry

    def _shard(self, number: int) -> tuple[Shard, dict[str, int]]:
        """Return a shard that stays open, and where in it each clip is."""
        if number not in self._open:
            shard = self._opened(number)
            self._open[number] = shard, {id: row for row, id in enumerate(shard.ids)}
        self._open.move_to_end(number)
        while len(self._open) > _OPEN:
            self._open.popitem(last=False)[1][0].close()
        return self._open[number]

    def _opened(self, number: int) -> Shard:
        for _ in range(_TRIES):
            path = self.where.fetch(shard_name(number))
            with self._reading(number, path):
                try:
                    shard = open_shard(path, self._address(number))
                except DataError:
                    if path.exists():
                        raise
                    # Another process needed its room in the cache in this moment.
                    continue
            if shard.settings == digest(self.settings):
                return shard
            shard.close()
            raise DataError(
                f"{self._address(number)}: it was extracted with other settings than "
                f"{SETTINGS} says. Delete it, and repeat the extraction."
            )
        raise DataError(
            f"{self._address(number)}: its copy goes from the cache before it can be "
            f"opened. Set {SIZE_VARIABLE} to more gigabytes."
        )

    @contextmanager
    def _reading(self, number: int, path: Path) -> Iterator[None]:
        """Remove the copy of a remote shard that cannot be read, lest it stays."""
        try:
            yield
        except DataError:
            if not self.where.is_local:
                self._open.pop(number, None)
                path.unlink(missing_ok=True)
            raise

    def _address(self, number: int) -> str:
        return f"{self.where.name}/{shard_name(number)}"


def open_store(root: str | Path, cache: Cache | None = None) -> Store:
    """Open a store for reading.

    Parameters
    ----------
    root : str or path
        Its folder or address.
    cache : Cache, optional
        For shards of a remote store.

    Raises
    ------
    DataError
        When there is none, or the place cannot be read.
    """
    return Store(location(root, cache))


def is_store(root: str | Path) -> bool:
    """Return whether a folder looks like a store; an address always does."""
    if is_address(root):
        return True
    return all((Path(root) / name).is_file() for name in (SETTINGS, PLAN))


def check_kind(store: Store, kind: str) -> None:
    """Refuse a store of another kind.

    Raises
    ------
    SpecError
        With both kinds.
    """
    if store.kind != kind:
        raise SpecError(
            f"{store.where.name}: expected a store of kind {kind}, found {store.kind}."
        )
