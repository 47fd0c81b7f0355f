"""Scores of a face network for one clip: its faces, found, followed and judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emorec.errors import DataError, SpecError
from emorec.features import faces, tracking, video
from emorec.features.thumbnails import Thumbnails
from emorec.progress import Stopwatch

# (n, S, S) uint8 grey crops -> (n, K) scores before the softmax.
Network = Callable[[np.ndarray], np.ndarray]

TRACKS = ("main", "largest", "all")
FACES = ("auto", "detect", "given")
AGGREGATES = ("max", "mean")
# Crops that the network takes at a time (Albanie 2018, published code).
BATCH = 128


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


@dataclass
class ClipLabels:
    """Scores of the faces of a clip, T rows in the order of time.

    Attributes
    ----------
    times : (T,) float64
        Seconds. Frames without a face have no row; with tracks "all" a time may have
        several.
    logits : (T, K) float32
        Scores before the softmax.
    boxes : (T, 4) float32
        x1, y1, x2, y2 in pixels of the upright frame; of given face tracks, the part
        that was taken.
    tracks : (T,) int32
        Numbers of the tracks.
    frames : int
        Frames looked at, with a face or without.
    """

    times: np.ndarray
    logits: np.ndarray
    boxes: np.ndarray
    tracks: np.ndarray
    frames: int


def label_clip(
    path: Path,
    network: Network,
    detect: Callable[[], faces.Detector],
    settings: LabelSettings,
    size: int,
    watch: Stopwatch | None = None,
    thumbnails: Thumbnails | None = None,
) -> ClipLabels:
    """Judge the faces of a clip; memory does not grow with its length.

    Every face is judged as it comes, and those of other tracks than the wanted are
    dropped at the end, because only then the main track is known.

    Parameters
    ----------
    path : Path
        A video file or a folder of frames.
    network : Network
        (n, size, size) uint8 -> (n, K). It must not keep its input, which is
        overwritten.
    detect : callable
        Returns the detector; called only where faces are to be looked for.
    settings : LabelSettings
        Sampling, detection and choice of faces.
    size : int
        Side of the crops in pixels.
    watch : Stopwatch, optional
        Adds up decoding, detection and network.
    thumbnails : Thumbnails, optional
        Takes some of the crops, by row of the result.

    Raises
    ------
    DataError
        When the clip cannot be read, shows no face, or its scores are not finite.
    """
    watch = watch or Stopwatch()
    # One buffer for all batches, and rows of plain numbers: small arrays that last
    # would lie between the frames in the heap, whose place could not be used again.
    crops, filled = np.empty((BATCH, size, size), np.uint8), 0
    logits: list[np.ndarray] = []
    rows: list[tuple[float, int, tuple[float, ...]]] = []

    def judge() -> None:
        with watch.time("network", filled):
            logits.append(np.array(network(crops[:filled]), np.float32))

    count = 0
    for moment, found in faces_of(path, detect, settings, size, watch):
        count += 1
        for track, box, crop in found:
            if thumbnails is not None:
                thumbnails.add(len(rows), track, crop)
            rows.append((moment, track, tuple(box.tolist())))
            crops[filled] = crop
            filled += 1
            if filled == BATCH:
                judge()
                filled = 0
    if filled:
        judge()
    if not rows:
        raise DataError(
            f"{path}: no face found in {count} frames with a confidence of "
            f"{settings.confidence:g} or more."
        )
    scores = np.concatenate(logits)
    if len(scores) != len(rows) or scores.ndim != 2:
        raise SpecError(
            f"The network returned scores of shape {scores.shape} for {len(rows)} "
            "faces; expected one row each."
        )
    if not np.isfinite(scores).all():
        raise DataError(f"{path}: the network's scores are not finite.")
    times, tracks, boxes = (np.array(column) for column in zip(*rows, strict=True))
    kept = choose(tracks, boxes, times, settings.tracks)
    if thumbnails is not None:
        places = {int(row): place for place, row in enumerate(np.flatnonzero(kept))}
        thumbnails.rows = {
            places[row]: crop for row, crop in thumbnails.rows.items() if row in places
        }
    return ClipLabels(
        times[kept],
        scores[kept],
        boxes[kept].astype(np.float32),
        tracks[kept].astype(np.int32),
        count,
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


def aggregate(logits: np.ndarray, how: str = "max") -> np.ndarray:
    """Turn the scores of a clip's frames into one row.

    Parameters
    ----------
    logits : (T, K) float
        T is 1 or more.
    how : {"max", "mean"}
        The largest score of each label over the frames, as published, or the mean.

    Returns
    -------
    (K,) float32

    Raises
    ------
    SpecError
        When `how` is neither.
    DataError
        When there is no frame.
    """
    if how not in AGGREGATES:
        raise SpecError(f"Aggregate '{how}': expected {' or '.join(AGGREGATES)}.")
    logits = np.asarray(logits)
    if logits.ndim != 2 or not len(logits):
        raise DataError(
            f"Scores of a clip: expected (T, K) with T of 1 or more, received "
            f"{logits.shape}."
        )
    return (logits.max(0) if how == "max" else logits.mean(0)).astype(np.float32)
