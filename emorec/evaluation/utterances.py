"""What one class per utterance is worth: metrics, intervals and the files that say so.

The field's metric on MELD is weighted F1 (Poria et al., 2019, "MELD: A Multimodal
Multi-Party Dataset for Emotion Recognition in Conversations", section 4): the F1 of
each class, weighted by how often it is true.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn import metrics as sk

from emorec.artifacts.predictions import (
    Predictions,
    predictions_path,
    write_predictions,
)
from emorec.artifacts.tables import put_rows, write_table
from emorec.errors import DataError
from emorec.evaluation import class_figures, figures
from emorec.evaluation.intervals import (
    accuracy,
    drawn_confusions,
    macro_f1,
    percentiles,
    weighted_f1,
)

TABLE = "results.csv"
KEYS = ("model", "dataset", "split", "predictor")
METRICS = {"weighted_f1": weighted_f1, "macro_f1": macro_f1, "accuracy": accuracy}
_DECIMALS = 5


def metrics(predictions: Predictions, seed: int = 0) -> dict[str, Any]:
    """Return the metrics of one decision per utterance.

    Parameters
    ----------
    predictions : Predictions
        One utterance or more.
    seed : int
        Of the draws of groups.

    Returns
    -------
    dict
        ``utterances`` and ``groups`` (utterances of no known group count as one each);
        ``weighted_f1``, ``macro_f1`` (over the classes that occur) and ``accuracy``,
        each with ``_low`` and ``_high``, the 95 % interval over 2,000 draws of whole
        groups, NaN of a single group; ``nll``, the mean negative log-likelihood in
        nats; then ``precision_*``, ``recall_*``, ``f1_*`` (NaN for a class that does
        not occur) and ``utterances_*`` of each class.

    Raises
    ------
    DataError
        When there is no utterance.
    """
    true, chosen, groups = predictions.true, predictions.chosen, predictions.groups
    labels = predictions.schema.labels
    if not len(true):
        raise DataError(
            f"Predictions of {predictions.model} ({predictions.split}): expected "
            "utterances to score, received none."
        )
    counts = confusion(predictions)[None]
    drawn = drawn_confusions(true, chosen, groups, len(labels), seed)
    result: dict[str, Any] = {
        "utterances": len(true),
        "groups": len(set(groups[groups != ""].tolist())) + int((groups == "").sum()),
    }
    for name, metric in METRICS.items():
        low, high = percentiles(metric(drawn))
        result |= {
            name: float(metric(counts)[0]),
            f"{name}_low": low,
            f"{name}_high": high,
        }
    likelihood = predictions.scores[np.arange(len(true)), true]
    result["nll"] = float(-np.log(np.maximum(likelihood, 1e-12)).mean())
    *each, count = sk.precision_recall_fscore_support(
        true, chosen, labels=np.arange(len(labels)), zero_division=0
    )
    for name, values in zip(("precision", "recall", "f1"), each, strict=True):
        for label, value, there in zip(labels, values, count > 0, strict=True):
            result[f"{name}_{label}"] = float(value) if there else float("nan")
    for label, value in zip(labels, count, strict=True):
        result[f"utterances_{label}"] = int(value)
    return result


def confusion(predictions: Predictions) -> np.ndarray:
    """Return counts (K, K) int64, true classes in rows."""
    counts = np.zeros((len(predictions.schema),) * 2, np.int64)
    np.add.at(counts, (predictions.true, predictions.chosen), 1)
    return counts


def constant_predictions(predictions: Predictions, constant: int) -> Predictions:
    """Return what always answering the class `constant` would have predicted."""
    scores = np.zeros_like(predictions.scores)
    scores[:, constant] = 1
    return replace(predictions, scores=scores)


def write_results(
    parts: Sequence[Predictions],
    folder: Path,
    constant: int,
    say: Callable[[str], None],
) -> pd.DataFrame:
    """Write the files of one model and return its rows of the table.

    Written are, per split, ``predictions_{split}_{model}.npz``, its rows in
    ``results.csv`` and the confusion matrix as ``conf_matrix_{split}_{model}.csv`` and
    ``.png``. Rows of the same model, dataset and split are replaced.

    Parameters
    ----------
    parts : sequence of Predictions
        One per split.
    folder : Path
        Where they go.
    constant : int
        Class that the row ``constant`` always answers: the most frequent one of the
        training data.
    say : callable
        Receives a short table.

    Returns
    -------
    pandas.DataFrame
        ``model``, ``dataset``, ``split``, ``predictor`` (``model`` or ``constant``) and
        the columns of `metrics`.
    """
    folder, rows = Path(folder), []
    for part in parts:
        write_predictions(predictions_path(folder, part), part)
        rows += result_rows(part, constant)
        name = f"conf_matrix_{part.split}_{part.model}"
        counts, labels = confusion(part), list(part.schema.labels)
        frame = pd.DataFrame(counts, columns=labels)
        frame.insert(0, "true", labels)
        write_table(folder / f"{name}.csv", frame)
        title = (
            f"{part.model}\n{part.split} of {part.dataset}, {len(part):,} utterances"
        )
        figure = class_figures.confusion_figure(counts, labels, title)
        figures.save(figure, folder / f"{name}.png")
    # The rows come last: what they tell of is there.
    put_rows(folder / TABLE, rows, KEYS)
    table = pd.DataFrame(rows)
    say("\n" + summary(table))
    return table


def result_rows(predictions: Predictions, constant: int) -> list[dict[str, Any]]:
    """Return the model's row of ``results.csv`` and the constant predictor's."""
    keys = {key: getattr(predictions, key) for key in ("model", "dataset", "split")}
    both = {
        "model": predictions,
        "constant": constant_predictions(predictions, constant),
    }
    return [
        keys
        | {"predictor": name}
        | {
            key: round(value, _DECIMALS) if isinstance(value, float) else value
            for key, value in metrics(one).items()
        }
        # Of certainty that is wrong the likelihood is 0.
        | ({} if one is predictions else {"nll": float("nan")})
        for name, one in both.items()
    ]


def summary(table: pd.DataFrame) -> str:
    """Return the main columns of the rows as text."""
    shown = table[["model", "split", "predictor", "utterances"]].copy()
    for name, word in (
        ("weighted_f1", "weighted F1"),
        ("macro_f1", "macro F1"),
        ("accuracy", "accuracy"),
    ):
        shown[word] = [
            f"{value:.3f} ({low:.3f} to {high:.3f})"
            for value, low, high in zip(
                table[name], table[f"{name}_low"], table[f"{name}_high"], strict=True
            )
        ]
    count = sorted(set(table["groups"].astype(int)))
    return (
        "In brackets the 95 % interval over "
        f"{', '.join(f'{n:,}' for n in count)} groups:\n{shown.to_string(index=False)}"
    )
