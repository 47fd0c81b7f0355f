"""The sound of a video file, on the clock of its frames."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from emorec.errors import DataError, SpecError
from emorec.features.audio import RATE, resample
from emorec.features.video import open_media

# Clocks of milliseconds and clocks of samples disagree by less than this; what is
# beyond is a pause or a repetition in the file.
_JITTER = 0.05
# A longer pause is a damaged time stamp, not silence.
_LONGEST_PAUSE = 600.0


def read_sound_of_video(path: str | Path, rate: int = RATE) -> np.ndarray:
    """Read the sound of a video file.

    Parameters
    ----------
    path : path
        A video, or another file with sound that FFmpeg reads. Of several sound tracks
        the one that players choose is taken.
    rate : int
        Wanted samples a second.

    Returns
    -------
    (N,) float32
        Mean of all channels; 1 is full scale. The first sample belongs to second 0 of
        `emorec.features.video.read_frames`, the beginning of the file's first stream:
        where the sound begins later there are zeros before it, and zeros fill pauses.

    Raises
    ------
    DataError
        When the file is missing, empty, no video, has no sound, is damaged or cut off,
        or holds samples that are not finite.
    SpecError
        For a rate below 1.
    MissingExtraError
        When PyAV is not installed.
    """
    if rate < 1:
        raise SpecError(f"rate {rate}: expected samples a second, 1 or more.")
    samples, found = read_native_sound(path)
    return resample(samples, found, rate)


def read_native_sound(path: str | Path) -> tuple[np.ndarray, int]:
    """Read the sound of a video file at the file's own rate.

    Returns
    -------
    samples : (N,) float32
        As of `read_sound_of_video`.
    rate : int
        Samples a second.

    Raises
    ------
    DataError, MissingExtraError
        As of `read_sound_of_video`.
    """
    pieces = list(stream_native_sound(path))
    samples = np.concatenate([piece for piece, _ in pieces])
    bad = len(samples) - np.count_nonzero(np.isfinite(samples))
    if bad:
        raise DataError(
            f"{path}: {bad} of {len(samples)} samples are not finite. Convert it anew."
        )
    return samples, pieces[0][1]


def stream_native_sound(
    path: str | Path, channel: str = "mean"
) -> Iterator[tuple[np.ndarray, int]]:
    """Yield the sound of a video file piece by piece, without a gap.

    Parameters
    ----------
    path : path
        As of `read_sound_of_video`.
    channel : {"mean", "first"}
        Of several channels.

    Yields
    ------
    samples : (n,) float32
        The next samples; those of all pieces are what `read_native_sound` returns. That
        they are finite is not checked.
    rate : int
        Samples a second, the same of all pieces.

    Raises
    ------
    DataError, MissingExtraError
        As of `read_sound_of_video`, each when it is met.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file.")
    with open_media(path, "reading the sound of a video") as container:
        stream = container.streams.best("audio")
        if stream is None or stream.codec_context is None:
            raise DataError(
                f"{path}: expected a video with sound, but it has no sound track that "
                "can be decoded. Give its sound as a file of its own, or leave the "
                "sound out."
            )
        found, end = None, 0
        for time, piece, own in _pieces(path, container, stream, channel):
            if found not in (None, own):
                raise DataError(
                    f"{path}: its sound changes from {found} to {own} samples a second "
                    f"at {time:.2f} s. Convert it anew."
                )
            found = own
            late = round(time * own) - end
            if abs(late) > _JITTER * own or not end:
                # Silence where nothing is, and the first of two sounds at one time.
                if late > 0:
                    yield np.zeros(late, np.float32), own
                piece = piece[max(0, -late) :]
                end += max(0, late)
            yield piece, own
            end += len(piece)
    if not end:
        raise DataError(f"{path}: its sound track holds no samples; it may be cut off.")


def _pieces(
    path: Path, container, stream, channel: str
) -> Iterator[tuple[float, np.ndarray, int]]:
    """Yield (seconds, (n,) float32, rate) of each piece; refuse what is cut off."""
    import av

    origin = (container.start_time or 0) / av.time_base
    first = last = None
    end = 0.0
    try:
        for frame in container.decode(stream):
            # Raw streams have no clock.
            time = end if frame.time is None else frame.time - origin
            if last is not None and time - last > _LONGEST_PAUSE:
                raise DataError(
                    f"{path}: the time stamps of its sound jump from {last:.1f} to "
                    f"{time:.1f} s. Convert the video anew."
                )
            piece = mixed(frame.to_ndarray(), len(frame.layout.channels), channel)
            end = time + len(piece) / frame.sample_rate
            first, last = (time if first is None else first), end
            yield time, piece, frame.sample_rate
    except av.error.FFmpegError as error:
        where = "its beginning" if last is None else f"{last:.2f} s"
        raise DataError(
            f"{path}: the sound is damaged at {where} ({error.strerror}). Fetch or "
            "convert the video anew."
        ) from error
    if last is not None and stream.duration is not None:
        declared = float(stream.duration * stream.time_base)
        # As for frames: the end of intact files may be a little earlier.
        if last - first < 0.95 * declared - 1:
            raise DataError(
                f"{path}: its sound ends after {last - first:.1f} of {declared:.1f} s; "
                "it is cut off. Fetch it anew."
            )


def mixed(samples: np.ndarray, channels: int, channel: str = "mean") -> np.ndarray:
    """Return the mean of the channels of decoded samples, or the first of them.

    Parameters
    ----------
    samples : (channels, n) or (1, n * channels), float or integer
        One channel after another, or (1, ...) with the channels of each moment
        side by side. Integers have their type's full scale; unsigned ones have
        silence in the middle of it.
    channels : int
        1 or more.
    channel : {"mean", "first"}
        What is returned.

    Returns
    -------
    (n,) float32
        1 is full scale.
    """
    if len(samples) != channels:
        samples = samples.reshape(-1, channels).T
    if channel == "first":
        samples = samples[:1]
    if np.issubdtype(samples.dtype, np.floating):
        return samples.mean(axis=0, dtype=np.float32)
    # Integers of 32 bits lose their last digits in float32, so the mean comes first.
    full = 2.0 ** (8 * samples.dtype.itemsize - 1)
    middle = full if np.issubdtype(samples.dtype, np.unsignedinteger) else 0.0
    mean = samples.mean(axis=0, dtype=np.float64)
    return ((mean - middle) / full).astype(np.float32)
