"""Where the files of MELD lie: tables, videos and sounds, as published or unpacked."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from emorec.errors import DataError
from emorec.features.audio import AUDIO_SUFFIXES
from emorec.features.video import VIDEO_SUFFIXES
from emorec.files import whole_file

RAW = "MELD.Raw"
# Lies in the folder of a miniature.
MARK = "SYNTHETIC"
AUDIO, VIDEO = "audio", "video"
VIDEO_FOLDERS = {
    "train": "train_splits",
    "dev": "dev_splits_complete",
    "test": "output_repeated_splits_test",
}
SPLITS = tuple(VIDEO_FOLDERS)
# Of several sounds of one utterance the first of these is taken.
_PREFERRED = (".wav", ".flac", ".mp3")


def table_name(split: str) -> str:
    """Return the name of a split's csv file."""
    return f"{split}_sent_emo.csv"


def find_table(folder: Path, split: str) -> Path:
    """Find a split's csv file in the folder or in MELD.Raw's or the project's layout.

    Raises
    ------
    DataError
        When it is nowhere, with the places looked at.
    """
    places = [
        inner
        for root in (folder, folder / RAW)
        for inner in (root, root / split, root / "data" / "MELD")
    ]
    for place in places:
        if (path := place / table_name(split)).is_file():
            return path
    raise DataError(
        f"{folder}: expected {table_name(split)} in it, in {split}/, data/MELD/ or "
        f"{RAW}/. The csv files come with MELD.Raw.tar.gz and in the folder data/MELD "
        "of the project declare-lab/MELD."
    )


def copy_tables(folder: Path, output: Path) -> None:
    """Copy the csv files, and the mark of a miniature, to another folder.

    Raises
    ------
    DataError
        When that folder has others, or cannot be written.
    """
    sources = {find_table(folder, split) for split in SPLITS}
    if (folder / MARK).is_file():
        sources.add(folder / MARK)
    for source in sorted(sources):
        content, target = source.read_bytes(), output / source.name
        if not target.is_file():
            with whole_file(target) as temporary:
                temporary.write_bytes(content)
        elif target.read_bytes() != content:
            raise DataError(
                f"{target}: differs from {source}. Choose another --output."
            )


def media_folders(folder: Path, split: str, kind: str) -> list[Path]:
    """Return the folders that may hold a split's files of a kind and exist."""
    roots = (folder, folder / RAW)
    if kind == AUDIO:
        places = [root / AUDIO / split for root in roots]
    else:
        name = VIDEO_FOLDERS[split]
        places = [root / inner for root in roots for inner in (f"{split}/{name}", name)]
    return [place for place in places if place.is_dir()]


def find_media(folders: Iterable[Path], kind: str) -> dict[str, Path]:
    """Return {name without suffix: file} of what lies in folders, not below them.

    Of several files of one name the first folder's is taken, and in one folder wav,
    then flac, then mp3, then the others by suffix.
    """
    suffixes = AUDIO_SUFFIXES if kind == AUDIO else VIDEO_SUFFIXES
    found: dict[str, Path] = {}
    for folder in folders:
        own = []
        for entry in os.scandir(folder):
            suffix = os.path.splitext(entry.name)[1].lower()
            # Archives made on a Mac hold ._ files beside the real ones.
            if suffix in suffixes and not entry.name.startswith("."):
                own.append((_rank(suffix), suffix, entry.name))
        for _, _, name in sorted(own):
            found.setdefault(os.path.splitext(name)[0], folder / name)
    return found


def _rank(suffix: str) -> int:
    return _PREFERRED.index(suffix) if suffix in _PREFERRED else len(_PREFERRED)
