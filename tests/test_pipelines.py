"""Pipelines: the same batches on both backends, and outputs in the stored order."""

import keras
import numpy as np
import pytest

from emorec.batches.order import BatchOrder
from emorec.batches.pipeline import Pipeline
from emorec.batches.ragged import RaggedStore, gather
from tests.harness import run_on_jax

WIDTH, MODALITIES, LABELS = 3, 2, 4
STEPS = (0, 3, 50)


def stores():
    """Make a store of either kind; the first feature numbers the steps."""
    rng = np.random.default_rng(4)
    made = []
    for per_step in (False, True):
        sequences = []
        for i, length in enumerate(rng.integers(1, 9, 14)):
            features = rng.normal(0, 1, (length, WIDTH))
            presence = rng.random((length, MODALITIES)) < 0.5
            labels = rng.random((length, LABELS) if per_step else LABELS)
            sequences.append((f"video[{i}]", features, presence, labels))
        made.append(RaggedStore.build(sequences, per_step))
        made[-1].values[:, 0] = np.arange(len(made[-1].values))
    return made


def echo(per_step):
    """Return a network whose output is the first feature, or the last step's."""
    inputs = {
        "features": keras.Input((None, WIDTH), name="features"),
        "mask": keras.Input((None,), dtype="bool", name="mask"),
        "presence": keras.Input((None, MODALITIES), name="presence"),
    }
    first = inputs["features"][..., :1]
    output = first if per_step else keras.ops.max(first, axis=1)
    return keras.Model(inputs, output)


def take(dataset):
    """Yield batches as arrays, as Keras takes them on either backend."""
    if isinstance(dataset, keras.utils.PyDataset):
        dataset = map(dataset.__getitem__, range(len(dataset)))
    for batch in dataset:
        yield keras.tree.map_structure(np.asarray, batch)


def assert_serves_what_gather_makes(store, steps):
    """Compare the batches of a pipeline, on this backend, with those of `gather`."""
    order = BatchOrder(store.lengths, 4, steps, seed=2, shuffle=True)
    pipeline = Pipeline(store, order)
    for epoch in (0, 5, 1):
        pipeline.epoch = epoch
        received = list(take(pipeline.dataset))
        assert len(received) == len(pipeline.dataset)
        for batch, (index, width) in zip(received, order.epoch(epoch), strict=True):
            expected = gather(store, index, width)
            keras.tree.assert_same_structure(batch, expected)
            flat = map(keras.tree.flatten, (batch, expected))
            for mine, theirs in zip(*flat, strict=True):
                # tf.data serves the mask as numbers, for several devices to share.
                assert mine.dtype == theirs.dtype or theirs.dtype == bool
                np.testing.assert_array_equal(mine, theirs)


def assert_predicts_in_the_order_of_the_store(store, steps):
    """Check the outputs of the echo; a step that is cut off stays NaN."""
    pipeline = Pipeline(store, BatchOrder(store.lengths, 4, steps, 2, shuffle=True))
    pipeline.epoch = 7
    received = pipeline.predict(echo(store.per_step))
    last = store.offsets[1:] - 1
    if not store.per_step:
        np.testing.assert_array_equal(received[:, 0], last)
        return
    expected = np.arange(len(store.values), dtype=float)
    longest = min(steps or 10**9, store.lengths.max())
    cut = np.repeat(last, store.lengths) - expected >= longest
    assert cut.any() == (steps == 3)
    np.testing.assert_array_equal(received[:, 0], np.where(cut, np.nan, expected))


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("store", stores(), ids=["per sequence", "per step"])
def test_tf_data_serves_what_gather_makes(store, steps):
    assert_serves_what_gather_makes(store, steps)


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("store", stores(), ids=["per sequence", "per step"])
def test_predictions_are_in_the_order_of_the_store(store, steps):
    assert_predicts_in_the_order_of_the_store(store, steps)


def test_training_follows_the_order_of_the_epoch_that_is_set():
    store, _ = stores()
    pipeline = Pipeline(store, BatchOrder(store.lengths, 4, 5, seed=1, shuffle=True))
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            pipeline.epoch = epoch

        def on_train_batch_end(self, batch, logs=None):
            seen.append(logs["loss"])

    model = echo(per_step=False)
    model = keras.Model(model.input, keras.layers.Dense(LABELS)(model.output))
    # A loss that tells which labels came.
    model.compile("sgd", lambda true, predicted: true + 0 * predicted)
    model.fit(
        pipeline.dataset,
        epochs=4,
        initial_epoch=2,
        shuffle=False,
        verbose=0,
        callbacks=[Watch()],
    )
    expected = []
    for epoch in (2, 3):
        labels = np.zeros((0, LABELS))
        for index, _ in pipeline.order.epoch(epoch):
            labels = np.concatenate([labels, store.labels[index]])
            expected.append(labels.mean())
    np.testing.assert_allclose(seen, expected, rtol=1e-5)


def on_jax():
    """Run where there is no TensorFlow."""
    for store in stores():
        for steps in STEPS:
            assert_serves_what_gather_makes(store, steps)
            assert_predicts_in_the_order_of_the_store(store, steps)
    test_training_follows_the_order_of_the_epoch_that_is_set()


def test_jax_without_tensorflow_serves_the_same_batches():
    run_on_jax("tests.test_pipelines", "on_jax")
