"""A damaged entry costs its video; the rest goes on, and the exit code says so."""

import shutil

import h5py
import numpy as np
import pandas as pd
import pytest

from emorec.artifacts.pickles import read_pickle
from emorec.cli import app
from emorec.cli.console import FAILED, INCOMPLETE
from emorec.corpora import mosei
from emorec.corpora.folds import FILE_NAME
from tests import hard_corpus


def cut_short(group):
    intervals = group["intervals"][:-1]
    del group["intervals"]
    group["intervals"] = intervals


def make_undefined(group):
    group["intervals"][1] = np.nan


def make_wider(group):
    features = group["features"][()]
    del group["features"]
    group["features"] = np.repeat(features, 2, axis=1)


def scratch(group):
    """Spoil the packed bytes."""
    chunk = group["features"].id.get_chunk_info(0)
    name = group.file.filename
    group.file.close()
    with open(name, "r+b") as file:
        file.seek(chunk.byte_offset)
        file.write(b"\xff" * chunk.size)


FOLDS = {
    "train": [f"train{i}" for i in range(12)],
    "valid": [f"valid{i}" for i in range(4)],
    "test": [f"test{i}" for i in range(4)],
}
VIDEOS = {video for fold in FOLDS.values() for video in fold}
DAMAGE = (cut_short, make_undefined, make_wider, scratch)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    content = hard_corpus.draw(FOLDS)
    return hard_corpus.write(tmp_path_factory.mktemp("corpus"), content, FOLDS)


def spoil(folder, sequence, video, damage):
    with h5py.File(folder / mosei.FILES[sequence], "r+") as file:
        damage(file[f"{sequence}/data/{video}"])


@pytest.fixture
def folder(corpus, tmp_path):
    shutil.copytree(corpus, tmp_path / "data")
    return tmp_path / "data"


@pytest.mark.parametrize("sequence", [mosei.TEXT, mosei.AUDIO, mosei.LABELS])
@pytest.mark.parametrize("damage", DAMAGE)
def test_an_alignment_leaves_the_video_out_and_says_so(
    folder, command, sequence, damage
):
    # The first entry of its file, which must not make all others look wrong.
    spoil(folder, sequence, "test0", damage)
    output = folder / "aligned.pkl"
    done = command(app.main, "mosei", "align", folder, "--output", output)
    assert done.code == INCOMPLETE
    assert "1 damaged" in done.out
    assert mosei.FILES[sequence] in done.err and "'test0'" in done.err
    aligned = read_pickle(output)
    for entries in aligned.values():
        assert {key.split("[")[0] for key in entries} == VIDEOS - {"test0"}


def test_a_run_lists_the_segments_of_a_damaged_video_and_goes_on(folder, train):
    spoil(folder, mosei.AUDIO, "train3", scratch)
    spoil(folder, mosei.LABELS, "test1", make_undefined)
    root = folder.parent
    # The second time the aligned pickle is there, and the damage must not be forgotten.
    for name in ("first", "second"):
        options = ["-e 1 -mn", name, "--folds", folder / FILE_NAME]
        result = train(root, *options, data=folder)
        assert result.code == INCOMPLETE
        assert "2 damaged" in result.out
        assert (root / "models" / name / "csv" / "regression.csv").is_file()
        report = pd.read_csv(root / "pickles" / "cmu_mosei_report.csv")
        rows = report[report["action"] == "damaged"]
        assert rows["reason"].str.contains("data/CMU_MOSEI_.*: entry").all()
        # How many segments a damaged entry of labels has is not known: its video, once.
        expected = ["test1", "train3[0]", "train3[1]", "train3[2]"]
        assert sorted(rows["segment"]) == expected


@pytest.mark.parametrize("count, code", [(2, INCOMPLETE), (3, FAILED)])
def test_more_damage_than_a_tenth_of_the_videos_ends_it(folder, command, count, code):
    for video in ("train3", "train4", "test0")[:count]:  # of 20
        spoil(folder, mosei.AUDIO, video, cut_short)
    output = folder / "aligned.pkl"
    done = command(app.main, "mosei", "align", folder, "--output", output)
    assert (done.code, output.exists()) == (code, code == INCOMPLETE)
    assert ("3 of 20 videos cannot be read" in done.err) == (code == FAILED)
