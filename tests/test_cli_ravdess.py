"""The commands on audio-visual clips, as a user types them."""

import json

import numpy as np
import pandas as pd
import pytest

from emorec.cli.app import main

soundfile = pytest.importorskip("soundfile", reason="needs the extra 'voices'")


def speak(path, seconds=3.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(16_000 * seconds)) / 16_000
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 200 * time), 16_000)


@pytest.fixture
def corpus(tmp_path):
    """Sounds of three actors, one of each part of the published split."""
    for actor in (1, 5, 11):
        for emotion in (1, 5):
            name = f"03-01-{emotion:02d}-01-01-01-{actor:02d}.wav"
            speak(tmp_path / "ravdess" / f"Actor_{actor:02d}" / name)
    return tmp_path / "ravdess"


def test_a_corpus_without_video_is_prepared_as_far_as_it_goes(
    corpus, tmp_path, command
):
    output = tmp_path / "out"
    words = ("ravdess", "prepare", corpus, "--output", output, "--workers", 1)
    result = command(main, *words)
    assert result.code == 0, result.err
    assert "6 clips: 6 made, 0 finished before, 0 failures" in result.out
    assert "test: 2 clips of 1 speakers" in result.out
    lines = (output / "annotations.txt").read_text().splitlines()
    assert len(lines) == 6 and lines == sorted(lines)
    assert {line.split(";")[2] for line in lines} == {"1", "5"}
    parts = [line.split(";")[3] for line in lines]
    assert sorted(parts) == sorted(["training", "testing", "validation"] * 2)
    missing = pd.read_csv(output / "failures.csv")
    assert set(missing.modality) == {"video"} and len(missing) == 6
    again = command(main, *words)
    assert "0 made, 6 finished before" in again.out
    assert (output / "annotations.txt").read_text().splitlines() == lines
    fold = command(main, *words[:3], "--output", tmp_path / "two", "--fold", 1)
    assert fold.code == 0 and "test: 2 clips of 1 speakers" in fold.out


@pytest.mark.parametrize(
    "words, message",
    [
        (("prepare", "nowhere", "--output", "out"), "nowhere"),
        (("prepare", "a.csv", "--output", "out"), "a.csv"),
        (
            ("prepare", "a.csv", "--fold", "1", "--output", "out"),
            "--fold is of RAVDESS",
        ),
        (
            ("prepare", ".", "--labels", "a,b", "--output", "out"),
            "--labels are of a CSV",
        ),
        (("import", "none.npz", "--fusion", "ia"), "none.npz"),
    ],
)
def test_mistakes_are_told_without_traceback(
    words, message, command, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    result = command(main, "ravdess", *words)
    assert result.code == 1 and message in result.err


def test_own_clips_of_other_classes_are_refused(tmp_path, command):
    speak(tmp_path / "a.wav")
    table = tmp_path / "clips.csv"
    table.write_text("video,audio,label,speaker,split\n,a.wav,bored,x,train\n")
    words = ("ravdess", "prepare", table, "--output", tmp_path / "out")
    result = command(main, *words)
    assert result.code == 1 and "bored" in result.err and "neutral" in result.err
    result = command(main, *words, "--labels", "calm,bored", "--workers", 1)
    assert result.code == 0, result.err


def test_a_published_network_becomes_a_run(golden_dir, tmp_path, command):
    content = {}
    for part in ("common", "ia"):
        with np.load(golden_dir / "ravdess" / f"ravdess_{part}.npz") as file:
            states = [name for name in file.files if name.startswith("state/")]
            content |= {f"module.{name[6:]}": file[name] for name in states}
    np.savez(tmp_path / "published.npz", **content)
    words = ("ravdess", "import", tmp_path / "published.npz", "--output", tmp_path)
    result = command(main, *words, "--fusion", "ia", "--rgb")
    assert result.code == 0, result.err
    assert (tmp_path / "model_published.keras").is_file()
    record = json.loads((tmp_path / "run_published.json").read_text())
    assert record["spec"]["schema"]["labels"][0] == "neutral"
    from emorec.training.backend import load_keras_model

    model = load_keras_model(tmp_path / "model_published.keras")
    held = {variable.path: variable for variable in model.variables}
    assert model.count_params() >= 1_854_766 and len(held) == len(model.variables)
    wrong = command(main, *words, "--name", "other", "--fusion", "lt")
    assert wrong.code == 1 and "lt" not in wrong.out
