"""ResNet-50 and SE-ResNet-50 for faces, in the two geometries whose weights exist.

He, Zhang, Ren and Sun (2016), "Deep Residual Learning for Image Recognition", and Hu,
Shen and Sun (2018), "Squeeze-and-Excitation Networks", as trained on VGGFace2 by Cao,
Shen, Xie, Parkhi and Zisserman (2018) and made the teacher of Albanie, Nagrani, Vedaldi
and Zisserman (2018), "Emotion Recognition in Speech using Cross-Modal Transfer in the
Wild", section 3.1.

Layers have the names of those networks, with ``_`` for ``/``: ``conv1_7x7_s2``,
``conv2_1_1x1_reduce``, ``conv2_1_3x3``, ``conv2_1_1x1_increase``, ``conv2_1_1x1_proj``,
each followed by ``_bn``; ``conv2_1_1x1_down``, ``conv2_1_1x1_up`` and ``conv2_1_prob``
of the gates; ``conv2_1_relu``, the output of a block; ``pool5_7x7_s1``; ``classifier``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from emorec.errors import DataError, SpecError

# Of the faces of VGGFace2: red, green, blue, of 255.
MEAN_RGB = (131.0912, 103.8827, 91.4953)
BLOCKS = (3, 4, 6, 3)
FEATURES = 2048
REDUCTION = 16
CLASSIFIER = "classifier"
# Standard deviation of a new classifier's weights (Albanie et al.'s program).
HEAD_DEVIATION = 0.01


@dataclass(frozen=True)
class Geometry:
    """In what the networks differ that share these weights' names.

    Attributes
    ----------
    bgr : bool
        Whether the input's channels are blue, green, red.
    ceil : bool
        Caffe's edges: three pixels of padding on all sides of the first convolution,
        and a pooling that keeps the last row and column. Else Keras' edges: "same",
        which pads two before and three after, and a pooling that drops them.
    epsilon, gated_epsilon : float
        Of batch normalisation, without and with squeeze-and-excitation.
    """

    bgr: bool
    ceil: bool
    epsilon: float
    gated_epsilon: float


# "caffe": VGGFace2's own networks, in MatConvNet and PyTorch, and those of FER+ made
# from them. "keras": the networks of rcmalli's keras-vggface.
GEOMETRIES = {
    "caffe": Geometry(bgr=False, ceil=True, epsilon=1e-5, gated_epsilon=1e-5),
    "keras": Geometry(bgr=True, ceil=False, epsilon=1e-3, gated_epsilon=1e-4),
}


def geometry_of(name: str) -> Geometry:
    """Return the geometry called `name`; SpecError where there is none."""
    if name not in GEOMETRIES:
        raise SpecError(
            f"geometry '{name}': expected one of {', '.join(GEOMETRIES)}. Weights of "
            "VGGFace2 or FER+ for MatConvNet or PyTorch need caffe, those of "
            "keras-vggface need keras."
        )
    return GEOMETRIES[name]


def resnet50(
    num_labels: int = 8,
    geometry: str = "caffe",
    include_top: bool = True,
    dropout: float = 0.5,
    literal_dropout: bool = False,
    squeeze_excitation: bool = False,
    size: int = 224,
    seed: int = 0,
    initializer: str = "he_normal",
) -> keras.Model:
    """Build the network.

    Parameters
    ----------
    num_labels : int
        K, the outputs.
    geometry : str
        A key of `GEOMETRIES`, which must be that of the weights to be loaded.
    include_top : bool
        Whether dropout and classifier follow the pooled features.
    dropout : float
        In [0, 1): the share of the pooled features that a step of training ignores.
    literal_dropout : bool
        Drop, instead of pooled features, the outputs of the last two convolutions
        before the classifier, where Albanie et al.'s program puts it: of the last
        block's 3x3 and second 1x1, before their normalisation, or of its gate.
    squeeze_excitation : bool
        Whether each block's channels are gated.
    size : int
        Height and width of the images, a multiple of 4.
    seed : int
        Of the classifier's first weights and of dropout. The backbone's come from
        Keras' own generator.
    initializer : str
        Of the backbone's kernels, as Keras names it. Where weights are loaded
        afterwards "zeros" starts sooner, on JAX by ten seconds.

    Returns
    -------
    keras.Model
        Input ``images`` (B, size, size, 3) float, from `preprocess`. Output
        ``classifier``: logits (B, K) float32; without top the pooled features
        (B, 2048) float32. For 8 labels 23,524,424 trainable parameters, gated
        26,055,416.

    Raises
    ------
    SpecError
        For a geometry that is not there or a size that is no multiple of 4.
    """
    edges = geometry_of(geometry)
    if size < 32 or size % 4:
        raise SpecError(
            f"size {size}: expected a multiple of 4 of at least 32 pixels. The "
            "published networks have 224."
        )
    parts = _Parts(
        epsilon=edges.gated_epsilon if squeeze_excitation else edges.epsilon,
        squeeze_excitation=squeeze_excitation,
        drops=_dropped(squeeze_excitation) if include_top and literal_dropout else (),
        dropout=dropout,
        seed=seed,
        initializer=initializer,
    )
    images = keras.Input((size, size, 3), name="images")
    x = images
    if edges.ceil:
        x = layers.ZeroPadding2D(3, name="conv1_padding")(x)
    x = parts.convolution(
        x, 64, 7, "conv1_7x7_s2", strides=2, padding="valid" if edges.ceil else "same"
    )
    x = layers.ReLU(name="conv1_relu_7x7_s2")(x)
    # On an even number of rows "same" adds one after the last, as Caffe's rounding up
    # does.
    padding = "same" if edges.ceil else "valid"
    x = layers.MaxPooling2D(3, 2, padding=padding, name="pool1_3x3_s2")(x)
    for stage, count in enumerate(BLOCKS):
        for number in range(1, count + 1):
            strides = 2 if stage and number == 1 else 1
            name = f"conv{stage + 2}_{number}"
            x = parts.bottleneck(x, 64 << stage, strides, number == 1, name)
    # float32 from here on, for a narrow output would round the logits.
    x = layers.GlobalAveragePooling2D(dtype="float32", name="pool5_7x7_s1")(x)
    if include_top:
        if not literal_dropout:
            x = layers.Dropout(dropout, seed=seed, dtype="float32", name="pool5_drop")(
                x
            )
        x = layers.Dense(
            num_labels,
            kernel_initializer=keras.initializers.RandomNormal(
                0.0, HEAD_DEVIATION, seed
            ),
            dtype="float32",
            name=CLASSIFIER,
        )(x)
    return keras.Model(images, x, name="senet50" if squeeze_excitation else "resnet50")


def senet50(num_labels: int = 8, **kwargs: Any) -> keras.Model:
    """Build SE-ResNet-50: `resnet50` with `squeeze_excitation`."""
    return resnet50(num_labels, squeeze_excitation=True, **kwargs)


def _dropped(squeeze_excitation: bool) -> tuple[str, str]:
    """Name the two convolutions that stand before the classifier's."""
    if squeeze_excitation:
        return "conv5_3_1x1_down", "conv5_3_1x1_up"
    return "conv5_3_3x3", "conv5_3_1x1_increase"


