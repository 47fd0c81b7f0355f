"""Prediction files: written and read whole, columns found by name, intervals, tests."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from emorec.artifacts.predictions import (
    Predictions,
    predictions_path,
    read_predictions,
    write_predictions,
)
from emorec.artifacts.spec import Modality, Spec
from emorec.errors import DataError, LabelMismatchError
from emorec.evaluation.comparison import compare, mcnemar
from emorec.evaluation.utterances import (
    constant_predictions,
    metrics,
    write_results,
)
from emorec.labels import (
    FERPLUS,
    MELD_ALPHABETICAL,
    MELD_TEXT,
    MOSEI,
    RAVDESS,
    SENTIMENT,
    LabelSchema,
    label_map,
)

# Of the official test split, in alphabetical order.
MELD_TEST = (345, 68, 50, 402, 1256, 208, 281)


def drawn(n=60, seed=0, schema=MELD_ALPHABETICAL, groups=9):
    random = np.random.default_rng(seed)
    return Predictions(
        "text",
        "meld",
        "dev",
        schema,
        [f"dev/dia{row}_utt0" for row in range(n)],
        random.dirichlet(np.ones(len(schema)), n),
        random.integers(0, len(schema), n),
        np.array([f"dia{row % groups}" for row in range(n)]),
    )


def test_what_is_written_is_read_to_the_bit(tmp_path):
    before = drawn()
    path = predictions_path(tmp_path, before)
    write_predictions(path, before, {"max_steps": 95})
    after = read_predictions(path)
    assert path.name == "predictions_dev_text.npz"
    np.testing.assert_array_equal(after.scores, before.scores)
    np.testing.assert_array_equal(after.true, before.true)
    np.testing.assert_array_equal(after.groups, before.groups)
    for key in ("model", "dataset", "split", "schema", "ids"):
        assert getattr(after, key) == getattr(before, key)
    with np.load(path, allow_pickle=False) as content:
        assert json.loads(str(content["spec"]))["max_steps"] == 95


def test_a_spec_of_another_label_order_is_refused(tmp_path):
    with pytest.raises(LabelMismatchError, match="another order"):
        write_predictions(tmp_path / "p.npz", drawn(), {"schema": MELD_TEXT.to_dict()})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": ["a"] * 60}, "distinct; more than once: a"),
        ({"ids": ["a"]}, r"expected scores of shape \(1, 7\)"),
        ({"true": np.full(60, 7)}, "true class of 0 to 6; 60 rows"),
        ({"true": np.zeros(60)}, "whole numbers, received float64"),
        ({"scores": np.zeros((60, 7))}, "sum 1; 60 rows have others, the first is dev"),
        ({"scores": np.full((60, 7), np.nan)}, "sum 1; 60 rows"),
        ({"groups": np.array(["a"])}, "groups of shape"),
    ],
)
def test_what_is_no_prediction_is_refused(change, message):
    with pytest.raises(DataError, match=message):
        replace(drawn(), **change)


def test_intensities_are_no_classes():
    with pytest.raises(LabelMismatchError, match="kind intensity"):
        replace(drawn(), schema=MOSEI, scores=np.full((60, 6), 1 / 6))


def test_permuting_columns_with_their_names_changes_no_metric():
    before = drawn(200)
    after = before.arranged(MELD_TEXT)
    assert after.schema == MELD_TEXT
    assert not np.array_equal(after.scores, before.scores)
    one, other = metrics(before, draws=100), metrics(after, draws=100)
    assert set(one) == set(other)
    for name, value in one.items():
        assert other[name] == pytest.approx(value, abs=1e-12), name
    np.testing.assert_array_equal(
        after.arranged(MELD_ALPHABETICAL).scores, before.scores
    )


def test_the_permutation_of_melds_text_model_is_the_published_one():
    mapped = label_map(MELD_TEXT, MELD_ALPHABETICAL)
    assert [column for (column,) in mapped.columns] == [3, 5, 6, 1, 0, 4, 2]


def test_labels_that_the_other_order_lacks_are_named():
    fewer = LabelSchema("six", MELD_ALPHABETICAL.labels[:6], "single")
    with pytest.raises(LabelMismatchError, match="surprise are not among anger"):
        drawn().arranged(fewer)


def test_always_neutral_on_melds_test_counts():
    true = np.repeat(np.arange(7), MELD_TEST)
    n = len(true)
    one = replace(
        drawn(),
        ids=[str(row) for row in range(n)],
        true=true,
        scores=np.full((n, 7), 1 / 7),
        groups=np.arange(n).astype(str),
    )
    neutral = MELD_ALPHABETICAL.index("neutral")
    found = metrics(constant_predictions(one, neutral), draws=200)
    share = 1256 / 2610
    assert found["accuracy"] == pytest.approx(share)
    assert found["weighted_f1"] == pytest.approx(2 * share / (1 + share) * share)
    assert round(found["weighted_f1"], 3) == 0.313
    assert found["weighted_f1_low"] < found["weighted_f1"] < found["weighted_f1_high"]


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_metrics_are_those_of_scikit_learn(seed):
    one = drawn(40, seed)
    found = metrics(one, draws=0)
    true, chosen = one.true, one.chosen
    weighted = sk.f1_score(true, chosen, average="weighted", zero_division=0)
    macro = sk.f1_score(
        true, chosen, average="macro", labels=np.unique(true), zero_division=0
    )
    assert found["weighted_f1"] == pytest.approx(weighted)
    assert found["macro_f1"] == pytest.approx(macro)
    assert found["nll"] == pytest.approx(sk.log_loss(true, one.scores, labels=range(7)))
    assert np.isnan(found["accuracy_low"])


def test_intervals_draw_groups_and_not_rows():
    # Ten utterances of one dialogue are all right or all wrong: ten times fewer data.
    right = np.repeat(np.random.default_rng(0).random(40) < 0.5, 10)
    true = np.zeros(400, int)
    scores = np.where(right[:, None], [0.9, 0.1], [0.1, 0.9])
    schema = LabelSchema("two", ("a", "b"), "single")
    ids = [str(row) for row in range(400)]
    rows = Predictions("m", "d", "s", schema, ids, scores, true, np.full(400, ""))
    grouped = replace(rows, groups=np.repeat(np.arange(40), 10).astype(str))
    wide, narrow = metrics(grouped), metrics(rows)
    assert (wide["groups"], narrow["groups"]) == (40, 400)
    ratio = (wide["accuracy_high"] - wide["accuracy_low"]) / (
        narrow["accuracy_high"] - narrow["accuracy_low"]
    )
    assert ratio == pytest.approx(np.sqrt(10), rel=0.15)
    alone = metrics(replace(rows, groups=np.full(400, "one")))
    assert np.isnan(alone["accuracy_low"])


def test_results_are_written_and_repeated_runs_replace_their_rows(tmp_path):
    dev = drawn()
    test = replace(drawn(seed=1), split="test")
    said = []
    table = write_results([dev, test], tmp_path, 4, said.append)
    repeated = write_results([test], tmp_path, 4, said.append)
    pd.testing.assert_frame_equal(
        repeated, table[table["split"] == "test"].reset_index(drop=True)
    )
    again = pd.read_csv(tmp_path / "results.csv")
    assert len(again) == 4
    assert list(again["predictor"]) == ["model", "constant"] * 2
    assert list(again["split"]) == ["dev", "dev", "test", "test"]
    np.testing.assert_allclose(again["weighted_f1"], table["weighted_f1"])
    assert "95 % interval over 9 groups" in said[0]
    counts = pd.read_csv(tmp_path / "conf_matrix_test_text.csv", index_col="true")
    assert counts.to_numpy().sum() == 60
    assert (tmp_path / "conf_matrix_dev_text.png").stat().st_size > 0
    assert (
        read_predictions(tmp_path / "predictions_test_text.npz").scores == test.scores
    ).all()


def test_nothing_to_score_is_an_error():
    with pytest.raises(DataError, match="expected utterances to score"):
        metrics(drawn(0))


@pytest.mark.parametrize(
    ("pairs", "p", "test"),
    [
        # 2 (1 + 10) / 2^10, and (|86 - 150| - 1)^2 / 236 on one degree of freedom.
        ((1, 9), 22 / 1024, "exact"),
        ((9, 1), 22 / 1024, "exact"),
        ((86, 150), 4.1149e-05, "chi2"),
        ((5, 5), 1.0, "exact"),
        ((0, 0), 1.0, "exact"),
        ((40, 40), 1.0, "chi2"),
    ],
)
def test_mcnemar_against_known_answers(pairs, p, test):
    found, name = mcnemar(*pairs)
    assert name == test
    assert found == pytest.approx(p, rel=1e-4)


def test_a_comparison_is_antisymmetric_and_blind_to_the_order_of_rows():
    first = drawn(300)
    second = replace(drawn(300, 5), model="audio", true=first.true)
    shuffled = second.take(np.random.default_rng(0).permutation(300))
    one, other = compare(first, shuffled), compare(second, first)
    assert one == compare(first, second)
    assert (one.only_first, one.only_second) == (other.only_second, other.only_first)
    assert one.mcnemar == other.mcnemar
    assert one.difference == pytest.approx(-other.difference)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
    same = compare(first, replace(first, model="copy"))
    assert (same.difference, same.low, same.high) == (0, 0, 0)
    assert (same.mcnemar, same.bootstrap) == (1, 1)


def test_a_better_model_is_found_better():
    worse = drawn(300)
    scores = worse.scores.copy()
    scores[np.arange(300), worse.true] += 0.5
    better = replace(
        worse, model="better", scores=scores / scores.sum(axis=1, keepdims=True)
    )
    found = compare(better, worse)
    assert found.low > 0
    assert found.only_second == 0
    assert max(found.bootstrap, found.mcnemar) < 0.01


def test_comparisons_of_other_utterances_or_truths_are_refused():
    one = drawn()
    with pytest.raises(DataError, match="only one of them has dev/dia59_utt0"):
        compare(one, one.take(range(59)))
    with pytest.raises(DataError, match="true classes differ: dev/dia0_utt0, dev"):
        compare(one, replace(one, true=(one.true + 1) % 7))


# Files of the other systems.


def spec(schema, **data):
    modalities = (Modality("audio", "mfcc", 10),)
    return Spec(schema, modalities, 0, "dominant", {}, data)


def test_files_of_audiovisual_clips_are_read(tmp_path):
    from emorec.artifacts.runs import RunFolder
    from emorec.evaluation.incomplete import IncompleteScores
    from emorec.evaluation.incomplete import write_results as write_incomplete

    random = np.random.default_rng(0)
    logits = random.standard_normal((12, 8))
    true = random.integers(0, 8, 12)
    speakers = np.repeat(["Actor_01", "Actor_02", "Actor_03"], 4)
    result = IncompleteScores(
        RAVDESS,
        "ravdess",
        "test",
        [f"clip{n}" for n in range(12)],
        true,
        speakers,
        np.ones(12, int),
        {("both", ""): logits, ("audio", "zeros"): -logits},
        np.zeros(12, np.int64),
    )
    folder = RunFolder(tmp_path, "ia_softhard")
    write_incomplete(result, folder, spec(RAVDESS, dataset="ravdess"), lambda _: None)
    found = read_predictions(tmp_path / "predictions_test_ia_softhard.npz")
    assert (found.model, found.split, found.dataset) == (
        "ia_softhard",
        "test",
        "ravdess",
    )
    np.testing.assert_array_equal(found.chosen, logits.argmax(axis=1))
    np.testing.assert_array_equal(found.groups, speakers)
    one = replace(result, logits={("audio", ""): logits}, split="valid")
    write_incomplete(one, folder, spec(RAVDESS), lambda _: None)
    alone = read_predictions(tmp_path / "predictions_valid_ia_softhard.npz")
    np.testing.assert_array_equal(alone.scores, found.scores)
    np.testing.assert_array_equal(found.true, true)


def test_files_of_faces_are_read_where_a_majority_agrees(tmp_path):
    from emorec.evaluation.faces import FaceScores, write_face_predictions

    votes = np.zeros((4, 10), int)
    votes[[0, 1, 2, 3], [3, 1, 9, 0]] = 10
    votes[3] = 1  # nobody agrees; and of the third nobody saw a face
    random = np.random.default_rng(0)
    for width in (8, 10):
        labels = ("neutral", *FERPLUS.labels[1:], "unknown", "NF")[:width]
        schema = LabelSchema("ferplus", labels, "single")
        logits = random.standard_normal((4, width)).astype(np.float32)
        names = np.array(["a", "b", "c", "d"])
        scores = FaceScores(
            schema,
            "ferplus",
            {"test": names},
            {"test": logits},
            {"test": votes},
            {"test": np.zeros(4, bool)},
            votes,
        )
        path = tmp_path / f"predictions_test_vggm_{width}.npz"
        write_face_predictions(path, scores, "test", spec(schema))
        found = read_predictions(path)
        assert found.ids == ["a", "b"]
        assert found.schema == FERPLUS
        np.testing.assert_array_equal(found.true, [3, 1])
        np.testing.assert_array_equal(found.chosen, logits[:2, :8].argmax(axis=1))
        assert (found.groups == "").all()


def test_files_of_voices_are_read_with_the_teachers_choice(tmp_path):
    from types import SimpleNamespace

    from emorec.evaluation.voice_results import write_voice_predictions

    random = np.random.default_rng(0)
    one = SimpleNamespace(
        ids=["a", "b", "c"],
        speakers=np.array(["id1", "id1", "id2"]),
        logits=random.standard_normal((3, 8)),
        teacher=random.standard_normal((3, 8)),
    )
    path = tmp_path / "predictions_heard_student.npz"
    result = SimpleNamespace(partitions={"heard": one})
    write_voice_predictions(path, result, "heard", spec(FERPLUS))
    found = read_predictions(path)
    assert (found.model, found.split) == ("student", "heard")
    np.testing.assert_array_equal(found.true, one.teacher.argmax(axis=1))
    np.testing.assert_array_equal(found.chosen, one.logits.argmax(axis=1))
    assert list(found.groups) == ["id1", "id1", "id2"]


@pytest.mark.parametrize("schema", [MOSEI, SENTIMENT])
def test_files_of_intensities_are_refused(tmp_path, schema):
    path = tmp_path / "predictions_test_early.npz"
    values = np.zeros((3, len(schema)), np.float32)
    np.savez(
        path,
        ids=np.array(["a", "b", "c"]),
        scores=values,
        labels=values,
        spec=np.array(json.dumps(spec(schema).to_dict())),
    )
    with pytest.raises(DataError, match=f"kind {schema.kind}.*Only choices among"):
        read_predictions(path)


def test_what_is_no_prediction_file_is_refused(tmp_path):
    path = tmp_path / "predictions_dev_x.npz"
    with pytest.raises(DataError, match="No such file"):
        read_predictions(path)
    path.write_bytes(b"no npz")
    with pytest.raises(DataError, match="of predictions"):
        read_predictions(path)
    np.savez(path, ids=np.array(["a"]), predicted=np.array([1]))
    with pytest.raises(DataError, match="no array spec"):
        read_predictions(path)
    good = {"ids": np.array(["a"]), "spec": json.dumps(spec(FERPLUS).to_dict())}
    np.savez(path, **good, predicted=np.array([1]))
    with pytest.raises(DataError, match="expected scores of classes"):
        read_predictions(path)
    np.savez(path, **good, scores=np.full((1, 8), 1 / 8))
    with pytest.raises(DataError, match="no array labels"):
        read_predictions(path)
    np.savez(path, **good, scores=np.full((1, 8), 1 / 8), labels=np.zeros((1, 3)))
    with pytest.raises(DataError, match="votes of FER"):
        read_predictions(path)
    np.savez(path, **good, scores=np.full((2, 8), 1 / 8), labels=np.zeros(2, int))
    with pytest.raises(DataError, match=r"predictions_dev_x.npz: .*for 1 ids"):
        read_predictions(path)
