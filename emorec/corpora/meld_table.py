"""MELD's csv files: one utterance a row, checked field by field.

Poria et al. (2019), "MELD: A Multimodal Multi-Party Dataset for Emotion Recognition in
Conversations".
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import NamedTuple

from emorec.errors import DataError, shorten
from emorec.labels import MELD_ALPHABETICAL

COLUMNS = (
    "Utterance",
    "Speaker",
    "Emotion",
    "Sentiment",
    "Dialogue_ID",
    "Utterance_ID",
    "Season",
    "Episode",
    "StartTime",
    "EndTime",
)
SENTIMENTS = ("negative", "neutral", "positive")
# Some rows of the official files have hours of one digit.
_TIME = re.compile(r"\d{1,2}:\d\d:\d\d,\d{1,3}")


# Windows-1252 has apostrophes, dashes and others where Unicode has control characters.
_CONTROL = re.compile("[\x80-\x9f]")


class Row(NamedTuple):
    """One utterance as its csv file has it.

    Attributes
    ----------
    line : int
        Of the file, where the row ends; the header is line 1.
    dialogue, number : int
        Dialogue_ID and Utterance_ID.
    utterance, speaker : str
        Without spaces around them; the utterance may be empty.
    emotion : int
        Column of `labels.MELD_ALPHABETICAL`.
    sentiment : str
        negative, neutral or positive.
    season, episode : int
    start, end : str
        ``hh:mm:ss,ms``, hours of one or two digits.
    """

    line: int
    dialogue: int
    number: int
    utterance: str
    speaker: str
    emotion: int
    sentiment: str
    season: int
    episode: int
    start: str
    end: str


def read_rows(path: Path) -> tuple[list[Row], list[str]]:
    """Read one csv file.

    Returns
    -------
    rows : list of Row
        In the order of Dialogue_ID and Utterance_ID.
    notices : list of str
        What was read otherwise than it stands there.

    Raises
    ------
    DataError
        When the file is missing, of another encoding, lacks a column or a field, has
        an unknown class, a number or time that is none, or one key twice.
    """
    text, notices = _decode(path)
    lines = csv.reader(io.StringIO(text, newline=""))
    rows: list[Row] = []
    seen: dict[tuple[int, int], int] = {}
    try:
        header = [name.strip() for name in next(lines, [])]
        missing = [name for name in COLUMNS if name not in header]
        if missing:
            raise DataError(
                f"{path}: expected the columns {', '.join(COLUMNS)}; missing: "
                f"{', '.join(missing)}; found: {shorten(header, 12) or 'none'}."
            )
        for fields in lines:
            if any(fields):
                rows.append(_parse(path, lines.line_num, header, fields))
    except csv.Error as error:
        raise DataError(
            f"{path}, line {lines.line_num}: expected a CSV table ({error})."
        ) from error
    for row in rows:
        key = (row.dialogue, row.number)
        if key in seen:
            raise DataError(
                f"{path}, line {row.line}: a second dia{key[0]}_utt{key[1]}; the first "
                f"is in line {seen[key]}. Expected each Utterance_ID once in a "
                "dialogue; take the file as it was published."
            )
        seen[key] = row.line
    if not rows:
        raise DataError(f"{path}: expected utterances below the header, found none.")
    return sorted(rows, key=lambda row: (row.dialogue, row.number)), notices


def _decode(path: Path) -> tuple[str, list[str]]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    notices = []
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            text = content.decode("cp1252")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}: expected text in UTF-8 (or Windows-1252), but {error}. Fetch "
                "it anew, or convert it."
            ) from error
        notices.append("not in UTF-8; read as Windows-1252")
    # Early copies took Windows-1252 for Latin-1 and hold U+0092 where the published
    # files have an apostrophe, U+2019. In text these characters mean nothing else.
    text, count = _CONTROL.subn(_meant, text)
    if count:
        notices.append(
            f"{count:,} control characters, as U+0092, read as the apostrophes and "
            "dashes that Windows-1252 has there"
        )
    return text, notices


def _meant(found: re.Match[str]) -> str:
    return bytes([ord(found[0])]).decode("cp1252", "ignore")


def _parse(path: Path, line: int, header: list[str], fields: list[str]) -> Row:
    where = f"{path}, line {line}"
    if len(fields) != len(header):
        raise DataError(
            f"{where}: expected {len(header)} fields as in the header, found "
            f"{len(fields)}. A comma in an utterance needs quotes around it."
        )
    found = {name: field.strip() for name, field in zip(header, fields, strict=True)}

    def whole(column: str) -> int:
        value = found[column]
        if not (value.isascii() and value.isdigit()):
            raise DataError(f"{where}: {column} '{value}': expected a whole number.")
        return int(value)

    def one_of(column: str, words: tuple[str, ...]) -> str:
        word = found[column].lower()
        if word not in words:
            raise DataError(
                f"{where}: {column} '{found[column]}': expected {', '.join(words)}."
            )
        return word

    def time(column: str) -> str:
        if not _TIME.fullmatch(found[column]):
            raise DataError(
                f"{where}: {column} '{found[column]}': expected a time as 00:16:16,059."
            )
        return found[column]

    emotion = one_of("Emotion", MELD_ALPHABETICAL.labels)
    return Row(
        line,
        whole("Dialogue_ID"),
        whole("Utterance_ID"),
        found["Utterance"],
        found["Speaker"],
        MELD_ALPHABETICAL.index(emotion),
        one_of("Sentiment", SENTIMENTS),
        whole("Season"),
        whole("Episode"),
        time("StartTime"),
        time("EndTime"),
    )
