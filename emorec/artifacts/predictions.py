"""Class probabilities of utterances with their true classes: one file for all systems.

Files are named ``predictions_{split}_{model}.npz``. Those of emorec's other systems
are read too where they hold one choice among classes: the faces of FER+, the voices of
the speech student, and audio-visual clips.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from emorec.artifacts.prediction_arrays import labelled, read_arrays
from emorec.errors import DataError, LabelMismatchError, SpecError, shorten
from emorec.files import whole_file
from emorec.labels import LabelSchema, check_same, label_map

_NAME = re.compile(r"predictions_([^_]+)_(.+)")
# What probabilities stored with 16 bits may lack of 1.
_ROUNDING = 5e-3


@dataclass(frozen=True)
class Predictions:
    """What a model says of the n utterances of a split.

    Attributes
    ----------
    model, dataset, split : str
        Which model, of what data. ``dataset`` is empty where a file does not say it.
    schema : LabelSchema
        Names of the K classes, of the kind ``single``.
    ids : list of str
        n utterances, each once.
    scores : (n, K) float64
        Probabilities.
    true : (n,) int64
        Columns of the true classes.
    groups : (n,) str
        Dialogue or speaker; "" where it is not known. Rows of one group are alike, so
        that intervals draw whole groups and folds keep them together.

    Raises
    ------
    DataError
        When the arrays do not fit together, an id stands twice, a true class is no
        column or a row of `scores` is no distribution.
    LabelMismatchError
        When the schema is of another kind than ``single``.
    """

    model: str
    dataset: str
    split: str
    schema: LabelSchema
    ids: list[str]
    scores: np.ndarray
    true: np.ndarray
    groups: np.ndarray

    def __post_init__(self) -> None:
        where = f"Predictions of {self.model} ({self.split})"
        if self.schema.kind != "single":
            raise LabelMismatchError(
                f"{where}: expected one class per utterance (kind single), received "
                f"labels of the kind {self.schema.kind} ({self.schema.name})."
            )
        keep = {
            "ids": [str(name) for name in self.ids],
            "scores": np.asarray(self.scores, np.float64),
            "true": np.asarray(self.true),
            "groups": np.asarray(self.groups, np.str_),
        }
        n = len(keep["ids"])
        shapes = {"scores": (n, len(self.schema)), "true": (n,), "groups": (n,)}
        for name, expected in shapes.items():
            if keep[name].shape != expected:
                raise DataError(
                    f"{where}: expected {name} of shape {expected} for {n} ids and "
                    f"{len(self.schema)} labels, received {keep[name].shape}."
                )
        if keep["true"].dtype.kind not in "iu":
            raise DataError(
                f"{where}: expected true classes as whole numbers, received "
                f"{keep['true'].dtype}."
            )
        keep["true"] = keep["true"].astype(np.int64)
        for name, value in keep.items():
            object.__setattr__(self, name, value)
        self._check_rows(where)

    def _check_rows(self, where: str) -> None:
        names, counts = np.unique(np.array(self.ids, np.str_), return_counts=True)
        if (counts > 1).any():
            raise DataError(
                f"{where}: ids must be distinct; more than once: "
                f"{shorten(names[counts > 1])}."
            )
        outside = (self.true < 0) | (self.true >= len(self.schema))
        sums = self.scores.sum(axis=1)
        # Written so that NaN is bad.
        good = (self.scores >= 0).all(axis=1) & (np.abs(sums - 1) <= _ROUNDING)
        for bad, what in (
            (outside, f"a true class of 0 to {len(self.schema) - 1}"),
            (~good, "probabilities, 0 or more with the sum 1"),
        ):
            if bad.any():
                first = int(np.flatnonzero(bad)[0])
                raise DataError(
                    f"{where}: expected {what}; {bad.sum()} rows have others, the "
                    f"first is {self.ids[first]} (class {self.true[first]}, scores "
                    f"{np.round(self.scores[first], 4).tolist()})."
                )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def chosen(self) -> np.ndarray:
        """The most probable class of each utterance, (n,) int64."""
        return self.scores.argmax(axis=1)

    def take(self, rows: Sequence[int] | np.ndarray) -> Predictions:
        """Return the utterances of these row numbers, in their order."""
        rows = np.asarray(rows, np.int64)
        return replace(
            self,
            ids=[self.ids[row] for row in rows],
            scores=self.scores[rows],
            true=self.true[rows],
            groups=self.groups[rows],
        )

    def arranged(self, schema: LabelSchema) -> Predictions:
        """Return the same predictions with the columns of `schema`, found by name.

        Raises
        ------
        LabelMismatchError
            When one of the two schemas has a label that the other lacks.
        """
        if self.schema.labels == schema.labels:
            return replace(self, schema=schema)
        mapped = label_map(self.schema, schema)
        if mapped.unmapped:
            raise LabelMismatchError(
                f"{self.model} ({self.split}): its labels {shorten(mapped.unmapped)} "
                f"are not among {', '.join(schema.labels)}."
            )
        scores = mapped.apply(self.scores)
        goal = np.empty(len(self.schema), np.int64)
        for column, sources in enumerate(mapped.columns):
            goal[list(sources)] = column
        return replace(self, schema=schema, scores=scores, true=goal[self.true])


def predictions_path(folder: str | Path, predictions: Predictions) -> Path:
    """Return where the file of these predictions lies in a results folder."""
    return Path(folder) / f"predictions_{predictions.split}_{predictions.model}.npz"


def write_predictions(
    path: str | Path, predictions: Predictions, spec: dict[str, Any] | None = None
) -> None:
    """Write predictions as one .npz without pickles, atomically.

    Arrays: ``ids`` and ``groups`` (n,) text, ``scores`` (n, K) float64, ``labels`` (n,)
    int64, ``spec`` a JSON text with ``model``, ``dataset``, ``split`` and ``schema``.

    Parameters
    ----------
    path : path
        See `predictions_path`.
    predictions : Predictions
        What is written.
    spec : dict, optional
        More for the spec, as from `emorec.artifacts.spec.Spec.to_dict`.

    Raises
    ------
    LabelMismatchError
        When `spec` has another schema.
    """
    spec = dict(spec or {})
    if "schema" in spec:
        where = f"{path}: the spec and the predictions"
        check_same(LabelSchema.from_dict(spec["schema"]), predictions.schema, where)
    spec |= {key: getattr(predictions, key) for key in ("model", "dataset", "split")}
    spec["schema"] = predictions.schema.to_dict()
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            ids=np.array(predictions.ids, np.str_),
            scores=predictions.scores,
            labels=predictions.true,
            groups=predictions.groups,
            spec=np.array(json.dumps(spec, ensure_ascii=False)),
        )


def read_predictions(path: str | Path) -> Predictions:
    """Read a file of `write_predictions`, or of another system of emorec.

    Of another system's: logits (of clips with nothing missing) become probabilities;
    faces are those with a majority among the eight emotions (label mode ``majority``);
    the truth of voices is the emotion that the teacher says dominates; groups are
    speakers. Model and split are those in the file's name where the spec has none.

    Raises
    ------
    DataError
        When the file is missing, damaged, or holds no choice among classes, as scores
        of intensities (CMU-MOSEI) and sentiment.
    """
    path = Path(path)
    content = read_arrays(path)
    for name in ("ids", "spec"):
        if name not in content:
            raise DataError(
                f"{path}: expected predictions of emorec, but it has no array {name} "
                f"(found: {shorten(sorted(content)) or 'none'})."
            )
    try:
        spec = json.loads(str(content["spec"]))
        schema = LabelSchema.from_dict(spec["schema"])
        dataset = spec.get("dataset") or spec.get("data", {}).get("dataset", "")
    except (ValueError, KeyError, TypeError, AttributeError, SpecError) as error:
        raise DataError(f"{path}: its spec cannot be read ({error}).") from error
    if schema.kind != "single":
        raise DataError(
            f"{path}: expected one class per row, but its labels are of the kind "
            f"{schema.kind} ({schema.name}: {', '.join(schema.labels)}), several of "
            "which may be present at once. Only choices among classes can be read."
        )
    named = _NAME.fullmatch(path.stem)
    split, model = named.groups() if named else ("", path.stem)
    schema, kept, scores, true = labelled(path, content, schema)
    ids = content["ids"][kept] if content["ids"].shape == kept.shape else content["ids"]
    groups = content.get("groups", content.get("speakers"))
    groups = np.full(len(kept), "") if groups is None else np.asarray(groups, np.str_)
    try:
        return Predictions(
            str(spec.get("model") or model),
            str(dataset),
            str(spec.get("split") or split),
            schema,
            [str(name) for name in ids],
            scores,
            true,
            groups[kept] if groups.shape == kept.shape else groups,
        )
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
