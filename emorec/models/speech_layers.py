"""Layers in front of a speech network: spectrograms on the device, and masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import ops

from emorec.errors import SpecError
from emorec.models import speech_frontend


@keras.saving.register_keras_serializable("emorec")
class FrontEnd(keras.layers.Layer):
    """Turn waveforms (B, N) at 16 kHz to normalised spectrograms (B, F, T, 1).

    Parameters
    ----------
    features : {"voxceleb", "logmel"}
        See `emorec.models.speech_frontend`.
    mean, deviation : sequence of F floats
        What each bin is normalised by; over its own time where there are none.
    by_rows : callable, optional
        Turns what is computed of a batch to the same, computed elsewhere; not saved.
    **kwargs
        Those of `keras.layers.Layer`.
    """

    def __init__(
        self,
        features: str = "voxceleb",
        mean: Sequence[float] = (),
        deviation: Sequence[float] = (),
        by_rows: Callable[[Callable], Callable] | None = None,
        **kwargs,
    ) -> None:
        # A spectrogram in bfloat16 would have three digits.
        super().__init__(dtype=kwargs.pop("dtype", "float32"), **kwargs)
        if features not in ("voxceleb", "logmel"):
            raise SpecError(f"features '{features}': expected voxceleb or logmel.")
        self.features = features
        self.mean, self.deviation = list(mean), list(deviation)
        self._compute = by_rows(self._spectrograms) if by_rows else self._spectrograms

    def call(self, waves):
        """Return the spectrograms."""
        return self._compute(waves)

    def _spectrograms(self, waves):
        if self.features == "logmel":
            values = speech_frontend.logmel(waves, normalised=False)
        else:
            values = speech_frontend.magnitude(waves)
        if not self.mean:
            return speech_frontend.normalise(values)[..., None]
        mean, deviation = (
            np.array(x, np.float32)[:, None] for x in (self.mean, self.deviation)
        )
        return ((values - mean) / deviation)[..., None]

    def get_config(self):
        """Return the constructor's arguments."""
        names = ("features", "mean", "deviation")
        return super().get_config() | {name: getattr(self, name) for name in names}


@keras.saving.register_keras_serializable("emorec")
class SpecAugment(keras.layers.Layer):
    """Hide bands and stretches of normalised spectrograms (B, F, T, 1) in training.

    Park et al. (2019), "SpecAugment", section 2, without warping. What is hidden is 0,
    the mean of a normalised spectrogram.

    Parameters
    ----------
    bands, stretches : int
        How many of each.
    widest_band, longest_stretch : float
        Shares of F and of T in [0, 1]; each mask is from 0 up to so wide.
    seed : int
        Of the masks.
    **kwargs
        Those of `keras.layers.Layer`.
    """

    def __init__(
        self,
        bands: int = 0,
        widest_band: float = 0.125,
        stretches: int = 0,
        longest_stretch: float = 0.1,
        seed: int = 0,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.bands, self.widest_band = bands, widest_band
        self.stretches, self.longest_stretch = stretches, longest_stretch
        self.seed = seed
        self._random = keras.random.SeedGenerator(seed)

    def call(self, spectrograms, training=False):
        """Return the spectrograms, with masks in training."""
        if not training:
            return spectrograms
        batch = ops.shape(spectrograms)[0]
        for _ in range(self.bands):
            keep = self._mask(batch, spectrograms.shape[1], self.widest_band)
            spectrograms = spectrograms * ops.cast(
                keep[:, :, None, None], spectrograms.dtype
            )
        for _ in range(self.stretches):
            keep = self._mask(batch, ops.shape(spectrograms)[2], self.longest_stretch)
            spectrograms = spectrograms * ops.cast(
                keep[:, None, :, None], spectrograms.dtype
            )
        return spectrograms

    def _mask(self, batch, size, widest):
        """Return (B, size): false within one stretch per row."""
        share = keras.random.uniform((2, batch, 1), seed=self._random)
        size_in = ops.cast(size, "float32")
        width = ops.floor(share[0] * (widest * size_in + 1))
        first = ops.floor(share[1] * (size_in - width + 1))
        place = ops.cast(ops.arange(size), "float32")[None]
        return ops.logical_or(place < first, place >= first + width)

    def get_config(self):
        """Return the constructor's arguments."""
        names = ("bands", "widest_band", "stretches", "longest_stretch", "seed")
        return super().get_config() | {name: getattr(self, name) for name in names}
