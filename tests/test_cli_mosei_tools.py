"""The commands beside training: emorec mosei align, inspect, labels."""

import shutil

import h5py
import numpy as np
import pandas as pd
import pytest

from emorec.artifacts.pickles import read_pickle
from emorec.cli.app import main
from emorec.corpora.mosei import LABELS, TEXT, open_files, sequence_names
from emorec.labels import MOSEI_ALL
from emorec.sequences.alignment import align

AUDIO = "CMU_MOSEI_COVAREP.csd"


@pytest.fixture
def emorec(capsys):
    """Return a function from arguments to exit code, out and err."""

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def data(miniature, tmp_path):
    return shutil.copytree(miniature, tmp_path / "data")


@pytest.mark.parametrize(
    "options, letters, words, labels",
    [
        ("", "TVA", TEXT, LABELS),
        ("-m A", "A", TEXT, LABELS),
        ("--no_labels", "TVA", TEXT, None),
        ("--no_words -m VA", "VA", None, LABELS),
    ],
)
def test_the_aligned_file_equals_the_alignment(
    emorec, miniature, tmp_path, options, letters, words, labels
):
    path = tmp_path / "new folder" / "aligned.pkl"
    code, out, err = emorec(
        "mosei", "align", miniature, "--output", path, *options.split()
    )
    assert (code, err) == (0, "")
    names = sequence_names("facet", letters, words is not None)
    if labels is None:
        names.remove(LABELS)
    expected = align(open_files(miniature, names).sequences, words, labels)
    received = read_pickle(path)
    assert received.keys() == expected.sequences.keys() == set(names)
    for name, entries in expected.sequences.items():
        assert received[name].keys() == entries.keys()
        for key, rows in entries.items():
            for part, array in rows._asdict().items():
                stored = received[name][key][part]
                assert stored.dtype == array.dtype
                np.testing.assert_array_equal(stored, array)
        assert f"{name}: {len(entries):,} entries" in out
    if "A" in letters:
        assert "left out: miniature_14: video not in COVAREP" in out


def test_an_aligned_file_serves_in_place_of_the_csd_files(
    emorec, finished, train, data, tmp_path, monkeypatch
):
    def stop(*arguments):
        raise KeyboardInterrupt  # the data are all that is looked at

    pickles = tmp_path / "pickles"
    assert emorec("mosei", "align", data, "--output", pickles / "mine.pkl")[0] == 0
    whole = (pickles / "mine.pkl").read_bytes()
    for path in data.rglob("*.csd"):
        path.unlink()
    monkeypatch.setattr("emorec.training.mosei.backend.prepare", stop)
    result = train(tmp_path, "-pnd", "mine", data=data)
    assert result.code == 130
    assert "MINIATURE" in result.out.splitlines()[0]
    assert f"Reading the aligned dataset {pickles / 'mine.pkl'}." in result.out
    assert (pickles / "mine.pkl").read_bytes() == whole
    for fold in ("train", "valid", "test"):
        (path,) = pickles.glob(f"cmu_mosei*_{fold}.pkl")
        mine = read_pickle(path)
        other = read_pickle(finished.pickles / f"cmu_mosei_miniature_{fold}.pkl")
        assert mine[2] == other[2]
        for step, expected in zip(mine[0], other[0], strict=True):
            np.testing.assert_array_equal(step, expected)


def test_a_folder_without_problems_is_told_so(emorec, miniature):
    code, out, err = emorec("mosei", "inspect", miniature)
    assert (code, err) == (0, "")
    assert out.endswith("No problems.\n")
    table = {line.split()[0]: line.split() for line in out.splitlines()[1:5]}
    assert table[AUDIO][1:4] == ["COVAREP", "15", "15"]
    assert table[AUDIO][5] == "74"
    assert int(table[AUDIO][6]) > 0  # values that are not finite
    assert table["CMU_MOSEI_Labels.csd"][-3:] == [str(16 * 8), "7", "0"]


@pytest.mark.parametrize("damage", ["truncated", "shape", "backward", "name"])
def test_every_problem_is_listed_and_the_exit_code_tells(emorec, data, damage):
    path = data / AUDIO
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:100_000])
        expected = f"{path}: cannot be opened"
    elif damage == "name":
        with h5py.File(path, "r+") as file:
            file["COVAREP/metadata/root name"][0] = '"My Features"'
        expected = f"{path}: unknown sequence 'My Features'"
    else:
        with h5py.File(path, "r+") as file:
            entry = file["COVAREP/data/miniature_03"]
            if damage == "shape":
                del entry["features"]
                entry["features"] = np.zeros((5, 74), np.float32)
            else:
                entry["intervals"][5] = entry["intervals"][5][::-1]
        expected = f"{path}: entry 'miniature_03': "
    code, out, err = emorec("mosei", "inspect", data)
    assert code == 1
    (problem,) = err.splitlines()
    assert problem.startswith(expected)
    assert out.endswith("1 problems.\n")
    # The other files are told all the same.
    assert "CMU_MOSEI_VisualFacet42.csd" in out


def test_a_table_of_labels_becomes_a_label_file(emorec, tmp_path):
    table = pd.DataFrame(
        {"id": ["255", "081", "255"], "start": [0, 0.5, 2], "end": [1.5, 1, 3]}
    )
    for k, label in enumerate(MOSEI_ALL.labels):
        table[label] = [k / 3, 0, 1]
    table.to_csv(tmp_path / "labels.csv", index=False)
    path = tmp_path / "labels" / "CMU_MOSEI_Labels.csd"
    code, out, _ = emorec("mosei", "labels", tmp_path / "labels.csv", "--output", path)
    assert code == 0
    assert out == f"3 segments of 2 videos: {path}\n"
    sequence = open_files(tmp_path, [LABELS]).sequences[LABELS]
    rows = sequence.read_video("255")
    assert rows.intervals.tolist() == [[0, 1.5], [2, 3]]
    np.testing.assert_allclose(rows.features[0], np.arange(7) / 3, rtol=1e-6)
    assert sequence.metadata["dimension names"] == list(MOSEI_ALL.labels)


def test_a_table_that_lacks_a_column_is_refused(emorec, tmp_path):
    (tmp_path / "labels.csv").write_text("id,start,end,happy\nv,0,1,2\n")
    path = tmp_path / "a.csd"
    code, _, err = emorec("mosei", "labels", tmp_path / "labels.csv", "--output", path)
    assert code == 1
    assert "labels.csv: lacks the columns sentiment, sad" in err
    assert not path.exists()
