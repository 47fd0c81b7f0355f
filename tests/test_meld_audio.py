"""The audio branch of MELD: vectors of sounds and of files, scaling, networks, runs."""

import argparse
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from emorec.artifacts.predictions import read_predictions
from emorec.artifacts.runs import RunFolder
from emorec.cli import meld_audio as cli
from emorec.cli.console import INCOMPLETE, OK, Parser, guarded
from emorec.corpora.meld import read_meld
from emorec.errors import DataError, SpecError
from emorec.features import librosa_means, pooled_mel
from emorec.features.sound_files import read_own
from emorec.files import read_json
from emorec.training.meld_audio import run, scaled, training_rows
from emorec.training.meld_audio_config import MeldAudioConfig
from emorec.training.meld_vectors import Vectors, file_vectors, sound_vectors
from emorec.training.scaling import Scaling
from tests.av_files import sine, write_sounding_video
from tests.small_meld import COUNTS, RATE, sound_path, write_small_meld, write_tables
from tests.video_files import picture

soundfile = pytest.importorskip("soundfile", reason="needs the extra 'voices'")
pytest.importorskip("librosa", reason="needs the extra 'voices'")

ALL = sum(COUNTS.values())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small MELD; to be copied, not changed."""
    return write_small_meld(tmp_path_factory.mktemp("meld"))


@pytest.fixture(scope="module")
def corpus(folder):
    return read_meld(folder)


@pytest.fixture(scope="module")
def cache(corpus, tmp_path_factory):
    """Features of librosa of the small MELD; to be copied, not changed."""
    cache = tmp_path_factory.mktemp("cache")
    sound_vectors(corpus, "librosa", cache, workers=1)
    return cache


@pytest.fixture(scope="module")
def vectors(corpus, cache):
    return sound_vectors(corpus, "librosa", cache, workers=1)


@pytest.fixture
def undrawn(monkeypatch):
    """Without figures, which take longer than these trainings."""
    monkeypatch.setattr("emorec.evaluation.figures.save", lambda figure, path: None)


@pytest.fixture
def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "meld")


def main(*words):
    """Run the command as ``emorec meld audio`` will; return the exit code."""
    parser = Parser(prog="emorec meld")
    cli.add_command(parser.add_subparsers(required=True))
    parsed = parser.parse_args(["audio", *map(str, words)])
    assert isinstance(parsed, argparse.Namespace)
    return guarded(lambda: parsed.run(parsed))


def a_run(corpus, vectors, folder, *lines, **settings):
    config = MeldAudioConfig(**settings)
    name = config.name(vectors.name)
    said = []
    table = run(config, corpus, vectors, RunFolder(folder, name), said.append)
    return name, table, said


def test_the_four_blocks_lie_where_they_are_published():
    names = librosa_means.NAMES
    assert len(names) == 185
    single = ("rms", "centroid", "bandwidth", "rolloff", "zero_crossings")
    assert names[0:5] == single
    assert {name[:4] for name in names[5:45]} == {"mfcc"}
    assert {name[:6] for name in names[45:57]} == {"chroma"}
    assert {name[:3] for name in names[57:185]} == {"mel"}


def test_features_are_in_the_order_of_the_corpus_and_made_once(folder, corpus, vectors):
    assert vectors.values.shape == (ALL, 185) and vectors.there.all()
    assert vectors.made == 0 and not len(vectors.failures)
    row = corpus.ids.index("dev/dia2_utt1")
    alone = librosa_means.means_of_file(sound_path(folder, "dev", 7))
    np.testing.assert_array_equal(vectors.values[row], alone)


def test_an_interrupted_extraction_goes_on(corpus, tmp_path, monkeypatch):
    real, heard = librosa_means.means_of_file, []

    def until(last):
        def means(path):
            if len(heard) == last:
                raise KeyboardInterrupt
            heard.append(path)
            return real(path)

        return means

    monkeypatch.setattr(librosa_means, "means_of_file", until(10))
    with pytest.raises(KeyboardInterrupt):
        sound_vectors(corpus, "librosa", tmp_path, workers=1)
    monkeypatch.setattr(librosa_means, "means_of_file", until(ALL))
    found = sound_vectors(corpus, "librosa", tmp_path, workers=1)
    assert found.made == ALL - 10 and found.there.all()
    assert len(set(heard)) == len(heard) == ALL


def test_what_has_no_sound_is_a_row_and_tried_again(copied, cache, tmp_path):
    cache = shutil.copytree(cache, tmp_path / "cache")
    broken, silent = sound_path(copied, "train", 0), sound_path(copied, "dev", 1)
    sound_path(copied, "test", 2).unlink()
    broken.write_bytes(b"no sound at all")
    soundfile.write(silent, np.zeros(4000), RATE)
    corpus = read_meld(copied)
    found = sound_vectors(corpus, "librosa", cache, workers=1)
    reasons = dict(found.failures.to_numpy())
    ids = {"train/dia0_utt0", "dev/dia0_utt1", "test/dia0_utt2"}
    assert set(reasons) == ids
    assert "cannot be read as a sound" in reasons["train/dia0_utt0"]
    assert "silent" in reasons["dev/dia0_utt1"]
    assert reasons["test/dia0_utt2"] == "no sound and no video of it in the folder"
    there = {corpus.ids[row] for row in np.flatnonzero(found.there)}
    assert there == set(corpus.ids) - ids
    soundfile.write(broken, 0.1 * sine(300, RATE, 0.4), RATE)
    again = sound_vectors(corpus, "librosa", cache, workers=1)
    assert again.made == 1 and len(again.failures) == 2


def test_a_cache_of_other_features_is_refused(corpus, cache, tmp_path):
    cache = shutil.copytree(cache, tmp_path / "cache")
    (cache / "librosa").rename(cache / "logmel")
    with pytest.raises(SpecError, match="something else made"):
        sound_vectors(corpus, "logmel", cache, workers=1)
    with pytest.raises(SpecError, match="expected one of librosa, logmel"):
        sound_vectors(corpus, "mfcc", cache)


def test_the_sound_of_a_video_is_that_of_its_file(tmp_path):
    wave = sine(500, 16_000, 1.0)
    video = tmp_path / "a.mkv"
    write_sounding_video(video, [picture((20, 20))] * 25, wave, codec="pcm_s16le")
    soundfile.write(tmp_path / "a.wav", wave, 16_000)
    samples, rate = read_own(video)
    assert rate == 16_000 and abs(len(samples) - len(wave)) < 1600
    for of_file in (librosa_means.means_of_file, pooled_mel.pooled_of_file):
        sound, shown = of_file(tmp_path / "a.wav"), of_file(video)
        np.testing.assert_allclose(sound, shown, rtol=0.1, atol=0.3)


def test_pooled_bands_rise_where_the_tone_is():
    low, high = (pooled_mel.pooled(sine(f, 16_000, 0.5)) for f in (300, 3000))
    assert low.shape == (128,) == (len(pooled_mel.NAMES),) and low.dtype == np.float32
    assert low[:64].argmax() < high[:64].argmax()
    # A tone does not change, so its band has no deviation; a growing one has.
    grown = pooled_mel.pooled(sine(300, 16_000, 0.5) * np.linspace(0.01, 1, 8000))
    band = low[:64].argmax()
    assert grown[64 + band] > low[64 + band] + 0.5
    for samples, message in ((np.zeros(800), "silent"), (np.ones(9), "at least 400")):
        with pytest.raises(DataError, match=message):
            pooled_mel.pooled(samples)


def test_scaling_is_that_of_training_rows_alone():
    random = np.random.default_rng(0)
    train, other = random.normal(size=(20, 3)), random.normal(size=(5, 3))
    scaling = Scaling.fit(train)
    assert scaling(train).min() == 0 and scaling(train).max() == 1
    wide = scaling(10 * other)  # nothing is cut off
    assert wide.min() < 0 and wide.max() > 1
    standard = Scaling.fit(train, "standard")(train)
    np.testing.assert_allclose(standard.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(standard.std(axis=0), 1, rtol=1e-6)
    same = Scaling.fit(train, "none")(train)
    np.testing.assert_array_equal(same, train.astype(np.float32))


@pytest.mark.parametrize("kind", ["min_max", "standard"])
@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_a_constant_column_becomes_zero(kind, value):
    rows = np.stack([np.full(7, value), np.arange(7)], axis=1)
    found = Scaling.fit(rows, kind)(rows)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[:, 0], 0)
    with pytest.raises(DataError, match="finite rows"):
        Scaling.fit(rows * np.nan, kind)


def test_dev_and_test_change_nothing_of_training(corpus, vectors):
    config = MeldAudioConfig()
    rows = training_rows(corpus, vectors, "all")
    train, dev = corpus.rows("train"), corpus.rows("dev")
    other = vectors.values.copy()
    other[dev] = 1000 * other[dev] - 7
    other[corpus.rows("test")] = np.nan
    inputs, told = scaled(corpus, vectors, rows, config)
    changed, same = scaled(corpus, replace(vectors, values=other), rows, config)
    np.testing.assert_array_equal(inputs[train], changed[train])
    assert told == same and told["kind"] == "min_max"
    assert not np.array_equal(inputs[dev], changed[dev])


def test_literal_scaling_is_that_of_each_split(corpus, vectors):
    rows = training_rows(corpus, vectors, "all")
    config = MeldAudioConfig(literal_scaling=True)
    inputs, _ = scaled(corpus, vectors, rows, config)
    for split in COUNTS:
        own = vectors.values[corpus.rows(split)].astype(float)
        low, high = own.min(axis=0), own.max(axis=0)
        # Columns above the sounds' rate are empty and so constant.
        varies = high > low
        expected = (own - low)[:, varies] / (high - low)[varies]
        found = inputs[corpus.rows(split)]
        np.testing.assert_allclose(found[:, varies], expected, atol=1e-6)
        np.testing.assert_array_equal(found[:, ~varies], 0)


def test_networks_have_the_published_sizes():
    from emorec.models import meld_audio

    model = meld_audio.mlp()
    assert model.count_params() == 66_929
    sizes = [layer.count_params() for layer in model.layers if layer.weights]
    assert sizes == [34_410, 23_808, 8_256, 455]
    assert [layer.rate for layer in model.layers if hasattr(layer, "rate")] == [
        *(0.5, 0.5, 0.25)
    ]
    assert meld_audio.linear().count_params() == 185 * 7 + 7
    with pytest.raises(SpecError, match="expected one of linear, mlp"):
        meld_audio.network("lstm", 185, 7)


def test_fewer_neutral_leave_only_neutral_out(corpus, vectors):
    neutral = corpus.schema.index("neutral")
    rows = training_rows(corpus, vectors, "all")
    assert len(rows) == COUNTS["train"]
    # A third each: joy asks for as many neutral ones as there are anyway.
    assert len(training_rows(corpus, vectors, "joy")) == COUNTS["train"]
    for how in ("ordered", "random"):
        fewer = training_rows(corpus, vectors, how)
        gone = np.setdiff1d(rows, fewer)
        assert len(gone) and (corpus.classes[gone] == neutral).all()


def test_logistic_regression_is_that_of_scikit_learn():
    from emorec.batches.vectors import predict
    from emorec.evaluation.single_label import softmax
    from emorec.models.meld_audio import linear
    from emorec.training.meld_logistic import fit_logistic

    random = np.random.default_rng(0)
    for classes in ((1, 3, 6), (2, 4)):
        y = random.choice(classes, 90)
        x = random.normal(size=(90, 4)) + y[:, None] * [1, -1, 0, 0]
        model = linear(4, 7)
        told = fit_logistic(model, x[:60], y[:60], x[60:], y[60:])
        found = softmax(predict(model, x))
        reference = LogisticRegression(C=told["C"], max_iter=2000).fit(x[:60], y[:60])
        np.testing.assert_allclose(
            found[:, list(classes)], reference.predict_proba(x), atol=1e-4
        )
        np.testing.assert_allclose(found.sum(axis=1), 1)
    with pytest.raises(DataError, match="two classes"):
        fit_logistic(linear(4, 7), x, np.ones(90, int), x, y)


@pytest.mark.parametrize("model", ["mlp", "linear", "logistic"])
def test_tones_that_tell_emotions_are_learnt(corpus, vectors, tmp_path, undrawn, model):
    short = {"num_epochs": 15, "learning_rate": 3e-3 if model == "mlp" else 0.1}
    name, table, _ = a_run(corpus, vectors, tmp_path, model=model, **short)
    table = table.set_index(["split", "predictor"])["weighted_f1"]
    assert table["dev", "model"] > 0.8 and table["test", "model"] > 0.8
    assert table["test", "constant"] < 0.3
    assert (tmp_path / f"card_{name}.md").is_file()
    found = read_predictions(tmp_path / f"predictions_test_{name}.npz")
    rows = corpus.rows("test")
    assert found.ids == [corpus.ids[row] for row in rows]
    assert found.schema == corpus.schema and found.dataset == corpus.dataset
    np.testing.assert_array_equal(found.true, corpus.classes[rows])
    np.testing.assert_array_equal(found.groups, corpus.dialogues[rows])


def test_the_kept_epoch_is_the_best_on_dev_or_literally_the_last(
    corpus, vectors, tmp_path, undrawn
):
    kept = {}
    for literal in (False, True):
        name, _, said = a_run(
            *(corpus, vectors, tmp_path),
            literal=literal,
            num_epochs=8,
            model="linear",
            learning_rate=0.1,
        )
        history = pd.read_csv(tmp_path / f"history_{name}.csv")
        record = read_json(tmp_path / f"run_{name}.json")
        kept[literal] = record["training"]["best_epoch"]
        assert record["training"]["epochs"] == len(history) == 8
        best = 1 + int(history["val_weighted_f1"].argmax())
        assert kept[literal] == (8 if literal else best)
        assert f"Kept epoch {kept[literal]} of 8" in "\n".join(said)
        found = read_predictions(tmp_path / f"predictions_dev_{name}.npz")
        accuracy = (found.chosen == found.true).mean()
        assert accuracy == pytest.approx(history["val_acc"][kept[literal] - 1])
    assert kept[False] < 8


def test_training_ends_when_the_loss_on_dev_no_longer_falls(corpus, tmp_path, undrawn):
    # Labels of dev that contradict those of train: the loss on dev only grows.
    one_hot = np.eye(7, dtype=np.float32)[corpus.classes]
    values = one_hot.copy()
    dev = corpus.rows("dev")
    values[dev] = np.roll(values[dev], 1, axis=0)
    none = pd.DataFrame({"id": [], "reason": []})
    vectors = Vectors("made", values, none)
    name, _, _ = a_run(
        *(corpus, vectors, tmp_path),
        model="linear",
        patience=2,
        learning_rate=0.05,
        scaling="none",
    )
    history = pd.read_csv(tmp_path / f"history_{name}.csv")
    assert len(history) == 1 + history["val_loss"].argmin() + 2 < 100


def test_a_finished_run_is_not_repeated_and_another_not_overwritten(
    corpus, vectors, tmp_path
):
    settings = {"model": "linear", "num_epochs": 2}
    name, first, _ = a_run(corpus, vectors, tmp_path, **settings)
    before = (tmp_path / f"model_{name}.keras").stat().st_mtime_ns
    _, again, said = a_run(corpus, vectors, tmp_path, **settings)
    assert "trained before" in said[0] and not any("epoch" in line for line in said)
    assert (tmp_path / f"model_{name}.keras").stat().st_mtime_ns == before
    pd.testing.assert_frame_equal(first, again)
    assert len(pd.read_csv(tmp_path / "results.csv")) == 4
    with pytest.raises(SpecError, match=r"num_epochs: 2 before, 3 now(.|\n)*--name"):
        a_run(corpus, vectors, tmp_path, model="linear", num_epochs=3)
    other = replace(vectors, values=2 * vectors.values)
    with pytest.raises(SpecError, match="other settings"):
        a_run(corpus, other, tmp_path, **settings)


def test_an_interrupted_training_ends_as_an_uninterrupted_one(
    corpus, vectors, tmp_path, undrawn, monkeypatch
):
    from emorec.training.fit import Progress

    settings = {"num_epochs": 3}
    name, whole, _ = a_run(corpus, vectors, tmp_path / "whole", **settings)
    real = Progress.on_epoch_end

    def stop(self, epoch, logs=None):
        real(self, epoch, logs)
        if epoch == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "on_epoch_end", stop)
    with pytest.raises(KeyboardInterrupt):
        a_run(corpus, vectors, tmp_path / "halved", **settings)
    monkeypatch.setattr(Progress, "on_epoch_end", real)
    _, halved, said = a_run(corpus, vectors, tmp_path / "halved", **settings)
    assert any("Going on after epoch 1" in line for line in said)
    pd.testing.assert_frame_equal(whole, halved)
    one, two = (
        read_predictions(tmp_path / part / f"predictions_test_{name}.npz").scores
        for part in ("whole", "halved")
    )
    np.testing.assert_array_equal(one, two)


def test_settings_that_cannot_be_are_refused():
    for wrong, message in (
        ({"model": "svm"}, "--model svm: expected one of linear"),
        ({"batch_size": 0}, "--batch_size 0"),
        ({"scaling": "log"}, "--scaling log"),
        ({"literal": True, "model": "logistic"}, "has no epochs"),
    ):
        with pytest.raises(SpecError, match=message):
            MeldAudioConfig(**wrong)


def test_vectors_of_files_are_found_by_their_ids(corpus, tmp_path):
    random = np.random.default_rng(0)
    values = random.normal(size=(ALL, 5)).astype(np.float32)
    order = random.permutation(ALL)[: ALL - 2]
    ids = np.array(corpus.ids)[order]
    np.savez(tmp_path / "all.npz", ids=ids, embeddings=values[order])
    found = file_vectors(corpus, [tmp_path / "all.npz"])
    np.testing.assert_array_equal(found.values[order], values[order])
    assert found.name == "all" and found.there.sum() == ALL - 2
    missing = set(corpus.ids) - set(ids.tolist())
    assert set(found.failures["id"]) == missing
    assert found.failures["reason"].str.contains("not in").all()


def test_files_of_one_split_each_are_told_by_their_names(corpus, tmp_path):
    values = np.arange(ALL * 2, dtype=np.float32).reshape(ALL, 2)
    paths = []
    for split in ("train", "dev"):
        rows = corpus.rows(split)
        paths.append(tmp_path / f"{split}_vectors.npz")
        np.savez(
            paths[-1],
            wav=values[rows],
            dialogue=[int(corpus.dialogues[row].split("dia")[1]) for row in rows],
            utterance=corpus.numbers[rows],
            emotion=np.array(["joy"] * len(rows)),
        )
    found = file_vectors(corpus, paths, "wav")
    assert found.name == "train_vectors_dev_vectors_wav"
    for split in ("train", "dev"):
        rows = corpus.rows(split)
        np.testing.assert_array_equal(found.values[rows], values[rows])
    assert not found.there[corpus.rows("test")].any()
    # A split for each row, in a file whose name says nothing.
    with np.load(paths[1]) as content:
        rows = dict(content) | {"split": np.array(["dev"] * COUNTS["dev"])}
    np.savez(tmp_path / "x.npz", **rows)
    again = file_vectors(corpus, [tmp_path / "x.npz"], "wav")
    assert again.there.sum() == COUNTS["dev"]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"ids": np.array(["train/dia9_utt99"] * 4)}, "4 of 4 utterances are not in"),
        ({"ids": np.array(["train/dia0_utt0"] * 4)}, "stand twice: train/dia0_utt0"),
        ({"ids": np.array(["dia0_utt0"] * 4)}, "of which split"),
        ({"ids": np.array(["train/dia0_utt0"])}, "one entry a row"),
        ({"embeddings": np.full((4, 3), np.nan)}, "not finite"),
        ({"embeddings": np.zeros(4)}, r"vectors \(m, D\)"),
        ({"embeddings": np.array(["a"] * 4).reshape(4, 1)}, "not finite numbers"),
        ({"embeddings": None}, "no array 'embeddings'.*--array"),
        ({"ids": None}, "missing: dialogue, utterance"),
    ],
    ids=str,
)
def test_files_that_do_not_fit_are_refused(corpus, tmp_path, change, message):
    content = {"ids": np.array(corpus.ids[:4]), "embeddings": np.zeros((4, 3))} | change
    path = tmp_path / "vectors.npz"
    np.savez(path, **{k: v for k, v in content.items() if v is not None})
    with pytest.raises(DataError, match=message):
        file_vectors(corpus, [path])


def test_no_file_a_damaged_one_and_two_widths_are_refused(corpus, tmp_path):
    path = tmp_path / "vectors.npz"
    with pytest.raises(DataError, match="no such file"):
        file_vectors(corpus, [path])
    path.write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(DataError, match=r"vectors\.npz: expected an \.npz"):
        file_vectors(corpus, [path])
    for number, width in enumerate((3, 4)):
        part = {"ids": corpus.ids[number : number + 1]}
        np.savez(tmp_path / f"{number}.npz", embeddings=np.zeros((1, width)), **part)
    with pytest.raises(DataError, match="4 columns, the files before it have 3"):
        file_vectors(corpus, [tmp_path / "0.npz", tmp_path / "1.npz"])


def test_without_train_or_dev_the_reason_is_told(corpus, vectors):
    values = vectors.values.copy()
    values[corpus.rows("dev")] = np.nan
    rows = [(corpus.ids[row], "lost") for row in corpus.rows("dev")]
    failures = pd.DataFrame(rows, columns=["id", "reason"])
    with pytest.raises(DataError, match=r"No utterance of dev .*The first: lost"):
        training_rows(corpus, Vectors("x", values, failures), "all")


def test_the_real_wav2vec2_vectors_of_dev_are_read(corpora_dir):
    corpus = read_meld(corpora_dir / "meld")
    path = corpora_dir / "meld" / "dev_embeddings.npz"
    found = file_vectors(corpus, [path], "audio_wav2vec2")
    dev = corpus.rows("dev")
    assert found.values.shape == (13_708, 768) and found.there.sum() == 1108
    gone = dev[~found.there[dev]]
    assert [corpus.ids[row] for row in gone] == ["dev/dia110_utt7"]
    with np.load(path) as content:
        names = np.array(corpus.schema.labels)[corpus.classes[dev[found.there[dev]]]]
        np.testing.assert_array_equal(names, content["emotion"])
    with pytest.raises(DataError, match="No utterance of train has data"):
        training_rows(corpus, found, "all")


def test_the_command_trains_and_an_utterance_without_sound_has_no_prediction(
    copied, cache, tmp_path, capsys
):
    sound_path(copied, "test", 4).unlink()
    cache = shutil.copytree(cache, tmp_path / "cache")
    words = [copied, "--cache", cache, "--output", tmp_path / "out", "--workers", 1]
    words += ["--num-epochs", 3, "--neutral", "joy", "--name", "quick"]
    assert main(*words) == INCOMPLETE
    out = capsys.readouterr().out
    assert "59 of 60 utterances have a vector of 185; 0 computed now" in out
    assert "1 without a prediction" in out and "Kept epoch" in out
    found = read_predictions(tmp_path / "out" / "predictions_test_quick.npz")
    assert len(found) == COUNTS["test"] - 1 and "test/dia1_utt1" not in found.ids
    failures = pd.read_csv(tmp_path / "out" / "failures_quick.csv")
    assert failures["id"].tolist() == ["test/dia1_utt1"]
    results = pd.read_csv(tmp_path / "out" / "results.csv")
    assert set(results["split"]) == {"dev", "test"} and set(results["model"]) == {
        "quick"
    }


def test_the_command_takes_vectors_of_files(corpus, folder, tmp_path, capsys):
    values = np.eye(7)[corpus.classes]
    np.savez(tmp_path / "made.npz", ids=corpus.ids, v=values)
    words = [folder, "--features", tmp_path / "made.npz", "--array", "v"]
    words += ["--model", "logistic", "--output", tmp_path]
    assert main(*words) == OK
    out = capsys.readouterr().out
    assert "Penalty 1/C with C =" in out
    found = read_predictions(
        tmp_path / "predictions_test_audio_logistic_made_v_all_s_0.npz"
    )
    np.testing.assert_array_equal(found.chosen, found.true)
    assert main(folder, "--features", "wav2vec2") == 1
    assert "expected librosa or logmel, or .npz" in capsys.readouterr().err


def test_words_alone_have_no_sound(tmp_path, capsys):
    assert main(write_tables(tmp_path), "--output", tmp_path / "out") == 1
    assert "holds neither sounds nor videos" in capsys.readouterr().err
