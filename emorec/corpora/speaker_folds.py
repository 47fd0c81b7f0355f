"""Folds of labelled speech that share no speaker."""

from __future__ import annotations

import numpy as np

from emorec.corpora.acted import ActedSpeech
from emorec.errors import DataError, SpecError

# Five folds of RAVDESS by actors (Luna-Jimenez et al., 2021).
RAVDESS_FOLDS = (
    (2, 5, 14, 15, 16),
    (3, 6, 7, 13, 18),
    (10, 11, 12, 19, 20),
    (8, 17, 21, 23, 24),
    (1, 4, 9, 22),
)
# With so many speakers or fewer each is a fold of its own.
FEW = 12
_FOLDS = 10


def folds_by_speaker(corpus: ActedSpeech, folds: int | None = None) -> np.ndarray:
    """Share the speakers of a corpus among folds.

    Parameters
    ----------
    corpus : ActedSpeech
        With named speakers.
    folds : int, optional
        How many. By default the five published folds for RAVDESS, one fold a speaker
        for 12 or fewer, else ten. Groups have about equally many takes.

    Returns
    -------
    (n,) int64
        The fold of each take, from 0, without gaps.

    Raises
    ------
    DataError
        When a take has no speaker, or there is but one speaker.
    SpecError
        When `folds` is not 2 to the number of speakers.
    """
    unnamed = int((corpus.speakers == "").sum())
    if unnamed:
        raise DataError(
            f"{corpus.dataset}: {unnamed} of {len(corpus)} takes have no speaker, so "
            "they cannot be told apart by speakers. Use the corpus' own split."
        )
    names, places = np.unique(corpus.speakers, return_inverse=True)
    if len(names) < 2:
        raise DataError(
            f"{corpus.dataset}: expected 2 speakers or more to leave one out, found "
            f"{len(names)}."
        )
    if folds is None and corpus.dataset == "ravdess":
        published = {
            actor: fold for fold, actors in enumerate(RAVDESS_FOLDS) for actor in actors
        }
        fold_of = np.array([published[int(name)] for name in names])
        present = np.unique(fold_of)
        if len(present) > 1:
            return np.searchsorted(present, fold_of)[places]
    if folds is None:
        folds = len(names) if len(names) <= FEW else _FOLDS
    return share_speakers(corpus.speakers, folds)


def share_speakers(speakers: np.ndarray, folds: int, least: int = 2) -> np.ndarray:
    """Share speakers among folds of about equally many takes.

    Parameters
    ----------
    speakers : (n,) text
        Of each take.
    folds : int
        `least` to the number of speakers.

    Returns
    -------
    (n,) int64
        The fold of each take, from 0.

    Raises
    ------
    SpecError
        For a number of folds that cannot be.
    """
    names, places, counts = np.unique(speakers, return_inverse=True, return_counts=True)
    if not least <= folds <= len(names):
        raise SpecError(
            f"{folds} folds: expected {least} to {len(names)}, the number of speakers."
        )
    # Who says most is placed first, always in the fold that has least so far.
    fold_of, filled = np.zeros(len(names), np.int64), np.zeros(folds, np.int64)
    for place in np.argsort(-counts, kind="stable"):
        fold_of[place] = np.argmin(filled)
        filled[fold_of[place]] += counts[place]
    return fold_of[places]
