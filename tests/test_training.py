"""Every kind of training runs and gives what its name promises."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from emorec.artifacts.pickles import read_pickle
from emorec.corpora.folds import FILE_NAME, custom_split, read_folds
from emorec.training.mosi import SUBSETS

# One batch an epoch.
QUICK = "-e 1 -b 128 -scm false -tp 0"


def scores_of(result, fold="test"):
    """Return the arrays of a run's predictions; they must be finite."""
    assert result.code == 0, result.err
    (path,) = result.model.glob(f"predictions_{fold}_*.npz")
    with np.load(path) as stored:
        assert np.isfinite(stored["scores"]).all()
        return dict(stored)


def history_of(result):
    (path,) = result.model.glob("history_*.csv")
    return pd.read_csv(path)


def features_of(result, fold="train"):
    (path,) = result.pickles.glob(f"*_{fold}.pkl")
    return read_pickle(path)[0]


@pytest.fixture(scope="module")
def subset(train, tmp_path_factory):
    """Return a function from letters to the finished run of a modality subset."""
    done = {}

    def run(letters):
        if letters not in done:
            root = tmp_path_factory.mktemp(letters)
            done[letters] = train(root, QUICK, "-m", letters)
        return done[letters]

    return run


@pytest.mark.parametrize("letters", SUBSETS)
def test_every_modality_subset_is_trained_on_the_same_segments(subset, letters):
    result = subset(letters)
    scores = scores_of(result)
    assert scores["ids"].tolist() == scores_of(subset("TVA"))["ids"].tolist()
    spec = json.loads(str(scores["spec"]))
    widths = {"T": 300, "V": 35, "A": 74}
    assert [m["width"] for m in spec["modalities"]] == [widths[x] for x in letters]
    width = sum(widths[x] for x in letters)
    assert {step.shape[1] for step in features_of(result)} == {width}
    # The network sees its input: segments differ in their scores.
    assert np.ptp(scores["scores"], axis=0).min() > 0


def test_features_of_a_subset_are_columns_of_the_fusion(subset):
    fused = features_of(subset("TVA"))
    for letters, columns in (
        ("V", slice(300, 335)),
        ("TA", [*range(300), *range(335, 409)]),
    ):
        for mine, all_of_them in zip(features_of(subset(letters)), fused, strict=True):
            np.testing.assert_array_equal(mine, all_of_them[:, columns])


def test_another_seed_gives_another_network(subset, train, tmp_path):
    other = train(tmp_path, QUICK, "--seed", 1)
    first, second = (scores_of(run)["scores"] for run in (subset("TVA"), other))
    assert np.abs(first - second).max() > 1e-2


def test_all_steps_masked_segments_training_maxima_and_the_custom_split(
    subset, train, tmp_path, miniature
):
    options = "-s 0 --missing mask --normalise maxabs -c -opt adagrad"
    result = train(tmp_path, QUICK, options)
    scores = scores_of(result)
    folds = custom_split(read_folds(miniature / FILE_NAME))
    videos = {segment.split("[")[0] for segment in scores["ids"]}
    assert videos == set(folds["test"]) - {"miniature_14"}  # which has no voice
    report = pd.read_csv(next(result.pickles.glob("*_report.csv")))
    filled = set(report["segment"][report["action"] == "filled"])
    assert filled
    dropped = pd.read_csv(next(subset("TVA").pickles.glob("*_report.csv")))
    assert filled <= set(dropped["segment"][dropped["action"] == "dropped"])
    everything = {}
    for fold in ("train", "valid", "test"):
        (path,) = result.pickles.glob(f"*_{fold}.pkl")
        features, _, ids = read_pickle(path)
        everything |= dict(zip(ids, features, strict=True))
    assert filled <= everything.keys()
    for segment in filled:
        image = everything[segment][:, 300:335]
        assert (image == 0).all(axis=1).any()
    normalisation = json.loads(str(scores["spec"]))["normalisation"]
    assert len(normalisation["scale"]) == 409
    assert normalisation["scale"][:300] == [1.0] * 300
    largest = np.abs(np.concatenate(features_of(result))).max(axis=0)
    np.testing.assert_allclose(largest[300:], 1, rtol=1e-5)


