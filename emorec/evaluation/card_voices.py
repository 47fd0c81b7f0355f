"""The scores of a speech network for its card."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from emorec.artifacts.found_runs import FoundRun
from emorec.evaluation.card_tables import CardScores, between, counts_of, rows_of

FOLD = re.compile(r"(.+)_fold_(\d+)")


def voices(run: FoundRun) -> CardScores:
    """Return what a student scores on its teacher, or a network on labels."""
    folder, result = run.run.folder, CardScores()
    agreement = rows_of(folder / "agreement.csv", run=run.name).to_dict("records")
    if agreement:
        result.lines.append(
            "There is no human label here: the truth is the emotion that the teacher, "
            "a face network, scored highest. In brackets 95 % intervals over speakers."
        )
        shown = [
            {
                "partition": row["partition"],
                "n": row["clips"],
                "agreement with the teacher": between(row, "agreement", "low", "high"),
                "constant": f"{row['constant']} (always {row['constant_emotion']})",
            }
            for row in agreement
        ]
        result.tables.append(("Agreement", pd.DataFrame(shown)))
    aucs = rows_of(folder / "auc.csv", run=run.name).to_dict("records")
    if aucs:
        shown = [
            {
                "partition": row["partition"],
                "emotion": row["emotion"],
                "positive clips": f"{row['positives']} of {row['clips']}",
                "speakers": row["speakers"],
                "AUC": between(row, "auc", "low", "high"),
                "chance": row["chance"],
            }
            for row in aucs
        ]
        result.tables.append(("ROC of each emotion", pd.DataFrame(shown)))
        part = aucs[-1]["partition"]
        result.each = {
            row["emotion"]: row["auc"]
            for row in aucs
            if row["partition"] == part and row["emotion"] != "mean" and row["auc"]
        }
        result.measure = f"AUC on {part}"
    fold = FOLD.fullmatch(run.name)
    for path in sorted(folder.glob("benchmark_*.csv")) if fold else ():
        _labelled(run, path, *fold.groups(), result)
    return result


def _labelled(
    run: FoundRun, path: Path, name: str, number: str, result: CardScores
) -> None:
    """Add a network's own fold, and what all folds together scored."""
    whole = rows_of(path, features=name).to_dict("records")
    dataset = path.stem.removeprefix("benchmark_")
    own = rows_of(path.with_name(f"folds_{dataset}.csv"), features=name, fold=number)
    if not whole:
        return
    shown = [
        {
            "tested": f"fold {row['fold']} (this network)",
            "n": row["test"],
            "accuracy": row["accuracy"],
            "macro F1": "",
            "constant's accuracy": row["constant"],
        }
        for row in own.to_dict("records")
    ] + [
        {
            "tested": f"{row['folds']} folds, {row['speakers']} speakers",
            "n": row["takes"],
            "accuracy": row["accuracy"],
            "macro F1": between(row, "f1_macro", "f1_low", "f1_high"),
            "constant's accuracy": row["constant"],
        }
        for row in whole
    ]
    result.lines.append(
        "Each fold's network is tested on takes that it has not learnt from "
        f"({whole[0]['protocol']}). In brackets the 95 % interval over speakers."
    )
    result.tables.append((dataset, pd.DataFrame(shown)))
    counts = f"confusion_{dataset}_{name}_{whole[0]['protocol']}.csv"
    result.confusion = counts_of(path.with_name(counts))
    _recalls(result, "recall over all folds")


def _recalls(result: CardScores, measure: str) -> None:
    if result.confusion is None:
        return
    counts = result.confusion.drop(columns="true").to_numpy()
    result.each = {
        label: f"{counts[k, k] / counts[k].sum():.4f}"
        for k, label in enumerate(result.confusion["true"])
        if counts[k].sum()
    }
    result.measure = measure
