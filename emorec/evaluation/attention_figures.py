"""Attention between two modalities, drawn over time."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from emorec.evaluation.figures import BLUE, ORANGE


def attention_figure(
    audio_over_video: np.ndarray,
    video_over_audio: np.ndarray,
    audio_seconds: np.ndarray,
    video_seconds: np.ndarray,
    title: str,
) -> Figure:
    """Draw which frames the voice attends to, and which sounds the face does.

    Parameters
    ----------
    audio_over_video : (Ta, Tv) float
        Attention of each step of audio to the frames; rows sum to 1.
    video_over_audio : (Tv, Ta) float
        Of each frame to the steps of audio.
    audio_seconds, video_seconds : (Ta,), (Tv,) float
        Middles of the steps.
    title : str
        Says clip and class.

    Returns
    -------
    Figure
        Two maps over the time of audio (x) and of frames (y), and below them how much
        attention each step gets in sum, 1 being its share if all got the same.
    """
    figure = Figure(figsize=(10.5, 6.2), layout="constrained")
    grid = figure.subplots(2, 2, height_ratios=(3, 1.3))
    maps = (
        ("voice attends to frames", audio_over_video.T, 0),
        ("face attends to sound", video_over_audio, 1),
    )
    for axes, (words, values, over) in zip(grid[0], maps, strict=True):
        (left, right), (top, bottom) = _edges(audio_seconds), _edges(video_seconds)
        image = axes.imshow(
            values,
            cmap="Blues",
            vmin=0,
            aspect="auto",
            interpolation="nearest",
            extent=(left, right, bottom, top),
        )
        axes.set_xlabel("time of the sound (s)")
        axes.set_ylabel("time of the frame (s)")
        axes.set_title(
            f"{words}\n(each {('column', 'row')[over]} sums to 1)", fontsize=9
        )
        figure.colorbar(image, ax=axes, label="attention")
    sums = (
        (audio_over_video.mean(axis=0), video_seconds, ORANGE, "frame"),
        (video_over_audio.mean(axis=0), audio_seconds, BLUE, "sound"),
    )
    for axes, (values, seconds, colour, what) in zip(grid[1], sums, strict=True):
        marker = "o" if len(seconds) < 40 else None
        axes.plot(seconds, values * len(values), color=colour, marker=marker, ms=4)
        axes.axhline(1, color="black", linestyle="--", linewidth=1)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(f"time of the {what} (s)")
        axes.set_ylabel("attention got,\n1: its share")
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=11)
    return figure


def _edges(seconds: np.ndarray) -> tuple[float, float]:
    """Return where even steps begin and end; a single one lasts the whole clip."""
    half = (seconds[1] - seconds[0]) / 2 if len(seconds) > 1 else seconds[0]
    return float(seconds[0] - half), float(seconds[-1] + half)
