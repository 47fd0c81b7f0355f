"""The audio and face branches of MELD asked about recordings: as their evaluation."""

import sys
import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from emorec.artifacts.found_runs import find_runs
from emorec.artifacts.landmarks import read_landmarks, write_landmarks
from emorec.artifacts.predictions import read_predictions
from emorec.artifacts.runs import RunFolder
from emorec.corpora.meld import read_meld
from emorec.errors import MissingExtraError, SpecError
from emorec.features.landmarks import SpeakerSettings
from emorec.files import write_json
from emorec.prediction import meld_face as predictor_module
from emorec.prediction.meld_audio import MeldAudioPredictor
from emorec.prediction.meld_face import POINTS_FILE, MeldFacePredictor
from emorec.prediction.recordings import Recording, Span
from emorec.training import meld_audio, meld_face
from emorec.training.meld_audio_config import MeldAudioConfig
from emorec.training.meld_face_config import MeldFaceConfig
from emorec.training.meld_landmarks import Tools, make_landmarks
from emorec.training.meld_vectors import file_vectors, sound_vectors
from emorec.training.scaling import Scaling
from tests.small_meld import COUNTS, sound_path, write_small_meld, write_tables
from tests.test_meld_face import box_points
from tests.video_files import Finder, picture, write_video

soundfile = pytest.importorskip("soundfile", reason="needs the extra 'voices'")
pytest.importorskip("librosa", reason="needs the extra 'voices'")


def quiet(line):
    pass


@pytest.fixture(scope="module")
def heard(tmp_path_factory):
    return read_meld(write_small_meld(tmp_path_factory.mktemp("meld")))


def trained(corpus, folder, vectors, **given):
    config = MeldAudioConfig(model="logistic", **given)
    meld_audio.run(config, corpus, vectors, RunFolder(folder, "audio"), quiet)
    (found,) = find_runs([folder])
    stored = read_predictions(folder / "predictions_test_audio.npz")
    return found, dict(zip(stored.ids, stored.scores, strict=True))


def asked(predictor, corpus, files, count):
    """Return ids of test and the scores of their sounds or videos."""
    given = []
    for n in range(count):
        clip = Recording("a", None, None, (), 0.4)
        (one,) = predictor.given(replace(clip, **files(n)), [Span(0.0, 0.4)])
        assert one.present == predictor.takes, one.reason
        given.append(one.content)
    ids = [corpus.ids[row] for row in corpus.rows("test")]
    return ids, predictor.scores(given)


@pytest.mark.parametrize("kind", ["librosa", "logmel"])
def test_a_voice_is_heard_as_in_training(heard, tmp_path, kind):
    vectors = sound_vectors(heard, kind, tmp_path / "cache", workers=1)
    found, expected = trained(heard, tmp_path, vectors, scaling="standard")
    predictor = MeldAudioPredictor.load(found)

    def files(n):
        return {"sound": sound_path(heard.folder, "test", n)}

    ids, scores = asked(predictor, heard, files, COUNTS["test"])
    wanted = np.stack([expected[name] for name in ids])
    np.testing.assert_allclose(scores, wanted, atol=1e-5)
    assert "dev and test" not in predictor.facts["scaling"]
    silence = tmp_path / "silence.wav"
    for samples, reason in (
        (np.zeros(8000), "silence"),
        (0.1 * np.ones(100), "cannot be heard"),
    ):
        soundfile.write(silence, samples, 8000)
        clip = Recording("a", None, silence, (), 1.0)
        (one,) = predictor.given(clip, [Span(0.0, 1.0)])
        assert one.content is None and reason in one.reason
    (one,) = predictor.given(replace(clip, sound=None), [Span(0.0, 1.0)])
    assert one == (None, (), "no sound")


def test_splits_with_statistics_of_their_own_are_told(heard, tmp_path):
    vectors = sound_vectors(heard, "logmel", tmp_path / "cache", workers=1)
    found, expected = trained(heard, tmp_path, vectors, literal_scaling=True)
    predictor = MeldAudioPredictor.load(found)
    rows = meld_audio.training_rows(heard, vectors, "all")
    of_training = Scaling.fit(vectors.values[rows], "min_max")
    np.testing.assert_array_equal(predictor.scaling.shift, of_training.shift)
    assert "do not tell how good these are" in predictor.facts["scaling"]
    test = heard.rows("test")
    scores = predictor.scores(vectors.values[test])
    wanted = np.stack([expected[heard.ids[row]] for row in test])
    assert np.abs(scores - wanted).max() > 1e-4
    record = dict(found.record)
    del record["spec"]["normalisation"][meld_audio.OF_TRAINING]
    write_json(found.run.record_path, record)
    with pytest.raises(SpecError, match="did not keep those of the training"):
        MeldAudioPredictor.load(*find_runs([tmp_path]))


