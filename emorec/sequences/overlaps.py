"""Which rows touch which reference intervals, as mmsdk decides it.

Candidates are found by binary search; the rule and its rounding are those of
CMU-MultimodalSDK's ``mmdataset.align``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from emorec.sequences.csd import Rows

# Seconds; intervals that differ by less count as equal.
EPSILON = 1e-5
# Candidate pairs held at once; bounds memory when long rows overlap many words.
_BLOCK = 1 << 20


def sort_by_start(rows: Rows) -> Rows:
    """Sort rows by their start, equal starts in their order."""
    starts = rows.intervals[:, 0]
    if (starts[1:] >= starts[:-1]).all():
        return rows
    order = np.argsort(starts, kind="stable")
    return Rows(rows.intervals[order], rows.features[order])


def wide_enough(intervals: np.ndarray) -> np.ndarray:
    """Return the numbers of the reference rows that are longer than EPSILON."""
    lengths = np.abs(intervals[:, 0] - intervals[:, 1])
    return np.flatnonzero(~(lengths < EPSILON))


class Overlaps(NamedTuple):
    """Which rows touch which reference intervals.

    Attributes
    ----------
    numbers : (m,) int
        Reference rows that at least one row touches, ascending.
    edges : (m + 1,) int
        The pairs of reference row i are ``edges[i]:edges[i + 1]``.
    rows : (pairs,) int
        Touching rows, ascending within a reference row.
    clipped : (pairs, 2) float
        Their intervals, clipped to the reference.
    """

    numbers: np.ndarray
    edges: np.ndarray
    rows: np.ndarray
    clipped: np.ndarray

    def slices(self) -> Iterator[tuple[int, slice, slice | np.ndarray]]:
        """Yield number, pairs, and rows (a slice where they are adjacent)."""
        starts, stops = self.edges[:-1], self.edges[1:]
        first, last = self.rows[starts], self.rows[stops - 1]
        adjacent = last - first == stops - starts - 1
        for number, start, stop, low, high, simple in zip(
            self.numbers.tolist(),
            starts.tolist(),
            stops.tolist(),
            first.tolist(),
            last.tolist(),
            adjacent.tolist(),
            strict=True,
        ):
            chosen = slice(low, high + 1) if simple else self.rows[start:stop]
            yield number, slice(start, stop), chosen


def find_overlaps(reference: np.ndarray, intervals: np.ndarray) -> Overlaps:
    """Find the rows that touch each reference interval.

    Parameters
    ----------
    reference : (m, 2) float
        Intervals in seconds, in any order.
    intervals : (n, 2) float
        Intervals sorted by start; they may overlap one another.
    """
    numbers = wide_enough(reference)
    dtype = np.result_type(reference, intervals)
    parts = [
        (np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros((0, 2), dtype)),
    ]
    if len(numbers) and len(intervals):
        parts += _pairs(reference, numbers, intervals)
    owner, rows, clipped = (
        np.concatenate(arrays) for arrays in zip(*parts, strict=True)
    )
    edges = np.flatnonzero(np.diff(owner, prepend=-1, append=-1))
    # Without pairs prepend and append meet, and there is no edge at all.
    edges = edges if len(owner) else np.zeros(1, np.intp)
    return Overlaps(owner[edges[:-1]], edges, rows, clipped)


def _pairs(
    reference: np.ndarray, numbers: np.ndarray, intervals: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield blocks of (reference row, row, clipped interval), sorted by both rows."""
    starts, ends = intervals[:, 0], intervals[:, 1]
    # The candidates are found in double precision with a margin that covers the
    # rounding of the files' own precision, in which the rule itself is applied below.
    latest = float(np.abs(intervals).max(initial=np.abs(reference).max()))
    coarse = np.result_type(reference, intervals, np.float16).type
    margin = 2 * EPSILON + 4 * float(np.spacing(coarse(latest)))
    wanted = reference[numbers].astype(np.float64)
    low = np.searchsorted(
        np.maximum.accumulate(ends.astype(np.float64)), wanted[:, 0] - margin, "left"
    )
    high = np.searchsorted(starts.astype(np.float64), wanted[:, 1] + margin, "right")
    counts = np.maximum(high - low, 0)
    total = np.cumsum(counts)
    begin = 0
    while begin < len(numbers):
        done = total[begin] - counts[begin]
        stop = max(begin + 1, int(np.searchsorted(total, done + _BLOCK, "right")))
        block = slice(begin, stop)
        begin = stop
        owner = np.repeat(numbers[block], counts[block])
        offset = low[block] - (total[block] - counts[block] - done)
        row = np.repeat(offset, counts[block]) + np.arange(len(owner))
        start, end = starts[row], ends[row]
        least, most = reference[owner, 0], reference[owner, 1]
        touch = (most - start > -EPSILON) & (end - least > -EPSILON)
        clipped = np.stack([np.maximum(start, least), np.minimum(end, most)], axis=1)
        keep = touch & (np.abs(clipped[:, 0] - clipped[:, 1]) > EPSILON)
        yield owner[keep], row[keep], clipped[keep]
