"""Layers of image networks that XLA computes slowly on a CPU, written as it likes them.

JAX compiles everything by XLA. Of a depthwise convolution XLA makes a general one,
which on a CPU takes tens of times as long as the same written as products of shifted
images, which it joins to one loop. The gradient of a 1 x 1 convolution takes three
times as long there as that of a matrix product, that of the maxima of windows six times
as long as that of the maxima of shifted images.

The layers here compute what those of Keras do, to rounding, with the same weights. On
TensorFlow, which has kernels of its own for a CPU, and on accelerators they are Keras'
(``benchmarks/audiovisual_training.py --programs emorec "emorec, kernels"``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
from keras import layers, ops


def compiled_for_a_cpu() -> bool:
    """Return whether XLA compiles for a CPU in any case."""
    if keras.backend.backend() != "jax":
        return False
    import jax

    return jax.default_backend() == "cpu"


def depthwise(images: Any, kernel: Any, strides: int = 1) -> Any:
    """Convolve each channel by itself, without padding.

    Parameters
    ----------
    images : (N, H, W, C) tensor
    kernel : (h, w, C, M) tensor
    strides : int
        Of rows and columns.

    Returns
    -------
    tensor
        (N, (H - h) // strides + 1, (W - w) // strides + 1, C M), channel M c + m of
        channel c of the images.
    """
    high, wide, channels, multiplier = kernel.shape
    found = []
    for number in range(multiplier):
        result = 0
        for row, column, part in _shifted(images, high, wide, strides):
            result = result + part * kernel[row, column, :, number]
        found.append(result)
    if multiplier == 1:
        return found[0]
    shape = (-1, *found[0].shape[1:3], channels * multiplier)
    return ops.reshape(ops.stack(found, axis=-1), shape)


def largest(images: Any, size: int, strides: int) -> Any:
    """Return the largest of each window of size x size, without padding.

    Parameters
    ----------
    images : (N, H, W, C) tensor
    size, strides : int
        Of rows and columns.

    Returns
    -------
    tensor
        (N, (H - size) // strides + 1, (W - size) // strides + 1, C). Where several are
        the largest they share the gradient, which otherwise goes to the first.
    """
    # Rows, then columns: fewer comparisons.
    for high, wide in ((size, 1), (1, size)):
        steps = (strides, 1) if high > 1 else (1, strides)
        parts = [part for *_, part in _shifted(images, high, wide, steps)]
        images = parts[0]
        for part in parts[1:]:
            images = ops.maximum(images, part)
    return images


def _shifted(
    images: Any, high: int, wide: int, strides: int | tuple[int, int]
) -> Iterator[tuple[int, int, Any]]:
    """Yield row, column and what lies there under the windows of the images."""
    down, right = (strides, strides) if isinstance(strides, int) else strides
    rows = (images.shape[1] - high) // down * down + 1
    columns = (images.shape[2] - wide) // right * right + 1
    for row in range(high):
        for column in range(wide):
            part = images[:, row : row + rows : down, column : column + columns : right]
            yield row, column, part


@keras.saving.register_keras_serializable("emorec")
class DepthwiseConv2D(layers.DepthwiseConv2D):
    """Keras' layer, for one stride in both directions and no activation."""

    def call(self, inputs):
        """Convolve each channel by itself."""
        if not compiled_for_a_cpu():
            return super().call(inputs)
        if self.padding == "same":
            before = [((size - 1) // 2, size // 2) for size in self.kernel_size]
            inputs = ops.pad(inputs, ((0, 0), *before, (0, 0)))
        kernel = ops.convert_to_tensor(self.kernel)
        result = depthwise(inputs, kernel, self.strides[0])
        return result + self.bias if self.use_bias else result


@keras.saving.register_keras_serializable("emorec")
class Pointwise(layers.Conv2D):
    """Keras' convolution, for kernels of 1 x 1 without strides and activation."""

    def call(self, inputs):
        """Map the channels of each place linearly."""
        if not compiled_for_a_cpu():
            return super().call(inputs)
        result = ops.matmul(inputs, ops.convert_to_tensor(self.kernel)[0, 0])
        return result + self.bias if self.use_bias else result


@keras.saving.register_keras_serializable("emorec")
class MaxPooling2D(layers.MaxPooling2D):
    """Keras' layer for square windows without padding."""

    def call(self, inputs):
        """Take the largest of each window."""
        if not compiled_for_a_cpu():
            return super().call(inputs)
        return largest(inputs, self.pool_size[0], self.strides[0])
