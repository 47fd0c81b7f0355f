"""What an audio-visual network says of a recording's faces and voice.

Chumachenko, Iosifidis and Gabbouj (2022), "Self-attention fusion for audiovisual
emotion recognition with incomplete data": 15 faces and 3.6 s of sound, either of which
may be missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from emorec.artifacts.found_runs import FoundRun
from emorec.batches.audiovisual import AUDIO, VIDEO
from emorec.batches.modality_dropout import FILL_OF, without
from emorec.errors import SpecError
from emorec.evaluation.single_label import softmax
from emorec.features import faces
from emorec.features.audio import resample
from emorec.features.av_clips import FRAMES, SIZE, AvSettings, cut_faces
from emorec.features.av_sound import SAMPLES, SOUND_RATE, fit, pcm, sound_features
from emorec.features.mfcc import frame_count
from emorec.prediction.av_frames import frames_of
from emorec.prediction.media import sound_of
from emorec.prediction.predictor import Given
from emorec.prediction.recordings import FACE, VOICE, Recording, Span
from emorec.training import backend
from emorec.training.audiovisual import FEATURES, config_of
from emorec.training.av_config import AvConfig
from emorec.training.av_data import frame_features, standardise
from emorec.training.av_networks import FRAME_NETWORK, stored_frame_network
from emorec.training.av_scores import BATCH, Asked

if TYPE_CHECKING:
    import keras

_MODALITY = {AUDIO: VOICE, VIDEO: FACE}


class AvContent(NamedTuple):
    """What a network is given of a span.

    Attributes
    ----------
    audio : (T, D) float32 or None
        MFCC, before they are standardised.
    video : (15, 224, 224, 3) uint8 or None
        Faces as the training's clips were prepared.
    """

    audio: np.ndarray | None
    video: np.ndarray | None


class RavdessPredictor:
    """A run of ``emorec ravdess train`` or ``import``.

    Faces are found and cut, and sound is cut and turned into coefficients, as
    ``emorec ravdess prepare`` does it with the settings of the run's clips. Where the
    record does not tell these (of runs of earlier versions, and of published weights)
    they are the default ones, and `facts` says so. What a span lacks is filled as in
    the training; noise is drawn anew, but alike, for each span.

    Parameters
    ----------
    found : FoundRun
    model : keras.Model
        Takes ``audio``, ``video`` or both; gives logits (B, K).
    config : AvConfig or None
        Of the training; None of published weights.
    frames : keras.Model or None
        The frame network whose features `model` takes in place of faces.
    detect : callable, optional
        Returns the detector; MTCNN by default, made when it is first needed.
    """

    def __init__(
        self,
        found: FoundRun,
        model: keras.Model,
        config: AvConfig | None,
        frames: keras.Model | None = None,
        detect: Callable[[], faces.Detector] | None = None,
    ) -> None:
        self.name, self.schema = found.name, found.spec.schema
        self.inputs = tuple(name for name in (AUDIO, VIDEO) if name in model.input)
        self.takes = tuple(_MODALITY[name] for name in reversed(self.inputs))
        self.frames, self._asked = frames, Asked(model)
        told = found.spec.data.get("preparation")
        self.settings = AvSettings.of(told or {})
        smallest = self.settings.min_face
        self.detect = cache(detect or (lambda: faces.mtcnn_detector(smallest)))
        self.statistics = {
            name: found.spec.normalisation[name]
            for name in self.inputs
            if isinstance(found.spec.normalisation.get(name), dict)
        }
        widths = {m.name: m.width for m in found.spec.modalities}
        self.coefficients = widths.get(AUDIO, 0)
        self.fill = "zeros" if config is None else config.fill or FILL_OF[config.mask]
        self.seed = 0 if config is None else config.manual_seed
        self.facts: dict[str, Any] = {
            "preparation": told or "not told by the run; the default one",
            "missing modality": self.fill,
        }

    @classmethod
    def load(cls, found: FoundRun, **options) -> RavdessPredictor:
        """Load a run; `options` are those of the constructor.

        Raises
        ------
        SpecError
            When its network takes features of faces that another program made, or a
            file is missing.
        """
        backend.choose_backend()
        settings, spec = found.record["settings"], found.spec
        config = config_of(settings) if "lr_steps" in settings else None
        frames = None
        if any(m.name == VIDEO and m.features == FEATURES for m in spec.modalities):
            # Earlier versions did not store the network of frozen frames.
            frozen = FRAME_NETWORK in spec.data or (
                config is not None
                and config.freeze_frames
                and "preparation" not in spec.data
            )
            if not frozen:
                raise SpecError(
                    f"{found.run.record_path}: its network takes features of faces "
                    "that were given as .npy files, and emorec does not know how they "
                    "were made, so it cannot make them of a recording. Train one on "
                    "faces: emorec ravdess prepare, then train, with --freeze_frames "
                    "where no GPU is at hand; or one of --fusion audio."
                )
            folder = found.run.folder
            frames = stored_frame_network(config, spec.data, folder, lambda line: None)
        model = backend.load_keras_model(found.model_path)
        return cls(found, model, config, frames, **options)

    def given(self, recording: Recording, spans: Sequence[Span]) -> Iterator[Given]:
        """Yield the `AvContent` of each span.

        Of a span longer than 3.6 s it is the middle, or with
        `AvSettings.literal` the faces of the beginning.
        """
        ways = {FACE: self._seen, VOICE: self._heard}
        each = [ways[name](recording, spans) for name in self.takes]
        for parts in zip(*each, strict=True):
            found = dict(zip(self.takes, parts, strict=True))
            reasons = [part for part in parts if isinstance(part, str)]
            there = {n: v for n, v in found.items() if not isinstance(v, str)}
            content = AvContent(there.get(VOICE), there.get(FACE)) if there else None
            yield Given(content, tuple(there), "; ".join(reasons))

    def _seen(
        self, recording: Recording, spans: Sequence[Span]
    ) -> Iterator[np.ndarray | str]:
        """Yield the faces of each span, or why there are none."""
        if recording.video is None:
            yield from ("no video" for _ in spans)
            return

        def detect(images: list[np.ndarray]) -> list[np.ndarray]:
            return self.detect()(images)

        for taken in frames_of(recording, spans, self.settings.literal):
            if not taken:
                yield "too few frames"
                continue
            found = cut_faces(taken, detect, self.settings)
            yield f"no face in {len(taken)} frames" if found is None else found.images

    def _heard(
        self, recording: Recording, spans: Sequence[Span]
    ) -> Iterator[np.ndarray | str]:
        """Yield the coefficients of each span, or why there are none."""
        for sound in sound_of(recording, spans):
            if sound is None:
                yield "no sound" if recording.sound is None else "silence"
                continue
            samples = fit(resample(*sound, SOUND_RATE))
            # Training reads what was stored with 16 bits.
            stored = pcm(samples).astype(np.float32) / 32768
            yield sound_features(stored, self.coefficients).T

    def scores(self, contents: Sequence[AvContent]) -> np.ndarray:
        """Return probabilities (n, K) float64."""
        parts = [
            self._logits(contents[start : start + BATCH])
            for start in range(0, len(contents), BATCH)
        ]
        return softmax(np.concatenate(parts))

    def _logits(self, contents: Sequence[AvContent]) -> np.ndarray:
        made = {AUDIO: self._audio, VIDEO: self._video}
        inputs = {}
        for name in self.inputs:
            values = made[name](contents)
            if name in self.statistics:
                values = standardise(values, self.statistics[name])
            inputs[name] = values
        for row, content in enumerate(contents):
            there = {n: np.array([getattr(content, n) is not None]) for n in inputs}
            if all(there.values()):
                continue
            own = {name: values[row : row + 1] for name, values in inputs.items()}
            # Drawn for each by itself, so that no span depends on its company.
            random = np.random.default_rng(self.seed)
            for name, values in without(own, there, self.fill, random).items():
                inputs[name][row] = values[0]
        return self._asked(inputs, BATCH)

    def _audio(self, contents: Sequence[AvContent]) -> np.ndarray:
        shape = (len(contents), frame_count(SAMPLES), self.coefficients)
        result = np.zeros(shape, np.float32)
        for row, content in enumerate(contents):
            if content.audio is not None:
                result[row] = content.audio
        return result

    def _video(self, contents: Sequence[AvContent]) -> np.ndarray:
        seen = [(n, c.video) for n, c in enumerate(contents) if c.video is not None]
        if self.frames is not None:
            width = self.frames.output_shape[-1]
            result = np.zeros((len(contents), FRAMES, width), np.float32)
            for row, frames, value in frame_features(self.frames, seen):
                result[row, frames] = value
            return result
        result = np.zeros((len(contents), FRAMES, SIZE, SIZE, 3), np.float32)
        for row, images in seen:
            result[row] = images / np.float32(255)
        return result
