"""Small stores, written as an extraction writes them."""

import json

import numpy as np
import pandas as pd

from emorec.artifacts import stores
from emorec.artifacts.locations import location
from emorec.artifacts.shards import Entry, write_shard
from emorec.files import digest

SETTINGS = {"kind": "toy", "width": 3}


def toys(count=7, first=0):
    """Clips with arrays of every length from 0 on; number 3 failed, 5 lacks one."""
    entries = []
    for number in range(first, first + count):
        rng = np.random.default_rng(number)
        arrays = {
            "wide": rng.normal(size=(5 * number, 3)).astype(np.float32),
            "times": rng.normal(size=2 + number),
            "crops": rng.integers(0, 256, (number, 4, 4), np.uint8),
        }
        reasons = {}
        if number == 3:
            arrays, reasons = {}, {"": "toy03.mp4: no face in 7 frames."}
        if number == 5:
            del arrays["crops"]
            reasons = {"face": "no picture"}
        entries.append(
            Entry(f"toy{number:02d}", (number, 10**18 + number), arrays, reasons)
        )
    return entries


def write_store(root, entries, settings=None, size=3, scratch=None):
    """Write `entries` as a store at a path or address; `scratch` is a local folder."""
    settings, where = settings or SETTINGS, location(root)
    where.write(stores.SETTINGS, json.dumps(settings).encode())
    plan, index, failures = [], [], []
    for number in range(-(-len(entries) // size)):
        part = entries[number * size : (number + 1) * size]
        path = scratch / "shard.h5"
        write_shard(path, part, digest(settings))
        where.put(path, stores.shard_name(number))
        plan += [(number, entry.id, *entry.source) for entry in part]
        failed = sum(not entry.arrays for entry in part)
        index.append((number, len(part), failed, path.stat().st_size))
        failures += [(e.id, k, why) for e in part for k, why in e.reasons.items()]
    for name, columns, rows in (
        (stores.PLAN, stores.PLAN_COLUMNS, plan),
        (stores.INDEX, stores.INDEX_COLUMNS, index),
        (stores.FAILURES, stores.FAILURE_COLUMNS, failures),
    ):
        table = pd.DataFrame(rows, columns=list(columns))
        where.write(name, table.to_csv(index=False).encode())
    return where


def same(received, expected):
    """Assert that two entries are equal to the bit."""
    assert received[:2] == expected[:2] and received.reasons == expected.reasons
    assert set(received.arrays) == set(expected.arrays)
    for name, array in expected.arrays.items():
        found = received.arrays[name]
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        assert np.array_equal(found, array)
