"""A training that takes no time, for tests of what a sweep does with trainings.

It tells a follower of its epochs and leaves history and record, as those of emorec do;
its loss is a formula. ``python -m tests.sweep_trainings OUTPUT CONFIG`` runs a sweep of
it in a process of its own, with ``--ray`` on Ray.
"""

import json
import os
import sys
import time
from functools import partial
from pathlib import Path

import pandas as pd

from emorec.artifacts.runs import RunFolder
from emorec.artifacts.spec import Modality, Spec
from emorec.artifacts.tables import write_table
from emorec.cluster.config import parse
from emorec.cluster.sweep import opened, run_here
from emorec.labels import MOSEI
from emorec.training.following import tell

CONFIG = {
    "command": ["mosei", "train"],
    "metric": "val_loss",
    "mode": "min",
    "search": {"rate": [0.1, 0.01, 0.001], "nodes": [8, 64]},
}
EPOCHS = 9
# Names of trials, with commas: what happens to them.
CRASH, HANG, DIE = "SWEEP_CRASH", "SWEEP_HANG", "SWEEP_DIE"


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
            os._exit(9)
        if epoch == 2 and name in os.environ.get(HANG, ""):
            (folder / "hanging").touch()
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


def sweep(output, content, on_ray=False, say=print, **kwargs):
    """Run a sweep of this training, here or on Ray; return its state."""
    output = Path(output)
    config = parse(content, {})
    line = partial(words, output=output)
    with opened(config, output, line, say, **kwargs) as own:
        if on_ray:
            from emorec.cluster.on_ray import Resources, run_on_ray

            # By its name, as other processes import it.
            from tests.sweep_trainings import call as importable

            run_on_ray(own, importable, Resources(workers=2))
        else:
            run_here(own, call)
        own.check_failures()
    return own


if __name__ == "__main__":
    sweep(sys.argv[1], json.loads(sys.argv[2]), "--ray" in sys.argv)
