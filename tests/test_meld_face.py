"""The face branch of MELD: whose face, its landmarks, the network, runs."""

import pickle
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from emorec.artifacts.landmarks import Landmarks, read_landmarks, write_landmarks
from emorec.artifacts.predictions import read_predictions
from emorec.artifacts.runs import RunFolder
from emorec.cli import meld_face as cli
from emorec.cli.console import INCOMPLETE, OK, Parser, guarded
from emorec.corpora.meld import read_meld
from emorec.errors import DataError, MissingExtraError, SpecError
from emorec.features import landmarks as features
from emorec.features.landmarks import (
    TEMPLATE,
    SpeakerSettings,
    align,
    dlib_landmarker,
    speaker_landmarks,
)
from emorec.files import read_json
from emorec.training.meld_face import joined, run, shapes
from emorec.training.meld_face_config import LITERAL, MeldFaceConfig
from emorec.training.meld_landmarks import (
    Tools,
    keras_embedder,
    make_landmarks,
    read_references,
)
from tests.harness import run_on_jax
from tests.small_meld import COUNTS, write_tables
from tests.video_files import Finder, picture, write_video

ALL = sum(COUNTS.values())


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return read_meld(write_tables(tmp_path_factory.mktemp("meld")))


def a_face(random, scale=50.0, where=(200.0, 100.0)):
    """Return points that look like nothing but lie about a place."""
    return random.normal(size=(68, 2)) * scale + where


def faces_of(corpus, longest=3, seed=0):
    """Return landmarks in which the mouth is as open as the emotion's number."""
    random = np.random.default_rng(seed)
    rest = a_face(random)
    clips = []
    for number in corpus.classes:
        frames = rest + random.normal(0, 1, (random.integers(3, longest + 1), 68, 2))
        frames[:, 48:] += 40 * (number - 3)
        clips.append(frames + random.normal(0, 300, 2))
    return Landmarks.of(corpus.ids, clips)


def a_run(corpus, found, folder, config):
    said = []
    table = run(config, corpus, found, RunFolder(folder, config.name), said.append)
    return table, said


def main(*words):
    """Run the command as ``emorec meld ...`` will; return the exit code."""
    parser = Parser(prog="emorec meld")
    cli.add_command(parser.add_subparsers(required=True))
    parsed = parser.parse_args([str(word) for word in words])
    return guarded(lambda: parsed.run(parsed))


def test_where_a_face_is_and_how_large_does_not_matter():
    points = np.stack([a_face(np.random.default_rng(n)) for n in range(4)])
    found = shapes(points)
    assert found.shape == (4, 136) and found.dtype == np.float32
    np.testing.assert_array_equal(found[:, :2], 0)
    moved = points * [[[2.0]], [[0.5]], [[1.0]], [[3.0]]] + [7, -90]
    np.testing.assert_allclose(shapes(moved), found, atol=1e-5)
    literal = shapes(points, size=False)
    np.testing.assert_allclose(
        literal.reshape(4, 68, 2), points - points[:, :1], rtol=1e-5
    )
    np.testing.assert_allclose(shapes(2 * points, size=False), 2 * literal, rtol=1e-5)
    with pytest.raises(DataError, match="frame 1 are all one point"):
        shapes(points * [[[1]], [[0]], [[1]], [[1]]])


def test_the_network_has_the_published_size_and_padding_changes_nothing():
    from emorec.models.landmark_lstm import landmark_lstm

    random = np.random.default_rng(0)
    outputs = {}
    for pool in ("last", "mean"):
        model = landmark_lstm(pool=pool, jit_compile=False)
        assert model.count_params() == 667_399
        assert model.get_layer("over_time").output.shape[-1] == 256
        model.set_weights([random.normal(0, 0.1, w.shape) for w in model.get_weights()])
        x = random.normal(size=(2, 5, 136)).astype(np.float32)
        mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], bool)
        known = np.asarray(model({"features": x, "mask": mask}))
        padded = np.pad(x, ((0, 0), (0, 4), (0, 0)), constant_values=9.0)
        padded[0, 3:] = -50
        longer = np.pad(mask, ((0, 0), (0, 4)))
        found = np.asarray(model({"features": padded, "mask": longer}))
        np.testing.assert_allclose(found, known, atol=1e-5)
        # Alone and unpadded it is the same, too.
        alone = {"features": x[:1, :3], "mask": mask[:1, :3]}
        np.testing.assert_allclose(np.asarray(model(alone)), known[:1], atol=1e-5)
        outputs[pool] = known
    assert not np.allclose(outputs["last"], outputs["mean"], atol=1e-2)


