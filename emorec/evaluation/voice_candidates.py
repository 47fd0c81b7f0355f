"""Clips that may be shown as examples, with what the teacher scored on their faces."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from emorec.artifacts.logits import Logits
from emorec.errors import DataError, LabelMismatchError, shorten
from emorec.features.video import image_files
from emorec.labels import LabelSchema


@dataclass(frozen=True)
class Candidate:
    """A clip that may be shown.

    Attributes
    ----------
    id : str
        Name in its corpus.
    sound : Path
        Its sound file.
    frames : sequence of Path, Path or None
        The T images whose faces were judged, in the order of the scores; or the folder
        that holds them, in the order of their names; or None where there are none.
    times : (T,) float
        Seconds from the beginning of the clip.
    logits : (T, K) float
        The teacher's score of each frame, before the softmax.
    """

    id: str
    sound: Path
    frames: Sequence[Path] | Path | None
    times: np.ndarray
    logits: np.ndarray

    def peak(self) -> tuple[int, int]:
        """Return frame and class of the largest score; ties go to the earlier."""
        frame, tag = np.unravel_index(np.argmax(self.logits), self.logits.shape)
        return int(frame), int(tag)

    def images(self) -> list[Path]:
        """Return the T images, or none where the clip has none.

        Raises
        ------
        DataError
            When there are not as many as scores.
        """
        if self.frames is None:
            return []
        if isinstance(self.frames, Path):
            if not self.frames.is_dir():
                raise DataError(f"{self.frames}: no such folder of images.")
            found = image_files(self.frames)
        else:
            found = list(self.frames)
        if len(found) != len(self.logits):
            raise DataError(
                f"{self.id}: expected an image for each of {len(self.logits)} scores, "
                f"found {len(found)}."
            )
        return found


def candidates(
    logits: Logits,
    sounds: Mapping[str, Path],
    folders: Mapping[str, Path] | None = None,
) -> Iterator[Candidate]:
    """Yield the clips of a file of scores that have a sound.

    Parameters
    ----------
    logits : Logits
        The teacher's.
    sounds : mapping of str to Path
        Clip -> sound file.
    folders : mapping of str to Path, optional
        Clip -> folder of the images that were judged, all of them.
    """
    for name, start, stop in zip(
        logits.ids, logits.offsets[:-1], logits.offsets[1:], strict=True
    ):
        if name in sounds:
            yield Candidate(
                name,
                sounds[name],
                (folders or {}).get(name),
                logits.times[start:stop],
                logits.logits[start:stop],
            )


def check(clips: list[Candidate], schema: LabelSchema) -> None:
    """Refuse clips, sorted by name, that cannot be told apart or have no scores.

    Raises
    ------
    DataError
        When two have one name, or one has no frame or scores that are not finite.
    LabelMismatchError
        When scores have not K columns.
    """
    twice = {a.id for a, b in pairwise(clips) if a.id == b.id}
    if twice:
        raise DataError(
            f"Clips to draw samples from: {shorten(sorted(twice))} there twice. Give "
            "each clip a name of its own."
        )
    for clip in clips:
        if clip.logits.ndim != 2 or clip.logits.shape[1] != len(schema):
            raise LabelMismatchError(
                f"{clip.id}: expected scores of {len(schema)} emotions "
                f"({', '.join(schema.labels)}), received shape {clip.logits.shape}."
            )
        if not len(clip.logits) or not np.isfinite(clip.logits).all():
            raise DataError(
                f"{clip.id}: expected finite scores of one frame or more, received "
                f"{len(clip.logits)} frames. Label the clip anew."
            )


def digest(clips: list[Candidate]) -> str:
    """Identify clips by what decides the samples, names and scores: 16 digits."""
    content = hashlib.sha256()
    for clip in clips:
        content.update(f"{clip.id}\n{clip.logits.shape}\n".encode())
        content.update(np.ascontiguousarray(clip.logits, np.float32).tobytes())
    return content.hexdigest()[:16]
