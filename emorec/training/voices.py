"""Training a speech network: on a teacher's scores, or on labels."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emorec.artifacts.runs import RunFolder
from emorec.artifacts.spec import Modality, Spec
from emorec.batches.sound_parts import Sounds
from emorec.batches.sounds import Targets
from emorec.batches.speakers import BandStatistics, OtherVoices, band_statistics
from emorec.batches.speech_input import SpeechInput
from emorec.errors import DataError, SpecError
from emorec.files import digest, whole_file
from emorec.labels import LabelSchema
from emorec.training import backend, hosts
from emorec.training.voice_learner import build, learner, optimizer_of
from emorec.training.voices_config import VoicesConfig

if TYPE_CHECKING:
    import keras

    from emorec.batches.sounds import SoundPipeline
    from emorec.training.fit import FitResult

Say = Callable[[str], None]
SHOWN = ("loss", "val_loss", "acc", "val_acc", "recall_mean", "val_recall_mean")


@dataclass(frozen=True)
class Task:
    """What a speech network is to learn.

    Attributes
    ----------
    sounds : Sounds
        n clips.
    targets : callable
        (clip, start from 1, samples) -> target (K,) of that part.
    train, valid : int arrays
        Clips to learn from, and to validate on; without any of these the settings
        must keep the last epoch.
    schema : LabelSchema
        The K labels.
    dataset : str
        Name of the data, as every output tells it.
    speakers : (n,) str
        Of each clip.
    identity : dict
        What a model trained on these data must record.
    label_type : str
        What is predicted, for the spec: ``distilled`` or ``single``.
    """

    sounds: Sounds
    targets: Targets
    train: np.ndarray
    valid: np.ndarray
    schema: LabelSchema
    speakers: np.ndarray
    dataset: str
    identity: dict[str, Any]
    label_type: str


def run(
    config: VoicesConfig, task: Task, folder: RunFolder, say: Say, gpus: int = 0
) -> tuple[keras.Model, Spec] | None:
    """Train a speech network, or load it where it was trained before.

    Of several hosts (`emorec.training.hosts`) all train, each reading the sounds of its
    own rows of a batch; the first one alone has the network then.

    Parameters
    ----------
    config : VoicesConfig
        The settings.
    task : Task
        Sounds and targets.
    folder : RunFolder
        Where everything is written. An interrupted training goes on.
    say : callable
        Receives lines for the user.
    gpus : int
        See `emorec.training.backend.strategy`; more than one on JAX only.

    Returns
    -------
    model : keras.Model
        Spectrograms (B, F, T, 1), T free -> logits (B, K).
    spec : Spec

    None instead of both on all hosts but the first.

    Raises
    ------
    SpecError
        When the name is taken by a run of other settings, or a batch cannot be divided
        among all devices.
    DataError
        When the training diverges, or a sound can no longer be read.
    """
    settings = asdict(config) | {"data": task.identity}
    # As JSON gives it back, for the comparison with an earlier record.
    settings["test_speeds"] = list(config.test_speeds)
    together = hosts.here()
    with together.alone(folder):
        folder.claim(settings, False, "Give this run its own --name.")
        record = folder.record()
        if not (record and record.get("status") == "complete"):
            return _train(config, task, folder, settings, gpus, say)
        if not together.lead:
            return None
        say(f"{folder.param_name}: trained before.")
        backend.choose_backend()
        return load(folder)


def model_path(folder: RunFolder) -> Path:
    """Return where a run's model lies."""
    return folder.folder / f"model_{folder.param_name}.keras"


def load(folder: RunFolder) -> tuple[keras.Model, Spec]:
    """Return a finished run's network and spec."""
    return backend.load_keras_model(model_path(folder)), folder.read_spec()


def _train(
    config: VoicesConfig,
    task: Task,
    folder: RunFolder,
    settings: dict[str, Any],
    gpus: int,
    say: Say,
) -> tuple[keras.Model, Spec] | None:
    name = backend.prepare(config.seed, config.precision)
    accelerators = backend.devices()
    say(f"Training on {name}, {', '.join(accelerators) or 'CPU'}.")
    from emorec.training.fit import write_history

    of_input, bands = config.speech_input, None
    if config.normalisation == "train":
        of_input, bands = _normalised(of_input, task)
    with backend.strategy(gpus, config.batch_size):
        student = build(config, len(task.schema))
    counts = {"train": len(task.train), "valid": len(task.valid)}
    say(
        f"{student.count_params():,} parameters; {counts['train']:,} clips to learn "
        f"from, {counts['valid']:,} to validate on."
    )
    spec = Spec(
        schema=task.schema,
        modalities=(Modality("speech", of_input.features, of_input.bins),),
        max_steps=0,
        label_type=task.label_type,
        normalisation=of_input.to_dict(),
        data={"dataset": task.dataset, "backend": name, **counts},
    )
    together = hosts.here()
    if together.lead:
        folder.write_record(settings, spec, system="voices", status="training")
    began = time.perf_counter()
    # Where there is an accelerator it makes the spectrograms: waveforms are an eighth
    # as much to copy.
    waves = bool(accelerators) and not config.other_voices
    pipelines = _pipelines(config, task, of_input, bands, waves)
    fitted = _fit(config, task, student, pipelines, folder, digest(settings), say)
    seconds = time.perf_counter() - began
    if not together.lead:
        return None
    with whole_file(model_path(folder)) as temporary:
        student.save(temporary)
    if together.count > 1:
        # One host alone cannot compute with what lies on the devices of all.
        student = backend.load_keras_model(model_path(folder))
    write_history(folder.folder / f"history_{folder.param_name}.csv", fitted.history)
    _draw_history(fitted, folder, task)
    folder.write_record(
        settings,
        spec,
        system="voices",
        status="complete",
        training={
            "epochs": len(fitted.history["loss"]),
            "kept_epoch": fitted.best_epoch + 1,
            "resumed_after": fitted.resumed_at,
            "seconds": round(seconds, 1),
            "devices": accelerators or ["CPU"],
            "hosts": together.count,
            "parameters": student.count_params(),
        },
    )
    shutil.rmtree(folder.resume_folder, ignore_errors=True)
    say(f"Kept epoch {fitted.best_epoch + 1}; {seconds:.0f} s of training.")
    return student, spec


