"""Scores with a modality missing: the table, its constant, its figures."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from emorec.artifacts.runs import RunFolder
from emorec.artifacts.spec import Modality, Spec
from emorec.errors import DataError
from emorec.evaluation.incomplete import IncompleteScores, rows, write_results
from emorec.labels import RAVDESS

CONDITIONS = [("both", ""), ("audio", "zeros"), ("video", "noise")]


@pytest.fixture
def result():
    random = np.random.default_rng(0)
    true = np.tile(np.arange(8), 10)
    logits = {
        condition: random.normal(size=(80, 8)) + strength * np.eye(8)[true]
        for condition, strength in zip(CONDITIONS, (9.0, 1.5, 0.0), strict=True)
    }
    return IncompleteScores(
        RAVDESS,
        "drawn",
        "test",
        [f"clip{n}" for n in range(80)],
        true,
        np.array([f"{n % 4:02d}" for n in range(80)]),
        np.where(true == 0, 1, 1 + np.arange(80) % 2),
        logits,
        np.full(80, 1),
    )


def test_the_table_says_what_the_scores_say(result):
    table = pd.DataFrame(rows(result, "x")).set_index(["given", "fill"])
    for condition in CONDITIONS:
        right = result.logits[condition].argmax(axis=1) == result.true
        row = table.loc[condition]
        assert row.accuracy == pytest.approx(right.mean())
        assert row.low <= row.accuracy <= row.high
        assert row.recall_calm == pytest.approx(right[result.true == 1].mean())
        strong = right[result.intensity == 2]
        assert row.accuracy_strong == pytest.approx(strong.mean())
        assert row.accuracy <= row.top5 <= 1
    assert table.loc[("both", "")].accuracy > 0.95
    assert table.loc[("both", "")].f1_macro > 0.95
    constant = table.loc[("constant", "")]
    assert constant.accuracy == pytest.approx(1 / 8) and constant.recall_calm == 1


def test_the_order_of_clips_and_classes_of_others_change_nothing(result):
    order = np.random.default_rng(1).permutation(80)
    moved = replace(
        result,
        ids=[result.ids[i] for i in order],
        true=result.true[order],
        speakers=result.speakers[order],
        intensity=result.intensity[order],
        logits={name: values[order] for name, values in result.logits.items()},
    )
    pd.testing.assert_frame_equal(
        pd.DataFrame(rows(moved, "x")), pd.DataFrame(rows(result, "x"))
    )


def test_everything_is_written_once(result, tmp_path):
    spec = Spec(RAVDESS, (Modality("audio", "MFCC", 10),), 0, "single")
    folder, lines = RunFolder(tmp_path, "x"), []
    for _ in range(2):
        paths = write_results(result, folder, spec, lines.append)
    table = pd.read_csv(tmp_path / "incomplete.csv")
    assert len(table) == 4 and "both" in lines[0] and "constant" in lines[0]
    assert all(path.is_file() for path in paths)
    with np.load(tmp_path / "predictions_test_x.npz") as file:
        np.testing.assert_array_equal(file["labels"], result.true)
        assert {"logits_both", "logits_audio_zeros", "logits_video_noise"} <= set(file)
    for path in tmp_path.glob("*.png"):
        assert np.ptp(np.asarray(Image.open(path))) > 100
    matrix = pd.read_csv(tmp_path / "conf_matrix_both_test_x.csv")
    assert matrix.iloc[:, 1:].to_numpy().sum() == 80


def test_scores_that_do_not_fit_are_refused(result):
    wrong = {("both", ""): np.full((80, 8), np.nan)}
    with pytest.raises(DataError, match="expected finite scores of shape"):
        replace(result, logits=wrong)
