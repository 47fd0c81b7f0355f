"""Late fusion: one prediction out of those of several models.

Weighted means of probabilities with weights from a grid, as in the student project on
MELD (p = a p_text + (1 - a) p_audio), weights of the largest likelihood, and stacking
(Wolpert, 1992, "Stacked generalization"). All are fitted on a selection split, or by
cross-validation over whole groups, never on the rows that are scored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from emorec.errors import DataError, SpecError
from emorec.evaluation.fusion_weights import (
    LEAST,
    STEP,
    columns,
    convex_weights,
    grid_table,
    mix,
)
from emorec.evaluation.intervals import GroupDraws
from emorec.evaluation.joining import Joined

METHODS = ("weights", "convex", "stacking")


@dataclass(frozen=True)
class Fusion:
    """How to fuse M models; made by `fit`.

    Attributes
    ----------
    method : str
        One of `METHODS`.
    models : tuple of str
        M names.
    weights : (M,) float64 or None
        0 or more with the sum 1; None of stacking.
    stacker : Pipeline or None
        Standardisation and logistic regression, on logarithms of probabilities
        (n, M K), model after model.
    """

    method: str
    models: tuple[str, ...]
    weights: np.ndarray | None = None
    stacker: Pipeline | None = None

    def apply(self, joined: Joined) -> np.ndarray:
        """Return fused probabilities (n, K) float64.

        Raises
        ------
        SpecError
            When the models are others than those of the fit.
        DataError
            When stacking is asked of utterances that a model lacks.
        """
        if joined.models != self.models:
            raise SpecError(
                f"Fusion of {', '.join(self.models)}: received predictions of "
                f"{', '.join(joined.models)}."
            )
        if self.weights is not None:
            return mix(joined, self.weights)
        _need_all(joined)
        scores = np.zeros(joined.scores.shape[1:])
        scores[:, self.stacker.classes_] = self.stacker.predict_proba(_logs(joined))
        return scores


def fit(
    method: str,
    joined: Joined,
    criterion: str = "weighted_f1",
    step: float = STEP,
) -> Fusion:
    """Find how to fuse, from utterances that are not those to be scored.

    Parameters
    ----------
    method : {"weights", "convex", "stacking"}
        The best weights of a grid by `criterion`; the weights of the largest
        likelihood; or a multinomial logistic regression on standardised
        logarithms of probabilities, with scikit-learn's L2 penalty (C = 1).
    joined : Joined
        The selection split.
    criterion : {"weighted_f1", "macro_f1", "accuracy", "nll"}
        Of the grid.
    step : float
        Of the grid.

    Raises
    ------
    DataError
        When there is nothing to fit on.
    SpecError
        For an unknown method or criterion.
    """
    if method not in METHODS:
        raise SpecError(f"Method '{method}': expected one of {', '.join(METHODS)}.")
    if not len(joined.complete()):
        raise DataError(
            f"Fusion of {', '.join(joined.models)}: no utterance of "
            f"{joined.split or 'the selection split'} is known to all models."
        )
    if method == "weights":
        table = grid_table(joined, step, criterion, draws=0)
        chosen = table.loc[table["chosen"], columns(joined.models)]
        return Fusion(method, joined.models, chosen.to_numpy(float)[0])
    if method == "convex":
        return Fusion(method, joined.models, convex_weights(joined))
    known = joined.complete()
    if len(np.unique(known.true)) < 2:
        raise DataError(
            f"Stacking of {', '.join(joined.models)}: the {len(known)} utterances to "
            "fit it on have one class; expected two or more."
        )
    # Of one scale the steps are few, and the penalty is the same for every column.
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=10_000))
    model.fit(_logs(known), known.true)
    return Fusion(method, joined.models, stacker=model)


def nested(
    method: str,
    joined: Joined,
    folds: int,
    criterion: str = "weighted_f1",
    step: float = STEP,
    seed: int = 0,
) -> tuple[np.ndarray, list[Fusion], np.ndarray]:
    """Fuse by cross-validation: each fold by what the others say is best.

    Parameters
    ----------
    method, joined, criterion, step
        As of `fit`.
    folds : int
        2 or more.
    seed : int
        Of the folds.

    Returns
    -------
    scores : (n, K) float64
        Out-of-fold probabilities.
    fusions : list of Fusion
        One per fold.
    fold : (n,) int64
        Where each utterance was scored.
    """
    number = group_folds(joined.groups, folds, seed)
    scores, fusions = np.zeros(joined.scores.shape[1:]), []
    for train, test in _splits(number):
        fusion = fit(method, joined.take(train), criterion, step)
        scores[test] = fusion.apply(joined.take(test))
        fusions.append(fusion)
    return scores, fusions, number


def group_folds(groups: np.ndarray, folds: int, seed: int = 0) -> np.ndarray:
    """Return the fold of each row, (n,) int64; a group lies in one fold.

    Groups are shuffled, and each goes, larger ones first, to the fold with the fewest
    rows. True classes play no part. Rows without a group ("") are groups of their own.

    Raises
    ------
    SpecError
        When there are fewer groups than folds, or fewer than two folds.
    """
    places = GroupDraws.of(np.asarray(groups), draws=0).places
    sizes = np.bincount(places)
    if not 2 <= folds <= len(sizes):
        raise SpecError(
            f"Cross-validation over groups: expected 2 folds up to as many as there "
            f"are groups ({len(sizes)}), received {folds}."
        )
    order = np.random.default_rng(seed).permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    rows, fold = np.zeros(folds, int), np.empty(len(sizes), np.int64)
    for group in order:
        fold[group] = rows.argmin()
        rows[fold[group]] += sizes[group]
    return fold[places]


def _splits(number: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for fold in range(number.max() + 1):
        yield np.flatnonzero(number != fold), np.flatnonzero(number == fold)


def _need_all(joined: Joined) -> None:
    lacking = ~joined.present.all(axis=0)
    if lacking.any():
        raise DataError(
            f"Stacking needs every model for every utterance; {lacking.sum()} lack "
            f"one, the first is {joined.ids[int(lacking.argmax())]}. Take the method "
            "weights or convex, or pass --intersect."
        )


def _logs(joined: Joined) -> np.ndarray:
    """Return logarithms of probabilities, (n, M K)."""
    logs = np.log(np.maximum(joined.scores, LEAST))
    return logs.transpose(1, 0, 2).reshape(len(joined), -1)
