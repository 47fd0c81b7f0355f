"""Checkpoints of the audiovisual networks: all that fit, or nothing."""

from functools import cache

import keras
import numpy as np
import pytest

from emorec.errors import SpecError
from emorec.models.audiovisual import audiovisual, fusion_network, video_network
from emorec.models.audiovisual_weights import load_checkpoint, load_frame_weights
from tests.test_audiovisual import SUBJECTS, TARGETS, VIDEO, whole

PYTORCH = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "bias": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def as_pytorch(model, prefix=""):
    """Return other values than a network's own, named and laid out as in PyTorch."""
    random, result = np.random.default_rng(1), {}
    if model.name == "frames":
        prefix = "visual_model_"
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            result |= as_pytorch(layer)
            continue
        for weight in layer.weights:
            depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
            if weight.name == "kernel":
                inputs = 9 if depthwise else np.prod(weight.shape[:-1])
                value = random.normal(0, (2 / inputs) ** 0.5, weight.shape)
            else:
                value = random.random(weight.shape) + 0.5
            value = value.astype(np.float32)
            if depthwise:
                value = value.transpose(2, 3, 0, 1).reshape(-1, 1, 3, 3)
            elif value.ndim == 4:
                value = value.transpose(3, 2, 0, 1)
            else:
                value = value.T
            result[f"module.{prefix}{layer.name}.{PYTORCH[weight.name]}"] = value
    return result


@cache
def checkpoint():
    return as_pytorch(SUBJECTS["ia"].model)


def held(model):
    return [keras.ops.convert_to_numpy(weight) + 0 for weight in model.weights]


def unchanged(model, before):
    return all((x == y).all() for x, y in zip(held(model), before, strict=True))


def test_a_checkpoint_is_loaded_whole_or_not_at_all():
    model, name = SUBJECTS["ia"].fresh(), "module.av1_q.weight"
    before = held(model)
    spoilt = {
        r"has not \(1\): av1_q/kernel": {
            k: x for k, x in checkpoint().items() if k != name
        },
        r"network has not \(1\): module.av3_q.weight": checkpoint()
        | {"module.av3_q.weight": np.zeros((2, 2))},
        r"\(3, 128\) for av1_q/kernel": checkpoint() | {name: np.zeros((3, 128))},
        "not finite": checkpoint() | {name: np.full((128, 128), np.nan)},
        "No tensor fits": {"a.weight": np.zeros((2, 2))},
    }
    for words, tensors in spoilt.items():
        with pytest.raises(SpecError, match=words):
            load_checkpoint(model, tensors)
        assert unchanged(model, before)
    with pytest.raises(SpecError, match="Build the network of the fusion"):
        load_checkpoint(SUBJECTS["lt"].fresh(), checkpoint())
    report = load_checkpoint(model, checkpoint())
    assert report.complete and len(report.loaded) == len(checkpoint())
    kernel = model.get_layer("av1_q").kernel
    np.testing.assert_array_equal(kernel, checkpoint()[name].T)


def test_another_classifier_is_left_out_on_request_alone():
    model = fusion_network("ia", num_labels=5, frames=5)
    with pytest.raises(SpecError, match='head="skip"'):
        load_checkpoint(model, checkpoint())
    kernel = np.asarray(model.get_layer("classifier_1_0").kernel) + 0
    report = load_checkpoint(model, checkpoint(), head="skip")
    assert len(report.head) == 6 and "classifier" in str(report)
    np.testing.assert_array_equal(model.get_layer("classifier_1_0").kernel, kernel)
    with pytest.raises(SpecError, match="load, skip"):
        load_checkpoint(model, checkpoint(), head="replace")


def test_a_checkpoint_fills_the_networks_within_a_whole_one():
    model = audiovisual("ia", frames=2, size=32, initializer="zeros")
    state = as_pytorch(whole())
    report = load_checkpoint(model, state)
    assert report.complete and len(report.loaded) == len(model.weights) == len(state)
    assert not report.left_out
    assert all(x.any() for x in held(model))


def test_a_network_of_one_modality_takes_its_part_and_reports_the_rest():
    for name, part in (("audio", "audio_model"), ("features", "visual_model")):
        model = SUBJECTS[name].fresh()
        report = load_checkpoint(model, checkpoint())
        assert report.complete and len(report.loaded) == len(model.weights)
        rest = [x for x in checkpoint() if not x.startswith(f"module.{part}")]
        assert sorted(report.left_out) == sorted(rest)
        assert "of other parts left out" in str(report)


def affectnet():
    """Return a checkpoint of EfficientFace alone, with its classifier."""
    tensors = as_pytorch(whole().get_layer("frames"))
    tensors = {x.replace("visual_model_", ""): tensor for x, tensor in tensors.items()}
    return tensors | {"module.fc.weight": np.ones((7, 1024)), "module.fc.bias": TARGETS}


def test_the_frame_network_is_initialised_alone_with_either_order_of_colours():
    model = video_network(frames=2, size=32, initializer="zeros")
    ending = held(model.get_layer("features_network"))
    with pytest.raises(SpecError, match=r"conv5_0/kernel"):
        load_frame_weights(
            model, {x: t for x, t in affectnet().items() if "conv5_0" not in x}
        )
    report = load_frame_weights(model, affectnet())
    assert report.complete
    assert report.head == ["module.fc.weight", "module.fc.bias"]
    assert len(report.loaded) == len(affectnet()) - 2
    assert unchanged(model.get_layer("features_network"), ending)
    kernel = model.get_layer("frames").get_layer("conv1_0").kernel
    expected = affectnet()["module.conv1_0.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(kernel, expected)
    before = held(model)
    load_frame_weights(model, affectnet(), bgr=True)
    # The stem alone differs.
    changed = [(x != y).any() for x, y in zip(held(model), before, strict=True)]
    assert sum(changed) == 1
    np.testing.assert_array_equal(kernel, expected[:, :, ::-1])
    with pytest.raises(SpecError, match="no frame network"):
        load_frame_weights(SUBJECTS["audio"].model, affectnet())


def test_a_checkpoint_of_blue_green_red_sees_red_green_blue():
    frames = keras.models.clone_model(whole().get_layer("frames"))
    state = as_pytorch(frames)
    load_checkpoint(frames, state)
    images = VIDEO[:, 0]
    expected = np.asarray(frames(images[..., ::-1]))
    load_checkpoint(frames, state, bgr=True)
    found = np.asarray(frames(images))
    largest = expected.max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * largest)
    assert np.abs(frames(images[..., ::-1]) - found).max() > 1e-3 * largest
