"""Every step of a segment of ten thousand, beside short ones."""

import sys

import keras
import numpy as np
import pytest

from emorec.batches.order import BatchOrder
from emorec.batches.pipeline import Pipeline
from emorec.batches.ragged import RaggedStore, gather
from emorec.models.early_fusion import early_fusion
from tests.csd_mutations import memory
from tests.harness import run_on_jax

LONG, WIDTHS = 10_000, (300, 35, 74)
LENGTHS = np.array([*np.arange(1, 41), LONG])


@pytest.mark.parametrize("batch_size", [8, 32, 1000])
@pytest.mark.parametrize("count", [1, 2, 41])
def test_a_long_segment_does_not_pad_the_short_ones(batch_size, count):
    lengths = LENGTHS[-count:]
    order = BatchOrder(lengths, batch_size, 0, seed=1, shuffle=True)
    batches = order.epoch(0)
    everything = np.concatenate([index for index, _ in batches])
    assert sorted(everything) == list(range(count))
    for index, width in batches:
        assert width >= lengths[index].max()
    assert sum(len(index) * width for index, width in batches) < 2.1 * lengths.sum()


def train_with_a_long_segment(steps):
    """Train for one epoch and predict, on this backend, in bounded memory."""
    rng, steps = np.random.default_rng(0), int(steps)
    store = RaggedStore.build(
        (
            f"v[{i}]",
            rng.standard_normal((length, sum(WIDTHS)), dtype="f4"),
            np.ones((length, 3), bool),
            rng.random(6, dtype="f4"),
        )
        for i, length in enumerate([1, 9, 17, 25, 33, steps])
    )
    order = BatchOrder(store.lengths, 32, 0, seed=1, shuffle=True)
    for index, width in order.epoch(0):
        inputs, labels = gather(store, index, width)
        assert inputs["features"].nbytes <= store.values.nbytes
        np.testing.assert_array_equal(inputs["mask"].sum(1), store.lengths[index])
        np.testing.assert_array_equal(labels, store.labels[index])
    pipeline = Pipeline(store, order)
    model = early_fusion(WIDTHS, 6, num_nodes=8)
    model.compile("adam", "mean_absolute_error")
    before = memory("VmHWM")
    history = model.fit(pipeline.dataset, epochs=1, shuffle=False, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert np.isfinite(pipeline.predict(model)).all()
    # TensorFlow keeps 0.4 MB of every step until the way back.
    assert memory("VmHWM") - before < 1000 + steps * 0.6


linux = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for its memory")
steps = pytest.mark.parametrize(
    "steps", [300, pytest.param(LONG, marks=pytest.mark.slow)]
)


@linux
@steps
def test_tensorflow_trains_with_a_long_segment(steps):
    keras.utils.set_random_seed(0)
    train_with_a_long_segment(steps)


@linux
@steps
def test_jax_trains_with_a_long_segment(steps):
    run_on_jax("tests.test_long_segments", "train_with_a_long_segment", steps)