def test_of_the_last_step_the_backward_half_saw_that_step_only():
    import keras

    from emorec.models.landmark_lstm import landmark_lstm

    model = landmark_lstm(jit_compile=False)
    last = keras.Model(model.inputs, model.get_layer("over_time").output)
    inner = keras.Model(model.inputs, model.get_layer("dropout").output)
    x = np.random.default_rng(0).normal(size=(1, 6, 136)).astype(np.float32)
    mask = np.ones((1, 6), bool)
    found = np.asarray(last({"features": x, "mask": mask}))[0]
    between = np.asarray(inner({"features": x, "mask": mask}))[0]
    second = model.get_layer("bidirectional_2")
    one_step = np.asarray(second.backward_layer(between[None, 5:]))[0, -1]
    np.testing.assert_allclose(found[128:], one_step, atol=1e-5)
    all_steps = np.asarray(second.forward_layer(between[None]))[0, -1]
    np.testing.assert_allclose(found[:128], all_steps, atol=1e-5)


def test_decay_is_part_of_the_gradient_behind_the_clipping():
    import keras

    from emorec.training.optimizers import DecayedAdam

    start, gradient = np.array([2.0, -1.0], "f"), np.array([3.0, 4.0], "f")
    expected = 0.25 / 5 * gradient + 0.1 * start
    found = {}
    for name, optimizer, pull in (
        ("own", DecayedAdam(0.01, 0.1, global_clipnorm=0.25), gradient),
        ("plain", keras.optimizers.Adam(0.01), expected),
    ):
        variable = keras.Variable(start)
        optimizer.build([variable])
        for _ in range(2):
            grown = pull
            if name == "plain":
                grown = 0.25 / 5 * gradient + 0.1 * np.asarray(variable)
            optimizer.apply([keras.ops.convert_to_tensor(grown)], [variable])
        found[name] = np.asarray(variable)
    np.testing.assert_allclose(found["own"], found["plain"], rtol=1e-5)
    copy = DecayedAdam.from_config(DecayedAdam(0.01, 0.1).get_config())
    assert copy.decay == 0.1


def test_landmarks_are_learnt_and_clips_without_have_no_prediction(corpus, tmp_path):
    found = faces_of(corpus)
    keep = [n for n, name in enumerate(found.ids) if name != "test/dia1_utt0"]
    fewer = Landmarks.of([found.ids[n] for n in keep], [found.clip(n) for n in keep])
    config = MeldFaceConfig(
        batch_size=12, num_epochs=6, learning_rate=5e-3, clip=1.0, jit="off"
    )
    table, said = a_run(corpus, fewer, tmp_path, config)
    scores = table.set_index(["split", "predictor"])["weighted_f1"]
    assert scores["test", "model"] > 0.8 > scores["test", "constant"]
    part = read_predictions(tmp_path / "predictions_test_face_last_s_0.npz")
    assert len(part) == COUNTS["test"] - 1 and "test/dia1_utt0" not in part.ids
    failures = pd.read_csv(tmp_path / "failures_face_last_s_0.csv")
    assert failures["id"].tolist() == ["test/dia1_utt0"]
    assert "667,399 parameters" in said[0]
    # Again: nothing is trained, and the table is the same.
    again, said = a_run(corpus, fewer, tmp_path, config)
    assert "trained before" in said[0]
    pd.testing.assert_frame_equal(table, again)
    from emorec.training.backend import load_keras_model

    model = load_keras_model(tmp_path / "model_face_last_s_0.keras")
    assert model.name == "landmark_lstm"


