"""Prepared clips as arrays for the audio-visual fusion."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emorec.batches.audiovisual import AUDIO, VIDEO, AvArrays
from emorec.corpora.av_annotations import read_annotations
from emorec.corpora.av_clips import AvClips
from emorec.corpora.av_table import read_table
from emorec.errors import DataError
from emorec.features.av_clips import FRAMES, SIZE, read_sound, sound_features
from emorec.files import digest, fingerprint, whole_file
from emorec.labels import LabelSchema
from emorec.progress import track
from emorec.training.av_preparation import ANNOTATIONS, TABLE

if TYPE_CHECKING:
    import keras

COEFFICIENTS = 10
_THREADS = min(8, os.cpu_count() or 1)


@dataclass(frozen=True)
class AvData:
    """Clips and what the fusion takes of them.

    Attributes
    ----------
    clips : AvClips
        n clips.
    arrays : AvArrays
        Of the same clips in the same order.
    """

    clips: AvClips
    arrays: AvArrays

    def rows(self, split: str) -> np.ndarray:
        """Return the numbers of the clips of a split.

        Raises
        ------
        DataError
            When it has none.
        """
        found = np.flatnonzero(self.clips.split == split)
        if not len(found):
            raise DataError(f"{self.clips.dataset}: no clip in the split {split}.")
        return found

    def identity(self) -> dict[str, Any]:
        """Return what a model trained on these data must record."""
        clips, arrays = self.clips, self.arrays
        content = [clips.ids, clips.classes.tolist(), clips.split.tolist()]
        there = [arrays.present[name].tolist() for name in (AUDIO, VIDEO)]
        total = round(float(np.abs(arrays.audio).sum(dtype=np.float64)), 1)
        return {"name": clips.dataset, "clips": digest([content, there, total])}


def read_prepared(
    folder: str | Path, schema: LabelSchema, say: Callable[[str], None]
) -> AvData:
    """Read what ``emorec ravdess prepare`` wrote, or a list of prepared clips.

    Parameters
    ----------
    folder : path
        The output folder, or an annotations file of the reference's form, or a CSV.
    schema : LabelSchema
        The classes.
    say : callable
        Receives lines for the user.

    Raises
    ------
    DataError
        When there is no such list, or a sound cannot be read.
    """
    folder = Path(folder)
    source = folder / TABLE if folder.is_dir() else folder
    if folder.is_dir() and not source.is_file():
        source = folder / ANNOTATIONS
    if source.suffix.lower() == ".csv":
        clips = read_table(source, schema)
    else:
        clips = read_annotations(source, schema)
    say(f"DATA: {clips.dataset}, {len(clips):,} clips of {source}")
    for line in clips.described():
        say(f"  {line}")
    heard = [n for n, path in enumerate(clips.audio) if path is not None]
    shape = sound_features(np.zeros(79_380, np.float32)).T.shape
    audio = np.zeros((len(clips), *shape), np.float32)

    def hear(number: int) -> np.ndarray:
        return sound_features(read_sound(clips.audio[number])).T

    with ThreadPoolExecutor(_THREADS) as threads:
        found = track(threads.map(hear, heard), "MFCC", len(heard))
        for number, features in zip(heard, found, strict=True):
            audio[number] = features
    present = {
        AUDIO: np.array([path is not None for path in clips.audio], bool),
        VIDEO: np.array([path is not None for path in clips.video], bool),
    }
    targets = np.eye(len(schema), dtype=np.float32)[clips.classes]
    arrays = AvArrays(audio, clips.video, present, targets, (FRAMES, SIZE))
    return AvData(clips, arrays)


def with_features(data: AvData, network: keras.Model, cache: Path) -> AvData:
    """Replace faces by the features that a frame network gives them.

    Parameters
    ----------
    data : AvData
        Of files of faces.
    network : keras.Model
        Of `emorec.models.efficientface.efficientface`.
    cache : Path
        An .npy file that keeps them; made anew when network or files have changed.

    Returns
    -------
    AvData
        What stands for a missing video then stands for the features.
    """
    files = [path for path in data.arrays.video if path is not None]
    weights = [np.asarray(weight) for weight in network.weights]
    sums = [round(float(weight.sum(dtype=np.float64)), 4) for weight in weights]
    key = digest([sums, fingerprint(files), data.clips.ids])
    kept = cache.with_name(f"{cache.stem}_{key}.npy")
    if kept.is_file():
        features = np.load(kept, allow_pickle=False)
    else:
        shape = (len(data.clips), FRAMES, network.output_shape[-1])
        features = np.zeros(shape, np.float32)
        seen = np.flatnonzero(data.arrays.present[VIDEO]).tolist()
        for number in track(seen, "Frames"):
            faces = data.arrays.faces(number) / np.float32(255)
            features[number] = np.asarray(network.predict_on_batch(faces))
        with whole_file(kept) as temporary, temporary.open("wb") as file:
            np.save(file, features)
    return replace(data, arrays=replace(data.arrays, video=features))
