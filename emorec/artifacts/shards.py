"""Shards: the arrays of some dozens of clips in one HDF5 file.

Arrays of one name lie one after another in one dataset, ``arrays/NAME``. The dataset
``index`` is a JSON text: "ids", "sources" and "reasons" of the clips, "rows" with the
rows of each clip in each dataset, and "settings". Every byte of the file is under a
checksum, which HDF5 compares when it reads.
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

from emorec.artifacts.shard_writing import AT_ONCE, Column, Sink
from emorec.errors import DataError
from emorec.files import whole_file
from emorec.sequences.hdf5 import Members, read_array

FORMAT, VERSION = "emorec shard", 1
_ARRAYS, _INDEX = "arrays", "index"


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
    index: dict[str, list] = {"ids": [], "sources": [], "reasons": []}
    columns: dict[str, Column] = {}
    # In the format of HDF5 1.10 metadata have checksums, too.
    with (
        whole_file(path) as temporary,
        Sink(temporary) as sink,
        h5py.File(sink, "w", libver=("v110", "v110")) as file,
    ):
        group = file.create_group(_ARRAYS)
        for row, entry in enumerate(entries):
            for name, array in entry.arrays.items():
                if name not in columns:
                    columns[name] = Column(name)
                columns[name].append(group, row, array, f"{path}: {entry.id}")
            index["ids"].append(entry.id)
            index["sources"].append([int(number) for number in entry.source])
            index["reasons"].append(entry.reasons)
        if len(set(index["ids"])) != len(index["ids"]):
            raise DataError(f"{path}: expected each clip once.")
        for column in columns.values():
            column.flush()
        rows = {
            name: [column.rows.get(row) for row in range(len(index["ids"]))]
            for name, column in columns.items()
        }
        text = json.dumps(index | {"rows": rows, "settings": settings})
        data = np.frombuffer(text.encode(), np.uint8)
        file.create_dataset(_INDEX, data=data, chunks=data.shape, fletcher32=True)
        file.attrs.update(format=FORMAT, version=VERSION)


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
        content = Members(self._file)
        index = json.loads(read_array(content[_INDEX]).tobytes())
        self.settings = str(index["settings"])
        self.ids = [str(name) for name in index["ids"]]
        self.sources = [(int(size), int(time)) for size, time in index["sources"]]
        self.reasons = [dict(reasons) for reasons in index["reasons"]]
        self._rows = dict(index["rows"])
        lengths = map(len, (self.sources, self.reasons, *self._rows.values()))
        if set(lengths) - {len(self.ids)}:
            raise ValueError("its lists differ in length")
        self._arrays = content[_ARRAYS]
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
        with _readable(self._name):
            arrays = {
                name: self._dataset(name)[slice(*rows)]
                for name in self._chosen(names)
                if (rows := self._rows[name][row]) is not None
            }
        return Entry(self.ids[row], self.sources[row], arrays, dict(self.reasons[row]))

    def entries(self, names: Sequence[str] | None = None) -> Iterator[Entry]:
        """Yield all clips in order, faster than one by one.

        Parameters
        ----------
        names : sequence of str, optional
            Read only these arrays, as far as a clip has them.
        """
        chosen = self._chosen(names)
        at: dict[str, tuple[int, np.ndarray]] = {}
        for row in range(len(self)):
            arrays = {}
            for name in chosen:
                if (rows := self._rows[name][row]) is not None:
                    with _readable(self._name):
                        arrays[name] = self._ahead(at, name, *rows)
            yield Entry(
                *(self.ids[row], self.sources[row], arrays, dict(self.reasons[row]))
            )

    def _chosen(self, names: Sequence[str] | None) -> list[str]:
        if names is None:
            return list(self._rows)
        return [name for name in names if name in self._rows]

    def _ahead(
        self, at: dict[str, tuple[int, np.ndarray]], name: str, first: int, behind: int
    ) -> np.ndarray:
        """Return rows of a dataset, and read the next ones with them."""
        begin, window = at.get(name, (0, None))
        if window is None or first < begin or behind > begin + len(window):
            stored = self._dataset(name)
            row = math.prod(stored.shape[1:]) * stored.dtype.itemsize
            window = stored[first : max(behind, first + AT_ONCE // row)]
            at[name] = begin, window = first, window
        # A copy: kept by the caller, it does not keep the others.
        return window[first - begin : behind - begin].copy()

    def _dataset(self, name: str) -> h5py.Dataset:
        if name not in self._opened:
            stored = self._arrays[name]
            _check_storage(stored)
            # Rising within the dataset: a slice beyond its end is cut, not refused.
            ends = [end for rows in self._rows[name] if rows for end in rows]
            if ends != sorted(ends) or not 0 <= ends[0] <= ends[-1] <= len(stored):
                raise ValueError(f"'{name}' has not the rows that its index tells")
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
