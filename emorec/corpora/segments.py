"""From aligned sequences to segments: fusion, missing modalities, cleaning, a report.

A segment is one labelled stretch of a video: a row per word, the features of the
modalities side by side in the order text, image, audio.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from emorec.corpora.mosei import MODALITIES
from emorec.errors import SpecError
from emorec.labels import LabelMap
from emorec.sequences.alignment import Entries
from emorec.sequences.csd import Rows, video_of

if TYPE_CHECKING:
    import pandas as pd

MISSING = ("drop", "mask")


class Segment(NamedTuple):
    """One labelled segment.

    Attributes
    ----------
    id : str
        ``video[i]``.
    features : (steps, D) float32
        Finite; zeros where a modality is absent.
    presence : (steps, M) bool
        Which modality is there at each step, in the order of the run's modalities.
    labels : (K,) float32
        Scores in the order of the label schema.
    """

    id: str
    features: np.ndarray
    presence: np.ndarray
    labels: np.ndarray


@dataclass
class Report:
    """Everything that was dropped, filled or repaired on the way to the folds.

    Attributes
    ----------
    rows : list of dict
        One per segment and finding: segment, fold, action, modality, reason, steps.
    nonfinite : dict
        Modality -> (D,) counts of replaced values per feature.
    """

    rows: list[dict[str, object]] = field(default_factory=list)
    nonfinite: dict[str, np.ndarray] = field(default_factory=dict)

    def add(
        self,
        segment: str,
        fold: str,
        action: str,
        reason: str,
        modality: str = "",
        steps: int | None = None,
    ) -> None:
        """Append a finding."""
        self.rows.append(
            {
                "segment": segment,
                "fold": fold,
                "action": action,
                "modality": modality,
                "reason": reason,
                "steps": steps,
            }
        )

    def table(self) -> pd.DataFrame:
        """Return the findings as a table with constant columns."""
        import pandas as pd

        columns = ["segment", "fold", "action", "modality", "reason", "steps"]
        return pd.DataFrame(self.rows, columns=columns).astype({"steps": "Int64"})

    def nonfinite_table(self) -> pd.DataFrame:
        """Return the replaced values: modality, feature number, count (if any)."""
        import pandas as pd

        rows = [
            {"modality": modality, "feature": int(i), "replaced": int(counts[i])}
            for modality, counts in self.nonfinite.items()
            for i in np.flatnonzero(counts)
        ]
        return pd.DataFrame(rows, columns=["modality", "feature", "replaced"])

    def summary(self) -> pd.DataFrame:
        """Count findings by action, reason, modality and fold."""
        table = self.table()
        # Each damage has words of its own.
        table.loc[table["action"] == "damaged", "reason"] = "video cannot be read"
        keys = ["action", "reason", "modality", "fold"]
        return table.groupby(keys, sort=True).size().reset_index(name="segments")


def match_rows(words: np.ndarray, intervals: np.ndarray) -> np.ndarray:
    """Find the word of each row of another modality.

    Alignment clips every row to its word without arithmetic, so a row lies in its word
    to the bit. Where words overlap, the first one not yet taken is chosen, as rows and
    words both come in the order of their starts.

    Parameters
    ----------
    words : (n, 2) float
        Intervals of the text rows of a segment.
    intervals : (k, 2) float
        Intervals of the other modality's rows.

    Returns
    -------
    (k,) int
        Row of `words`, each at most once; -1 where none is left.
    """
    inside = (words[None, :, 0] <= intervals[:, None, 0]) & (
        intervals[:, None, 1] <= words[None, :, 1]
    )
    matched = np.full(len(intervals), -1)
    free = np.ones(len(words), bool)
    for row in range(len(intervals)):
        candidates = np.flatnonzero(inside[row] & free)
        if len(candidates):
            matched[row] = candidates[0]
            free[candidates[0]] = False
    return matched


def select_columns(entries: Entries, dropped: Sequence[int]) -> Entries:
    """Leave feature columns out of every entry."""
    return {
        key: Rows(rows.intervals, np.delete(rows.features, dropped, axis=1))
        for key, rows in entries.items()
    }


def build_segments(
    by_modality: Mapping[str, Entries],
    words: Entries | None,
    labels: Entries,
    label_map: LabelMap,
    fold_of: Mapping[str, str],
    missing: str,
    standardise: bool,
    report: Report,
    used: str = "TVA",
    widths: Mapping[str, int] | None = None,
    drop_empty: bool = False,
) -> Iterator[tuple[str, Segment]]:
    """Yield (fold, segment) for every segment that can be used.

    Parameters
    ----------
    by_modality : mapping
        Letter of `MODALITIES` -> aligned entries, in the order of fusion; also of
        modalities that are not used, so that all subsets drop the same segments.
    words : dict or None
        Aligned text, whose rows are the steps; None when there is one modality with
        its own steps.
    labels : dict
        Aligned labels, one row per segment.
    label_map : LabelMap
        From the label file's columns to the schema.
    fold_of : mapping
        Video -> fold; other videos' segments are reported as foldless.
    missing : {"drop", "mask"}
        What becomes of a segment whose modalities differ in their steps: left out, or
        kept with the text's steps, zeros and a presence of False.
    standardise : bool
        Whether image and audio are standardised over the steps of each segment.
    report : Report
        Receives every finding.
    used : str
        Letters of the modalities whose features are taken.
    widths : mapping, optional
        Letter -> columns, where a modality may have no entry at all.
    drop_empty : bool
        With mask: leave out steps at which no modality is there.

    Raises
    ------
    SpecError
        When `missing` is neither.
    """
    if missing not in MISSING:
        raise SpecError(f"missing must be drop or mask, received '{missing}'.")
    widths = widths or {
        letter: next(iter(entries.values())).features.shape[1] if entries else 0
        for letter, entries in by_modality.items()
    }
    for letter in used:
        counts = np.zeros(widths[letter], np.int64)
        report.nonfinite.setdefault(MODALITIES[letter], counts)
    if missing == "mask":
        by_modality = {k: rows for k, rows in by_modality.items() if k in used}
    for key, label_rows in labels.items():
        fold = fold_of.get(video_of(key), "")
        if not fold:
            report.add(key, "", "foldless", "video in no fold")
            continue
        scores = _clean_labels(label_rows, label_map, key, fold, report)
        if scores is None:
            continue
        parts = _take_steps(key, by_modality, words, fold, missing, report)
        if parts is None:
            continue
        columns, presence = [], []
        for letter, (rows, present) in parts.items():
            if letter not in used:
                continue
            name = MODALITIES[letter]
            block = np.zeros((len(present), widths[letter]), np.float32)
            block[present] = clean(
                rows,
                fill="zero" if letter == "T" else "mean",
                standardise=standardise and letter != "T",
                counts=report.nonfinite[name],
            )
            columns.append(block)
            presence.append(present)
        features, presence = np.concatenate(columns, 1), np.stack(presence, 1)
        if drop_empty and missing == "mask":
            kept = presence.any(axis=1)
            features, presence = features[kept], presence[kept]
        yield fold, Segment(key, features, presence, scores)


def _clean_labels(
    rows: Rows, label_map: LabelMap, key: str, fold: str, report: Report
) -> np.ndarray | None:
    """Bring one label row to the schema's order and range; None when undefined."""
    schema = label_map.target
    scores = label_map.apply(rows.features[0]).astype(np.float32)
    if not np.isfinite(scores).all():
        report.add(key, fold, "dropped", "label not finite")
        return None
    inside = np.clip(scores, schema.low, schema.high)
    if (inside != scores).any():
        # Known: extra annotators lift a few means above 3; the corpus' maintainers
        # advise to clamp.
        report.add(key, fold, "clamped", "label out of range")
    return inside


