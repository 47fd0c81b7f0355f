"""Batches of vectors in memory: one row of features and one of targets each."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import keras
import numpy as np

from emorec.batches.threaded import keras_dataset

# Rows that are predicted at a time.
_AT_ONCE = 1024


class VectorPipeline:
    """Batches of vectors for ``Model.fit``; a function of seed, epoch and number.

    Parameters
    ----------
    values : (n, D) float
    targets : (n, K) float
    batch_size : int
        The last batch may be smaller.
    seed : int
        Seed of the order.
    shuffle : bool
        Whether each epoch has its own order.

    Attributes
    ----------
    epoch : int
        The epoch that the next iteration serves; set from outside.
    """

    def __init__(
        self,
        values: np.ndarray,
        targets: np.ndarray,
        batch_size: int,
        seed: int = 0,
        shuffle: bool = False,
    ) -> None:
        self.values = np.asarray(values, np.float32)
        self.targets = np.asarray(targets, np.float32)
        self.batch_size, self.seed, self.shuffle = batch_size, seed, shuffle
        self.epoch = 0
        self._order: tuple[int, np.ndarray] = (-1, np.zeros(0, int))

    def __len__(self) -> int:
        """Return the number of batches."""
        return -(-len(self.values) // self.batch_size)

    def batch(self, epoch: int, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return values (B, D) and targets (B, K), float32."""
        # Threads read it: taken once, so that another epoch cannot come in between.
        known, order = self._order
        if known != epoch:
            order = np.arange(len(self.values))
            if self.shuffle:
                order = np.random.default_rng((self.seed, epoch)).permutation(order)
            self._order = epoch, order
        start = number * self.batch_size
        index = order[start : start + self.batch_size]
        return self.values[index], self.targets[index]

    @property
    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shape of a vector and of its target."""
        return self.values.shape[1:], self.targets.shape[1:]

    @cached_property
    def dataset(self) -> Any:
        """What Keras takes."""
        return keras_dataset(self)


def predict(model: keras.Model, values: np.ndarray) -> np.ndarray:
    """Return a model's outputs (n, K) float32 for vectors (n, D), in their order."""
    values = np.asarray(values, np.float32)
    outputs = []
    for start in range(0, len(values), _AT_ONCE):
        part = values[start : start + _AT_ONCE]
        # Few sizes, for each is compiled anew.
        size = min(_AT_ONCE, 1 << (len(part) - 1).bit_length())
        filled = np.concatenate([part, np.repeat(part[-1:], size - len(part), axis=0)])
        outputs.append(np.asarray(model.predict_on_batch(filled))[: len(part)])
    return np.concatenate(outputs).astype(np.float32)
