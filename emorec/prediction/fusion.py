"""Late fusion of what several models say of a span.

The weighted mean of `emorec.evaluation.late_fusion`, of the models that answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emorec.errors import LabelMismatchError, SpecError, shorten
from emorec.evaluation.joining import Joined
from emorec.evaluation.late_fusion import Fusion
from emorec.files import read_json
from emorec.labels import LabelMap, LabelSchema, canonical, label_map
from emorec.prediction.predictor import Predictor

# Of probability on the shared labels below this nothing can be said of them.
_LEAST = 1e-6
_NOTHING = pd.DataFrame()


class LateFusion:
    """The weighted mean of models' probabilities, span by span.

    Labels are found by their meaning. The common schema has those that every model
    has; a model's probabilities of these are divided by their sum, which makes them
    conditional on that the emotion is one of them. Where the sum is below 1e-6 the
    model says nothing of the span.

    Intensities (CMU-MOSEI) and sentiment are no chances of one class or another, and
    no rule turns them into such without data to fit it on: models of them are left
    out, and `describe` says so.

    A model that has nothing in a span drops out, and the weights of the rest are
    renormalised; where they are 0 together, the rest count equally.

    Parameters
    ----------
    predictors : sequence of Predictor
        All models that are asked; two or more of them choose among classes.
    weights : mapping, optional
        Name -> weight, 0 or more. Models that are not named share equally what is left
        to 1. If all are named, the weights are divided by their sum. Without weights
        all are equal.
    record : path, optional
        ``run_{name}.json`` of ``emorec fuse`` or ``emorec meld fuse``, with the methods
        weights or convex: the weights that were chosen there, of nested
        cross-validation their mean over the folds. Models are known by their names.
    schema : LabelSchema, optional
        Of the result, in place of the common one.

    Raises
    ------
    SpecError
        When fewer than two models or two labels are left, weights cannot be, or a
        record fuses other models.
    LabelMismatchError
        When a model lacks a label of `schema`.
    DataError
        When the record cannot be read.
    """

    def __init__(
        self,
        predictors: Sequence[Predictor],
        weights: Mapping[str, float] | None = None,
        record: str | Path | None = None,
        schema: LabelSchema | None = None,
    ) -> None:
        self.left_out = {
            p.name: f"its scores are of the kind {p.schema.kind}, no chances of classes"
            for p in predictors
            if p.schema.kind != "single"
        }
        self._places = [
            n for n, p in enumerate(predictors) if p.name not in self.left_out
        ]
        kept = [predictors[place] for place in self._places]
        names = tuple(predictor.name for predictor in kept)
        if len(kept) < 2:
            raise SpecError(
                "Late fusion: expected two or more models that choose one class per "
                f"span, received {shorten(names) or 'none'}"
                + "".join(f"; {name} is left out: {y}" for name, y in self._left())
                + ". Name more models, or leave the fusion out."
            )
        if weights is not None and record is not None:
            raise SpecError("Late fusion: give weights or a record of them, not both.")
        self.schema = schema or _shared(kept)
        self._maps = [_map(predictor, self.schema) for predictor in kept]
        self.labels_left_out = {
            predictor.name: list(mapped.unmapped)
            for predictor, mapped in zip(kept, self._maps, strict=True)
            if mapped.unmapped
        }
        self.record = None if record is None else Path(record)
        if self.record is not None:
            found = _recorded(self.record, names)
        elif weights is not None:
            found = self._shares(weights, names)
        else:
            found = np.full(len(names), 1 / len(names))
        self._fusion = Fusion("weights", names, found)

    @property
    def weights(self) -> dict[str, float]:
        """Name -> weight of the models that are fused; the sum is 1."""
        pairs = zip(self._fusion.models, self._fusion.weights, strict=True)
        return {name: float(weight) for name, weight in pairs}

    def fuse(self, scores: Sequence[np.ndarray | None]) -> np.ndarray | None:
        """Return fused probabilities (K,) float64 of a span.

        Parameters
        ----------
        scores : sequence of ((K_m,) float or None)
            Of every predictor in its own order; None where it had nothing.

        Returns
        -------
        (K,) float64 or None
            None where no model that is fused says anything.
        """
        models, width = self._fusion.models, len(self.schema)
        values = np.zeros((len(models), 1, width))
        present = np.zeros((len(models), 1), bool)
        for row, (place, mapped) in enumerate(
            zip(self._places, self._maps, strict=True)
        ):
            if scores[place] is None:
                continue
            own = mapped.apply(np.asarray(scores[place], np.float64))
            if own.sum() >= _LEAST:
                values[row, 0], present[row, 0] = own / own.sum(), True
        if not present.any():
            return None
        joined = Joined(
            models,
            *("", "", self.schema, ["span"], np.zeros(1, int), np.array([""])),
            *(values, present, _NOTHING),
        )
        return self._fusion.apply(joined)[0]

    def describe(self) -> dict[str, Any]:
        """Return how models are fused, in containers for JSON."""
        return {
            "method": "weighted mean of probabilities",
            "weights": self.weights,
            "weights_from": self.record and self.record.name,
            "labels": list(self.schema.labels),
            "labels_left_out": self.labels_left_out,
            "models_left_out": self.left_out,
        }

    def told(self) -> list[str]:
        """Return lines for the user: weights, and what is left out."""
        each = ", ".join(
            f"{name} {weight:.3g}" for name, weight in self.weights.items()
        )
        lines = [f"Fused: {each}; labels: {', '.join(self.schema.labels)}."]
        lines += [
            f"  {name}: {', '.join(labels)} left out; not every model knows them."
            for name, labels in self.labels_left_out.items()
        ]
        return lines + [f"  {name}: left out; {why}." for name, why in self._left()]

    def _left(self) -> list[tuple[str, str]]:
        return list(self.left_out.items())

    def _shares(self, weights: Mapping[str, float], names: tuple[str, ...]):
        """Return the weights (M,) that are given, the rest shared."""
        unknown = [name for name in weights if name not in names]
        if unknown:
            reasons = [
                f"{n} is left out: {why}" for n, why in self._left() if n in unknown
            ]
            raise SpecError(
                f"Weights of {shorten(unknown)}: expected names of models that are "
                f"fused, {', '.join(names)}. {'; '.join(reasons)}".rstrip()
            )
        values = {name: float(weight) for name, weight in weights.items()}
        total, rest = sum(values.values()), len(names) - len(values)
        told = ", ".join(f"{name}={weight:g}" for name, weight in values.items())
        if not all(0 <= weight < np.inf for weight in values.values()) or not (
            total > 0 or rest
        ):
            raise SpecError(f"Weights {told}: expected 0 or more, and one above 0.")
        if rest and total > 1:
            raise SpecError(
                f"Weights {told}: their sum is {total:g}, which leaves nothing for "
                f"{shorten(name for name in names if name not in values)}. Give those "
                "a weight, too, or smaller ones."
            )
        shares = [values.get(name, (1 - total) / max(rest, 1)) for name in names]
        return np.array(shares) / sum(shares)


def parse_weights(words: Sequence[str]) -> dict[str, float]:
    """Return weights that were written ``NAME=0.6``.

    Raises
    ------
    SpecError
        For other words, and for a name that stands twice.
    """
    found: dict[str, float] = {}
    for word in words:
        name, _, number = word.rpartition("=")
        try:
            weight = float(number)
        except ValueError:
            weight = np.nan
        if not name or not weight >= 0:
            raise SpecError(
                f"Weight {word}: expected the name of a model and a number of 0 or "
                "more, as text=0.6."
            )
        if name in found:
            raise SpecError(f"Weight {word}: {name} has a weight already.")
        found[name] = weight
    return found


def _shared(predictors: Sequence[Predictor]) -> LabelSchema:
    """Return the labels that every model has, in the order of the first one's."""
    each = [[canonical(label) for label in p.schema.labels] for p in predictors]
    labels = dict.fromkeys(each[0])
    shared = tuple(name for name in labels if all(name in other for other in each))
    if len(shared) < 2:
        told = "; ".join(f"{p.name}: {', '.join(p.schema.labels)}" for p in predictors)
        raise SpecError(
            f"Late fusion: the models share {len(shared)} labels ({told}); expected "
            "two or more. Fuse models of the same emotions."
        )
    return LabelSchema("fused", shared, "single")


