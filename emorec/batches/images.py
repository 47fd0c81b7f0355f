"""Batches of face images: sampled, augmented and normalised in the input pipeline."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np

from emorec.batches.augmentation import (
    Augmentation,
    change_colours,
    draw_maps,
    mix,
    sample,
)
from emorec.batches.threaded import keras_dataset


@dataclass(frozen=True)
class ImageInput:
    """How grey faces become what a network takes; it travels in the spec.

    Attributes
    ----------
    size : int
        Height and width.
    mean : tuple of float
        Subtracted, one value per channel, in units of 0 to 255; a grey face is
        repeated for each.
    scale : float
        The difference is divided by it.
    """

    size: int
    mean: tuple[float, ...]
    scale: float = 1.0

    def __call__(
        self, images: np.ndarray, maps: np.ndarray | None = None
    ) -> np.ndarray:
        """Return (B, size, size, C) float32 of faces (B, H, W) uint8.

        What `maps` brings in from outside of a face has the mean's colour.
        """
        values, cover = sample(images, maps, self.size)
        mean = np.asarray(self.mean, np.float32)
        return (values[..., None] - cover[..., None] * mean) / np.float32(self.scale)

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers for JSON."""
        return {"kind": "image", **asdict(self), "mean": list(self.mean)}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> ImageInput:
        """Rebuild it from `to_dict`."""
        return cls(content["size"], tuple(content["mean"]), content["scale"])


class ImagePipeline:
    """Batches of faces for ``Model.fit``; a function of seed, epoch and batch number.

    Parameters
    ----------
    images : (n, H, W) uint8
    targets : (n, K) float32
    image_input : ImageInput
        How they enter the network.
    batch_size : int
        The last batch may be smaller.
    seed : int
        Seed of order and augmentation.
    shuffle : bool
        Whether each epoch has its own order.
    augmentation : Augmentation
        None by default.
    draw_classes : bool
        Draw one class from each row of `targets`, anew in every epoch.

    Attributes
    ----------
    epoch : int
        The epoch that the next iteration serves; set from outside.
    """

    def __init__(
        self,
        images: np.ndarray,
        targets: np.ndarray,
        image_input: ImageInput,
        batch_size: int,
        seed: int = 0,
        shuffle: bool = False,
        augmentation: Augmentation | None = None,
        draw_classes: bool = False,
    ) -> None:
        self.images, self.targets = images, targets
        self.image_input = image_input
        self.batch_size, self.seed, self.shuffle = batch_size, seed, shuffle
        self.augmentation = augmentation or Augmentation()
        self.draw_classes = draw_classes
        self.epoch = 0
        self._order: tuple[int, np.ndarray] = (-1, np.zeros(0, int))

    def __len__(self) -> int:
        """Return the number of batches."""
        return -(-len(self.images) // self.batch_size)

    def batch(self, epoch: int, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return images (B, S, S, C) and targets (B, K), float32."""
        if self._order[0] != epoch:
            order = np.arange(len(self.images))
            if self.shuffle:
                order = np.random.default_rng((self.seed, epoch)).permutation(order)
            self._order = epoch, order
        start = number * self.batch_size
        index = self._order[1][start : start + self.batch_size]
        random = np.random.default_rng((self.seed, epoch, number))
        augmentation, targets = self.augmentation, self.targets[index]
        maps = None
        if augmentation.geometry != "none":
            size = self.image_input.size
            maps = draw_maps(augmentation.geometry, len(index), random, size)
        images = self.image_input(self.images[index], maps)
        images = change_colours(images, augmentation, random)
        if self.draw_classes:
            drawn = random.random((len(index), 1)) * targets.sum(axis=1, keepdims=True)
            classes = (targets.cumsum(axis=1) <= drawn).sum(axis=1)
            classes = np.minimum(classes, targets.shape[1] - 1)
            targets = np.eye(targets.shape[1], dtype=np.float32)[classes]
        if augmentation.mixup:
            images, targets = mix(images, targets, augmentation.mixup, random)
        return images, targets

    @property
    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shape of an image and of its target."""
        size, channels = self.image_input.size, len(self.image_input.mean)
        return (size, size, channels), self.targets.shape[1:]

    @cached_property
    def dataset(self) -> Any:
        """What Keras takes."""
        return keras_dataset(self)

    def predict(self, model: keras.Model) -> np.ndarray:
        """Return the outputs (n, K) float32 in the order of the images, unchanged."""
        return predict(model, self.images, self.image_input, self.batch_size)


def predict(
    model: keras.Model,
    images: np.ndarray,
    image_input: ImageInput,
    batch_size: int,
    maps: np.ndarray | None = None,
) -> np.ndarray:
    """Return the outputs (n, K) float32 for faces (n, H, W) uint8.

    `maps` (2, 3) is one affine map for all of them, for test-time augmentation.
    """
    outputs = []
    for start in range(0, len(images), batch_size):
        part = images[start : start + batch_size]
        # Few sizes of batches, for each is compiled anew.
        count = min(batch_size, 1 << (len(part) - 1).bit_length())
        full = np.concatenate([part, np.repeat(part[-1:], count - len(part), axis=0)])
        all_maps = None if maps is None else np.tile(maps, (len(full), 1, 1))
        inputs = image_input(full, all_maps)
        outputs.append(np.asarray(model.predict_on_batch(inputs))[: len(part)])
    return np.concatenate(outputs).astype(np.float32)
