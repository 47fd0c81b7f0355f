"""Spectrograms as VGGVox takes them: magnitudes of all bins, neither log nor mel.

Nagrani, Chung and Zisserman (2017), "VoxCeleb: a large-scale speaker identification
dataset", section 4.1, as their program computes them; the input of the student of
Albanie, Nagrani, Vedaldi and Zisserman (2018), section 4.2. The same on tensors, for
batches on an accelerator, is in `emorec.models.speech_frontend`.
"""

from __future__ import annotations

import numpy as np
from scipy import fft, signal

from emorec.errors import DataError

RATE = 16_000
# 25 ms each 10 ms.
WINDOW, HOP, FFT = 400, 160, 512
HALF = FFT // 2 + 1
FULL_SCALE = 32_768.0
DC_POLE = 0.99
PRE_EMPHASIS = 0.97
DITHER = 1e-6
# The reference divides by a bin's deviation as it is, so silence gives NaN there.
EPSILON = 1e-12


def hamming() -> np.ndarray:
    """Return the window (400,) float64, symmetric."""
    angle = 2 * np.pi * np.arange(WINDOW) / (WINDOW - 1)
    return 0.54 - 0.46 * np.cos(angle)


def frame_count(samples: int) -> int:
    """Return how many frames so many samples have; a last part frame is none."""
    return max(0, (samples - WINDOW) // HOP + 1)


def filtered(
    samples: np.ndarray,
    random: np.random.Generator | None = None,
    dtype: type = np.float64,
) -> np.ndarray:
    """Scale samples, remove the constant part, dither and emphasise high tones.

    Parameters
    ----------
    samples : (..., N) float
        At 16 kHz, finite. A clip within [-1, 1] is multiplied by 32768, as samples of
        16 bits are; another counts as scaled already.
    random : numpy.random.Generator or None
        Source of the dither, a millionth of the deviation; None for none. It changes
        a normalised spectrogram by less than 1e-4.
    dtype : float32 or float64
        In which to compute.

    Returns
    -------
    (..., N)
        ``y[n] = x[n] - x[n-1] + 0.99 y[n-1]``, dithered, then
        ``y[n] - 0.97 y[n-1]``; both begin at rest.

    Raises
    ------
    DataError
        For less than a window of samples or values that are not finite.
    """
    samples = np.asarray(samples, dtype)
    if samples.ndim == 0 or samples.shape[-1] < WINDOW:
        raise DataError(
            f"samples of shape {samples.shape}: expected at least {WINDOW} of them, "
            "25 ms at 16 kHz. Leave out so short a clip."
        )
    peak = np.abs(samples).max(axis=-1, keepdims=True)
    if not np.isfinite(peak).all():
        raise DataError("samples: expected finite values, found NaN or infinity.")
    scaled = samples * np.where(peak <= 1, FULL_SCALE, 1).astype(dtype)
    one = np.ones(1, dtype)
    clean = signal.lfilter([*one, -one[0]], np.array([1, -DC_POLE], dtype), scaled)
    if random is not None:
        drawn = random.random(clean.shape) + random.random(clean.shape) - 1
        deviation = clean.std(axis=-1, ddof=1, keepdims=True)
        clean = clean + (DITHER * deviation * drawn).astype(dtype)
    clean[..., 1:] -= dtype(PRE_EMPHASIS) * clean[..., :-1].copy()
    return clean


def magnitude(
    samples: np.ndarray,
    random: np.random.Generator | None = None,
    half: bool = False,
    dtype: type = np.float64,
) -> np.ndarray:
    """Return the magnitudes (..., 512, T) of samples (..., N), T as `frame_count` says.

    Parameters
    ----------
    samples, random, dtype
        See `filtered`, which comes first; it says what is refused, too.
    half : bool
        Return the bins 0 to 256 only. Bin 512 - i is bin i once more: the published
        networks take both, which its authors call an oversight.
    """
    bins = np.swapaxes(np.sqrt(power(samples, random, dtype)), -1, -2)
    return bins if half else mirrored(bins)


def power(
    samples: np.ndarray,
    random: np.random.Generator | None = None,
    dtype: type = np.float64,
) -> np.ndarray:
    """Return the squared magnitudes (..., T, 257) of samples (..., N).

    Time comes before frequency here; the rest is as of `magnitude`.
    """
    clean = filtered(samples, random, dtype)
    frames = np.lib.stride_tricks.sliding_window_view(clean, WINDOW, axis=-1)
    bins = fft.rfft(frames[..., ::HOP, :] * hamming().astype(dtype), FFT)
    # The absolute value of a complex number guards against overflow, slowly.
    squares = bins.real**2
    squares += bins.imag**2
    return squares


def mirrored(bins: np.ndarray) -> np.ndarray:
    """Return all bins (..., 512, T) of the bins 0 to 256 (..., 257, T)."""
    return np.concatenate([bins, bins[..., -2:0:-1, :]], axis=-2)


def normalise(bins: np.ndarray, epsilon: float = EPSILON) -> np.ndarray:
    """Give each bin of (..., F, T) mean 0 and deviation 1 over the clip's time.

    The deviation is the sample's (of T - 1), at least `epsilon`: a bin that does not
    change becomes 0.
    """
    centred = bins - bins.mean(axis=-1, keepdims=True)
    count = max(1, bins.shape[-1] - 1)
    deviation = np.sqrt((centred**2).sum(axis=-1, keepdims=True) / count)
    return centred / np.maximum(deviation, bins.dtype.type(epsilon))


def spectrogram(
    samples: np.ndarray,
    random: np.random.Generator | None = None,
    half: bool = False,
    dtype: type = np.float64,
) -> np.ndarray:
    """Return the normalised magnitudes (..., 512, T): `magnitude`, then `normalise`."""
    return normalise(magnitude(samples, random, half, dtype))
