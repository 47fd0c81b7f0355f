"""What a network of several modalities is worth when one is missing.

Chumachenko, Iosifidis and Gabbouj (2022), section 4.2: the same clips with everything,
and with one modality replaced by zeros or noise.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from emorec.artifacts.runs import RunFolder
from emorec.artifacts.spec import Spec
from emorec.artifacts.tables import put_rows, write_table
from emorec.errors import DataError
from emorec.evaluation import class_figures, figures
from emorec.evaluation.cards import card_after
from emorec.evaluation.intervals import macro_f1, speaker_interval
from emorec.evaluation.roc import bootstrap_share
from emorec.evaluation.single_label import confusion, softmax
from emorec.files import whole_file
from emorec.labels import LabelSchema

TABLE = "incomplete.csv"
BOTH = "both"
KEYS = ("run", "data", "split", "given", "fill")
_INTENSITIES = {1: "normal", 2: "strong"}
# What is given, and what stands for the rest; nothing where all is given.
Condition = tuple[str, str]


@dataclass(frozen=True)
class IncompleteScores:
    """A network's outputs for the same clips under several conditions.

    Attributes
    ----------
    schema : LabelSchema
        Names of the K classes.
    dataset, split : str
    ids : list of str
        n clips.
    true : (n,) int
    speakers : (n,) str
    intensity : (n,) int
        1 normal, 2 strong, 0 unknown.
    logits : dict
        (given, fill) -> (n, K); given such as ``both``, ``audio``, ``video``.
    constant : (n,) int
        The most frequent class of the clips that the network learnt from.
    """

    schema: LabelSchema
    dataset: str
    split: str
    ids: list[str]
    true: np.ndarray
    speakers: np.ndarray
    intensity: np.ndarray
    logits: Mapping[Condition, np.ndarray]
    constant: np.ndarray

    def __post_init__(self) -> None:
        expected = (len(self.ids), len(self.schema))
        for condition, values in self.logits.items():
            if values.shape != expected or not np.isfinite(values).all():
                raise DataError(
                    f"{condition}: expected finite scores of shape {expected}, "
                    f"received {values.shape}."
                )


def pooled(parts: Sequence[IncompleteScores], split: str) -> IncompleteScores:
    """Return the scores of several networks' clips as one, under the name of a split.

    Raises
    ------
    DataError
        When a clip occurs twice.
    """
    first = parts[0]
    ids = [name for part in parts for name in part.ids]
    if len(set(ids)) < len(ids):
        raise DataError(f"{first.dataset}: a clip is in two of the parts.")

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    return IncompleteScores(
        first.schema,
        first.dataset,
        split,
        ids,
        *(joined(name) for name in ("true", "speakers", "intensity")),
        {key: np.concatenate([p.logits[key] for p in parts]) for key in first.logits},
        joined("constant"),
    )


def rows(result: IncompleteScores, run: str) -> list[dict[str, Any]]:
    """Return a row per condition and one of the constant predictor.

    Columns: accuracy, its 95 % interval by drawing speakers, top-5 accuracy, macro F1
    with interval, recall of each class, and accuracy of each intensity that occurs.
    """
    table = []
    ranked = {name: np.argsort(-x, axis=1) for name, x in result.logits.items()}
    always = np.tile(np.arange(len(result.schema)), (len(result.ids), 1))
    first = np.argsort(always != result.constant[:, None], axis=1, kind="stable")
    ranked[("constant", "")] = first
    for (given, fill), order in ranked.items():
        chosen, true = order[:, 0], result.true
        right = chosen == true
        low, high = bootstrap_share(right, result.speakers)
        counts = np.zeros((len(result.schema),) * 2, np.int64)
        np.add.at(counts, (true, chosen), 1)
        f1_low, f1_high = speaker_interval(
            true, chosen, result.speakers, len(result.schema)
        )
        row: dict[str, Any] = {
            "run": run,
            "data": result.dataset,
            "split": result.split,
            "given": given,
            "fill": fill,
            "clips": len(true),
            "speakers": len(set(result.speakers.tolist())),
            "accuracy": float(right.mean()),
            "low": low,
            "high": high,
            "top5": float((order[:, :5] == true[:, None]).any(axis=1).mean()),
            "f1_macro": float(macro_f1(counts[None])[0]),
            "f1_low": f1_low,
            "f1_high": f1_high,
        }
        totals = counts.sum(axis=1)
        for number, label in enumerate(result.schema.labels):
            there = totals[number] > 0
            recall = counts[number, number] / totals[number] if there else np.nan
            row[f"recall_{label}"] = float(recall)
        for number, word in _INTENSITIES.items():
            some = result.intensity == number
            row[f"accuracy_{word}"] = (
                float(right[some].mean()) if some.any() else np.nan
            )
        table.append(row)
    return table


def summary(table: list[dict[str, Any]], run: str, dataset: str) -> str:
    """Return the main columns as text."""
    frame = pd.DataFrame(table)
    names = ["given", "fill", "clips", "accuracy", "low", "high", "f1_macro"]
    shown = frame[names].round(3)
    return (
        f"{run} on {dataset}, {frame.split.iloc[0]} (low and high: 95 % interval over "
        f"{frame.speakers.iloc[0]} speakers):\n{shown.to_string(index=False)}"
    )


def whole_table(folder: Path, runs: Sequence[str], split: str) -> pd.DataFrame:
    """Return the accuracies of several runs, one a line, the conditions as columns.

    Written before by `write_results`; ``constant`` is the last column.
    """
    table = pd.read_csv(folder / TABLE, keep_default_na=False, na_values=["nan"])
    table = table[table["run"].isin(runs) & (table["split"] == split)]
    table["condition"] = table["given"].str.cat(
        [f" ({fill})" if fill else "" for fill in table["fill"]]
    )
    order = list(dict.fromkeys(table["condition"]))
    order = [name for name in order if name != "constant"] + ["constant"]
    # The data in a column, for one name may have been tested on several.
    whole = table.pivot_table("accuracy", ["run", "data"], "condition")[order]
    names = {name: place for place, name in enumerate(runs)}
    return whole.reset_index().sort_values("run", key=lambda run: run.map(names))


def table_figure(table: pd.DataFrame, title: str) -> Figure:
    """Draw `whole_table` as a heat map with the numbers in it."""
    conditions = [name for name in table if name not in ("run", "data")]
    values = table[conditions].to_numpy(float)
    size = (2.6 + 1.05 * len(conditions), 1.6 + 0.42 * len(table))
    figure = Figure(figsize=size, layout="tight")
    axes = figure.subplots()
    axes.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for line, row in enumerate(values):
        for column, value in enumerate(row):
            dark = np.isfinite(value) and value > 0.6
            text = f"{value:.3f}" if np.isfinite(value) else ""
            axes.text(
                column,
                line,
                text,
                ha="center",
                va="center",
                color="white" if dark else "black",
                fontsize=9,
            )
    words = [name.replace(" (", "\n(") for name in conditions]
    axes.set_xticks(range(len(conditions)), words, fontsize=9)
    axes.set_yticks(range(len(table)), table["run"], fontsize=9)
    axes.set_title(title, fontsize=10)
    return figure


def condition_figure(table: list[dict[str, Any]], title: str) -> Figure:
    """Draw accuracies with intervals, a bar per condition, the constant as a line."""
    shown = [row for row in table if row["given"] != "constant"]
    constant = next(row["accuracy"] for row in table if row["given"] == "constant")
    figure = Figure(figsize=(2.2 + 0.9 * len(shown), 4.2), layout="tight")
    axes = figure.subplots()
    places = np.arange(len(shown))
    values = np.array([row["accuracy"] for row in shown])
    bounds = np.array([[row["low"], row["high"]] for row in shown]).T
    spread = np.abs(np.nan_to_num(bounds - values))
    colours = {BOTH: figures.GREY, "audio": figures.BLUE, "video": figures.ORANGE}
    hatches = {"noise": "//", "addnoise": ".."}
    bars = axes.bar(
        places,
        values,
        yerr=spread,
        capsize=4,
        color=[colours.get(row["given"], figures.GREY) for row in shown],
    )
    for bar, row, value in zip(bars, shown, values, strict=True):
        bar.set_hatch(hatches.get(row["fill"], ""))
        middle = bar.get_x() + bar.get_width() / 2
        axes.text(middle, 0.02, f"{value:.3f}", ha="center", color="white", fontsize=9)
    axes.axhline(constant, color="black", linestyle="--", linewidth=1)
    axes.text(places[-1] + 0.45, constant + 0.01, "constant", ha="right", fontsize=8)
    names = [
        row["given"] + (f"\nrest: {row['fill']}" if row["fill"] else "")
        for row in shown
    ]
    axes.set_xticks(places, names, fontsize=9)
    axes.set_ylim(0, 1)
    axes.set_ylabel("accuracy")
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def write_results(
    result: IncompleteScores,
    folder: RunFolder,
    spec: Spec,
    say: Callable[[str], None],
) -> list[Path]:
    """Write predictions, table, confusion matrices and figure; return the paths."""
    name, paths = folder.param_name, []
    path = folder.folder / f"predictions_{result.split}_{name}.npz"
    arrays = {
        f"logits_{given}{'_' + fill if fill else ''}": values
        for (given, fill), values in result.logits.items()
    }
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            ids=np.array(result.ids, np.str_),
            speakers=np.asarray(result.speakers, np.str_),
            labels=result.true,
            intensity=result.intensity,
            spec=np.array(json.dumps(spec.to_dict())),
            **arrays,
        )
    paths.append(path)
    table = rows(result, name)
    for row in table:
        row |= {k: round(v, 4) for k, v in row.items() if isinstance(v, float)}
    put_rows(folder.folder / TABLE, table, KEYS)
    paths.append(folder.folder / TABLE)
    title = f"{name}\n{result.split} of {result.dataset}, {len(result.ids):,} clips"
    labels = list(result.schema.labels)
    for (given, fill), values in result.logits.items():
        counts = confusion(result.true, softmax(values), result.schema)
        ends = f"{given}{'_' + fill if fill else ''}_{result.split}_{name}"
        path = folder.folder / f"conf_matrix_{ends}.csv"
        frame = pd.DataFrame(counts, columns=labels)
        frame.insert(0, "true", labels)
        write_table(path, frame)
        figure = class_figures.confusion_figure(
            counts, labels, f"{title}\n{given}{', rest: ' + fill if fill else ''}"
        )
        figures.save(figure, path.with_suffix(".png"))
        paths += [path, path.with_suffix(".png")]
    path = folder.folder / f"incomplete_{result.split}_{name}.png"
    figures.save(condition_figure(table, title), path)
    card_after(folder, say)
    say("\n" + summary(table, name, result.dataset))
    return [*paths, path]