def _map(predictor: Predictor, schema: LabelSchema) -> LabelMap:
    mapped = label_map(predictor.schema, schema)
    pairs = zip(schema.labels, mapped.columns, strict=True)
    lacking = [label for label, columns in pairs if not columns]
    if lacking:
        raise LabelMismatchError(
            f"Late fusion: {predictor.name} has no {', '.join(lacking)} of the schema "
            f"'{schema.name}', only {', '.join(predictor.schema.labels)}."
        )
    return mapped


def _recorded(path: Path, names: tuple[str, ...]) -> np.ndarray:
    """Return the weights (M,) of a record, by the models' names."""
    content = read_json(path)
    try:
        fusions = content["fusions"]
        kinds = [fusion.get("weights") for fusion in fusions]
    except (TypeError, KeyError, AttributeError):
        raise SpecError(
            f"{path}: expected a record of emorec fuse, run_NAME.json with the weights "
            "of a fusion."
        ) from None
    if not kinds or not all(isinstance(each, dict) for each in kinds):
        raise SpecError(
            f"{path}: a fusion by stacking, which needs every model in every span. "
            "Fuse with --method weights or convex, and name that record."
        )
    recorded = set(kinds[0])
    if recorded != set(names):
        raise SpecError(
            f"{path}: has weights of {', '.join(sorted(recorded))}, but asked are "
            f"{', '.join(sorted(names))}. Ask the same models, or give weights."
        )
    mean = np.array([[each[name] for name in names] for each in kinds]).mean(axis=0)
    return mean / mean.sum()
