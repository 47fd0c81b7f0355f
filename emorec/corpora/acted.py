"""Labelled speech corpora: RAVDESS, EmoDB, RML, eNTERFACE'05 and AFEW.

All become an `ActedSpeech`: paths, speakers and classes, and a table of what was left
out and why. The layouts are told in `emorec.corpora.acted_names`; a tree of sounds that
were extracted from videos is read as the tree of videos is, by the same names.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from emorec.corpora import acted_names
from emorec.errors import DataError, SpecError
from emorec.features.audio import AUDIO_SUFFIXES
from emorec.features.video import VIDEO_SUFFIXES
from emorec.labels import AFEW, EMODB, ENTERFACE, RAVDESS, RML, LabelSchema

MEDIA = {"sound": AUDIO_SUFFIXES, "video": VIDEO_SUFFIXES}
CORPORA: dict[str, tuple[LabelSchema, Callable, str]] = {
    "ravdess": (
        RAVDESS,
        acted_names.ravdess,
        "Actor_NN/03-01-EE-II-SS-RR-AA.wav",
    ),
    "emodb": (EMODB, acted_names.emodb, "03a01Fa.wav"),
    "rml": (RML, acted_names.rml, "s1/an1.wav"),
    "enterface": (
        ENTERFACE,
        acted_names.enterface,
        "subject 1/anger/sentence 1/s1_an_1.wav",
    ),
    "afew": (AFEW, acted_names.afew, "Train/Angry/000046280.wav"),
}
_LEFT_OUT = ["file", "reason"]


@dataclass(frozen=True)
class ActedSpeech:
    """Utterances with one emotion each, sorted by id.

    Attributes
    ----------
    dataset : str
        One of `CORPORA`.
    schema : LabelSchema
        Names of the classes.
    ids : list of str
        n takes, each once.
    paths : list of Path
        Their files.
    speakers : (n,) str
        "" where the corpus names none (AFEW).
    classes : (n,) int64
        Columns of the schema.
    split : (n,) str
        "train", "valid", "test" where the corpus has a split, else "".
    report : pandas.DataFrame
        Sound and video files below the folder that were left out: ``file``, relative
        to the folder, and ``reason``.

    Raises
    ------
    DataError
        When the parts do not fit together.
    """

    dataset: str
    schema: LabelSchema
    ids: list[str]
    paths: list[Path]
    speakers: np.ndarray
    classes: np.ndarray
    split: np.ndarray
    report: pd.DataFrame

    def __post_init__(self) -> None:
        columns = (self.paths, self.speakers, self.classes, self.split)
        if {len(column) for column in columns} != {len(self.ids)}:
            raise DataError(f"{self.dataset}: its parts have different lengths.")
        if self.ids != sorted(set(self.ids)):
            raise DataError(f"{self.dataset}: expected ids in order, each once.")
        if len(self) and not (
            self.classes.min() >= 0 and self.classes.max() < len(self.schema)
        ):
            raise DataError(f"{self.dataset}: classes that '{self.schema.name}' lacks.")

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: np.ndarray) -> ActedSpeech:
        """Return some takes; `rows` is (n,) bool or ascending places."""
        rows = np.asarray(rows)
        places = np.flatnonzero(rows) if rows.dtype == bool else rows
        return replace(
            self,
            ids=[self.ids[i] for i in places],
            paths=[self.paths[i] for i in places],
            speakers=self.speakers[places],
            classes=self.classes[places],
            split=self.split[places],
        )

    def describe(self) -> str:
        """Return takes, speakers, classes, split and what was left out, as text."""
        counts = np.bincount(self.classes, minlength=len(self.schema))
        names = zip(self.schema.labels, counts, strict=True)
        speakers = len(set(self.speakers) - {""})
        lines = [
            f"{self.dataset}: {len(self)} takes of {speakers or 'unnamed'} speakers",
            "  " + ", ".join(f"{label} {count}" for label, count in names),
        ]
        if self.split.any():
            parts = (
                f"{p} {(self.split == p).sum()}" for p in ("train", "valid", "test")
            )
            lines.append("  split of the corpus: " + ", ".join(parts))
        if len(self.report):
            lines.append(f"  left out: {len(self.report)} files")
            for reason, count in self.report["reason"].value_counts().head(5).items():
                lines.append(f"    {count} x {reason}")
        return "\n".join(lines)


def read_acted(
    folder: str | Path, corpus: str = "auto", media: str = "sound"
) -> ActedSpeech:
    """Read a labelled speech corpus from a folder, at any depth.

    Parameters
    ----------
    folder : path
        Searched for sound and video files; hidden ones are passed over, and links to
        folders are not followed.
    corpus : str
        One of `CORPORA`, or "auto": by the names of the files.
    media : {"sound", "video"}
        Which files are wanted. The sound of a video is not read: extract it first.

    Raises
    ------
    DataError
        When the folder holds no file of the corpus, files of two corpora (name one),
        or videos where sound is wanted.
    SpecError
        For another corpus or medium.
    """
    folder = Path(folder)
    if media not in MEDIA:
        raise SpecError(f"media '{media}': expected one of {', '.join(MEDIA)}.")
    if corpus != "auto" and corpus not in CORPORA:
        raise SpecError(
            f"Corpus '{corpus}': expected auto or one of {', '.join(CORPORA)}."
        )
    files = _search(folder)
    corpus = _recognise(folder, files) if corpus == "auto" else corpus
    schema, parse, layout = CORPORA[corpus]
    taken: dict[str, tuple[acted_names.Take, Path]] = {}
    left_out: list[tuple[str, str]] = []
    other_medium = 0
    for file in files:
        found = parse(_parts(file), media)
        if found is None:
            found = f"its name is not of {corpus}'s form, {layout}"
        elif file.suffix.lower() not in MEDIA[media]:
            other_medium += 1
            found = found if isinstance(found, str) else f"not a {media} file"
        elif not isinstance(found, str) and found.id in taken:
            found = f"the same take as {taken[found.id][1].as_posix()}"
        if isinstance(found, str):
            left_out.append((file.as_posix(), found))
        else:
            taken[found.id] = (found, file)
    if not taken:
        raise DataError(
            _nothing(folder, corpus, layout, media, len(files), other_medium, left_out)
        )
    order = sorted(taken)
    takes = [taken[name][0] for name in order]
    return ActedSpeech(
        corpus,
        schema,
        order,
        [folder / taken[name][1] for name in order],
        np.array([take.speaker for take in takes], np.str_),
        np.array([schema.index(take.label) for take in takes], np.int64),
        np.array([take.split for take in takes], np.str_),
        pd.DataFrame(left_out, columns=_LEFT_OUT),
    )


def _parts(file: Path) -> tuple[str, ...]:
    return (*file.parts[:-1], file.stem)


def _search(folder: Path) -> list[Path]:
    """List the sound and video files below a folder, relative to it, in order."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder.")
    known = AUDIO_SUFFIXES | VIDEO_SUFFIXES
    found = []
    for place, inner, names in os.walk(folder):
        inner[:] = (name for name in inner if not name.startswith("."))
        found += [
            Path(place, name).relative_to(folder)
            for name in names
            if os.path.splitext(name)[1].lower() in known and not name.startswith(".")
        ]
    return sorted(found)


