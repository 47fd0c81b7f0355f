"""Weights of several models' probabilities: mixtures, a grid, the likeliest ones."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from emorec.errors import SpecError
from emorec.evaluation.intervals import DRAWS, GroupDraws, percentiles
from emorec.evaluation.joining import Joined
from emorec.evaluation.utterances import METRICS

STEP = 0.05
CRITERIA = (*METRICS, "nll")
# Smallest probability whose logarithm is taken.
LEAST = 1e-6
# How far, in nats per utterance, weights may be from the best ones.
_GAP, _STEPS = 1e-7, 20_000


def mix(joined: Joined, weights: np.ndarray) -> np.ndarray:
    """Return the weighted mean (n, K) of the models' probabilities.

    Weights are renormalised over the models that know an utterance; where these have
    the weight 0 together they count equally.

    Parameters
    ----------
    joined : Joined
        M models.
    weights : (M,) float
        0 or more with the sum 1.
    """
    each = np.asarray(weights, np.float64)[:, None] * joined.present
    if joined.present.all():
        return np.einsum("mn,mnk->nk", each, joined.scores)
    each[:, each.sum(axis=0) == 0] = 1
    each *= joined.present
    return np.einsum("mn,mnk->nk", each / each.sum(axis=0), joined.scores)


def simplex(models: int, step: float = STEP) -> np.ndarray:
    """Return all weights (G, M) that are multiples of `step` and have the sum 1.

    Rows begin with the weight 0 of the first model and end with its weight 1. All
    corners are there: each model alone.

    Raises
    ------
    SpecError
        When 1 is no multiple of `step`.
    """
    parts = round(1 / step) if 0 < step <= 1 else 0
    if not parts or abs(parts * step - 1) > 1e-9:
        raise SpecError(f"Step of the weights: 1 must be a multiple, received {step}.")
    # Bars between stars: every way to put M - 1 bars among `parts` stars.
    places = parts + models - 1
    bars = np.array(list(combinations(range(places), models - 1))).reshape(
        -1, models - 1
    )
    ends = np.full((len(bars), 1), -1), np.full((len(bars), 1), places)
    counts = np.diff(np.hstack([ends[0], bars, ends[1]]), axis=1) - 1
    return counts / parts


def grid_table(
    joined: Joined,
    step: float = STEP,
    criterion: str = "weighted_f1",
    draws: int = DRAWS,
    seed: int = 0,
) -> pd.DataFrame:
    """Return what each weighting of a grid is worth on a selection split.

    Parameters
    ----------
    joined : Joined
        The selection split.
    step, criterion
        As of `fit`.
    draws, seed : int
        Of the 95 % interval of weighted F1 over groups; 0 for none.

    Returns
    -------
    pandas.DataFrame
        ``weight_{model}`` of each model, ``weighted_f1``, ``macro_f1``, ``accuracy``,
        ``nll``, ``low`` and ``high`` (of weighted F1), ``chosen``: the best row by the
        criterion; among equal ones, which are more than one choice, the one nearest to
        equal weights.

    Raises
    ------
    SpecError
        For an unknown criterion or step.
    """
    if criterion not in CRITERIA:
        raise SpecError(
            f"Criterion '{criterion}': expected one of {', '.join(CRITERIA)}."
        )
    grid, classes = simplex(len(joined.models), step), len(joined.schema)
    rows, true = [], joined.true
    drawn = GroupDraws.of(joined.groups, seed, draws) if draws else None
    for weights in grid:
        scores = mix(joined, weights)
        chosen = scores.argmax(axis=1)
        cells = np.bincount(true * classes + chosen, minlength=classes**2)
        counts = cells.reshape(1, classes, classes)
        row = dict(zip(columns(joined.models), weights, strict=True))
        row |= {name: float(metric(counts)[0]) for name, metric in METRICS.items()}
        sure = scores[np.arange(len(true)), true]
        row["nll"] = float(-np.log(np.maximum(sure, LEAST)).mean())
        low, high = float("nan"), float("nan")
        if drawn is not None:
            many = drawn.confusions(true, chosen, classes)
            low, high = percentiles(METRICS["weighted_f1"](many))
        rows.append(row | {"low": low, "high": high})
    table = pd.DataFrame(rows)
    worth = table[criterion].to_numpy() * (-1 if criterion == "nll" else 1)
    best = np.flatnonzero(worth >= worth.max() - 1e-12)
    spread = ((grid[best] - 1 / len(joined.models)) ** 2).sum(axis=1)
    table["chosen"] = np.arange(len(table)) == best[spread.argmin()]
    return table


def convex_weights(joined: Joined) -> np.ndarray:
    """Return the weights (M,) whose mixture gives the true classes most likelihood.

    The mean logarithm of a mixture is concave in its weights, so that the steps of
    expectation and maximisation (each weight times the mean share of its model in the
    likelihood) end at the best weights. The largest such share, less 1, bounds what
    is still to be gained, and tells when to stop. Utterances that a model lacks are
    not used.
    """
    known = joined.complete()
    likely = known.scores[:, np.arange(len(known)), known.true]
    likely = np.maximum(likely, LEAST)
    weights = np.full(len(likely), 1 / len(likely))
    for _ in range(_STEPS):
        share = (likely / (weights @ likely)).mean(axis=1)
        if share.max() - 1 < _GAP:
            break
        weights = weights * share
    return weights / weights.sum()


def columns(models: tuple[str, ...]) -> list[str]:
    """Return the names of the weights' columns."""
    return [f"weight_{model}" for model in models]
