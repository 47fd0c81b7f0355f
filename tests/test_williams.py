"""The grid of Williams et al. (2018): every point once, the choice on validation."""

import json
import shutil

import pandas as pd
import pytest

from emorec.cli import app
from emorec.training import williams
from emorec.training.config import MoseiConfig


@pytest.fixture(scope="module")
def place(miniature, tmp_path_factory):
    folder = tmp_path_factory.mktemp("williams")
    shutil.copytree(miniature, folder / "data")
    return folder


@pytest.fixture(scope="module")
def small():
    """Make the grid two points of each subset, without drawings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(williams.FIXED, "save_confusion_matrix", False)
        patch.setattr(williams, "STEPS", (5,))
        patch.setattr(williams, "DROPOUT_RATES", (0.1, 0.2))
        patch.setattr(williams, "LAYERS", (1,))
        yield


@pytest.fixture(scope="module")
def grid(place, small, command):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        arguments = ("mosei", "williams", "data", "-e", "2", "-m", "T", "AV")
        first = command(app.main, *arguments, eagerly=True)
        second = command(app.main, *arguments, eagerly=True)
    assert (first.code, second.code) == (0, 0), first.err
    return first, second, place / "models/williams"


def test_the_whole_grid_is_that_of_the_paper():
    points = list(williams.grid(MoseiConfig()))
    assert len(williams.SUBSETS) * len(points) == 168
    assert len({point.param_name for point in points}) == 24


def test_every_point_is_trained_once(grid):
    first, second, folder = grid
    assert first.out.count("Training on") == 4
    assert "Training on" not in second.out
    assert first.out.splitlines()[-8:] == second.out.splitlines()[-8:]
    assert len(list(folder.glob("williams_*/model_*.keras"))) == 4


def test_each_subset_is_chosen_by_validation_and_scored_beside_constants(grid):
    _, _, folder = grid
    table = pd.read_csv(folder / "williams_grid_miniature.csv")
    chosen = pd.read_csv(folder / "williams_chosen_miniature.csv")
    assert list(table["modalities"]) == ["T", "T", "VA", "VA"]
    models = chosen[chosen["predictor"] == "model"]
    for _, row in models.iterrows():
        own = table[table["modalities"] == row["modalities"]]
        assert row["val_loss"] == own["val_loss"].min()
    assert list(models["modalities"]) == ["T", "VA"]
    assert set(chosen["predictor"]) == {"model", "zero", "train_mean"}
    assert chosen["mae"].notna().all()


def test_the_settings_are_those_of_the_paper(grid):

    _, _, folder = grid
    for path in folder.glob("williams_*/run_*.json"):
        settings = json.loads(path.read_text())["settings"]
        assert settings["with_custom_split"]
        assert settings["normalise"] == "maxabs"
        assert (settings["batch_size"], settings["num_nodes"]) == (64, 100)
        assert settings["patience"] == 10
