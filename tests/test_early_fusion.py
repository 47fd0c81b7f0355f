"""Early fusion: the laws of every network, its size, and equality between backends."""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from emorec.models.early_fusion import LSTM_UNITS, early_fusion
from tests.harness import Subject, cases, equal, laws, run_on_jax

LABELS = 4
LENGTHS = np.array([5, 1, 3, 5, 2, 4])


def make_subject(widths, **kwargs):
    """Six sequences of 1 to 5 steps in which every modality is absent somewhere."""
    rng = np.random.default_rng(sum(widths))
    shape = len(LENGTHS), max(LENGTHS)
    mask = np.arange(shape[1]) < LENGTHS[:, None]
    present = rng.random((*shape, len(widths))) < 0.7
    present[0] = True
    spread = np.repeat(present, widths, axis=-1)
    features = rng.normal(0, 1, (*shape, sum(widths))) * spread * mask[..., None]
    steps = (shape[1],) if kwargs.get("per_step") else ()
    inputs = {
        "features": features.astype(np.float32),
        "mask": mask,
        "presence": (present & mask[..., None]).astype(np.float32),
    }
    return Subject(
        early_fusion,
        {"widths": widths, "num_outputs": LABELS, "num_nodes": 12, **kwargs},
        inputs,
        rng.uniform(0, 3, (len(LENGTHS), *steps, LABELS)).astype(np.float32),
        mask="mask",
        absent={"features": ~spread & mask[..., None]},
    )


SUBJECTS = {
    "one layer": make_subject((5, 3, 4)),
    "two layers, per step": make_subject((5, 3), num_layers=2, per_step=True),
    "three layers, one modality": make_subject((4,), num_layers=3),
}


@pytest.mark.parametrize("subject, law", cases(SUBJECTS))
def test_early_fusion_keeps_the_law(subject, law):
    law(subject)


def size(features, outputs, num_layers, num_nodes):
    """Count parameters: statistics and scale, gates of both directions, two layers."""
    total, entering = 4 * features, features
    for _ in range(num_layers):
        gates = 4 * LSTM_UNITS * (entering + LSTM_UNITS + 1)
        total, entering = total + 2 * gates, 2 * LSTM_UNITS
    return total + (entering + 1) * num_nodes + (num_nodes + 1) * outputs


@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("widths", [(300, 35, 74), (35,)])
def test_the_size_follows_from_the_widths(widths, num_layers, per_step):
    model = early_fusion(widths, 6, num_layers, num_nodes=100, per_step=per_step)
    assert model.count_params() == size(sum(widths), 6, num_layers, 100)


@pytest.mark.parametrize("activation, low", [("sigmoid", 0), ("relu", 0), ("tanh", -1)])
def test_the_final_activation_bounds_the_outputs(activation, low):
    subject = SUBJECTS["one layer"]
    spread = subject.inputs | {"features": 100 * subject.inputs["features"]}
    kwargs = subject.kwargs | {"final_activation": activation}
    outputs = subject.outputs(replace(subject, kwargs=kwargs).model, spread)
    assert outputs.min() >= low
    assert activation == "relu" or outputs.max() <= 1


def test_the_statistics_are_those_of_present_features_at_real_steps():
    subject = SUBJECTS["one layer"]
    model = subject.fresh()
    layer = model.get_layer("normalisation")
    model(subject.inputs, training=True)
    real = subject.inputs["features"][subject.inputs["mask"]]
    moved = 1 - layer.momentum
    equal(layer.moving_mean, moved * real.mean(0))
    equal(layer.moving_variance, layer.momentum + moved * real.var(0))


def test_an_absent_modality_differs_from_one_whose_features_are_zero():
    subject = SUBJECTS["three layers, one modality"]
    silent = subject.inputs | {
        name: np.zeros_like(subject.inputs[name]) for name in ("features", "presence")
    }
    model = subject.model
    presence = np.broadcast_to(subject.inputs["mask"][..., None], (6, 5, 1))
    heard = silent | {"presence": presence.astype(np.float32)}
    difference = subject.outputs(model, heard) - subject.outputs(model, silent)
    assert (np.abs(difference) > 1e-4).any()


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_dropout_acts_in_training_alone(rate):
    subject = make_subject((4, 2), dropout_rate=rate)
    model = subject.fresh()
    first, second = (np.asarray(model(subject.inputs, training=True)) for _ in "ab")
    assert (first == second).all() == (rate == 0)
    equal(subject.outputs(model), subject.outputs(model))


def test_xla_compiles_a_network_without_cudnn():
    subject = make_subject((4, 2), use_cudnn=False)
    model = subject.fresh()
    both = model.get_layer("bidirectional_1")
    assert not both.forward_layer.use_cudnn
    assert not both.backward_layer.use_cudnn
    model.compile("adam", "mse", jit_compile=True)
    assert model.jit_compile
    equal(model.predict_on_batch(subject.inputs), subject.outputs(model))


def laws_on_jax(folder):
    """Run where there is no TensorFlow: the laws, and the weights of TensorFlow."""
    subject = SUBJECTS["one layer"]
    for law in laws(subject):
        law(subject)
    for path in Path(folder).glob("*.keras"):
        model = keras.saving.load_model(path, safe_mode=True)
        np.save(path.with_suffix(".npy"), SUBJECTS[path.stem].outputs(model))
        model.save(path.with_suffix(".back.keras"))


def test_jax_without_tensorflow_keeps_the_laws_and_gives_the_same_outputs(tmp_path):
    for name, subject in SUBJECTS.items():
        subject.model.save(tmp_path / f"{name}.keras")
    run_on_jax("tests.test_early_fusion", "laws_on_jax", tmp_path)
    for name, subject in SUBJECTS.items():
        on_jax = np.load(tmp_path / f"{name}.npy")
        np.testing.assert_allclose(on_jax, subject.expected, rtol=0, atol=1e-5)
        back = keras.saving.load_model(tmp_path / f"{name}.back.keras", safe_mode=True)
        equal(subject.outputs(back), subject.expected)
