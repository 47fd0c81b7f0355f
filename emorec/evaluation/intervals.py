"""Metrics of many confusion matrices, and their bootstrap over speakers."""

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
    f1, true = _f1(confusions)
    occurs = true > 0
    return (f1 * occurs).sum(axis=-1) / occurs.sum(axis=-1)


def weighted_f1(confusions: np.ndarray) -> np.ndarray:
    """Return the mean F1 over classes, weighted by how often each is true.

    Parameters and values as of `macro_f1`.
    """
    f1, true = _f1(confusions)
    return (f1 * true).sum(axis=-1) / true.sum(axis=-1)


def accuracy(confusions: np.ndarray) -> np.ndarray:
    """Return the share of right choices; parameters and values as of `macro_f1`."""
    confusions = np.asarray(confusions, np.float64)
    hits = np.trace(confusions, axis1=-2, axis2=-1)
    return hits / confusions.sum(axis=(-2, -1))


def _f1(confusions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return F1 (..., K), 0 for classes that do not occur, and their counts."""
    confusions = np.asarray(confusions, np.float64)
    hits = np.diagonal(confusions, axis1=-2, axis2=-1)
    true, chosen = confusions.sum(axis=-1), confusions.sum(axis=-2)
    return 2 * hits / np.where(true > 0, true + chosen, 1), true


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
    drawn = drawn_confusions(true, chosen, speakers, classes, seed, draws)
    return percentiles(macro_f1(drawn))


def drawn_confusions(
    true: np.ndarray,
    chosen: np.ndarray,
    speakers: np.ndarray,
    classes: int,
    seed: int = 0,
    draws: int = DRAWS,
) -> np.ndarray:
    """Return confusion matrices (draws, K, K) float64 of as many speakers as there are.

    Parameters as of `speaker_interval`. Of equal `speakers` and `seed` the draws are
    equal, so that two models can be compared draw by draw. Empty, (0, K, K), for fewer
    than two speakers.
    """
    unnamed = speakers == ""
    names = np.where(unnamed, np.arange(len(true)).astype(str), speakers)
    # A take's number is no speaker's name.
    names = np.char.add(np.where(unnamed, "take ", "speaker "), names)
    units, places = np.unique(names, return_inverse=True)
    if len(units) < 2:
        return np.zeros((0, classes, classes))
    cells = np.zeros((len(units), classes * classes))
    np.add.at(cells, (places, true * classes + chosen), 1)
    random = np.random.default_rng(seed)
    share = np.full(len(units), 1 / len(units))
    times = random.multinomial(len(units), share, size=draws)
    return (times.astype(np.float64) @ cells).reshape(draws, classes, classes)


def percentiles(values: np.ndarray) -> tuple[float, float]:
    """Return the 2.5th and the 97.5th percentile, NaN of nothing."""
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