def test_the_literal_training_is_the_published_one():
    assert (
        MeldFaceConfig(
            pool="last",
            size=False,
            literal=True,
            batch_size=1,
            num_epochs=5,
            patience=5,
            learning_rate=0.005,
            weight_decay=1e-4,
            clip=0.25,
            seed=0,
        )
        == LITERAL
    )
    with pytest.raises(SpecError, match="--pool max: expected one of last, mean"):
        MeldFaceConfig(pool="max")
    with pytest.raises(SpecError, match="--clip 0"):
        MeldFaceConfig(clip=0)


def test_landmarks_come_back_from_their_file(corpus, tmp_path):
    found = faces_of(corpus)
    write_landmarks(tmp_path / "a.npz", found)
    back = read_landmarks(tmp_path / "a.npz")
    assert back.ids == found.ids and back.split is None
    np.testing.assert_array_equal(back.points, found.points)
    np.testing.assert_array_equal(back.offsets, found.offsets)
    assert len(back) == ALL and back.clip(2).shape[1:] == (68, 2)


def compact(corpus, names=("train", "dev", "test")):
    """Return what the notebooks pickled: clips of train, split in their own way."""
    random = np.random.default_rng(0)
    train = corpus.rows("train")
    parts = dict(zip(names, np.split(train, [24, 30]), strict=True))
    one_hot = np.eye(7, dtype=int)[corpus.classes]
    return {
        "X": {
            split: [random.integers(0, 500, (4, 68, 2)) for _ in rows]
            for split, rows in parts.items()
        },
        "y": {split: [one_hot[row] for row in rows] for split, rows in parts.items()},
        "original_diautt": {
            split: [corpus.ids[row].removeprefix("train/") for row in rows]
            for split, rows in parts.items()
        },
    }


def test_the_notebooks_file_brings_its_own_split(corpus, tmp_path):
    content = compact(corpus)
    path = tmp_path / "compact-visual.pkl"
    path.write_bytes(pickle.dumps(content))
    found = read_landmarks(path)
    own = joined(corpus, found)
    assert len(own) == COUNTS["train"] and own.dataset != corpus.dataset
    assert [len(own.rows(split)) for split in ("train", "dev", "test")] == [24, 6, 6]
    assert own.ids[:2] == ["train/dia0_utt0", "train/dia0_utt1"]
    np.testing.assert_array_equal(own.classes, found.classes)
    np.testing.assert_array_equal(found.clip(30), content["X"]["test"][0])
    # Without a split in the file the corpus keeps its own.
    assert joined(corpus, faces_of(corpus)) is corpus
    wrong = replace(found, classes=np.roll(found.classes, 1))
    with pytest.raises(DataError, match="have other emotions than in"):
        joined(corpus, wrong)
    strange = replace(found, ids=[f"{name}9" for name in found.ids])
    with pytest.raises(DataError, match="36 utterances that are not in"):
        joined(corpus, strange)


class Trap:
    def __reduce__(self):
        return print, ("code ran",)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"X": Trap()}, "forbidden global"),
        ({"X": {"train": [np.zeros((2, 60, 2))]}}, r"expected \(frames, 68, 2\)|clips"),
        ({"y": {"train": [np.ones(7)]}}, "clips|not one of seven"),
        ({"y": None}, "X, y and original_diautt"),
    ],
    ids=["code", "points", "labels", "nothing"],
)
def test_other_pickles_are_refused(corpus, tmp_path, capsys, change, message):
    content = compact(corpus)
    content = {key: {"train": content[key]["train"][:1]} for key in content} | change
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match=message):
        read_landmarks(path)
    path.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(DataError, match="expected a dictionary with X, y"):
        read_landmarks(path)
    assert not capsys.readouterr().out


def test_landmarks_that_do_not_fit_together_are_refused(corpus):
    found = faces_of(corpus)
    for change, message in (
        ({"offsets": found.offsets[:-1]}, "offsets of 60 clips"),
        ({"offsets": np.r_[0, 0, found.offsets[2:]]}, "one frame or more"),
        ({"points": found.points[:, :67]}, r"expected points \(frames, 68, 2\)"),
        ({"ids": [found.ids[0], *found.ids[:-1]]}, "stand twice: train/dia0_utt0"),
        ({"split": np.array(["train"])}, "split has 1 entries"),
    ):
        with pytest.raises(DataError, match=message):
            replace(found, **change)
    broken = found.points.copy()
    broken[found.offsets[7]] = np.nan
    with pytest.raises(DataError, match=f"not finite, the first of {found.ids[7]}"):
        replace(found, points=broken)


