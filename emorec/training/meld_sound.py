"""The sound of MELD's videos as wav files: resumable, on several cores."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.io import wavfile

from emorec.artifacts.claims import claim
from emorec.corpora.meld import Meld
from emorec.corpora.meld_files import AUDIO
from emorec.errors import DataError, SpecError
from emorec.features.audio import RATE
from emorec.features.video_sound import read_native_sound, read_sound_of_video
from emorec.files import exclusive, whole_file
from emorec.processes import on_processes, usable_cores
from emorec.progress import track

SETTINGS = "extraction.json"
NATIVE = 0
# A process takes a second to begin, in which it does so many clips.
_WORTH_IT = 20


class Task(NamedTuple):
    """A video and the wav file that its sound becomes.

    Attributes
    ----------
    id : str
    video, sound : Path
    rate : int
        Samples a second; `NATIVE` is the video's own.
    """

    id: str
    video: Path
    sound: Path
    rate: int

    def __str__(self) -> str:
        return self.id


@dataclass(frozen=True)
class Extracted:
    """What `extract_sound` did.

    Attributes
    ----------
    made : int
        Sounds written in this run.
    before : int
        Utterances that had a sound file.
    without : int
        Utterances of which nothing can be made: no video, and no sound in the folder.
    failures : list of (str, str)
        Id and reason, in the order of the corpus.
    seconds : float
        Duration of this run.
    """

    made: int
    before: int
    without: int
    failures: list[tuple[str, str]]
    seconds: float


def extract_sound(
    corpus: Meld, output: str | Path, rate: int = RATE, workers: int | None = None
) -> Extracted:
    """Write the sound of the videos to ``audio/SPLIT/diaD_uttU.wav`` of a folder.

    Sound files that lie there are kept, of whatever kind, so an interrupted run goes
    on. A wav that an earlier run made is made anew when its video is newer.

    Parameters
    ----------
    corpus : Meld
    output : path
        The corpus' own folder, where `corpora.meld.read_meld` looks, or another.
    rate : int
        Samples a second, 1 or more, or `NATIVE` for those of each video. One channel,
        the mean of all, of 16 bits.
    workers : int, optional
        Processes; by default as many as there are cores.

    Returns
    -------
    Extracted
        With the videos that failed; they are tried again in the next run.

    Raises
    ------
    SpecError
        For a negative rate, for no process, and when the folder's sounds were
        extracted at another rate.
    BusyError
        When another process writes to the folder.
    DataError
        When the folder cannot be written or a process dies.
    MissingExtraError
        When PyAV is not installed.
    """
    if rate < 0:
        raise SpecError(
            f"rate {rate}: expected samples a second, or 0 for the video's."
        )
    if workers is not None and workers < 1:
        raise SpecError(f"{workers} workers: expected 1 or more.")
    folder, started = Path(output) / AUDIO, time.perf_counter()
    busy = f"{folder}: another process writes there; wait, or choose another --output."
    failed: dict[str, str] = {}
    with exclusive(folder / ".lock", busy):
        claim(folder / SETTINGS, {"rate": rate})
        tasks, before = _tasks(corpus, folder, rate)
        done = _run(tasks, workers or usable_cores())
        for task, reason in track(done, "Extracting sound", len(tasks), "clips"):
            if reason:
                failed[task.id] = reason
    return Extracted(
        made=len(tasks) - len(failed),
        before=before,
        without=len(corpus) - before - len(tasks),
        failures=[(name, failed[name]) for name in corpus.ids if name in failed],
        seconds=time.perf_counter() - started,
    )


def _tasks(corpus: Meld, folder: Path, rate: int) -> tuple[list[Task], int]:
    """Return what is to be made, and how many sounds are there."""
    tasks, before = [], 0
    own = folder.parent.resolve() == corpus.folder.resolve()
    for name, video, sound in zip(corpus.ids, corpus.video, corpus.audio, strict=True):
        path = folder / f"{name}.wav"
        foreign = own and sound is not None and sound != path
        if foreign or _is_finished(path, video):
            before += 1
        elif video is not None:
            tasks.append(Task(name, video, path, rate))
    return tasks, before


def _is_finished(sound: Path, video: Path | None) -> bool:
    if video is None or not sound.is_file():
        return sound.is_file()
    return sound.stat().st_mtime_ns >= video.stat().st_mtime_ns


def _run(tasks: list[Task], workers: int) -> Iterator[tuple[Task, str]]:
    if workers > 1 and len(tasks) > _WORTH_IT:
        workers = min(workers, len(tasks))
        yield from on_processes(write_sound, tasks, workers, _begin, ())
    else:
        yield from map(write_sound, tasks)


def _begin() -> None:
    """Begin a helper process: there is nothing to prepare."""


def write_sound(task: Task) -> tuple[Task, str]:
    """Write the wav file of a task; return it with the reason of a failure, or ``""``.

    Raises
    ------
    MissingExtraError
        When PyAV is not installed.
    """
    try:
        if task.rate == NATIVE:
            samples, rate = read_native_sound(task.video)
        else:
            samples, rate = read_sound_of_video(task.video, task.rate), task.rate
    except DataError as error:
        return task, str(error)
    # Full scale is 32768, as for those who read the file.
    pcm = np.rint(samples * 32768).clip(-32768, 32767).astype(np.int16)
    with whole_file(task.sound) as temporary:
        wavfile.write(temporary, rate, pcm)
    return task, ""
