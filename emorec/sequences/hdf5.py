"""Careful access to HDF5 files, which may be damaged or made to harm.

A file can declare more numbers than there is memory for, and can name any other file of
the machine to take its numbers from. Both are told before anything is read; the errors
raised here are `ValueError`, beside whatever h5py raises itself.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import h5py
import numpy as np

# Deflate, the only packing in use, makes at most so many bytes of one.
_PACKED = 1032
# Twice an hour of the widest sequence (OpenFace_2, 713 numbers) in double precision.
_LARGEST = 2 << 30
# What packing may add to a chunk that it cannot shrink is a small part of this.
_SLACK = 1 << 16


class Members(Mapping[str, Any]):
    """The members of an HDF5 group, as far as the file itself holds them.

    A link to another file is never followed, for it can name any file that the user may
    read; nor is a soft link, which can lead through one.

    Parameters
    ----------
    group : h5py.Group
        An open group. Names that are not UTF-8 are shown with backslashes.
    """

    def __init__(self, group: h5py.Group) -> None:
        self._group = group

    @cached_property
    def _stored(self) -> dict[str, str | bytes]:
        return {_text(name): name for name in self._group}

    def __getitem__(self, name: str) -> Any:
        if "/" in name or name in ("", "."):
            raise ValueError(f"'{name}' is a path, not a name")
        # Listing the two members of every entry would take longer than reading them.
        stored = self._stored.get(name, name) if "_stored" in vars(self) else name
        # Not `get`, which fails on names that are not UTF-8.
        encoded = stored if isinstance(stored, bytes) else stored.encode()
        if not self._group.id.links.exists(encoded):
            raise KeyError(name)
        if self._group.id.links.get_info(encoded).type != h5py.h5l.TYPE_HARD:
            raise ValueError(f"'{name}' is a link, and links are not followed")
        item = h5py.h5o.open(self._group.id, encoded)
        if isinstance(item, h5py.h5g.GroupID):
            return Members(h5py.Group(item))
        if isinstance(item, h5py.h5d.DatasetID):
            return h5py.Dataset(item)
        raise ValueError(f"'{name}' is neither a group nor a dataset")

    def __contains__(self, name: object) -> bool:
        return name in self._stored

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)


def _text(name: str | bytes) -> str:
    # h5py gives a name that is not UTF-8 as bytes.
    return name if isinstance(name, str) else name.decode("utf-8", "backslashreplace")


def read_array(dataset: h5py.Dataset) -> np.ndarray:
    """Read a whole dataset after `check_storage`; faster than by its subscript."""
    check_storage(dataset)
    array = np.empty(dataset.shape, dataset.dtype)
    if array.size:
        dataset.id.read(h5py.h5s.ALL, h5py.h5s.ALL, array)
    return array


def check_storage(dataset: h5py.Dataset) -> None:
    """Refuse a dataset that lies in other files or unpacks to more than its file can.

    Raises
    ------
    ValueError
        With the reason.
    """
    form = dataset.id.get_create_plist()
    layout = form.get_layout()
    if layout == h5py.h5d.VIRTUAL or form.get_external_count():
        raise ValueError("it takes its numbers from other files")
    limit = min(_LARGEST, _PACKED * h5py.h5i.get_file_id(dataset.id).get_filesize())
    chunk = form.get_chunk() if layout == h5py.h5d.CHUNKED else ()
    for shape in (dataset.shape, chunk):
        size = math.prod(shape) * dataset.dtype.itemsize
        if size > limit:
            raise ValueError(f"it declares {size:,} bytes, more than its file can hold")
    if chunk:
        # A packed chunk is unpacked to its end, however small it is declared.
        stored: list[int] = []
        dataset.id.chunk_iter(lambda part: stored.append(part.size))
        if max(stored, default=0) > size + size // 100 + _SLACK:
            raise ValueError("a chunk is larger packed than unpacked")


def _read_from_heap(dataset: h5py.Dataset) -> bytes:
    """Read a dataset's first text of variable length, as HDF5 lays it down.

    Where zeros stand in the place of such a text, as after a broken download, HDF5
    itself searches for ever.
    """
    file = dataset.file
    if file.id.get_create_plist().get_sizes() != (8, 8):
        raise ValueError("its addresses are not of 8 bytes")
    with open(file.filename, "rb") as stored:
        stored.seek(dataset.id.get_offset())
        length, address, wanted = struct.unpack("<IQI", stored.read(16))
        stored.seek(address + file.userblock_size)
        mark, size = struct.unpack("<4s4xQ", stored.read(16))
        if mark != b"GCOL" or size > file.id.get_filesize():
            raise ValueError("it names no heap")
        heap = stored.read(size - 16)
    at = number = 0
    while at + 16 <= len(heap) and number != wanted:
        number, count = struct.unpack_from("<H6xQ", heap, at)
        begin, at = at + 16, at + 16 + -(-count // 8) * 8
    if number != wanted:
        raise ValueError("its text is not in the heap")
    return heap[begin : begin + min(length, count)]


def read_texts(group: Any) -> dict[str, Any]:
    """Read the JSON texts of a group of metadata; what is not JSON stays a text.

    Members that are no text or cannot be read are left out.
    """
    texts: dict[str, Any] = {}
    for key in group if isinstance(group, Members) else ():
        try:
            dataset = group[key]
            check_storage(dataset)
            kind = h5py.check_string_dtype(dataset.dtype)
            if kind is None:
                continue
            if kind.length is None:
                text = _read_from_heap(dataset)
            else:
                text = bytes(dataset[(0,) * len(dataset.shape)])
        except Exception:  # damage shows as nearly any error
            continue
        text = text.decode("utf-8", "replace")
        try:
            texts[key] = json.loads(text)
            # Escaped halves of characters are JSON, but can be written nowhere.
            json.dumps(texts[key], ensure_ascii=False).encode()
        except (ValueError, RecursionError):
            texts[key] = text
    return texts
