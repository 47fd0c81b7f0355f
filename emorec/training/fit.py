"""Fitting a network: early stopping, best weights, resuming, history."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from emorec.artifacts.tables import write_table
from emorec.batches.pipeline import Pipeline
from emorec.errors import DataError, MissingExtraError
from emorec.files import read_json, whole_file, write_json
from emorec.training import division, hosts
from emorec.training.following import tell


@dataclass
class FitResult:
    """What a training did.

    Attributes
    ----------
    history : dict
        ``loss``, ``val_loss``, ``acc``, ``val_acc``: one value an epoch.
    best_epoch : int
        Epoch of the best validation value, counted from 0; its weights are restored.
    resumed_at : int
        Epoch at which an interrupted training went on, 0 for a fresh one.
    """

    history: dict[str, list[float]]
    best_epoch: int
    resumed_at: int = 0


class Progress(keras.callbacks.Callback):
    """Keep the best weights, stop early, and save what resuming needs.

    Keras' own callbacks forget, on resuming, what was best and how long ago; here the
    state of both is one JSON file, written last, that names the weight files it
    belongs to. An interruption at any moment leaves the state of the last whole epoch.

    Parameters
    ----------
    pipeline : Pipeline
        Training batches; told which epoch begins.
    folder : Path
        Where the state lies until the training has ended.
    monitor : str
        ``val_loss`` (less is better), ``val_acc`` (more is better), or ``epoch``: the
        last one counts as the best, so that validation chooses nothing.
    patience : int
        Epochs without improvement before the end.
    settings : str
        Digest of the run's settings; a state of other settings is not resumed.
    log : callable
        Receives one line per epoch.
    shown : sequence of str, optional
        What of the logged values the line has; all by default.
    watched : str, optional
        The value whose improvement counts for `patience`; by default `monitor`.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        folder: Path,
        monitor: str,
        patience: int,
        settings: str,
        log: Callable[[str], None],
        shown: Sequence[str] | None = None,
        watched: str | None = None,
    ) -> None:
        super().__init__()
        self.shown = shown
        self.watched = watched or monitor
        self.pipeline = pipeline
        self.folder = folder
        self.monitor = monitor
        self.patience = patience
        self.log = log
        self.state: dict[str, Any] = {
            "settings": settings,
            "epochs": 0,
            "best_epoch": -1,
            "wait": 0,
            "history": {},
        }

    @property
    def _path(self) -> Path:
        return self.folder / "state.json"

    def _weights(self, epoch: int) -> Path:
        return self.folder / f"epoch_{epoch}.weights.h5"

    def resume(self, model: keras.Model) -> int:
        """Load the state of an interrupted training; return the epochs it has done."""
        state = read_json(self._path) if self._path.is_file() else {}
        if state.get("settings") != self.state["settings"]:
            state = {}
        hosts.here().agree(
            [self.state["settings"], state],
            f"{self.folder}: the hosts differ in their settings, their data, or what "
            "they find of an interrupted training. Give all the same command and data, "
            "and a folder on a file system that they share.",
        )
        if not state:
            return 0
        model.load_weights(self._weights(state["epochs"] - 1))
        for variable, value in zip(_random_states(model), state["random"], strict=True):
            variable.assign(value)
        self.state = state
        return state["epochs"]

    @property
    def ended(self) -> bool:
        """Whether patience has run out."""
        return self.state["wait"] >= self.patience

    def on_epoch_begin(self, epoch, logs=None):
        """Set the order of the epoch's batches."""
        self.pipeline.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        """Record the epoch; save weights, then the state that names them."""
        history = self.state["history"]
        for name, value in hosts.here().of_leader(logs or {}).items():
            history.setdefault(name, []).append(float(value))
        names = {"loss", self.monitor, self.watched} - {"epoch"}
        if not all(np.isfinite(history[name][-1]) for name in names):
            raise DataError(
                f"The loss is not finite after epoch {epoch + 1}: the training "
                "diverged. Lower --learning_rate (under another name, as this one is "
                "taken, or with --overwrite), or look for damaged data in the report."
            )
        better = _improved(history, self.monitor)
        self.state["epochs"] = epoch + 1
        goes_on = _improved(history, self.watched)
        self.state["wait"] = 0 if goes_on else self.state["wait"] + 1
        before = {self.state["best_epoch"], epoch - 1}
        if better:
            self.state["best_epoch"] = epoch
        if hosts.here().lead:
            self._save(epoch, before)
        numbers = "  ".join(
            f"{name} {values[-1]:.4f}"
            for name, values in sorted(history.items())
            if self.shown is None or name in self.shown
        )
        best = "  best" if better and self.monitor != "epoch" else ""
        self.log(f"epoch {epoch + 1:3d}  {numbers}{best}")
        if self.ended:
            self.model.stop_training = True
        tell(epoch + 1, history)

    def _save(self, epoch: int, before: set[int]) -> None:
        self.state["random"] = [
            np.asarray(variable).tolist() for variable in _random_states(self.model)
        ]
        with whole_file(self._weights(epoch)) as temporary:
            self.model.save_weights(temporary)
        write_json(self._path, self.state)
        for old in before - {self.state["best_epoch"], epoch}:
            self._weights(old).unlink(missing_ok=True)

    def restore_best(self, model: keras.Model) -> None:
        """Load the best weights."""
        model.load_weights(self._weights(self.state["best_epoch"]))

    def clean(self) -> None:
        """Remove the state of a training that has ended."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _improved(history: dict[str, list[float]], monitor: str) -> bool:
    """Tell whether the last epoch is better than all before it."""
    if monitor == "epoch":
        return True
    sign = 1 if monitor.endswith("loss") else -1
    *before, last = (sign * value for value in history[monitor])
    return not before or last < min(before)


def _random_states(model: keras.Model) -> list[keras.Variable]:
    """Return the states of the dropouts' generators, which weight files leave out."""
    return [
        variable
        for variable in model.variables
        if variable.path.endswith("seed_generator_state")
    ]


