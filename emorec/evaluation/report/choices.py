"""What a choice among classes is worth: scores, ROC, confusion, calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emorec.artifacts.predictions import Predictions
from emorec.evaluation import class_figures, voice_figures
from emorec.evaluation.intervals import GroupDraws, class_rates
from emorec.evaluation.report.html import (
    Html,
    Section,
    between,
    figure,
    figures,
    number,
    score,
    shaded,
    table,
    tag,
)
from emorec.evaluation.roc import Roc, bootstrap_aucs, interval, roc
from emorec.evaluation.single_label import calibration_error, reliability
from emorec.evaluation.utterances import (
    METRICS,
    confusion,
    constant_predictions,
    metrics,
)

_WORDS = {"weighted_f1": "Weighted F1", "macro_f1": "Macro F1", "accuracy": "Accuracy"}


@dataclass(frozen=True)
class Constant:
    """The constant predictor of a split.

    Attributes
    ----------
    place : int
        The class that it always answers.
    source : str
        The table that tells which; empty where it is the split's own most frequent.
    """

    place: int
    source: str


def scores(
    parts: Mapping[str, Predictions], constants: Mapping[str, Constant]
) -> Section:
    """Return the scores of every split, each beside the constant predictor's."""
    own, rows, groups = Section("scores", "Scores"), [], set()
    for split, part in parts.items():
        found = metrics(part)
        groups.add(found["groups"])
        alone = constants[split]
        always = metrics(constant_predictions(part, alone.place))
        rows.append((f"{split}: model", found["utterances"], *_cells(found, part)))
        label = part.schema.labels[alone.place]
        said = f"{split}: always {label}"
        if not own.headline:
            own.headline = (
                f"Weighted F1 of {split}: {number(found['weighted_f1'])} "
                + between(found["weighted_f1_low"], found["weighted_f1_high"])
                + f"; always {label}: {number(always['weighted_f1'])}."
            )
        rows.append((said, always["utterances"], *_cells(always, None)))
    head = ("Split: who answers", "Clips", *_WORDS.values())
    head = (*head, "NLL", "ECE")
    note = (
        "In brackets 95 % intervals from 2,000 draws of whole groups (dialogues or "
        "speakers; a clip of no known group is one of its own). NLL: mean "
        "negative log-likelihood in nats. ECE: expected calibration error."
    )
    own.put(
        table("Scores and the constant predictor's, split by split", head, rows, note)
    )
    for split, alone in constants.items():
        if not alone.source:
            own.lack(
                f"No table says which class is the most frequent one of the training "
                f"data; of {split} the constant predictor here answers the most "
                "frequent class of the split itself, which no constant can beat."
            )
    own.say(_groups(parts))
    return own


def _cells(found: Mapping[str, Any], part: Predictions | None) -> list[Any]:
    cells: list[Any] = [
        score(found[key], found[f"{key}_low"], found[f"{key}_high"]) for key in METRICS
    ]
    if part is None:
        # Of certainty that is wrong the likelihood is 0.
        return [*cells, "not meaningful", "not meaningful"]
    return [*cells, found["nll"], calibration_error(part.true, part.scores)]


def _groups(parts: Mapping[str, Predictions]) -> str:
    told = []
    for split, part in parts.items():
        named = len(set(part.groups[part.groups != ""].tolist()))
        kind = f"{named:,} groups" if named else "no known groups"
        told.append(f"{split} has {len(part):,} clips, {kind}")
    return "; ".join(told) + "."


def classes(part: Predictions, constant: Constant) -> Section:
    """Return precision, recall, F1 and AUC of each class of a split."""
    own = Section("classes", "Class by class")
    labels, counts = part.schema.labels, confusion(part)
    values = class_rates(counts)
    drawn = GroupDraws.of(part.groups).confusions(part.true, part.chosen, len(labels))
    spread = class_rates(drawn)
    alone = class_rates(confusion(constant_predictions(part, constant.place)))
    rows = []
    curves = _curves(part)
    for place, label in enumerate(labels):
        count = int(counts[place].sum())
        cells = [
            score(
                values[key][place],
                *interval(spread[key][:, place]),
                constant=alone[key][place],
            )
            for key in ("precision", "recall", "f1")
        ]
        row, _ = curves[place]
        area = score(row["auc"], row["low"], row["high"], constant=0.5)
        rows.append((label, f"{count:,} ({count / len(part):.0%})", *cells, area))
    head = ("Class", "Clips", "Precision", "Recall", "F1", "AUC")
    note = (
        "In brackets 95 % intervals over draws of whole groups; constant: the same "
        f"metric of always answering {labels[constant.place]}. AUC: against the "
        "rest. A class that does not occur has no score."
    )
    own.put(table(f"Each class of {part.split}", head, rows, note))
    own.under(f"ROC curves of {part.split}")
    put_curves(own, curves)
    own.say(
        "Each class against the rest by its probability. The dashed line is chance, "
        "which any constant score has; the dot is the equal error rate."
    )
    return own


