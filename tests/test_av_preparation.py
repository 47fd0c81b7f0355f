"""Preparation of clips: files, resuming, failures as rows, any number of processes."""

import io
import json
import os
import pickle
import shutil
import time

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.io import wavfile

from emorec.corpora.av_annotations import read_annotations
from emorec.corpora.av_table import read_table
from emorec.corpora.ravdess import read_ravdess
from emorec.errors import MissingExtraError, SpecError
from emorec.features.av_clips import AvSettings
from emorec.labels import RAVDESS
from emorec.progress import track
from emorec.training.av_preparation import prepare
from tests.av_files import write_clip
from tests.video_files import Finder

NAMES = ["01-01-01-01-01-01-01", "01-01-02-01-01-01-05", "01-01-03-02-01-01-11"]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for k, name in enumerate(NAMES):
        actor = folder / f"Actor_{name[-2:]}"
        actor.mkdir()
        # 4 s, 2 s and 1 s long
        seconds = 4 / 2**k
        frames = round(5 * seconds)
        write_clip(actor / f"{name}.mkv", frames, (20 + 30 * k, 40), seconds, 5)
    return folder


@pytest.fixture
def corpus(written, tmp_path):
    shutil.copytree(written, tmp_path / "ravdess")
    return tmp_path / "ravdess"


def run(corpus, output, workers=1, detect=Finder, **settings):
    return prepare(
        read_ravdess(corpus), output, workers, AvSettings(**settings), detect
    )


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def refuse():
    raise AssertionError("no detector is needed")


def refuse_package():
    raise MissingExtraError("mtcnn", "faces", "Finding faces")


def test_every_clip_has_its_files(corpus, tmp_path):
    output = tmp_path / "out"
    result = run(corpus, output)
    assert (result.made, result.before, result.failures) == (3, 0, [])
    assert result.faces > 15 and result.faces_per_second > 0
    assert set(result.per_second) == {"decoding", "detection", "sound"}
    for k, name in enumerate(NAMES):
        faces = np.load(output / f"{name}_facecroppad.npy")
        assert faces.shape == (15, 224, 224, 3) and faces.dtype == np.uint8
        rate, sound = wavfile.read(output / f"{name}_croppad.wav")
        assert (rate, sound.shape, sound.dtype) == (22_050, (79_380,), np.int16)
        assert bool(faces[-1].any()) == (k == 0)
        assert abs(np.flatnonzero(sound)[-1] / rate - min(3.6, 4 / 2**k)) < 0.01
    assert (output / "annotations.txt").read_text().splitlines() == [
        f"{name}_facecroppad.npy;{name}_croppad.wav;{label};{split}"
        for name, label, split in zip(
            NAMES, (1, 2, 3), ("training", "testing", "validation"), strict=True
        )
    ]
    assert pd.read_csv(output / "failures.csv").empty
    listed = read_annotations(output / "annotations.txt")
    tabled = read_table(output / "clips.csv", RAVDESS, "ravdess")
    for found in (listed, tabled):
        assert found.ids == NAMES == result.clips.ids
        assert found.video == result.clips.video
        assert found.speakers.tolist() == ["01", "05", "11"]
        assert found.intensity.tolist() == [1, 1, 2]
    with Image.open(output / "contact_sheet.png") as image:
        assert image.mode == "RGB"
        assert image.size == (12 * 96, 3 * (14 + 96 + 14))


def test_a_second_run_repeats_nothing_and_changes_nothing(corpus, tmp_path):
    output = tmp_path / "out"
    run(corpus, output)
    before = contents(output)
    again = run(corpus, output, detect=refuse)
    assert (again.made, again.before, again.faces) == (0, 3, 0)
    assert again.clips.ids == NAMES
    assert contents(output) == before
    # A source that changed, and a file that is gone or cut, are made again.
    os.utime(next(corpus.rglob(f"{NAMES[1]}.mkv")), (1, 1))
    sound = output / f"{NAMES[2]}_croppad.wav"
    sound.write_bytes(sound.read_bytes()[:100])
    (output / f"{NAMES[0]}_facecroppad.npy").unlink()
    assert run(corpus, output).made == 3
    files = contents(output)
    assert {n for n in files if files[n] != before[n]} == {f"records/{NAMES[1]}.json"}


