"""Extraction of arrays from clips, into shards: opened, and made in this process."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from emorec.artifacts.claims import compare
from emorec.artifacts.locations import Location, location
from emorec.artifacts.stores import (
    FAILURES,
    INDEX,
    KIND,
    PLAN,
    SETTINGS,
    SHARDS,
    read_settings,
)
from emorec.cluster.extraction_makers import Maker
from emorec.cluster.extraction_notes import IN_HAND
from emorec.cluster.extraction_plan import plan_of
from emorec.cluster.extraction_shards import Job
from emorec.cluster.extraction_state import Extraction, Say
from emorec.errors import DataError, EmorecError, SpecError, shorten
from emorec.files import digest, exclusive

SHARD_SIZE = 64
_LOCK = ".extract.lock"
_OWN = {SETTINGS, PLAN, INDEX, FAILURES, SHARDS, IN_HAND, _LOCK}


@contextmanager
def opened(
    recipe: Any,
    paths: Sequence[str | Path],
    output: str | Path,
    shard_size: int = SHARD_SIZE,
    retry_failed: bool = False,
    check: bool = False,
    say: Say = print,
) -> Iterator[Extraction]:
    """Open the store of an extraction; its tables are written when the block ends.

    Parameters
    ----------
    recipe : recipe of `emorec.training.recipes`
        What is extracted.
    paths : sequence of path
        Clips, as the recipe takes them.
    output : path
        Folder or address of the store. A folder is this process' own for the time.
    shard_size : int
        Clips of a new shard.
    retry_failed : bool
        Try clips again that have failed before.
    check : bool
        Read every shard that is there, rather than believe the index.
    say : callable
        Receives lines for the user.

    Raises
    ------
    BusyError
        When another extraction is at work on the folder.
    SpecError
        When the place holds other things, or was extracted with other settings.
    DataError
        When there are no clips, or what is there cannot be read.
    """
    if shard_size < 1:
        raise SpecError(f"--shard_size {shard_size}: expected at least one clip.")
    # As in the file, where a tuple is a list.
    settings = json.loads(json.dumps({KIND: recipe.kind, **recipe.settings()}))
    sources = recipe.sources(paths)
    if not sources:
        raise DataError(
            f"Expected clips in {shorten(paths) or 'the store'}, found none."
        )
    where = _absolute(location(output))
    _check_place(where)
    busy = (
        f"{where.name}: another extraction is at work there. Wait for it, or choose "
        "another --output."
    )
    # Without a lock, as in an object store, two runs write the same shards twice.
    lock = exclusive(where.root / _LOCK, busy) if where.is_local else nullcontext()
    with lock:
        _claim(where, settings)
        job = Job(recipe, where, digest(settings), retry_failed, platform.node())
        own = Extraction(job, plan_of(where, sources, shard_size), say)
        own.load(check)
        # First the index without the shards of changed clips, then the plan that
        # knows of the change.
        own.write()
        own.plan.write(where)
        try:
            yield own
        except BaseException:
            with suppress(EmorecError):
                own.write()
            raise
        else:
            own.write()
        finally:
            _forget(where)


def _forget(where: Location) -> None:
    """Remove what processes had in hand: they have ended, or are ended in order."""
    with suppress(EmorecError, OSError):
        for name in where.files(IN_HAND):
            where.remove(name)
        if where.is_local:
            (where.root / IN_HAND).rmdir()


def _absolute(where: Location) -> Location:
    # Processes elsewhere begin in other folders.
    return location(where.root.absolute()) if where.is_local else where


def _check_place(where: Location) -> None:
    """Refuse a folder that holds other things."""
    if where.exists(SETTINGS):
        return
    there = {Path(name).name for name in where.files()}
    if where.is_local and where.root.is_dir():
        there = {path.name for path in where.root.iterdir()}
    if others := there - _OWN:
        raise SpecError(
            f"{where.name}: the folder holds other files than those of an extraction "
            f"({shorten(sorted(others))}). Choose another --output."
        )


def _claim(where: Location, settings: dict[str, Any]) -> None:
    """Write what decides the arrays, or compare it with what is there."""
    if where.exists(SETTINGS):
        before = read_settings(where)
        # What is no setting any more was one of these results.
        own = dict.fromkeys(before) | settings
        compare(f"{where.name}/{SETTINGS}", before, own)
    else:
        text = json.dumps(settings, indent=2, ensure_ascii=False)
        where.write(SETTINGS, f"{text}\n".encode())


def run_here(extraction: Extraction, tell: Callable[[int], None]) -> None:
    """Make the shards that are left, one after another in this process.

    Parameters
    ----------
    extraction : Extraction
        Its state is kept.
    tell : callable
        Called with the number of clips that were extracted since.
    """
    maker = Maker(extraction.job)
    for task in extraction.tasks():
        extraction.end(maker.make(task, tell))