def box_points(image, box):
    """Return 68 points of a face: evenly over its box, the first at its corner."""
    x1, y1, x2, y2 = box[:4]
    steps = np.linspace(0, 1, 68)
    return np.stack([x1 + (x2 - x1) * steps, y1 + (y2 - y1) * steps], axis=1)


def two_faces(count=6):
    """Frames of a small still face on the left, and a brighter one on the right."""
    frames = []
    for k in range(count):
        image = picture((10, 40), level=180)
        image[30:80, 90:140] = 240
        frames.append((k / 25, image))
    return frames


def brightness(aligned):
    """Return (n, 2) vectors: which way a face's brightness points."""
    level = aligned.mean(axis=(1, 2, 3))
    angle = np.clip((level - 0.7) / 0.25, 0, 1) * np.pi / 2
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def test_the_largest_face_is_taken_without_references():
    settings = SpeakerSettings(detect_every=1)
    points = speaker_landmarks(two_faces(), Finder(), box_points, settings)
    assert points.shape == (6, 68, 2) and points.dtype == np.float32
    np.testing.assert_array_equal(points[0, 0], [90, 30])
    with pytest.raises(DataError, match="No frame shows a face"):
        grey = [(0.0, picture())]
        speaker_landmarks(grey, Finder(), box_points, settings)


def test_the_speaker_is_the_face_nearest_to_the_reference(monkeypatch):
    def cut(image, points):
        x1, y1, x2, y2 = (*points[0].astype(int), *points[-1].astype(int))
        return np.full((112, 112, 3), image[y1 + 5 : y2 - 5, x1 + 5 : x2 - 5].mean())

    monkeypatch.setattr(features, "align", cut)
    settings = SpeakerSettings(detect_every=1, angle=0.3)
    for reference, corner in (([1.0, 0.0], [10, 40]), ([0.0, 5.0], [90, 30])):
        points = speaker_landmarks(
            *(two_faces(), Finder(), box_points, settings),
            brightness,
            np.array(reference),
        )
        np.testing.assert_allclose(points[:, 0], [corner] * 6)
    # Nobody is near; then no frame is kept.
    with pytest.raises(DataError, match="No frame shows the speaker's face"):
        away = np.array([-1.0, 0.0])
        speaker_landmarks(two_faces(), Finder(), box_points, settings, brightness, away)
    with pytest.raises(SpecError, match="references have 3 numbers"):
        speaker_landmarks(
            two_faces(), Finder(), box_points, settings, brightness, np.ones(3)
        )


def test_an_aligned_face_has_its_points_where_they_belong():
    # Spots at the five points of a face that is turned, enlarged and moved.
    turn = np.deg2rad(25)
    matrix = 2 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    spots = TEMPLATE @ matrix.T + [140, 60]
    image = np.zeros((420, 420, 3), np.uint8)
    for x, y in spots:
        image[round(y) - 4 : round(y) + 5, round(x) - 4 : round(x) + 5] = 255
    points = np.zeros((68, 2))
    points[36:42], points[42:48] = spots[0], spots[1]
    points[30], points[48], points[54] = spots[2:]
    found = align(image, points)
    assert found.shape == (112, 112, 3)
    for x, y in TEMPLATE:
        assert found[round(y), round(x)].min() > 200
    # A corner of 9 x 9 pixels of the image is a quarter as large here.
    assert 5 * 10 < (found[..., 0] > 128).sum() < 5 * 32


