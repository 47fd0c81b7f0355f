"""A bidirectional LSTM that trains faster than Keras' own, with the same weights.

Schuster and Paliwal (1997), "Bidirectional Recurrent Neural Networks".
"""

from __future__ import annotations

import keras
from keras import layers, ops

from emorec.models.recurrence import plain_recurrence, recurrence


# Keras names the weights in a file by the class, hence the name: either network loads
# the weights of the other.
@keras.saving.register_keras_serializable("emorec")
class Bidirectional(layers.Bidirectional):
    """`keras.layers.Bidirectional` of an LSTM, with one loop for both directions.

    The inputs of all steps meet the kernels of both directions in one product, and the
    backward pass is written out (`emorec.models.recurrence`). Outputs and gradients are
    those of Keras' layer. Where that would run cuDNN, on TensorFlow with a GPU, it
    does.

    Parameters
    ----------
    layer : keras.layers.LSTM
        The forward direction: with its default activations, without dropout.
    jit_compile : bool
        Whether XLA compiles the loops on TensorFlow. On JAX it always does.
    **kwargs
        Those of `keras.layers.Bidirectional`.

    Input: (B, T, D) float, and a mask (B, T) bool, True at real steps, which must come
    first. With `affine`, a scale (D,), a shift (M, D) and its factors (B, T, M), the
    sequences become ``sequences * scale + factors @ shift``, at next to no cost.
    Output: (B, 2U) float, or (B, T, 2U) when the LSTM returns sequences, 0 at padded
    steps: the forward direction, then the backward one.
    """

    def __init__(self, layer: layers.LSTM, jit_compile: bool = True, **kwargs) -> None:
        super().__init__(layer, **kwargs)
        self.jit_compile = jit_compile
        # Set for an export, whose converter knows few operations; never saved.
        self.plain = False
        if layer.use_cudnn is False:
            for direction in (self.forward_layer, self.backward_layer):
                # Made anew by Keras, from a config that lacks use_cudnn.
                direction.supports_jit = True

    def call(
        self, sequences, initial_state=None, mask=None, training=None, affine=None
    ):
        """Return the hidden states of both directions, joined."""
        if self.forward_layer.use_cudnn is not False and _runs_cudnn():
            if affine is not None:
                scale, shift, factors = affine
                sequences = sequences * scale + ops.matmul(factors, shift)
            return super().call(sequences, mask=mask, training=training)
        if mask is None:
            mask = ops.ones(ops.shape(sequences)[:2], "bool")
        mask = ops.cast(mask, "bool")
        forward, backward = self.forward_layer.cell, self.backward_layer.cell
        if _runs_at_once():
            ahead = self._directions([forward], (False,), sequences, mask, affine)[:, 0]
            back = self._directions([backward], (True,), sequences, mask, affine)[:, 0]
        else:
            cells, reverse = [forward, backward], (False, True)
            hidden = self._directions(cells, reverse, sequences, mask, affine)
            ahead, back = hidden[:, 0], hidden[:, 1]
        if self.return_sequences:
            joined = ops.concatenate([ahead, ops.flip(back, axis=0)], axis=-1)
            return ops.transpose(joined, (1, 0, 2))
        # The last real step is the one before the padding.
        going_on = ops.pad(mask[:, 1:], ((0, 0), (0, 1)))
        last = ops.logical_and(mask, ops.logical_not(going_on))
        last = ops.expand_dims(ops.cast(ops.transpose(last), ahead.dtype), -1)
        return ops.concatenate([ops.sum(ahead * last, axis=0), back[-1]], axis=-1)

    def _directions(self, cells, reverse, sequences, mask, affine):
        """Return the hidden states (T, W, B, U) of the directions of W cells."""

        def joined(name, join, axis):
            return join([getattr(cell, name).value for cell in cells], axis)

        kernel = joined("kernel", ops.concatenate, 1)
        if affine is None:
            projected = ops.matmul(sequences, kernel)
        else:
            scale, shift, factors = affine
            scaled, shifted = scale[:, None] * kernel, ops.matmul(shift, kernel)
            projected = ops.matmul(sequences, ops.cast(scaled, self.compute_dtype))
            projected += ops.matmul(factors, ops.cast(shifted, self.compute_dtype))
        bias = joined("bias", ops.concatenate, 0)
        recurrent = joined("recurrent_kernel", ops.stack, 0)
        if self.plain:
            return plain_recurrence(projected, bias, recurrent, mask, reverse)
        return recurrence(projected, bias, recurrent, mask, reverse, self.jit_compile)

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "jit_compile": self.jit_compile}


def _runs_cudnn() -> bool:
    """Whether Keras' layer would run cuDNN: with a mask it does on TensorFlow alone."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return bool(tf.config.list_logical_devices("GPU"))


def _runs_at_once() -> bool:
    """Whether loops of their own for both directions run on a core each.

    TensorFlow runs what is independent at once; a loop of XLA uses one core. Elsewhere
    one loop for both has half as many steps.
    """
    return keras.backend.backend() == "tensorflow" and not _runs_cudnn()
