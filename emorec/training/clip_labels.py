"""Scores of a face network for one clip: its faces, found, followed and judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emorec.errors import DataError, SpecError
from emorec.features import faces
from emorec.features.thumbnails import Thumbnails
from emorec.progress import Stopwatch
from emorec.training.clip_faces import (
    ClipFaces,
    LabelSettings,
    choose,
    faces_of,
    no_face,
)

# (n, S, S) uint8 grey crops -> (n, K) scores before the softmax.
Network = Callable[[np.ndarray], np.ndarray]

AGGREGATES = ("max", "mean")
# Crops that the network takes at a time (Albanie 2018, published code).
BATCH = 128


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
        raise no_face(path, count, settings)
    times, tracks, boxes = (np.array(column) for column in zip(*rows, strict=True))
    labels, kept = chosen(
        *(times, boxes, tracks, np.concatenate(logits), count, settings.tracks),
        f"{path}: ",
    )
    if thumbnails is not None:
        places = {int(row): place for place, row in enumerate(np.flatnonzero(kept))}
        thumbnails.rows = {
            places[row]: crop for row, crop in thumbnails.rows.items() if row in places
        }
    return labels


def judge_faces(found: ClipFaces, network: Network, wanted: str) -> ClipLabels:
    """Judge all faces of a clip, and return the scores of those that are wanted.

    Of the faces of `find_faces`, what `label_clip` returns: the network has the same
    batches, as its sums may round otherwise in others.

    Raises
    ------
    DataError, SpecError
        As of `chosen`.
    """
    times, boxes, tracks, crops, frames = found
    scores = np.concatenate(
        [
            np.array(network(crops[first : first + BATCH]), np.float32)
            for first in range(0, len(crops), BATCH)
        ]
    )
    return chosen(times, boxes, tracks, scores, int(frames[0]), wanted)[0]


def chosen(
    times: np.ndarray,
    boxes: np.ndarray,
    tracks: np.ndarray,
    scores: np.ndarray,
    frames: int,
    wanted: str,
    where: str = "",
) -> tuple[ClipLabels, np.ndarray]:
    """Return the scores of the wanted faces of a clip, and which rows they were.

    Parameters
    ----------
    times, boxes, tracks, scores : (T,), (T, 4), (T,) and (T, K)
        Of every face, in the order of time.
    frames : int
        Frames looked at.
    wanted : {"main", "largest", "all"}
        See `choose`.
    where : str
        Begins the message of an error.

    Raises
    ------
    DataError
        When the scores are not finite.
    SpecError
        When there is not one row of them for each face.
    """
    if scores.ndim != 2 or len(scores) != len(times):
        raise SpecError(
            f"The network returned scores of shape {scores.shape} for {len(times)} "
            "faces; expected one row each."
        )
    if not np.isfinite(scores).all():
        raise DataError(f"{where}the network's scores are not finite.")
    kept = choose(tracks, boxes, times, wanted)
    labels = ClipLabels(
        times[kept],
        scores[kept],
        boxes[kept].astype(np.float32),
        tracks[kept].astype(np.int32),
        frames,
    )
    return labels, kept


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
