"""What the audio-visual fusion takes of a clip's sound: 3.6 s of it.

Chumachenko, Iosifidis and Gabbouj (2022), "Self-attention fusion for audiovisual
emotion recognition with incomplete data", section 4.1, and their program.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from emorec.errors import DataError
from emorec.features import mfcc, video
from emorec.features.audio import read_audio
from emorec.features.video_sound import read_sound_of_video

SECONDS, SOUND_RATE = 3.6, mfcc.RATE
SAMPLES = 79_380


def read_sound(path: str | Path) -> np.ndarray:
    """Read the sound of a sound file or a video, as the audio branch hears it.

    Returns
    -------
    (79380,) float32
        3.6 s at 22,050 Hz, mean of the channels; see `fit`.

    Raises
    ------
    DataError, MissingExtraError
        See `read_audio` and `read_sound_of_video`.
    """
    path = Path(path)
    if path.suffix.lower() in video.VIDEO_SUFFIXES:
        return fit(read_sound_of_video(path, SOUND_RATE))
    return fit(read_audio(path, SOUND_RATE, "mean"))


def fit(samples: np.ndarray, length: int = SAMPLES) -> np.ndarray:
    """Bring samples (N,) to a length: zeros behind, or cut equally at both ends.

    Of an odd number of samples too many, one more goes at the end.
    """
    start = max(0, (len(samples) - length) // 2)
    middle = samples[start : start + length]
    return np.pad(middle, (0, length - len(middle)))


def pcm(samples: np.ndarray) -> np.ndarray:
    """Return samples with 16 bits, as the reference writes them and players read them.

    Parameters
    ----------
    samples : (N,) float
        1 is full scale, 32768.

    Returns
    -------
    (N,) int16
    """
    return np.rint(samples * 32768).clip(-32768, 32767).astype(np.int16)


def sound_features(
    samples: np.ndarray, coefficients: int = mfcc.COEFFICIENTS
) -> np.ndarray:
    """Return MFCC (..., coefficients, 156) float32 of samples (..., 79380)."""
    if np.shape(samples)[-1:] != (SAMPLES,):
        raise DataError(
            f"samples of shape {np.shape(samples)}: expected {SAMPLES} of them, 3.6 s "
            "at 22,050 Hz; see fit."
        )
    return mfcc.mfcc(samples, coefficients=coefficients)
