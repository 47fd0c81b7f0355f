"""A miniature of FER+: drawn faces and drawn votes, in FER+'s own files.

Nothing in it is a photograph of a person; its scores say that the program works.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFilter

from emorec.corpora.ferplus import SIZE, USAGES, VOTES_FILE, is_ferplus
from emorec.files import whole_file
from emorec.labels import FERPLUS, FERPLUS_VOTES
from emorec.progress import track

DATASET = "emorec faces miniature (synthetic)"
FOLDER = "miniature"
_COUNTS = {"Training": 560, "PublicTest": 96, "PrivateTest": 96}
_SHARES = (0.30, 0.24, 0.12, 0.12, 0.10, 0.03, 0.06, 0.03)
# Of each emotion: mouth corners up, mouth open, brows up, their inner ends up, eyes
# open, one corner of the mouth alone.
_SHAPES = {
    "neutral": (0.0, 0.05, 0.0, 0.0, 0.5, 0.0),
    "happiness": (1.0, 0.35, 0.1, 0.0, 0.4, 0.0),
    "surprise": (0.0, 1.0, 1.0, 0.0, 1.0, 0.0),
    "sadness": (-0.8, 0.05, 0.0, 0.9, 0.3, 0.0),
    "anger": (-0.3, 0.1, -0.6, -1.0, 0.6, 0.0),
    "disgust": (-0.6, 0.3, -0.5, -0.3, 0.15, 0.5),
    "fear": (-0.4, 0.6, 0.8, 0.8, 1.0, 0.0),
    "contempt": (0.1, 0.0, 0.0, 0.0, 0.4, 1.0),
}
# Drawn larger and then made smaller, so that lines are smooth.
_ZOOM = 4


def is_miniature(folder: str | Path) -> bool:
    """Tell whether a folder holds the miniature."""
    return (Path(folder) / "SYNTHETIC").is_file()


def write_ferplus(folder: str | Path, seed: int = 0) -> bool:
    """Write the miniature: 752 faces in three folders, and their votes.

    Votes scatter as people's do: of a weak expression some see another emotion. One
    row has no image, one face no emotion, and one stands in two splits, as in FER+.

    Returns
    -------
    bool
        False when it was there already, complete.
    """
    folder = Path(folder)
    if is_ferplus(folder):
        return False
    random = np.random.default_rng(seed)
    (folder / "SYNTHETIC").parent.mkdir(parents=True, exist_ok=True)
    (folder / "SYNTHETIC").write_text("Drawn by emorec; no photographs of people.\n")
    rows, first = [], None
    total = sum(_COUNTS.values())
    usages = [usage for usage, count in _COUNTS.items() for _ in range(count)]
    for number, usage in enumerate(track(usages, "Drawing faces", total)):
        face, votes = _draw(random)
        if first is None:
            first = face, votes
        if number == total - 1:
            face, votes = first
        name = f"fer{number:07d}.png"
        path = folder / USAGES[usage][1] / name
        with whole_file(path) as temporary:
            face.save(temporary)
        rows.append([usage, name, *votes])
    nothing = [0] * len(FERPLUS)
    rows.append(["Training", "", *nothing, 1, 9])
    rows[1][2:] = [*nothing, 8, 2]
    table = pd.DataFrame(rows, columns=["Usage", "Image name", *FERPLUS_VOTES.labels])
    # Last, so that an interrupted writing is taken up again.
    with whole_file(folder / VOTES_FILE) as temporary:
        table.to_csv(temporary, index=False)
    return True


def _draw(random: np.random.Generator) -> tuple[Image.Image, list[int]]:
    """Draw one face; return it with ten votes."""
    emotion = random.choice(len(FERPLUS), p=_SHARES)
    strength = random.uniform(0.45, 1.0)
    neutral = np.array(_SHAPES["neutral"])
    shape = np.array(_SHAPES[FERPLUS.labels[emotion]])
    shape = neutral + strength * (shape - neutral) + random.normal(0, 0.08, 6)
    opinion = np.full(len(FERPLUS), 0.02)
    opinion[0] += 0.6 * (1 - strength)
    opinion[emotion] += strength
    votes = random.multinomial(10, opinion / opinion.sum())
    return _render(shape, random), [*votes.tolist(), 0, 0]


def _render(shape: np.ndarray, random: np.random.Generator) -> Image.Image:
    corners, mouth_open, brows, inner, eyes, one_sided = shape
    side = SIZE * _ZOOM
    skin, dark = random.uniform(120, 220), random.uniform(10, 60)
    image = Image.new("L", (side, side), int(random.uniform(20, 240)))
    pen = ImageDraw.Draw(image)
    tilt = np.deg2rad(random.normal(0, 6))
    centre = side / 2 + random.normal(0, 0.03 * side, 2)
    scale = side * random.uniform(0.40, 0.47)

    def place(points):
        points = np.asarray(points) * scale
        turn = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
        return [tuple(point) for point in points @ turn.T + centre]

    def curve(points, width):
        pen.line(place(points), fill=int(dark), width=int(width * scale), joint="curve")

    angles = np.linspace(0, 2 * np.pi, 60)
    outline = np.stack([0.85 * np.cos(angles), 1.1 * np.sin(angles)], axis=1)
    pen.polygon(place(outline), fill=int(skin))
    for sign in (-1, 1):
        height = 0.05 + 0.11 * max(eyes, 0)
        eye = np.stack(
            [sign * 0.35 + 0.17 * np.cos(angles), -0.22 + height * np.sin(angles)], 1
        )
        pen.polygon(place(eye), fill=245)
        pupil = np.stack(
            [sign * 0.35 + 0.07 * np.cos(angles), -0.22 + 0.07 * np.sin(angles)], 1
        )
        pen.polygon(place(pupil), fill=int(dark))
        brow = -0.42 - 0.12 * brows
        curve(
            [(sign * 0.15, brow - 0.12 * inner), (sign * 0.55, brow + 0.06 * inner)],
            0.07,
        )
    curve([(0.0, -0.1), (0.06, 0.15), (-0.04, 0.17)], 0.04)
    x = np.linspace(-0.4, 0.4, 21)
    lift = 0.22 * (corners + one_sided * (x > 0)) * (x / 0.4) ** 2
    gap = 0.2 * max(mouth_open, 0) * np.sqrt(np.clip(1 - (x / 0.4) ** 2, 0, 1))
    upper = np.stack([x, 0.55 - lift - gap], axis=1)
    lower = np.stack([x, 0.55 - lift + gap], axis=1)
    pen.polygon(place(np.concatenate([upper, lower[::-1]])), fill=int(dark / 2))
    curve(upper, 0.05)
    curve(lower, 0.05)
    image = image.filter(ImageFilter.GaussianBlur(_ZOOM * random.uniform(0.2, 0.8)))
    pixels = np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BOX), float)
    ramp = np.linspace(-1, 1, SIZE)
    light = random.uniform(-25, 25) * ramp + random.uniform(-25, 25) * ramp[:, None]
    pixels = pixels + light + random.normal(0, 6, pixels.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