def test_vectors_of_files_cannot_be_made_of_a_recording(heard, tmp_path):
    values = np.random.default_rng(0).normal(size=(len(heard), 5)).astype("f")
    np.savez(tmp_path / "own.npz", ids=np.array(heard.ids), embeddings=values)
    vectors = file_vectors(heard, [tmp_path / "own.npz"])
    found, _ = trained(heard, tmp_path / "runs", vectors)
    with pytest.raises(SpecError, match="emorec meld audio --features librosa"):
        MeldAudioPredictor.load(found)


SEEN = {"train": 4, "dev": 2, "test": 3}
MADE = SpeakerSettings(rate=10.0, detect_every=2)


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """Return corpus and folder of a run on the landmarks of drawn videos."""
    folder = tmp_path_factory.mktemp("faces")
    write_tables(folder, SEEN)
    places = {"train": "train_splits", "dev": "dev_splits_complete"}
    for split, count in SEEN.items():
        videos = folder / split / places.get(split, "output_repeated_splits_test")
        videos.mkdir(parents=True)
        for n in range(count):
            images = [picture((10 + k, 30 + 5 * n)) for k in range(6 + n)]
            write_video(videos / f"dia{n // 3}_utt{n % 3}.mp4", images, rate=10)
    corpus = read_meld(folder)
    tools = Tools(Finder, lambda: box_points, "boxes")
    landmarks, failures, _ = make_landmarks(corpus, tools, folder / "cache", MADE)
    assert failures.empty
    write_landmarks(folder / "landmarks.npz", landmarks)
    landmarks = read_landmarks(folder / "landmarks.npz")
    assert landmarks.made["rate"] == 10 and landmarks.made["landmarker"] == "boxes"
    runs = RunFolder(folder / "runs", "face")
    config = MeldFaceConfig(num_epochs=1, batch_size=4, size=False, jit="off")
    import tensorflow as tf

    with warnings.catch_warnings():
        # Nothing is traced, which takes most of a tiny training; tf.data still is.
        warnings.filterwarnings("ignore", "Even though the `tf.config")
        tf.config.run_functions_eagerly(True)
        meld_face.run(config, corpus, landmarks, runs, quiet)
        tf.config.run_functions_eagerly(False)
    return corpus, folder / "runs"


def face_predictor(seen):
    (found,) = find_runs([seen[1]])
    return MeldFacePredictor.load(found, landmark=lambda: box_points, detect=Finder)


def test_a_face_is_seen_as_in_training(seen):
    corpus, folder = seen
    predictor = face_predictor(seen)
    assert predictor.settings == MADE and predictor.size is False
    videos = {n: corpus.video[row] for n, row in enumerate(corpus.rows("test"))}
    ids, scores = asked(predictor, corpus, lambda n: {"video": videos[n]}, SEEN["test"])
    stored = read_predictions(folder / "predictions_test_face.npz")
    assert stored.ids == ids
    np.testing.assert_allclose(scores, stored.scores, atol=1e-5)


def test_spans_have_the_main_face_of_their_own_time(seen, tmp_path):
    small, large = picture((20, 40)), picture((100, 10))
    large[10:70, 90:150] = 230
    images = [small] * 10 + [large] * 10 + [picture()] * 10
    video = write_video(tmp_path / "a.mp4", images, rate=10)
    clip = Recording("a", video, None, (), 3.0)
    spans = [Span(0, 1), Span(0.5, 2), Span(1, 2), Span(2, 3), Span(4, 5)]
    first, second, third, fourth, fifth = face_predictor(seen).given(clip, spans)
    assert [len(one.content) for one in (first, second, third)] == [10, 10, 10]
    np.testing.assert_array_equal(second.content, third.content)
    assert np.ptp(third.content[0]) > np.ptp(first.content[0])
    assert fourth == (None, (), "no face in 10 frames")
    assert fifth == (None, (), "no frames")
    (one,) = face_predictor(seen).given(replace(clip, video=None), [Span(0, 1)])
    assert one == (None, (), "no video")


def test_what_is_missing_for_landmarks_is_named(seen, tmp_path, monkeypatch):
    (found,) = find_runs([seen[1]])
    monkeypatch.setattr(predictor_module, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"emorec\[landmarks\]"):
        MeldFacePredictor.load(found)
    monkeypatch.setattr(predictor_module, "find_spec", lambda name: object())
    with pytest.raises(SpecError, match=f"{POINTS_FILE}: no such file"):
        MeldFacePredictor.load(found)
    # With a stand-in for dlib, whose model is looked for where it is named.
    opened = []
    dlib = SimpleNamespace(shape_predictor=opened.append)
    monkeypatch.setitem(sys.modules, "dlib", dlib)
    path = tmp_path / "68.dat"
    path.write_bytes(b"model")
    MeldFacePredictor.load(found, points_file=path).landmark()
    assert opened == [str(path)]
