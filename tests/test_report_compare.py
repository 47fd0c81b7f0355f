"""Runs side by side: ranked by validation alone, tested in pairs on the same clips."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from emorec.artifacts.predictions import read_predictions, write_predictions
from emorec.cli.app import main
from emorec.evaluation import figures
from emorec.evaluation.comparison import compare
from emorec.evaluation.metrics import best_thresholds
from emorec.evaluation.outputs import write_scores
from emorec.evaluation.report.html import number
from emorec.evaluation.report.validation import validation
from emorec.evaluation.utterances import metrics
from tests import report_runs
from tests.test_report import Page, sound


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    monkeypatch.setattr(figures, "save", lambda figure, path: None)


@pytest.fixture
def compared(command):
    """Return a function that compares runs and returns the page's text."""

    def run(*words):
        result = command(main, "report", *words, "--compare")
        assert result.code == 0, result.err + result.out
        (path,) = re.findall(r"Written: (.*\.html)", result.out)
        with open(path, encoding="utf-8") as file:
            return file.read()

    return run


def order(page, caption="Runs, ranked by validation"):
    """Return names and ranks in the order of the table."""
    return [tuple(row[:2]) for row in page.tables[caption][1:]]


@pytest.fixture
def three(tmp_path):
    """Three runs on MELD; the better on dev, the worse on test."""
    for number_, name in enumerate(("low", "high", "middle")):
        strength = {"low": 0.5, "middle": 1.0, "high": 3.0}[name]
        parts = [
            report_runs.choices(name, "dev", strength, number_),
            report_runs.choices(name, "test", 3.5 - strength, number_),
        ]
        report_runs.meld(tmp_path, name, parts=parts)
    return tmp_path


def test_validation_ranks_and_test_does_not(three, compared):
    page = sound(compared(three))
    ranked = [("high", "1"), ("middle", "2"), ("low", "3")]
    assert order(page) == ranked
    rows = page.cells("Runs, ranked by validation")
    for name, _ in ranked:
        dev, test = (
            metrics(read_predictions(three / f"predictions_{split}_{name}.npz"))
            for split in ("dev", "test")
        )
        assert rows[name]["Validation"].startswith(number(dev["weighted_f1"]))
        assert rows[name]["Test"].startswith(number(test["weighted_f1"]))
        assert "weighted F1, test" in rows[name]["Constant, same test"]
    tests = [float(rows[name]["Test"].split()[0]) for name, _ in ranked]
    assert tests == sorted(tests), "the drawn runs no longer disagree"


def test_whatever_the_test_scores_are_the_ranks_stay(three, compared):
    before = order(Page(compared(three)))
    for place, name in enumerate(("low", "high", "middle")):
        path = three / f"predictions_test_{name}.npz"
        one = read_predictions(path)
        write_predictions(path, replace(one, true=(one.true + place) % 7))
    assert order(Page(compared(three))) == before
    for name in ("low", "high"):
        (three / f"predictions_test_{name}.npz").unlink()
    text = compared(three)
    assert order(Page(text)) == before
    assert "low: there are no predictions of a test split" in text


@pytest.mark.parametrize("system", report_runs.WRITERS)
def test_no_validation_score_is_of_test(system, tmp_path):
    """With every test split and table of test scores gone it is the same."""
    from emorec.evaluation.report import runs

    run = report_runs.WRITERS[system](tmp_path)
    (found,) = runs.find_reported([tmp_path / run.param_name])

    def value():
        scored = system in runs.SCORED
        read = (runs.read_scores if scored else runs.read_choices)(found)
        return validation(found, read)

    before = value()
    for path in (*tmp_path.glob("predictions_test_*"), tmp_path / "results.csv"):
        path.unlink(missing_ok=True)
    found.record.pop("metrics", None)
    after = value()
    assert after == before or (np.isnan(after.value) and np.isnan(before.value))
    assert np.isnan(before.value) == (system == "mosi")


def test_pairs_are_those_of_the_comparison(three, compared):
    page = Page(compared(three))
    rows = page.cells("Pairs of runs")
    assert len(rows) == 3
    first, second = (
        read_predictions(three / f"predictions_test_{name}.npz")
        for name in ("high", "low")
    )
    expected = compare(first, second)
    row = rows["high less low"]
    assert row["Difference of weighted F1"].startswith(number(expected.difference))
    assert row["p (bootstrap)"] == number(expected.bootstrap)
    assert row["p (McNemar)"] == f"{number(expected.mcnemar)} ({expected.test})"
    alone = f"{expected.only_first} and {expected.only_second}"
    assert row["Right alone, first and second"] == alone


