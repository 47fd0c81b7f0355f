"""Batches of clips seen and heard: missing modalities, augmentation, order."""

import keras
import numpy as np
import pytest

from emorec.batches.audiovisual import AvArrays, AvPipeline, turned
from emorec.errors import DataError, SpecError

SIZE = 16
RANDOM = np.random.default_rng(0)


@pytest.fixture
def arrays(tmp_path):
    """Seven clips; the third has no video, the fifth no sound."""
    paths = []
    for number in range(7):
        faces = RANDOM.integers(1, 255, (3, SIZE, SIZE, 3), np.uint8)
        paths.append(tmp_path / f"{number}.npy")
        np.save(paths[-1], faces)
    paths[2] = None
    audio = RANDOM.normal(size=(7, 20, 10)).astype(np.float32)
    present = {"audio": np.arange(7) != 4, "video": np.arange(7) != 2}
    return AvArrays(audio, paths, present, np.eye(7, dtype="f"), (3, SIZE))


def test_what_is_there_is_served_and_what_is_missing_is_zero(arrays):
    inputs, targets = AvPipeline(arrays, 7).batch(0, 0)
    np.testing.assert_array_equal(targets, arrays.targets)
    for clip in range(7):
        there = arrays.audio[clip] if clip != 4 else 0
        np.testing.assert_array_equal(inputs["audio"][clip], there + np.zeros((20, 10)))
        if clip == 2:
            assert not inputs["video"][clip].any()
        else:
            faces = np.load(arrays.video[clip])
            np.testing.assert_allclose(inputs["video"][clip], faces / 255, atol=1e-6)
    noisy, _ = AvPipeline(arrays, 7, fill="noise").batch(0, 0)
    assert noisy["video"][2].std() == pytest.approx(1, abs=0.1)
    np.testing.assert_array_equal(noisy["video"][0], inputs["video"][0])


def test_a_modality_can_be_left_out_for_all(arrays):
    inputs, _ = AvPipeline(arrays, 7, modalities=["audio"]).batch(0, 0)
    assert not inputs["video"].any() and inputs["audio"][0].any()
    inputs, _ = AvPipeline(arrays, 7, modalities=["video"]).batch(0, 0)
    assert not inputs["audio"].any() and inputs["video"][0].any()


def test_an_epoch_has_each_clip_once_in_an_order_of_its_own(arrays):
    served = AvPipeline(arrays, 3, shuffle=True, seed=1)
    orders = []
    for epoch in range(2):
        targets = np.concatenate(
            [served.batch(epoch, n)[1] for n in range(len(served))]
        )
        orders.append(targets.argmax(axis=1).tolist())
        assert sorted(orders[-1]) == list(range(7))
    assert orders[0] != orders[1]
    again = AvPipeline(arrays, 3, shuffle=True, seed=1).batch(1, 1)
    np.testing.assert_array_equal(served.batch(1, 1)[0]["video"], again[0]["video"])
    some = AvPipeline(arrays, 3, clips=np.array([5, 1]))
    assert some.batch(0, 0)[1].argmax(axis=1).tolist() == [5, 1]


def test_faces_are_mirrored_and_turned_together(arrays):
    inputs, _ = AvPipeline(arrays, 7, augment=True, seed=3).batch(0, 0)
    plain, _ = AvPipeline(arrays, 7, seed=3).batch(0, 0)
    np.testing.assert_array_equal(inputs["audio"], plain["audio"])
    changed = [
        not np.array_equal(inputs["video"][clip], plain["video"][clip])
        for clip in (0, 1, 3, 4, 5, 6)
    ]
    assert sum(changed) >= 4
    line = np.zeros((2, 33, 33, 3), np.uint8)
    line[:, 16, :] = 255
    upright = turned(line, 90)
    assert (upright[:, 1:-1, 16] > 200).all() and not upright[:, :, :14].any()
    assert turned(line, 0) is line


def test_masks_make_copies_of_whole_clips(arrays):
    inputs, targets = AvPipeline(arrays, 4, mask="softhard").batch(0, 0)
    assert len(targets) == len(inputs["audio"]) == len(inputs["video"]) == 16
    assert (targets.sum(axis=0)[:4] == 4).all()


def test_keras_is_served_inputs_by_name(arrays):
    pipeline = AvPipeline(arrays, 4, mask="noise")
    batches = list(pipeline.dataset)
    assert len(batches) == 2
    inputs, _ = batches[0]
    expected, _ = pipeline.batch(0, 0)
    assert set(inputs) == {"audio", "video"}
    for name in inputs:
        np.testing.assert_allclose(np.asarray(inputs[name]), expected[name], atol=1e-6)
    audio, video = (
        keras.Input((20, 10), name="audio"),
        keras.Input((3, SIZE, SIZE, 3), name="video"),
    )
    flat = [keras.layers.Flatten()(x) for x in (audio, video)]
    outputs = keras.layers.Dense(7)(keras.layers.Concatenate()(flat))
    model = keras.Model({"audio": audio, "video": video}, outputs)
    model.compile(loss="mse", optimizer="sgd")
    model.fit(pipeline.dataset, shuffle=False, verbose=0)


def test_features_of_frames_serve_in_place_of_faces():
    features = RANDOM.normal(size=(3, 15, 8)).astype(np.float32)
    present = {"audio": np.ones(3, bool), "video": np.array([True, False, True])}
    audio = np.zeros((3, 9, 10), np.float32)
    arrays = AvArrays(audio, features, present, np.eye(3, dtype="f"))
    inputs, _ = AvPipeline(arrays, 3, augment=True).batch(0, 0)
    np.testing.assert_array_equal(inputs["video"][0], features[0])
    assert not inputs["video"][1].any()


def test_what_does_not_fit_is_refused(arrays, tmp_path):
    none = {"audio": np.zeros(7, bool), "video": arrays.present["video"]}
    with pytest.raises(DataError, match="1 clips have neither sound nor video"):
        AvArrays(arrays.audio, arrays.video, none, arrays.targets)
    with pytest.raises(DataError, match=r"clips of different numbers: \[6, 7\]"):
        AvArrays(arrays.audio, arrays.video[:6], arrays.present, arrays.targets)
    with pytest.raises(SpecError, match="--mask hard"):
        AvPipeline(arrays, 3, mask="hard")
    np.save(arrays.video[0], np.zeros((3, 8, 8, 3), np.uint8))
    arrays.video[1].write_bytes(b"no array")
    arrays.video[3].unlink()
    pipeline = AvPipeline(arrays, 1)
    for number, message in (
        (0, "expected"),
        (1, "cannot be read"),
        (3, "No such file"),
    ):
        with pytest.raises(DataError, match=message):
            pipeline.batch(0, number)
    assert "Prepare the clip anew" in str(pipeline.failure)
