"""Label schemas: names, order, kind and range of every corpus, and maps between them.

A schema travels with every model, feature file and prediction file. Nothing in emorec
addresses an emotion by its position: columns are found by name, through a schema.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from emorec.errors import LabelMismatchError, SpecError

KINDS = ("intensity", "multilabel", "single", "sentiment")


@dataclass(frozen=True)
class LabelSchema:
    """Ordered labels of a corpus or a model.

    Attributes
    ----------
    name : str
        Name of the order, e.g. ``"mosei"``.
    labels : tuple of str
        Label names in column order.
    kind : {"intensity", "multilabel", "single", "sentiment"}
        One score per label on a scale; independent presence of each; exactly one
        class; or one bipolar score.
    low, high : float
        Smallest and largest value of a true label.
    levels : tuple of float
        The values that annotations take, ascending; empty when continuous.
    """

    name: str
    labels: tuple[str, ...]
    kind: str
    low: float = 0.0
    high: float = 1.0
    levels: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise SpecError(
                f"Label schema '{self.name}': kind must be one of {', '.join(KINDS)}, "
                f"received '{self.kind}'."
            )
        if self.low > self.high:
            raise SpecError(
                f"Label schema '{self.name}': range {self.low} to {self.high} is empty."
            )
        if not self.labels or len(set(self.labels)) != len(self.labels):
            raise SpecError(
                f"Label schema '{self.name}': labels must be distinct and at least "
                f"one, received {list(self.labels)}."
            )

    def __len__(self) -> int:
        return len(self.labels)

    def index(self, label: str) -> int:
        """Return the column of `label`.

        Raises
        ------
        LabelMismatchError
            When the schema has no such label.
        """
        if label not in self.labels:
            raise LabelMismatchError(
                f"Label '{label}' is not in schema '{self.name}' "
                f"({', '.join(self.labels)})."
            )
        return self.labels.index(label)

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers for JSON."""
        content = asdict(self)
        content["labels"] = list(self.labels)
        content["levels"] = list(self.levels)
        return content

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> LabelSchema:
        """Rebuild a schema from `to_dict`'s containers.

        Raises
        ------
        SpecError
            When keys are missing or unknown.
        """
        try:
            fields = dict(content)
            if not isinstance(fields["labels"], list):
                raise TypeError("labels must be a list")
            fields["labels"] = tuple(fields["labels"])
            fields["levels"] = tuple(fields.get("levels", ()))
            return cls(**fields)
        except (TypeError, KeyError, ValueError) as error:
            raise SpecError(f"Not a label schema: {content!r} ({error}).") from error


def check_same(expected: LabelSchema, received: LabelSchema, where: str) -> None:
    """Compare two schemas.

    Raises
    ------
    LabelMismatchError
        When names, order, kind or range differ. The message shows both orders and,
        where one is a permutation of the other, says so.
    """
    same = ("labels", "kind", "low", "high")
    if all(getattr(expected, key) == getattr(received, key) for key in same):
        return
    permuted = sorted(expected.labels) == sorted(received.labels)
    if permuted and expected.labels != received.labels:
        order = [received.labels.index(label) for label in expected.labels]
        hint = f"The same labels in another order; take columns {order} of the latter."
    elif expected.labels != received.labels:
        hint = "The label sets differ; train a new model, or map the labels by name."
    else:
        hint = "The labels agree, but their kind or range differs."

    def show(schema: LabelSchema) -> str:
        return (
            f"{', '.join(schema.labels)} "
            f"({schema.kind}, {schema.low:g} to {schema.high:g})"
        )

    raise LabelMismatchError(
        f"{where}: label schemas differ.\n"
        f"  expected: {show(expected)}\n  received: {show(received)}\n  {hint}"
    )


# The levels that the annotations of CMU-MOSEI take: means of three annotators, and
# halves and quarters where two or four rated.
MOSEI_LEVELS = (0, 0.16, 0.33, 0.5, 0.66, 1, 1.33, 1.66, 2, 2.33, 2.66, 3)
COARSE_LEVELS = (0.0, 1.0, 2.0, 3.0)

_MOSEI = ("happy", "sad", "anger", "surprise", "disgust", "fear")
_SCALE = {"kind": "intensity", "low": 0.0, "high": 3.0, "levels": MOSEI_LEVELS}

