"""Alignment on several cores: processes that each open the files for themselves."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from emorec.progress import track
from emorec.sequences.alignment import (
    AlignedDataset,
    add_video,
    align,
    check_references,
    unify,
)
from emorec.sequences.csd import ComputationalSequence, open_sequence

# Starting processes costs about as much as aligning so many videos.
_WORTH_IT = 400
# Videos per task: few enough that the progress bar moves and memory stays small.
_CHUNK = 8

# What a worker process holds.
_opened: dict[str, ComputationalSequence] = {}
_references: dict[str, str | None] = {}


def align_on_cores(
    sequences: Mapping[str, ComputationalSequence],
    words: str | None,
    labels: str | None,
    workers: int | None = None,
) -> AlignedDataset:
    """Align as `emorec.sequences.alignment.align`, with the same result.

    Unpacking gzip takes most of the time, and HDF5 does it for one thread at a time, so
    the videos are shared among processes. A small dataset, or one that is not on disk,
    is aligned in this process.

    Parameters
    ----------
    sequences, words, labels
        As for `align`.
    workers : int, optional
        Processes; by default the cores that this process may use.
    """
    workers = workers or _usable_cores()
    check_references(sequences, words, labels)
    result = AlignedDataset(sequences={name: {} for name in sequences})
    videos = unify(sequences, result.dropped)
    paths = {name: sequence.path for name, sequence in sequences.items()}
    if workers < 2 or len(videos) < _WORTH_IT or None in paths.values():
        return align(sequences, words, labels)
    chunks = [videos[i : i + _CHUNK] for i in range(0, len(videos), _CHUNK)]
    # A forked process would share this one's open HDF5 files.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _open, (paths, words, labels)) as pool:
        try:
            futures = [pool.submit(_align_chunk, chunk) for chunk in chunks]
            for future in track(futures, "Aligning"):
                part = future.result()
                for name, entries in part.sequences.items():
                    result.sequences[name].update(entries)
                result.dropped.update(part.dropped)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return result


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # Linux: a job may have fewer than there are
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _open(paths: dict[str, Path], words: str | None, labels: str | None) -> None:
    """Open the files in a new process."""
    for name, path in paths.items():
        _opened[name] = open_sequence(path)
        _opened[name].name = name
    _references.update(words=words, labels=labels)


def _align_chunk(videos: list[str]) -> AlignedDataset:
    part = AlignedDataset(sequences={name: {} for name in _opened})
    for video in videos:
        add_video(part, _opened, video, **_references)
    return part
