"""RAVDESS: 24 actors who say two sentences in eight emotions, seen and heard.

Livingstone and Russo (2018), "The Ryerson Audio-Visual Database of Emotional Speech and
Song". Files are named ``MM-VV-EE-II-SS-RR-AA``: modality, channel, emotion, intensity,
statement, repetition, actor. A take has up to three files that differ in the modality:
01 seen and heard, 02 seen, 03 heard. The split is that of Chumachenko, Iosifidis and
Gabbouj (2022), section 4.1; the folds are those of Luna-Jiménez et al. (2021),
"Multimodal Emotion Recognition on RAVDESS Dataset Using Transfer Learning".
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from emorec.corpora.av_clips import REPORT, AvClips, missing_rows
from emorec.errors import DataError, SpecError
from emorec.features.audio import AUDIO_SUFFIXES
from emorec.features.video import VIDEO_SUFFIXES
from emorec.labels import RAVDESS

ACTORS = 24
TEST_ACTORS = (5, 10, 16, 19)
VALID_ACTORS = (11, 13, 18, 22)
# Test actors of each fold; every actor is in one.
FOLDS = (
    (2, 5, 14, 15, 16),
    (3, 6, 7, 13, 18),
    (10, 11, 12, 19, 20),
    (8, 17, 21, 23, 24),
    (1, 4, 9, 22),
)
BOTH, VIDEO_ONLY, AUDIO_ONLY = 1, 2, 3
SPEECH, SONG = 1, 2
# field -> its largest value; the smallest is 1
_LARGEST = {
    "modality": 3,
    "channel": 2,
    "emotion": len(RAVDESS),
    "intensity": 2,
    "statement": 2,
    "repetition": 2,
    "actor": ACTORS,
}
_SHAPE = re.compile(r"\d\d(-\d\d){6}")


class Name(NamedTuple):
    """What the name of a file says; every field counts from 1.

    Attributes
    ----------
    modality : int
        1 seen and heard, 2 seen, 3 heard.
    channel : int
        1 speech, 2 song.
    emotion : int
        1 neutral to 8 surprised, in the order of `labels.RAVDESS`.
    intensity : int
        1 normal, 2 strong.
    statement, repetition : int
        1 or 2.
    actor : int
        1 to 24.
    """

    modality: int
    channel: int
    emotion: int
    intensity: int
    statement: int
    repetition: int
    actor: int

    @property
    def class_index(self) -> int:
        """Column of `labels.RAVDESS`."""
        return self.emotion - 1

    @property
    def female(self) -> bool:
        """Whether the actor is a woman: those with even numbers."""
        return self.actor % 2 == 0

    @property
    def speaker(self) -> str:
        """The actor in two digits."""
        return f"{self.actor:02d}"

    @property
    def take(self) -> str:
        """What the files of one take have in common: the name without modality."""
        return "-".join(f"{field:02d}" for field in self[1:])

    def __str__(self) -> str:
        return f"{self.modality:02d}-{self.take}"


def parse_name(name: str | Path) -> Name:
    """Read the name of a file, with or without folder and suffix.

    Raises
    ------
    DataError
        When it is no name of RAVDESS.
    """
    stem = Path(name).name.partition(".")[0]
    if not _SHAPE.fullmatch(stem):
        raise DataError(
            f"{name}: expected a name of RAVDESS, seven numbers of two digits as "
            "03-01-05-01-02-01-12."
        )
    fields = [int(part) for part in stem.split("-")]
    for (field, largest), value in zip(_LARGEST.items(), fields, strict=True):
        if not 1 <= value <= largest:
            raise DataError(
                f"{name}: {field} {value:02d}: expected 01 to {largest:02d} in the "
                "name of a file of RAVDESS."
            )
    return Name(*fields)


def published_split(actors: Sequence[int]) -> np.ndarray:
    """Return train, valid or test (N,) for actors, as published."""
    return _split(actors, VALID_ACTORS, TEST_ACTORS)


def fold_split(actors: Sequence[int], fold: int) -> np.ndarray:
    """Return train, valid or test (N,) for actors in a leave-actors-out fold.

    Parameters
    ----------
    actors : sequence of int
        Numbers, 1 to 24.
    fold : int
        1 to 5. Its actors are the test; those of the next fold (of the first after the
        last) choose the epoch; the others train.

    Raises
    ------
    SpecError
        For another fold.
    """
    if not 1 <= fold <= len(FOLDS):
        raise SpecError(f"Fold {fold}: expected 1 to {len(FOLDS)}.")
    return _split(actors, FOLDS[fold % len(FOLDS)], FOLDS[fold - 1])


def in_fold(clips: AvClips, fold: int | None) -> AvClips:
    """Return clips of RAVDESS in a fold 1 to 5, or in the published split for None."""
    actors = [int(speaker) for speaker in clips.speakers]
    split = published_split(actors) if fold is None else fold_split(actors, fold)
    return clips.with_split(split)


def _split(
    actors: Sequence[int], valid: Sequence[int], test: Sequence[int]
) -> np.ndarray:
    words = dict.fromkeys(valid, "valid") | dict.fromkeys(test, "test")
    return np.array([words.get(int(actor), "train") for actor in actors], dtype="<U5")


def read_ravdess(folder: str | Path, fold: int | None = None) -> AvClips:
    """Find the speech clips of RAVDESS in a folder tree and pair video with sound.

    A take's video is its file 01, else 02. Its sound is the file 03; where there is
    none, the sound of the file 01. Of several files of one name the first is taken.

    Parameters
    ----------
    folder : path
        Searched through; links to folders are not followed.
    fold : int, optional
        1 to 5: a leave-actors-out fold in place of the published split.

    Returns
    -------
    AvClips
        In the order of the ids, which are the names of the videos, else of the sounds.
        The report names takes with one modality, songs and second copies, which are
        left out, and files with numbers that cannot be.

    Raises
    ------
    DataError
        When the folder is missing or holds no speech clip.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected the files of RAVDESS.")
    problems: list[tuple[str, bool, str]] = []
    takes: dict[str, dict[int, Path]] = {}
    names: dict[str, Name] = {}
    songs: Counter[str] = Counter()
    for path in _files(folder):
        try:
            name = parse_name(path)
        except DataError as error:
            if _SHAPE.fullmatch(path.stem):
                problems.append((path.name, True, str(error)))
            continue
        if (path.suffix.lower() in AUDIO_SUFFIXES) != (name.modality == AUDIO_ONLY):
            reason = "its name says another modality than its suffix"
            problems.append((path.name, True, reason))
        elif name.channel == SONG:
            songs[name.speaker] += 1
        elif name.modality in takes.setdefault(name.take, {}):
            kept = takes[name.take][name.modality]
            reason = f"{path.relative_to(folder)}: a second file of this name"
            problems.append(
                (str(name), True, f"{reason}; {kept.relative_to(folder)} is taken")
            )
        else:
            takes[name.take][name.modality] = path
            names[name.take] = name
    if not takes:
        raise DataError(
            f"{folder}: expected clips of RAVDESS, video 01-01-*.mp4 or sound "
            "03-01-*.wav in any folder of it, found none."
        )
    for speaker, count in sorted(songs.items()):
        problems.append(
            (f"actor {speaker}", True, f"{count} files of song, not speech")
        )
    rows = []
    for take, files in takes.items():
        video = files.get(BOTH) or files.get(VIDEO_ONLY)
        audio = files.get(AUDIO_ONLY) or files.get(BOTH)
        rows.append(((video or audio).stem, video, audio, names[take]))
        if AUDIO_ONLY not in files and BOTH in files:
            reason = f"no sound file 03-{take}; the video's own sound is taken"
            problems.append((video.stem, False, reason))
    rows.sort(key=lambda row: row[0])
    ids, videos, audios, parsed = (list(column) for column in zip(*rows, strict=True))
    report = pd.DataFrame(sorted(problems), columns=list(REPORT))
    report = pd.concat([report, missing_rows(ids, videos, audios)], ignore_index=True)
    clips = AvClips(
        "ravdess",
        RAVDESS,
        ids,
        videos,
        audios,
        classes=np.array([name.class_index for name in parsed], int),
        speakers=np.array([name.speaker for name in parsed], dtype=str),
        intensity=np.array([name.intensity for name in parsed], int),
        split=published_split([name.actor for name in parsed]),
        report=report,
    )
    return in_fold(clips, fold)


def _files(folder: Path) -> Iterator[Path]:
    """Yield the sounds and videos below a folder in a fixed order."""
    for here, inner, files in os.walk(folder):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in sorted(files):
            suffix = os.path.splitext(name)[1].lower()
            if suffix in AUDIO_SUFFIXES | VIDEO_SUFFIXES and not name.startswith("."):
                yield Path(here, name)
