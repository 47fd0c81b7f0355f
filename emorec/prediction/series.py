"""Scores over time: what models said of spans, as steps on one clock.

Spans may overlap and leave gaps. At each moment the score is the mean of those of the
spans that hold the moment.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from emorec.prediction.asking import FUSED
from emorec.prediction.outputs import FIRST
from emorec.prediction.recordings import MODALITIES

PROBABILITY = "probability"
# Emotions that are shown as one.
OTHERS = "the others"


class Series(NamedTuple):
    """The scores of one model over time, as steps.

    Attributes
    ----------
    model : str
        Its name.
    kind : str
        ``probability``, ``intensity`` or ``sentiment``.
    emotions : tuple of str
        K names; those of which the model has a score somewhere.
    edges : (n + 1,) float64
        Seconds, ascending; step i lasts from edge i to edge i + 1.
    values : (n, K) float64
        NaN where the model has no score.
    present : (n, 3) float64
        Share of the spans in which it used each of
        `emorec.prediction.recordings.MODALITIES`, weighted by time, 0 to 1; 0 where
        there is no span.
    reason : str
        The most frequent reason why something was missing; empty where nothing was.
    """

    model: str
    kind: str
    emotions: tuple[str, ...]
    edges: np.ndarray
    values: np.ndarray
    present: np.ndarray
    reason: str

    def at(self, time: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the scores (K,) and what was used (3,) at a time in seconds."""
        step = int(np.searchsorted(self.edges, time, side="right")) - 1
        if not 0 <= step < len(self.values):
            return np.full(len(self.emotions), np.nan), np.zeros(len(MODALITIES))
        return self.values[step], self.present[step]

    def means(self) -> np.ndarray:
        """Return the mean (K,) of each score over the time that has one."""
        return _weighted(self.values, np.diff(self.edges))

    def shares(self) -> np.ndarray:
        """Return the share (3,) of the whole time in which each modality was used."""
        lengths = np.diff(self.edges)
        return lengths @ self.present / max(lengths.sum(), 1e-12)


def emotions_of(table: pd.DataFrame) -> list[str]:
    """Return the columns of a table of predictions that hold scores."""
    return [str(column) for column in table.columns if column not in FIRST]


def models_of(table: pd.DataFrame) -> list[str]:
    """Return the models of a table in their order, the fusion last."""
    names = [str(name) for name in dict.fromkeys(table["model"])]
    return [n for n in names if n != FUSED] + [n for n in names if n == FUSED]


def series_of(
    table: pd.DataFrame, duration: float, most: int | None = None
) -> list[Series]:
    """Turn a table of predictions of one clip into steps over time.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per model and span, with the columns `emorec.prediction.outputs.FIRST`
        and one per emotion.
    duration : float
        Seconds of the clip; the steps go from 0 to it, or to the end of the last span
        if that is later.
    most : int, optional
        At most this many steps. Where spans begin and end more often, steps of equal
        length hold means over time.

    Returns
    -------
    list of Series
        In the order of `models_of`.
    """
    names = emotions_of(table)
    end = max([duration, *table["end"].to_numpy(float)], default=duration)
    found = []
    for model in models_of(table):
        rows = table[table["model"] == model]
        start, stop = (rows[column].to_numpy(float) for column in ("start", "end"))
        edges = np.unique(np.concatenate([[0.0, end], start, stop]))
        if most is not None and len(edges) > most + 1:
            edges = np.linspace(0.0, end, most + 1)
        scores = rows[names].to_numpy(float)
        known = np.isfinite(scores).any(axis=0)
        used = [set(_parts(text)) for text in rows["modalities"]]
        there = np.array([[name in parts for name in MODALITIES] for parts in used])
        present = [_steps(start, stop, column, edges) for column in there.T]
        values = [_steps(start, stop, column, edges) for column in scores.T[known]]
        found.append(
            Series(
                model,
                str(rows["kind"].iloc[0]),
                tuple(np.array(names)[known].tolist()),
                edges,
                np.array(values).reshape(len(values), len(edges) - 1).T,
                np.nan_to_num(np.stack(present, axis=1)),
                _most_frequent(rows["reason"]),
            )
        )
    return found


def strongest(one: Series, most: int) -> Series:
    """Keep the emotions with the largest means, where there are too many to draw.

    Probabilities of the others are added; their intensities are left out.
    """
    count = len(one.emotions)
    if count <= most:
        return one
    order = np.argsort(-np.nan_to_num(one.means()), kind="stable")
    kept, left = np.sort(order[: most - 1]), order[most - 1 :]
    values, emotions = one.values[:, kept], [one.emotions[k] for k in kept]
    if one.kind == PROBABILITY:
        rest = one.values[:, left].sum(axis=1, keepdims=True)
        values = np.concatenate([values, rest], axis=1)
        emotions.append(OTHERS)
    return one._replace(emotions=tuple(emotions), values=values)


def _parts(text: object) -> list[str]:
    # An empty cell of a CSV is read as NaN.
    return text.split("+") if isinstance(text, str) and text else []


def _most_frequent(reasons: pd.Series) -> str:
    said = [text for text in reasons if isinstance(text, str) and text]
    return max(dict.fromkeys(said), key=said.count) if said else ""


def _steps(
    start: np.ndarray, stop: np.ndarray, values: np.ndarray, edges: np.ndarray
) -> np.ndarray:
    """Return for each step the mean of the spans by the time that they share with it.

    Of a step without any, NaN. The sums are integrals of step functions, so that their
    cost does not grow with spans times steps.
    """
    values = np.asarray(values, float)
    known = np.isfinite(values)
    start, stop, values = start[known], stop[known], values[known]
    if not len(values):
        return np.full(len(edges) - 1, np.nan)
    total = _integral(start, stop, values, edges)
    time = _integral(start, stop, np.ones(len(values)), edges)
    enough = time > 1e-6 * np.diff(edges)
    return np.divide(total, time, out=np.full(len(time), np.nan), where=enough)


def _integral(
    start: np.ndarray, stop: np.ndarray, values: np.ndarray, edges: np.ndarray
) -> np.ndarray:
    """Integrate over each step the sum of `values` of the spans that hold a moment."""
    times = np.concatenate([start, stop])
    order = np.argsort(times, kind="stable")
    times = times[order]
    level = np.cumsum(np.concatenate([values, -values])[order])
    area = np.concatenate([[0.0], np.cumsum(level[:-1] * np.diff(times))])
    return np.diff(np.interp(edges, times, area))


def _weighted(values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    known = np.isfinite(values)
    time = lengths @ known
    total = lengths @ np.where(known, values, 0.0)
    return np.divide(total, time, out=np.full(len(time), np.nan), where=time > 0)
