"""Transcripts with times: subtitles (SubRip, WebVTT), tables, and CMU-MOSEI's own."""

from __future__ import annotations

import csv
import html
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from emorec.errors import DataError

SUFFIXES = frozenset((".srt", ".vtt", ".csv", ".tsv", ".txt"))
_TIME = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,3}))?")
_ARROW = "-->"
# <i>, <c.yellow>, <00:00:01.000> within a cue, and {\an8} of other programs.
_MARKUP = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")


class Cue(NamedTuple):
    """A stretch of speech: a sentence, a line, or a single word.

    Attributes
    ----------
    start, end : float
        Seconds; the end is no earlier than the start.
    text : str
        One line, not empty.
    """

    start: float
    end: float
    text: str


def read_transcript(path: str | Path) -> list[Cue]:
    """Read a transcript.

    Parameters
    ----------
    path : path
        ``.srt`` or ``.vtt``; a ``.csv`` or ``.tsv`` table with the columns ``start``
        and ``end`` in seconds and ``text`` or ``word``; or a ``.txt`` of lines
        ``id___number___start___end___text``, as CMU-MOSEI's are. UTF-8.

    Returns
    -------
    list of Cue
        In the order of their starts; cues without text are left out. May be empty.

    Raises
    ------
    DataError
        When the file is missing, is none of these, or a cue has no times or ends
        before it begins. The message names the line.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        raise DataError(
            f"{path}: expected a transcript as {', '.join(sorted(SUFFIXES))}."
        )
    try:
        # The mark that some editors begin a file with is no text.
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected UTF-8 ({error}).") from error
    read = {".csv": _table, ".tsv": _table, ".txt": _lines}.get(kind, _subtitles)
    cues = []
    for line, start, end, said in read(path, text):
        said = " ".join(said.split())
        if not (0 <= start < math.inf and start <= end < math.inf):
            raise DataError(
                f"{path}, line {line}: from {start:g} to {end:g} s; expected times "
                "from 0 on, the end after the start."
            )
        if said:
            cues.append(Cue(start, end, said))
    return sorted(cues, key=lambda cue: cue.start)


_Found = Iterator[tuple[int, float, float, str]]


def _subtitles(path: Path, text: str) -> _Found:
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        if _ARROW not in lines[at]:
            at += 1  # a number, a heading, a note
            continue
        first = at
        ends = lines[at].split(_ARROW)
        start, end = (_seconds(path, first + 1, part) for part in ends[:2])
        said = []
        at += 1
        while at < len(lines) and lines[at].strip() and _ARROW not in lines[at]:
            said.append(lines[at])
            at += 1
        yield first + 1, start, end, html.unescape(_MARKUP.sub("", " ".join(said)))


def _seconds(path: Path, line: int, text: str) -> float:
    # WebVTT has settings behind the second time.
    found = _TIME.match(text.strip())
    if not found:
        raise DataError(
            f"{path}, line {line}: expected a time as 00:00:01,500, found "
            f"{text.strip()[:40]!r}."
        )
    hours, minutes, seconds, fraction = found.groups()
    whole = 3600 * int(hours or 0) + 60 * int(minutes) + int(seconds)
    # As one decimal, so that a time is the same number as in a table.
    return float(f"{whole}.{fraction or 0}")


def _table(path: Path, text: str) -> _Found:
    kind = "," if path.suffix.lower() == ".csv" else "\t"
    rows = csv.DictReader(text.splitlines(), delimiter=kind)
    names = {(name or "").strip().lower(): name for name in rows.fieldnames or ()}
    said = names.get("text", names.get("word"))
    if said is None or not {"start", "end"} <= set(names):
        raise DataError(
            f"{path}: expected the columns start, end and text (or word), found "
            f"{', '.join(names) or 'nothing'}."
        )
    for row in rows:
        if None in row:
            raise DataError(
                f"{path}, line {rows.line_num}: more columns than names; a text with "
                "the separator in it stands in quotation marks."
            )
        try:
            start, end = (float(row[names[name]]) for name in ("start", "end"))
        except (TypeError, ValueError):
            raise DataError(
                f"{path}, line {rows.line_num}: expected start and end in seconds, "
                f"found {row[names['start']]!r} and {row[names['end']]!r}."
            ) from None
        yield rows.line_num, start, end, row[said] or ""


def _lines(path: Path, text: str) -> _Found:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        parts = line.split("___", 4)
        try:
            yield number, float(parts[2]), float(parts[3]), parts[4]
        except (IndexError, ValueError):
            raise DataError(
                f"{path}, line {number}: expected id___number___start___end___text, "
                f"found {line[:60]!r}. Transcripts without times cannot be aligned."
            ) from None
