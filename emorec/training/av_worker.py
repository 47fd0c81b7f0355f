"""Preparing one audio-visual clip: its files, and the record of what they come from."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.io import wavfile

from emorec.corpora.av_annotations import FACES, SOUND
from emorec.errors import DataError
from emorec.features.av_clips import AvSettings, face_clip
from emorec.features.av_sound import SOUND_RATE, pcm, read_sound
from emorec.features.faces import Detector
from emorec.files import read_json, whole_file, write_json
from emorec.progress import Stopwatch
from emorec.training.backend import hidden_stderr

VIDEO, AUDIO = "video", "audio"
RECORDS = "records"

# The worker of a helper process.
_held: list[Worker] = []


class Task(NamedTuple):
    """A clip to be worked on.

    Attributes
    ----------
    id : str
    sources : dict
        Modality, video or audio -> file, of what is not finished.
    """

    id: str
    sources: dict[str, Path]

    def __str__(self) -> str:
        return self.id


class Done(NamedTuple):
    """What came of a task.

    Attributes
    ----------
    task : Task
    failures : dict
        Modality -> reason.
    faces : int
        Frames with a face.
    watch : Stopwatch
        Seconds of decoding, tracking, detection and sound.
    """

    task: Task
    failures: dict[str, str]
    faces: int
    watch: Stopwatch


class Worker:
    """Prepares clips with a detector that it makes when the first one needs it."""

    def __init__(
        self, folder: Path, settings: AvSettings, detect: Callable[[], Detector]
    ) -> None:
        self.folder, self.settings = folder, settings

        def quietly() -> Detector:
            # In each process TensorFlow would print its notes into the progress bar.
            with hidden_stderr():
                return detect()

        self._detect = cache(quietly)

    def make(self, task: Task) -> Done:
        """Make what a task asks for and record it; failures are part of the result."""
        watch, failures, faces = Stopwatch(), {}, 0
        for modality, source in task.sources.items():
            path = file_of(self.folder, task.id, modality)
            try:
                if not source.exists():
                    raise DataError(f"{source}: no such file.")
                before = _source(source)
                if modality == VIDEO:
                    entry = self._make_faces(source, path, watch)
                    faces += len(entry["times"])
                else:
                    entry = _make_sound(source, path, watch)
            except DataError as error:
                failures[modality] = str(error)
                continue
            entry |= {"source": before, "bytes": path.stat().st_size}
            # The record last: what it names is there.
            record = read_record(self.folder, task.id) | {modality: entry}
            write_json(_record_path(self.folder, task.id), record, indent=None)
        return Done(task, failures, faces, watch)

    def _make_faces(self, source: Path, path: Path, watch: Stopwatch) -> dict[str, Any]:
        def detect(images: list[np.ndarray]) -> list[np.ndarray]:
            return self._detect()(images)

        found = face_clip(source, detect, self.settings, watch)
        with whole_file(path) as temporary, temporary.open("wb") as file:
            np.save(file, found.images)
        real = np.isfinite(found.times)
        return {
            "origins": list(found.origins),
            "times": found.times[real].round(4).tolist(),
            "boxes": found.boxes[real].round(2).tolist(),
        }


def _make_sound(source: Path, path: Path, watch: Stopwatch) -> dict[str, Any]:
    with watch.time("sound", 1):
        samples = read_sound(source)
    with whole_file(path) as temporary:
        wavfile.write(temporary, SOUND_RATE, pcm(samples))
    return {"peak": round(float(np.abs(samples).max()), 5)}


def file_of(folder: Path, name: str, modality: str) -> Path:
    """Return where the prepared file of a clip lies."""
    return folder / f"{name}{FACES if modality == VIDEO else SOUND}"


def _record_path(folder: Path, name: str) -> Path:
    return folder / RECORDS / f"{name}.json"


def read_record(folder: Path, name: str) -> dict[str, Any]:
    """Return what is known of a clip's files, by modality; a damaged record is none."""
    path = _record_path(folder, name)
    try:
        return read_json(path) if path.is_file() else {}
    except DataError:
        return {}


def is_finished(
    folder: Path, name: str, modality: str, source: Path, record: dict[str, Any]
) -> bool:
    """Tell whether a file is there, whole, and made from the source as it is now."""
    made, entry = file_of(folder, name, modality), record.get(modality, {})
    if not source.exists() or not made.is_file():
        return False
    same = entry.get("source") == _source(source)
    return same and entry.get("bytes") == made.stat().st_size


def _source(path: Path) -> list[int]:
    """Return bytes and time of a file; of a folder, the time only."""
    status = path.stat()
    return [0 if path.is_dir() else status.st_size, status.st_mtime_ns]


def begin(
    folder: Path, settings: AvSettings, detect: Callable[[], Detector], share: int
) -> None:
    """Begin a helper process; `share` are the cores that it should take."""
    # Each TensorFlow would start a thread for every core and take a whole GPU.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(share))
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    _held[:] = [Worker(folder, settings, detect)]


def make_held(task: Task) -> Done:
    """Make a task with the worker of this process."""
    return _held[0].make(task)
