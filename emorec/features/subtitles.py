"""Subtitles: SubRip and WebVTT."""

from __future__ import annotations

import codecs
import html
import re
from html.entities import html5
from pathlib import Path
from typing import NamedTuple

from emorec.errors import DataError

_LINES = re.compile(r"\r\n|\r|\n")
_BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_BINARY = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
# A line that is meant to say times, well written or not.
_TIMES = re.compile(r"\s*-?\d+:[\d:.,]*\s*-+>")
_TIME = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2})(?:[.,](\d+))?")
_NUMBER = re.compile(r"\s*\d+\s*")
_COMMENTS = re.compile(r"(?:NOTE|STYLE|REGION)(?:[ \t].*)?")
_SPEAKER = re.compile(r"<v(?:\.[^\s<>]*)*[ \t]+([^<>]*)>")
_TAGS = re.compile(
    r"</?(?:[bcisuv]|lang|ruby|rt|font)(?:[.\s][^<>]*)?>|<[\d:.]+>|\{\\[^{}]*\}",
    re.IGNORECASE,
)
_ENTITY = re.compile(r"&(?:#\d+|#[xX][0-9a-fA-F]+|[a-zA-Z][a-zA-Z0-9]*);")


class _Line(NamedTuple):
    number: int
    text: str

    @property
    def empty(self) -> bool:
        return not self.text.strip()


class Cue(NamedTuple):
    """A stretch of speech: a sentence, a line, or a single word.

    Attributes
    ----------
    start, end : float
        Seconds; the end is no earlier than the start.
    text : str
        One line; empty where a cue has no words.
    speaker : str
        Who says it; empty where that is unknown.
    """

    start: float
    end: float
    text: str = ""
    speaker: str = ""


def read_subtitles(path: str | Path) -> list[Cue]:
    """Read subtitles.

    They are read as players read them: hours may be left out, a point may stand
    for a comma, empty lines may be missing or stand inside a text, what follows the
    times in their line is left aside, and cues may overlap. Tags are taken out and
    entities resolved; who speaks, ``<v Name>``, is the cue's speaker. What would lose
    words or times is refused with its line.

    Parameters
    ----------
    path : path
        ``.srt`` or ``.vtt``, in UTF-8, or in UTF-16 with a byte order mark.

    Returns
    -------
    list of Cue
        One or more, in the order of their beginnings.

    Raises
    ------
    DataError
        When the file is missing, empty, binary, in another encoding, without cues, or
        has times that are negative, reversed or badly written.
    """
    path = Path(path)
    text = read_text(path)
    lines = [_Line(n, line) for n, line in enumerate(_LINES.split(text), 1)]
    if lines[0].text.split()[:1] == ["WEBVTT"]:
        cues = _web_cues(path, lines)
    elif path.suffix.lower() == ".vtt":
        raise DataError(
            f"{path}: line 1: expected WEBVTT, received {_shown(lines[0])}."
        )
    else:
        cues = _cues(path, lines)
    found = [_cue(path, *cue) for cue in cues]
    if not found:
        raise DataError(
            f"{path}: expected cues like 00:00:01,000 --> 00:00:02,500 with a text, "
            "found none."
        )
    return sorted(found, key=lambda cue: (cue.start, cue.end))


def read_text(path: Path) -> str:
    """Read a text in UTF-8, or in UTF-16 with a byte order mark; refuse an empty one.

    Raises
    ------
    DataError
        When the file is missing, empty, binary or in another encoding.
    """
    text = _decoded(path)
    if not text.strip():
        raise DataError(f"{path}: the file is empty; expected what was said.")
    return text


def _decoded(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    marked = [name for mark, name in _BOMS.items() if content.startswith(mark)]
    if content.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        marked = []
    encoding = marked[0] if marked else "utf-8"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path}: line {line}: expected text in UTF-8 (or UTF-16 with a byte order "
            f"mark), but {error.reason} at byte {error.start}. Save it as UTF-8."
        ) from error
    if found := _BINARY.search(text):
        line = len(_LINES.findall(text, 0, found.start())) + 1
        raise DataError(
            f"{path}: line {line}: expected text, found the control character "
            f"{found.group()!r}: a binary file, or UTF-16 without a byte order mark. "
            "Save it as UTF-8."
        )
    return text


