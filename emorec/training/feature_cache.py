"""Features of many files, kept on disk one by one, so that no work is done twice.

A cache folder holds ``settings.json``, which tells what made the features, and
``takes/ID.npz``, written when a file is finished; a file that has not changed is not
read again. What failed is tried again each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emorec.artifacts.logits import load_arrays
from emorec.errors import DataError, SpecError
from emorec.files import exclusive, read_json, whole_file, write_json
from emorec.progress import track

# Place among the files wanted, and their arrays or why there are none.
Made = Iterator[tuple[int, tuple[np.ndarray, ...] | str]]
NO_FILE = "it has no file"


@dataclass(frozen=True)
class Features:
    """Features of the n takes of a corpus.

    Attributes
    ----------
    arrays : dict
        Name -> (n, D) float32; the row of a take without features is NaN.
    failures : pandas.DataFrame
        ``id`` and ``reason`` of the takes without.
    made : int
        Takes that were not finished before.
    """

    arrays: dict[str, np.ndarray]
    failures: pd.DataFrame
    made: int


def kept(
    dataset: str,
    ids: Sequence[str],
    paths: Sequence[Path | None],
    make: Callable[[Sequence[Path]], Made],
    cache: str | Path,
    names: Sequence[str],
    settings: dict[str, Any],
    words: str,
) -> Features:
    """Return the features of the cache, after making those that it lacks.

    Parameters
    ----------
    dataset : str
        Name of the corpus; another one's features are not mixed in.
    ids : sequence of str
        n takes; a ``/`` in them makes folders.
    paths : sequence of path or None
        Their files. Takes without one are failures.
    make : callable
        Yields, for the paths that are given it, place and arrays or the reason why
        there are none, in any order.
    cache : path
        Folder; an interrupted work goes on there.
    names : sequence of str
        Of the arrays, each (D,).
    settings : dict
        What decides the features.
    words : str
        Describes the work to who watches it.

    Raises
    ------
    SpecError
        When the cache holds features of other settings, or widths change.
    DataError
        When no take has features.
    BusyError
        When another process writes to the cache.
    """
    files, failures, made = finish(
        dataset, ids, paths, make, cache, names, settings, words
    )
    there = [place for place in range(len(ids)) if place not in failures]
    arrays = _gather(files, there, names)
    rows = [(ids[place], failures[place]) for place in sorted(failures)]
    return Features(arrays, pd.DataFrame(rows, columns=["id", "reason"]), made)


def finish(
    dataset: str,
    ids: Sequence[str],
    paths: Sequence[Path | None],
    make: Callable[[Sequence[Path]], Made],
    cache: str | Path,
    names: Sequence[str],
    settings: dict[str, Any],
    words: str,
    dimensions: int = 1,
) -> tuple[list[Path], dict[int, str], int]:
    """Make what a cache lacks; return files, failures by place, and how many it made.

    For parameters and errors see `kept`. `dimensions` are the axes of each array.
    """
    cache = Path(cache)
    settings = settings | {"dataset": dataset}
    files = [cache / "takes" / f"{take}.npz" for take in ids]
    busy = f"{cache}: another process writes there; wait, or choose another folder."
    with exclusive(cache / ".lock", busy):
        _claim(cache / "settings.json", settings)
        missing, failures = [], {}
        for place, path in enumerate(paths):
            if path is None:
                failures[place] = NO_FILE
            elif not path.is_file():
                failures[place] = f"{path}: no such file."
            elif not _is_finished(files[place], path, names):
                missing.append(place)
        made = 0
        results = make([paths[place] for place in missing])
        for number, found in track(results, words, len(missing)):
            place = missing[number]
            if not isinstance(found, str):
                found = _checked(ids[place], found, dimensions)
            if isinstance(found, str):
                failures[place] = found
                continue
            made += 1
            with whole_file(files[place]) as temporary, temporary.open("wb") as file:
                arrays = dict(zip(names, found, strict=True))
                np.savez(file, source=_source(paths[place]), **arrays)
    if len(failures) == len(ids):
        reason = failures[0] if failures else "it is empty"
        raise DataError(
            f"{dataset}: none of {len(ids)} takes has features. The first: {reason}"
        )
    return files, failures, made


def _gather(
    files: list[Path], there: list[int], names: Sequence[str]
) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for place in there:
        for name, values in load_arrays(files[place], names).items():
            if name not in arrays:
                shape = (len(files), len(values))
                arrays[name] = np.full(shape, np.nan, np.float32)
            if len(values) != arrays[name].shape[1]:
                raise SpecError(
                    f"{files[place]}: {len(values)} {name}, other takes have "
                    f"{arrays[name].shape[1]}. The network changed: use a new cache."
                )
            arrays[name][place] = values
    return arrays


def _checked(
    take: str, arrays: tuple[np.ndarray, ...], dimensions: int
) -> tuple[np.ndarray, ...] | str:
    wanted = "one row of features (D,)" if dimensions == 1 else f"{dimensions} axes"
    for array in arrays:
        if array.ndim != dimensions or not len(array):
            raise SpecError(
                f"{take}: expected {wanted}, the network returned {array.shape}."
            )
    finite = all(np.isfinite(array).all() for array in arrays)
    return arrays if finite else "its features are not finite"


def _claim(path: Path, settings: dict[str, Any]) -> None:
    """Write what makes the features, or compare it with what is there."""
    if not path.is_file():
        write_json(path, settings)
    elif (before := read_json(path)) != settings:
        raise SpecError(
            f"{path}: the folder holds features that something else made.\n"
            f"  there: {before}\n  now: {settings}\n  Choose another folder."
        )


def _source(path: Path) -> np.ndarray:
    status = path.stat()
    return np.array([status.st_size, status.st_mtime_ns], np.int64)


def _is_finished(file: Path, path: Path, names: Sequence[str]) -> bool:
    if not file.is_file():
        return False
    try:
        content = load_arrays(file, ("source", *names))
    except DataError:
        return False
    return np.array_equal(content["source"], _source(path))
