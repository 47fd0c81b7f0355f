"""Batches of sounds: parts drawn from clips, changed, and turned to spectrograms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from emorec.batches.augmentation import mix
from emorec.batches.sound_parts import Drawn, SoundChanges, SoundParts, Sounds
from emorec.batches.speakers import OtherVoices
from emorec.batches.speech_input import SpeechInput
from emorec.errors import DataError

# (clip, start from 1, samples) -> the target (K,) of that part.
Targets = Callable[[int, int, int], np.ndarray]


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
        self.parts = SoundParts(sounds, speech_input, self.changes, shuffle)
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
        drawn = [self.parts.draw(int(clip), random) for clip in clips]
        starts = [self.parts.start(part) for part in drawn]
        return clips, np.array(starts, np.int64), self._targets(drawn)

    def _targets(self, drawn: Sequence[Drawn]) -> np.ndarray:
        start = self.parts.start
        found = [self.targets(part.clip, start(part), part.taken) for part in drawn]
        return np.stack(found).astype(np.float32)

    def _begin(self, epoch: int, number: int) -> tuple[np.ndarray, np.random.Generator]:
        first = number * self.batch_size
        clips = self.order(epoch)[first : first + self.batch_size]
        key = (self.seed, epoch, number) if self.shuffle else (self.seed, number)
        return clips, np.random.default_rng(key)

    def rows(self, number: int) -> int:
        """Return the number of rows of a batch."""
        return min(self.batch_size, self.count - number * self.batch_size)

    def batch(
        self, epoch: int, number: int, rows: slice = slice(None)
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return inputs and targets (R, K), float32, of some rows of a batch.

        The sounds of the others are not read, unless they are mixed with these.
        """
        clips, random = self._begin(epoch, number)
        made = slice(None) if self.mixup else rows
        try:
            drawn = [self.parts.draw(int(clip), random) for clip in clips][made]
            waves = np.stack([self.parts.samples(part) for part in drawn])
            targets = self._targets(drawn)
        except DataError as error:
            # Inside of TensorFlow's graph its text would be buried.
            self.failure = error
            raise
        inputs = waves if self.waves else self.speech_input.of_part(waves)
        if self.voices is not None:
            inputs = self.voices.change(inputs, clips, random, made)
        if self.mixup:
            inputs, targets = mix(inputs, targets, self.mixup, random)
            inputs, targets = inputs[rows], targets[rows]
        return inputs, targets

    @cached_property
    def dataset(self) -> Any:
        """What Keras takes; on TensorFlow read in its graph where that can be."""
        # Settings and evaluation need no Keras, whose backend is chosen later.
        from emorec.batches import sounds_graph
        from emorec.batches.threaded import keras_dataset

        if sounds_graph.serves(self):
            return sounds_graph.dataset(self)
        return keras_dataset(self)
