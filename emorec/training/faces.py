"""The face teacher: training a network on FER+, from faces to scores."""

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
from emorec.corpora.fer_votes import label
from emorec.corpora.ferplus import FerPlus, without_repeated
from emorec.errors import DataError
from emorec.evaluation.cards import card_after
from emorec.evaluation.faces import FaceScores, write_results
from emorec.files import digest, whole_file
from emorec.training import backend, hosts
from emorec.training.face_config import FacesConfig
from emorec.training.face_data import FaceData

if TYPE_CHECKING:
    import keras

    from emorec.batches.images import ImageInput, ImagePipeline
    from emorec.training.fit import FitResult

Say = Callable[[str], None]


def run(
    config: FacesConfig, data: FaceData, folder: RunFolder, say: Say
) -> FaceScores | None:
    """Train one network and evaluate it; a finished run is not repeated.

    Of several hosts (`emorec.training.hosts`) all train, the first one evaluates, and
    the others return None.

    Parameters
    ----------
    config : FacesConfig
        The settings.
    data : FaceData
        Faces and votes.
    folder : RunFolder
        Where everything is written.
    say : callable
        Receives lines for the user.

    Raises
    ------
    SpecError
        When the name is taken by a run of other settings.
    DataError
        When a split has no face of the label mode.
    """
    settings = asdict(config) | {"data": data.identity()}
    together = hosts.here()
    with together.alone(folder):
        folder.claim(settings, False, "Give this run its own --name.")
        record = folder.record()
        if record and record.get("status") == "complete":
            say(f"{folder.param_name}: trained before; evaluating it.")
            model = backend.load_keras_model(model_path(folder))
            spec = folder.read_spec()
        else:
            model, spec = _train(config, data, folder, settings, say)
        if not together.lead:
            return None
        scores = evaluate(model, spec, data, folder, config, say)
        card_after(folder, say)
        return scores


def model_path(folder: RunFolder) -> Path:
    """Return where a run's model lies."""
    return folder.folder / f"model_{folder.param_name}.keras"


def evaluate(
    model: keras.Model,
    spec: Spec,
    data: FaceData,
    folder: RunFolder,
    config: FacesConfig,
    say: Say,
) -> FaceScores:
    """Predict every face of validation and test, and write every output."""
    from emorec.batches.images import ImageInput, predict

    image_input = ImageInput.from_dict(spec.normalisation)
    corpus, logits = data.corpus, {}
    for split in ("valid", "test"):
        faces = corpus.images[corpus.split == split]
        logits[split] = predict(model, faces, image_input, config.batch_size)
        if not np.isfinite(logits[split]).all():
            raise DataError(
                f"{folder.param_name}: outputs on {split} are not finite; the training "
                "diverged. Lower --learning_rate."
            )
    scores = FaceScores.of(corpus, logits, spec.schema, data.dataset)
    write_results(scores, folder, spec, config.evaluation_mode, say)
    return scores


def build(config: FacesConfig, num_outputs: int, say: Say) -> tuple[keras.Model, Any]:
    """Build the network of a configuration; return it and its fixed normalisation.

    The second is (mean per channel, scale), or None where the training faces decide.
    """
    if config.network in ("compact", "vgg13"):
        from emorec.models import face_networks

        network = getattr(face_networks, config.network)
        return network(num_outputs, config.dropout_rate), None
    from emorec.models.resnet50 import MEAN_RGB, geometry_of, resnet50, senet50
    from emorec.training.pretrained import load_pretrained

    network = {"resnet50": resnet50, "senet50": senet50}[config.network]
    model = network(
        num_labels=num_outputs,
        geometry=config.geometry,
        dropout=config.dropout_rate,
        literal_dropout=config.literal_dropout,
        seed=config.seed,
        # Weights that are replaced need not be drawn.
        initializer="zeros" if config.weights else "he_normal",
    )
    mean = MEAN_RGB[::-1] if geometry_of(config.geometry).bgr else MEAN_RGB
    if config.weights:
        report = load_pretrained(
            model,
            config.weights,
            sha256=config.weights_sha256 or None,
            head="load" if config.head == "keep" else "replace",
            partial=config.partial,
            seed=config.seed,
        )
        say(f"{config.weights}: {report}.")
    return model, (mean, 1.0)


