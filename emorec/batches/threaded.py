"""Batches that numpy makes, handed to Keras by threads that work ahead."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import keras
import numpy as np

# Batches are made by so many threads; numpy computes outside of Python's lock.
THREADS = min(8, os.cpu_count() or 1)


Shape = tuple[int | None, ...]
Arrays = np.ndarray | dict[str, np.ndarray]
# Rows of a batch -> those that are wanted of it.
Share = Callable[[int], slice]


class NumpyBatches(Protocol):
    """Batches as a function of epoch and number, so that resuming repeats them.

    Those that can make some rows of a batch alone have ``rows(number)``, how many it
    has, and take these as the third argument of `batch`, a slice.

    Attributes
    ----------
    epoch : int
        The epoch that the next iteration serves; set from outside.
    shapes : tuple
        Shape of an input, or of each of several by name, and of a target, without the
        batch's axis.
    """

    epoch: int
    shapes: tuple[Shape | dict[str, Shape], Shape]

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""

    def batch(self, epoch: int, number: int) -> tuple[Arrays, np.ndarray]:
        """Return inputs, as `shapes` has them, and targets, float32."""


def keras_dataset(batches: NumpyBatches) -> Any:
    """Return what Keras takes: tf.data on TensorFlow, a PyDataset elsewhere."""
    if keras.backend.backend() == "tensorflow":
        return _tf_dataset(batches)
    return _PyBatches(batches)


class _PyBatches(keras.utils.PyDataset):
    """Numpy batches, made ahead by threads.

    Keras' own queue begins an epoch before it says which one it is.
    """

    def __init__(self, batches: NumpyBatches) -> None:
        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=0)
        self.batches = batches
        self._threads = ThreadPoolExecutor(THREADS)
        self._ahead: dict[tuple[int, int], Future] = {}
        self._share: Share = _all

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> tuple:
        return self.part(number, _all)[1]

    def part(self, number: int, share: Share) -> tuple[int, tuple]:
        """Return the number of rows of a batch, and those that `share` chooses."""
        if share != self._share:
            self._ahead, self._share = {}, share
        epoch = self.batches.epoch
        last = min(number + 2 * THREADS, len(self))
        wanted = [(epoch, ahead) for ahead in range(number, last)]
        self._ahead = {
            key: self._ahead.get(key) or self._threads.submit(self._make, *key, share)
            for key in wanted
        }
        return self._ahead[wanted[0]].result()

    def _make(self, epoch: int, number: int, share: Share) -> tuple[int, tuple]:
        if hasattr(self.batches, "rows"):
            count = self.batches.rows(number)
            return count, self.batches.batch(epoch, number, share(count))
        inputs, targets = self.batches.batch(epoch, number)
        count = len(targets)
        rows = share(count)
        if isinstance(inputs, dict):
            inputs = {name: part[rows] for name, part in inputs.items()}
        else:
            inputs = inputs[rows]
        return count, (inputs, targets[rows])


def _all(rows: int) -> slice:
    return slice(0, rows)


def _tf_dataset(batches: NumpyBatches) -> Any:
    import tensorflow as tf

    def numbers():
        yield from ((batches.epoch, number) for number in range(len(batches)))

    shapes, target = batches.shapes
    names = list(shapes) if isinstance(shapes, dict) else None
    flat = [shapes[name] for name in names] if names else [shapes]

    def arrays(epoch, number):
        inputs, targets = batches.batch(int(epoch), int(number))
        parts = [inputs[name] for name in names] if names else [inputs]
        return *parts, targets

    def make(epoch, number):
        made = tf.numpy_function(
            arrays, [epoch, number], [tf.float32] * (len(flat) + 1)
        )
        *parts, targets = (
            tf.ensure_shape(array, (None, *shape))
            for array, shape in zip(made, [*flat, target], strict=True)
        )
        inputs = dict(zip(names, parts, strict=True)) if names else parts[0]
        return inputs, targets

    dataset = tf.data.Dataset.from_generator(
        numbers,
        output_signature=(tf.TensorSpec((), tf.int64), tf.TensorSpec((), tf.int64)),
    )
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(batches)))
    dataset = dataset.map(make, num_parallel_calls=THREADS, deterministic=True)
    return dataset.prefetch(4)