def test_processes_give_the_same_files(corpus, tmp_path):
    run(corpus, tmp_path / "one")
    result = run(corpus, tmp_path / "two", workers=2)
    assert result.made == 3
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    with pytest.raises(MissingExtraError, match=r"pip install 'emorec\[faces\]'"):
        run(corpus, tmp_path / "three", workers=2, detect=refuse_package)


def test_an_interrupted_run_goes_on(corpus, tmp_path):
    run(corpus, tmp_path / "whole")

    class Interrupted(Finder):
        def __call__(self, frames):
            if self.seen > 10:
                raise KeyboardInterrupt
            return super().__call__(frames)

    output = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run(corpus, output, detect=Interrupted, detect_every=1)
    assert not (output / "annotations.txt").exists()
    shutil.rmtree(tmp_path / "whole")
    run(corpus, tmp_path / "whole", detect_every=1)
    result = run(corpus, output, detect_every=1)
    assert result.made == 3
    assert contents(output) == contents(tmp_path / "whole")


def test_failures_and_missing_modalities_are_rows(corpus, tmp_path):
    _, second, third = sorted(corpus.rglob("*.mkv"))
    (corpus / "03-01-01-01-01-01-01.wav").write_bytes(b"no sound")
    write_clip(second, 10, (500, 500), 1)  # nobody to be seen
    third.rename(third.with_name(third.name.replace("01-", "02-", 1)))
    output = tmp_path / "out"
    result = run(corpus, output)
    assert [row[:2] for row in result.failures] == [
        (NAMES[0], "audio"),
        (NAMES[1], "video"),
    ]
    silent = "02" + NAMES[2][2:]
    assert [row[:2] for row in result.missing] == [(silent, "audio")]
    table = pd.read_csv(output / "failures.csv")
    assert table["clip"].tolist() == [NAMES[0], NAMES[1], silent]
    assert "cannot be read as a sound" in table["reason"][0]
    assert "no face found" in table["reason"][1]
    assert table["modality"].tolist() == ["audio", "video", "audio"]
    assert (output / "annotations.txt").read_text().splitlines() == [
        f"{NAMES[0]}_facecroppad.npy;;1;training",
        f";{NAMES[1]}_croppad.wav;2;testing",
        f"{silent}_facecroppad.npy;;3;validation",
    ]
    record = json.loads((output / f"records/{NAMES[1]}.json").read_text())
    assert list(record) == ["audio"]
    # What failed is tried again; what was made is not.
    again = run(corpus, output)
    assert (again.made, again.before, len(again.failures)) == (0, 1, 2)


def test_other_settings_are_refused(corpus, tmp_path):
    output = tmp_path / "out"
    run(corpus, output)
    with pytest.raises(SpecError, match="colours: there RGB, now BGR"):
        run(corpus, output, literal=True)


def test_own_data_is_prepared_in_its_folders(corpus, tmp_path):
    table = tmp_path / "own.csv"
    rows = [
        f"ravdess/{path.relative_to(corpus).as_posix()},,glad,{path.parent.name},train"
        for path in sorted(corpus.rglob("*.mkv"))
    ]
    table.write_text("\n".join(["video,audio,label,speaker,split", *rows]) + "\n")
    output = tmp_path / "out"
    result = prepare(read_table(table, ["glad", "bored"]), output, 1, None, Finder)
    assert len(result.missing) == 3 and not result.failures
    assert (output / f"ravdess/Actor_01/{NAMES[0]}_facecroppad.npy").is_file()
    again = read_table(output / "clips.csv", ["glad", "bored"])
    assert again.ids == result.clips.ids
    assert again.speakers.tolist() == ["Actor_01", "Actor_05", "Actor_11"]


def test_the_bar_shows_clips_a_second(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    slowly = (time.sleep(0.05) or n for n in range(8))
    assert list(track(slowly, "Preparing", 8, "clips")) == list(range(8))
    shown = terminal.getvalue()
    assert "Preparing" in shown and "8/8" in shown and "clips/s" in shown


def test_a_missing_package_is_told_by_another_process():
    error = MissingExtraError("av", "faces", "a.mp4: reading a video")
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert (again.package, again.extra) == ("av", "faces")
