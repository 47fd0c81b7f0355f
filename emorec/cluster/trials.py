"""One trial: an ordinary training of emorec in this process, and what came of it."""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emorec.cluster import halving
from emorec.cluster.config import SweepConfig
from emorec.cluster.space import Point
from emorec.errors import BusyError, DataError, EmorecError, SpecError, shorten
from emorec.files import read_json
from emorec.training.following import followed_by
from emorec.training.kept_data import keeping

FOLDER = "trials"
RUNNING, DONE, STOPPED, FAILED = "running", "done", "stopped", "failed"
# Exit codes of a training that has results; 3: some clips were left out.
_WITH_RESULTS = (0, 3)
_WAIT = 2.0
# What the next trial in this process may need again.
_data: dict[str, Any] = {}
Call = Callable[[Sequence[str]], int]
# Takes the epoch of a rung and the metric there; tells whether the trial ends.
Judge = Callable[[int, float], bool]


class TrialStopped(Exception):  # noqa: N818 - it is no error
    """The scheduler has ended the training."""


@dataclass
class Trial:
    """A trial, as its file tells of it.

    Attributes
    ----------
    number : int
        From 0.
    options : dict
        The point of the search.
    state : str
        ``running``, ``done``, ``stopped`` (by the scheduler) or ``failed``.
    metric : float or None
        Of a finished one; of several trainings (folds, networks, seeds) the mean.
    epochs : int
        Of all its trainings.
    seconds : float
        From the command's beginning to its end, without the imports of a process.
    runs : list of str
        Its runs, as ``emorec predict`` and others take them from the sweep's folder.
    digests : list of str
        Of the settings of these.
    rungs : dict
        Epoch -> metric where the scheduler compared it.
    reason : str
        Why it failed, or was stopped.
    """

    number: int
    options: Point
    state: str = RUNNING
    metric: float | None = None
    epochs: int = 0
    seconds: float = 0.0
    runs: list[str] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    rungs: dict[int, float] = field(default_factory=dict)
    reason: str = ""

    @property
    def name(self) -> str:
        """What the run is called."""
        return f"trial_{self.number:04d}"

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self) | {"rungs": {str(k): v for k, v in self.rungs.items()}}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Trial:
        """Return the trial that `to_dict` described."""
        rungs = {int(k): v for k, v in content.get("rungs", {}).items()}
        return cls(**content | {"rungs": rungs})


def trial_path(output: Path, number: int, ending: str) -> Path:
    """Return where a trial's record (json) or output (log) lies."""
    return output / FOLDER / f"{number:04d}.{ending}"


def run_trial(
    call: Call,
    arguments: Sequence[str],
    trial: Trial,
    output: Path,
    config: SweepConfig,
    judge: Judge,
) -> Trial:
    """Train, in this process, and return the trial with what came of it.

    What the command prints goes to the trial's log. Errors end the trial, not the
    sweep.

    Parameters
    ----------
    call : callable
        Runs a command line of emorec and returns its exit code.
    arguments : sequence of str
        The command line.
    trial : Trial
        Its number and options.
    output : Path
        Folder of the sweep.
    config : SweepConfig
        Metric and scheduler.
    judge : callable
        Asked at each rung.
    """
    log = trial_path(output, trial.number, "log")
    began = time.perf_counter()
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8", buffering=1) as file:
            now = datetime.now().isoformat(" ", "seconds")
            file.write(f"--- {now}  emorec {' '.join(arguments)}\n")
            with redirect_stdout(file), redirect_stderr(file):
                _train(call, arguments, trial, output, config, judge)
    except OSError as error:
        # Of the log alone; a run that is whole needs none.
        if trial.state == RUNNING:
            trial.state = FAILED
            trial.reason = f"{log}: cannot be written ({error.strerror})."
    trial.seconds = round(time.perf_counter() - began, 2)
    return trial


def _train(
    call: Call,
    arguments: Sequence[str],
    trial: Trial,
    output: Path,
    config: SweepConfig,
    judge: Judge,
) -> None:
    """Call the command, and fill in what came of it; errors are printed."""
    try:
        with followed_by(_watch(trial, config, judge)), keeping(_data):
            code = _when_free(call, arguments)
        if code not in _WITH_RESULTS:
            raise DataError(f"the command ended with the exit code {code}.")
        collect(trial, output, config.metric)
        trial.state = DONE
        trial.reason = "some clips were left out, see the log" if code else ""
    except TrialStopped as stopped:
        trial.state, trial.reason = STOPPED, str(stopped)
        clear(trial, output)
    except EmorecError as error:
        trial.state, trial.reason = FAILED, str(error)
        print(f"error: {error}")
    except (Exception, SystemExit) as error:
        trial.state = FAILED
        trial.reason = f"{type(error).__name__}: {error}"
        traceback.print_exc()


