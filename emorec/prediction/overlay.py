"""A video with the scores of its models beside the picture."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emorec.errors import DataError, SpecError
from emorec.features.video import RATE, film_streams, open_media
from emorec.files import whole_file
from emorec.prediction.media import look_into
from emorec.prediction.overlay_panel import Panel
from emorec.prediction.series import series_of

SUFFIX = ".mp4"
# Pictures are enlarged to the one, and shrunk to the other: it is a view, not a copy.
_LOWEST, _LONGEST = 360, 1280
# Sounds that an mp4 file holds as they are; others are coded anew.
_KEPT_SOUNDS = ("aac", "mp3")
# fmt: off
_AAC_RATES = frozenset((
    7350, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200,
    96000,
))
# fmt: on
# The clock of an encoder that counts no finer than this; 24, 25 and 30 frames a second
# are whole numbers of it.
_COARSE = Fraction(1, 60_000)
_BOX = np.array([255, 230, 0], np.uint8)


def write_overlay(
    recording: str | Path,
    table: pd.DataFrame,
    boxes: pd.DataFrame | None,
    output: str | Path,
) -> None:
    """Write a video with bars of each model's scores beside its picture.

    One frame is in memory at a time. The sound is kept, and so are the time stamps
    (those of the file's first stream begin at 0). The picture is upright, with square
    pixels, 360 lines at least and 1,280 pixels on its longer side at most.

    Parameters
    ----------
    recording : path
        A video file.
    table : pandas.DataFrame
        Its predictions; see `emorec.prediction.series.series_of`.
    boxes : pandas.DataFrame or None
        Where judged faces were: ``time`` in seconds and ``x1``, ``y1``, ``x2``, ``y2``
        in pixels of the upright frame.
    output : path
        Ends with .mp4. H.264 where the encoder is there, else MPEG-4.

    Raises
    ------
    DataError
        When the recording is no video, or is damaged.
    SpecError
        When `output` has another suffix.
    MissingExtraError
        When PyAV is not installed.
    """
    recording, output = Path(recording), Path(output)
    if output.suffix.lower() != SUFFIX:
        raise SpecError(f"{output}: expected a file that ends with {SUFFIX}.")
    if not recording.is_file():
        raise DataError(f"{recording}: expected a video file to draw into.")
    series = series_of(table, look_into(recording).duration)
    with open_media(recording, "drawing into a video") as source:
        import av

        if not film_streams(source):
            raise DataError(f"{recording}: has no picture to draw into.")
        try:
            with (
                whole_file(output) as temporary,
                av.open(
                    str(temporary), "w", options={"movflags": "+faststart"}
                ) as target,
            ):
                writer = _Writer(source, target, series, _Boxes(boxes))
                for packet in source.demux(writer.streams):
                    writer.take(packet)
                writer.close()
        except av.error.FFmpegError as error:
            raise DataError(
                f"{recording}: cannot be drawn into ({error.strerror}). Convert it to "
                "mp4 and try again."
            ) from error


class _Boxes:
    """Boxes by time."""

    def __init__(self, table: pd.DataFrame | None) -> None:
        columns = ["time", "x1", "y1", "x2", "y2"]
        rows = np.zeros((0, 5)) if table is None else table[columns].to_numpy(float)
        self._rows = rows[np.argsort(rows[:, 0], kind="stable")]
        steps = np.diff(np.unique(self._rows[:, 0]))
        # A box stands for the frames around its own, not for later appearances.
        self._hold = float(np.clip(np.median(steps), 0.05, 1.0)) if len(steps) else 0.5

    def at(self, time: float) -> np.ndarray:
        """Return the boxes (m, 4) of the time nearest to one, if it is near."""
        if not len(self._rows):
            return self._rows[:, 1:]
        times = self._rows[:, 0]
        place = int(np.searchsorted(times, time))
        around = times[max(0, place - 1) : place + 1]
        nearest = around[np.argmin(np.abs(around - time))]
        if abs(nearest - time) > 0.75 * self._hold:
            return self._rows[:0, 1:]
        return self._rows[times == nearest, 1:]


class _Writer:
    """Frames with their panels, and the sound beside them.

    Parameters
    ----------
    source, target : PyAV's containers
        Read from and written to.
    series : list of Series
        The scores.
    boxes : _Boxes
        The faces.
    """

    def __init__(self, source: Any, target: Any, series: list, boxes: _Boxes) -> None:
        import av

        self.path, self.target = Path(source.name.removeprefix("file:")), target
        self.series, self.boxes = series, boxes
        self.video = film_streams(source)[0]
        self.video.thread_type = "AUTO"
        self.sound = source.streams.best("audio")
        if self.sound is not None and self.sound.codec_context is None:
            self.sound = None
        self.streams = [s for s in (self.video, self.sound) if s is not None]
        self.origin = (source.start_time or 0) / av.time_base
        self.panel: Panel | None = None
        self.size = (0, 0)
        self.last, self.number = -1, 0
        self._waiting: list[Any] = []
        self._out = self._out_sound = None

    def take(self, packet: Any) -> None:
        """Take the next packet of either stream."""
        if packet.stream.index == self.video.index:
            for frame in packet.decode():
                self._frame(frame)
        elif self._out is None:
            # The file's head needs the size of the first picture.
            self._waiting.append(packet)
        else:
            self._sound(packet)

    def close(self) -> None:
        """Write what encoders still hold."""
        if self._out is None:
            raise DataError(f"{self.path}: has no frames; it may be cut off.")
        self.target.mux(self._out.encode())
        if self._out_sound is not None and not self._copied:
            self.target.mux(self._out_sound.encode())

    def _frame(self, frame: Any) -> None:
        time = frame.time
        if time is None:  # raw streams have no clock
            time = self.number / float(self.video.average_rate or RATE)
        time -= self.origin
        self.number += 1
        turns = round(frame.rotation / 90) % 4
        width = max(1, round(frame.width * float(self.video.sample_aspect_ratio or 1)))
        upright = (frame.height, width) if turns % 2 else (width, frame.height)
        if self._out is None:
            self._begin(upright)
        stamp = round(time / self._out.codec_context.time_base)
        if stamp <= self.last:
            return
        self.last = stamp
        wide, high = self.size
        if turns % 2:
            wide, high = high, wide
        picture = frame.reformat(wide, high, "rgb24").to_ndarray()
        picture = np.rot90(picture, turns)
        canvas = np.full(
            (self.panel.height, self.size[0] + self.panel.width, 3), 22, np.uint8
        )
        canvas[: self.size[1], : self.size[0]] = picture
        scale = np.array(self.size) / upright
        for box in self.boxes.at(time):
            _rectangle(canvas[: self.size[1], : self.size[0]], box * np.tile(scale, 2))
        canvas[:, self.size[0] :] = self.panel.at(time)
        self._encode(canvas, stamp)

    def _begin(self, upright: tuple[int, int]) -> None:
        """Open the streams of the target for pictures of a size (width, height)."""
        factor = max(1.0, _LOWEST / upright[1])
        factor = min(factor, _LONGEST / max(upright))
        self.size = tuple(max(2, 2 * round(factor * side / 2)) for side in upright)
        self.panel = Panel(self.series, self.size[1])
        name = _encoder()
        # Only a hint, of which those that vary say nothing.
        rate = min(self.video.average_rate or Fraction(int(RATE)), Fraction(60))
        fine = {"preset": "veryfast", "crf": "21"} if name == "libx264" else {}
        self._out = self.target.add_stream(name, rate=rate, options=fine)
        self._out.width = self.size[0] + self.panel.width
        self._out.height, self._out.pix_fmt = self.panel.height, "yuv420p"
        base = self.video.time_base
        coarse = name == "mpeg4" or base is None
        self._out.codec_context.time_base = _COARSE if coarse else base
        if not fine:
            pixels = self._out.width * self._out.height
            self._out.bit_rate = int(0.15 * pixels * float(rate))
        if self.sound is not None:
            self._copied = self.sound.codec_context.name in _KEPT_SOUNDS
            if self._copied:
                self._out_sound = self.target.add_stream_from_template(self.sound)
            else:
                sampled = self.sound.codec_context.sample_rate
                self._out_sound = self.target.add_stream(
                    "aac", rate=sampled if sampled in _AAC_RATES else 48_000
                )
        for packet in self._waiting:
            self._sound(packet)
        self._waiting = []

    def _encode(self, canvas: np.ndarray, stamp: int) -> None:
        import av

        image = av.VideoFrame.from_ndarray(canvas, format="rgb24")
        image.pts, image.time_base = stamp, self._out.codec_context.time_base
        self.target.mux(self._out.encode(image))

    def _sound(self, packet: Any) -> None:
        if self._copied:
            if packet.dts is None:  # the end of the stream
                return
            late = round(self.origin / packet.time_base)
            packet.dts -= late
            if packet.pts is not None:
                packet.pts -= late
            packet.stream = self._out_sound
            self.target.mux(packet)
            return
        for frame in packet.decode():
            if frame.pts is not None:
                frame.pts -= round(self.origin / frame.time_base)
            self.target.mux(self._out_sound.encode(frame))


def _encoder() -> str:
    from av.codec import Codec
    from av.codec.codec import UnknownCodecError

    for name in ("libx264", "libopenh264"):
        try:
            Codec(name, "w")
        except UnknownCodecError:
            continue
        return name
    return "mpeg4"


def _rectangle(image: np.ndarray, box: np.ndarray) -> None:
    """Draw the border of a box into an image, as far as it lies inside."""
    height, width = image.shape[:2]
    thick = max(2, height // 240)
    left, top, right, bottom = np.rint(box).astype(int)
    for first, last in ((top, top + thick), (bottom - thick, bottom)):
        image[
            _clip(first, height) : _clip(last, height), _inside(left, right, width)
        ] = _BOX
    for first, last in ((left, left + thick), (right - thick, right)):
        image[
            _inside(top, bottom, height), _clip(first, width) : _clip(last, width)
        ] = _BOX


def _clip(place: int, end: int) -> int:
    return min(max(place, 0), end)


def _inside(first: int, last: int, end: int) -> slice:
    return slice(_clip(first, end), _clip(last, end))
