"""Batch normalisation of the features of several modalities, some of them absent.

Ioffe and Szegedy (2015), "Batch Normalization: Accelerating Deep Network Training by
Reducing Internal Covariate Shift".
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers, ops


# Keras names the weights in a file by the class, hence the name: weights of a network
# with Keras' own layer can be loaded.
@keras.saving.register_keras_serializable("emorec")
class BatchNormalization(layers.BatchNormalization):
    """Standardise features; hand scale and shift on to the layer that follows.

    Features need no gradient. Were they scaled here, those of scale and shift would
    need the gradient of every scaled feature, the largest product of a whole network;
    in the kernel of the following layer they cost next to nothing.

    Parameters
    ----------
    widths : sequence of int
        Feature columns D_1 to D_M of each modality; D is their sum.
    **kwargs
        Those of `keras.layers.BatchNormalization`.

    Input: features (B, T, D) float, presence (B, T, M) float, and a mask (B, T) bool,
    True at steps that count in the statistics. Output: the standardised features
    (B, T, D), 0 where a modality is absent; the scale (D,); the shift (M, D) that a
    present modality adds. Absent features enter the statistics as 0.
    """

    def __init__(self, widths: Sequence[int], **kwargs) -> None:
        super().__init__(**kwargs)
        self.widths = [int(width) for width in widths]

    def call(self, inputs, presence, training=None, mask=None):
        """Standardise by the statistics of the batch in training, else the moving."""
        owner = np.repeat(np.eye(len(self.widths)), self.widths, axis=1)
        owner = ops.convert_to_tensor(owner, "float32")
        present = ops.matmul(ops.cast(presence, "float32"), owner)
        x = ops.cast(inputs, "float32") * present
        mean, variance = self.moving_mean.value, self.moving_variance.value
        if training and self.trainable:
            batch_mean, batch_variance = _moments(x, mask)
            for moving, new in (
                (self.moving_mean, batch_mean),
                (self.moving_variance, batch_variance),
            ):
                moving.assign(moving * self.momentum + new * (1 - self.momentum))
            mean, variance = batch_mean, batch_variance
        x = (x - mean) * (present * ops.rsqrt(variance + self.epsilon))
        return ops.cast(x, self.compute_dtype), self.gamma.value, owner * self.beta

    def compute_output_spec(self, inputs, presence, training=None, mask=None):
        """Return the shapes of features, scale and shift."""
        width = inputs.shape[-1]
        return (
            keras.KerasTensor(inputs.shape, self.compute_dtype),
            keras.KerasTensor((width,), "float32"),
            keras.KerasTensor((len(self.widths), width), "float32"),
        )

    def compute_mask(self, inputs, mask=None):
        """Return no mask: it is passed by name."""
        return None

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "widths": self.widths}


def _moments(x, mask):
    """Return mean and variance (D,) of (B, T, D) over the steps of the mask."""
    flat = ops.reshape(x, (-1, x.shape[-1]))
    weights = ops.ones_like(flat[:, 0]) if mask is None else mask
    weights = ops.cast(ops.reshape(weights, (1, -1)), x.dtype)
    count = ops.maximum(ops.sum(weights), 1)
    # Products, as they read each feature once.
    mean = ops.matmul(weights, flat) / count
    variance = ops.matmul(weights, ops.square(flat - mean)) / count
    return mean[0], variance[0]
