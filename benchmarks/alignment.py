"""How fast both stages of the alignment are, beside mmsdk and beside reading alone.

    python benchmarks/alignment.py --mmsdk /path/to/python/with/mmsdk
    python benchmarks/alignment.py --videos 20 --rounds 5

From 400 videos on emorec uses all cores; h5py and mmsdk use one. Videos are drawn at
CMU-MOSEI's rates (2.6 words a second, FACET 30 Hz x 35, COVAREP 100 Hz x 74), in
files plain or packed with gzip 9, as the SDK packs. Each round runs every program in
a process of its own, in turn; medians of the seconds inside the process, without
imports. mmsdk takes minutes and has its own number of rounds. The last line is one
JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PROGRAMS = ("emorec", "h5py", "mmsdk")


def write_corpus(folder: Path, videos: int, minutes: float, level: int | None) -> None:
    from emorec.corpora import mosei
    from emorec.labels import MOSEI_ALL
    from emorec.sequences.csd import Rows, write_sequence

    rates = {mosei.TEXT: (2.6, 300), mosei.IMAGE["facet"]: (30, 35)}
    rates |= {mosei.AUDIO: (100, 74), mosei.LABELS: (1 / 7.5, len(MOSEI_ALL))}
    for name, (rate, width) in rates.items():

        def entries(rate=rate, width=width):
            for number in range(videos):
                random = np.random.default_rng((number, width))
                count = max(2, int(minutes * 60 * rate))
                starts = np.arange(count) / rate
                intervals = np.stack([starts, starts + 1 / rate], axis=1)
                features = random.standard_normal((count, width), dtype=np.float32)
                yield f"video{number:05d}", Rows(intervals.astype(np.float32), features)

        metadata = mosei.describe("benchmark", ["x"] * width, "synthetic")
        path = folder / mosei.FILES[name]
        write_sequence(path, name, entries(), metadata, level)


def run_emorec(folder: Path) -> float:
    from emorec.corpora import mosei
    from emorec.sequences.parallel import align_on_cores

    names = mosei.sequence_names("facet")
    with tempfile.TemporaryDirectory() as parts:
        began = time.perf_counter()
        files = mosei.open_files(folder, names)
        align_on_cores(files.sequences, mosei.TEXT, mosei.LABELS, Path(parts))
        return time.perf_counter() - began


def run_h5py(folder: Path) -> float:
    import h5py

    began = time.perf_counter()
    for path in sorted(folder.glob("*.csd")):
        with h5py.File(path, "r") as file:
            for entry in file[next(iter(file))]["data"].values():
                entry["intervals"][()]
                entry["features"][()]
    return time.perf_counter() - began


def run_mmsdk(folder: Path) -> float:
    """Align with mmsdk, as its documentation does."""
    import contextlib
    import io

    with contextlib.redirect_stdout(io.StringIO()):
        from mmsdk import mmdatasdk
    labels = next(folder.glob("*Labels.csd"))
    recipe = {path.stem: str(path) for path in folder.glob("*.csd") if path != labels}
    began = time.perf_counter()
    dataset = mmdatasdk.mmdataset(recipe)
    words = next(name for name in recipe if "Word" in name)
    dataset.align(words, [lambda intervals, features: np.average(features, axis=0)])
    dataset.add_computational_sequences({"All Labels": str(labels)}, None)
    dataset.align("All Labels")
    return time.perf_counter() - began


def measure(program: str, python: str, folder: Path) -> float:
    command = [python, __file__, "--run", program, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{program} failed:\n{done.stderr[-2000:]}")
    return float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=400)
    parser.add_argument("--minutes", type=float, default=1.2, help="length of a video")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mmsdk", metavar="PYTHON", help="an interpreter with mmsdk")
    parser.add_argument("--mmsdk_rounds", type=int, default=1)
    parser.add_argument("--run", choices=PROGRAMS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        print(globals()[f"run_{arguments.run}"](arguments.folder))
        return
    pythons = {"emorec": sys.executable, "h5py": sys.executable}
    if arguments.mmsdk:
        pythons["mmsdk"] = arguments.mmsdk
    ratios = {}
    print(f"{'files':6s} " + " ".join(f"{name + ' s':>9s}" for name in pythons))
    with tempfile.TemporaryDirectory() as scratch:
        for kind, level in (("plain", None), ("gzip", 9)):
            folder = Path(scratch) / kind
            write_corpus(folder, arguments.videos, arguments.minutes, level)
            seconds: dict[str, list[float]] = {name: [] for name in pythons}
            for number in range(arguments.rounds):
                for name, python in pythons.items():
                    if name == "mmsdk" and number >= arguments.mmsdk_rounds:
                        continue
                    seconds[name].append(measure(name, python, folder))
            medians = {name: statistics.median(s) for name, s in seconds.items()}
            print(f"{kind:6s} " + " ".join(f"{s:9.3f}" for s in medians.values()))
            for name, value in medians.items():
                if name != "emorec":
                    ratios[f"{kind}: {name} / emorec"] = round(
                        value / medians["emorec"], 3
                    )
    print(json.dumps(ratios))


if __name__ == "__main__":
    main()
