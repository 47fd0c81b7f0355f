"""What the audio-visual fusion takes of a clip's frames: 15 faces.

Chumachenko, Iosifidis and Gabbouj (2022), "Self-attention fusion for audiovisual
emotion recognition with incomplete data", section 4.1, and their program.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from emorec.errors import DataError, SpecError
from emorec.features import faces, tracking, video
from emorec.features.av_sound import SECONDS, SOUND_RATE
from emorec.features.tracking import Face
from emorec.progress import Stopwatch

FRAMES, FRAME_RATE, SIZE = 15, 30, 224
# Of the middle part; the faces are taken evenly out of it.
SPAN = 108
# Where the box of a frame comes from.
DETECTED, TRACKED, REUSED, BLACK = "detected", "tracked", "reused", "black"
WHOLE = "whole frame"


@dataclass(frozen=True)
class AvSettings:
    """What decides the prepared arrays of a clip.

    Attributes
    ----------
    detect_every : int
        Faces are looked for on each so-maniest of the 15 frames, and where they move;
        see `tracking.follow`. The reference looks at all.
    confidence : float
        Least confidence of a face.
    min_face : int
        Smallest face in pixels that is looked for; see `faces.mtcnn_detector`.
    literal : bool
        As the reference's program: the first 3.6 s of the video, since it compares its
        length the wrong way round, and colours in the order BGR.
    whole_frames : bool
        The clips show the face alone: each frame is the face, and no detector is
        asked. A frame that is not square is stretched, as boxes of faces are.
    """

    detect_every: int = tracking.DETECT_EVERY
    confidence: float = faces.CONFIDENCE
    min_face: int = 40
    literal: bool = False
    whole_frames: bool = False

    def __post_init__(self) -> None:
        if self.detect_every < 1 or not 0 <= self.confidence <= 1:
            raise SpecError(
                f"Detection each {self.detect_every} frames with confidence "
                f"{self.confidence:g}: expected 1 or more, and 0 to 1."
            )

    @property
    def colours(self) -> str:
        """RGB or BGR, the order of the last axis."""
        return "BGR" if self.literal else "RGB"

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> AvSettings:
        """Return the settings that `to_dict` told, whatever else is told beside."""
        names = {field.name for field in fields(cls)} & content.keys()
        return cls(**{name: content[name] for name in names})

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers for JSON: these settings and what is fixed."""
        return asdict(self) | {
            "colours": self.colours,
            "frames": FRAMES,
            "frame_rate": FRAME_RATE,
            "size": SIZE,
            "seconds": SECONDS,
            "sound_rate": SOUND_RATE,
        }


@dataclass(frozen=True)
class FaceClip:
    """The faces of a clip.

    Attributes
    ----------
    images : (15, 224, 224, 3) uint8
        RGB, or BGR with `AvSettings.literal`; black where the clip has ended.
    times : (15,) float64
        Seconds; NaN for black images.
    boxes : (15, 4) float64
        x1, y1, x2, y2 in pixels; NaN for black images.
    origins : tuple of 15 str
        detected, tracked (between two detections), reused (the face was not found, so
        an earlier box was taken; at the beginning a later one), black; or whole frame.
    """

    images: np.ndarray
    times: np.ndarray
    boxes: np.ndarray
    origins: tuple[str, ...]


