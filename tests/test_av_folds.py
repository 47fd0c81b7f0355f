"""Folds, tables and attention of the fusion, on given features, as a user asks."""

import json

import numpy as np
import pandas as pd
import pytest

from emorec.cli.app import main
from emorec.corpora.av_clips import AvClips
from emorec.errors import DataError, SpecError
from emorec.evaluation.attention_figures import attention_figure
from emorec.evaluation.incomplete import IncompleteScores, pooled, table_figure
from emorec.labels import RAVDESS, LabelSchema
from emorec.training.av_attention import step_seconds
from emorec.training.av_config import AvConfig
from emorec.training.av_data import read_prepared
from emorec.training.av_folds import fold_splits

soundfile = pytest.importorskip("soundfile", reason="needs the extra 'voices'")
LABELS = ("calm", "bored")


def clips_of(speakers, schema=RAVDESS):
    count = len(speakers)
    return AvClips(
        "drawn",
        schema,
        [f"c{n}" for n in range(count)],
        [None] * count,
        [None] * count,
        np.zeros(count, int),
        np.array(speakers),
        np.zeros(count, int),
        np.full(count, "train"),
        pd.DataFrame(columns=["clip", "left_out", "reason"]),
    )


@pytest.mark.parametrize("count", [3, 5, 6])
def test_each_speaker_is_tested_once_and_validated_on_once(count):
    speakers = np.array([f"{actor:02d}" for actor in range(1, 25) for _ in range(2)])
    splits = fold_splits(clips_of(speakers), count)
    for part in ("test", "valid"):
        inside = np.array([split == part for split in splits])
        assert (inside.sum(axis=0) == 1).all()
    for split in splits:
        clips_of(speakers).with_split(split)  # refuses a speaker in two parts
    if count == 5:
        first = sorted(set(speakers[splits[0] == "test"].tolist()))
        assert first == ["02", "05", "14", "15", "16"]


def test_folds_that_cannot_be_are_refused():
    with pytest.raises(DataError, match="1 of 2 clips have no speaker"):
        fold_splits(clips_of(["a", ""]), 3)
    with pytest.raises(SpecError, match="expected 3 to 4"):
        fold_splits(clips_of(["a", "b", "c", "d"]), 2)


