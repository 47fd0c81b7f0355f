"""How a sound becomes what a speech network takes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emorec.errors import SpecError
from emorec.features import crops, mel, spectrogram
from emorec.features.audio import RATE, read_audio, resample
from emorec.features.loudness import loud_part

FEATURES = ("voxceleb", "logmel")
PARTS = ("random", "speech")
NORMALISATIONS = ("clip", "train")
# Of a filter that changes speed: a quarter of what changing a file's rate takes, as the
# voice is another's anyway.
SPEED_CROSSINGS = 8


@dataclass(frozen=True)
class SpeechInput:
    """How a sound becomes what a network takes; it travels in the spec.

    Attributes
    ----------
    features : {"voxceleb", "logmel"}
        See `emorec.features.spectrogram` and `emorec.features.mel`.
    seconds : float
        Of a part in training.
    literal_rate : bool
        Take the samples for 16 kHz, whatever the file says, as the published program
        does.
    part : {"random", "speech"}
        Where a part lies: anywhere, and at test the middle of the clip; or around the
        middle of what is loud (`emorec.features.loudness`), at test, too.
    normalisation : {"clip", "train"}
        Each bin is normalised over the part, at test over the clip; or by `mean` and
        `deviation` (F,), which are those of the training clips' loud parts.
    speeds : tuple of int
        Hundredths; at test a clip is heard at each of these speeds, and the
        probabilities are averaged.
    """

    features: str = "voxceleb"
    seconds: float = 4.0
    literal_rate: bool = False
    part: str = "random"
    normalisation: str = "clip"
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    speeds: tuple[int, ...] = (100,)

    def __post_init__(self) -> None:
        if self.features not in FEATURES:
            raise SpecError(
                f"--features {self.features}: expected {' or '.join(FEATURES)}."
            )
        if not 1 <= self.seconds <= 10:
            raise SpecError(f"--num_seconds {self.seconds:g}: expected 1 to 10.")
        if self.part not in PARTS or self.normalisation not in NORMALISATIONS:
            raise SpecError(
                f"--part {self.part}, --normalisation {self.normalisation}: expected "
                f"{' or '.join(PARTS)}, and {' or '.join(NORMALISATIONS)}."
            )
        if not self.speeds or not all(50 <= speed <= 200 for speed in self.speeds):
            raise SpecError(f"--test_speeds {self.speeds}: expected 50 to 200 (%).")

    @property
    def bins(self) -> int:
        """Rows of a spectrogram."""
        return spectrogram.FFT if self.features == "voxceleb" else mel.BANDS

    @property
    def samples(self) -> int:
        """Samples of a part."""
        return crops.crop_samples(self.seconds)

    @property
    def frames(self) -> int:
        """Columns of a part's spectrogram."""
        return spectrogram.frame_count(self.samples)

    def of_part(self, samples: np.ndarray) -> np.ndarray:
        """Return the normalised spectrograms (B, F, T, 1) float32 of parts (B, N)."""
        values = self.raw(samples)
        if self.normalisation == "train":
            mean, deviation = (
                np.array(x, np.float32)[:, None] for x in (self.mean, self.deviation)
            )
            values = (values - mean) / deviation
        else:
            values = spectrogram.normalise(values)
        return values[..., None]

    def raw(self, samples: np.ndarray) -> np.ndarray:
        """Return the spectrograms (..., F, T) float32 of sounds, not normalised."""
        if self.features == "logmel":
            return mel.logmel(samples, normalised=False, dtype=np.float32)
        return spectrogram.magnitude(samples, dtype=np.float32)

    def of_clip(self, samples: np.ndarray) -> list[np.ndarray]:
        """Return what of a clip is heard at test, (F, W, 1) at each of `speeds`.

        Of the published way the middle of the clip's spectrogram, normalised over it
        all; W is `crops.width_at_test`, a multiple of 100 up to 1000. Of parts around
        speech, one such part.
        """
        return [self._at_test(samples, speed) for speed in self.speeds]

    def _at_test(self, samples: np.ndarray, speed: int) -> np.ndarray:
        if speed != 100:
            samples = resample(samples, speed, 100, SPEED_CROSSINGS)
        if self.part == "speech":
            first = place_around(loud_part(samples), len(samples), self.samples)
            samples = samples[first : first + self.samples]
            samples = np.pad(samples, (0, self.samples - len(samples)))
            return self.of_part(samples[None])[0]
        whole = self.of_part(samples[None])[0, ..., 0]
        return crops.centre_crop(whole)[..., None]

    def read(self, path: Path) -> np.ndarray:
        """Read a whole sound (N,)."""
        return read_audio(path, literal=self.literal_rate)

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers for JSON."""
        own = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }
        return {"kind": "speech", "rate": RATE, "bins": self.bins, **own}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> SpeechInput:
        """Rebuild it from `to_dict`; what earlier versions did not have is as then."""
        given = {
            name: content[name] for name in cls.__dataclass_fields__ if name in content
        }
        return cls(
            **{k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
        )


def place_around(loud: tuple[int, int], length: int, count: int, shift: int = 0) -> int:
    """Return where a part of `count` samples begins, around the middle of `loud`.

    From 0, moved by `shift`, and kept within the sound where it is longer than that.
    """
    first = (loud[0] + loud[1] - count) // 2 + shift
    return max(0, min(first, length - count))
