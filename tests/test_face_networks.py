"""The face networks: equal to the reference programs, on both backends; and laws."""

from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest

from emorec.errors import DataError, SpecError
from emorec.models.face_weights import load_weights
from emorec.models.resnet50 import MEAN_RGB, preprocess, resnet50, senet50
from emorec.training.backend import load_keras_model
from tests.face_golden import (
    FERPLUS,
    VGGFACE,
    damped,
    ferplus_tensors,
    images,
    vggface_tensors,
)
from tests.harness import run_on_jax

# What the reference's own float32 differs from its float64 is a tenth of this.
TOLERANCE = 1e-4
# Name -> labels, trainable parameters, all parameters.
SIZES = {
    "resnet50_ferplus": (8, 23_524_424, 23_524_424 + 53_120),
    "senet50_ferplus": (8, 26_055_416, 26_055_416 + 53_120),
    "keras_vggface_resnet50": (8631, 41_246_071 - 53_120, 41_246_071),
    "keras_vggface_senet50": (8631, 43_777_063 - 53_120, 43_777_063),
}
# Our layer -> what golden/ calls its output.
FERPLUS_STAGES = {
    "conv1_7x7_s2": "conv1_7x7_s2",
    "conv1_relu_7x7_s2": "conv1_relu",
    "pool1_3x3_s2": "pool1",
    "conv2_1_relu": "conv2_1",
    "conv2_3_relu": "conv2_3",
    "conv3_4_relu": "conv3_4",
    "conv4_6_relu": "conv4_6",
    "conv5_3_relu": "conv5_3",
}
VGGFACE_STAGES = {
    "conv1_7x7_s2": "conv1_out",
    "conv1_relu_7x7_s2": "conv1_bn_relu",
    "pool1_3x3_s2": "pool1",
    "conv2_3_relu": "stage2",
    "conv3_4_relu": "stage3",
    "conv4_6_relu": "stage4",
    "conv5_3_relu": "stage5",
}
FEATURES = {
    True: {"classifier": "top_logits", "pool5_7x7_s1": "avg_pool"},
    False: {"classifier": "logits", "pool5_7x7_s1": "pool5_features"},
}
GATES = {"conv2_1_prob": "conv2_1_gate", "conv5_3_prob": "conv5_3_gate"}


@cache
def network(name):
    """Build the network once; its weights are for the tests to load."""
    return resnet50(
        SIZES[name][0],
        geometry="keras" if name in VGGFACE else "caffe",
        squeeze_excitation="senet" in name,
        initializer="zeros",
    )


def near(received, expected, what):
    assert received.shape == expected.shape, what
    worst = np.abs(received - expected).max() / np.abs(expected).max()
    assert worst < TOLERANCE, f"{what}: {worst}"


def compare_with_golden(folder, name):
    """Compare logits, features, gates and corners of stages with the reference's."""
    folder, of_keras = Path(folder), name in VGGFACE
    tensors = (vggface_tensors if of_keras else ferplus_tensors)(folder, name)
    model = network(name)
    stages = VGGFACE_STAGES if of_keras else FERPLUS_STAGES
    inner = [*stages, *FEATURES[of_keras], *(GATES if name in FERPLUS[1:] else ())]
    looked = keras.Model(
        model.input, {layer: model.get_layer(layer).output for layer in inner}
    )
    gated = "senet" in name
    # The gates of the full-scale input amplify rounding; golden/ damps them for that.
    runs = (("_small", tensors, np.float32(0.01)),)
    runs += (("_damped", damped(tensors), 1) if gated else ("", tensors, 1),)
    with np.load(folder / "faces" / f"{name}.npz") as file:
        golden = {key: file[key] for key in file.files}
    compared = set()
    for suffix, weights, scale in runs:
        report = load_weights(model, weights)
        assert report.complete
        outputs = {
            layer: np.asarray(output)
            for layer, output in looked.predict_on_batch(images() * scale).items()
        }
        for layer, key in (FEATURES[of_keras] | GATES).items():
            if key + suffix in golden and layer in outputs:
                received = outputs[layer].reshape(2, -1)
                near(received, golden[key + suffix], key + suffix)
                compared.add(key + suffix)
        for layer, key in stages.items():
            for corner, at in (("topleft", slice(4)), ("bottomright", slice(-4, None))):
                stored = f"{key}_{corner}{suffix}"
                if stored in golden:
                    received = outputs[layer][:, at, at, :4]
                    if not of_keras:
                        received = received.transpose(0, 3, 1, 2)
                    near(received, golden[stored], stored)
                    compared.add(stored)
    assert len(compared) >= 2 * len(stages) + 3


@pytest.mark.parametrize("name", FERPLUS + VGGFACE)
def test_the_network_gives_the_reference_logits_and_stages(golden_dir, name):
    compare_with_golden(golden_dir, name)


def golden_on_jax(folder, *names):
    for name in names:
        compare_with_golden(folder, name)


@pytest.mark.parametrize(
    "names",
    [
        # Both geometries and both kinds of block; then the other two.
        ("senet50_ferplus", "keras_vggface_resnet50"),
        pytest.param(
            ("resnet50_ferplus", "keras_vggface_senet50"), marks=pytest.mark.slow
        ),
    ],
    ids="+".join,
)
def test_jax_without_tensorflow_gives_the_reference_logits_and_stages(
    golden_dir, names
):
    run_on_jax("tests.test_face_networks", "golden_on_jax", golden_dir, *names)


@pytest.mark.parametrize("name", SIZES)
def test_the_size_is_the_published_one(name):
    model, (labels, trainable, total) = network(name), SIZES[name]
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == trainable
    assert sum(int(np.prod(layer.count_params())) for layer in model.layers) == total
    assert model.output_shape == (None, labels)


