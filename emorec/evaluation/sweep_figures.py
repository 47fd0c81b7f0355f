"""Figures of a sweep: the metric from trial to trial, and against each option."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from emorec.evaluation.figures import BLUE, GREY, ORANGE

_COLUMNS = 3
# Of spreading equal values, so that trials do not hide one another; in categories.
_SPREAD = 0.12
# Longer words are written aslant.
_SHORT = 6


def sweep_figure(
    table: pd.DataFrame,
    options: Sequence[str],
    metric: str,
    mode: str,
    logarithmic: Collection[str],
    title: str,
) -> Figure:
    """Draw the metric of every trial, and for each option that varies once more.

    Parameters
    ----------
    table : DataFrame
        ``trial``, ``state`` (``done``, ``stopped``, ``failed``), `options`, `metric`;
        a row per trial.
    options, metric : str
        Columns.
    mode : {"min", "max"}
        Which metric is the better one.
    logarithmic : collection of str
        Options with a logarithmic axis.
    title : str
        Says sweep and command.
    """
    varied = [name for name in options if table[name].astype(str).nunique() > 1]
    lines = 1 + math.ceil(len(varied) / _COLUMNS)
    figure = Figure(figsize=(10, 0.4 + 2.7 * lines), layout="constrained")
    grid = figure.add_gridspec(lines, _COLUMNS)
    done = table[table["state"] == "done"]
    best = None
    if len(done):
        best = done[metric].idxmin() if mode == "min" else done[metric].idxmax()
    first = figure.add_subplot(grid[0, :])
    _draw_trials(first, table, metric, mode, best)
    legend = True  # in the first panel that has something to explain
    for number, name in enumerate(varied):
        axes = figure.add_subplot(grid[1 + number // _COLUMNS, number % _COLUMNS])
        _draw_option(axes, done, name, metric, mode, name in logarithmic, legend)
        legend = legend and not axes.get_legend()
        if best is not None and name in done:
            axes.set_title(f"chosen: {_word(done[name][best])}", fontsize=9)
        if number % _COLUMNS == 0:
            axes.set_ylabel(metric)
    figure.suptitle(title, fontsize=10)
    return figure


def _draw_trials(
    axes: Axes, table: pd.DataFrame, metric: str, mode: str, best: int | None
) -> None:
    done = table[table["state"] == "done"]
    axes.scatter(done["trial"], done[metric], s=14, color=BLUE, label="finished")
    if best is not None:
        so_far = done[metric].cummin() if mode == "min" else done[metric].cummax()
        axes.step(
            done["trial"],
            so_far,
            where="post",
            color=GREY,
            linewidth=1,
            label="best so far",
        )
        axes.scatter(
            [done["trial"][best]],
            [done[metric][best]],
            s=90,
            facecolors="none",
            edgecolors=ORANGE,
            linewidths=1.8,
            label="chosen",
        )
    for state, marker, height in (("stopped", "|", 0.06), ("failed", "x", 0.02)):
        some = table[table["state"] == state]
        if len(some):
            axes.scatter(
                some["trial"],
                np.full(len(some), height),
                transform=axes.get_xaxis_transform(),
                marker=marker,
                s=30,
                color=GREY if state == "stopped" else ORANGE,
                label=f"{state} ({len(some)})",
            )
    axes.set_xlabel("trial")
    axes.set_ylabel(metric)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize=8, ncols=5, loc="lower left", bbox_to_anchor=(0, 1))
    _finish(axes)


def _draw_option(
    axes: Axes,
    done: pd.DataFrame,
    name: str,
    metric: str,
    mode: str,
    logarithmic: bool,
    legend: bool,
) -> None:
    """Draw finished trials; of each value of a choice also the median and the best."""
    values = done[name]
    if pd.api.types.is_numeric_dtype(values) and (logarithmic or values.nunique() > 6):
        axes.scatter(values, done[metric], s=14, color=BLUE, alpha=0.7)
        if logarithmic:
            axes.set_xscale("log")
    else:
        words = list(dict.fromkeys(sorted(values, key=_order)))
        words = list(dict.fromkeys(map(_word, words)))
        random = np.random.default_rng(0)
        for place, word in enumerate(words):
            own = done[metric][values.map(_word) == word]
            spread = random.uniform(-_SPREAD, _SPREAD, len(own))
            axes.scatter(place + spread, own, s=14, color=BLUE, alpha=0.7)
            top = own.min() if mode == "min" else own.max()
            # Of a single trial the best would hide the median.
            for value, color, style, label in (
                (own.median(), "black", "-", "median"),
                (top, ORANGE, "--", "best"),
            ):
                axes.hlines(
                    value,
                    *(place - 0.3, place + 0.3),
                    color=color,
                    linestyles=style,
                    label=None if place else label,
                )
        long = max(map(len, words), default=0) > _SHORT
        axes.set_xticks(
            range(len(words)),
            words,
            rotation=30 if long else 0,
            ha="right" if long else "center",
            fontsize=8,
        )
        axes.set_xlim(-0.6, len(words) - 0.4)
        if legend and words:
            axes.margins(y=0.2)
            axes.legend(fontsize=7, ncols=2, loc="upper right")
    axes.set_xlabel(name)
    _finish(axes)


def _order(value: object) -> tuple:
    """Order numbers by size and other values by their words."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return (0, value, "") if number else (1, 0, _word(value))


def _word(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _finish(axes: Axes) -> None:
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
