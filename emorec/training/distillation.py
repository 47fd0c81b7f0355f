"""Losses between a student's logits and a teacher's, and what is told per class.

Albanie, Nagrani, Vedaldi and Zisserman (2018), section 4.3, and their published code;
Hinton, Vinyals and Dean (2015), "Distilling the knowledge in a neural network".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
from keras import ops

from emorec.errors import SpecError
from emorec.training.voices_config import LOSSES


def distillation_loss(name: str, temperature: float = 2.0) -> Callable:
    """Return a loss (B,) of the teacher's logits (B, K) and the student's (B, K).

    Parameters
    ----------
    name : str
        ``hot-cross-ent``: cross-entropy of the student's softened distribution with
        the teacher's, no factor of T squared; ``kl``: the same less the teacher's
        entropy, so that equal logits give 0; ``softmaxlog``: cross-entropy with the
        teacher's largest logit; ``euclidean``: half the squared distance of the
        logits; ``huber``: the same, but linear in differences beyond 1.
    temperature : float
        Divides the logits of both, in the first two.

    Raises
    ------
    SpecError
        For another name or a temperature that is not above 0.
    """
    losses = {
        "hot-cross-ent": _soft,
        "kl": _divergence,
        "softmaxlog": _hard,
        "euclidean": _euclidean,
        "huber": _huber,
    }
    if name not in losses or not temperature > 0:
        raise SpecError(
            f"--loss_type {name}, --temperature {temperature:g}: expected one of "
            f"{', '.join(LOSSES)}, and above 0."
        )
    loss = losses[name]

    def of(teacher, student):
        teacher, student = (ops.cast(x, "float32") for x in (teacher, student))
        if loss in (_soft, _divergence):
            return loss(teacher / temperature, student / temperature)
        return loss(teacher, student)

    return of


def _soft(teacher, student):
    return -ops.sum(ops.softmax(teacher) * ops.log_softmax(student), axis=-1)


def _divergence(teacher, student):
    return _soft(teacher, student) - _soft(teacher, teacher)


def _hard(teacher, student):
    chosen = ops.one_hot(ops.argmax(teacher, axis=-1), student.shape[-1])
    return -ops.sum(chosen * ops.log_softmax(student), axis=-1)


def _euclidean(teacher, student):
    return 0.5 * ops.sum((student - teacher) ** 2, axis=-1)


def _huber(teacher, student):
    far = ops.abs(student - teacher)
    return ops.sum(ops.where(far < 1, 0.5 * far**2, far - 0.5), axis=-1)


class Recalls(keras.metrics.Metric):
    """Recall of each class, their mean and each class's share, of the largest values.

    The true class is the first largest of a target. Results are ``recall_LABEL``,
    ``share_LABEL`` and ``recall_mean`` over the classes that occur; a class that does
    not has a recall of NaN.
    """

    def __init__(self, labels: Sequence[str], name: str = "recalls", **kwargs) -> None:
        super().__init__(name=name, **kwargs)
        self.labels = tuple(labels)
        size = (len(self.labels),)
        self.right = self.add_weight(shape=size, initializer="zeros", name="right")
        self.total = self.add_weight(shape=size, initializer="zeros", name="total")

    def update_state(self, targets, outputs, sample_weight=None):
        """Count a batch."""
        true = ops.one_hot(ops.argmax(targets, axis=-1), len(self.labels))
        chosen = ops.one_hot(ops.argmax(outputs, axis=-1), len(self.labels))
        self.right.assign_add(ops.sum(true * chosen, axis=0))
        self.total.assign_add(ops.sum(true, axis=0))

    def result(self):
        """Return the values by name."""
        there = self.total > 0
        recall = self.right / ops.maximum(self.total, 1)
        mean = ops.sum(ops.where(there, recall, 0.0)) / ops.maximum(
            ops.sum(ops.cast(there, "float32")), 1
        )
        share = self.total / ops.maximum(ops.sum(self.total), 1)
        recall = ops.where(there, recall, float("nan"))
        values = {"recall_mean": mean}
        for number, label in enumerate(self.labels):
            values[f"recall_{label}"] = recall[number]
            values[f"share_{label}"] = share[number]
        return values
