"""Emotions over time as a figure, readable without colour vision."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from emorec.evaluation.figures import BLUE, GREY
from emorec.prediction.asking import FUSED
from emorec.prediction.lettering import lettered
from emorec.prediction.looks import TOGETHER, Look, looks
from emorec.prediction.outputs import FIRST
from emorec.prediction.recordings import MODALITIES
from emorec.prediction.series import OTHERS, PROBABILITY, Series, series_of, strongest

# More steps than these would be narrower than two pixels.
MOST_STEPS = 400
# More emotions than these cannot be told from one another in one panel.
MOST_DRAWN = 9
_LEFT, _PANEL, _RIGHT = 0.9, 7.2, 2.5  # inches
_HEIGHT, _STRIP, _GAP = 1.75, 0.22, 0.42
_FROM_MINUTES = 90.0


def timeline_figure(table: pd.DataFrame, title: str, duration: float) -> Figure:
    """Draw what each model says over time, and which modalities it was given.

    Parameters
    ----------
    table : pandas.DataFrame
        The predictions of one clip; see `emorec.prediction.series.series_of`.
    title : str
        Names the clip; may be of any script and length.
    duration : float
        Seconds of the clip.

    Returns
    -------
    Figure
        A panel per model, the fusion last: stacked areas of probabilities, lines of
        intensities, each labelled with its mean over the clip; grey where there is
        no score. Below, when face, voice and words were used by some model. Where
        there are more than `MOST_STEPS` steps, each one drawn is a mean, and the
        figure says of how many seconds; likewise the `MOST_DRAWN` strongest of more
        emotions.
    """
    series = [
        strongest(one, MOST_DRAWN) for one in series_of(table, duration, MOST_STEPS)
    ]
    end = max(float(one.edges[-1]) for one in series)
    emotions = [name for one in series for name in one.emotions]
    styles = looks([name for name in dict.fromkeys(emotions) if name != OTHERS])
    title, families = lettered("\n".join(textwrap.wrap(title, 90)[:3]) or " ")
    top, bottom = 0.35 + 0.2 * title.count("\n"), 1.1
    strips = _STRIP * len(MODALITIES)
    total = top + (_HEIGHT + _GAP) * len(series) + strips + bottom
    figure = Figure(figsize=(_LEFT + _PANEL + _RIGHT, total))
    figure.text(
        0.02,
        1 - 0.1 / total,
        title,
        va="top",
        fontsize=11,
        fontfamily=families,
        parse_math=False,
    )

    def axes_at(above: float, height: float) -> Axes:
        width = _LEFT + _PANEL + _RIGHT
        place = (_LEFT / width, 1 - (above + height) / total)
        axes = figure.add_axes((*place, _PANEL / width, height / total))
        axes.set_xlim(0, max(end, 1e-3))
        axes.xaxis.set_major_locator(MaxNLocator(9, steps=[1, 1.5, 2, 3, 6, 10]))
        axes.spines[["top", "right"]].set_visible(False)
        return axes

    above = top
    for one in series:
        above += _GAP * 0.75
        axes = axes_at(above, _HEIGHT)
        _panel(axes, one, styles)
        axes.tick_params(labelbottom=False, labelsize=8)
        above += _HEIGHT + _GAP * 0.25
    axes = axes_at(above + _GAP / 2, strips)
    _strips(axes, series)
    clock = end >= _FROM_MINUTES
    if clock:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: mm_ss(x)))
    axes.set_xlabel(f"time ({'minutes:seconds' if clock else 'seconds'})", fontsize=9)
    figure.text(0.02, 0.1 / total, _note(table, series), fontsize=7.5, color="#444444")
    return figure


def mm_ss(seconds: float) -> str:
    """Write a time as minutes:seconds, or hours:minutes:seconds from an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02d}:{rest:02d}"
    return f"{minutes}:{rest:02d}"


