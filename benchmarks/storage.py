"""File formats for extracted features: bytes, writing, reading, one clip.

    python benchmarks/storage.py
    python benchmarks/storage.py --clips 2048 --rounds 5 --remote

Clips have 33 steps, as 8 s of video at every sixth frame: the teacher's logits with
times, boxes and tracks (60 bytes a step), embeddings of 1024 numbers, or drawn faces of
64 x 64 pixels with a camera's noise. Formats hold 64 clips a file, but for npz, which
holds one, as ``emorec faces label`` writes them. In each round every format writes all
clips, reads them all, and reads single clips at random, opening the file each time;
rounds follow one another, so that a loaded machine slows all formats alike. Printed are
medians over the rounds, by the clock and by the processor's time. Files are in the
system's memory when they are read. A last line tells what a clip takes in a store that
keeps its shards open.

With --remote (needs s3fs and moto[server]) the clips then lie in an object store on
this machine, and are read through an empty cache. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from storage_formats import SHARD, Arrays, Format, clips, formats

from emorec.artifacts.cache import Cache
from emorec.artifacts.locations import location
from emorec.artifacts.shards import Entry


def _touch(found: list[Arrays]) -> int:
    """Use every number, as a copy into a batch does; a mapped file reads only then."""
    return sum(int(a.view(np.uint8).sum()) for arrays in found for a in arrays.values())


def _shards(entries: list[Entry]) -> Iterator[tuple[str, list[Entry]]]:
    for number in range(len(entries) // SHARD):
        yield f"{number:05d}", entries[number * SHARD : (number + 1) * SHARD]


class Clock:
    """Seconds by the clock and of this process' processors."""

    def __enter__(self) -> Clock:
        self.began = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *error) -> None:
        self.wall = time.perf_counter() - self.began[0]
        self.cpu = time.process_time() - self.began[1]


def one_round(form: Format, entries: list[Entry], folder: Path, singles: int) -> dict:
    """Write, read all, read single clips; return seconds and bytes."""
    with Clock() as writing:
        for name, part in _shards(entries):
            form.write(folder / name, part)
    paths = sorted(folder.iterdir())
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    with Clock() as reading:
        total = sum(_touch(form.read(path, None)) for path in paths)
    assert total == _touch([entry.arrays for entry in entries]), "read other numbers"
    rng = np.random.default_rng(2)
    places = [
        (paths[rng.integers(len(paths))], int(rng.integers(SHARD)))
        for _ in range(singles)
    ]
    with Clock() as single:
        for path, row in places:
            _touch(form.read(path, row))
    found = {"bytes": size}
    for name, clock in (("write", writing), ("read", reading), ("one", single)):
        found |= {name: clock.wall, f"{name}_cpu": clock.cpu}
    return found


def measure(what: str, count: int, rounds: int, singles: int, folder: Path) -> dict:
    """Return {format: medians}; MB/s of the arrays' bytes, ms a clip."""
    entries = clips(what, count)
    plain = sum(a.nbytes for entry in entries for a in entry.arrays.values())
    results: dict[str, list[dict]] = {name: [] for name in formats()}
    for number in range(rounds + 1):
        for name, form in formats().items():
            place = folder / "files"
            place.mkdir()
            # Libraries begin in the first round, which is short and does not count.
            part = entries if number else entries[:SHARD]
            found = one_round(form, part, place, singles)
            results[name] += [found] if number else []
            shutil.rmtree(place)
    table = {}
    for name, found in results.items():
        median = {k: statistics.median(row[k] for row in found) for k in found[0]}
        row = {"bytes": median["bytes"] / plain}
        for end in ("", "_cpu"):
            row[f"write_mb_s{end}"] = plain / 1e6 / median[f"write{end}"]
            row[f"read_mb_s{end}"] = plain / 1e6 / median[f"read{end}"]
            row[f"one_ms{end}"] = 1e3 * median[f"one{end}"] / singles
        table[name] = {k: round(v, 3) for k, v in row.items()}
    return {"mb": round(plain / 1e6, 1), "formats": table}


