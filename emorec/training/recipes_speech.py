"""Recipes of sounds: what a speech network says of them, or named features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from emorec.batches.speech_input import SpeechInput
from emorec.errors import DataError, MissingExtraError, SpecError
from emorec.features import librosa_means
from emorec.features.audio import AUDIO_SUFFIXES, require_soundfile
from emorec.features.video import VIDEO_SUFFIXES
from emorec.training import hearing, open_features, voice_runs
from emorec.training.recipes import Arrays, Reasons, Source, absolute, named
from emorec.training.voice_embeddings import find_sounds

FEATURES = ("librosa_means", *open_features.VOICES)
# What a network hears of a clip, at each of its test speeds.
_HEARD = "heard_{}"


@dataclass(frozen=True)
class SpeechRecipe:
    """A speech network's ``logits`` (1, K) and ``embedding`` (1, E) of sounds.

    Those of `emorec.training.voice_runs.hear_one`.

    Attributes
    ----------
    model : str
        A run of ``emorec voices``, or its .keras file; empty where there is one only.
    runs : str
        Folder of the runs.
    """

    kind: ClassVar[str] = "speech"

    model: str = ""
    runs: str = "models/voices"

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", absolute(self.model))
        object.__setattr__(self, "runs", str(Path(self.runs).absolute()))

    def settings(self) -> dict[str, Any]:
        """Return what decides the arrays; see `emorec.training.recipes.Recipe`."""
        require_soundfile()
        found = voice_runs.find_run(self.model, Path(self.runs))
        return {
            "kind": self.kind,
            "network": f"{found.run.param_name} {found.content}",
            "input": found.spec.normalisation,
            "schema": found.spec.schema.to_dict(),
            "arrays": ["logits", "embedding"],
        }

    def sources(self, paths: Sequence[str | Path]) -> list[Source]:
        """Find sound files."""
        return _sounds(find_sounds(named(paths)))

    def whole(self) -> Callable[[Source], tuple[Arrays, Reasons]]:
        """Return the function of a sound, which is in memory as a whole."""
        read, judge = self.reader(), self.judge()
        return lambda source: (judge(read(source)), {})

    def reader(self) -> Callable[[Source], Arrays]:
        """Return the function from a sound to what the network hears of it.

        ``heard_0`` (F, W, 1) float32 and so on, of each speed that the run tests.
        """
        spec = voice_runs.find_run(self.model, Path(self.runs)).spec
        speech_input = SpeechInput.from_dict(spec.normalisation)

        def read(source: Source) -> Arrays:
            parts = speech_input.of_clip(speech_input.read(source.paths["clip"]))
            return {_HEARD.format(number): part for number, part in enumerate(parts)}

        return read

    def judge(self) -> Callable[[Arrays], Arrays]:
        """Return the function from what is heard to logits and embedding."""
        ear = voice_runs.find(self.model, Path(self.runs))
        both = hearing.with_embedding(ear.model)

        def judge(heard: Arrays) -> Arrays:
            parts = [heard[_HEARD.format(number)] for number in range(len(heard))]
            logits, embedding = (
                np.array([values], np.float32)
                for values in hearing.ask(both, [parts])[0]
            )
            return {"logits": logits, "embedding": embedding}

        return judge


@dataclass(frozen=True)
class VoiceRecipe:
    """Named features of sounds, ``features``, and of those with a time ``intervals``.

    Attributes
    ----------
    features : {"librosa_means", "librosa", "egemaps"}
        The 185 means of `emorec.features.librosa_means`, (1, 185); or the rows, a tenth
        of a second each, of `emorec.training.open_features.voice`: features (T, D)
        float32 and intervals (T, 2) float64 in seconds.
    """

    kind: ClassVar[str] = "speech"
    reader: ClassVar[None] = None
    judge: ClassVar[None] = None

    features: str

    def __post_init__(self) -> None:
        if self.features not in FEATURES:
            raise SpecError(
                f"--features {self.features}: expected one of {', '.join(FEATURES)}."
            )

    def settings(self) -> dict[str, Any]:
        """Return what decides the arrays; see `emorec.training.recipes.Recipe`."""
        require_soundfile()
        if self.features != "egemaps" and find_spec("librosa") is None:
            raise MissingExtraError("librosa", "voices", "Voice features")
        own: dict[str, Any] = {"kind": self.kind, "features": self.features}
        if self.features == "librosa_means":
            return own | {"names": list(librosa_means.NAMES), "arrays": ["features"]}
        front = open_features.voice(self.features)
        told = {key: value for key, value in front.settings.items() if key != "kind"}
        names = list(front.names)
        return own | told | {"names": names, "arrays": ["intervals", "features"]}

    def sources(self, paths: Sequence[str | Path]) -> list[Source]:
        """Find sound files and videos."""
        return _sounds(find_sounds(named(paths), AUDIO_SUFFIXES | VIDEO_SUFFIXES))

    def whole(self) -> Callable[[Source], tuple[Arrays, Reasons]]:
        """Return the function of a sound.

        Of the means it is in memory as a whole, of the rows a few seconds of it.
        """
        if self.features == "librosa_means":
            return _means
        front = open_features.voice(self.features)

        def rows(source: Source) -> tuple[Arrays, Reasons]:
            return open_features.rows_of(front, "A", source.paths["clip"])._asdict(), {}

        return rows


def _means(source: Source) -> tuple[Arrays, Reasons]:
    values = librosa_means.means_of_file(source.paths["clip"])
    if not np.isfinite(values).all():
        raise DataError(f"{source.paths['clip']}: its features are not finite.")
    return {"features": values[None]}, {}


def _sounds(found: dict[str, Path]) -> list[Source]:
    return [Source(name, {"clip": path.absolute()}) for name, path in found.items()]
