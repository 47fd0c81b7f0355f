"""Alignment of whole datasets: on several cores, in parts, resumable."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from emorec.errors import DataError
from emorec.processes import on_processes, usable_cores
from emorec.progress import track
from emorec.sequences.alignment import (
    AlignedDataset,
    add_video,
    check_damage,
    check_references,
    unify,
)
from emorec.sequences.csd import ComputationalSequence, open_sequence
from emorec.sequences.parts import read_part, write_part

# Starting processes costs about as much as aligning so many videos.
_WORTH_IT = 400
# Videos of a part: what an interruption loses at most, per process.
_PART = 64

# What a worker process holds: sequences, words, labels.
_held: list = []


class Part(NamedTuple):
    """Videos that are aligned together, and the file that holds the outcome."""

    path: Path
    videos: list[str]

    def __str__(self) -> str:
        return f"videos from {self.videos[0]} on"


def align_on_cores(
    sequences: Mapping[str, ComputationalSequence],
    words: str | None,
    labels: str | None,
    folder: Path,
    workers: int | None = None,
    partial: Collection[str] = (),
) -> AlignedDataset:
    """Align as `emorec.sequences.alignment.align`, with the same result, on disk.

    Unpacking gzip takes most of the time, and HDF5 does it for one thread at a time, so
    the videos are shared among processes. Each writes the parts that it has aligned;
    parts that an interrupted alignment, or another one at work, has written already are
    not made again. Memory holds one video a process; the arrays of the result are
    views of the mapped files.

    Parameters
    ----------
    sequences, words, labels
        As for `align`.
    folder : Path
        Where the parts lie; its name must tell the sources and the references.
    workers : int, optional
        Processes; by default the cores that this process may use. A small dataset, or
        one that is not on disk, is aligned in this process.
    partial : collection of str
        As for `align`.

    Raises
    ------
    DataError
        As `align`, and when a process dies.
    """
    check_references(sequences, words, labels)
    result = AlignedDataset(sequences={name: {} for name in sequences})
    videos = unify(sequences, result.dropped, partial)
    parts = {
        folder / f"{start:06d}.json": videos[start : start + _PART]
        for start in range(0, len(videos), _PART)
    }
    paths = {name: sequence.path for name, sequence in sequences.items()}
    workers = workers or usable_cores()
    spread = workers > 1 and len(videos) >= _WORTH_IT and None not in paths.values()
    whole = None
    # Again when another alignment, of newer files, removes the parts under our hands.
    while whole is None:
        missing = {path: part for path, part in parts.items() if not path.is_file()}
        if spread and len(missing) > 1:
            made = on_processes(
                _align_held,
                [Part(*part) for part in missing.items()],
                min(workers, len(missing)) - 1,
                _begin,
                (paths, words, labels, tuple(partial), videos[0]),
                here=lambda part: _align_part(part, sequences, words, labels, partial),
            )
        else:
            made = (
                _align_part(Part(*part), sequences, words, labels, partial)
                for part in missing.items()
            )
        for _ in track(made, "Aligning", len(missing)):
            pass
        whole = _read_all(list(parts))
    for part in whole:
        result.update(part)
    check_damage(result, len(videos))
    return result


def _read_all(paths: list[Path]) -> list[AlignedDataset] | None:
    try:
        return [read_part(path) for path in paths]
    except DataError:
        if all(path.is_file() for path in paths):
            raise
        return None


def _begin(
    paths: dict[str, Path],
    words: str | None,
    labels: str | None,
    partial: tuple[str, ...],
    first: str,
) -> None:
    """Open the files in a new process."""
    sequences = {}
    for name, path in paths.items():
        sequences[name] = open_sequence(path)
        sequences[name].name = name
        # Every process must take the width of the same entry for the right one.
        with suppress(DataError, KeyError):  # which not every sequence has
            sequences[name].read_video(first)
    _held[:] = sequences, words, labels, partial


def _align_held(part: Part) -> None:
    _align_part(part, *_held)


def _align_part(
    part: Part,
    sequences: Mapping[str, ComputationalSequence],
    words: str | None,
    labels: str | None,
    partial: Collection[str],
) -> None:
    if part.path.is_file():
        return  # Another alignment of the same files was here first.
    made = AlignedDataset(sequences={name: {} for name in sequences})
    for video in part.videos:
        add_video(made, sequences, video, words, labels, partial)
    write_part(part.path, made)
