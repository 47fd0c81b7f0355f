"""Where in a sound somebody speaks, by loudness alone."""

from __future__ import annotations

import numpy as np

from emorec.features.spectrogram import HOP, WINDOW

# Decibels below the loudest frames from which on a frame counts as silence.
RANGE = 30.0
# Of the frames' loudness; one click is not the loudest speech.
_LOUDEST = 98
_FLOOR = 1e-10


def loud_part(samples: np.ndarray, decibels: float = RANGE) -> tuple[int, int]:
    """Return the first and the last sample (not included) of what is loud.

    Parameters
    ----------
    samples : (N,) float
        At 16 kHz.
    decibels : float
        Frames of 25 ms within so much of the 98th percentile of all are loud.

    Returns
    -------
    first, last : int
        From the beginning of the first loud frame to the end of the last one; all of a
        sound shorter than a frame.
    """
    if len(samples) < WINDOW:
        return 0, len(samples)
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
    power = np.einsum("ij,ij->i", frames, frames, dtype=np.float64) / WINDOW
    level = 10 * np.log10(power + _FLOOR)
    loud = np.flatnonzero(level > np.percentile(level, _LOUDEST) - decibels)
    if not len(loud):  # all frames are alike
        return 0, len(samples)
    return int(loud[0]) * HOP, int(loud[-1]) * HOP + WINDOW
