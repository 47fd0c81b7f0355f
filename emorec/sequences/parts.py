"""Parts of an aligned dataset on disk: whole or absent, read back without a copy.

A part is two files: the bytes of its arrays one after the other, and a JSON index that
is written last and so says that the part is whole. Arrays are read as views of the
mapped file, so that a large dataset takes no memory until it is used.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from emorec.errors import DataError
from emorec.files import read_json, whole_file, write_json
from emorec.sequences.alignment import AlignedDataset
from emorec.sequences.csd import Rows

# Where each array begins; a multiple of every number's size.
_ALIGNMENT = 16


def write_part(path: Path, part: AlignedDataset) -> None:
    """Write a part as `path` (its index) and the file of its bytes beside it."""
    position = 0
    index: dict[str, dict[str, list]] = {}
    with whole_file(_bytes_of(path)) as temporary, temporary.open("wb") as file:
        for name, entries in part.sequences.items():
            own = index[name] = {}
            for key, rows in entries.items():
                own[key] = []
                for array in rows:
                    own[key].append([array.dtype.str, array.shape, position])
                    size = file.write(np.ascontiguousarray(array).data)
                    size += file.write(bytes(-size % _ALIGNMENT))
                    position += size
    write_json(
        path,
        {
            "bytes": position,
            "sequences": index,
            "dropped": part.dropped,
            "damaged": part.damaged,
        },
        indent=None,
    )


def read_part(path: Path) -> AlignedDataset:
    """Read a part; its arrays are read-only views of the file.

    Raises
    ------
    DataError
        When the part is not there, or its bytes are not those of the index.
    """
    content = read_json(path)
    source = _bytes_of(path)
    try:
        # An empty file cannot be mapped.
        data = np.memmap(source, np.uint8, "r") if content["bytes"] else np.empty(0)
    except (OSError, ValueError) as error:
        raise DataError(f"{source}: cannot be read ({error}).") from error
    if len(data) != content["bytes"]:
        raise DataError(
            f"{source}: expected {content['bytes']} bytes, found {len(data)}. Remove "
            f"the folder {path.parent}; it is made again."
        )
    data = np.asarray(data)

    def view(dtype: str, shape: list[int], position: int) -> np.ndarray:
        return np.ndarray(tuple(shape), dtype, data, position)

    return AlignedDataset(
        sequences={
            name: {
                key: Rows(*(view(*where) for where in arrays))
                for key, arrays in entries.items()
            }
            for name, entries in content["sequences"].items()
        },
        dropped=content["dropped"],
        damaged=content["damaged"],
    )


def _bytes_of(path: Path) -> Path:
    return path.with_suffix(".bin")
