"""Whether one model is better than another on the same utterances, or only luckier."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from emorec.artifacts.predictions import Predictions
from emorec.errors import DataError, shorten
from emorec.evaluation.intervals import DRAWS, GroupDraws, percentiles, weighted_f1
from emorec.evaluation.utterances import confusion
from emorec.labels import check_same

# Fewer discordant pairs than these are counted exactly.
_FEW = 25


@dataclass(frozen=True)
class Comparison:
    """Two models on the same utterances.

    Attributes
    ----------
    first, second : str
        The models.
    utterances : int
        n.
    only_first, only_second : int
        Utterances that one model alone gets right: the discordant pairs.
    mcnemar : float
        p of McNemar's test that both are equally often right; two-sided.
    test : str
        ``exact`` (binomial) for fewer than 25 discordant pairs, else ``chi2`` with
        continuity correction.
    difference, low, high : float
        Weighted F1 of the first less that of the second, and the 95 % interval over
        2,000 draws of whole groups; NaN of a single group.
    bootstrap : float
        Two-sided p of the difference: twice the share of draws on the other side of 0.
    """

    first: str
    second: str
    utterances: int
    only_first: int
    only_second: int
    mcnemar: float
    test: str
    difference: float
    low: float
    high: float
    bootstrap: float

    def describe(self) -> str:
        """Return the comparison as a line."""
        return (
            f"{self.first} less {self.second}: weighted F1 {self.difference:+.3f} "
            f"({self.low:+.3f} to {self.high:+.3f}, {_p(self.bootstrap)}); right "
            f"alone {self.only_first} and {self.only_second} times, McNemar's "
            f"{_p(self.mcnemar)}"
        )


def mcnemar(only_first: int, only_second: int) -> tuple[float, str]:
    """Return p and the name of the test for so many discordant pairs.

    McNemar (1947), "Note on the sampling error of the difference between correlated
    proportions or percentages"; the correction is Edwards' (1948). Utterances are
    taken as independent, which those of one dialogue are not quite.
    """
    pairs = only_first + only_second
    if pairs < _FEW:
        less = stats.binom.cdf(min(only_first, only_second), pairs, 0.5)
        return float(min(1.0, 2 * less)), "exact"
    distance = max(abs(only_first - only_second) - 1, 0)
    return float(stats.chi2.sf(distance**2 / pairs, df=1)), "chi2"


def compare(
    first: Predictions, second: Predictions, seed: int = 0, draws: int = DRAWS
) -> Comparison:
    """Compare two models on the same utterances, in any order.

    Parameters
    ----------
    first, second : Predictions
        With the same ids, labels and true classes. Groups are those of `first`.
    seed, draws : int
        Of the bootstrap; both models have the same draws.

    Raises
    ------
    DataError
        When ids or true classes differ.
    LabelMismatchError
        When the labels differ.
    """
    where = f"{first.model} and {second.model}"
    check_same(first.schema, second.schema, where)
    places = {name: row for row, name in enumerate(second.ids)}
    other = set(first.ids) ^ set(second.ids)
    if other:
        raise DataError(
            f"{where}: expected the same utterances; only one of them has "
            f"{shorten(sorted(other))}."
        )
    second = second.take([places[name] for name in first.ids])
    if (first.true != second.true).any():
        rows = np.flatnonzero(first.true != second.true)
        raise DataError(
            f"{where}: their true classes differ: "
            f"{shorten([first.ids[row] for row in rows])}."
        )
    hits = [one.chosen == one.true for one in (first, second)]
    alone = int((hits[0] & ~hits[1]).sum()), int((hits[1] & ~hits[0]).sum())
    p, test = mcnemar(*alone)
    drawn, classes = GroupDraws.of(first.groups, seed, draws), len(first.schema)
    pair = (first, second)
    values = [
        weighted_f1(drawn.confusions(one.true, one.chosen, classes)) for one in pair
    ]
    measured = [float(weighted_f1(confusion(one)[None])[0]) for one in pair]
    differences = values[0] - values[1]
    low, high = percentiles(differences)
    return Comparison(
        first.model,
        second.model,
        len(first),
        *alone,
        p,
        test,
        measured[0] - measured[1],
        low,
        high,
        _both_sides(differences),
    )


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p {value:.3f}"


def _both_sides(differences: np.ndarray) -> float:
    if not len(differences):
        return float("nan")
    # One more, as the sample itself is a draw: no p of 0 from finitely many.
    sides = [(differences <= 0).sum(), (differences >= 0).sum()]
    return float(min(1.0, 2 * (min(sides) + 1) / (len(differences) + 1)))
