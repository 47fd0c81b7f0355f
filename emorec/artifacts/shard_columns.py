"""The arrays of one name on their way into a shard."""

from __future__ import annotations

import math

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
