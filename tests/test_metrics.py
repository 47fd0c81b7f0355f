"""Metrics: equal to the definitions spelt out, and never dependent on label order."""

from dataclasses import replace

import numpy as np
import pytest

from emorec.errors import DataError
from emorec.evaluation import metrics, outputs
from emorec.evaluation.views import presence
from emorec.labels import COARSE_LEVELS, MOSEI, MOSEI_NEUTRAL, LabelSchema

FOUR = LabelSchema("four", ("a", "b", "c", "d"), "intensity", 0.0, 3.0)
NAN = float("nan")


def draw(seed, count=200, columns=4):
    """Draw true scores and, half right, predicted ones; ties occur."""
    rng = np.random.default_rng(seed)
    true = rng.choice(np.arange(7) / 2, (count, columns))
    true *= rng.random((count, columns)) < 0.4
    predicted = np.round(0.5 * true + rng.normal(0.2, 0.6, true.shape), 1)
    return true, predicted


def decisions(seed):
    """Draw true and predicted presence and the scores."""
    true, scores = draw(seed)
    return presence(true, FOUR), presence(scores, FOUR, 0.5), scores


# The definitions, as plain as they are slow.


def ratio(part, whole):
    return part / whole if whole else NAN


def named(name, values):
    return {f"{name}_{label}": values[k] for k, label in enumerate("abcd")}


def naive_binary(true, predicted, scores):
    tp, fp, fn, tn = (
        sum((t == a) & (p == b) for t, p in zip(true, predicted, strict=True))
        for a, b in ((1, 1), (0, 1), (1, 0), (0, 0))
    )
    positives = [s for s, t in zip(scores, true, strict=True) if t]
    negatives = [s for s, t in zip(scores, true, strict=True) if not t]
    wins = sum((p > n) + (p == n) / 2 for p in positives for n in negatives)
    f1, f1_absent = (ratio(2 * x, 2 * x + fp + fn) for x in (tp, tn))
    area, before = 0, 0
    for limit in sorted(set(scores), reverse=True):
        taken = [t for t, s in zip(true, scores, strict=True) if s >= limit]
        recall = sum(taken) / len(positives)
        area += (recall - before) * sum(taken) / len(taken)
        before = recall
    return {
        "accuracy": (tp + tn) / len(true),
        "weighted_accuracy": (tp / (tp + fn) + tn / (tn + fp)) / 2,
        "precision": ratio(tp, tp + fp),
        "recall": ratio(tp, tp + fn),
        "f1": f1,
        "f1_both": ((tp + fn) * f1 + (tn + fp) * f1_absent) / len(true),
        "auc": wins / (len(positives) * len(negatives)),
        "ap": area,
    }


@pytest.mark.parametrize("seed", range(3))
def test_classification_equals_its_definitions(seed):
    true, predicted, scores = decisions(seed)
    naive = [naive_binary(true[:, k], predicted[:, k], scores[:, k]) for k in range(4)]
    expected = {"subset_accuracy": (true == predicted).all(axis=1).mean()}
    for name in naive[0]:
        values = [column[name] for column in naive]
        expected |= named(name, values)
        expected[f"{name}_macro"] = sum(values) / 4
        if name in ("precision", "recall", "f1"):
            weights = true.sum(axis=0)
            expected[f"{name}_weighted"] = values @ weights / weights.sum()
    result = metrics.classification(true, predicted, scores, FOUR)
    assert result == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_regression_equals_its_definitions(seed):
    true, scores = draw(seed)
    columns = {
        "mae": np.abs(true - scores).mean(0),
        "mse": ((true - scores) ** 2).mean(0),
        "r2": 1 - ((true - scores) ** 2).sum(0) / ((true - true.mean(0)) ** 2).sum(0),
    }
    expected = {name: values.mean() for name, values in columns.items()}
    for name, values in columns.items():
        expected |= named(name, values)
    assert metrics.regression(true, scores, FOUR) == pytest.approx(expected)


def naive_coarse_f1(true, predicted, weighted):
    classes = sorted(set(true))
    values = []
    for c in classes:
        both = ((true == c) & (predicted == c)).sum()
        values.append(2 * both / ((true == c).sum() + (predicted == c).sum()))
    weights = [(true == c).sum() if weighted else 1 for c in classes]
    return np.average(values, weights=weights)


def test_coarse_metrics_equal_their_definitions():
    rng = np.random.default_rng(0)
    true = rng.choice(COARSE_LEVELS, (100, 4), p=[0.6, 0.2, 0.2, 0])
    predicted = np.where(rng.random(true.shape) < 0.6, true, rng.choice(4, true.shape))
    result = metrics.coarse(true, predicted, FOUR)
    assert result["subset_accuracy"] == (true == predicted).all(1).mean()
    for k, label in enumerate("abcd"):
        t, p = true[:, k], predicted[:, k]
        assert result[f"accuracy_{label}"] == pytest.approx((t == p).mean())
        for name, weighted in (("f1_macro", False), ("f1_weighted", True)):
            expected = naive_coarse_f1(t, p, weighted)
            assert result[f"{name}_{label}"] == pytest.approx(expected)
    for name in ("accuracy", "f1_macro", "f1_weighted"):
        mean = np.mean([result[f"{name}_{label}"] for label in "abcd"])
        overall = "accuracy_macro" if name == "accuracy" else name
        assert result[overall] == pytest.approx(mean)


