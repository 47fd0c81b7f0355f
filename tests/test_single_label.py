"""Metrics of a choice among classes, and what is told of face networks."""

import numpy as np
import pytest
from sklearn.metrics import classification_report

from emorec.corpora.ferplus import FerPlus
from emorec.errors import DataError, LabelMismatchError
from emorec.evaluation.faces import FaceScores, rows, summary
from emorec.evaluation.single_label import (
    calibration_error,
    confusion,
    reliability,
    scores,
    softmax,
    wilson,
)
from emorec.labels import FER2013, FERPLUS, LabelSchema

RANDOM = np.random.default_rng(0)
ABC = LabelSchema("abc", ("a", "b", "c"), "single")
TRUE = RANDOM.integers(0, 2, 300)  # no c
LOGITS = RANDOM.normal(0, 1, (300, 3)) + 1.5 * np.eye(3)[TRUE]


def test_softmax_stands_large_logits():
    found = softmax(np.array([[1000.0, 1000.0, -1000.0], [0, np.log(3), -np.inf]]))
    np.testing.assert_allclose(found, [[0.5, 0.5, 0], [0.25, 0.75, 0]])


def test_scores_are_those_of_scikit_learn():
    probabilities = softmax(LOGITS)
    found = scores(TRUE, probabilities, ABC)
    report = classification_report(
        TRUE,
        probabilities.argmax(axis=1),
        labels=[0, 1, 2],
        output_dict=True,
        zero_division=0,
    )
    for number, label in enumerate("ab"):
        own = report[str(number)]
        for name, theirs in (
            ("precision", "precision"),
            ("recall", "recall"),
            ("f1", "f1-score"),
            ("images", "support"),
        ):
            assert found[f"{name}_{label}"] == pytest.approx(own[theirs])
    assert np.isnan(found["f1_c"]) and found["images_c"] == 0
    assert found["f1_macro"] == pytest.approx((found["f1_a"] + found["f1_b"]) / 2)
    counts = confusion(TRUE, probabilities, ABC)
    assert counts.sum() == 300 and counts[2].sum() == 0
    assert found["accuracy"] == pytest.approx(np.trace(counts) / 300)


def test_permuting_classes_changes_no_overall_metric():
    order = [2, 0, 1]
    permuted = LabelSchema("cab", tuple("cab"), "single")
    one = scores(TRUE, softmax(LOGITS), ABC)
    places = np.argsort(order)
    other = scores(places[TRUE], softmax(LOGITS[:, order]), permuted)
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert other[name] == pytest.approx(value, nan_ok=True), name


def test_the_interval_holds_the_share_and_narrows():
    # Wilson's bounds of 8 in 10 are a textbook's.
    assert wilson(0.8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0.0, 10)[0] == pytest.approx(0, abs=1e-9) and wilson(0.0, 10)[1] > 0.2
    narrow, wide = wilson(0.8, 1000), wilson(0.8, 100)
    assert wide[0] < narrow[0] < 0.8 < narrow[1] < wide[1]


def test_calibration_is_measured():
    # Sixty in a hundred right at a confidence of .6 is calibrated; at .9 it is not.
    right = np.arange(100) < 60
    true = np.where(right, 0, 1)
    for confidence, error in ((0.6, 0.0), (0.9, 0.3)):
        probabilities = np.tile([confidence, 1 - confidence], (100, 1))
        assert calibration_error(true, probabilities) == pytest.approx(error)
        table = reliability(true, probabilities, bins=10)
        assert table[:, 2].sum() == 100
        (some,) = np.flatnonzero(table[:, 2])
        np.testing.assert_allclose(table[some], [confidence, 0.6, 100])


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match=r"shape \(300, 3\), received \(300, 2\)"):
        scores(TRUE, np.ones((300, 2)), ABC)
    with pytest.raises(DataError, match="received none"):
        scores(TRUE[:0], np.ones((0, 3)), ABC)


def corpus():
    """Faces whose first test image is also one to train on."""
    images = RANDOM.integers(0, 255, (60, 48, 48), np.uint8)
    images[40] = images[0]
    votes = RANDOM.multinomial(10, [0.8, 0.2, *[0] * 8], 60)
    votes[::3, :2] = votes[::3, 1::-1]
    split = np.array(["train"] * 20 + ["valid"] * 20 + ["test"] * 20)
    return FerPlus(images, votes, split, np.array([f"{i}" for i in range(60)]), None)


def face_scores(schema=FERPLUS, faces=None):
    faces = faces or corpus()
    logits = {
        split: np.log(faces.votes[faces.split == split, : len(schema)] + 0.1)
        for split in ("valid", "test")
    }
    return FaceScores.of(faces, logits, schema, "drawn")


def test_accuracy_is_told_with_and_without_faces_that_were_seen_before():
    table = rows(face_scores())
    chosen = {
        row["faces"]: row
        for row in table
        if (row["split"], row["label_mode"], row["predictor"])
        == ("test", "clean", "model")
    }
    assert chosen["all"]["images"] == 20 and chosen["unseen"]["images"] == 19
    assert chosen["all"]["accuracy"] == 1.0
    text = summary(table, "run", "drawn")
    assert "unseen" in text and "constant" in text


def test_the_constant_predictor_answers_with_the_most_frequent_training_class():
    faces = corpus()
    table = rows(face_scores(faces=faces))
    common = np.bincount(faces.votes[faces.split == "train"].argmax(axis=1)).argmax()
    true = faces.votes[faces.split == "test"].argmax(axis=1)
    (row,) = (
        row
        for row in table
        if (row["split"], row["label_mode"], row["predictor"], row["faces"])
        == ("test", "clean", "constant", "all")
    )
    assert row["accuracy"] == pytest.approx((true == common).mean())


def test_a_network_of_another_class_order_is_refused():
    with pytest.raises(LabelMismatchError, match="label schemas differ"):
        face_scores(FER2013)
