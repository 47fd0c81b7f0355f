"""A recipe that costs nothing, for tests of what an extraction does with recipes.

A clip is a small .npy file; what happens to it stands in its name. Whoever extracts it
leaves a line in the folder that the environment names. ``python -m
tests.extraction_recipes OUTPUT CLIPS OPTIONS`` extracts in a process of its own, as
``emorec extract`` does.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import numpy as np

from emorec.artifacts.stores import open_store
from emorec.errors import DataError, MissingExtraError
from emorec.training.recipes import Source

ROOT = Path(__file__).resolve().parents[1]
# Folder of notes; word of a clip's name -> what happens.
CALLS = "EXTRACTION_CALLS"
BAD, PARTLY, SLOW, DIES, DIES_ONCE, FAULT, LACKS, WAITS = (
    *("bad", "partly", "slow", "dies", "once", "fault", "lacks", "waits"),
)


def draw(folder, count, first=0, names=()):
    """Write clips c00000.npy and on; names of numbers by `names`, as {3: "bad"}."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = dict(names)
    for number in range(first, first + count):
        random = np.random.default_rng(number)
        clip = random.normal(size=(3 + number % 5, 4)).astype(np.float32)
        word = f"-{names[number]}" if number in names else ""
        np.save(folder / f"c{number:05d}{word}.npy", clip)
    return folder


def calls(folder):
    """Return the clips in the order in which they were extracted."""
    lines = []
    for path in Path(folder).glob("*.txt"):
        lines += path.read_text().splitlines()
    return [line.split()[1] for line in sorted(lines)]


def processes(folder):
    """Return the numbers of the processes that have extracted."""
    return [int(path.stem) for path in Path(folder).glob("*.txt")]


# Not in the environment of processes that a cluster has begun before.
def notes():
    return os.environ.get(CALLS, "")


@dataclass(frozen=True)
class Drawn:
    """Arrays of drawn clips."""

    scale: float = 2.0
    seconds: float = 0.0
    calls: str = field(default_factory=notes)
    kind: str = "drawn"

    def settings(self):
        return {"scale": self.scale, "arrays": ["twice", "sums"]}

    def sources(self, paths):
        files = sorted(path for root in paths for path in Path(root).glob("*.npy"))
        return [Source(path.stem, {"clip": path}) for path in files]

    def reader(self):
        return self._read

    def judge(self):
        return self._judge

    def whole(self):
        def whole(source):
            reasons = {"sums": "as asked"} if PARTLY in source.id else {}
            return self._judge(self._read(source)), reasons

        return whole

    def _read(self, source):
        if self.calls:
            with open(f"{self.calls}/{os.getpid()}.txt", "a") as file:
                file.write(f"{time.time_ns()} {source.id}\n")
        happens(source, Path(self.calls))
        time.sleep(self.seconds)
        return {"clip": np.load(source.paths["clip"])}

    def _judge(self, read):
        clip = read["clip"]
        return {"twice": clip * np.float32(self.scale), "sums": clip.sum(axis=1)}


@dataclass(frozen=True)
class Whole(Drawn):
    """Of a kind that only knows how to do it at once."""

    reader = None
    judge = None

    def whole(self):
        own = Drawn(self.scale, self.seconds, self.calls)
        return own.whole()


def happens(source, calls):
    name, path = source.id, source.paths["clip"]
    if BAD in name:
        raise DataError(f"{path}: bad, as asked.")
    if FAULT in name:
        raise ZeroDivisionError("as asked")
    if LACKS in name:
        raise MissingExtraError("nothing", "extra", "The clip")
    if DIES in name:
        os._exit(9)
    if DIES_ONCE in name and not (calls / name).exists():
        (calls / name).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    while WAITS in name and not (calls / "go").exists():
        time.sleep(0.02)
    if SLOW in name:
        time.sleep(1)


def extract(arguments):
    """Run ``emorec extract`` with this recipe, which has some options of its own."""
    from emorec.cli import app
    from emorec.cli import extract as command
    from emorec.cluster import extraction_on_ray

    # By their names, as other processes import them.
    from tests.extraction_recipes import Drawn, Whole

    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--scale", type=float, default=2.0)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--blocks", type=int, default=10_000)
    own, rest = parser.parse_known_args(list(map(str, arguments)))
    recipe = (Whole if own.whole else Drawn)(own.scale, own.seconds)
    with (
        patch.object(command, "recipe_of", lambda parsed: recipe),
        patch.object(extraction_on_ray, "_BLOCKS", own.blocks),
    ):
        return app.main(["extract", "speech", *rest])


def start(place, *options, preexec_fn=None):
    """Begin to extract clips/ into out/, in shards of 8, in a process of its own."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.extraction_recipes", place / "clips"),
            *("--output", place / "out", "--shard_size", "8", *options),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=preexec_fn,
    )


def content(folder):
    """Return everything that a store tells, clip by clip."""
    with open_store(folder) as store:
        arrays = {
            entry.id: {name: array.tolist() for name, array in entry.arrays.items()}
            for entry in store.entries()
        }
        return arrays, store.failures.to_dict("list"), store.settings


def times(folder):
    """Return the times of the whole shards of a store."""
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("shards/[0-9]*")}


def wait_for(path, process, seconds=120):
    """Wait until a file is there, which a running process writes."""
    until = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)


if __name__ == "__main__":
    sys.exit(extract(sys.argv[1:]))
