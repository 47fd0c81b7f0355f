"""The miniature: a corpus in the real format that never gets between real files."""

import shutil

import numpy as np
import pytest

from emorec.corpora import mosei
from emorec.corpora.folds import FILE_NAME, FOLDS, read_folds
from emorec.corpora.miniature import DATASET, is_miniature, write_mosei
from emorec.errors import DataError
from emorec.sequences.csd import Rows, open_sequence, write_sequence

VIDEOS = 12
NAMES = {
    mosei.TEXT: "CMU_MOSEI_TimestampedWordVectors.csd",
    mosei.IMAGE["facet"]: "CMU_MOSEI_VisualFacet42.csd",
    mosei.AUDIO: "CMU_MOSEI_COVAREP.csd",
    mosei.LABELS: "labels/CMU_MOSEI_Labels.csd",
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return a folder to be read only."""
    folder = tmp_path_factory.mktemp("corpora") / "new" / "folder"
    assert write_mosei(folder, videos=VIDEOS)
    return folder


@pytest.fixture
def folder(written, tmp_path):
    """Return a copy that may be changed."""
    return shutil.copytree(written, tmp_path / "copy")


def arrays(folder):
    """Return {sequence: {video: Rows}} of the files of a folder."""
    sequences = [open_sequence(folder / name) for name in NAMES.values()]
    return {seq.name: {key: seq.read(key) for key in seq.data} for seq in sequences}


def same(one, other):
    """Tell whether two folders hold equal arrays."""
    one, other = arrays(one), arrays(other)
    if [list(entries) for entries in one.values()] != [
        list(entries) for entries in other.values()
    ]:
        return False
    return all(
        np.array_equal(mine, theirs, equal_nan=True)
        for name, entries in one.items()
        for key in entries
        for mine, theirs in zip(entries[key], other[name][key], strict=True)
    )


def contents(folder):
    """Return {file: bytes}, modification times included."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_it_consists_of_four_sequences_and_the_folds(written):
    assert sorted(contents(written)) == sorted([*NAMES.values(), FILE_NAME])
    for name, file in NAMES.items():
        sequence = open_sequence(written / file)
        assert sequence.name == name
        assert not sequence.missing_metadata
        assert len(sequence.data) == VIDEOS - (name == mosei.AUDIO)
        names = sequence.metadata["dimension names"]
        widths = {sequence.read(key).features.shape[1] for key in sequence.data}
        assert widths == {len(names)}


def test_widths_are_those_of_the_real_corpus(written):
    found = arrays(written)
    widths = [next(iter(found[name].values())).features.shape[1] for name in NAMES]
    assert widths == [300, 35, 74, 7]


@pytest.mark.parametrize("name, rate", [("FACET 4.2", 30), ("COVAREP", 100)])
def test_frames_come_at_the_real_rate(written, name, rate):
    for rows in arrays(written)[name].values():
        starts, ends = rows.intervals.T
        np.testing.assert_allclose(ends - starts, 1 / rate, atol=1e-4)
        # A lost face leaves a gap; all other frames follow each other.
        steps = np.diff(starts) * rate
        assert steps.min() > 0.9
        assert np.median(steps) == pytest.approx(1, abs=1e-2)


def test_words_come_at_about_the_real_rate_and_lie_in_their_segments(written):
    found = arrays(written)
    spoken = words = 0
    for video, segments in found[mosei.LABELS].items():
        starts, ends = found[mosei.TEXT][video].intervals.T
        assert (starts < ends).all()
        for start, end in segments.intervals:
            inside = (starts >= start - 1e-4) & (ends <= end + 1e-4)
            words += inside.sum()
            spoken += end - start
    assert words == sum(len(rows.intervals) for rows in found[mosei.TEXT].values())
    assert 2.3 < words / spoken < 2.9


def test_it_has_the_difficulties_of_the_real_corpus(written):
    found = arrays(written)
    image, audio = found["FACET 4.2"], found["COVAREP"]
    gaps = [np.diff(rows.intervals[:, 0]).max() for rows in image.values()]
    assert max(gaps) > 0.5
    values = np.concatenate([rows.features for rows in audio.values()])
    assert np.isneginf(values).any()
    assert np.isnan(values).any()
    assert len(set(found[mosei.TEXT]) - set(audio)) == 1


def test_labels_lie_in_their_ranges_and_each_emotion_occurs(written):
    rows = arrays(written)[mosei.LABELS].values()
    sentiment, *emotions = np.concatenate([row.features for row in rows]).T
    assert np.abs(sentiment).max() <= 3
    for scores in emotions:
        assert scores.min() == 0
        assert 0 < scores.max() <= 3


@pytest.mark.parametrize("videos", [12, 13, 25])
def test_folds_share_no_video_and_one_video_is_in_none(tmp_path, monkeypatch, videos):
    monkeypatch.setattr("emorec.corpora.miniature.write_sequence", lambda *_: None)
    write_mosei(tmp_path, videos=videos)
    folds = read_folds(tmp_path / FILE_NAME)  # refuses a shared video
    assert all(folds[fold] for fold in FOLDS)
    assert sum(map(len, folds.values())) == videos - 1


def test_everything_follows_from_the_seed(written, tmp_path):
    write_mosei(tmp_path / "same", videos=VIDEOS)
    assert same(written, tmp_path / "same")
    folds = [read_folds(path / FILE_NAME) for path in (written, tmp_path / "same")]
    assert folds[0] == folds[1]
    write_mosei(tmp_path / "other", seed=1, videos=VIDEOS)
    assert not same(written, tmp_path / "other")


def test_a_second_call_changes_nothing(folder):
    before = contents(folder)
    assert write_mosei(folder, seed=1, videos=VIDEOS) is False
    assert contents(folder) == before


@pytest.mark.parametrize("last", [0, 1, 3])
def test_an_interrupted_writing_is_taken_up(written, tmp_path, monkeypatch, last):
    done = []

    def interrupted(path, *rest):
        if len(done) == last:
            raise KeyboardInterrupt
        done.append(path)
        write_sequence(path, *rest)

    monkeypatch.setattr("emorec.corpora.miniature.write_sequence", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_mosei(tmp_path, videos=VIDEOS)
    assert len(list(tmp_path.rglob("*.csd"))) == last
    monkeypatch.undo()
    assert write_mosei(tmp_path, videos=VIDEOS)
    assert same(tmp_path, written)
    assert len(contents(tmp_path)) == 5


def real(path, name=mosei.AUDIO):
    """Write a file as the SDK's would be; return its bytes."""
    rows = Rows(np.array([[0.0, 1.0]]), np.ones((1, 74)))
    metadata = mosei.describe("CMU-MOSEI", ["x"] * 74, "real")
    write_sequence(path, name, [("a", rows)], metadata)
    return path.read_bytes()


@pytest.mark.parametrize(
    "name", ["recordings.csd", "CMU_MOSEI_COVAREP.csd", "labels/CMU_MOSEI_Labels.csd"]
)
def test_a_folder_with_other_files_is_refused_and_left_as_it_is(tmp_path, name):
    before = real(tmp_path / name)
    with pytest.raises(DataError, match=r"other|real"):
        write_mosei(tmp_path, videos=VIDEOS)
    assert (tmp_path / name).read_bytes() == before
    assert len(contents(tmp_path)) == 1


def sequences(folder):
    return [open_sequence(path) for path in mosei.find_files(folder)]


def test_it_is_known_by_its_files(folder, tmp_path):
    assert is_miniature(sequences(folder))
    assert all(seq.metadata["dataset name"] == DATASET for seq in sequences(folder))
    real(tmp_path / "real" / "CMU_MOSEI_COVAREP.csd")
    assert not is_miniature(sequences(tmp_path / "real"))


def test_a_mixture_with_real_files_is_refused_with_the_names_of_both(folder):
    real(folder / "CMU_MOSEI_COVAREP.csd")
    with pytest.raises(DataError, match=r"Facet42\.csd.* are synthetic, .*COVAREP"):
        is_miniature(sequences(folder))
