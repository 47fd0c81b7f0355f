"""Cleaning of features, and which word a row of another modality belongs to."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from emorec.corpora.segments import clean, match_rows
from emorec.sequences.alignment import align
from emorec.sequences.csd import ComputationalSequence, Rows, open_sequence

WORDS, LABELS = "glove_vectors", "All Labels"


def cleaned(features, fill="mean", standardise=True):
    """Return the cleaned features and the counts of replaced values."""
    features = np.asarray(features)
    counts = np.zeros(features.shape[1], int)
    return clean(features, fill, standardise, counts), counts


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i4"])
def test_standardised_columns_have_mean_0_and_population_deviation_1(dtype):
    features = np.random.default_rng(0).normal(5, 20, (50, 4)).astype(dtype)
    result, counts = cleaned(features)
    assert (result.dtype, result.shape, counts.any()) == (np.float32, (50, 4), False)
    np.testing.assert_allclose(result.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(result.std(0), 1, rtol=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e-30, 1e38])
def test_a_constant_column_becomes_zero(value):
    assert not cleaned(np.full((7, 1), value, "f4"))[0].any()
    assert not cleaned(np.full((1, 1), value, "f4"))[0].any()


def test_one_bad_value_costs_itself_and_not_its_column():
    features = np.random.default_rng(0).normal(3, 2, (30, 3)).astype("f4")
    bad = features.copy()
    bad[4, 0], bad[9, 1], bad[10, 1] = -np.inf, np.nan, np.inf
    result, counts = cleaned(bad)
    assert counts.tolist() == [1, 2, 0]
    for column, rows in ((0, [4]), (1, [9, 10])):
        # At the mean of the others, which stay a linear map of what they were.
        np.testing.assert_allclose(result[rows, column], 0, atol=1e-6)
        others = np.delete(np.arange(30), rows)
        fit = np.corrcoef(result[others, column], features[others, column])
        np.testing.assert_allclose(fit, 1, rtol=1e-6)
        np.testing.assert_allclose(result[:, column].std(), 1, rtol=1e-6)
    np.testing.assert_array_equal(result[:, 2], cleaned(features)[0][:, 2])


@pytest.mark.parametrize("fill, first, second", [("zero", 0, 0), ("mean", 2, 5)])
def test_without_standardising_only_bad_values_change(fill, first, second):
    features = [[1, np.nan], [3, np.nan], [np.inf, 5]]
    result, counts = cleaned(features, fill, standardise=False)
    assert result.tolist() == [[1, second], [3, second], [first, 5]]
    assert counts.tolist() == [1, 2]


def test_a_column_without_any_finite_value_becomes_zero():
    result, counts = cleaned([[np.nan, 1], [-np.inf, 3]])
    assert result.tolist() == [[0, -1], [0, 1]]
    assert counts.tolist() == [2, 0]


def test_counts_add_up_over_segments():
    counts = np.zeros(2, int)
    for _ in range(3):
        clean(np.array([[np.nan, 1.0]]), "zero", False, counts)
    assert counts.tolist() == [3, 0]


def test_the_largest_single_precision_values_stay_finite():
    largest = np.finfo("f4").max
    features = np.array([[largest, 1], [-largest, 2], [0, largest]], "f4")
    for standardise in (True, False):
        assert np.isfinite(cleaned(features, standardise=standardise)[0]).all()
    expected = np.array([1, -1, 0]) * np.sqrt(1.5)
    np.testing.assert_allclose(cleaned(features)[0][:, 0], expected, rtol=1e-6)


@given(
    hnp.arrays("f8", st.tuples(*[st.integers(1, 6)] * 2), elements=st.floats()),
    st.sampled_from(["zero", "mean"]),
    st.booleans(),
)
def test_whatever_comes_leaves_finite_and_is_counted(features, fill, standardise):
    result, counts = cleaned(features, fill, standardise)
    with np.errstate(over="ignore"):
        single = features.astype("f4")
    assert result.dtype == np.float32 and np.isfinite(result).all()
    np.testing.assert_array_equal(counts, (~np.isfinite(single)).sum(0))
    if standardise:
        # No standardised value of n lies further out than this.
        assert (np.abs(result) <= np.sqrt(len(features))).all()
    else:
        good = np.isfinite(single)
        np.testing.assert_array_equal(result[good], single[good])


@given(st.floats(1e-37, 1e30), st.floats(-1e3, 1e3))
def test_standardising_knows_no_unit(scale, shift):
    features = np.array([[3.0], [1], [4], [1], [5]])
    result, _ = cleaned(scale * (features + shift))
    np.testing.assert_allclose(result, cleaned(features)[0], atol=1e-5)


def test_no_rows_remain_no_rows():
    assert clean(np.zeros((0, 0)), "mean", True, np.zeros(5, int)).shape == (0, 5)


def sequence(name, entries):
    data = {key: rows._asdict() for key, rows in entries.items()}
    return ComputationalSequence(data, {"root name": name}, name)


def true_words(sequences):
    """Align so that every row's feature is the number of its word in the video."""
    first = {name: seq for name, seq in sequences.items() if name != LABELS}
    numbered = {LABELS: sequences[LABELS]}
    for name, entries in align(first, WORDS, None).sequences.items():
        numbers = {
            key: Rows(rows.intervals, np.array([[float(key.split("[")[1][:-1])]]))
            for key, rows in entries.items()
        }
        numbered[name] = sequence(name, numbers)
    return align(numbered, None, LABELS).sequences


