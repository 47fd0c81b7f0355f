"""The miniature of RAVDESS: its files, its actors, and what fusion is worth on it."""

import json
import shutil
import wave
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from emorec.artifacts.found_runs import find_runs
from emorec.artifacts.runs import RunFolder
from emorec.batches.audiovisual import AvArrays
from emorec.cli.app import main
from emorec.corpora import av_miniature as miniature
from emorec.corpora.av_miniature import clips_in, is_miniature, write_ravdess
from emorec.corpora.ravdess import parse_name, published_split, read_ravdess
from emorec.errors import DataError, SpecError
from emorec.features.av_clips import AvSettings, face_clip, wanted_frames
from emorec.features.av_sound import read_sound, sound_features
from emorec.features.faces import cut, whole_box
from emorec.features.video import read_frames
from emorec.features.video_sound import read_sound_of_video
from emorec.prediction.media import look_into
from emorec.prediction.ravdess import RavdessPredictor
from emorec.prediction.recordings import Recording, Span
from emorec.training import audiovisual, av_scores
from emorec.training.av_config import MINIATURE, AvConfig
from emorec.training.av_data import AvData
from tests.video_files import Finder, picture, write_video

pytest.importorskip("soundfile", reason="needs the extra 'voices'")
RUN = "ia_softhard_1_seed_1_miniature"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with a miniature of one clip of each actor, to be read only."""
    place = tmp_path_factory.mktemp("av")
    assert write_ravdess(place / miniature.FOLDER, clips=1)
    return place


@pytest.fixture(scope="module")
def written(place):
    return place / miniature.FOLDER


@pytest.fixture
def two_actors(monkeypatch):
    monkeypatch.setattr(miniature, "ACTORS", 2)


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# What is written


def test_it_is_read_as_ravdess_with_24_actors_and_the_published_split(written):
    clips = read_ravdess(written)
    assert clips.report.empty
    actors = [int(speaker) for speaker in clips.speakers]
    assert sorted(actors) == list(range(1, 25))
    assert (clips.split == published_split(actors)).all()
    # Each emotion of three actors.
    assert np.bincount(clips.classes).tolist() == [3] * 8
    for video, sound in zip(clips.video, clips.audio, strict=True):
        name = parse_name(video)
        assert video.suffix == ".mp4" and sound.suffix == ".wav"
        assert video.parent.name == sound.parent.name == f"Actor_{name.speaker}"
        assert parse_name(sound) == name._replace(modality=3)
    assert is_miniature(written) and clips_in(written) == 1
    assert "no people" in (written / "SYNTHETIC").read_text()


@pytest.mark.parametrize("clips", [8, 12, 32])
def test_every_actor_shows_the_emotions_equally_often(clips):
    names = list(miniature._plan(clips))
    assert len(set(names)) == len(names) == 24 * clips
    counts = np.zeros((25, 9), int)
    for name in names:
        counts[name.actor, name.emotion] += 1
        assert name.emotion > 1 or name.intensity == 1
    counts = counts[1:, 1:]
    assert np.ptp(counts) <= 1 and np.ptp(counts.sum(axis=0)) == 0
    assert {name.intensity for name in names} == {1, 2}


def test_a_video_holds_the_sound_of_its_sound_file(written):
    clips = read_ravdess(written)
    for video, sound in islice(zip(clips.video, clips.audio, strict=True), 3):
        with wave.open(str(sound)) as file:
            assert file.getframerate() == 16_000
            assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
            count = file.getnframes()
            own = np.frombuffer(file.readframes(count), "<i2") / 32768
        assert 3.7 <= count / 16_000 <= 4.2 and 0.02 < np.abs(own).max() < 0.999
        heard = read_sound_of_video(video, 16_000)
        length = min(len(heard), count)
        # Coded with losses, but not shifted.
        assert np.corrcoef(heard[:length], own[:length])[0, 1] > 0.9
        with av.open(str(video)) as container:
            film = container.streams.video[0]
            assert (film.width, film.height) == (96, 96)
            shown = float(film.duration * film.time_base)
        assert abs(shown - count / 16_000) <= 0.4


def test_men_have_lower_voices_than_women():
    pitches = [miniature._Actor(0, number).voice.pitch for number in range(1, 25)]
    assert max(pitches[0::2]) < min(pitches[1::2])


def test_the_same_seed_gives_the_same_files_and_another_does_not(tmp_path, two_actors):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        assert write_ravdess(tmp_path / name, seed, 2)
    a, b, c = (contents(tmp_path / name) for name in "abc")
    assert a == b and a.keys() == c.keys()
    assert all(a[file] != c[file] for file in a)


def test_what_was_interrupted_is_taken_up(tmp_path, monkeypatch, two_actors):
    write_ravdess(tmp_path / "whole", clips=2)
    written, real = [], miniature._write_clip

    def interrupted(folder, name, seed):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(name)
        real(folder, name, seed)

    monkeypatch.setattr(miniature, "_write_clip", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_ravdess(tmp_path / "part", clips=2)
    before = contents(tmp_path / "part")
    assert len(before) == 5 and is_miniature(tmp_path / "part")
    monkeypatch.setattr(miniature, "_write_clip", real)
    assert write_ravdess(tmp_path / "part", clips=2)
    assert contents(tmp_path / "part") == contents(tmp_path / "whole")
    assert not write_ravdess(tmp_path / "part", clips=2)


def test_other_folders_and_sizes_are_refused(tmp_path, written):
    for clips in (0, 33):
        with pytest.raises(SpecError, match="expected 1 to 32"):
            write_ravdess(tmp_path / "new", clips=clips)
    with pytest.raises(DataError, match=r"0, 1 clips each.*seed 0, 2 clips each"):
        write_ravdess(written, clips=2)
    (tmp_path / "real" / "Actor_01").mkdir(parents=True)
    with pytest.raises(DataError, match="no miniature"):
        write_ravdess(tmp_path / "real")
    assert clips_in(tmp_path / "real") is None


def test_what_looks_alike_sounds_different_and_the_other_way_round():
    spread = np.std(list(miniature._VOICES.values()), axis=0)
    seen = apart(miniature._FACES, miniature._LOOKS_LIKE)
    heard = apart(miniature._VOICES, miniature._SOUNDS_LIKE, spread)
    look_alike = list(miniature._LOOKS_LIKE.items())
    sound_alike = list(miniature._SOUNDS_LIKE.items())
    assert max(seen(*pair) for pair in look_alike) < min(
        seen(*pair) for pair in sound_alike
    )
    assert 2 * max(heard(*pair) for pair in sound_alike) < min(
        heard(*pair) for pair in look_alike
    )


def apart(table, taken_for, scale=1.0):
    def distance(first, second):
        shown = (miniature._shown(table, taken_for, x) for x in (first, second))
        return np.linalg.norm(np.subtract(*shown) / scale)

    return distance


# Whole frames


def refuse(images):
    raise AssertionError("no detector is needed")


def test_a_whole_frame_is_a_face_and_no_detector_is_asked(tmp_path):
    path = write_video(tmp_path / "a.mp4", [picture((40, 30))] * 50)
    found = face_clip(path, refuse, AvSettings(whole_frames=True))
    frames = list(read_frames(path, 30, 1))
    expected = [cut(frames[n][1], (0, 0, 160, 120), 224) for n in wanted_frames(60)[:8]]
    assert (found.images[:8] == expected).all()
    assert (whole_box(frames[0][1]) == [0, 0, 160, 120]).all()
    # 2 s of 3.6: eight of the fifteen frames are there.
    assert found.origins == ("whole frame",) * 8 + ("black",) * 7
    assert not found.images[8:].any()
    assert (found.boxes[:8] == [0, 0, 160, 120]).all()
    literal = face_clip(path, refuse, AvSettings(whole_frames=True, literal=True))
    assert (literal.images == found.images[..., ::-1]).all()
    faces = face_clip(path, Finder(), AvSettings())
    assert not (faces.images[:8] == expected).all()


# What fusion is worth


CONFIG = AvConfig(n_epochs=20, lr_steps=(14,), learning_rate=0.2, batch_size=16)


def coarse(folder, seed):
    """Return sounds and frozen features of 6 clips of each actor, made coarser.

    A fifth of the frames at half their size, and every third MFCC: a tenth of the time.
    """
    from emorec.models.efficientface import efficientface
    from emorec.training import backend

    write_ravdess(folder, seed, clips=6)
    clips = read_ravdess(folder)
    # More clips to test on than in the published split, of actors of their own.
    actors = clips.speakers.astype(int)
    parts = np.select([actors % 4 == 0, actors % 8 == 1], ["test", "valid"], "train")
    clips = clips.with_split(parts)
    audio = [sound_features(read_sound(path)).T[::3] for path in clips.audio]
    backend.prepare(seed)
    network = efficientface(112)
    whole = AvSettings(whole_frames=True)
    faces = np.stack(
        [face_clip(path, None, whole).images[2::5, ::2, ::2] for path in clips.video]
    )
    video = network.predict(
        faces.reshape(-1, 112, 112, 3) / np.float32(255), batch_size=18, verbose=0
    )
    present = dict.fromkeys(("audio", "video"), np.ones(len(clips), bool))
    arrays = AvArrays(
        np.stack(audio),
        video.reshape(len(clips), 3, -1),
        present,
        np.eye(8, dtype=np.float32)[clips.classes],
    )
    return AvData(clips, arrays)


def measured(data, folder, **settings):
    """Return {(given, fill): accuracy on new actors} of a network."""
    config = replace(CONFIG, **settings)
    run = RunFolder(folder, config.run_name)
    model, spec, taken = audiovisual.run(config, data, run, lambda line: None)
    result = av_scores.scores(model, spec, taken, "test")
    return {
        condition: float((logits.argmax(axis=1) == result.true).mean())
        for condition, logits in result.logits.items()
    }


@pytest.fixture(scope="module")
def measure(tmp_path_factory):
    """Return a function like `measured`, of a miniature, which trains each once."""
    data = coarse(tmp_path_factory.mktemp("laws"), 1)
    folder = tmp_path_factory.mktemp("runs")
    return cache(
        lambda fusion, mask="nodropout": measured(
            data, folder, fusion=fusion, mask=mask
        )
    )


@pytest.mark.slow
def test_face_and_voice_together_tell_more_than_either(measure):
    voice, face = measure("audio")["audio", ""], measure("video")["video", ""]
    assert min(voice, face) > 2 / 8
    assert measure("ia")["both", ""] > max(voice, face) + 0.05


@pytest.mark.slow
def test_the_laws_hold_for_the_command_and_its_settings(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    words = ("ravdess", "train", "--fusion", "ia,audio,video")
    result = command(main, *words, "--mask", "softhard,nodropout")
    assert result.code == 0, result.err
    table = pd.read_csv("models/ravdess/incomplete.csv").fillna("")
    found = table.set_index(["run", "given", "fill"]).accuracy.to_dict()

    def of(fusion, mask, given, fill=""):
        return found[f"{fusion}_{mask}_1_seed_1_miniature", given, fill]

    alone = [of(name, "nodropout", name) for name in ("audio", "video")]
    for mask in ("softhard", "nodropout"):
        assert of("ia", mask, "both") > max(alone) + 0.05
        assert of("ia", mask, "both") > 4 * of("ia", mask, "constant")
    gained = [
        of("ia", "softhard", given, "zeros") - of("ia", "nodropout", given, "zeros")
        for given in ("audio", "video")
    ]
    assert np.mean(gained) > 0.05


# As a user calls it


@pytest.fixture(scope="module")
def trained(place, tmp_path_factory, command):
    """Return a folder in which a network was trained without data, and the output."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copytree(place / miniature.FOLDER, folder / miniature.FOLDER)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        words = ("ravdess", "train", "--clips", 1, "--n_epochs", 2, "--lr_steps", 2)
        result = command(main, *words, eagerly=True)
    assert result.code == 0, result.err
    return folder, result


