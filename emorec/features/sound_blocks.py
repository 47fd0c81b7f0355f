"""A sound of any length, at one rate, a block at a time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from emorec.errors import DataError
from emorec.features.audio import AUDIO_SUFFIXES, RATE, resample, stream_audio
from emorec.features.video_sound import stream_native_sound

# Seconds of a block, and what the filter of resampling may reach on either side.
_BLOCK, _REACH = 4, 0.1


def sound_blocks(path: str | Path, rate: int = RATE) -> Iterator[np.ndarray]:
    """Yield the sound of a sound or video file, the mean of its channels.

    Parameters
    ----------
    path : path
        As of `emorec.features.sound_files.read_own`.
    rate : int
        Samples a second that are wanted.

    Yields
    ------
    (n,) float32
        The next samples; the first belongs to second 0 of the file. Blocks begin at
        the same samples however the file is packed.

    Raises
    ------
    DataError
        When the file cannot be read or holds samples that are not finite, at the block
        that meets it.
    MissingExtraError
        When soundfile, or of a video PyAV, is not installed.
    """
    path = Path(path)
    if path.suffix.lower() in AUDIO_SUFFIXES:
        pieces = stream_audio(path, "mean")
    else:
        pieces = stream_native_sound(path)
    yield from resampled(_finite(path, pieces), rate)


def _finite(
    path: Path, pieces: Iterable[tuple[np.ndarray, int]]
) -> Iterator[tuple[np.ndarray, int]]:
    count = 0
    for samples, rate in pieces:
        if not np.isfinite(samples).all():
            raise DataError(
                f"{path}: samples that are not finite at {count / rate:.2f} s. Convert "
                "it anew."
            )
        count += len(samples)
        yield samples, rate


def resampled(
    pieces: Iterable[tuple[np.ndarray, int]], wanted: int
) -> Iterator[np.ndarray]:
    """Change the rate of a sound that comes in pieces.

    Parameters
    ----------
    pieces : iterable of ((n,) float32, int)
        Samples, and their rate, the same of all.
    wanted : int
        Samples a second.

    Yields
    ------
    (m,) float32
        Joined, what `emorec.features.audio.resample` makes of the joined pieces, to the
        rounding of its filter.
    """
    held = np.zeros(0, np.float32)
    rate = reach = block = 0
    before = 0  # samples of `held` that are done and kept for the filter
    for samples, rate in pieces:
        if not block:
            # Multiples of this many samples have a time in both rates.
            down = rate // math.gcd(wanted, rate)
            reach = math.ceil(_REACH * rate / down) * down
            block = math.ceil(_BLOCK * rate / down) * down
        held = np.concatenate([held, samples])
        while len(held) >= before + block + reach:
            yield _middle(held[: before + block + reach], rate, wanted, before, block)
            keep = min(reach, before + block)
            held, before = held[before + block - keep :], keep
    if len(held) > before:
        yield _middle(held, rate, wanted, before, len(held) - before)


def _middle(
    samples: np.ndarray, rate: int, wanted: int, before: int, count: int
) -> np.ndarray:
    first = before * wanted // rate
    last = -(-(before + count) * wanted // rate)
    return resample(samples, rate, wanted)[first:last]