def test_presence_is_learnt_as_probabilities_and_watched_by_accuracy(train, tmp_path):
    options = "-e 3 -lt present -nc -v acc -opt sgd"
    result = train(tmp_path, QUICK, options)
    scores = scores_of(result)["scores"]
    assert scores.shape[1] == 7
    assert ((scores > 0) & (scores < 1)).all()
    history = history_of(result)
    (record,) = result.model.glob("run_*.json")
    best = json.loads(record.read_text())["training"]["best_epoch"]
    assert best == history["val_acc"].argmax() + 1
    tables = {path.stem for path in (result.model / "csv").iterdir()}
    assert tables == {"classification_presence", "classification_dominant"}
    assert not list(result.model.glob("pred_scores_*"))
    (path,) = result.model.glob("pred_classes_pres_*.pkl")
    present = (scores >= 0.5)[:, :6]
    np.testing.assert_array_equal(read_pickle(path)[:, :6], present)
    np.testing.assert_array_equal(read_pickle(path)[:, 6], ~present.any(axis=1))


def test_dominance_is_learnt_in_mixed_precision(train, tmp_path):
    options = "-lt dominant --precision mixed_bfloat16 -opt adadelta"
    scores = scores_of(train(tmp_path, QUICK, options))["scores"]
    assert ((scores > 0) & (scores < 1)).all()
    # The output is float32, not the 8 bits of a bfloat16.
    assert (scores.view(np.uint32) & 0xFFFF).any()


def test_coarse_levels_are_learnt_from_the_last_frames_of_one_modality(
    subset, train, tmp_path
):
    options = "-t false -m V -s 9 -opt rmsprop"
    objective = "-lt coarse -a softplus -lf huber"
    result = train(tmp_path, QUICK, options, objective)
    assert (scores_of(result)["scores"] > 0).all()
    # Labels stay as they are; only the target is coarse.
    labels = [scores_of(run)["labels"] for run in (result, subset("V"))]
    np.testing.assert_array_equal(*labels)
    # 30 frames and 2.6 words a second. The folds keep them all.
    frames, words = (
        np.median([len(step) for step in features_of(run)])
        for run in (result, subset("V"))
    )
    assert frames / words == pytest.approx(30 / 2.6, rel=0.15)


@pytest.mark.slow
def test_xla_computes_what_tensorflow_computes(train, tmp_path):
    # Without dropout, whose random numbers are others under XLA.
    options = "-m T -d 0"
    plain = train(tmp_path / "plain", QUICK, options)
    compiled = train(tmp_path / "xla", QUICK, options, "--jit on", eagerly=False)
    for name in ("loss", "val_loss"):
        received = history_of(compiled)[name]
        np.testing.assert_allclose(received, history_of(plain)[name], rtol=1e-5)
    received = scores_of(compiled)["scores"]
    np.testing.assert_allclose(received, scores_of(plain)["scores"], atol=1e-5)


def test_facets_estimates_and_unwanted_outputs_are_left_out(train, tmp_path, subset):
    features = "-m V --drop_facet_emotions"
    names = "-cn mine -cf tables -mn my_model"
    outputs = "-sp false -scm true -tp 0.5 -rd 1"
    result = train(tmp_path, QUICK, features, names, outputs)
    assert result.code == 0, result.err
    for kept, whole in zip(features_of(result), features_of(subset("V")), strict=True):
        np.testing.assert_array_equal(kept, whole[:, 9:])
    folder = tmp_path / "models" / "my_model"
    endings = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert endings == {".keras", ".json", ".csv", ".png", ".pkl", ".md"}
    assert {path.name[:11] for path in folder.glob("*.pkl")} == {"conf_matrix"}
    table = pd.read_csv(folder / "tables" / "mine_classification_presence.csv")
    assert table["threshold_emo_present"].tolist() == [0.5] * 3
    text = (folder / "tables" / "mine_regression.csv").read_text().splitlines()
    values = text[1].split(",")[text[0].split(",").index("mae") :]
    assert all(re.fullmatch(r"(-?\d+\.\d)?", value) for value in values)


def test_tensorboard_asks_for_its_extra(train, tmp_path, monkeypatch):
    monkeypatch.setattr("emorec.training.fit.find_spec", lambda name: None)
    result = train(tmp_path, QUICK, "-m A --tensorboard")
    assert result.code == 1
    assert "pip install 'emorec[tensorboard]'" in result.err
