"""Sound and video files at their own rate: read, streamed, or many on processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from emorec.errors import DataError
from emorec.features.audio import AUDIO_SUFFIXES, read_audio, stream_audio
from emorec.features.video_sound import read_native_sound, stream_native_sound
from emorec.processes import on_processes, usable_cores

# A process takes seconds to import what it needs, in which it reads about so many.
WORTH_IT = 100

Of = Callable[[str | Path], np.ndarray]
# What a helper process does with each file.
_held: list[Of] = []


class _Task(NamedTuple):
    place: int
    path: Path

    def __str__(self) -> str:
        return str(self.path)


def read_own(path: str | Path) -> tuple[np.ndarray, int]:
    """Return the mean of a file's channels at its own rate, and that rate.

    Parameters
    ----------
    path : path
        A sound file that libsndfile reads (wav, flac, ogg, mp3, aiff), or anything
        with sound that FFmpeg reads, such as mp4.

    Returns
    -------
    (N,) float32, int
        1 is full scale; samples a second.

    Raises
    ------
    DataError
        See `emorec.features.audio.read_audio` and
        `emorec.features.video_sound.read_sound_of_video`.
    MissingExtraError
        When soundfile, or of a video PyAV, is not installed.
    """
    path = Path(path)
    if path.suffix.lower() not in AUDIO_SUFFIXES:
        return read_native_sound(path)
    samples = read_audio(path, channel="mean", literal=True)
    import soundfile

    return samples, soundfile.info(path).samplerate


def stream_own(
    path: str | Path, channel: str = "mean"
) -> Iterator[tuple[np.ndarray, int]]:
    """Yield what `read_own` returns piece by piece, of any of its files.

    Parameters
    ----------
    path : path
        As of `read_own`.
    channel : {"mean", "first"}
        Of several channels.

    Yields
    ------
    (n,) float32, int
        The next samples, finite, the first of second 0; samples a second, the same of
        all pieces.

    Raises
    ------
    DataError, MissingExtraError
        As of `read_own`, each at the piece that meets it.
    """
    path = Path(path)
    known = path.suffix.lower() in AUDIO_SUFFIXES
    count = 0
    for samples, rate in (stream_audio if known else stream_native_sound)(
        path, channel
    ):
        if not np.isfinite(samples).all():
            raise DataError(
                f"{path}: samples that are not finite at {count / rate:.2f} s. Convert "
                "it anew."
            )
        count += len(samples)
        yield samples, rate


def of_files(
    function: Of,
    paths: Sequence[str | Path],
    workers: int | None = None,
    worth_it: int = WORTH_IT,
) -> Iterator[tuple[int, np.ndarray | str]]:
    """Yield what a function makes of many files, as they are finished.

    Parameters
    ----------
    function : callable
        Of a module: path -> array. Its `DataError` is the reason of a failure; any
        other error ends the work.
    paths : sequence of path
        The files.
    workers : int, optional
        Processes; by default the cores that this process may use.
    worth_it : int
        Fewer files than these are read in this process.

    Yields
    ------
    int, array or str
        Place in `paths`, and the array or the reason why there is none. On several
        processes the places come in any order.

    Raises
    ------
    DataError
        When a process dies, with the files that were in hand.
    """
    tasks = [_Task(place, Path(path)) for place, path in enumerate(paths)]
    workers = min(workers or usable_cores(), len(tasks))
    if workers < 2 or len(tasks) < worth_it:
        for task in tasks:
            yield task.place, _array_or_reason(function, task.path)
        return
    yield from on_processes(_do, tasks, workers, _begin, (function,))


def _begin(function: Of) -> None:
    _held[:] = [function]


def _do(task: _Task) -> tuple[int, np.ndarray | str]:
    return task.place, _array_or_reason(_held[0], task.path)


def _array_or_reason(function: Of, path: Path) -> np.ndarray | str:
    try:
        return function(path)
    except DataError as error:
        return str(error)
