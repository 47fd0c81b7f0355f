"""Figures of what each weighting is worth, readable without colour vision."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from emorec.evaluation.figures import BLUE, GREY, ORANGE
from emorec.evaluation.fusion_weights import columns

_WORDS = {
    "weighted_f1": "weighted F1",
    "macro_f1": "macro F1",
    "accuracy": "accuracy",
    "nll": "negative log-likelihood (nats)",
}


def weights_figure(
    table: pd.DataFrame,
    models: Sequence[str],
    title: str,
    criterion: str = "weighted_f1",
) -> Figure | None:
    """Draw the worth of weightings on the split where weights are chosen.

    Two models are a line over the weight of the first, three a triangle; more cannot
    be drawn.

    Parameters
    ----------
    table : pandas.DataFrame
        From `emorec.evaluation.fusion_weights.grid_table`; ``chosen`` may count how
        often a row was chosen, by several folds.
    models : sequence of str
        M names.
    title : str
        Says split and data.
    criterion : str
        The column that is drawn.

    Returns
    -------
    Figure or None
    """
    if len(models) == 2:
        return _line(table, models, title, criterion)
    if len(models) == 3:
        return _triangle(table, models, title, criterion)
    return None


def _line(
    table: pd.DataFrame, models: Sequence[str], title: str, criterion: str
) -> Figure:
    figure = Figure(figsize=(5.6, 4.0), layout="tight")
    axes = figure.subplots()
    weight, worth = table[columns(models)[0]].to_numpy(), table[criterion].to_numpy()
    if criterion == "weighted_f1":
        low, high = table["low"].to_numpy(), table["high"].to_numpy()
        axes.fill_between(
            weight, low, high, color=BLUE, alpha=0.18, label="95 % interval"
        )
    axes.plot(weight, worth, color=BLUE, marker="o", markersize=3)
    picked = table["chosen"].to_numpy().astype(int)
    rows = np.flatnonzero(picked)
    if len(rows):
        each = [
            f"{weight[row]:g}" + (f" ({picked[row]} folds)" if picked[row] > 1 else "")
            for row in rows
        ]
        axes.plot(
            weight[rows],
            worth[rows],
            color=ORANGE,
            marker="*",
            markersize=13,
            linestyle="",
            label=f"chosen: {', '.join(each)}",
        )
    for end, model in ((0, models[1]), (-1, models[0])):
        axes.annotate(
            f"{model} alone\n{worth[end]:.3f}",
            (weight[end], worth[end]),
            xytext=(6 if end == 0 else -6, -10),
            textcoords="offset points",
            ha="left" if end == 0 else "right",
            va="top",
            fontsize=8,
            color=GREY,
        )
    axes.set_xlabel(f"weight of {models[0]} (the rest: {models[1]})")
    axes.set_ylabel(_WORDS[criterion])
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower center")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _triangle(
    table: pd.DataFrame, models: Sequence[str], title: str, criterion: str
) -> Figure:
    figure = Figure(figsize=(5.8, 4.8), layout="tight")
    axes = figure.subplots()
    weights = table[columns(models)].to_numpy()
    corners = np.array([[0, 0], [1, 0], [0.5, np.sqrt(3) / 2]])
    x, y = (weights @ corners).T
    points = axes.scatter(x, y, c=table[criterion], s=70, marker="h", cmap="viridis")
    picked = table["chosen"].to_numpy() > 0
    axes.scatter(
        x[picked],
        y[picked],
        s=160,
        marker="*",
        color=ORANGE,
        edgecolors="white",
        label="chosen",
    )
    for corner, model, place in zip(
        corners, models, ("top", "top", "bottom"), strict=True
    ):
        alone = table.loc[table[columns([model])[0]] == 1, criterion].item()
        axes.annotate(
            f"{model} alone\n{alone:.3f}",
            corner,
            xytext=(0, -10 if place == "top" else 10),
            textcoords="offset points",
            ha="center",
            va=place,
            fontsize=8,
        )
    figure.colorbar(points, ax=axes, label=_WORDS[criterion], shrink=0.8)
    axes.set_title(title, fontsize=10, pad=28)
    axes.legend(fontsize=8, loc="upper left")
    axes.margins(0.12)
    axes.set_aspect("equal")
    axes.axis("off")
    return figure
