"""Any network of MatConvNet as a Keras model, as far as its layers are known.

The semantics are those of MatConvNet's own blocks (Vedaldi and Lenc 2015) and of
mcnExtraLayers (GlobalPooling, Axpy, Scale).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from emorec.errors import SpecError
from emorec.models.dagnn_graph import DagLayer, DagNN

_EPSILON = 1e-5

Builder = Callable[[DagLayer, list, dict[str, np.ndarray]], Any]


def build_dagnn(
    network: DagNN, input_shape: tuple[int, int, int], all_outputs: bool = False
) -> keras.Model:
    """Build a network with its parameters.

    Parameters
    ----------
    network : DagNN
        From `emorec.artifacts.matconvnet.read_dagnn`.
    input_shape : tuple of int
        Height, width and channels of its one input.
    all_outputs : bool
        Return every variable rather than the last ones, to look into the network.

    Returns
    -------
    keras.Model
        Input (B, H, W, C) float; output a dictionary variable -> (B, H', W', C').
        Losses are left out.

    Raises
    ------
    SpecError
        For a layer of a kind that is not known, a second input, or layers in a circle.
    """
    try:
        ordered = network.in_order()
    except ValueError as error:
        raise SpecError(f"The network cannot be computed: {error}.") from None
    made = {name for layer in ordered for name in layer.outputs}
    read = {name for layer in ordered for name in layer.inputs}
    if len(read - made) != 1:
        raise SpecError(
            f"Expected a network with one input, found {sorted(read - made)}."
        )
    (entry,) = read - made
    images = keras.Input(input_shape, name=_name(entry))
    variables = {entry: images}
    for layer in ordered:
        if layer.kind not in _BUILDERS:
            raise SpecError(
                f"layer '{layer.name}': of kind {layer.kind}; known are "
                f"{', '.join(sorted(_BUILDERS))}."
            )
        inputs = [variables[name] for name in layer.inputs]
        result = _BUILDERS[layer.kind](layer, inputs, network.params)
        variables[layer.outputs[0]] = result
    wanted = made if all_outputs else made - read
    return keras.Model(images, {name: variables[name] for name in sorted(wanted)})


def _name(text: str) -> str:
    """Name a Keras layer, where ``/`` is not allowed."""
    return text.replace("/", "_").replace(":", "_")


def _numbers(value: Any, count: int) -> tuple[int, ...]:
    """Return a field of `count` numbers, of which files may say one or two.

    One number stands for all, two for the vertical and the horizontal ones.
    """
    numbers = [int(n) for n in np.ravel(np.asarray(value))]
    if len(numbers) not in (1, count) and (count, len(numbers)) != (4, 2):
        raise SpecError(f"expected {count} numbers, found {numbers}")
    each = count // len(numbers)
    return tuple(n for n in numbers for _ in range(each))


def _edges(layer: DagLayer) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return ((top, bottom), (left, right)) of the padding."""
    top, bottom, left, right = _numbers(layer.block.get("pad", 0), 4)
    return (top, bottom), (left, right)


def _build(made: keras.Layer, inputs: list, values: list[np.ndarray]) -> Any:
    """Apply a layer and give it its weights."""
    result = made(*inputs)
    made.set_weights(values)
    return result


def _convolution(layer: DagLayer, inputs: list, params: dict) -> Any:
    (x,), kernel = inputs, params[layer.params[0]]
    if any(map(any, _edges(layer))):
        x = layers.ZeroPadding2D(_edges(layer), name=f"{_name(layer.name)}_padding")(x)
    made = layers.Conv2D(
        kernel.shape[3],
        kernel.shape[:2],
        strides=_numbers(layer.block.get("stride", 1), 2),
        dilation_rate=_numbers(layer.block.get("dilate", 1), 2),
        groups=x.shape[-1] // kernel.shape[2],
        use_bias=len(layer.params) > 1,
        name=_name(layer.name),
    )
    return _build(made, [x], [params[name] for name in layer.params])


def _normalisation(layer: DagLayer, inputs: list, params: dict) -> Any:
    gamma, beta, moments = (params[name] for name in layer.params)
    epsilon = float(np.ravel(layer.block.get("epsilon", _EPSILON))[0])
    made = layers.BatchNormalization(
        momentum=0.9, epsilon=epsilon, name=_name(layer.name)
    )
    # The second moment is the root of variance plus epsilon, which Keras adds again.
    variance = moments[:, 1].astype(np.float64) ** 2 - epsilon
    return _build(made, inputs, [gamma, beta, moments[:, 0], variance])


def _relu(layer: DagLayer, inputs: list, params: dict) -> Any:
    leak = float(np.ravel(layer.block.get("leak", 0.0))[0])
    return layers.ReLU(negative_slope=leak, name=_name(layer.name))(inputs[0])


def _pooling(layer: DagLayer, inputs: list, params: dict) -> Any:
    (x,), edges = inputs, _edges(layer)
    size = _numbers(layer.block["poolSize"], 2)
    strides = _numbers(layer.block.get("stride", 1), 2)
    largest, padded = layer.block.get("method", "max") == "max", any(map(any, edges))
    pool = layers.MaxPooling2D if largest else layers.AveragePooling2D
    height, width = x.shape[1:3]
    if padded:
        # Padding never is the largest, and does not count in the average.
        border = -np.inf if largest else 0.0
        x = ops.pad(x, ((0, 0), *edges, (0, 0)), constant_values=border)
    x = pool(size, strides, name=_name(layer.name))(x)
    if padded and not largest:
        rows = _real(height, edges[0], size[0], strides[0])
        columns = _real(width, edges[1], size[1], strides[1])
        share = np.outer(rows, columns) / np.prod(size)
        x = x / share.astype(np.float32)[None, :, :, None]
    return x


def _real(length: int, edges: tuple[int, int], size: int, stride: int) -> np.ndarray:
    """Count, per window, the pixels along one axis that are not padding."""
    real = np.zeros(length + sum(edges))
    real[edges[0] : edges[0] + length] = 1
    return np.convolve(real, np.ones(size), "valid")[::stride]


def _global_pooling(layer: DagLayer, inputs: list, params: dict) -> Any:
    largest = layer.block.get("method", "avg") == "max"
    pool = layers.GlobalMaxPooling2D if largest else layers.GlobalAveragePooling2D
    return pool(keepdims=True, name=_name(layer.name))(inputs[0])


def _axpy(layer: DagLayer, inputs: list, params: dict) -> Any:
    gate, scaled, added = inputs
    return layers.Add(name=_name(layer.name))([gate * scaled, added])


def _scale(layer: DagLayer, inputs: list, params: dict) -> Any:
    """Scale by a second input, or by a parameter per channel."""
    if len(inputs) == 2:
        return layers.Multiply(name=_name(layer.name))(inputs)
    scale, *bias = (params[name] for name in layer.params)
    made = layers.DepthwiseConv2D(1, use_bias=bool(bias), name=_name(layer.name))
    return _build(made, inputs, [scale.reshape(1, 1, -1, 1), *bias])


def _dropout(layer: DagLayer, inputs: list, params: dict) -> Any:
    rate = float(np.ravel(layer.block.get("rate", 0.5))[0])
    return layers.Dropout(rate, name=_name(layer.name))(inputs[0])


_BUILDERS: dict[str, Builder] = {
    "Conv": _convolution,
    "BatchNorm": _normalisation,
    "ReLU": _relu,
    "Pooling": _pooling,
    "GlobalPooling": _global_pooling,
    "Axpy": _axpy,
    "Scale": _scale,
    "DropOut": _dropout,
    "Sum": lambda layer, inputs, _: layers.Add(name=_name(layer.name))(inputs),
    "Concat": lambda layer, inputs, _: layers.Concatenate(name=_name(layer.name))(
        inputs
    ),
    "Sigmoid": lambda layer, inputs, _: layers.Activation(
        "sigmoid", name=_name(layer.name)
    )(inputs[0]),
    "SoftMax": lambda layer, inputs, _: layers.Softmax(name=_name(layer.name))(
        inputs[0]
    ),
}
