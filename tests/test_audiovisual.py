"""The audiovisual networks: laws, published sizes, reference logits, checkpoints."""

from functools import cache

import keras
import numpy as np
import pytest

from emorec.artifacts.weights import read_weights
from emorec.errors import SpecError
from emorec.models.attention import Attention, IdleDense
from emorec.models.audiovisual import (
    ATTENTIONS,
    FUSIONS,
    SHORTEST,
    attention_maps,
    audio_network,
    audiovisual,
    features_network,
    fusion_network,
    video_network,
)
from emorec.models.audiovisual_weights import load_checkpoint
from emorec.models.efficientface import ChannelShuffle, efficientface
from tests.harness import (
    Subject,
    a_saved_network_is_loaded_in_safe_mode_with_equal_outputs,
    call,
    equal,
    outputs_have_the_shape_of_the_targets_and_tell_inputs_apart,
    run_on_jax,
)

PARAMETERS = {"ia": 1_854_766, "it": 1_938_414, "lt": 2_045_550}
RANDOM = np.random.default_rng(0)
AUDIO = RANDOM.normal(0, 0.3, (3, 20, 10)).astype(np.float32)
FEATURES = RANDOM.random((3, 5, 1024), np.float32) / 10
VIDEO = RANDOM.random((3, 2, 32, 32, 3), np.float32)
TARGETS = RANDOM.normal(size=(3, 8)).astype(np.float32)
BOTH = {"audio": AUDIO, "frames": FEATURES}

SUBJECTS = {
    fusion: Subject(
        fusion_network,
        {"fusion": fusion, "num_heads": heads, "frames": 5},
        BOTH,
        TARGETS,
    )
    for fusion, heads in (("ia", 4), ("it", 2), ("lt", 1))
} | {
    "audio": Subject(audio_network, {}, {"audio": AUDIO}, TARGETS),
    "features": Subject(features_network, {"frames": 5}, {"frames": FEATURES}, TARGETS),
}


@cache
def whole():
    """Return a whole network of small frames, which no test changes."""
    keras.utils.set_random_seed(0)
    return audiovisual("ia", frames=2, size=32)


@pytest.mark.parametrize("name", SUBJECTS)
@pytest.mark.parametrize(
    "law",
    [
        outputs_have_the_shape_of_the_targets_and_tell_inputs_apart,
        a_saved_network_is_loaded_in_safe_mode_with_equal_outputs,
    ],
)
def test_the_network_keeps_the_law(law, name):
    law(SUBJECTS[name])


@pytest.mark.parametrize("name", SUBJECTS)
def test_logits_stay_float32_under_mixed_precision(name):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = SUBJECTS[name].fresh()
    finally:
        keras.config.set_dtype_policy(before)
    assert model.output.dtype == "float32"
    expected = SUBJECTS[name].expected
    worst = np.abs(SUBJECTS[name].outputs(model) - expected).max()
    # bfloat16 has eight bits of mantissa.
    assert 0 < worst < 0.05 * np.abs(expected).max()


def idle(model):
    """Return the weights that take no part, nested networks included."""
    found = set()
    for layer in model.layers:
        if isinstance(layer, IdleDense):
            found |= {id(weight) for weight in layer.weights}
        elif isinstance(layer, keras.Model):
            found |= idle(layer)
    return found


def learning_moves_all_but_idle_weights(model, inputs):
    eagerly = keras.backend.backend() != "jax"
    model.compile(keras.optimizers.Adam(1e-4), "mse", run_eagerly=eagerly)
    before = [
        keras.ops.convert_to_numpy(weight) + 0 for weight in model.trainable_variables
    ]
    first, second = (model.train_on_batch(inputs, TARGETS) for _ in range(2))
    assert second < first
    resting = idle(model)
    for weight, old in zip(model.trainable_variables, before, strict=True):
        assert (np.asarray(weight) != old).any() == (id(weight) not in resting), weight


@pytest.mark.parametrize("name", SUBJECTS)
def test_learning_lowers_the_loss_and_moves_all_but_idle_weights(name):
    model = SUBJECTS[name].fresh()
    assert len(idle(model)) == {"ia": 8, "it": 4, "lt": 4}.get(name, 0)
    learning_moves_all_but_idle_weights(model, SUBJECTS[name].inputs)


