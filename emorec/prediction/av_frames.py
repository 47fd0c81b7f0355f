"""The frames of a recording that the audio-visual fusion takes of each span."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from emorec.errors import DataError
from emorec.features import video
from emorec.features.av_clips import FRAME_RATE, wanted_frames
from emorec.prediction.recordings import Recording, Span

Timed = tuple[float, np.ndarray]
# Of frames that are held for later spans too; beyond it they are decoded again.
HELD = 512 * 2**20
_CLOSE = 1e-6


def frames_of(
    recording: Recording, spans: Sequence[Span], literal: bool = False, most: int = HELD
) -> Iterator[list[Timed]]:
    """Yield the frames of each span that the fusion takes.

    Parameters
    ----------
    recording : Recording
        With a video. The images of a folder are 0.24 s apart, as for all predictors.
    spans : sequence of Span
        In the order of time. One that is the whole recording has all frames of it.
    literal : bool
        See `emorec.features.av_clips.AvSettings`.
    most : int
        Bytes of frames that are held, beside those of one span.

    Yields
    ------
    list of (float, (H, W, 3) uint8)
        Seconds since the recording's beginning and RGB images, at most 15; fewer where
        the span is shorter than 3.6 s. None of a span without the first wanted frame:
        one shorter than 0.13 s, or later than the last frame.

    Raises
    ------
    DataError, MissingExtraError
        When the video cannot be read, at the span that meets it.
    """
    path = recording.video
    first, last, damage = _extent(path)
    wanted = []
    for span in spans:
        numbers, beyond = _numbers(recording, span, first, last, literal)
        if beyond and damage:
            # The spans before are whole; this one waits for its turn to say so.
            break
        wanted.append(numbers)
    yield from _read(path, wanted, most)
    if len(wanted) < len(spans):
        raise damage


def _extent(path: Path) -> tuple[int, int, DataError | None]:
    """Return the first and the last frame of the grid, and why there are no more."""
    first = last = None
    try:
        for time in _times(path):
            last = round(time * FRAME_RATE)
            first = last if first is None else first
    except DataError as error:
        if first is None:
            raise
        return first, last, error
    if first is None:
        raise DataError(f"{path}: expected jpg or png frames, found none.")
    return first, last, None


def _numbers(
    recording: Recording, span: Span, first: int, last: int, literal: bool
) -> tuple[list[int], bool]:
    """Return which frames a span takes, and whether it goes on behind the last one."""
    whole = span.end >= recording.duration
    end = math.ceil(span.end * FRAME_RATE - _CLOSE)
    beyond = whole or end > last + 1
    end = last + 1 if beyond else end
    start = max(first, math.ceil(span.start * FRAME_RATE - _CLOSE))
    if end <= start:
        return [], beyond
    found = start + wanted_frames(end - start, literal)
    return found[found < end].tolist(), beyond


def _read(
    path: Path, wanted: Sequence[Sequence[int]], most: int
) -> Iterator[list[Timed]]:
    """Yield frames by their numbers; what is not held any more is decoded again."""
    last_use = {n: place for place, numbers in enumerate(wanted) for n in numbers}
    held: dict[int, Timed] = {}
    frames, position = iter(()), -1
    for place, numbers in enumerate(wanted):
        missing = [n for n in numbers if n not in held]
        if missing and (position < 0 or missing[0] <= position):
            frames, position = _frames(path), -1
        while missing and position < missing[-1]:
            time, image = next(frames)
            position = round(time * FRAME_RATE)
            later = last_use.get(position, -1) >= place
            room = sum(image.nbytes for _, image in held.values()) + image.nbytes
            if position in missing or (later and room <= most):
                held[position] = time, image
        yield [held[n] for n in numbers]
        held = {n: frame for n, frame in held.items() if last_use[n] > place}


def _times(path: Path) -> Iterator[float]:
    if not path.is_dir():
        return video.frame_times(path, FRAME_RATE, 1)
    step = video.EVERY / video.RATE
    images = ((n * step, None) for n in range(len(video.image_files(path))))
    return (time for time, _ in video.sample(images, FRAME_RATE, 1))


def _frames(path: Path) -> Iterator[Timed]:
    if not path.is_dir():
        return video.read_frames(path, FRAME_RATE, 1)
    return video.sample(video.read_frames(path), FRAME_RATE, 1)
