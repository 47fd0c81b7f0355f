"""128 numbers of a voice: each mel band's mean and deviation over a sound's frames.

Unlike `emorec.features.librosa_means` they are of one rate, so that recordings of
unequal rates can be compared, and need no librosa.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from emorec.errors import DataError
from emorec.features.audio import resample
from emorec.features.mel import BANDS, logmel
from emorec.features.sound_files import of_files, read_own
from emorec.features.spectrogram import RATE

NAMES = tuple(f"{kind}_{band:02d}" for kind in ("mean", "std") for band in range(BANDS))


def pooled(samples: np.ndarray) -> np.ndarray:
    """Return mean and deviation over time of each band of a log-mel spectrogram.

    Parameters
    ----------
    samples : (N,) float
        At 16 kHz; N is 400 or more.

    Returns
    -------
    (128,) float32
        In the order of `NAMES`: 64 means of natural logarithms of power (0 to about
        32), then 64 deviations.

    Raises
    ------
    DataError
        When the sound is shorter than a window, is silent, or not finite.
    """
    samples = np.asarray(samples)
    if samples.ndim == 1 and samples.size and not samples.any():
        raise DataError("The sound is silent: every sample is 0.")
    bands = logmel(samples, normalised=False)
    return np.concatenate([bands.mean(axis=-1), bands.std(axis=-1)]).astype(np.float32)


def pooled_of_file(path: str | Path) -> np.ndarray:
    """Return `pooled` of the mean channel of a sound or video file.

    Raises
    ------
    DataError
        With the file's name; see `pooled` and `emorec.features.sound_files.read_own`.
    """
    samples, rate = read_own(path)
    try:
        return pooled(resample(samples, rate, RATE))
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def pooled_of_files(
    paths: Sequence[str | Path], workers: int | None = None
) -> Iterator[tuple[int, np.ndarray | str]]:
    """Yield `pooled_of_file` of many files; see `emorec.features.sound_files.of_files`.

    A reason, text, stands where a file has no features.
    """
    yield from of_files(pooled_of_file, paths, workers)
