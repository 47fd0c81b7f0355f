"""The four views of a score: levels, coarse levels, presence, dominance."""

import numpy as np
import pytest

from emorec.errors import DataError
from emorec.evaluation.views import add_neutral, dominant, nearest_level, presence
from emorec.labels import COARSE_LEVELS, MOSEI, MOSEI_LEVELS, MOSEI_NEUTRAL


def random_scores(seed, columns=6):
    """Draw scores of which many are negative, zero, equal, or on a level."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0.3, 1.2, (60, columns))
    levels = rng.choice(MOSEI_LEVELS, scores.shape)
    scores = np.where(rng.random(scores.shape) < 0.4, levels, scores)
    scores[rng.random(60) < 0.2] = 0
    scores[rng.random(60) < 0.2] *= -1
    return scores.astype("f4")


def literal_nearest(score, levels):
    return min(levels, key=lambda level: (abs(level - float(score)), level))


@pytest.mark.parametrize("levels", [MOSEI_LEVELS, COARSE_LEVELS], ids=["all", "coarse"])
def test_a_score_becomes_the_nearest_level(levels):
    scores = random_scores(0)
    result = nearest_level(scores, levels)
    expected = [[literal_nearest(score, levels) for score in row] for row in scores]
    np.testing.assert_array_equal(result, np.array(expected, "f4"))


@pytest.mark.parametrize("levels", [MOSEI_LEVELS, COARSE_LEVELS], ids=["all", "coarse"])
def test_levels_stay_and_scores_beyond_them_become_the_ends(levels):
    levels = np.array(levels, "f4")
    np.testing.assert_array_equal(nearest_level(levels, levels), levels)
    assert nearest_level([-9, 99], levels).tolist() == [levels[0], levels[-1]]


@pytest.mark.parametrize("levels", [MOSEI_LEVELS, COARSE_LEVELS], ids=["all", "coarse"])
def test_halfway_between_two_levels_the_lower_one_is_taken(levels):
    levels = np.array(levels)
    halfway = (levels[1:] + levels[:-1]) / 2
    lower, upper = levels[:-1].astype("f4"), levels[1:].astype("f4")
    np.testing.assert_array_equal(nearest_level(halfway, levels), lower)
    np.testing.assert_array_equal(nearest_level(halfway + 1e-9, levels), upper)


@pytest.mark.parametrize("seed", range(3))
def test_without_a_threshold_present_means_above_zero(seed):
    scores = random_scores(seed)
    np.testing.assert_array_equal(presence(scores, MOSEI), scores > 0)


@pytest.mark.parametrize("threshold", [0.33, 1.0])
def test_with_a_threshold_present_means_at_least_that(threshold):
    scores = np.array([[threshold, threshold - 0.01, threshold + 1, 0, -1, 3]])
    assert presence(scores, MOSEI, threshold).tolist() == [[1, 0, 1, 0, 0, 1]]


def test_every_label_may_have_its_own_threshold():
    scores = random_scores(1)
    limits = np.array([0, 0.5, np.inf, -1, 1, 0.16])
    expected = [
        presence(scores, MOSEI, limit)[:, k] for k, limit in enumerate(limits.tolist())
    ]
    np.testing.assert_array_equal(presence(scores, MOSEI, limits).T, expected)
    assert not presence(scores, MOSEI, limits)[:, 2].any()


def test_every_emotion_at_the_maximum_is_dominant():
    scores = [[1, 2, 2, 0, -1, 2], [0, 0, 0.1, 0, 0, 0], [3, 3, 3, 3, 3, 3]]
    assert dominant(scores, MOSEI).tolist() == [
        [0, 1, 1, 0, 0, 1],
        [0, 0, 1, 0, 0, 0],
        [1, 1, 1, 1, 1, 1],
    ]


def test_nothing_is_dominant_when_nothing_is_above_zero():
    assert not dominant([[0] * 6, [-1] * 6, [0, -1, 0, 0, 0, 0]], MOSEI).any()


@pytest.mark.parametrize("seed", range(5))
def test_neutral_is_on_exactly_when_no_emotion_is(seed):
    scores = random_scores(seed, columns=7)
    limits = np.array([0, 0.5, 1, 0.16, 2, 0.33, 0.7])
    views = [
        presence(scores, MOSEI_NEUTRAL),
        presence(scores, MOSEI_NEUTRAL, 0.5),
        presence(scores, MOSEI_NEUTRAL, limits),
        dominant(scores, MOSEI_NEUTRAL),
    ]
    for view in views:
        assert set(np.unique(view)) == {0, 1}
        np.testing.assert_array_equal(view[:, 6], ~view[:, :6].any(axis=1))


@pytest.mark.parametrize("view", [presence, dominant])
def test_neutral_does_not_change_the_emotions_of_true_scores(view):
    scores = np.abs(random_scores(2))
    seven = view(add_neutral(scores), MOSEI_NEUTRAL)
    np.testing.assert_array_equal(seven[:, :6], view(scores, MOSEI))
    assert 0 < seven[:, 6].sum() < len(seven)


def test_emotions_give_way_where_neutral_scores_higher():
    scores = [[0.2, 0.5, 0, 0, 0, 0, 0.6], [0.2, 0.5, 0, 0, 0, 0, 0.5]]
    assert dominant(scores, MOSEI_NEUTRAL).tolist() == [
        [0, 0, 0, 0, 0, 0, 1],
        [0, 1, 0, 0, 0, 0, 0],
    ]


def test_the_neutral_column_is_one_where_no_emotion_is_present():
    scores = random_scores(3)
    seven = add_neutral(scores)
    np.testing.assert_array_equal(seven[:, :6], scores)
    np.testing.assert_array_equal(seven[:, 6], ~(scores > 0).any(axis=1))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused_with_their_row(bad):
    scores = random_scores(0)
    scores[17, 2] = bad
    for view in (
        lambda: nearest_level(scores, COARSE_LEVELS),
        lambda: presence(scores, MOSEI),
        lambda: dominant(scores, MOSEI),
    ):
        with pytest.raises(DataError, match="row 17 are not finite"):
            view()


def test_views_leave_the_scores_as_they_were():
    scores = random_scores(4, columns=7)
    before = scores.copy()
    for view in (presence, dominant):
        view(scores, MOSEI_NEUTRAL)
    nearest_level(scores, COARSE_LEVELS)
    np.testing.assert_array_equal(scores, before)
