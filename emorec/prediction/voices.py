"""What a speech network says of a recording's voice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from emorec.artifacts.found_runs import FoundRun
from emorec.batches.speech_input import SpeechInput
from emorec.errors import DataError
from emorec.evaluation.single_label import softmax
from emorec.features.audio import AUDIO_SUFFIXES, RATE, resample
from emorec.labels import LabelSchema
from emorec.prediction.media import sound_of
from emorec.prediction.predictor import Given
from emorec.prediction.recordings import VOICE, Recording, Span
from emorec.training import backend
from emorec.training.hearing import ask, with_embedding

if TYPE_CHECKING:
    import keras


class VoicePredictor:
    """A run of ``emorec voices``; a span is heard as that run's test clips were.

    Parameters
    ----------
    name : str
        What tables call it.
    model : keras.Model
        Spectrograms (B, F, W, 1) -> logits (B, K).
    schema : LabelSchema
        Names of the K labels.
    speech_input : SpeechInput
        How a sound becomes what the network takes.
    """

    takes = (VOICE,)

    def __init__(
        self,
        name: str,
        model: keras.Model,
        schema: LabelSchema,
        speech_input: SpeechInput,
    ) -> None:
        self.name, self.schema, self.speech_input = name, schema, speech_input
        self.model = with_embedding(model)

    @classmethod
    def load(cls, found: FoundRun) -> VoicePredictor:
        """Load a run."""
        model = backend.load_found(found)
        of_input = SpeechInput.from_dict(found.spec.normalisation)
        return cls(found.name, model, found.spec.schema, of_input)

    def given(self, recording: Recording, spans: Sequence[Span]) -> Iterator[Given]:
        """Yield the spectrograms of each span, a list with one of each test speed."""
        # The corpora's sounds are read so; of a video both channels are one voice.
        path = recording.sound
        known = path is not None and path.suffix.lower() in AUDIO_SUFFIXES
        for sound in sound_of(recording, spans, "first" if known else "mean"):
            if sound is None:
                silent = "no sound" if path is None else "silence"
                yield Given(None, (), silent)
                continue
            samples, rate = sound
            if not self.speech_input.literal_rate:
                samples = resample(samples, rate, RATE)
            try:
                yield Given(self.speech_input.of_clip(samples), (VOICE,))
            except DataError as error:
                yield Given(None, (), f"too short to be heard ({error})")

    def scores(self, contents: Sequence[list[np.ndarray]]) -> np.ndarray:
        """Return probabilities (n, K) float64."""
        logits = [logits for logits, _ in ask(self.model, contents)]
        return softmax(np.stack(logits))
