"""Late fusion: corners are the models themselves, nothing is chosen on scored rows."""

from dataclasses import replace

import numpy as np
import pytest

from emorec.artifacts.predictions import Predictions
from emorec.errors import DataError, LabelMismatchError, SpecError
from emorec.evaluation.figures import save
from emorec.evaluation.fusion_figures import weights_figure
from emorec.evaluation.fusion_weights import (
    convex_weights,
    grid_table,
    mix,
    simplex,
)
from emorec.evaluation.joining import join
from emorec.evaluation.late_fusion import METHODS, fit, group_folds, nested
from emorec.evaluation.utterances import metrics
from emorec.labels import MELD_ALPHABETICAL, MELD_TEXT, LabelSchema

TRUE = np.random.default_rng(7).choice(
    7, 400, p=[0.13, 0.03, 0.02, 0.15, 0.48, 0.08, 0.11]
)
GROUPS = np.array([f"dia{row // 8}" for row in range(400)])


def model(name, strength, seed):
    """Probabilities that are right as a Bayesian with this much evidence would be."""
    random = np.random.default_rng(seed)
    logits = strength * random.standard_normal((400, 7))
    logits[np.arange(400), TRUE] += strength**2
    logits += np.log([0.13, 0.03, 0.02, 0.15, 0.48, 0.08, 0.11])
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores /= scores.sum(axis=1, keepdims=True)
    ids = [f"dia{row // 8}_utt{row % 8}" for row in range(400)]
    return Predictions(
        name, "meld", "dev", MELD_ALPHABETICAL, ids, scores, TRUE, GROUPS
    )


TEXT, AUDIO = model("text", 1.6, 1), model("audio", 1.0, 2)
USELESS = replace(
    model("useless", 0, 3),
    scores=np.random.default_rng(3).dirichlet(np.full(7, 0.5), 400),
)


@pytest.fixture(scope="module")
def both():
    return join([TEXT, AUDIO])


def test_corners_are_the_models_to_the_bit(both):
    table = grid_table(both, draws=0)
    np.testing.assert_array_equal(mix(both, [0.0, 1.0]), AUDIO.scores)
    np.testing.assert_array_equal(mix(both, [1.0, 0.0]), TEXT.scores)
    assert table["weight_text"].tolist() == [n / 20 for n in range(21)]
    for row, one in ((0, AUDIO), (20, TEXT)):
        alone = metrics(one, draws=0)
        for name in ("weighted_f1", "macro_f1", "accuracy", "nll"):
            assert table[name][row] == pytest.approx(alone[name], abs=1e-12)


def test_a_grid_holds_every_weighting_once():
    for models, count in ((2, 21), (3, 231), (4, 1771)):
        grid = simplex(models)
        assert len(np.unique(grid, axis=0)) == len(grid) == count
        np.testing.assert_allclose(grid.sum(axis=1), 1)
        assert grid.min() == 0
        for corner in np.eye(models):
            assert (grid == corner).all(axis=1).any()
    for step in (0, 0.3, 2, -0.1):
        with pytest.raises(SpecError, match="1 must be a multiple"):
            simplex(2, step)


@pytest.mark.parametrize("criterion", ["weighted_f1", "macro_f1", "accuracy", "nll"])
def test_the_chosen_weights_are_the_best(both, criterion):
    table = grid_table(both, criterion=criterion, draws=0)
    sign = -1 if criterion == "nll" else 1
    assert table["chosen"].sum() == 1
    chosen = table.loc[table["chosen"], criterion].item()
    assert sign * chosen == (sign * table[criterion]).max()
    fusion = fit("weights", both, criterion)
    assert fusion.weights[0] == table.loc[table["chosen"], "weight_text"].item()


def test_among_equal_weights_the_nearest_to_equal_ones_is_chosen():
    # One model twice: every weighting is as good as every other.
    table = grid_table(join([TEXT, replace(TEXT, model="copy")]), draws=0)
    assert table.loc[table["chosen"], "weight_text"].tolist() == [0.5]


def test_the_order_of_the_models_does_not_matter(both):
    other = join([AUDIO, TEXT])
    for method in ("weights", "convex"):
        weights = fit(method, both).weights
        np.testing.assert_allclose(fit(method, other).weights[::-1], weights, atol=1e-3)


