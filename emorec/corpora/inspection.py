"""Inspection of a dataset folder: what it holds, what is wrong, what a run takes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from emorec.corpora import folds as fold_lists
from emorec.corpora import miniature, mosei, variants
from emorec.corpora.checksums import FILE_NAME as CHECKSUMS
from emorec.corpora.checksums import recorded, sha256_of
from emorec.errors import DataError, shorten
from emorec.files import fingerprint, read_json
from emorec.labels import MOSEI_ALL
from emorec.progress import track
from emorec.sequences.csd import ComputationalSequence, open_sequence
from emorec.sequences.overlaps import EPSILON


class Problem(NamedTuple):
    """Something wrong with a file; equal kinds are summed up."""

    file: str
    kind: str
    text: str


@dataclass
class Inspection:
    """What a folder holds.

    Attributes
    ----------
    table : DataFrame
        One row a .csd file: file, sequence, entries, videos, rows, width, non-finite
        values.
    problems : list of Problem
        Damage, unknown names, missing metadata, each with its file and entry.
    notes : list of str
        Other files, how counts differ from known variants, what a run would take.
    """

    table: pd.DataFrame
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class _Found:
    """Of every sequence: its videos, with the rows of each."""

    rows: dict[str, Counter[str]] = field(default_factory=dict)
    widths: dict[str, int] = field(default_factory=dict)
    is_miniature: bool = False


def inspect_folder(folder: str | Path) -> Inspection:
    """Read every entry of the .csd files of a folder, one at a time.

    Raises
    ------
    DataError
        When the folder holds neither .csd files nor aligned pickles.
    """
    folder = Path(folder)
    paths = mosei.find_files(folder)
    pickles = sorted(folder.glob("pickle_files/*.json"))
    if not paths and not pickles:
        raise DataError(
            f"{folder}: no .csd files here or in its folder 'labels', and no aligned "
            "pickle in 'pickle_files'."
        )
    result, found, rows = Inspection(pd.DataFrame()), _Found(), []
    for path in paths:
        try:
            sequence = open_sequence(path)
        except DataError as error:
            result.problems.append(Problem(path.name, "file", str(error)))
            continue
        found.is_miniature |= miniature.is_miniature([sequence])
        rows.append({"file": path.name, **_inspect(sequence, path, result, found)})
    result.table = pd.DataFrame(rows)
    for path in paths:
        _verify(path, result)
    _tell_variant(found, result)
    if paths:
        _tell_run(folder, found, result)
    _tell_other_files(folder, paths, pickles, result)
    return result


def _inspect(
    sequence: ComputationalSequence, path: Path, result: Inspection, found: _Found
) -> dict[str, object]:
    name = mosei.OLD_NAMES.get(sequence.name, sequence.name)

    def problem(kind: str, text: str) -> None:
        result.problems.append(Problem(path.name, kind, text))

    if name not in mosei.FILES and name not in mosei.OTHER_NAMES:
        problem(
            "name",
            f"{path}: unknown sequence '{name}'. Expected one of "
            f"{shorten(mosei.FILES, 9)}.",
        )
    if name in found.rows:
        problem("name", f"{path}: another file holds the sequence '{name}', too.")
    if sequence.missing_metadata:
        problem(
            "metadata",
            f"{path}: metadata lacks {shorten(sequence.missing_metadata, 11)}.",
        )
    by_video = found.rows.setdefault(name, Counter())
    seen = Counter()
    count = bad = width = 0
    for entry in track(list(sequence.data), f"Reading {path.name}"):
        try:
            intervals, features = sequence.read(entry)
        except DataError as error:
            # The words and phones of the SDK are texts, and right so.
            if name not in ("words", "phones"):
                problem("entry", str(error))
            continue
        count += len(features)
        by_video[entry.split("[")[0]] += len(features)
        width = features.shape[1]
        bad += int((~np.isfinite(features)).sum())
        if not len(features):
            problem("empty", f"{path}: entry '{entry}': no rows.")
        backward = np.flatnonzero(intervals[:, 0] > intervals[:, 1])
        if len(backward):
            problem(
                "intervals",
                f"{path}: entry '{entry}': {len(backward)} intervals end before they "
                f"start, the first in row {backward[0]}.",
            )
        if name == mosei.LABELS:
            _count_labels(intervals, features, seen)
    found.widths[name] = width
    result.notes += [f"{path.name}: {n:,} {what}" for what, n in seen.items() if n]
    return {
        "sequence": name,
        "entries": len(sequence.data),
        "videos": len(sequence.videos),
        "rows": count,
        "width": width,
        "not finite": bad,
    }


def _count_labels(
    intervals: np.ndarray, scores: np.ndarray, seen: Counter[str]
) -> None:
    """Count what a run clamps or leaves out among labels."""
    emotions = scores[:, -(len(MOSEI_ALL) - 1) :]
    inside = (emotions >= 0) & (emotions <= 3)
    outside = ~inside & np.isfinite(emotions)
    seen["segments with scores outside 0 to 3; a run clamps them"] += int(
        outside.any(axis=1).sum()
    )
    seen["segments without a finite score; a run leaves them out"] += int(
        (~np.isfinite(emotions)).any(axis=1).sum()
    )
    short = np.abs(intervals[:, 1] - intervals[:, 0]) < EPSILON
    seen["segments of no length; a run leaves them out"] += int(short.sum())


def _verify(path: Path, result: Inspection) -> None:
    """Compare a file with the digest that was recorded when it came."""
    try:
        known = recorded(path.parent).get(path.name)
        if known and (digest := sha256_of(path)) != known["sha256"]:
            text = (
                f"{path}: its SHA-256 is {digest}, but {known['sha256']} is recorded "
                f"in {CHECKSUMS}: it has changed since it came. Get it again."
            )
            result.problems.append(Problem(path.name, "digest", text))
        elif known:
            result.notes.append(f"{path.name}: as recorded in {CHECKSUMS}")
    except DataError as error:
        problem = Problem(CHECKSUMS, "file", str(error))
        if problem not in result.problems:
            result.problems.append(problem)


def _tell_variant(found: _Found, result: Inspection) -> None:
    if found.is_miniature:
        result.notes.append("emorec's synthetic miniature, no variant of CMU-MOSEI")
        return
    told = [
        (name, variants.compare_width(name, width))
        for name, width in found.widths.items()
        if found.rows[name]
    ]
    result.notes += [f"{name}: {text}" for name, text in told if text]
    labels = found.rows.get(mosei.LABELS)
    if labels:
        text = variants.compare_labels(labels.total(), len(labels))
        result.notes.append(f"{mosei.LABELS}: {text or 'as many as those of the SDK'}")


def _tell_run(folder: Path, found: _Found, result: Inspection) -> None:
    """Say which videos and segments a run would take, fold by fold."""
    source = str(folder / fold_lists.FILE_NAME) if found.is_miniature else "auto"
    try:
        folds, origin, note = fold_lists.standard_folds(folder, source)
    except DataError as error:
        result.notes.append(f"folds: {error}")
        return
    result.notes += [note] if note else []
    labels = found.rows.get(mosei.LABELS, Counter())
    counts = {fold: sum(labels[v] for v in folds[fold]) for fold in fold_lists.FOLDS}
    if labels:
        free = set(labels).difference(*folds.values())
        sizes = ", ".join(
            f"{fold} {count:,} segments of {sum(v in labels for v in folds[fold]):,} "
            "videos"
            for fold, count in counts.items()
        )
        result.notes.append(f"labels in the folds of {origin}: {sizes}")
        if free:
            result.notes.append(
                f"in no fold: {sum(labels[v] for v in free):,} segments of "
                f"{len(free):,} videos"
            )
        if not found.is_miniature:
            result.notes.append(f"segments: {variants.compare_folds(counts)}")
    for feature in mosei.IMAGE:
        names = mosei.sequence_names(feature)
        missing = [name for name in names if not found.rows.get(name)]
        if missing:
            result.notes.append(
                f"a run on all, with {feature}: not yet, lacks {shorten(missing)}"
            )
            continue
        shared = set.intersection(*(set(found.rows[name]) for name in names))
        sizes = ", ".join(
            f"{fold} {sum(labels[v] for v in shared.intersection(folds[fold])):,} "
            f"segments of {len(shared.intersection(folds[fold])):,} videos"
            for fold in fold_lists.FOLDS
        )
        lost = {
            name: len(set(labels) - set(found.rows[name]))
            for name in names
            if set(labels) - set(found.rows[name])
        }
        lacking = ", ".join(f"{n:,} not in {name}" for name, n in lost.items())
        left = f"; labelled videos left out: {lacking}" if lost else ""
        result.notes.append(
            f"a run on all, with {feature}: {sizes}, before segments without words or "
            f"frames are left out{left}"
        )


def _tell_other_files(
    folder: Path, paths: list[Path], pickles: list[Path], result: Inspection
) -> None:
    for rest in (*folder.glob("*.csd.part"), *folder.glob("labels/*.csd.part")):
        result.notes.append(
            f"{rest.name}: {rest.stat().st_size:,} bytes of a download that is not "
            "finished; emorec mosei download goes on"
        )
    for beside in pickles:
        try:
            told = read_json(beside)
        except DataError as error:
            result.problems.append(Problem(beside.name, "file", str(error)))
            continue
        pickle = beside.with_suffix(".pkl")
        if not isinstance(told, dict) or "folds" in told:
            continue  # a fold pickle's
        if not pickle.is_file():
            text = f"{pickle}: no such file, but {beside.name} describes it."
            result.problems.append(Problem(pickle.name, "file", text))
            continue
        size = f"{pickle.stat().st_size:,} bytes"
        if "imported_from" in told:
            widths = told.get("widths", {})
            parts = [f"{n} {widths.get(k)}" for k, n in told["sequences"].items()]
            fused = "" if told.get("aligned") else ", not aligned"
            result.notes.append(
                f"{pickle.name}: imported from {told['imported_from']} ({size}): "
                f"{', '.join(parts)} columns{fused}; labels from {told.get('labels')}"
            )
            counts = told.get("segments", {})
            if set(counts) == set(fold_lists.FOLDS):
                sizes = ", ".join(f"{fold} {n:,}" for fold, n in counts.items())
                text = variants.compare_folds(counts)
                result.notes.append(f"{pickle.name}: segments {sizes}; {text}")
        else:
            used, age = fingerprint(paths), ""
            if source := told.get("source"):
                current = all(used.get(name) == source[name] for name in source)
                age = ", made from these files" if current else ", of other files"
            result.notes.append(f"{pickle.name}: aligned dataset ({size}){age}")
    _tell_imported_folds(folder, paths, result)


def _tell_imported_folds(folder: Path, paths: list[Path], result: Inspection) -> None:
    path = folder / fold_lists.FILE_NAME
    if paths or not path.is_file():
        return
    try:
        folds = fold_lists.read_folds(path)
    except DataError as error:
        result.problems.append(Problem(path.name, "file", str(error)))
        return
    sizes = ", ".join(f"{fold} {len(ids):,}" for fold, ids in folds.items())
    result.notes.append(f"{path.name}: {sizes} videos")
