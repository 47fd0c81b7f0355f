"""Spans of recordings on their way through the models, several at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd

from emorec.artifacts.tables import write_table
from emorec.errors import DataError
from emorec.labels import LabelSchema
from emorec.prediction import outputs
from emorec.prediction.predictor import Given, Predictor
from emorec.prediction.recordings import Recording, Span

FUSED = "fused"


class Fusion(Protocol):
    """What joins several models' scores of a span.

    Attributes
    ----------
    schema : LabelSchema
        Names of the K columns of the result.
    """

    schema: LabelSchema

    def fuse(self, scores: Sequence[np.ndarray | None]) -> np.ndarray | None:
        """Join scores, one per predictor in its own order; None where one had nothing.

        Returns (K,) float64, or None where nothing can be joined.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """Return how it joins, in containers for JSON."""
        ...


class _Answer(NamedTuple):
    scores: np.ndarray | None
    modalities: tuple[str, ...]
    reason: str


class Clip:
    """A recording whose spans are asked about.

    Attributes
    ----------
    recording : Recording
    errors : list of str
        Why a model could not read it to its end.
    judged : int
        Answers with scores so far.
    facts : dict
        What its JSON tells besides the rows.
    """

    def __init__(
        self, recording: Recording, spans: Sequence[Span], asked: Asked, folder: Path
    ) -> None:
        self.recording, self.spans, self.folder = recording, spans, folder
        self.predictors, self.fusion = asked.predictors, asked.fusion
        self.errors: list[str] = []
        self.judged, self.facts = 0, {}
        self._given = [p.given(recording, spans) for p in self.predictors]
        self._broken: dict[int, str] = {}
        self._answers: dict[int, dict[int, _Answer]] = {}
        self._written = 0
        self._reasons: dict[str, str] = {}
        self._boxes: dict[tuple[str, float], tuple[float, ...]] = {}
        schemas = [p.schema for p in self.predictors]
        schemas += [self.fusion.schema] if self.fusion else []
        self._names = outputs.emotions(schemas)
        columns = [*outputs.FIRST, *self._names]
        self._file = outputs.Growing(folder, recording.id, columns)

    @property
    def complete(self) -> bool:
        """Whether every span is answered and written."""
        return self._written == len(self.spans)

    def given(self, place: int) -> Given:
        """Return what predictor number `place` is given of the next span."""
        if place in self._broken:
            return Given(None, (), self._broken[place])
        try:
            given = next(self._given[place])
        except DataError as error:
            # The others may go on: a damaged picture does not silence the voice.
            self._broken[place] = f"cannot be read: {error}"
            self.errors.append(f"{self.predictors[place].name}: {error}")
            return Given(None, (), self._broken[place])
        boxes = getattr(given.content, "boxes", None)
        if boxes is not None:
            name = self.predictors[place].name
            for moment, box in zip(given.content.times, boxes, strict=True):
                self._boxes[name, round(float(moment), 3)] = tuple(
                    np.round(box, 1).tolist()
                )
        return given

    def answer(
        self, number: int, place: int, given: Given, scores: np.ndarray | None
    ) -> None:
        """Take what predictor number `place` says of span `number`."""
        self.judged += scores is not None
        if scores is None:
            self._reasons.setdefault(self.predictors[place].name, given.reason)
        answers = self._answers.setdefault(number, {})
        answers[place] = _Answer(scores, given.present, given.reason)

    def write(self) -> None:
        """Write the rows of the spans that all models have answered, in their order."""
        rows: list[dict[str, Any]] = []
        while len(self._answers.get(self._written, ())) == len(self.predictors):
            rows += self._rows(self._written, self._answers.pop(self._written))
            self._written += 1
        if rows:
            self._file.add(rows)

    def _rows(self, number: int, answers: dict[int, _Answer]) -> list[dict[str, Any]]:
        span = self.spans[number]
        where = {"id": self.recording.id, "start": span.start, "end": span.end}
        ordered = [answers[place] for place in range(len(self.predictors))]
        rows = [
            outputs.row(where, predictor.name, predictor.schema, *answer, self._names)
            for predictor, answer in zip(self.predictors, ordered, strict=True)
        ]
        if self.fusion is not None:
            fused = self.fusion.fuse([answer.scores for answer in ordered])
            heard = [a.modalities for a in ordered if a.scores is not None]
            modalities = tuple(dict.fromkeys(name for part in heard for name in part))
            reason = "" if fused is not None else "no model had anything to judge"
            rows.append(
                outputs.row(
                    where,
                    FUSED,
                    self.fusion.schema,
                    fused,
                    modalities if fused is not None else (),
                    reason,
                    self._names,
                )
            )
        return rows

    def nothing(self) -> str:
        """Return why no model said anything."""
        told = "; ".join(f"{name}: {why}" for name, why in self._reasons.items())
        return f"no model had anything to judge ({told})"

    def finish(self) -> pd.DataFrame:
        """Give the files their names and return the table."""
        if self._boxes:
            rows = [(*key, *box) for key, box in sorted(self._boxes.items())]
            table = pd.DataFrame(
                rows, columns=["model", "time", "x1", "y1", "x2", "y2"]
            )
            write_table(
                outputs.file_of(self.folder, self.recording.id, ".faces.csv"), table
            )
        return self._file.finish(self.facts)

    def discard(self) -> None:
        """Remove what was begun."""
        self._file.growing.unlink(missing_ok=True)


class Asked:
    """Models with the spans that wait for them.

    Parameters
    ----------
    predictors : sequence of Predictor
        The models.
    batch : int
        Spans that a model judges at once.
    fusion : Fusion or None
        Joins them.
    """

    def __init__(
        self, predictors: Sequence[Predictor], batch: int, fusion: Fusion | None
    ) -> None:
        self.predictors, self.batch, self.fusion = list(predictors), batch, fusion
        self._waiting: list[list[tuple[Clip, int, Given]]] = [[] for _ in predictors]
        self._open: list[Clip] = []

    def read(self, clip: Clip) -> Iterator[float]:
        """Read a recording; yield how many seconds of it are behind, after each span.

        Its last spans may wait for those of the next recording.
        """
        self._open.append(clip)
        for number, span in enumerate(clip.spans):
            for place, waiting in enumerate(self._waiting):
                given = clip.given(place)
                if given.content is None:
                    clip.answer(number, place, given, None)
                    continue
                waiting.append((clip, number, given))
                if len(waiting) >= self.batch:
                    self._answer(place)
            clip.write()
            yield min(span.end, clip.recording.duration)

    def answer_all(self) -> None:
        """Judge what still waits."""
        for place in range(len(self.predictors)):
            self._answer(place)

    def take_finished(self) -> list[Clip]:
        """Return the recordings that are complete, and forget them."""
        for clip in self._open:
            clip.write()
        complete = [clip for clip in self._open if clip.complete]
        self._open = [clip for clip in self._open if not clip.complete]
        return complete

    def _answer(self, place: int) -> None:
        waiting, self._waiting[place] = self._waiting[place], []
        if not waiting:
            return
        predictor = self.predictors[place]
        scores = np.asarray(
            predictor.scores([given.content for _, _, given in waiting]), np.float64
        )
        if scores.shape != (len(waiting), len(predictor.schema)) or not (
            np.isfinite(scores).all()
        ):
            raise DataError(
                f"{predictor.name}: expected finite scores of the shape "
                f"{(len(waiting), len(predictor.schema))}, received {scores.shape}. "
                "The model's file may be damaged, or its training diverged."
            )
        for (clip, number, given), row in zip(waiting, scores, strict=True):
            clip.answer(number, place, given, row)
