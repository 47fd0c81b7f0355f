"""Features of the takes of a labelled corpus, by a network or librosa, kept on disk.

A cache folder holds ``settings.json``, which tells what made the features, and
``takes/ID.npz``, written when a take is finished; a take whose file has not changed is
not heard again. What failed is tried again each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from emorec.artifacts.logits import Logits, load_arrays
from emorec.corpora.acted import CORPORA, ActedSpeech
from emorec.errors import DataError, SpecError
from emorec.features import librosa_means
from emorec.features.video import VIDEO_SUFFIXES
from emorec.files import exclusive, read_json, whole_file, write_json
from emorec.progress import track
from emorec.training.clip_labels import aggregate

# A sound file -> scores (K,) before the softmax, and an embedding (E,).
Heard = Callable[[Path], tuple[np.ndarray, np.ndarray]]

VISUAL = ("max", "mean", "peak")
# Place among the takes wanted, and their arrays or why there are none.
_Made = Iterator[tuple[int, tuple[np.ndarray, ...] | str]]


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


def extract(
    corpus: ActedSpeech, heard: Heard, cache: str | Path, name: str
) -> Features:
    """Let a network hear all takes of a corpus.

    Parameters
    ----------
    corpus : ActedSpeech
        Of sounds.
    heard : callable
        Path -> (logits (K,), embedding (E,)). Its `DataError` makes a failure of the
        take; any other error ends the work.
    cache : path
        Folder; an interrupted work goes on there.
    name : str
        Identifies the network and its weights; another one's are not mixed in.

    Returns
    -------
    Features
        With the arrays ``logits`` and ``embeddings``.

    Raises
    ------
    SpecError
        When the cache holds another network's features, or widths change.
    DataError
        When no take could be heard.
    BusyError
        When another process writes to the cache.
    """

    def hear(paths: Sequence[Path]) -> _Made:
        for place, path in enumerate(paths):
            try:
                logits, embedding = heard(path)
            except DataError as error:
                yield place, str(error)
            else:
                yield place, (np.asarray(logits), np.asarray(embedding))

    names = ("logits", "embeddings")
    return _kept(corpus, hear, Path(cache), names, {"network": name}, "Hearing")


def extract_librosa(
    corpus: ActedSpeech, cache: str | Path, workers: int | None = None
) -> Features:
    """Compute the 185 features of `emorec.features.librosa_means` of all takes.

    Parameters
    ----------
    corpus, cache
        As for `extract`.
    workers : int, optional
        Processes; see `librosa_means.means_of_files`.

    Returns
    -------
    Features
        With the array ``librosa``.

    Raises
    ------
    DataError, SpecError, BusyError
        As `extract`.
    MissingExtraError
        When librosa or soundfile is not installed.
    """

    def hear(paths: Sequence[Path]) -> _Made:
        for place, found in librosa_means.means_of_files(paths, workers):
            yield place, found if isinstance(found, str) else (found,)

    settings = {"librosa_means": list(librosa_means.NAMES)}
    return _kept(corpus, hear, Path(cache), ("librosa",), settings, "Voice features")


def visual_features(corpus: ActedSpeech, logits: Logits, how: str = "max") -> Features:
    """Make one row per take of the scores of its frames.

    Parameters
    ----------
    corpus : ActedSpeech
        Of videos, or of their sounds: takes are matched by what their names say. Of
        RAVDESS, a sound takes the scores of the video of the same take.
    logits : Logits
        Scores of the faces of the corpus' videos.
    how : {"max", "mean", "peak"}
        Each label's largest score over the frames, their mean, or the frame that holds
        the largest score of all (Albanie et al., 2018, published code).

    Returns
    -------
    Features
        With the array ``faces``.

    Raises
    ------
    SpecError
        For another `how`.
    DataError
        When no take has scores.
    """
    if how not in VISUAL:
        raise SpecError(f"Aggregate '{how}': expected one of {', '.join(VISUAL)}.")
    rows: dict[str, int] = {}
    for i, name in enumerate(logits.ids):
        key = _visual_key(corpus.dataset, name)
        if key is not None:
            rows.setdefault(key, i)
    result = np.full((len(corpus), len(logits.schema)), np.nan, np.float32)
    failures = []
    for place, take in enumerate(corpus.ids):
        i = rows.get(_take_key(corpus.dataset, take))
        if i is None:
            failures.append((take, "its video has no scores of a face"))
            continue
        part = logits.logits[logits.offsets[i] : logits.offsets[i + 1]]
        peak = part[np.unravel_index(part.argmax(), part.shape)[0]]
        result[place] = peak if how == "peak" else aggregate(part, how)
    if len(failures) == len(corpus):
        example = logits.ids[0] if logits.ids else "none"
        raise DataError(
            f"None of the {len(corpus)} takes of {corpus.dataset} is among the "
            f"{len(logits.ids)} clips with scores (takes like {corpus.ids[0]}, clips "
            f"like {example}). Label the corpus' videos by the names they came with."
        )
    table = pd.DataFrame(failures, columns=["id", "reason"])
    return Features({"faces": result}, table, len(corpus) - len(failures))


def _take_key(dataset: str, take: str) -> str:
    """Return what names a take whatever its medium: RAVDESS begins with it."""
    return take[3:] if dataset == "ravdess" else take


def _visual_key(dataset: str, name: str) -> str | None:
    """Return the key of a labelled clip: a video's path, or a folder of frames."""
    path = PurePosixPath(name)
    path = path.with_suffix("") if path.suffix.lower() in VIDEO_SUFFIXES else path
    if dataset == "ravdess":
        # Video without sound (02) shows the same take as that with sound (01).
        path = path.with_name("01" + path.name[2:])
    found = CORPORA[dataset][1](path.parts, "video")
    known = found is not None and not isinstance(found, str)
    return _take_key(dataset, found.id) if known else None


