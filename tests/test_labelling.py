"""Labelling: scores of every frame, of every clip, and rows for what failed."""

import argparse
import os

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from emorec.artifacts.logits import read_logits
from emorec.artifacts.runs import RunFolder
from emorec.artifacts.spec import Modality, Spec
from emorec.cli import faces_label
from emorec.cli.console import INCOMPLETE, OK, Parser, guarded
from emorec.corpora.clips import Clip, find_clips
from emorec.errors import DataError, SpecError
from emorec.features.thumbnails import Thumbnails
from emorec.labels import FERPLUS
from emorec.training.clip_labels import LabelSettings, aggregate, choose, label_clip
from emorec.training.labelling import Teacher, label_clips
from tests.video_files import Finder, path_of, picture, write_sound, write_video

SIZE = 32


def brightness(crops):
    """A network: the mean of a crop in eight shares."""
    assert crops.dtype == np.uint8
    assert crops.shape[1:] == (SIZE, SIZE)
    mean = crops.reshape(len(crops), -1).mean(1, keepdims=True)
    return (mean * np.linspace(0.1, 0.8, 8)).astype(np.float32)


@pytest.fixture
def teacher():
    return Teacher(brightness, FERPLUS, SIZE, "brightness")


@pytest.fixture
def clips(tmp_path):
    """A tree of three good clips: two videos and a face track."""
    folder = tmp_path / "clips"
    (folder / "b").mkdir(parents=True)
    write_video(folder / "a.mp4", [picture(path_of(k)) for k in range(50)])
    write_video(folder / "b/a.mp4", [picture(path_of(k)) for k in range(60)], 30)
    (folder / "track").mkdir()
    for k in range(4):
        enlarged = picture((60, 40))[28:92, 48:112]
        Image.fromarray(enlarged).save(folder / "track" / f"{k:04}.png")
    return folder


def files_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_every_clip_has_its_scores(clips, teacher, tmp_path):
    output = tmp_path / "out"
    result = label_clips(find_clips([clips]), teacher, Finder, output)
    assert not result.failures
    assert result.judged == 3
    assert set(result.per_second) == {"decoding", "tracking", "detection", "network"}
    merged = read_logits(output / "logits.npz")
    assert merged.ids == ["a.mp4", "b/a.mp4", "track"]
    assert merged.schema == FERPLUS
    assert np.diff(merged.offsets).tolist() == [9, 9, 4]
    assert merged.logits.dtype == np.float32
    assert merged.settings["every"] == 6
    for i in range(3):
        part = slice(*merged.offsets[i : i + 2])
        assert np.allclose(merged.times[part], 0.24 * np.arange(part.stop - part.start))
    # The crop holds the bright square alone, and the track's middle lies in it.
    assert np.abs(merged.logits[:, -1] / 0.8 - 230).max() < 12
    moved = merged.boxes[:9, 0] - merged.boxes[0, 0]
    assert np.abs(moved - 3 * np.arange(9)).max() <= 2
    table = pd.read_csv(output / "scores.csv")
    assert table["id"].tolist() == merged.ids
    assert table["faces"].tolist() == [9, 9, 4]
    assert set(table["dominant"]) == {"contempt"}
    assert np.allclose(table["contempt"][0], merged.logits[:9, -1].max())
    assert pd.read_csv(output / "failures.csv").empty


