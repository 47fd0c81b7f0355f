"""Reading a recording as its spans go on: how long it is, what it holds, its sound."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from emorec.errors import DataError
from emorec.features import audio, video
from emorec.features.sound_files import stream_own
from emorec.prediction.recordings import Recording, Span

# Sounds that libsndfile does not read; FFmpeg does.
SOUND_SUFFIXES = audio.AUDIO_SUFFIXES | {
    *(".aac", ".ac3", ".amr", ".au", ".caf", ".m4a", ".mka", ".opus", ".wma")
}
# Below this share of full scale, the noise of 16 bits, nobody can be heard.
_SILENCE = 1e-4


# Seconds, and what was found there.
Moment = tuple[float, Any]


class Contents(NamedTuple):
    """What a media file holds.

    Attributes
    ----------
    video, sound : bool
        Whether it has a stream of the kind that can be decoded.
    duration : float
        Seconds from the beginning of its first stream to the end of its last.
    """

    video: bool
    sound: bool
    duration: float


def look_into(path: Path) -> Contents:
    """Tell what a media file, or a folder of frames, holds, without decoding it.

    Raises
    ------
    DataError
        When it is missing, empty, damaged, or holds neither video nor sound.
    MissingExtraError
        When the package that reads it is not installed.
    """
    if path.is_dir():
        count = sum(1 for _ in video.image_files(path))
        if not count:
            raise DataError(f"{path}: expected jpg or png frames, found none.")
        return Contents(True, False, count * video.EVERY / video.RATE)
    if not path.is_file():
        raise DataError(f"{path}: no such file.")
    if path.suffix.lower() in audio.AUDIO_SUFFIXES:
        found = audio.sound_info(path)
        if not found.samples:
            raise DataError(f"{path}: holds no samples; it may be cut off.")
        return Contents(False, True, found.samples / found.rate)
    with video.open_media(path, "reading a video") as container:
        has_video = bool(video.film_streams(container))
        stream = container.streams.best("audio")
        has_sound = stream is not None and stream.codec_context is not None
        if not (has_video or has_sound):
            raise DataError(f"{path}: expected video or sound, but it holds neither.")
        return Contents(has_video, has_sound, _duration(path, container))


def _duration(path: Path, container) -> float:
    """Return what the file states, or where its last packet ends."""
    import av

    if container.duration:
        return container.duration / av.time_base
    origin = (container.start_time or 0) / av.time_base
    end = 0.0
    try:
        for packet in container.demux():
            if packet.pts is not None and packet.time_base is not None:
                last = packet.pts + (packet.duration or 0)
                end = max(end, float(last * packet.time_base) - origin)
    except av.error.FFmpegError as error:
        raise DataError(
            f"{path}: damaged at {end:.2f} s ({error.strerror}). Fetch or convert it "
            "anew."
        ) from error
    if end <= 0:
        raise DataError(f"{path}: holds no picture and no sound; it may be cut off.")
    return end


def moments_of(
    seen: Iterator[Moment], recording: Recording, spans: Sequence[Span]
) -> Iterator[list[Moment]]:
    """Yield what was seen in each span, holding no more than the spans need.

    Parameters
    ----------
    seen : iterator of (float, object)
        Seconds and what was found there, in the order of time.
    recording : Recording
        A span that ends with it has everything to the end.
    spans : sequence of Span
        Their beginnings in the order of time.
    """
    held: deque[Moment] = deque()
    ahead = next(seen, None)
    for span in spans:
        last = span.end >= recording.duration
        while ahead is not None and (last or ahead[0] < span.end):
            held.append(ahead)
            ahead = next(seen, None)
        while held and held[0][0] < span.start:
            held.popleft()
        yield [moment for moment in held if last or moment[0] < span.end]


def sound_of(
    recording: Recording, spans: Sequence[Span], channel: str = "mean"
) -> Iterator[tuple[np.ndarray, int] | None]:
    """Yield the sound of each span.

    Parameters
    ----------
    recording : Recording
        May lack sound.
    spans : sequence of Span
        Their beginnings in the order of time.
    channel : {"mean", "first"}
        Of several channels.

    Yields
    ------
    samples : (n,) float32
        Of one channel, 1 is full scale; n may be less than the span is long where the
        sound ends before it.
    rate : int
        Samples a second, the file's own.

    None stands for a span without sound, or digital silence. A span that is the whole
    recording has all samples of the file.

    Raises
    ------
    DataError, MissingExtraError
        When the sound cannot be read, at the span that meets it.
    """
    if recording.sound is None:
        yield from (None for _ in spans)
        return
    held: deque[np.ndarray] = deque()
    begin, end, ended = 0, 0, False  # samples that are held: [begin, end)
    pieces = stream_own(recording.sound, channel)
    first = next(pieces, None)
    rate = first[1] if first else audio.RATE
    if first:
        held.append(first[0])
        end = len(first[0])
    for span in spans:
        start, stop = round(span.start * rate), round(span.end * rate)
        # The duration is rounded; a last span has the last samples, too.
        to_the_end = span.end >= recording.duration
        while not ended and (end < stop or to_the_end):
            piece = next(pieces, None)
            if piece is None:
                ended = True
                break
            held.append(piece[0])
            end += len(piece[0])
        while held and begin + len(held[0]) <= start:
            begin += len(held.popleft())
        stop = end if to_the_end else stop
        samples = _joined(held, start - begin, stop - begin)
        if np.abs(samples).max(initial=0) < _SILENCE:
            yield None
        else:
            yield samples, rate


def _joined(held: deque[np.ndarray], start: int, stop: int) -> np.ndarray:
    """Return samples [start, stop) of the pieces joined."""
    parts, place = [np.zeros(0, np.float32)], 0
    for piece in held:
        if place >= stop:
            break
        parts.append(piece[max(0, start - place) : max(0, stop - place)])
        place += len(piece)
    return np.concatenate(parts)
