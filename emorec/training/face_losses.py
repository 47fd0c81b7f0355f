"""Losses and the accuracy of networks that tell one class per face, from logits."""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import ops


def loss_of(name: str, label_smoothing: float = 0.0) -> Callable:
    """Return a loss of targets (B, K) and logits (B, K).

    Parameters
    ----------
    name : {"distributions", "softmaxlog", "multi_target"}
        The first two are the cross-entropy; the pipeline makes hard targets of votes
        for the second. The third is -log max(target x probability), Barsoum et al.
        (2016), section 3.
    label_smoothing : float
        Share of each target that is spread over all classes.
    """
    if name == "multi_target":
        return _multi_target
    return keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=label_smoothing
    )


def _multi_target(targets, logits):
    logits = ops.cast(logits, "float32")
    likelihood = ops.log(targets + keras.config.epsilon()) + ops.log_softmax(logits)
    return -ops.max(likelihood, axis=-1)


def acc(targets, logits):
    """Return (B,): whether the largest logit is that of the first largest target.

    Keras calls a metric in a history by the name of its function.
    """
    same = ops.equal(ops.argmax(targets, axis=-1), ops.argmax(logits, axis=-1))
    return ops.cast(same, "float32")