def _recognise(folder: Path, files: list[Path]) -> str:
    counts = {
        name: sum(parse(_parts(file), "sound") is not None for file in files)
        for name, (_, parse, _) in CORPORA.items()
    }
    found = {name: count for name, count in counts.items() if count}
    if len(found) == 1:
        return next(iter(found))
    if found:
        names = ", ".join(f"{name} ({count} files)" for name, count in found.items())
        raise DataError(
            f"{folder}: holds files named as those of {names}. Name the corpus that is "
            "wanted, or give its own folder."
        )
    layouts = "\n".join(f"  {name}: {CORPORA[name][2]}" for name in CORPORA)
    example = f", for example {files[0].as_posix()}" if files else ""
    raise DataError(
        f"{folder}: expected the files of a labelled speech corpus, found {len(files)} "
        f"sound or video files of other names{example}. Known layouts, as sound or as "
        f"video:\n{layouts}"
    )


def _nothing(
    folder: Path,
    corpus: str,
    layout: str,
    media: str,
    files: int,
    other_medium: int,
    left_out: list[tuple[str, str]],
) -> str:
    """Say why a folder has no take."""
    if other_medium and media == "sound":
        return (
            f"{folder}: holds {other_medium} videos of {corpus} but no sound. emorec "
            "does not read the sound of a video yet: extract it beside each video, or "
            "into another tree of the same names, with\n"
            "  ffmpeg -i CLIP.avi -vn -ac 1 -ar 16000 CLIP.wav"
        )
    if not left_out:
        return f"{folder}: expected files like {layout}, found no sound or video file."
    file, reason = left_out[0]
    return (
        f"{folder}: none of {files} files can be used as {media} of {corpus}, whose "
        f"files are like {layout}. The first, {file}: {reason}."
    )
