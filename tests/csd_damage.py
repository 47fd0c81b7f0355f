"""Whole .csd files, and damage to their bytes: functions of a path and a generator."""

import os
import tempfile
from functools import cache
from pathlib import Path

import h5py
import numpy as np

from emorec.sequences.csd import REQUIRED_METADATA, Rows, write_sequence

METADATA = {key: f"the {key}" for key in REQUIRED_METADATA} | {"uuid": "always equal"}
SIGNATURES = (b"\x89HDF", b"TREE", b"SNOD", b"HEAP", b"GCOL")
NEWER = (b"OHDR", b"OCHK", b"FRHP", b"FHDB", b"FHIB", b"BTHD", b"BTLF", b"FAHD")


def whole_file(path, rng):
    """Write a valid file: packed or plain, of the old or the new layout of HDF5."""
    count, level = int(rng.choice([1, 3, 12])), rng.choice([None, 4])
    path.write_bytes(_content(count, level, "latest" if rng.random() < 0.3 else None))


@cache
def _content(count, level, layout):
    rng, entries = np.random.default_rng(count), {}
    for i in range(count):
        starts = np.sort(rng.uniform(0, 60, 8 + i))
        intervals = np.stack([starts, starts + 0.5], 1).astype("f4")
        entries[f"v{i}"] = Rows(intervals, rng.standard_normal((8 + i, 5)).astype("f4"))
    with tempfile.TemporaryDirectory() as folder:
        first, copy = Path(folder, "first.csd"), Path(folder, "copy.csd")
        write_sequence(first, "toy", entries.items(), METADATA, level)
        with h5py.File(first) as source, h5py.File(copy, "w", libver=layout) as file:
            source.copy("toy", file)
        return (first if layout is None else copy).read_bytes()


def change_bytes(path, rng):
    content = np.fromfile(path, np.uint8)
    for _ in range(int(rng.choice([1, 2, 8, 64]))):
        content[rng.integers(len(content))] = rng.integers(256)
    content.tofile(path)


def change_structures(path, rng):
    """Change a few bytes near the start of one of HDF5's own structures."""
    content = bytearray(path.read_bytes())
    places = []
    for mark in (*SIGNATURES, *NEWER):
        at = content.find(mark)
        while at >= 0:
            places.append(at)
            at = content.find(mark, at + 1)
    at = int(rng.choice(places))
    for _ in range(int(rng.choice([1, 3]))):
        place = min(at + int(rng.integers(96)), len(content) - 1)
        content[place] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.integers(256)]))
    path.write_bytes(content)


def change_object_headers(path, rng):
    """Change bytes of the headers that hold types, shapes, layouts and filters."""
    with h5py.File(path) as file:
        found = [h5py.h5o.get_info(file["toy/data"].id).addr]
        entry = file["toy/data/v0"]
        found += [h5py.h5o.get_info(item.id).addr for item in (entry, *entry.values())]
        found += [h5py.h5o.get_info(file["toy/metadata/creator"].id).addr]
    content = bytearray(path.read_bytes())
    at = int(rng.choice(found))
    for _ in range(int(rng.choice([1, 2, 6]))):
        place = min(at + int(rng.integers(300)), len(content) - 1)
        content[place] = int(rng.choice([0, 1, 2, 4, 0x7F, 0xFF, rng.integers(256)]))
    path.write_bytes(content)


def make_lengths_huge(path, rng):
    content = bytearray(path.read_bytes())
    at = int(rng.integers(len(content) // 8)) * 8
    content[at : at + 8] = int(rng.choice([2**31, 2**40, 2**63 - 1])).to_bytes(
        8, "little"
    )
    path.write_bytes(content)


def truncate(path, rng):
    os.truncate(path, int(rng.integers(path.stat().st_size)))


def truncate_and_fill_up(path, rng):
    size = path.stat().st_size
    os.truncate(path, int(rng.integers(size)))
    os.truncate(path, size)


def swap_blocks(path, rng):
    content = path.read_bytes()
    size = int(rng.choice([8, 64, 512]))
    a, b = sorted(rng.integers(0, len(content) // size, 2) * size)
    if a != b:
        parts = content[:a], content[b : b + size], content[a + size : b]
        content = b"".join([*parts, content[a : a + size], content[b + size :]])
    path.write_bytes(content)


def zero_range(path, rng):
    content = np.fromfile(path, np.uint8)
    at = int(rng.integers(len(content)))
    content[at : at + int(rng.choice([4, 64, 1024]))] = rng.choice([0, 255])
    content.tofile(path)


BYTES = (
    *(change_bytes, change_structures, change_object_headers, make_lengths_huge),
    *(truncate, truncate_and_fill_up, swap_blocks, zero_range),
)
