"""Running again: the same results, nothing twice, nothing of others touched."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from emorec.cli.mosei import main
from emorec.labels import MOSEI

ROOT = Path(__file__).resolve().parents[1]
PARAM = "l_1_n_8_d_0.2_b_32_s_45"


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def results(folder):
    """Return the bytes of tables, predictions, histories and pickles."""
    chosen = (".csv", ".npz", ".pkl")
    return {name: b for name, b in contents(folder).items() if name.endswith(chosen)}


@pytest.fixture(scope="module")
def again(finished, train, tmp_path_factory):
    """The same run repeated elsewhere, where two of its four tables are already."""
    root = tmp_path_factory.mktemp("again")
    tables = root / "models" / finished.model.name / "csv"
    tables.mkdir(parents=True)
    for name in ("regression", "classification_presence"):
        shutil.copy(finished.model / "csv" / f"{name}.csv", tables)
    result = train(root, "-e", 3, eagerly=False)
    assert result.code == 0, result.err
    return result


def test_one_seed_gives_the_same_bytes_and_no_row_twice(finished, again):
    assert results(again.model) == results(finished.model)
    assert results(again.pickles) == results(finished.pickles)


def test_a_saved_model_gives_the_results_of_its_training(finished, train, tmp_path):
    model = shutil.copytree(finished.model, tmp_path / "models" / finished.model.name)
    shutil.copytree(finished.pickles, tmp_path / "pickles")
    for path in model.rglob("*"):
        if path.suffix in (".csv", ".npz", ".pkl", ".png"):
            path.unlink()
    before = contents(model)
    result = train(tmp_path, "-e", 3, "--no_train", eagerly=False)
    assert result.code == 0, result.err
    after = contents(model)
    assert {name: after[name] for name in before} == before
    expected = results(finished.model)
    del expected[f"history_{PARAM}.csv"]
    assert results(model) == expected


def test_another_run_adds_rows_of_the_same_columns(finished, train, tmp_path):
    shutil.copytree(finished.model / "csv", tmp_path / "models/neutral/csv")
    model = tmp_path / "models" / "neutral"
    options = "-e 1 -b 128 -nc --seed 1 --h5 -mn neutral -scm false"
    result = train(tmp_path, options)
    assert result.code == 0, result.err
    for name, before in contents(finished.model / "csv").items():
        after = (model / "csv" / name).read_bytes()
        old = before.decode().splitlines()
        new = after.decode().splitlines()
        assert new[: len(old)] == old
        assert len(new) == 2 * len(old) - 1
    table = pd.read_csv(model / "csv" / "regression.csv")
    assert table["seed"].tolist() == [0, 0, 0, 1, 1, 1]
    assert table["predict_neutral_class"].tolist() == [False] * 3 + [True] * 3
    neutral = table["mae_neutral"].isna().tolist()
    assert neutral == [True] * 3 + [False] * 3
    with np.load(
        model / f"predictions_test_{PARAM.replace('b_32', 'b_128')}.npz"
    ) as stored:
        none = (stored["labels"][:, :6] == 0).all(axis=1)
        np.testing.assert_array_equal(stored["labels"][:, 6], none)
        assert stored["scores"].shape == (len(none), 7)
        labels = json.loads(str(stored["spec"]))["schema"]["labels"]
        assert labels == [*MOSEI.labels, "neutral"]
    assert h5py.is_hdf5(model / f"model_{PARAM.replace('b_32', 'b_128')}.h5")


def test_the_aligned_dataset_is_made_once_and_again_when_a_file_changes(
    miniature, finished, train, tmp_path, monkeypatch
):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("emorec.training.mosei.backend.prepare", stop)
    data = shutil.copytree(miniature, tmp_path / "data")
    aligned = tmp_path / "pickles" / "cmu_mosei_aligned_miniature.pkl"
    first = train(tmp_path, data=data)
    assert "Aligned 15 videos to" in first.out
    (before,) = {aligned.stat().st_mtime_ns}
    second = train(tmp_path, "-s", 0, "-m", "A", "-c", data=data)
    assert f"Reading the aligned dataset {aligned}, made before" in second.out
    assert aligned.stat().st_mtime_ns == before
    with h5py.File(data / "CMU_MOSEI_COVAREP.csd", "r+") as file:
        rows = file["COVAREP/data/miniature_00/features"]
        rows[...] = rows[...] + 1
    third = train(tmp_path, data=data)
    assert "Aligned 15 videos to" in third.out
    whole = (finished.pickles / aligned.name).read_bytes()
    assert aligned.read_bytes() != whole
    assert (first.code, second.code, third.code) == (130, 130, 130)
    assert "interrupted" in third.err


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_dry_run_tells_the_plan_and_writes_nothing(here, miniature, capsys):
    assert main(["--dry_run"]) == 0
    assert list(here.iterdir()) == []
    out = capsys.readouterr().out
    assert out.startswith("DATA: the MINIATURE in cmu_mosei/miniature")
    assert "models/early_fusion_miniature, run l_1_n_100_d_0.2_b_32_s_45" in out
    assert main(["-df", str(miniature), "--dry_run", "-l", "2", "-m", "AT"]) == 0
    assert list(here.iterdir()) == []
    out = capsys.readouterr().out
    assert str(miniature / "labels" / "CMU_MOSEI_Labels.csd") in out
    for told in ("modalities TA", "2 layers", "train 10, valid 2, test 3"):
        assert told in out
    assert out.endswith("Dry run: nothing was written.\n")


def test_without_data_main_py_runs_on_the_miniature_and_says_so(here):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "KERAS_BACKEND": ""}
    result = subprocess.run(
        [sys.executable, ROOT / "main.py", "-e", "1"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    first, *_, last = result.stdout.splitlines()
    assert first == last
    assert first.startswith("DATA: the MINIATURE in cmu_mosei/miniature: synthetic")
    # Nothing of TensorFlow's notes but what native code prints while it works.
    assert not re.search("Traceback|Warning|oneDNN custom|cuInit", result.stderr)
    names = {path.name for path in here.iterdir()}
    assert names == {"cmu_mosei", "models"}
    assert {path.name for path in Path("cmu_mosei").iterdir()} == {
        "miniature",
        "pickle_files",
    }
    (record,) = Path("models").rglob("run_*.json")
    assert record == Path(
        "models/early_fusion_miniature/run_l_1_n_100_d_0.2_b_32_s_45.json"
    )
    assert json.loads(record.read_text())["status"] == "complete"


def test_files_of_the_corpus_are_used_instead_and_left_as_they_are(
    here, miniature, train, capsys
):
    corpus = shutil.copytree(miniature, here / "cmu_mosei")
    for path in corpus.rglob("*.csd"):
        with h5py.File(path, "r+") as file:
            (root,) = file
            name = file[f"{root}/metadata/dataset name"]
            name[0] = json.dumps("CMU-MOSEI")
    before = contents(corpus)
    # mmsdk, where installed, has the folds of the real videos.
    folds = ["--folds", corpus / "standard_folds.json"]
    result = train(here, "-e", 1, "-b", 128, *folds, data="cmu_mosei")
    assert result.code == 0, result.err
    first, *_, last = result.out.splitlines()
    assert first == last == "DATA: CMU-MOSEI in cmu_mosei."
    assert "iniature" not in result.out.replace("miniature_", "")
    assert contents(corpus) == before
    assert {path.name for path in here.rglob("*") if "miniature" in path.name} == set()
    table = pd.read_csv(here / "models/early_fusion/csv/regression.csv")
    assert set(table["dataset"]) == {"CMU-MOSEI"}
    assert main(["--folds", str(folds[1]), "--dry_run"]) == 0
    assert capsys.readouterr().out.startswith("DATA: CMU-MOSEI in cmu_mosei.\n")
