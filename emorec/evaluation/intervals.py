"""Macro F1 of many confusion matrices, and its bootstrap over speakers."""

from __future__ import annotations

import numpy as np

DRAWS = 2000


def macro_f1(confusions: np.ndarray) -> np.ndarray:
    """Return the mean F1 over the classes that occur.

    Parameters
    ----------
    confusions : (..., K, K)
        Counts, true classes in rows; each with one count or more.

    Returns
    -------
    (...,) float64
        0 to 1.
    """
    confusions = np.asarray(confusions, np.float64)
    hits = np.diagonal(confusions, axis1=-2, axis2=-1)
    true, chosen = confusions.sum(axis=-1), confusions.sum(axis=-2)
    occurs = true > 0
    f1 = 2 * hits / np.where(occurs, true + chosen, 1)
    return (f1 * occurs).sum(axis=-1) / occurs.sum(axis=-1)


def speaker_interval(
    true: np.ndarray,
    chosen: np.ndarray,
    speakers: np.ndarray,
    classes: int,
    seed: int = 0,
    draws: int = DRAWS,
) -> tuple[float, float]:
    """Return a 95 % percentile interval of macro F1, drawing whole speakers.

    The takes of one speaker are alike, so an interval over takes would be too narrow.

    Parameters
    ----------
    true, chosen : (n,) int
        Classes.
    speakers : (n,) str
        Each take without a name ("") counts as a speaker of its own.
    classes : int
        K.
    seed, draws : int
        Of the bootstrap.

    Returns
    -------
    (float, float)
        NaN for fewer than two speakers, of whom nothing can be drawn.
    """
    unnamed = speakers == ""
    names = np.where(unnamed, np.arange(len(true)).astype(str), speakers)
    # A take's number is no speaker's name.
    names = np.char.add(np.where(unnamed, "take ", "speaker "), names)
    units, places = np.unique(names, return_inverse=True)
    if len(units) < 2:
        return float("nan"), float("nan")
    cells = np.zeros((len(units), classes * classes))
    np.add.at(cells, (places, true * classes + chosen), 1)
    random = np.random.default_rng(seed)
    share = np.full(len(units), 1 / len(units))
    times = random.multinomial(len(units), share, size=draws)
    drawn = (times @ cells).reshape(draws, classes, classes)
    low, high = np.percentile(macro_f1(drawn), [2.5, 97.5])
    return float(low), float(high)