def test_the_order_of_rows_does_not_matter(both):
    shuffled = AUDIO.take(np.random.default_rng(0).permutation(400))
    again = join([TEXT, shuffled])
    assert again.ids == both.ids
    np.testing.assert_array_equal(again.scores, both.scores)
    np.testing.assert_array_equal(again.true, both.true)


@pytest.mark.parametrize("method", METHODS)
def test_permuting_label_columns_with_their_names_changes_no_metric(both, method):
    permuted = join([one.arranged(MELD_TEXT) for one in (TEXT, AUDIO)])
    found = {
        order: metrics(
            joined.predictions("fused", fit(method, joined).apply(joined)), draws=0
        )
        for order, joined in (("alphabetical", both), ("text", permuted))
    }
    for name in ("weighted_f1", "macro_f1", "accuracy", "f1_joy", "recall_fear"):
        assert found["text"][name] == pytest.approx(
            found["alphabetical"][name], abs=1e-3
        )


def test_convex_weights_are_the_likeliest(both):
    weights = convex_weights(both)
    fine = grid_table(both, 0.01, "nll", draws=0)
    best = fine.loc[fine["chosen"], "weight_text"].item()
    assert weights[0] == pytest.approx(best, abs=0.011)
    assert 0.05 < weights[1] < weights[0]
    scores = mix(both, weights)
    found = -np.log(scores[np.arange(400), TRUE]).mean()
    assert found <= fine["nll"].min() + 1e-7


def test_a_useless_model_gets_no_weight():
    weights = convex_weights(join([TEXT, USELESS]))
    assert weights[1] < 1e-3
    weights = convex_weights(join([USELESS, TEXT, AUDIO]))
    assert weights[0] < 1e-3
    np.testing.assert_allclose(
        weights[1:], convex_weights(join([TEXT, AUDIO])), atol=2e-3
    )


def test_stacking_mends_what_a_permutation_of_classes_spoilt():
    # A model that always names the next class: useless alone and in every mixture.
    wrong = replace(TEXT, model="next", scores=np.roll(TEXT.scores, 1, axis=1))
    joined = join([wrong, USELESS])
    scores, _, _ = nested("stacking", joined, 5)
    found = metrics(joined.predictions("stacked", scores), draws=0)
    alone = metrics(TEXT, draws=0)
    assert metrics(wrong, draws=0)["accuracy"] < 0.2
    assert found["accuracy"] > alone["accuracy"] - 0.1


@pytest.mark.parametrize("method", METHODS)
def test_nested_never_looks_at_the_true_classes_it_scores(both, method):
    fold = group_folds(both.groups, 4, seed=1)
    _, fusions, number = nested(method, both, 4, seed=1)
    np.testing.assert_array_equal(number, fold)
    for scored in range(4):
        true = both.true.copy()
        rows = np.flatnonzero(fold == scored)
        true[rows] = np.random.default_rng(0).permutation(6 - true[rows])
        assert (true[rows] != both.true[rows]).any()
        scores, others, _ = nested(method, replace(both, true=true), 4, seed=1)
        expected = fusions[scored].apply(both.take(rows))
        np.testing.assert_array_equal(scores[rows], expected)
        if method != "stacking":
            np.testing.assert_array_equal(
                others[scored].weights, fusions[scored].weights
            )


def test_folds_keep_groups_together_and_are_of_one_size():
    groups = np.random.default_rng(0).integers(0, 30, 500).astype(str)
    for seed in range(3):
        fold = group_folds(groups, 5, seed)
        for group in set(groups):
            assert len(set(fold[groups == group])) == 1
        sizes = np.bincount(fold)
        assert len(sizes) == 5 and sizes.max() - sizes.min() <= 25
    assert (group_folds(groups, 5, 0) != group_folds(groups, 5, 1)).any()
    assert np.bincount(group_folds(np.full(50, ""), 5)).tolist() == [10] * 5
    with pytest.raises(SpecError, match=r"as many as there are groups \(1\)"):
        group_folds(np.full(50, "one"), 5)


# Utterances and labels that differ.


def test_other_utterances_are_refused_with_the_difference():
    with pytest.raises(DataError) as error:
        join([TEXT, AUDIO.take(range(398))])
    message = str(error.value)
    assert "text: 400 utterances" in message
    assert "audio: 398 utterances, lacks 2: dia49_utt6, dia49_utt7" in message
    assert "--intersect" in message


