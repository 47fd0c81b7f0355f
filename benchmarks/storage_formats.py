"""What `storage.py` compares: clips of three sorts, and formats to keep them in."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from emorec.artifacts.shards import Entry, open_shard, write_shard

STEPS, SHARD = 33, 64
Arrays = dict[str, np.ndarray]


class Format(NamedTuple):
    """How clips are written to files and read; `read` without a row reads all."""

    write: Callable[[Path, list[Entry]], None]
    read: Callable[[Path, int | None], list[Arrays]]
    checked: bool


def clips(what: str, count: int) -> list[Entry]:
    """Return clips with arrays of one sort."""
    rng = np.random.default_rng(0)
    make = _crops() if what == "crops" else {"logits": _logits}.get(what, _embeddings)
    return [Entry(f"clip{n:06d}", (n, n), make(rng), {}) for n in range(count)]


def _logits(rng: np.random.Generator) -> Arrays:
    return {
        "times": np.arange(STEPS) * 0.24,
        "logits": rng.normal(size=(STEPS, 8)).astype(np.float32),
        "boxes": (200 + rng.normal(size=(STEPS, 4)).cumsum(0)).astype(np.float32),
        "tracks": np.zeros(STEPS, np.int32),
    }


def _embeddings(rng: np.random.Generator) -> Arrays:
    # Behind a rectifier: half of them are zero.
    rows = rng.normal(size=(STEPS, 1024)).astype(np.float32)
    return {"embeddings": np.maximum(rows, 0)}


def _crops() -> Callable[[np.random.Generator], Arrays]:
    from emorec.corpora.drawn_faces import any_look, blend, draw_face

    rng = np.random.default_rng(1)
    emotions = ("happiness", "anger", "neutral", "surprise")
    faces = [
        np.asarray(
            draw_face(blend(e, 1.0), any_look(rng), rng, 64, noise=0), np.float32
        )
        for e in emotions
        for _ in range(4)
    ]

    def make(rng: np.random.Generator) -> Arrays:
        noise = rng.normal(scale=3, size=(STEPS, 64, 64))
        face = faces[rng.integers(len(faces))]
        return {"crops": np.clip(face + noise, 0, 255).astype(np.uint8)}

    return make


def _read_emorec(path: Path, row: int | None) -> list[Arrays]:
    with open_shard(path) as shard:
        entries = shard.entries() if row is None else [shard.entry(row)]
        return [entry.arrays for entry in entries]


def _hdf5(**options) -> Format:
    """Return a dataset a name, clips one after another, without emorec's checks."""

    def write(path: Path, entries: list[Entry]) -> None:
        with h5py.File(path, "w", libver=("v110", "v110")) as file:
            for name, first in entries[0].arrays.items():
                rows = np.concatenate([entry.arrays[name] for entry in entries])
                kwargs = dict(options)
                if kwargs:
                    kwargs["chunks"] = first.shape
                file.create_dataset(name, data=rows, **kwargs)

    def read(path: Path, row: int | None) -> list[Arrays]:
        with h5py.File(path, "r", locking=False) as file:
            if row is not None:
                part = slice(row * STEPS, (row + 1) * STEPS)
                return [{name: file[name][part] for name in file}]
            whole = {name: file[name][()] for name in file}
        return [
            {name: rows[i : i + STEPS] for name, rows in whole.items()}
            for i in range(0, SHARD * STEPS, STEPS)
        ]

    return Format(write, read, "fletcher32" in options)


def _table(entries: list[Entry]):
    import pyarrow as pa

    names = list(entries[0].arrays)
    columns = {name: [e.arrays[name].tobytes() for e in entries] for name in names}
    forms = {n: [str(a.dtype), a.shape[1:]] for n, a in entries[0].arrays.items()}
    table = pa.table(
        {name: pa.array(columns[name], pa.large_binary()) for name in names}
    )
    return table.replace_schema_metadata({"forms": json.dumps(forms)})


def _unpacked(table) -> list[Arrays]:
    forms = json.loads(table.schema.metadata[b"forms"])
    columns = {name: table.column(name) for name in forms}
    return [
        {
            name: np.frombuffer(columns[name][i].as_buffer(), dtype).reshape(-1, *shape)
            for name, (dtype, shape) in forms.items()
        }
        for i in range(table.num_rows)
    ]


def _parquet(compression: str) -> Format:
    import pyarrow.parquet as pq

    group = 8  # clips that are read together when one is wanted

    def write(path: Path, entries: list[Entry]) -> None:
        pq.write_table(
            _table(entries),
            path,
            row_group_size=group,
            compression=compression,
            use_dictionary=False,
            write_statistics=False,
            write_page_checksum=True,
        )

    def read(path: Path, row: int | None) -> list[Arrays]:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            if row is None:
                return _unpacked(file.read())
            part = file.read_row_group(row // group).slice(row % group, 1)
        return _unpacked(part)

    return Format(write, read, True)


def _arrow() -> Format:
    import pyarrow as pa

    def write(path: Path, entries: list[Entry]) -> None:
        table = _table(entries)
        with (
            pa.OSFile(str(path), "wb") as sink,
            pa.ipc.new_file(sink, table.schema) as out,
        ):
            out.write_table(table, max_chunksize=1)

    def read(path: Path, row: int | None) -> list[Arrays]:
        with pa.memory_map(str(path)) as source:
            file = pa.ipc.open_file(source)
            if row is None:
                return _unpacked(file.read_all())
            return _unpacked(pa.Table.from_batches([file.get_batch(row)]))

    return Format(write, read, False)


def _write_npz(path: Path, entries: list[Entry]) -> None:
    path.mkdir()
    for number, entry in enumerate(entries):
        np.savez(path / f"{number:02d}.npz", source=entry.source, **entry.arrays)


def _read_npz(path: Path, row: int | None) -> list[Arrays]:
    files = sorted(path.iterdir()) if row is None else [path / f"{row:02d}.npz"]
    found = []
    for file in files:
        with np.load(file, allow_pickle=False) as content:
            found.append({n: content[n] for n in content.files if n != "source"})
    return found


def formats() -> dict[str, Format]:
    """Return the formats that can be tried here."""
    emorec = Format(lambda path, part: write_shard(path, part, ""), _read_emorec, True)
    found = {
        "HDF5 as emorec writes it": emorec,
        "HDF5 contiguous": _hdf5(),
        "HDF5 chunks": _hdf5(fletcher32=True),
        "HDF5 lzf": _hdf5(compression="lzf", shuffle=True, fletcher32=True),
        "HDF5 gzip 1": _hdf5(
            compression="gzip", compression_opts=1, shuffle=True, fletcher32=True
        ),
        "npz a clip": Format(_write_npz, _read_npz, True),
    }
    if find_spec("pyarrow"):
        found |= {
            "Parquet": _parquet("none"),
            "Parquet zstd": _parquet("zstd"),
            "Arrow IPC, mapped": _arrow(),
        }
    return found
