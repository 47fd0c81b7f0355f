"""The recordings that a user names: media files, transcripts, folders, a list."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from emorec.errors import DataError, shorten
from emorec.features.video import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from emorec.prediction.media import SOUND_SUFFIXES, look_into
from emorec.prediction.recordings import Recording, Span
from emorec.prediction.transcripts import read_transcript

TEXT_SUFFIXES = (".srt", ".vtt", ".txt")
LIST_SUFFIX = ".csv"
COLUMNS = ("id", "video", "sound", "text")


@dataclass(frozen=True)
class Named:
    """Files that belong to one recording, not looked into yet.

    Attributes
    ----------
    id : str
        A name for its results, below a folder with ``/``.
    media : Path or None
        A video or sound file, or a folder of frames; its sound is heard unless
        `sound` is there.
    sound : Path or None
        A file with the sound.
    text : Path or None
        A transcript.
    """

    id: str
    media: Path | None = None
    sound: Path | None = None
    text: Path | None = None


def find_recordings(paths: Sequence[str | Path]) -> list[Named]:
    """List the recordings of paths in a fixed order.

    Parameters
    ----------
    paths : sequence of path
        A media file; a transcript; a folder of frames; another folder, searched for
        media files and for transcripts that belong to none; or a table ``.csv`` with
        the columns ``video``, ``sound`` and ``text``, one or more of them filled in a
        row, and ``id``, if wanted. Paths in a table are relative to it. A transcript
        with the name of a media file and beside it belongs to it.

    Raises
    ------
    DataError
        When a folder holds nothing, a table cannot be read, or two recordings have
        one id.
    """
    found: list[Named] = []
    for path in map(Path, paths):
        if path.suffix.lower() == LIST_SUFFIX:
            found += _listed(path)
        elif path.is_dir() and not _has_images(path):
            found += _inside(path)
        else:
            found.append(_single(path, PurePosixPath(path.resolve().name)))
    found = _without_suffixes(found)
    counts = Counter(each.id for each in found)
    if twice := sorted(name for name, count in counts.items() if count > 1):
        raise DataError(
            f"Two recordings have one name: {shorten(twice)}. Name the folder that "
            "holds both instead, or give a table with a column id."
        )
    return found


def open_recording(named: Named) -> Recording:
    """Look into a recording's files.

    Raises
    ------
    DataError
        When one of them is missing, damaged or of another kind.
    """
    video = sound = None
    duration = 0.0
    if named.media is not None:
        holds = look_into(named.media)
        video = named.media if holds.video else None
        sound = named.media if holds.sound else None
        duration = holds.duration
    if named.sound is not None:
        holds = look_into(named.sound)
        if not holds.sound:
            raise DataError(f"{named.sound}: expected a sound, but it holds none.")
        sound, duration = named.sound, max(duration, holds.duration)
    cues: tuple[Span, ...] = ()
    if named.text is not None:
        cues = read_transcript(named.text, duration or None)
    duration = duration or max(cue.end for cue in cues)
    return Recording(named.id, video, sound, cues, duration)


def _listed(path: Path) -> list[Named]:
    """Return the rows of a table."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected a CSV table ({error}).") from error
    unknown = [name for name in table if name not in COLUMNS]
    if unknown or not set(table) & set(COLUMNS[1:]):
        raise DataError(
            f"{path}: expected columns of {', '.join(COLUMNS)}, one of the last three "
            f"at least; received {', '.join(map(str, table)) or 'none'}."
        )
    found = []
    for number, row in enumerate(table.to_dict("records"), 2):
        files = [
            path.parent / row[name] if row.get(name) else None for name in COLUMNS[1:]
        ]
        if not any(files):
            raise DataError(f"{path}: line {number} names no file.")
        first = next(file for file in files if file)
        name = row.get("id") or first.name
        if ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute():
            raise DataError(
                f"{path}: line {number}: id {name!r}: expected the name of a file "
                "below a folder."
            )
        found.append(Named(name, *files))
    if not found:
        raise DataError(f"{path}: lists no recording.")
    return found


def _inside(folder: Path) -> list[Named]:
    """Return the recordings below a folder."""
    found: list[Named] = []
    for place, inner, files in os.walk(folder):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        here = [Path(place, name) for name in sorted(files) if name[0] != "."]
        if Path(place) != folder and _has_images(Path(place)):
            found.append(_single(Path(place), _below(Path(place), folder)))
            continue
        media = [path for path in here if path.suffix.lower() in _MEDIA]
        mine = [_single(path, _below(path, folder)) for path in media]
        taken = {each.text for each in mine}
        mine += [
            _single(path, _below(path, folder))
            for path in here
            if path.suffix.lower() in TEXT_SUFFIXES and path not in taken
        ]
        found += sorted(mine, key=lambda each: each.id)
    if not found:
        raise DataError(
            f"{folder}: expected videos, sounds, transcripts or folders of frames, "
            "found none."
        )
    return found


_MEDIA = VIDEO_SUFFIXES | SOUND_SUFFIXES


def _below(path: Path, folder: Path) -> PurePosixPath:
    return PurePosixPath(path.relative_to(folder).as_posix())


def _single(path: Path, name: PurePosixPath) -> Named:
    """Return the recording of one file, with the transcript that lies beside it."""
    if path.suffix.lower() in TEXT_SUFFIXES:
        return Named(str(name), text=path)
    beside = (path.with_suffix(suffix) for suffix in TEXT_SUFFIXES)
    return Named(
        str(name), path, text=next((text for text in beside if text.is_file()), None)
    )


def _without_suffixes(found: list[Named]) -> list[Named]:
    """Take the suffixes off ids that stay distinct without them."""

    def short(name: str) -> str:
        pure = PurePosixPath(name)
        known = pure.suffix.lower() in {*_MEDIA, *TEXT_SUFFIXES}
        return str(pure.with_suffix("")) if known else name

    counts = Counter(short(each.id) for each in found)
    return [
        Named(
            short(e.id) if counts[short(e.id)] == 1 else e.id, e.media, e.sound, e.text
        )
        for e in found
    ]


def _has_images(folder: Path) -> bool:
    return folder.is_dir() and any(_images(folder))


def _images(folder: Path) -> Iterator[str]:
    return (
        name
        for name in os.listdir(folder)
        if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES and name[0] != "."
    )
