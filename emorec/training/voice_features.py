"""Features of the takes of a labelled corpus, by a network or librosa, kept on disk.

What is kept, and when a take is heard again: see `emorec.training.feature_cache`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from emorec.artifacts.logits import Logits
from emorec.corpora.acted import CORPORA, ActedSpeech
from emorec.errors import DataError, SpecError
from emorec.features import librosa_means
from emorec.features.video import VIDEO_SUFFIXES
from emorec.training.clip_labels import aggregate
from emorec.training.feature_cache import Features, Made, kept

# A sound file -> scores (K,) before the softmax, and an embedding (E,).
Heard = Callable[[Path], tuple[np.ndarray, np.ndarray]]

VISUAL = ("max", "mean", "peak")


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

    def hear(paths: Sequence[Path]) -> Made:
        for place, path in enumerate(paths):
            try:
                logits, embedding = heard(path)
            except DataError as error:
                yield place, str(error)
            else:
                yield place, (np.asarray(logits), np.asarray(embedding))

    names = ("logits", "embeddings")
    return _kept(corpus, hear, cache, names, {"network": name}, "Hearing")


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

    def hear(paths: Sequence[Path]) -> Made:
        for place, found in librosa_means.means_of_files(paths, workers):
            yield place, found if isinstance(found, str) else (found,)

    settings = {"librosa_means": list(librosa_means.NAMES)}
    return _kept(corpus, hear, cache, ("librosa",), settings, "Voice features")


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
    hear: Callable[[Sequence[Path]], Made],
    cache: str | Path,
    names: Sequence[str],
    settings: dict[str, Any],
    words: str,
) -> Features:
    dataset, ids, paths = corpus.dataset, corpus.ids, corpus.paths
    return kept(dataset, ids, paths, hear, cache, names, settings, words)
