"""Tables of clips: own data named by a CSV, and what preparation writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from emorec.corpora.av_clips import (
    SPLITS,
    AvClips,
    check_ids,
    check_split,
    missing_rows,
    relative_to,
    split_word,
)
from emorec.errors import DataError, LabelMismatchError, shorten
from emorec.labels import LabelSchema

COLUMNS = ("video", "audio", "label", "speaker", "split")


def read_table(
    path: str | Path, labels: Sequence[str] | LabelSchema, dataset: str | None = None
) -> AvClips:
    """Read clips that a CSV table names: own data, or prepared clips.

    Parameters
    ----------
    path : path
        A table with the columns video, audio (paths, relative ones beside the table;
        an empty cell is a missing modality; a video as audio means its own sound),
        label (a name of `labels`), speaker, split; and perhaps id and intensity. By
        default an id is the path of the video, else of the audio, without its suffix.
    labels : sequence of str or LabelSchema
        The classes in the order of the network's outputs.
    dataset : str, optional
        By default the name of the table.

    Returns
    -------
    AvClips
        In the order of the ids.

    Raises
    ------
    DataError
        When the table is missing or damaged, lacks a column or a split, names a file
        that is not there, or a speaker is in two splits.
    LabelMismatchError
        For labels that are not in the list.
    """
    path = Path(path)
    dataset = dataset or path.stem
    schema = labels
    if not isinstance(labels, LabelSchema):
        schema = LabelSchema(dataset, tuple(labels), "single")
    table = _read_csv(path)
    _check_cells(path, table, schema)
    split = table["split"].map(split_word).to_numpy(str)
    check_split(table["speaker"].to_numpy(str), split, path)
    ids = _ids(path, table)
    sources = {name: _paths(path, table[name]) for name in ("video", "audio")}
    lost = [p for found in sources.values() for p in found if p and not p.exists()]
    if lost:
        raise DataError(
            f"{path}: {len(lost)} files that it names are not there: {shorten(lost)}. "
            "Correct the paths, or leave the cell of a missing modality empty."
        )
    report = missing_rows(ids, **sources)
    intensity = np.zeros(len(table), int)
    if "intensity" in table:
        intensity = table["intensity"].replace("", "0").to_numpy(str).astype(int)
    clips = AvClips(
        dataset,
        schema,
        ids,
        **sources,
        classes=np.array([schema.index(name) for name in table["label"]], int),
        speakers=table["speaker"].to_numpy(str),
        intensity=intensity,
        split=split,
        report=report,
    )
    return clips.only(np.array(sorted(range(len(ids)), key=ids.__getitem__), int))


def table_of(clips: AvClips, folder: Path) -> pd.DataFrame:
    """Return the table that `read_table` reads in `folder`, one row per clip."""

    def cells(paths: Sequence[Path | None]) -> list[str]:
        return ["" if path is None else relative_to(path, folder) for path in paths]

    return pd.DataFrame(
        {
            "id": clips.ids,
            "video": cells(clips.video),
            "audio": cells(clips.audio),
            "label": [clips.schema.labels[n] for n in clips.classes],
            "speaker": clips.speakers,
            "split": clips.split,
            "intensity": [str(n) if n else "" for n in clips.intensity],
        }
    )


def _read_csv(path: Path) -> pd.DataFrame:
    """Read a table as text, empty cells as empty text, spaces around cells removed."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected a table of clips.")
    try:
        table = pd.read_csv(
            path, dtype=str, keep_default_na=False, encoding="utf-8-sig"
        )
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: expected a CSV table ({error}).") from error
    table.columns = [str(name).strip() for name in table.columns]
    if absent := [name for name in COLUMNS if name not in table.columns]:
        hint = ""
        if "split" in absent:
            hint = (
                " A split is never drawn at random: give each clip train, valid or "
                "test, all clips of a speaker the same."
            )
        raise DataError(
            f"{path}: expected the columns {', '.join(COLUMNS)}; missing: "
            f"{', '.join(absent)}.{hint}"
        )
    if table.empty:
        raise DataError(f"{path}: the table has no rows.")
    return table.apply(lambda column: column.str.strip())


def _check_cells(path: Path, table: pd.DataFrame, schema: LabelSchema) -> None:
    def lines(mask: pd.Series) -> str:
        return shorten(int(n) + 2 for n in np.flatnonzero(mask))

    unknown = ~table["label"].isin(schema.labels)
    if unknown.any():
        raise LabelMismatchError(
            f"{path}: labels that are not in the class list: "
            f"{shorten(sorted(set(table['label'][unknown])))} in lines "
            f"{lines(unknown)}. Expected one of {', '.join(schema.labels)}; correct "
            "them, or give the full class list."
        )
    words = table["split"].map(split_word)
    strange = ~words.isin(SPLITS)
    if strange.any():
        raise DataError(
            f"{path}: split {shorten(sorted(set(table['split'][strange])))!r} in lines "
            f"{lines(strange)}: expected {', '.join(SPLITS)}. A split is never drawn "
            "at random: it is given, and by speaker."
        )
    if (nameless := table["speaker"] == "").any():
        raise DataError(
            f"{path}: no speaker in lines {lines(nameless)}. Who speaks must be known, "
            "so that no speaker is in two splits."
        )
    if (empty := (table["video"] == "") & (table["audio"] == "")).any():
        raise DataError(
            f"{path}: neither video nor audio in lines {lines(empty)}. Remove them."
        )
    if "intensity" in table and not table["intensity"].isin(["", "0", "1", "2"]).all():
        raise DataError(f"{path}: intensity: expected 1, 2, or an empty cell.")


def _paths(path: Path, cells: pd.Series) -> list[Path | None]:
    return [path.parent / Path(cell).expanduser() if cell else None for cell in cells]


def _ids(path: Path, table: pd.DataFrame) -> list[str]:
    if "id" in table:
        ids = table["id"].tolist()
    else:
        named = table["video"].where(table["video"] != "", table["audio"])
        ids = []
        for cell in named:
            name = PurePosixPath(Path(cell).as_posix()).with_suffix("")
            outside = name.is_absolute() or ".." in name.parts
            ids.append(name.name if outside else name.as_posix())
    check_ids(path, ids)
    return ids
