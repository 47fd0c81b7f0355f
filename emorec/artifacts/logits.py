"""A network's scores of the steps of many clips, with its labels.

They lie in one file, ``logits.npz``, or in a store (see `emorec.artifacts.stores`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from emorec.artifacts.locations import Folder, is_address
from emorec.artifacts.stores import (
    PLAN,
    check_kind,
    is_store,
    open_store,
    read_settings,
)
from emorec.errors import DataError, shorten
from emorec.files import whole_file
from emorec.labels import LabelSchema

LOGITS = "logits.npz"
ARRAYS = ("times", "logits", "boxes", "tracks")
# The kind of stores that hold these arrays of each clip.
KIND = "teacher"


@dataclass(frozen=True)
class Logits:
    """Scores of many clips, one after another.

    Attributes
    ----------
    schema : LabelSchema
        Names of the K columns.
    ids : list of str
        n clips.
    offsets : (n + 1,) int64
        Clip i has the rows ``offsets[i]:offsets[i + 1]``.
    times : (rows,) float64
        Seconds from the beginning of the clip.
    logits : (rows, K) float32
        Scores before the softmax.
    boxes : (rows, 4) float32
        x1, y1, x2, y2 in pixels.
    tracks : (rows,) int32
        Number of the face track within the clip.
    settings : dict
        What `LabelSettings` said, and the network's name and size.
    """

    schema: LabelSchema
    ids: list[str]
    offsets: np.ndarray
    times: np.ndarray
    logits: np.ndarray
    boxes: np.ndarray
    tracks: np.ndarray
    settings: dict[str, Any]


def read_logits(path: str | Path) -> Logits:
    """Read ``logits.npz``, or a store of kind teacher.

    Parameters
    ----------
    path : str or path
        The file, or the store's folder or address.

    Raises
    ------
    DataError
        When the file is missing, damaged or not such a file.
    SpecError
        When the store is of another kind.
    """
    if is_store(path):
        return _read_store(path)
    path = Path(path)
    content = load_arrays(path, ("ids", "offsets", "spec", *ARRAYS))
    try:
        spec = json.loads(str(content["spec"]))
        schema, settings = LabelSchema.from_dict(spec["schema"]), spec["settings"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: its spec cannot be read ({error}).") from error
    ids, offsets = [str(name) for name in content["ids"]], content["offsets"]
    arrays = {name: content[name] for name in ARRAYS}
    return _checked(Logits(schema, ids, offsets, **arrays, settings=settings), path)


def _read_store(root: str | Path) -> Logits:
    with open_store(root) as store:
        check_kind(store, KIND)
        settings = dict(store.settings)
        try:
            schema = LabelSchema.from_dict(settings.pop("schema"))
        except KeyError as error:
            raise DataError(f"{root}: its settings name no label schema.") from error
        entries = list(store.entries(ARRAYS))
    for entry in entries:
        if missing := [name for name in ARRAYS if name not in entry.arrays]:
            raise DataError(f"{root}: {entry.id}: has no array {shorten(missing)}.")
    empty = {"logits": (0, len(schema)), "boxes": (0, 4)}
    arrays = {
        name: np.concatenate([entry.arrays[name] for entry in entries])
        if entries
        else np.zeros(empty.get(name, 0), np.float32)
        for name in ARRAYS
    }
    counts = [len(entry.arrays["times"]) for entry in entries]
    offsets = np.cumsum([0, *counts], dtype=np.int64)
    ids = [entry.id for entry in entries]
    return _checked(Logits(schema, ids, offsets, **arrays, settings=settings), root)


def _checked(logits: Logits, where: str | Path) -> Logits:
    """Refuse arrays that do not fit together."""
    ids, offsets, schema = logits.ids, logits.offsets, logits.schema
    total = {len(getattr(logits, name)) for name in ARRAYS}
    rising = len(offsets) == len(ids) + 1 and (np.diff(offsets) > 0).all()
    if not rising or offsets[0] != 0 or total != {int(offsets[-1])}:
        raise DataError(
            f"{where}: its arrays do not fit together. Label the clips anew."
        )
    if logits.logits.shape[1:] != (len(schema),):
        raise DataError(
            f"{where}: expected {len(schema)} columns ({', '.join(schema.labels)}), "
            f"found the shape {logits.logits.shape}."
        )
    return logits


def find_logits(places: Sequence[str | Path]) -> list[str | Path]:
    """Return the files and stores of logits that are meant.

    Parameters
    ----------
    places : sequence of str or path
        Files, stores' folders and addresses, and folders that hold such files and
        stores, also several levels below.

    Raises
    ------
    DataError
        When a folder holds none, or there are none at all.
    """
    found: set[str | Path] = set()
    for place in places:
        if is_address(place) or is_store(place) or not Path(place).is_dir():
            found.add(place if is_address(place) else Path(place))
            continue
        inside = set(Path(place).rglob(LOGITS))
        inside |= {plan.parent for plan in Path(place).rglob(PLAN) if _teaches(plan)}
        if not inside:
            raise DataError(
                f"{place}: no {LOGITS}; make one: emorec faces label; or a store: "
                f"emorec extract {KIND}."
            )
        found |= inside
    if not found:
        raise DataError("No logits of a teacher; make some: emorec faces label.")
    return sorted(found, key=str)


def _teaches(plan: Path) -> bool:
    folder = plan.parent
    return is_store(folder) and read_settings(Folder(folder))["kind"] == KIND


def write_logits(path: Path, merged: Logits) -> None:
    """Write scores as one .npz, atomically; ``spec`` is a JSON text."""
    spec = {"schema": merged.schema.to_dict(), "settings": merged.settings}
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            ids=np.array(merged.ids, dtype=np.str_),
            offsets=merged.offsets,
            spec=np.array(json.dumps(spec)),
            **{name: getattr(merged, name) for name in ARRAYS},
        )


def load_arrays(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Read arrays of an .npz, never code.

    Raises
    ------
    DataError
        When the file or an array is missing or damaged.
    """
    try:
        # numpy leaves a damaged file open that it opened itself.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            missing = [name for name in names if name not in content.files]
            if missing:
                raise DataError(f"{path}: has no array {shorten(missing)}.")
            return {name: content[name] for name in names}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise DataError(f"{path}: expected an .npz of scores ({error}).") from error
