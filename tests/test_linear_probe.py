"""Probes of frozen features: known answers, protocols, what is refused."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from emorec.corpora.acted import ActedSpeech
from emorec.errors import DataError, SpecError
from emorec.evaluation.intervals import macro_f1, speaker_interval
from emorec.evaluation.linear_probe import (
    check_folds,
    probe,
    protocol_folds,
    random_features,
)
from emorec.labels import ENTERFACE

N, SPEAKERS = 240, 6
RANDOM = np.random.default_rng(0)


def corpus(classes=None, speakers=None, split=None):
    classes = np.arange(N) % 6 if classes is None else classes
    n = len(classes)
    if speakers is None:
        speakers = np.array([f"s{i * SPEAKERS // n}" for i in range(n)])
    return ActedSpeech(
        "enterface",
        ENTERFACE,
        [f"{i:05d}" for i in range(n)],
        [None] * n,
        speakers,
        classes,
        np.full(n, "") if split is None else split,
        pd.DataFrame(columns=["file", "reason"]),
    )


def informative(classes, strength=0.6, width=8):
    some = np.eye(6)[classes] @ np.random.default_rng(1).normal(0, 1, (6, width))
    return strength * some + RANDOM.normal(0, 1, (len(classes), width))


CORPUS = corpus()
FEATURES = informative(CORPUS.classes)


def test_literal_folds_have_the_published_bounds():
    for n in (10, 97, 360, 720, 1293):
        sizes = np.bincount(protocol_folds(corpus(np.zeros(n, int)), "literal"))
        ends = [int(n * i / 10 + 0.5) for i in range(11)]
        assert list(sizes) == list(np.diff(ends)) and len(sizes) == 10
    # A half is rounded up: MATLAB's round(646.5) is 647.
    assert (
        np.bincount(protocol_folds(corpus(np.zeros(1293, int)), "literal"))[:5].sum()
        == 647
    )


def test_literal_folds_are_of_the_seed_and_mix_speakers():
    one, again, other = (protocol_folds(CORPUS, "literal", seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
    result = probe(FEATURES, CORPUS, "literal")
    assert (result.folds["speakers_shared"] > 0).all()


def test_left_out_speakers_are_never_in_training():
    result = probe(FEATURES, CORPUS, "leave_speakers_out")
    assert (result.folds["speakers_shared"] == 0).all()
    assert len(result.folds) == SPEAKERS
    assert result.folds["test"].sum() == N and (result.predicted >= 0).all()


def test_a_speaker_in_training_and_test_is_refused():
    fold = protocol_folds(CORPUS, "leave_speakers_out").copy()
    check_folds(CORPUS, fold, "leave_speakers_out")
    moved = np.flatnonzero(CORPUS.speakers == "s3")[0]
    fold[moved] = (fold[moved] + 1) % SPEAKERS
    with pytest.raises(
        DataError, match="speaker s3 would be in both training and test"
    ):
        check_folds(CORPUS, fold, "leave_speakers_out")
    check_folds(CORPUS, fold, "literal")  # which says that it does so


def test_features_that_tell_the_speaker_help_literal_folds_only():
    # Each speaker has one class: knowing the speaker is knowing the answer.
    speakers = np.array([f"s{i % 12:02d}" for i in range(N)])
    classes = np.arange(N) % 12 % 6
    voices = np.random.default_rng(2).normal(0, 1, (12, 12))
    features = voices[np.arange(N) % 12] + 0.1 * RANDOM.normal(0, 1, (N, 12))
    some = corpus(classes, speakers)
    assert probe(features, some, "literal").accuracy > 0.95
    assert probe(features, some, "leave_speakers_out").accuracy < 0.5


def test_the_split_of_a_corpus_is_kept():
    split = np.where(np.arange(N) < 160, "train", "valid")
    result = probe(FEATURES, corpus(split=split), "split")
    np.testing.assert_array_equal(result.fold, np.where(split == "valid", 0, -1))
    assert (result.predicted[:160] == -1).all() and (result.predicted[160:] >= 0).all()
    assert result.confusion.sum() == 80 and np.isnan(result.std)
    # With a test part the validation part takes no part.
    split = np.where(np.arange(N) < 200, split, "test")
    other = probe(FEATURES, corpus(split=split), "split")
    assert other.folds.loc[0, ["train", "test"]].tolist() == [160, 40]


@pytest.mark.parametrize("protocol", ["literal", "leave_speakers_out"])
def test_numbers_are_those_of_scikit_learn(protocol):
    result = probe(FEATURES, CORPUS, protocol)
    true = CORPUS.classes
    np.testing.assert_array_equal(
        result.confusion, confusion_matrix(true, result.predicted)
    )
    each = [
        accuracy_score(true[result.fold == k], result.predicted[result.fold == k])
        for k in range(result.fold.max() + 1)
    ]
    assert list(result.folds["accuracy"]) == pytest.approx(each)
    assert result.accuracy == pytest.approx(np.mean(each))
    assert result.std == pytest.approx(np.std(each, ddof=1))
    f1 = f1_score(true, result.predicted, average="macro")
    assert result.f1_macro == pytest.approx(f1)
    assert result.f1_low < f1 < result.f1_high
    assert result.accuracy > 2 / 6 and result.folds["converged"].all()


def test_random_features_are_at_the_floor_and_constant_is_the_majority():
    classes = RANDOM.choice(6, 600, p=[0.5, 0.1, 0.1, 0.1, 0.1, 0.1])
    floor = probe(random_features(600, 8), corpus(classes), "literal")
    even = probe(random_features(N, 8), CORPUS, "leave_speakers_out")
    assert floor.constant == pytest.approx((classes == 0).mean())
    assert 0.08 < even.accuracy < 0.26
    drawn = random_features(2000, 8, seed=1)
    assert abs(drawn.mean()) < 0.05 and abs(drawn.std() - 1) < 0.05
    np.testing.assert_array_equal(drawn, random_features(2000, 8, seed=1))


def test_affine_maps_of_the_features_change_nothing():
    assert (probe(FEATURES, CORPUS).folds["train_accuracy"] < 1).all()
    mixed = 100 + 1000 * FEATURES @ np.random.default_rng(3).normal(0, 1, (8, 8))
    one, other = (probe(x, CORPUS) for x in (FEATURES, mixed))
    assert np.mean(one.predicted == other.predicted) > 0.995
    plain = probe(FEATURES, CORPUS, standardise=False)
    assert np.mean(one.predicted == plain.predicted) > 0.995


def test_the_fit_is_the_maximum_of_the_likelihood():
    # Two classes and one binary feature: the answer is in the four counts.
    x = np.repeat([0, 0, 1, 1], [60, 20, 10, 70])
    y = np.repeat([0, 1, 0, 1], [60, 20, 10, 70])
    order = np.random.default_rng(0).permutation(160)
    some = corpus(y[order], np.array([f"s{i % 4}" for i in range(160)]))
    result = probe(x[order, None].astype(float), some)
    np.testing.assert_array_equal(result.predicted, x[order])
    assert result.confusion[:2, :2].tolist() == [[60, 10], [20, 70]]


def test_order_of_takes_changes_nothing_where_speakers_are_left_out():
    order = np.random.default_rng(4).permutation(N)
    speakers = CORPUS.speakers[order]
    other = probe(FEATURES[order], corpus(CORPUS.classes[order], speakers))
    one = probe(FEATURES, CORPUS)
    assert np.mean(other.predicted == one.predicted[order]) > 0.995
    assert other.accuracy == pytest.approx(one.accuracy, abs=0.01)


def test_constant_columns_are_harmless():
    wide = np.concatenate([FEATURES, np.full((N, 2), 7.3)], axis=1)
    np.testing.assert_array_equal(
        probe(wide, CORPUS).predicted, probe(FEATURES, CORPUS).predicted
    )


def test_training_without_an_error_is_told():
    # More features than takes: a plane always separates them.
    result = probe(random_features(N, 300), CORPUS)
    assert (result.folds["train_accuracy"] == 1).all()


def test_what_cannot_be_probed_is_refused():
    with pytest.raises(SpecError, match="Protocol 'loso': expected one of literal"):
        probe(FEATURES, CORPUS, "loso")
    with pytest.raises(DataError, match=r"received \(10, 8\)"):
        probe(FEATURES[:10], CORPUS)
    spoilt = FEATURES.copy()
    spoilt[7, 2] = np.nan
    with pytest.raises(DataError, match=r"1 of 240 takes .* the first 00007"):
        probe(spoilt, CORPUS)
    with pytest.raises(DataError, match="no split of its own"):
        probe(FEATURES, CORPUS, "split")
    with pytest.raises(DataError, match="have no speaker"):
        probe(FEATURES, corpus(speakers=np.full(N, "")))
    with pytest.raises(DataError, match="have one class"):
        probe(FEATURES, corpus(np.zeros(N, int)))
    with pytest.raises(DataError, match="10 takes or more"):
        probe(FEATURES[:9], corpus(np.arange(9) % 6), "literal")


def test_macro_f1_is_over_classes_that_occur():
    counts = np.array(
        [[[4, 1, 0], [2, 3, 0], [0, 0, 0]], [[5, 0, 0], [0, 0, 5], [0, 0, 9]]]
    )
    for found, matrix in zip(macro_f1(counts), counts, strict=True):
        cells = np.argwhere(np.ones((3, 3), int))
        pairs = np.repeat(cells, matrix.ravel(), axis=0)
        expected = f1_score(
            *pairs.T, labels=np.unique(pairs[:, 0]), average="macro", zero_division=0
        )
        assert found == pytest.approx(expected)


def test_an_interval_over_speakers_is_wider_where_speakers_differ():
    true = np.tile(np.arange(6), 60)
    speakers = np.repeat([f"{i}" for i in range(12)], 30)
    good = np.repeat(np.arange(12) % 2 == 0, 30)  # every other speaker is understood
    chosen = np.where(good, true, (true + 1) % 6)
    low, high = speaker_interval(true, chosen, speakers, 6)
    narrow_low, narrow_high = speaker_interval(true, chosen, np.full(360, ""), 6)
    assert low < narrow_low < 0.5 < narrow_high < high
    assert all(np.isnan(speaker_interval(true, chosen, np.full(360, "one"), 6)))
    assert speaker_interval(true, true, speakers, 6) == (1, 1)


def test_a_take_without_a_name_is_no_speaker_of_that_number():
    true = np.array([0, 1, 0, 1])
    mixed = np.array(["1", "", "1", "1"])
    assert not np.isnan(speaker_interval(true, true, mixed, 6)).any()


def test_a_seed_gives_equal_results():
    one, again = (probe(FEATURES, CORPUS, "literal", seed=5) for _ in range(2))
    assert replace(one, folds=None, fold=0, predicted=0, confusion=0) == replace(
        again, folds=None, fold=0, predicted=0, confusion=0
    )
    pd.testing.assert_frame_equal(one.folds, again.folds)
