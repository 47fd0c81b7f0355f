"""What an audio run of MELD says of a recording's voice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emorec.artifacts.found_runs import FoundRun
from emorec.errors import DataError, SpecError
from emorec.evaluation.single_label import softmax
from emorec.features import librosa_means, pooled_mel
from emorec.features.audio import resample
from emorec.features.spectrogram import RATE
from emorec.labels import LabelSchema
from emorec.prediction.media import sound_of
from emorec.prediction.predictor import Given
from emorec.prediction.recordings import VOICE, Recording, Span
from emorec.training import backend
from emorec.training.meld_audio import OF_TRAINING
from emorec.training.scaling import Scaling

if TYPE_CHECKING:
    import keras

# Samples at the file's own rate, and that rate, to a vector.
_Hear = Callable[[np.ndarray, int], np.ndarray]


def _pooled(samples: np.ndarray, rate: int) -> np.ndarray:
    return pooled_mel.pooled(resample(samples, rate, RATE))


_FEATURES: dict[str, tuple[_Hear, int]] = {
    "librosa": (librosa_means.means, len(librosa_means.NAMES)),
    "logmel": (_pooled, len(pooled_mel.NAMES)),
}


class MeldAudioPredictor:
    """A run of ``emorec meld audio`` on features of sounds.

    Vectors are scaled by the statistics of the run's training utterances. A run with
    ``--literal_scaling`` was scored with dev and test each by their own, which a single
    recording has not; `facts` says so.

    Parameters
    ----------
    name : str
        What tables call it.
    model : keras.Model
        Vectors (B, D) -> logits (B, K).
    schema : LabelSchema
        Names of the K classes.
    features : {"librosa", "logmel"}
        How a sound becomes a vector.
    scaling : Scaling
        Of the vectors.
    literal : bool
        Whether the training scaled each split by its own statistics.
    """

    takes = (VOICE,)

    def __init__(
        self,
        name: str,
        model: keras.Model,
        schema: LabelSchema,
        features: str,
        scaling: Scaling,
        literal: bool = False,
    ) -> None:
        self.name, self.model, self.schema = name, model, schema
        self._hear, self.scaling = _FEATURES[features][0], scaling
        self.facts: dict[str, Any] = {
            "features": features,
            "scaling": "statistics of the training utterances",
        }
        if literal:
            self.facts["scaling"] += (
                "; the run's own scores on dev and test are with the statistics of "
                "those splits, so that they do not tell how good these are"
            )

    @classmethod
    def load(cls, found: FoundRun) -> MeldAudioPredictor:
        """Load a run.

        Raises
        ------
        SpecError
            When its network takes vectors that another program made, or an earlier
            version kept no statistics.
        """
        spec, where = found.spec, found.run.record_path
        features, width = spec.modalities[0].features, spec.modalities[0].width
        if _FEATURES.get(features, (None, 0))[1] != width:
            raise SpecError(
                f"{where}: its network takes vectors of a file ({features}, {width} "
                "numbers), and emorec does not know how to make them of a recording. "
                "Train one on sounds: emorec meld audio --features librosa (or logmel)."
            )
        told = spec.normalisation
        literal = "shift" not in told
        if literal and OF_TRAINING not in told:
            raise SpecError(
                f"{where}: each split was scaled by its own statistics, and an earlier "
                "version of emorec did not keep those of the training. Train it anew, "
                "or without --literal_scaling."
            )
        scaling = Scaling.from_dict(told[OF_TRAINING] if literal else told)
        backend.choose_backend()
        model = backend.load_keras_model(found.model_path)
        return cls(found.name, model, spec.schema, features, scaling, literal)

    def given(self, recording: Recording, spans: Sequence[Span]) -> Iterator[Given]:
        """Yield the vector (D,) of each span, as it is before it is scaled."""
        for sound in sound_of(recording, spans):
            if sound is None:
                silent = "no sound" if recording.sound is None else "silence"
                yield Given(None, (), silent)
                continue
            try:
                yield Given(self._hear(*sound), (VOICE,))
            except DataError as error:
                yield Given(None, (), f"cannot be heard ({error})")

    def scores(self, contents: Sequence[np.ndarray]) -> np.ndarray:
        """Return probabilities (n, K) float64."""
        from emorec.batches.vectors import predict

        return softmax(predict(self.model, self.scaling(np.stack(contents))))
