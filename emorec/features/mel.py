"""Log-mel spectrograms: what most networks for speech take, in an eighth of the bins.

Window, hop and filtering are those of `emorec.features.spectrogram`.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from emorec.errors import SpecError
from emorec.features.spectrogram import FFT, HALF, RATE, normalise, power

BANDS = 64
LOWEST, HIGHEST = 20.0, 8000.0
SCALES = ("htk", "slaney")
# Added to the power, where samples are of 16 bits: below what rounding to them leaves
# (a twelfth a sample, 13 in a window's power), so silence is 0 and speech is not moved.
FLOOR = 1.0

# Slaney's scale: 3 mels in 200 Hz below 1 kHz, 27 in each factor of 6.4 above.
_LINEAR = 200 / 3
_CORNER = 1000.0
_STEP = np.log(6.4) / 27


def to_mel(hertz, scale: str = "htk") -> np.ndarray:
    """Return frequencies on a mel scale.

    "htk": 2595 log10(1 + f / 700), O'Shaughnessy's formula as HTK has it. "slaney":
    that of Slaney's Auditory Toolbox (1998), a line below 1 kHz and a logarithm above.
    """
    hertz = np.asarray(hertz, float)
    if _known(scale) == "htk":
        return 2595 * np.log10(1 + hertz / 700)
    above = np.log(np.maximum(hertz, _CORNER) / _CORNER) / _STEP
    return np.where(hertz < _CORNER, hertz, _CORNER) / _LINEAR + above


def to_hertz(mel, scale: str = "htk") -> np.ndarray:
    """Return the frequencies of `to_mel`'s values."""
    mel = np.asarray(mel, float)
    if _known(scale) == "htk":
        return 700 * (10 ** (mel / 2595) - 1)
    corner = _CORNER / _LINEAR
    above = np.exp(_STEP * np.maximum(mel - corner, 0))
    return np.minimum(mel, corner) * _LINEAR * above


def _known(scale: str) -> str:
    if scale not in SCALES:
        raise SpecError(f"mel scale '{scale}': expected one of {', '.join(SCALES)}.")
    return scale


@lru_cache(maxsize=8)
def mel_filters(
    bands: int = BANDS,
    lowest: float = LOWEST,
    highest: float = HIGHEST,
    scale: str = "htk",
    equal_area: bool = False,
    rate: int = RATE,
    fft: int = FFT,
) -> np.ndarray:
    """Return triangular filters (bands, fft // 2 + 1) float64 over the bins of an FFT.

    Band k rises from the k-th of bands + 2 points, evenly spaced on the mel scale, to 1
    at the next and falls to 0 at the one after.

    Parameters
    ----------
    bands : int
        Number of filters.
    lowest, highest : float
        Hz; where the first begins and the last ends.
    scale : str
        "htk" or "slaney", see `to_mel`.
    equal_area : bool
        Divide each by half its width in Hz, as Slaney does, instead of the peak 1.
    rate, fft : int
        Samples a second and of a transform.

    Raises
    ------
    SpecError
        For a scale that is not there, a range that is none, or so many bands that one
        falls between two bins and would always be empty.
    """
    if bands < 1 or not 0 <= lowest < highest <= rate / 2:
        raise SpecError(
            f"{bands} bands from {lowest:g} to {highest:g} Hz: expected at least one, "
            f"within 0 to {rate / 2:g} Hz."
        )
    points = np.linspace(to_mel(lowest, scale), to_mel(highest, scale), bands + 2)
    edges = to_hertz(points, scale)[:, None]
    bins = np.arange(fft // 2 + 1) * rate / fft
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    filters = np.maximum(0, np.minimum(rising, falling))
    empty = int((filters.max(axis=1) == 0).sum())
    if empty:
        raise SpecError(
            f"{bands} bands from {lowest:g} to {highest:g} Hz: {empty} of them lie "
            f"between two of the {rate / fft:.0f} Hz wide bins. Ask for fewer bands or "
            "begin higher."
        )
    if equal_area:
        filters *= 2 / (edges[2:] - edges[:-2])
    filters.flags.writeable = False  # the cache hands out one array to all
    return filters


def logmel(
    samples: np.ndarray,
    filters: np.ndarray | None = None,
    normalised: bool = True,
    random: np.random.Generator | None = None,
    dtype: type = np.float64,
) -> np.ndarray:
    """Return the log-mel spectrogram (..., bands, T) of samples (..., N) at 16 kHz.

    Parameters
    ----------
    samples, random, dtype
        See `emorec.features.spectrogram.filtered`, which also says what is refused.
    filters : (bands, 257) or None
        Of `mel_filters`, whose defaults hold where there is None.
    normalised : bool
        Whether each band has mean 0 and deviation 1 over the clip's time. Else the
        values are natural logarithms of power + 1, at the scale of 16 bits: 0 to
        about 32.
    """
    filters = mel_filters() if filters is None else filters
    found = power(samples, random, dtype)
    # One product for all frames: with one per clip, BLAS took thirty times as long.
    energy = found.reshape(-1, HALF) @ filters.T.astype(dtype)
    energy = energy.reshape(*found.shape[:-1], len(filters))
    values = np.swapaxes(np.log(energy + dtype(FLOOR)), -1, -2)
    return normalise(values) if normalised else values
