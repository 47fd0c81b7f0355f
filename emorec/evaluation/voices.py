"""What a speech student scores on its teacher's opinion.

There is no human label: a clip's true emotion is the one that the face network, the
teacher, scores highest on the clip's whole face track (Albanie et al., 2018, published
code).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from emorec.artifacts.logits import Logits
from emorec.errors import DataError, LabelMismatchError, shorten
from emorec.evaluation.roc import bootstrap_aucs, bootstrap_share, interval, roc
from emorec.evaluation.single_label import softmax
from emorec.labels import FERPLUS, LabelSchema
from emorec.progress import track

# Emotions that are almost never the teacher's choice (published code).
IGNORED = ("fear", "contempt", "disgust")
TRAIN, MEAN = "train", "mean"


@dataclass(frozen=True)
class Partition:
    """Clips of one partition.

    Attributes
    ----------
    ids : list of str
        n clips.
    speakers : (n,) text
        Who speaks in each.
    logits : (n, K) float
        The student's scores before the softmax.
    teacher : (n, K) float
        The teacher's, of the whole face track, aggregated over its frames.
    """

    ids: list[str]
    speakers: np.ndarray
    logits: np.ndarray
    teacher: np.ndarray


@dataclass(frozen=True)
class VoiceScores:
    """Outputs of one student for the clips of a corpus.

    Attributes
    ----------
    schema : LabelSchema
        Names of the K emotions.
    dataset : str
        Name of the corpus.
    partitions : dict of str to Partition
        ``train``, ``heardVal``, ``unheardVal``, or some of them.

    Raises
    ------
    DataError
        When arrays of a partition do not fit together or hold what is no number.
    """

    schema: LabelSchema
    dataset: str
    partitions: Mapping[str, Partition]

    def __post_init__(self) -> None:
        for name, one in self.partitions.items():
            count = len(one.ids)
            expected = (count, len(self.schema))
            shapes = [np.shape(one.logits), np.shape(one.teacher)]
            if shapes != [expected] * 2 or np.shape(one.speakers) != (count,):
                raise DataError(
                    f"{self.dataset}, {name}: expected {count} speakers and scores of "
                    f"shape {expected} of student and teacher, received "
                    f"{np.shape(one.speakers)}, {shapes[0]} and {shapes[1]}."
                )
            finite = np.isfinite(one.logits) & np.isfinite(one.teacher)
            bad = np.flatnonzero(~finite.all(axis=1))
            if len(bad):
                raise DataError(
                    f"{self.dataset}, {name}: scores that are not finite, of "
                    f"{shorten([one.ids[i] for i in bad])}. Predict these anew."
                )


def auc_rows(
    result: VoiceScores,
    ignored: Collection[str] = IGNORED,
    rounds: int = 1000,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Return how well the student tells each of the teacher's emotions from the rest.

    Parameters
    ----------
    result : VoiceScores
        Scores of student and teacher. The student's score of an emotion is its
        probability, the softmax without a temperature.
    ignored : collection of str
        Emotions left out of the mean; they have rows all the same.
    rounds, seed : int
        Of the resampling of speakers (`emorec.evaluation.roc.bootstrap_aucs`).

    Returns
    -------
    list of dict
        ``partition``; ``emotion``, or ``mean`` for the mean over emotions that have an
        AUC and are not ignored; ``auc`` and the bounds ``low`` and ``high`` of its 95 %
        interval; ``chance``; ``eer``; ``positives``, clips whose dominant emotion is
        this (one of these), and ``positive_speakers``, who speaks in them; ``clips``;
        ``speakers``; ``ignored``. NaN what is undefined. The interval of an emotion
        with a handful of positive speakers is too narrow, as any bootstrap's is.

    Raises
    ------
    LabelMismatchError
        When an ignored emotion is nobody's.
    """
    check_ignored(ignored, result.schema)
    table = []
    for name, one in track(result.partitions.items(), "Resampling speakers"):
        truth = np.argmax(one.teacher, axis=1) if one.ids else np.empty(0, int)
        positives = truth[:, None] == np.arange(len(result.schema))
        probabilities = softmax(one.logits) if one.ids else one.logits
        resampled = bootstrap_aucs(positives, probabilities, one.speakers, rounds, seed)
        own = []
        for column, emotion in enumerate(result.schema.labels):
            curve = roc(positives[:, column], probabilities[:, column])
            values = curve.auc, *interval(resampled[:, column]), curve.eer
            own.append(
                _row(name, emotion, values, one.speakers, positives[:, [column]])
                | {"ignored": emotion in ignored}
            )
        meant = [
            k
            for k, row in enumerate(own)
            if not row["ignored"] and not np.isnan(row["auc"])
        ]
        values = (
            _mean([own[k]["auc"] for k in meant]),
            *interval(row_means(resampled[:, meant])),
            _mean([own[k]["eer"] for k in meant]),
        )
        row = _row(name, MEAN, values, one.speakers, positives[:, meant])
        own.append(row | {"ignored": False})
        table += own
    return table