def _when_free(call: Call, arguments: Sequence[str]) -> int:
    """Call a command; again while another process has in hand what it needs.

    That are features which a trial beside this one computes, or the run itself, where
    a killed sweep's process has not ended yet.
    """
    while True:
        try:
            return call(arguments)
        except BusyError as error:
            print(f"waiting: {error}")
            time.sleep(_WAIT)


def _watch(
    trial: Trial, config: SweepConfig, judge: Judge
) -> Callable[[int, dict[str, float]], None]:
    """Return what follows the epochs of a trial."""
    # The name may be of the history, or of the record alone (dev_...).
    of_history = config.metric.startswith("val_")
    ended = False

    def watch(epoch: int, values: dict[str, float]) -> None:
        nonlocal ended
        if of_history and config.metric not in values:
            raise SpecError(
                f"metric = {config.metric!r}: the training tells "
                f"{', '.join(sorted(values))}."
            )
        # Of several trainings in one trial (folds, networks) the first is compared.
        ended |= epoch in trial.rungs or any(rung > epoch for rung in trial.rungs)
        if config.scheduler == "none" or ended:
            return
        if halving.is_rung(epoch, config.grace, config.reduction):
            value = trial.rungs[epoch] = values[config.metric]
            trial.epochs = epoch
            if judge(epoch, value):
                raise TrialStopped(why_stopped(config, epoch, value))

    return watch


def why_stopped(config: SweepConfig, epoch: int, value: float) -> str:
    """Return the reason of a stopped trial."""
    return f"{config.metric} {value:.5g} after epoch {epoch}, behind others"


def collect(trial: Trial, output: Path, metric: str) -> None:
    """Fill in what the records and histories of a trial's runs tell.

    Raises
    ------
    DataError
        When a run is missing or has not finished.
    SpecError
        When none of them has the metric.
    """
    found = records(trial, output)
    if not found:
        raise DataError(f"{output}: the command left no record of {trial.name}.")
    values, known, epochs = [], set(), 0
    for path, record in found:
        if record.get("status") != "complete":
            raise DataError(f"{path}: this run has not finished.")
        training = record.get("training", {})
        facts = record.get("found", {}) | training
        epochs += training.get("epochs", 0)
        history = path.with_name(f"history_{record['param_name']}.csv")
        if metric.startswith("dev_"):
            known |= {name for name in facts if name.startswith("dev_")}
            if metric in facts:
                values.append(facts[metric])
        elif history.is_file() and training:
            table = pd.read_csv(history)
            known |= {name for name in table if name.startswith("val_")}
            kept = training.get("best_epoch", training.get("kept_epoch"))
            if metric in table:
                values.append(table[metric].iloc[kept - 1])
    if not values:
        raise SpecError(
            f"metric = {metric!r}: the runs of this command have none; they have "
            f"{', '.join(sorted(known)) or 'no score on validation'}."
        )
    if not np.isfinite(values).all():
        raise DataError(f"metric = {metric!r}: not finite ({values}).")
    trial.metric, trial.epochs = float(np.mean(values)), epochs
    trial.runs = [
        str((path.parent / record["param_name"]).relative_to(output))
        for path, record in found
        if "part_of" not in record
    ]
    trial.digests = [record["run"] for _, record in found]


def records(trial: Trial, output: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Return path and content of each record of a trial's runs."""
    # In the sweep's folder under its name, or in a folder of its name.
    patterns = (
        f"run_{trial.name}.json",
        f"run_{trial.name}_*.json",
        f"{trial.name}/run_*.json",
    )
    paths = [path for pattern in patterns for path in sorted(output.glob(pattern))]
    return [(path, read_json(path)) for path in paths]


def is_intact(trial: Trial, output: Path, metric: str) -> bool:
    """Tell whether a trial's runs are still there, as they were when it finished."""
    again = Trial(trial.number, trial.options)
    try:
        collect(again, output, metric)
    except (EmorecError, KeyError, TypeError, ValueError):
        return False
    return again.digests == trial.digests and again.metric == trial.metric


def clear(trial: Trial, output: Path) -> None:
    """Remove what a stopped training would need to go on."""
    for pattern in (f"unfinished_{trial.name}*", f"{trial.name}/unfinished_*"):
        for path in output.glob(pattern):
            shutil.rmtree(path, ignore_errors=True)


def told(reason: str) -> str:
    """Return the first line of a reason, shortened for a table."""
    first = reason.strip().splitlines()[0] if reason.strip() else ""
    return first if len(first) <= 160 else shorten([first[:157] + "..."])
