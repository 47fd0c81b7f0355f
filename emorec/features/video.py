"""Frames of a video file or of a folder of images, at a wanted rate, one at a time.

The published work takes every 6th frame of videos of 25 frames a second (Albanie 2018,
section 4.1): one each 0.24 s. Here this is a grid in time, so that videos of any rate,
also a varying one, are sampled alike and their times agree with those of the sound.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image, ImageOps

from emorec.errors import DataError, MissingExtraError

RATE, EVERY = 25.0, 6
# fmt: off
VIDEO_SUFFIXES = frozenset((
    ".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv",
    ".ts", ".webm", ".wmv",
))
# fmt: on
IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png"))

# A longer pause between two frames is a damaged time stamp, not a still picture.
_LONGEST_PAUSE = 600.0

Item = TypeVar("Item")


def read_frames(
    path: str | Path, rate: float = RATE, every: int = EVERY
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield the frames of a video file or of a folder of images, sampled in time.

    Parameters
    ----------
    path : path
        A video file; or a folder whose images are frames that were sampled already,
        as the face tracks of VoxCeleb are: each of them is one step of the grid.
    rate : float
        Frames a second of the grid.
    every : int
        Take each so-maniest of them; the step is ``every / rate`` seconds.

    Yields
    ------
    time : float
        Seconds since the beginning of the file's first stream, so since that of the
        sound where it begins first; a multiple of the step.
    image : (H, W, 3) uint8
        RGB, upright (rotated as the file asks), with square pixels. H and W may
        change within a folder.

    Raises
    ------
    DataError
        At the first frame or before, when the file is missing, empty, no video, or has
        sound only; later, when it is damaged or ends long before the length that it
        states (formats without an index, as MPEG, state none).
    MissingExtraError
        When a video is asked for and PyAV is not installed.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder.")
    if path.is_dir():
        return _folder_frames(path, rate, every)
    return _video_frames(path, rate, every)


def sample(
    timed: Iterable[tuple[float, Item]], rate: float = RATE, every: int = EVERY
) -> Iterator[tuple[float, Item]]:
    """Yield for each point of a grid in time the item that is nearest to it.

    The grid begins with the point nearest to the first item and ends with the last
    point within half an interval of the last item. Only two items are held.

    Parameters
    ----------
    timed : iterable of (float, item)
        Times in seconds; items that do not go forward in time are passed over.
    rate, every : float, int
        Grid points are ``k * every / rate`` for k = 0, 1, ...
    """
    held: tuple[float, Item] | None = None
    point, interval, none_yet = 0, 0.0, True
    for time, item in timed:
        if held is None:
            point = max(0, round(time * rate / every))
        elif time <= held[0]:
            continue
        else:
            interval = time - held[0]
            # Ties go to the earlier frame; times are multiples of 1/90000 s or so.
            while point * every / rate <= held[0] + interval / 2 + 1e-6:
                yield point * every / rate, held[1]
                point, none_yet = point + 1, False
        held = time, item
    if held is None:
        return
    while none_yet or point * every / rate <= held[0] + interval / 2 - 1e-6:
        yield point * every / rate, held[1]
        point, none_yet = point + 1, False


def image_files(folder: Path) -> list[Path]:
    """Return the images of a folder in the order of their names.

    Numbers in names count as numbers: 2.jpg comes before 10.jpg.
    """
    found = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    ]
    return sorted(found, key=lambda path: _natural(path.name))


def _natural(name: str) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _folder_frames(
    folder: Path, rate: float, every: int
) -> Iterator[tuple[float, np.ndarray]]:
    files = image_files(folder)
    if not files:
        raise DataError(f"{folder}: expected jpg or png frames, found none.")
    for number, path in enumerate(files):
        try:
            with Image.open(path) as image:
                upright = ImageOps.exif_transpose(image).convert("RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as bad:
            raise DataError(f"{path}: cannot be read as an image ({bad}).") from bad
        yield number * every / rate, np.asarray(upright)


def frame_times(
    path: str | Path, rate: float = RATE, every: int = EVERY
) -> Iterator[float]:
    """Return the times of `read_frames`; of a video, no images are made.

    See `read_frames` for the parameters and what is refused.
    """
    path = Path(path)
    if not path.is_file():
        return (time for time, _ in read_frames(path, rate, every))
    return (time for time, _ in _sampled(path, rate, every))


def _video_frames(
    path: Path, rate: float, every: int
) -> Iterator[tuple[float, np.ndarray]]:
    for time, (frame, stream) in _sampled(path, rate, every):
        yield time, _rgb(frame, stream)


def _sampled(path: Path, rate: float, every: int) -> Iterator[tuple[float, tuple]]:
    """Yield (seconds, (PyAV's frame, its stream)) on the grid."""
    with open_media(path, "reading a video") as container:
        streams = film_streams(container)
        if not streams:
            raise DataError(
                f"{path}: expected a video, but it holds {_contents(container)} only."
            )
        stream = streams[0]
        stream.thread_type = "AUTO"
        shown = _decoded(path, container, stream)
        for time, frame in sample(shown, rate, every):
            yield time, (frame, stream)


@contextmanager
def open_media(path: Path, purpose: str) -> Iterator[Any]:
    """Open a video file and yield PyAV's container.

    Parameters
    ----------
    path : Path
        A file that is there.
    purpose : str
        What the file is opened for, for the message when PyAV is missing.

    Raises
    ------
    DataError
        When it is empty or no format that is known.
    MissingExtraError
        When PyAV is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise MissingExtraError("av", "faces", f"{path}: {purpose}") from error

    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty; expected a video.")
    try:
        # With the protocol, no file name can be taken for an address.
        # Titles in other encodings than UTF-8 are common, and of no interest.
        container = av.open(f"file:{path}", metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise DataError(
            f"{path}: cannot be read as a video ({error.strerror}). If it plays "
            "elsewhere, convert it to mp4."
        ) from error
    with container:
        yield container


def film_streams(container) -> list:
    """Return the video streams of a container that can be decoded."""
    import av

    # The cover picture of a piece of music is a video stream, too.
    cover = av.stream.Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & cover]
    return streams if streams and streams[0].codec_context is not None else []


def _contents(container) -> str:
    return ", ".join(sorted({s.type for s in container.streams})) or "nothing"


def _decoded(path: Path, container, stream) -> Iterator[tuple[float, object]]:
    """Yield (seconds, PyAV's frame); refuse a stream that breaks off."""
    import av

    origin = (container.start_time or 0) / av.time_base
    first = last = None
    try:
        for number, frame in enumerate(container.decode(stream)):
            time = frame.time
            if time is None:  # raw streams have no clock
                time = number / float(stream.average_rate or RATE)
            time -= origin
            if last is not None and time - last > _LONGEST_PAUSE:
                raise DataError(
                    f"{path}: the time stamps jump from {last:.1f} to {time:.1f} s. "
                    "Convert the video anew."
                )
            first, last = (time if first is None else first), time
            yield time, frame
    except av.error.FFmpegError as error:
        where = "its beginning" if last is None else f"{last:.2f} s"
        raise DataError(
            f"{path}: damaged at {where} ({error.strerror}). Fetch or convert it anew."
        ) from error
    if last is None:
        raise DataError(f"{path}: the video has no frames; it may be cut off.")
    if stream.duration is not None:
        declared = float(stream.duration * stream.time_base)
        # Players round; the last frames of intact files may be missing.
        if last - first < 0.95 * declared - 1:
            raise DataError(
                f"{path}: ends after {last - first:.1f} of {declared:.1f} s; it is cut "
                "off. Fetch it anew."
            )


def _rgb(frame, stream) -> np.ndarray:
    """Return a frame as an upright (H, W, 3) uint8 array with square pixels."""
    ratio = float(stream.sample_aspect_ratio or 1)
    width = max(1, round(frame.width * ratio))
    image = frame.reformat(width=width, format="rgb24").to_ndarray()
    # Degrees against the clock, like numpy's quarter turns.
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image