def from_store(what: str, singles: int, folder: Path) -> dict[str, float]:
    """Return the ms of a clip of a store of eight shards, all of them open."""
    from emorec.artifacts.stores import open_store
    from tests.small_stores import write_store

    write_store(folder / "store", clips(what, 8 * SHARD), size=SHARD, scratch=folder)
    rng = np.random.default_rng(2)
    with open_store(folder / "store") as store:
        for name in store.ids[::SHARD]:
            store.read(name)
        names = [store.ids[n] for n in rng.integers(len(store.ids), size=singles)]
        with Clock() as clock:
            for name in names:
                _touch([store.read(name)])
    shutil.rmtree(folder / "store")
    (folder / "shard.h5").unlink()
    times = {"one_ms": clock.wall, "one_ms_cpu": clock.cpu}
    return {name: round(1e3 * value / singles, 3) for name, value in times.items()}


def remote(whats: tuple[str, ...], count: int, rounds: int, folder: Path) -> dict:
    """Return {what: {format: medians}}, read from an object store by an empty cache."""
    from tests.object_store import KEYS, make_bucket, server

    os.environ |= KEYS
    table: dict[str, dict] = {what: {} for what in whats}
    with server() as address:
        os.environ["AWS_ENDPOINT_URL"] = address
        make_bucket(address)
        for what in whats:
            entries = clips(what, count)
            for index, (name, form) in enumerate(formats().items()):
                local, root = folder / "local", f"s3://bucket/{what}/{index}"
                local.mkdir()
                for shard, part in _shards(entries):
                    form.write(local / shard, part)
                files = sorted(f for f in local.rglob("*") if f.is_file())
                for file in files:
                    location(root).put(file, file.relative_to(local).as_posix())
                table[what][name] = _from_store(
                    *(form, root, local, files, rounds, folder)
                )
                shutil.rmtree(local)
    return table


def _from_store(
    form: Format, root: str, local: Path, files: list[Path], rounds: int, folder: Path
) -> dict:
    names = [file.relative_to(local).as_posix() for file in files]
    found: dict[str, list[float]] = {"all_s": [], "one_ms": []}
    a_clip = files[0].suffix == ".npz"

    def read(where, name: str, row: int | None) -> None:
        path = where.fetch(name)
        if a_clip:
            with np.load(path, allow_pickle=False) as content:
                _touch([{n: content[n] for n in content.files if n != "source"}])
        else:
            _touch(form.read(path, row))

    for _ in range(rounds):
        for key, chosen in (("one_ms", names[len(names) // 2 :][:1]), ("all_s", names)):
            where = location(root, Cache(folder / "cache"))
            with Clock() as clock:
                for name in chosen:
                    read(where, name, 7 if key == "one_ms" else None)
            found[key].append(clock.wall * (1e3 if key == "one_ms" else 1))
            shutil.rmtree(folder / "cache")
    return {key: round(statistics.median(values), 2) for key, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=2048, help="of each sort")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--singles", type=int, default=200, help="single clips a round")
    parser.add_argument("--remote", action="store_true", help="an object store, too")
    parser.add_argument("--remote_clips", type=int, default=256)
    parser.add_argument("--folder", help="where to write (default: a temporary one)")
    arguments = parser.parse_args()
    results: dict = {"load": os.getloadavg(), "cores": os.cpu_count()}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        place = Path(folder)
        for what in ("logits", "embeddings", "crops"):
            found = measure(
                *(what, arguments.clips, arguments.rounds, arguments.singles, place)
            )
            results[what] = found
            print(f"\n{what}: {arguments.clips} clips, {found['mb']} MB of numbers")
            print(
                f"{'':26s} bytes   write MB/s    read MB/s    one clip ms  (processor)"
            )
            for name, row in found["formats"].items():
                cells = "  ".join(
                    f"{row[key]:7.{digits}f} ({row[f'{key}_cpu']:.{digits}f})"
                    for key, digits in (
                        ("write_mb_s", 0),
                        ("read_mb_s", 0),
                        ("one_ms", 2),
                    )
                )
                print(f"{name:26s} {row['bytes']:5.3f} {cells}", flush=True)
            found["store"] = from_store(what, arguments.singles, place)
            one, cpu = found["store"].values()
            print(f"a clip of a store with open shards: {one:.2f} ms ({cpu:.2f})")
        if arguments.remote:
            whats = ("logits", "embeddings")
            results["remote"] = remote(
                *(whats, arguments.remote_clips, arguments.rounds, place)
            )
            for what, found in results["remote"].items():
                print(f"\n{what} of {arguments.remote_clips} clips in an object store")
                for name, row in found.items():
                    print(
                        f"{name:26s} all {row['all_s']:7.2f} s, one clip "
                        f"{row['one_ms']:7.1f} ms"
                    )
    print(json.dumps(results))


if __name__ == "__main__":
    main()
