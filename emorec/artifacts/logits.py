"""A network's scores of the steps of many clips, in one file with its labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from emorec.errors import DataError, shorten
from emorec.files import whole_file
from emorec.labels import LabelSchema

ARRAYS = ("times", "logits", "boxes", "tracks")


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
    """Read ``logits.npz``.

    Raises
    ------
    DataError
        When the file is missing, damaged or not such a file.
    """
    path = Path(path)
    content = load_arrays(path, ("ids", "offsets", "spec", *ARRAYS))
    try:
        spec = json.loads(str(content["spec"]))
        schema, settings = LabelSchema.from_dict(spec["schema"]), spec["settings"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: its spec cannot be read ({error}).") from error
    ids, offsets = [str(name) for name in content["ids"]], content["offsets"]
    arrays = {name: content[name] for name in ARRAYS}
    total = {len(array) for array in arrays.values()}
    rising = len(offsets) == len(ids) + 1 and (np.diff(offsets) > 0).all()
    if not rising or offsets[0] != 0 or total != {int(offsets[-1])}:
        raise DataError(
            f"{path}: its arrays do not fit together. Label the clips anew."
        )
    if arrays["logits"].shape[1:] != (len(schema),):
        raise DataError(
            f"{path}: expected {len(schema)} columns ({', '.join(schema.labels)}), "
            f"found the shape {arrays['logits'].shape}."
        )
    return Logits(schema, ids, offsets, **arrays, settings=settings)


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