def fit(
    model: keras.Model,
    train: Pipeline,
    valid: Pipeline | None,
    epochs: int,
    progress: Progress,
    callbacks: list[keras.callbacks.Callback] | None = None,
) -> FitResult:
    """Train a compiled model, going on where an interrupted training stood.

    The model is left with its best weights.

    Parameters
    ----------
    model : keras.Model
        Compiled.
    train, valid : Pipeline
        Batches. Without `valid`, nothing is validated.
    epochs : int
        At most so many.
    progress : Progress
        Early stopping and state.
    callbacks : list, optional
        Further Keras callbacks, such as TensorBoard.
    """
    divided, together = division.current(), hosts.here()
    data = [train.dataset, valid.dataset if valid else None]
    with division.scope():
        # Before the first step, else traced once more with its variables.
        model.optimizer.build(model.trainable_variables)
    if divided:
        divided.compile(model)
        data = [dataset and divided.divided(dataset) for dataset in data]
    with hosts.lost_hosts():
        together.check_shared(progress.folder)
        start = progress.resume(model)
        if start:
            progress.log(f"Going on after epoch {start} of an interrupted training.")
        for epoch in range(start):
            tell(epoch + 1, progress.state["history"])
        if start < epochs and not progress.ended:
            model.fit(
                data[0],
                validation_data=data[1],
                epochs=epochs,
                initial_epoch=start,
                callbacks=[progress, *(callbacks or [])],
                shuffle=False,  # the pipeline does it
                verbose=0,
            )
        # The leader has written the weights.
        together.meet()
        progress.restore_best(model)
    return FitResult(
        history=progress.state["history"],
        best_epoch=progress.state["best_epoch"],
        resumed_at=start,
    )


def tensorboard(folder: Path) -> keras.callbacks.Callback:
    """Return the TensorBoard callback.

    Raises
    ------
    MissingExtraError
        When the package is not installed.
    """
    # Keras writes the logs through TensorFlow, whatever backend trains.
    for package, extra in (("tensorboard", "tensorboard"), ("tensorflow", "cuda")):
        if find_spec(package) is None:
            raise MissingExtraError(package, extra, "--tensorboard")
    return keras.callbacks.TensorBoard(log_dir=str(folder))


def write_history(path: Path, history: dict[str, list[float]]) -> None:
    """Write one row an epoch: epoch, then the logged values by name."""
    table = pd.DataFrame({name: history[name] for name in sorted(history)})
    table.insert(0, "epoch", np.arange(1, len(table) + 1))
    write_table(path, table)
