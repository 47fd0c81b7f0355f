"""The command ``emorec fuse``: nothing is chosen on what is scored; whole records."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from emorec.artifacts.predictions import (
    Predictions,
    predictions_path,
    read_predictions,
    write_predictions,
)
from emorec.cli.app import main
from emorec.evaluation import figures
from emorec.labels import MELD_ALPHABETICAL, MELD_TEXT

ROWS = 120


def model(name, split, strength, seed):
    random = np.random.default_rng(seed)
    true = np.random.default_rng(len(split)).integers(0, 7, ROWS)
    logits = random.standard_normal((ROWS, 7))
    logits[np.arange(ROWS), true] += strength
    scores = np.exp(logits)
    return Predictions(
        name,
        "meld",
        split,
        MELD_ALPHABETICAL,
        [f"{split}/dia{row // 6}_utt{row % 6}" for row in range(ROWS)],
        scores / scores.sum(axis=1, keepdims=True),
        true,
        np.array([f"{split}/dia{row // 6}" for row in range(ROWS)]),
    )


@pytest.fixture
def drawn():
    """Tests that ask for this draw their figures; it takes most of the time."""


@pytest.fixture(autouse=True)
def undrawn(request, monkeypatch):
    if "drawn" not in request.fixturenames:
        monkeypatch.setattr(figures, "save", lambda figure, path: None)


@pytest.fixture
def files(tmp_path):
    """Return a folder with text, audio and face of dev and test, and those of test."""
    for number, (name, strength) in enumerate(
        {"text": 2.0, "audio": 1.0, "face": 0.5}.items()
    ):
        for split in ("dev", "test"):
            one = model(name, split, strength, 10 * number + len(split))
            write_predictions(predictions_path(tmp_path, one), one)
    return tmp_path, [
        tmp_path / f"predictions_test_{name}.npz" for name in ("text", "audio", "face")
    ]


def test_two_models_are_fused_and_everything_is_written(files, command, drawn):
    folder, (text, audio, _) = files
    result = command(main, "fuse", text, audio, "--name", "both")
    assert result.code == 0, result.err
    name = "both_weights"
    record = json.loads((folder / f"run_{name}.json").read_text())
    (weights,) = (fusion["weights"] for fusion in record["fusions"])
    assert record["settings"]["chosen_on"] == "dev"
    alphas = pd.read_csv(folder / f"alphas_{name}.csv")
    assert len(alphas) == 21 and set(alphas["split"]) == {"dev"}
    chosen = alphas[alphas["chosen"] == 1]
    assert chosen["weight_text"].item() == pytest.approx(weights["text"])
    assert chosen["weighted_f1"].item() == alphas["weighted_f1"].max()
    assert (alphas["low"] < alphas["weighted_f1"]).all()
    assert (folder / f"alphas_{name}.png").stat().st_size > 0
    fused = read_predictions(folder / f"predictions_test_{name}.npz")
    parts = [read_predictions(file).scores for file in (text, audio)]
    np.testing.assert_allclose(
        fused.scores, weights["text"] * parts[0] + weights["audio"] * parts[1]
    )
    table = pd.read_csv(folder / "results.csv")
    assert table[["model", "split", "predictor"]].to_numpy().tolist() == [
        [name, "dev", "model"],
        [name, "dev", "constant"],
        [name, "test", "model"],
        [name, "test", "constant"],
    ]
    compared = pd.read_csv(folder / "comparisons.csv")
    assert compared[["split", "first", "second"]].to_numpy().tolist() == [
        ["test", name, "text"],
        ["test", name, "audio"],
    ]
    assert "weight of text" in result.out and "McNemar" in result.out


def test_the_true_classes_of_the_scored_files_change_no_weight(files, command):
    folder, (text, audio, _) = files
    weights = []
    for turn in range(2):
        name = f"turn{turn}"
        result = command(main, "fuse", text, audio, "--name", name)
        assert result.code == 0, result.err
        record = json.loads((folder / f"run_{name}_weights.json").read_text())
        weights.append(record["fusions"])
        for file in (text, audio):
            one = read_predictions(file)
            write_predictions(file, replace(one, true=(one.true + 1) % 7))
    assert weights[0] == weights[1]


def test_all_methods_on_three_models(files, command):
    folder, three = files
    methods = ("weights", "convex", "stacking")
    result = command(
        main, "fuse", *three, "--method", *methods, "--step", "0.25", "--folds", "2"
    )
    assert result.code == 0, result.err
    name = "text-audio-face"
    assert len(pd.read_csv(folder / f"alphas_{name}_weights.csv")) == 15
    record = json.loads((folder / f"run_{name}_stacking.json").read_text())
    assert np.shape(record["fusions"][0]["coefficients"]) == (7, 21)
    table = pd.read_csv(folder / "results.csv")
    assert set(table["model"]) == {f"{name}_{method}" for method in methods}


def test_nested_writes_out_of_fold_predictions(files, command):
    folder, (text, audio, _) = files
    result = command(main, "fuse", text, audio, "--nested", 3, "--output", folder / "o")
    assert result.code == 0, result.err
    name = "text-audio_weights"
    assert pd.read_csv(folder / "o" / f"alphas_{name}.csv")["chosen"].sum() == 3
    record = json.loads((folder / "o" / f"run_{name}.json").read_text())
    assert len(record["fusions"]) == 3
    assert read_predictions(folder / "o" / f"predictions_test_{name}.npz").ids == (
        read_predictions(text).ids
    )
    assert not list(folder.glob("o/predictions_dev*"))
    result = command(main, "fuse", text, audio, "--nested", 30, "--name", "n")
    assert result.code == 1
    assert "as many as there are groups (20), received 30" in result.err


def test_weights_are_never_chosen_on_what_is_scored(files, command):
    folder, (text, audio, _) = files
    before = sorted(folder.iterdir())
    result = command(main, "fuse", text, audio, "--select_files", text, audio)
    assert result.code == 1
    assert "share 120 utterances" in result.err and "--nested 5" in result.err
    dev = [folder / "predictions_dev_text.npz", folder / "predictions_dev_audio.npz"]
    result = command(main, "fuse", *dev)
    assert result.code == 1
    assert "never chosen on what is scored" in result.err
    assert sorted(folder.iterdir()) == before


def test_what_is_not_there_to_choose_on_is_named(files, command):
    folder, (text, audio, _) = files
    result = command(main, "fuse", text, audio, "--select", "valid")
    assert result.code == 1
    assert "predictions_valid_audio.npz" in result.err
    result = command(main, "fuse", text, audio, "--select_files", text)
    assert result.code == 1
    assert "expected 2 files" in result.err
    other = text.rename(folder / "text.npz")
    result = command(main, "fuse", other, audio)
    assert result.code == 1
    assert "expected a name like predictions_test_MODEL.npz" in result.err


def test_what_a_model_lacks_is_left_out_or_renormalised(files, command):
    folder, (text, audio, _) = files
    one = read_predictions(audio)
    write_predictions(audio, one.take(range(100)))
    result = command(main, "fuse", text, audio)
    assert result.code == 1
    assert "audio: 100 utterances, lacks 20: test/dia16_utt4" in result.err
    for flag, count in (("--intersect", 100), ("--missing=renormalise", 120)):
        result = command(main, "fuse", text, audio, flag, "--overwrite")
        assert result.code == 0, result.err
        name = "text-audio_weights"
        assert len(read_predictions(folder / f"predictions_test_{name}.npz")) == count
        report = pd.read_csv(folder / f"missing_{name}.csv")
        assert set(report["model"]) == {"audio"} and len(report) == 20
        assert report["left_out"].all() == (flag == "--intersect")
    result = command(
        main, "fuse", text, audio, "--missing", "renormalise", "--method", "stacking"
    )
    assert result.code == 1
    assert "Stacking needs every model" in result.err


def test_columns_in_another_order_are_found_by_name(files, command):
    folder, (text, audio, _) = files
    command(main, "fuse", text, audio, "--name", "before")
    for split in ("dev", "test"):
        path = folder / f"predictions_{split}_audio.npz"
        write_predictions(path, read_predictions(path).arranged(MELD_TEXT))
    result = command(main, "fuse", text, audio)
    assert result.code == 1
    assert "another order" in result.err and "--intersect" in result.err
    result = command(main, "fuse", text, audio, "--intersect", "--name", "after")
    assert result.code == 0, result.err
    before, after = (
        read_predictions(folder / f"predictions_test_{name}_weights.npz").scores
        for name in ("before", "after")
    )
    np.testing.assert_array_equal(before, after)


def test_a_fusion_of_other_settings_is_not_overwritten(files, command):
    _, (text, audio, face) = files
    assert command(main, "fuse", text, audio, "--name", "x").code == 0
    result = command(main, "fuse", text, face, "--name", "x")
    assert result.code == 1
    assert "['text', 'audio'] before, ['text', 'face'] now" in result.err
    assert command(main, "fuse", text, face, "--name", "x", "--overwrite").code == 0


def test_models_of_one_name_get_their_folders(files, command):
    folder, (text, _, _) = files
    for split in ("dev", "test"):
        one = replace(model("text", split, 1.0, 5))
        write_predictions(predictions_path(folder / "other", one), one)
    result = command(main, "fuse", text, folder / "other" / text.name)
    assert result.code == 0, result.err
    (name,) = (path.name for path in folder.glob("predictions_test_*_weights.npz"))
    assert name == f"predictions_test_{folder.name}_text-other_text_weights.npz"


def test_a_selection_split_of_few_groups_has_fewer_folds(files, command):
    folder, (text, audio, _) = files
    for name in ("text", "audio"):
        path = folder / f"predictions_dev_{name}.npz"
        one = read_predictions(path)
        groups = np.where(np.arange(ROWS) < 50, "Actor_01", "Actor_02")
        write_predictions(path, replace(one, groups=groups))
    assert command(main, "fuse", text, audio, "--name", "two").code == 0
    table = pd.read_csv(folder / "results.csv")
    assert set(table["split"]) == {"dev", "test"}
    for name in ("text", "audio"):
        path = folder / f"predictions_dev_{name}.npz"
        one = read_predictions(path)
        write_predictions(path, replace(one, groups=np.full(ROWS, "Actor_01")))
    assert command(main, "fuse", text, audio, "--name", "one").code == 0
    table = pd.read_csv(folder / "results.csv")
    # Of a single group nothing is out of fold.
    assert set(table.loc[table["model"] == "one_weights", "split"]) == {"test"}
