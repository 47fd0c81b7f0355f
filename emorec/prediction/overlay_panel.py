"""The panel of scores that stands beside the picture of a video."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from emorec.prediction.asking import FUSED
from emorec.prediction.lettering import font_file
from emorec.prediction.looks import TOGETHER, looks
from emorec.prediction.recordings import MODALITIES
from emorec.prediction.series import OTHERS, PROBABILITY, Series, strongest

_MOST = 10
_BACKGROUND, _TEXT, _FAINT = "#161616", "#FFFFFF", "#9A9A9A"
_NOTE = "Estimates of expression"
# Heights of a line of text in pixels: of the smallest readable one, and the largest.
_SMALLEST, _LARGEST = 14, 36
_LINES = 36  # of a picture's height
_WIDE = 13  # width of a column in lines


class _Block(NamedTuple):
    """Where a model's scores stand."""

    series: Series
    x: int
    y: int
    low: float
    high: float


class Panel:
    """Scores of all models at a moment, as bars with names and numbers.

    Parameters
    ----------
    series : sequence of Series
        One or more models.
    height : int
        Of the picture in pixels. The panel is higher where a model needs it, and wider
        where there are many.

    Attributes
    ----------
    width, height : int
        Pixels, even.
    """

    def __init__(self, series: Sequence[Series], height: int) -> None:
        self._line = int(np.clip(height / _LINES, _SMALLEST, _LARGEST))
        shown = [strongest(one, _MOST) for one in series]
        tall = [self._line * (len(one.emotions) + 3) for one in shown]
        self.height = _even(max(height, *(part + self._line for part in tall)))
        self._blocks: list[_Block] = []
        x = y = 0
        for one, part in zip(shown, tall, strict=True):
            if y + part > self.height - self._line:
                x, y = x + _WIDE * self._line, 0
            self._blocks.append(_Block(one, x, y, *_range(one)))
            y += part
        self.width = _even(x + _WIDE * self._line)
        emotions = [name for one in shown for name in one.emotions if name != OTHERS]
        self._looks = looks(list(dict.fromkeys(emotions))) | {OTHERS: TOGETHER}
        self._drawn: tuple[tuple[int, ...], np.ndarray] | None = None

    def at(self, time: float) -> np.ndarray:
        """Return the panel (height, width, 3) uint8 at a time in seconds."""
        steps = tuple(
            int(np.searchsorted(block.series.edges, time, side="right"))
            for block in self._blocks
        )
        if self._drawn is None or self._drawn[0] != steps:
            self._drawn = steps, self._draw(time)
        return self._drawn[1]

    def _draw(self, time: float) -> np.ndarray:
        image = Image.new("RGB", (self.width, self.height), _BACKGROUND)
        pen = ImageDraw.Draw(image)
        for block in self._blocks:
            self._model(pen, block, time)
        self._write(pen, self._line // 2, self.height - self._line, _NOTE, _FAINT, 0.62)
        return np.asarray(image)

    def _model(self, pen: ImageDraw.ImageDraw, block: _Block, time: float) -> None:
        one, line = block.series, self._line
        scores, used = one.at(time)
        left, y = block.x + line // 2, block.y + line // 3
        name = "fused" if one.model == FUSED else one.model
        self._write(pen, left, y, name, _FAINT, 0.66)
        y += line
        if np.isnan(scores).all():
            self._write(pen, left, y, "no score", _TEXT, 0.8)
        else:
            best = int(np.nanargmax(scores))
            parts = [m for m, u in zip(MODALITIES, used, strict=True) if u > 0]
            told = f"{one.emotions[best]} {scores[best]:.2f}"
            self._write(pen, left, y, told, _TEXT, 0.8)
            self._write(
                pen,
                block.x + (_WIDE - 0.5) * line,
                y,
                "+".join(parts),
                _FAINT,
                0.6,
                right=True,
            )
        y += round(1.1 * line)
        begin, end = left + round(5 * line), block.x + round((_WIDE - 2.4) * line)
        for name, score in zip(one.emotions, scores, strict=True):
            self._write(pen, left, y, name, _TEXT, 0.66)
            middle = y + 0.45 * line
            pen.line((begin, middle, end, middle), fill="#3A3A3A")
            if np.isfinite(score):
                ends = sorted(
                    begin + (end - begin) * np.clip(part, 0, 1)
                    for part in (
                        -block.low / (block.high - block.low),
                        (score - block.low) / (block.high - block.low),
                    )
                )
                colour = ImageColor.getrgb(self._looks[name].area)
                pen.rectangle(
                    (ends[0], y + 0.2 * line, ends[1], y + 0.72 * line), fill=colour
                )
                x = block.x + round((_WIDE - 0.5) * line)
                self._write(pen, x, y, f"{score:.2f}", _TEXT, 0.66, right=True)
            y += line

    def _write(
        self,
        pen: ImageDraw.ImageDraw,
        x: float,
        y: float,
        text: str,
        colour: str,
        size: float,
        right: bool = False,
    ) -> None:
        text, file = font_file(text)
        font = ImageFont.truetype(file, max(9, round(size * self._line)))
        room = (_WIDE - 1.0) * self._line
        while len(text) > 2 and font.getlength(text) > room:
            text = text[:-2] + "…"
        pen.text((x, y), text, colour, font, anchor="ra" if right else "la")


def _even(pixels: float) -> int:
    return 2 * int(np.ceil(pixels / 2))


def _range(one: Series) -> tuple[float, float]:
    """Return what a bar's ends stand for."""
    if one.kind == PROBABILITY or not np.isfinite(one.values).any():
        return 0.0, 1.0
    low, high = np.nanmin(one.values), np.nanmax(one.values)
    return min(0.0, float(low)), max(1.0, float(high))
