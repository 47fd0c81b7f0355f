"""FER+: 35,887 faces of FER2013, 48 x 48 grey, and ten people's votes on each.

Goodfellow et al. (2013), "Challenges in Representation Learning"; Barsoum et al.
(2016), "Training Deep Networks for Facial Expression Recognition with Crowd-Sourced
Label Distribution". The votes lie in ``fer2013new.csv``; the faces in ``fer2013.csv``,
row by row the same ones, or as PNG in ``FER2013Train``, ``FER2013Valid`` and
``FER2013Test``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError

from emorec.errors import DataError, shorten
from emorec.labels import FERPLUS_VOTES
from emorec.progress import track

VOTES_FILE, PIXELS_FILE = "fer2013new.csv", "fer2013.csv"
SIZE = 48
# Usage in both tables -> split and folder.
USAGES = {
    "Training": ("train", "FER2013Train"),
    "PublicTest": ("valid", "FER2013Valid"),
    "PrivateTest": ("test", "FER2013Test"),
}
SPLITS = tuple(split for split, _ in USAGES.values())
_VOTERS = 10
# More unusable faces than this share mean a wrong folder rather than a few bad files.
_MOST = 0.1


@dataclass(frozen=True)
class FerPlus:
    """The faces of FER+ that have an image.

    Attributes
    ----------
    images : (N, 48, 48) uint8
    votes : (N, 10) int
        In the order of `FERPLUS_VOTES`.
    split : (N,) text
        train, valid or test.
    names : (N,) text
        Image names; not unique, see `find_repeated`.
    report : DataFrame
        Rows of the tables that are left out or suspicious: row (counted from 2, as an
        editor shows the table), name, split, left_out, reason.
    """

    images: np.ndarray
    votes: np.ndarray
    split: np.ndarray
    names: np.ndarray
    report: pd.DataFrame

    def only(self, chosen: np.ndarray) -> FerPlus:
        """Return the faces that `chosen`, a mask or numbers, picks."""
        arrays = {
            name: getattr(self, name)[chosen]
            for name in ("images", "votes", "split", "names")
        }
        return replace(self, **arrays)


def is_ferplus(folder: str | Path) -> bool:
    """Tell whether a folder holds the votes of FER+."""
    return (Path(folder) / VOTES_FILE).is_file()


def read_ferplus(folder: str | Path) -> FerPlus:
    """Read FER+ from ``fer2013new.csv`` and faces in either layout.

    Raises
    ------
    DataError
        When tables are missing, damaged or do not belong together, or when more than a
        tenth of the faces cannot be used. Fewer are rows of the report.
    """
    folder = Path(folder)
    table = _read_votes(folder / VOTES_FILE)
    problems: list[dict] = []
    if (folder / PIXELS_FILE).is_file():
        faces = _faces_of_table(folder / PIXELS_FILE, table)
    elif any((folder / name).is_dir() for _, name in USAGES.values()):
        faces = _faces_of_folders(folder, table)
    else:
        raise DataError(
            f"{folder}: expected the faces in {PIXELS_FILE} or in the folders "
            f"{', '.join(name for _, name in USAGES.values())}, found neither. FER2013 "
            "comes from Kaggle's challenge of 2013; FER+ adds the votes alone."
        )
    votes = table[list(FERPLUS_VOTES.labels)].to_numpy(int)
    images = np.zeros((len(table), SIZE, SIZE), np.uint8)
    usable = np.zeros(len(table), bool)
    named = table["Image name"] != ""

    def note(number: int, reason: str, left_out: bool = True) -> None:
        name, usage = table["Image name"][number], table["Usage"][number]
        split = USAGES[usage][0]
        problems.append(
            {"row": number + 2, "name": name, "split": split, "left_out": left_out}
            | {"reason": reason}
        )

    for number, face in enumerate(track(faces, "Reading faces", len(table))):
        if not named[number]:
            note(number, "no image name, so no image")
        elif isinstance(face, str):
            note(number, face)
        elif not votes[number].any():
            note(number, "no votes")
        else:
            images[number], usable[number] = face, True
            if (total := votes[number].sum()) != _VOTERS:
                note(number, f"{total} votes, expected {_VOTERS}", left_out=False)
    lost = int((named & ~usable).sum())
    if lost > _MOST * named.sum():
        first = next(p for p in problems if p["left_out"] and p["name"])
        raise DataError(
            f"{folder}: {lost:,} of {named.sum():,} faces cannot be used, the first in "
            f"row {first['row']} of {VOTES_FILE} ({first['name']}): {first['reason']}."
        )
    columns = ["row", "name", "split", "left_out", "reason"]
    return FerPlus(
        images[usable],
        votes[usable],
        table["Usage"]
        .map({u: split for u, (split, _) in USAGES.items()})
        .to_numpy(str)[usable],
        table["Image name"].to_numpy(str)[usable],
        pd.DataFrame(problems, columns=columns),
    )


def _read_votes(path: Path) -> pd.DataFrame:
    """Read ``fer2013new.csv``; an absent image name becomes empty."""
    if not path.is_file():
        raise DataError(
            f"{path}: not found. It holds the votes of FER+ and comes from the "
            "project microsoft/FERPlus."
        )
    table = _read_table(path, ["Usage", "Image name", *FERPLUS_VOTES.labels])
    table["Image name"] = table["Image name"].fillna("")
    votes = table[list(FERPLUS_VOTES.labels)].apply(pd.to_numeric, errors="coerce")
    bad = ~((votes >= 0) & (votes % 1 == 0)).all(axis=1)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        found = table.loc[row, list(FERPLUS_VOTES.labels)].tolist()
        raise DataError(
            f"{path}, row {row + 2}: expected ten numbers of votes, found {found}."
        )
    return table.assign(**votes.astype(int))


def _read_table(path: Path, columns: list[str]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=object)
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: expected a CSV table ({error}).") from error
    table.columns = [str(name).strip() for name in table.columns]
    missing = [name for name in columns if name not in table]
    if missing or table.empty:
        raise DataError(
            f"{path}: expected rows with the columns {', '.join(columns)}; "
            f"{'missing: ' + ', '.join(missing) if missing else 'there are none'}."
        )
    unknown = sorted(set(table["Usage"].astype(str)) - set(USAGES))
    if unknown:
        raise DataError(
            f"{path}: expected the usages {', '.join(USAGES)}, found "
            f"{shorten(unknown)}."
        )
    return table


def _faces_of_table(path: Path, votes: pd.DataFrame) -> list[np.ndarray | str]:
    """Return faces, or why there is none, from ``fer2013.csv``."""
    table = _read_table(path, ["pixels", "Usage"])
    if len(table) != len(votes) or (table["Usage"] != votes["Usage"]).any():
        raise DataError(
            f"{path}: its rows ({len(table):,}) must be those of {VOTES_FILE} "
            f"({len(votes):,}), with the same usage in each. Take both files unsorted "
            "and whole, as they were published."
        )
    return [_parse(str(pixels)) for pixels in table["pixels"]]


def _parse(pixels: str) -> np.ndarray | str:
    try:
        values = np.array(pixels.split(), dtype=int)
    except ValueError:
        return "pixels are not integers"
    if len(values) != SIZE * SIZE:
        return f"{len(values)} pixels, expected {SIZE} x {SIZE} = {SIZE * SIZE}"
    if values.min() < 0 or values.max() > 255:
        return "pixels outside 0 to 255"
    return values.reshape(SIZE, SIZE).astype(np.uint8)


def _faces_of_folders(folder: Path, votes: pd.DataFrame) -> Iterator[np.ndarray | str]:
    """Yield faces, or why there is none, from PNG folders."""
    for usage, name in zip(votes["Usage"], votes["Image name"], strict=True):
        yield read_face(folder / USAGES[usage][1] / name) if name else ""


def read_face(path: Path) -> np.ndarray | str:
    """Return an image as (48, 48) uint8, or the reason why it cannot serve."""
    try:
        with Image.open(path) as image:
            if image.size != (SIZE, SIZE):
                width, height = image.size
                return f"image of {width} x {height} pixels, expected {SIZE} x {SIZE}"
            if image.mode not in ("L", "P", "1", "RGB", "RGBA", "LA"):
                return f"image of mode {image.mode}, expected 8 bits grey"
            colours = np.asarray(image.convert("RGB"))
            if (colours != colours[..., :1]).any():
                return "image in colour, expected grey"
            return colours[..., 0]
    except FileNotFoundError:
        return "no such image"
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        return f"image cannot be read ({str(error).splitlines()[0][:80]})"


def find_repeated(corpus: FerPlus) -> pd.DataFrame:
    """Return the faces that occur more than once, and names that do.

    Returns
    -------
    DataFrame
        One row per face: number (in the corpus), group, name, split, kind (``image``
        or ``name``), across (whether the group spans splits), same_votes.
    """
    keys = {
        "image": [image.tobytes() for image in corpus.images],
        "name": corpus.names.tolist(),
    }
    tables = []
    for kind, values in keys.items():
        table = pd.DataFrame(
            {"group": pd.factorize(pd.Series(values, dtype=object))[0]}
        )
        table["number"] = np.arange(len(table))
        table["name"], table["split"] = corpus.names, corpus.split
        table["votes"] = [row.tobytes() for row in corpus.votes]
        table = table[table.groupby("group")["number"].transform("size") > 1]
        groups = table.groupby("group")
        table = table.assign(
            kind=kind,
            across=groups["split"].transform("nunique") > 1,
            same_votes=groups["votes"].transform("nunique") == 1,
        )
        table["group"] = pd.factorize(table["group"])[0]
        tables.append(table.drop(columns="votes"))
    order = ["kind", "group", "number", "name", "split", "across", "same_votes"]
    return pd.concat(tables, ignore_index=True)[order]


def without_repeated(corpus: FerPlus) -> np.ndarray:
    """Return a mask (N,) that keeps each image once, in the last split that has it.

    So nothing that is tested, or validated on, has been trained on, and the test split
    loses none but its own repetitions.
    """
    rank = {split: -number for number, split in enumerate(SPLITS)}
    table = pd.DataFrame({"image": [image.tobytes() for image in corpus.images]})
    table["rank"] = [rank[split] for split in corpus.split]
    first = table.sort_values("rank", kind="stable").drop_duplicates("image")
    kept = np.zeros(len(table), bool)
    kept[first.index] = True
    return kept


def seen_before(corpus: FerPlus) -> np.ndarray:
    """Return a mask (N,): images that also stand in an earlier split."""
    seen: set[bytes] = set()
    result = np.zeros(len(corpus.images), bool)
    for split in SPLITS:
        members = np.flatnonzero(corpus.split == split)
        keys = [corpus.images[number].tobytes() for number in members]
        result[members] = [key in seen for key in keys]
        seen.update(keys)
    return result