def test_the_predictor_gets_a_square_and_its_points_come_back(tmp_path, monkeypatch):
    asked = []

    def shape_predictor(name):
        name = name.rsplit("/")[-1]
        if "broken" in name:
            raise RuntimeError("bad file")
        parts = 68 if "68" in name else 5

        def predict(image, box):
            asked.append(box)
            points = [SimpleNamespace(x=n, y=2 * n) for n in range(parts)]
            return SimpleNamespace(num_parts=parts, parts=lambda: points)

        return predict

    dlib = SimpleNamespace(
        shape_predictor=shape_predictor, rectangle=lambda *edges: edges
    )
    monkeypatch.setitem(sys.modules, "dlib", dlib)
    for name in ("68.dat", "5.dat", "broken.dat"):
        (tmp_path / name).write_bytes(b"model")
    image, box = np.zeros((90, 90, 3), np.uint8), np.array([10, 20, 30, 60.0])
    found = dlib_landmarker(tmp_path / "68.dat")(image, box)
    np.testing.assert_array_equal(found, np.arange(68)[:, None] * [1, 2])
    assert asked == [(0, 20, 39, 59)]
    with pytest.raises(DataError, match="has 5 points; expected a model of 68"):
        dlib_landmarker(tmp_path / "5.dat")(image, box)
    with pytest.raises(DataError, match="not a dlib shape predictor"):
        dlib_landmarker(tmp_path / "broken.dat")
    with pytest.raises(DataError, match="no such file"):
        dlib_landmarker(tmp_path / "none.dat")
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(MissingExtraError, match=r"emorec\[landmarks\]"):
        dlib_landmarker(tmp_path / "68.dat")


@pytest.fixture
def filmed(tmp_path):
    """A MELD with three videos, one of them broken."""
    write_tables(tmp_path, {"train": 2, "dev": 1, "test": 1})
    folder = tmp_path / "train" / "train_splits"
    folder.mkdir(parents=True)
    write_video(folder / "dia0_utt0.mp4", [image for _, image in two_faces(4)])
    (folder / "dia0_utt1.mp4").write_bytes(b"no video")
    folder = tmp_path / "dev" / "dev_splits_complete"
    folder.mkdir(parents=True)
    write_video(folder / "dia0_utt0.mp4", [image for _, image in two_faces(3)])
    return tmp_path


def test_each_video_is_looked_at_once_and_failures_are_rows(filmed, tmp_path):
    corpus, finder = read_meld(filmed), Finder()
    tools = Tools(lambda: finder, lambda: box_points, "boxes")
    settings = SpeakerSettings(detect_every=1)
    cache = tmp_path / "cache"
    found, failures, made = make_landmarks(corpus, tools, cache, settings)
    assert found.ids == ["train/dia0_utt0", "dev/dia0_utt0"] and made == 2
    assert found.offsets.tolist() == [0, 4, 7] and finder.seen == 7
    reasons = dict(failures.to_numpy())
    assert "cannot be read as a video" in reasons["train/dia0_utt1"]
    assert reasons["test/dia0_utt0"] == "it has no file"
    again, _, made = make_landmarks(corpus, tools, cache, settings)
    assert made == 0 and finder.seen == 7
    np.testing.assert_array_equal(found.points, again.points)
    with pytest.raises(SpecError, match="something else made"):
        make_landmarks(corpus, replace(tools, name="other"), cache, settings)


def test_speakers_are_told_by_an_embedder_and_references_together(filmed, tmp_path):
    with pytest.raises(SpecError, match="give both, or neither"):
        Tools(Finder, lambda: box_points, "boxes", lambda: brightness)
    tools = Tools(
        *(Finder, lambda: box_points, "boxes", lambda: brightness),
        {"Monica": np.array([1.0, 0.0])},
    )
    with pytest.raises(DataError, match="no reference of the speaker Ross"):
        make_landmarks(read_meld(filmed), tools, tmp_path / "c", SpeakerSettings())


