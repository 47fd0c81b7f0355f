"""Extraction of open features from a corpus: resumable, in parts, to .csd files.

The output folder holds

- ``open_words.csd``, ``open_face.csd``, ``open_voice.csd``: what was extracted, each
  with its settings in the metadata; ``open_steps.csd``: windows of equal length;
- ``parts/text/ID.npz`` and so on: the rows of each video, written when it is finished,
  and ``settings.json``, by which others are refused;
- ``failures.csv``: what could not be extracted, and why. It is tried again each time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from emorec.artifacts.claims import claim
from emorec.artifacts.logits import load_arrays
from emorec.corpora import mosei
from emorec.corpora.extraction import PATH
from emorec.corpora.recorded import Recorded
from emorec.errors import DataError
from emorec.files import exclusive, whole_file
from emorec.processes import on_processes, usable_cores
from emorec.progress import track
from emorec.sequences.csd import Rows
from emorec.training import open_features
from emorec.training.open_features import LACKING, FrontEnd, rows_of
from emorec.training.open_sequences import (
    nothing,
    write_failures,
    write_rows,
    write_steps,
)

SETTINGS = "settings.json"
# Which file of a video a modality is made of.
FILES = {"T": "transcript", "V": "video", "A": "sound"}
_SAID = {"T": "Reading transcripts", "V": "Judging faces", "A": "Hearing voices"}
# A process takes seconds to begin, in which it hears about so many minutes.
_WORTH_IT = 20


@dataclass(frozen=True)
class Extracted:
    """What `extract` did.

    Attributes
    ----------
    videos : int
        In the files.
    made, before : int
        Videos times modalities that were extracted in this run, and earlier.
    failures : list of (str, str, str)
        Video, modality and reason.
    paths : list of Path
        The sequences.
    """

    videos: int
    made: int
    before: int
    failures: list[tuple[str, str, str]]
    paths: list[Path]


class _Task(NamedTuple):
    source: Path
    part: Path

    def __str__(self) -> str:
        return str(self.source)


def extract(
    recorded: Sequence[Recorded],
    fronts: Mapping[str, FrontEnd],
    output: str | Path,
    corpus: str,
    step: float = open_features.STEP,
    workers: int | None = None,
) -> Extracted:
    """Extract the features of a corpus.

    Parameters
    ----------
    recorded : sequence of Recorded
        The videos.
    fronts : mapping
        Letter of `emorec.corpora.mosei.MODALITIES` -> how its rows are made.
    output : path
        Folder, made where it is not there. Modalities that it has from an earlier run
        stay. Videos finished in it are not repeated unless their file has changed.
    corpus : str
        Name of the corpus, for the metadata.
    step : float
        Seconds of a window.
    workers : int, optional
        Processes that hear voices; by default as many as there are cores.

    Raises
    ------
    SpecError
        When the folder holds features of other settings.
    DataError
        When nothing could be extracted of a modality.
    BusyError
        When another process writes to the folder.
    """
    folder = Path(output)
    failures: list[tuple[str, str, str]] = []
    made = before = 0
    busy = f"{folder}: another process writes there; choose another --output."
    with exclusive(folder / ".lock", busy):
        paths = []
        for letter, front in fronts.items():
            name = mosei.MODALITIES[letter]
            own = {k: v for k, v in front.settings.items() if k != PATH}
            claim(_part(folder, letter, SETTINGS), own)
            tasks, finished = [], []
            for each in recorded:
                source = getattr(each, FILES[letter])
                if source is None:
                    failures.append((each.id, name, LACKING[letter]))
                    continue
                task = _Task(source, _part(folder, letter, f"{each.id}.npz"))
                (finished if _is_finished(task) else tasks).append(task)
            before += len(finished)
            for task, reason in _work(letter, front, tasks, workers):
                if reason:
                    failures.append((task.part.stem, name, reason))
                else:
                    finished.append(task)
                    made += 1
            if not finished:
                raise nothing(folder, name, failures)
            parts = {task.part.stem: task for task in finished}
            sources = [[name, *_source(task.source)] for name, task in parts.items()]
            paths.append(
                write_rows(
                    *(folder, letter, front.names, front.settings, corpus, sources),
                    lambda name, parts=parts: _rows_of(parts[name].part),
                )
            )
        ends = _ends(folder, [each.id for each in recorded])
        paths.append(write_steps(folder, ends, corpus, step))
        write_failures(folder, failures)
    return Extracted(len(recorded), made, before, failures, paths)


def _part(folder: Path, letter: str, name: str) -> Path:
    return folder / "parts" / mosei.MODALITIES[letter] / name


def _work(
    letter: str, front: FrontEnd, tasks: list[_Task], workers: int | None
) -> Iterator[tuple[_Task, str]]:
    """Make parts; yield each with the reason why it has failed, or an empty one."""
    workers = min(workers or usable_cores(), len(tasks))
    if letter == "A" and workers > 1 and len(tasks) >= _WORTH_IT:
        results = on_processes(_hear, tasks, workers, _begin, (front.settings["kind"],))
    else:
        results = ((task, _make(front, letter, task)) for task in tasks)
    yield from track(results, _SAID[letter], len(tasks), "videos")


# What a helper process hears with.
_held: list[FrontEnd] = []


def _begin(kind: str) -> None:
    _held[:] = [open_features.voice(kind)]


def _hear(task: _Task) -> tuple[_Task, str]:
    return task, _make(_held[0], "A", task)


def _make(front: FrontEnd, letter: str, task: _Task) -> str:
    try:
        rows = rows_of(front, letter, task.source)
    except DataError as error:
        return str(error)
    with whole_file(task.part) as temporary, temporary.open("wb") as file:
        source = np.array(_source(task.source), np.int64)
        np.savez(file, source=source, **rows._asdict())
    return ""


def _source(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _is_finished(task: _Task) -> bool:
    try:
        found = load_arrays(task.part, ("source",))["source"]
        return np.array_equal(found, _source(task.source))
    except (DataError, OSError):
        return False


def _rows_of(part: Path) -> Rows:
    return Rows(**load_arrays(part, Rows._fields))


def _ends(folder: Path, ids: Sequence[str]) -> dict[str, float]:
    """Return where whatever a video has ends, in seconds."""
    ends: dict[str, float] = {}
    for letter in mosei.OPEN:
        for name in ids:
            part = _part(folder, letter, f"{name}.npz")
            if part.is_file():
                times = load_arrays(part, ("intervals",))["intervals"]
                ends[name] = max(ends.get(name, 0.0), float(times.max()))
    return ends
