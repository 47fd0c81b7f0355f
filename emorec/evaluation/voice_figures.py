"""Figures of a speech student: ROC curves, dominant emotions, scores of one clip.

As in Albanie et al. (2018); line styles, hatches and labels say what colours say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emorec.errors import LabelMismatchError
from emorec.evaluation.figures import BLUE, GREY
from emorec.evaluation.roc import Roc

_COLUMNS = 3
# The published colours: olive and red. The hatches tell them apart without colour.
_SERIES = ((tuple(c / 255 for c in (125, 168, 50)), ""), ("red", "///"))
# The published colours of the emotions, red, green and blue of 255.
_EMOTIONS = {
    "neutral": (202, 202, 202),
    "happiness": (250, 190, 190),
    "surprise": (230, 190, 255),
    "sadness": (88, 112, 209),
    "anger": (230, 88, 88),
    "disgust": (32, 162, 102),
    "fear": (0, 128, 128),
    "contempt": (0, 0, 0),
}


def roc_sheet(curves: Sequence[tuple[Mapping[str, Any], Roc]], title: str) -> Figure:
    """Draw ROC curves in rows of three, or one alone.

    Parameters
    ----------
    curves : sequence of (dict, Roc)
        The dict is a row of `emorec.evaluation.voices.auc_rows`: names, AUC with its
        interval, and counts.
    title : str
        Over all of them; may be empty.
    """
    columns = max(1, min(_COLUMNS, len(curves)))
    lines = max(1, -(-len(curves) // columns))
    height = 3.9 * lines + (0.4 if title else 0)
    figure = Figure(figsize=(3.7 * columns, height), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, (row, curve) in zip(grid, curves, strict=False):
        _roc_axes(axes, row, curve)
    for axes in grid[len(curves) :]:
        axes.set_axis_off()
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def _roc_axes(axes: Axes, row: Mapping[str, Any], curve: Roc) -> None:
    axes.plot([0, 1], [1, 0], color="black", linewidth=1, linestyle=":")
    axes.plot([0, 1], [0, 1], color="red", linestyle="--", label="chance 0.5")
    if len(curve.fpr):
        area = f"AUC {row['auc']:.3f}"
        if not np.isnan(row["low"]):
            area += f" [{row['low']:.2f}, {row['high']:.2f}]"
        axes.plot(curve.fpr, curve.tpr, color=BLUE, linewidth=2, label=area)
        axes.plot(
            curve.eer,
            1 - curve.eer,
            color="black",
            marker="o",
            linestyle=":",
            linewidth=1,
            label=f"EER {curve.eer:.3f}",
        )
    else:
        text = "no clip of this emotion" if not row["positives"] else "no other clip"
        axes.text(0.5, 0.6, text, ha="center", color=GREY)
    axes.set_title(f"{row['emotion']} ({row['partition']})", fontsize=10)
    axes.set_xlabel("false positive rate", fontsize=9)
    axes.set_ylabel("true positive rate (recall)", fontsize=9)
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    axes.set_aspect("equal")
    axes.grid(alpha=0.3)
    axes.legend(
        fontsize=8,
        loc="lower right",
        title=f"{row['positives']:,} of {row['clips']:,} clips",
        title_fontsize=8,
    )


def dominance_figure(
    counts: Mapping[str, np.ndarray], labels: Sequence[str], title: str, what: str
) -> Figure:
    """Draw how often each emotion is dominant, on a logarithmic scale.

    Parameters
    ----------
    counts : mapping of str to (K,) int
        One or two named series.
    labels : sequence of str
        K names.
    title, what : str
        What it is about, and the label of the scale.
    """
    figure = Figure(figsize=(1.6 + 0.75 * len(labels), 4.4), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(counts)
    places = np.arange(len(labels))
    for number, (name, values) in enumerate(counts.items()):
        colour, hatch = _SERIES[number]
        own = places + (number - (len(counts) - 1) / 2) * width
        axes.bar(
            own,
            values,
            width,
            color=colour,
            alpha=0.8,
            edgecolor="black",
            linewidth=0.6,
            hatch=hatch,
            label=f"{name} ({int(np.sum(values)):,})",
        )
        for place, value in zip(own, values, strict=True):
            # A count of 0 has no place on this scale, so it stands at the foot.
            axes.annotate(
                f"{int(value):,}",
                (place, max(value, 0.5)),
                (0, 2),
                textcoords="offset points",
                rotation=90,
                fontsize=7,
                ha="center",
                va="bottom",
            )
    axes.set_yscale("log")
    largest = max(1, *(int(np.max(values)) for values in counts.values()))
    # Room for the numbers on the bars.
    axes.set_ylim(0.5, 2 * largest * (2 * largest) ** 0.12)
    names = [label.capitalize() for label in labels]
    axes.set_xticks(places, names, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_ylabel(what)
    axes.set_title(title, fontsize=10)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    # "best" may search for seconds.
    axes.legend(fontsize=8, loc="upper right")
    return figure


def distribution_figure(
    logits: np.ndarray, labels: Sequence[str], title: str
) -> Figure:
    """Draw the scores of one clip as bars in the published colours.

    Parameters
    ----------
    logits : (K,) float
        Largest score of each emotion over the clip's frames.
    labels : sequence of str
        K names; ones that have no published colour are grey.
    title : str
        Says which clip.

    Raises
    ------
    LabelMismatchError
        When there are not as many scores as labels.
    """
    if np.shape(logits) != (len(labels),):
        raise LabelMismatchError(
            f"{title}: expected {len(labels)} scores, received {np.shape(logits)}."
        )
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    colours = [
        tuple(c / 255 for c in _EMOTIONS[label]) if label in _EMOTIONS else GREY
        for label in labels
    ]
    bars = axes.bar(range(len(labels)), logits, color=colours, edgecolor="black")
    axes.bar_label(bars, [f"{value:.1f}" for value in logits], fontsize=8, padding=2)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_ylim(min(-3, np.min(logits)), max(10, np.max(logits)))
    axes.set_xticks(range(len(labels)), labels)
    axes.set_ylabel("largest score over frames (logit)")
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
