"""The same utterances as several models see them: rows and columns found by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from emorec.artifacts.predictions import Predictions
from emorec.errors import DataError, LabelMismatchError, SpecError, shorten
from emorec.labels import LabelSchema, check_same

MISSING = ("refuse", "intersect", "renormalise")
_COLUMNS = ("model", "utterance", "left_out", "reason")


@dataclass(frozen=True)
class Joined:
    """What M models say of the same n utterances.

    Attributes
    ----------
    models : tuple of str
        M names.
    dataset, split : str
    schema : LabelSchema
        Names of the K classes.
    ids : list of str
        In the order of the first model's.
    true : (n,) int64
    groups : (n,) str
    scores : (M, n, K) float64
        Probabilities; 0 where a model does not know an utterance.
    present : (M, n) bool
        Whether it does.
    report : pandas.DataFrame
        ``model``, ``utterance``, ``left_out`` (else only this model lacks it),
        ``reason``; a row for each that a model lacks.
    """

    models: tuple[str, ...]
    dataset: str
    split: str
    schema: LabelSchema
    ids: list[str]
    true: np.ndarray
    groups: np.ndarray
    scores: np.ndarray
    present: np.ndarray
    report: pd.DataFrame

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: np.ndarray) -> Joined:
        """Return the utterances of these row numbers, (m,) int."""
        return replace(
            self,
            ids=[self.ids[row] for row in rows],
            true=self.true[rows],
            groups=self.groups[rows],
            scores=self.scores[:, rows],
            present=self.present[:, rows],
        )

    def predictions(self, model: str, scores: np.ndarray) -> Predictions:
        """Return probabilities (n, K) as the predictions of a model of this name."""
        return Predictions(
            model,
            self.dataset,
            self.split,
            self.schema,
            self.ids,
            scores,
            self.true,
            self.groups,
        )

    def of_model(self, number: int) -> Predictions:
        """Return what one model says of the utterances that it knows."""
        one = self.take(np.flatnonzero(self.present[number]))
        return one.predictions(self.models[number], one.scores[number])

    def complete(self) -> Joined:
        """Return the utterances that every model knows."""
        return self.take(np.flatnonzero(self.present.all(axis=0)))


def join(parts: Sequence[Predictions], missing: str = "refuse") -> Joined:
    """Put several models' predictions of a split side by side.

    Parameters
    ----------
    parts : sequence of Predictions
        Two or more, of distinct names. The order of their rows does not matter.
        Groups are the first's; where it knows none, the next one's.
    missing : {"refuse", "intersect", "renormalise"}
        Of utterances that a model lacks, and of labels in another order: refuse both;
        keep what all models know, and find the columns by name; or keep what any model
        knows, columns found by name too.

    Raises
    ------
    DataError
        When ids differ under "refuse", nothing is left, splits differ, or two models
        hold another class for true.
    LabelMismatchError
        When labels differ; under "refuse" also when only their order does.
    SpecError
        For fewer than two models, equal names or an unknown `missing`.
    """
    models = tuple(part.model for part in parts)
    if missing not in MISSING:
        raise SpecError(f"Missing utterances: '{missing}' is none of {MISSING}.")
    if len(parts) < 2 or len(set(models)) < len(models):
        raise SpecError(
            "Expected predictions of two models or more, each of another name; "
            f"received {', '.join(models) or 'none'}."
        )
    parts = [_as_first(part, parts[0], missing) for part in parts]
    numbers = [{name: row for row, name in enumerate(part.ids)} for part in parts]
    anywhere = list(dict.fromkeys(name for part in parts for name in part.ids))
    lacking = [[name for name in anywhere if name not in rows] for rows in numbers]
    if missing == "refuse" and any(lacking):
        raise DataError(_difference(parts, lacking))
    gone = {name for names in lacking for name in names}
    ids = [name for name in anywhere if missing != "intersect" or name not in gone]
    if not ids:
        raise DataError(
            f"{', '.join(models)}: no utterance is known to all of them. The first ids "
            f"are {', '.join(part.ids[0] if part.ids else 'none' for part in parts)}."
        )
    n, schema = len(ids), parts[0].schema
    scores = np.zeros((len(parts), n, len(schema)))
    present = np.zeros((len(parts), n), bool)
    true, groups = np.full(n, -1), np.full(n, "", object)
    for number, (part, rows) in enumerate(zip(parts, numbers, strict=True)):
        here = np.array([row for row, name in enumerate(ids) if name in rows], int)
        there = np.array([rows[ids[row]] for row in here], int)
        scores[number, here], present[number, here] = part.scores[there], True
        _same_truth(parts, number, ids, here, true[here], part.true[there])
        true[here] = part.true[there]
        unknown = groups[here] == ""
        groups[here[unknown]] = part.groups[there[unknown]]
    report = pd.DataFrame(
        [
            {
                "model": model,
                "utterance": name,
                "left_out": missing == "intersect",
                "reason": "the model's file has no such id",
            }
            for model, names in zip(models, lacking, strict=True)
            for name in names
        ],
        columns=_COLUMNS,
    )
    return Joined(
        models,
        next((part.dataset for part in parts if part.dataset), ""),
        parts[0].split,
        schema,
        ids,
        true,
        groups.astype(np.str_),
        scores,
        present,
        report,
    )


def _as_first(part: Predictions, first: Predictions, missing: str) -> Predictions:
    """Return predictions with the columns of the first model."""
    where = f"{first.model} and {part.model}"
    if part.split != first.split:
        raise DataError(
            f"{where}: expected the same split, received {first.split} and "
            f"{part.split}."
        )
    if missing == "refuse":
        try:
            check_same(first.schema, part.schema, where)
        except LabelMismatchError as error:
            raise LabelMismatchError(
                f"{error}\n  To find the columns by name pass --intersect."
            ) from error
    return part.arranged(first.schema)


def _same_truth(
    parts: Sequence[Predictions],
    number: int,
    ids: Sequence[str],
    rows: np.ndarray,
    before: np.ndarray,
    now: np.ndarray,
) -> None:
    wrong = np.flatnonzero((before >= 0) & (before != now))
    if not len(wrong):
        return
    labels, first = parts[0].schema.labels, wrong[0]
    raise DataError(
        f"{parts[number].model} and the models before it hold another class for true "
        f"in {len(wrong)} of {len(rows)} utterances, the first is "
        f"{ids[rows[first]]}: {labels[now[first]]} and {labels[before[first]]}. Are "
        "they of the same data?"
    )


def _difference(parts: Sequence[Predictions], lacking: list[list[str]]) -> str:
    lines = [
        f"  {part.model}: {len(part):,} utterances"
        + (f", lacks {len(names):,}: {shorten(names, 3)}" if names else "")
        for part, names in zip(parts, lacking, strict=True)
    ]
    return "\n".join(
        [
            "The models do not know the same utterances.",
            *lines,
            "  To keep those that all know pass --intersect; to keep all and "
            "renormalise the weights where a model is missing, --missing renormalise.",
        ]
    )
