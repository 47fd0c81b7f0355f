"""185 numbers of a voice: the means of librosa's features over a sound's frames.

The input of the audio networks for MELD, and a baseline for any labelled speech. They
are those of librosa 0.6.3: from frames of 2048 samples every 512, at the file's own
rate, centred, and mirrored at both ends, which later releases of librosa no longer do
unless they are told.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from emorec.errors import DataError
from emorec.features.librosa_loading import load_librosa
from emorec.features.sound_files import WORTH_IT, of_files, read_own

WINDOW, HOP = 2048, 512
MFCC, CHROMA, MEL = 40, 12, 128
BLOCKS = {
    "rms": 1,
    "centroid": 1,
    "bandwidth": 1,
    "rolloff": 1,
    "zero_crossings": 1,
    "mfcc": MFCC,
    "chroma": CHROMA,
    "mel": MEL,
}
NAMES = tuple(
    name if size == 1 else f"{name}_{number:03d}"
    for name, size in BLOCKS.items()
    for number in range(size)
)
# Files from which on several processes are begun.
_WORTH_IT = WORTH_IT


def means(samples: np.ndarray, rate: int) -> np.ndarray:
    """Return the means over time of librosa's features of a sound.

    Parameters
    ----------
    samples : (N,) float
        1 is full scale; N is 2048 or more.
    rate : int
        Samples a second.

    Returns
    -------
    (185,) float32
        In the order of `NAMES`: root mean square; spectral centroid, bandwidth and
        roll-off at 85 % (Hz); share of zero crossings; 40 cepstral coefficients;
        12 pitch classes, 0 to 1, from the magnitude; 128 mel bands' power. Finite.

    Raises
    ------
    DataError
        When the sound is shorter than a frame, is silent, or holds samples that are
        not finite.
    MissingExtraError
        When librosa is not installed.
    """
    samples = np.asarray(samples, np.float32)
    if samples.ndim != 1 or len(samples) < WINDOW:
        raise DataError(
            f"Expected one channel of {WINDOW} samples or more, received the shape "
            f"{samples.shape}: too short for these features."
        )
    if not np.isfinite(samples).all():
        raise DataError("Expected finite samples.")
    if not samples.any():
        raise DataError("The sound is silent: every sample is 0.")
    librosa = load_librosa()
    feature = librosa.feature
    with warnings.catch_warnings():
        # A sound without pitch has no tuning; 0 is taken.
        warnings.filterwarnings("ignore", "Trying to estimate tuning")
        spectrum = np.abs(
            librosa.stft(samples, n_fft=WINDOW, hop_length=HOP, pad_mode="reflect")
        )
        rms = feature.rms(
            y=samples, frame_length=WINDOW, hop_length=HOP, pad_mode="reflect"
        )
        crossings = feature.zero_crossing_rate(
            samples, frame_length=WINDOW, hop_length=HOP
        )
        mel = feature.melspectrogram(S=spectrum**2, sr=rate, n_mels=MEL)
        rows = [
            rms,
            feature.spectral_centroid(S=spectrum, sr=rate),
            feature.spectral_bandwidth(S=spectrum, sr=rate),
            feature.spectral_rolloff(S=spectrum, sr=rate, roll_percent=0.85),
            crossings,
            feature.mfcc(S=librosa.power_to_db(mel), sr=rate, n_mfcc=MFCC),
            feature.chroma_stft(S=spectrum, sr=rate, n_chroma=CHROMA),
            mel,
        ]
    result = np.concatenate([row.mean(axis=1, dtype=np.float64) for row in rows])
    if not np.isfinite(result).all():
        bad = [NAMES[column] for column in np.flatnonzero(~np.isfinite(result))]
        raise DataError(f"Features that are not finite: {', '.join(bad)}.")
    return result.astype(np.float32)


def means_of_file(path: str | Path) -> np.ndarray:
    """Return `means` of the mean channel of a sound or video file at its own rate.

    Raises
    ------
    DataError
        With the file's name; see `means` and `emorec.features.sound_files.read_own`.
    """
    samples, rate = read_own(path)
    try:
        return means(samples, rate)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def means_of_files(
    paths: Sequence[str | Path], workers: int | None = None
) -> Iterator[tuple[int, np.ndarray | str]]:
    """Yield the features of many sound files as they are finished.

    Parameters
    ----------
    paths, workers
        See `emorec.features.sound_files.of_files`.

    Yields
    ------
    int, (185,) float32 or str
        Place in `paths`, and the features or the reason why there are none. On
        several processes the places come in any order.

    Raises
    ------
    DataError
        When a process dies.
    MissingExtraError
        When librosa or soundfile is not installed.
    """
    load_librosa()  # Before any process starts.
    yield from of_files(means_of_file, paths, workers, _WORTH_IT)