def _take_steps(
    key: str,
    by_modality: Mapping[str, Entries],
    words: Entries | None,
    fold: str,
    missing: str,
    report: Report,
) -> dict[str, tuple[np.ndarray, np.ndarray]] | None:
    """Return letter -> (rows present, (steps,) presence), or None when dropped."""
    found = {letter: entries.get(key) for letter, entries in by_modality.items()}
    if words is None:
        (letter, rows), *_ = found.items()
        if rows is None:
            report.add(key, fold, "dropped", "no frames", MODALITIES[letter], 0)
            return None
        return {letter: (rows.features, np.ones(len(rows.features), bool))}
    text = words.get(key)
    if text is None:
        report.add(key, fold, "dropped", "no words", MODALITIES["T"], 0)
        return None
    steps = len(text.intervals)
    parts = {}
    for letter, rows in found.items():
        count = 0 if rows is None else len(rows.intervals)
        if count == steps:
            parts[letter] = (rows.features, np.ones(steps, bool))
            continue
        reason = "no frames" if count == 0 else "words without frames"
        action = "dropped" if missing == "drop" else "filled"
        report.add(key, fold, action, reason, MODALITIES[letter], steps - count)
        if missing == "drop":
            return None
        present = np.zeros(steps, bool)
        features = np.zeros((0, 0), np.float32)
        if rows is not None:
            word = match_rows(text.intervals, rows.intervals)
            kept = np.flatnonzero(word >= 0)
            kept = kept[np.argsort(word[kept], kind="stable")]
            present[word[kept]] = True
            features = rows.features[kept]
        parts[letter] = (features, present)
    if not any(present.any() for _, present in parts.values()):
        report.add(key, fold, "dropped", "no modality present", steps=steps)
        return None
    return parts


def clean(
    features: np.ndarray, fill: str, standardise: bool, counts: np.ndarray
) -> np.ndarray:
    """Replace non-finite values and standardise over time.

    Parameters
    ----------
    features : (n, d) number
        Rows of one modality in one segment.
    fill : {"zero", "mean"}
        What a value becomes that is not finite in single precision: 0, or the mean of
        its column's finite values, before the statistics, so that one bad frame costs
        itself and not its column.
    standardise : bool
        Whether to subtract the mean and divide by the population deviation of each
        column over the segment; constant columns become 0.
    counts : (d,) int
        Increased by the number of replaced values per column.

    Returns
    -------
    (n, d) float32
    """
    if not features.size:
        return np.zeros((len(features), len(counts)), np.float32)
    # Double precision, for COVAREP holds values whose squares exceed single precision.
    with np.errstate(over="ignore"):
        values = features.astype(np.float64)
        # What single precision cannot hold is infinite to a network.
        bad = ~np.isfinite(values.astype(np.float32))
    if bad.any():
        counts += bad.sum(axis=0)
        values[bad] = 0.0
        if fill == "mean":
            mean = values.sum(axis=0) / np.maximum((~bad).sum(axis=0), 1)
            values = np.where(bad, mean, values)
    if standardise:
        size = np.abs(values).max(axis=0)
        values -= values.mean(axis=0)
        deviation = values.std(axis=0)
        # Below this share of its size a deviation is rounding, not signal.
        constant = deviation <= 1e-7 * size
        values = np.where(constant, 0.0, values / np.where(constant, 1.0, deviation))
    return values.astype(np.float32)