def _panel(axes: Axes, one: Series, styles: dict[str, Look]) -> None:
    name, families = lettered(one.model if one.model != FUSED else "fused (all models)")
    axes.set_title(
        textwrap.shorten(name, 80, placeholder=" ...") or name[:80],
        loc="left",
        fontsize=9,
        # The bold font of a family may lack what the other has.
        fontweight="bold" if name.isascii() else "normal",
        fontfamily=families,
        parse_math=False,
        pad=4,
    )
    axes.set_ylabel(one.kind, fontsize=9)
    _empty_times(axes, one)
    if not one.emotions:
        axes.set_ylim(0, 1)
        axes.set_yticks([])
        why, families = lettered("\n".join(textwrap.wrap(one.reason, 90)[:4]))
        axes.text(
            0.5,
            0.5,
            "no scores" + (f":\n{why}" if why else ""),
            transform=axes.transAxes,
            ha="center",
            va="center",
            fontsize=9,
            fontfamily=families,
            parse_math=False,
        )
        return
    probability = one.kind == PROBABILITY
    handles = (_areas if probability else _lines)(axes, one, styles)
    texts = [
        f"{lettered(textwrap.shorten(name, 24, placeholder='…'))[0]}  {mean:.2f}"
        for name, mean in zip(one.emotions, one.means(), strict=True)
    ]
    # Areas are named as they lie, the first at the bottom.
    step = -1 if probability else 1
    legend = axes.legend(
        handles[::step],
        texts[::step],
        title="mean of the clip",
        loc="upper left",
        bbox_to_anchor=(1.01, 1.04),
        fontsize=8,
        title_fontsize=7.5,
        frameon=False,
        handlelength=3.2,
        handleheight=1.1,
        labelspacing=0.3,
        borderaxespad=0,
        alignment="left",
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
        text.set_fontfamily(lettered(text.get_text())[1])


def _stairs(one: Series, column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y (2 n) of the steps."""
    return np.repeat(one.edges, 2)[1:-1], np.repeat(column, 2)


def _areas(axes: Axes, one: Series, styles: dict[str, Look]) -> list:
    known = np.isfinite(one.values).any(axis=1)
    values = np.where(known[:, None], np.nan_to_num(one.values), np.nan)
    upper = np.cumsum(values, axis=1)
    handles = []
    for k, name in enumerate(one.emotions):
        x, low = _stairs(one, upper[:, k] - values[:, k])
        _, high = _stairs(one, upper[:, k])
        look = TOGETHER if name == OTHERS else styles[name]
        handles.append(
            axes.fill_between(
                x,
                low,
                high,
                facecolor=look.area,
                hatch=look.hatch,
                edgecolor="#222222",
                linewidth=0.3,
            )
        )
    axes.set_ylim(0, max(1.0, float(np.nanmax(upper))))
    axes.set_yticks([0, 0.5, 1])
    return handles


def _lines(axes: Axes, one: Series, styles: dict[str, Look]) -> list:
    handles = []
    for k, name in enumerate(one.emotions):
        x, y = _stairs(one, one.values[:, k])
        look = styles[name]
        handles += axes.plot(
            x, y, color=look.line, linestyle=look.dashes, linewidth=1.6
        )
    low, high = np.nanmin(one.values), np.nanmax(one.values)
    space = 0.06 * max(high - min(low, 0.0), 1e-3)
    axes.set_ylim(min(low - space, 0.0), max(high + space, space))
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.grid(axis="y", alpha=0.3)
    if low < 0:
        axes.axhline(0, color=GREY, linewidth=0.8)
    return handles


def _empty_times(axes: Axes, one: Series) -> None:
    """Shade where there is no score."""
    empty = ~np.isfinite(one.values).any(axis=1)
    axes.fill_between(
        *_stairs(one, np.where(empty, 1.0, np.nan)),
        facecolor="#EFEFEF",
        transform=axes.get_xaxis_transform(),
        linewidth=0,
        zorder=0,
    )


def _strips(axes: Axes, series: list[Series]) -> None:
    """Draw when each modality was used by some model; the height is the share."""
    models = [one for one in series if one.model != FUSED] or series
    grid = np.unique(np.concatenate([one.edges for one in models]))
    middle = (grid[:-1] + grid[1:]) / 2
    steps = [np.searchsorted(one.edges, middle, side="right") - 1 for one in models]
    shares = np.max(
        [
            one.present[np.clip(step, 0, len(one.present) - 1)]
            for one, step in zip(models, steps, strict=True)
        ],
        axis=0,
    )
    rows = len(MODALITIES)
    lengths = np.diff(grid)
    for row in range(rows):
        base = rows - 1 - row
        axes.axhline(base, color="#CCCCCC", linewidth=0.6)
        axes.fill_between(
            np.repeat(grid, 2)[1:-1],
            base,
            base + 0.8 * np.repeat(shares[:, row], 2),
            facecolor=BLUE,
            linewidth=0,
        )
        mean = lengths @ shares[:, row] / max(lengths.sum(), 1e-12)
        words = "not used" if mean == 0 else f"used {mean:.0%} of the time"
        axes.text(
            1.01,
            (base + 0.4) / rows,
            words,
            transform=axes.transAxes,
            va="center",
            fontsize=8,
        )
    axes.set_ylim(-0.05, rows)
    axes.set_yticks([rows - 1 - row + 0.4 for row in range(rows)], MODALITIES)
    axes.tick_params(axis="y", length=0, labelsize=8)
    axes.tick_params(axis="x", labelsize=8)


def _note(table: pd.DataFrame, series: list[Series]) -> str:
    parts = ["Estimates of expression, not of feelings."]
    if any(not np.isfinite(one.values).any(axis=1).all() for one in series):
        parts.append("Grey: no score.")
    steps = {float(s.edges[1]) for s in series if len(s.values) == MOST_STEPS}
    if steps:
        spans = int(table.groupby("model").size().max())
        parts.append(f"{spans:,} spans, drawn as means of {max(steps):.3g} s.")
    count = int(table.drop(columns=list(FIRST)).notna().any().sum())
    if count > len(drawn := {name for one in series for name in one.emotions}):
        parts.append(f"Of {count} emotions the {len(drawn - {OTHERS})} strongest.")
    return " ".join(parts)