def check_ignored(ignored: Collection[str], schema: LabelSchema) -> None:
    """Refuse what is neither a label of the schema nor of the face network's.

    Raises
    ------
    LabelMismatchError
        When an ignored emotion is nobody's.
    """
    # A student of fewer emotions need not be told which ones it lacks.
    unknown = sorted(set(ignored) - {*schema.labels, *FERPLUS.labels})
    if unknown:
        raise LabelMismatchError(
            f"Ignored emotions: expected some of {', '.join(schema.labels)}, received "
            f"{', '.join(unknown)}."
        )


def _row(
    partition: str,
    emotion: str,
    values: tuple[float, ...],
    speakers: np.ndarray,
    positives: np.ndarray,
) -> dict[str, Any]:
    auc, low, high, eer = values
    positive = positives.any(axis=1)
    return {
        "partition": partition,
        "emotion": emotion,
        "auc": auc,
        "low": low,
        "high": high,
        "chance": 0.5,
        "eer": eer,
        "positives": int(positive.sum()),
        "positive_speakers": len(np.unique(speakers[positive])),
        "clips": len(speakers),
        "speakers": len(np.unique(speakers)),
    }


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def row_means(values: np.ndarray) -> np.ndarray:
    """Return means over what each row has; NaN of rows that have nothing."""
    defined = ~np.isnan(values)
    sums, counts = np.where(defined, values, 0).sum(axis=1), defined.sum(axis=1)
    return np.divide(sums, counts, out=np.full(len(values), np.nan), where=counts > 0)


def agreement_rows(
    result: VoiceScores, rounds: int = 1000, seed: int = 0
) -> list[dict[str, Any]]:
    """Return how often student and teacher choose the same emotion, per partition.

    Returns
    -------
    list of dict
        ``partition``; ``clips``; ``agreement``, a share, and the bounds ``low`` and
        ``high`` of its 95 % interval over speakers; ``constant``, the share of clips on
        which the teacher agrees with who always answers ``constant_emotion``: the
        teacher's most frequent one in ``train``, or without it in the partition itself.
        Partitions without clips have no row.
    """
    table = []
    for name, one in result.partitions.items():
        if not one.ids:
            continue
        known = result.partitions.get(TRAIN)
        source = known if known is not None and known.ids else one
        common = int(np.argmax(dominance(source.teacher)))
        truth = np.argmax(one.teacher, axis=1)
        right = np.argmax(one.logits, axis=1) == truth
        low, high = bootstrap_share(right, one.speakers, rounds, seed)
        table.append(
            {
                "partition": name,
                "clips": len(one.ids),
                "agreement": float(right.mean()),
                "low": low,
                "high": high,
                "constant": float((truth == common).mean()),
                "constant_emotion": result.schema.labels[common],
            }
        )
    return table


def dominance(logits: np.ndarray) -> np.ndarray:
    """Count in how many rows of (n, K) each column is the largest: (K,) int.

    Ties go to the first column.
    """
    columns = logits.shape[1]
    if not len(logits):
        return np.zeros(columns, int)
    return np.bincount(np.argmax(logits, axis=1), minlength=columns)


def frame_dominance(logits: Logits) -> np.ndarray:
    """Count the frames on which the teacher scores each emotion highest: (K,) int."""
    return dominance(logits.logits)


def summary(
    aucs: list[dict[str, Any]], agreements: list[dict[str, Any]], run: str, dataset: str
) -> str:
    """Return a text table of AUCs and of agreement beside the constant predictor's."""
    frame = pd.DataFrame(aucs)
    frame["emotion"] = frame["emotion"] + np.where(frame["ignored"], " *", "")
    frame["text"] = [_told(row) for row in aucs]
    shown = frame.pivot(index="emotion", columns="partition", values="text")
    shown = shown.loc[
        list(dict.fromkeys(frame.emotion)), list(dict.fromkeys(frame.partition))
    ]
    shown.index.name = shown.columns.name = None
    lines = [
        f"{run} on {dataset}: AUC [95 % interval over speakers], clips of the emotion; "
        "chance is 0.5; * not in the mean",
        shown.to_string(),
        "Student and teacher choose the same emotion [95 % interval over speakers]:",
    ]
    lines += [
        f"  {row['partition']}: {row['agreement']:.3f} [{row['low']:.2f}, "
        f"{row['high']:.2f}] of {row['clips']:,} clips; always "
        f"{row['constant_emotion']}: {row['constant']:.3f}"
        for row in agreements
    ]
    return "\n".join(lines)


def _told(row: dict[str, Any]) -> str:
    count = f"{row['positives']:>7,}"
    if np.isnan(row["auc"]):
        return f"-  {count}"
    if np.isnan(row["low"]):
        return f"{row['auc']:.3f} [one speaker]  {count}"
    return f"{row['auc']:.3f} [{row['low']:.2f}, {row['high']:.2f}]  {count}"
