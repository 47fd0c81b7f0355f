"""What full CMU-MOSEI costs: seconds, memory and disk of every stage.

    python benchmarks/full_scale.py --labels FOLDER --scratch FOLDER
    python benchmarks/full_scale.py --labels FOLDER --scratch FOLDER -f openface

FOLDER holds the real ``labels.csv`` (id, start, end, seven scores) and
``standard_folds.json``: ids, intervals, labels and folds are those of the corpus. The
feature streams are noise at the real rates and widths (2.6 words a second x 300, FACET
or OpenFace_2 at 30 Hz x 35 or 713, COVAREP at 100 Hz x 74), up to the end of each
video's last segment, in files packed by gzip 9. Noise hardly shrinks, so reading is as
slow as it can get. The streams are kept for the next time: 9 GB, with OpenFace_2 35 GB.

Every stage is a command as a user types it, in processes of its own. Memory is the
largest sum over them: what they hold themselves, and in brackets with the mapped files
that the system may drop. The last line is one JSON object with the numbers and ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import h5py
import numpy as np

RATES = {"words": 2.6, "image": 30.0, "audio": 100.0}
# Videos without COVAREP and stretches without a face, as the corpus has them.
WITHOUT_AUDIO, WITHOUT_FACE = 0.003, 0.05


def write_corpus(labels: Path, folder: Path, image_feature: str, videos: int) -> None:
    """Write the sequences of the first `videos` videos; 0 takes all."""
    from emorec.corpora import mosei
    from emorec.corpora.folds import FILE_NAME

    folder.mkdir(parents=True, exist_ok=True)
    table = mosei.read_labels_table(labels / "labels.csv")
    if videos:
        table = table[table["id"].isin(sorted(table["id"].unique())[:videos])]
    mosei.write_labels(table, folder / mosei.FILES[mosei.LABELS])
    kept = set(table["id"])
    folds = json.loads((labels / FILE_NAME).read_text())
    folds = {fold: [v for v in ids if v in kept] for fold, ids in folds.items()}
    (folder / FILE_NAME).write_text(json.dumps(folds))
    seconds = (table.groupby("id")["end"].max() + 1.0).to_dict()
    image = mosei.IMAGE[image_feature]
    width = {"facet": 35, "openface": 713}[image_feature]
    streams = {
        mosei.TEXT: ("words", 300),
        image: ("image", width),
        mosei.AUDIO: ("audio", 74),
    }
    for name, (kind, width) in streams.items():
        path = folder / mosei.FILES[name]
        if not path.exists():
            write_stream(path, name, kind, width, seconds)


def write_stream(
    path: Path, name: str, kind: str, width: int, seconds: dict[str, float]
) -> None:
    """Write one stream; its chunks are a few packed ones, over and over."""
    from emorec.corpora import mosei
    from emorec.sequences.csd import write_sequence

    temporary = path.with_suffix(".part")
    metadata = mosei.describe("CMU-MOSEI", ["x"] * width, "noise at real rates")
    write_sequence(temporary, name, [], metadata)
    with h5py.File(temporary, "r+") as file:
        data = file[name]["data"]
        for number, video in enumerate(sorted(seconds, key=str.encode)):
            random = np.random.default_rng((number, width))
            if kind == "audio" and random.random() < WITHOUT_AUDIO:
                continue
            intervals = draw_times(kind, seconds[video], random)
            entry = data.create_group(video)
            packing = {"compression": "gzip", "compression_opts": 9}
            entry.create_dataset("intervals", data=intervals, **packing)
            features = entry.create_dataset(
                "features", (len(intervals), width), np.float32, **packing
            )
            chunks = [
                zlib.compress(random.standard_normal(features.chunks, np.float32), 9)
                for _ in range(3)
            ]
            for row in range(0, len(intervals), features.chunks[0]):
                for column in range(0, width, features.chunks[1]):
                    chunk = chunks[random.integers(len(chunks))]
                    features.id.write_direct_chunk((row, column), chunk)
    temporary.rename(path)


def draw_times(kind: str, seconds: float, random: np.random.Generator) -> np.ndarray:
    """Return the (n, 2) float32 times of a stream."""
    if kind == "words":
        count = max(1, round(seconds * RATES[kind]))
        starts = np.sort(random.uniform(0, seconds, count))
        ends = np.append(starts[1:], seconds)
        # Pauses follow some words.
        ends = starts + (ends - starts) * random.choice([1.0, 0.6], count)
        return np.stack([starts, ends], 1).astype(np.float32)
    starts = np.arange(max(1, int(seconds * RATES[kind]))) / RATES[kind]
    if kind == "image" and random.random() < WITHOUT_FACE:
        gap = random.uniform(0, seconds)
        starts = starts[(starts < gap) | (starts > gap + 2)]
    return np.stack([starts, starts + 1 / RATES[kind]], 1).astype(np.float32)


class Watch(threading.Thread):
    """Samples the memory of a process and of those that it began."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self.process = process
        self.peaks = (0.0, 0.0)

    def run(self) -> None:
        """Sample until the process has ended."""
        while True:
            own, mapped = tree_memory(self.process)
            if own == 0:
                return
            self.peaks = max(self.peaks[0], own), max(self.peaks[1], own + mapped)
            time.sleep(0.05)

    def take(self) -> tuple[float, float]:
        """Return the peaks since the last time, in MB."""
        peaks, self.peaks = self.peaks, (0.0, 0.0)
        return peaks


