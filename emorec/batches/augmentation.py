"""Random changes of face images, drawn and applied a batch at a time.

Geometry first: one affine map per image, so that pixels are sampled once. Everything
follows from the generator that is handed in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emorec.errors import SpecError


@dataclass(frozen=True)
class Augmentation:
    """What may happen to an image in training; nothing by default.

    Attributes
    ----------
    geometry : str
        Key of `GEOMETRIES`.
    erase : float
        Probability that a rectangle of 2 to 20 % of the image is filled with the mean
        (Zhong et al., 2020, "Random Erasing Data Augmentation").
    jitter : float
        Largest relative change of contrast, and of brightness in units of the scale.
    mixup : float
        Parameter of the Beta distribution from which shares of two images and of their
        labels are drawn (Zhang et al., 2018, "mixup"); 0 mixes nothing.
    """

    geometry: str = "none"
    erase: float = 0.0
    jitter: float = 0.0
    mixup: float = 0.0

    def __post_init__(self) -> None:
        if self.geometry not in GEOMETRIES:
            raise SpecError(
                f"--augment {self.geometry}: expected one of {', '.join(GEOMETRIES)}."
            )
        for name, high in (("erase", 1.0), ("jitter", 1.0), ("mixup", 10.0)):
            value = getattr(self, name)
            if not 0 <= value <= high:
                raise SpecError(f"--{name} {value}: expected 0 to {high:g}.")


def draw_maps(
    geometry: str, count: int, random: np.random.Generator, size: int
) -> np.ndarray:
    """Draw affine maps from positions in the output to positions in the image.

    Positions are (y, x) in [-1, 1], corner pixels at -1 and 1.

    Returns
    -------
    (count, 2, 3) float32
    """
    maps = GEOMETRIES[geometry](count, random, size)
    return np.ascontiguousarray(maps[:, :2], np.float32)


def _identity(count: int, random: np.random.Generator, size: int) -> np.ndarray:
    return np.tile(np.eye(3), (count, 1, 1))


def _flip(count: int, random: np.random.Generator, size: int) -> np.ndarray:
    maps = _identity(count, random, size)
    maps[:, 1, 1] = random.choice([-1.0, 1.0], count)
    return maps


def _rotations(angles: np.ndarray) -> np.ndarray:
    """Return rotations (n, 3, 3) by angles in degrees."""
    maps = np.tile(np.eye(3), (len(angles), 1, 1))
    cosine, sine = np.cos(np.deg2rad(angles)), np.sin(np.deg2rad(angles))
    maps[:, 0, 0] = maps[:, 1, 1] = cosine
    maps[:, 0, 1], maps[:, 1, 0] = -sine, sine
    return maps


def _albanie(
    count: int, random: np.random.Generator, size: int, literal: bool = False
) -> np.ndarray:
    """Zoom, rotate and shear half of the images, flip half of them.

    Albanie et al. (2018), the training of their face networks. Their program draws the
    offset of a zoom in whole pixels, 1 to a 25th of the size, where a share of the
    freed margin, 0 to 1, was surely meant; `literal` does as it does.
    """
    shears = np.tile(np.eye(3), (count, 1, 1))
    shears[:, 0, 1] = random.choice([-0.1, 0.0, 0.1], count)
    shears[:, 1, 0] = random.choice([-0.1, 0.0, 0.1], count)
    zoom = random.uniform(1 - 1 / 25, 1 + 1 / 25, count)
    largest = max(1, round(size / 25))
    if literal:
        offset = random.integers(1, largest, (2, count), endpoint=True)
    else:
        offset = random.uniform(0, 1, (2, count))
    zooms = np.tile(np.eye(3), (count, 1, 1))
    zooms[:, 0, 0] = zooms[:, 1, 1] = zoom
    zooms[:, :2, 2] = ((zoom - 1) * (1 - 2 * offset)).T
    maps = zooms @ _rotations(random.choice([-10.0, 0.0, 10.0], count)) @ shears
    maps[random.random(count) < 0.5] = np.eye(3)
    # The program flips the image, then samples it.
    return _flip(count, random, size) @ maps


def _albanie_literal(count: int, random: np.random.Generator, size: int) -> np.ndarray:
    return _albanie(count, random, size, literal=True)


def _microsoft(count: int, random: np.random.Generator, size: int) -> np.ndarray:
    """Shift by 8 %, zoom by 5 % an axis, rotate by 20 degrees, skew by .05, flip.

    Barsoum et al. (2016), the program of their paper.
    """
    maps = np.tile(np.eye(3), (count, 1, 1))
    zoom = random.uniform(1, 1.05, (count, 2))
    zoom = np.where(random.random((count, 2)) < 0.5, zoom, 1 / zoom)
    maps[:, 0, 0], maps[:, 1, 1] = zoom.T
    maps[:, 0, 1], maps[:, 1, 0] = random.uniform(-0.05, 0.05, (2, count))
    # A shift by a share of the size is twice that in [-1, 1].
    maps[:, :2, 2] = random.uniform(-0.16, 0.16, (count, 2))
    maps = _rotations(random.uniform(-20, 20, count)) @ maps
    return _flip(count, random, size) @ maps


GEOMETRIES = {
    "none": _identity,
    "flip": _flip,
    "albanie": _albanie,
    "albanie-literal": _albanie_literal,
    "microsoft": _microsoft,
}


def sample(
    images: np.ndarray, maps: np.ndarray | None, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sample images bilinearly over a grid whose corners are corner pixels.

    Parameters
    ----------
    images : (B, H, W) uint8 or float
    maps : (B, 2, 3) float32 or None
        From `draw_maps`; None is the identity.
    size : int
        Height and width of the output.

    Returns
    -------
    (B, size, size) float32
        Sampled values; what lies outside is 0.
    (B, size, size) float32
        How much of each output pixel lies inside, 0 to 1.
    """
    count, height, width = images.shape
    if maps is None and (height, width) == (size, size):
        return images.astype(np.float32), np.ones(images.shape, np.float32)
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    grid = np.stack(
        [np.repeat(axis, size), np.tile(axis, size), np.ones(size * size, np.float32)]
    )
    if maps is None:
        maps = np.tile(np.eye(2, 3, dtype=np.float32), (count, 1, 1))
    position = maps @ grid
    y = (position[:, 0] + 1) * np.float32((height - 1) / 2)
    x = (position[:, 1] + 1) * np.float32((width - 1) / 2)
    # A margin of zeros all round takes what lies outside.
    padded = np.zeros((count, height + 2, width + 2), np.float32)
    padded[:, 1:-1, 1:-1] = images
    inside = np.zeros((height + 2, width + 2), np.float32)
    inside[1:-1, 1:-1] = 1
    y = np.clip(y + 1, 0, np.float32(height + 1))
    x = np.clip(x + 1, 0, np.float32(width + 1))
    top, left = y.astype(np.int32), x.astype(np.int32)
    down, right = y - top, x - left
    corner = top * (width + 2) + left
    first = np.arange(count, dtype=np.int32)[:, None] * ((height + 2) * (width + 2))
    values = np.zeros(corner.shape, np.float32)
    cover = np.zeros(corner.shape, np.float32)
    padded, inside = padded.ravel(), inside.ravel()
    for step, weight in (
        (0, (1 - down) * (1 - right)),
        (1, (1 - down) * right),
        (width + 2, down * (1 - right)),
        (width + 3, down * right),
    ):
        # The last row and column have no neighbours; then the weight is 0.
        near = np.minimum(corner + step, len(inside) - 1)
        cover += inside.take(near) * weight
        values += padded.take(near + first) * weight
    shape = count, size, size
    return values.reshape(shape), cover.reshape(shape)


