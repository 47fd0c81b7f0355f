"""The tables that one system alone has: label modes, speakers, missing modalities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from emorec.artifacts.found_runs import FoundRun
from emorec.evaluation import fusion_figures, incomplete
from emorec.evaluation.fusion_weights import columns
from emorec.evaluation.report import runs
from emorec.evaluation.report.html import (
    Html,
    Section,
    between,
    figure,
    number,
    score,
    table,
)


def further(run: FoundRun) -> list[Section]:
    """Return the sections that a run of its system has besides."""
    parts = {
        "faces": _faces,
        "voices": _voices,
        "ravdess": _ravdess,
        runs.FUSION: _fusion,
    }
    return parts[run.system](run) if run.system in parts else []


def _lacking(own: Section, run: FoundRun, file: str) -> list[Section]:
    own.lack(f"{run.run.folder / file} has no rows of {run.name}.")
    return [own]


def _faces(run: FoundRun) -> list[Section]:
    own = Section("modes", "Scores in each label mode")
    content = runs.rows_of(run, "accuracy.csv")
    if content is None:
        return _lacking(own, run, "accuracy.csv")
    keys = ["data", "split", "label_mode", "faces"]
    rows = []
    for group, pair in content.groupby(keys, sort=False):
        model, constant = (_of(pair, name) for name in ("model", "constant"))
        if model is None:
            continue
        rows.append(
            (
                " / ".join(map(str, group[1:])),
                int(model["images"]),
                _beside(model, constant, "accuracy", "accuracy_low", "accuracy_high"),
                _beside(model, constant, "f1_macro"),
                model["nll"],
                model["ece"],
            )
        )
    head = ("Split / label mode / faces", "Faces", "Accuracy", "Macro F1", "NLL", "ECE")
    own.put(
        table(
            "Each label mode of FER+",
            head,
            rows,
            "From accuracy.csv; brackets: Wilson's 95 % interval. unseen: faces whose "
            "image is in no earlier split. The other sections are of the label mode "
            f"{runs.face_mode(run)}.",
        )
    )
    return [own]


def _of(pair: pd.DataFrame, name: str) -> pd.Series | None:
    own = pair[pair["predictor"] == name]
    return own.iloc[0] if len(own) else None


def _beside(
    model: pd.Series, constant: pd.Series | None, key: str, *bounds: str
) -> Html:
    ends = [float(model[bound]) for bound in bounds] or [math.nan, math.nan]
    alone = math.nan if constant is None else float(constant[key])
    return score(float(model[key]), *ends, constant=alone)


def _voices(run: FoundRun) -> list[Section]:
    own = Section("partitions", "Each partition: what the teacher sees, told by ear")
    own.say(
        "The true emotion of a clip is the one that the teacher, a face network, "
        "scores highest on the speaker's face. heardVal has speakers of the training, "
        "unheardVal others; there is no test split."
    )
    aucs = runs.rows_of(run, "auc.csv")
    if aucs is None:
        return _lacking(own, run, "auc.csv")
    rows = [
        (
            f"{row['partition']}: {row['emotion']}",
            f"{row['positives']:,} of {row['clips']:,}",
            f"{row['positive_speakers']:,} of {row['speakers']:,}",
            score(row["auc"], row["low"], row["high"], constant=row["chance"]),
            row["eer"],
            "no" if row["ignored"] else "yes",
        )
        for row in aucs.to_dict("records")
    ]
    for row in aucs.to_dict("records"):
        if (row["partition"], row["emotion"]) == ("unheardVal", "mean"):
            own.headline = (
                f"Mean AUC of unheardVal: {number(row['auc'])} "
                f"{between(row['low'], row['high'])}; any constant: 0.500."
            )
    head = (
        "Partition: emotion",
        "Clips of it",
        "Speakers",
        "AUC",
        "EER",
        "In the mean",
    )
    note = "From auc.csv; brackets: 95 % intervals over speakers; chance is 0.5."
    own.put(table("AUC of each emotion", head, rows, note))
    agreements = runs.rows_of(run, "agreement.csv")
    if agreements is None:
        return _lacking(own, run, "agreement.csv")
    rows = [
        (
            row["partition"],
            row["clips"],
            score(row["agreement"], row["low"], row["high"], constant=row["constant"]),
            row["constant_emotion"],
        )
        for row in agreements.to_dict("records")
    ]
    head = ("Partition", "Clips", "Agreement with the teacher", "The constant answers")
    own.put(table("How often student and teacher choose the same", head, rows))
    return [own]


def _ravdess(run: FoundRun) -> list[Section]:
    own = Section("incomplete", "With a modality missing")
    content = runs.rows_of(run, incomplete.TABLE)
    if content is None:
        return _lacking(own, run, incomplete.TABLE)
    content["fill"] = content["fill"].fillna("")
    for (data, split), part in content.groupby(["data", "split"], sort=False):
        lines = part.to_dict("records")
        rows = [
            (
                line["given"] + (f", rest: {line['fill']}" if line["fill"] else ""),
                line["clips"],
                score(line["accuracy"], line["low"], line["high"]),
                score(line["f1_macro"], line["f1_low"], line["f1_high"]),
                line["top5"],
            )
            for line in lines
        ]
        head = ("Given", "Clips", "Accuracy", "Macro F1", "Among the first five")
        note = (
            f"{data}. Brackets: 95 % intervals over {lines[0]['speakers']} speakers. "
            "constant: always the most frequent class of the training clips."
        )
        own.put(
            table(
                f"{split}: what is given, and what stands for the rest",
                head,
                rows,
                note,
            )
        )
        if any(line["given"] == "constant" for line in lines) and len(lines) > 2:
            best = "; ".join(
                f"{row[0]} {number(line['accuracy'])}"
                for row, line in zip(rows, lines, strict=True)
            )
            drawn = incomplete.condition_figure(lines, f"{run.name}\n{split}")
            own.put(figure(drawn, f"Accuracies of {split} as bars: {best}."))
    return [own]


def _fusion(run: FoundRun) -> list[Section]:
    own = Section("weights", "Weights of the fusion")
    settings, fusions = run.record.get("settings", {}), run.record["fusions"]
    models = settings.get("models", [])
    rows = [
        (f"fusion {place}" if len(fusions) > 1 else "the fusion", *weights.values())
        for place, weights in enumerate(
            (f["weights"] for f in fusions if "weights" in f), 1
        )
    ]
    where = settings.get("chosen_on", "not recorded")
    if rows:
        own.put(table(f"Weights, chosen on {where}", ("Fold", *models), rows))
    else:
        own.say(
            f"The method is {settings.get('method')}; its coefficients, fitted on "
            f"{where}, are in {run.run.record_path.name}."
        )
    _alphas(own, run, models, settings.get("criterion", "weighted_f1"))
    compared = run.record.get("comparisons", [])
    if compared:
        own.put(comparison_table("The fusion and each of its models", compared))
    return [own]


def _alphas(own: Section, run: FoundRun, models: Sequence[str], criterion: str) -> None:
    path = run.run.folder / f"alphas_{run.name}.csv"
    try:
        grid = pd.read_csv(path)
        weights = grid[columns(tuple(models))]
        worth, chosen = grid[criterion], grid[grid["chosen"] > 0]
    except (OSError, ValueError, KeyError) as error:
        if run.record.get("settings", {}).get("method") == "weights":
            own.lack(f"{path}: what each weighting is worth cannot be read ({error}).")
        return
    split = ", ".join(map(str, grid["split"].unique()))
    drawn = fusion_figures.weights_figure(
        grid, models, f"{run.name}\nchosen on {split}", criterion
    )
    told = " and ".join(
        ", ".join(
            f"{model} {row[column]:g}"
            for model, column in zip(models, weights.columns, strict=True)
        )
        for _, row in chosen.iterrows()
    )
    alt = (
        f"What {len(grid):,} weightings are worth on {split}: {criterion} from "
        f"{worth.min():.3f} to {worth.max():.3f}; chosen: {told}."
    )
    if drawn is None:
        own.say(alt, " More than three models cannot be drawn.")
    else:
        own.put(figure(drawn, alt, alt))


def comparison_table(caption: str, compared: Sequence[dict[str, Any]]) -> Html:
    """Return paired comparisons as of `emorec.evaluation.comparison.Comparison`."""
    rows = [
        (
            f"{row['first']} less {row['second']}",
            row["utterances"],
            score(_float(row["difference"]), _float(row["low"]), _float(row["high"])),
            number(_float(row["bootstrap"])),
            f"{row['only_first']} and {row['only_second']}",
            f"{number(_float(row['mcnemar']))} ({row['test']})",
        )
        for row in compared
    ]
    head = (
        *("Pair", "Clips", "Difference of weighted F1", "p (bootstrap)"),
        *("Right alone, first and second", "p (McNemar)"),
    )
    note = (
        "On the clips that both predict. In brackets 95 % intervals over draws of "
        "whole groups. The p are not corrected for the number of comparisons."
    )
    return table(caption, head, rows, note)


def _float(value: Any) -> float:
    return math.nan if value is None else float(value)
