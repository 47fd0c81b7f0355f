"""Which part of a clip a network hears, and which of the teacher's frames belong to it.

Albanie, Nagrani, Vedaldi and Zisserman (2018), "Emotion Recognition in Speech using
Cross-Modal Transfer in the Wild", section 4, as their program does it. Places are
counted from 1 there, and here where a name says so.
"""

from __future__ import annotations

import math

import numpy as np

from emorec.errors import DataError
from emorec.features.spectrogram import RATE

# Width of a spectrogram at test -> what remains of it before the student averages over
# time. A network that averages over all that remains needs no such table.
POOL_WIDTHS = {
    **{100: 2, 200: 5, 300: 8, 400: 11, 500: 14},
    **{600: 17, 700: 20, 800: 23, 900: 27, 1000: 30},
}
# Seconds; of a longer clip training hears the beginning only.
LONGEST = 19.9
# The teacher saw every 6th of 25 frames a second.
VIDEO_RATE, EVERY = 25, 6


def width_at_test(frames: int) -> int:
    """Return the largest multiple of 100 up to 1000 that `frames` reaches."""
    if frames < min(POOL_WIDTHS):
        raise DataError(
            f"{frames} frames: expected at least {min(POOL_WIDTHS)}, 1.015 s. Leave "
            "out so short a clip or append silence to it."
        )
    return min(frames // 100 * 100, max(POOL_WIDTHS))


def centre_crop(spectrogram: np.ndarray) -> np.ndarray:
    """Return the middle (..., F, W) of a clip's normalised spectrogram (..., F, T).

    W is `width_at_test`. The first column is, from 1, the half of what is left over,
    rounded away from zero; so the crop lies one column before the very middle.

    Raises
    ------
    DataError
        For fewer than 100 columns.
    """
    frames = spectrogram.shape[-1]
    width = width_at_test(frames)
    start = max(1, (frames - width + 1) // 2)
    return spectrogram[..., start - 1 : start - 1 + width]


def crop_samples(seconds: float = 4.0) -> int:
    """Return the samples at 16 kHz that give 100 frames per second: 64,384 for 4 s."""
    return round(RATE * (seconds + 0.025 - 0.001))


def draw_start(samples: int, length: int, random: np.random.Generator) -> int:
    """Return the place, from 1, of the first sample of a crop in a clip at 16 kHz.

    Uniform in 1 ... samples - length, where samples count up to 19.9 s; 1 for a clip
    that is not longer than the crop.
    """
    room = min(samples, round(RATE * LONGEST)) - length
    return int(random.integers(1, room + 1)) if room > 0 else 1


def teacher_frame(seconds: float) -> int:
    """Return the number, from 1, of the teacher's frame at a time of the clip."""
    # Times are multiples of 1/16000 s and meet the borders: mend their last digits.
    shown = round(max(VIDEO_RATE * seconds - 1, 0) / EVERY, 9)
    return math.floor(shown) + 1


def frame_numbers(times: np.ndarray) -> np.ndarray:
    """Return which of the teacher's frames, from 1, times (T,) in seconds are.

    The nearest in a raster of 0.24 s; a video whose frames without a face have no row
    keeps its others in place so.
    """
    raster = np.asarray(times, float) * VIDEO_RATE / EVERY
    return np.floor(raster + 0.5).astype(np.int64) + 1


def teacher_rows(numbers: np.ndarray, start_from_1: int, length: int) -> slice:
    """Return which of a clip's rows of logits belong to a crop.

    Parameters
    ----------
    numbers : (T,) int
        The teacher's frames, from 1, that have a row, rising; of `frame_numbers`.
    start_from_1, length : int
        Place and number of the crop's samples at 16 kHz.

    Returns
    -------
    slice
        Of rows from 0, never empty: where no frame falls into the crop, the nearest
        one. (The reference has such a clip without a target, when its face left early.)

    Raises
    ------
    DataError
        When there are no rows.
    """
    if not len(numbers):
        raise DataError(
            "a clip without teacher logits: expected a row per face. Leave it out."
        )
    first = teacher_frame(start_from_1 / RATE)
    last = teacher_frame((start_from_1 + length - 1) / RATE)
    begin, end = np.searchsorted(numbers, [first, last + 1])
    if begin < end:
        return slice(int(begin), int(end))
    before, after = max(begin - 1, 0), min(begin, len(numbers) - 1)
    nearer = first - numbers[before] <= numbers[after] - last
    row = int(before if nearer and numbers[before] < first else after)
    return slice(row, row + 1)
