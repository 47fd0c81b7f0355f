"""``annotations.txt``: the list of prepared clips that Chumachenko's program reads.

One line per clip, ``video.npy;audio.wav;label;split``, where labels count from 1 and
the split is training, validation or testing. A modality that a clip lacks is an empty
field, which that program does not know.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from emorec.corpora.av_clips import (
    REPORT,
    AvClips,
    check_ids,
    check_split,
    missing_rows,
    relative_to,
    split_word,
)
from emorec.corpora.ravdess import parse_name
from emorec.errors import DataError, LabelMismatchError, shorten
from emorec.files import whole_file
from emorec.labels import RAVDESS, LabelSchema

# What prepared files are called after the clip.
FACES, SOUND = "_facecroppad.npy", "_croppad.wav"
_WRITTEN = {"train": "training", "valid": "validation", "test": "testing"}


def write_annotations(path: str | Path, clips: AvClips) -> None:
    """Write the list anew, sorted by the clips' ids, paths relative to its folder."""
    path = Path(path)
    lines = []
    for n in sorted(range(len(clips)), key=clips.ids.__getitem__):
        files = [
            "" if file is None else relative_to(file, path.parent)
            for file in (clips.video[n], clips.audio[n])
        ]
        if any(";" in file for file in files):
            raise DataError(f"{path}: {files}: a path with a semicolon cannot be kept.")
        label, split = int(clips.classes[n]) + 1, _WRITTEN[str(clips.split[n])]
        lines.append(f"{files[0]};{files[1]};{label};{split}\n")
    with whole_file(path) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")


def read_annotations(
    path: str | Path,
    schema: LabelSchema = RAVDESS,
    root: str | Path | None = None,
    dataset: str = "ravdess",
) -> AvClips:
    """Read a list of prepared clips, emorec's own or the reference's.

    Parameters
    ----------
    path : path
        The list.
    schema : LabelSchema
        What the labels mean.
    root : path, optional
        Where the files lie now, by default the folder of the list. A path that is not
        there is sought below it by its last parts, so that a list that was written on
        another machine can be read.
    dataset : str
        Name of the corpus.

    Returns
    -------
    AvClips
        In the order of the ids. Speakers and intensities are known where the files are
        named as RAVDESS'. Repeated lines, which the reference writes when it runs
        twice, count once; the report tells them.

    Raises
    ------
    DataError
        When the list is missing, damaged or empty, files are not there, or a speaker or
        a clip is in two splits.
    LabelMismatchError
        For labels beyond the schema.
    """
    path = Path(path)
    root = path.parent if root is None else Path(root)
    rows, problems, lost = {}, [], []
    for number, fields in _lines(path):
        where = f"{path}: line {number}"
        files = [_located(field, path.parent, root) for field in fields[:2]]
        lost += [fields[k] for k in (0, 1) if fields[k] and files[k] is None]
        name = _id(fields)
        row = (*files, _class(fields[2], schema, where), split_word(fields[3]))
        if name not in rows:
            rows[name] = row
        elif rows[name] == row:
            problems.append((name, True, f"line {number} repeats an earlier one"))
        else:
            raise DataError(
                f"{where}: {name} was in an earlier line with other files, another "
                "label or another split. Remove one of them."
            )
    if lost := list(dict.fromkeys(lost)):
        raise DataError(
            f"{path}: {len(lost)} files are not there, also not below {root}: "
            f"{shorten(lost)}. Name the folder that holds them."
        )
    if not rows:
        raise DataError(f"{path}: the list has no lines.")
    ids = sorted(rows)
    columns = zip(*(rows[name] for name in ids), strict=True)
    video, audio, classes, split = (list(column) for column in columns)
    people = [_person(file or other) for file, other in zip(video, audio, strict=True)]
    speakers = np.array([speaker for speaker, _ in people], dtype=str)
    split = np.array(split, dtype=str)
    check_ids(path, ids)
    check_split(speakers, split, path)
    if not all(speakers):
        reason = "no names of RAVDESS, so speakers are unknown and splits not checked"
        problems.append((f"{(speakers == '').sum()} clips", False, reason))
    report = pd.DataFrame(problems, columns=list(REPORT))
    report = pd.concat([report, missing_rows(ids, video, audio)], ignore_index=True)
    intensity = np.array([intensity for _, intensity in people], int)
    classes = np.array(classes, int)
    return AvClips(
        *(dataset, schema, ids, video, audio),
        *(classes, speakers, intensity, split, report),
    )


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}).") from error
    for number, line in enumerate(lines, 1):
        fields = [field.strip() for field in line.split(";")]
        if fields == [""]:
            continue
        if len(fields) != 4 or not any(fields[:2]):
            raise DataError(
                f"{path}: line {number}: expected 'video.npy;audio.wav;label;split' "
                f"with at least one file, received '{line[:100]}'."
            )
        yield number, fields


def _class(text: str, schema: LabelSchema, where: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= len(schema):
        raise LabelMismatchError(
            f"{where}: label '{text}': expected 1 to {len(schema)} "
            f"({', '.join(schema.labels)})."
        )
    return int(text) - 1


def _located(text: str, folder: Path, root: Path) -> Path | None:
    """Return where a file of the list lies; None where it lies nowhere."""
    if not text:
        return None
    if (folder / text).is_file():
        return folder / text
    parts = PurePosixPath(text.replace("\\", "/")).parts
    for first in range(len(parts)):
        if (
            parts[first] not in ("/", "..")
            and (found := root.joinpath(*parts[first:])).is_file()
        ):
            return found
    return None


def _id(fields: list[str]) -> str:
    """Return a clip's id: a relative path without what preparation appends."""
    ending = FACES if fields[0] else SOUND
    name = PurePosixPath((fields[0] or fields[1]).replace("\\", "/"))
    outside = name.is_absolute() or ".." in name.parts
    text = name.name if outside else name.as_posix()
    if text.endswith(ending):
        return text.removesuffix(ending)
    return PurePosixPath(text).with_suffix("").as_posix()


def _person(file: Path) -> tuple[str, int]:
    """Return speaker and intensity of a file named as RAVDESS'."""
    try:
        name = parse_name(file.name.partition("_")[0])
    except DataError:
        return "", 0
    return name.speaker, name.intensity