def test_a_network_of_one_modality_has_none_to_lose():
    with pytest.raises(SpecError, match="none to lose"):
        AvConfig(fusion="audio")
    assert AvConfig(fusion="video", mask="nodropout").inputs == ("video",)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Return a folder of sounds and features of faces, of which one lacks its face."""
    folder = tmp_path_factory.mktemp("own")
    random = np.random.default_rng(0)
    time = np.arange(16_000) / 16_000
    rows = []
    for number in range(12):
        label, speaker = number % 2, f"s{number // 4}"
        tone = 0.3 * np.sin(2 * np.pi * (200 + 100 * label) * time)
        soundfile.write(folder / f"c{number:02d}.wav", tone, 16_000)
        np.save(folder / f"c{number:02d}.npy", random.normal(label * 9, 1, (2, 6)))
        split = ("train", "valid", "test")[number // 4]
        video = "" if number == 0 else f"c{number:02d}.npy"
        rows.append((video, f"c{number:02d}.wav", LABELS[label], speaker, split))
    columns = ["video", "audio", "label", "speaker", "split"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "clips.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def table(own, tmp_path_factory, command):
    """Return the results of a fusion and a network of one modality in folds."""
    output = tmp_path_factory.mktemp("results")
    words = ["train", own, "--labels", ",".join(LABELS), "--output", output]
    words += ["--fusion", "ia,audio", "--mask", "nodropout", "--folds", 3]
    words += ["--n_epochs", 1, "--batch_size", 4, "--coefficients", 12]
    result = command(main, "ravdess", *words, "--standardise", eagerly=True)
    assert result.code == 0, result.err
    return output, result.out


def test_one_command_gives_the_table_of_all_folds(table):
    output, told = table
    found = pd.read_csv(output / "table_folds.csv")
    runs = ["ia_nodropout_1_seed_1", "audio_seed_1"]
    assert found.run.tolist() == runs
    assert found[["both", "audio (zeros)", "video (addnoise)"]].notna().sum().min() == 1
    assert found.audio.notna().tolist() == [False, True]
    assert (found.constant == 0.5).all()
    assert (output / "table_folds.png").stat().st_size > 1000
    assert "both: " in told and "over 3 folds" in told
    assert "tested on speakers s0" in told
    folds = pd.read_csv(output / f"folds_{runs[0]}.csv")
    assert set(folds.fold) == {1, 2, 3} and set(folds.clips) == {4}
    with np.load(output / f"predictions_folds_{runs[0]}.npz") as stored:
        assert len(set(stored["ids"].tolist())) == 12
        chosen = stored["logits_both"].argmax(axis=1) == stored["labels"]
    both = folds[folds.given == "both"]
    assert np.average(both.accuracy, weights=both.clips) == pytest.approx(chosen.mean())


@pytest.mark.parametrize(
    "words, message",
    [
        (("--sample_size", 112), "--sample_size: expected 224"),
        (("--begin_epoch", 5), "goes on by itself"),
        (("--n_classes", 8), "there are 2 classes (calm, bored)"),
        (("--no_train", "--name", "none"), "no finished run none"),
        (("--fusion", "ia,it", "--name", "x"), "--name is of one run"),
        (("--fusion", "ix"), "--fusion ix: expected one of"),
    ],
)
def test_options_that_cannot_be_are_told(own, tmp_path, command, words, message):
    fixed = ("ravdess", "train", own, "--labels", ",".join(LABELS))
    result = command(main, *fixed, "--result_path", tmp_path, *words)
    assert result.code == 1 and message in result.err


def test_features_have_the_statistics_of_the_training_clips(table, own):
    output, _ = table
    record = json.loads((output / "run_ia_nodropout_1_seed_1_fold_1.json").read_text())
    stored = record["spec"]["normalisation"]["video"]
    schema = LabelSchema("own", LABELS, "single")
    data = read_prepared(own, schema, print, 12)
    split = fold_splits(data.clips, 3)[0]
    rows = (split == "train") & data.arrays.present["video"]
    mean = data.arrays.video[rows].mean(axis=(0, 1))
    np.testing.assert_allclose(stored["mean"], mean, rtol=1e-5)


def test_attention_is_written_and_drawn(table, own, command):
    output, _ = table
    name = "ia_nodropout_1_seed_1_fold_1"
    words = ("ravdess", "test", name, own, "--labels", ",".join(LABELS))
    words += ("--output", output, "--attention")
    result = command(main, *words, "c09", eagerly=True)
    assert result.code == 0, result.err
    (path,) = output.glob("attention_test_*.npz")
    with np.load(path) as stored:
        over = stored["audio_over_video"]
        assert over.shape == (4, 1, 150, 2)
        assert stored["video_over_audio"].shape == (4, 1, 2, 150)
        np.testing.assert_allclose(over.sum(axis=-1), 1, rtol=1e-5)
        assert stored["audio_seconds"].shape == (150,)
    assert len(list(output.glob("attention_*_c09.png"))) == 1
    result = command(main, *words, "nobody", eagerly=True)
    assert result.code == 1 and "no such clip in the split test" in result.err


def test_steps_have_the_times_of_what_they_saw():
    audio, video = step_seconds(150, 15)
    np.testing.assert_allclose(audio[[0, -1]].mean(), 1.8, atol=0.02)
    np.testing.assert_allclose(video[[0, 1]], [0.1, 0.3333], atol=0.02)
    assert step_seconds(144, 1)[1] == pytest.approx(1.8)


@pytest.mark.filterwarnings("error")
def test_a_single_step_can_be_drawn():
    figure = attention_figure(
        np.ones((5, 1)), np.full((1, 5), 0.2), np.arange(5.0), np.array([1.8]), "x"
    )
    figure.draw_without_rendering()


def test_parts_that_share_a_clip_are_refused():
    part = IncompleteScores(
        LabelSchema("own", LABELS, "single"),
        *("drawn", "test", ["a"], np.array([0]), np.array(["s"]), np.array([0])),
        {("both", ""): np.zeros((1, 2))},
        np.array([0]),
    )
    with pytest.raises(DataError, match="in two of the parts"):
        pooled([part, part], "folds")


def test_a_table_with_gaps_can_be_drawn():
    table = pd.DataFrame(
        {"run": ["x"], "data": ["d"], "both": [0.7], "audio (zeros)": [np.nan]}
    )
    table_figure(table, "t").draw_without_rendering()


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda p: np.save(p, np.zeros((3, 6))), r"expected features of shape"),
        (lambda p: np.save(p, np.full((2, 6), np.nan)), "expected finite numbers"),
        (lambda p: p.write_bytes(b"no array"), "cannot be read"),
    ],
)
def test_damaged_features_are_told(own, tmp_path, change, message):
    import shutil

    folder = shutil.copytree(own, tmp_path / "own")
    change(folder / "c05.npy")
    with pytest.raises(DataError, match=message):
        read_prepared(folder, LabelSchema("own", LABELS, "single"), print)
