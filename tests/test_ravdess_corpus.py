"""RAVDESS: names, splits by actor, pairs of video and sound, and lists of clips."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emorec.corpora import ravdess
from emorec.corpora.av_annotations import read_annotations, write_annotations
from emorec.corpora.av_table import read_table, table_of
from emorec.corpora.ravdess import Name, parse_name, read_ravdess
from emorec.errors import DataError, LabelMismatchError, SpecError
from emorec.labels import RAVDESS

ACTORS = list(range(1, 25))


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


def test_a_name_says_what_the_corpus_says():
    name = parse_name("Actor_12/03-01-06-02-01-02-12.wav")
    assert name == Name(3, 1, 6, 2, 1, 2, 12)
    assert RAVDESS.labels[name.class_index] == "fearful"
    assert (name.female, name.speaker, name.take) == (True, "12", "01-06-02-01-02-12")
    assert not parse_name("01-01-01-01-01-01-01").female


@given(st.tuples(*(st.integers(1, n) for n in (3, 2, 8, 2, 2, 2, 24))))
def test_every_name_is_read_as_written(fields):
    assert parse_name(f"{Name(*fields)}.mp4") == Name(*fields)


@pytest.mark.parametrize(
    "name, message",
    [
        ("a.wav", "seven numbers of two digits"),
        ("03-01-05-01-02-01.wav", "seven numbers"),
        ("03-01-09-01-02-01-12.wav", "emotion 09: expected 01 to 08"),
        ("03-01-05-01-02-01-25.wav", "actor 25: expected 01 to 24"),
        ("00-01-05-01-02-01-12.wav", "modality 00: expected 01 to 03"),
    ],
)
def test_other_names_are_refused(name, message):
    with pytest.raises(DataError, match=message):
        parse_name(name)


def test_the_published_split_is_by_actor():
    split = ravdess.published_split(ACTORS)
    assert np.flatnonzero(split == "test").tolist() == [4, 9, 15, 18]
    assert np.flatnonzero(split == "valid").tolist() == [10, 12, 17, 21]
    assert (split == "train").sum() == 16


def test_every_actor_is_tested_in_one_fold_and_chosen_on_in_another():
    splits = np.stack([ravdess.fold_split(ACTORS, k) for k in range(1, 6)])
    assert ((splits == "test").sum(0) == 1).all()
    assert ((splits == "valid").sum(0) == 1).all()
    assert np.flatnonzero(splits[0] == "test").tolist() == [1, 4, 13, 14, 15]
    for fold in (0, 6):
        with pytest.raises(SpecError, match="expected 1 to 5"):
            ravdess.fold_split(ACTORS, fold)


@pytest.fixture
def corpus(tmp_path):
    return touch(
        tmp_path / "ravdess",
        "Actor_01/01-01-03-01-01-01-01.mp4",
        "Actor_01/02-01-03-01-01-01-01.mp4",
        "Actor_05/01-01-04-02-01-01-05.mp4",
        "Actor_11/02-01-05-01-01-01-11.mp4",
        "Actor_02/02-01-05-01-01-01-02.mp4",
        "sound/Actor_01/03-01-03-01-01-01-01.wav",
        "sound/Actor_02/03-01-05-01-01-01-02.wav",
        "sound/Actor_03/03-01-08-01-01-01-03.wav",
        "sound/copy/Actor_03/03-01-08-01-01-01-03.wav",
        "Actor_01/03-02-03-01-01-01-01.wav",
        "Actor_01/03-01-09-01-01-01-01.wav",
        "Actor_01/03-01-02-01-01-01-01.mp4",
        "Actor_01/notes.wav",
        "Actor_01/.hidden.mp4",
    )


def test_video_and_sound_of_a_take_are_paired(corpus):
    clips = read_ravdess(corpus)
    found = {
        name: tuple(path and path.relative_to(corpus).as_posix() for path in pair)
        for name, *pair in zip(clips.ids, clips.video, clips.audio, strict=True)
    }
    assert found == {
        "01-01-03-01-01-01-01": (
            "Actor_01/01-01-03-01-01-01-01.mp4",
            "sound/Actor_01/03-01-03-01-01-01-01.wav",
        ),
        "01-01-04-02-01-01-05": ("Actor_05/01-01-04-02-01-01-05.mp4",) * 2,
        "02-01-05-01-01-01-02": (
            "Actor_02/02-01-05-01-01-01-02.mp4",
            "sound/Actor_02/03-01-05-01-01-01-02.wav",
        ),
        "02-01-05-01-01-01-11": ("Actor_11/02-01-05-01-01-01-11.mp4", None),
        "03-01-08-01-01-01-03": (None, "sound/Actor_03/03-01-08-01-01-01-03.wav"),
    }
    assert clips.ids == sorted(clips.ids)
    assert clips.schema == RAVDESS
    assert clips.classes.tolist() == [2, 3, 4, 4, 7]
    assert clips.intensity.tolist() == [1, 2, 1, 1, 1]
    assert clips.speakers.tolist() == ["01", "05", "02", "11", "03"]
    assert clips.split.tolist() == ["train", "test", "train", "valid", "train"]


def test_what_is_missing_or_left_out_is_told(corpus):
    report = read_ravdess(corpus).report
    told = {(row.clip, row.left_out): row.reason for row in report.itertuples()}
    assert len(told) == len(report) == 7
    assert "own sound" in told["01-01-04-02-01-01-05", False]
    assert "no sound" in told["02-01-05-01-01-01-11", False]
    assert "no video" in told["03-01-08-01-01-01-03", False]
    assert "a second file of this name" in told["03-01-08-01-01-01-03", True]
    assert "emotion 09" in told["03-01-09-01-01-01-01.wav", True]
    assert "another modality" in told["03-01-02-01-01-01-01.mp4", True]
    assert told["actor 01", True] == "1 files of song, not speech"


def test_the_split_is_described_with_its_actors(corpus):
    lines = read_ravdess(corpus).described()
    assert lines[0] == "train: 3 clips of 3 speakers (01, 02, 03), 1 without video"
    assert lines[1] == "valid: 1 clips of 1 speakers (11), 1 without sound"
    folded = read_ravdess(corpus, fold=1)
    assert folded.split.tolist() == ["train", "test", "test", "train", "valid"]


def test_a_folder_without_clips_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        read_ravdess(tmp_path / "gone")
    with pytest.raises(DataError, match="expected clips of RAVDESS"):
        read_ravdess(touch(tmp_path, "a.wav"))


def test_the_real_sounds_are_all_found(corpora_dir):
    clips = read_ravdess(corpora_dir / "ravdess")
    assert len(clips) == 1440
    assert np.unique(clips.speakers, return_counts=True)[1].tolist() == [60] * 24
    assert np.bincount(clips.classes).tolist() == [96] + [192] * 7
    counts = {part: int((clips.split == part).sum()) for part in np.unique(clips.split)}
    assert counts == {"train": 960, "valid": 240, "test": 240}
    assert all(path is None for path in clips.video)


# Lists of prepared clips


def prepared(folder, name):
    files = (f"{name}_facecroppad.npy", f"{name}_croppad.wav")
    touch(folder, *files)
    return files


def test_a_list_is_read_as_it_was_written(corpus, tmp_path):
    clips = read_ravdess(corpus)
    folder = tmp_path / "out"
    for n, name in enumerate(clips.ids):
        faces, sound = prepared(folder, name)
        clips.video[n] = clips.video[n] and folder / faces
        clips.audio[n] = clips.audio[n] and folder / sound
    backwards = clips.only(np.arange(len(clips))[::-1])
    write_annotations(folder / "annotations.txt", backwards)
    text = (folder / "annotations.txt").read_text()
    assert text.splitlines()[1].endswith("_croppad.wav;4;testing")
    assert text.splitlines()[3] == "02-01-05-01-01-01-11_facecroppad.npy;;5;validation"
    found = read_annotations(folder / "annotations.txt")
    assert found.ids == clips.ids
    assert (found.video, found.audio) == (clips.video, clips.audio)
    for name in ("classes", "speakers", "intensity", "split"):
        assert (getattr(found, name) == getattr(clips, name)).all(), name
    write_annotations(folder / "annotations.txt", found)
    assert (folder / "annotations.txt").read_text() == text


def test_the_references_own_list_is_read_where_its_files_lie_now(tmp_path):
    here = tmp_path / "data" / "ACTOR01"
    touch(here, "01-01-03-01-01-01-01_facecroppad.npy")
    touch(here, "03-01-03-01-01-01-01_croppad.wav")
    line = (
        "/far/away/ACTOR01/01-01-03-01-01-01-01_facecroppad.npy;"
        "/far/away/ACTOR01/03-01-03-01-01-01-01_croppad.wav;3;training\n"
    )
    path = tmp_path / "annotations.txt"
    path.write_text(line * 2)
    found = read_annotations(path, root=tmp_path / "data")
    assert found.ids == ["01-01-03-01-01-01-01"]
    assert found.video[0].parent == found.audio[0].parent == here
    assert (found.classes[0], found.speakers[0], found.split[0]) == (2, "01", "train")
    assert found.report["reason"].tolist() == ["line 2 repeats an earlier one"]
    with pytest.raises(DataError, match="2 files are not there"):
        read_annotations(path, root=tmp_path / "elsewhere")


@pytest.mark.parametrize(
    "line, kind, message",
    [
        ("{0};{1};9;training", LabelMismatchError, "label '9': expected 1 to 8"),
        ("{0};{1};0;training", LabelMismatchError, "label '0'"),
        ("{0};{1};3;train;x", DataError, "line 1: expected 'video.npy;audio.wav"),
        (";;3;training", DataError, "at least one file"),
        ("{0};{1};3;random", DataError, "split random: expected train, valid, test"),
        ("{0};{1};3;training\n{0};{1};4;training", DataError, "line 2: .* earlier"),
        ("{0};{1};3;training\n{2};;3;testing", DataError, r"01 \(train, test\)"),
        ("", DataError, "no lines"),
    ],
)
def test_a_damaged_list_is_refused(tmp_path, line, kind, message):
    first, other = "01-01-03-01-01-01-01", "01-01-03-01-01-02-01"
    files = (*prepared(tmp_path, first), prepared(tmp_path, other)[0])
    path = tmp_path / "annotations.txt"
    path.write_text(line.format(*files))
    with pytest.raises(kind, match=message):
        read_annotations(path)


# Own data


LABELS = ("bored", "glad")


def own(folder, rows, columns="video,audio,label,speaker,split"):
    touch(folder, "a/1.mp4", "a/2.mp4", "b/1.mp4", "b/1.wav")
    path = folder / "own.csv"
    path.write_text("\n".join([columns, *rows]) + "\n")
    return path


def test_own_data_is_read_from_a_table(tmp_path):
    rows = ["b/1.mp4,b/1.wav,glad,bo,testing", "a/1.mp4,,bored,al,train"]
    rows.append(f"{tmp_path}/a/2.mp4,{tmp_path}/a/2.mp4,glad,al,train")
    clips = read_table(own(tmp_path, rows), LABELS)
    assert clips.ids == ["2", "a/1", "b/1"]
    assert clips.video[0] == clips.audio[0] == tmp_path / "a/2.mp4"
    assert clips.audio[1] is None
    assert clips.schema.labels == LABELS
    assert clips.classes.tolist() == [1, 0, 1]
    assert clips.split.tolist() == ["train", "train", "test"]
    assert clips.report["clip"].tolist() == ["a/1"]
    table = table_of(clips, tmp_path)
    table.to_csv(tmp_path / "again.csv", index=False)
    again = read_table(tmp_path / "again.csv", LABELS)
    pd.testing.assert_frame_equal(table_of(again, tmp_path), table)


GOOD = "a/1.mp4,,bored,al,train"


@pytest.mark.parametrize(
    "rows, kind, message",
    [
        ([GOOD, "b/1.mp4,,sad,bo,test"], LabelMismatchError, "sad in lines 3.*bored"),
        ([GOOD, "b/1.mp4,,glad,al,test"], DataError, r"al \(train, test\)"),
        (["a/1.mp4,,bored,al,random"], DataError, "never drawn at random"),
        (["a/1.mp4,,bored,al,"], DataError, "by speaker"),
        (["a/1.mp4,,bored,,train"], DataError, "no speaker in lines 2"),
        ([",,bored,al,train"], DataError, "neither video nor audio in lines 2"),
        (["c.mp4,,bored,al,train"], DataError, "1 files .* not there: .*c.mp4"),
        ([GOOD, GOOD], DataError, "two clips have one id: a/1"),
        ([], DataError, "no rows"),
    ],
)
def test_tables_that_cannot_be_are_refused(tmp_path, rows, kind, message):
    with pytest.raises(kind, match=message):
        read_table(own(tmp_path, rows), LABELS)


def test_a_table_without_a_split_is_refused(tmp_path):
    path = own(tmp_path, ["a/1.mp4,,bored,al"], "video,audio,label,speaker")
    with pytest.raises(DataError, match=r"missing: split\. A split is never"):
        read_table(path, LABELS)
