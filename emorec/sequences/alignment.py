"""Alignment of computational sequences, to the bit as mmsdk aligns them.

Two passes. First every sequence is brought to the words of the text: of the rows that
touch a word the mean is taken. Then each segment of the labels takes the words that
touch it. The rules and their rounding are those of CMU-MultimodalSDK's
``mmdataset.align``; unlike it, this holds one video at a time and finds the rows of a
word by binary search.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import csr_array

from emorec.errors import DataError, SpecError, shorten
from emorec.progress import track
from emorec.sequences.csd import ComputationalSequence, Rows
from emorec.sequences.overlaps import (
    Overlaps,
    find_overlaps,
    sort_by_start,
    wide_enough,
)

# Share of a dataset's videos that may be damaged; more is a wrong or broken file.
_TOLERATED = 0.1

Entries = dict[str, Rows]


@dataclass
class AlignedDataset:
    """The result of an alignment.

    Attributes
    ----------
    sequences : dict
        Sequence name -> entry key ``video[i]`` -> Rows.
    dropped : dict
        Video -> why it was left out: not in a sequence, or without aligned rows.
    damaged : dict
        Video -> the error that reading one of its entries met; left out, too.
    """

    sequences: dict[str, Entries] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)

    def update(self, other: AlignedDataset) -> None:
        """Add the videos of another dataset of the same sequences."""
        for name, entries in other.sequences.items():
            self.sequences[name].update(entries)
        self.dropped.update(other.dropped)
        self.damaged.update(other.damaged)


def align(
    sequences: Mapping[str, ComputationalSequence],
    words: str | None,
    labels: str | None,
    description: str = "Aligning",
    partial: Collection[str] = (),
) -> AlignedDataset:
    """Align sequences to words, then to labelled segments.

    Parameters
    ----------
    sequences : mapping
        Name -> sequence, among them `words` and `labels`.
    words : str or None
        The sequence whose rows are words. None skips the first pass: segments then
        hold each sequence's own rows.
    labels : str or None
        The sequence whose rows are segments. None skips the second pass: entries are
        then words, ``video[i]`` being word i of the video.
    description : str
        Of the progress bar.
    partial : collection of str
        Sequences that may lack a video, which then has no entry in them; mmsdk leaves
        out the video.

    Returns
    -------
    AlignedDataset
        Keys keep the number of the word or segment as stored, so numbers may be
        missing: a word without frames has no entry in that sequence.

    Raises
    ------
    DataError
        When no video is in all sequences, or more than a tenth of them is damaged.
    SpecError
        When neither `words` nor `labels` is given.
    """
    check_references(sequences, words, labels)
    result = AlignedDataset(sequences={name: {} for name in sequences})
    videos = unify(sequences, result.dropped, partial)
    for video in track(videos, description):
        add_video(result, sequences, video, words, labels, partial)
    check_damage(result, len(videos))
    return result


def check_damage(result: AlignedDataset, videos: int) -> None:
    """Refuse a dataset of which too much is damaged.

    Raises
    ------
    DataError
        When more than a tenth of `videos` could not be read.
    """
    if len(result.damaged) > _TOLERATED * videos:
        raise DataError(
            f"{len(result.damaged)} of {videos} videos cannot be read; at most "
            f"{_TOLERATED:.0%} may be left out. The first:\n  "
            + "\n  ".join(list(result.damaged.values())[:3])
        )


def check_references(
    sequences: Mapping[str, ComputationalSequence],
    words: str | None,
    labels: str | None,
) -> None:
    """Refuse references that nothing can be aligned to (see `align`)."""
    if words is None and labels is None:
        raise SpecError("Alignment needs words, labels or both to align to.")
    for reference in (words, labels):
        if reference is not None:
            _refuse_numbered(sequences[reference])


def add_video(
    result: AlignedDataset,
    sequences: Mapping[str, ComputationalSequence],
    video: str,
    words: str | None,
    labels: str | None,
    partial: Collection[str] = (),
) -> None:
    """Align one video and add its entries to `result` (see `align`).

    A video that cannot be read is noted as damaged, and the rest goes on.
    """
    try:
        parts = {
            name: sequence.read_video(video)
            for name, sequence in sequences.items()
            if name not in partial or video in sequence.videos
        }
    except DataError as error:
        result.damaged[video] = str(error)
        return
    segments = parts.pop(labels) if labels is not None else None
    if words is not None:
        # In the first pass only the reference keeps its stored order.
        reference = parts[words]
        pooled = {
            name: _align_to_words(reference, rows, own=name == words)
            for name, rows in parts.items()
        }
    else:
        pooled = {name: (None, rows) for name, rows in parts.items()}
    if segments is None:
        for name, (numbers, rows) in pooled.items():
            for i, number in enumerate(numbers):
                key = f"{video}[{number}]"
                result.sequences[name][key] = Rows(*(a[i : i + 1] for a in rows))
        return
    empty = [
        name
        for name, (_, rows) in pooled.items()
        if not len(rows.intervals) and name not in partial
    ]
    if empty:
        result.dropped[video] = f"no row of {empty[0]} touches a word"
        return
    for number, own in _numbered(segments):
        result.sequences[labels][f"{video}[{number}]"] = own
    for name, (_, rows) in pooled.items():
        for number, cut in _cut(segments, sort_by_start(rows)):
            result.sequences[name][f"{video}[{number}]"] = cut


def _refuse_numbered(sequence: ComputationalSequence) -> None:
    numbered = [entry for entry in sequence.data if "[" in entry]
    if numbered:
        raise DataError(
            f"{sequence.source}: entries such as '{numbered[0]}' show that "
            f"'{sequence.name}' is already aligned; expected one entry per video. "
            "Use the original file."
        )


def unify(
    sequences: Mapping[str, ComputationalSequence],
    dropped: dict[str, str],
    partial: Collection[str] = (),
) -> list[str]:
    """Return the videos that every sequence has, in byte order; note the others.

    Sequences that are `partial` need not have them.
    """
    needed = {name: s for name, s in sequences.items() if name not in partial}
    everywhere = set.intersection(*(set(s.videos) for s in needed.values()))
    for name, sequence in needed.items():
        for other in sequences.values():
            for video in set(other.videos) - set(sequence.videos):
                dropped.setdefault(video, f"video not in {name}")
    if not everywhere:
        sizes = [f"{name} ({len(seq.videos)})" for name, seq in sequences.items()]
        raise DataError(
            "No video is in every sequence; numbers of videos: "
            f"{shorten(sizes)}. Are the files of one dataset?"
        )
    return sorted(everywhere, key=str.encode)


def _align_to_words(words: Rows, rows: Rows, own: bool) -> tuple[np.ndarray, Rows]:
    """Take the mean of the rows that touch each word.

    Returns the numbers of the words that have any, and one row for each of them. Means
    equal ``numpy.average(axis=0)``, and so mmsdk's, to the bit.
    """
    dtype = rows.features.dtype
    if dtype.kind != "f" or dtype.itemsize < 4:
        # As numpy.average: integers in double precision, half in single.
        wide = np.float64 if dtype.kind != "f" else np.float32
        averaged = Rows(rows.intervals, rows.features.astype(wide))
        numbers, result = _align_to_words(words, averaged, own)
        narrow = dtype if dtype.kind == "f" else wide
        return numbers, Rows(result.intervals, result.features.astype(narrow))
    if own:
        kept = wide_enough(words.intervals)
        ends = words.intervals[kept]
        intervals = np.stack([ends.min(axis=1), ends.max(axis=1)], axis=1)
        # The average of one row makes 0.0 of -0.0.
        return kept, Rows(intervals, words.features[kept] + dtype.type(0))
    rows = sort_by_start(rows)
    found = find_overlaps(words.intervals, rows.intervals)
    with np.errstate(invalid="ignore", over="ignore"):
        sums = _sum_rows(found, rows.features)
        sums /= np.diff(found.edges).astype(dtype)[:, None]
    starts = found.edges[:-1]
    if not len(starts):
        return found.numbers, Rows(found.clipped, sums)
    intervals = np.stack(
        [
            np.minimum.reduceat(found.clipped, starts).min(axis=1),
            np.maximum.reduceat(found.clipped, starts).max(axis=1),
        ],
        axis=1,
    )
    return found.numbers, Rows(intervals, sums)


def _sum_rows(found: Overlaps, features: np.ndarray) -> np.ndarray:
    """Sum the rows of each reference interval, one after the other.

    The order decides the rounding (``np.add.reduceat`` would sum in pairs); a sparse
    matrix of ones adds in it, for all words in one call.
    """
    shape = len(found.numbers), len(features)
    ones = np.ones(len(found.rows), features.dtype)
    sums = csr_array((ones, found.rows, found.edges), shape=shape) @ features
    # It starts from 0.0, NumPy from the first row: they differ where all are -0.0, and
    # in the sign of NaN where two meet. A single column NumPy sums in pairs.
    special = (sums == 0) | np.isnan(sums)
    differ = special.any(axis=1) | (features.shape[1] == 1)
    for i in np.flatnonzero(differ):
        chosen = found.rows[found.edges[i] : found.edges[i + 1]]
        np.add.reduce(features[chosen], axis=0, out=sums[i])
    return sums


def _numbered(segments: Rows) -> Iterator[tuple[int, Rows]]:
    for number in wide_enough(segments.intervals).tolist():
        yield number, Rows(*(array[number : number + 1] for array in segments))


def _cut(segments: Rows, rows: Rows) -> Iterator[tuple[int, Rows]]:
    """Give each segment the rows that touch it, clipped to it."""
    found = find_overlaps(segments.intervals, rows.intervals)
    for number, pairs, chosen in found.slices():
        # A copy, for a view would keep the whole video in memory.
        yield number, Rows(found.clipped[pairs], np.array(rows.features[chosen]))
