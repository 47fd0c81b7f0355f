"""Mel-frequency cepstral coefficients, equal to librosa's with its defaults.

The input of the audio branch of Chumachenko, Iosifidis and Gabbouj (2022),
"Self-attention fusion for audiovisual emotion recognition with incomplete data",
section 4.1: 10 coefficients of librosa 0.x at 22,050 Hz.
"""

from __future__ import annotations

import numpy as np
from scipy import fft, signal

from emorec.errors import DataError, SpecError
from emorec.features.mel import mel_filters

RATE = 22_050
WINDOW, HOP, BANDS = 2048, 512, 128
COEFFICIENTS = 10
# Powers below this count as it, and so do those 80 dB below a clip's loudest.
_LEAST, _RANGE = 1e-10, 80.0


def frame_count(samples: int) -> int:
    """Return how many frames so many samples have: 156 for 3.6 s at 22,050 Hz."""
    return 1 + samples // HOP


def mfcc(
    samples: np.ndarray, rate: int = RATE, coefficients: int = COEFFICIENTS
) -> np.ndarray:
    """Return the MFCC of clips.

    The power in Hann windows of 2048 samples each 512, the first centred on the first
    sample with zeros before it; 128 mel bands on Slaney's scale, each filter of equal
    area; decibels, no lower than 80 below the clip's loudest; an orthonormal cosine
    transform, of which the lowest are kept.

    Parameters
    ----------
    samples : (..., N) float
        Finite; 1 is full scale. N is 1 or more. Each clip has a loudest band of its
        own (librosa takes the loudest of all channels).
    rate : int
        Samples a second.
    coefficients : int
        1 to 128.

    Returns
    -------
    (..., coefficients, 1 + N // 512) float32

    Raises
    ------
    DataError
        For no samples or values that are not finite.
    SpecError
        For a number of coefficients that cannot be.
    """
    if not 1 <= coefficients <= BANDS:
        raise SpecError(f"{coefficients} coefficients: expected 1 to {BANDS}.")
    samples = np.asarray(samples, np.float64)
    if samples.ndim == 0 or not samples.shape[-1]:
        raise DataError(f"samples of shape {samples.shape}: expected one or more.")
    if not np.isfinite(samples).all():
        raise DataError("samples: expected finite values, found NaN or infinity.")
    around = [(0, 0)] * (samples.ndim - 1) + [(WINDOW // 2, WINDOW // 2)]
    padded = np.pad(samples, around)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW, axis=-1)
    frames = frames[..., ::HOP, :] * signal.get_window("hann", WINDOW)
    power = np.abs(fft.rfft(frames)) ** 2
    filters = mel_filters(BANDS, 0.0, rate / 2, "slaney", True, rate, WINDOW)
    decibels = 10 * np.log10(np.maximum(power @ filters.T, _LEAST))
    loudest = decibels.max(axis=(-2, -1), keepdims=True)
    decibels = np.maximum(decibels, loudest - _RANGE)
    cepstrum = fft.dct(decibels, norm="ortho")[..., :coefficients]
    return np.swapaxes(cepstrum, -1, -2).astype(np.float32)
