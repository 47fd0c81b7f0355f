"""What scores of emotions and of sentiment are worth: CMU-MOSEI and CMU-MOSI."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from emorec.artifacts.found_runs import FoundRun
from emorec.evaluation import metrics, outputs, views
from emorec.evaluation.intervals import GroupDraws, class_rates
from emorec.evaluation.outputs import VALID, Scores
from emorec.evaluation.report import runs
from emorec.evaluation.report.choices import put_curves, share_cell
from emorec.evaluation.report.html import Html, Section, number, score, table
from emorec.evaluation.roc import bootstrap_aucs, interval, roc
from emorec.evaluation.voices import row_means

_SHOWN = {
    "classification_presence": (
        "Presence of emotions",
        {
            "weighted_accuracy_macro": "Weighted accuracy",
            "f1_macro": "F1",
            "auc_macro": "AUC",
            "ap_macro": "Average precision",
            "accuracy_macro": "Accuracy",
        },
    ),
    "regression": ("Intensities", {"mae": "MAE", "mse": "MSE", "r2": "R2"}),
    "classification_coarse": (
        "Coarse levels 0, 1, 2, 3",
        {"accuracy_macro": "Accuracy", "f1_macro": "Macro F1", "f1_weighted": "F1"},
    ),
    "classification_dominant": (
        "Dominant emotions",
        {
            "weighted_accuracy_macro": "Weighted accuracy",
            "f1_macro": "F1",
            "auc_macro": "AUC",
            "subset_accuracy": "All right at once",
        },
    ),
}
WHO = {
    "model": "model",
    "zero": "constant: always 0",
    "train_mean": "constant: the training mean",
}


def threshold(parts: Mapping[str, Scores]) -> float | str:
    """Return the threshold of presence: chosen on validation where that is there."""
    return VALID if "valid" in parts else 0.0


def decisions(
    parts: Mapping[str, Scores], split: str, asked: float | str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return true and predicted presence (n, K) of a split, and the thresholds (K,)."""
    scores = parts[split]
    schema = scores.schema
    if asked == VALID:
        valid = parts["valid"]
        limits = metrics.best_thresholds(
            views.presence(valid.true, schema), valid.predicted
        )
    else:
        limits = np.full(len(schema), scores.threshold(asked))
    true = views.presence(scores.true, schema)
    return true, views.presence(scores.predicted, schema, limits), limits


def totals(run: FoundRun, parts: Mapping[str, Scores], split: str) -> Section:
    """Return the metrics over all emotions, beside the constant predictors'."""
    own = Section("scores", "Scores")
    asked, scores = threshold(parts), parts[split]
    own.say(
        f"Of the {len(scores.ids):,} segments of {split}. An emotion is present where "
        "its score is above 0; predicted present "
        + (
            "from a threshold on that was chosen for each emotion on validation."
            if asked == VALID
            else "above 0, as there are no predictions of validation to choose a "
            "threshold on."
        )
    )
    computed = outputs.metric_rows(scores, parts.get("valid", scores), [asked])
    recorded = _recorded(run, computed, split)
    if not recorded:
        own.lack(
            f"The record has no metrics of these {len(scores.ids):,} segments of "
            f"{split}, so the scores of the training mean are not known; those of "
            "always answering 0 are."
        )
    name = "chosen on validation" if asked == VALID else f"{asked:g}"
    found = {row["predictor"]: row for row in computed["classification_presence"]}
    own.headline = (
        f"Weighted accuracy of presence in {split}: "
        f"{number(found['model']['weighted_accuracy_macro'])}, AUC "
        f"{number(found['model']['auc_macro'])}; any constant: 0.500 each."
    )
    for key, (title, shown) in _SHOWN.items():
        rows = []
        for row in computed[key]:
            if row["predictor"] == "train_mean":
                row = _same(recorded.get(key, ()), row["threshold_emo_present"])
            if row is not None:
                values = [_float(row[column]) for column in shown]
                rows.append((WHO[row["predictor"]], *values))
        if rows:
            at = f", threshold: {name}" if key == "classification_presence" else ""
            caption = f"{title} of {split}{at}"
            note = "Means over the emotions that are defined."
            own.put(table(caption, ("Who answers", *shown.values()), rows, note))
    if not scores.are_intensities:
        own.say(
            f"The network learnt {scores.label_type}; its outputs are probabilities, "
            "so there are no scores of intensities."
        )
    return own


