"""Sound files as samples of one channel at a wanted rate."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import signal

from emorec.errors import DataError, MissingExtraError, SpecError

if TYPE_CHECKING:
    import soundfile

RATE = 16_000
AUDIO_SUFFIXES = frozenset((".aif", ".aiff", ".flac", ".mp3", ".oga", ".ogg", ".wav"))
CHANNELS = ("first", "mean")

# The low-pass filter of resampling: zero crossings on either side, and the window that
# keeps what folds back 90 dB below. scipy's own (10, 5.0) lets through 1 part of 500.
_CROSSINGS, _BETA = 32, 9.0
# What programs write that do not know the length yet, because they write to a pipe.
_UNKNOWN_LENGTH = 0x7FFFF000


def read_audio(
    path: str | Path,
    rate: int = RATE,
    channel: str = "first",
    literal: bool = False,
) -> np.ndarray:
    """Read a sound file.

    Parameters
    ----------
    path : path
        wav, flac, ogg, mp3, aiff: what libsndfile reads.
    rate : int
        Wanted samples a second; a file of another rate is resampled.
    channel : str
        "first", which Albanie et al.'s program takes, or "mean" of all channels.
    literal : bool
        Return the samples as they lie in the file, whatever their rate. The reference
        takes them for 16 kHz, so voices of eNTERFACE and RML were too slow there.

    Returns
    -------
    (N,) float32
        At least one sample; 1 is full scale. Silence is no error: see `problems`.

    Raises
    ------
    DataError
        When the file is missing, empty, no sound, cut off, or holds samples that are
        not finite.
    SpecError
        For a channel or a rate that cannot be.
    MissingExtraError
        When soundfile is not installed.
    """
    path = Path(path)
    if channel not in CHANNELS:
        raise SpecError(f"channel '{channel}': expected one of {', '.join(CHANNELS)}.")
    if rate < 1:
        raise SpecError(f"rate {rate}: expected samples a second, 1 or more.")
    samples, found = _decoded(path)
    samples = samples[:, 0] if channel == "first" else samples.mean(axis=1)
    bad = len(samples) - np.count_nonzero(np.isfinite(samples))
    if bad:
        raise DataError(
            f"{path}: {bad} of {len(samples)} samples are not finite. Convert it anew."
        )
    return np.ascontiguousarray(samples if literal else resample(samples, found, rate))


def read_part(
    path: str | Path,
    start: int,
    count: int,
    rate: int = RATE,
    literal: bool = False,
) -> np.ndarray:
    """Read a part of a sound file, its first channel, and no more than that part.

    Parameters
    ----------
    path, rate, literal
        See `read_audio`.
    start, count : int
        The first sample, from 0, and the number of samples, both at `rate`.

    Returns
    -------
    (<= count,) float32
        That part of what `read_audio` returns; shorter where the sound ends.

    Raises
    ------
    DataError, MissingExtraError
        As of `read_audio`; a sound that is cut off behind the part is not noticed.
    """
    path = Path(path)
    with _opened(path) as file:
        found = rate if literal else file.samplerate
        common = math.gcd(rate, found)
        up, down = rate // common, found // common
        # What the filter reaches on either side, in samples of the file.
        reach = 0 if up == down else math.ceil(_CROSSINGS * max(up, down) / up) + 1
        # A multiple of `down`, where samples before and after share their time.
        first = max(0, start * down // up - reach) // down * down
        last = min((start + count) * down // up + reach + 1, file.frames)
        file.seek(min(first, file.frames))
        samples = file.read(max(0, last - first), dtype="float32", always_2d=True)[:, 0]
    if not np.isfinite(samples).all():
        raise DataError(f"{path}: samples that are not finite. Convert it anew.")
    offset = start - first * up // down
    return resample(samples, found, rate)[offset : offset + count]


def stream_audio(
    path: str | Path, channel: str = "first"
) -> Iterator[tuple[np.ndarray, int]]:
    """Yield the samples of a sound file, a second at a time, and their rate.

    Parameters
    ----------
    path, channel
        See `read_audio`.

    Yields
    ------
    samples : (n,) float32
        At the file's own rate; those of all pieces are what `read_audio` returns with
        that rate. That they are finite is not checked.
    rate : int
        Samples a second.

    Raises
    ------
    DataError, MissingExtraError
        As of `read_audio`; that a file is cut off is said where it ends.
    """
    path, count = Path(path), 0
    with _opened(path) as file:
        while len(block := file.read(file.samplerate, "float32", always_2d=True)):
            count += len(block)
            samples = block[:, 0] if channel == "first" else block.mean(axis=1)
            yield np.ascontiguousarray(samples), file.samplerate
        _check_whole(path, file, count)


class SoundInfo(NamedTuple):
    """What the head of a sound file says.

    Attributes
    ----------
    samples : int
        Of each channel; of an mp3 an estimate.
    rate : int
        Samples a second.
    channels : int
    """

    samples: int
    rate: int
    channels: int


def sound_info(path: str | Path) -> SoundInfo:
    """Return what the head of a sound file says; its errors are `read_audio`'s."""
    with _opened(Path(path)) as file:
        return SoundInfo(file.frames, file.samplerate, file.channels)


