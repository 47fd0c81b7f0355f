"""ROC curves, areas, equal error rates and their intervals over speakers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from emorec.errors import DataError
from emorec.evaluation import roc as module
from emorec.evaluation.roc import bootstrap_auc, bootstrap_aucs, bootstrap_share, roc

RANDOM = np.random.default_rng(0)


def drawn(clips=300, speakers=12, classes=3):
    """Return classes, scores with ties, and speakers who differ in both."""
    random = np.random.default_rng(clips)
    who = random.integers(0, speakers, clips)
    truth = (random.integers(0, classes, clips) + (who % 3 == 0)) % classes
    positives = truth[:, None] == np.arange(classes)
    scores = positives + random.normal(0, 1, (clips, classes)) + who[:, None] / speakers
    return positives, np.round(scores, 1), np.array([f"s{x:02}" for x in who])


def test_a_curve_known_by_hand():
    curve = roc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
    assert curve.auc == 0.75 and curve.eer == 0.5
    assert (curve.fpr[0], curve.tpr[0], curve.fpr[-1], curve.tpr[-1]) == (0, 0, 1, 1)
    perfect = roc(np.array([0, 1, 1]), np.array([0.0, 1.0, 2.0]))
    assert perfect.auc == 1 and perfect.eer == 0
    same = roc(np.array([0, 1, 1, 0]), np.zeros(4))
    assert same.auc == 0.5 and same.eer == 0.5


@given(st.lists(st.tuples(st.booleans(), st.integers(-5, 5)), min_size=2, max_size=40))
def test_the_equal_error_rate_lies_on_the_curve_where_both_errors_agree(pairs):
    positive, score = (np.array(column) for column in zip(*pairs, strict=True))
    curve = roc(positive, score)
    if positive.all() or not positive.any():
        assert np.isnan(curve.auc) and np.isnan(curve.eer) and not len(curve.fpr)
        return
    # Where the curve rises straight up any of its heights is on it.
    steps = zip(curve.fpr, curve.tpr, curve.fpr[1:], curve.tpr[1:], strict=False)
    x, y = curve.eer, 1 - curve.eer
    assert any(
        abs((c - a) * (y - b) - (d - b) * (x - a)) < 1e-9
        and a - 1e-9 <= x <= c + 1e-9
        and b - 1e-9 <= y <= d + 1e-9
        for a, b, c, d in steps
    )
    assert roc(positive, np.exp(score / 3)).auc == pytest.approx(curve.auc)
    assert roc(positive, -score).auc == pytest.approx(1 - curve.auc)


def test_of_scores_that_tell_nothing_most_intervals_hold_a_half():
    random, held = np.random.default_rng(7), 0
    for _ in range(40):
        positive, score = random.random(300) < 0.3, random.random(300)
        speakers = random.integers(0, 60, 300)
        low, high = bootstrap_auc(positive, score, speakers, 100)
        held += low < 0.5 < high
        assert low < roc(positive, score).auc < high
    # 38 expected; fewer than 33 would be rarer than one in a hundred.
    assert held >= 33


def test_a_round_is_the_area_of_the_drawn_speakers_clips():
    positives, scores, speakers = drawn()
    names = np.unique(speakers)
    found = bootstrap_aucs(positives, scores, speakers, rounds=20, seed=3)
    random = np.random.default_rng(3)
    for values in found:
        chosen = names[random.integers(0, len(names), len(names))]
        clips = np.concatenate([np.flatnonzero(speakers == name) for name in chosen])
        for k, value in enumerate(values):
            expected = roc_auc_score(positives[clips, k], scores[clips, k])
            assert value == pytest.approx(expected, abs=1e-12)


def test_one_clip_a_speaker_is_the_usual_bootstrap():
    positive = RANDOM.random(60) < 0.4
    score = np.round(positive + RANDOM.normal(0, 1, 60), 1)
    random, usual = np.random.default_rng(5), []
    for _ in range(200):
        clips = random.integers(0, 60, 60)
        usual.append(roc_auc_score(positive[clips], score[clips]))
    found = bootstrap_auc(positive, score, np.arange(60), rounds=200, seed=5)
    assert found == pytest.approx(tuple(np.percentile(usual, [2.5, 97.5])))


def test_the_order_of_clips_and_copies_of_all_of_them_change_nothing():
    positives, scores, speakers = drawn()
    first = bootstrap_aucs(positives, scores, speakers, rounds=50)
    order = RANDOM.permutation(len(scores))
    again = bootstrap_aucs(positives[order], scores[order], speakers[order], rounds=50)
    np.testing.assert_array_equal(first, again)
    thrice = [np.repeat(x, 3, axis=0) for x in (positives, scores, speakers)]
    np.testing.assert_allclose(bootstrap_aucs(*thrice, rounds=50), first, rtol=1e-12)


def test_the_size_of_blocks_changes_nothing(monkeypatch):
    data = drawn()
    first = bootstrap_aucs(*data, rounds=23)
    for size in (1, 700, 10**6):
        monkeypatch.setattr(module, "_BLOCK", size)
        np.testing.assert_array_equal(bootstrap_aucs(*data, rounds=23), first)


def test_speakers_who_differ_widen_the_interval():
    # All clips of a speaker alike: as few independent samples as there are speakers.
    random = np.random.default_rng(1)
    positive = np.repeat(random.random(40) < 0.5, 50)
    score = np.repeat(positive[::50] + random.normal(0, 1, 40), 50)
    low, high = bootstrap_auc(positive, score, np.repeat(np.arange(40), 50), 300)
    alone_low, alone_high = bootstrap_auc(positive, score, np.arange(2000), 300)
    assert high - low > 4 * (alone_high - alone_low)
    once = bootstrap_auc(positive[::50], score[::50], np.arange(40), 300)
    assert (low, high) == pytest.approx(once)


def test_one_speaker_has_no_interval():
    positive, score = np.array([1, 1, 0, 0, 0]), np.arange(5.0)
    # Both positives are of one speaker, though the negatives are of several.
    assert np.isnan(bootstrap_auc(positive, score, np.array([1, 1, 2, 3, 4]))).all()
    assert np.isnan(bootstrap_auc(1 - positive, score, np.array([1, 1, 2, 3, 4]))).all()
    assert np.isnan(bootstrap_auc(positive, score, np.ones(5))).all()
    assert np.isnan(bootstrap_auc(positive[:0], score[:0], np.empty(0))).all()


def test_rounds_without_positives_are_left_out():
    positives = (np.arange(30) < 2)[:, None]
    values = bootstrap_aucs(positives, np.arange(30.0)[:, None], np.arange(30), 500)
    # Each of two is missed with the chance (1 - 2/30)^30, about one in eight.
    assert 0.05 < np.isnan(values).mean() < 0.25
    assert not np.isnan(module.interval(values[:, 0])).any()


def test_a_share_is_resampled_over_speakers():
    right = RANDOM.random(2000) < 0.7
    low, high = bootstrap_share(right, np.arange(2000), 500)
    # As wide as that of independent trials.
    assert low < right.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.21 / 2000), rel=0.2)
    assert bootstrap_share(np.ones(9), np.arange(9)) == (1, 1)
    assert np.isnan(bootstrap_share(right, np.zeros(2000))).all()


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match=r"received \(3,\) and \(2,\)"):
        roc(np.ones(3), np.ones(2))
    with pytest.raises(DataError, match="1 of 3 scores are not numbers"):
        roc(np.ones(3), np.array([0, np.nan, 1]))
    with pytest.raises(DataError, match="a speaker for each of 3 clips"):
        bootstrap_auc(np.ones(3), np.ones(3), np.ones(2))