def test_without_data_the_miniature_is_trained_on_and_that_is_said(trained):
    folder, result = trained
    assert "scores on them say nothing about people" in result.out
    assert "Settings for the miniature: --freeze_frames" in result.out
    table = pd.read_csv(folder / "models/ravdess/incomplete.csv")
    assert set(table.data) == {miniature.DATASET} and set(table.run) == {RUN}
    assert set(table.given) == {"both", "audio", "video", "constant"}
    assert set(table.clips) == {4} and set(table.speakers) == {4}
    prepared = folder / miniature.FOLDER / "prepared"
    assert json.loads((prepared / "settings.json").read_text())["whole_frames"]
    assert len(list(prepared.glob("*_facecroppad.npy"))) == 24
    assert len(pd.read_csv(prepared / "failures.csv")) == 0
    record = json.loads((folder / f"models/ravdess/run_{RUN}.json").read_text())
    settings = record["settings"]
    assert record["status"] == "complete" and settings["n_epochs"] == 2
    for name in ("freeze_frames", "learning_rate"):
        assert settings[name] == MINIATURE[name]


def test_a_prediction_of_a_clip_is_what_the_evaluation_says_of_it(trained):
    folder, _ = trained
    (found,) = find_runs([folder / "models/ravdess"])
    assert found.spec.data["preparation"] == AvSettings(whole_frames=True).to_dict()
    predictor = RavdessPredictor.load(found)
    stored = np.load(folder / f"models/ravdess/predictions_test_{RUN}.npz")
    assert predictor.takes == ("face", "voice")
    for row in (0, 3):
        name = str(stored["ids"][row])
        (video,) = (folder / miniature.FOLDER).rglob(f"{name}.mp4")
        # The video's own sound has been compressed; training hears the file.
        sound = video.with_name(f"03{name[2:]}.wav")
        duration = max(look_into(path).duration for path in (video, sound))
        clip = Recording("a", video, sound, (), duration)
        (given,) = predictor.given(clip, [Span(0.0, duration)])
        assert given.present == predictor.takes
        scores = predictor.scores([given.content])
        expected = softmax(stored["logits_both"][row][None], axis=1)
        np.testing.assert_allclose(scores, expected, atol=1e-4)