def _recorded(
    run: FoundRun, computed: Mapping[str, list[dict[str, Any]]], split: str
) -> dict[str, Any]:
    """Return the metrics of the record where they are of these very predictions."""
    key = "classification_dominant"
    for row in run.record.get("metrics", {}).get(key, ()):
        if row["predictor"] == "model" and split == "test":
            told, ours = (_float(one["auc_macro"]) for one in (row, computed[key][0]))
            if np.isclose(told, ours, atol=1e-6, equal_nan=True):
                return run.record["metrics"]
    return {}


def _same(rows: Any, limit: str) -> dict[str, Any] | None:
    for row in rows:
        if row["predictor"] == "train_mean" and row["threshold_emo_present"] == limit:
            return row
    return None


def _float(value: Any) -> float:
    return math.nan if value is None else float(value)


def emotions(parts: Mapping[str, Scores], split: str) -> Section:
    """Return what is known of each emotion, its ROC curve, and its confusions."""
    own = Section("classes", "Emotion by emotion")
    scores, asked = parts[split], threshold(parts)
    true, predicted, limits = decisions(parts, split, asked)
    labels, groups = scores.schema.labels, runs.videos(scores.ids)
    draws = GroupDraws.of(groups)
    areas = bootstrap_aucs(true > 0, scores.predicted, groups)
    rows, curves, counts = [], [], metrics.confusion(true, predicted)
    # Metric -> (draws, K), so that means over emotions have intervals, too.
    drawn: dict[str, list[np.ndarray]] = {"balanced": [], "f1": []}
    for place, label in enumerate(labels):
        present, said = true[:, place].astype(int), predicted[:, place].astype(int)
        rates = class_rates(counts[place])
        spread = class_rates(draws.confusions(present, said, 2))
        always = class_rates(_always(counts[place]))
        curve = roc(present > 0, scores.predicted[:, place])
        low, high = interval(areas[:, place])
        positives = int(present.sum())
        named = {"emotion": label, "partition": split, "auc": curve.auc}
        sizes = {"positives": positives, "clips": len(present)}
        curves.append((named | {"low": low, "high": high} | sizes, curve))
        # Undefined where a draw has one of the two alone.
        drawn["balanced"].append(spread["recall"].mean(axis=1))
        drawn["f1"].append(spread["f1"][:, 1])
        cells = [
            score(rates["recall"].mean(), *interval(drawn["balanced"][-1]), 0.5),
            *(
                score(rates[k][1], *interval(spread[k][:, 1]), always[k][1])
                for k in ("f1", "precision", "recall")
            ),
            score(curve.auc, low, high, 0.5),
        ]
        share = f"{positives:,} ({positives / len(present):.0%})"
        rows.append((label, share, number(float(limits[place])), *cells))
    rows.append(_means(true, predicted, scores, drawn, areas))
    head = (
        *("Emotion", "Present", "Threshold", "Weighted accuracy", "F1"),
        *("Precision", "Recall", "AUC"),
    )
    note = (
        "In brackets 95 % intervals from draws of whole videos. constant: of weighted "
        "accuracy and AUC any constant; of the others always answering present, the "
        "best F1 of a constant. An infinite threshold answers absent to all."
    )
    own.put(table(f"Presence of each emotion in {split}", head, rows, note))
    if scores.are_intensities:
        _intensities(own, scores, split)
    own.under(f"ROC curves of {split}")
    put_curves(own, curves)
    own.under("Confusions")
    own.put(_confusions(f"presence in {split}", labels, counts))
    schema = scores.schema
    dominance = metrics.confusion(
        views.dominant(scores.true, schema), views.dominant(scores.predicted, schema)
    )
    own.put(_confusions(f"dominance in {split}", labels, dominance))
    return own


