"""The bands of speakers: statistics to normalise by, and voices made of two."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

_SMALLEST = 1e-3


@dataclass(frozen=True)
class BandStatistics:
    """Mean and deviation of each bin over the frames of clips.

    Attributes
    ----------
    mean, deviation : (F,) float32
        Over all clips.
    speaker_mean, speaker_deviation : (S, F) float32
        Over those of each speaker, in the units of the normalised bins.
    speakers : (n,) int64
        The row of each clip's speaker; -1 of clips that were not looked at.
    """

    mean: np.ndarray
    deviation: np.ndarray
    speaker_mean: np.ndarray
    speaker_deviation: np.ndarray
    speakers: np.ndarray


def band_statistics(
    spectrograms: Iterable[np.ndarray], clips: np.ndarray, speakers: np.ndarray
) -> BandStatistics:
    """Go once over spectrograms.

    Parameters
    ----------
    spectrograms : iterable of (F, T) float
        Of each of `clips`, not normalised.
    clips : (m,) int
        Which of the n clips they are.
    speakers : (n,) str
    """
    names = sorted(set(speakers[clips].tolist()))
    rows = np.full(len(speakers), -1, np.int64)
    rows[clips] = np.searchsorted(names, speakers[clips])
    sums: np.ndarray | None = None
    for clip, found in zip(clips, spectrograms, strict=True):
        wide = found.astype(np.float64)
        if sums is None:
            sums = np.zeros((len(names), 2, len(found)))
            count = np.zeros(len(names))
        sums[rows[clip]] += wide.sum(axis=1), (wide**2).sum(axis=1)
        count[rows[clip]] += found.shape[1]
    moments = sums / count[:, None, None]
    total = sums.sum(axis=0) / count.sum()
    mean, deviation = _spread(total)
    of_mean, of_deviation = _spread(moments.swapaxes(0, 1))
    return BandStatistics(
        mean.astype(np.float32),
        deviation.astype(np.float32),
        ((of_mean - mean) / deviation).astype(np.float32),
        (of_deviation / deviation).astype(np.float32),
        rows,
    )


def _spread(moments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = moments[0]
    return mean, np.sqrt(np.maximum(moments[1] - mean**2, _SMALLEST**2))


@dataclass(frozen=True)
class OtherVoices:
    """Gives a clip's bands, in part, the mean and deviation of another speaker's.

    Emotions stay, as far as they are not in these; so a few speakers become many.

    Attributes
    ----------
    statistics : BandStatistics
        Of the training clips.
    share : float
        Of the clips that are changed, each by a weight drawn from 0 to 1.
    """

    statistics: BandStatistics
    share: float

    def change(
        self,
        spectrograms: np.ndarray,
        clips: np.ndarray,
        random: np.random.Generator,
        rows: slice = slice(None),
    ) -> np.ndarray:
        """Return the normalised spectrograms (R, F, T, 1) of `rows`, changed.

        What happens to them is drawn for all `clips` (B,) of their batch.
        """
        known, count = self.statistics, len(clips)
        own = known.speakers[clips[rows]]
        other = random.integers(len(known.speaker_mean), size=count)[rows]
        weight = random.uniform(size=count) * (random.uniform(size=count) < self.share)
        weight = weight[rows].astype(np.float32)[:, None]
        mean, deviation = known.speaker_mean[own], known.speaker_deviation[own]
        new_mean = (1 - weight) * mean + weight * known.speaker_mean[other]
        new = (1 - weight) * deviation + weight * known.speaker_deviation[other]
        factor = new / deviation
        offset = new_mean - mean * factor
        return spectrograms * factor[:, :, None, None] + offset[:, :, None, None]
