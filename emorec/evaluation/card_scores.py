"""The scores of a run for its card, and what they say of its limits."""

from __future__ import annotations

from typing import Any

import pandas as pd

from emorec.artifacts.found_runs import FoundRun
from emorec.corpora.fer_votes import EVALUATED_AS
from emorec.evaluation.card_tables import (
    CardScores,
    between,
    counts_of,
    of_classes,
    rows_of,
)
from emorec.evaluation.card_voices import FOLD, voices

_NO_INTERVALS = "Intervals were not computed."


def scores_of(run: FoundRun) -> CardScores:
    """Return the scores that are on disk; empty before the first evaluation."""
    return {
        "faces": _faces,
        "voices": voices,
        "ravdess": _ravdess,
        "mosei": _mosei,
        "mosi": _mosi,
    }.get(run.system, _meld)(run)


def _faces(run: FoundRun) -> CardScores:
    mode = EVALUATED_AS.get(run.spec.label_type, "majority")
    name = "full_accuracy.csv" if mode == "full" else "accuracy.csv"
    table = rows_of(run.run.folder / name, run=run.name)
    result, shown = CardScores(), []
    constant = {
        (row["split"], row["label_mode"], row["faces"]): row["accuracy"]
        for row in table.to_dict("records")
        if row["predictor"] == "constant"
    }
    for row in table.to_dict("records"):
        if row["predictor"] != "model":
            continue
        key = row["split"], row["label_mode"], row["faces"]
        shown.append(
            {
                "split": row["split"],
                "label mode": row["label_mode"],
                "faces": row["faces"],
                "n": row["images"],
                "accuracy": between(row, "accuracy", "accuracy_low", "accuracy_high"),
                "macro F1": row["f1_macro"],
                "calibration error": row["ece"],
                "constant's accuracy": constant.get(key, ""),
            }
        )
        if key == ("test", mode, "all"):
            labels = run.spec.schema.labels
            result.each, result.measure = of_classes(row, "f1", labels), "F1"
    if shown:
        result.lines.append(
            "In brackets 95 % intervals of the share (Wilson). The constant predictor "
            "always answers with the most frequent class of the training faces. "
            "Faces `unseen`: no copy of the image is in an earlier split."
        )
        result.tables.append(("FER+", pd.DataFrame(shown)))
    result.confusion = counts_of(run.run.folder / f"conf_matrix_{run.name}.csv")
    return result


def _ravdess(run: FoundRun) -> CardScores:
    folder, result = run.run.folder, CardScores()
    path = folder / "incomplete.csv"
    table, fold = rows_of(path, run=run.name), FOLD.fullmatch(run.name)
    name = run.name
    if table.empty and fold:
        name = fold[1]
        table = rows_of(path, run=name)
        own = rows_of(folder / f"folds_{name}.csv", fold=fold[2])
        if len(own):
            result.tables.append((f"Fold {fold[2]}, this network", own))
    rows = table.to_dict("records")
    if not rows:
        return result
    result.lines.append(
        "`given` is what the network gets of a clip, `fill` what stands for the rest. "
        "In brackets 95 % intervals over speakers. The constant predictor always "
        "answers with the most frequent class of the training clips."
    )
    shown = [
        {
            "split": row["split"],
            "given": row["given"],
            "fill": row["fill"],
            "n": row["clips"],
            "speakers": row["speakers"],
            "accuracy": between(row, "accuracy", "low", "high"),
            "macro F1": between(row, "f1_macro", "f1_low", "f1_high"),
        }
        for row in rows
    ]
    title = "All folds, each clip by a network that has not met its speaker"
    result.tables.append((title if name != run.name else "Clips", pd.DataFrame(shown)))
    first = rows[0]
    result.each = of_classes(first, "recall", run.spec.schema.labels)
    result.measure = f"recall on {first['split']}, given {first['given']}"
    ends = f"{first['given']}{'_' + first['fill'] if first['fill'] else ''}"
    result.confusion = counts_of(
        folder / f"conf_matrix_{ends}_{first['split']}_{name}.csv"
    )
    return result


