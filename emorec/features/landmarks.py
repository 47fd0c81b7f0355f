"""68 facial landmarks of the speaker in a video: whose face, and where its points are.

A landmarker is any function from an RGB frame (H, W, 3) uint8 and a box (4,) to points
(68, 2) in pixels. An embedder is any function from aligned faces (n, 112, 112, 3)
float32 RGB in [0, 1] to vectors (n, E).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from emorec.errors import DataError, MissingExtraError, SpecError
from emorec.features import faces, tracking

Landmarker = Callable[[np.ndarray, np.ndarray], np.ndarray]
Embedder = Callable[[np.ndarray], np.ndarray]

POINTS, SIDE = 68, 112
# Centres of the eyes, nose, corners of the mouth in an aligned face of 112 pixels
# (Deng et al., 2019, "ArcFace", published code).
TEMPLATE = np.array(
    [
        (38.2946, 51.6963),
        (73.5318, 51.5014),
        (56.0252, 71.7366),
        (41.5493, 92.3655),
        (70.7299, 92.2041),
    ]
)


@dataclass(frozen=True)
class SpeakerSettings:
    """What decides which faces of a clip are the speaker's.

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
    angle : float
        Radians; a face is the speaker's when its vector is nearer than this to the
        speaker's reference.
    """

    rate: float = 25.0
    every: int = 1
    detect_every: int = tracking.DETECT_EVERY
    confidence: float = faces.CONFIDENCE
    min_face: int = 40
    angle: float = 1.15

    def __post_init__(self) -> None:
        if not (self.rate > 0 and self.every >= 1 and 0 < self.angle <= np.pi):
            raise SpecError(
                f"Rate {self.rate:g}, every {self.every}, angle {self.angle:g}: "
                "expected a rate above 0, 1 or more, and an angle up to pi."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers for JSON."""
        return asdict(self)