def assert_words_are_found(sequences):
    """Compare `match_rows` with the true words in every segment; count the rows."""
    aligned, count = true_words(sequences), 0
    texts = aligned.pop(WORDS)
    del aligned[LABELS]
    for entries in aligned.values():
        for key, rows in entries.items():
            text = texts[key]
            found = match_rows(text.intervals, rows.intervals)
            assert found.min() >= 0, key
            np.testing.assert_array_equal(text.features[found], rows.features, key)
            count += len(found)
    return count


def test_rows_find_their_words_in_the_hard_cases_of_the_golden(golden_dir):
    files = sorted((golden_dir / "mosei_alignment").rglob("*.csd"))
    sequences = {seq.name: seq for seq in map(open_sequence, files)}
    assert assert_words_are_found(sequences) > 400


def with_pauses(rng):
    edges = np.cumsum(rng.uniform(0.1, 0.8, 26))
    return np.stack([edges[:-1], edges[1:]], 1)[rng.random(25) < 0.8]


def overlapping(rng):
    starts = np.sort(rng.uniform(0, 10, 25))
    return np.stack([starts, starts + rng.uniform(0.1, 0.8, 25)], 1)


def starting_together(rng):
    starts = np.repeat(np.arange(12) * 0.8, 2)
    return np.stack([starts, starts + rng.uniform(0.1, 1.2, 24)], 1)


def nested(rng):
    edges = np.arange(13) * rng.uniform(0.6, 0.9)
    outer = np.stack([edges[:-1], edges[1:]], 1)
    inner = outer.mean(1, keepdims=True) + np.array([-0.2, 0.2])
    return np.stack([outer, inner], 1).reshape(-1, 2)


def frames(rng):
    """Draw frames that are now and then missing, and four times for longer."""
    starts = np.arange(400) / 30
    starts = starts[rng.random(400) < 0.8]
    for away in rng.uniform(0, 10, 4):
        starts = starts[np.abs(starts - away) > 0.3]
    return np.stack([starts, starts + 1 / 30], 1)


@pytest.mark.parametrize("words", [with_pauses, overlapping, starting_together, nested])
def test_rows_find_their_words(words):
    count = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        segments = np.array([[0, 4.9], [4.9, 20]])
        content = {WORDS: words(rng), "image": frames(rng), LABELS: segments}
        sequences = {}
        for name, intervals in content.items():
            rows = Rows(intervals.astype("f4"), np.zeros((len(intervals), 1)))
            sequences[name] = sequence(name, {"v": rows})
        count += assert_words_are_found(sequences)
    assert count > 200


@pytest.mark.parametrize("seed", range(5))
def test_a_word_takes_one_row_and_holds_it(seed):
    rng = np.random.default_rng(seed)
    words, rows = (np.sort(rng.integers(0, 9, (n, 2)), 1) * 0.5 for n in (12, 20))
    found = match_rows(words, rows)
    taken = found[found >= 0]
    assert 0 < len(taken) < len(found)
    assert len(set(taken)) == len(taken)
    assert (words[taken, 0] <= rows[found >= 0, 0]).all()
    assert (words[taken, 1] >= rows[found >= 0, 1]).all()


def test_no_row_is_lost_while_every_one_has_a_word_to_lie_in():
    # Frames at 0.6 to 0.9 and 1.1 to 1.4: the former lie in both words.
    words = np.array([[0, 1], [0.5, 1.5]])
    rows = np.array([[0.6, 0.9], [0.6, 1.4]])
    assert match_rows(words, rows).tolist() == [0, 1]