def all_metrics(true, scores, schema):
    present = [presence(x, schema, 0.5) for x in (true, scores)]
    coarse = [np.clip(np.round(x), 0, 3) for x in (true, scores)]
    return [
        metrics.regression(true, scores, schema),
        metrics.classification(*present, scores, schema),
        metrics.coarse(*coarse, schema),
    ]


def test_permuting_columns_with_their_names_changes_no_metric():
    true, scores = draw(0)
    order = [2, 0, 3, 1]
    permuted = replace(FOUR, labels=tuple(FOUR.labels[k] for k in order))
    expected = all_metrics(true, scores, FOUR)
    received = all_metrics(true[:, order], scores[:, order], permuted)
    for mine, theirs in zip(received, expected, strict=True):
        assert mine == pytest.approx(theirs)
    unnamed = all_metrics(true[:, order], scores[:, order], FOUR)
    assert unnamed[1] != pytest.approx(expected[1])


def test_the_auc_of_shuffled_scores_is_near_a_half():
    rng = np.random.default_rng(0)
    true, scores = (draw(0, 4000)[0] > 0).astype(int), draw(1, 4000)[1]
    rng.shuffle(scores)
    result = metrics.classification(true, true, scores, FOUR)
    for label in "abcd":
        assert result[f"auc_{label}"] == pytest.approx(0.5, abs=0.05)


def test_perfect_predictions_have_perfect_metrics():
    true, _, _ = decisions(0)
    result = metrics.classification(true, true, true.astype(float), FOUR)
    assert set(result.values()) == {1.0}


# The columns a and b hold one class alone.
DEGENERATE = np.array([[0, 1, 0, 1], [0, 1, 1, 1], [0, 1, 1, 0]])


def test_what_is_undefined_is_empty_and_no_zero():
    result = metrics.classification(DEGENERATE, DEGENERATE, DEGENERATE, FOUR)
    undefined = {name for name, value in result.items() if np.isnan(value)}
    of_two = {"weighted_accuracy", "auc", "ap"}
    of_positives = {"precision", "recall", "f1"}
    assert undefined == {f"{name}_a" for name in of_two | of_positives} | {
        f"{name}_b" for name in of_two
    }


def test_without_any_emotion_the_means_are_empty():
    nothing = np.zeros((3, 4))
    result = metrics.classification(nothing, nothing, nothing, FOUR)
    for name in ("f1_macro", "f1_weighted", "auc_macro", "recall_weighted"):
        assert np.isnan(result[name])
    assert result["accuracy_macro"] == result["subset_accuracy"] == 1
    assert np.isnan(metrics.regression(nothing, nothing, FOUR)["r2"])


def test_an_emotion_that_is_never_predicted_has_precision_zero():
    nothing = np.zeros_like(DEGENERATE)
    result = metrics.classification(DEGENERATE, nothing, nothing, FOUR)
    assert result["precision_c"] == result["recall_c"] == result["f1_c"] == 0
    assert result["weighted_accuracy_c"] == 0.5


@pytest.mark.parametrize("function", ["regression", "coarse"])
@pytest.mark.parametrize("shape", [(5, 3), (4, 4), (4,)])
def test_arrays_of_other_shapes_are_refused(function, shape):
    with pytest.raises(DataError, match=r"shape \(n, 4\), received"):
        getattr(metrics, function)(np.zeros((5, 4)), np.zeros(shape), FOUR)
    with pytest.raises(DataError, match=r"shape \(n, 4\), received"):
        metrics.classification(
            np.zeros((5, 4)), np.zeros((5, 4)), np.zeros(shape), FOUR
        )


def test_columns_do_not_depend_on_the_data():
    constants = np.zeros((3, 4)), np.ones((3, 4)) * 3
    expected = [list(result) for result in all_metrics(*draw(0), FOUR)]
    for true in constants:
        for scores in constants:
            found = [list(result) for result in all_metrics(true, scores, FOUR)]
            assert found == expected


@pytest.mark.parametrize("schema", [MOSEI, MOSEI_NEUTRAL], ids=lambda s: s.name)
def test_the_columns_of_the_tables_hold_those_of_every_run(schema):
    result = all_metrics(*draw(0, columns=len(schema)), schema)
    tables = ("regression", "classification_presence", "classification_coarse")
    for table, row in zip(tables, result, strict=True):
        assert set(row) <= set(outputs.columns(table))


def test_confusion_counts_every_decision_once():
    true, predicted, _ = decisions(0)
    matrices = metrics.confusion(true, predicted)
    assert matrices.shape == (4, 2, 2)
    for k, matrix in enumerate(matrices):
        for t in (0, 1):
            for p in (0, 1):
                both = (true[:, k] == t) & (predicted[:, k] == p)
                assert matrix[t, p] == both.sum()
