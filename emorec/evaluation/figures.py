"""Figures: confusion matrices and learning curves, readable without colour vision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from emorec.files import whole_file

# Okabe and Ito's colours, distinguishable with every common colour blindness.
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#767676"


def save(figure: Figure, path: str | Path, show: bool = False) -> None:
    """Write a figure, and show it in a window when asked."""
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=120)
    if show:
        from matplotlib import image, pyplot

        pyplot.figure(figsize=figure.get_size_inches())
        pyplot.imshow(image.imread(path))
        pyplot.axis("off")
        pyplot.show()


def confusion_figure(
    matrices: Mapping[str, np.ndarray], labels: Sequence[str], title: str
) -> Figure:
    """Draw multilabel confusion matrices.

    Parameters
    ----------
    matrices : mapping
        Row name (a view) -> (K, 2, 2) counts [[TN, FP], [FN, TP]].
    labels : sequence of str
        K names.
    title : str
        Says model, data and split.

    Returns
    -------
    Figure
        Cells hold the count and the share of the true class; the shade is the share.
    """
    rows, columns = len(matrices), len(labels)
    figure = Figure(figsize=(1.75 * columns + 0.9, 2.1 * rows + 0.8), layout="tight")
    grid = figure.subplots(rows, columns, squeeze=False)
    for line, (view, counts) in zip(grid, matrices.items(), strict=True):
        for k, (axes, label) in enumerate(zip(line, labels, strict=True)):
            matrix = counts[k]
            totals = matrix.sum(axis=1, keepdims=True)
            shares = np.divide(matrix, totals, out=np.zeros((2, 2)), where=totals > 0)
            axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
            for i in range(2):
                for j in range(2):
                    share = f"{shares[i, j]:.0%}" if totals[i, 0] else "none"
                    axes.text(
                        j,
                        i,
                        f"{matrix[i, j]:,}\n{share}",
                        ha="center",
                        va="center",
                        fontsize=9,
                        color="white" if shares[i, j] > 0.6 else "black",
                    )
            axes.set_title(label, fontsize=10)
            axes.set_xticks([0, 1], ["absent", "present"], fontsize=8)
            axes.set_yticks(
                [0, 1],
                ["absent", "present"] if k == 0 else ["", ""],
                fontsize=8,
                rotation=90,
                va="center",
            )
            if k == 0:
                axes.set_ylabel(f"{view}\ntrue", fontsize=9)
            axes.set_xlabel("predicted", fontsize=8)
    figure.suptitle(title, fontsize=10)
    return figure


def learning_curve(
    history: Mapping[str, Sequence[float]],
    best_epoch: int,
    title: str,
    accuracy: str = "presence accuracy",
) -> Figure:
    """Draw the loss (and the accuracy, if any) over epochs.

    Parameters
    ----------
    history : mapping
        ``loss`` and perhaps ``val_loss``, ``acc``, ``val_acc``, one value an epoch.
    best_epoch : int
        The epoch whose weights are kept, counted from 0.
    title : str
        Says model and data.
    accuracy : str
        What ``acc`` is.
    """
    names = [name for name in ("loss", "acc") if name in history]
    figure = Figure(figsize=(4.6 * len(names), 3.4), layout="tight")
    grid = figure.subplots(1, len(names), squeeze=False)[0]
    words = {"loss": "loss", "acc": accuracy}
    for axes, name in zip(grid, names, strict=True):
        epochs = np.arange(1, len(history[name]) + 1)
        axes.plot(epochs, history[name], color=BLUE, label="train")
        if f"val_{name}" in history:
            axes.plot(
                epochs,
                history[f"val_{name}"],
                color=ORANGE,
                linestyle="--",
                label="validation",
            )
        axes.axvline(best_epoch + 1, color=GREY, linewidth=1, label="kept")
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_ylabel(words[name])
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=10)
    return figure