def _web_cues(path: Path, lines: list[_Line]):
    """Yield line of times, and text, of WebVTT, whose other blocks are left aside."""
    kept: list[_Line] = []
    blocks = _blocks(lines)
    # The first one is the head, with anything in it; times mean that none ends it.
    head = next(blocks)[1:]
    for n, line in enumerate(head):
        if "-->" in line.text:
            kept += head[max(0, n - 1) :] if n and _is_number(head[n - 1]) else head[n:]
            break
    for block in blocks:
        if _COMMENTS.fullmatch(block[0].text):
            continue
        times = [n for n, line in enumerate(block) if "-->" in line.text]
        if times[:1] not in ([0], [1]):
            raise DataError(
                f"{path}: line {block[0].number}: expected times, as 00:01.000 --> "
                f"00:02.500, received {_shown(block[0])}."
            )
        kept += [*block[times[0] :], _Line(block[-1].number + 1, "")]
    yield from _cues(path, kept, web=True)


def _blocks(lines: list[_Line]):
    """Yield runs of lines that are not empty."""
    block: list[_Line] = []
    for line in [*lines, _Line(0, "")]:
        if not line.empty:
            block.append(line)
        elif block:
            yield block
            block = []


def _cues(path: Path, lines: list[_Line], web: bool = False):
    """Yield the line of times, and the lines of text, of each cue."""

    def has_times(line: _Line) -> bool:
        return bool(_TIMES.match(line.text)) or (web and "-->" in line.text)

    times: _Line | None = None
    said: list[_Line] = []
    for n, line in enumerate(lines):
        after = lines[n + 1] if n + 1 < len(lines) else _Line(0, "")
        if has_times(line):
            if times is not None:
                yield times, said
            times, said = line, []
        elif _is_number(line) and has_times(after):
            pass  # the cue's number
        elif line.empty:
            continue
        elif not web and _is_number(line) and (n == 0 or lines[n - 1].empty):
            # Words in a paragraph of their own are the cue's; a number is none.
            if after.empty or times is None:
                raise DataError(
                    f"{path}: line {line.number}: the number {line.text.strip()} of a "
                    "cue, but no times behind it."
                )
            said.append(line)
        elif times is None:
            raise DataError(
                f"{path}: line {line.number}: expected a cue's number or its times, as "
                f"00:00:01,000 --> 00:00:02,500, received {_shown(line)}."
            )
        else:
            said.append(line)
    if times is not None:
        yield times, said


def _is_number(line: _Line) -> bool:
    return _NUMBER.fullmatch(line.text) is not None


def _cue(path: Path, times: _Line, said: list[_Line]) -> Cue:
    where = f"{path}: line {times.number}"
    first, arrow, rest = times.text.partition("-->")
    ends = [first.strip(), (rest.split() or [""])[0]]
    if any(end.startswith("-") for end in ends):
        raise DataError(f"{where}: times below 0: {_shown(times)}.")
    found = [_TIME.fullmatch(end) for end in ends]
    if not arrow or None in found:
        raise DataError(
            f"{where}: expected times as 00:00:01,000 --> 00:00:02,500, received "
            f"{_shown(times)}."
        )
    start, end = (_seconds(where, *match.groups()) for match in found)
    if end <= start:
        raise DataError(
            f"{where}: expected an end later than the beginning, received "
            f"{_shown(times)}."
        )
    text = " ".join(line.text for line in said)
    speakers = {" ".join(_resolved(name).split()) for name in _SPEAKER.findall(text)}
    text = " ".join(_resolved(_TAGS.sub("", text)).split())
    return Cue(start, end, text, speakers.pop() if len(speakers) == 1 else "")


def _seconds(
    where: str, hours: str | None, minutes: str, seconds: str, part: str | None
) -> float:
    if part is not None and len(part) != 3:
        # Some players take ,5 for half a second, others for 5 ms.
        raise DataError(
            f"{where}: expected three digits behind the comma, received {part}."
        )
    if int(minutes) > 59 or int(seconds) > 59:
        raise DataError(f"{where}: expected minutes and seconds up to 59.")
    whole = 3600 * int(hours or 0) + 60 * int(minutes) + int(seconds)
    return (1000 * whole + int(part or 0)) / 1000


def _resolved(text: str) -> str:
    def character(found: re.Match[str]) -> str:
        name = found.group()[1:]
        # Of unknown names html.unescape would take the beginning for a known one.
        known = name.startswith("#") or name in html5
        return html.unescape(found.group()) if known else found.group()

    return _ENTITY.sub(character, text)


def _shown(line: _Line) -> str:
    return repr(line.text.strip()[:60])
