"""Labelled segments of a processed dataset: which of them can be trained on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from emorec.corpora import mmsa
from emorec.corpora.folds import FoldLists
from emorec.corpora.label_join import join, read_labels
from emorec.corpora.padding import Steps
from emorec.errors import DataError
from emorec.sequences.csd import Rows

# Share of segments whose scores may be others than the label file's.
_CONTRADICTING = 0.01


@dataclass
class Segments:
    """The segments of a processed dataset that have labels.

    Attributes
    ----------
    labels : dict
        Entry ``video[row]`` -> Rows of one interval and its scores.
    keys : dict
        Fold -> entry of each clip, None where it is left out.
    findings : list of dict
        What the user should know, a row a segment.
    """

    labels: dict[str, Rows] = field(default_factory=dict)
    keys: dict[str, list[str | None]] = field(default_factory=dict)
    findings: list[dict[str, Any]] = field(default_factory=list)


def label_segments(
    processed: mmsa.Processed, path: Path, source: Path | None
) -> Segments:
    """Give every clip its entry and its scores.

    Parameters
    ----------
    processed : Processed
        The dataset.
    path : Path
        Its file, for messages.
    source : Path or None
        The label file to join; None takes the scores and numbers of the dataset.

    Raises
    ------
    DataError
        When the label file cannot be read, or two segments have one number.
    """
    result = Segments()
    known = read_labels(source) if source else {}
    for fold, split in processed.splits.items():
        if source is None:
            result.keys[fold] = _own_keys(split, path, fold)
            for i, key in enumerate(result.keys[fold]):
                _add(result, key, np.array([[0.0, 1.0]]), split.scores[i])
            continue
        joined = join(split.clips, split.scores, split.columns, known)
        result.findings += [
            {"fold": fold, "action": "left out"} | finding
            for finding in joined.findings
        ]
        keys: list[str | None] = []
        for clip, row in zip(split.clips, joined.rows, strict=True):
            key = None if row is None else f"{clip.video}[{row}]"
            if key in result.labels:
                result.findings.append(
                    {
                        "segment": clip.id,
                        "fold": fold,
                        "entry": key,
                        "action": "left out",
                        "reason": "another clip is this segment",
                    }
                )
                key = None
            keys.append(key)
            if key is not None:
                intervals, scores = known[clip.video]
                _add(result, key, intervals[row : row + 1], scores[row])
        result.keys[fold] = keys
    return result


def _own_keys(split: mmsa.Split, path: Path, fold: str) -> list[str]:
    """Return ``video[number]``, by whatever number the file gives."""
    places: dict[str, int] = {}
    keys = []
    for clip in split.clips:
        number = clip.row if clip.row is not None else clip.number
        if number is None:
            number = places[clip.video] = places.get(clip.video, -1) + 1
        keys.append(f"{clip.video}[{number}]")
    if len(set(keys)) < len(keys):
        raise DataError(f"{path}: {fold}: two segments have the same number.")
    return keys


def _add(result: Segments, key: str, interval: np.ndarray, scores: np.ndarray) -> None:
    result.labels[key] = Rows(interval, np.asarray(scores, np.float32)[None, :])


def drop_empty(processed: mmsa.Processed, segments: Segments, steps: Steps) -> None:
    """Leave out segments of padding alone; note modalities that are all zero."""
    for fold, split in processed.splits.items():
        for i, clip in enumerate(split.clips):
            key = segments.keys[fold][i]
            if key is None:
                continue
            ranges = {k: r[i] for k, r in steps.ranges[fold].items()}
            zero = [
                name
                for letter, name in processed.names.items()
                if not split.features[letter][i][slice(*ranges[letter])].any()
            ]
            if not zero:
                continue
            finding = {"segment": clip.id, "fold": fold, "entry": key}
            if len(zero) == len(processed.names):
                finding |= {"action": "left out", "reason": "only zeros"}
                segments.keys[fold][i] = None
                del segments.labels[key]
            else:
                finding |= {
                    "action": "kept",
                    "reason": f"only zeros in {' and '.join(zero)}",
                }
            segments.findings.append(finding)


def refuse_contradictions(
    segments: Segments, processed: mmsa.Processed, report: Path, source: Path | None
) -> None:
    """Refuse labels that are those of other segments.

    Raises
    ------
    DataError
        When more than one segment in a hundred has other scores than the label file.
    """
    total = sum(len(split.clips) for split in processed.splits.values())
    wrong = [finding for finding in segments.findings if finding.get("contradicts")]
    if len(wrong) > _CONTRADICTING * total:
        raise DataError(
            f"{source}: the scores of {len(wrong):,} of {total:,} segments are not "
            f"those of the pickle (the first: {wrong[0]['segment']}, "
            f"{wrong[0]['reason']}); at most {_CONTRADICTING:.0%} may differ. The "
            "labels are of another release, or the clips are numbered otherwise; "
            f"nothing but {report} was written, which lists them."
        )


def folds_of(processed: mmsa.Processed, segments: Segments) -> FoldLists:
    """Return the videos of each fold, in the order of the file."""
    return {
        fold: list(
            dict.fromkeys(
                clip.video
                for clip, key in zip(split.clips, segments.keys[fold], strict=True)
                if key is not None
            )
        )
        for fold, split in processed.splits.items()
    }