def _meld(run: FoundRun) -> CardScores:
    folder, result = run.run.folder, CardScores()
    rows = rows_of(folder / "results.csv", model=run.name).to_dict("records")
    if not rows:
        return result
    result.lines.append(
        "In brackets 95 % intervals over dialogues. The constant predictor always "
        "answers with the most frequent class of the training utterances."
    )
    shown = [
        {
            "split": row["split"],
            "predictor": row["predictor"],
            "n": row["utterances"],
            "dialogues": row["groups"],
            **{
                word: between(row, key, f"{key}_low", f"{key}_high")
                for key, word in (
                    ("weighted_f1", "weighted F1"),
                    ("macro_f1", "macro F1"),
                    ("accuracy", "accuracy"),
                )
            },
        }
        for row in rows
    ]
    result.tables.append((rows[0]["dataset"], pd.DataFrame(shown)))
    last = [row for row in rows if row["predictor"] == "model"][-1]
    result.each = of_classes(last, "f1", run.spec.schema.labels)
    result.measure = f"F1 on {last['split']}"
    result.confusion = counts_of(folder / f"conf_matrix_{last['split']}_{run.name}.csv")
    return result


def _told(value: Any) -> str:
    """Return a number of a record, with four digits behind the point."""
    return "" if value is None or value != value else f"{value:.4f}"


def _mosei(run: FoundRun) -> CardScores:
    tables = run.record.get("metrics") or {}
    result, titles = CardScores(), {"mae": "MAE", "r2": "R2"}
    shown = [
        {"predictor": row["predictor"]}
        | {title: _told(row[key]) for key, title in titles.items()}
        for row in tables.get("regression", [])
    ]
    if shown:
        result.tables.append(("Intensities, mean over emotions", pd.DataFrame(shown)))
    presence = tables.get("classification_presence", [])
    titles = {
        "weighted_accuracy_macro": "weighted accuracy",
        "f1_macro": "macro F1",
        "auc_macro": "AUC",
        "ap_macro": "AP",
    }
    shown = [
        {"predictor": row["predictor"], "threshold": row["threshold_emo_present"]}
        | {title: _told(row[key]) for key, title in titles.items()}
        for row in presence
    ]
    if shown:
        result.tables.append(("Presence of emotions", pd.DataFrame(shown)))
        count = run.record.get("segments", {}).get("test")
        result.lines.append(
            f"Test, {count} segments. `zero` and `train_mean` are constant "
            f"predictors. {_NO_INTERVALS}"
        )
        first = next(row for row in presence if row["predictor"] == "model")
        result.each = {
            label: _told(first[f"auc_{label}"])
            for label in run.spec.schema.labels
            if _told(first.get(f"auc_{label}"))
        }
        result.measure = "AUC of presence on test"
    return result


def _mosi(run: FoundRun) -> CardScores:
    own = run.record.get("metrics")
    if not own:
        return CardScores()
    constants = [
        row
        for row in rows_of(run.run.folder / "sentiment.csv").to_dict("records")
        if row["predictor"] != "model"
    ]
    shown = [{"predictor": "model"} | {k: _told(v) for k, v in own.items()}]
    shown += [{k: row.get(k, "") for k in shown[0]} for row in constants]
    count = run.record.get("utterances", {}).get("test", "not recorded")
    lines = [
        f"Test, utterances: {count}. `zero` and `train_mean` are constant predictors. "
        f"{_NO_INTERVALS}"
    ]
    return CardScores(lines, [("Sentiment", pd.DataFrame(shown))])


def limits(scores: CardScores, acted: bool) -> list[str]:
    """Return sentences on what a network cannot do, from its own scores."""
    lines = [
        "It scores what is shown or heard, as annotators name it, not what is felt."
    ]
    if acted:
        lines.append(
            "Its data are acted. How it does on emotions that are not was not measured."
        )
    if scores.each:
        order = sorted(scores.each, key=lambda label: float(scores.each[label]))
        worst, best = order[0], order[-1]
        lines.append(
            f"Weakest label by {scores.measure}: {worst} ({scores.each[worst]}); "
            f"strongest: {best} ({scores.each[best]})."
        )
        never = [label for label in order if float(scores.each[label]) == 0]
        if never and not scores.measure.startswith("AUC"):
            lines.append(f"Never right: {', '.join(never)}.")
    if confused := _confused(scores.confusion):
        lines.append(confused)
    if not scores.each:
        lines.append("How it does on single labels is not on disk.")
    return lines


def _confused(counts: pd.DataFrame | None) -> str:
    """Say which true class is most often taken for which other."""
    if counts is None:
        return ""
    labels, values = list(counts["true"]), counts.drop(columns="true").to_numpy(int)
    pairs = [
        (values[i, j], i, j)
        for i in range(len(labels))
        for j in range(len(labels))
        if i != j and values[i, j]
    ]
    if not pairs:
        return ""
    count, i, j = max(pairs, key=lambda pair: (pair[0], -pair[1], -pair[2]))
    return (
        f"Most frequent confusion: {labels[i]} taken for {labels[j]}, {count} of "
        f"{values[i].sum()} clips that are {labels[i]}."
    )
