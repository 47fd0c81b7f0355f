"""Parts of sounds: what is drawn of them, and how they are read and changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from emorec.batches.speech_input import SPEED_CROSSINGS, SpeechInput, place_around
from emorec.errors import SpecError
from emorec.features import crops
from emorec.features.audio import RATE, read_audio, read_part, resample
from emorec.features.loudness import loud_part

# Bytes of samples that are kept in memory; more is read from disk, part by part.
CACHE = 2 << 30


@dataclass(frozen=True)
class SoundChanges:
    """What happens to a part in training, besides being drawn.

    Attributes
    ----------
    speed : float
        Parts are played up to 1 + `speed` times faster or slower, to a hundredth, by
        which the voice becomes higher or lower, too; 0.05 is the published value.
    shift : float
        Seconds by which parts around speech are moved to either side.
    noise : float
        Largest factor on an added noise; the noise is a part of one of `noise_files`,
        or white and as loud as the part where there are none.
    noise_files : tuple of Path
        Sounds.
    gain : float
        Decibels; loudness changes by up to so much.
    """

    speed: float = 0.0
    shift: float = 0.0
    noise: float = 0.0
    noise_files: tuple[Path, ...] = ()
    gain: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.speed <= 0.5 and 0 <= self.noise <= 10):
            raise SpecError(
                f"--speed {self.speed:g}, --noise {self.noise:g}: expected 0 to 0.5, "
                "and 0 to 10."
            )
        if not (0 <= self.shift <= 10 and 0 <= self.gain <= 100):
            raise SpecError(
                f"--shift {self.shift:g}, --gain {self.gain:g}: expected 0 to 10 s, "
                "and 0 to 100 dB."
            )


class Sounds:
    """The samples of clips, from memory where they fit into it, else from disk.

    Parameters
    ----------
    paths : sequence of Path
    samples : (n,) int
        Their lengths at 16 kHz.
    literal : bool
        See `SpeechInput.literal_rate`.
    cache : int
        Bytes; see `CACHE`.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        samples: np.ndarray,
        literal: bool = False,
        cache: int = CACHE,
    ) -> None:
        self.paths, self.samples, self.literal = list(paths), samples, literal
        self._kept: dict[int, np.ndarray] | None = (
            {} if 4 * int(np.sum(samples)) <= cache else None
        )
        self._loud: dict[int, tuple[int, int]] = {}

    @property
    def in_memory(self) -> bool:
        """Whether samples are kept once they are read."""
        return self._kept is not None

    def part(self, clip: int, start: int, count: int) -> np.ndarray:
        """Return samples (count,) float32 from `start` (from 0), zeros after all."""
        if self._kept is None:
            found = read_part(self.paths[clip], start, count, literal=self.literal)
        else:
            found = self.whole(clip)[start : start + count]
        return np.pad(found, (0, count - len(found)))

    def whole(self, clip: int) -> np.ndarray:
        """Return all samples (N,) float32 of a clip."""
        if self._kept is not None and clip in self._kept:
            return self._kept[clip]
        found = read_audio(self.paths[clip], literal=self.literal)
        if self._kept is not None:
            self._kept[clip] = found
        return found

    def loud(self, clip: int) -> tuple[int, int]:
        """Return first and last sample of what is loud in a clip."""
        if clip not in self._loud:
            self._loud[clip] = loud_part(self.whole(clip))
        return self._loud[clip]


class Drawn(NamedTuple):
    """What was drawn for a part.

    Attributes
    ----------
    clip : int
    speed : int
        Hundredths.
    taken : int
        So many samples are read, for the part at this speed.
    place : int
        Of the first of them, from 1; of parts around speech, samples by which it is
        moved.
    volume : float32
        Of the noise.
    noise : (N,) float32, or (int, int), or None
        White, or a file's number and its first sample, from 1.
    decibels : float
        Change of loudness.
    """

    clip: int
    speed: int
    taken: int
    place: int
    volume: np.float32
    noise: np.ndarray | tuple[int, int] | None
    decibels: float


class SoundParts:
    """Parts of clips, drawn first and read later.

    Drawing reads no sound, so that whoever needs some parts of a batch can draw all of
    them, and read these.

    Parameters
    ----------
    sounds : Sounds
        The clips.
    speech_input : SpeechInput
        Length and place of the parts.
    changes : SoundChanges
        What happens to them.
    moved : bool
        Whether parts around speech are moved by the changes' `shift`.
    """

    def __init__(
        self,
        sounds: Sounds,
        speech_input: SpeechInput,
        changes: SoundChanges,
        moved: bool,
    ) -> None:
        self.sounds, self.speech_input = sounds, speech_input
        self.changes, self.moved = changes, moved

    def draw(self, clip: int, random: np.random.Generator) -> Drawn:
        """Draw a part of a clip, and what happens to it."""
        count, changes = self.speech_input.samples, self.changes
        speed = 100
        if changes.speed:
            most = np.log1p(changes.speed)
            speed = round(100 * np.exp(random.uniform(-most, most)))
        taken = -(-count * speed // 100)
        place = self._place(clip, taken, random)
        volume, noise = np.float32(0), None
        if changes.noise:
            volume = np.float32(random.uniform(0, changes.noise))
            noise = self._draw_noise(count, random)
        decibels = random.uniform(-changes.gain, changes.gain) if changes.gain else 0.0
        return Drawn(clip, speed, taken, place, volume, noise, decibels)

    def _place(self, clip: int, count: int, random: np.random.Generator) -> int:
        if self.speech_input.part == "random":
            return crops.draw_start(int(self.sounds.samples[clip]), count, random)
        most = round(RATE * self.changes.shift) if self.moved else 0
        return int(random.integers(-most, most + 1)) if most else 0

    def _draw_noise(
        self, count: int, random: np.random.Generator
    ) -> np.ndarray | tuple[int, int]:
        if not self.changes.noise_files:
            return random.standard_normal(count, np.float32)
        lengths = self._noise_sounds.samples
        number = int(random.integers(len(lengths)))
        return number, crops.draw_start(int(lengths[number]), count, random)

    def start(self, drawn: Drawn) -> int:
        """Return the place, from 1, of the first sample of a part of a clip."""
        if self.speech_input.part == "random":
            return drawn.place
        length = int(self.sounds.samples[drawn.clip])
        loud = self.sounds.loud(drawn.clip)
        return 1 + place_around(loud, length, drawn.taken, drawn.place)

    def samples(self, drawn: Drawn) -> np.ndarray:
        """Read a part, and return it changed, (N,) float32."""
        count, start = self.speech_input.samples, self.start(drawn)
        samples = self.sounds.part(drawn.clip, start - 1, drawn.taken)
        if drawn.speed != 100:
            samples = resample(samples, drawn.speed, 100, SPEED_CROSSINGS)[:count]
        changed = samples
        if isinstance(drawn.noise, np.ndarray):
            changed = changed + drawn.volume * samples.std() * drawn.noise
        elif drawn.noise:
            number, first = drawn.noise
            noise = self._noise_sounds.part(number, first - 1, count)
            changed = changed + drawn.volume * noise
        if self.changes.gain:
            changed = changed * np.float32(10 ** (drawn.decibels / 20))
        # Beyond full scale, a sound would count as one of 16 bits.
        most = max(1, np.abs(samples).max())
        return np.clip(changed, -most, most).astype(np.float32)

    @cached_property
    def _noise_sounds(self) -> Sounds:
        files = list(self.changes.noise_files)
        lengths = np.array([len(read_audio(path)) for path in files])
        return Sounds(files, lengths)