def test_the_intersection_is_reported():
    joined = join([TEXT.take(range(5, 400)), AUDIO.take(range(398))], "intersect")
    assert joined.ids == TEXT.ids[5:398]
    assert joined.report.groupby("model").size().to_dict() == {"audio": 2, "text": 5}
    assert joined.report["left_out"].all()
    np.testing.assert_array_equal(joined.scores[1], AUDIO.scores[5:398])
    with pytest.raises(DataError, match="no utterance is known to all"):
        join([TEXT.take(range(5)), AUDIO.take(range(5, 9))], "intersect")


def test_another_order_of_labels_is_refused_or_found_by_name(both):
    other = AUDIO.arranged(MELD_TEXT)
    with pytest.raises(LabelMismatchError, match="another order; take columns") as e:
        join([TEXT, other])
    assert "--intersect" in str(e.value)
    joined = join([TEXT, other], "intersect")
    np.testing.assert_array_equal(joined.scores, both.scores)
    six = LabelSchema("six", MELD_TEXT.labels[:6], "single")
    fewer = replace(
        AUDIO, schema=six, scores=np.full((400, 6), 1 / 6), true=TRUE.clip(0, 5)
    )
    with pytest.raises(LabelMismatchError, match="no column for fear"):
        join([TEXT, fewer], "intersect")


def test_files_of_other_data_are_refused():
    with pytest.raises(DataError, match=r"in 400 of 400 .* first is dia0_utt0: "):
        join([TEXT, replace(AUDIO, true=(TRUE + 1) % 7)])
    with pytest.raises(DataError, match="same split, received dev and test"):
        join([TEXT, replace(AUDIO, split="test")])
    with pytest.raises(SpecError, match="each of another name"):
        join([TEXT, TEXT])
    with pytest.raises(SpecError, match="two models or more"):
        join([TEXT])


def test_weights_are_renormalised_where_a_model_is_missing():
    three = join(
        [TEXT, AUDIO.take(range(300)), USELESS.take(range(200))], "renormalise"
    )
    scores = mix(three, [0.5, 0.3, 0.2])
    np.testing.assert_allclose(
        scores[:200],
        0.5 * TEXT.scores[:200] + 0.3 * AUDIO.scores[:200] + 0.2 * USELESS.scores[:200],
    )
    np.testing.assert_allclose(
        scores[200:300],
        (0.5 * TEXT.scores[200:300] + 0.3 * AUDIO.scores[200:300]) / 0.8,
    )
    np.testing.assert_allclose(scores[300:], TEXT.scores[300:])
    np.testing.assert_allclose(scores.sum(axis=1), 1)
    # The one that is there has no weight at all.
    np.testing.assert_allclose(mix(three, [0, 0.6, 0.4])[300:], TEXT.scores[300:])
    assert three.report.groupby("model").size().to_dict() == {
        "audio": 100,
        "useless": 200,
    }
    assert three.of_model(1).ids == AUDIO.ids[:300]
    with pytest.raises(DataError, match="200 lack one, the first is dia25_utt0"):
        fit("stacking", three).apply(three)


def test_figures_show_two_models_as_a_line_and_three_as_a_triangle(tmp_path):
    for parts, count in (([TEXT, AUDIO], 21), ([TEXT, AUDIO, USELESS], 15)):
        joined = join(parts)
        table = grid_table(joined, 0.05 if len(parts) == 2 else 0.25, draws=50)
        assert len(table) == count
        figure = weights_figure(table, joined.models, "dev")
        words = [text.get_text() for text in figure.axes[0].texts]
        assert any(word.startswith("text alone") for word in words)
        assert any(word.startswith("audio alone") for word in words)
        save(figure, tmp_path / f"{count}.png")
        assert (tmp_path / f"{count}.png").stat().st_size > 5000
    assert weights_figure(table, ("a", "b", "c", "d"), "dev") is None


def test_a_fusion_is_of_its_own_models_alone(both):
    fusion = fit("weights", both)
    with pytest.raises(SpecError, match=r"of text, audio: received .* audio, text"):
        fusion.apply(join([AUDIO, TEXT]))
    with pytest.raises(SpecError, match="expected one of weights, convex, stacking"):
        fit("mean", both)
    with pytest.raises(SpecError, match="expected one of weighted_f1"):
        fit("weights", both, "f1")
    one_class = both.take(np.flatnonzero(both.true == 4))
    with pytest.raises(DataError, match="have one class"):
        fit("stacking", one_class)
