"""The published tables of text, audio, face and their fusion on MELD, and our rows.

Published numbers are of the student project of Communicative Robots (2020, Vrije
Universiteit Amsterdam): its slides and notebooks (leolani/cltl-face-all). COSMIC's is
of Ghosal et al. (2020), as the slides quote it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from emorec.errors import DataError
from emorec.evaluation.utterances import TABLE
from emorec.files import read_json

METRICS = ("accuracy", "weighted_f1", "macro_f1")
NOT_RUN = "not run"
_CONSTANT = "the most frequent class"


class Published(NamedTuple):
    """A published row.

    Attributes
    ----------
    name : str
        What the slides call it.
    split : str
    accuracy, weighted_f1, macro_f1 : str
        As printed, 0 to 1; empty where not told.
    ours : str
        Pattern (`re.search`) of the names of the runs that repeat it; empty where none
        does.
    """

    name: str
    split: str
    accuracy: str = ""
    weighted_f1: str = ""
    macro_f1: str = ""
    ours: str = ""


# Table -> title, kinds of runs, published rows.
TABLES: dict[str, tuple[str, tuple[str, ...], tuple[Published, ...]]] = {
    "text": (
        "Text",
        ("text",),
        (
            Published(
                "fine-tuned RoBERTa", "test", "0.640", "0.617", "0.39", "^text_roberta"
            ),
            Published("embeddings + SVM", "test", "0.571", "0.572", "", "svm"),
            Published("embeddings + XGBoost", "test", "0.60", "0.58", "", "boost"),
            Published(
                "embeddings + logistic regression",
                *("test", "0.58", "0.58", ""),
                "embeddings_logistic",
            ),
        ),
    ),
    "audio": (
        "Audio",
        ("audio",),
        (
            Published(
                "linear, original data", "test", "0.20-0.25", ours="linear_librosa_all"
            ),
            Published(
                "linear, down-sampled", "test", "0.22-0.28", ours="linear_librosa_joy"
            ),
            Published(
                *("MLP, original data", "test", "0.27", "0.264", "0.14"),
                ours="mlp_librosa_all",
            ),
            Published(
                *("MLP, down-sampled", "test", "0.296", "0.29", "0.16"),
                ours="mlp_librosa_joy",
            ),
        ),
    ),
    "fusion": (
        "Fusion",
        ("audio", "text", "fusion"),
        (
            *(
                Published("audio", split, weighted_f1=value, ours="^audio:")
                for split, value in (
                    ("train", "0.373"),
                    ("dev", "0.252"),
                    ("test", "0.264"),
                )
            ),
            *(
                Published("text", split, weighted_f1=value, ours="^text:")
                for split, value in (
                    ("train", "0.657"),
                    ("dev", "0.578"),
                    ("test", "0.617"),
                )
            ),
            *(
                Published("audio + text", split, weighted_f1=value, ours="^fusion:")
                for split, value in (
                    ("train", "0.656"),
                    ("dev", "0.587"),
                    ("test", "0.619"),
                )
            ),
            Published("COSMIC", "test", weighted_f1="0.652"),
        ),
    ),
    "face": (
        "Vision",
        ("face",),
        (
            Published(
                *("BiLSTM on landmarks", "train", "0.47", "0.303", "0.09"), ours="."
            ),
            Published(
                *("BiLSTM on landmarks", "dev", "0.48", "0.313", "0.09"), ours="."
            ),
            Published(
                *("BiLSTM on landmarks", "test", "0.51", "0.345", "0.10"), ours="."
            ),
        ),
    ),
}


def read_results(folder: str | Path) -> pd.DataFrame:
    """Return the rows of ``results.csv`` with what the runs' records say.

    ``kind`` is ``text``, ``audio``, ``face`` or ``fusion``, or how the name begins
    where there is no record; ``fused`` is true of runs that take part in a fusion.

    Raises
    ------
    DataError
        When the table is missing or is another one.
    """
    path = Path(folder) / TABLE
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: expected the results of runs on MELD ({error}). Run one first."
        ) from error
    needed = {"model", "dataset", "split", "predictor", *METRICS}
    if lacking := sorted(needed - set(table.columns)):
        raise DataError(f"{path}: has no column {', '.join(lacking)}.")
    models = [str(name) for name in table["model"].unique()]
    records = {name: _record(Path(folder), name) for name in models}
    fused = {
        part
        for record in records.values()
        if "fusions" in record
        for part in record.get("settings", {}).get("models", ())
    }
    kinds = {name: _kind(name, record) for name, record in records.items()}
    return table.assign(
        kind=table["model"].map(kinds), fused=table["model"].isin(fused)
    )


def _record(folder: Path, model: str) -> dict[str, Any]:
    path = folder / f"run_{model}.json"
    return read_json(path) if path.is_file() else {}


def _kind(model: str, record: dict[str, Any]) -> str:
    if "fusions" in record:
        return "fusion"
    modalities = [m["name"] for m in record.get("spec", {}).get("modalities", ())]
    return modalities[0] if len(modalities) == 1 else model.partition("_")[0]


def beside(results: pd.DataFrame) -> pd.DataFrame:
    """Put our runs beside the published rows.

    Parameters
    ----------
    results : pandas.DataFrame
        From `read_results`.

    Returns
    -------
    pandas.DataFrame
        ``table``, ``published`` (its name), ``split``, ``published_{metric}`` (text),
        ``model`` (``not run`` where no run repeats it, empty where none could),
        ``utterances``, then each metric with its ``_low`` and ``_high``. Runs without a
        published row follow those with one, then the constant predictor of the largest
        number of utterances.
    """
    rows = []
    ours = results[results["predictor"] == "model"]
    for name, (_, kinds, published) in TABLES.items():
        runs = ours[ours["kind"].isin(kinds)]
        if name == "fusion":
            # Of many runs those that are fused, if any are.
            if runs["fused"].any():
                runs = runs[runs["fused"] | (runs["kind"] == "fusion")]
            key = runs["kind"] + ":" + runs["model"]
        else:
            key = runs["model"].astype(str)
        told = pd.Series(False, index=runs.index)
        for row in published:
            same = runs["split"] == row.split
            same &= key.map(
                lambda one, pattern=row.ours: bool(pattern and re.search(pattern, one))
            ).astype(bool)
            told |= same
            base = {"table": name, "published": row.name, "split": row.split}
            base |= {f"published_{metric}": getattr(row, metric) for metric in METRICS}
            found = [base | _numbers(one) for _, one in runs[same].iterrows()]
            rows += found or [base | {"model": NOT_RUN if row.ours else ""}]
        base = {"table": name, "published": ""}
        for _, one in runs[~told & (runs["split"] == "test")].iterrows():
            rows.append(base | {"split": one["split"]} | _numbers(one))
        constant = results[
            (results["predictor"] == "constant")
            & results["kind"].isin(kinds)
            & (results["split"] == "test")
        ]
        if len(constant):
            one = constant.loc[constant["utterances"].idxmax()]
            row = base | {"split": "test"} | _numbers(one)
            rows.append(row | {"model": f"always {_CONSTANT}"})
    return pd.DataFrame(rows)


def _numbers(row: pd.Series) -> dict[str, Any]:
    names = ["model", "utterances"]
    names += [metric + end for metric in METRICS for end in ("", "_low", "_high")]
    return {name: row[name] for name in names if name in row}


def markdown(table: pd.DataFrame) -> str:
    """Return the tables of `beside` in Markdown."""
    parts = []
    for name, (title, _, _) in TABLES.items():
        rows = table[table["table"] == name]
        columns = [
            metric
            for metric in METRICS
            if (rows[f"published_{metric}"].fillna("") != "").any()
        ]
        words = [column.replace("_f1", " F1") for column in columns]
        head = ["published", "split", *words, "our run", *words]
        lines = [f"## {title}", "", _line(head), _line(["---"] * len(head))]
        for _, row in rows.iterrows():
            cells = [row["published"], row["split"]]
            cells += [row[f"published_{metric}"] for metric in columns]
            cells += [row["model"], *(_shown(row, metric) for metric in columns)]
            lines.append(_line(["" if pd.isna(cell) else str(cell) for cell in cells]))
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _shown(row: pd.Series, metric: str) -> str:
    value = row.get(metric)
    if value is None or pd.isna(value):
        return ""
    low, high = row.get(f"{metric}_low"), row.get(f"{metric}_high")
    between = "" if pd.isna(low) else f" ({low:.3f} to {high:.3f})"
    return f"{value:.3f}{between}"
