"""ROC curves, their areas and equal error rates, with intervals over speakers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from sklearn import metrics as sk

from emorec.errors import DataError

# Numbers held at a time by a resampling: these stay in a processor's cache.
_BLOCK = 2**16


@dataclass(frozen=True)
class Roc:
    """A receiver operating characteristic.

    Attributes
    ----------
    fpr, tpr : (points,) float64
        False and true positive rates from (0, 0) to (1, 1); corners only. Empty where
        there are no positives or no negatives.
    auc : float
        Area under the curve, NaN where it is empty.
    eer : float
        Equal error rate: where the curve, its corners joined by straight lines, meets
        ``tpr = 1 - fpr``; NaN where it is empty.
    """

    fpr: np.ndarray
    tpr: np.ndarray
    auc: float
    eer: float


def roc(positive: np.ndarray, score: np.ndarray) -> Roc:
    """Return the ROC of scores that should be high for positives.

    Parameters
    ----------
    positive : (n,) bool
        Which clips are of the class.
    score : (n,) float
        Only the order matters; ties count half.

    Raises
    ------
    DataError
        When the shapes differ or a score is NaN.
    """
    positive, score = _checked(positive, score)
    if positive.all() or not positive.any():
        return Roc(np.empty(0), np.empty(0), float("nan"), float("nan"))
    fpr, tpr, _ = sk.roc_curve(positive, score)
    # From -1 to 1 along the curve, and 0 where both errors are the same.
    eer = np.interp(0, fpr + tpr - 1, fpr)
    return Roc(fpr, tpr, float(sk.roc_auc_score(positive, score)), float(eer))


def _checked(positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, ...]:
    positive, score = np.asarray(positive, bool), np.asarray(score, np.float64)
    if positive.shape != score.shape:
        raise DataError(
            f"Expected as many labels as scores, received {positive.shape} and "
            f"{score.shape}."
        )
    bad = np.count_nonzero(np.isnan(score))
    if bad:
        raise DataError(
            f"{bad} of {score.size} scores are not numbers. Predict those clips anew, "
            "or leave them out."
        )
    return positive, score


def bootstrap_auc(
    positive: np.ndarray,
    score: np.ndarray,
    speakers: np.ndarray,
    rounds: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the 95 % percentile interval of an AUC over speakers.

    Clips of a speaker are alike, so speakers are drawn with replacement, each with all
    of its clips. See `bootstrap_aucs`; for its parameters `positive` and `score` are
    (n,) here.
    """
    values = bootstrap_aucs(
        np.asarray(positive)[:, None],
        np.asarray(score)[:, None],
        speakers,
        rounds,
        seed,
    )
    return interval(values[:, 0])


def bootstrap_aucs(
    positives: np.ndarray,
    scores: np.ndarray,
    speakers: np.ndarray,
    rounds: int = 1000,
    seed: int = 0,
) -> np.ndarray:
    """Return the AUC of K classes in each round of a resampling of speakers.

    A round gives each speaker a weight, how often it is drawn. The AUC of weighted
    clips needs for each positive the weight of the negatives below it: a cumulative sum
    over negatives that were sorted once. All sums are of whole numbers, so the order of
    clips changes no bit.

    Parameters
    ----------
    positives : (n, K) bool
        Which clips are of which class.
    scores : (n, K) float
        Ties count half.
    speakers : (n,) text or int
        Who speaks.
    rounds : int
        How often as many speakers are drawn as there are. All classes have the same
        draws, so that a function of several AUCs, as their mean, can be resampled.
    seed : int
        Of the draws.

    Returns
    -------
    (rounds, K) float64
        NaN in rounds without a positive or without a negative, and in all rounds of a
        class whose positives, or negatives, are of one speaker: about other speakers
        such a sample tells nothing.

    Raises
    ------
    DataError
        When the shapes do not fit or a score is NaN.
    """
    positives, scores = _checked(positives, scores)
    names, numbers = _numbered(speakers, len(scores))
    ranked = [
        _Ranked.of(p, s, numbers) for p, s in zip(positives.T, scores.T, strict=True)
    ]
    values = np.full((rounds, len(ranked)), np.nan)
    if rounds < 1 or not len(scores):
        return values
    for start, weights in _draws(len(names), len(scores), rounds, seed):
        for column, one in enumerate(ranked):
            if one is not None:
                values[start : start + len(weights), column] = one.auc(weights)
    return values


def bootstrap_share(
    right: np.ndarray, speakers: np.ndarray, rounds: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean of (n,) bool over speakers.

    NaN where there is one speaker alone.
    """
    names, numbers = _numbered(speakers, len(right))
    if len(names) < 2:
        return float("nan"), float("nan")
    clips = np.bincount(numbers)
    hits = np.bincount(numbers, np.asarray(right, bool))
    shares = [
        weights @ hits / (weights @ clips)
        for _, weights in _draws(len(names), len(names), rounds, seed)
    ]
    return interval(np.concatenate(shares))


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 2.5th and 97.5th percentiles of what is not NaN; NaN of nothing."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return float("nan"), float("nan")
    low, high = np.percentile(defined, [2.5, 97.5])
    return float(low), float(high)


def _numbered(speakers: np.ndarray, clips: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the speakers in the order of names, and the number of each clip's."""
    speakers = np.asarray(speakers)
    if speakers.shape != (clips,):
        raise DataError(
            f"Expected a speaker for each of {clips} clips, received {speakers.shape}."
        )
    return np.unique(speakers, return_inverse=True)


def _draws(
    speakers: int, width: int, rounds: int, seed: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (first round, weights (block, speakers)) for rows of `width` numbers."""
    random = np.random.default_rng(seed)
    block = max(1, _BLOCK // max(width, speakers))
    for start in range(0, rounds, block):
        drawn = random.integers(0, speakers, (min(block, rounds - start), speakers))
        weights = [np.bincount(one, minlength=speakers) for one in drawn]
        yield start, np.array(weights, np.float64)


@dataclass(frozen=True)
class _Ranked:
    """Positives and negatives of one class, sorted by score.

    Attributes
    ----------
    positive, negative : (P,), (N,) int
        Numbers of their speakers.
    below, upto : (P,) int
        How many negatives have a lower score than each positive, and how many none
        higher.
    """

    positive: np.ndarray
    negative: np.ndarray
    below: np.ndarray
    upto: np.ndarray

    @classmethod
    def of(
        cls, positive: np.ndarray, score: np.ndarray, speakers: np.ndarray
    ) -> _Ranked | None:
        """Sort the clips; None where positives or negatives have not two speakers."""
        order = np.argsort(score)
        score, speakers, positive = score[order], speakers[order], positive[order]
        sides = speakers[positive], speakers[~positive]
        if any(not len(side) or (side == side[0]).all() for side in sides):
            return None
        below, upto = (
            np.searchsorted(score[~positive], score[positive], side)
            for side in ("left", "right")
        )
        return cls(*sides, below, upto)

    def auc(self, weights: np.ndarray) -> np.ndarray:
        """Return the AUC (block,) of speakers' weights (block, speakers)."""
        lower = np.zeros((len(weights), len(self.negative) + 1))
        np.cumsum(weights[:, self.negative], axis=1, out=lower[:, 1:])
        own = weights[:, self.positive]
        pairs = np.einsum("rp,rp->r", own, lower[:, self.below])
        pairs += np.einsum("rp,rp->r", own, lower[:, self.upto])
        total = own.sum(axis=1) * lower[:, -1]
        return np.divide(
            pairs, 2 * total, out=np.full(len(weights), np.nan), where=total > 0
        )
