"""The main job: early fusion on CMU-MOSEI, from files to metrics."""

from __future__ import annotations

import shutil
import time
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from emorec.artifacts.runs import RunFolder
from emorec.evaluation.cards import card_after
from emorec.evaluation.summary import plain
from emorec.files import digest, whole_file
from emorec.training import backend, hosts, objectives
from emorec.training.config import MoseiConfig
from emorec.training.kept_data import kept
from emorec.training.mosei_data import MoseiData, load_data
from emorec.training.mosei_scores import MoseiResult, evaluate, pipeline_of
from emorec.training.mosei_source import Say, Source

if TYPE_CHECKING:
    import keras

    from emorec.training.fit import FitResult


def plan(config: MoseiConfig, source: Source | None) -> str:
    """Describe what a run will do, before it does it.

    Without a source (a dry run before the miniature is there) the files are left out.
    """
    data = []
    if source is not None:
        paths = source.files.paths.values() if source.files else [source.pickle]
        sizes = ", ".join(f"{fold} {len(ids)}" for fold, ids in source.folds.items())
        split = ", custom split" if config.with_custom_split else ""
        data = [
            *(f"  file      {path}" for path in paths),
            f"  folds     {source.origin} (videos: {sizes}){split}",
            *(f"  note      {note}" for note in source.notes),
        ]
    lines = [
        *data,
        f"  features  modalities {config.modalities}, missing: {config.missing}, "
        f"normalise: {config.normalise}",
        f"  labels    {', '.join(config.schema.labels)}; learnt: {config.label_type}",
        f"  network   {config.num_layers} layers, {config.num_nodes} nodes, dropout "
        f"{config.dropout_rate:g}, {config.final_activ} output, "
        f"{config.fixed_num_steps or 'all'} steps",
        f"  training  {config.optimizer} {config.learning_rate:g}, "
        f"{config.loss_function}, batch {config.batch_size}, at most "
        f"{config.num_epochs} epochs, patience {config.patience} on "
        f"val_{config.val_metric}, seed {config.seed}",
        f"  pickles   {config.pickle_folder}/{config.pickle_name_dataset}.pkl, "
        f"{config.pickle_name_fold}_{{train,valid,test}}.pkl",
        f"  results   {config.model_directory}, run {config.param_name}",
    ]
    return "\n".join(lines)


def settings_of(config: MoseiConfig, source: Source) -> dict[str, Any]:
    """Return what decides a run's model and scores, as its record keeps it."""
    return config.identity() | {"data": source.identity()}


def run(
    config: MoseiConfig, source: Source, say: Say, data: MoseiData | None = None
) -> MoseiResult | None:
    """Train (or load) and evaluate one network.

    Of several hosts (`emorec.training.hosts`) all train, the first one evaluates, and
    the others return None.

    Parameters
    ----------
    config : MoseiConfig
        Resolved, with names (`emorec.training.mosei_source.locate`).
    source : Source
        Where the data lie.
    say : callable
        Receives lines for the user.
    data : MoseiData, optional
        The data, where another run with the same modalities has loaded them.

    Raises
    ------
    SpecError
        When the name is taken by a run of other settings, or a saved model does not
        fit the data.
    DataError
        When the data are damaged or leave a fold empty.
    BusyError
        When another process is at work on the same run.
    """
    folder = RunFolder(config.model_directory, config.param_name)
    settings = settings_of(config, source)
    model_path = folder.folder / f"model_{config.param_name}.keras"
    if config.no_train:
        expected = folder.read_spec()
        settings = folder.trained_settings(settings["data"], config.overwrite)
        data = load_data(config, source, say, expected.normalisation)
        expected.check(data.spec, f"{model_path}")
        backend.prepare(config.seed, config.precision)
        model = backend.load_keras_model(model_path)
        say(f"\nEvaluating {model_path}, trained on {expected.data.get('dataset')}.")
        with folder.alone():
            result = evaluate(config, source, data, model, folder, settings, say)
        result.paths.insert(0, model_path)
        return result
    folder.claim(settings, config.overwrite)
    together = hosts.here()
    if data is None:
        key = digest([config.of_data(), source.identity(), source.fingerprint()])
        with together.in_turn():
            data = kept(key, lambda: load_data(config, source, say), say)
    data = data.with_steps(config.fixed_num_steps)
    backend.prepare(config.seed, config.precision)
    scope = backend.strategy(config.gpus, config.batch_size)
    with together.alone(folder):
        # Once more, for another run may have taken the name meanwhile.
        folder.claim(settings, config.overwrite)
        return _train_and_evaluate(config, source, data, folder, settings, scope, say)


