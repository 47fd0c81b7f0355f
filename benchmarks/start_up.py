"""Seconds from ``python main.py`` to the end of the first training step.

    python benchmarks/start_up.py

Cold: in an empty folder, so that the miniature is written and aligned first. Warm: once
more in the same folder. Beside them what a part of it takes by itself: the bare
interpreter, ``--help``, ``--dry_run``, and importing the backend. Medians of several
rounds, one process each. The last line is one JSON object with seconds and ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Runs main.py and leaves after the first step.
FIRST_STEP = """
import os, sys
from emorec.training import backend
backend.choose_backend()  # before Keras is imported
from emorec.cli.mosei import main
from emorec.training import fit
def leave(self, batch, logs=None):
    os._exit(0)
fit.Progress.on_train_batch_end = leave
main(sys.argv[1:])
"""
OPTIONS = ["-l", "2", "-n", "128", "-d", "0.2"]
WAYS = {
    "interpreter": ["-c", "pass"],
    "--help": [str(ROOT / "main.py"), "--help"],
    "--dry_run": [str(ROOT / "main.py"), *OPTIONS, "--dry_run"],
    "backend's import": ["-c", "import keras"],
    "first step, cold": ["-c", FIRST_STEP, *OPTIONS],
    "first step, warm": ["-c", FIRST_STEP, *OPTIONS],
}


def seconds(arguments: list[str], folder: str) -> float:
    environment = {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", **os.environ}
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    taken = time.perf_counter() - began
    if done.returncode:
        sys.exit(done.stderr)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    taken: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            for way, command in WAYS.items():
                taken[way].append(seconds(command, folder))
    medians = {way: round(statistics.median(times), 2) for way, times in taken.items()}
    for way, value in medians.items():
        print(f"{way:20s} {value:6.2f} s")
    warm = medians["first step, warm"]
    ratio = round(warm / medians["backend's import"], 2)
    print(json.dumps({"seconds": medians, "warm / backend's import": ratio}))


if __name__ == "__main__":
    main()
