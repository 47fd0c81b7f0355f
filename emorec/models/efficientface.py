"""EfficientFace without its classifier: the features of one frame.

Zhao, Liu and Zhou (2021), "Robust Lightweight Facial Expression Recognition Network
with Label Distribution Training": ShuffleNet-V2 (Ma et al. 2018) with a local feature
extractor and a channel-spatial modulator, as Chumachenko, Iosifidis and Gabbouj (2022),
"Self-attention fusion for audiovisual emotion recognition with incomplete data", have
it.

Layers have the names of the published PyTorch networks, with ``_`` for ``.``:
``conv1_0`` and its normalisation ``conv1_1``, ``stage2_0_branch1_0`` and so on,
``local_conv1_1``, ``modulator_channel_att_...``, ``conv5_0``.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
from keras import layers, ops

from emorec.errors import SpecError
from emorec.models.image_layers import DepthwiseConv2D, MaxPooling2D, Pointwise

FEATURES = 1024
STEM = "conv1_0"
STEM_WIDTH = 29
# Name, width and number of units of each stage.
STAGES = (("stage2", 116, 4), ("stage3", 232, 8), ("stage4", 464, 4))
REDUCTION = 16
# A quadrant is convolved to half its height, so the map needs a multiple of 4 rows.
MULTIPLE = 16
_DILATION = 4
# The quadrants that the local convolutions 1 to 4 see: lower, right.
_QUADRANTS = ((False, False), (True, False), (False, True), (True, True))


@keras.saving.register_keras_serializable("emorec")
class ChannelShuffle(layers.Layer):
    """Join two halves of the channels, taking from each by turns.

    Concatenation and the shuffle of two groups of ShuffleNet-V2 in one. Input: two
    tensors (..., C). Output: (..., 2C), channel 2c of the first, 2c + 1 of the second.
    """

    def call(self, inputs):
        """Interleave the channels of both."""
        first, _ = inputs
        shape = (-1, *first.shape[1:-1], 2 * first.shape[-1])
        return ops.reshape(ops.stack(inputs, axis=-1), shape)

    def compute_output_shape(self, input_shape):
        """Return (..., 2C)."""
        first, _ = input_shape
        return (*first[:-1], 2 * first[-1])


def efficientface(size: int = 224, initializer: str = "he_normal") -> keras.Model:
    """Build the frame network.

    Parameters
    ----------
    size : int
        Height and width of the frames, a multiple of 16; 224 in the papers.
    initializer : str
        Of the kernels, as Keras names it. Where weights are loaded afterwards "zeros"
        starts sooner.

    Returns
    -------
    keras.Model
        Named "frames". Input ``images`` (N, size, size, 3) float in [0, 1], channels
        last. Output: (N, 1024) float32, none negative.

    Raises
    ------
    SpecError
        For a size that is no multiple of 16, or less than 32.
    """
    if size < 2 * MULTIPLE or size % MULTIPLE:
        raise SpecError(
            f"size {size}: expected a multiple of {MULTIPLE} of at least "
            f"{2 * MULTIPLE} pixels. The published network has 224."
        )
    parts = _Parts(initializer)
    images = keras.Input((size, size, 3), name="images")
    x = parts.convolution(images, STEM_WIDTH, 3, STEM, strides=2)
    x = stem = parts.pooled(parts.normalised(x, "conv1_1", relu=True))
    for stage, width, units in STAGES:
        for number in range(units):
            x = parts.unit(x, width, f"{stage}_{number}", halve=number == 0)
        if stage == "stage2":
            local = parts.local(stem, width)
            x = layers.Add(name="global_and_local")([parts.modulated(x), local])
    x = parts.convolution(x, FEATURES, 1, "conv5_0")
    x = parts.normalised(x, "conv5_1", relu=True)
    # float32, for a narrow mean would lose digits.
    x = layers.GlobalAveragePooling2D(dtype="float32", name="pool")(x)
    return keras.Model(images, x, name="frames")


@dataclass(frozen=True)
class _Parts:
    """The parts of which the network is made; the attribute is `efficientface`'s."""

    initializer: str

    def convolution(self, x, width, kernel, name, strides=1, dilation=1, bias=False):
        """Convolve; symmetric padding keeps the size but for the strides."""
        x = _padded(x, kernel, strides, name)
        make = Pointwise if kernel == strides == 1 else layers.Conv2D
        return make(
            width,
            kernel,
            strides,
            "valid" if strides > 1 else "same",
            dilation_rate=dilation,
            use_bias=bias,
            kernel_initializer=self.initializer,
            name=name,
        )(x)

    def depthwise(self, x, name, strides=1, multiplier=1):
        """Convolve each channel by itself, to `multiplier` channels."""
        first = self.initializer
        if first == "he_normal":
            # Keras counts all channels as inputs, of which each output sees one.
            first = keras.initializers.RandomNormal(0.0, (2 / 9) ** 0.5)
        x = _padded(x, 3, strides, name)
        return DepthwiseConv2D(
            3,
            strides,
            "valid" if strides > 1 else "same",
            depth_multiplier=multiplier,
            use_bias=False,
            depthwise_initializer=first,
            name=name,
        )(x)

    def normalised(self, x, name, relu=False):
        """Normalise, rectify where asked."""
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)
        return layers.ReLU(name=f"{name}_relu")(x) if relu else x

    def pooled(self, x):
        """Take the largest of 3 x 3, every other row and column."""
        # Zeros are as good as nothing beside rectified values.
        return MaxPooling2D(3, 2, name="maxpool")(
            layers.ZeroPadding2D(1, name="maxpool_padding")(x)
        )

    def unit(self, x, width, name, halve):
        """Apply an inverted residual unit; `halve` rows and columns."""
        half = width // 2
        if halve:
            kept = self.depthwise(x, f"{name}_branch1_0", strides=2)
            kept = self.normalised(kept, f"{name}_branch1_1")
            kept = self.convolution(kept, half, 1, f"{name}_branch1_2")
            kept = self.normalised(kept, f"{name}_branch1_3", relu=True)
        else:
            kept, x = ops.split(x, 2, axis=-1)
        branch = f"{name}_branch2"
        x = self.convolution(x, half, 1, f"{branch}_0")
        x = self.normalised(x, f"{branch}_1", relu=True)
        x = self.depthwise(x, f"{branch}_3", strides=2 if halve else 1)
        x = self.normalised(x, f"{branch}_4")
        x = self.convolution(x, half, 1, f"{branch}_5")
        x = self.normalised(x, f"{branch}_6", relu=True)
        return ChannelShuffle(name=name)([kept, x])

    def local(self, x, width):
        """See each quadrant with convolutions of its own."""
        half = x.shape[1] // 2
        done = []
        for number, (lower, right) in enumerate(_QUADRANTS, 1):
            name = f"local_conv{number}"
            rows, columns = ((half, 0) if far else (0, half) for far in (lower, right))
            y = layers.Cropping2D((rows, columns), name=f"local_crop{number}")(x)
            y = self.depthwise(y, f"{name}_1", 2, multiplier=width // STEM_WIDTH)
            y = self.normalised(y, f"local_bn{number}_1", relu=True)
            y = self.depthwise(y, f"{name}_2")
            done.append(self.normalised(y, f"local_bn{number}_2", relu=True))
        left = layers.Concatenate(axis=1, name="local_left")(done[:2])
        right = layers.Concatenate(axis=1, name="local_right")(done[2:])
        return layers.Concatenate(axis=2, name="local")([left, right])

    def modulated(self, x):
        """Multiply by a gate of all channels and places."""
        width = x.shape[-1]
        narrow = width // REDUCTION
        name = "modulator_channel_att_gate_c_gate_c"
        channel = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_mean")(x)
        channel = self.dense(channel, narrow, f"{name}_fc_0")
        channel = self.normalised(channel, f"{name}_bn_1", relu=True)
        channel = self.dense(channel, width, f"{name}_fc_final")
        name = "modulator_spatial_att_gate_s_gate_s"
        place = self.convolution(x, narrow, 1, f"{name}_conv_reduce0", bias=True)
        place = self.normalised(place, f"{name}_bn_reduce0", relu=True)
        for number in range(2):
            place = self.convolution(
                place,
                narrow,
                3,
                f"{name}_conv_di_{number}",
                dilation=_DILATION,
                bias=True,
            )
            place = self.normalised(place, f"{name}_bn_di_{number}", relu=True)
        place = self.convolution(place, 1, 1, f"{name}_conv_final", bias=True)
        gate = layers.Multiply(name="modulator_product")([channel, place])
        gate = layers.Activation("sigmoid", name="modulator_gate")(gate)
        return layers.Multiply(name="modulator")([x, gate])

    def dense(self, x, width, name):
        """Map the channels linearly."""
        return layers.Dense(width, kernel_initializer=self.initializer, name=name)(x)


def _padded(x, kernel, strides, name):
    """Pad both sides alike, which "same" does only without strides."""
    if strides == 1:
        return x
    return layers.ZeroPadding2D(kernel // 2, name=f"{name}_padding")(x)
