"""The raw files of a corpus, by video: its film, its sound, its transcript."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from emorec.errors import DataError, shorten
from emorec.features.audio import AUDIO_SUFFIXES
from emorec.features.transcripts import SUFFIXES
from emorec.features.video import VIDEO_SUFFIXES


class Recorded(NamedTuple):
    """What there is of one video of a corpus.

    Attributes
    ----------
    id : str
        The files' name without suffix, by which labels and folds call the video.
    video, sound, transcript : Path or None
        The sound is a file of its own or, where there is none, the video.
    """

    id: str
    video: Path | None = None
    sound: Path | None = None
    transcript: Path | None = None


def find_recorded(paths: Sequence[str | Path]) -> list[Recorded]:
    """Find the videos of a corpus.

    Parameters
    ----------
    paths : sequence of path
        Files, or folders that are searched with all that is below them. Files of one
        name belong to one video, wherever they lie.

    Returns
    -------
    list of Recorded
        In the order of their ids. A transcript alone is no video, unless nothing else
        was found at all.

    Raises
    ------
    DataError
        When there is none, a video has two files of one kind, or a name cannot be that
        of a video (with ``[`` or ``/``).
    """
    found: dict[str, dict[str, list[Path]]] = {}
    for path in _files(paths):
        kind = _kind(path)
        if kind is not None:
            found.setdefault(path.stem, {}).setdefault(kind, []).append(path)
    # A folder may hold tables and texts that are no transcripts.
    media = {name: own for name, own in found.items() if own.keys() - {"transcript"}}
    found = media or found
    for name, own in found.items():
        for kind, files in own.items():
            if len(files) > 1:
                raise DataError(
                    f"{files[0]} and {files[1]} are both the {kind} of '{name}'. Name "
                    "the folder of one of them only; the segments of a video are not "
                    "videos of their own."
                )
    if bad := [name for name in found if "[" in name or not name.strip(".")]:
        raise DataError(
            f"Names that no video can have: {shorten(bad)}. Rename the files; '[' "
            "divides a video's name from the number of a segment."
        )
    if not found:
        raise DataError(
            f"{', '.join(map(str, paths))}: no videos, sounds or transcripts found."
        )
    recorded = []
    for name, own in sorted(found.items()):
        (video,), (sound,), (said,) = (
            own.get(kind, [None]) for kind in ("video", "sound", "transcript")
        )
        recorded.append(Recorded(name, video, sound or video, said))
    return recorded


def _kind(path: Path) -> str | None:
    suffix = path.suffix.lower()
    kinds = {"video": VIDEO_SUFFIXES, "sound": AUDIO_SUFFIXES, "transcript": SUFFIXES}
    return next((kind for kind, known in kinds.items() if suffix in known), None)


def _files(paths: Sequence[str | Path]) -> Iterator[Path]:
    for path in map(Path, paths):
        if path.is_file():
            yield path
        elif not path.is_dir():
            raise DataError(f"{path}: no such file or folder.")
        for folder, inner, names in os.walk(path):
            inner[:] = sorted(name for name in inner if not name.startswith("."))
            yield from (Path(folder, name) for name in sorted(names) if name[0] != ".")
