"""Metrics of a choice among classes: accuracy, per class, calibration, intervals."""

from __future__ import annotations

import numpy as np
from sklearn import metrics as sk

from emorec.errors import DataError
from emorec.labels import LabelSchema

BINS = 15


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities (n, K) float64 of logits (n, K)."""
    shifted = np.asarray(logits, np.float64)
    shifted = np.exp(shifted - shifted.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def scores(
    true: np.ndarray, probabilities: np.ndarray, schema: LabelSchema
) -> dict[str, float]:
    """Return the metrics of one decision per row.

    Parameters
    ----------
    true : (n,) int
        True classes.
    probabilities : (n, K) float
        Predicted.
    schema : LabelSchema
        Names of the K classes.

    Returns
    -------
    dict
        ``images``; ``accuracy`` and the bounds of its 95 % interval (Wilson, 1927);
        ``f1_macro`` and ``recall_macro`` over the classes that occur; ``nll``, the mean
        negative log likelihood; ``ece``; then ``precision_*``, ``recall_*``, ``f1_*``
        and ``images_*`` per class, NaN for one that does not occur.

    Raises
    ------
    DataError
        When the arrays do not fit the schema.
    """
    if probabilities.shape != (len(true), len(schema)):
        raise DataError(
            f"Expected probabilities of shape ({len(true)}, {len(schema)}), received "
            f"{probabilities.shape}."
        )
    if not len(true):
        raise DataError("Expected labelled images to score, received none.")
    chosen, numbers = probabilities.argmax(axis=1), np.arange(len(schema))
    precision, recall, f1, count = sk.precision_recall_fscore_support(
        true, chosen, labels=numbers, zero_division=0
    )
    occurs = count > 0
    accuracy = float((chosen == true).mean())
    low, high = wilson(accuracy, len(true))
    likelihood = np.maximum(probabilities[np.arange(len(true)), true], 1e-12)
    result = {
        "images": len(true),
        "accuracy": accuracy,
        "accuracy_low": low,
        "accuracy_high": high,
        "f1_macro": float(f1[occurs].mean()),
        "recall_macro": float(recall[occurs].mean()),
        "nll": float(-np.log(likelihood).mean()),
        "ece": calibration_error(true, probabilities),
    }
    for name, values in (("precision", precision), ("recall", recall), ("f1", f1)):
        for label, value, here in zip(schema.labels, values, occurs, strict=True):
            result[f"{name}_{label}"] = float(value) if here else float("nan")
    for label, value in zip(schema.labels, count, strict=True):
        result[f"images_{label}"] = int(value)
    return result


def wilson(share: float, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of `count` independent trials."""
    z = 1.959964
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    spread = share * (1 - share) / count + z * z / (4 * count * count)
    half = z * float(np.sqrt(spread)) / (1 + z * z / count)
    return middle - half, middle + half


def reliability(
    true: np.ndarray, probabilities: np.ndarray, bins: int = BINS
) -> np.ndarray:
    """Return (bins, 3): mean confidence, accuracy and number of images per bin.

    Bins of equal width over the probability of the chosen class; of an empty bin
    confidence and accuracy are NaN.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == true
    number = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    counts = np.bincount(number, minlength=bins).astype(float)
    table = np.full((bins, 3), np.nan)
    table[:, 2] = counts
    some = counts > 0
    for column, values in enumerate((confidence, right.astype(float))):
        sums = np.bincount(number, values, minlength=bins)
        table[some, column] = sums[some] / counts[some]
    return table


def calibration_error(
    true: np.ndarray, probabilities: np.ndarray, bins: int = BINS
) -> float:
    """Return the expected calibration error (Guo et al., 2017), 0 to 1."""
    confidence, accuracy, count = reliability(true, probabilities, bins).T
    some = count > 0
    gaps = np.abs(confidence - accuracy)[some] * count[some]
    return float(gaps.sum() / count.sum())


def confusion(
    true: np.ndarray, probabilities: np.ndarray, schema: LabelSchema
) -> np.ndarray:
    """Return counts (K, K), true classes in rows."""
    chosen = probabilities.argmax(axis=1)
    return sk.confusion_matrix(true, chosen, labels=np.arange(len(schema)))