def _means(
    true: np.ndarray,
    predicted: np.ndarray,
    scores: Scores,
    drawn: Mapping[str, list[np.ndarray]],
    areas: np.ndarray,
) -> tuple[Any, ...]:
    """Return the last row: means over emotions, as the table of totals has them."""
    found = metrics.classification(true, predicted, scores.predicted, scores.schema)
    spread = {key: np.stack(values, axis=1) for key, values in drawn.items()}
    spread["auc"] = areas
    ends = {key: interval(row_means(values)) for key, values in spread.items()}
    share = f"{true.mean():.0%}"
    return (
        *("mean", share, ""),
        score(found["weighted_accuracy_macro"], *ends["balanced"], 0.5),
        score(found["f1_macro"], *ends["f1"]),
        number(found["precision_macro"]),
        number(found["recall_macro"]),
        score(found["auc_macro"], *ends["auc"], 0.5),
    )


def _intensities(own: Section, scores: Scores, split: str) -> None:
    """Add how far the intensities are from the true ones."""
    schema = scores.schema
    model = metrics.regression(scores.true, scores.predicted, schema)
    zero = metrics.regression(scores.true, 0 * scores.predicted, schema)
    rows = [
        (
            label,
            number(float(scores.true[:, place].mean())),
            score(model[f"mae_{label}"], constant=zero[f"mae_{label}"]),
            score(model[f"mse_{label}"], constant=zero[f"mse_{label}"]),
            score(model[f"r2_{label}"], constant=zero[f"r2_{label}"]),
        )
        for place, label in enumerate(schema.labels)
    ]
    head = ("Emotion", "Mean true score", "MAE", "MSE", "R2")
    note = "constant: always 0."
    own.put(table(f"Intensity of each emotion in {split}", head, rows, note))


def _always(counts: np.ndarray) -> np.ndarray:
    """Return the confusion of always answering present."""
    return np.stack([np.zeros(2, counts.dtype), counts.sum(axis=1)], axis=1)


def _confusions(what: str, labels: tuple[str, ...], counts: np.ndarray) -> Html:
    rows = []
    for label, matrix in zip(labels, counts, strict=True):
        totals = matrix.sum(axis=1, keepdims=True)
        shares = np.divide(matrix, totals, out=np.zeros((2, 2)), where=totals > 0)
        cells = [
            share_cell(count, share)
            for count, share in zip(matrix.ravel(), shares.ravel(), strict=True)
        ]
        rows.append((label, *cells))
    head = (
        *("Emotion", "Absent, answered absent", "Absent, answered present"),
        *("Present, answered absent", "Present, answered present"),
    )
    note = "Segments and their share of the truly absent or present ones."
    return table(f"Confusions of {what}", head, rows, note)


def agreement(parts: Mapping[str, Scores], split: str) -> Section:
    """Return the calibration: probabilities by bins, or true by predicted scores."""
    own, scores = Section("calibration", "Calibration"), parts[split]
    if scores.are_intensities:
        own.say(
            "The outputs are scores on the scale of the labels, not probabilities, so "
            "an expected calibration error is not defined. Well calibrated scores "
            "are, on the mean, what is true: a fifth of the segments at a time, from "
            "the lowest to the highest score, the table has the mean predicted and "
            "the mean true score."
        )
        true = scores.true
    else:
        own.say(
            "The outputs are probabilities. A fifth of the segments at a time, from "
            "the lowest to the highest, the table has the mean probability and the "
            "share of segments of which it is true."
        )
        view = views.dominant if scores.label_type == "dominant" else views.presence
        true = view(scores.true, scores.schema)
    rows = []
    for place, label in enumerate(scores.schema.labels):
        order = np.argsort(scores.predicted[:, place], kind="stable")
        cells, gaps = [], []
        for fifth in np.array_split(order, min(5, len(order))):
            mean = float(scores.predicted[fifth, place].mean())
            right = float(true[fifth, place].mean())
            gaps.append(abs(mean - right) * len(fifth) / len(order))
            cells.append(f"{number(mean, 2)} / {number(right, 2)}")
        rows.append((label, *cells, float(sum(gaps))))
    words = ("Lowest fifth", "Second", "Third", "Fourth", "Highest fifth")
    head = ("Emotion", *words[: len(rows[0]) - 2], "Mean gap")
    own.put(table(f"Predicted / true means in {split}", head, rows))
    return own
