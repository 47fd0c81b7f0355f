"""Multinomial logistic regression as the weights of a single layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from emorec.errors import DataError

if TYPE_CHECKING:
    import keras

# Inverse strengths of the penalty, of which the dev split chooses.
_STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0)
# Before the softmax, of a class that training lacks.
_NO_CLASS = -1e4


def fit_logistic(
    model: keras.Model,
    values: np.ndarray,
    classes: np.ndarray,
    dev_values: np.ndarray,
    dev_classes: np.ndarray,
) -> dict[str, Any]:
    """Give a single layer the weights of a multinomial logistic regression.

    The strength of its L2 penalty is that with the best weighted F1 on dev, of equal
    ones the strongest penalty. A class that training lacks is never chosen.

    Parameters
    ----------
    model : keras.Model
        `emorec.models.meld_audio.linear`.
    values, dev_values : (n, D), (m, D) float
    classes, dev_classes : (n,), (m,) int

    Returns
    -------
    dict
        ``C``, the penalty's inverse, and ``dev_weighted_f1`` of each.

    Raises
    ------
    DataError
        When training has one class only.
    """
    if len(np.unique(classes)) < 2:
        raise DataError("Training: expected two classes or more, found one.")
    found, best = {}, (-1.0, None)
    for strength in _STRENGTHS:
        fitted = LogisticRegression(C=strength, max_iter=2000).fit(values, classes)
        chosen = fitted.predict(dev_values)
        f1 = float(f1_score(dev_classes, chosen, average="weighted", zero_division=0))
        found[f"{strength:g}"] = round(f1, 5)
        if f1 > best[0]:
            best = f1, fitted
    fitted = best[1]
    kernel, bias = fitted.coef_.T, fitted.intercept_
    if len(fitted.classes_) == 2:
        # Of two classes there is one column: the second against the first.
        kernel = np.concatenate([0 * kernel, kernel], axis=1)
        bias = np.concatenate([0 * bias, bias])
    outputs = model.output_shape[-1]
    all_kernel = np.zeros((values.shape[1], outputs), np.float32)
    all_bias = np.full(outputs, _NO_CLASS, np.float32)
    all_kernel[:, fitted.classes_], all_bias[fitted.classes_] = kernel, bias
    model.get_layer("emotions").set_weights([all_kernel, all_bias])
    return {"C": fitted.C, "dev_weighted_f1": found}
