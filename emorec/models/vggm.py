"""The student: VGG-M with batch normalisation on spectrograms, and a narrow one.

Nagrani, Chung and Zisserman (2017), "VoxCeleb: a large-scale speaker identification
dataset", section 4.1 and Table 5, as the student of Albanie, Nagrani, Vedaldi and
Zisserman (2018), "Emotion Recognition in Speech using Cross-Modal Transfer in the
Wild", section 4.2. Layers have that network's names: ``conv1`` to ``conv5``, ``fc6``,
``fc7``, each with its ``bn`` and ``relu``; ``pool1``, ``pool2``, ``pool5``, ``pool6``;
``fc8``, the logits.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers, ops

from emorec.errors import SpecError
from emorec.features.spectrogram import FFT

EMBEDDING = "relu7"
# Moving statistics go a tenth of the way at each step, as MatConvNet's do.
_MOMENTUM, _EPSILON = 0.9, 1e-5
_VARIANCE = 1e-4
WIDTHS = (96, 256, 384, 256, 256, 4096, 1024)
# Fewer columns leave nothing to average over time.
SHORTEST = 65


def student(
    num_labels: int = 8,
    frames: int | None = None,
    widths: Sequence[int] = WIDTHS,
    dropout: float = 0.0,
) -> keras.Model:
    """Build the published student.

    Parameters
    ----------
    num_labels : int
        K, the outputs.
    frames : int or None
        T, columns of a spectrogram; None for any number, 65 at the least. What remains
        of time before fc7 is averaged, which the published program's table of pool
        widths does, too (`emorec.features.crops.POOL_WIDTHS`).
    widths : sequence of 7 int
        Channels of the five convolutions, of fc6 and of fc7. Other than the published
        ones are for tests and for fewer cores.
    dropout : float
        In [0, 1): the share of the outputs of fc6, averaged, and of fc7 that a step of
        training ignores. The published training has none.

    Returns
    -------
    keras.Model
        Input ``spectrogram`` (B, 512, T, 1) float: frequency, time. Output ``fc8``:
        logits (B, K) float32. For 8 labels 16,637,192 trainable parameters.

    Raises
    ------
    SpecError
        For other than seven widths or fewer than 65 frames.
    """
    if len(widths) != len(WIDTHS):
        raise SpecError(f"{len(widths)} widths: expected {len(WIDTHS)}, as {WIDTHS}.")
    if frames is not None and frames < SHORTEST:
        raise SpecError(f"{frames} frames: expected at least {SHORTEST}.")
    inputs = keras.Input((FFT, frames, 1), name="spectrogram")
    x = layers.ZeroPadding2D(1, name="pad1")(inputs)
    x = _unit(x, widths[0], 7, "1", strides=2)
    x = layers.MaxPooling2D(3, 2, name="pool1")(x)
    x = layers.ZeroPadding2D(1, name="pad2")(x)
    x = _unit(x, widths[1], 5, "2", strides=2)
    x = layers.MaxPooling2D(3, 2, name="pool2")(x)
    for number in "345":
        x = _unit(x, widths[int(number) - 1], 3, number, padding="same")
    x = layers.MaxPooling2D((5, 3), (3, 2), name="pool5")(x)
    return _heard(inputs, x, widths[5], widths[6], num_labels, dropout)


def compact(
    num_labels: int = 8,
    bins: int = 64,
    frames: int | None = None,
    widths: Sequence[int] = (24, 32, 64, 64, 256, 128),
    dropout: float = 0.0,
) -> keras.Model:
    """Build a network of the same form that trains on two cores.

    On a log-mel spectrogram of 64 x 400 it multiplies 85 times less often than the
    published student: each convolution is strided, and time is averaged where that has.

    Parameters
    ----------
    num_labels : int
        K, the outputs.
    bins : int
        F, rows of a spectrogram, 16 or more: 64 of log-mel, or 257 or 512 of
        magnitudes.
    frames : int or None
        T; None for any number.
    widths : sequence of int
        Channels of the convolutions, two or more, of fc6 and of fc7.
    dropout : float
        As of `student`.

    Returns
    -------
    keras.Model
        Input ``spectrogram`` (B, F, T, 1) float. Output ``fc8``: logits (B, K)
        float32.

    Raises
    ------
    SpecError
        For fewer bins or widths.
    """
    if bins < 16 or len(widths) < 4:
        raise SpecError(
            f"{bins} bins and {len(widths)} widths: expected at least 16 and 4."
        )
    inputs = keras.Input((bins, frames, 1), name="spectrogram")
    x = inputs
    # As many more halvings of frequency, at once, as a tall spectrogram needs.
    first = (2 * max(1, bins // 128), 2)
    for number, width in enumerate(widths[:-2], 1):
        strides = first if number == 1 else 2 if number < 4 else 1
        kernel = (max(5, first[0] + 1), 5) if number == 1 else 3
        x = _unit(x, width, kernel, str(number), strides, padding="same")
    return _heard(inputs, x, widths[-2], widths[-1], num_labels, dropout)


def statistics(
    num_labels: int = 8,
    bins: int = 64,
    frames: int | None = None,
    widths: Sequence[int] = (24, 32, 64, 96, 96, 256, 128),
    dropout: float = 0.0,
) -> keras.Model:
    """Build a narrow network that joins time by its mean and its deviation.

    As `compact`, with one convolution more; the first three halve frequency, the first
    four time. Snyder et al. (2018), "X-vectors", section 3.1, pool so.

    Parameters and result are those of `compact`.
    """
    if bins < 16 or len(widths) != 7:
        raise SpecError(f"{bins} bins and {len(widths)} widths: expected 16 and 7.")
    inputs = keras.Input((bins, frames, 1), name="spectrogram")
    x = inputs
    # As many more halvings of frequency, at once, as a tall spectrogram needs.
    strides = ((2 * max(1, bins // 128), 2), (2, 2), (2, 2), (1, 2), (1, 1))
    for number, (width, step) in enumerate(zip(widths, strides, strict=False), 1):
        kernel = (max(5, step[0] + 1), 5) if number == 1 else 3
        x = _unit(x, width, kernel, str(number), step, padding="same")
    return _heard(inputs, x, *widths[-2:], num_labels, dropout, deviation=True)


@keras.saving.register_keras_serializable("emorec")
class Statistics(layers.Layer):
    """Mean and deviation over space of (B, H, W, C), one after the other (B, 2 C)."""

    def call(self, x):
        """Return the statistics."""
        x = ops.cast(x, self.compute_dtype)
        mean = ops.mean(x, axis=(1, 2), keepdims=True)
        # The root of 0 has no slope.
        variance = ops.mean((x - mean) ** 2, axis=(1, 2)) + _VARIANCE
        return ops.concatenate([mean[:, 0, 0], ops.sqrt(variance)], axis=-1)


def _unit(x, width, kernel, number, strides=1, padding="valid", kind="conv"):
    """Convolve with bias, normalise, rectify."""
    x = layers.Conv2D(
        width,
        kernel,
        strides,
        padding,
        kernel_initializer="he_normal",
        name=f"{kind}{number}",
    )(x)
    x = layers.BatchNormalization(
        momentum=_MOMENTUM, epsilon=_EPSILON, name=f"bn{number}"
    )(x)
    return layers.ReLU(name=f"relu{number}")(x)


def _heard(inputs, x, wide, narrow, num_labels, dropout, deviation=False):
    """See all frequencies at once, average over time, embed and classify."""
    x = _unit(x, wide, (x.shape[1], 1), "6", kind="fc")
    # A sum over time in bfloat16 would lose what it adds.
    pool = Statistics if deviation else layers.GlobalAveragePooling2D
    x = pool(dtype="float32", name="pool6")(x)
    if dropout:
        x = layers.Dropout(dropout, name="drop6")(x)
    x = layers.Dense(narrow, kernel_initializer="he_normal", name="fc7")(x)
    x = layers.BatchNormalization(momentum=_MOMENTUM, epsilon=_EPSILON, name="bn7")(x)
    x = layers.ReLU(name=EMBEDDING)(x)
    if dropout:
        x = layers.Dropout(dropout, name="drop7")(x)
    # float32 also under mixed precision, so that the softmax keeps its digits.
    logits = layers.Dense(
        num_labels, kernel_initializer="he_normal", dtype="float32", name="fc8"
    )(x)
    return keras.Model(inputs, logits)


def embedding(model: keras.Model) -> keras.Model:
    """Return the network up to fc7: (B, 1024) for the published student.

    It shares the weights of `model`, which `student` or `compact` built.
    """
    return keras.Model(model.input, model.get_layer(EMBEDDING).output)
