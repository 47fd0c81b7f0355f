"""Batches of clips seen and heard, with modalities that are missing or dropped.

Chumachenko, Iosifidis and Gabbouj (2022), "Self-attention fusion for audiovisual
emotion recognition with incomplete data", sections 3.3 and 4.1, and their program.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from emorec.batches.modality_dropout import FILL_OF, MASKS, drop_modalities, without
from emorec.errors import DataError, SpecError
from emorec.features.av_clips import FRAMES, SIZE

AUDIO, VIDEO = "audio", "video"
# Degrees to either side by which the faces of a clip are turned in training.
_TURN = 10


@dataclass(frozen=True)
class AvArrays:
    """What the fusion takes of n clips.

    Attributes
    ----------
    audio : (n, T, D) float32
        Sound features by time; rows of clips without sound are anything.
    video : sequence of (Path or None), or (n, F, C) float32
        Prepared faces (F, S, S, 3) uint8, one file per clip; or features of the frames,
        made by a frame network that is not trained.
    present : dict
        ``audio`` and ``video`` -> (n,) bool.
    targets : (n, K) float32
    size : tuple of int
        F and S of the files; not asked where `video` is an array.
    """

    audio: np.ndarray
    video: Sequence[Path | None] | np.ndarray
    present: dict[str, np.ndarray]
    targets: np.ndarray
    size: tuple[int, int] = (FRAMES, SIZE)

    def __post_init__(self) -> None:
        lengths = {len(self.audio), len(self.video), len(self.targets)}
        lengths |= {len(self.present[name]) for name in (AUDIO, VIDEO)}
        if len(lengths) > 1:
            raise DataError(f"clips of different numbers: {sorted(lengths)}.")
        nothing = ~(self.present[AUDIO] | self.present[VIDEO])
        if nothing.any():
            raise DataError(
                f"{nothing.sum()} clips have neither sound nor video, the first of "
                f"them number {int(nothing.argmax())}. Leave them out."
            )

    @property
    def has_faces(self) -> bool:
        """Whether `video` is files of faces, not features."""
        return not isinstance(self.video, np.ndarray)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each modality of one clip, as batches have it."""
        if not self.has_faces:
            video = self.video.shape[1:]
        else:
            video = (self.size[0], self.size[1], self.size[1], 3)
        return {AUDIO: self.audio.shape[1:], VIDEO: video}

    def faces(self, clip: int) -> np.ndarray:
        """Return the faces (F, S, S, 3) uint8 of a clip.

        Raises
        ------
        DataError
            When the file is missing, damaged or of another shape.
        """
        path = self.video[clip]
        try:
            found = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(
                f"{path}: cannot be read ({error}). Prepare the clip anew."
            ) from error
        if found.shape != self.shapes[VIDEO] or found.dtype != np.uint8:
            raise DataError(
                f"{path}: expected {self.shapes[VIDEO]} uint8, found {found.shape} "
                f"{found.dtype}. Prepare the clip anew."
            )
        return found


class AvPipeline:
    """Batches for ``Model.fit``; a function of seed, epoch and number.

    Parameters
    ----------
    arrays : AvArrays
    batch_size : int
        Clips; with a mask a batch has several copies of each.
    clips : (m,) int, optional
        Which are served; all by default.
    seed : int
        Of order, augmentation, dropout and noise.
    shuffle : bool
        Whether each epoch has an order of its own.
    augment : bool
        Mirror the faces of a clip with probability 1/2 and turn them by up to 10
        degrees; not of features.
    mask : str
        See `emorec.batches.modality_dropout.drop_modalities`.
    fill : str, optional
        What stands for a modality that a clip lacks; by default as the mask has it.
    modalities : sequence of str
        Those that are there; the others are missing for every clip.
    inputs : sequence of str
        Those that the network takes.

    Attributes
    ----------
    epoch : int
        The epoch that the next iteration serves; set from outside.
    failure : DataError or None
        Why a batch could not be made.
    """

    def __init__(
        self,
        arrays: AvArrays,
        batch_size: int,
        clips: np.ndarray | None = None,
        seed: int = 0,
        shuffle: bool = False,
        augment: bool = False,
        mask: str = "nodropout",
        fill: str | None = None,
        modalities: Sequence[str] = (AUDIO, VIDEO),
        inputs: Sequence[str] = (AUDIO, VIDEO),
    ) -> None:
        if mask not in MASKS:
            raise SpecError(f"--mask {mask}: expected one of {', '.join(MASKS)}.")
        self.arrays, self.batch_size = arrays, batch_size
        self.clips = np.arange(len(arrays.targets)) if clips is None else clips
        self.seed, self.shuffle, self.augment = seed, shuffle, augment
        self.mask, self.fill = mask, fill or FILL_OF[mask]
        self.present = {
            name: arrays.present[name] & (name in modalities) for name in inputs
        }
        self.epoch, self.failure = 0, None

    def __len__(self) -> int:
        """Return the number of batches."""
        return -(-len(self.clips) // self.batch_size)

    @property
    def shapes(self) -> tuple[dict[str, tuple[int, ...]], tuple[int, ...]]:
        """Shape of the inputs by name, and of a target."""
        inputs = {name: self.arrays.shapes[name] for name in self.present}
        return inputs, self.arrays.targets.shape[1:]

    def batch(
        self, epoch: int, number: int
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Return inputs by name and targets, float32; faces from 0 to 1."""
        key = (self.seed, epoch) if self.shuffle else (self.seed,)
        order = self.clips
        if self.shuffle:
            order = np.random.default_rng(key).permutation(order)
        start = number * self.batch_size
        chosen = order[start : start + self.batch_size]
        random = np.random.default_rng((*key, number))
        present = {name: there[chosen] for name, there in self.present.items()}
        try:
            inputs = {}
            if AUDIO in present:
                inputs[AUDIO] = self.arrays.audio[chosen].astype(np.float32)
            if VIDEO in present:
                inputs[VIDEO] = self._video(chosen, present[VIDEO], random)
        except DataError as error:
            # Inside of TensorFlow's graph its text would be buried.
            self.failure = error
            raise
        inputs = without(inputs, present, self.fill, random)
        targets = self.arrays.targets[chosen]
        return drop_modalities(inputs, targets, self.mask, random)

    def _video(
        self, chosen: np.ndarray, present: np.ndarray, random: np.random.Generator
    ) -> np.ndarray:
        if not self.arrays.has_faces:
            return self.arrays.video[chosen].astype(np.float32)
        shape = self.arrays.shapes[VIDEO]
        result = np.zeros((len(chosen), *shape), np.float32)
        for row, (clip, there) in enumerate(zip(chosen, present, strict=True)):
            # Drawn for each clip, so that those that follow do not depend on it.
            mirrored = random.random() < 0.5
            degrees = int(random.integers(-_TURN, _TURN + 1))
            if not there:
                continue
            faces = self.arrays.faces(int(clip))
            if self.augment:
                faces = turned(faces[:, :, ::-1] if mirrored else faces, degrees)
            result[row] = faces / np.float32(255)
        return result

    @cached_property
    def dataset(self) -> Any:
        """What Keras takes."""
        from emorec.batches.threaded import keras_dataset

        return keras_dataset(self)


def turned(faces: np.ndarray, degrees: int) -> np.ndarray:
    """Turn images (F, S, S, 3) uint8 about their middle; what comes in is black."""
    if not degrees:
        return faces
    return np.stack(
        [
            np.asarray(
                Image.fromarray(np.ascontiguousarray(face)).rotate(
                    degrees, Image.Resampling.BILINEAR
                )
            )
            for face in faces
        ]
    )
