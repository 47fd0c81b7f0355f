"""Drawn faces with FER+'s eight emotions, for the miniatures.

A face is a shape, six numbers that an emotion moves, and a look, which it does not.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

# Of each emotion: mouth corners up, mouth open, brows up, their inner ends up, eyes
# open, one corner of the mouth alone.
SHAPES = {
    "neutral": (0.0, 0.05, 0.0, 0.0, 0.5, 0.0),
    "happiness": (1.0, 0.35, 0.1, 0.0, 0.4, 0.0),
    "surprise": (0.0, 1.0, 1.0, 0.0, 1.0, 0.0),
    "sadness": (-0.8, 0.05, 0.0, 0.9, 0.3, 0.0),
    "anger": (-0.3, 0.1, -0.6, -1.0, 0.6, 0.0),
    "disgust": (-0.6, 0.3, -0.5, -0.3, 0.15, 0.5),
    "fear": (-0.4, 0.6, 0.8, 0.8, 1.0, 0.0),
    "contempt": (0.1, 0.0, 0.0, 0.0, 0.4, 1.0),
}
MOUTH_OPEN, EYES = 1, 4  # places in a shape


class Look(NamedTuple):
    """What a face looks like whatever it feels.

    Attributes
    ----------
    skin, dark, background : float
        Grey of 0 to 255; dark are pupils, brows and lines.
    tilt : float
        Of the head, in radians.
    centre : (2,) array
        Where the face is, x and y from the middle of its box, in sides of the box.
    scale : float
        Size of the face in sides of the box: half its height is 1.1 of it.
    blur : float
        In pixels of the result.
    light : (2,) tuple of float
        How much brighter the right and the lower border are than the middle.
    width, mouth, apart : float
        Half the width of the face, half that of the mouth, and half the distance of
        the eyes, in units of `scale`.
    clothes : float or None
        Grey of neck and shoulders below the face; None draws none.
    """

    skin: float
    dark: float
    background: float
    tilt: float
    centre: np.ndarray
    scale: float
    blur: float
    light: tuple[float, float]
    width: float = 0.85
    mouth: float = 0.4
    apart: float = 0.35
    clothes: float | None = None


def any_look(random: np.random.Generator) -> Look:
    """Draw the look of a face that belongs to nobody."""
    return Look(
        skin=random.uniform(120, 220),
        dark=random.uniform(10, 60),
        background=random.uniform(20, 240),
        tilt=np.deg2rad(random.normal(0, 6)),
        centre=random.normal(0, 0.03, 2),
        scale=random.uniform(0.40, 0.47),
        blur=random.uniform(0.2, 0.8),
        light=(random.uniform(-25, 25), random.uniform(-25, 25)),
    )


def blend(emotion: str | np.ndarray, strength: float | np.ndarray) -> np.ndarray:
    """Return the shape (..., 6) of an emotion, by name or its own shape (6,).

    A strength of 0 is the neutral one, 1 the full one.
    """
    full = SHAPES[emotion] if isinstance(emotion, str) else emotion
    neutral = np.array(SHAPES["neutral"])
    return neutral + np.multiply.outer(strength, np.array(full) - neutral)


def draw_face(
    shape: np.ndarray,
    look: Look,
    random: np.random.Generator,
    size: int,
    enlarged: float = 1.0,
    noise: float = 6.0,
    zoom: int = 4,
) -> np.ndarray:
    """Draw a face.

    Parameters
    ----------
    shape : (6,) float
        See `SHAPES`; a little beyond 0 to 1 is drawn, too.
    look : Look
        Everything else.
    random : numpy.random.Generator
        Source of the noise.
    size : int
        Side of the result in pixels.
    enlarged : float
        The face's box is the central ``1 / enlarged`` of the sides.
    noise : float
        Deviation of each pixel's grey.
    zoom : int
        How many times larger lines are drawn, so that they are smooth.

    Returns
    -------
    (size, size) uint8
    """
    corners, mouth_open, brows, inner, eyes, one_sided = shape
    side = size * zoom
    image = Image.new("L", (side, side), int(look.background))
    pen = ImageDraw.Draw(image)
    box = side / enlarged
    centre = side / 2 + box * look.centre
    scale = box * look.scale
    cos, sin = np.cos(look.tilt), np.sin(look.tilt)
    turn = np.array([[cos, -sin], [sin, cos]])

    def place(points):
        points = np.asarray(points) * scale
        return (points @ turn.T + centre).ravel().tolist()

    def curve(points, width):
        width = int(width * scale)
        pen.line(place(points), fill=int(look.dark), width=width, joint="curve")

    if look.clothes is not None:
        pen.polygon(place(_SHOULDERS), fill=int(look.clothes))
        pen.polygon(place(_NECK), fill=int(0.85 * look.skin))
    pen.polygon(place(_CIRCLE * [look.width, 1.1]), fill=int(look.skin))
    for sign in (-1, 1):
        middle = np.array([sign * look.apart, -0.22])
        height = 0.05 + 0.11 * max(eyes, 0)
        pen.polygon(place(middle + _CIRCLE * [0.17, height]), fill=245)
        pen.polygon(place(middle + _CIRCLE * 0.07), fill=int(look.dark))
        brow = -0.42 - 0.12 * brows
        ends = (look.apart - 0.2, look.apart + 0.2)
        curve(
            [
                (sign * ends[0], brow - 0.12 * inner),
                (sign * ends[1], brow + 0.06 * inner),
            ],
            0.07,
        )
    curve([(0.0, -0.1), (0.06, 0.15), (-0.04, 0.17)], 0.04)
    x = look.mouth * _ALONG
    lift = 0.22 * (corners + one_sided * (x > 0)) * _ALONG**2
    gap = 0.2 * max(mouth_open, 0) * np.sqrt(np.clip(1 - _ALONG**2, 0, 1))
    upper = np.stack([x, 0.55 - lift - gap], axis=1)
    lower = np.stack([x, 0.55 - lift + gap], axis=1)
    pen.polygon(place(np.concatenate([upper, lower[::-1]])), fill=int(look.dark / 2))
    curve(upper, 0.05)
    curve(lower, 0.05)
    if look.blur:
        image = image.filter(ImageFilter.GaussianBlur(zoom * look.blur))
    pixels = np.asarray(image.resize((size, size), Image.Resampling.BOX), float)
    ramp = np.linspace(-enlarged, enlarged, size)
    light = look.light[0] * ramp + look.light[1] * ramp[:, None]
    pixels = pixels + light + random.normal(0, noise, pixels.shape)
    return np.clip(pixels, 0, 255).astype(np.uint8)


_ALONG = np.linspace(-1, 1, 21)
_ANGLES = np.linspace(0, 2 * np.pi, 60)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
_NECK = [(-0.4, 0.6), (0.4, 0.6), (0.45, 1.4), (-0.45, 1.4)]
_SHOULDERS = [(-0.4, 1.2), (0.4, 1.2), (1.9, 1.7), (1.9, 3.5), (-1.9, 3.5), (-1.9, 1.7)]