def test_pairs_are_of_the_clips_that_both_predict(three, compared):
    path = three / "predictions_test_low.npz"
    one = read_predictions(path)
    write_predictions(path, one.take(range(40, 0, -1)))
    rows = Page(compared(three)).cells("Pairs of runs")
    assert rows["high less low"]["Clips"] == "40"
    assert rows["high less middle"]["Clips"] == "60"
    strangers = [f"other/{clip}" for clip in one.ids]
    write_predictions(path, report_runs.renamed(one, strangers))
    text = compared(three)
    assert "high and low: no clip in common" in text
    assert list(Page(text).cells("Pairs of runs")) == ["high less middle"]


def test_of_emotions_each_decision_is_compared(tmp_path, compared):
    report_runs.mosei(tmp_path, "one", strength=1.0, val_loss=0.4)
    report_runs.mosei(tmp_path, "two", strength=0.5, seed=1, val_loss=0.3)
    page = sound(compared(tmp_path))
    assert order(page) == [("two", "1"), ("one", "2")]
    rows = page.cells("two and one")
    assert len(rows) == 6
    right = []
    for name, strength, seed in (("two", 0.5, 1), ("one", 1.0, 0)):
        valid, test = (
            report_runs.mosei_scores(split, strength, seed)
            for split in ("valid", "test")
        )
        limits = best_thresholds((valid.true > 0).astype(int), valid.predicted)
        right.append((test.predicted >= limits) == (test.true > 0))
        del name
    alone = (right[0] & ~right[1])[:, 1].sum(), (right[1] & ~right[0])[:, 1].sum()
    row = rows["sad: two less one"]
    assert row["Right alone, first and second"] == f"{alone[0]} and {alone[1]}"


def test_other_metrics_and_data_are_not_ranked_together(tmp_path, compared):
    report_runs.mosei(tmp_path / "a", "one", val_loss=0.4)
    report_runs.mosei(tmp_path / "a", "two", seed=1, val_loss=0.5)
    record = tmp_path / "a" / "run_two.json"
    content = json.loads(record.read_text())
    content["settings"]["data"] = {"name": "other files"}
    record.write_text(json.dumps(content))
    neutral = json.loads((tmp_path / "a" / "run_one.json").read_text())
    neutral["spec"]["schema"]["name"] = "mosei_neutral"
    (tmp_path / "a" / "run_neutral.json").write_text(json.dumps(neutral))
    report_runs.meld(tmp_path / "b")
    report_runs.mosi(tmp_path / "c")
    text = compared(tmp_path / "a", tmp_path / "b", tmp_path / "c")
    page = sound(text)
    assert "5 groups." in text and "These are runs on different data" in text
    ranked = [rows for name, rows in page.tables.items() if name.startswith("Group")]
    assert [rows[1][1] for rows in ranked] == ["1", "1", "1", "1", "not ranked"]
    assert "nothing tells its validation score" in text
    # Of the same labels, but the second's true scores are of other segments.
    scores = replace(
        report_runs.mosei_scores("test", 1.0), ids=[f"x{row}[0]" for row in range(80)]
    )
    spec = content["spec"]
    write_scores(tmp_path / "a" / "predictions_test_two.npz", scores, spec)
    assert "one and two: no clip in common" in compared(tmp_path / "a")


def test_other_clips_of_validation_are_told(three, compared):
    assert "Not quite the same clips" not in compared(three)
    path = three / "predictions_dev_low.npz"
    write_predictions(path, read_predictions(path).take(range(50)))
    text = compared(three)
    assert "validated on high 60, middle 60, low 50; they share 50" in text


def test_settings_that_differ_stand_side_by_side(three, compared):
    record = three / "run_low.json"
    content = json.loads(record.read_text())
    content["settings"]["rate"] = "<b>0.1</b>"
    record.write_text(json.dumps(content))
    page = sound(compared(three))
    rows = page.cells("Settings that differ")
    assert rows == {
        "rate": {"Setting": "rate", "high": "-", "middle": "-", "low": "<b>0.1</b>"}
    }
