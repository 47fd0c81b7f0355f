"""The table of a recording's predictions, written as they come."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emorec.errors import DataError
from emorec.files import write_json
from emorec.labels import LabelSchema, canonical

FIRST = ("id", "model", "start", "end", "modalities", "reason", "kind", "dominant")
# What kinds of label schemas say about a score.
KINDS = {
    "single": "probability",
    "multilabel": "probability",
    "intensity": "intensity",
    "sentiment": "sentiment",
}
_DIGITS = 6


def emotions(schemas: Sequence[LabelSchema]) -> list[str]:
    """Return the common names of all labels, each once, in the order of the schemas."""
    return list(dict.fromkeys(canonical(x) for s in schemas for x in s.labels))


def row(
    where: dict[str, Any],
    model: str,
    schema: LabelSchema,
    scores: np.ndarray | None,
    modalities: Sequence[str],
    reason: str,
    names: Sequence[str],
) -> dict[str, Any]:
    """Return a row of the table.

    Parameters
    ----------
    where : dict
        ``id``, ``start`` and ``end`` in seconds.
    model : str
        Who says it.
    schema : LabelSchema
        Names of the K scores.
    scores : (K,) float or None
        None where the model had nothing to judge.
    modalities : sequence of str
        What it judged.
    reason : str
        Why something is missing.
    names : sequence of str
        Columns, of `emotions`; those that the model lacks are NaN.
    """
    values = dict.fromkeys(names, np.nan)
    dominant = ""
    if scores is not None:
        for label, score in zip(schema.labels, scores, strict=True):
            name = canonical(label)
            # Two labels of one meaning, as of the chances of one class or another.
            values[name] = float(score) + np.nan_to_num(values[name])
        dominant = canonical(schema.labels[int(np.argmax(scores))])
    return {
        "id": where["id"],
        "model": model,
        "start": round(where["start"], 3),
        "end": round(where["end"], 3),
        "modalities": "+".join(modalities),
        "reason": reason,
        "kind": KINDS[schema.kind],
        "dominant": dominant,
        **{name: round(value, _DIGITS) for name, value in values.items()},
    }


class Growing:
    """A CSV that grows while its recording is read, and gets its name at the end.

    Until then it is ``ID.part.csv``, whole up to the last line, for who wants to look;
    what an interrupted run left of it is begun anew.
    """

    def __init__(self, folder: Path, name: str, columns: Sequence[str]) -> None:
        self.path = file_of(folder, name, ".csv")
        self.growing = file_of(folder, name, ".part.csv")
        self.columns = list(columns)
        try:
            self.growing.parent.mkdir(parents=True, exist_ok=True)
            self._write([], "w", header=True)
        except OSError as error:
            raise DataError(
                f"{self.growing}: cannot be written ({error.strerror})."
            ) from error

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        """Append rows, which are on the disk when this returns."""
        self._write(rows, "a", header=False)

    def _write(self, rows, mode: str, header: bool) -> None:
        table = pd.DataFrame(rows, columns=self.columns)
        with self.growing.open(mode, encoding="utf-8", newline="") as file:
            table.to_csv(file, index=False, header=header)

    def finish(self, facts: dict[str, Any]) -> pd.DataFrame:
        """Give the files their names and return the table."""
        table = read_table(self.growing)
        rows = [
            {
                k: None if isinstance(v, float) and np.isnan(v) else v
                for k, v in r.items()
            }
            for r in table.to_dict("records")
        ]
        self.growing.replace(self.path)
        # Last: a recording with its JSON is finished.
        write_json(self.path.with_suffix(".json"), {**facts, "rows": rows})
        return table


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table of predictions; text columns have "" where nothing stands.

    Raises
    ------
    DataError
        When it is missing or no such table.
    """
    text = {name: str for name in FIRST if name not in ("start", "end")}
    try:
        table = pd.read_csv(path, dtype=text, keep_default_na=False, na_values={})
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: expected a table of predictions ({error})."
        ) from error
    if list(table.columns[: len(FIRST)]) != list(FIRST):
        raise DataError(
            f"{path}: expected a table of predictions, which begins with the columns "
            f"{', '.join(FIRST)}; received {', '.join(table.columns[: len(FIRST)])}."
        )
    for name in table.columns[len(FIRST) :]:
        table[name] = pd.to_numeric(table[name].replace("", np.nan))
    return table


def file_of(folder: Path, name: str, ending: str) -> Path:
    """Return a file of a recording; `ending` replaces no suffix of its name."""
    return folder / f"{name}{ending}"
