"""Small networks for grey faces: one for two cores, and the FER+ paper's VGG13."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

# Keras' default moves the statistics ten times as slowly, which short trainings with
# a falling learning rate end before.
_MOMENTUM, _EPSILON = 0.9, 1e-5


def compact(
    num_outputs: int,
    dropout_rate: float = 0.3,
    widths: Sequence[int] = (32, 32, 64, 160),
    size: int = 48,
) -> keras.Model:
    """Build a residual network that trains on two cores.

    Input: (B, size, size, 1) float. Output: (B, num_outputs) float32 logits.

    Parameters
    ----------
    num_outputs : int
        Number of classes.
    dropout_rate : float
        Before the classifier.
    widths : sequence of int
        Channels of the stem, then of each stage; a stage halves height and width.
    size : int
        Height and width of a face.
    """
    inputs = keras.Input((size, size, 1), name="image")
    x = _unit(inputs, widths[0], "stem", strides=2, kernel=5)
    for number, width in enumerate(widths[1:], 1):
        name = f"stage{number}"
        if number > 1:
            x = layers.MaxPooling2D(2, name=f"{name}_pool")(x)
        x = _unit(x, width, f"{name}_widen")
        y = _unit(x, width, f"{name}_first")
        y = _unit(y, width, f"{name}_second", activation=None)
        x = layers.ReLU(name=name)(layers.Add(name=f"{name}_add")([x, y]))
    return _head(inputs, x, num_outputs, dropout_rate)


def _unit(x, width, name, strides=1, kernel=3, activation="relu"):
    x = layers.Conv2D(
        width,
        kernel,
        strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    x = layers.BatchNormalization(
        momentum=_MOMENTUM, epsilon=_EPSILON, name=f"{name}_norm"
    )(x)
    return layers.ReLU(name=f"{name}_relu")(x) if activation else x


def _head(inputs, x, num_outputs, dropout_rate):
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(dropout_rate, name="dropout")(x)
    # float32 also under mixed precision, so that the softmax keeps its digits.
    logits = layers.Dense(num_outputs, dtype="float32", name="classifier")(x)
    return keras.Model(inputs, logits)


def vgg13(
    num_outputs: int,
    dropout_rate: float = 0.5,
    size: int = 64,
    batch_norm: bool = False,
) -> keras.Model:
    """Build the network of Barsoum et al. (2016), section 4: VGG13 on 64 x 64 faces.

    Ten convolutions of 3 x 3, a quarter of the channels dropped after each pooling,
    two dense layers of 1,024.

    Input: (B, size, size, 1) float. Output: (B, num_outputs) float32 logits.

    Parameters
    ----------
    num_outputs : int
        Number of classes.
    dropout_rate : float
        After the dense layers.
    size : int
        Height and width of a face.
    batch_norm : bool
        Normalise after every convolution, which the paper does not.
    """
    inputs = keras.Input((size, size, 1), name="image")
    x = inputs
    for stage, (width, count) in enumerate(((64, 2), (128, 2), (256, 3), (256, 3)), 1):
        for number in range(1, count + 1):
            name = f"conv{stage}_{number}"
            if batch_norm:
                x = _unit(x, width, name)
            else:
                x = layers.Conv2D(
                    width,
                    3,
                    padding="same",
                    activation="relu",
                    kernel_initializer="he_normal",
                    name=name,
                )(x)
        x = layers.MaxPooling2D(2, name=f"pool{stage}")(x)
        x = layers.Dropout(0.25, name=f"drop{stage}")(x)
    x = layers.Flatten(name="flatten")(x)
    for number in (1, 2):
        x = layers.Dense(
            1024, "relu", kernel_initializer="he_normal", name=f"dense{number}"
        )(x)
        x = layers.Dropout(dropout_rate, name=f"dense_drop{number}")(x)
    logits = layers.Dense(num_outputs, dtype="float32", name="classifier")(x)
    return keras.Model(inputs, logits)
