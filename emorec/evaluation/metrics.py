"""Metrics computed once, from saved scores, with scikit-learn.

Every function returns a flat dict whose keys depend on the schema alone, never on the
data. A metric that is undefined, because a class does not occur among the true labels,
is NaN (an empty cell), not 0 and not an error.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn import metrics as sk

from emorec.errors import DataError
from emorec.labels import LabelSchema

Metrics = dict[str, float]


def _check(true: np.ndarray, predicted: np.ndarray, schema: LabelSchema) -> None:
    if true.shape != predicted.shape or true.shape[1:] != (len(schema),):
        raise DataError(
            f"Expected true and predicted arrays of shape (n, {len(schema)}), "
            f"received {true.shape} and {predicted.shape}."
        )


def _mean(values: list[float]) -> float:
    """Average what is defined; NaN when nothing is."""
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")


def regression(true: np.ndarray, scores: np.ndarray, schema: LabelSchema) -> Metrics:
    """Return MAE, MSE and R2, overall and per emotion.

    Parameters
    ----------
    true, scores : (n, K) float
        True and predicted intensities. The overall values are means over emotions.
    """
    _check(true, scores, schema)
    result: Metrics = {}
    single = {
        "mae": sk.mean_absolute_error,
        "mse": sk.mean_squared_error,
        "r2": lambda t, p: sk.r2_score(t, p) if np.ptp(t) > 0 else float("nan"),
    }
    for name, function in single.items():
        values = [float(function(true[:, k], scores[:, k])) for k in range(len(schema))]
        result[name] = _mean(values)
        result |= _named(name, values, schema)
    return result


def _named(name: str, values: list[float], schema: LabelSchema) -> Metrics:
    return {
        f"{name}_{label}": float(value)
        for label, value in zip(schema.labels, values, strict=True)
    }


def classification(
    true: np.ndarray, predicted: np.ndarray, scores: np.ndarray, schema: LabelSchema
) -> Metrics:
    """Return the metrics of a multi-label decision.

    Parameters
    ----------
    true, predicted : (n, K) of 0 and 1
        True and predicted classes.
    scores : (n, K) float
        Continuous scores behind the decision, for ROC-AUC and average precision.

    Returns
    -------
    dict
        ``subset_accuracy``: all K right at once. Per emotion and as mean: ``accuracy``
        (plain binary), ``weighted_accuracy`` ((TPR + TNR) / 2, Tong et al. 2017),
        ``precision``, ``recall``, ``f1`` (of the positive class), ``f1_both`` (weighted
        over present and absent, the convention of Zadeh et al.), ``auc``, ``ap``.
        ``*_macro`` is the plain mean over emotions that occur, ``*_weighted`` the mean
        weighted by how often they do.
    """
    _check(true, predicted, schema)
    _check(true, scores, schema)
    result: Metrics = {"subset_accuracy": float((true == predicted).all(axis=1).mean())}
    functions: dict[str, tuple[Callable[..., float], bool, bool]] = {
        # name: function, needs both classes among the true, takes scores
        "accuracy": (sk.accuracy_score, False, False),
        "weighted_accuracy": (sk.balanced_accuracy_score, True, False),
        "precision": (_positive(sk.precision_score), False, False),
        "recall": (_positive(sk.recall_score), False, False),
        "f1": (_positive(sk.f1_score), False, False),
        "f1_both": (_both_f1, False, False),
        "auc": (sk.roc_auc_score, True, True),
        "ap": (sk.average_precision_score, True, True),
    }
    occurrence = true.sum(axis=0)
    for name, (function, both, continuous) in functions.items():
        values = []
        for k in range(len(schema)):
            positives = int(occurrence[k])
            if both and positives in (0, len(true)):
                values.append(float("nan"))
                continue
            decision = scores[:, k] if continuous else predicted[:, k]
            values.append(float(function(true[:, k], decision)))
        result |= _named(name, values, schema)
        result[f"{name}_macro"] = _mean(values)
        if name in ("precision", "recall", "f1"):
            defined = ~np.isnan(values)
            total = occurrence[defined].sum()
            result[f"{name}_weighted"] = (
                float(np.asarray(values)[defined] @ occurrence[defined] / total)
                if total
                else float("nan")
            )
    return result


def _positive(function: Callable[..., float]) -> Callable[..., float]:
    """Undefined without a true positive; 0 when the class is never predicted."""

    def metric(true: np.ndarray, predicted: np.ndarray) -> float:
        if not true.any():
            return float("nan")
        return function(true, predicted, zero_division=0)

    return metric


def _both_f1(true: np.ndarray, predicted: np.ndarray) -> float:
    return sk.f1_score(true, predicted, average="weighted", zero_division=0)


def coarse(true: np.ndarray, predicted: np.ndarray, schema: LabelSchema) -> Metrics:
    """Return the metrics of the coarse levels 0, 1, 2, 3 as four classes an emotion.

    Parameters
    ----------
    true, predicted : (n, K) float
        Coarse levels (`emorec.evaluation.views.nearest_level`).
    """
    _check(true, predicted, schema)
    true, predicted = true.astype(int), predicted.astype(int)
    result: Metrics = {"subset_accuracy": float((true == predicted).all(axis=1).mean())}
    columns = range(len(schema))
    accuracy = [float((true[:, k] == predicted[:, k]).mean()) for k in columns]
    result["accuracy_macro"] = _mean(accuracy)
    result |= _named("accuracy", accuracy, schema)
    for average in ("macro", "weighted"):
        values = [
            float(
                sk.f1_score(
                    true[:, k],
                    predicted[:, k],
                    labels=np.unique(true[:, k]),
                    average=average,
                    zero_division=0,
                )
            )
            for k in columns
        ]
        result[f"f1_{average}"] = _mean(values)
        result |= _named(f"f1_{average}", values, schema)
    return result


def best_thresholds(true: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return per emotion the threshold of highest weighted accuracy, (K,) float.

    To be called on the validation fold only. Infinity, so that nothing is present,
    where the fold has one class alone or the scores tell nothing.

    Parameters
    ----------
    true : (n, K) of 0 and 1
        True presence.
    scores : (n, K) float
        Predicted scores.
    """
    thresholds = np.full(true.shape[1], np.inf)
    for k in range(true.shape[1]):
        if 0 < true[:, k].sum() < len(true):
            fpr, tpr, values = sk.roc_curve(true[:, k], scores[:, k])
            thresholds[k] = values[np.argmax(tpr - fpr)]
    # A threshold of exactly 0 would be read as "above 0".
    return np.where(thresholds == 0, np.nextafter(0.0, -1.0), thresholds)


