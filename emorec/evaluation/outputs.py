"""The outputs of a run on emotion scores: pickles, tables, confusion matrices."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emorec.artifacts.pickles import write_pickle
from emorec.artifacts.tables import put_rows
from emorec.errors import DataError
from emorec.evaluation import figures, metrics, views
from emorec.files import whole_file
from emorec.labels import COARSE_LEVELS, MOSEI_NEUTRAL, LabelSchema

# Rows that stand beside the model's: what knowing nothing of the clip would score.
PREDICTORS = ("model", "zero", "train_mean")
# In place of a number: thresholds per emotion, chosen on validation.
VALID = "valid"
# What makes a row a row of its own; a repeated run replaces its rows.
ROW_KEYS = ("run", "predictor", "threshold_emo_present")


@dataclass(frozen=True)
class Scores:
    """True and predicted scores of one fold.

    Attributes
    ----------
    schema : LabelSchema
        Order of the columns.
    ids : list of str
        Segments.
    true : (n, K) float32
        True intensities.
    predicted : (n, K) float32
        Raw outputs of the network.
    train_mean : (K,) float32
        The constant predictor: mean of the training targets.
    label_type : str
        What the network was trained on; for ``present`` and ``dominant`` the outputs
        are probabilities, not intensities.
    """

    schema: LabelSchema
    ids: list[str]
    true: np.ndarray
    predicted: np.ndarray
    train_mean: np.ndarray
    label_type: str

    @property
    def are_intensities(self) -> bool:
        """Whether the outputs are on the scale of the labels."""
        return self.label_type in ("all", "coarse")

    def threshold(self, asked: float) -> float:
        """Return the threshold for the outputs; that of a probability is a half."""
        return asked if self.are_intensities else 0.5

    def predictions(self) -> dict[str, np.ndarray]:
        """Return predictor -> (n, K) scores, the constant ones among them."""
        count = len(self.true)
        return {
            "model": self.predicted,
            "zero": np.zeros_like(self.predicted),
            "train_mean": np.tile(self.train_mean, (count, 1)),
        }


def metric_rows(
    scores: Scores, valid: Scores, thresholds: Sequence[float | str]
) -> dict[str, list[dict[str, Any]]]:
    """Compute every metric for the model and the constant predictors.

    Parameters
    ----------
    scores : Scores
        Of the fold to be measured.
    valid : Scores
        Of the validation fold, where the thresholds ``valid`` are chosen.
    thresholds : sequence of float or "valid"
        Of presence; one row each in the table of presence.

    Returns
    -------
    dict
        Table name -> rows. Columns are those of the seven labels with neutral, empty
        where the run has none, so that they never depend on the run.
    """
    schema, true = scores.schema, scores.true
    tables: dict[str, list[dict[str, Any]]] = {
        "regression": [],
        "classification_coarse": [],
        "classification_presence": [],
        "classification_dominant": [],
    }
    true_dominant = views.dominant(true, schema)
    for predictor, predicted in scores.predictions().items():
        own = {"predictor": predictor, "threshold_emo_present": ""}
        if scores.are_intensities:
            tables["regression"].append(
                own | metrics.regression(true, predicted, schema)
            )
            tables["classification_coarse"].append(
                own
                | metrics.coarse(
                    views.nearest_level(true, COARSE_LEVELS),
                    views.nearest_level(predicted, COARSE_LEVELS),
                    schema,
                )
            )
        tables["classification_dominant"].append(
            own
            | metrics.classification(
                true_dominant, views.dominant(predicted, schema), predicted, schema
            )
        )
        for asked in thresholds:
            tables["classification_presence"].append(
                own
                | {"threshold_emo_present": _threshold_name(asked)}
                | metrics.classification(
                    *_presence(scores, valid, predictor, asked), predicted, schema
                )
            )
    return tables


def _threshold_name(asked: float | str) -> str:
    return asked if isinstance(asked, str) else f"{asked:g}"


def _presence(
    scores: Scores, valid: Scores, predictor: str, asked: float | str
) -> tuple[np.ndarray, np.ndarray]:
    """Return true and predicted presence, (n, K) each, at a threshold."""
    schema, predicted = scores.schema, scores.predictions()[predictor]
    if asked == VALID:
        limit = metrics.best_thresholds(
            views.presence(valid.true, schema), valid.predictions()[predictor]
        )
        level = 0.0
    else:
        limit, level = scores.threshold(asked), asked
    return (
        views.presence(scores.true, schema, level),
        views.presence(predicted, schema, limit),
    )


def columns(table: str) -> list[str]:
    """Return the metric columns of a table, the same for every run."""
    schema = MOSEI_NEUTRAL
    sample = np.zeros((2, len(schema)))
    sample[0] = 1
    if table == "regression":
        return list(metrics.regression(sample, sample, schema))
    if table == "classification_coarse":
        return list(metrics.coarse(sample, sample, schema))
    return list(metrics.classification(sample, sample, sample, schema))


def write_tables(
    folder: Path,
    prefix: str,
    run: Mapping[str, Any],
    tables: Mapping[str, list[dict[str, Any]]],
    decimals: int,
) -> list[Path]:
    """Add a run's rows to the CSV tables and return their paths.

    Parameters
    ----------
    folder : Path
        The CSV folder.
    prefix : str
        Put before each file name, with an underscore, unless empty.
    run : mapping
        Columns that describe the run: its id, all hyper-parameters, data, split.
    tables : mapping
        From `metric_rows`.
    decimals : int
        Metrics are rounded to so many.
    """
    paths = []
    for name, rows in tables.items():
        path = folder / f"{prefix + '_' if prefix else ''}{name}.csv"
        names = columns(name)
        full = []
        for row in rows:
            values = {
                column: round(row[column], decimals) if column in row else np.nan
                for column in names
            }
            own = {key: row[key] for key in ("predictor", "threshold_emo_present")}
            full.append({**run, **own, **values})
        if full:
            put_rows(path, full, ROW_KEYS)
            paths.append(path)
    return paths


def write_predictions(folder: Path, param_name: str, scores: Scores) -> list[Path]:
    """Write true labels and predictions in all views as pickles and return the paths.

    Views in which the outputs mean nothing (levels of probabilities) are not written,
    and files of them that an earlier run of the name left are removed.
    """
    schema, true, raw = scores.schema, scores.true, scores.predicted
    limit = scores.threshold(0.0)
    files: dict[str, np.ndarray] = {
        "true_scores_all": views.nearest_level(true, schema.levels),
        "true_scores_coarse": views.nearest_level(true, COARSE_LEVELS),
        "true_classes_pres": views.presence(true, schema),
        "true_classes_dom": views.dominant(true, schema),
        f"pred_raw_{param_name}": raw,
        f"pred_classes_pres_{param_name}": views.presence(raw, schema, limit),
        f"pred_classes_dom_{param_name}": views.dominant(raw, schema),
    }
    levels = {
        f"pred_scores_all_{param_name}": schema.levels,
        f"pred_scores_coarse_{param_name}": COARSE_LEVELS,
    }
    for name, steps in levels.items():
        if scores.are_intensities:
            files[name] = views.nearest_level(raw, steps)
        else:
            (folder / f"{name}.pkl").unlink(missing_ok=True)
    paths = [folder / f"{name}.pkl" for name in files]
    for path, content in zip(paths, files.values(), strict=True):
        write_pickle(path, content)
    return paths


def write_scores(path: Path, scores: Scores, spec: Mapping[str, Any]) -> None:
    """Write ids, scores, true labels and the spec as one .npz without pickles.

    Arrays: ``ids`` (n,) text, ``scores`` and ``labels`` (n, K) float32, ``spec`` a
    JSON text.
    """
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            ids=np.array(scores.ids),
            scores=scores.predicted,
            labels=scores.true,
            spec=np.array(json.dumps(spec)),
        )


def write_confusion(
    folder: Path,
    run_name: str,
    scores: Scores,
    valid: Scores,
    thresholds: Sequence[float | str],
    title: str,
    show: bool = False,
) -> list[Path]:
    """Write the confusion matrices of presence and dominance, and their figure.

    The pickles hold (K, 2, 2) counts [[TN, FP], [FN, TP]]: presence at the first
    threshold, and dominance. The figure shows every threshold.
    """
    schema = scores.schema
    shown = {
        f"present @ {_threshold_name(asked)}": metrics.confusion(
            *_presence(scores, valid, "model", asked)
        )
        for asked in thresholds
    }
    dominance = metrics.confusion(
        views.dominant(scores.true, schema), views.dominant(scores.predicted, schema)
    )
    base = folder / f"conf_matrix_{run_name}.pkl"
    other = folder / f"conf_matrix_dom_{run_name}.pkl"
    picture = base.with_suffix(".png")
    write_pickle(base, next(iter(shown.values())))
    write_pickle(other, dominance)
    figure = figures.confusion_figure(
        {**shown, "dominant": dominance}, schema.labels, title
    )
    figures.save(figure, picture, show)
    return [base, other, picture]


def check_scores(predicted: np.ndarray, ids: Sequence[str]) -> None:
    """Refuse predictions that are not finite.

    Raises
    ------
    DataError
        With the segment.
    """
    bad = ~np.isfinite(predicted).all(axis=1)
    if bad.any():
        raise DataError(
            f"The prediction of segment '{ids[int(np.flatnonzero(bad)[0])]}' is not "
            "finite; the training diverged. Lower --learning_rate."
        )
