"""The grid of Williams et al. (2018) on CMU-MOSEI, its choice made on validation.

"Recognizing Emotions in Video Using Multimodal DNN Feature Fusion", W18-3302: seven
subsets of modalities; sequences of 15, 20, 25 or 30 steps; dropout 0.1 or 0.2; one to
three layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from emorec.artifacts.runs import RunFolder
from emorec.artifacts.tables import write_table
from emorec.errors import BusyError, DataError
from emorec.training import mosei
from emorec.training.config import MoseiConfig
from emorec.training.mosei_data import MoseiData, load_data
from emorec.training.mosei_source import Say, Source, banner, locate

SUBSETS = ("TVA", "VA", "TA", "TV", "A", "V", "T")
STEPS = (15, 20, 25, 30)
DROPOUT_RATES = (0.1, 0.2)
LAYERS = (1, 2, 3)
# What the paper fixes: the custom split, its scaling, and the training.
FIXED = {
    "with_custom_split": True,
    "normalise": "maxabs",
    "num_nodes": 100,
    "batch_size": 64,
    "patience": 10,
}
# Column of the grid's table -> table and column of a run's metrics, its threshold.
_METRICS = {
    "mae": ("regression", "mae", ""),
    "accuracy": ("classification_presence", "accuracy_macro", "valid"),
    "weighted_accuracy": (
        "classification_presence",
        "weighted_accuracy_macro",
        "valid",
    ),
    "f1": ("classification_presence", "f1_macro", "valid"),
    "auc": ("classification_presence", "auc_macro", "valid"),
    "coarse_accuracy": ("classification_coarse", "accuracy_macro", ""),
}


def run_grid(
    base: MoseiConfig, subsets: Sequence[str], say: Say
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train every point of the grid that is not done; choose per subset.

    Several processes, also on several machines, may share the work: each leaves out
    what another has in hand. An interrupted grid goes on where it stopped.

    Parameters
    ----------
    base : MoseiConfig
        Where data and results lie, the seed, the image feature.
    subsets : sequence of str
        Letters of modalities, in the order of fusion.
    say : callable
        Receives lines for the user.

    Returns
    -------
    grid : DataFrame
        One row a finished run: its settings, its best validation loss, its metrics on
        the test fold.
    chosen : DataFrame
        Of each subset the run of the least validation loss, then the constants.

    Raises
    ------
    DataError
        When nothing could be trained because other processes have it all in hand.
    """
    source: Source | None = None
    rows: list[dict[str, Any]] = []
    constants: dict[str, dict[str, Any]] = {}
    for modalities in subsets:
        config = replace(base, **FIXED, modalities=modalities).resolve()
        # The files are the same for all; the banner is for the first.
        config, source = locate(config, say if source is None else _silent)
        ending = "_miniature" if source.is_miniature else ""
        config = replace(config, model_name=f"williams_{modalities}{ending}")
        data: MoseiData | None = None
        for point in grid(config):
            folder = RunFolder(point.model_directory, point.param_name)
            record = _finished(point, source, folder)
            if record is None:
                say(f"\n{point.model_name}, {point.param_name}")
                data = data or load_data(config, source, say)
                try:
                    mosei.run(point, source, say, data)
                except BusyError:
                    say("Another process has it in hand.")
                    continue
                record = folder.record()
            rows.append(_row(point, record))
            constants |= _constants(record)
    if not rows:
        raise DataError("No run is done: other processes have all in hand. Wait.")
    table = pd.DataFrame(rows)
    best = table.loc[table.groupby("modalities", sort=False)["val_loss"].idxmin()]
    chosen = pd.concat([best, pd.DataFrame(constants.values())], ignore_index=True)
    output = Path(base.model_folder)
    write_table(output / f"williams_grid{ending}.csv", table)
    write_table(output / f"williams_chosen{ending}.csv", chosen)
    say(banner(source.dataset, source.folder))
    return table, chosen


def grid(config: MoseiConfig) -> Iterator[MoseiConfig]:
    """Yield the configurations of one subset of modalities."""
    for steps in STEPS:
        for rate in DROPOUT_RATES:
            for layers in LAYERS:
                yield replace(
                    config, fixed_num_steps=steps, dropout_rate=rate, num_layers=layers
                )


def _silent(line: str) -> None:
    """Say nothing."""


def _finished(
    config: MoseiConfig, source: Source, folder: RunFolder
) -> dict[str, Any] | None:
    """Return the record of a run that is complete, with these very settings."""
    record = folder.record()
    settings = mosei.settings_of(config, source)
    same = record and record["settings"] == settings
    return record if same and record.get("status") == "complete" else None


def _row(config: MoseiConfig, record: dict[str, Any]) -> dict[str, Any]:
    return {
        "predictor": "model",
        "modalities": config.modalities,
        "steps": config.fixed_num_steps,
        "dropout_rate": config.dropout_rate,
        "layers": config.num_layers,
        "seed": config.seed,
        "epochs": record["training"]["epochs"],
        "val_loss": record["training"]["val_loss"],
        **_metrics(record, "model"),
    }


def _constants(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    names = {row["predictor"] for row in record["metrics"]["regression"]} - {"model"}
    return {n: {"predictor": n, **_metrics(record, n)} for n in sorted(names)}


def _metrics(record: dict[str, Any], predictor: str) -> dict[str, float | None]:
    """Take a predictor's metrics on the test fold from a record."""
    found = {}
    for name, (table, column, threshold) in _METRICS.items():
        (row,) = [
            row
            for row in record["metrics"][table]
            if row["predictor"] == predictor
            and row["threshold_emo_present"] == threshold
        ]
        found[name] = row[column]
    return found