@cache
def small(dropout):
    """Return a gated network for images of 32 pixels, with weights of its own."""
    keras.utils.set_random_seed(0)
    return senet50(4, size=32, dropout=dropout)


def faces(count=6, size=32):
    random = np.random.default_rng(0)
    return np.asarray(preprocess(random.integers(0, 256, (count, size, size, 3))))


def test_mixed_precision_keeps_float32_logits_near_those_of_float32():
    model = small(0.5)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        narrow = senet50(4, size=32, initializer="zeros")
    finally:
        keras.config.set_dtype_policy("float32")
    wide = {weight.path: weight for weight in model.weights}
    for weight in narrow.weights:
        if "seed_generator" not in weight.path:
            weight.assign(wide[weight.path])
    assert narrow.get_layer("conv3_1_3x3").compute_dtype == "bfloat16"
    assert narrow.output.dtype == "float32"
    # Before training, larger inputs saturate the gates, which amplifies rounding.
    expected, received = (
        np.asarray(each(0.01 * faces(), training=False)) for each in (model, narrow)
    )
    # bfloat16 has eight bits of mantissa.
    assert 0 < np.abs(received - expected).max() < 0.05 * np.abs(expected).max()


def test_training_lowers_the_loss_and_moves_every_weight():
    model = small(0.0)
    before = [np.asarray(weight) + 0 for weight in model.trainable_weights]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01), loss, run_eagerly=True)
    labels = np.arange(6) % 4
    first, second = (model.train_on_batch(faces(), labels) for _ in "ab")
    assert second < first
    for weight, old in zip(model.trainable_weights, before, strict=True):
        assert (np.asarray(weight) != old).any(), weight.path


def drops(model):
    return [x.name for x in model.layers if isinstance(x, keras.layers.Dropout)]


def test_the_dropout_stands_where_it_was_asked_for():
    literal = {"literal_dropout": True, "size": 32, "initializer": "zeros"}
    assert drops(network("senet50_ferplus")) == ["pool5_drop"]
    model = senet50(**literal)
    assert drops(model) == ["conv5_3_1x1_down_drop", "conv5_3_1x1_up_drop"]
    assert isinstance(model.get_layer("conv5_3_1x1_up_drop").output, keras.KerasTensor)
    assert drops(resnet50(**literal)) == [
        "conv5_3_3x3_drop",
        "conv5_3_1x1_increase_drop",
    ]
    features = resnet50(**literal, include_top=False)
    assert not drops(features)
    assert features.output_shape == (None, 2048)


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_the_dropout_acts_in_training_alone(rate):
    model = small(rate)
    first, second = (np.asarray(model(faces(), training=True)) for _ in "ab")
    assert (first == second).all() == (rate == 0)
    calm, again = (np.asarray(model(faces(), training=False)) for _ in "ab")
    assert (calm == again).all()


def test_a_saved_network_is_loaded_with_equal_outputs(tmp_path):
    model = small(0.5)
    model.save(tmp_path / "model.keras")
    again = load_keras_model(tmp_path / "model.keras")
    expected, received = (
        np.asarray(each(faces(), training=False)) for each in (model, again)
    )
    np.testing.assert_array_equal(received, expected)


def test_a_new_classifier_is_small_and_follows_the_seed():
    first = network("resnet50_ferplus").get_layer("classifier")
    other = resnet50(8, size=32, initializer="zeros", seed=1).get_layer("classifier")
    again = resnet50(8, size=32, initializer="zeros", seed=1).get_layer("classifier")
    assert not np.asarray(other.bias).any()
    assert 0.009 < np.asarray(other.kernel).std() < 0.011
    np.testing.assert_array_equal(other.kernel, again.kernel)
    assert (np.asarray(other.kernel) != np.asarray(first.kernel)).any()


def test_the_mean_face_becomes_zero_and_channels_take_the_order_of_the_geometry():
    face = np.broadcast_to(np.float32(MEAN_RGB), (2, 5, 7, 3))
    assert not np.asarray(preprocess(face)).any()
    assert not np.asarray(preprocess(face, "keras")).any()
    colours = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), np.uint8)
    red_first, blue_first = (
        np.asarray(preprocess(colours, geometry)) for geometry in ("caffe", "keras")
    )
    assert red_first.dtype == np.float32
    np.testing.assert_array_equal(blue_first, red_first[..., ::-1])
    np.testing.assert_allclose(red_first[..., 0], colours[..., 0] - MEAN_RGB[0], 1e-5)


@pytest.mark.parametrize("geometry", ["caffe", "keras"])
def test_a_grey_image_is_that_of_three_equal_channels(geometry):
    grey = np.random.default_rng(0).integers(0, 256, (2, 5, 7), np.uint8)
    expected = preprocess(np.repeat(grey[..., None], 3, -1), geometry)
    for image in (grey, grey[..., None]):
        np.testing.assert_array_equal(preprocess(image, geometry), expected)


@pytest.mark.parametrize("shape", [(5, 7), (2, 5, 7, 2), (1, 2, 5, 7, 3)])
def test_images_of_another_shape_are_refused(shape):
    with pytest.raises(DataError, match="grey"):
        preprocess(np.zeros(shape))


@pytest.mark.parametrize(
    "kwargs, words",
    [
        ({"geometry": "torch"}, "expected one of caffe, keras"),
        ({"size": 225}, "multiple of 4"),
        ({"size": 16}, "at least 32"),
    ],
)
def test_a_network_that_nobody_published_is_refused(kwargs, words):
    with pytest.raises(SpecError, match=words):
        resnet50(**kwargs)
