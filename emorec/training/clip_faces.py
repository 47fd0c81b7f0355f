"""The faces of one clip: found, followed, cut out, and which of them are wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from emorec.errors import DataError, SpecError
from emorec.features import faces, tracking, video
from emorec.progress import Stopwatch

TRACKS = ("main", "largest", "all")
FACES = ("auto", "detect", "given")
# Crops that there is room for at first; the room doubles.
_ROOM = 64


@dataclass(frozen=True)
class LabelSettings:
    """What decides a clip's scores, besides the network.

    Attributes
    ----------
    rate, every : float, int
        Frames are taken each ``every / rate`` seconds.
    detect_every : int
        Faces are looked for on each so-maniest frame taken; see `tracking.follow`.
    confidence : float
        Least confidence of a face.
    min_face : int
        Smallest face in pixels that is looked for; see `faces.mtcnn_detector`.
    scale : float
        Enlarges the squares that are cut out; see `faces.crop`.
    faces : {"auto", "detect", "given"}
        Whether faces are looked for, or the frames are face tracks whose boxes were
        enlarged 1.6 times, as VoxCeleb's are; auto takes folders of images for these.
    tracks : {"main", "largest", "all"}
        Which faces are kept: the track whose boxes cover most, summed over frames; the
        largest face of each frame; or every face.
    """

    rate: float = video.RATE
    every: int = video.EVERY
    detect_every: int = tracking.DETECT_EVERY
    confidence: float = faces.CONFIDENCE
    min_face: int = 40
    scale: float = 1.0
    faces: str = "auto"
    tracks: str = "main"

    def __post_init__(self) -> None:
        numbers = (self.rate, self.every, self.detect_every, self.scale)
        if not all(0 < number < float("inf") for number in numbers):
            raise SpecError(
                f"Rate {self.rate:g}, every {self.every}, detect_every "
                f"{self.detect_every}, scale {self.scale:g}: expected numbers above 0."
            )
        if not 0 <= self.confidence <= 1:
            raise SpecError(f"Confidence {self.confidence:g}: expected 0 to 1.")
        if self.faces not in FACES or self.tracks not in TRACKS:
            raise SpecError(
                f"Faces '{self.faces}', tracks '{self.tracks}': expected one of "
                f"{', '.join(FACES)} and one of {', '.join(TRACKS)}."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers for JSON."""
        return asdict(self)


class ClipFaces(NamedTuple):
    """The faces of a clip, T rows in the order of time.

    Attributes
    ----------
    times : (T,) float64
        Seconds. With tracks "all" a time may have several rows.
    boxes : (T, 4) float64
        x1, y1, x2, y2 in pixels of the upright frame; of given face tracks, the part
        that was taken.
    tracks : (T,) int32
        Numbers of the tracks.
    crops : (T, S, S) uint8
        Grey.
    frames : (1,) int64
        Frames looked at, with a face or without.
    """

    times: np.ndarray
    boxes: np.ndarray
    tracks: np.ndarray
    crops: np.ndarray
    frames: np.ndarray


def find_faces(
    path: Path,
    detect: Callable[[], faces.Detector],
    settings: LabelSettings,
    size: int,
) -> ClipFaces:
    """Return all faces of a clip, whichever of them the settings want.

    The crops are in memory together: 50 KB a face at 224 pixels, so about 12 MB for a
    minute in which one face is seen.

    Parameters
    ----------
    path : Path
        A video file or a folder of frames.
    detect : callable
        Returns the detector; called only where faces are to be looked for.
    settings : LabelSettings
        Sampling and detection.
    size : int
        Side of the crops in pixels.

    Raises
    ------
    DataError
        When the clip cannot be read or shows no face.
    """
    rows: list[tuple[float, int, tuple[float, ...]]] = []
    crops, count = np.empty((_ROOM, size, size), np.uint8), 0
    for moment, found in faces_of(path, detect, settings, size, Stopwatch()):
        count += 1
        for track, box, crop in found:
            if len(rows) == len(crops):
                # In place: a second array would need as much memory again.
                crops.resize((2 * len(crops), size, size), refcheck=False)
            crops[len(rows)] = crop
            rows.append((moment, track, tuple(box.tolist())))
    if not rows:
        raise no_face(path, count, settings)
    crops.resize((len(rows), size, size), refcheck=False)
    times, tracks, boxes = (np.array(column) for column in zip(*rows, strict=True))
    return ClipFaces(
        times, boxes, tracks.astype(np.int32), crops, np.array([count], np.int64)
    )


def wanted_of(found: ClipFaces, wanted: str) -> ClipFaces:
    """Return the wanted faces of a clip; see `choose`."""
    if wanted == "all":
        return found
    kept = choose(found.tracks, found.boxes, found.times, wanted)
    *rows, frames = found
    return ClipFaces(*(array[kept] for array in rows), frames)


def no_face(path: Path, frames: int, settings: LabelSettings) -> DataError:
    """Return the error of a clip that shows no face."""
    return DataError(
        f"{path}: no face found in {frames} frames with a confidence of "
        f"{settings.confidence:g} or more."
    )


def faces_of(
    path: Path,
    detect: Callable[[], faces.Detector],
    settings: LabelSettings,
    size: int,
    watch: Stopwatch,
) -> Iterator[tuple[float, list[tuple[int, np.ndarray, np.ndarray]]]]:
    """Yield time and [(track, box, crop)] of every frame taken.

    See `label_clip` for the parameters and what is refused. Boxes are (4,) float64,
    crops (size, size) uint8 grey.
    """
    frames = video.read_frames(path, settings.rate, settings.every)
    frames = watch.each("decoding", frames)
    given = path.is_dir() if settings.faces == "auto" else settings.faces == "given"
    if given:
        for moment, image in frames:
            box = faces.central_box(image)
            yield moment, [(0, box, faces.central_crop(image, size))]
        return
    detector = detect()

    def timed(images: list[np.ndarray]) -> list[np.ndarray]:
        # Of tracking, each frame taken has its share of this time.
        with watch.time("tracking", 0), watch.time("detection", len(images)):
            return detector(images)

    followed = tracking.follow(
        frames, timed, settings.detect_every, settings.confidence
    )
    for moment, image, found in followed:
        watch.frames["tracking"] += 1
        yield (
            moment,
            [
                (
                    face.track,
                    face.box,
                    faces.crop(image, face.box, size, settings.scale),
                )
                for face in found
                if faces.touches(image, face.box)
            ],
        )


def choose(
    tracks: np.ndarray, boxes: np.ndarray, times: np.ndarray, wanted: str
) -> np.ndarray:
    """Return which of T rows are of the wanted faces, (T,) bool.

    See `LabelSettings` for `wanted`; ties go to the earlier row.
    """
    if wanted == "all":
        return np.ones(len(tracks), bool)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    if wanted == "main":
        names, places = np.unique(tracks, return_inverse=True)
        return tracks == names[np.argmax(np.bincount(places, areas))]
    kept = np.zeros(len(tracks), bool)
    for moment in np.unique(times):
        rows = np.flatnonzero(times == moment)
        kept[rows[np.argmax(areas[rows])]] = True
    return kept