def test_references_are_read_from_a_file_or_a_folder(tmp_path):
    np.savez(tmp_path / "a.npz", **{"Dr. Green": np.ones(4), "Ross": np.zeros(4)})
    (tmp_path / "faces" / "Dr. Green").mkdir(parents=True)
    np.save(tmp_path / "faces" / "Dr. Green" / "Dr. Green.npy", np.ones((1, 4)))
    assert set(read_references(tmp_path / "a.npz")) == {"Dr. Green", "Ross"}
    found = read_references(tmp_path / "faces")
    np.testing.assert_array_equal(found["Dr. Green"], np.ones(4))
    np.savez(tmp_path / "b.npz", Ross=np.ones(4), Joey=np.ones(3))
    with pytest.raises(DataError, match=r"widths \[3, 4\]"):
        read_references(tmp_path / "b.npz")
    (tmp_path / "none").mkdir()
    for path in (tmp_path / "none", tmp_path / "nothing.npz"):
        with pytest.raises(DataError, match="expected"):
            read_references(path)


def test_a_keras_network_embeds_faces(tmp_path):
    import keras

    for side in (112, 64):
        inputs = keras.Input((side, side, 3))
        x = keras.layers.GlobalAveragePooling2D()(inputs)
        keras.Model(inputs, x).save(tmp_path / f"{side}.keras")
    embed = keras_embedder(tmp_path / "112.keras")
    found = np.asarray(embed(np.full((2, 112, 112, 3), 0.5, np.float32)))
    np.testing.assert_allclose(found, 0.5, rtol=1e-5)
    with pytest.raises(SpecError, match="expected a network of faces"):
        keras_embedder(tmp_path / "64.keras")


def test_the_commands_run_end_to_end(filmed, corpus, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("emorec.features.faces.mtcnn_detector", lambda least: Finder())
    monkeypatch.setattr(features, "dlib_landmarker", lambda path: box_points)
    (tmp_path / "68.dat").write_bytes(b"model")
    words = ["landmarks", filmed, "--predictor", tmp_path / "68.dat"]
    assert main(*words, "--output", tmp_path / "out") == INCOMPLETE
    assert (
        "2 of 4 clips have landmarks, 2 made now, 7 frames" in capsys.readouterr().out
    )
    found = read_landmarks(tmp_path / "out" / "landmarks.npz")
    assert found.ids == ["train/dia0_utt0", "dev/dia0_utt0"]
    write_landmarks(tmp_path / "all.npz", faces_of(corpus, longest=4))
    words = ["face", corpus.folder, "--landmarks", tmp_path / "all.npz", "--literal"]
    words += ["--num-epochs", 1, "--batch-size", 12, "--output", tmp_path / "out"]
    words += ["--jit", "off"]
    assert main(*words) == OK
    assert (tmp_path / "out" / "card_face_last_literal_s_0.md").is_file()
    record = read_json(tmp_path / "out" / "run_face_last_literal_s_0.json")
    settings = record["settings"]
    assert settings["learning_rate"] == 0.005 and settings["size"] is False
    assert settings["batch_size"] == 12 and record["training"]["epochs"] == 1
    assert main("face", corpus.folder, "--landmarks", tmp_path / "no.npz") == 1
    assert "no.npz" in capsys.readouterr().err


def both_branches_train(folder):
    """Train the audio and the face network; what they learn is easy."""
    from emorec.training import meld_audio
    from emorec.training.meld_audio_config import MeldAudioConfig
    from emorec.training.meld_vectors import Vectors

    folder = Path(folder)
    corpus = read_meld(write_tables(folder))
    noise = np.random.default_rng(0).normal(0, 0.1, (ALL, 7))
    values = (np.eye(7)[corpus.classes] + noise).astype(np.float32)
    vectors = Vectors("made", values, pd.DataFrame({"id": [], "reason": []}))
    config = MeldAudioConfig(num_epochs=6, learning_rate=0.01)
    meld_audio.run(config, corpus, vectors, RunFolder(folder, "audio"), print)
    config = MeldFaceConfig(batch_size=12, num_epochs=1)
    run(config, corpus, faces_of(corpus), RunFolder(folder, "face"), print)


@pytest.mark.slow
def test_both_branches_train_on_jax(tmp_path):
    run_on_jax("tests.test_meld_face", "both_branches_train", str(tmp_path))
    for model, least in (("audio", 0.9), ("face", 0.0)):
        found = read_predictions(tmp_path / f"predictions_test_{model}.npz")
        assert len(found) == COUNTS["test"]
        assert (found.chosen == found.true).mean() >= least
