"""Inspection of a dataset folder: every entry of every file, problems by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from emorec.corpora import mosei
from emorec.errors import DataError, shorten
from emorec.progress import track
from emorec.sequences.csd import ComputationalSequence, open_sequence


def inspect_folder(folder: str | Path) -> tuple[pd.DataFrame, list[str]]:
    """Read every entry of the .csd files of a folder.

    Returns
    -------
    table : DataFrame
        One row a file: file, sequence, entries, videos, rows, width, non-finite values.
    problems : list of str
        Damage, unknown names, missing metadata, each with its file and entry.

    Raises
    ------
    DataError
        When the folder holds no .csd files.
    """
    paths = mosei.find_files(folder)
    if not paths:
        raise DataError(f"{folder}: no .csd files here or in its folder 'labels'.")
    rows, problems = [], []
    for path in paths:
        try:
            sequence = open_sequence(path)
        except DataError as error:
            problems.append(str(error))
            continue
        rows.append({"file": path.name, **_inspect(sequence, path, problems)})
    return pd.DataFrame(rows), problems


def _inspect(
    sequence: ComputationalSequence, path: Path, problems: list[str]
) -> dict[str, object]:
    name = mosei.OLD_NAMES.get(sequence.name, sequence.name)
    if name not in mosei.FILES and name not in mosei.OTHER_NAMES:
        problems.append(
            f"{path}: unknown sequence '{name}'. Expected one of "
            f"{shorten(mosei.FILES, 9)}."
        )
    if sequence.missing_metadata:
        problems.append(
            f"{path}: metadata lacks {shorten(sequence.missing_metadata, 11)}."
        )
    count = bad = width = 0
    for entry in track(list(sequence.data), f"Reading {path.name}"):
        try:
            intervals, features = sequence.read(entry)
        except DataError as error:
            # The words and phones of the SDK are texts, and right so.
            if name not in ("words", "phones"):
                problems.append(str(error))
            continue
        count += len(features)
        width = features.shape[1]
        bad += int((~np.isfinite(features)).sum())
        backward = np.flatnonzero(intervals[:, 0] > intervals[:, 1])
        if len(backward):
            problems.append(
                f"{path}: entry '{entry}': {len(backward)} intervals end before they "
                f"start, the first in row {backward[0]}."
            )
    return {
        "sequence": name,
        "entries": len(sequence.data),
        "videos": len(sequence.videos),
        "rows": count,
        "width": width,
        "not finite": bad,
    }
