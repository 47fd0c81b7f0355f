"""Batches with missing modalities: what is kept, weakened, filled."""

import numpy as np
import pytest

from emorec.batches.modality_dropout import (
    FILLS,
    MASKS,
    drop_modalities,
    fill,
    without,
)
from emorec.errors import SpecError

RANDOM = np.random.default_rng(0)
# The first column of each input names its sample.
NAMES = np.arange(1, 7, dtype=np.float32)
INPUTS = {
    "audio": np.concatenate(
        [NAMES[:, None, None] + np.zeros((6, 5, 1)), RANDOM.normal(size=(6, 5, 3))], 2
    ).astype(np.float32),
    "video": (NAMES[:, None, None, None] + RANDOM.random((6, 2, 4, 4))).astype("f"),
}
TARGETS = np.eye(6, dtype=np.float32)


def dropped(mask, seed=0):
    return drop_modalities(INPUTS, TARGETS, mask, np.random.default_rng(seed))


def rows(inputs, targets, sample):
    chosen = targets.argmax(axis=1) == sample
    return inputs["audio"][chosen], inputs["video"][chosen]


def test_without_a_mask_nothing_changes():
    inputs, targets = dropped("nodropout")
    np.testing.assert_array_equal(targets, TARGETS)
    for name, values in INPUTS.items():
        np.testing.assert_array_equal(inputs[name], values)


@pytest.mark.parametrize("mask, copies", [("noise", 3), ("softhard", 4)])
def test_every_sample_is_there_as_often_and_once_as_it_is(mask, copies):
    inputs, targets = dropped(mask)
    assert len(targets) == copies * 6 and (targets.sum(axis=0) == copies).all()
    for sample in range(6):
        audio, video = rows(inputs, targets, sample)
        clean = [
            np.array_equal(a, INPUTS["audio"][sample])
            and np.array_equal(v, INPUTS["video"][sample])
            for a, v in zip(audio, video, strict=True)
        ]
        assert sum(clean) == 1
    # Shuffled together: copies of one kind do not lie side by side.
    assert targets.argmax(axis=1).tolist() != np.tile(np.arange(6), copies).tolist()
    again = dropped(mask)
    np.testing.assert_array_equal(inputs["audio"], again[0]["audio"])
    assert not np.array_equal(inputs["audio"], dropped(mask, seed=1)[0]["audio"])


def test_softhard_has_both_weakened_and_each_missing():
    inputs, targets = dropped("softhard")
    factors = []
    for sample in range(6):
        audio, video = rows(inputs, targets, sample)
        silent = (audio == 0).all(axis=(1, 2))
        blind = (video == 0).all(axis=(1, 2, 3))
        a = audio[:, 0, 0] / NAMES[sample]
        v = video[:, 0, 0, 0] / INPUTS["video"][sample, 0, 0, 0]
        # Each once alone; where both are weakened, by c and 1 - c.
        assert ((a == 1) & blind).sum() == 1 and ((v == 1) & silent).sum() == 1
        sums = np.sort(np.round(a + v, 5))
        np.testing.assert_allclose(sums, [1, 1, 1, 2], atol=1e-5)
        factors += a.tolist()
    hundredths = 100 * np.array(factors)
    np.testing.assert_allclose(hundredths, np.round(hundredths), atol=1e-3)


def test_noise_leaves_one_modality_and_makes_the_other_normal():
    many = {name: np.tile(v, (200, *[1] * (v.ndim - 1))) for name, v in INPUTS.items()}
    targets = np.tile(TARGETS, (200, 1))
    inputs, found = drop_modalities(many, targets, "noise", np.random.default_rng(0))
    heard = np.isin(inputs["audio"][:, 0, 0], NAMES)
    assert heard.sum() == 2400
    noise = inputs["audio"][~heard]
    assert abs(noise.mean()) < 0.05 and noise.std() == pytest.approx(1, abs=0.05)
    # What is heard belongs to its target.
    named = inputs["audio"][heard][:, 0, 0] - 1
    np.testing.assert_array_equal(named, found.argmax(axis=1)[heard])


def test_what_is_missing_is_filled_and_the_rest_stays():
    present = {"audio": np.arange(6) != 2, "video": np.arange(6) % 2 == 0}
    for how in FILLS:
        filled = without(INPUTS, present, how, np.random.default_rng(0))
        for name, there in present.items():
            np.testing.assert_array_equal(filled[name][there], INPUTS[name][there])
            changed = filled[name][~there]
            assert (changed == 0).all() if how == "zeros" else changed.std() > 0.3
    all_there = {name: np.ones(6, bool) for name in INPUTS}
    same = without(INPUTS, all_there, "noise", RANDOM)
    assert same["audio"] is INPUTS["audio"]


def test_noise_is_added_by_mean_and_deviation():
    values = RANDOM.normal(3, 2, (500, 40, 10)).astype(np.float32)
    added = fill(values, "addnoise", RANDOM) - values
    assert added.mean() == pytest.approx(3, abs=0.05)
    assert added.std() == pytest.approx(2, abs=0.05)


def test_what_cannot_be_is_refused():
    with pytest.raises(SpecError, match=f"--mask hard: expected one of {MASKS[0]}"):
        dropped("hard")
    with pytest.raises(SpecError, match="--fill mean: expected one of zeros"):
        fill(INPUTS["audio"], "mean", RANDOM)
    with pytest.raises(SpecError, match="1 modality cannot be dropped"):
        drop_modalities({"audio": INPUTS["audio"]}, TARGETS, "noise", RANDOM)
