"""CSV tables that grow by one run at a time and never misalign."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from emorec.errors import DataError, shorten
from emorec.files import exclusive, whole_file


def write_table(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, atomically; NaN becomes an empty cell."""
    with whole_file(path) as temporary:
        table.to_csv(temporary, index=False)


def put_rows(
    path: str | Path, rows: Sequence[dict[str, Any]], keys: Sequence[str]
) -> None:
    """Append rows to a CSV; rows of the same `keys` are replaced.

    So a repeated run leaves the table as it was, and another run adds to it. Runs that
    end at the same moment wait for one another.

    Raises
    ------
    DataError
        When the table on disk has other columns: rows must never misalign.
    """
    path = Path(path)
    with exclusive(path.with_name(f".{path.name}.lock")):
        write_table(path, _merged(path, pd.DataFrame(rows), keys))


def _merged(path: Path, table: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Return the rows of the file and those of `table`, which replace equal keys."""
    if path.is_file():
        try:
            # Text, so that the rows of earlier runs keep every digit they have.
            before = pd.read_csv(path, dtype=str, keep_default_na=False)
        except (ValueError, OSError) as error:
            raise DataError(f"{path}: expected a CSV table ({error}).") from error
        if list(before.columns) != list(table.columns):
            different = set(before.columns) ^ set(table.columns)
            raise DataError(
                f"{path}: its columns are not those of this version of emorec "
                f"(different: {shorten(sorted(different)) or 'their order'}). Move "
                "the file away, or give another --csv_name."
            )
        # Through the same text, so that equal keys compare equal.
        new_keys = set(table[list(keys)].astype(str).itertuples(index=False, name=None))
        old = before[list(keys)].itertuples(index=False, name=None)
        before = before[[key not in new_keys for key in old]]
        table = pd.concat([before.astype(object), table.astype(object)])
    return table