def dlib_landmarker(path: str | Path) -> Landmarker:
    """Return dlib's shape predictor (Kazemi and Sullivan, 2014) with a model file.

    Parameters
    ----------
    path : path
        A predictor of 68 points, such as ``shape_predictor_68_face_landmarks.dat``. It
        is the user's to get: its training data, 300-W, exclude commercial use.

    Raises
    ------
    DataError
        When the file is missing, is no such model, or has other points.
    MissingExtraError
        When dlib is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected a dlib shape predictor.")
    try:
        import dlib
    except ImportError as error:
        raise MissingExtraError("dlib", "landmarks", "Facial landmarks") from error
    try:
        predictor = dlib.shape_predictor(str(path))
    except RuntimeError as error:
        raise DataError(f"{path}: not a dlib shape predictor ({error}).") from error

    def landmark(image: np.ndarray, box: np.ndarray) -> np.ndarray:
        # Models are trained on the squares of dlib's own detector.
        x1, y1, x2, y2 = np.rint(faces.square(box)).astype(int).tolist()
        frame = np.ascontiguousarray(image)
        found = predictor(frame, dlib.rectangle(x1, y1, x2 - 1, y2 - 1))
        if found.num_parts != POINTS:
            raise DataError(
                f"{path}: has {found.num_parts} points; expected a model of {POINTS}."
            )
        return np.array([(p.x, p.y) for p in found.parts()], np.float64)

    return landmark


def speaker_landmarks(
    frames: Iterable[tuple[float, np.ndarray]],
    detect: faces.Detector,
    landmark: Landmarker,
    settings: SpeakerSettings,
    embed: Embedder | None = None,
    reference: np.ndarray | None = None,
) -> np.ndarray:
    """Return the landmarks of the speaker's face, frame by frame.

    With an embedder and a reference it is in each frame the face nearest to the
    reference, if it is near enough; else the face of the track whose boxes cover most,
    summed over frames. Frames without it are left out, and the gap is closed.

    Parameters
    ----------
    frames : iterable of (float, (H, W, 3) uint8)
        From `emorec.features.video.read_frames`.
    detect, landmark, embed
        See the module and `emorec.features.faces`.
    settings : SpeakerSettings
        What counts as a face, and as the speaker's.
    reference : (E,) float, optional
        The speaker's.

    Returns
    -------
    (T, 68, 2) float32
        In pixels of the frame.

    Raises
    ------
    DataError
        When no frame shows the face.
    """
    seen = shown_faces(frames, detect, landmark, settings)
    if embed is None or reference is None:
        return main_landmarks([face for _, _, found in seen for face in found])
    kept = []
    for _, image, found in seen:
        shown = [face.points for face in found]
        near = _nearest(image, shown, embed, reference)
        if near is not None and near[1] < settings.angle:
            kept.append(shown[near[0]])
    if not kept:
        raise DataError("No frame shows the speaker's face.")
    return np.stack(kept).astype(np.float32)


class ShownFace(NamedTuple):
    """A face in one frame.

    Attributes
    ----------
    track : int
        See `emorec.features.tracking.Face`.
    area : float
        Of its box, in pixels.
    points : (68, 2) float
        In pixels of the frame.
    """

    track: int
    area: float
    points: np.ndarray


def shown_faces(
    frames: Iterable[tuple[float, np.ndarray]],
    detect: faces.Detector,
    landmark: Landmarker,
    settings: SpeakerSettings,
) -> Iterator[tuple[float, np.ndarray, list[ShownFace]]]:
    """Yield time, image and the faces with their landmarks of every frame.

    For the parameters see `speaker_landmarks`.
    """
    every, least = settings.detect_every, settings.confidence
    for time, image, found in tracking.follow(frames, detect, every, least):
        shown = []
        for face in found:
            x1, y1, x2, y2 = face.box
            # A box beyond the border holds no face to look at.
            if faces.touches(image, face.box):
                area = float((x2 - x1) * (y2 - y1))
                points = landmark(image, face.box)
                shown.append(ShownFace(face.track, area, points))
        yield time, image, shown


def main_landmarks(shown: Iterable[ShownFace]) -> np.ndarray:
    """Return the points (T, 68, 2) float32 of the track that covers most.

    Parameters
    ----------
    shown : iterable of ShownFace
        Of all frames, in the order of time.

    Raises
    ------
    DataError
        When there is none.
    """
    tracks: dict[int, list[np.ndarray]] = {}
    areas: dict[int, float] = {}
    for face in shown:
        tracks.setdefault(face.track, []).append(face.points)
        areas[face.track] = areas.get(face.track, 0.0) + face.area
    if not tracks:
        raise DataError("No frame shows a face.")
    return np.stack(tracks[max(areas, key=areas.__getitem__)]).astype(np.float32)


def _nearest(
    image: np.ndarray,
    shown: list[np.ndarray],
    embed: Embedder,
    reference: np.ndarray,
) -> tuple[int, float] | None:
    """Return which face is nearest to the reference, and its angle in radians."""
    if not shown:
        return None
    aligned = np.stack([align(image, points) for points in shown])
    vectors = np.asarray(embed(aligned.astype(np.float32) / 255), np.float64)
    wanted = np.asarray(reference, np.float64)
    if vectors.shape != (len(shown), len(wanted)):
        raise SpecError(
            f"The embedder gave vectors {vectors.shape} of {len(shown)} faces, the "
            f"references have {len(wanted)} numbers: they are of another network."
        )
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(wanted)
    cosine = vectors @ wanted / np.maximum(lengths, 1e-12)
    angles = np.arccos(cosine.clip(-1, 1))
    return int(angles.argmin()), float(angles.min())


def align(image: np.ndarray, points: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Turn, scale and cut a face so that eyes, nose and mouth lie where they should.

    Parameters
    ----------
    image : (H, W, 3) uint8
        RGB.
    points : (68, 2) float
        Landmarks in pixels.
    side : int
        Of the result; `TEMPLATE` is scaled to it.

    Returns
    -------
    (side, side, 3) uint8
        Sampled bilinearly; black outside of the image.
    """
    five = np.stack(
        [
            points[36:42].mean(axis=0),
            points[42:48].mean(axis=0),
            points[30],
            points[48],
            points[54],
        ]
    )
    goal = TEMPLATE * side / SIDE
    # The similarity from the goal back to the image, by least squares: with complex
    # numbers, image = turn * goal + shift.
    source, target = (part[:, 0] + 1j * part[:, 1] for part in (goal, five))
    centred = source - source.mean()
    turn = np.vdot(centred, target - target.mean()) / np.vdot(centred, centred)
    shift = target.mean() - turn * source.mean()
    a, b = turn.real, turn.imag
    map_back = (a, -b, shift.real, b, a, shift.imag)
    picture = Image.fromarray(np.ascontiguousarray(image)).transform(
        (side, side), Image.Transform.AFFINE, map_back, Image.Resampling.BILINEAR
    )
    return np.asarray(picture)