def _train(
    config: FacesConfig,
    data: FaceData,
    folder: RunFolder,
    settings: dict[str, Any],
    say: Say,
) -> tuple[keras.Model, Spec]:
    name = backend.prepare(config.seed, config.precision)
    accelerators = backend.devices()
    say(f"Training on {name}, {', '.join(accelerators) or 'CPU'}.")
    from emorec.batches.images import ImageInput
    from emorec.training.fit import write_history

    corpus = data.corpus
    if config.dedup:
        corpus = corpus.only(without_repeated(corpus))
    train_labels = label(corpus.votes, config.label_mode)
    with backend.strategy(0, config.batch_size):
        model, fixed = build(config, len(train_labels.schema), say)
    kept = train_labels.kept & (corpus.split == "train")
    if not kept.any():
        raise DataError(
            f"{data.dataset}: no training face has a label of the mode "
            f"{config.label_mode}."
        )
    if fixed is None:
        faces = corpus.images[kept].astype(np.float32)
        fixed = (float(faces.mean()),), float(faces.std())
    image_input = ImageInput(config.size, *fixed)
    pipelines = {
        "train": _pipeline(config, corpus, "train", config.label_mode, image_input),
        "valid": _pipeline(
            config, corpus, "valid", config.evaluation_mode, image_input
        ),
    }
    counts = {split: len(pipe.images) for split, pipe in pipelines.items()}
    say(
        f"{model.count_params():,} parameters; train {counts['train']:,} faces "
        f"({config.label_mode}), validation {counts['valid']:,} "
        f"({config.evaluation_mode})."
    )
    spec = Spec(
        schema=train_labels.schema,
        modalities=(Modality("image", "grey faces", len(image_input.mean)),),
        max_steps=0,
        label_type=config.label_mode,
        normalisation=image_input.to_dict(),
        data={"dataset": data.dataset, "backend": name, **counts},
    )
    together = hosts.here()
    if together.lead:
        folder.write_record(settings, spec, system="faces", status="training")
    began = time.perf_counter()
    fitted = _fit(config, model, pipelines, folder, digest(settings), say)
    seconds = time.perf_counter() - began
    if not together.lead:
        return model, spec
    with whole_file(model_path(folder)) as temporary:
        model.save(temporary)
    if together.count > 1:
        # One host alone cannot compute with what lies on the devices of all.
        model = backend.load_keras_model(model_path(folder))
    write_history(folder.folder / f"history_{folder.param_name}.csv", fitted.history)
    from emorec.evaluation import figures

    figures.save(
        figures.learning_curve(
            fitted.history,
            fitted.best_epoch,
            f"{folder.param_name}\non {data.dataset}",
            f"accuracy ({config.label_mode}; {config.evaluation_mode})",
        ),
        folder.folder / f"learning_curve_{folder.param_name}.png",
    )
    folder.write_record(
        settings,
        spec,
        system="faces",
        status="complete",
        training={
            "epochs": len(fitted.history["loss"]),
            "best_epoch": fitted.best_epoch + 1,
            "val_acc": fitted.history["val_acc"][fitted.best_epoch],
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


def _pipeline(
    config: FacesConfig,
    corpus: FerPlus,
    split: str,
    mode: str,
    image_input: ImageInput,
) -> ImagePipeline:
    from emorec.batches.images import ImagePipeline

    corpus = corpus.only(corpus.split == split)
    labels = label(corpus.votes, mode)
    if not labels.kept.any():
        raise DataError(f"The split {split} has no face with a label of {mode}.")
    targets, training = labels.targets, split == "train"
    if config.loss == "softmaxlog" or not training:
        targets = np.eye(len(labels.schema), dtype=np.float32)[labels.classes]
    return ImagePipeline(
        corpus.images[labels.kept],
        targets,
        image_input,
        config.batch_size,
        config.seed,
        shuffle=training,
        augmentation=config.augmentation if training else None,
        draw_classes=training and mode == "probability",
    )


def _fit(
    config: FacesConfig,
    model: keras.Model,
    pipelines: dict[str, ImagePipeline],
    folder: RunFolder,
    run_id: str,
    say: Say,
) -> FitResult:
    import keras

    from emorec.training import division, optimizers
    from emorec.training.face_losses import acc, loss_of
    from emorec.training.fit import Progress, fit

    steps = len(pipelines["train"])
    with division.scope():
        model.compile(
            optimizer=optimizers.GroupedSGD(
                optimizers.Schedule(
                    config.schedule,
                    config.learning_rate,
                    config.num_epochs,
                    steps,
                    config.warmup,
                ),
                momentum=config.momentum,
                decay=config.weight_decay,
                backbone_rate=config.finetune_lr,
                use_ema=config.ema > 0,
                ema_momentum=config.ema,
            ),
            loss=loss_of(config.loss, config.label_smoothing),
            metrics=[acc],
            jit_compile=backend.compilation_of_convolutions(config.jit),
        )
    progress = Progress(
        pipelines["train"],
        folder.resume_folder,
        "val_acc",
        config.patience or config.num_epochs,
        run_id,
        say,
    )
    callbacks = [keras.callbacks.SwapEMAWeights()] if config.ema else []
    fitted = fit(
        model,
        pipelines["train"],
        pipelines["valid"],
        config.num_epochs,
        progress,
        callbacks,
    )
    if config.ema:
        # What was validated: the averages belonging to the best weights.
        model.optimizer.finalize_variable_values(model.trainable_variables)
    return fitted
