"""The steps of padded segments: which rows are data, which only fill up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from emorec.corpora.mmsa import Processed, Split
from emorec.errors import DataError

# Share of segments that may be padded at opposite ends before nothing is aligned.
_TOLERATED = 0.01


@dataclass
class Steps:
    """Where the data of every segment begin and end.

    Attributes
    ----------
    ranges : dict
        Fold -> letter of the modality -> (n, 2) int: first step and the one behind the
        last; equal where a segment has none.
    aligned : bool
        Whether the modalities share their steps; the ranges are then the same.
    reason : str
        Why they do not.
    front, back : int
        Segments with padding before and behind their data.
    """

    ranges: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    aligned: bool = True
    reason: str = ""
    front: int = 0
    back: int = 0


def find_steps(processed: Processed, where: str) -> Steps:
    """Find the data in padded segments.

    Lengths that the file tells decide; for text the mask of its tokens; else rows that
    are zero in every modality count as padding where they stand at an end. Rows of
    zeros in between are data.

    Raises
    ------
    DataError
        When a length contradicts the rows.
    """
    steps = Steps()
    opposite = padded = total = 0
    for fold, split in processed.splits.items():
        ranges = {
            letter: _ranges(split, letter, f"{where}: {fold}, {name}")
            for letter, name in processed.names.items()
        }
        steps.ranges[fold] = ranges
        total += len(split.clips)
        lengths = np.array([[len(r) for r in rows] for rows in split.features.values()])
        if (lengths != lengths[0]).any():
            steps.aligned = False
            steps.reason = "the modalities have different numbers of steps"
            continue
        empty = np.array([r[:, 0] == r[:, 1] for r in ranges.values()])
        begins = np.array([r[:, 0] for r in ranges.values()]) > 0
        ends = np.array([r[:, 1] for r in ranges.values()]) < lengths
        front, back = begins & ~ends & ~empty, ends & ~begins & ~empty
        opposite += int((front.any(axis=0) & back.any(axis=0)).sum())
        padded += int((front | back).any(axis=0).sum())
    if steps.aligned and opposite > _TOLERATED * max(padded, 1):
        steps.aligned = False
        steps.reason = (
            f"in {opposite:,} segments one modality is padded in front and another "
            "behind, so equal steps are not the same word"
        )
    for fold, ranges in steps.ranges.items():
        if steps.aligned:
            _share(ranges)
        lengths = np.array([len(rows) for rows in _first(processed.splits[fold])])
        common = next(iter(ranges.values()))
        some = common[:, 1] > common[:, 0]
        steps.front += int((some & (common[:, 0] > 0)).sum())
        steps.back += int((some & (common[:, 1] < lengths)).sum())
    return steps


def _first(split: Split) -> Sequence[np.ndarray]:
    return next(iter(split.features.values()))


def _share(ranges: dict[str, np.ndarray]) -> None:
    """Give all modalities the steps that any of them has."""
    stacked = np.stack(list(ranges.values()))
    some = stacked[..., 1] > stacked[..., 0]
    begin = np.where(some, stacked[..., 0], np.iinfo(np.int64).max).min(axis=0)
    end = np.where(some, stacked[..., 1], 0).max(axis=0)
    shared = np.stack([np.minimum(begin, end), end], axis=1)
    for letter in ranges:
        ranges[letter] = shared


def _ranges(split: Split, letter: str, where: str) -> np.ndarray:
    rows = split.features[letter]
    if letter == "T" and split.mask is not None:
        return np.array([_extent(used) for used in split.mask])
    told = split.lengths.get(letter)
    result = np.array([_extent((segment != 0).any(axis=1)) for segment in rows])
    if told is None:
        return result
    for i, length in enumerate(told.astype(np.int64)):
        begin, end = result[i]
        size = len(rows[i])
        if not 0 <= length <= size:
            raise DataError(
                f"{where}, segment '{split.clips[i].id}': {length} steps of {size}."
            )
        if end <= length:
            result[i] = 0, length
        elif begin >= size - length:
            result[i] = size - length, size
        else:
            raise DataError(
                f"{where}, segment '{split.clips[i].id}': its length is told as "
                f"{length}, but steps {begin} to {end - 1} are not zero. Padding at "
                "one end was expected; the file contradicts itself."
            )
    return result


def _extent(used: np.ndarray) -> tuple[int, int]:
    """Return the first used step and the one behind the last, (0, 0) for none."""
    places = np.flatnonzero(used)
    return (int(places[0]), int(places[-1]) + 1) if len(places) else (0, 0)