@pytest.mark.parametrize("heads", [1, 4, 64])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_the_networks_have_the_published_sizes(fusion, heads):
    parts = whole().get_layer("frames"), fusion_network(fusion, num_heads=heads)
    counts = [w.shape.num_elements() for p in parts for w in p.trainable_variables]
    assert sum(counts) == PARAMETERS[fusion]
    if (fusion, heads) == ("ia", 1):
        # Neither the size nor the number of frames changes the count.
        counts = [w.shape.num_elements() for w in whole().trainable_variables]
        assert sum(counts) == PARAMETERS["ia"]


def state_of(*paths):
    """Return the state dictionary in files of golden/."""
    state = {}
    for path in paths:
        tensors = read_weights(path)
        state |= {
            name.removeprefix("state/"): tensor
            for name, tensor in tensors.items()
            if name.startswith("state/")
        }
    return state


def gives_the_reference_logits(folder):
    """Compare all fusions and numbers of heads; frames are seen once."""
    common = f"{folder}/ravdess_common.npz"
    given = read_weights(common)
    video = given["video"].transpose(0, 1, 3, 4, 2).reshape(-1, 224, 224, 3)
    frames = efficientface(initializer="zeros")
    load_checkpoint(frames, state_of(common))
    features = np.asarray(call(frames, video.astype(np.float32) / 255))
    inputs = {
        "audio": given["audio"].transpose(0, 2, 1),
        "frames": features.reshape(3, 15, -1),
    }
    networks, expected = {}, {}
    for fusion in FUSIONS:
        path = f"{folder}/ravdess_{fusion}.npz"
        for heads in (1, 4):
            network = fusion_network(fusion, num_heads=heads, initializer="zeros")
            load_checkpoint(network, state_of(common, path))
            key = f"{fusion}{heads}"
            # Under names of their own they are compiled together, which is sooner.
            networks[key] = keras.Model(network.input, network.output, name=key)
            expected[key] = read_weights(path)[f"logits_heads{heads}"]
    first = network.input
    together = keras.Model(first, {key: net(first) for key, net in networks.items()})
    found = call(together, inputs)
    for key, logits in expected.items():
        worst = np.abs(np.asarray(found[key]) - logits).max()
        assert worst < 1e-4 * np.abs(logits).max(), (key, worst)


def test_the_networks_give_the_reference_logits(golden_dir):
    gives_the_reference_logits(golden_dir / "ravdess")


def test_the_networks_give_the_reference_logits_on_jax(golden_dir):
    run_on_jax(
        "tests.test_audiovisual", "gives_the_reference_logits", golden_dir / "ravdess"
    )


def learns():
    """Take a step of the fusion that has every kind of layer on this backend."""
    learning_moves_all_but_idle_weights(SUBJECTS["it"].fresh(), BOTH)


def test_a_fusion_learns_on_jax():
    run_on_jax("tests.test_audiovisual", "learns")


def test_the_whole_network_is_its_two_parts_is_saved_and_learns(tmp_path):
    model = keras.models.clone_model(whole())
    model.set_weights(whole().get_weights())
    inputs = {"audio": AUDIO, "video": VIDEO}
    logits = call(model, inputs)
    frames, fusion = model.get_layer("frames"), model.get_layer("fusion")
    features = np.asarray(frames(VIDEO.reshape(6, 32, 32, 3))).reshape(3, 2, -1)
    equal(fusion({"audio": AUDIO, "frames": features}), logits)
    attention_maps(model)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(call(again, inputs), logits)
    learning_moves_all_but_idle_weights(again, inputs)


def test_a_frozen_frame_network_leaves_the_fusion_to_be_trained():
    frames = whole().get_layer("frames")
    frames.trainable = False
    try:
        trained = {id(weight) for weight in whole().trainable_variables}
        fusion = whole().get_layer("fusion").trainable_variables
        assert trained == {id(weight) for weight in fusion}
    finally:
        frames.trainable = True


@pytest.mark.parametrize("name", FUSIONS)
def test_a_clips_logits_are_its_own_whatever_its_place_in_the_batch(name):
    subject, order = SUBJECTS[name], [2, 0, 1]
    moved = {key: x[order] for key, x in subject.inputs.items()}
    received = subject.outputs(subject.model, moved)
    np.testing.assert_allclose(received, subject.expected[order], rtol=1e-5, atol=1e-5)


