"""Training of MELD's text networks: some seeds each, their probabilities averaged."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from emorec.artifacts.runs import RunFolder
from emorec.artifacts.spec import Spec
from emorec.batches.order import BatchOrder
from emorec.batches.pipeline import Pipeline
from emorec.batches.ragged import RaggedStore
from emorec.errors import DataError
from emorec.evaluation.single_label import softmax
from emorec.files import digest, whole_file
from emorec.training import backend
from emorec.training.fit import FitResult, Progress, fit, write_history
from emorec.training.meld_config import TextConfig

Say = Callable[[str], None]


@dataclass(frozen=True)
class Sequences:
    """What a network reads of a split, and of whom.

    Attributes
    ----------
    store : RaggedStore
        One-hot labels of each sequence, or of each step; a row of zeros where nothing
        is learnt or judged.
    rows : (n,) or (total_steps,) int
        The corpus' utterance of each label row.
    """

    store: RaggedStore
    rows: np.ndarray


@dataclass(frozen=True)
class Task:
    """What distinguishes one text network from another.

    Attributes
    ----------
    build : callable
        Takes a seed and whether to begin with the pretrained weights; returns the
        network, not compiled.
    sequences : dict
        Split -> `Sequences`.
    spec : Spec
        What enters and leaves.
    """

    build: Callable[[int, bool], keras.Model]
    sequences: dict[str, Sequences]
    spec: Spec


@keras.saving.register_keras_serializable("emorec")
class WeightedF1(keras.metrics.F1Score):
    """Weighted F1 over all rows of an epoch whose label is not zero everywhere.

    Takes one-hot labels and scores of the shape (..., K).
    """

    def __init__(self, name: str = "f1", **kwargs) -> None:
        super().__init__(**{"average": "weighted", **kwargs}, name=name)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Count the rows of a batch."""
        labels = y_true.shape[-1]
        y_true = ops.cast(ops.reshape(y_true, (-1, labels)), "float32")
        judged = ops.sum(y_true, axis=-1)
        super().update_state(y_true, ops.reshape(y_pred, (-1, labels)), judged)


@keras.saving.register_keras_serializable("emorec")
class LinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that rises to its height along a line, then falls to 0 along another.

    Parameters
    ----------
    rate : float
        The height.
    steps : int
        Steps of the training.
    warmup : float
        Share of the steps over which the rate rises, in [0, 1).
    """

    def __init__(self, rate: float, steps: int, warmup: float = 0.0) -> None:
        self.rate, self.steps, self.warmup = rate, steps, warmup

    def __call__(self, step):
        """Return the rate of a step, counted from 0."""
        step = ops.cast(step, "float32")
        rising = max(1.0, round(self.warmup * self.steps)) if self.warmup else 0.0
        falling = (self.steps - step) / max(1.0, self.steps - rising)
        rate = self.rate * ops.clip(falling, 0.0, 1.0)
        if rising:
            rate = ops.where(step < rising, self.rate * (step + 1) / rising, rate)
        return rate

    def get_config(self):
        """Return the constructor's arguments."""
        return {"rate": self.rate, "steps": self.steps, "warmup": self.warmup}


def predict_networks(
    config: TextConfig, task: Task, folder: Path, name: str, settings: dict, say: Say
) -> tuple[dict[int, np.ndarray], list[dict[str, Any]]]:
    """Train the networks that are not yet there, and average their answers.

    Parameters
    ----------
    config : TextConfig
        Of a trained model.
    task : Task
        The network and its data.
    folder : Path
        Of the runs; each network is one, ``{name}_seed_{seed}``.
    name : str
        Of the whole.
    settings : dict
        What decides the result.
    say : callable
        Receives lines for the user.

    Returns
    -------
    scores : dict
        Row of the corpus -> probabilities (K,) float64, for dev and test.
    trainings : list of dict
        What each training did.
    """
    total: dict[str, np.ndarray] = {}
    trainings = []
    for seed in range(config.seed, config.seed + config.networks):
        run = RunFolder(folder, f"{name}_seed_{seed}")
        own = {**settings, "seed": seed, "networks": 1}
        with run.alone():
            run.claim(own, False, "Give this run its own --name.")
            model = _trained(config, task, run, seed, own, say)
        trainings.append(run.record()["training"])
        for split in ("dev", "test"):
            if split in task.sequences:
                store = task.sequences[split].store
                logits = _pipeline(store, config, seed).predict(model)
                if not np.isfinite(logits).all():
                    raise DataError(
                        f"{run.param_name}: outputs on {split} are not finite; the "
                        "training diverged. Lower --learning_rate."
                    )
                total[split] = total.get(split, 0) + softmax(logits)
    scores = {}
    for split, sums in total.items():
        rows = task.sequences[split].rows
        scores |= dict(zip(rows.tolist(), sums / config.networks, strict=True))
    return scores, trainings


