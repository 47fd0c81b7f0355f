"""What a clip's scores come to, in words that claim no more than they know."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from emorec.prediction.asking import FUSED
from emorec.prediction.recordings import MODALITIES
from emorec.prediction.series import PROBABILITY, Series

# Two means that differ by less are told as undecided, and a strongest one below so
# many times chance as weak.
_CLOSE, _WEAK = 0.1, 2.0


class ModelRow(NamedTuple):
    """What one model said of the clip.

    Attributes
    ----------
    model, kind : str
        As of `Series`.
    used : str
        Which modalities, and in how much of the time.
    verdict : str
        The strongest emotion and how sure that is.
    means : dict
        Emotion -> mean over the clip.
    reason : str
        Why something was missing.
    """

    model: str
    kind: str
    used: str
    verdict: str
    means: dict[str, float]
    reason: str


class Agreement(NamedTuple):
    """How far two models say the same.

    Attributes
    ----------
    first, second : str
        Models.
    same : float
        Share of the time in which they name the same strongest emotion of those that
        both know, where both have scores.
    distance : float
        Half the sum of the differences of their mean probabilities of these emotions:
        0 where they agree, 1 where they exclude one another. NaN of intensities.
    """

    first: str
    second: str
    same: float
    distance: float


def headline(series: Sequence[Series]) -> str:
    """Return one sentence on the whole clip."""
    fused = [one for one in series if one.model == FUSED]
    spoken = fused or [one for one in series if one.emotions]
    if not spoken or not any(one.emotions for one in spoken):
        return "No model had anything to judge."
    if len(spoken) == 1:
        who = "All models together" if fused else spoken[0].model
        return f"{who}: {verdict(spoken[0])}."
    named = {one.model: _clear(one) for one in spoken}
    clear = {emotion for emotion in named.values() if emotion}
    if not clear:
        return "No emotion stands out for any of the models."
    if len(clear) == 1 and all(named.values()):
        return f"For all {len(named)} models {clear.pop()} is strongest."
    told = ", ".join(f"{model} {word or 'undecided'}" for model, word in named.items())
    return f"The models {'disagree' if len(clear) > 1 else 'differ'}: {told}."


def _clear(one: Series) -> str:
    """Return the strongest emotion of a model, empty where none stands out."""
    means = one.means()
    order = np.argsort(-np.nan_to_num(means, nan=-np.inf), kind="stable")
    if one.kind == PROBABILITY and len(order) > 1:
        first, second = means[order[0]], means[order[1]]
        if first - second < _CLOSE or first < _WEAK / len(order):
            return ""
    return one.emotions[order[0]]


def verdict(one: Series) -> str:
    """Return the strongest emotion of a model, and how sure that is."""
    if not one.emotions:
        return "nothing to judge"
    means = one.means()
    order = np.argsort(-np.nan_to_num(means, nan=-np.inf), kind="stable")
    first = one.emotions[order[0]]
    if one.kind != PROBABILITY:
        return f"{first} is strongest, {one.kind} {means[order[0]]:.2f} on average"
    told = f"{first} {means[order[0]]:.2f} on average"
    if len(order) == 1:
        return told
    second = one.emotions[order[1]]
    told += f", then {second} {means[order[1]]:.2f}"
    chance = 1 / len(one.emotions)
    if means[order[0]] - means[order[1]] < _CLOSE:
        return f"undecided between {first} and {second} ({told})"
    if means[order[0]] < _WEAK * chance:
        return f"weak: {told}, where {chance:.2f} each would be no opinion"
    return told


def model_rows(series: Sequence[Series]) -> list[ModelRow]:
    """Return what each model said."""
    rows = []
    for one in series:
        shares = zip(MODALITIES, one.shares(), strict=True)
        used = ", ".join(f"{name} {share:.0%}" for name, share in shares if share > 0)
        means = dict(zip(one.emotions, one.means().tolist(), strict=True))
        rows.append(
            ModelRow(
                one.model, one.kind, used or "nothing", verdict(one), means, one.reason
            )
        )
    return rows


def agreements(series: Sequence[Series]) -> list[Agreement]:
    """Compare every two models that share two emotions or more; not the fusion."""
    models = [one for one in series if one.model != FUSED and one.emotions]
    found = []
    for first, second in itertools.combinations(models, 2):
        shared = [name for name in first.emotions if name in second.emotions]
        if len(shared) < 2:
            continue
        edges = np.union1d(first.edges, second.edges)
        middle, length = (edges[:-1] + edges[1:]) / 2, np.diff(edges)
        parts = [_shared(one, shared, middle) for one in (first, second)]
        both = np.all([np.isfinite(part).all(axis=1) for part in parts], axis=0)
        if not both.any():
            continue
        best = [part[both].argmax(axis=1) for part in parts]
        weights = length[both] / length[both].sum()
        same = float(weights @ (best[0] == best[1]))
        distance = np.nan
        if first.kind == second.kind == PROBABILITY:
            means = [weights @ part[both] for part in parts]
            means = [mean / max(mean.sum(), 1e-12) for mean in means]
            distance = float(np.abs(means[0] - means[1]).sum() / 2)
        found.append(Agreement(first.model, second.model, same, distance))
    return found


def _shared(one: Series, names: list[str], times: np.ndarray) -> np.ndarray:
    columns = [one.emotions.index(name) for name in names]
    step = np.searchsorted(one.edges, times, side="right") - 1
    values = one.values[np.clip(step, 0, len(one.values) - 1)][:, columns]
    outside = (step < 0) | (step >= len(one.values))
    return np.where(outside[:, None], np.nan, values)
