"""What a network is trained on: targets, activation, loss, optimiser, accuracy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from emorec.errors import SpecError
from emorec.evaluation.views import add_neutral, dominant, nearest_level, presence
from emorec.labels import COARSE_LEVELS, LabelSchema

LABEL_TYPES = ("all", "coarse", "present", "dominant")
SCORE_TYPES = ("all", "coarse")
ACTIVATIONS = ("linear", "relu", "sigmoid", "softplus", "tanh")
OPTIMIZERS = ("adam", "sgd", "adagrad", "adadelta", "rmsprop")
_REGRESSION = ("mean_absolute_error", "mean_squared_error", "huber", "log_cosh")
_CLASSIFICATION = ("binary_crossentropy", "binary_focal_crossentropy")
LOSSES = _REGRESSION + _CLASSIFICATION


def default_loss(label_type: str) -> str:
    """Return the loss for scores or for classes."""
    return (_REGRESSION if label_type in SCORE_TYPES else _CLASSIFICATION)[0]


def default_activation(label_type: str) -> str:
    """Return the output activation for scores or for classes."""
    return "linear" if label_type in SCORE_TYPES else "sigmoid"


def check_objective(label_type: str, loss: str, activation: str) -> None:
    """Refuse combinations that cannot learn what they are named for.

    Raises
    ------
    SpecError
        With the combination that is meant.
    """
    classes = label_type not in SCORE_TYPES
    if classes != (loss in _CLASSIFICATION):
        allowed = _CLASSIFICATION if classes else _REGRESSION
        raise SpecError(
            f"--label_type {label_type} with --loss_function {loss}: expected one of "
            f"{', '.join(allowed)}."
        )
    if classes and activation != "sigmoid":
        raise SpecError(
            f"--label_type {label_type} with --final_activ {activation}: several "
            "emotions can be present at once, each with a probability; use sigmoid."
        )
    if not classes and activation in ("sigmoid", "tanh"):
        raise SpecError(
            f"--label_type {label_type} with --final_activ {activation}: scores reach "
            "3, the activation only 1; use linear, relu or softplus."
        )


def targets(
    scores: np.ndarray, schema: LabelSchema, label_type: str, threshold: float
) -> np.ndarray:
    """Turn true scores into training targets.

    Parameters
    ----------
    scores : (n, K) float32
        The six emotions' scores.
    schema : LabelSchema
        The model's labels; with ``neutral``, a column is added.
    label_type : {"all", "coarse", "present", "dominant"}
        The view to be learnt.
    threshold : float
        Of presence.

    Returns
    -------
    (n, len(schema)) float32
    """
    if len(schema) == scores.shape[1] + 1:
        scores = add_neutral(scores)
    if label_type == "coarse":
        scores = nearest_level(scores, COARSE_LEVELS)
    elif label_type == "present":
        scores = presence(scores, schema, threshold)
    elif label_type == "dominant":
        scores = dominant(scores, schema)
    return np.asarray(scores, np.float32)


def accuracy_metric(label_type: str, threshold: float) -> Callable:
    """Return the accuracy that is watched while training, as a Keras metric.

    The mean over emotions of whether presence was told rightly; of a probability
    presence is 0.5 or more.
    """
    from keras import ops

    def present(values, limit):
        return values >= limit if limit > 0 else values > 0

    limit = threshold if label_type in SCORE_TYPES else 0.5

    def acc(true, predicted):
        same = ops.equal(present(true, limit), present(predicted, limit))
        return ops.mean(ops.cast(same, "float32"), axis=-1)

    return acc
