"""A training that takes no time, for tests of what a sweep does with trainings.

It tells a follower of its epochs and leaves history and record, as those of emorec do;
its loss is a formula. ``python -m tests.sweep_trainings OUTPUT CONFIG`` runs a sweep of
it in a process of its own, with ``--ray`` on Ray, with ``--ray=ADDRESS`` on that of a
running cluster.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pandas as pd

from emorec.artifacts.runs import RunFolder
from emorec.artifacts.spec import Modality, Spec
from emorec.artifacts.tables import write_table
from emorec.cluster.config import parse
from emorec.cluster.ranking import TABLE
from emorec.cluster.sweep import opened, run_here
from emorec.cluster.trials import FOLDER
from emorec.labels import MOSEI
from emorec.training.following import tell

CONFIG = {
    "command": ["mosei", "train"],
    "metric": "val_loss",
    "mode": "min",
    "search": {"rate": [0.1, 0.01, 0.001], "nodes": [8, 64]},
}
RANDOM = CONFIG | {
    "method": "random",
    "trials": 8,
    "search": {
        "rate": {"low": 1e-4, "high": 1.0, "log": True},
        "nodes": {"low": 8, "high": 64},
    },
}
ASHA = RANDOM | {"scheduler": "asha", "grace": 1, "reduction": 3, "trials": 12}
EPOCHS = 9
ROOT = Path(__file__).resolve().parents[1]
# Names of trials, with commas: what happens to them; they hang once.
CRASH, HANG, DIE = "SWEEP_CRASH", "SWEEP_HANG", "SWEEP_DIE"
# After so many lines the sweep's own process can write no more: the disk is full.
FULL = "SWEEP_FULL"


def loss(rate, nodes, epoch):
    """Return the validation loss after an epoch; the rate 0.01 is the best one."""
    return abs(rate - 0.01) * 10 + nodes / 1000 + 1 / epoch


def words(options, name, output, command=("mosei", "train")):
    """Return the command line of a trial."""
    given = {**options, "output": output, "name": name}
    return [*command, *(f"--{key}={value}" for key, value in given.items())]


def call(arguments):
    """Train; note in ``calls.txt`` that it was called."""
    given = dict(word[2:].split("=", 1) for word in arguments if word.startswith("--"))
    folder, name = Path(given["output"]), given["name"]
    rate, nodes = float(given["rate"]), int(given["nodes"])
    with (folder / "calls.txt").open("a") as file:
        file.write(f"{name} {os.getpid()}\n")
    print(f"training {name}")
    history = {"loss": [], "val_loss": []}
    for epoch in range(1, EPOCHS + 1):
        history["loss"].append(1 / epoch)
        history["val_loss"].append(loss(rate, nodes, epoch))
        tell(epoch, history)
        if epoch == 2 and name in os.environ.get(CRASH, ""):
            raise ZeroDivisionError("as asked")
        if epoch == 2 and name in os.environ.get(DIE, ""):
            os.kill(os.getpid(), signal.SIGKILL)
        hanging = folder / "hanging"
        if epoch == 2 and name in os.environ.get(HANG, "") and not hanging.exists():
            hanging.write_text(str(os.getpid()))
            time.sleep(300)
    settings = {"rate": rate, "nodes": nodes}
    run = RunFolder(folder, name)
    table = pd.DataFrame(history)
    write_table(folder / f"history_{name}.csv", table)
    training = {"epochs": EPOCHS, "best_epoch": EPOCHS, "seconds": 0.0}
    spec = Spec(MOSEI, (Modality("text", "words", 3),), 0, "all")
    run.write_record(
        settings, spec, system="mosei", status="complete", training=training
    )
    return 0


def until_full(lines):
    """Return what prints so many lines, and then fills the disk for this process."""

    def say(line):
        nonlocal lines
        print(line, flush=True)
        lines -= 1
        if not lines:
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))

    return say


def sweep(output, content, on_ray=None, say=print, **kwargs):
    """Run a sweep of this training, here or on Ray; return its state.

    `on_ray` is the address of a cluster, or empty for a Ray of its own.
    """
    output = Path(output)
    config = parse(content, {})
    line = partial(words, output=output)
    with opened(config, output, line, say, **kwargs) as own:
        if on_ray is not None:
            from emorec.cluster.on_ray import Resources, run_on_ray

            # By its name, as other processes import it.
            from tests.sweep_trainings import call as importable

            run_on_ray(own, importable, Resources(workers=2, address=on_ray))
        else:
            run_here(own, call)
        own.check_failures()
    return own


def claimed(folder, content):
    """Make the folder of a sweep of which no trial has begun; return that of these."""
    with opened(parse(content, {}), folder, lambda *_: [], print):
        (folder / FOLDER).mkdir()
    return folder / FOLDER


def calls(folder):
    """Return the trials in the order in which their training was called."""
    return [line.split()[0] for line in (folder / "calls.txt").read_text().splitlines()]


def table(folder):
    """Return the rows without what differs from time to time."""
    return pd.read_csv(folder / TABLE).drop(columns="seconds")


def start(folder, content, *options, **environment):
    """Return a process that runs a sweep."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.sweep_trainings", folder),
            *(json.dumps(content), *options),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def hang(folder, content, name, *options, **environment):
    """Return a process whose sweep hangs in a trial."""
    process = start(folder, content, *options, **{HANG: name}, **environment)
    wait_for(folder / "hanging", process)
    return process


def wait_for(path, process):
    """Wait until a process has written a file."""
    until = time.monotonic() + 200
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)


def at_first_rung(rows):
    """Return the losses after one epoch."""
    return [loss(row.rate, row.nodes, 1) for row in rows.itertuples()]


if __name__ == "__main__":
    place, described, *ray = sys.argv[1:]
    sweep(
        place,
        json.loads(described),
        ray[0].removeprefix("--ray").lstrip("=") if ray else None,
        until_full(int(os.environ.get(FULL, 0))),
    )
