"""Batches of sounds: parts drawn from clips, changed, and turned to spectrograms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from emorec.batches.augmentation import mix
from emorec.batches.speakers import OtherVoices
from emorec.batches.speech_input import SPEED_CROSSINGS, SpeechInput, place_around
from emorec.errors import DataError, SpecError
from emorec.features import crops
from emorec.features.audio import RATE, read_audio, read_part, resample
from emorec.features.loudness import loud_part

# Bytes of samples that are kept in memory; more is read from disk, part by part.
CACHE = 2 << 30
# (clip, start from 1, samples) -> the target (K,) of that part.
Targets = Callable[[int, int, int], np.ndarray]


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


class SoundPipeline:
    """Batches of parts of clips for ``Model.fit``; a function of seed, epoch, number.

    Parameters
    ----------
    sounds : Sounds
        n clips.
    targets : callable
        See `Targets`.
    num_labels : int
        K.
    speech_input : SpeechInput
        How parts enter the network.
    batch_size : int
        The last batch may be smaller.
    clips : (m,) int, optional
        Which of the clips are served; all by default.
    seed : int
        Seed of order, parts and changes.
    shuffle : bool
        Whether each epoch has an order, parts and changes of its own. Else each clip
        has one part for ever.
    share : float
        Of the clips in an epoch, drawn anew for each: a mini-epoch.
    changes : SoundChanges
        None by default.
    waves : bool
        Serve samples (B, N) for a network that makes spectrograms itself, on an
        accelerator; else spectrograms (B, F, T, 1).
    mixup : float
        See `emorec.batches.augmentation.mix`; 0 for none.
    voices : OtherVoices, optional
        Gives spectrograms the bands of other speakers.

    Attributes
    ----------
    epoch : int
        The epoch that the next iteration serves; set from outside.
    failure : DataError or None
        Why a batch could not be made.
    """

    def __init__(
        self,
        sounds: Sounds,
        targets: Targets,
        num_labels: int,
        speech_input: SpeechInput,
        batch_size: int,
        clips: np.ndarray | None = None,
        seed: int = 0,
        shuffle: bool = False,
        share: float = 1.0,
        changes: SoundChanges | None = None,
        waves: bool = False,
        mixup: float = 0.0,
        voices: OtherVoices | None = None,
    ) -> None:
        self.sounds, self.targets, self.num_labels = sounds, targets, num_labels
        self.speech_input, self.batch_size = speech_input, batch_size
        self.clips = np.arange(len(sounds.paths)) if clips is None else clips
        self.seed, self.shuffle, self.share = seed, shuffle, share
        self.changes, self.waves = changes or SoundChanges(), waves
        self.mixup, self.voices = mixup, voices
        self.epoch, self.failure = 0, None
        self._order: tuple[int, np.ndarray] = (-1, np.zeros(0, int))

    @property
    def count(self) -> int:
        """Clips of an epoch."""
        return max(1, round(self.share * len(self.clips)))

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return -(-self.count // self.batch_size)

    @property
    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shape of an input and of a target."""
        of_input = self.speech_input
        spectrograms = (of_input.bins, of_input.frames, 1)
        inputs = (of_input.samples,) if self.waves else spectrograms
        return inputs, (self.num_labels,)

    def order(self, epoch: int) -> np.ndarray:
        """Return the clips of an epoch in their order."""
        if not self.shuffle:
            return self.clips[: self.count]
        if self._order[0] != epoch:
            random = np.random.default_rng((self.seed, epoch))
            self._order = epoch, random.permutation(self.clips)[: self.count]
        return self._order[1]

    def plan(
        self, epoch: int, number: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what a batch without changes is made of, without reading a sound.

        Clips (B,), the first samples of their parts (B,), from 1, and targets (B, K).
        """
        clips, random = self._begin(epoch, number)
        count = self.speech_input.samples
        starts = [self._start(int(clip), count, random) for clip in clips]
        targets = [
            self.targets(int(clip), start, count)
            for clip, start in zip(clips, starts, strict=True)
        ]
        return clips, np.array(starts, np.int64), np.stack(targets).astype(np.float32)

    def _begin(self, epoch: int, number: int) -> tuple[np.ndarray, np.random.Generator]:
        first = number * self.batch_size
        clips = self.order(epoch)[first : first + self.batch_size]
        key = (self.seed, epoch, number) if self.shuffle else (self.seed, number)
        return clips, np.random.default_rng(key)

    def batch(self, epoch: int, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return inputs and targets (B, K), float32."""
        clips, random = self._begin(epoch, number)
        try:
            parts = [self._part(int(clip), random) for clip in clips]
        except DataError as error:
            # Inside of TensorFlow's graph its text would be buried.
            self.failure = error
            raise
        waves = np.stack([samples for samples, _ in parts])
        targets = np.stack([target for _, target in parts]).astype(np.float32)
        inputs = waves if self.waves else self.speech_input.of_part(waves)
        if self.voices is not None:
            inputs = self.voices.change(inputs, clips, random)
        if self.mixup:
            inputs, targets = mix(inputs, targets, self.mixup, random)
        return inputs, targets

    def _part(
        self, clip: int, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        count, changes = self.speech_input.samples, self.changes
        speed = 100
        if changes.speed:
            most = np.log1p(changes.speed)
            speed = round(100 * np.exp(random.uniform(-most, most)))
        taken = -(-count * speed // 100)
        start = self._start(clip, taken, random)
        samples = self.sounds.part(clip, start - 1, taken)
        if speed != 100:
            samples = resample(samples, speed, 100, SPEED_CROSSINGS)[:count]
        changed = samples
        if changes.noise:
            changed = changed + self._noise(samples, random)
        if changes.gain:
            decibels = random.uniform(-changes.gain, changes.gain)
            changed = changed * np.float32(10 ** (decibels / 20))
        # Beyond full scale, a sound would count as one of 16 bits.
        most = max(1, np.abs(samples).max())
        samples = np.clip(changed, -most, most).astype(np.float32)
        return samples, self.targets(clip, start, taken)

    def _start(self, clip: int, count: int, random: np.random.Generator) -> int:
        """Return the place, from 1, of the first sample of a part of a clip."""
        length = int(self.sounds.samples[clip])
        if self.speech_input.part == "random":
            return crops.draw_start(length, count, random)
        shift = 0
        if self.shuffle and self.changes.shift:
            most = round(RATE * self.changes.shift)
            shift = int(random.integers(-most, most + 1))
        return 1 + place_around(self.sounds.loud(clip), length, count, shift)

    def _noise(self, samples: np.ndarray, random: np.random.Generator) -> np.ndarray:
        volume = np.float32(random.uniform(0, self.changes.noise))
        if not self.changes.noise_files:
            white = random.standard_normal(len(samples), np.float32)
            return volume * samples.std() * white
        file = self._noise_sounds
        number = int(random.integers(len(file.paths)))
        start = crops.draw_start(int(file.samples[number]), len(samples), random)
        found = file.part(number, start - 1, len(samples))
        return volume * found

    @cached_property
    def _noise_sounds(self) -> Sounds:
        files = list(self.changes.noise_files)
        lengths = np.array([len(read_audio(path)) for path in files])
        return Sounds(files, lengths)

    @cached_property
    def dataset(self) -> Any:
        """What Keras takes; on TensorFlow read in its graph where that can be."""
        # Settings and evaluation need no Keras, whose backend is chosen later.
        from emorec.batches import sounds_graph
        from emorec.batches.threaded import keras_dataset

        if sounds_graph.serves(self):
            return sounds_graph.dataset(self)
        return keras_dataset(self)