def _pipeline(
    store: RaggedStore, config: TextConfig, seed: int, shuffle: bool = False
) -> Pipeline:
    order = BatchOrder(store.lengths, config.batch_size, 0, seed, shuffle)
    return Pipeline(store, order)


def _trained(
    config: TextConfig, task: Task, run: RunFolder, seed: int, settings: dict, say: Say
) -> keras.Model:
    """Return the network of a seed, from its file where it was trained before."""
    weights = run.folder / f"model_{run.param_name}.weights.h5"
    record = run.record()
    if record and record.get("status") == "complete" and weights.is_file():
        say(f"{run.param_name}: trained before.")
        backend.prepare(seed, config.precision)
        model = task.build(seed, False)
        model.load_weights(weights)
        return model
    name = backend.prepare(seed, config.precision)
    devices = backend.devices()
    model = task.build(seed, True)
    train, dev = (task.sequences[split].store for split in ("train", "dev"))
    say(
        f"{run.param_name}: {model.count_params():,} parameters, {len(train):,} "
        f"sequences, {name}, {', '.join(devices) or 'CPU'}."
    )
    pipelines = (
        _pipeline(train, config, seed, shuffle=True),
        _pipeline(dev, config, seed),
    )
    run.write_record(
        settings,
        task.spec,
        system="meld_text",
        status="training",
        part_of=run.param_name.removesuffix(f"_seed_{seed}"),
    )
    began = time.perf_counter()
    fitted = _fit(config, model, pipelines, run, digest(settings), say)
    seconds = time.perf_counter() - began
    with whole_file(weights) as temporary:
        model.save_weights(temporary)
    write_history(run.folder / f"history_{run.param_name}.csv", fitted.history)
    training = {
        "seed": seed,
        "epochs": len(fitted.history["loss"]),
        "best_epoch": fitted.best_epoch + 1,
        "val_f1": fitted.history["val_f1"][fitted.best_epoch],
        "resumed_after": fitted.resumed_at,
        "seconds": round(seconds, 1),
        "devices": devices or ["CPU"],
        "parameters": model.count_params(),
    }
    run.write_record(
        settings,
        task.spec,
        system="meld_text",
        status="complete",
        training=training,
        part_of=run.param_name.removesuffix(f"_seed_{seed}"),
    )
    shutil.rmtree(run.resume_folder, ignore_errors=True)
    return model


def _fit(
    config: TextConfig,
    model: keras.Model,
    pipelines: tuple[Pipeline, Pipeline],
    run: RunFolder,
    run_id: str,
    say: Say,
) -> FitResult:
    train, dev = pipelines
    rate: Any = config.learning_rate
    if config.model == "roberta":
        rate = LinearDecay(rate, len(train.order) * config.num_epochs, config.warmup)
    optimizer = keras.optimizers.AdamW(
        rate, weight_decay=config.weight_decay, clipnorm=1.0
    )
    # As in BERT's own training: neither biases nor the scales of normalisation.
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(
        optimizer=optimizer,
        loss=keras.losses.CategoricalCrossentropy(
            from_logits=True, reduction="mean_with_sample_weight"
        ),
        metrics=[WeightedF1()],
        jit_compile=backend.compilation(config.jit)[1],
    )
    progress = Progress(
        train,
        run.resume_folder,
        "val_f1",
        config.patience or config.num_epochs,
        run_id,
        say,
        ("loss", "val_loss", "val_f1"),
    )
    return fit(model, train, dev, config.num_epochs, progress)