MOSEI = LabelSchema("mosei", _MOSEI, **_SCALE)
MOSEI_NEUTRAL = LabelSchema("mosei_neutral", (*_MOSEI, "neutral"), **_SCALE)
# `All Labels` begins with sentiment, whose range differs; the schema spans both.
MOSEI_ALL = LabelSchema(
    "mosei_all", ("sentiment", *_MOSEI), "intensity", low=-3.0, high=3.0
)
# Order of Williams et al. (2018) and of the old `ey_*` arrays.
MOSEI_ALPHABETICAL = LabelSchema(
    "mosei_alphabetical",
    ("anger", "disgust", "fear", "happy", "sad", "surprise"),
    **_SCALE,
)
SENTIMENT = LabelSchema("sentiment", ("sentiment",), "sentiment", low=-3.0, high=3.0)
FER2013 = LabelSchema(
    "fer2013",
    ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"),
    "single",
)
FERPLUS = LabelSchema(
    "ferplus",
    (
        "neutral",
        "happiness",
        "surprise",
        "sadness",
        "anger",
        "disgust",
        "fear",
        "contempt",
    ),
    "single",
)
# The vote columns of fer2013new.csv: two more than a model predicts.
FERPLUS_VOTES = LabelSchema(
    "ferplus_votes", (*FERPLUS.labels, "unknown", "NF"), "single"
)
HSEMOTION8 = LabelSchema(
    "hsemotion8",
    (
        "Anger",
        "Contempt",
        "Disgust",
        "Fear",
        "Happiness",
        "Neutral",
        "Sadness",
        "Surprise",
    ),
    "single",
)
HSEMOTION7 = LabelSchema(
    "hsemotion7",
    tuple(label for label in HSEMOTION8.labels if label != "Contempt"),
    "single",
)
RAVDESS = LabelSchema(
    "ravdess",
    (
        "neutral",
        "calm",
        "happy",
        "sad",
        "angry",
        "fearful",
        "disgust",
        "surprised",
    ),
    "single",
)
EMODB = LabelSchema(
    "emodb",
    ("anger", "boredom", "disgust", "fear", "happiness", "sadness", "neutral"),
    "single",
)
# The six of the two audio-visual corpora of Albanie et al. (2018), in their order.
_ACTED = ("angry", "disgust", "fear", "happy", "sad", "surprise")
RML = LabelSchema("rml", _ACTED, "single")
ENTERFACE = LabelSchema("enterface", _ACTED, "single")
AFEW = LabelSchema("afew", (*_ACTED, "neutral"), "single")
# MELD's order in common use, the alphabetical one of label encoders, and the one of
# the text and fusion notebooks.
MELD = LabelSchema(
    "meld",
    ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger"),
    "single",
)
MELD_ALPHABETICAL = LabelSchema(
    "meld_alphabetical",
    ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise"),
    "single",
)
MELD_TEXT = LabelSchema(
    "meld_text",
    ("neutral", "joy", "surprise", "anger", "sadness", "disgust", "fear"),
    "single",
)

SCHEMAS = {
    schema.name: schema
    for schema in (
        MOSEI,
        MOSEI_NEUTRAL,
        MOSEI_ALL,
        MOSEI_ALPHABETICAL,
        SENTIMENT,
        FER2013,
        FERPLUS,
        FERPLUS_VOTES,
        HSEMOTION8,
        HSEMOTION7,
        RAVDESS,
        EMODB,
        RML,
        ENTERFACE,
        AFEW,
        MELD,
        MELD_ALPHABETICAL,
        MELD_TEXT,
    )
}

# One emotion, many words. "calm" is deliberately absent: RAVDESS keeps it apart from
# neutral, so a map that merges them must be asked for (`extra`).
_CANONICAL = {
    "angry": "anger",
    "fearful": "fear",
    "happiness": "happy",
    "joy": "happy",
    "sadness": "sad",
    "surprised": "surprise",
}


def canonical(label: str) -> str:
    """Return the common name of a label: ``"Happiness"`` and ``"joy"`` are happy."""
    lowered = label.lower()
    return _CANONICAL.get(lowered, lowered)


@dataclass(frozen=True)
class LabelMap:
    """For every target label, the source columns that mean it.

    Attributes
    ----------
    source, target : LabelSchema
        The two orders.
    columns : tuple of tuple of int
        One entry per target label; empty where the source lacks the label.
    """

    source: LabelSchema
    target: LabelSchema
    columns: tuple[tuple[int, ...], ...]

    @property
    def unmapped(self) -> tuple[str, ...]:
        """Source labels that no target label takes."""
        taken = {column for columns in self.columns for column in columns}
        return tuple(
            label for i, label in enumerate(self.source.labels) if i not in taken
        )

    def apply(self, scores: np.ndarray) -> np.ndarray:
        """Rearrange `scores` (..., len(source)) to (..., len(target)).

        Several source columns of one target label are added, as probabilities are.

        Raises
        ------
        LabelMismatchError
            When the width is not the source's, or a target label has no source.
        """
        scores = np.asarray(scores)
        if scores.shape[-1] != len(self.source):
            raise LabelMismatchError(
                f"Expected {len(self.source)} columns in the order of "
                f"'{self.source.name}', received shape {scores.shape}."
            )
        missing = [
            label
            for label, columns in zip(self.target.labels, self.columns, strict=True)
            if not columns
        ]
        if missing:
            raise LabelMismatchError(
                f"'{self.source.name}' has no column for {', '.join(missing)} of "
                f"'{self.target.name}'."
            )
        return np.stack(
            [scores[..., list(columns)].sum(axis=-1) for columns in self.columns],
            axis=-1,
        )


def label_map(
    source: LabelSchema, target: LabelSchema, extra: dict[str, str] | None = None
) -> LabelMap:
    """Map two orders by the meaning of their names.

    Parameters
    ----------
    source, target : LabelSchema
        The two orders, for example ``MELD_TEXT`` and ``MELD``.
    extra : dict, optional
        Source label -> target label, for what the names do not say, for example
        ``{"calm": "neutral"}``.

    Raises
    ------
    LabelMismatchError
        When `extra` names a label that its schema lacks.
    """
    meaning = [canonical(label) for label in source.labels]
    for label, goal in (extra or {}).items():
        meaning[source.index(label)] = canonical(target.labels[target.index(goal)])
    columns = tuple(
        tuple(i for i, word in enumerate(meaning) if word == canonical(label))
        for label in target.labels
    )
    return LabelMap(source, target, columns)
