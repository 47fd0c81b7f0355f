"""Figures of a choice among classes, readable without colour vision."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from emorec.evaluation.figures import BLUE, GREY, ORANGE


def confusion_figure(counts: np.ndarray, labels: Sequence[str], title: str) -> Figure:
    """Draw a confusion matrix (K, K), true classes in rows.

    Cells hold the count and the share of the true class; the shade is the share.
    """
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    side = 1.6 + 0.72 * len(labels)
    figure = Figure(figsize=(side + 0.6, side), layout="tight")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row in range(len(labels)):
        for column in range(len(labels)):
            if counts[row, column]:
                axes.text(
                    column,
                    row,
                    f"{counts[row, column]:,}\n{shares[row, column]:.0%}",
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if shares[row, column] > 0.6 else "black",
                )
    ticks = np.arange(len(labels))
    axes.set_xticks(ticks, labels, rotation=40, ha="right", fontsize=9)
    names = [f"{label} ({n:,})" for label, n in zip(labels, totals[:, 0], strict=True)]
    axes.set_yticks(ticks, names, fontsize=9)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(title, fontsize=10)
    return figure


def reliability_figure(table: np.ndarray, error: float, title: str) -> Figure:
    """Draw how often a prediction of some confidence is right.

    Parameters
    ----------
    table : (bins, 3)
        From `emorec.evaluation.single_label.reliability`.
    error : float
        Expected calibration error.
    title : str
        Says model, data and split.
    """
    confidence, accuracy, count = table.T
    some = count > 0
    figure = Figure(figsize=(4.6, 5.2), layout="tight")
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color=GREY, linewidth=1, label="calibrated")
    upper.plot(
        confidence[some],
        accuracy[some],
        color=BLUE,
        marker="o",
        label=f"model (ECE {error:.3f})",
    )
    upper.set_ylabel("accuracy")
    upper.set_ylim(0, 1)
    upper.legend(fontsize=8, loc="upper left")
    width = 1 / len(table)
    centres = (np.arange(len(table)) + 0.5) * width
    lower.bar(centres, count, 0.9 * width, color=ORANGE)
    lower.set_ylabel("images")
    lower.set_xlabel("confidence: probability of the chosen class")
    lower.set_xlim(0, 1)
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    upper.set_title(title, fontsize=10)
    return figure
