import json
import sys
from importlib.machinery import ModuleSpec
from itertools import chain
from types import ModuleType, SimpleNamespace

import pytest

from emorec.corpora.folds import (
    FILE_NAME,
    FOLDS,
    check_known,
    custom_split,
    mmsdk_folds,
    read_folds,
    standard_folds,
    write_folds,
)
from emorec.errors import DataError


def make_folds(train, valid, test):
    sizes = zip(FOLDS, (train, valid, test), strict=True)
    return {fold: [f"{fold}{i}" for i in range(size)] for fold, size in sizes}


FOLDS_ON_DISK = make_folds(40, 9, 10)
FOLDS_OF_MMSDK = make_folds(41, 9, 10)


@pytest.fixture
def without_mmsdk(monkeypatch):
    monkeypatch.setitem(sys.modules, "mmsdk", None)


@pytest.fixture
def mmsdk(monkeypatch):
    """Return the fold lists of a stand-in for mmsdk; they may be changed."""
    package, sdk = ModuleType("mmsdk"), ModuleType("mmsdk.mmdatasdk")
    package.__spec__ = ModuleSpec("mmsdk", None)
    lists = {f"standard_{fold}_fold": ids for fold, ids in FOLDS_OF_MMSDK.items()}
    lists = SimpleNamespace(**lists)
    sdk.cmu_mosei = SimpleNamespace(standard_folds=lists)
    monkeypatch.setitem(sys.modules, "mmsdk", package)
    monkeypatch.setitem(sys.modules, "mmsdk.mmdatasdk", sdk)
    return lists


@pytest.fixture
def beside(tmp_path):
    """Return the folds file of a dataset folder."""
    write_folds(tmp_path / FILE_NAME, FOLDS_ON_DISK)
    return tmp_path / FILE_NAME


def test_folds_are_read_as_they_were_written(beside):
    assert read_folds(beside) == FOLDS_ON_DISK
    assert list(beside.parent.iterdir()) == [beside]


