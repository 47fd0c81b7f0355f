"""Spectrograms of a batch of waveforms on the backend's device.

Equal to `emorec.features.spectrogram` and `emorec.features.mel` within float32's
rounding: a batch of waveforms is an eighth of its spectrograms, so loading and copying
it is cheaper. No dither.
"""

from __future__ import annotations

import numpy as np
from keras import ops

from emorec.errors import DataError
from emorec.features.mel import FLOOR, mel_filters
from emorec.features.spectrogram import (
    DC_POLE,
    EPSILON,
    FFT,
    FULL_SCALE,
    HOP,
    PRE_EMPHASIS,
    WINDOW,
    frame_count,
    hamming,
)

# The largest block of which both a window and a hop are multiples.
_BLOCK = 80


def filtered(waves):
    """Return waveforms (B, N) scaled, without constant part, with pre-emphasis.

    The recursion ``y[n] = x[n] - x[n-1] + 0.99 y[n-1]`` is ``x`` minus a running mean
    whose weights fall by 0.99 a sample. Of N samples the first N weights say all, so
    one product of Fourier transforms, padded to twice N and more, is exact but for
    rounding; that falls on the mean alone, which is small. (A matrix product would be
    as short, but accelerators round its factors to 10 bits.)
    """
    samples = waves.shape[-1]
    if len(waves.shape) != 2 or samples is None or samples < WINDOW:
        raise DataError(
            f"waveforms of shape {tuple(waves.shape)}: expected (batch, samples), at "
            f"least {WINDOW} samples, their number known when the graph is built."
        )
    waves = ops.cast(waves, "float32")
    peak = ops.max(ops.abs(waves), axis=-1, keepdims=True)
    waves = waves * ops.where(peak <= 1, FULL_SCALE, 1.0)
    size = 1 << (2 * samples - 1).bit_length()
    weights = np.zeros(size)
    weights[1:samples] = (1 - DC_POLE) * DC_POLE ** np.arange(samples - 1)
    response = np.fft.rfft(weights)
    real, imaginary = ops.rfft(waves, fft_length=size)
    a, b = (np.asarray(x, np.float32) for x in (response.real, response.imag))
    product = (real * a - imaginary * b, real * b + imaginary * a)
    mean = ops.irfft(product, fft_length=size)[:, :samples]
    clean = waves - mean
    rest = clean[:, 1:] - PRE_EMPHASIS * clean[:, :-1]
    return ops.concatenate([clean[:, :1], rest], axis=-1)


def magnitude(waves, half: bool = False):
    """Return the magnitudes (B, 512, T) of waveforms (B, N); 257 bins with `half`."""
    clean = filtered(waves)
    count = frame_count(clean.shape[-1])
    # Slices of whole blocks instead of one gather: no index arrays, no copies twice.
    blocks = (count - 1) * HOP // _BLOCK + WINDOW // _BLOCK
    clean = ops.reshape(clean[:, : blocks * _BLOCK], (-1, blocks, _BLOCK))
    step = HOP // _BLOCK
    parts = [
        clean[:, first : first + (count - 1) * step + 1 : step]
        for first in range(WINDOW // _BLOCK)
    ]
    frames = ops.concatenate(parts, axis=-1) * hamming().astype(np.float32)
    real, imaginary = ops.rfft(frames, fft_length=FFT)
    bins = ops.transpose(ops.sqrt(real**2 + imaginary**2), (0, 2, 1))
    return bins if half else ops.concatenate([bins, bins[:, -2:0:-1]], axis=1)


def normalise(bins):
    """Give each bin of (B, F, T) mean 0 and deviation 1 (of T - 1) over time."""
    centred = bins - ops.mean(bins, axis=-1, keepdims=True)
    squares = ops.sum(centred**2, axis=-1, keepdims=True)
    deviation = ops.sqrt(squares / max(1, bins.shape[-1] - 1))
    return centred / ops.maximum(deviation, EPSILON)


def spectrogram(waves, half: bool = False):
    """Return normalised magnitudes of waveforms.

    Parameters
    ----------
    waves : (B, N) array or tensor
        At 16 kHz, finite, of equal length. A clip within [-1, 1] is multiplied by
        32768.
    half : bool
        Return the bins 0 to 256 only.

    Returns
    -------
    (B, 512, T) float32 tensor
        With ``T = frame_count(N)``; add an axis of channels for the student.

    Raises
    ------
    DataError
        For another shape or less than 400 samples.
    """
    return normalise(magnitude(waves, half))


def logmel(waves, filters: np.ndarray | None = None, normalised: bool = True):
    """Return the log-mel spectrogram (B, bands, T) float32 of waveforms (B, N).

    `filters` (bands, 257) are of `emorec.features.mel.mel_filters`, its defaults where
    there is None; the rest is that of `emorec.features.mel.logmel`.
    """
    filters = mel_filters() if filters is None else filters
    power = magnitude(waves, half=True) ** 2
    energy = ops.matmul(np.asarray(filters, np.float32), power)
    values = ops.log(energy + FLOOR)
    return normalise(values) if normalised else values
