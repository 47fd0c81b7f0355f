"""What is between the arrays of clips and a shard's bytes on the disk."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import IO

import h5py
import numpy as np

from emorec.errors import DataError

# Bytes that are written or read at once: a call of HDF5 costs as much as copying some
# 100 kB.
AT_ONCE = 4 << 20
# Bytes of a chunk, the unit that is read, checked and padded at the end: that of the
# first clip's array within these bounds.
_CHUNK = (4 << 10, 256 << 10)


class Column:
    """Gathers arrays, and writes them when they are many bytes.

    Parameters
    ----------
    name : str
        What the arrays are called.

    Attributes
    ----------
    rows : dict
        Row of the clip -> [first, behind the last] row of its array.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows: dict[int, list[int]] = {}
        self._stored: h5py.Dataset | None = None
        self._waiting: list[np.ndarray] = []
        self._bytes = self._count = 0

    def append(
        self, group: h5py.Group, row: int, array: np.ndarray, where: str
    ) -> None:
        """Take the array of a clip.

        Parameters
        ----------
        group : h5py.Group
            Where the dataset lies, which the first array makes.
        row : int
            Number of the clip.
        array : (T, ...) array
            Numbers.
        where : str
            File and clip, for messages.

        Raises
        ------
        DataError
            When the array is not of numbers, or not as those before.
        """
        array = np.asarray(array)
        self._check(array, where)
        if self._stored is None:
            self._stored = self._dataset(group, array)
        self.rows[row] = [self._count, self._count + len(array)]
        self._count += len(array)
        self._waiting.append(array)
        self._bytes += array.nbytes
        if self._bytes > AT_ONCE:
            self.flush()

    def _check(self, array: np.ndarray, where: str) -> None:
        numbers = array.dtype.kind in "biuf" and array.dtype.isnative
        if not numbers or array.ndim == 0 or 0 in array.shape[1:]:
            raise DataError(
                f"{where}: expected '{self.name}' to be an array of numbers with a row "
                f"a step, received {array.dtype} {array.shape}."
            )
        if "/" in self.name or self.name in ("", "."):
            raise DataError(f"{where}: an array cannot be named '{self.name}'.")
        stored = self._stored
        if stored is None:
            return
        if (array.dtype, array.shape[1:]) != (stored.dtype, stored.shape[1:]):
            raise DataError(
                f"{where}: expected '{self.name}' as that of the clips before, "
                f"{stored.dtype} (T, {', '.join(map(str, stored.shape[1:]))}), "
                f"received {array.dtype} {array.shape}."
            )

    def _dataset(self, group: h5py.Group, array: np.ndarray) -> h5py.Dataset:
        form = array.shape[1:]
        row = math.prod(form) * array.dtype.itemsize
        size = min(max(array.nbytes, _CHUNK[0]), _CHUNK[1])
        return group.create_dataset(
            self.name,
            (0, *form),
            array.dtype,
            maxshape=(None, *form),
            chunks=(max(1, size // row), *form),
            fletcher32=True,
        )

    def flush(self) -> None:
        """Write what waits."""
        stored = self._stored
        first = len(stored)
        stored.resize(self._count, axis=0)
        if self._count > first:
            stored[first:] = np.concatenate(self._waiting)
        self._waiting, self._bytes = [], 0


class Sink:
    """The file that HDF5 writes to; a context manager.

    HDF5 writes much of a file when it closes it, and after a write that fails, as on a
    full disk, the whole process breaks down. So it is never told: what comes after the
    first error is thrown away, and the error is raised when HDF5 has closed.

    Parameters
    ----------
    path : Path
        The file; emptied.
    """

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("w+b")
        self._error: OSError | None = None
        self._at = self._end = 0

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self._file.close()
        except OSError as failure:
            self._error = self._error or failure
        if self._error is not None:
            raise self._error

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place, counted from the beginning or the end."""
        self._at = offset + (self._end if whence == os.SEEK_END else 0)
        return self._at

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def write(self, data: memoryview) -> int:
        """Write, as long as nothing has failed."""
        if self._error is None:
            try:
                self._file.seek(self._at)
                self._file.write(data)
            except OSError as error:
                self._error = error
        self._at += len(data)
        self._end = max(self._end, self._at)
        return len(data)

    def read(self, size: int) -> bytes:
        """Read so many bytes; see `readinto`."""
        buffer = bytearray(size)
        self.readinto(memoryview(buffer))
        return bytes(buffer)

    def readinto(self, buffer: memoryview) -> int:
        """Read; zeros, once something has failed."""
        buffer[:] = bytes(len(buffer))
        if self._error is None:
            try:
                self._file.seek(self._at)
                self._file.readinto(buffer)
            except OSError as error:
                self._error = error
        self._at += len(buffer)
        return len(buffer)

    def truncate(self, size: int) -> int:
        """Give the file its length."""
        self._end = size
        if self._error is None:
            try:
                self._file.truncate(size)
            except OSError as error:
                self._error = error
        return size

    def flush(self) -> None:
        """Do nothing: a file counts when it is whole."""