def _curves(part: Predictions) -> list[tuple[dict[str, Any], Roc]]:
    """Return for each class a row as of `voices.auc_rows`, and the curve."""
    positives = part.true[:, None] == np.arange(len(part.schema))
    drawn = bootstrap_aucs(positives, part.scores, units(part.groups))
    curves = []
    for place, label in enumerate(part.schema.labels):
        curve = roc(positives[:, place], part.scores[:, place])
        low, high = interval(drawn[:, place])
        row = {"partition": part.split, "emotion": label, "auc": curve.auc}
        row |= {"low": low, "high": high, "clips": len(part)}
        curves.append((row | {"positives": int(positives[:, place].sum())}, curve))
    return curves


def units(groups: np.ndarray) -> np.ndarray:
    """Return groups in which a row without a name is a group of its own."""
    alone = np.char.add("row ", np.arange(len(groups)).astype(np.str_))
    return np.where(groups == "", alone, np.char.add("group ", groups))


def put_curves(own: Section, curves: Sequence[tuple[Mapping[str, Any], Roc]]) -> None:
    """Add ROC curves; say of which class there is none."""
    drawn = [roc_figure(row, curve) for row, curve in curves if len(curve.fpr)]
    if drawn:
        own.put(figures(drawn))
    for row, curve in curves:
        if not len(curve.fpr):
            own.say(
                f"{row['emotion']}: no curve, as {row['positives']:,} of "
                f"{row['clips']:,} clips of {row['partition']} are of it."
            )


def roc_figure(row: Mapping[str, Any], curve: Roc) -> Html:
    """Return a ROC curve with what it tells in words."""
    what = f"ROC of {row['emotion']} in {row['partition']}"
    share = f"{row['positives']:,} of {row['clips']:,} clips"
    alt = f"{what}: area {number(row['auc'])}"
    if not np.isnan(row["low"]):
        alt += f", 95 % interval {number(row['low'])} to {number(row['high'])}"
    alt += f"; equal error rate {number(curve.eer)}; {share}."
    return figure(voice_figures.roc_sheet([(row, curve)], ""), alt)


def matrix(part: Predictions) -> Section:
    """Return the confusion matrix of a split."""
    own = Section("confusion", "Confusion matrix")
    own.put(confusion_table(confusion(part), part.schema.labels, part.split))
    return own


def confusion_table(counts: np.ndarray, labels: tuple[str, ...], split: str) -> Html:
    """Return a confusion matrix as a table whose shades are shares."""
    rows = []
    for label, line in zip(labels, counts, strict=True):
        total = int(line.sum())
        shares = line / total if total else np.zeros(len(line))
        cells = [
            share_cell(count, share) for count, share in zip(line, shares, strict=True)
        ]
        rows.append((f"{label} ({total:,})", *cells))
    note = (
        "Rows: the true class with its clips. Columns: the answer. A cell holds the "
        "clips and their share of the true class, which the shade repeats."
    )
    return table(
        f"Confusion matrix of {split}", ("True \\ answer", *labels), rows, note
    )


def share_cell(count: int, share: float) -> Html:
    """Return a cell with a count, and its share where there is something to share."""
    said = [" ", tag("span", f"{share:.0%}", class_="share")] if count else []
    return shaded(share, f"{count:,}", *said)


def calibration(part: Predictions) -> Section:
    """Return how often answers of some confidence are right."""
    own = Section("calibration", "Calibration")
    bins = reliability(part.true, part.scores)
    error = calibration_error(part.true, part.scores)
    mean, right = part.scores.max(axis=1).mean(), (part.chosen == part.true).mean()
    kind = "surer than it is right" if mean > right else "less sure than it is right"
    alt = (
        f"Reliability diagram of {part.split}: mean confidence {number(mean)}, "
        f"accuracy {number(right)}, so on the whole the model is {kind}; expected "
        f"calibration error {number(error)}. The table has the bins."
    )
    title = f"{part.split}, {len(part):,} clips"
    drawn = class_figures.reliability_figure(bins, error, title)
    drawn.axes[0].set_ylim(-0.03, 1.03)
    drawn.axes[1].set_ylabel("clips")
    own.put(figure(drawn, alt))
    width = 1 / len(bins)
    rows = [
        (f"{place * width:.2f} to {(place + 1) * width:.2f}", int(count), sure, share)
        for place, (sure, share, count) in enumerate(bins)
        if count
    ]
    head = ("Probability of the answer", "Clips", "Mean probability", "Share right")
    own.put(table(f"Calibration of {part.split}, ECE {number(error)}", head, rows))
    return own
