"""The commands on faces, as a user types them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from emorec.cli.app import main

TRAIN = (
    *("faces", "train", "--num_epochs", "8"),
    *("--augment", "flip", "--batch_size", "32"),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory, command):
    """A folder in which one network was trained on the miniature."""
    place = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        result = command(main, *TRAIN)
    assert result.code == 0, result.err
    return place, result


@pytest.fixture
def here(place, tmp_path, monkeypatch):
    monkeypatch.chdir(shutil.copytree(place[0], tmp_path / "place"))


NAME = "compact_seed_0_miniature"


def test_training_without_data_draws_a_miniature_and_says_so(place):
    folder, result = place
    assert "Drew a miniature into ferplus/miniature" in result.out
    assert "scores on them say nothing about people" in result.out
    runs = folder / "models" / "faces"
    names = {path.name for path in runs.iterdir()}
    assert names == {
        "accuracy.csv",
        f"card_{NAME}.md",
        f"conf_matrix_{NAME}.csv",
        f"conf_matrix_{NAME}.png",
        f"history_{NAME}.csv",
        f"learning_curve_{NAME}.png",
        f"model_{NAME}.keras",
        f"predictions_test_{NAME}.npz",
        f"predictions_valid_{NAME}.npz",
        f"reliability_{NAME}.png",
        f"run_{NAME}.json",
    }
    assert "mean nothing about people" in (runs / f"card_{NAME}.md").read_text()
    record = json.loads((runs / f"run_{NAME}.json").read_text())
    assert record["status"] == "complete" and record["training"]["epochs"] == 8
    assert record["spec"]["normalisation"]["kind"] == "image"
    for path in runs.glob("*.png"):
        assert np.ptp(np.asarray(Image.open(path))) > 100


def test_accuracies_are_those_of_the_saved_predictions(place):
    runs = place[0] / "models" / "faces"
    with np.load(runs / f"predictions_test_{NAME}.npz") as file:
        assert set(file) == {"ids", "scores", "logits", "labels", "seen", "spec"}
        np.testing.assert_allclose(file["scores"].sum(axis=1), 1, rtol=1e-5)
        votes = file["labels"]
        chosen = votes.argmax(axis=1) < 8
        right = file["scores"].argmax(axis=1) == votes.argmax(axis=1)
        seen = file["seen"]
        order = json.loads(str(file["spec"]))["schema"]["labels"]
    assert order[:2] == ["neutral", "happiness"] and seen.sum() == 1
    table = pd.read_csv(runs / "accuracy.csv").set_index(
        ["split", "label_mode", "faces", "predictor"]
    )
    table = table.sort_index()
    clean = table.loc[("test", "clean")]["accuracy"]
    assert clean["all", "model"] == pytest.approx(right[chosen].mean(), abs=1e-4)
    unseen = right[chosen & ~seen].mean()
    assert clean["unseen", "model"] == pytest.approx(unseen, abs=1e-4)
    assert set(table["data"]) == {"emorec faces miniature (synthetic)"}


def test_the_miniature_is_learnt_far_above_chance(place):
    table = pd.read_csv(place[0] / "models" / "faces" / "accuracy.csv")
    table = table[(table["split"] == "test") & (table["label_mode"] == "majority")]
    accuracy = table[table["faces"] == "all"].set_index("predictor")["accuracy"]
    assert accuracy["model"] > accuracy["constant"] + 0.3


def test_a_finished_run_is_not_repeated(here, command):
    before = pd.read_csv("models/faces/accuracy.csv")
    result = command(main, *TRAIN)
    assert result.code == 0 and "trained before" in result.out
    pd.testing.assert_frame_equal(pd.read_csv("models/faces/accuracy.csv"), before)


def test_a_run_of_other_settings_under_the_same_name_is_refused(here, command):
    result = command(main, *TRAIN, "--erase", "0.5")
    assert result.code == 1 and "erase: 0.0 before, 0.5 now" in result.err
    assert "--name" in result.err


def test_evaluation_of_several_networks_adds_their_ensemble(here, command):
    shutil.copy(f"models/faces/model_{NAME}.keras", "models/faces/model_twin.keras")
    record = json.loads(Path(f"models/faces/run_{NAME}.json").read_text())
    twin = json.dumps(record | {"param_name": "twin"})
    Path("models/faces/run_twin.json").write_text(twin)
    result = command(main, "faces", "evaluate", NAME, "twin")
    assert result.code == 0, result.err
    table = pd.read_csv("models/faces/accuracy.csv")
    table = table[table["predictor"] == "model"].set_index("run")["accuracy"]
    (together,) = {run for run in table.index if run.startswith("ensemble")}
    # A network beside itself is itself.
    np.testing.assert_allclose(table[together], table["twin"])
    np.testing.assert_allclose(table["twin"], table[NAME])


def test_evaluation_with_mirrored_faces_has_a_name_of_its_own(here, command):
    path = f"models/faces/model_{NAME}.keras"
    result = command(main, "faces", "evaluate", path, "--flip")
    assert result.code == 0, result.err
    with (
        np.load(f"models/faces/predictions_test_{NAME}.npz") as one,
        np.load(f"models/faces/predictions_test_{NAME}_flip.npz") as other,
    ):
        assert not np.allclose(one["scores"], other["scores"])


def test_results_on_other_data_leave_those_of_the_training(here, command):
    other = Path(shutil.copytree("ferplus/miniature", "other"))
    next((other / "FER2013Test").iterdir()).unlink()
    runs = Path("models/faces")
    before = {path: path.read_bytes() for path in runs.glob(f"*_{NAME}.*")}
    result = command(main, "faces", "evaluate", NAME, "--data", other)
    assert result.code == 0, result.err
    assert {path: path.read_bytes() for path in before} == before
    (path,) = runs.glob(f"predictions_test_{NAME}_on_*.npz")
    with np.load(path) as file:
        assert len(file["ids"]) == 95


def test_the_benchmark_computes_once_and_tells_counts(here, command, monkeypatch):
    first = command(main, "faces", "benchmark")
    assert first.code == 0, first.err
    line = next(row for row in first.out.splitlines() if row.startswith(NAME))
    assert "val (" in line and "test (" in line and "faces)" in line
    from emorec.training import face_runs

    monkeypatch.setattr(face_runs, "predict", None)
    again = command(main, "faces", "benchmark", NAME)
    assert line in again.out
    with pytest.raises(TypeError):  # computing anew needs what is gone
        command(main, "faces", "benchmark", NAME, "--refresh")


def test_mistakes_are_told_without_a_traceback(here, command, tmp_path):
    for arguments, message in (
        (("train", tmp_path / "empty"), "fer2013new.csv: not found"),
        (("train", "--preset", "huge"), "--preset huge: expected one of compact"),
        (("train", "--schedule", "up"), "--schedule up: expected one of constant"),
        (("evaluate", "other"), f"no such run. Finished ones in models/faces: {NAME}"),
        (("benchmark", "--output", "nowhere"), "nowhere: no finished run"),
        (("benchmark", "senet50=gone.npz"), "gone.npz"),
        (("benchmark", "vgg=gone.npz"), "vgg"),
        (("benchmark", "--label_mode", "odd"), "Label mode 'odd': expected one of"),
    ):
        result = command(main, "faces", *arguments)
        assert result.code == 1, arguments
        assert message in result.err and "Traceback" not in result.err, result.err


def test_a_damaged_model_is_refused(here, command):
    with open(f"models/faces/model_{NAME}.keras", "r+b") as file:
        file.truncate(1000)
    result = command(main, "faces", "evaluate", NAME)
    assert result.code == 1 and "not a model of emorec" in result.err
