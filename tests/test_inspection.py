"""What emorec mosei inspect tells beyond the table and the single problem."""

import gc
import json
import os
import shutil
import subprocess
import sys
import weakref
from pathlib import Path

import h5py
import numpy as np
import pytest

from emorec.cli.app import main
from emorec.corpora import variants
from emorec.corpora.checksums import record, sha256_of
from emorec.corpora.folds import read_folds
from emorec.corpora.inspection import inspect_folder
from emorec.corpora.mosei import (
    AUDIO,
    FILES,
    IMAGE,
    LABELS,
    TEXT,
    describe,
    read_labels_table,
)
from emorec.sequences.csd import ComputationalSequence, Rows, write_sequence

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def data(miniature, tmp_path):
    return shutil.copytree(miniature, tmp_path / "data")


@pytest.fixture
def inspect(capsys):
    def run(folder, *options):
        code = main(["mosei", "inspect", str(folder), *options])
        return code, *capsys.readouterr()

    return run


def write(folder, name, videos, width, rows=2, file=None, **values):
    """Write a sequence that claims to be of the real corpus."""
    intervals = np.stack([np.arange(rows), np.arange(rows) + 1], 1).astype("f4")
    intervals = values.get("intervals", intervals)
    features = values.get("features", np.ones((rows, width), "f4"))
    write_sequence(
        folder / (file or FILES[name]),
        name,
        ((video, Rows(intervals, features)) for video in videos),
        describe("CMU-MOSEI", [], name),
        None,
    )


VIDEOS = ["a", "b", "c", "d", "e"]
FOLDS = {"train": ["a", "b"], "valid": ["c"], "test": ["d", "unlabelled"]}


@pytest.fixture
def real(tmp_path):
    """A folder of the real files' layout, tiny and with widths of other releases."""
    folder = tmp_path / "real"
    write(folder, TEXT, VIDEOS, 300)
    write(folder, IMAGE["facet"], VIDEOS[1:], 35)
    write(folder, AUDIO, VIDEOS[:-1], 43)
    write(folder, LABELS, VIDEOS, 6, rows=3)
    (folder / "standard_folds.json").write_text(json.dumps(FOLDS))
    return folder


def test_a_run_is_told_before_it_is_made(inspect, real):
    code, out, err = inspect(real)
    assert (code, err) == (0, "")
    notes = [line[2:] for line in out.splitlines() if line.startswith("- ")]
    assert notes == [
        "COVAREP: 43 columns: COVAREP of an earlier release (issues 12, 29); the SDK's "
        "has 74",
        "All Labels: 6 columns: six emotions, no sentiment; the SDK's has 7",
        "All Labels: 15 labelled segments of 5 videos: -23,244 segments, -3,288 videos "
        "against the SDK's 23,259 of 3,293",
        f"labels in the folds of {real}/standard_folds.json: train 6 segments of 2 "
        "videos, valid 3 segments of 1 videos, test 3 segments of 1 videos",
        "in no fold: 3 segments of 1 videos",
        "segments: no known variant; nearest is 8,273/1,071/2,531 (left after an "
        "alignment that drops (issue 166)): train -8,267, valid -1,068, test -2,528",
        "a run on all, with facet: train 3 segments of 1 videos, valid 3 segments of 1 "
        "videos, test 3 segments of 1 videos, before segments without words or frames "
        "are left out; labelled videos left out: 1 not in FACET 4.2, 1 not in COVAREP",
        "a run on all, with openface: not yet, lacks OpenFace_2",
    ]


def test_missing_folds_are_told(inspect, real):
    (real / "standard_folds.json").unlink()
    code, out, _ = inspect(real)
    assert code == 0
    assert "- folds: " in out and "folds are never guessed" in out


def test_the_real_labels_are_the_sdks(corpora_dir):
    folds = read_folds(corpora_dir / "mosei" / "standard_folds.json")
    counts = (
        read_labels_table(corpora_dir / "mosei" / "labels.csv").groupby("id").size()
    )
    assert variants.compare_labels(counts.sum(), len(counts)) is None
    per_fold = {f: int(counts.reindex(v).sum()) for f, v in folds.items()}
    assert variants.compare_folds(per_fold).endswith("standard folds, complete")


@pytest.mark.parametrize("variant", variants.VARIANTS)
def test_every_known_variant_is_recognised(variant):
    counts = {fold: getattr(variant, fold) for fold in ("train", "valid", "test")}
    assert variants.compare_folds(counts) == f"that is {variant.what}"
    text = variants.compare_folds(counts | {"valid": variant.valid + 1})
    assert variant.what in text and "train +0, valid +1, test +0" in text


@pytest.mark.parametrize(
    "name, width, known",
    [(AUDIO, 74, None), (AUDIO, 43, "an earlier release"), (TEXT, 768, "no known")],
)
def test_widths_are_compared(name, width, known):
    text = variants.compare_width(name, width)
    assert text is None if known is None else known in text


def test_many_problems_are_summed_up_unless_all_are_asked_for(inspect, tmp_path):
    backward = np.array([[2, 1], [3, 4]], "f4")
    names = [f"v{i}" for i in range(300)]
    write(tmp_path, AUDIO, names, 74, intervals=backward)
    with h5py.File(tmp_path / FILES[AUDIO], "r+") as file:
        del file["COVAREP/data/v7/features"]
    write(tmp_path, TEXT, names[:2], 300, intervals=backward)
    code, out, err = inspect(tmp_path)
    assert code == 1 and out.endswith("302 problems.\n")
    lines = err.splitlines()
    assert len(lines) == 5 + 1 + 1 + 2
    assert f"{FILES[AUDIO]}: 294 more of this kind; --all lists them." in lines
    assert any("entry 'v7': expected a dataset 'features'" in line for line in lines)
    _, out, err = inspect(tmp_path, "--all")
    assert len(err.splitlines()) == 302 and "more of this kind" not in err


