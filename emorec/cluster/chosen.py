"""What the chosen run of a sweep scores on test: the rows of its own tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from emorec.cluster.trials import Trial, records


class _Table(NamedTuple):
    """A table of results that runs write.

    Attributes
    ----------
    column : str
        Names the run; "" where the table lies in a folder of the run's own.
    columns : tuple of str
        What is shown.
    rows : callable
        Takes the run's rows; returns which of them are of test and are shown.
    """

    column: str
    columns: tuple[str, ...]
    rows: Callable[[pd.DataFrame], pd.Series]


def _all(frame: pd.DataFrame) -> pd.Series:
    return pd.Series(True, frame.index)


def _test(frame: pd.DataFrame) -> pd.Series:
    return frame["split"] == "test"


def _means(frame: pd.DataFrame) -> pd.Series:
    return (frame["partition"] != "train") & (frame["emotion"] == "mean")


_FACES = ("label_mode", "faces", "predictor", "images", "accuracy", "f1_macro")
_SPOKEN = ("features", "protocol", "takes", "accuracy", "constant", "f1_macro")
_PRESENCE = ("predictor", "threshold_emo_present", "auc_macro", "ap_macro")
# Pattern of the file, in the sweep's folder or the trial's -> what is of it.
_TABLES = {
    "accuracy.csv": _Table("run", _FACES, _test),
    "full_accuracy.csv": _Table("run", _FACES, _test),
    "auc.csv": _Table("run", ("partition", "emotion", "auc", "chance"), _means),
    "benchmark_*.csv": _Table("features", _SPOKEN, _all),
    "incomplete.csv": _Table(
        "run",
        ("split", "given", "fill", "clips", "accuracy", "f1_macro"),
        lambda frame: frame["split"].isin(["test", "folds"]),
    ),
    "results.csv": _Table(
        "model",
        ("predictor", "utterances", "weighted_f1", "macro_f1", "accuracy"),
        _test,
    ),
    "sentiment.csv": _Table(
        "", ("predictor", "modalities", "seed", "mae", "corr", "acc2_non0"), _test
    ),
    "csv/regression.csv": _Table("", ("predictor", "segments", "mae", "r2"), _test),
    "csv/classification_presence.csv": _Table(
        "", (*_PRESENCE, "weighted_accuracy_macro", "f1_macro"), _test
    ),
}


def test_scores(trial: Trial, output: Path) -> str:
    """Return the test rows of a trial's runs, as text.

    Parameters
    ----------
    trial : Trial
        A finished one.
    output : Path
        Folder of the sweep.
    """
    own = {record["param_name"] for _, record in records(trial, output)} | {trial.name}
    told = []
    for pattern, table in _TABLES.items():
        folder = output if table.column else output / trial.name
        for path in sorted(folder.glob(pattern)):
            frame = pd.read_csv(path)
            if table.column:
                frame = frame[frame[table.column].isin(own)]
            if len(frame):
                frame = frame[table.rows(frame)]
            if len(frame):
                columns = [name for name in table.columns if name in frame]
                shown = frame[columns].to_string(index=False, na_rep="")
                told.append(f"{path.relative_to(output)}\n{shown}")
    return "\n".join(told) or "none: its tables have no rows of test."