def change_colours(
    images: np.ndarray, augmentation: Augmentation, random: np.random.Generator
) -> np.ndarray:
    """Jitter and erase normalised images (B, H, W, C), whose mean is 0."""
    count, height, width, _ = images.shape
    if augmentation.jitter:
        strength = augmentation.jitter
        contrast = random.uniform(1 - strength, 1 + strength, (count, 1, 1, 1))
        brightness = random.uniform(-strength, strength, (count, 1, 1, 1))
        images = (images * contrast + brightness).astype(np.float32)
    if augmentation.erase:
        area = random.uniform(0.02, 0.2, count)
        ratio = np.exp(random.uniform(np.log(0.3), np.log(1 / 0.3), count))
        tall = np.clip(np.sqrt(area * ratio) * height, 1, height).astype(int)
        wide = np.clip(np.sqrt(area / ratio) * width, 1, width).astype(int)
        top, left = random.random((2, count))
        for number in np.flatnonzero(random.random(count) < augmentation.erase):
            y = int(top[number] * (height - tall[number] + 1))
            x = int(left[number] * (width - wide[number] + 1))
            images[number, y : y + tall[number], x : x + wide[number]] = 0
    return images


def mix(
    images: np.ndarray, targets: np.ndarray, alpha: float, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Mix every image (or sound) and its labels with another of the batch."""
    share = random.beta(alpha, alpha, len(images)).astype(np.float32)
    partner = random.permutation(len(images))
    flat = share[:, None]
    tall = share.reshape(-1, *[1] * (images.ndim - 1))
    return (
        tall * images + (1 - tall) * images[partner],
        flat * targets + (1 - flat) * targets[partner],
    )