def test_finished_clips_are_not_repeated(clips, teacher, tmp_path):
    output = tmp_path / "out"
    label_clips(find_clips([clips]), teacher, Finder, output)
    before = files_of(output)
    again = label_clips(find_clips([clips]), teacher, lambda: pytest.fail(), output)
    assert again.judged == 0
    assert len(again.scores) == 3
    assert files_of(output) == before
    # A clip that changed is judged anew.
    write_video(clips / "a.mp4", [picture((50, 30))] * 20)
    os.utime(clips / "a.mp4", (1, 1))
    assert label_clips(find_clips([clips]), teacher, Finder, output).judged == 1
    assert read_logits(output / "logits.npz").offsets[1] == 4


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_an_interrupted_run_goes_on_and_gives_the_same_files(
    clips, teacher, tmp_path, stop
):
    label_clips(find_clips([clips]), teacher, Finder, tmp_path / "whole")
    calls = 0

    def interrupted(crops):
        nonlocal calls
        calls += 1
        if calls == stop:
            raise KeyboardInterrupt
        return brightness(crops)

    output = tmp_path / "out"
    broken = Teacher(interrupted, FERPLUS, SIZE, "brightness")
    with pytest.raises(KeyboardInterrupt):
        label_clips(find_clips([clips]), broken, Finder, output)
    result = label_clips(find_clips([clips]), teacher, Finder, output)
    assert result.judged == 3 - (stop - 1)
    assert files_of(output) == files_of(tmp_path / "whole")


def test_a_damaged_result_is_made_again(clips, teacher, tmp_path):
    output = tmp_path / "out"
    label_clips(find_clips([clips]), teacher, Finder, output)
    before = files_of(output)
    (output / "clips/a.mp4.npz").write_bytes(before["clips/a.mp4.npz"][:50])
    assert label_clips(find_clips([clips]), teacher, Finder, output).judged == 1
    assert files_of(output) == before


def test_other_settings_and_networks_are_refused(clips, teacher, tmp_path):
    label_clips(find_clips([clips]), teacher, Finder, tmp_path)
    with pytest.raises(SpecError, match="every: there 6, now 3"):
        label_clips([], teacher, Finder, tmp_path, LabelSettings(every=3))
    other = Teacher(brightness, FERPLUS, SIZE, "another")
    with pytest.raises(SpecError, match="brightness"):
        label_clips([], other, Finder, tmp_path)


