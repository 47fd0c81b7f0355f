"""Facial landmarks over time, by a bidirectional LSTM of two layers.

The network on 68 landmarks of a face in the MELD notebooks of the Communicative Robots
course (Vrije Universiteit Amsterdam, 2020).
"""

from __future__ import annotations

import keras
from keras import layers, ops

from emorec.errors import SpecError
from emorec.models.bidirectional import Bidirectional

POOLS = ("last", "mean")
COLUMNS = 136


@keras.saving.register_keras_serializable("emorec")
class OverTime(layers.Layer):
    """One vector of a sequence: that of its last real step, or the mean of all.

    Parameters
    ----------
    how : {"last", "mean"}
        Over real steps.
    **kwargs
        Those of `keras.layers.Layer`.

    Input: (B, T, D) float and a mask (B, T), 1 at real steps, which must come first.
    Output: (B, D).
    """

    def __init__(self, how: str = "last", **kwargs) -> None:
        super().__init__(**kwargs)
        if how not in POOLS:
            raise SpecError(f"--pool {how}: expected one of {', '.join(POOLS)}.")
        self.how = how
        self.supports_masking = True

    def compute_mask(self, sequences, previous_mask=None):
        """Return None: one vector has no steps."""
        return None

    def call(self, sequences, mask):
        """Return (B, D)."""
        weight = ops.cast(mask, sequences.dtype)
        if self.how == "last":
            weight *= 1 - ops.pad(weight[:, 1:], ((0, 0), (0, 1)))
        else:
            weight /= ops.maximum(ops.sum(weight, axis=1, keepdims=True), 1)
        return ops.sum(sequences * ops.expand_dims(weight, -1), axis=1)

    def compute_output_shape(self, sequences_shape, mask_shape=None):
        """Return (B, D)."""
        return (sequences_shape[0], sequences_shape[-1])

    def get_config(self):
        """Return the constructor's arguments."""
        return super().get_config() | {"how": self.how}


def landmark_lstm(
    num_outputs: int = 7,
    pool: str = "last",
    units: int = 128,
    input_dropout: float = 0.6,
    dropout: float = 0.5,
    use_cudnn: bool | str = "auto",
    jit_compile: bool = True,
) -> keras.Model:
    """Build the network.

    Dropout on the inputs, two bidirectional LSTMs with dropout between them, one step
    of their outputs or the mean, a linear layer.

    Parameters
    ----------
    num_outputs : int
        K, the emotions; 7 have 667,399 parameters.
    pool : {"last", "mean"}
        ``last``, as published: the outputs of the last real step, of whose halves the
        backward one has seen that step only.
    units : int
        Per direction.
    input_dropout, dropout : float
        In [0, 1).
    use_cudnn, jit_compile
        See `emorec.models.early_fusion.early_fusion`.

    Returns
    -------
    keras.Model
        Inputs: ``features`` (B, T, 136) float, x and y of 68 points; ``mask`` (B, T),
        1 at real steps, which must come first. Output ``emotions`` (B, K) float32,
        before the softmax. Padded steps have no influence.
    """
    features = keras.Input((None, COLUMNS), name="features")
    mask = keras.Input((None,), dtype="bool", name="mask")
    x = layers.Dropout(input_dropout, name="dropout_inputs")(features)
    for number in (1, 2):
        lstm = layers.LSTM(units, return_sequences=True, use_cudnn=use_cudnn)
        name = f"bidirectional_{number}"
        x = Bidirectional(lstm, jit_compile, name=name)(x, mask=mask)
        if number == 1:
            x = layers.Dropout(dropout, name="dropout")(x)
    x = OverTime(pool, name="over_time")(x, mask)
    emotions = layers.Dense(num_outputs, dtype="float32", name="emotions")(x)
    inputs = {"features": features, "mask": mask}
    return keras.Model(inputs, emotions, name="landmark_lstm")
