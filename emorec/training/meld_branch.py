"""What the audio and the face branch of MELD share: runs, fitting, predictions."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from emorec.artifacts.predictions import Predictions, read_predictions
from emorec.artifacts.runs import RunFolder
from emorec.artifacts.spec import Spec
from emorec.artifacts.tables import write_table
from emorec.corpora.meld import Meld
from emorec.errors import DataError
from emorec.evaluation.cards import card_after
from emorec.evaluation.single_label import softmax
from emorec.evaluation.utterances import write_results
from emorec.files import digest, whole_file
from emorec.training import backend

if TYPE_CHECKING:
    import keras

    from emorec.batches.pipeline import Pipeline
    from emorec.batches.vectors import VectorPipeline

SCORED = ("dev", "test")
Say = Callable[[str], None]


class Trained(NamedTuple):
    """What came of a training.

    Attributes
    ----------
    parts : list of Predictions
        One per split.
    spec : Spec
        Of the model.
    training : dict
        What the record tells of it.
    """

    parts: list[Predictions]
    spec: Spec
    training: dict[str, Any]


class Compiled(NamedTuple):
    """How a network is fitted.

    Attributes
    ----------
    optimizer : keras.optimizers.Optimizer
    epochs, patience : int
        Patience counts epochs in which the loss on dev does not fall.
    literal : bool
        Keep the last epoch, not the one with the best weighted F1 on dev.
    jit_compile : bool or "auto"
        Of ``Model.compile``.
    """

    optimizer: keras.optimizers.Optimizer
    epochs: int
    patience: int
    literal: bool
    jit_compile: bool | str


def run_once(
    folder: RunFolder,
    system: str,
    settings: dict[str, Any],
    failures: pd.DataFrame,
    constant: int,
    train: Callable[[], Trained],
    say: Say,
) -> pd.DataFrame:
    """Train and write the results, or write those of the finished run again.

    Parameters
    ----------
    folder : RunFolder
        Where everything is written; its parameter name is the model's.
    system : str
        ``meld_audio`` or ``meld_face``, for the record.
    settings : dict
        All that decides the run.
    failures : pandas.DataFrame
        ``id`` and ``reason`` of utterances without a prediction.
    constant : int
        The most frequent class of the training data.
    train : callable
        Trains, and saves the model.
    say : callable
        Receives lines for the user.

    Returns
    -------
    pandas.DataFrame
        The model's rows of ``results.csv``.
    """
    name = folder.param_name
    with folder.alone():
        folder.claim(settings, False, "Give this run its own --name.")
        record = folder.record() or {}
        write_table(folder.folder / f"failures_{name}.csv", failures)
        if record.get("status") == "complete":
            say(f"{name}: trained before.")
            parts = [
                read_predictions(folder.folder / f"predictions_{split}_{name}.npz")
                for split in record["scored"]
            ]
            table = write_results(parts, folder.folder, constant, say)
            card_after(folder, say)
            return table
        trained = train()
        table = write_results(trained.parts, folder.folder, constant, say)
        folder.write_record(
            settings,
            trained.spec,
            system=system,
            status="complete",
            scored=[part.split for part in trained.parts],
            training=trained.training,
        )
        card_after(folder, say)
        shutil.rmtree(folder.resume_folder, ignore_errors=True)
    return table


def most_frequent(corpus: Meld) -> int:
    """Return the most frequent class of train, before any is left out."""
    return int(np.bincount(corpus.classes[corpus.rows("train")]).argmax())


def predictions(
    logits: np.ndarray,
    corpus: Meld,
    rows: np.ndarray,
    name: str,
    dataset: str,
    split: str,
) -> Predictions:
    """Return the predictions of some utterances.

    Parameters
    ----------
    logits : (m, K) float
        Before the softmax.
    corpus : Meld
        Ids, classes and dialogues.
    rows : (m,) int
        Which utterances.
    name, dataset, split : str
        What the predictions call themselves.

    Raises
    ------
    DataError
        When a value is not finite.
    """
    if not np.isfinite(logits).all():
        raise DataError(
            f"{name}: outputs on {split} are not finite; the training diverged. Lower "
            "--learning_rate."
        )
    return Predictions(
        name,
        dataset,
        split,
        corpus.schema,
        [corpus.ids[row] for row in rows],
        softmax(logits),
        corpus.classes[rows],
        corpus.dialogues[rows],
    )


def fit_network(
    model: keras.Model,
    train: Pipeline | VectorPipeline,
    dev: Pipeline | VectorPipeline,
    how: Compiled,
    folder: RunFolder,
    settings: dict[str, Any],
    say: Say,
) -> dict[str, Any]:
    """Train a network and write its history and learning curve.

    Parameters
    ----------
    model : keras.Model
        Before compilation; its outputs are those before the softmax.
    train, dev : Pipeline
        Batches with one-hot targets.
    how : Compiled
        Optimiser and length.
    folder : RunFolder
        Where an interrupted training goes on.
    settings : dict
        All that decides the run; a state of other settings is not resumed.
    say : callable
        Receives a line per epoch.

    Returns
    -------
    dict
        What the record tells of the training.
    """
    import keras

    from emorec.evaluation import figures
    from emorec.training.fit import Progress, fit, write_history

    began = time.perf_counter()
    model.compile(
        optimizer=how.optimizer,
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["acc", keras.metrics.F1Score(average="weighted", name="weighted_f1")],
        jit_compile=how.jit_compile,
    )
    progress = Progress(
        train,
        folder.resume_folder,
        "epoch" if how.literal else "val_weighted_f1",
        how.patience,
        digest(settings),
        say,
        ("loss", "val_loss", "val_acc", "val_weighted_f1"),
        "val_loss",
    )
    fitted = fit(model, train, dev, how.epochs, progress)
    history, name = fitted.history, folder.param_name
    write_history(folder.folder / f"history_{name}.csv", history)
    figures.save(
        figures.learning_curve(history, fitted.best_epoch, name, "accuracy"),
        folder.folder / f"learning_curve_{name}.png",
    )
    seconds = time.perf_counter() - began
    say(
        f"Kept epoch {fitted.best_epoch + 1} of {len(history['loss'])}; {seconds:.0f} "
        "s of training."
    )
    return {
        "epochs": len(history["loss"]),
        "best_epoch": fitted.best_epoch + 1,
        "resumed_after": fitted.resumed_at,
        "dev_weighted_f1": round(history["val_weighted_f1"][fitted.best_epoch], 5),
        "seconds": round(seconds, 1),
        "parameters": model.count_params(),
    }


def save_model(model: keras.Model, folder: RunFolder) -> None:
    """Write the model of a run."""
    path = folder.folder / f"model_{folder.param_name}.keras"
    with whole_file(path) as temporary:
        model.save(temporary)


def announce(
    backend_name: str, model: keras.Model, counts: dict[str, int], say: Say
) -> None:
    """Say what trains where, on how many utterances."""
    devices = ", ".join(backend.devices()) or "CPU"
    told = ", ".join(f"{split} {count:,}" for split, count in counts.items())
    say(
        f"Training on {backend_name}, {devices}. {model.count_params():,} parameters; "
        f"utterances: {told}."
    )


def need_splits(there: np.ndarray, corpus: Meld, reasons: Sequence[str]) -> None:
    """Refuse data without utterances of train, or of dev, which chooses the epoch.

    Parameters
    ----------
    there : (n,) bool
        Which utterances have data.
    corpus : Meld
        Splits.
    reasons : sequence of n str
        Why an utterance has none; "" where it has.

    Raises
    ------
    DataError
        Naming the split and the first reason.
    """
    for split in ("train", "dev"):
        rows = corpus.rows(split)
        if not there[rows].any():
            first = next((reasons[row] for row in rows), "the split is empty")
            use = "to learn from" if split == "train" else "to choose the epoch by"
            raise DataError(
                f"No utterance of {split} has data, {use}. The first: {first}."
            )
