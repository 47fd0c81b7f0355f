"""Training the audio-visual fusion.

Chumachenko, Iosifidis and Gabbouj (2022), "Self-attention fusion for audiovisual
emotion recognition with incomplete data", section 4.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emorec.artifacts.runs import RunFolder
from emorec.artifacts.spec import Modality, Spec
from emorec.batches.audiovisual import AUDIO, VIDEO, AvPipeline
from emorec.errors import DataError
from emorec.files import digest, whole_file
from emorec.training import backend, hosts
from emorec.training.av_config import AvConfig
from emorec.training.av_data import (
    AvData,
    standardised,
    training_statistics,
    with_features,
)
from emorec.training.av_networks import (
    FRAME_NETWORK,
    build,
    frame_network,
    store_frame_network,
    stored_frame_network,
)

if TYPE_CHECKING:
    import keras

    from emorec.training.fit import FitResult

Say = Callable[[str], None]
# What a clip's faces are called where a frame network has made features of them.
FEATURES = "features of frames"


def run(
    config: AvConfig, data: AvData, folder: RunFolder, say: Say
) -> tuple[keras.Model, Spec, AvData] | None:
    """Train one network, or load it where it was trained before.

    Of several hosts (`emorec.training.hosts`) all train, and the first one alone has
    the network then.

    Parameters
    ----------
    config : AvConfig
        The settings.
    data : AvData
        Prepared clips with the splits train and valid.
    folder : RunFolder
        Where everything is written. An interrupted training goes on.
    say : callable
        Receives lines for the user.

    Returns
    -------
    model : keras.Model
        Inputs ``audio`` and ``video`` (or features of frames under that name).
    spec : Spec
    data : AvData
        As the network takes them: with features in place of faces, when frames are
        frozen.

    None instead of these on all hosts but the first.

    Raises
    ------
    SpecError
        When the name is taken by a run of other settings.
    DataError
        When a split is empty, a file of faces cannot be read, or training diverges.
    """
    settings = asdict(config) | {
        "lr_steps": list(config.lr_steps),
        "data": data.identity(),
    }
    together = hosts.here()
    with together.alone(folder):
        folder.claim(settings, False, "Give this run its own --name.")
        name = backend.prepare(config.manual_seed, config.precision)
        record = folder.record()
        done = bool(record and record.get("status") == "complete")
        if done and not together.lead:
            return None
        told = {"preparation": data.preparation}
        if _frozen(config, data):
            if done:
                with together.by_itself():
                    network = _stored_frames(config, folder, say)
                data = with_features(data, network, _cache(folder, data))
            else:
                with together.in_turn():
                    network = frame_network(config, say)
                    told[FRAME_NETWORK] = store_frame_network(network, folder.folder)
                    data = with_features(data, network, _cache(folder, data))
        if done:
            statistics = folder.read_spec().normalisation
        else:
            wanted = [AUDIO, VIDEO] if config.standardise else [VIDEO]
            statistics = training_statistics(data, wanted)
        data = standardised(data, statistics)
        if done:
            say(f"{folder.param_name}: trained before.")
            model = backend.load_keras_model(model_path(folder))
            return model, folder.read_spec(), data
        told = {"backend": name} | told
        trained = _train(config, data, statistics, folder, settings, told, say)
    return (*trained, data) if trained else None


def load(
    folder: RunFolder, settings: dict[str, Any], data: AvData, say: Say
) -> tuple[keras.Model, AvData]:
    """Return a finished run's network, and clips as it takes them.

    `settings` are those of its record, without the data; a run that was imported has
    none of a training.
    """
    backend.prepare(settings.get("manual_seed", 0))
    if "lr_steps" in settings:
        config = config_of(settings)
        if _frozen(config, data):
            network = _stored_frames(config, folder, say)
            data = with_features(data, network, _cache(folder, data))
        data = standardised(data, folder.read_spec().normalisation)
    return backend.load_keras_model(model_path(folder)), data


def config_of(settings: dict[str, Any]) -> AvConfig:
    """Return the configuration that a record's settings tell."""
    known = {name: value for name, value in settings.items() if name != "data"}
    return AvConfig(**known | {"lr_steps": tuple(known["lr_steps"])})


def _frozen(config: AvConfig, data: AvData) -> bool:
    """Tell whether features are learnt from in place of the faces that data hold."""
    return config.freeze_frames and data.arrays.has_faces and config.fusion != AUDIO


def _stored_frames(config: AvConfig, folder: RunFolder, say: Say) -> keras.Model:
    return stored_frame_network(config, folder.read_spec().data, folder.folder, say)


def _cache(folder: RunFolder, data: AvData) -> Path:
    return folder.folder / f"frames_{data.clips.dataset}.npy"


def model_path(folder: RunFolder) -> Path:
    """Return where a run's model lies."""
    return folder.folder / f"model_{folder.param_name}.keras"


