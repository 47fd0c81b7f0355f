"""CMU-MOSI: features stay beside their own rows, splits share no video."""

import shutil

import numpy as np
import pandas as pd
import pytest

from emorec.corpora.mosi import (
    ARRAYS,
    FEATURES_FILE,
    INDEX_FILE,
    read_mosi,
    video_sequences,
    widths,
)
from emorec.errors import DataError

SPLITS = ("train", "valid", "test")
WIDTHS = {"T": 4, "V": 2, "A": 3}
VIDEOS = {"train": [f"v-{i:02d}_x" for i in range(13)], "test": ["t1", "2019", "a_b"]}


def tables():
    """Draw an index in mixed order, and arrays whose values tell video and number."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "file": split,
            "id": f"{video}_{number}",
            "video": video,
            "text": "SO, IT WAS",
            "sent": round(rng.uniform(-3, 3), 6),
        }
        for split, videos in VIDEOS.items()
        for video in videos
        for number in rng.choice(30, rng.integers(1, 12), replace=False)
    ]
    index = pd.DataFrame(rows).sample(frac=1, random_state=0, ignore_index=True)
    rng = np.random.default_rng(1)
    arrays = {
        ARRAYS[letter]: rng.normal(0, 1, (len(index), width))
        for letter, width in WIDTHS.items()
    }
    return index, arrays


def write(folder, index, arrays):
    index.to_csv(folder / INDEX_FILE, index=False)
    np.savez(folder / FEATURES_FILE, **arrays)
    return folder


@pytest.fixture
def folder(tmp_path):
    """Return a folder in MOSI's format."""
    return write(tmp_path, *tables())


@pytest.fixture(params=["synthetic", "real"])
def mosi(request, folder):
    """Return a folder: a synthetic one, then the real one where it is there."""
    if request.param == "synthetic":
        return folder
    return request.getfixturevalue("corpora_dir") / "mosi"


def stored(folder):
    """Return index and arrays as they lie in the files."""
    index = pd.read_csv(folder / INDEX_FILE, dtype={"id": str, "video": str})
    with np.load(folder / FEATURES_FILE) as arrays:
        return index, {letter: arrays[name] for letter, name in ARRAYS.items()}


def test_features_and_scores_stay_beside_their_own_rows(mosi):
    index, arrays = stored(mosi)
    corpus = read_mosi(mosi)
    assert sorted(corpus.index.id) == sorted(index.id)
    place = {key: row for row, key in enumerate(index.id)}
    rows = [place[key] for key in corpus.index.id]
    for letter, array in arrays.items():
        expected = array[rows].astype("f4")
        np.testing.assert_array_equal(corpus.features[letter], expected)
    for column in ("video", "sent"):
        assert list(corpus.index[column]) == list(index[column][rows])


def test_the_order_of_the_rows_in_the_file_does_not_matter(folder):
    before = read_mosi(folder)
    index, arrays = tables()
    order = np.random.default_rng(5).permutation(len(index))
    mixed = index.iloc[order], {name: x[order] for name, x in arrays.items()}
    after = read_mosi(write(folder, *mixed))
    pd.testing.assert_frame_equal(after.index, before.index)
    for letter, array in before.features.items():
        np.testing.assert_array_equal(after.features[letter], array)


def test_utterances_are_in_order_within_a_video(mosi):
    index = read_mosi(mosi).index
    for _, rows in index.groupby("video"):
        numbers = rows.id.str.rsplit("_", n=1).str[1].astype(int)
        assert numbers.is_monotonic_increasing
        assert np.ptp(rows.index) == len(rows) - 1


def test_splits_share_no_video_and_test_is_the_files_own(mosi):
    index, _ = stored(mosi)
    read = read_mosi(mosi).index
    assert (read.groupby("video").split.nunique() == 1).all()
    assert set(read.id[read.split == "test"]) == set(index.id[index.file == "test"])
    videos = read.groupby("split").video.nunique()
    assert set(videos.index) == set(SPLITS)
    assert 5 <= videos["train"] / videos["valid"] < 6


def test_a_video_is_one_sequence_of_its_utterances(mosi):
    corpus = read_mosi(mosi)
    names = []
    for split in SPLITS:
        for video in video_sequences(corpus, split, "TVA"):
            rows = corpus.index[corpus.index.video == video.id]
            assert set(rows.split) == {split}
            expected = [corpus.features[letter][rows.index] for letter in "TVA"]
            np.testing.assert_array_equal(video.features, np.concatenate(expected, 1))
            np.testing.assert_array_equal(video.labels[:, 0], rows.sent.astype("f4"))
            assert video.labels.dtype == video.features.dtype == np.float32
            assert video.presence.shape == (len(rows), 3)
            assert video.presence.all()
            names.append(video.id)
    assert sorted(names) == sorted(corpus.index.video.unique())


