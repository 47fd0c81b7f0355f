"""A sound of any length, at one rate, a block at a time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from emorec.features.audio import RATE, resample
from emorec.features.sound_files import stream_own

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
    yield from resampled(stream_own(path), rate)


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
    pieces = iter(pieces)
    first = next(pieces, None)
    if first is None:
        return
    samples, rate = first
    # Multiples of this many samples have a time in both rates.
    down = rate // math.gcd(wanted, rate)
    reach = math.ceil(_REACH * rate / down) * down
    block = math.ceil(_BLOCK * rate / down) * down
    rest = chain([samples], (samples for samples, _ in pieces))
    for part, before, count in overlapping(rest, block, reach):
        yield _middle(part, rate, wanted, before, count)


def overlapping(
    pieces: Iterable[np.ndarray], block: int, around: int
) -> Iterator[tuple[np.ndarray, int, int]]:
    """Divide a sound into blocks, each with what lies around it.

    Parameters
    ----------
    pieces : iterable of (n,) float32
        The sound.
    block, around : int
        Samples of a block, and of what comes with it on either side, as far as the
        sound reaches.

    Yields
    ------
    samples : (m,) float32
        The block and what lies around it.
    before : int
        Where in it the block begins.
    count : int
        Samples of the block; the last one has what is left, 1 or more.
    """
    held, before = np.zeros(0, np.float32), 0
    for piece in pieces:
        held = np.concatenate([held, np.asarray(piece, np.float32)])
        while len(held) >= before + block + around:
            yield held[: before + block + around], before, block
            keep = min(around, before + block)
            held, before = held[before + block - keep :], keep
    if len(held) > before:
        yield held, before, len(held) - before


def _middle(
    samples: np.ndarray, rate: int, wanted: int, before: int, count: int
) -> np.ndarray:
    first = before * wanted // rate
    last = -(-(before + count) * wanted // rate)
    return resample(samples, rate, wanted)[first:last]
