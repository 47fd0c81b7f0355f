"""The commands on voices, as a user types them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from emorec.cli.app import main
from emorec.corpora import fer_miniature
from emorec.corpora.voice_miniature import write_voxceleb
from emorec.training import voice_teacher

pytest.importorskip("soundfile", reason="needs the extra 'voices'")

NAME = "compact_seed_0_miniature"
SHORT = ("--num_epochs", "2", "--mini_epoch_ratio", "0.5")


@pytest.fixture(scope="module")
def place(tmp_path_factory, command):
    """A folder in which fewer talkers than usual taught a network, for less long."""
    place = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setitem(voice_teacher._TRAINING, "num_epochs", 6)
        write_voxceleb("voxceleb/miniature", speakers=16, clips_per_speaker=10)
        result = command(main, "voices", "distill", "--num_epochs", "12")
    assert result.code == 0, result.err
    return place, result


@pytest.fixture
def here(place, tmp_path, monkeypatch):
    """A copy of it to work in."""
    copy = shutil.copytree(place[0], tmp_path / "place", symlinks=True)
    monkeypatch.chdir(copy)
    return copy


def test_a_network_learns_from_faces_what_voices_tell(place):
    table = pd.read_csv(place[0] / "models/voices/auc.csv")
    found = table.set_index(["partition", "emotion"]).auc
    assert found["train", "mean"] > 0.85 and found["unheardVal", "mean"] > 0.7


@pytest.mark.slow
def test_talkers_teach_a_network_that_hears_new_ones(tmp_path, monkeypatch, command):
    """The law of the miniature, by the command without options."""
    monkeypatch.chdir(tmp_path)
    result = command(main, "voices", "distill")
    assert result.code == 0, result.err
    assert "Made synthetic talkers in voxceleb/miniature" in result.out
    table = pd.read_csv("models/voices/auc.csv").set_index(["partition", "emotion"])
    assert table.auc["unheardVal", "mean"] > 0.85


def test_without_data_talkers_stand_in_and_that_is_said(place):
    folder, result = place
    assert "scores on them say nothing about people" in result.out
    assert "Training the teacher on drawn faces" in result.out
    names = {path.name for path in (folder / "models" / "voices").iterdir()}
    assert names >= {
        "auc.csv",
        f"card_{NAME}.md",
        f"dropped_{NAME}.csv",
        f"history_{NAME}.csv",
        f"learning_curve_{NAME}.png",
        f"model_{NAME}.keras",
        f"predictions_heardVal_{NAME}.npz",
        f"predictions_train_{NAME}.npz",
        f"predictions_unheardVal_{NAME}.npz",
        f"run_{NAME}.json",
    }
    for path in (folder / "models" / "voices").glob("*.png"):
        assert np.ptp(np.asarray(Image.open(path))) > 100
    record = json.loads((folder / f"models/voices/run_{NAME}.json").read_text())
    assert record["status"] == "complete"
    assert record["spec"]["normalisation"]["features"] == "logmel"
    history = pd.read_csv(folder / f"models/voices/history_{NAME}.csv")
    assert {"recall_anger", "val_recall_anger", "share_neutral"} <= set(history)
    dropped = pd.read_csv(folder / f"models/voices/dropped_{NAME}.csv")
    assert set(dropped.reason) == {
        *("no frame with a face", "a face track without a usable sound")
    }


def test_a_finished_run_is_evaluated_and_not_repeated(here, command):
    model = here / f"models/voices/model_{NAME}.keras"
    before = model.read_bytes(), pd.read_csv(here / "models/voices/auc.csv")
    again = command(main, "voices", "distill", "--num_epochs", "12")
    assert again.code == 0 and "trained before" in again.out
    result = command(main, "voices", "evaluate", NAME)
    assert result.code == 0 and "Written: models/voices" in result.out
    assert model.read_bytes() == before[0]
    pd.testing.assert_frame_equal(pd.read_csv("models/voices/auc.csv"), before[1])


@pytest.mark.slow
def test_no_label_of_the_speech_is_read(tmp_path, monkeypatch, command):
    """Whether the hidden emotions are there or gone, the weights are the same."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(voice_teacher._TRAINING, "num_epochs", 1)
    folder = tmp_path / "voxceleb" / "miniature"
    write_voxceleb(folder, speakers=4, clips_per_speaker=4)
    path, found = folder / "emotions.csv", []
    for number in range(2):
        result = command(main, "voices", "distill", *SHORT, "--name", f"n{number}")
        assert result.code == 0, result.err
        with np.load(f"models/voices/predictions_train_n{number}_miniature.npz") as f:
            found.append((f["teacher"], f["logits"]))
        shutil.rmtree(folder / "logits")
        shutil.rmtree(folder / "teacher")
        path.unlink(missing_ok=True)
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])