@dataclass(frozen=True)
class _Parts:
    """The parts of which the blocks are made; the attributes are `resnet50`'s."""

    epsilon: float
    squeeze_excitation: bool
    drops: tuple[str, ...]
    dropout: float
    seed: int
    initializer: str

    def convolution(self, x, filters, size, name, strides=1, padding="same"):
        """Convolve without bias and normalise."""
        x = layers.Conv2D(
            filters,
            size,
            strides,
            padding,
            use_bias=False,
            kernel_initializer=self.initializer,
            name=name,
        )(x)
        x = self.dropped(x, name)
        return layers.BatchNormalization(
            momentum=0.9, epsilon=self.epsilon, name=f"{name}_bn"
        )(x)

    def bottleneck(self, x, width, strides, project, name):
        """Reduce, convolve, increase; add the input, projected where it is narrower."""
        y = self.convolution(x, width, 1, f"{name}_1x1_reduce", strides)
        y = layers.ReLU(name=f"{name}_1x1_reduce_relu")(y)
        y = self.convolution(y, width, 3, f"{name}_3x3")
        y = layers.ReLU(name=f"{name}_3x3_relu")(y)
        y = self.convolution(y, 4 * width, 1, f"{name}_1x1_increase")
        if self.squeeze_excitation:
            y = self.gated(y, 4 * width, name)
        if project:
            x = self.convolution(x, 4 * width, 1, f"{name}_1x1_proj", strides)
        y = layers.Add(name=name)([y, x])
        return layers.ReLU(name=f"{name}_relu")(y)

    def gated(self, x, width, name):
        """Multiply each channel by a gate made of all channels' means."""
        gate = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_global_pool")(
            x
        )
        # The 1x1 convolutions of the paper see one pixel, hence are dense layers.
        down, up = f"{name}_1x1_down", f"{name}_1x1_up"
        gate = layers.Dense(
            width // REDUCTION, kernel_initializer=self.initializer, name=down
        )(gate)
        gate = self.dropped(gate, down)
        gate = layers.ReLU(name=f"{down}_relu")(gate)
        gate = layers.Dense(width, kernel_initializer=self.initializer, name=up)(gate)
        gate = self.dropped(gate, up)
        gate = layers.Activation("sigmoid", name=f"{name}_prob")(gate)
        return layers.Multiply(name=f"{name}_scale")([x, gate])

    def dropped(self, x, name):
        """Apply dropout where the literal placement has it."""
        if name not in self.drops:
            return x
        return layers.Dropout(self.dropout, seed=self.seed, name=f"{name}_drop")(x)


def preprocess(images, geometry: str = "caffe"):
    """Turn images into the networks' input: subtract the mean face, order channels.

    Parameters
    ----------
    images : array or tensor
        Grey (B, H, W) or (B, H, W, 1), or red, green, blue (B, H, W, 3); values 0 to
        255, of any type.
    geometry : str
        A key of `GEOMETRIES`.

    Returns
    -------
    tensor
        (B, H, W, 3) float32, in the order of channels of the geometry.

    Raises
    ------
    DataError
        For another shape.
    SpecError
        For a geometry that is not there.
    """
    edges = geometry_of(geometry)
    shape = tuple(images.shape)
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[-1] not in (1, 3)):
        raise DataError(
            f"images of shape {shape}: expected (B, H, W) or (B, H, W, 1) in grey, or "
            "(B, H, W, 3) in red, green and blue."
        )
    images = ops.cast(images, "float32")
    if len(shape) == 3:
        images = images[..., None]
    mean = np.array(MEAN_RGB, np.float32)
    if edges.bgr:
        images, mean = images[..., ::-1], mean[::-1].copy()
    # One grey channel becomes three, for the mean has three.
    return images - mean
