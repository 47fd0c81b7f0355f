"""Facial landmarks of many clips in one file, and those of the MELD notebooks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emorec.artifacts.logits import load_arrays
from emorec.artifacts.pickles import read_pickle
from emorec.errors import DataError, shorten
from emorec.files import whole_file

POINTS = 68
SETTINGS = "settings"
_PICKLED = ("X", "y", "original_diautt")


@dataclass(frozen=True)
class Landmarks:
    """The landmarks of one face in each of n clips.

    Attributes
    ----------
    ids : list of str
        n clips, each once.
    offsets : (n + 1,) int64
        Clip i has the frames ``offsets[i]:offsets[i + 1]``, one or more.
    points : (frames, 68, 2) float32
        x and y in pixels, in the order of 300-W (Sagonas et al., 2013): jaw 0 to 16,
        brows, nose, eyes from 36, mouth from 48.
    split : (n,) str or None
        Where the file has a split of its own.
    classes : (n,) int64 or None
        Columns of `labels.MELD_ALPHABETICAL`, where the file has them.
    made : dict or None
        How they were made: of `emorec.features.landmarks.SpeakerSettings.to_dict`, with
        ``landmarker``, where the file tells it.

    Raises
    ------
    DataError
        When arrays do not fit together or are not finite, or an id stands twice.
    """

    ids: list[str]
    offsets: np.ndarray
    points: np.ndarray
    split: np.ndarray | None = None
    classes: np.ndarray | None = None
    made: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        points, offsets = np.asarray(self.points), np.asarray(self.offsets)
        if points.ndim != 3 or points.shape[1:] != (POINTS, 2):
            raise DataError(
                f"Landmarks: expected points (frames, {POINTS}, 2), received "
                f"{points.shape}."
            )
        fits = offsets.shape == (len(self.ids) + 1,) and offsets[0] == 0
        if not fits or offsets[-1] != len(points) or (np.diff(offsets) < 1).any():
            raise DataError(
                f"Landmarks: offsets of {len(self.ids)} clips must rise from 0 to the "
                f"{len(points)} frames, by one frame or more a clip."
            )
        if len(set(self.ids)) < len(self.ids):
            again = {name for name in self.ids if self.ids.count(name) > 1}
            raise DataError(f"Landmarks: clips stand twice: {shorten(sorted(again))}.")
        bad = ~np.isfinite(points).all(axis=(1, 2))
        if bad.any():
            first = int(np.searchsorted(offsets, np.flatnonzero(bad)[0], "right")) - 1
            raise DataError(
                f"Landmarks: {bad.sum()} frames are not finite, the first of "
                f"{self.ids[first]}."
            )
        for name in ("split", "classes"):
            value = getattr(self, name)
            if value is not None and len(value) != len(self.ids):
                raise DataError(
                    f"Landmarks: {name} has {len(value)} entries for {len(self.ids)} "
                    "clips."
                )

    def __len__(self) -> int:
        return len(self.ids)

    def clip(self, number: int) -> np.ndarray:
        """Return the points (T, 68, 2) of one clip."""
        return self.points[self.offsets[number] : self.offsets[number + 1]]

    @classmethod
    def of(cls, ids: Sequence[str], clips: Sequence[np.ndarray], **more) -> Landmarks:
        """Join clips (T, 68, 2) with their names."""
        lengths = [len(clip) for clip in clips]
        empty = np.zeros((0, POINTS, 2), np.float32)
        for name, clip in zip(ids, clips, strict=True):
            if np.shape(clip)[1:] != (POINTS, 2):
                raise DataError(
                    f"Landmarks of {name}: expected (frames, {POINTS}, 2), received "
                    f"{np.shape(clip)}."
                )
        return cls(
            list(ids),
            np.cumsum([0, *lengths], dtype=np.int64),
            np.concatenate([empty, *clips]).astype(np.float32),
            **more,
        )


def write_landmarks(path: str | Path, landmarks: Landmarks) -> None:
    """Write ``ids``, ``offsets`` and ``points`` as one .npz, atomically.

    ``settings`` is a JSON text of how they were made, where that is known.
    """
    more = {} if landmarks.made is None else {SETTINGS: json.dumps(landmarks.made)}
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            ids=np.array(landmarks.ids, np.str_),
            offsets=landmarks.offsets,
            points=landmarks.points,
            **{name: np.array(text) for name, text in more.items()},
        )


def read_landmarks(path: str | Path) -> Landmarks:
    """Read landmarks.

    Parameters
    ----------
    path : path
        A file of `write_landmarks`; or ``compact-visual.pkl`` of the notebooks,
        with X, y and original_diautt by split, which is read without running code. Its
        clips are of MELD's train, and get ids like ``train/dia0_utt0``.

    Raises
    ------
    DataError
        When the file is missing, damaged or not such a file.
    """
    path = Path(path)
    try:
        if path.suffix.lower() in (".pkl", ".pickle"):
            return _of_pickle(path, read_pickle(path))
        content = load_arrays(path, ("ids", "offsets", "points"))
        ids = [str(name) for name in content["ids"]]
        made = _made(path)
        return Landmarks(ids, content["offsets"], content["points"], made=made)
    except DataError as error:
        told = str(error)
        raise DataError(told if str(path) in told else f"{path}: {told}") from error


def _made(path: Path) -> dict[str, Any] | None:
    try:
        found = load_arrays(path, (SETTINGS,))[SETTINGS]
    except DataError:  # of an earlier version
        return None
    try:
        return dict(json.loads(str(found)))
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: its settings cannot be read ({error}).") from error


def _of_pickle(path: Path, content: Any) -> Landmarks:
    if not isinstance(content, dict) or any(key not in content for key in _PICKLED):
        raise DataError(
            f"{path}: expected a dictionary with {', '.join(_PICKLED)}, found "
            f"{type(content).__name__}."
        )
    ids: list[str] = []
    clips: list[np.ndarray] = []
    splits: list[str] = []
    classes: list[int] = []
    try:
        for split in content["X"]:
            parts = [content[key][split] for key in _PICKLED]
            for points, one_hot, name in zip(*parts, strict=True):
                clips.append(np.asarray(points, np.float32))
                one_hot = np.asarray(one_hot)
                if sorted(one_hot.tolist()) != [0] * (len(one_hot) - 1) + [1]:
                    raise DataError(f"{path}: the label of {name} is not one of seven.")
                classes.append(int(one_hot.argmax()))
                ids.append(str(name) if "/" in str(name) else f"train/{name}")
                splits.append(str(split))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: X, y and original_diautt must have clips (frames, 68, 2), labels "
            f"and names of the same splits ({error})."
        ) from error
    return Landmarks.of(
        ids, clips, split=np.array(splits, np.str_), classes=np.array(classes, int)
    )
