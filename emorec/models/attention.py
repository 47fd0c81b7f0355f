"""Attention of one modality over another, and weights that take no part.

Vaswani et al. (2017), "Attention Is All You Need", section 3.2, between modalities as
in Chumachenko, Iosifidis and Gabbouj (2022), section III.
"""

from __future__ import annotations

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("emorec")
class Attention(layers.Layer):
    """Dot-product attention with several heads, which also returns its map.

    It has no weights: linear layers before it make queries, keys and values.

    Parameters
    ----------
    num_heads : int
        H, a divisor of W.
    **kwargs
        Those of `keras.layers.Layer`.

    Inputs: queries (B, Tq, W) and keys beside values (B, Tk, 2W). Outputs: the values
    found (B, Tq, W), and the map (B, H, Tq, Tk) float32, whose rows sum to 1.
    """

    def __init__(self, num_heads: int = 1, **kwargs) -> None:
        super().__init__(**kwargs)
        self.num_heads = int(num_heads)

    def call(self, queries, keys_values):
        """Weigh the values by the softmax of the products of queries and keys."""
        keys, values = ops.split(keys_values, 2, axis=-1)
        queries, keys, values = map(self._by_head, (queries, keys, values))
        scale = queries.shape[-1] ** -0.5
        scores = ops.matmul(queries * scale, ops.transpose(keys, (0, 1, 3, 2)))
        # float32, so that rows sum to 1 under mixed precision, too.
        scores = ops.cast(scores, "float32")
        # A single key gets all attention; Keras warns of its softmax.
        alone = scores.shape[-1] == 1
        weights = ops.ones_like(scores) if alone else ops.softmax(scores, axis=-1)
        found = ops.matmul(ops.cast(weights, values.dtype), values)
        found = ops.transpose(found, (0, 2, 1, 3))
        steps, width = ops.shape(found)[1], self.num_heads * found.shape[-1]
        return ops.reshape(found, (-1, steps, width)), weights

    def _by_head(self, x):
        """Turn (B, T, W) into (B, H, T, W / H)."""
        shape = (-1, ops.shape(x)[1], self.num_heads, x.shape[-1] // self.num_heads)
        return ops.transpose(ops.reshape(x, shape), (0, 2, 1, 3))

    def compute_output_spec(self, queries, keys_values):
        """Return the shapes of what is found and of the map."""
        batch, steps, _ = queries.shape
        return (
            keras.KerasTensor(queries.shape, self.compute_dtype),
            keras.KerasTensor(
                (batch, self.num_heads, steps, keys_values.shape[1]), "float32"
            ),
        )

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "num_heads": self.num_heads}


@keras.saving.register_keras_serializable("emorec")
class IdleDense(layers.Layer):
    """Hold the weights of a linear layer and pass the inputs on as they are.

    Published networks have linear layers from which nothing is computed. Held here, all
    tensors of a checkpoint have their place, and its parameters can be counted. Their
    gradient is zero.

    Parameters
    ----------
    units : int
        U, the outputs that the linear layer would have.
    **kwargs
        Those of `keras.layers.Layer`.

    Input and output: (..., W) float. Weights: ``kernel`` (W, U), ``bias`` (U,).
    """

    def __init__(self, units: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.units = int(units)

    def build(self, input_shape):
        """Create the weights."""
        self.kernel = self.add_weight(
            (input_shape[-1], self.units), "glorot_uniform", name="kernel"
        )
        self.bias = self.add_weight((self.units,), "zeros", name="bias")
        self.built = True

    def call(self, inputs):
        """Return the inputs."""
        # Without any gradient Keras would warn at every training.
        idle = ops.sum(self.kernel) + ops.sum(self.bias)
        return inputs + ops.cast(0 * idle, inputs.dtype)

    def compute_output_shape(self, input_shape):
        """Return the shape of the inputs."""
        return input_shape

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "units": self.units}
