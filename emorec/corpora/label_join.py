"""Finding the labelled segment of a clip that other programs numbered.

MMSA numbers the clips of a video by their place among all utterances, of which CMU
labelled some: numbers have gaps and say nothing alone. In the order of their numbers
the clips of a video stand as its segments do in the order of their starts, and both
carry the sentiment, which tells whether that is so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from emorec.corpora import mosei
from emorec.errors import DataError
from emorec.labels import MOSEI_ALL
from emorec.sequences.csd import Rows, open_sequence

# Scores are means of few annotators, at least 1/6 apart; some files round them to one
# decimal.
ROUNDING = 0.06
# Seconds between two copies of the same time.
_SAME_TIME = 0.05
_ID = re.compile(r"(?P<video>.+?)(?:\$_\$(?P<clip>\d+)|\[(?P<row>\d+)\])")


class Clip(NamedTuple):
    """One segment as another program names it.

    Attributes
    ----------
    id : str
        The name in its file.
    video : str
        Which video it is of.
    number : int or None
        Its place among the utterances, with gaps.
    row : int or None
        Its row in the label file.
    start : float or None
        When it begins, in seconds.
    """

    id: str
    video: str
    number: int | None = None
    row: int | None = None
    start: float | None = None


@dataclass
class Joined:
    """The outcome of `join`.

    Attributes
    ----------
    rows : list of int or None
        Of each clip, its row in the label file, None where it has none.
    findings : list of dict
        One per clip without a row: segment, reason, scores of both files, and whether
        these contradict.
    """

    rows: list[int | None]
    findings: list[dict[str, Any]] = field(default_factory=list)


def parse_id(name: Any, where: str) -> Clip:
    """Read ``video$_$clip`` (MMSA), ``video[row]``, or [video, start, end].

    Raises
    ------
    DataError
        When it is none of these.
    """
    if isinstance(name, (list, tuple, np.ndarray)) and len(name) == 3:
        video, start = _text(name[0]), _text(name[1])
        try:
            return Clip(f"{video} {start}", video, start=float(start))
        except ValueError:
            pass
    else:
        match = _ID.fullmatch(_text(name))
        if match:
            clip, row = match["clip"], match["row"]
            return Clip(
                _text(name),
                match["video"],
                None if clip is None else int(clip),
                None if row is None else int(row),
            )
    raise DataError(
        f"{where}: expected ids like video$_$3, video[3] or [video, start, end], "
        f"received '{name}'."
    )


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def read_labels(path: str | Path) -> dict[str, Rows]:
    """Read a label file, .csd or table: video -> rows of the seven scores, as stored.

    Raises
    ------
    DataError
        When it is damaged or has no sentiment, without which no join can be checked.
    """
    path = Path(path)
    if path.suffix != ".csd":
        table = mosei.read_labels_table(path)
        return {
            str(video): Rows(
                rows[["start", "end"]].to_numpy(np.float64),
                rows[list(MOSEI_ALL.labels)].to_numpy(np.float32),
            )
            for video, rows in table.groupby("id", sort=False)
        }
    sequence = open_sequence(path)
    emotions = mosei.label_columns(sequence)
    if "sentiment" not in emotions.source.labels:
        raise DataError(
            f"{path}: expected the sentiment beside the six emotions, as 'All Labels' "
            "has it; without it nothing tells whether a clip is a segment."
        )
    sentiment = emotions.source.index("sentiment")
    result = {}
    for video in sequence.videos:
        intervals, scores = sequence.read_video(video)
        scores = np.column_stack([scores[:, sentiment], emotions.apply(scores)])
        result[video] = Rows(intervals, scores.astype(np.float32))
    return result


def join(
    clips: Sequence[Clip],
    scores: np.ndarray,
    columns: Sequence[int],
    labels: Mapping[str, Rows],
) -> Joined:
    """Find the row of the label file of every clip.

    Parameters
    ----------
    clips : sequence of Clip
        In any order.
    scores : (n, k) float
        Scores that the clips carry.
    columns : sequence of int
        The k columns of `MOSEI_ALL` that these are.
    labels : mapping
        From `read_labels`.
    """
    result = Joined([None] * len(clips))
    by_video: dict[str, list[int]] = {}
    for i, clip in enumerate(clips):
        by_video.setdefault(clip.video, []).append(i)
    for video, members in by_video.items():
        if video not in labels:
            for i in members:
                _find(result, clips[i], scores[i], "video not in the labels")
            continue
        intervals, known = labels[video]
        known = known[:, list(columns)]
        if clips[members[0]].number is not None:
            members.sort(key=lambda i: clips[i].number)
            _join_in_order(result, clips, scores, members, intervals, known)
            continue
        for i in members:
            row = clips[i].row
            if clips[i].start is not None:
                near = np.abs(intervals[:, 0] - clips[i].start) < _SAME_TIME
                row = int(np.argmax(near)) if near.any() else None
            if row is None or row >= len(known):
                _find(result, clips[i], scores[i], "no such segment in the labels")
            else:
                _accept(result, clips, scores, i, row, known)
    return result


def _join_in_order(
    result: Joined,
    clips: Sequence[Clip],
    scores: np.ndarray,
    members: list[int],
    intervals: np.ndarray,
    known: np.ndarray,
) -> None:
    """Join the clips of a video, in the order of their numbers, to its segments."""
    order = np.lexsort((intervals[:, 1], intervals[:, 0]))
    if len(members) == len(order):
        for i, row in zip(members, order, strict=True):
            _accept(result, clips, scores, i, int(row), known)
        return
    if len(members) > len(order):
        reason = f"{len(members)} clips of a video with {len(order)} segments"
        for i in members:
            _find(result, clips[i], scores[i], reason)
        return
    # Some segments have no clip. A clip has one place only where it has the same in the
    # earliest and in the latest of all ways to fit the scores in order.
    fits = np.array([[_agree(scores[i], known[row]) for row in order] for i in members])
    first = _earliest(fits)
    if first is None:
        reason = "no order of segments has these scores"
        for i in members:
            _find(result, clips[i], scores[i], reason, contradicts=True)
        return
    last = [len(order) - 1 - k for k in reversed(_earliest(fits[::-1, ::-1]))]
    for i, early, late in zip(members, first, last, strict=True):
        if early == late:
            result.rows[i] = int(order[early])
        else:
            _find(result, clips[i], scores[i], "more than one segment fits")


def _earliest(fits: np.ndarray) -> list[int] | None:
    """Return the first way to put rows (clips) on columns (segments) in order."""
    places, column = [], 0
    for row in fits:
        free = np.flatnonzero(row[column:])
        if not len(free):
            return None
        column += int(free[0]) + 1
        places.append(column - 1)
    return places


def _agree(mine: np.ndarray, theirs: np.ndarray) -> bool:
    return bool((np.abs(mine - theirs) <= ROUNDING).all())


def _accept(
    result: Joined,
    clips: Sequence[Clip],
    scores: np.ndarray,
    i: int,
    row: int,
    known: np.ndarray,
) -> None:
    if _agree(scores[i], known[row]):
        result.rows[i] = row
        return
    reason = f"its scores are not those of row {row}"
    _find(result, clips[i], scores[i], reason, known[row], contradicts=True)


def _find(
    result: Joined,
    clip: Clip,
    scores: np.ndarray,
    reason: str,
    known: Sequence[float] = (),
    contradicts: bool = False,
) -> None:
    result.findings.append(
        {
            "segment": clip.id,
            "reason": reason,
            "scores": " ".join(f"{score:g}" for score in scores),
            "label_file": " ".join(f"{score:g}" for score in known),
            "contradicts": contradicts,
        }
    )
