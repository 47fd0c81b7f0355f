"""Asking a whole audio-visual network: black frames are computed once."""

import keras
import numpy as np
import pandas as pd
import pytest

from emorec.batches.audiovisual import AvArrays
from emorec.corpora.av_clips import AvClips
from emorec.labels import LabelSchema
from emorec.models.audiovisual import audiovisual
from emorec.training import av_scores
from emorec.training.av_data import AvData
from tests.harness import call, run_on_jax

CLIPS, FRAMES, SIZE = 20, 3, 32
EIGHT = LabelSchema("eight", tuple("abcdefgh"), "single")


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    network = audiovisual("ia", frames=FRAMES, size=SIZE)
    random = np.random.default_rng(0)
    for weight in network.get_layer("frames").weights:
        value = keras.ops.convert_to_numpy(weight)
        # As drawn, nothing but zeros would come of a black frame.
        weight.assign(value + 0.1 * np.abs(random.standard_normal(value.shape)))
    return network


def drawn(without_sound=(), without_video=(), black=()):
    """Clips of noise, some without a modality, some frames (clip, frame) black."""
    random = np.random.default_rng(0)
    video = random.random((CLIPS, FRAMES, SIZE, SIZE, 3), np.float32)
    for clip, frame in black:
        video[clip, frame] = 0
    classes = np.arange(CLIPS) % 8
    clips = AvClips(
        "noise",
        EIGHT,
        [f"c{number}" for number in range(CLIPS)],
        [None] * CLIPS,
        [None] * CLIPS,
        classes,
        np.array([f"s{number}" for number in range(CLIPS)]),
        np.ones(CLIPS, int),
        np.array(["test"] * CLIPS),
        pd.DataFrame(columns=["clip", "left_out", "reason"]),
    )
    present = {
        name: ~np.isin(np.arange(CLIPS), gone)
        for name, gone in (("audio", without_sound), ("video", without_video))
    }
    audio = random.standard_normal((CLIPS, 20, 10), np.float32)
    targets = np.eye(8, dtype=np.float32)[classes]
    return AvData(clips, AvArrays(audio, video, present, targets))


@pytest.fixture
def passed(model, monkeypatch):
    """Return the list of how many frames pass through the frame network at once."""
    counts = []
    frames = model.get_layer("frames")
    predict = frames.predict_on_batch

    def counted(images):
        counts.append(len(images))
        return predict(images)

    monkeypatch.setattr(frames, "predict_on_batch", counted)
    return counts


def in_one(model, data, **given):
    """Return the logits of the whole network, to which all frames are given."""
    served = av_scores.AvPipeline(data.arrays, CLIPS, np.arange(CLIPS), **given)
    inputs, _ = served.batch(0, 0)
    return np.asarray(call(model, inputs))


@pytest.mark.parametrize(
    "given, expected",
    [
        # Batches of 16 and of 4 clips, 48 and 12 frames, of which 14 and none are
        # black; 30 at once. Black is one frame, which stands in one such group.
        ({}, [30, 30, 30, 30]),
        ({"modalities": ("audio",)}, [30]),
        ({"modalities": ("audio",), "fill": "noise"}, [30, 30, 30]),
        ({"modalities": ("video",)}, [30, 30, 30, 30]),
    ],
)
def test_logits_are_those_of_all_frames(model, passed, given, expected):
    data = drawn([2], [0, 5, 6, 7], [(1, 0), (3, 2)])
    rows = np.arange(CLIPS)
    found = av_scores.score(model, data, rows, **given)
    assert passed == expected
    if given.get("fill") == "noise":
        # Noise is drawn by batch.
        return
    wanted = in_one(model, data, **given)
    assert np.ptp(wanted) > 0.1
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


def test_black_is_seen_by_the_network(model):
    """Its features are no zeros: leaving them out would be another answer."""
    frames = model.get_layer("frames")
    black = np.zeros((1, SIZE, SIZE, 3), np.float32)
    assert np.abs(np.asarray(call(frames, black))).max() > 1e-3


def on_jax():
    """Compare on the backend at hand."""
    keras.utils.set_random_seed(0)
    network = audiovisual("it", frames=FRAMES, size=SIZE)
    data = drawn(without_video=range(18))
    found = av_scores.score(network, data, np.arange(CLIPS))
    wanted = in_one(network, data)
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.slow
def test_logits_are_those_of_all_frames_on_jax():
    run_on_jax("tests.test_av_scores", "on_jax")