def bad_clips(folder):
    folder.mkdir()
    (folder / "empty.mp4").write_bytes(b"")
    write_video(folder / "cut.mp4", [picture()] * 50)
    content = (folder / "cut.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(content[: len(content) // 2])
    write_sound(folder / "sound.mp4")
    write_video(folder / "wall.mp4", [picture()] * 50)
    return {
        "cut.mp4": "cannot be read",
        "empty.mp4": "empty",
        "sound.mp4": "audio only",
        "wall.mp4": "no face found in 9 frames",
    }


def test_bad_clips_are_rows_and_the_rest_goes_on(clips, teacher, tmp_path):
    reasons = bad_clips(clips / "z")
    found = [*find_clips([clips]), Clip("gone.mp4", tmp_path / "gone.mp4")]
    output = tmp_path / "out"
    result = label_clips(found, teacher, Finder, output)
    table = pd.read_csv(output / "failures.csv").set_index("id")["reason"]
    assert len(table) == len(result.failures) == 5
    for name, reason in reasons.items():
        assert reason in table[f"z/{name}"]
    assert "no such file" in table["gone.mp4"]
    assert len(pd.read_csv(output / "scores.csv")) == 3


def test_nothing_but_bad_clips_leaves_empty_tables(teacher, tmp_path):
    bad_clips(tmp_path / "z")
    output = tmp_path / "out"
    result = label_clips(find_clips([tmp_path / "z"]), teacher, Finder, output, None)
    assert len(result.failures) == 4
    table = pd.read_csv(output / "scores.csv")
    assert table.empty
    assert list(table)[6:-1] == list(FERPLUS.labels)
    assert read_logits(output / "logits.npz").logits.shape == (0, 8)


def test_a_network_of_other_width_is_refused(clips, tmp_path):
    wrong = Teacher(lambda crops: np.zeros((len(crops), 7)), FERPLUS, SIZE, "seven")
    with pytest.raises(SpecError, match="7 outputs"):
        label_clips(find_clips([clips]), wrong, Finder, tmp_path / "out")


def test_scores_that_are_not_finite_are_a_failure(clips, tmp_path):
    wrong = Teacher(
        lambda crops: np.full((len(crops), 8), np.nan), FERPLUS, SIZE, "nan"
    )
    result = label_clips(find_clips([clips]), wrong, Finder, tmp_path / "out")
    assert [reason.split()[-1] for _, reason in result.failures] == ["finite."] * 3


def test_a_folder_may_be_looked_at_for_faces(clips, teacher):
    given = label_clip(clips / "track", brightness, Finder, LabelSettings(), SIZE)
    settings = LabelSettings(faces="detect")
    sought = label_clip(clips / "track", brightness, Finder, settings, SIZE)
    assert given.tracks.tolist() == sought.tracks.tolist() == [0] * 4
    assert given.boxes[0].tolist() == sought.boxes[0].tolist() == [12, 12, 52, 52]
    assert (given.logits == sought.logits).all()


def two_faces(path):
    """A small face throughout, and a large one in the second half, in colour levels."""
    images = []
    for k in range(60):
        image = picture()
        image[5:25, 5:25] = 200
        if k >= 30:
            image[50:110, 80:140] = 250
        images.append(image)
    return write_video(path, images)


def test_which_faces_are_kept(tmp_path):
    path = two_faces(tmp_path / "a.mp4")

    def judge(tracks):
        settings = LabelSettings(tracks=tracks)
        return label_clip(path, brightness, Finder, settings, SIZE)

    every, main, largest = judge("all"), judge("main"), judge("largest")
    assert np.bincount(every.tracks).tolist() == [10, 5]
    # Nine times the area for half of the time.
    assert main.tracks.tolist() == [1] * 5
    assert main.times[0] == pytest.approx(1.2)
    assert largest.tracks.tolist() == [0] * 5 + [1] * 5
    assert main.frames == 10


def test_choice_of_rows():
    boxes = np.array([[0, 0, 2, 2], [0, 0, 3, 3], [0, 0, 2, 2], [0, 0, 2, 2]], float)
    tracks, times = np.array([4, 7, 4, 4]), np.array([0, 0, 1, 2])
    assert choose(tracks, boxes, times, "main").tolist() == [True, False, True, True]
    assert choose(tracks, boxes, times, "largest").tolist() == [False, *[True] * 3]
    assert choose(tracks, boxes, times, "all").all()


def test_aggregation_over_frames():
    logits = np.array([[1, -2], [3, -4]], np.float32)
    assert aggregate(logits).tolist() == [3, -2]
    assert aggregate(logits, "mean").tolist() == [2, -3]
    assert aggregate(logits[:1], "mean").tolist() == aggregate(logits[:1]).tolist()
    with pytest.raises(SpecError, match="max or mean"):
        aggregate(logits, "median")
    with pytest.raises(DataError):
        aggregate(logits[:0])


@pytest.mark.parametrize(
    "wrong",
    [{"every": 0}, {"rate": float("inf")}, {"confidence": 2}, {"faces": "x"}],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(SpecError):
        LabelSettings(**wrong)


def test_long_clips_are_judged_in_batches(tmp_path):
    folder = tmp_path / "track"
    folder.mkdir()
    for k in range(300):
        Image.fromarray(np.full((20, 20, 3), k % 256, np.uint8)).save(
            folder / f"{k}.png"
        )
    sizes = []

    def network(crops):
        sizes.append(len(crops))
        return brightness(crops)

    found = label_clip(folder, network, Finder, LabelSettings(), SIZE)
    assert sizes == [128, 128, 44]
    assert np.allclose(found.logits[:, -1], 0.8 * (np.arange(300) % 256), atol=0.1)


def test_thumbnails_are_few_and_spread():
    thumbnails = Thumbnails(most=4)
    for row in range(100):
        thumbnails.add(row, row % 2, np.zeros((2, 2), np.uint8))
    rows = sorted(row for row in thumbnails.rows if row % 2)
    assert 2 <= len(rows) <= 4
    assert np.ptp(np.diff(rows)) == 0
    assert rows[-1] > 50


def test_the_contact_sheet_shows_every_clip(clips, teacher, tmp_path):
    output = tmp_path / "out"
    label_clips(find_clips([clips]), teacher, Finder, output)
    # Asked for later, it needs the crops again.
    again = label_clips(find_clips([clips]), teacher, Finder, output, None, "max", True)
    assert again.judged == 3
    with Image.open(output / "contact_sheet.png") as image:
        assert image.size == (12 * 96, 3 * (14 + 96 + 14))
    assert (output / "contact_sheets/b/a.mp4.png").is_file()


@pytest.fixture
def model(tmp_path):
    import keras

    inputs = keras.Input((SIZE, SIZE, 1))
    features = keras.layers.GlobalAveragePooling2D()(inputs)
    network = keras.Model(inputs, keras.layers.Dense(8)(features))
    network.save(tmp_path / "model_teacher.keras")
    spec = Spec(
        FERPLUS,
        (Modality("image", "grey faces", 1),),
        max_steps=0,
        label_type="majority",
        normalisation={"size": SIZE, "mean": [30.0], "scale": 2.0},
    )
    RunFolder(tmp_path, "teacher").write_record(
        {}, spec, system="faces", status="complete"
    )
    return network


@pytest.fixture
def label(monkeypatch, command):
    """Return a function that runs the command with a detector of squares."""
    monkeypatch.setattr(
        "emorec.features.faces.mtcnn_detector", lambda min_face: Finder()
    )

    def main(arguments):
        parser = Parser(prog="emorec")
        faces_label.add_label(parser.add_subparsers())
        parsed = parser.parse_args(["label", *arguments])
        return guarded(lambda: parsed.run(parsed))

    return lambda *arguments: command(main, *arguments)


def test_the_command_labels_a_tree(clips, model, label, tmp_path):
    output = tmp_path / "out"
    options = ("--model", "teacher", "--runs", tmp_path, "--output", output)
    result = label(clips, *options)
    assert result.code == OK, result.err
    assert "3 clips: 3 judged, 0 finished before, 0 failed." in result.out
    assert "Frames a second: decoding" in result.out
    merged = read_logits(output / "logits.npz")
    crops = np.full((1, SIZE, SIZE, 1), (230 - 30) / 2, np.float32)
    expected = np.asarray(model(crops))[0]
    assert np.abs(merged.logits - expected).max() < 0.08 * np.abs(expected).max()
    bad_clips(clips / "z")
    result = label(clips, *options, "--contact_sheet")
    assert result.code == INCOMPLETE
    assert "4 failed" in result.out
    assert "left out: z/cut.mp4" in result.out
    assert (output / "contact_sheet.png").is_file()


def test_a_model_that_is_none_is_told(clips, model, label, tmp_path):
    for name, message in (
        ("other", "no such run. Finished ones in"),
        (tmp_path / "clips.keras", "no such run. Finished ones in"),
    ):
        options = ("--runs", tmp_path, "--output", tmp_path / "out")
        result = label(clips, "--model", name, *options)
        assert result.code == 1 and message in result.err
    (tmp_path / "model_teacher.keras").write_bytes(b"none")
    result = label(clips, "--model", "teacher", *options)
    assert result.code == 1 and "not a model of emorec" in result.err


def test_help_loads_nothing_heavy():
    parser = argparse.ArgumentParser()
    faces_label.add_label(parser.add_subparsers())
    assert "label" in parser.format_help()


def test_real_clips_are_labelled(corpora_dir, teacher, tmp_path):
    from emorec.features.faces import mtcnn_detector

    pytest.importorskip("tensorflow")
    clips = corpora_dir / "clips"
    names = ("GRID/bbaf2n.mpg", "CREMA-D/1001_DFA_HAP_XX.flv")
    found = [Clip(name, clips / name) for name in names]
    result = label_clips(
        found, teacher, mtcnn_detector, tmp_path, LabelSettings(every=18)
    )
    assert not result.failures
    assert (result.scores["faces"] >= 3).all()
    assert (result.scores["tracks"] == 1).all()
