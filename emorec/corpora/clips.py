"""Clips that a user names: video files, folders of frames, trees of either."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from emorec.errors import DataError, shorten
from emorec.features.video import IMAGE_SUFFIXES, VIDEO_SUFFIXES


class Clip(NamedTuple):
    """One clip.

    Attributes
    ----------
    id : str
        Its path below the folder that was named, with ``/``; of a single file or
        folder of frames, its name.
    path : Path
        A video file, or a folder of frames in the order of their names.
    """

    id: str
    path: Path


def find_clips(paths: Sequence[str | Path]) -> list[Clip]:
    """List the clips of paths in a fixed order.

    Parameters
    ----------
    paths : sequence of path
        A file is a clip whatever its suffix, also one that is not there: it fails
        when it is read. A folder with images is a clip. Any other folder is searched
        for video files (by suffix) and folders with images; links to folders are not
        followed.

    Raises
    ------
    DataError
        When a folder holds no clip, or two clips have one id.
    """
    clips: list[Clip] = []
    for path in map(Path, paths):
        # The name of "." is empty.
        name = path.name if path.name not in ("", "..") else path.resolve().name
        if not path.is_dir() or _has_images(os.listdir(path)):
            clips.append(Clip(name, path))
            continue
        found = _search(path)
        if not found:
            raise DataError(
                f"{path}: expected video files or folders of frames, found neither."
            )
        clips += found
    counts = Counter(clip.id for clip in clips)
    if twice := sorted(name for name, count in counts.items() if count > 1):
        raise DataError(
            f"Two clips have one name: {shorten(twice)}. Name the folder that holds "
            "both instead, so that their names differ by their folders."
        )
    return clips


def _has_images(names: Sequence[str]) -> bool:
    return any(
        os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES
        for name in names
        if not name.startswith(".")
    )


def _search(root: Path) -> list[Clip]:
    found = []
    for folder, inner, files in os.walk(root):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        if _has_images(files):
            found.append(Path(folder))
        found += [
            Path(folder, name)
            for name in files
            if os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES
            and not name.startswith(".")
        ]
    return [Clip(path.relative_to(root).as_posix(), path) for path in sorted(found)]