def test_the_options_of_the_published_program_are_known(here, command):
    options = ("--numEpochs", "1", "--miniEpochRatio", "0.2", "--numSeconds", "2")
    more = (
        "--logitAggregator",
        "mean",
        "--lossType",
        "huber",
        "--numPredEmotions",
        "5",
    )
    result = command(main, "voices", "distill", *options, *more, "--name", "old")
    assert result.code == 0, result.err
    record = json.loads(Path("models/voices/run_old_miniature.json").read_text())
    settings = record["settings"]
    assert (settings["loss_type"], settings["num_seconds"]) == ("huber", 2)
    assert len(record["spec"]["schema"]["labels"]) == 5


def test_samples_are_copied_to_look_at(here, command):
    result = command(main, "voices", "samples", "--dest", "look", "--count", "2")
    assert result.code == 0, result.err
    assert "anger: 2" in result.out
    first = here / "look" / "anger" / "1"
    names = {path.name for path in first.iterdir()}
    assert {"meta.txt", "distribution.png"} <= names
    assert any(name.endswith(".wav") for name in names)
    assert any(name.startswith("peakFrame") for name in names)
    again = command(main, "voices", "samples", "--dest", "look", "--count", "3")
    assert again.code == 1 and "--overwrite" in again.err


def test_sounds_are_embedded_and_failures_are_rows(here, command):
    talkers = sorted((here / "voxceleb/miniature/wav").iterdir())
    folder = shutil.copytree(talkers[0], here / "mine")
    (folder / "bad.wav").write_bytes(b"no sound")
    result = command(
        main, "voices", "embed", "mine", "--model", NAME, "--output", "out"
    )
    assert result.code == 3 and "left out: bad.wav" in result.out
    count = len(list(folder.rglob("*.wav"))) - 1
    with np.load("out/embeddings.npz") as file:
        assert file["embeddings"].shape == (count, 128)
        assert file["logits"].shape == (count, 8)
        ids = file["ids"].tolist()
    table = pd.read_csv("out/scores.csv")
    assert table.id.tolist() == ids
    np.testing.assert_allclose(table.iloc[:, 1:9].sum(axis=1), 1, atol=1e-3)
    assert pd.read_csv("out/failures.csv").id.tolist() == ["bad.wav"]
    (folder / "bad.wav").unlink()
    whole = command(main, "voices", "embed", "mine", "--output", "out", "--model", NAME)
    assert whole.code == 0 and f"{count} sounds heard by {NAME}" in whole.out


@pytest.fixture
def acted(here):
    """The talkers' clips under names of RAVDESS, an actor for each talker."""
    table = pd.read_csv(here / "voxceleb/miniature/emotions.csv").set_index("id")
    codes = {"neutral": 1, "happiness": 3, "sadness": 4, "anger": 5}
    talkers = sorted((here / "voxceleb/miniature/wav").iterdir())[:6]
    for actor, talker in enumerate(talkers, 1):
        seen = dict.fromkeys(codes, 0)
        for path in sorted(talker.rglob("*.wav")):
            name = path.relative_to(talker.parent).as_posix()
            emotion = table.emotion.get(name)
            if emotion not in codes or seen[emotion] == 2:
                continue
            seen[emotion] += 1
            new = (
                f"03-01-{codes[emotion]:02d}-01-01-{seen[emotion]:02d}-{actor:02d}.wav"
            )
            target = here / "acted" / f"Actor_{actor:02d}" / new
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    return here / "acted"


