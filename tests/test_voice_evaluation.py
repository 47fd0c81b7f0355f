"""What is told of a speech student: areas, agreement, files and figures."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from emorec.artifacts.logits import Logits
from emorec.artifacts.runs import RunFolder
from emorec.artifacts.spec import Modality, Spec
from emorec.errors import DataError, LabelMismatchError, SpecError
from emorec.evaluation.single_label import softmax
from emorec.evaluation.voice_results import write_results
from emorec.evaluation.voices import (
    Partition,
    VoiceScores,
    agreement_rows,
    auc_rows,
    dominance,
    frame_dominance,
    summary,
)
from emorec.labels import FER2013, FERPLUS, LabelSchema

# What the teacher chooses often, and what almost never.
BIAS = np.array([2, 1.5, 1, 0.5, 0.5, -0.5, -0.2, -9])
# One curve is drawn faster than five.
IGNORED_BUT_ONE = FERPLUS.labels[1:]
SPEC = Spec(FERPLUS, (Modality("audio", "spectrogram", 512),), 0, "dominant")


def partition(clips=300, speakers=20, seed=0, noise=1.5):
    random = np.random.default_rng(seed)
    teacher = random.normal(0, 1.2, (clips, 8)) + BIAS
    who = np.array([f"id{x:03}" for x in random.integers(0, speakers, clips)])
    names = [f"{name}/{i}" for i, name in enumerate(who)]
    return Partition(names, who, teacher + random.normal(0, noise, (clips, 8)), teacher)


def student(**partitions):
    return VoiceScores(FERPLUS, "drawn", partitions or {"unheardVal": partition()})


def frames(count, seed=0, schema=FERPLUS):
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1, (count, len(schema))).astype(np.float32)
    empty = np.zeros((count, 4), np.float32)
    offsets, numbers = np.array([0, count]), np.zeros(count, np.int32)
    return Logits(
        schema, ["a"], offsets, np.arange(count) * 0.24, logits, empty, numbers, {}
    )


def by_emotion(rows):
    return {row["emotion"]: row for row in rows}


def test_areas_are_those_of_scikit_learn_and_ignored_ones_are_not_in_the_mean():
    one = partition()
    rows = by_emotion(auc_rows(student(p=one), rounds=100))
    truth, probabilities = one.teacher.argmax(axis=1), softmax(one.logits)
    meant = []
    for k, emotion in enumerate(FERPLUS.labels[:7]):
        row = rows[emotion]
        expected = roc_auc_score(truth == k, probabilities[:, k])
        assert row["auc"] == pytest.approx(expected)
        assert row["positives"] == (truth == k).sum() and row["chance"] == 0.5
        assert row["ignored"] == (emotion in ("disgust", "fear"))
        if not row["ignored"]:
            meant.append(expected)
            assert row["low"] < expected < row["high"]
            assert 0 < row["eer"] < 0.5
    assert rows["contempt"]["positives"] == 0 and np.isnan(rows["contempt"]["auc"])
    mean = rows["mean"]
    assert mean["auc"] == pytest.approx(np.mean(meant))
    # The mean of five is surer than each.
    assert mean["low"] < mean["auc"] < mean["high"]
    assert mean["high"] - mean["low"] < rows["anger"]["high"] - rows["anger"]["low"]
    assert mean["positives"] == sum(truth < 5)
    assert mean["clips"] == 300 and mean["speakers"] == len(set(one.speakers))
    every = by_emotion(auc_rows(student(p=one), ignored=(), rounds=1))["mean"]
    assert every["auc"] == pytest.approx(
        np.mean([rows[label]["auc"] for label in FERPLUS.labels[:7]])
    )


def test_a_student_that_is_the_teacher_separates_what_it_can_and_agrees_always():
    one = partition()
    same = Partition(one.ids, one.speakers, one.teacher, one.teacher)
    result = student(p=same)
    (row,) = agreement_rows(result, rounds=20)
    assert row["agreement"] == row["low"] == row["high"] == 1
    assert row["constant"] < 1
    assert by_emotion(auc_rows(result, rounds=1))["mean"]["auc"] > 0.95


def test_scores_that_were_shuffled_tell_nothing():
    one = partition(3000, 100)
    order = np.random.default_rng(1).permutation(3000)
    shuffled = Partition(one.ids, one.speakers, one.logits[order], one.teacher)
    mean = by_emotion(auc_rows(student(p=shuffled), rounds=100))["mean"]
    assert mean["auc"] == pytest.approx(0.5, abs=0.03)
    assert mean["low"] < 0.5 < mean["high"]


def test_permuting_labels_with_their_columns_changes_no_row():
    one = partition()
    order = np.random.default_rng(2).permutation(8)
    schema = LabelSchema("other", tuple(FERPLUS.labels[k] for k in order), "single")
    other = Partition(
        one.ids, one.speakers, one.logits[:, order], one.teacher[:, order]
    )
    first = by_emotion(auc_rows(student(p=one), rounds=50))
    again = by_emotion(auc_rows(VoiceScores(schema, "drawn", {"p": other}), rounds=50))
    assert first.keys() == again.keys()
    for emotion, row in first.items():
        assert again[emotion] == pytest.approx(row, nan_ok=True), emotion


def test_the_constant_answer_is_the_training_clips_most_frequent():
    valid = partition(100, seed=1)
    # Sadness is what the teacher chooses most in training, not in validation.
    swapped = partition(100, seed=2)
    swap = Partition(
        swapped.ids,
        swapped.speakers,
        swapped.logits,
        swapped.teacher[:, [3, 1, 2, 0, *range(4, 8)]],
    )
    train, row = agreement_rows(student(train=swap, heardVal=valid), rounds=20)
    truth = valid.teacher.argmax(axis=1)
    assert train["constant_emotion"] == row["constant_emotion"] == "sadness"
    assert row["constant"] == pytest.approx((truth == 3).mean())
    (alone,) = agreement_rows(student(heardVal=valid), rounds=20)
    assert alone["constant_emotion"] == "neutral"
    agreement = (valid.logits.argmax(axis=1) == truth).mean()
    assert alone["agreement"] == row["agreement"] == pytest.approx(agreement)
    assert alone["low"] < agreement < alone["high"]


def test_dominance_counts_largest_columns():
    logits = frames(50)
    counts = frame_dominance(logits)
    assert counts.sum() == 50 and counts.shape == (8,)
    assert counts[2] == (logits.logits.argmax(axis=1) == 2).sum()
    np.testing.assert_array_equal(dominance(np.array([[1, 1], [0, 3]])), [1, 1])
    np.testing.assert_array_equal(dominance(np.empty((0, 2))), [0, 0])


def test_results_are_written_once_per_run_and_can_be_read_again(tmp_path):
    result = student(heardVal=partition(60, seed=1), unheardVal=empty())
    sets = {"clips": frames(100), "films": frames(30, 1)}
    told, folder = [], RunFolder(tmp_path, "student_s_0")
    paths = write_results(
        result, folder, SPEC, told.append, rounds=20, singles=True, frames=sets
    )
    write_results(result, folder, SPEC, told.append, IGNORED_BUT_ONE, rounds=5)
    assert len(paths) == len(set(paths)) and all(path.is_file() for path in paths)
    table = pd.read_csv(tmp_path / "auc.csv")
    assert len(table) == 2 * 9 and not table.duplicated(["partition", "emotion"]).any()
    assert (table["run"] == "student_s_0").all() and (table["data"] == "drawn").all()
    other = RunFolder(tmp_path, "other")
    write_results(result, other, SPEC, told.append, IGNORED_BUT_ONE, rounds=5)
    assert len(pd.read_csv(tmp_path / "auc.csv")) == 2 * 2 * 9
    assert len(pd.read_csv(tmp_path / "agreement.csv")) == 2
    with np.load(tmp_path / "predictions_heardVal_student_s_0.npz") as saved:
        one = result.partitions["heardVal"]
        assert saved["ids"].tolist() == one.ids
        assert saved["speakers"].tolist() == one.speakers.tolist()
        np.testing.assert_allclose(saved["logits"], one.logits, rtol=1e-6)
        np.testing.assert_allclose(saved["teacher"], one.teacher, rtol=1e-6)
        np.testing.assert_allclose(saved["scores"], softmax(one.logits), rtol=1e-5)
        assert Spec.from_dict(json.loads(str(saved["spec"]))) == SPEC
    single = {path.name for path in (tmp_path / "roc_student_s_0").iterdir()}
    assert "anger-heardVal.png" in single and "fear-heardVal.png" not in single
    assert len(single) == 5
    for path in paths:
        if path.suffix == ".png":
            with Image.open(path) as image:
                dark = (np.asarray(image.convert("L")) < 128).mean()
            assert 0.01 < dark < 0.6, path
    assert "chance is 0.5" in told[0] and "always neutral" in told[0]


def empty():
    return Partition([], np.empty(0, str), np.empty((0, 8)), np.empty((0, 8)))


def test_a_summary_marks_what_is_not_in_the_mean_and_what_is_undefined():
    result = student(heardVal=partition(40, speakers=4), unheardVal=empty())
    text = summary(auc_rows(result, rounds=20), agreement_rows(result), "run", "drawn")
    lines = {line.split()[0]: line for line in text.splitlines()}
    assert "*" in lines["fear"] and "*" not in lines["anger"]
    assert lines["contempt"].split() == ["contempt", "*", "-", "0", "-", "0"]
    assert "of 40 clips; always" in text


def test_what_does_not_fit_is_refused(tmp_path):
    one = partition(10)
    with pytest.raises(DataError, match="heardVal: expected 10 speakers"):
        student(heardVal=Partition(one.ids, one.speakers[:9], one.logits, one.teacher))
    broken = one.logits.copy()
    broken[3, 1] = np.nan
    with pytest.raises(DataError, match=f"not finite, of {one.ids[3]}"):
        student(heardVal=Partition(one.ids, one.speakers, broken, one.teacher))
    with pytest.raises(LabelMismatchError, match="received joy"):
        auc_rows(student(p=one), ignored=("joy",), rounds=1)
    folder = RunFolder(tmp_path, "r")
    with pytest.raises(LabelMismatchError, match="films"):
        wrong = {"films": frames(5, schema=FER2013)}
        write_results(student(p=one), folder, SPEC, print, frames=wrong)
    with pytest.raises(SpecError, match="received 3"):
        many = dict.fromkeys("abc", frames(5))
        write_results(student(p=one), folder, SPEC, print, frames=many)
    assert not list(tmp_path.iterdir())


def test_a_student_of_fewer_emotions_has_a_mean_of_those():
    one = partition(100)
    few = LabelSchema("few", FERPLUS.labels[:3], "single")
    cut = Partition(one.ids, one.speakers, one.logits[:, :3], one.teacher[:, :3])
    rows = by_emotion(auc_rows(VoiceScores(few, "drawn", {"p": cut}), rounds=5))
    assert list(rows) == [*few.labels, "mean"]