def tree_memory(process: int) -> tuple[float, float]:
    """Return MB that a process tree holds itself, and of mapped files."""
    own = mapped = 0.0
    waiting = [process]
    while waiting:
        number = waiting.pop()
        try:
            status = Path(f"/proc/{number}/status").read_text()
            waiting += map(
                int, Path(f"/proc/{number}/task/{number}/children").read_text().split()
            )
        except OSError:
            continue
        sizes = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        own += int(sizes.get("RssAnon", "0 kB").split()[0]) / 1000
        mapped += int(sizes.get("RssFile", "0 kB").split()[0]) / 1000
    return own, mapped


def run(command: list[str], marks: dict[str, str], where: Path) -> list[dict]:
    """Run a command; return a stage for its begin and for each mark in its output."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=where, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    watch = Watch(process.pid)
    watch.start()
    names, stages, lines = list(marks), [], []

    def close(name: str) -> None:
        nonlocal began
        own, mapped = watch.take()
        now = time.perf_counter()
        stages.append(
            {"stage": name, "seconds": now - began, "memory": own, "mapped": mapped}
        )
        began = now

    for line in process.stdout:
        lines.append(line)
        if len(stages) + 1 < len(names) and marks[names[len(stages) + 1]] in line:
            close(names[len(stages)])
    error = process.stderr.read()
    if process.wait():
        sys.exit(f"{' '.join(command)} failed:\n{''.join(lines)}{error}")
    close(names[-1])
    return stages


def size(folder: Path) -> float:
    """Return the GB of a folder's files."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e9


def read_alone(folder: Path) -> None:
    """Read every entry with h5py and nothing else."""
    for path in sorted(folder.glob("*.csd")):
        with h5py.File(path, "r") as file:
            for entry in file[next(iter(file))]["data"].values():
                entry["intervals"][()]
                entry["features"][()]


def measure(
    corpus: Path, output: Path, image_feature: str, options: list[str]
) -> list[dict]:
    """Run every stage on `corpus`; return one row a stage."""
    python = [sys.executable, "-W", "error::ResourceWarning"]
    emorec = [*python, "-m", "emorec", "mosei"]
    suffix = "" if image_feature == "facet" else f"_{image_feature}"
    aligned = f"pickles/cmu_mosei_aligned{suffix}.pkl"
    feature = ["-f", image_feature]
    main = [*emorec, "train", "-df", str(corpus), "-pf", "pickles", *feature]
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    stages = run([*emorec, "--help"], {"start (imports of --help)": ""}, output)
    this = [sys.executable, __file__, "--read", str(corpus)]
    stages += run(this, {"h5py alone reads": ""}, output)
    stages += run([*emorec, "inspect", str(corpus)], {"inspect": ""}, output)
    align = [*emorec, "align", str(corpus), "--output", aligned, *feature]
    stages += run(align, {"align": ""}, output)
    stages[-1]["disk"] = size(output)
    marks = {
        "split": "",
        "train one epoch": "Training on",
        "evaluate, write": "Kept epoch",
    }
    stages += run([*main, "-e", "1", *options], marks, output)
    stages[-1]["disk"] = size(output)
    return stages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--labels", type=Path)
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("-f", "--image_feature", default="facet")
    parser.add_argument("--videos", type=int, default=0, help="0: all 3,293")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    arguments, options = parser.parse_known_args()
    if arguments.read:
        read_alone(arguments.read)
        return
    scratch = arguments.scratch.resolve()
    corpus = scratch / f"corpus_{arguments.image_feature}_{arguments.videos}"
    began = time.perf_counter()
    write_corpus(arguments.labels, corpus, arguments.image_feature, arguments.videos)
    print(
        f"corpus: {size(corpus):.1f} GB, {time.perf_counter() - began:.0f} s to write"
    )
    os.environ.setdefault("PYTHONPATH", str(Path(__file__).parents[1]))
    stages = measure(corpus, scratch / "output", arguments.image_feature, options)
    print(f"{'stage':26s} {'seconds':>8s} {'memory MB':>20s} {'disk GB':>8s}")
    for row in stages:
        memory = f"{row['memory']:.0f} ({row['mapped']:.0f})"
        disk = f"{row['disk']:.2f}" if "disk" in row else ""
        print(f"{row['stage']:26s} {row['seconds']:8.1f} {memory:>20s} {disk:>8s}")
    seconds = {row["stage"]: row["seconds"] for row in stages}
    ratio = round(seconds["align"] / seconds["h5py alone reads"], 3)
    print(json.dumps({"stages": stages, "align / h5py alone": ratio}))


if __name__ == "__main__":
    main()
