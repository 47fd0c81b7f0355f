"""What cards are made of: cells as text, from the files that evaluations wrote.

Numbers are copied as text, so that a card says what the files say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd


@dataclass
class CardScores:
    """What a card says of a run's scores.

    Attributes
    ----------
    lines : list of str
        Sentences before the tables.
    tables : list of (str, pandas.DataFrame)
        Heading and cells of text.
    each : dict
        Label -> value of `measure` on the split of the table, as text; only of labels
        that occur.
    measure : str
        What `each` holds.
    confusion : pandas.DataFrame or None
        Counts: a column ``true`` with the labels, then a column for each.
    """

    lines: list[str] = field(default_factory=list)
    tables: list[tuple[str, pd.DataFrame]] = field(default_factory=list)
    each: dict[str, str] = field(default_factory=dict)
    measure: str = ""
    confusion: pd.DataFrame | None = None


def rows_of(path: Path, **equal: str) -> pd.DataFrame:
    """Return rows of a table as text, where these columns have these values."""
    if not path.is_file():
        return pd.DataFrame(columns=list(equal))
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    for name, value in equal.items():
        table = table[table[name] == value]
    return table


def between(row: dict[str, str], value: str, low: str, high: str) -> str:
    """Return a value with its interval in brackets, where it has one."""
    bounds = f" ({row[low]} to {row[high]})" if row.get(low) else ""
    return f"{row[value]}{bounds}"


def of_classes(row: dict[str, str], measure: str, labels: Sequence[str]) -> dict:
    """Return a row's values of a measure, by label; only of labels that occur."""
    found = {label: row.get(f"{measure}_{label}", "") for label in labels}
    return {label: value for label, value in found.items() if value not in ("", "nan")}


def counts_of(path: Path) -> pd.DataFrame | None:
    """Return a confusion matrix, or None where it was not written."""
    return pd.read_csv(path) if path.is_file() else None


def two_columns(values: dict[str, str]) -> str:
    """Return names and values as a table without a head."""
    rows = pd.DataFrame(values.items(), columns=["", " "])
    return markdown(rows)


def markdown(table: pd.DataFrame) -> str:
    """Return a table in Markdown; cells are shown as they are."""

    def line(cells) -> str:
        told = (str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells)
        return f"| {' | '.join(told)} |"

    rule = f"|{'|'.join(['---'] * table.shape[1])}|"
    rows = table.itertuples(index=False, name=None)
    return "\n".join([line(table.columns), rule, *map(line, rows)])
