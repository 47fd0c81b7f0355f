"""Pictures of the faces that a network was shown, for people to look at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

_SIDE, _LINE = 96, 14
_PER_ROW = 12


class Thumbnails:
    """A few crops of each track, evenly spread over a clip of unknown length."""

    def __init__(self, most: int = 12) -> None:
        self.most = most
        self.rows: dict[int, np.ndarray] = {}
        self._steps: dict[int, int] = defaultdict(lambda: 1)
        self._kept: dict[int, list[int]] = defaultdict(list)
        self._seen: dict[int, int] = defaultdict(int)

    def add(self, row: int, track: int, crop: np.ndarray) -> None:
        """Offer the crop of a row; every second one goes when there are too many."""
        number = self._seen[track]
        self._seen[track] += 1
        if number % self._steps[track]:
            return
        # Small at once, since a long video has many tracks.
        self.rows[row] = _small(crop)
        kept = self._kept[track]
        kept.append(row)
        if len(kept) > self.most:
            for other in kept[1::2]:
                del self.rows[other]
            self._kept[track] = kept[::2]
            self._steps[track] *= 2


def strip(
    crops: Sequence[np.ndarray], captions: Sequence[str], title: str
) -> Image.Image:
    """Draw crops in rows of twelve, each over its caption, under a title.

    Parameters
    ----------
    crops : sequence of (S, S) or (S, S, 3) uint8
        Grey or RGB, at least one.
    captions : sequence of str
        One each.
    title : str
        One line.

    Returns
    -------
    PIL.Image.Image
        Grey or RGB, as the crops; all strips have the same width.
    """
    rows = -(-len(crops) // _PER_ROW)
    high = _SIDE + _LINE
    mode = "L" if crops[0].ndim == 2 else "RGB"
    sheet = Image.new(mode, (_PER_ROW * _SIDE, _LINE + rows * high), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((2, 1), title, fill="black")
    for number, (crop, caption) in enumerate(zip(crops, captions, strict=True)):
        x, y = number % _PER_ROW * _SIDE, _LINE + number // _PER_ROW * high
        sheet.paste(Image.fromarray(_small(crop)), (x, y))
        draw.text((x + 2, y + _SIDE), caption, fill="black")
    return sheet


def stack(paths: Sequence[Path]) -> Image.Image:
    """Put strips that were written to files under one another."""
    strips = []
    for path in paths:
        with Image.open(path) as image:
            strips.append(image.convert("L"))
    return under_one_another(strips)


def under_one_another(strips: Sequence[Image.Image]) -> Image.Image:
    """Put strips, one or more of one mode, under one another."""
    width = max(image.width for image in strips)
    size = (width, sum(image.height for image in strips))
    sheet = Image.new(strips[0].mode, size, "white")
    top = 0
    for image in strips:
        sheet.paste(image, (0, top))
        top += image.height
    return sheet


def _small(crop: np.ndarray) -> np.ndarray:
    if crop.shape[:2] == (_SIDE, _SIDE):
        return crop
    picture = Image.fromarray(crop)
    return np.asarray(picture.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR))
