"""Prepared clips as arrays for the audio-visual fusion."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emorec.batches.audiovisual import AUDIO, VIDEO, AvArrays
from emorec.corpora.av_annotations import read_annotations
from emorec.corpora.av_clips import AvClips
from emorec.corpora.av_table import read_table
from emorec.errors import DataError
from emorec.features.av_clips import FRAMES, SIZE, AvSettings
from emorec.features.av_sound import read_sound, sound_features
from emorec.files import digest, fingerprint, read_json, whole_file
from emorec.labels import LabelSchema
from emorec.progress import track
from emorec.training.av_preparation import ANNOTATIONS, SETTINGS, TABLE

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
    preparation : dict or None
        Of `emorec.features.av_clips.AvSettings.to_dict`: how faces were found and cut;
        None where that is not known.
    """

    clips: AvClips
    arrays: AvArrays
    preparation: dict[str, Any] | None = None

    def rows(self, split: str, of: np.ndarray | None = None) -> np.ndarray:
        """Return the numbers of the clips of a split, or of those `of` them, (n,) bool.

        Raises
        ------
        DataError
            When it has none.
        """
        chosen = self.clips.split == split
        found = np.flatnonzero(chosen if of is None else chosen & of)
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
    folder: str | Path,
    schema: LabelSchema,
    say: Callable[[str], None],
    coefficients: int = COEFFICIENTS,
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
    coefficients : int
        MFCC of a step.

    Returns
    -------
    AvData
        With files of faces; or, where the list names .npy files of features (F, C) in
        place of faces (F, S, S, 3), with these.

    Raises
    ------
    DataError
        When there is no such list, a sound cannot be read, or features are of different
        shapes or not finite.
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
    silence = np.zeros(79_380, np.float32)
    shape = sound_features(silence, coefficients).T.shape
    audio = np.zeros((len(clips), *shape), np.float32)

    def hear(number: int) -> np.ndarray:
        return sound_features(read_sound(clips.audio[number]), coefficients).T

    with ThreadPoolExecutor(_THREADS) as threads:
        found = track(threads.map(hear, heard), "MFCC", len(heard))
        for number, features in zip(heard, found, strict=True):
            audio[number] = features
    present = {
        AUDIO: np.array([path is not None for path in clips.audio], bool),
        VIDEO: np.array([path is not None for path in clips.video], bool),
    }
    targets = np.eye(len(schema), dtype=np.float32)[clips.classes]
    video = _given_features(clips.video)
    if video is None:
        video = clips.video
    arrays = AvArrays(audio, video, present, targets, (FRAMES, SIZE))
    return AvData(clips, arrays, _preparation(source.parent))


def _preparation(folder: Path) -> dict[str, Any] | None:
    path = folder / SETTINGS
    if not path.is_file():
        return None
    return AvSettings.of(read_json(path)).to_dict()


def _given_features(paths: Sequence[Path | None]) -> np.ndarray | None:
    """Read features (n, F, C) that stand in the place of faces; None for faces."""
    named = [(n, path) for n, path in enumerate(paths) if path is not None]
    if not named or len(_features_of(named[0][1]).shape) == 4:
        return None
    first = _features_of(named[0][1])
    result = np.zeros((len(paths), *first.shape), np.float32)
    for number, path in named:
        found = _features_of(path)
        if found.shape != first.shape or found.ndim != 2:
            raise DataError(
                f"{path}: expected features of shape (frames, width) as in "
                f"{named[0][1]}, {first.shape}; found {found.shape}."
            )
        if found.dtype.kind not in "fiu" or not np.isfinite(found).all():
            raise DataError(f"{path}: expected finite numbers.")
        result[number] = found
    return result


def _features_of(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            f"{path}: cannot be read ({error}). Prepare the clip anew."
        ) from error


def training_statistics(data: AvData, wanted: Sequence[str]) -> dict[str, Any]:
    """Return mean and deviation over the training clips, for `standardised`.

    Parameters
    ----------
    data : AvData
    wanted : sequence of str
        Of which modalities; files of faces have none.

    Returns
    -------
    dict
        Modality -> ``mean`` and ``deviation``, a list each, of the clips that have it.
    """
    arrays, result = data.arrays, {}
    training = data.clips.split == "train"
    for name in (AUDIO, VIDEO):
        if name not in wanted or (name == VIDEO and arrays.has_faces):
            continue
        values = getattr(arrays, name)
        chosen = values[training & arrays.present[name]].astype(np.float64)
        if not len(chosen):
            continue
        mean, deviation = chosen.mean(axis=(0, 1)), chosen.std(axis=(0, 1))
        # What does not vary tells nothing, and would be divided by nothing.
        deviation[deviation < 1e-8] = 1
        result[name] = {
            "mean": mean.round(8).tolist(),
            "deviation": deviation.round(8).tolist(),
        }
    return result


def standardised(data: AvData, statistics: dict[str, Any]) -> AvData:
    """Return data less a mean and over a deviation, for the modalities that have them.

    Zeros, which stand for a modality that a clip lacks, are then its mean.
    """
    changed = {}
    for name in (AUDIO, VIDEO):
        if isinstance(statistics.get(name), dict):
            changed[name] = standardise(getattr(data.arrays, name), statistics[name])
    return replace(data, arrays=replace(data.arrays, **changed)) if changed else data


def standardise(values: np.ndarray, statistics: dict[str, Any]) -> np.ndarray:
    """Return values (..., D) float32 less ``mean`` and over ``deviation``."""
    mean, deviation = (
        np.array(statistics[key], np.float32) for key in ("mean", "deviation")
    )
    return (values - mean) / deviation


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
        clips = ((n, data.arrays.faces(n)) for n in track(seen, "Frames"))
        for number, frames, value in frame_features(network, clips):
            features[number, frames] = value
        with whole_file(kept) as temporary, temporary.open("wb") as file:
            np.save(file, features)
    return replace(data, arrays=replace(data.arrays, video=features))


def frame_features(
    network: keras.Model, clips: Iterable[tuple[int, np.ndarray]]
) -> Iterator[tuple[int, slice, np.ndarray]]:
    """Pass the faces of clips through a frame network.

    Parameters
    ----------
    network : keras.Model
        See `with_features`.
    clips : iterable of (int, (F, S, S, 3) uint8)
        Numbers of clips and their faces.

    Yields
    ------
    int, slice, (C,) float32
        Clip, frames, and the features of each of these.
    """
    runs = _still(clips)
    while batch := list(islice(runs, FRAMES)):
        faces = np.zeros((FRAMES, *network.input_shape[1:]), np.float32)
        faces[: len(batch)] = [face for *_, face in batch]
        values = np.asarray(network.predict_on_batch(faces / 255))
        for (number, frames, _), value in zip(batch, values, strict=False):
            yield number, frames, value


def _still(
    clips: Iterable[tuple[int, np.ndarray]],
) -> Iterator[tuple[int, slice, np.ndarray]]:
    """Yield clip, frames and face of each run of frames that are the same.

    So black frames, and those of videos of few frames a second, are looked at once.
    """
    for number, faces in clips:
        changes = (faces[1:] != faces[:-1]).any(axis=(1, 2, 3))
        starts = [0, *np.flatnonzero(changes) + 1, len(faces)]
        for start, end in pairwise(starts):
            yield number, slice(start, end), faces[start]