def _kept(
    corpus: ActedSpeech,
    hear: Callable[[Sequence[Path]], _Made],
    cache: Path,
    names: Sequence[str],
    settings: dict[str, Any],
    words: str,
) -> Features:
    """Return the features of the cache, after making those that it lacks."""
    settings = settings | {"dataset": corpus.dataset}
    files = [cache / "takes" / f"{take}.npz" for take in corpus.ids]
    busy = f"{cache}: another process writes there; wait, or choose another folder."
    with exclusive(cache / ".lock", busy):
        _claim(cache / "settings.json", settings)
        missing, failures = [], {}
        for place, path in enumerate(corpus.paths):
            if not path.is_file():
                failures[place] = f"{path}: no such file."
            elif not _is_finished(files[place], path, names):
                missing.append(place)
        made = 0
        results = hear([corpus.paths[place] for place in missing])
        for number, found in track(results, words, len(missing)):
            place = missing[number]
            if not isinstance(found, str):
                found = _checked(corpus.ids[place], found)
            if isinstance(found, str):
                failures[place] = found
                continue
            made += 1
            with whole_file(files[place]) as temporary, temporary.open("wb") as file:
                arrays = dict(zip(names, found, strict=True))
                np.savez(file, source=_source(corpus.paths[place]), **arrays)
        kept = [place for place in range(len(corpus)) if place not in failures]
        if not kept:
            place, reason = next(iter(failures.items()), (0, "it is empty"))
            raise DataError(
                f"{corpus.dataset}: none of {len(corpus)} takes has features. The "
                f"first: {reason}"
            )
        arrays = _gather(corpus, files, kept, names)
    rows = [(corpus.ids[place], failures[place]) for place in sorted(failures)]
    return Features(arrays, pd.DataFrame(rows, columns=["id", "reason"]), made)


def _gather(
    corpus: ActedSpeech, files: list[Path], kept: list[int], names: Sequence[str]
) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for place in kept:
        for name, values in load_arrays(files[place], names).items():
            if name not in arrays:
                shape = (len(corpus), len(values))
                arrays[name] = np.full(shape, np.nan, np.float32)
            if len(values) != arrays[name].shape[1]:
                raise SpecError(
                    f"{files[place]}: {len(values)} {name}, other takes have "
                    f"{arrays[name].shape[1]}. The network changed: use a new cache."
                )
            arrays[name][place] = values
    return arrays


def _checked(take: str, arrays: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...] | str:
    for array in arrays:
        if array.ndim != 1 or not len(array):
            raise SpecError(
                f"{take}: expected one row of features (D,), the network returned "
                f"{array.shape}."
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
