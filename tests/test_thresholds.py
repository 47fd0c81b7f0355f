"""Thresholds chosen on validation, and the metrics of sentiment."""

import numpy as np
import pytest

from emorec.evaluation.metrics import best_thresholds, sentiment
from emorec.evaluation.views import presence
from emorec.labels import LabelSchema

ONE = LabelSchema("one", ("a",), "intensity", 0.0, 3.0)


def weighted_accuracy(true, on):
    return (on[true == 1].mean() + (1 - on[true == 0]).mean()) / 2


def draw_decisions(seed, decimals):
    rng = np.random.default_rng(seed)
    true = (rng.random(40) < 0.3).astype(int)
    true[:2] = 0, 1
    scores = np.round(0.5 * true + rng.normal(0, 0.6, 40), decimals)
    return true, scores.astype("f4")


def assert_no_other_is_better(true, scores):
    best = best_thresholds(true[:, None], scores[:, None])
    chosen = presence(scores[:, None], ONE, best)[:, 0]
    every = [*np.unique(scores), np.inf]
    others = [weighted_accuracy(true, (scores >= limit) + 0) for limit in every]
    assert weighted_accuracy(true, chosen) >= max(others) - 1e-12


@pytest.mark.parametrize("decimals", [0, 1, 6])
@pytest.mark.parametrize("seed", range(8))
def test_no_other_threshold_is_better_on_the_same_data(seed, decimals):
    assert_no_other_is_better(*draw_decisions(seed, decimals))


def test_no_other_threshold_is_better_where_the_best_is_exactly_zero():
    assert_no_other_is_better(np.array([0, 1, 1, 1]), np.array([-1.0, 0, 0, 1]))


@pytest.mark.parametrize("value", [0, 1])
def test_of_one_class_alone_nothing_is_called_present(value):
    true, scores = np.full((9, 1), value), np.arange(9.0)[:, None]
    assert best_thresholds(true, scores).tolist() == [np.inf]


def test_of_scores_that_tell_nothing_nothing_is_called_present():
    true, _ = draw_decisions(0, 1)
    for constant in (0.0, 0.7):
        scores = np.full((40, 1), constant)
        assert best_thresholds(true[:, None], scores).tolist() == [np.inf]


def test_every_emotion_has_a_threshold_of_its_own():
    columns = [draw_decisions(seed, 6) for seed in range(3)]
    true, scores = (np.stack(part, axis=1) for part in zip(*columns, strict=True))
    alone = [best_thresholds(t[:, None], s[:, None])[0] for t, s in columns]
    assert best_thresholds(true, scores).tolist() == alone


def draw_sentiment(seed):
    rng = np.random.default_rng(seed)
    true = np.round(rng.uniform(-3, 3, 300), 1)
    true[rng.random(300) < 0.2] = 0
    return true, 0.6 * true + rng.normal(0, 1.2, 300)


def naive_f1(true, predicted):
    """Average the F1 of both classes by how often they truly are."""
    total = 0
    for side in (True, False):
        t, p = true == side, predicted == side
        total += t.mean() * 2 * (t & p).sum() / (t.sum() + p.sum())
    return total


@pytest.mark.parametrize("seed", range(3))
def test_sentiment_metrics_equal_their_definitions(seed):
    true, scores = draw_sentiment(seed)
    rated = true != 0
    seven = [min(3, max(-3, round(x))) for x in true.tolist()]
    seven_scores = [min(3, max(-3, round(x))) for x in scores.tolist()]
    right = [a == b for a, b in zip(seven, seven_scores, strict=True)]
    centred = true - true.mean(), scores - scores.mean()
    product = (centred[0] * centred[1]).mean() / (true.std() * scores.std())
    expected = {
        "mae": np.abs(true - scores).mean(),
        "corr": product,
        "acc2_has0": ((true >= 0) == (scores >= 0)).mean(),
        "f1_has0": naive_f1(true >= 0, scores >= 0),
        "acc2_non0": ((true > 0) == (scores > 0))[rated].mean(),
        "f1_non0": naive_f1(true[rated] > 0, scores[rated] > 0),
        "acc7": np.mean(right),
    }
    assert sentiment(true, scores) == pytest.approx(expected)


def test_the_sign_decides_two_classes_and_rounding_decides_seven():
    true = np.array([-3, -0.4, 0, 0, 2.6, 3])
    scores = np.array([-9, 0.4, 0.2, -0.2, 3.4, 9])
    result = sentiment(true, scores)
    assert result["acc2_has0"] == pytest.approx(4 / 6)
    assert result["acc2_non0"] == pytest.approx(3 / 4)
    assert result["acc7"] == 1


def test_a_constant_has_no_correlation():
    true, scores = draw_sentiment(0)
    for arrays in ((true, np.full(300, 0.3)), (np.full(300, 0.3), scores)):
        assert np.isnan(sentiment(*arrays)["corr"])


def test_without_rated_utterances_what_needs_them_is_empty():
    result = sentiment(np.zeros(4), np.array([0.1, -0.2, 0.3, 0.0]))
    assert np.isnan(result["acc2_non0"])
    assert np.isnan(result["f1_non0"])
    assert result["acc2_has0"] == 0.75
