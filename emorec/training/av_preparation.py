"""Preparing audio-visual clips: faces and sound cut once, resumable, on several cores.

The output folder holds

- ``ID_facecroppad.npy``: (15, 224, 224, 3) uint8 faces of a clip;
- ``ID_croppad.wav``: 3.6 s of its sound, 22,050 Hz, one channel, 16 bits;
- ``records/ID.json``: what they were made from, and where each face comes from;
- ``settings.json``: what decides them; a run with others is refused;
- ``annotations.txt``: the clips as the reference's program lists them;
- ``clips.csv``: the same with speakers, in the form of `corpora.av_table`;
- ``failures.csv``: clip, modality and reason of what could not be made, which is tried
  again each time, and of what a clip lacks;
- ``contact_sheet.png``: faces of some of the clips.

Chumachenko, Iosifidis and Gabbouj (2022), section 4.1.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from emorec.artifacts.claims import claim
from emorec.artifacts.tables import write_table
from emorec.corpora.av_annotations import write_annotations
from emorec.corpora.av_clips import AvClips, check_ids, missing_rows
from emorec.corpora.av_table import table_of
from emorec.features import thumbnails
from emorec.features.av_clips import FRAMES, AvSettings
from emorec.features.faces import Detector, mtcnn_detector
from emorec.files import exclusive, whole_file
from emorec.processes import on_processes, usable_cores
from emorec.progress import Stopwatch, track
from emorec.training.av_worker import (
    AUDIO,
    VIDEO,
    Done,
    Task,
    Worker,
    begin,
    file_of,
    is_finished,
    make_held,
    read_record,
)

SETTINGS, ANNOTATIONS, TABLE = "settings.json", "annotations.txt", "clips.csv"
FAILURES, SHEET = "failures.csv", "contact_sheet.png"
# Clips on the contact sheet, and faces of each.
_SHOWN, _FACES = 40, 12


@dataclass(frozen=True)
class Prepared:
    """What a run of `prepare` did.

    Attributes
    ----------
    clips : AvClips
        Those with a prepared modality; their paths are the prepared files.
    failures : list of (str, str, str)
        Clip, modality and reason of what could not be made, in the order of clips.
    missing : list of (str, str, str)
        The same of modalities that clips lack.
    made : int
        Clips worked on in this run without a failure.
    before : int
        Clips that were finished before.
    faces : int
        Faces cut out in this run.
    seconds : float
        Duration of this run.
    per_second : dict
        Of one process: frames a second of decoding, tracking and detection, clips a
        second of sound.
    """

    clips: AvClips
    failures: list[tuple[str, str, str]]
    missing: list[tuple[str, str, str]]
    made: int
    before: int
    faces: int
    seconds: float
    per_second: dict[str, float]

    @property
    def faces_per_second(self) -> float:
        """Faces a second, all processes together."""
        return self.faces / max(self.seconds, 1e-9)


def prepare(
    clips: AvClips,
    output: str | Path,
    workers: int | None = None,
    settings: AvSettings | None = None,
    detect: Callable[[], Detector] | None = None,
) -> Prepared:
    """Cut faces and sound out of clips and write them; see the module for the files.

    Parameters
    ----------
    clips : AvClips
        Their modalities may be missing.
    output : path
        Folder, made where it is not there. Modalities of clips that are finished in it
        are not repeated unless their source has changed.
    workers : int, optional
        Processes; by default the cores that this process may use. With 1 no other
        process is begun.
    settings : AvSettings, optional
        Detection and literal behaviour.
    detect : callable, optional
        Returns the face detector, called once in each process that needs it; by
        default MTCNN. For other processes it must be a function of a module.

    Raises
    ------
    SpecError
        When the folder holds clips prepared with other settings.
    BusyError
        When another process writes to the folder.
    DataError
        When ids are not unique, or a process dies.
    """
    folder, settings = Path(output), settings or AvSettings()
    detect = detect or partial(mtcnn_detector, settings.min_face)
    own = settings.to_dict() | {
        "dataset": clips.dataset,
        "schema": clips.schema.to_dict(),
    }
    check_ids(clips.dataset, clips.ids)
    started, watch = time.perf_counter(), Stopwatch()
    failed: dict[str, dict[str, str]] = {}
    faces = 0
    busy = f"{folder}: another process writes there; choose another --output."
    with exclusive(folder / ".lock", busy):
        claim(folder / SETTINGS, own)
        tasks = [task for task in _tasks(clips, folder) if task.sources]
        done = _run(tasks, workers or usable_cores(), (folder, settings, detect))
        for one in track(done, "Preparing", len(tasks), "clips"):
            faces += one.faces
            if one.failures:
                failed[one.task.id] = one.failures
            for stage, seconds in one.watch.seconds.items():
                watch.seconds[stage] += seconds
                watch.frames[stage] += one.watch.frames[stage]
        prepared = _prepared(clips, folder, failed)
        failures = [
            (name, modality, failed[name][modality])
            for name in clips.ids
            for modality in (VIDEO, AUDIO)
            if modality in failed.get(name, ())
        ]
        missing = _missing(clips)
        order = {name: place for place, name in enumerate(clips.ids)}
        rows = sorted(failures + missing, key=lambda row: (order[row[0]], row[1]))
        columns = ["clip", "modality", "reason"]
        write_table(folder / FAILURES, pd.DataFrame(rows, columns=columns))
        write_table(folder / TABLE, table_of(prepared, folder))
        _write_sheet(folder, prepared, settings)
        # At the end: who reads the list finds everything that it names.
        write_annotations(folder / ANNOTATIONS, prepared)
    return Prepared(
        prepared,
        failures,
        missing,
        made=len(tasks) - len(failed),
        before=len(clips) - len(tasks),
        faces=faces,
        seconds=time.perf_counter() - started,
        per_second=watch.per_second(),
    )


def _run(tasks: list[Task], workers: int, state: tuple) -> Iterator[Done]:
    workers = min(workers, len(tasks))
    if workers > 1:
        share = max(1, usable_cores() // workers)
        state = (*state, share)
        yield from on_processes(make_held, tasks, workers, begin, state)
        return
    worker = Worker(*state)
    yield from map(worker.make, tasks)


def _tasks(clips: AvClips, folder: Path) -> Iterator[Task]:
    for name, *paths in zip(clips.ids, clips.video, clips.audio, strict=True):
        record = read_record(folder, name)
        yield Task(
            name,
            {
                modality: path
                for modality, path in zip((VIDEO, AUDIO), paths, strict=True)
                if path is not None
                and not is_finished(folder, name, modality, path, record)
            },
        )


def _prepared(
    clips: AvClips, folder: Path, failed: dict[str, dict[str, str]]
) -> AvClips:
    """Return the clips with the paths of the prepared files, and without the others."""

    def files(modality: str, sources: list[Path | None]) -> list[Path | None]:
        return [
            None
            if source is None or modality in failed.get(name, ())
            else file_of(folder, name, modality)
            for name, source in zip(clips.ids, sources, strict=True)
        ]

    video, audio = files(VIDEO, clips.video), files(AUDIO, clips.audio)
    both = zip(video, audio, strict=True)
    some = np.array([pair != (None, None) for pair in both], bool)
    kept = replace(clips, video=video, audio=audio).only(some)
    return replace(kept, report=missing_rows(kept.ids, kept.video, kept.audio))


def _missing(clips: AvClips) -> list[tuple[str, str, str]]:
    rows = []
    for name, *paths in zip(clips.ids, clips.video, clips.audio, strict=True):
        for modality, path in zip((VIDEO, AUDIO), paths, strict=True):
            if path is None:
                rows.append((name, modality, "missing: the clip has no such file"))
    return rows


def _write_sheet(folder: Path, clips: AvClips, settings: AvSettings) -> None:
    """Draw faces of clips that are evenly spread over all."""
    seen = [n for n, path in enumerate(clips.video) if path is not None]
    if not seen:
        return
    strips: list[Image.Image] = []
    for k in np.unique(np.linspace(0, len(seen) - 1, _SHOWN).round().astype(int)):
        n = seen[k]
        origins = read_record(folder, clips.ids[n]).get(VIDEO, {})["origins"]
        faces = np.load(clips.video[n])
        if settings.literal:
            faces = faces[..., ::-1]
        chosen = np.linspace(0, FRAMES - 1, _FACES).round().astype(int)
        label = clips.schema.labels[clips.classes[n]]
        strips.append(
            thumbnails.strip(
                [faces[i] for i in chosen],
                [f"{i + 1} {origins[i]}" for i in chosen],
                f"{clips.ids[n]}: {label}, speaker {clips.speakers[n]}, "
                f"{clips.split[n]}",
            )
        )
    with whole_file(folder / SHEET) as temporary:
        thumbnails.under_one_another(strips).save(temporary)
