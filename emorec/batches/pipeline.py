"""Pipelines that feed Keras: tf.data on TensorFlow, a PyDataset elsewhere.

Both yield the same batches in the same order (`emorec.batches.ragged.gather`). The
epoch is set from outside (`Pipeline.epoch`), for Keras does not tell a dataset which
epoch it serves, and a resumed run must see the order of the epoch it resumes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import keras
import numpy as np

from emorec.batches.order import BatchOrder
from emorec.batches.ragged import RaggedStore, gather

INPUTS = ("features", "mask", "presence")


class Pipeline:
    """Batches of a store for ``Model.fit``, ``evaluate`` and ``predict``.

    Parameters
    ----------
    store : RaggedStore
        The sequences.
    order : BatchOrder
        Their order.
    inputs : sequence of str
        Those of `INPUTS` that the model takes.

    Attributes
    ----------
    epoch : int
        The epoch whose order the next iteration follows.
    """

    def __init__(
        self, store: RaggedStore, order: BatchOrder, inputs: Sequence[str] = INPUTS
    ) -> None:
        self.store = store
        self.order = order
        self.inputs = tuple(inputs)
        self.epoch = 0

    def gather(self, index: np.ndarray, width: int) -> tuple:
        """Assemble one batch of the wanted inputs; see `ragged.gather`."""
        inputs, *targets = gather(self.store, index, width)
        return {name: inputs[name] for name in self.inputs}, *targets

    @cached_property
    def dataset(self) -> Any:
        """What Keras takes."""
        if keras.backend.backend() == "tensorflow":
            return _tf_dataset(self)
        return _Batches(self)

    def predict(self, model: keras.Model) -> np.ndarray:
        """Return the model's outputs in the order of the store.

        Returns
        -------
        (n, K) float32, or (total_steps, K) when the store has labels per step
            A step that the fixed width cut off stays NaN.
        """
        store = self.store
        result = None
        for index, width in self.order.epoch(self.epoch):
            inputs = self.gather(index, width)[0]
            # Filling up the last batch spares XLA a second compilation.
            short = self.order.batch_size - len(index)
            padded = {
                name: np.concatenate([part, np.repeat(part[-1:], short, axis=0)])
                for name, part in inputs.items()
            }
            output = np.asarray(model.predict_on_batch(padded))[: len(index)]
            if result is None:
                rows = len(store.labels)
                result = np.full((rows, output.shape[-1]), np.nan, np.float32)
            if not store.per_step:
                result[index] = output
                continue
            for number, part, mask in zip(index, output, inputs["mask"], strict=True):
                end = store.offsets[number + 1]
                result[end - mask.sum() : end] = part[mask]
        return result


class _Batches(keras.utils.PyDataset):
    """Numpy batches; no queue, so that the epoch is always the current one."""

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=0)
        self.pipeline = pipeline
        self._epoch = -1
        self._batches: list[tuple[np.ndarray, int]] = []

    def __len__(self) -> int:
        return len(self.pipeline.order)

    def __getitem__(self, number: int) -> tuple:
        return self.pipeline.gather(*self._batch(number))

    def part(self, number: int, share: Callable[[int], slice]) -> tuple[int, tuple]:
        """Return the number of sequences of a batch, and those that `share` chooses."""
        index, width = self._batch(number)
        return len(index), self.pipeline.gather(index[share(len(index))], width)

    def _batch(self, number: int) -> tuple[np.ndarray, int]:
        if self._epoch != self.pipeline.epoch:
            self._epoch = self.pipeline.epoch
            self._batches = self.pipeline.order.epoch(self._epoch)
        return self._batches[number]


def _shared(array: np.ndarray) -> Any:
    """Return a tensor that shares the memory of an array, where TensorFlow can.

    A copy would take as much memory again as all features do.
    """
    import tensorflow as tf

    # Other arrays end the process.
    if array.size and array.ctypes.data % 64 == 0 and array.flags.writeable:
        return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
    return tf.constant(array)


def _tf_dataset(pipeline: Pipeline) -> Any:
    """Build a tf.data pipeline: index batches -> gather -> prefetch."""
    import tensorflow as tf

    store, order = pipeline.store, pipeline.order
    widths = {width for _, width in order.buckets}
    # Batches are assembled on the host; a copy on the GPU would cost its memory.
    with tf.device("CPU"):
        values = _shared(store.values)
        presence = tf.constant(store.presence.astype(np.float32))
        labels = tf.constant(store.labels)
        starts = tf.constant(store.offsets[:-1])
        lengths = tf.constant(store.lengths)

    def batches():
        yield from order.epoch(pipeline.epoch)

    def assemble(index, width):
        length = tf.gather(lengths, index)
        first = tf.gather(starts, index) + tf.maximum(length - width, 0)
        steps = tf.range(width)
        mask = steps[None] < length[:, None]
        rows = first[:, None] + tf.where(mask, steps[None], 0)
        real = tf.cast(mask, tf.float32)[..., None]
        if len(widths) == 1:
            rows = tf.ensure_shape(rows, (None, *widths))
        made = {
            "features": tf.gather(values, rows) * real,
            # Not bool: with several devices Keras adds their shares of a batch up.
            "mask": real[..., 0],
            "presence": tf.gather(presence, rows) * real,
        }
        inputs = {name: made[name] for name in pipeline.inputs}
        if store.per_step:
            return inputs, tf.gather(labels, rows) * real, real[..., 0]
        return inputs, tf.gather(labels, index)

    dataset = tf.data.Dataset.from_generator(
        batches,
        output_signature=(
            tf.TensorSpec((None,), tf.int64),
            tf.TensorSpec((), tf.int64),
        ),
    )
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(order)))
    dataset = dataset.map(assemble, num_parallel_calls=2, deterministic=True)
    # Rewriting the pipeline would copy the features into its description.
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    return dataset.prefetch(4).with_options(options)
