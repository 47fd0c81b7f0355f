"""What every kind of trained model offers to prediction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from emorec.labels import LabelSchema
from emorec.prediction.recordings import Recording, Span


class Given(NamedTuple):
    """What of a span a model is given.

    Attributes
    ----------
    content : Any
        The model's own input; None where the span has nothing that the model takes.
    present : tuple of str
        Which of `emorec.prediction.recordings.MODALITIES` are in `content`.
    reason : str
        Why something is missing; empty where all that the model takes is there.
    """

    content: Any
    present: tuple[str, ...] = ()
    reason: str = ""


class Predictor(Protocol):
    """A trained model with the front end that its run's spec and settings describe.

    Attributes
    ----------
    name : str
        What tables call it; unique among the models that are asked.
    schema : LabelSchema
        Names of the K columns of its scores. Of the kind ``single`` they are
        probabilities; of the kind ``intensity`` values of the schema's range.
    takes : tuple of str
        What it can use, of `emorec.prediction.recordings.MODALITIES`.
    """

    name: str
    schema: LabelSchema
    takes: tuple[str, ...]

    def given(self, recording: Recording, spans: Sequence[Span]) -> Iterator[Given]:
        """Yield for each span, in order, what the model is given.

        A recording may be hours long: it is read as the spans go on, with no more in
        memory than a few of them need. Spans begin in the order of time and may
        overlap. The front end is the one of the training: of a clip that is one span,
        the content is that of the training's evaluation.

        Raises
        ------
        DataError
            When the recording cannot be read, at the span that meets it.
        MissingExtraError
            When a package for reading it is missing.
        """
        ...

    def scores(self, contents: Sequence[Any]) -> np.ndarray:
        """Return scores (n, K) float64 of n contents of spans of any recordings.

        What the model takes and a content lacks is filled as in the training.
        """
        ...