@pytest.mark.parametrize("letters", ["T", "VA", "TVA"])
def test_chosen_modalities_are_joined_in_their_order(folder, letters):
    corpus = read_mosi(folder)
    names = {"T": "text", "V": "image", "A": "audio"}
    assert widths(corpus, letters) == {names[x]: WIDTHS[x] for x in letters}
    for video in video_sequences(corpus, "test", letters):
        assert video.features.shape[1] == sum(WIDTHS[x] for x in letters)
        assert video.presence.shape[1] == len(letters)


def test_the_real_corpus_has_its_published_size(corpora_dir):
    index = read_mosi(corpora_dir / "mosi").index
    test = index.split == "test"
    assert ((~test).sum(), test.sum()) == (1447, 752)
    assert index.video.nunique() == 93


def damage(folder, column=None, value=None, row=0, **changes):
    """Write the files again with one cell, column or array changed."""
    index, arrays = tables()
    if column is not None:
        index[column] = index[column].astype(object)
        index.loc[row, column] = value
    write(folder, index.drop(columns=changes.pop("drop", [])), arrays | changes)


@pytest.mark.parametrize("column", ["file", "id", "video", "sent"])
def test_a_missing_column_is_named(folder, column):
    damage(folder, drop=[column])
    with pytest.raises(DataError, match=rf"index\.csv: lacks the columns {column}\."):
        read_mosi(folder)


@pytest.mark.parametrize(
    "column, value, message",
    [
        ("file", "dev", "must be train or test, found dev"),
        ("sent", 3.2, "sentiment 3.2, expected a number from -3 to 3"),
        ("sent", "", "sentiment nan, expected a number from -3 to 3"),
        ("id", "abc", "ids must end in _NUMBER"),
        ("id", "abc_", "ids must end in _NUMBER"),
    ],
)
def test_a_bad_cell_is_refused(folder, column, value, message):
    damage(folder, column, value, row=7)
    with pytest.raises(DataError, match=rf"index\.csv: .*{message}"):
        read_mosi(folder)


def test_a_score_that_is_no_number_is_refused(folder):
    damage(folder, "sent", "positive", row=7)
    with pytest.raises(DataError, match=r"index\.csv: "):
        read_mosi(folder)


def test_a_video_in_train_and_test_is_refused_by_name(folder):
    index, arrays = tables()
    row = int(np.flatnonzero(index.file == "train")[0])
    index.loc[row, ["video", "id"]] = "t1", "t1_99"
    write(folder, index, arrays)
    with pytest.raises(DataError, match=r"videos t1 are both in train and test"):
        read_mosi(folder)


@pytest.mark.parametrize("name", ARRAYS.values())
def test_arrays_that_do_not_fit_the_index_are_refused(folder, name):
    count = len(tables()[0])
    for shape in ((count - 1, 4), (count + 1, 4), (count,), (count, 2, 2)):
        damage(folder, **{name: np.zeros(shape)})
        with pytest.raises(DataError, match=rf"'{name}' has shape .*\({count}, d\)"):
            read_mosi(folder)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_features_that_are_not_finite_are_refused_with_their_row(folder, value):
    array = np.zeros((len(tables()[0]), 3))
    array[11, 2] = value
    damage(folder, audio=array)
    with pytest.raises(DataError, match="'audio' row 11 is not finite"):
        read_mosi(folder)


def test_a_missing_array_is_refused(folder):
    _, arrays = tables()
    del arrays["video"]
    np.savez(folder / FEATURES_FILE, **arrays)
    with pytest.raises(DataError, match=r"npz: expected arrays text, video, audio"):
        read_mosi(folder)


@pytest.mark.parametrize("array", [np.array(["a"] * 9), np.array([{}], dtype=object)])
def test_arrays_of_text_or_objects_are_refused(folder, array):
    damage(folder, text=array)
    with pytest.raises(DataError, match=r"npz: expected arrays"):
        read_mosi(folder)


@pytest.mark.parametrize("name", [FEATURES_FILE, INDEX_FILE])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(DataError, match=name):
        read_mosi(folder)
    shutil.rmtree(folder)
    with pytest.raises(DataError, match=INDEX_FILE):
        read_mosi(folder)


@pytest.mark.parametrize("part", [0.0, 0.5, 0.9])
def test_a_truncated_file_of_features_is_refused(folder, part):
    content = (folder / FEATURES_FILE).read_bytes()
    (folder / FEATURES_FILE).write_bytes(content[: int(part * len(content))])
    with pytest.raises(DataError, match=r"npz: expected arrays"):
        read_mosi(folder)


def test_other_bytes_are_refused(folder):
    for content in (b"text", b"\x80\x04N."):
        (folder / FEATURES_FILE).write_bytes(content)
        with pytest.raises(DataError, match=r"npz: expected arrays"):
            read_mosi(folder)
    (folder / INDEX_FILE).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"index\.csv: expected a CSV table"):
        read_mosi(folder)