def test_labels_that_a_run_changes_are_counted(inspect, tmp_path):
    scores = np.zeros((4, 7), "f4")
    scores[0, 1], scores[1, 2], scores[2, 0] = 3.5, np.nan, -3
    intervals = np.array([[0, 1], [1, 2], [2, 3], [3, 3]], "f4")
    write(tmp_path, LABELS, ["a"], 7, intervals=intervals, features=scores)
    code, out, _ = inspect(tmp_path)
    assert code == 0
    for line in (
        "1 segments with scores outside 0 to 3",
        "1 segments without a finite score",
        "1 segments of no length",
    ):
        assert f"- {FILES[LABELS]}: {line}; a run" in out


def test_two_files_of_a_sequence_and_empty_entries_are_problems(inspect, real):
    write(real, AUDIO, ["a"], 43, file="copy.csd")
    write(real, TEXT, ["x"], 300, rows=0)
    code, out, err = inspect(real)
    assert code == 1 and out.endswith("2 problems.\n")
    assert "another file holds the sequence 'COVAREP', too" in err
    assert "entry 'x': no rows" in err


def test_recorded_digests_are_compared(inspect, data):
    path = data / FILES[AUDIO]
    record(data, path.name, {"sha256": sha256_of(path)})
    code, out, _ = inspect(data)
    assert code == 0 and f"- {path.name}: as recorded in checksums.json\n" in out
    with h5py.File(path, "r+") as file:
        file["COVAREP/data/miniature_03/features"][0, 0] += 1
    code, _, err = inspect(data)
    (line,) = err.splitlines()
    assert code == 1 and f"{path}: its SHA-256 is " in line
    (data / "checksums.json").write_text("{")
    code, _, err = inspect(data)
    assert code == 1 and len(err.splitlines()) == 1 and "expected JSON" in err


def test_what_else_lies_there_is_told(inspect, data):
    (data / "CMU_MOSEI_VisualOpenFace2.csd.part").write_bytes(b"12345")
    pickles = data / "pickle_files"
    pickles.mkdir()
    stats = {p.name: p.stat() for p in data.glob("*.csd")}
    source = {name: [s.st_size, s.st_mtime_ns] for name, s in stats.items()}
    told = {"one": source, "two": source | {FILES[TEXT]: [1, 2]}}
    for name, files in told.items():
        (pickles / f"{name}.pkl").write_bytes(b"123")
        content = {"sequences": ["glove_vectors"], "source": files}
        (pickles / f"{name}.json").write_text(json.dumps(content))
    (pickles / "gone.json").write_text(json.dumps({"sequences": []}))
    code, out, err = inspect(data)
    assert "OpenFace2.csd.part: 5 bytes of a download that is not finished" in out
    assert "- one.pkl: aligned dataset (3 bytes), made from these files\n" in out
    assert "- two.pkl: aligned dataset (3 bytes), of other files\n" in out
    assert code == 1 and "gone.pkl: no such file" in err


def test_imported_data_alone_are_told(inspect, tmp_path):
    pickles = tmp_path / "pickle_files"
    pickles.mkdir()
    (pickles / "mmsa.pkl").write_bytes(b"123")
    told = {
        "imported_from": "aligned_50.pkl",
        "sequences": {"T": "text", "A": "audio"},
        "widths": {"T": 768, "A": 74},
        "segments": {"train": 16_326, "valid": 1_871, "test": 4_659},
        "aligned": False,
        "labels": "labels.csv",
    }
    (pickles / "mmsa.json").write_text(json.dumps(told))
    (tmp_path / "standard_folds.json").write_text(json.dumps(FOLDS))
    code, out, err = inspect(tmp_path)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "- mmsa.pkl: imported from aligned_50.pkl (3 bytes): text 768, audio 74 "
        "columns, not aligned; labels from labels.csv",
        "- mmsa.pkl: segments train 16,326, valid 1,871, test 4,659; that is MMSA's "
        "aligned_50.pkl and unaligned_50.pkl",
        "- standard_folds.json: train 2, valid 1, test 2 videos",
        "No problems.",
    ]


def test_a_folder_of_nothing_is_refused(inspect, tmp_path):
    code, _, err = inspect(tmp_path)
    assert code == 1 and "no .csd files here" in err


def test_one_entry_is_held_at_a_time(data, monkeypatch):
    alive, most = [], []
    read = ComputationalSequence.read

    def counting(self, entry):
        rows = read(self, entry)
        gc.collect()
        alive.append(weakref.ref(rows.features))
        most.append(sum(ref() is not None for ref in alive))
        return rows

    monkeypatch.setattr(ComputationalSequence, "read", counting)
    gc.collect()
    gc.freeze()  # else each collection goes through all of TensorFlow
    try:
        inspect_folder(data)
    finally:
        gc.unfreeze()
    # The one that was read, and the one before until its name is bound anew.
    assert len(most) == 63 and max(most) <= 2


def test_nothing_heavy_is_loaded(data):
    code = (
        "import sys; from emorec.cli.app import main; "
        "assert main(['mosei', 'inspect', sys.argv[1]]) == 0; print(*sys.modules)"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, data],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert process.returncode == 0, process.stderr
    loaded = process.stdout.splitlines()[-1].split()
    assert "h5py" in loaded
    assert not {"tensorflow", "keras", "jax"} & set(loaded)