def require_soundfile(purpose: str = "Reading sounds") -> None:
    """Raise MissingExtraError, which names `purpose`, where soundfile is not there."""
    try:
        import soundfile  # noqa: F401
    except (ImportError, OSError) as error:  # OSError: there without libsndfile
        raise MissingExtraError("soundfile", "voices", purpose) from error


@contextmanager
def _opened(path: Path) -> Iterator[soundfile.SoundFile]:
    """Open a sound file; whatever fails in the block is an error that names it."""
    require_soundfile(f"{path}: reading a sound")
    import soundfile

    if not path.is_file():
        raise DataError(f"{path}: no such file.")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty; expected a sound.")
    try:
        with soundfile.SoundFile(path) as file:
            yield file
    # A raw file would need its rate told, which soundfile says by a TypeError.
    except (soundfile.LibsndfileError, TypeError, MemoryError) as error:
        raise DataError(
            f"{path}: cannot be read as a sound ({error}). Expected wav, flac, ogg or "
            "mp3; of a video, extract the sound first."
        ) from error


def _decoded(path: Path) -> tuple[np.ndarray, int]:
    """Return samples (N, channels) float32 and their rate; refuse what is damaged."""
    with _opened(path) as file:
        samples = file.read(dtype="float32", always_2d=True)
        _check_whole(path, file, len(samples))
        return samples, file.samplerate


def _check_whole(path: Path, file: soundfile.SoundFile, count: int) -> None:
    """Refuse a file of which fewer samples could be read than it states."""
    if not count:
        raise DataError(f"{path}: holds no samples; it may be cut off.")
    # libsndfile reads as much of a wav as there is and says so in its log only. An mp3
    # states its length by an estimate.
    shorter = re.search(r"data\s*:\s*(\d+)\s*\(should be (\d+)\)", file.extra_info)
    claimed, there = (int(x) for x in shorter.groups()) if shorter else (0, 0)
    if there < claimed < _UNKNOWN_LENGTH:
        share = there / claimed
    else:
        compressed = file.format in ("MP3", "MPEG")
        share = 1.0 if compressed else count / file.frames
    if share < 1:
        raise DataError(
            f"{path}: holds {share:.1%} of the samples that it states; it is cut off. "
            "Fetch it anew."
        )


def resample(
    samples: np.ndarray, rate: int, wanted: int, crossings: int = _CROSSINGS
) -> np.ndarray:
    """Change the rate of samples (N,) float32 to `wanted`; equal rates change nothing.

    Returns ceil(N * wanted / rate) samples, the first at the same time as the first
    given. By a Kaiser-windowed low-pass filter in polyphase form, symmetric, so that
    nothing is delayed. What was within full scale stays within it: a wave
    between loud samples may have its peak above them, and is cut there.

    `crossings` are the filter's zero crossings on either side: fewer are faster, and
    take more of the highest tones.
    """
    if rate == wanted:
        return samples
    common = math.gcd(rate, wanted)
    up, down = wanted // common, rate // common
    taps = _low_pass(up, down, crossings)
    result = signal.resample_poly(samples, up, down, window=taps)
    if np.abs(samples).max(initial=0) <= 1:
        result = np.clip(result, -1, 1)
    return result.astype(np.float32)


@lru_cache(maxsize=128)
def _low_pass(up: int, down: int, crossings: int) -> np.ndarray:
    widest = max(up, down)
    taps = signal.firwin(
        2 * crossings * widest + 1, 1 / widest, window=("kaiser", _BETA)
    )
    return taps.astype(np.float32)  # float64 taps would double the work


def problems(
    samples: np.ndarray,
    rate: int = RATE,
    shortest: float = 1.015,
    silent: float = 1e-4,
    clipped: float = 0.01,
) -> list[str]:
    """Say what may spoil predictions from a sound, in words; empty when nothing does.

    Parameters
    ----------
    samples : (N,) float
        1 is full scale.
    rate : int
        Samples a second.
    shortest : float
        Seconds; at 16 kHz the default gives the 100 frames that the student of
        Albanie et al. needs.
    silent : float
        A sound is silent when no sample is larger; the default is 3 steps of 16 bits.
    clipped : float
        Share of samples within a thousandth of full scale or beyond it, from which on
        a sound counts as clipped.
    """
    found = []
    seconds = len(samples) / rate
    if seconds < shortest:
        found.append(f"lasts {seconds:.2f} s, shorter than {shortest:g} s")
    peak = float(np.abs(samples).max(initial=0))
    if peak <= silent:
        found.append(f"silent: no sample beyond {peak:.2g} of full scale")
    share = float(np.mean(np.abs(samples) >= 0.999)) if len(samples) else 0.0
    if share >= clipped:
        found.append(f"clipped: {share:.1%} of the samples at full scale")
    return found
