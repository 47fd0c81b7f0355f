import numpy as np
import pytest

from emorec.corpora.folds import FILE_NAME, check_known, read_folds
from emorec.corpora.mosei import (
    FILES,
    LABELS,
    describe,
    facet_estimates,
    label_columns,
    open_files,
    read_labels_table,
    sequence_names,
    write_labels,
)
from emorec.errors import DataError
from emorec.labels import MOSEI, MOSEI_ALL
from emorec.sequences.csd import (
    ComputationalSequence,
    Rows,
    open_sequence,
    write_sequence,
)


@pytest.fixture
def folder(tmp_path):
    """Return a dataset folder that holds text, FACET and labels."""
    for name in ("glove_vectors", "FACET 4.2"):
        write(tmp_path / FILES[name], name)
    write(tmp_path / "labels" / FILES[LABELS], LABELS, 7)
    return tmp_path


def write(path, name, width=2):
    rows = Rows(np.array([[0.0, 1.0]]), np.ones((1, width)))
    write_sequence(path, name, [("v", rows)], describe("toy", "unknown", "a toy"))


def damage(path):
    path.write_bytes(path.read_bytes()[:1000])


def labels_of(names, width):
    rows = Rows(np.zeros((2, 2)), np.arange(2.0 * width).reshape(2, width))
    metadata = {"root name": LABELS, "dimension names": names}
    return ComputationalSequence({"v": rows._asdict()}, metadata, "labels.csd")


def test_files_are_found_in_the_folder_and_in_labels(folder):
    names = ["glove_vectors", "FACET 4.2", LABELS]
    files = open_files(folder, names)
    assert files.sequences.keys() == set(names)
    assert files.paths[LABELS] == folder / "labels" / FILES[LABELS]
    assert all(files.sequences[name].name == name for name in names)
    assert files.notes == []


def test_the_name_inside_a_file_counts_not_the_file_name(folder):
    (folder / FILES["FACET 4.2"]).rename(folder / "my own name.csd")
    files = open_files(folder, ["FACET 4.2"])
    assert files.paths["FACET 4.2"].name == "my own name.csd"


@pytest.mark.parametrize(
    "old, new", [("OpenFace2.0", "OpenFace_2"), ("Emotion Labels", "All Labels")]
)
def test_old_names_are_mapped(tmp_path, old, new):
    write(tmp_path / "old.csd", old)
    sequence = open_files(tmp_path, [new]).sequences[new]
    assert sequence.name == new


def test_unknown_sequences_are_named_in_the_notes(folder):
    write(folder / "strange.csd", "My Features")
    (note,) = open_files(folder, [LABELS]).notes
    assert "strange.csd" in note
    assert "My Features" in note


def test_a_missing_sequence_is_named_with_what_there_is(folder):
    write(folder / "strange.csd", "My Features")
    with pytest.raises(DataError) as caught:
        open_files(folder, ["glove_vectors", "COVAREP"])
    message = str(caught.value)
    assert f"'COVAREP' (usually {FILES['COVAREP']})" in message
    assert "found glove_vectors" in message
    assert "strange.csd ('My Features')" in message


def test_other_sequences_of_the_sdk_are_left_aside_silently(folder):
    write(folder / "phones.csd", "phones")
    assert open_files(folder, [LABELS]).notes == []


def test_two_files_of_one_sequence_are_refused(folder):
    write(folder / "copy.csd", "Emotion Labels", 6)
    with pytest.raises(DataError, match=r"both copy\.csd and CMU_MOSEI_Labels\.csd"):
        open_files(folder, [LABELS])


def test_the_rest_of_a_killed_writer_is_not_taken_for_data(folder):
    # A killed process cannot remove the temporary file of `whole_file`.
    write(folder / ".writing-x1y2z3.csd", LABELS, 7)
    assert open_files(folder, [LABELS]).paths[LABELS].name == FILES[LABELS]


def test_an_empty_folder_is_told_what_it_should_hold(tmp_path):
    with pytest.raises(DataError, match=r"no \.csd files.*CMU_MOSEI_COVAREP\.csd"):
        open_files(tmp_path, ["COVAREP"])


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(DataError, match="gone: no such folder"):
        open_files(tmp_path / "gone", [LABELS])


def test_a_damaged_file_that_is_not_needed_is_a_note(folder):
    damage(folder / FILES["FACET 4.2"])
    files = open_files(folder, ["glove_vectors", LABELS])
    assert files.sequences.keys() == {"glove_vectors", LABELS}
    (note,) = files.notes
    assert FILES["FACET 4.2"] in note


def test_a_damaged_file_that_is_needed_is_an_error(folder):
    damage(folder / FILES["FACET 4.2"])
    with pytest.raises(DataError, match=r"CMU_MOSEI_VisualFacet42\.csd: cannot be"):
        open_files(folder, ["FACET 4.2", LABELS])


def test_a_missing_file_is_named_also_beside_a_damaged_one(folder):
    damage(folder / FILES["FACET 4.2"])
    with pytest.raises(DataError, match="COVAREP"):
        open_files(folder, ["COVAREP", LABELS])


