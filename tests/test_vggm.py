"""The student and the narrow network: laws, published geometry, reference outputs."""

import json
from functools import partial

import keras
import numpy as np
import pytest

from emorec.errors import SpecError
from emorec.features.crops import POOL_WIDTHS
from emorec.models.vggm import compact, embedding, statistics, student
from tests.face_golden import drawn
from tests.harness import (
    Subject,
    cases,
    one_step_lowers_the_loss_and_moves_every_weight,
    run_on_jax,
)

NARROW = (4, 6, 6, 6, 6, 12, 12)
RANDOM = np.random.default_rng(0)
TARGETS = RANDOM.normal(size=(5, 8)).astype(np.float32)


def clips(bins, frames):
    # Of the size that first weights keep through the layers.
    x = RANDOM.normal(0, 0.7, (5, bins, frames, 1))
    return {"spectrogram": x.astype(np.float32)}


def named(build, **kwargs):
    """Build a network with its input under a name."""
    model = build(**kwargs)
    return keras.Model({"spectrogram": model.input}, model.output)


SUBJECTS = {
    "student": Subject(
        partial(named, student), {"widths": NARROW}, clips(512, 80), TARGETS
    ),
    "statistics": Subject(
        partial(named, statistics),
        {"bins": 20, "widths": (6, 8, 8, 8, 8, 8, 8)},
        clips(20, 40),
        TARGETS,
    ),
    "compact": Subject(
        partial(named, compact),
        {"bins": 20, "widths": (6, 8, 8, 8, 8)},
        clips(20, 30),
        TARGETS,
    ),
}


@pytest.mark.parametrize("subject, law", cases(SUBJECTS))
def test_the_network_keeps_the_law(subject, law):
    law(subject)


def one_learns():
    """Take a step with the narrow network, which has all kinds of layers but pools."""
    one_step_lowers_the_loss_and_moves_every_weight(SUBJECTS["compact"])


def test_the_compact_network_learns_on_jax():
    run_on_jax("tests.test_vggm", "one_learns")


@pytest.fixture(scope="module")
def published():
    return student()


def shape(model, layer, frames):
    """Return the output shape of a layer for so many frames, without the batch."""
    part = keras.Model(model.input, model.get_layer(layer).output)
    return list(part.compute_output_shape((1, 512, frames, 1))[1:])


def test_the_student_has_the_published_size(published):
    assert sum(v.shape.num_elements() for v in published.trainable_variables) == (
        16_637_192
    )


def test_the_students_layers_have_the_published_shapes(published, golden_dir):
    content = json.loads((golden_dir / "voices" / "vggvox_student.json").read_text())
    for frames in (300, 400):
        table = content["student_8way_arithmetic"][f"512x{frames}"]
        assert table["all"] == published.count_params()
        for name, output, weights, norm, _ in table["layers"]:
            layer = name.split()[0]
            found = shape(published, layer, frames)
            assert found == output or [1, 1, *found] == output, name
            assert published.get_layer(layer).count_params() == weights
            if norm:
                assert published.get_layer(f"bn{layer[-1]}").count_params() == 2 * norm


@pytest.mark.parametrize("frames", [300, pytest.param(400, marks=pytest.mark.slow)])
def test_the_student_gives_the_reference_outputs(published, golden_dir, frames):
    kinds = {"kernel": "weight", "gamma": "scale", "moving_variance": "variance"}
    for layer in published.layers:
        for variable in layer.weights:
            if layer.name == "fc8":  # the reference has a layer of its own here
                continue
            dims, leaf = tuple(variable.shape), variable.name
            name, kind = f"{layer.name}/{leaf}", kinds.get(leaf)
            variable.assign(drawn(name, dims, kind, np.prod(dims[:-1])))
    x = np.random.default_rng(0).standard_normal((2, 512, frames, 1), np.float32)
    layers = {"gapool6": "pool6", "relu7": "relu7"}
    outputs = [published.get_layer(name).output for name in layers.values()]
    found = keras.Model(published.input, outputs)(x, training=False)
    with np.load(golden_dir / "voices" / "vggvox_student.npz") as golden:
        for key, value in zip(layers, found, strict=True):
            expected = golden[f"{key}_{frames}"]
            atol = 1e-4 * expected.max()
            np.testing.assert_allclose(value, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("frames, width", POOL_WIDTHS.items())
def test_the_published_pool_spans_all_that_remains(published, frames, width):
    assert shape(published, "relu6", frames) == [1, width, 4096]


def test_time_is_averaged_as_the_published_pool_does():
    model = student(widths=NARROW)
    names = ("relu6", "pool6")
    part = keras.Model(model.input, [model.get_layer(name).output for name in names])
    before, after = part(clips(512, 100)["spectrogram"])
    pooled = keras.layers.AveragePooling2D((1, POOL_WIDTHS[100]), 1)(before)
    np.testing.assert_allclose(pooled[:, 0, 0], after, atol=1e-6)


def test_the_embedding_shares_the_networks_weights():
    model = student(frames=80, widths=NARROW)
    x = clips(512, 80)["spectrogram"]
    features = embedding(model)(x)
    assert features.shape == (5, NARROW[-1]) and np.min(features) >= 0
    logits = model.get_layer("fc8")(features)
    np.testing.assert_allclose(logits, model(x), atol=1e-6)


def test_first_weights_are_he_and_biases_zero(published):
    fresh = student(widths=(96, 16, 16, 16, 16, 512, 512))
    for name in ("conv1", "conv2", "fc6", "fc7"):
        kernel, bias = map(np.asarray, fresh.get_layer(name).weights)
        expected = np.sqrt(2 / np.prod(kernel.shape[:-1]))
        assert kernel.std() == pytest.approx(expected, rel=0.1)
        assert not bias.any()
    norms = [
        layer
        for layer in published.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert [layer.epsilon for layer in norms] == [1e-5] * 7


@pytest.mark.parametrize("bins", [16, 64, 257, 512])
def test_the_compact_network_takes_any_height(bins):
    model = compact(5, bins=bins, frames=40)
    assert model.output.shape == (None, 5)
    assert model.count_params() < 5e5


def test_what_cannot_be_built_is_refused():
    with pytest.raises(SpecError, match="3 widths: expected 7"):
        student(widths=(1, 2, 3))
    with pytest.raises(SpecError, match="64 frames: expected at least 65"):
        student(frames=64)
    assert student(frames=65, widths=NARROW).get_layer("relu6").output.shape[2] == 1
    with pytest.raises(SpecError, match="8 bins and 6 widths: expected at least 16"):
        compact(bins=8)
