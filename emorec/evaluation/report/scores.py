"""What scores of emotions and of sentiment are worth: CMU-MOSEI and CMU-MOSI."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from emorec.artifacts.found_runs import FoundRun
from emorec.artifacts.predictions import Predictions
from emorec.evaluation import metrics, outputs, views
from emorec.evaluation.intervals import GroupDraws, class_rates
from emorec.evaluation.outputs import VALID, Scores
from emorec.evaluation.report import runs
from emorec.evaluation.report.choices import roc_figure
from emorec.evaluation.report.html import Section, figures, number, score, shaded, table
from emorec.evaluation.roc import bootstrap_aucs, interval, roc
from emorec.evaluation.utterances import confusion
from emorec.labels import LabelSchema

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
_WHO = {
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
    recorded = _recorded(run, scores, split)
    if not recorded:
        own.lack(
            f"The record has no metrics of these {len(scores.ids):,} segments of "
            f"{split}, so the scores of the training mean are not known; those of "
            "always answering 0 are."
        )
    name = asked if isinstance(asked, str) else f"{asked:g}"
    for key, (title, shown) in _SHOWN.items():
        rows = []
        for row in computed[key]:
            if row["predictor"] == "train_mean":
                row = _same(recorded.get(key, ()), row["threshold_emo_present"])
            if row is not None:
                values = [_float(row[column]) for column in shown]
                rows.append((_WHO[row["predictor"]], *values))
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


def _recorded(run: FoundRun, scores: Scores, split: str) -> dict[str, Any]:
    """Return the metrics of the record where they are of these very segments."""
    record = run.record
    same = record.get("segments", {}).get(split) == len(scores.ids)
    return record.get("metrics", {}) if same and split == "test" else {}


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
    for place, label in enumerate(labels):
        present, said = true[:, place].astype(int), predicted[:, place].astype(int)
        rates = class_rates(counts[place])
        spread = class_rates(draws.confusions(present, said, 2))
        always = class_rates(_always(counts[place]))
        curve = roc(present > 0, scores.predicted[:, place])
        low, high = interval(areas[:, place])
        positives = int(present.sum())
        curves.append(
            roc_figure(
                {
                    **{"emotion": label, "partition": split, "auc": curve.auc},
                    **{"low": low, "high": high},
                    **{"positives": positives, "clips": len(present)},
                },
                curve,
            )
        )
        # With both classes among the true ones: the mean of their recalls.
        balanced = spread["recall"].mean(axis=1)
        cells = [
            score(rates["recall"].mean(), *interval(balanced), constant=0.5),
            score(
                rates["f1"][1], *interval(spread["f1"][:, 1]), constant=always["f1"][1]
            ),
            score(rates["precision"][1], *interval(spread["precision"][:, 1])),
            score(rates["recall"][1], *interval(spread["recall"][:, 1])),
            score(curve.auc, low, high, constant=0.5),
        ]
        share = f"{positives:,} ({positives / len(present):.0%})"
        rows.append((label, share, number(float(limits[place]), 2), *cells))
    head = (
        *("Emotion", "Present", "Threshold", "Weighted accuracy", "F1"),
        *("Precision", "Recall", "AUC"),
    )
    note = (
        "In brackets 95 % intervals from draws of whole videos. constant: weighted "
        "accuracy and AUC of any constant, F1 of always answering present, the best of "
        "a constant. An infinite threshold answers absent to all."
    )
    own.put(table(f"Presence of each emotion in {split}", head, rows, note))
    own.under(f"ROC curves of {split}")
    own.put(figures(curves))
    own.under("Confusions")
    own.put(_confusions(f"presence in {split}", labels, counts))
    schema = scores.schema
    dominance = metrics.confusion(
        views.dominant(scores.true, schema), views.dominant(scores.predicted, schema)
    )
    own.put(_confusions(f"dominance in {split}", labels, dominance))
    return own


def _always(counts: np.ndarray) -> np.ndarray:
    """Return the confusion of always answering present."""
    return np.stack([np.zeros(2, counts.dtype), counts.sum(axis=1)], axis=1)


def _confusions(what: str, labels: tuple[str, ...], counts: np.ndarray) -> Any:
    rows = []
    for label, matrix in zip(labels, counts, strict=True):
        cells = []
        for line in matrix:
            total = line.sum()
            cells += [
                shaded(
                    count / total if total else 0.0, f"{count:,}", _share(count, total)
                )
                for count in line
            ]
        rows.append((label, *cells))
    head = (
        *("Emotion", "Absent, answered absent", "Absent, answered present"),
        *("Present, answered absent", "Present, answered present"),
    )
    note = "Segments and their share of the truly absent or present ones."
    return table(f"Confusions of {what}", head, rows, note)


def _share(count: int, total: int) -> str:
    return f" {count / total:.0%}" if total else ""


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
            cells.append(f"{mean:.2f} / {right:.2f}")
        rows.append((label, *cells, float(sum(gaps))))
    words = ("Lowest fifth", "Second", "Third", "Fourth", "Highest fifth")
    head = ("Emotion", *words[: len(rows[0]) - 2], "Mean gap")
    own.put(table(f"Predicted / true means in {split}", head, rows))
    return own


def sentiment(run: FoundRun, parts: Mapping[str, Scores], split: str) -> Section:
    """Return the metrics of sentiment beside the constant predictors'."""
    own, scores = Section("scores", "Scores"), parts[split]
    true, predicted = scores.true[:, 0], scores.predicted[:, 0]
    words = {
        "mae": "MAE",
        "corr": "Correlation",
        "acc2_has0": "Accuracy, not negative",
        "f1_has0": "F1, not negative",
        "acc2_non0": "Accuracy, positive",
        "f1_non0": "F1, positive",
        "acc7": "Accuracy of 7",
    }
    rows = [("model", *(metrics.sentiment(true, predicted)[k] for k in words))]
    rows.append(
        (_WHO["zero"], *(metrics.sentiment(true, 0 * predicted)[k] for k in words))
    )
    constants = runs.constants_of(run, "sentiment.csv")
    if "train_mean" not in constants:
        own.lack(
            "sentiment.csv has no row of the training mean; the constant 0 is there."
        )
    else:
        values = constants["train_mean"]
        rows.append((_WHO["train_mean"], *(float(values[k]) for k in words)))
    note = (
        f"{len(true):,} utterances. not negative: against negative, all utterances; "
        "positive: against negative, without those whose true score is 0; of 7: "
        "rounded to -3 ... 3."
    )
    own.put(
        table(f"Sentiment of {split}", ("Who answers", *words.values()), rows, note)
    )
    signs = binary(true > 0, predicted > 0, scores.ids, split, run.name, "positive")
    draws = GroupDraws.of(signs.groups)
    counts = draws.confusions(signs.true, signs.chosen, 2)
    low, high = interval(class_rates(counts)["recall"].mean(axis=1))
    value = class_rates(confusion(signs))["recall"].mean()
    own.say(
        f"Mean recall of positive and not positive: {number(value)} ({number(low)} to "
        f"{number(high)}, 95 % interval over {len(set(signs.groups.tolist())):,} "
        "videos); a constant has 0.5."
    )
    return own


def binary(
    true: np.ndarray, said: np.ndarray, ids: list[str], split: str, model: str, of: str
) -> Predictions:
    """Return a decision about presence as a choice between two, grouped by video."""
    schema = LabelSchema(f"presence of {of}", ("absent", "present"), "single")
    chosen = np.eye(2)[np.asarray(said, int)]
    groups = runs.videos(ids)
    return Predictions(
        model, "", split, schema, ids, chosen, np.asarray(true, int), groups
    )