def test_missing_metadata_is_a_note(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("emorec.sequences.csd.REQUIRED_METADATA", ("root name",))
        rows = Rows(np.zeros((1, 2)), np.zeros((1, 2)))
        bare = {"computational sequence version": "1.0"}
        write_sequence(folder / "bare.csd", "COVAREP", [("v", rows)], bare)
    (note,) = open_files(folder, ["COVAREP"]).notes
    assert "bare.csd" in note
    assert "computational sequence description" in note


def test_the_fingerprint_tells_a_changed_file(folder):
    files = open_files(folder, ["FACET 4.2", LABELS])
    before = files.fingerprint()
    write(folder / FILES["FACET 4.2"], "FACET 4.2", width=3)
    changed = {
        name for name, mark in files.fingerprint().items() if mark != before[name]
    }
    assert changed == {FILES["FACET 4.2"]}


@pytest.mark.parametrize(
    "modalities, align_to_text, expected",
    [
        ("TVA", True, ["glove_vectors", "FACET 4.2", "COVAREP"]),
        ("AVT", False, ["glove_vectors", "FACET 4.2", "COVAREP"]),
        ("VA", True, ["glove_vectors", "FACET 4.2", "COVAREP"]),
        ("VA", False, ["FACET 4.2", "COVAREP"]),
        ("A", False, ["COVAREP"]),
    ],
)
def test_text_is_read_for_its_times_also_without_its_features(
    modalities, align_to_text, expected
):
    assert sequence_names("facet", modalities, align_to_text) == [*expected, LABELS]
    openface = [name.replace("FACET 4.2", "OpenFace_2") for name in expected]
    assert sequence_names("openface", modalities, align_to_text) == [*openface, LABELS]


@pytest.mark.parametrize("names", [None, "unknown", ["f0", "f1"]])
@pytest.mark.parametrize("width, first", [(7, 1), (6, 0)])
def test_without_names_the_width_tells_the_label_columns(names, width, first):
    labels = labels_of(names, width)
    features = labels.read("v").features
    expected = features[:, first:]
    np.testing.assert_array_equal(label_columns(labels).apply(features), expected)


@pytest.mark.parametrize("spelling", [str, str.title])
@pytest.mark.parametrize("width", [6, 7, 8])
def test_names_tell_the_label_columns_in_any_order_and_width(spelling, width):
    names = ["fear", "sad", "disgust", "anger", "surprise", "happiness"]
    names = ["arousal", "sentiment"][: width - 6] + names
    labels = labels_of([spelling(name) for name in names], width)
    picked = label_columns(labels).apply(np.array(names, object)[None])
    assert picked.tolist() == [["happiness", *MOSEI.labels[1:]]]


def test_another_width_without_names_is_refused():
    with pytest.raises(DataError, match=r"labels\.csd: expected 7 .* received 5"):
        label_columns(labels_of(None, 5))


def test_facets_own_estimates_are_found_by_name():
    names = ["AU1", "Anger", "AU2", "joy", "Neutral", "Pitch", "positive", "surprised"]
    assert facet_estimates(labels_of(names, 8)) == [1, 3, 4, 6, 7]


@pytest.mark.parametrize("names", [None, "unknown", [], ["AU1", "AU2"]])
def test_facet_without_such_names_is_refused(names):
    with pytest.raises(DataError, match=r"labels\.csd: .*Run without dropping them"):
        facet_estimates(labels_of(names, 2))


@pytest.fixture
def table(tmp_path):
    (tmp_path / "labels.csv").write_text(
        "id,start,end,sentiment,happy,sad,anger,surprise,disgust,fear\n"
        "255,5,6.5,-1,0,0.33,0,0,0,0\n081,0,1,2,3,0,0,0,0,0\n255,1,2,0,0,0,0,0,1,2\n"
    )
    return read_labels_table(tmp_path / "labels.csv")


def test_ids_of_digits_stay_text(table):
    assert table["id"].tolist() == ["255", "081", "255"]


def test_segments_keep_the_order_of_the_table(table, tmp_path):
    write_labels(table, tmp_path / "labels.csd")
    sequence = open_sequence(tmp_path / "labels.csd")
    assert sequence.read_video("255").intervals.tolist() == [[5, 6.5], [1, 2]]
    assert label_columns(sequence).source.labels == MOSEI_ALL.labels
    assert sequence.missing_metadata == []


def test_a_table_without_a_column_is_refused(tmp_path, table):
    table.drop(columns=["fear", "end"]).to_csv(tmp_path / "less.csv")
    with pytest.raises(DataError, match=r"less\.csv: lacks the columns end, fear"):
        read_labels_table(tmp_path / "less.csv")


@pytest.mark.parametrize("content", [None, b"", b"\x89HDF\r\n\xff\xfe"])
def test_what_is_no_table_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"labels\.csv: expected a CSV table"):
        read_labels_table(tmp_path / "labels.csv")


@pytest.fixture(scope="module")
def real(corpora_dir, tmp_path_factory):
    """Return the corpus's labels table and the sequence that is made of it."""
    table = read_labels_table(corpora_dir / "mosei" / "labels.csv")
    path = tmp_path_factory.mktemp("mosei") / FILES[LABELS]
    write_labels(table, path)
    return table, open_files(path.parent, [LABELS]).sequences[LABELS]


def test_the_real_labels_become_a_sequence_that_equals_the_table(real):
    table, sequence = real
    read = [sequence.read_video(video) for video in sequence.videos]
    intervals, features = map(np.concatenate, zip(*read, strict=True))
    assert len(intervals) == 23_259
    table = table.sort_values("id", kind="stable")
    assert list(sequence.videos) == table["id"].unique().tolist()
    stored = np.float32
    assert np.array_equal(intervals, table[["start", "end"]].to_numpy(stored))
    assert np.array_equal(features, table[list(MOSEI_ALL.labels)].to_numpy(stored))


def test_the_standard_folds_hold_the_published_numbers_of_segments(real, corpora_dir):
    videos = real[1].videos
    folds = read_folds(corpora_dir / "mosei" / FILE_NAME)
    (note,) = check_known(folds, videos, "the SDK")
    assert "2 videos of fold 'test'" in note
    counts = {
        fold: sum(len(real[1].read_video(v).intervals) for v in ids if v in videos)
        for fold, ids in folds.items()
    }
    assert counts == {"train": 16_327, "valid": 1_871, "test": 4_662}