def test_its_run_is_tested_without_data_and_nothing_is_repeated(
    trained, monkeypatch, command
):
    folder, _ = trained
    monkeypatch.chdir(folder)
    before = pd.read_csv("models/ravdess/incomplete.csv")
    result = command(main, "ravdess", "test", RUN, eagerly=True)
    assert result.code == 0, result.err
    assert "Made synthetic actors" not in result.out
    pd.testing.assert_frame_equal(pd.read_csv("models/ravdess/incomplete.csv"), before)
    result = command(main, "ravdess", "prepare")
    assert "24 clips: 0 made, 24 finished before, 0 failures" in result.out
    result = command(main, "ravdess", "prepare", "--clips", 2)
    assert result.code == 1 and "holds another miniature" in result.err


@pytest.mark.parametrize(
    "words, message",
    [
        (("prepare", "."), "--output DIR is missing"),
        (("prepare", ".", "--output", "o", "--clips", "2"), "--clips is of the mini"),
        (("train", ".", "--clips", "2"), "--clips is of the miniature"),
        (("prepare", "--labels", "a,b"), "--labels are of a CSV"),
        (("prepare", "--clips", "40"), "expected 1 to 32"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    words, message, command, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    result = command(main, "ravdess", *words)
    assert result.code == 1 and message in result.err
    assert not Path(miniature.FOLDER).exists()