# Of the fewest steps one is left, over which attention has no choice.
@pytest.mark.filterwarnings("ignore:You are using a softmax")
@pytest.mark.parametrize("steps", [SHORTEST, 33])
@pytest.mark.parametrize("name", [*FUSIONS, "audio"])
def test_audio_may_have_any_number_of_steps(name, steps):
    audio = RANDOM.normal(size=(3, steps, 10)).astype(np.float32)
    subject = SUBJECTS[name]
    # `outputs` refuses what is not finite.
    received = subject.outputs(subject.model, subject.inputs | {"audio": audio})
    assert (np.abs(received - subject.expected) > 1e-4).any()


@pytest.mark.parametrize("name", FUSIONS)
def test_the_maps_are_shares_of_the_keys(name):
    subject = SUBJECTS[name]
    heads, steps = subject.kwargs["num_heads"], 8 if name == "lt" else 14
    maps = call(attention_maps(subject.model), subject.inputs)
    assert maps["audio_over_video"].shape == (3, heads, steps, 5)
    assert maps["video_over_audio"].shape == (3, heads, 5, steps)
    for weights in map(np.asarray, maps.values()):
        assert weights.dtype == np.float32 and (weights >= 0).all()
        np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
        assert np.ptp(weights, axis=-1).max() > 1e-3


def test_the_maps_of_the_whole_network_are_those_of_its_fusion():
    frames, fusion = (whole().get_layer(name) for name in ("frames", "fusion"))
    features = np.asarray(frames(VIDEO.reshape(6, 32, 32, 3))).reshape(3, 2, -1)
    expected = attention_maps(fusion)({"audio": AUDIO, "frames": features})
    received = attention_maps(whole())({"audio": AUDIO, "video": VIDEO})
    assert received.keys() == expected.keys() == ATTENTIONS.keys()
    for key, weights in expected.items():
        equal(received[key], weights)


def attended(heads, queries, keys, values):
    result = Attention(heads)(queries, np.concatenate([keys, values], -1))
    return tuple(map(np.asarray, result))


def test_each_head_attends_with_its_own_channels():
    q, k, v = (RANDOM.normal(size=(2, t, 6)).astype(np.float32) for t in (4, 3, 3))
    found, weights = attended(2, q, k, v)
    for head, part in enumerate((np.s_[..., :3], np.s_[..., 3:])):
        alone, single = attended(1, q[part], k[part], v[part])
        equal(found[part], alone)
        equal(weights[:, head : head + 1], single)
    products = np.exp(np.einsum("bqd,bkd->bqk", q[..., :3], k[..., :3]) / 3**0.5)
    equal(weights[:, 0], products / products.sum(-1, keepdims=True))


def test_equal_keys_find_the_mean_of_the_values():
    q, v = (RANDOM.normal(size=(2, t, 6)).astype(np.float32) for t in (4, 3))
    found, weights = attended(2, q, np.ones_like(v), v)
    equal(weights, np.full((2, 2, 4, 3), 1 / 3))
    equal(found, v.mean(1, keepdims=True).repeat(4, 1))


def test_shuffled_channels_come_by_turns_from_both():
    first, second = np.arange(8.0).reshape(2, 1, 1, 4), np.arange(8.0, 16)
    both = np.asarray(ChannelShuffle()([first, second.reshape(2, 1, 1, 4)]))
    assert both.shape == (2, 1, 1, 8)
    assert both[1, 0, 0].tolist() == [4, 12, 5, 13, 6, 14, 7, 15]


def test_what_cannot_be_built_is_refused():
    with pytest.raises(SpecError, match="'mean': expected one of ia, it, lt"):
        fusion_network("mean")
    with pytest.raises(SpecError, match=r"128 heads: expected .* the 64 channels"):
        fusion_network("ia", num_heads=128)
    with pytest.raises(SpecError, match="0 heads"):
        audiovisual("lt", num_heads=0)
    with pytest.raises(SpecError, match="size 40: expected a multiple of 16"):
        video_network(size=40)
    with pytest.raises(SpecError, match="expected one with attention"):
        attention_maps(SUBJECTS["audio"].model)
