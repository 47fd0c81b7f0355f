"""The miniature is learnt, and better from all modalities than from any one."""

import pandas as pd
import pytest

from emorec.corpora.miniature import write_mosei

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def learnt(train, tmp_path_factory):
    """Return a function from options to MAE and macro AUC by predictor, on test."""
    data = tmp_path_factory.mktemp("data")
    write_mosei(data)

    def run(*options):
        root = tmp_path_factory.mktemp("run")
        result = train(root, "-n", 100, *options, data=data, eagerly=False)
        assert result.code == 0, result.err
        tables = result.model / "csv"
        errors = pd.read_csv(tables / "regression.csv").set_index("predictor")["mae"]
        presence = pd.read_csv(tables / "classification_presence.csv")
        areas = presence.drop_duplicates("predictor").set_index("predictor")
        return pd.DataFrame({"mae": errors, "auc": areas["auc_macro"]})

    return run


@pytest.fixture(scope="module")
def fused(learnt):
    return learnt()


def test_the_readmes_run_beats_both_constant_predictors(learnt):
    result = learnt("-l", 2, "-n", 128, "-d", 0.2)
    constant = result.loc[["zero", "train_mean"]]
    assert result.loc["model", "mae"] < 0.95 * constant["mae"].min()
    assert (constant["auc"] == 0.5).all()
    assert result.loc["model", "auc"] > 0.65


@pytest.mark.parametrize("letter", ["A", "V", "T"])
def test_all_modalities_beat_each_alone(fused, learnt, letter):
    alone = learnt("-m", letter).loc["model"]
    assert fused.loc["model", "mae"] < alone["mae"]
    assert fused.loc["model", "auc"] > alone["auc"]