def wanted_frames(count: int, literal: bool = False) -> np.ndarray:
    """Return which frames of a clip are taken.

    Parameters
    ----------
    count : int
        Frames of the clip at 30 a second.
    literal : bool
        Begin with the first frame whatever the length.

    Returns
    -------
    (15,) int
        ``floor(i * 108 / 15) + floor(108 / 30)``, counted from the beginning of the
        middle 108 frames, or of the clip where it is shorter; then the last of them
        may lie beyond its end.
    """
    start = 0 if literal else max(0, (count - SPAN) // 2)
    return start + np.arange(FRAMES) * SPAN // FRAMES + SPAN // (2 * FRAMES)


def face_clip(
    path: str | Path,
    detect: faces.Detector,
    settings: AvSettings | None = None,
    watch: Stopwatch | None = None,
) -> FaceClip:
    """Cut the face out of 15 frames of a video; see `cut_faces`.

    The video is decoded twice, since its middle is known at its end only; 15 frames are
    held.

    Parameters
    ----------
    path : path
        A video, or a folder of frames at 30 a second.
    detect : Detector
        See `emorec.features.faces`; not called for whole frames.
    settings : AvSettings, optional
        Detection.
    watch : Stopwatch, optional
        Adds up decoding, tracking and detection.

    Raises
    ------
    DataError
        When the video cannot be read, is shorter than 4 frames, or no face is found.
    """
    settings, watch = settings or AvSettings(), watch or Stopwatch()
    count = 0
    with watch.time("decoding", 0):
        for _ in video.frame_times(path, FRAME_RATE, 1):
            count += 1
    wanted = wanted_frames(count, settings.literal)
    real = int((wanted < count).sum())
    if not real:
        raise DataError(
            f"{path}: {count} frames at {FRAME_RATE} a second; expected "
            f"{wanted[0] + 1} or more."
        )

    taken = _taken(path, wanted[:real].tolist(), watch)
    found = cut_faces(taken, detect, settings, watch)
    if found is None:
        raise DataError(
            f"{path}: no face found in {real} frames with a confidence of "
            f"{settings.confidence:g} or more."
        )
    return found


def cut_faces(
    taken: Iterable[tuple[float, np.ndarray]],
    detect: faces.Detector,
    settings: AvSettings,
    watch: Stopwatch | None = None,
) -> FaceClip | None:
    """Cut the face out of the frames of a clip.

    The face is that of the track whose boxes cover most, summed over frames. Before
    that track begins and after it ends the largest face of a frame is taken. With
    `AvSettings.whole_frames` it is the frame itself.

    Parameters
    ----------
    taken : iterable of (float, (H, W, 3) uint8)
        Seconds and RGB images, 1 to 15; what a clip lacks at its end is black.
    detect, settings, watch
        See `face_clip`.

    Returns
    -------
    FaceClip or None
        None where no face is found.
    """
    watch = watch or Stopwatch()

    def timed(images: list[np.ndarray]) -> list[np.ndarray]:
        with watch.time("detection", len(images)):
            return detect(images)

    if settings.whole_frames:
        shown = list(taken)
        chosen = [(faces.whole_box(image), WHOLE) for _, image in shown]
    else:
        followed = tracking.follow(
            taken, timed, settings.detect_every, settings.confidence
        )
        shown, found = [], []
        for time, image, seen in followed:
            shown.append((time, image))
            found.append([face for face in seen if faces.touches(image, face.box)])
        if not any(found):
            return None
        chosen = choose_boxes(found)
    images = np.zeros((FRAMES, SIZE, SIZE, 3), np.uint8)
    times, boxes = np.full(FRAMES, np.nan), np.full((FRAMES, 4), np.nan)
    for n, ((time, image), (box, _)) in enumerate(zip(shown, chosen, strict=True)):
        times[n], boxes[n] = time, box
        if faces.touches(image, box):  # frames of a folder may differ in size
            images[n] = faces.cut(image, box, SIZE)
    if settings.literal:
        images = images[..., ::-1].copy()
    origins = [origin for _, origin in chosen] + [BLACK] * (FRAMES - len(shown))
    return FaceClip(images, times, boxes, tuple(origins))


def choose_boxes(found: Sequence[Sequence[Face]]) -> list[tuple[np.ndarray, str]]:
    """Choose one box for each frame.

    Parameters
    ----------
    found : sequence of sequence of Face
        The faces of each frame; at least one in all.

    Returns
    -------
    list of ((4,) float64, str)
        The box and where it comes from: detected, tracked or reused.
    """
    areas: dict[int, float] = {}
    for face in (face for seen in found for face in seen):
        areas[face.track] = areas.get(face.track, 0.0) + _area(face)
    main = max(areas, key=areas.get)
    present = [n for n, seen in enumerate(found) if main in (f.track for f in seen)]
    picked: list[Face | None] = []
    for n, seen in enumerate(found):
        # While the main face is merely missed, nobody else's is taken for it.
        inside = present[0] <= n <= present[-1]
        known = [face for face in seen if face.track == main or not inside]
        picked.append(max(known, key=_area, default=None))
    last = next(face for face in picked if face is not None).box
    chosen = []
    for face in picked:
        if face is None:
            chosen.append((last, REUSED))
            continue
        last = face.box
        chosen.append((last, DETECTED if face.detected else TRACKED))
    return chosen


def _area(face: Face) -> float:
    x1, y1, x2, y2 = face.box
    return float((x2 - x1) * (y2 - y1))


def _taken(path: str | Path, wanted: list[int], watch: Stopwatch):
    """Yield (seconds, image) of the wanted frames; decode no further."""
    frames = enumerate(video.read_frames(path, FRAME_RATE, 1))
    left = iter(wanted)
    sought = next(left)
    for number, (time, image) in watch.each("decoding", frames):
        if number == sought:
            yield time, image
            if (sought := next(left, None)) is None:
                return
