"""Shards: the arrays of some dozens of clips in one HDF5 file.

Arrays of one name lie one after another in one dataset, ``arrays/NAME``, and
``rows/NAME`` says which rows are a clip's. Every byte of the file is under a checksum,
which HDF5 compares when it reads.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from emorec.errors import DataError
from emorec.files import whole_file
from emorec.sequences.hdf5 import Members, read_array

FORMAT, VERSION = "emorec shard", 1
_ARRAYS, _ROWS = "arrays", "rows"
_IDS, _SOURCES, _REASONS = "ids", "sources", "reasons"
# Bytes of a chunk, the unit that is read, checked and padded at the end: that of the
# first clip's array within these bounds.
_CHUNK = (4 * 1024, 256 * 1024)
_ABSENT = -1


class Entry(NamedTuple):
    """What was made of a clip.

    Attributes
    ----------
    id : str
        Name of the clip.
    source : (int, int)
        Bytes and modification time (ns) of its file when it was read.
    arrays : dict
        Name -> (T, ...) numbers; T may differ by name. Empty when nothing was made.
    reasons : dict
        Part -> why it is missing; the part is "" where a clip has only one.
    """

    id: str
    source: tuple[int, int]
    arrays: dict[str, np.ndarray]
    reasons: dict[str, str]


def write_shard(path: Path, entries: Iterable[Entry], settings: str) -> None:
    """Write clips into one file, atomically; one clip is in memory at a time.

    Parameters
    ----------
    path : Path
        The file; replaced when it is there.
    entries : iterable of Entry
        Clips with ids of their own. Arrays of one name have one dtype, and one shape
        but for their length.
    settings : str
        Digest of what decides the arrays.

    Raises
    ------
    DataError
        When an array does not go with those of its name, or the file cannot be written.
    """
    ids: list[str] = []
    sources: list[tuple[int, int]] = []
    reasons: list[dict[str, str]] = []
    rows: dict[str, list[tuple[int, int]]] = {}
    # In the format of HDF5 1.10 metadata have checksums, too.
    with (
        whole_file(path) as temporary,
        h5py.File(temporary, "w", libver=("v110", "v110")) as file,
    ):
        arrays = file.create_group(_ARRAYS)
        for entry in entries:
            for name, array in entry.arrays.items():
                known = rows.setdefault(name, [])
                known += [(_ABSENT, _ABSENT)] * (len(ids) - len(known))
                known.append(_append(arrays, name, array, f"{path}: {entry.id}"))
            ids.append(entry.id)
            sources.append(entry.source)
            reasons.append(entry.reasons)
        if len(set(ids)) != len(ids):
            raise DataError(f"{path}: expected each clip once.")
        group = file.create_group(_ROWS)
        for name, known in rows.items():
            known += [(_ABSENT, _ABSENT)] * (len(ids) - len(known))
            _store(group, name, np.array(known, np.int64))
        texts = [name.encode() for name in ids]
        _store(file, _IDS, np.array(texts, f"S{max(map(len, texts), default=0) or 1}"))
        _store(file, _SOURCES, np.array(sources, np.int64).reshape(-1, 2))
        packed = json.dumps(reasons).encode()
        _store(file, _REASONS, np.frombuffer(packed, np.uint8))
        file.attrs.update(format=FORMAT, version=VERSION, settings=settings)


def _store(group: h5py.Group, name: str, array: np.ndarray) -> None:
    form = array.shape[1:]
    group.create_dataset(
        name,
        data=array,
        maxshape=(None, *form),
        chunks=(max(1, len(array)), *form),
        fletcher32=True,
    )


def _append(
    group: h5py.Group, name: str, array: np.ndarray, where: str
) -> tuple[int, int]:
    """Append an array to those of its name; return its first row and that behind it."""
    array = np.asarray(array)
    if array.dtype.kind not in "biuf" or array.ndim == 0 or 0 in array.shape[1:]:
        raise DataError(
            f"{where}: expected '{name}' to be an array of numbers with a row a step, "
            f"received {array.dtype} {array.shape}."
        )
    if "/" in name or name in ("", "."):
        raise DataError(f"{where}: an array cannot be named '{name}'.")
    if name not in group:
        form = array.shape[1:]
        row = max(1, math.prod(form) * array.dtype.itemsize)
        size = min(max(array.nbytes, _CHUNK[0]), _CHUNK[1])
        group.create_dataset(
            name,
            (0, *form),
            array.dtype,
            maxshape=(None, *form),
            chunks=(max(1, size // row), *form),
            fletcher32=True,
        )
    stored = group[name]
    if (array.dtype, array.shape[1:]) != (stored.dtype, stored.shape[1:]):
        raise DataError(
            f"{where}: expected '{name}' as that of the clips before, {stored.dtype} "
            f"(T, {', '.join(map(str, stored.shape[1:]))}), received {array.dtype} "
            f"{array.shape}."
        )
    first, behind = len(stored), len(stored) + len(array)
    stored.resize(behind, axis=0)
    if array.size:
        stored[first:] = array
    return first, behind


class Shard:
    """An open shard; a context manager. Made by `open_shard`.

    Attributes
    ----------
    path : Path
        The file.
    settings : str
        Digest of what decided the arrays.
    ids : list of str
        n clips.
    sources : list of (int, int)
        Bytes and modification time (ns) of their files.
    reasons : list of dict
        Part -> why it is missing, a clip each.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path, self._name = path, name
        with _readable(name):
            # Whole when it has its name: nobody writes to it, so nobody locks it.
            self._file = h5py.File(path, "r", locking=False)
        try:
            with _readable(name):
                self._read_index()
        except BaseException:
            self._file.close()
            raise

    def _read_index(self) -> None:
        attributes = self._file.attrs
        if attributes.get("format") != FORMAT:
            raise DataError(f"{self._name}: expected a shard of emorec, found another.")
        if attributes["version"] != VERSION:
            raise DataError(
                f"{self._name}: it has version {attributes['version']} of the format, "
                f"this emorec reads version {VERSION}. Use the emorec that wrote it."
            )
        self.settings = str(attributes["settings"])
        content = Members(self._file)
        self.ids = [name.decode() for name in read_array(content[_IDS])]
        self.sources = [(int(a), int(b)) for a, b in read_array(content[_SOURCES])]
        self.reasons = json.loads(read_array(content[_REASONS]).tobytes())
        if not len(self.ids) == len(self.sources) == len(self.reasons):
            raise ValueError("its lists differ in length")
        self._arrays = content[_ARRAYS]
        rows = content[_ROWS]
        self._rows = {name: read_array(rows[name]) for name in rows}
        if any(rows.shape != (len(self.ids), 2) for rows in self._rows.values()):
            raise ValueError("its lists differ in length")
        self._opened: dict[str, h5py.Dataset] = {}

    @property
    def names(self) -> list[str]:
        """Names of the arrays that at least one clip has."""
        return list(self._rows)

    def entry(self, row: int, names: Sequence[str] | None = None) -> Entry:
        """Read a clip.

        Parameters
        ----------
        row : int
            Its place in `ids`.
        names : sequence of str, optional
            Read only these arrays, as far as the clip has them.

        Raises
        ------
        DataError
            When the file is damaged there.
        """
        arrays = {}
        with _readable(self._name):
            for name in self._rows if names is None else names:
                if name not in self._rows:
                    continue
                first, behind = map(int, self._rows[name][row])
                if first == _ABSENT:
                    continue
                stored = self._dataset(name)
                if not 0 <= first <= behind <= len(stored):
                    raise ValueError(f"'{name}' has no rows {first} to {behind}")
                arrays[name] = stored[first:behind]
        return Entry(self.ids[row], self.sources[row], arrays, dict(self.reasons[row]))

    def _dataset(self, name: str) -> h5py.Dataset:
        if name not in self._opened:
            stored = self._arrays[name]
            _check_storage(stored)
            self._opened[name] = stored
        return self._opened[name]

    def __len__(self) -> int:
        return len(self.ids)

    def __enter__(self) -> Shard:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def open_shard(path: str | Path, name: str | None = None) -> Shard:
    """Open a shard for reading.

    Parameters
    ----------
    path : path
        The file.
    name : str, optional
        What messages call it, where the file is a copy of another.

    Raises
    ------
    DataError
        When the file is missing, cut off, damaged, or no shard.
    """
    return Shard(Path(path), name or str(path))


def _check_storage(stored: h5py.Dataset) -> None:
    """Refuse numbers that lie elsewhere, without a checksum, or not in the file."""
    form = stored.id.get_create_plist()
    filters = [form.get_filter(i)[0] for i in range(form.get_nfilters())]
    if form.get_layout() != h5py.h5d.CHUNKED or filters != [h5py.h5z.FILTER_FLETCHER32]:
        raise ValueError("its arrays are not stored as emorec does")
    size = math.prod(stored.shape) * stored.dtype.itemsize
    if size > h5py.h5i.get_file_id(stored.id).get_filesize():
        raise ValueError(f"it declares {size:,} bytes, more than it holds")


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"{name}: expected a shard, found no file.") from error
    except Exception as error:  # damage shows as nearly any error
        raise DataError(
            f"{name}: expected a whole shard of emorec, found one that is damaged, cut "
            f"off or no shard ({_first_line(error)}). Delete it; the extraction that "
            "made it, repeated, writes it anew."
        ) from error


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0].rstrip(".")
