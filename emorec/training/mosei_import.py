"""From processed pickles that circulate to a dataset that the main job trains on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from emorec.artifacts.pickles import read_pickle, write_pickle
from emorec.artifacts.tables import write_table
from emorec.corpora import folds as fold_lists
from emorec.corpora import mmsa, mosei
from emorec.corpora.imported import (
    Segments,
    drop_empty,
    folds_of,
    label_segments,
    refuse_contradictions,
)
from emorec.corpora.padding import Steps, find_steps
from emorec.errors import DataError, SpecError, shorten
from emorec.files import write_json
from emorec.labels import MOSEI, MOSEI_ALL
from emorec.training.mosei_aligned import is_current
from emorec.training.mosei_source import DEFAULT_FOLDER, Say

LABEL_TABLE = "labels.csv"
_COLUMNS = ["segment", "fold", "entry", "action", "reason", "scores", "label_file"]


@dataclass
class Imported:
    """What an import made.

    Attributes
    ----------
    folder : Path
        The dataset folder: folds, ``pickle_files/NAME.pkl``, ``NAME_import.csv``.
    name : str
        For ``--pickle_name_dataset``.
    aligned : bool
        Whether the modalities share their steps; else only one at a time can be
        trained on.
    names : dict
        Letter of the modality -> its name in the file.
    counts : dict
        Fold -> segments.
    """

    folder: Path
    name: str
    aligned: bool
    names: dict[str, str]
    counts: dict[str, int]


def import_pickle(
    path: str | Path,
    folder: str | Path | None,
    say: Say,
    labels: str | Path | None = None,
    widths: Sequence[int] | None = None,
) -> Imported:
    """Turn a processed pickle into a dataset folder for the main job.

    Parameters
    ----------
    path : path
        A pickle in MMSA's layout, or one of the three folds of the reference program,
        ``NAME_{train,valid,test}.pkl``.
    folder : path, optional
        The dataset folder to write; ``cmu_mosei/NAME`` by default.
    say : callable
        Receives lines for the user.
    labels : path, optional
        ``All Labels`` as .csd or as a table, for files that have the sentiment only;
        by default one beside the pickle or in ``cmu_mosei``.
    widths : sequence of int, optional
        Columns of text, image and audio of fused features.

    Raises
    ------
    DataError
        When the file is damaged or of no known layout, when there are no emotion
        labels, or these contradict the file.
    SpecError
        When the folder holds data that would be in the way.
    """
    path = Path(path)
    # Before minutes of reading.
    if labels is not None and not Path(labels).is_file():
        raise DataError(f"{labels}: no such file. Expected labels as .csd or a table.")
    if folder is not None:
        _refuse_files(Path(folder))
    processed, name = _read(path, widths)
    folder = Path(folder) if folder else DEFAULT_FOLDER / name
    target = folder / "pickle_files" / f"{name}.pkl"
    _refuse_files(folder)
    is_current(target, {})  # refuses to replace another program's file
    source = _find_labels(processed, path, labels)
    segments = label_segments(processed, path, source)
    steps = find_steps(processed, str(path))
    drop_empty(processed, segments, steps)
    counts = {
        fold: sum(key is not None for key in keys)
        for fold, keys in segments.keys.items()
    }
    report = folder / f"{name}_import.csv"
    write_table(report, pd.DataFrame(segments.findings, columns=_COLUMNS))
    refuse_contradictions(segments, processed, report, source)
    for fold, count in counts.items():
        if not count:
            raise DataError(
                f"{path}: no segment of the split {fold} could be labelled; each is "
                f"in {report}."
            )
    folds = folds_of(processed, segments)
    fold_lists.check_disjoint(folds, str(path))
    write_pickle(target, _sequences(processed, segments, steps))
    write_json(
        target.with_suffix(".json"),
        {
            "dataset": "CMU-MOSEI",
            "imported_from": path.name,
            "sequences": processed.names,
            "widths": processed.widths,
            "segments": counts,
            "aligned": steps.aligned,
            "labels": str(source) if source else path.name,
            "times": "numbers of the steps; the source has no times",
        },
    )
    fold_lists.write_folds(folder / fold_lists.FILE_NAME, folds)
    _tell(processed, steps, segments, report, source, say)
    return Imported(folder, name, steps.aligned, processed.names, counts)


def _read(path: Path, widths: Sequence[int] | None) -> tuple[mmsa.Processed, str]:
    content = read_pickle(path)
    if not mmsa.is_fold(content):
        if widths:
            raise SpecError(
                f"--widths: {path} keeps its modalities apart; leave the option out."
            )
        return mmsa.read_splits(content, str(path)), path.stem
    for fold in fold_lists.FOLDS:
        if path.stem.endswith(f"_{fold}"):
            name = path.stem.removesuffix(f"_{fold}")
            break
    else:
        raise DataError(
            f"{path}: one fold, whose name does not tell which. Expected "
            "NAME_train.pkl, NAME_valid.pkl or NAME_test.pkl, the others beside it."
        )
    contents = {
        other: content
        if other == fold
        else read_pickle(path.with_name(f"{name}_{other}{path.suffix}"))
        for other in fold_lists.FOLDS
    }
    where = str(path.with_name(f"{name}_*{path.suffix}"))
    return mmsa.read_folds(contents, widths, where), name


def _refuse_files(folder: Path) -> None:
    if mosei.find_files(folder):
        raise SpecError(
            f"{folder}: holds .csd files, which a run would take instead of the "
            "imported data. Choose another folder with --output."
        )


def _find_labels(
    processed: mmsa.Processed, path: Path, labels: str | Path | None
) -> Path | None:
    """Return the label file to join, None when the pickle has emotions itself."""
    if labels is not None:
        return Path(labels)
    columns = {split.columns for split in processed.splits.values()}
    if all(len(known) >= len(MOSEI) for known in columns):
        return None
    names = (mosei.FILES[mosei.LABELS], f"labels/{mosei.FILES[mosei.LABELS]}")
    for folder in (path.parent, DEFAULT_FOLDER):
        for name in (*names, LABEL_TABLE):
            if (folder / name).is_file():
                return folder / name
    raise DataError(
        f"{path}: has the sentiment only, and emorec learns the six emotions. Give the "
        f"labels of CMU-MOSEI with --labels ({mosei.FILES[mosei.LABELS]}, or a table "
        f"{LABEL_TABLE}); none was found in {path.parent} or {DEFAULT_FOLDER}."
    )


def _sequences(
    processed: mmsa.Processed, segments: Segments, steps: Steps
) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """Return the aligned dataset; frees the source modality by modality."""
    result: dict[str, dict] = {}
    for letter, name in processed.names.items():
        entries = result[name] = {}
        for fold, split in processed.splits.items():
            rows = split.features.pop(letter)
            for i, key in enumerate(segments.keys[fold]):
                begin, end = steps.ranges[fold][letter][i]
                if key is None or begin == end:
                    continue
                numbers = np.arange(end - begin, dtype=np.float32)
                entries[key] = {
                    "intervals": np.stack([numbers, numbers + 1], axis=1),
                    "features": np.array(rows[i][begin:end], np.float32),
                }
    result[mosei.LABELS] = {
        key: rows._asdict() for key, rows in segments.labels.items()
    }
    return result


def _tell(
    processed: mmsa.Processed,
    steps: Steps,
    segments: Segments,
    report: Path,
    source: Path | None,
    say: Say,
) -> None:
    for letter, name in processed.names.items():
        width = processed.widths[letter]
        say(f"{mosei.MODALITIES[letter]}: '{name}', {width} columns")
    say(
        f"Padding removed: in front of {steps.front:,} segments, behind {steps.back:,}."
    )
    if not steps.aligned:
        say(f"Not aligned: {steps.reason}. Train on one modality at a time.")
    columns = next(iter(processed.splits.values())).columns
    known = range(len(MOSEI_ALL)) if source else columns
    order = ", ".join(MOSEI_ALL.labels[column] for column in known)
    say(f"Labels from {source or 'the pickle, taken to be'} ({order}).")
    table = pd.DataFrame(segments.findings, columns=_COLUMNS)
    for (action, reason), rows in table.groupby(["action", "reason"]):
        reason = reason.split(" row ")[0]
        say(f"{action}, {reason}: {len(rows):,} ({shorten(rows['segment'], 3)})")
    say(f"Each segment left out or noted is in {report}.")
