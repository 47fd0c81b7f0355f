"""Unit costs on this machine: small samples, medians of rounds, one core.

Everything counts the processor's seconds of this process, which is bound to one core
with one thread, so that other programs disturb it little. Starting Ray is counted by
the clock, as its processes are not this one's.
"""

from __future__ import annotations

import itertools
import pickle
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import scale_media
from scale_corpora import MOSEI_NUMBERS
from scale_model import line
from scale_networks import SIDE, clips, frames, fusion, sounds, students
from scale_watch import EMOREC, all_cores, median, processor
from scale_watch import run as command

Costs = Iterator[tuple[str, float]]


def starts(scratch: Path, rounds: int, films) -> Costs:
    """Start processes that do next to nothing."""
    tracks, log = scratch / "one_track", scratch / "log"
    scale_media.write_tracks(tracks, 1, 1, SIDE)
    run = scale_media.write_face_run(scratch / "faces")
    label = ["faces", "label", tracks, "--model", run, "--runs", scratch / "faces"]
    used = []
    for number in range(rounds):
        output = scratch / f"started_{number}"
        used.append(command([*EMOREC, *label, "--output", output], output, log))
    yield "start_network", statistics.median(each.processor for each in used)
    yield "worker_bytes", max(each.memory for each in used)
    imports = "import emorec.cli.mosei, emorec.sequences.parallel, pandas"
    program = [sys.executable, "-c", imports]
    used = [command(program, scratch / "none", log) for _ in range(rounds)]
    yield "start_program", statistics.median(each.processor for each in used)
    ray = (
        "import ray; ray.init('local', num_cpus=2, include_dashboard=False, "
        "object_store_memory=100_000_000, log_to_driver=False); "
        "ray.get(ray.remote(lambda: 0).remote()); ray.shutdown()"
    )
    clock = []
    for _ in range(rounds):
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", ray], capture_output=True, preexec_fn=all_cores
        )
        clock.append(time.perf_counter() - began)
    # Without the extra it costs nothing, and cannot be used.
    yield "start_ray", 0.0 if done.returncode else statistics.median(clock)


def listing(scratch: Path, rounds: int, films) -> Costs:
    """Find tracks and plan their shards; tell what is held and sent of each."""
    from emorec.artifacts.locations import location
    from emorec.cluster.extraction import opened
    from emorec.cluster.extraction_notes import noted
    from emorec.training.recipes import recipe

    sizes, seconds, held = (200, 2_000), [], []
    numbers = itertools.count()

    def plan(folder: Path) -> int:
        output = scratch / f"planned_{next(numbers)}"
        with opened(recipe("faces"), [folder], output, say=lambda text: None) as own:
            return sum(len(pickle.dumps(task)) for task in own.tasks())

    for size in sizes:
        folder = scratch / f"many_{size}"
        scale_media.write_tracks(folder, size, 1, SIDE)
        seconds.append(median(lambda folder=folder: plan(folder), rounds))
        tracemalloc.start()
        sent = plan(folder)
        held.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    yield "list_clip", line(sizes, tuple(seconds))[1]
    yield "held_clip", line(sizes, tuple(held))[1]
    yield "bytes_task", sent / size

    def note() -> None:
        with noted(location(scratch / "notes"), "00000") as own:
            for number in range(size):
                own.begin(f"id00012/21Uxsk56VDQ/{number:05d}")

    yield "note", median(note, rounds) / size


def shards(scratch: Path, rounds: int, films) -> Costs:
    """Write shards and their index."""
    import pandas as pd

    from emorec.artifacts.shards import write_shard
    from emorec.artifacts.stores import INDEX_COLUMNS

    def path() -> Path:
        return scratch / "shards" / f"{time.time_ns()}.h5"

    counts, seconds = (8, 64), []
    for count in counts:
        entries = drawn_entries(count, 33)
        seconds.append(median(lambda e=entries: write_shard(path(), e, "x"), rounds))
    yield from zip(("shard", "keep"), line(counts, tuple(seconds)), strict=True)
    lengths, bytes_ = (33, 330), []
    for rows in lengths:
        written = path()
        write_shard(written, drawn_entries(64, rows), "x")
        bytes_.append(written.stat().st_size / 64)
    names = ("bytes_clip", "bytes_face")
    yield from zip(names, line(lengths, tuple(bytes_)), strict=True)
    name = "id00012/21Uxsk56VDQ/00001.mp4"
    yield "bytes_plan", len(f"17628,{name},123456,1700000000000000000\n")
    many = 20_000
    rows = [(n, 64, 1, 148_211) for n in range(many)]

    def index() -> bytes:
        table = pd.DataFrame(rows, columns=list(INDEX_COLUMNS))
        return table.to_csv(index=False).encode()

    yield "index_row", median(index, rounds) / many


