"""Transcripts with times: subtitles (SubRip, WebVTT), tables, and CMU-MOSEI's own."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from pathlib import Path

from emorec.errors import DataError
from emorec.features.subtitles import Cue, read_subtitles, read_text

SUFFIXES = frozenset((".srt", ".vtt", ".csv", ".tsv", ".txt"))


def read_transcript(path: str | Path) -> list[Cue]:
    """Read a transcript.

    Parameters
    ----------
    path : path
        ``.srt`` or ``.vtt``; a ``.csv`` or ``.tsv`` table with the columns ``start``
        and ``end`` in seconds and ``text`` or ``word``; or a ``.txt`` of lines
        ``id___number___start___end___text``, as CMU-MOSEI's are.

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
    if kind in (".srt", ".vtt"):
        return [cue for cue in read_subtitles(path) if cue.text]
    read = _lines if kind == ".txt" else _table
    cues = []
    for line, start, end, said in read(path, read_text(path)):
        said = " ".join(said.split())
        if not (0 <= start < math.inf and start <= end < math.inf):
            raise DataError(
                f"{path}: line {line}: from {start:g} to {end:g} s; expected times "
                "from 0 on, the end after the start."
            )
        if said:
            cues.append(Cue(start, end, said))
    return sorted(cues, key=lambda cue: cue.start)


_Found = Iterator[tuple[int, float, float, str]]


def _table(path: Path, text: str) -> _Found:
    kind = "," if path.suffix.lower() == ".csv" else "\t"
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=kind)
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
                f"{path}: line {rows.line_num}: more columns than names; a text with "
                "the separator in it stands in quotation marks."
            )
        try:
            start, end = (float(row[names[name]]) for name in ("start", "end"))
        except (TypeError, ValueError):
            raise DataError(
                f"{path}: line {rows.line_num}: expected start and end in seconds, "
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
                f"{path}: line {number}: expected id___number___start___end___text, "
                f"found {line[:60]!r}. Transcripts without times cannot be aligned."
            ) from None
