"""What a text run of MELD says of a recording's words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import NamedTuple

import numpy as np

from emorec.artifacts.found_runs import FoundRun
from emorec.artifacts.runs import RunFolder
from emorec.labels import LabelSchema
from emorec.prediction.meld_asks import ASKS, Ask, Dialogue
from emorec.prediction.predictor import Given
from emorec.prediction.recordings import WORDS, Recording, Span
from emorec.training.meld_config import TextConfig
from emorec.training.meld_stored import StoredText, read_stored


class Utterance(NamedTuple):
    """A span and the dialogue that it is in."""

    dialogue: Dialogue
    row: int


class MeldTextPredictor:
    """A run of ``emorec meld text``.

    The spans of a recording are a dialogue; those before, and where the model was
    trained so, those after a span are its context. Of who speaks it knows what the
    transcript tells; where that tells nothing, all is said by one.

    Parameters
    ----------
    name : str
        What tables call it.
    schema : LabelSchema
        Names of the K classes.
    stored : StoredText
        What the training kept.
    ask : callable
        Takes a `Dialogue` and rows in it; returns probabilities (m, K).
    """

    takes = (WORDS,)

    def __init__(
        self, name: str, schema: LabelSchema, stored: StoredText, ask: Ask
    ) -> None:
        self.name, self.schema = name, schema
        self.stored, self._ask = stored, ask

    @classmethod
    def load(cls, found: FoundRun) -> MeldTextPredictor:
        """Load a run.

        Raises
        ------
        SpecError
            When its model cannot answer about new words; the message says what to
            train instead.
        MissingExtraError
            When a package of the model is missing.
        """
        settings = found.record["settings"]
        names = {one.name for one in fields(TextConfig)} & settings.keys()
        config = TextConfig(**{name: settings[name] for name in names})
        # A network that is averaged into a run shares its vocabulary.
        whole = found.record.get("part_of", found.name)
        stored = read_stored(RunFolder(found.run.folder, whole))
        ask = ASKS[config.model](config, stored, found, whole)
        return cls(found.name, found.spec.schema, stored, ask)

    def given(self, recording: Recording, spans: Sequence[Span]) -> Iterator[Given]:
        """Yield an `Utterance` for each span that has words."""
        dialogue = Dialogue(
            [span.text for span in spans], [span.speaker for span in spans]
        )
        worded = dialogue.worded
        for row in range(len(spans)):
            if worded[row]:
                yield Given(Utterance(dialogue, row), (WORDS,))
            else:
                lack = "no words" if recording.cues else "no transcript"
                yield Given(None, (), lack)

    def scores(self, contents: Sequence[Utterance]) -> np.ndarray:
        """Return probabilities (n, K) float64."""
        result = np.zeros((len(contents), len(self.schema)))
        parts: dict[int, list[int]] = {}
        for place, content in enumerate(contents):
            parts.setdefault(id(content.dialogue), []).append(place)
        for places in parts.values():
            rows = [contents[place].row for place in places]
            result[places] = self._ask(contents[places[0]].dialogue, rows)
        return self.stored.adjusted(result)