def drawn_entries(count: int, rows: int) -> list:
    """Return entries as those of a face network."""
    from emorec.artifacts.shards import Entry

    random = np.random.default_rng(0)
    return [
        Entry(
            f"id00012/21Uxsk56VDQ/{number:05d}.mp4",
            (123_456, 1_700_000_000_000_000_000 + number),
            {
                "times": np.arange(rows) * 0.24,
                "logits": random.standard_normal((rows, 8), dtype=np.float32),
                "boxes": random.random((rows, 4), np.float32),
                "tracks": np.zeros(rows, np.int32),
            },
            {},
        )
        for number in range(count)
    ]


def holding(scratch: Path, rounds: int, films) -> Costs:
    """Join sounds and faces for a student; tell what is held at most meanwhile."""
    count, lengths, held = 2_000, (1, 33), []
    for rows in lengths:
        path = scratch / f"logits_{rows}.npz"
        scale_media.write_scores(path, count, rows)
        scale_media.join_scores(path, count)  # imports stay
        tracemalloc.start()
        scale_media.join_scores(path, count)
        held.append(tracemalloc.get_traced_memory()[1] / count)
        tracemalloc.stop()
    names = ("held_voice", "held_face")
    yield from zip(names, line(lengths, tuple(held)), strict=True)


def words(scratch: Path, rounds: int, films) -> Costs:
    """Index a file of word vectors, and look words up."""
    from emorec.features.subtitles import Cue
    from emorec.training.open_features import words_by_vectors

    lines, path = 4_000, scratch / "vectors.txt"
    random = np.random.default_rng(0)
    if not path.is_file():
        rows = random.standard_normal((lines, 300)).round(4)
        text = (f"{name(n)} {' '.join(map(str, row))}\n" for n, row in enumerate(rows))
        path.write_text("".join(text))
    yield "vector_line", median(lambda: words_by_vectors(path), rounds) / lines
    said = random.zipf(1.3, 5_000) % lines
    cues = [
        Cue(i / 2.6, (i + 12) / 2.6, " ".join(map(name, said[i : i + 12])))
        for i in range(0, len(said), 12)
    ]
    seconds = []
    for _ in range(rounds):
        # A new one each time, for it remembers words.
        front = words_by_vectors(path)
        seconds.append(processor(lambda front=front: front.rows(cues)))
    yield "word", statistics.median(seconds) / len(said)
    rows = front.rows(cues)
    size = rows.features.nbytes + rows.intervals.nbytes
    yield "bytes_word", size / len(said)


def name(number: int) -> str:
    """Return a word of letters, for a number beside a word is a word of its own."""
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


def alignment(scratch: Path, rounds: int, films) -> Costs:
    """Align packed files to parts, both stages, at two lengths of a video."""
    from alignment import write_corpus

    from emorec.corpora import mosei
    from emorec.sequences.alignment import AlignedDataset
    from emorec.sequences.parallel import align_on_cores

    videos, lengths, seconds = 24, (0.15, 1.2), []
    for minutes in lengths:
        folder = scratch / f"align_{minutes}"
        if not folder.is_dir():
            folder.mkdir()
            write_corpus(folder, videos, minutes, 9)

        def align(parts: Path, folder=folder) -> AlignedDataset:
            files = mosei.open_files(folder, mosei.sequence_names("facet"))
            return align_on_cores(
                *(files.sequences, mosei.TEXT, mosei.LABELS, parts), workers=1
            )

        # A new folder each time, or what is there would not be made again.
        fresh = (scratch / f"parts_{minutes}_{n}" for n in itertools.count())
        made = median(lambda a=align, f=fresh: a(next(f)), rounds)
        seconds.append(made / videos)
    numbers = tuple(60 * minutes * MOSEI_NUMBERS for minutes in lengths)
    fixed, each = line(numbers, tuple(seconds))
    yield "align_video", fixed
    yield "align_value", each
    tracemalloc.start()
    aligned = align(scratch / f"parts_{lengths[-1]}_0")
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    yield "held_segment", held / len(aligned.sequences[mosei.LABELS])


# Each takes a folder for samples, the rounds, and films to look at instead of a drawn
# one, and yields unit costs by name.
PARTS = {
    part.__name__: part
    for part in (
        *(starts, listing, shards, clips, frames, sounds, words, alignment),
        *(fusion, students, holding),
    )
}
