"""Clips of people seen and heard, each with one class, a speaker and a split.

Splits are by speaker and are given, never drawn: a network that has seen a speaker in
training knows the person, so a random split states an accuracy that nobody new gets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from emorec.errors import DataError, shorten
from emorec.labels import LabelSchema

SPLITS = ("train", "valid", "test")
# Other words for them in the field.
_WORDS = {"training": "train", "validation": "valid", "dev": "valid", "testing": "test"}
REPORT = ("clip", "left_out", "reason")


@dataclass(frozen=True)
class AvClips:
    """N clips with their files; a modality that a clip lacks has no path.

    Attributes
    ----------
    dataset : str
        Name of the corpus.
    schema : LabelSchema
        The classes, kind "single".
    ids : list of str
        Unique; may hold ``/``.
    video, audio : list of (Path or None)
        Files before preparation (a video may be the audio, too: then its own sound is
        meant) or after it. Not both None.
    classes : (N,) int
        Column of `schema`.
    speakers : (N,) text
        Empty where it is unknown.
    intensity : (N,) int
        1 normal, 2 strong, 0 unknown.
    split : (N,) text
        train, valid or test.
    report : DataFrame
        What is left out, lacks a modality or looks wrong: clip, left_out, reason.
    """

    dataset: str
    schema: LabelSchema
    ids: list[str]
    video: list[Path | None]
    audio: list[Path | None]
    classes: np.ndarray
    speakers: np.ndarray
    intensity: np.ndarray
    split: np.ndarray
    report: pd.DataFrame

    def __len__(self) -> int:
        return len(self.ids)

    def only(self, chosen: np.ndarray) -> AvClips:
        """Return the clips that `chosen`, a mask or numbers, picks, in its order."""
        numbers = np.arange(len(self))[chosen]
        arrays = ("classes", "speakers", "intensity", "split")
        lists = ("ids", "video", "audio")
        return replace(
            self,
            **{name: getattr(self, name)[numbers] for name in arrays},
            **{name: [getattr(self, name)[n] for n in numbers] for name in lists},
        )

    def with_split(self, split: Sequence[str]) -> AvClips:
        """Return the clips with another split.

        Raises
        ------
        DataError
            When a speaker is in two parts.
        """
        split = np.array(split, dtype=str)
        check_split(self.speakers, split, self.dataset)
        return replace(self, split=split)

    def described(self) -> list[str]:
        """Return lines for people: each split with its clips and speakers."""
        lines = []
        for part in SPLITS:
            inside = self.split == part
            names = sorted(set(self.speakers[inside]) - {""})
            seen = np.array([path is not None for path in self.video], bool)[inside]
            heard = np.array([path is not None for path in self.audio], bool)[inside]
            line = f"{part}: {inside.sum():,} clips of {len(names)} speakers"
            if names:
                line += f" ({', '.join(names)})"
            for count, what in (
                ((~heard).sum(), "without sound"),
                ((~seen).sum(), "without video"),
            ):
                line += f", {count:,} {what}" if count else ""
            lines.append(line)
        return lines


def check_split(speakers: np.ndarray, split: np.ndarray, where: object) -> None:
    """Refuse splits that are no words of `SPLITS` or share a speaker.

    Parameters
    ----------
    speakers, split : (N,) text
        An empty speaker is unknown and not checked.
    where : object
        Stands at the beginning of the message.

    Raises
    ------
    DataError
        With the speakers and their parts.
    """
    if wrong := sorted(set(split.tolist()) - set(SPLITS)):
        raise DataError(
            f"{where}: split {shorten(wrong)}: expected {', '.join(SPLITS)}."
        )
    parts: dict[str, set[str]] = {}
    for speaker, part in zip(speakers.tolist(), split.tolist(), strict=True):
        parts.setdefault(speaker, set()).add(part)
    shared = [
        f"{speaker} ({', '.join(p for p in SPLITS if p in found)})"
        for speaker, found in sorted(parts.items())
        if speaker and len(found) > 1
    ]
    if shared:
        raise DataError(
            f"{where}: {len(shared)} speakers are in more than one split: "
            f"{shorten(shared)}. Put all clips of a speaker in one of them: scores of "
            "a speaker that training has seen say nothing about others."
        )


def split_word(word: str) -> str:
    """Return train, valid or test for what a table calls them; others unchanged."""
    lowered = word.strip().lower()
    return _WORDS.get(lowered, lowered)


def relative_to(path: Path, folder: Path) -> str:
    """Return a path as it is written in a file of `folder`, with ``/``."""
    path, folder = path.absolute(), folder.absolute()
    return (
        path.relative_to(folder) if path.is_relative_to(folder) else path
    ).as_posix()


def missing_rows(
    ids: Sequence[str], video: Sequence[Path | None], audio: Sequence[Path | None]
) -> pd.DataFrame:
    """Return report rows of the clips that lack a modality."""
    rows = []
    for name, seen, heard in zip(ids, video, audio, strict=True):
        if seen is None:
            rows.append((name, False, "no video; used with its sound alone"))
        if heard is None:
            rows.append((name, False, "no sound; used with its video alone"))
    return pd.DataFrame(rows, columns=list(REPORT))


def check_ids(where: object, ids: Sequence[str]) -> None:
    """Refuse ids that are empty, not unique, or no names of files below a folder.

    Raises
    ------
    DataError
        With the ids.
    """
    counts = Counter(ids)
    if twice := sorted(name for name, count in counts.items() if count > 1):
        raise DataError(
            f"{where}: two clips have one id: {shorten(twice)}. Give each its own in a "
            "column 'id'."
        )
    unfit = [
        name
        for name in ids
        if not name
        or set(name) & set(';\n"')
        or PurePosixPath(name).is_absolute()
        or ".." in PurePosixPath(name).parts
    ]
    if unfit:
        raise DataError(
            f"{where}: ids {shorten(map(repr, unfit))}: expected names of files below "
            "a folder, without semicolons, quotes or line breaks."
        )