def _train(
    config: AvConfig,
    data: AvData,
    statistics: dict[str, Any],
    folder: RunFolder,
    settings: dict[str, Any],
    told: dict[str, Any],
    say: Say,
) -> tuple[keras.Model, Spec] | None:
    """Train; `told` is what else the spec says of the data, and the backend."""
    from emorec.training.fit import write_history

    accelerators = backend.devices()
    say(f"Training on {told['backend']}, {', '.join(accelerators) or 'CPU'}.")
    arrays, inputs = data.arrays, config.inputs
    with backend.strategy(0, config.batch_size):
        model = build(config, data, say)
    # A clip that has nothing a network takes says nothing.
    there = np.any([arrays.present[name] for name in inputs], axis=0)
    rows = {split: data.rows(split, there) for split in ("train", "valid")}
    if config.no_val:
        rows = {"train": np.sort(np.concatenate(list(rows.values())))}
    counts = {split: len(numbers) for split, numbers in rows.items()}
    say(
        f"{model.count_params():,} parameters; {counts['train']:,} clips to learn "
        f"from, {counts.get('valid', 0):,} to validate on."
    )
    colours = (data.preparation or {}).get("colours", "RGB")
    faces = f"faces, {colours}" if arrays.has_faces else FEATURES
    held = {AUDIO: "MFCC at 22050 Hz", VIDEO: faces}
    spec = Spec(
        schema=data.clips.schema,
        modalities=tuple(
            Modality(name, held[name], arrays.shapes[name][-1]) for name in inputs
        ),
        max_steps=0,
        label_type="single",
        normalisation={"kind": "audiovisual", "faces": 1 / 255} | statistics,
        data={"dataset": data.clips.dataset, **told, **counts},
    )
    together = hosts.here()
    if together.lead:
        folder.write_record(settings, spec, system="ravdess", status="training")
    began = time.perf_counter()
    pipelines = {
        "train": AvPipeline(
            arrays,
            config.batch_size,
            rows["train"],
            config.manual_seed,
            shuffle=True,
            augment=arrays.has_faces,
            mask=config.mask,
            fill=config.fill or None,
            inputs=inputs,
        ),
    }
    if "valid" in rows:
        pipelines["valid"] = AvPipeline(
            arrays,
            config.batch_size,
            rows["valid"],
            fill=config.fill or None,
            inputs=inputs,
        )
    fitted = _fit(config, model, pipelines, folder, digest(settings), say)
    seconds = time.perf_counter() - began
    if not together.lead:
        return None
    with whole_file(model_path(folder)) as temporary:
        model.save(temporary)
    if together.count > 1:
        # One host alone cannot compute with what lies on the devices of all.
        model = backend.load_keras_model(model_path(folder))
    write_history(folder.folder / f"history_{folder.param_name}.csv", fitted.history)
    folder.write_record(
        settings,
        spec,
        system="ravdess",
        status="complete",
        training={
            "epochs": len(fitted.history["loss"]),
            "kept_epoch": fitted.best_epoch + 1,
            "val_acc": fitted.history.get("val_acc", {fitted.best_epoch: None})[
                fitted.best_epoch
            ],
            "resumed_after": fitted.resumed_at,
            "seconds": round(seconds, 1),
            "devices": accelerators or ["CPU"],
            "hosts": together.count,
            "parameters": model.count_params(),
        },
    )
    shutil.rmtree(folder.resume_folder, ignore_errors=True)
    say(f"Kept epoch {fitted.best_epoch + 1}; {seconds:.0f} s of training.")
    return model, spec


def _fit(
    config: AvConfig,
    model: keras.Model,
    pipelines: dict[str, AvPipeline],
    folder: RunFolder,
    run_id: str,
    say: Say,
) -> FitResult:
    import keras

    from emorec.training import division
    from emorec.training.face_losses import acc
    from emorec.training.fit import Progress, fit
    from emorec.training.optimizers import GroupedSGD, Milestones

    train = pipelines["train"]
    top = min(5, train.shapes[1][0] - 1)
    rate = Milestones(config.rate, config.lr_steps, len(train))
    with division.scope():
        model.compile(
            optimizer=GroupedSGD(rate, config.momentum, config.weight_decay),
            loss=keras.losses.CategoricalCrossentropy(from_logits=True),
            metrics=[acc, keras.metrics.TopKCategoricalAccuracy(top, name=f"top{top}")],
            jit_compile=backend.compilation_of_convolutions(config.jit),
        )
    monitor = "epoch" if config.no_val else "val_acc"
    progress = Progress(
        train, folder.resume_folder, monitor, config.n_epochs, run_id, say
    )
    try:
        return fit(model, train, pipelines.get("valid"), config.n_epochs, progress)
    except Exception as error:
        failures = [pipe.failure for pipe in pipelines.values() if pipe.failure]
        if failures and not isinstance(error, DataError):
            raise failures[0] from error
        raise
