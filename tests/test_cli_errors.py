"""Damaged, missing and contradicting files end in a message and the exit code 1."""

import errno
import json
import os
import pickle
import shutil

import h5py
import numpy as np
import pandas as pd
import pytest

from emorec.artifacts.pickles import read_pickle
from emorec.cli import app
from emorec.cli.mosei import main
from emorec.corpora.folds import FILE_NAME

AUDIO = "CMU_MOSEI_COVAREP.csd"
LABELS = "CMU_MOSEI_Labels.csd"
TEXT = "CMU_MOSEI_TimestampedWordVectors.csd"
ENTRY = "miniature_00"


@pytest.fixture
def data(miniature, tmp_path):
    """Return a copy of the miniature that may be damaged."""
    return shutil.copytree(miniature, tmp_path / "data")


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Return a function that runs a command which must fail, and returns its message.

    The command may neither train nor leave results.
    """
    monkeypatch.chdir(tmp_path)

    def run(*options, command=main, folders=("-df", "data", "-pf", "pickles")):
        assert command([*folders, *options]) == 1
        err = capsys.readouterr().err
        assert err.startswith("emorec: error: ")
        assert "Traceback" not in err
        assert not (tmp_path / "models").exists()
        return err

    return run


@pytest.fixture
def left_out(tmp_path, monkeypatch, capsys):
    """Return a function that aligns ``data`` and returns what it says is damaged."""
    monkeypatch.chdir(tmp_path)

    def run():
        assert app.main(["mosei", "align", "data", "--output", "aligned.pkl"]) == 3
        err = capsys.readouterr().err
        assert err.startswith(f"left out: {ENTRY}: ")
        assert err.count("left out: ") == 1
        assert "Traceback" not in err
        aligned = read_pickle(tmp_path / "aligned.pkl")
        videos = {key.split("[")[0] for key in aligned["COVAREP"]}
        assert len(videos) >= 10
        assert ENTRY not in videos
        return err

    return run


def test_an_empty_folder_is_told_what_it_should_hold(refused, tmp_path):
    (tmp_path / "data").mkdir()
    message = refused()
    assert "data: no .csd files" in message
    assert AUDIO in message
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize("name", ["gone", "data/a_file"])
def test_a_folder_that_is_none_is_named(refused, data, name):
    (data / "a_file").write_text("not a folder")
    assert f"{name}: no such folder" in refused(folders=("-df", name))


@pytest.mark.parametrize("name", [AUDIO, TEXT, "labels/CMU_MOSEI_Labels.csd"])
def test_a_missing_sequence_is_named(refused, data, name):
    (data / name).unlink()
    assert f"usually {name.split('/')[-1]}" in refused()


def test_a_missing_feature_set_is_named(refused, data):
    assert "'OpenFace_2' (usually CMU_MOSEI_VisualOpenFace2.csd)" in refused(
        "-f", "openface"
    )


@pytest.mark.parametrize(
    "keep, message",
    [(100_000, "is truncated, as by a broken download"), (0, "not an HDF5 file")],
)
def test_a_truncated_file_is_named(refused, data, keep, message):
    whole = (data / AUDIO).read_bytes()
    assert len(whole) > keep
    (data / AUDIO).write_bytes(whole[:keep])
    received = refused()
    assert f"data/{AUDIO}: cannot be opened" in received
    assert message in received


def test_a_file_that_is_not_hdf5_is_named(refused, data):
    (data / AUDIO).write_text("<html>404 Not Found</html>" * 100)
    assert f"data/{AUDIO}: cannot be opened. It is not an HDF5 file" in refused()


def test_damage_in_the_middle_of_a_file_leaves_a_video_out(left_out, data):
    with h5py.File(data / AUDIO) as file:
        chunk = file[f"COVAREP/data/{ENTRY}/features"].id.get_chunk_info(0)
    with (data / AUDIO).open("r+b") as file:
        file.seek(chunk.byte_offset)
        file.write(bytes(chunk.size))
    message = left_out()
    assert f"data/{AUDIO}: entry '{ENTRY}': 'features' cannot be read" in message


def test_a_file_without_permission_is_named(refused, data, monkeypatch):
    (data / AUDIO).chmod(0)
    if os.access(data / AUDIO, os.R_OK):  # the superuser may read everything
        whole = h5py.File

        def closed(path, *args, **kwargs):
            if path.name == AUDIO:
                raise PermissionError(errno.EACCES, "Permission denied")
            return whole(path, *args, **kwargs)

        monkeypatch.setattr(h5py, "File", closed)
    assert f"data/{AUDIO}: cannot be opened. You may not read it" in refused()


@pytest.mark.parametrize(
    "part, value, message",
    [
        ("features", np.full((3, 74), b"text"), "features of numbers"),
        ("features", np.zeros(3), "features of shape (n, d), received (3,)"),
        ("features", np.zeros((3, 74)), "intervals but 3 feature rows"),
        ("intervals", np.zeros((3, 3)), "intervals of shape (n, 2), received (3, 3)"),
        ("intervals", np.full((3, 2), b"text"), "intervals of numbers"),
        ("intervals", None, "expected a dataset 'intervals', found none"),
        ("features", None, "expected a dataset 'features', found none"),
    ],
)
def test_a_damaged_entry_leaves_its_video_out(left_out, data, part, value, message):
    with h5py.File(data / AUDIO, "r+") as file:
        entry = file["COVAREP/data"][ENTRY]
        del entry[part]
        if value is not None:
            entry[part] = value
    received = left_out()
    assert f"data/{AUDIO}: entry '{ENTRY}'" in received
    assert message in received


def test_times_that_are_not_finite_leave_their_video_out(left_out, data):
    with h5py.File(data / AUDIO, "r+") as file:
        file[f"COVAREP/data/{ENTRY}/intervals"][7, 0] = np.nan
    assert f"entry '{ENTRY}': interval 7 is [nan, " in left_out()


def test_a_run_lists_every_segment_of_a_damaged_video(
    command, data, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with h5py.File(data / AUDIO, "r+") as file:
        del file[f"COVAREP/data/{ENTRY}/features"]
    options = ("-df", "data", "-pf", "pickles", "-e", "1", "-n", "8")
    # The second run reads the aligned dataset of the first.
    for again in ((), ("--overwrite",)):
        ended = command(main, *options, *again, eagerly=True)
        assert ended.code == 3
        assert ended.err.startswith(f"left out: {ENTRY}: data/{AUDIO}: entry")
        (path,) = tmp_path.glob("pickles/*_report.csv")
        report = pd.read_csv(path)
        lost = report[report["action"] == "damaged"]
        with h5py.File(data / "labels" / LABELS) as file:
            count = len(file[f"All Labels/data/{ENTRY}/intervals"])
        assert list(lost["segment"]) == [f"{ENTRY}[{i}]" for i in range(count)]
        assert lost["reason"].str.contains("expected a dataset 'features'").all()


def test_another_width_leaves_its_video_out(left_out, data):
    with h5py.File(data / AUDIO, "r+") as file:
        entry = file["COVAREP/data"][ENTRY]
        rows = len(entry["features"])
        del entry["features"]
        entry["features"] = np.zeros((rows, 73), np.float32)
    assert "73 features a row, but other entries have 74" in left_out()


def test_the_miniature_among_other_files_is_refused(refused, data):
    with h5py.File(data / AUDIO, "r+") as file:
        file["COVAREP/metadata/dataset name"][0] = json.dumps("CMU-MOSEI")
    message = refused()
    assert "synthetic miniature and other files lie together" in message
    assert AUDIO in message


def folds_of(data):
    return json.loads((data / FILE_NAME).read_text())


def put_folds(data, folds):
    (data / FILE_NAME).write_text(json.dumps(folds))


def test_missing_folds_are_named(refused, data):
    (data / FILE_NAME).unlink()
    assert f"data/{FILE_NAME}: " in refused()
    assert "mine.json: " in refused("--folds", "mine.json")


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"train": ["a"], "valid": ["b"]}', '{"train": 1}']
)
def test_what_is_no_fold_list_is_named(refused, data, content):
    (data / FILE_NAME).write_text(content)
    assert f"data/{FILE_NAME}: expected " in refused()


def test_folds_that_share_a_video_are_refused(refused, data):
    folds = folds_of(data)
    shared = folds["train"][0]
    put_folds(data, folds | {"test": [*folds["test"], shared]})
    message = refused()
    assert "in both train and test" in message
    assert shared in message


def test_folds_that_name_unknown_videos_are_refused_unless_asked(refused, data, capsys):
    folds = folds_of(data)
    put_folds(data, folds | {"valid": [*folds["valid"], "stranger"]})
    message = refused()
    assert "fold 'valid' names 1 unknown videos" in message
    assert "stranger" in message
    assert "--ignore_unknown_videos" in message
    assert main(["-df", "data", "--ignore_unknown_videos", "--dry_run"]) == 0
    note = "1 videos of fold 'valid' have no labels: stranger"
    assert note in capsys.readouterr().out


@pytest.mark.parametrize("videos", [["stranger"], []])
def test_a_fold_without_a_known_video_is_always_refused(refused, data, videos):
    put_folds(data, folds_of(data) | {"valid": videos})
    assert "of fold 'valid' is in the label file" in refused("--ignore_unknown_videos")


def test_a_fold_whose_segments_are_all_dropped_is_refused_with_reasons(refused, data):
    folds = folds_of(data)
    with h5py.File(data / AUDIO, "r+") as file:
        for video in folds["test"]:
            del file["COVAREP/data"][video]
    message = refused()
    assert "Fold 'test' has no usable segment" in message
    assert "video not in COVAREP" in message


@pytest.mark.parametrize(
    "name", ["cmu_mosei_aligned_miniature.pkl", "cmu_mosei_miniature_train.pkl"]
)
def test_a_foreign_pickle_is_neither_read_nor_overwritten(
    refused, data, tmp_path, name
):
    (tmp_path / "pickles").mkdir()
    foreign = tmp_path / "pickles" / name
    foreign.write_bytes(content := pickle.dumps({"my": "work"}))
    message = refused()
    assert f"pickles/{name}: exists, but was not written by emorec" in message
    assert foreign.read_bytes() == content


class Attack:
    def __reduce__(self):
        return os.mkdir, ("attacked",)


@pytest.mark.parametrize(
    "content, message",
    [
        ({"glove_vectors": Attack()}, "forbidden global 'posix.mkdir'"),
        ({"glove_vectors": {}}, "expected the aligned sequence 'FACET 4.2'"),
        ([1, 2], "expected the aligned sequence 'glove_vectors'"),
        (None, "not a pickle, or a damaged one"),
    ],
)
def test_an_aligned_pickle_is_read_as_data_only(
    refused, data, tmp_path, content, message
):
    for path in data.rglob("*.csd"):
        path.unlink()
    (tmp_path / "pickles").mkdir()
    given = tmp_path / "pickles" / "given.pkl"
    given.write_bytes(b"oops" if content is None else pickle.dumps(content))
    received = refused("-pnd", "given")
    assert "pickles/given.pkl: " in received
    assert message in received
    assert not (tmp_path / "attacked").exists()


@pytest.mark.parametrize("flag", ["-pf", "-mf"])
def test_a_result_folder_that_is_a_file_is_named(refused, data, tmp_path, flag):
    (tmp_path / "a_file").write_text("not a folder")
    message = refused(flag, "a_file")
    assert "a_file/" in message
    assert "cannot be written" in message
    assert (tmp_path / "a_file").read_text() == "not a folder"


@pytest.mark.parametrize(
    "words, message",
    [
        ("mosei inspect gone", "gone: no .csd files"),
        ("mosei align gone --output a.pkl", "gone: no such folder"),
        ("mosei align data --output data", "data: expected a file to write"),
        ("mosei align data --output a.pkl --no_words --no_labels", "--no_words with"),
        ("mosei align data --output a.pkl -m X", "--modalities X: expected all"),
        ("mosei labels gone.csv --output a.csd", "gone.csv: expected a CSV table"),
        ("mosi train gone", "gone/index.csv: expected a CSV table"),
        ("mosi train gone -m X", "--modalities X: expected all"),
    ],
)
def test_other_commands_name_what_is_wrong(refused, data, tmp_path, words, message):
    assert message in refused(*words.split(), command=app.main, folders=())
    assert not (tmp_path / "a.pkl").exists()
    assert not (tmp_path / "a.csd").exists()
