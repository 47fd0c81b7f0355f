"""What a trained network of the main job scores: predictions, tables, figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emorec.artifacts.runs import RunFolder
from emorec.evaluation.summary import summary
from emorec.files import digest
from emorec.training import objectives
from emorec.training.config import MoseiConfig
from emorec.training.mosei_data import MoseiData
from emorec.training.mosei_source import Say, Source

if TYPE_CHECKING:
    import keras

    from emorec.batches.pipeline import Pipeline


@dataclass
class MoseiResult:
    """What a run made.

    Attributes
    ----------
    tables : dict
        Table name -> rows of metrics on the test fold, model and constant predictors.
    paths : list of Path
        Files written.
    damaged : dict
        Video that was left out -> the error that reading it met.
    """

    tables: dict[str, list[dict[str, Any]]]
    paths: list[Path]
    damaged: dict[str, str]


def targets_of(config: MoseiConfig, data: MoseiData, fold: str) -> np.ndarray:
    """Return the targets (n, K) of a fold, as the run learns them."""
    return objectives.targets(
        data.stores[fold].labels,
        config.schema,
        config.label_type,
        config.presence_level,
    )


def pipeline_of(
    config: MoseiConfig, data: MoseiData, fold: str, shuffle: bool = False
) -> Pipeline:
    """Return the batches of a fold with their targets."""
    from emorec.batches.order import BatchOrder
    from emorec.batches.pipeline import Pipeline

    store = data.stores[fold].with_labels(targets_of(config, data, fold))
    order = BatchOrder(
        store.lengths,
        config.batch_size,
        config.fixed_num_steps,
        config.seed,
        shuffle,
    )
    return Pipeline(store, order)


def evaluate(
    config: MoseiConfig,
    source: Source,
    data: MoseiData,
    model: keras.Model,
    folder: RunFolder,
    settings: Mapping[str, Any],
    say: Say,
) -> MoseiResult:
    """Predict validation and test, write every output, and print the main numbers."""
    # Here, as scikit-learn takes a second to import and training need not wait for it.
    from emorec.evaluation import outputs

    train_mean = targets_of(config, data, "train").mean(axis=0)
    paths: list[Path] = []
    scores = {}
    for fold in ("valid", "test"):
        pipeline = pipeline_of(config, data, fold)
        predicted = pipeline.predict(model)
        outputs.check_scores(predicted, pipeline.store.ids)
        scores[fold] = outputs.Scores(
            schema=config.schema,
            ids=pipeline.store.ids,
            true=objectives.targets(data.stores[fold].labels, config.schema, "all", 0),
            predicted=predicted,
            train_mean=train_mean,
            label_type=config.label_type,
        )
        if config.save_predictions:
            path = folder.folder / f"predictions_{fold}_{config.param_name}.npz"
            outputs.write_scores(path, scores[fold], data.spec.to_dict())
            paths.append(path)
    test = scores["test"]
    tables = outputs.metric_rows(test, scores["valid"], config.threshold_emo_present)
    row = {
        "run": digest(settings),
        "model_name": config.model_name,
        "param_name": config.param_name,
        "dataset": source.dataset,
        "split": "test",
        "segments": len(test.ids),
        **{
            name: value
            for name, value in settings.items()
            if name not in ("threshold_emo_present", "data")
        },
    }
    csv_folder = folder.folder / config.csv_folder
    paths += outputs.write_tables(
        csv_folder, config.csv_name, row, tables, config.round_decimals
    )
    if config.save_predictions:
        paths += outputs.write_predictions(folder.folder, config.param_name, test)
    if config.save_confusion_matrix:
        paths += outputs.write_confusion(
            folder.folder,
            f"{config.model_name}_{config.param_name}",
            test,
            scores["valid"],
            config.threshold_emo_present,
            f"{config.model_name}, {config.param_name}: test of {source.dataset}, "
            f"{len(test.ids)} segments",
            config.display_fig,
        )
    say("\n" + summary(tables, config.round_decimals, source.dataset))
    return MoseiResult(tables, paths, data.damaged)