def _train_and_evaluate(
    config: MoseiConfig,
    source: Source,
    data: MoseiData,
    folder: RunFolder,
    settings: dict[str, Any],
    scope: AbstractContextManager,
    say: Say,
) -> MoseiResult | None:
    name, accelerators = backend.choose_backend(), backend.devices()
    together = hosts.here()
    say(f"\nTraining on {name}, {', '.join(accelerators) or 'CPU'}.")
    if together.lead:
        folder.write_record(settings, data.spec, system="mosei", status="training")
    model, fitted, seconds = _train(config, data, folder, scope, digest(settings), say)
    if not together.lead:
        return None
    _draw_history(config, data, folder, fitted)
    model_path = folder.folder / f"model_{config.param_name}.keras"
    paths = [model_path, *([model_path.with_suffix(".h5")] if config.h5 else [])]
    for path in paths:
        with whole_file(path) as temporary:
            model.save(temporary)
    if together.count > 1:
        # One host alone cannot compute with what lies on the devices of all.
        model = backend.load_keras_model(model_path)
    result = evaluate(config, source, data, model, folder, settings, say)
    result.paths[:0] = paths
    folder.write_record(
        settings,
        data.spec,
        system="mosei",
        status="complete",
        training={
            "epochs": len(fitted.history["loss"]),
            "best_epoch": fitted.best_epoch + 1,
            "val_loss": fitted.history["val_loss"][fitted.best_epoch],
            "resumed_after": fitted.resumed_at,
            "seconds": round(seconds, 1),
            "backend": name,
            "devices": accelerators or ["CPU"],
            "hosts": together.count,
            "parameters": model.count_params(),
        },
        segments={fold: len(store) for fold, store in data.stores.items()},
        metrics=plain(result.tables),
    )
    card_after(folder, say)
    # Only now is nothing left to resume.
    shutil.rmtree(folder.resume_folder, ignore_errors=True)
    return result


def _train(
    config: MoseiConfig,
    data: MoseiData,
    folder: RunFolder,
    scope: AbstractContextManager,
    run_id: str,
    say: Say,
) -> tuple[keras.Model, FitResult, float]:
    """Build, fit, and return the model with its best weights."""
    import keras

    from emorec.models.early_fusion import early_fusion
    from emorec.training.fit import Progress, fit, tensorboard

    train = pipeline_of(config, data, "train", shuffle=True)
    valid = pipeline_of(config, data, "valid")
    use_cudnn, jit_compile = backend.compilation(config.jit)
    with scope:
        model = early_fusion(
            [modality.width for modality in data.spec.modalities],
            len(config.schema),
            config.num_layers,
            config.num_nodes,
            config.dropout_rate,
            config.final_activ,
            use_cudnn=use_cudnn,
            jit_compile=jit_compile is not False,
        )
        optimizer = keras.optimizers.get(config.optimizer)
        optimizer.learning_rate = config.learning_rate
        model.compile(
            optimizer=optimizer,
            loss=config.loss_function,
            metrics=[
                objectives.accuracy_metric(config.label_type, config.presence_level)
            ],
            jit_compile=jit_compile,
        )
    say(
        f"{model.count_params():,} parameters, {len(train.order)} batches of "
        f"{config.batch_size} an epoch."
    )
    callbacks = []
    if config.tensorboard and hosts.here().lead:
        callbacks.append(tensorboard(folder.folder / "tensorboard" / config.param_name))
    progress = Progress(
        train,
        folder.resume_folder,
        f"val_{config.val_metric}",
        config.patience,
        run_id,
        say,
    )
    began = time.perf_counter()
    fitted = fit(model, train, valid, config.num_epochs, progress, callbacks)
    seconds = time.perf_counter() - began
    say(f"Kept epoch {fitted.best_epoch + 1}; {seconds:.1f} s of training.")
    return model, fitted, seconds


def _draw_history(
    config: MoseiConfig, data: MoseiData, folder: RunFolder, fitted: FitResult
) -> None:
    # After the training, which need not wait for matplotlib to be imported.
    from emorec.evaluation import figures
    from emorec.training.fit import write_history

    write_history(folder.folder / f"history_{config.param_name}.csv", fitted.history)
    figures.save(
        figures.learning_curve(
            fitted.history,
            fitted.best_epoch,
            f"{config.model_name}, {config.param_name} on {data.spec.data['dataset']}",
        ),
        folder.folder / f"learning_curve_{config.param_name}.png",
        config.display_fig,
    )