def confusion(true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the multilabel confusion matrices (K, 2, 2): [[TN, FP], [FN, TP]]."""
    return sk.multilabel_confusion_matrix(true, predicted)


def sentiment(true: np.ndarray, scores: np.ndarray) -> Metrics:
    """Return the field's metrics of sentiment in [-3, 3].

    Parameters
    ----------
    true, scores : (n,) float

    Returns
    -------
    dict
        ``mae``; ``corr`` (Pearson, NaN for a constant); ``acc2_has0`` and ``f1_has0``
        (not negative against negative, all utterances); ``acc2_non0`` and ``f1_non0``
        (positive against negative, utterances whose true score is not 0); ``acc7``
        (rounded, clipped to [-3, 3]). F1 is weighted over the two classes.
    """
    constant = np.ptp(scores) == 0 or np.ptp(true) == 0
    rated = true != 0
    some = rated.any()

    def seven(values: np.ndarray) -> np.ndarray:
        return np.clip(np.round(values), -3, 3)

    return {
        "mae": float(sk.mean_absolute_error(true, scores)),
        "corr": float("nan") if constant else float(np.corrcoef(true, scores)[0, 1]),
        "acc2_has0": float(((true >= 0) == (scores >= 0)).mean()),
        "f1_has0": _both_f1(true >= 0, scores >= 0),
        "acc2_non0": float(((true > 0) == (scores > 0))[rated].mean())
        if some
        else float("nan"),
        "f1_non0": _both_f1(true[rated] > 0, scores[rated] > 0)
        if some
        else float("nan"),
        "acc7": float((seven(true) == seven(scores)).mean()),
    }