def _normalised(
    of_input: SpeechInput, task: Task
) -> tuple[SpeechInput, BandStatistics]:
    """Return the input with the statistics of the training clips' loud parts."""
    from emorec.progress import track

    def loud(clip: int) -> np.ndarray:
        first, last = task.sounds.loud(clip)
        return of_input.raw(task.sounds.whole(clip)[first:last])

    found = (loud(int(clip)) for clip in task.train)
    found = track(found, "Statistics", len(task.train))
    bands = band_statistics(found, task.train, task.speakers)
    mean, deviation = (tuple(x.tolist()) for x in (bands.mean, bands.deviation))
    return replace(of_input, mean=mean, deviation=deviation), bands


def _pipelines(
    config: VoicesConfig,
    task: Task,
    of_input: SpeechInput,
    bands: BandStatistics | None,
    waves: bool,
) -> dict[str, SoundPipeline]:
    from emorec.batches.sounds import SoundPipeline

    common = (task.sounds, task.targets, len(task.schema), of_input, config.batch_size)
    pipelines = {
        "train": SoundPipeline(
            *common,
            task.train,
            config.seed,
            shuffle=True,
            share=config.mini_epoch_ratio,
            changes=config.changes(),
            waves=waves,
            mixup=config.mixup,
            voices=OtherVoices(bands, config.other_voices)
            if bands and config.other_voices
            else None,
        )
    }
    if len(task.valid):
        pipelines["valid"] = SoundPipeline(
            *common, task.valid, config.seed, waves=waves
        )
    elif config.keep == "best":
        raise SpecError("--keep best: there are no clips to validate on.")
    return pipelines


def _fit(
    config: VoicesConfig,
    task: Task,
    student: keras.Model,
    pipelines: dict[str, SoundPipeline],
    folder: RunFolder,
    run_id: str,
    say: Say,
) -> FitResult:
    import keras

    from emorec.training import division
    from emorec.training.distillation import Recalls, distillation_loss
    from emorec.training.face_losses import acc
    from emorec.training.fit import Progress, fit

    train = pipelines["train"]
    labelled = task.label_type == "single"
    loss = (
        keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=config.label_smoothing
        )
        if labelled
        else distillation_loss(config.loss_type, config.temperature)
    )
    with division.scope():
        model = learner(config, student, train.shapes[0], train.speech_input)
        model.compile(
            optimizer=optimizer_of(config, len(train)),
            loss=loss,
            metrics=[acc, Recalls(task.schema.labels)],
            jit_compile=backend.compilation_of_convolutions(config.jit),
        )
    monitor = {"last": "epoch", "best": "val_acc" if labelled else "val_loss"}
    progress = Progress(
        train,
        folder.resume_folder,
        monitor[config.keep],
        config.patience or config.num_epochs + 1,
        run_id,
        say,
        SHOWN,
    )
    callbacks = [keras.callbacks.SwapEMAWeights()] if config.ema else []
    try:
        fitted = fit(
            model,
            train,
            pipelines.get("valid"),
            config.num_epochs,
            progress,
            callbacks,
        )
    except Exception as error:
        failures = [pipe.failure for pipe in pipelines.values() if pipe.failure]
        if failures and not isinstance(error, DataError):
            raise failures[0] from error
        raise
    if config.ema:
        # What was validated: the averages belonging to the kept weights.
        model.optimizer.finalize_variable_values(model.trainable_variables)
    return fitted


def _draw_history(fitted: FitResult, folder: RunFolder, task: Task) -> None:
    from emorec.evaluation import figures

    figures.save(
        figures.learning_curve(
            fitted.history,
            fitted.best_epoch,
            f"{folder.param_name}\non {task.dataset}",
            "agreement with the teacher"
            if task.label_type == "distilled"
            else "accuracy",
        ),
        folder.folder / f"learning_curve_{folder.param_name}.png",
    )
