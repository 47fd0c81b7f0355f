"""Metrics of many confusion matrices, and their bootstrap over speakers."""

from __future__ import annotations

from dataclasses import dataclass

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


def class_rates(confusions: np.ndarray) -> dict[str, np.ndarray]:
    """Return precision, recall and F1 of each class, (..., K) float64 of 0 to 1.

    Of a class that is never true all three are NaN; of one that is never chosen the
    precision is 0. Parameters as of `macro_f1`, but without a count, too.
    """
    confusions = np.asarray(confusions, np.float64)
    hits = np.diagonal(confusions, axis1=-2, axis2=-1)
    true, chosen = confusions.sum(axis=-1), confusions.sum(axis=-2)
    found = {"precision": chosen, "recall": true, "f1": (true + chosen) / 2}
    return {
        name: np.where(true > 0, hits / np.where(total > 0, total, 1), np.nan)
        for name, total in found.items()
    }


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
    drawn = GroupDraws.of(speakers, seed, draws).confusions(true, chosen, classes)
    return percentiles(macro_f1(drawn))


@dataclass(frozen=True)
class GroupDraws:
    """How often each group is drawn when as many are drawn as there are.

    The same draws serve several models, which can so be compared draw by draw.

    Attributes
    ----------
    places : (n,) int
        Number of the group of each row.
    times : (draws, groups) float64
        Without a row where there are fewer than two groups.
    """

    places: np.ndarray
    times: np.ndarray

    @classmethod
    def of(cls, groups: np.ndarray, seed: int = 0, draws: int = DRAWS) -> GroupDraws:
        """Draw groups (n,) str; each row without a name ("") is a group of its own."""
        unnamed = groups == ""
        names = np.where(unnamed, np.arange(len(groups)).astype(str), groups)
        # A row's number is no group's name.
        names = np.char.add(np.where(unnamed, "take ", "speaker "), names)
        units, places = np.unique(names, return_inverse=True)
        if len(units) < 2:
            return cls(places, np.zeros((0, len(units))))
        random = np.random.default_rng(seed)
        share = np.full(len(units), 1 / len(units))
        times = random.multinomial(len(units), share, size=draws)
        return cls(places, times.astype(np.float64))

    def confusions(
        self, true: np.ndarray, chosen: np.ndarray, classes: int
    ) -> np.ndarray:
        """Return (draws, K, K) float64 of true and chosen classes, (n,) int each."""
        cells = np.zeros((self.times.shape[1], classes * classes))
        np.add.at(cells, (self.places, true * classes + chosen), 1)
        return (self.times @ cells).reshape(len(self.times), classes, classes)


def percentiles(values: np.ndarray) -> tuple[float, float]:
    """Return the 2.5th and the 97.5th percentile, NaN of nothing."""
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