def test_frozen_features_are_probed_on_labelled_speech(acted, command):
    options = ("--model", NAME, "--features", "logits", "embeddings", "random")
    result = command(main, "voices", "benchmark", acted, *options)
    assert result.code == 0, result.err
    table = pd.read_csv("models/voices/benchmark_ravdess.csv")
    rows = table.set_index(["features", "protocol"])
    kinds = {f"logits of {NAME}", f"embeddings of {NAME}", "random"}
    assert set(rows.index) == {
        (kind, protocol) for kind in kinds for protocol in rows.index.levels[1]
    }
    assert {"leave_speakers_out", "literal"} <= set(rows.index.levels[1])
    heard = rows.accuracy[f"logits of {NAME}", "leave_speakers_out"]
    assert heard > rows.accuracy["random", "leave_speakers_out"]
    assert heard > rows.constant["random", "leave_speakers_out"]
    none = command(main, "voices", "benchmark", acted, "--features", "logits")
    assert none.code == 1 and "need a --model" in none.err


def test_a_network_is_trained_on_labels_fold_by_fold(acted, command):
    options = ("--only", "0", "--num_epochs", "2", "--batch_size", "8", "--name", "own")
    result = command(main, "voices", "train", acted, *options)
    assert result.code == 0, result.err
    assert "Fold 0: tested on speakers" in result.out
    table = pd.read_csv("models/voices/benchmark_ravdess.csv")
    assert table.features.tolist() == ["own"] and table.folds.tolist() == [1]
    again = command(main, "voices", "train", acted, *options)
    assert again.code == 0 and "trained before" in again.out
    # Its rows stand beside those of the probes.
    probed = command(main, "voices", "benchmark", acted, "--features", "random")
    assert probed.code == 0, probed.err
    assert len(pd.read_csv("models/voices/folds_ravdess.csv")) > 1
    table = pd.read_csv("models/voices/benchmark_ravdess.csv")
    assert set(table.features) == {"own", "random"}
    with pytest.raises(SystemExit):
        command(main, "voices", "train", acted, "--protocol", "literal")


@pytest.mark.parametrize(
    "words, message",
    [
        (("distill", "nowhere"), "nowhere: no such folder"),
        (("distill", "--preset", "big"), "--preset big: expected one of vggm, compact"),
        (("distill", "--loss_type", "mse"), "--loss_type mse: expected one of"),
        (("evaluate", "none"), "no finished run 'none'"),
        (("embed", "none.wav", "--output", "out"), "no finished run"),
        (("benchmark", "nowhere"), "nowhere: no such folder"),
        (("train", "nowhere", "--keep", "first"), "--keep first: expected one of"),
    ],
)
def test_mistakes_are_told_without_traceback(
    words, message, command, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    # A mistake in the options is told before anything is made.
    result = command(main, "voices", *words)
    assert result.code == 1 and message in result.err, result.err
    assert not (tmp_path / "voxceleb").exists() or "evaluate" in words


def test_talkers_are_judged_once(tmp_path, monkeypatch):
    monkeypatch.setattr(voice_teacher, "_TRAINING", {"num_epochs": 1})
    faces = {"Training": 64, "PublicTest": 16, "PrivateTest": 16}
    monkeypatch.setattr(fer_miniature, "_COUNTS", faces)
    folder = tmp_path / "talkers"
    write_voxceleb(folder, speakers=3, clips_per_speaker=3)
    lines = []
    voice_teacher.label_miniature(folder, lines.append)
    before = (folder / "logits/logits.npz").stat().st_mtime_ns
    voice_teacher.label_miniature(folder, lines.append)
    assert (folder / "logits/logits.npz").stat().st_mtime_ns == before
    assert len(lines) == 2 and "face tracks" in lines[1]
