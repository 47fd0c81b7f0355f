"""Batches: the ragged store, padding with masks, and the order of an epoch."""

import numpy as np
import pytest

from emorec.batches.order import BatchOrder
from emorec.batches.ragged import RaggedStore, gather, positions
from emorec.errors import DataError

WIDTH, MODALITIES, LABELS = 3, 2, 4


def sequences(lengths, per_step=False, seed=0):
    """Make (id, features, presence, labels); no feature is zero."""
    rng = np.random.default_rng(seed)
    return [
        (
            f"video[{i}]",
            rng.uniform(1, 2, (length, WIDTH)).astype("f4"),
            rng.random((length, MODALITIES)) < 0.5,
            rng.random((length, LABELS) if per_step else LABELS).astype("f4"),
        )
        for i, length in enumerate(lengths)
    ]


def make_store(lengths, per_step=False, seed=0):
    return RaggedStore.build(sequences(lengths, per_step, seed), per_step)


@pytest.mark.parametrize("per_step", [False, True])
def test_a_store_gives_back_what_was_laid_into_it(per_step):
    given = sequences([3, 1, 5], per_step)
    store = RaggedStore.build(iter(given), per_step)
    assert len(store) == 3
    assert store.lengths.tolist() == [3, 1, 5]
    ids, features, presence, labels = zip(*given, strict=True)
    assert store.ids == list(ids)
    for number, expected in enumerate(features):
        np.testing.assert_array_equal(store.sequence(number), expected)
    np.testing.assert_array_equal(store.presence, np.concatenate(presence))
    join = np.concatenate if per_step else np.stack
    np.testing.assert_array_equal(store.labels, join(labels))
    assert (store.values.dtype, store.labels.dtype) == (np.float32, np.float32)


@pytest.mark.parametrize("per_step", [False, True])
def test_other_labels_leave_the_sequences_as_they_are(per_step):
    store = make_store([2, 4], per_step)
    other = store.with_labels(store.labels.astype("f8")[:, :1])
    assert other.values is store.values
    assert (other.labels.shape[1], other.labels.dtype) == (1, np.float32)
    assert other.per_step == per_step


def test_a_store_of_nothing_is_refused():
    with pytest.raises(DataError, match="No sequences to learn from"):
        RaggedStore.build([])


def test_a_sequence_without_steps_is_refused_by_name():
    with pytest.raises(DataError, match=r"'video\[1\]' has no steps"):
        make_store([2, 0, 3])


@pytest.mark.parametrize("part", ["values", "presence", "offsets", "labels", "ids"])
@pytest.mark.parametrize("per_step", [False, True])
def test_parts_that_do_not_fit_together_are_refused(part, per_step):
    store = make_store([2, 4], per_step)
    parts = {name: getattr(store, name) for name in store.__dataclass_fields__}
    parts[part] = parts[part][:-1]
    with pytest.raises(DataError, match="do not fit together"):
        RaggedStore(**parts)


@pytest.mark.parametrize("width", [1, 3, 4, 9])
def test_positions_name_the_last_steps_and_mask_the_rest(width):
    starts, lengths = np.array([0, 5, 6]), np.array([5, 1, 3])
    rows, mask = positions(starts, lengths, width)
    for i, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        kept = list(range(start, start + length))[-width:]
        assert rows[i, mask[i]].tolist() == kept
        # Padding is at the end, and never leaves the sequence.
        assert mask[i].tolist() == [True] * len(kept) + [False] * (width - len(kept))
        assert set(rows[i]) <= set(kept)


@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("width", [2, 4, 7])
def test_a_batch_holds_the_last_steps_then_zeros(width, per_step):
    given = sequences([3, 1, 5], per_step)
    store = RaggedStore.build(given, per_step)
    index = np.array([2, 0, 1, 2])
    inputs, labels, *weights = gather(store, index, width)
    assert inputs["features"].shape == (4, width, WIDTH)
    assert inputs["presence"].shape == (4, width, MODALITIES)
    for row, number in enumerate(index):
        _, features, presence, targets = given[number]
        kept = min(len(features), width)
        assert inputs["mask"][row].tolist() == [True] * kept + [False] * (width - kept)
        for name, whole in {"features": features, "presence": presence}.items():
            received = inputs[name][row]
            assert received.dtype == np.float32
            np.testing.assert_array_equal(received[:kept], whole[-kept:])
            assert not received[kept:].any()
        if per_step:
            np.testing.assert_array_equal(labels[row, :kept], targets[-kept:])
            assert not labels[row, kept:].any()
            np.testing.assert_array_equal(weights[0][row], inputs["mask"][row])
        else:
            np.testing.assert_array_equal(labels[row], targets)
            assert not weights


LENGTHS = np.random.default_rng(1).integers(1, 40, 101)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("steps", [0, 7])
@pytest.mark.parametrize("batch_size", [1, 8, 101, 500])
def test_an_epoch_holds_every_sequence_exactly_once(batch_size, steps, shuffle):
    order = BatchOrder(LENGTHS, batch_size, steps, seed=3, shuffle=shuffle)
    for number in (0, 1, 9):
        batches = order.epoch(number)
        assert len(batches) == len(order)
        assert all(1 <= len(index) <= batch_size for index, _ in batches)
        everything = np.concatenate([index for index, _ in batches])
        assert sorted(everything) == list(range(len(LENGTHS)))


@pytest.mark.parametrize("steps", [0, 7])
def test_the_order_is_a_function_of_seed_and_epoch(steps):
    def order(seed, epoch, before=()):
        made = BatchOrder(LENGTHS, 8, steps, seed, shuffle=True)
        for earlier in before:
            made.epoch(earlier)
        return [index.tolist() for index, _ in made.epoch(epoch)]

    # A resumed run has not seen the epochs before.
    assert order(5, 3) == order(5, 3, before=[0, 1, 2])
    others = [order(5, 4), order(6, 3), order(3, 5)]
    assert all(order(5, 3) != other for other in others)


def test_without_shuffling_sequences_keep_their_order():
    order = BatchOrder(LENGTHS, 8, steps=7)
    for number in (0, 1):
        batches = [index for index, _ in order.epoch(number)]
        assert np.concatenate(batches).tolist() == list(range(len(LENGTHS)))
    for index, _ in BatchOrder(LENGTHS, 8, steps=0).epoch(0):
        assert index.tolist() == sorted(index)


def test_the_fixed_width_is_never_beyond_the_longest_sequence():
    for steps, expected in {7: 7, 39: 39, 1000: LENGTHS.max()}.items():
        widths = {width for _, width in BatchOrder(LENGTHS, 8, steps).epoch(0)}
        assert widths == {expected}


@pytest.mark.parametrize("lengths", [LENGTHS, np.full(9, 4), np.array([1, 30])])
def test_buckets_keep_every_step_and_divide_by_length(lengths):
    order = BatchOrder(lengths, 4, steps=0, shuffle=True)
    assert all(lengths[index].max() <= width for index, width in order.epoch(0))
    shortest = [lengths[part].min() for part, _ in order.buckets]
    widths = [width for _, width in order.buckets]
    assert all(np.less_equal(widths[:-1], shortest[1:]))


def test_buckets_spare_most_of_the_padding():
    batches = BatchOrder(LENGTHS, 4, steps=0, shuffle=True).epoch(0)
    padding = sum(len(index) * width for index, width in batches) - LENGTHS.sum()
    assert padding < 0.25 * (len(LENGTHS) * LENGTHS.max() - LENGTHS.sum())