@pytest.mark.parametrize(
    "content",
    [
        [["a"], ["b"], ["c"]],
        {"train": ["a"], "valid": ["b"]},
        {"train": ["a"], "valid": "b", "test": ["c"]},
        {"train": ["a"], "valid": ["b"], "test": [3]},
        None,
    ],
    ids=["a list", "no test", "a text", "ids of numbers", "null"],
)
def test_folds_of_another_form_are_refused(tmp_path, content):
    (tmp_path / "folds.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"folds\.json: expected an object with .*test"):
        read_folds(tmp_path / "folds.json")


def test_what_is_not_json_is_refused(tmp_path):
    (tmp_path / "folds.json").write_text("train: a, b")
    with pytest.raises(DataError, match=r"folds\.json: expected JSON"):
        read_folds(tmp_path / "folds.json")


@pytest.mark.parametrize(
    "one, other", [("train", "valid"), ("train", "test"), ("valid", "test")]
)
def test_a_video_in_two_folds_is_refused(beside, one, other):
    shared = FOLDS_ON_DISK[one][2]
    write_folds(beside, {**FOLDS_ON_DISK, other: [*FOLDS_ON_DISK[other], shared]})
    with pytest.raises(DataError, match=rf"both {one} and {other}: {shared}\."):
        read_folds(beside)


def test_without_any_source_folds_are_never_guessed(tmp_path, without_mmsdk):
    with pytest.raises(
        DataError, match=rf"{FILE_NAME}: no such file, and mmsdk is not"
    ):
        standard_folds(tmp_path)


def test_without_mmsdk_the_file_beside_the_data_serves(beside, without_mmsdk):
    expected = (FOLDS_ON_DISK, str(beside), None)
    assert standard_folds(beside.parent) == expected


def test_mmsdk_cannot_be_asked_for_where_it_is_not_installed(beside, without_mmsdk):
    with pytest.raises(DataError, match="mmsdk is not installed"):
        standard_folds(beside.parent, "mmsdk")


@pytest.mark.parametrize("source", ["auto", "mmsdk"])
def test_mmsdk_goes_before_the_file_and_a_difference_is_told(beside, mmsdk, source):
    folds, origin, note = standard_folds(beside.parent, source)
    assert (folds, origin) == (FOLDS_OF_MMSDK, "mmsdk")
    assert f"{beside} differs from mmsdk's folds" in note


def test_a_file_that_agrees_with_mmsdk_is_not_worth_a_note(beside, mmsdk):
    write_folds(beside, FOLDS_OF_MMSDK)
    assert standard_folds(beside.parent) == (FOLDS_OF_MMSDK, "mmsdk", None)


def test_mmsdk_alone_serves(tmp_path, mmsdk):
    assert standard_folds(tmp_path) == (FOLDS_OF_MMSDK, "mmsdk", None)


def test_a_named_file_goes_before_mmsdk(beside, tmp_path, mmsdk):
    write_folds(tmp_path / "own.json", make_folds(3, 3, 3))
    source = str(tmp_path / "own.json")
    expected = (make_folds(3, 3, 3), source, None)
    assert standard_folds(beside.parent, source) == expected


def test_overlapping_folds_of_mmsdk_are_refused(tmp_path, mmsdk):
    mmsdk.standard_test_fold = ["train3"]
    with pytest.raises(DataError, match=r"mmsdk: .*both train and test: train3"):
        standard_folds(tmp_path)


def test_the_file_of_the_corpus_holds_the_folds_of_the_real_mmsdk(corpora_dir):
    pytest.importorskip("mmsdk.mmdatasdk")
    assert mmsdk_folds() == read_folds(corpora_dir / "mosei" / FILE_NAME)


SIZES = [(2249, 300, 678), (100, 11, 20), (41, 2, 3), (19, 1, 1), (3, 3, 3)]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_the_custom_split_keeps_every_video_exactly_once(sizes):
    folds = make_folds(*sizes)
    split = custom_split(folds)
    assert sorted(chain(*split.values())) == sorted(chain(*folds.values()))


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_the_custom_split_has_the_shares_of_williams(sizes):
    folds = make_folds(*sizes)
    split = custom_split(folds)

    def part(fold, origin):
        return [video for video in split[fold] if video.startswith(origin)]

    assert not part("train", "valid") + part("train", "test") + part("valid", "test")
    assert part("test", "test") == folds["test"]
    assert part("valid", "valid") + part("test", "valid") == folds["valid"]
    assert 0 <= len(part("test", "valid")) - len(part("valid", "valid")) <= 1
    # From train's end: 5 % to test, then 10 % of what remains to validation.
    kept, to_valid, to_test = (part(fold, "train") for fold in FOLDS)
    assert kept + to_valid + to_test == folds["train"]
    assert 0 <= 0.05 * sizes[0] - len(to_test) < 1
    assert 0 <= 0.1 * (len(kept) + len(to_valid)) - len(to_valid) < 1


def test_the_custom_split_leaves_its_input_as_it_was():
    folds = make_folds(40, 9, 10)
    custom_split(folds)
    assert folds == make_folds(40, 9, 10)


def videos_without(folds, fold, unknown):
    return set(chain(*folds.values())) - set(folds[fold][:unknown])


def test_known_videos_are_not_worth_a_note():
    folds = make_folds(4, 4, 4)
    assert check_known(folds, videos_without(folds, "test", 0), "here") == []


@pytest.mark.parametrize("fold", FOLDS)
def test_one_unknown_video_in_a_hundred_is_a_note(fold):
    folds = make_folds(100, 100, 100)
    (note,) = check_known(folds, videos_without(folds, fold, 1), "here")
    assert note.startswith("here: 1 videos of fold")
    assert f"{fold}0" in note


@pytest.mark.parametrize("fold", FOLDS)
def test_more_unknown_videos_are_refused_unless_ignored(fold):
    folds = make_folds(99, 99, 99)
    videos = videos_without(folds, fold, 1)
    with pytest.raises(DataError, match=f"'{fold}' names 1 unknown videos .*: {fold}0"):
        check_known(folds, videos, "here")
    assert len(check_known(folds, videos, "here", ignore=True)) == 1


@pytest.mark.parametrize("ignore", [False, True])
@pytest.mark.parametrize("size", [0, 4])
def test_a_fold_without_any_known_video_is_refused_even_if_ignored(ignore, size):
    folds = make_folds(4, size, 4)
    videos = videos_without(folds, "valid", size)
    with pytest.raises(DataError, match=f"none of the {size} videos of fold 'valid'"):
        check_known(folds, videos, "here", ignore)
