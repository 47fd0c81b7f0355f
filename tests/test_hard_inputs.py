"""The main job on features, labels and names that are hard to bear."""

import csv
import pickle

import numpy as np
import pandas as pd
import pytest

from emorec.corpora import mosei
from emorec.corpora.folds import FILE_NAME
from tests import hard_corpus

ODD = [
    "a b",
    '"q"',
    "it's",
    "a,b;c",
    "näïve☃日本",
    "x" * 300,
    "new\nline",
    "=cmd()",
    "..",
]
ODD_FOLDS = {"train": ODD[:5], "valid": ODD[5:7], "test": ODD[7:]}
ONE_FOLDS = {"train": ["t"], "valid": ["v"], "test": ["w"]}


def slow(value):
    return pytest.param(value, marks=pytest.mark.slow)


@pytest.fixture
def run(tmp_path, train):
    """Return a function that writes a corpus and trains on it for one epoch."""

    def run(content, *options, folds=hard_corpus.FOLDS):
        folder = hard_corpus.write(tmp_path / "data", content, folds)
        options = ["-e 1 --folds", folder / FILE_NAME, *options]
        result = train(tmp_path, *options, data=folder)
        result.model = tmp_path / "models" / "early_fusion"
        return result

    return run


def finite_losses(result):
    (path,) = result.model.glob("history_*.csv")
    losses = pd.read_csv(path)[["loss", "val_loss"]].to_numpy()
    return losses.size > 0 and np.isfinite(losses).all()


def predicted(result, fold):
    (path,) = result.model.glob(f"predictions_{fold}_*.npz")
    with np.load(path) as arrays:
        return arrays["ids"].tolist(), arrays["scores"], arrays["labels"]


def test_odd_names_come_back_whole_from_every_output(run):
    content = hard_corpus.draw(ODD_FOLDS)
    for video in ODD:  # the last segment loses its voice, to be reported
        audio = content[mosei.AUDIO][video]
        content[mosei.AUDIO][video] = type(audio)(*(part[:16] for part in audio))
    result = run(content, folds=ODD_FOLDS)
    assert result.code == 0, result.err
    for fold, videos in ODD_FOLDS.items():
        path = result.pickles / f"cmu_mosei_{fold}.pkl"
        ids = pickle.loads(path.read_bytes())[2]
        assert sorted(ids) == sorted(
            f"{video}[{i}]" for video in videos for i in (0, 1)
        )
    assert predicted(result, "test")[0] == ids
    with (result.pickles / "cmu_mosei_report.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["segment"] for row in rows) == sorted(f"{v}[2]" for v in ODD)
    assert {row["reason"] for row in rows} == {"no frames"}


@pytest.mark.parametrize("normalise", ["zscore", slow("maxabs"), slow("none")])
def test_hard_columns_are_borne_in_every_modality(run, normalise):
    content = hard_corpus.draw(dtype="f8")
    for name in hard_corpus.WIDTHS:
        for rows in content[name].values():
            # Four columns, as the narrowest modality has.
            rows.features[:] = [np.nan, -np.inf, 1e-45, 7, 7, 7][
                : rows.features.shape[1]
            ]
            rows.features[::3, 3] = 1e300
    result = run(content, "--normalise", normalise)
    assert result.code == 0, result.err
    assert finite_losses(result)
    replaced = pd.read_csv(result.pickles / "cmu_mosei_nonfinite.csv")
    found = replaced.groupby("modality")["feature"].apply(list).to_dict()
    assert found == {"text": [0, 1, 3], "image": [0, 1, 3], "audio": [0, 1, 3]}


def test_a_training_that_huge_features_spoil_says_so(run):
    content = hard_corpus.draw()
    for rows in content[mosei.TEXT].values():
        rows.features[::2, 0] = 1e38
    result = run(content)
    assert result.code == 1
    assert "diverged" in result.err
    assert not list(result.model.glob("*.keras"))


@pytest.mark.parametrize("steps", [0, slow(45)])
def test_folds_of_one_segment_of_one_word_are_enough(run, steps):
    content = hard_corpus.draw(ONE_FOLDS, segments=1, words=1)
    options = ["-b 1000 -s", str(steps), "--normalise none"]
    result = run(content, *options, folds=ONE_FOLDS)
    assert result.code == 0, result.err
    assert finite_losses(result)
    ids, scores, _ = predicted(result, "test")
    assert ids == ["w[0]"] and np.isfinite(scores).all()


@pytest.mark.parametrize("label_type", ["all", slow("dominant")])
def test_labels_that_are_all_zero_leave_metrics_empty(run, label_type):
    content = hard_corpus.draw()
    for rows in content[mosei.LABELS].values():
        rows.features[:] = 0
    result = run(content, "-lt", label_type)
    assert result.code == 0, result.err
    assert finite_losses(result)
    table = pd.read_csv(result.model / "csv" / "classification_presence.csv")
    assert table["auc_happy"].isna().all() and table["accuracy_happy"].notna().all()


def test_segments_that_end_before_they_start_or_come_twice_are_all_accounted_for(run):
    content = hard_corpus.draw()
    for rows in content[mosei.LABELS].values():
        rows.intervals[0] = rows.intervals[0, ::-1]
        rows.intervals[2] = rows.intervals[1]
        rows.features[2] = rows.features[1]
    result = run(content)
    assert result.code == 0, result.err
    ids, scores, labels = predicted(result, "test")
    assert ids == [f"{v}[{i}]" for v in hard_corpus.FOLDS["test"] for i in (1, 2)]
    np.testing.assert_array_equal(labels[::2], labels[1::2])
    np.testing.assert_allclose(scores[::2], scores[1::2], atol=1e-6)
    report = pd.read_csv(result.pickles / "cmu_mosei_report.csv")
    every = [f"{v}[0]" for fold in hard_corpus.FOLDS.values() for v in fold]
    assert sorted(report["segment"]) == sorted(every)
