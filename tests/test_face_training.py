"""Training face networks: their laws, the optimiser, losses, resuming, averaging."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from emorec.artifacts.runs import RunFolder
from emorec.batches.images import ImageInput, predict
from emorec.corpora.fer_miniature import DATASET, write_ferplus
from emorec.corpora.ferplus import read_ferplus
from emorec.errors import DataError, SpecError
from emorec.models import face_networks
from emorec.models.face_networks import compact, vgg13
from emorec.training.face_config import PRESETS, FacesConfig, from_preset
from emorec.training.face_data import FaceData
from emorec.training.face_losses import acc, loss_of
from emorec.training.faces import run
from emorec.training.optimizers import GroupedSGD, Schedule
from tests.harness import Subject, cases, run_on_jax

RANDOM = np.random.default_rng(0)
FACES = RANDOM.normal(size=(5, 32, 32, 1)).astype(np.float32)
TARGETS = RANDOM.dirichlet(np.ones(4), 5).astype(np.float32)


def named(**kwargs):
    """Build the compact network with its input under a name."""
    model = compact(**kwargs)
    return keras.Model({"image": model.input}, model.output)


SUBJECTS = {
    "compact": Subject(
        named,
        {"num_outputs": 4, "dropout_rate": 0.0, "widths": (4, 5, 6), "size": 32},
        {"image": FACES},
        TARGETS,
    ),
}


@pytest.mark.parametrize("subject, law", cases(SUBJECTS))
def test_the_compact_network_keeps_the_law(subject, law):
    law(subject)


def test_vgg13_is_that_of_the_paper():
    model = vgg13(8)
    shapes = {layer.name: layer.output.shape[1:] for layer in model.layers}
    assert shapes["conv1_2"] == (64, 64, 64) and shapes["conv2_2"] == (32, 32, 128)
    assert shapes["conv3_3"] == (16, 16, 256) and shapes["pool4"] == (4, 4, 256)
    convolutions = [
        *((1, 64), (64, 64), (64, 128), (128, 128), (128, 256)),
        *([(256, 256)] * 5),
    ]
    size = sum(9 * a * b + b for a, b in convolutions)
    size += (4 * 4 * 256 + 1) * 1024 + 1025 * 1024 + 1025 * 8
    assert model.count_params() == size
    rates = [x.rate for x in model.layers if isinstance(x, keras.layers.Dropout)]
    assert rates == [0.25] * 4 + [0.5] * 2


def two_layers():
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(3, name="body"), keras.layers.Dense(2, name="head")]
    model = keras.Sequential([keras.Input((4,)), *layers])
    return model


def test_the_optimiser_steps_as_matconvnet_and_caffe_do():
    model = two_layers()
    rate, momentum, decay, factor = 0.1, 0.9, 0.05, 0.25
    optimizer = GroupedSGD(rate, momentum, decay, factor, head="head")
    expected = [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]
    velocity = [np.zeros_like(v) for v in expected]
    random = np.random.default_rng(0)
    for _ in range(3):
        gradients = [random.normal(size=v.shape).astype(np.float32) for v in expected]
        optimizer.apply([*map(keras.ops.array, gradients)], model.trainable_variables)
        for number, gradient in enumerate(gradients):
            own = rate * (factor if number < 2 else 1)
            pull = gradient + decay * expected[number]
            velocity[number] = momentum * velocity[number] - own * pull
            expected[number] = expected[number] + velocity[number]
    for variable, value in zip(model.trainable_variables, expected, strict=True):
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(variable), value, atol=1e-6
        )


def test_the_optimiser_is_rebuilt_from_its_config():
    optimizer = GroupedSGD(Schedule("cosine", 0.1, 10, 5, 1), 0.8, 1e-4, 0.1)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert (
        isinstance(again, GroupedSGD) and again.get_config() == optimizer.get_config()
    )


@pytest.mark.parametrize(
    "schedule, rates",
    [
        (("constant", 0.1, 9, 4), {0: 0.1, 35: 0.1}),
        # Albanie et al.: 60 epochs each of 1, 1/10, 1/100.
        (
            ("steps", 0.01, 180, 7),
            {0: 0.01, 419: 0.01, 420: 1e-3, 839: 1e-3, 840: 1e-4, 1259: 1e-4},
        ),
        # Barsoum et al.: .05 for 20 epochs, .025 for 20, then .005.
        (
            ("halved", 0.05, 100, 3),
            {0: 0.05, 59: 0.05, 60: 0.025, 119: 0.025, 120: 0.005, 299: 0.005},
        ),
        (("cosine", 0.2, 10, 10), {0: 0.2, 50: 0.1, 100: 0.0}),
        (("cosine", 0.2, 12, 10, 2), {0: 0.01, 9: 0.1, 19: 0.2, 70: 0.1, 120: 0.0}),
    ],
    ids=["constant", "steps", "halved", "cosine", "warm-up"],
)
def test_a_schedule_has_the_published_rates(schedule, rates):
    function = Schedule(*schedule)
    found = {step: float(function(np.int64(step))) for step in rates}
    assert found == pytest.approx(rates, rel=1e-4, abs=1e-7)


def test_losses_are_those_of_the_papers():
    logits = RANDOM.normal(size=(6, 4)).astype(np.float32)
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    shares = RANDOM.dirichlet(np.ones(4), 6).astype(np.float32)

    def value(name, targets, smoothing=0.0):
        loss = loss_of(name, smoothing)(
            keras.ops.array(targets), keras.ops.array(logits)
        )
        return float(np.mean(keras.ops.convert_to_numpy(loss)))

    expected = -(shares * logs).sum(axis=1).mean()
    assert value("distributions", shares) == pytest.approx(expected, rel=1e-5)
    smooth = 0.9 * shares + 0.1 / 4
    assert value("distributions", shares, 0.1) == pytest.approx(
        -(smooth * logs).sum(axis=1).mean(), rel=1e-5
    )
    chosen = np.float32([[0.9991, 0.001, 0.9991, 0.001]] * 6)
    expected = -(np.log(chosen) + logs).max(axis=1).mean()
    assert value("multi_target", chosen) == pytest.approx(expected, rel=1e-4)


def test_accuracy_compares_the_largest():
    targets = np.float32([[0.4, 0.4, 0.2], [0, 0, 1], [0, 1, 0]])
    logits = np.float32([[3, 1, 2], [0, 9, 1], [-1, 0, -2]])
    found = keras.ops.convert_to_numpy(acc(targets, keras.ops.array(logits)))
    assert found.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    "given, message",
    [
        ({"network": "alexnet"}, "--network alexnet: expected one of compact"),
        ({"label_mode": "votes"}, "--label_mode votes: expected one of cntk"),
        ({"loss": "multi_target"}, "so use --label_mode multi_target"),
        ({"label_mode": "multi_target"}, "so use --loss multi_target"),
        ({"batch_size": 0}, "--batch_size 0: expected 1 to"),
        ({"learning_rate": float("nan")}, "--learning_rate nan: expected"),
        ({"weights": "a.h5"}, "published weights are those of resnet50 and senet50"),
        ({"augment": "none", "erase": 2.0}, "--erase 2.0: expected 0 to 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(given, message):
    with pytest.raises(SpecError, match=message):
        from_preset("compact", given)


def test_presets_are_there_and_others_are_refused():
    for preset in PRESETS:
        assert from_preset(preset, {}).finetune_lr == 1.0
    loaded = from_preset("senet50", {"weights": "a.h5"})
    assert loaded.finetune_lr == 0.1
    with pytest.raises(SpecError, match="--preset big: expected one of compact"):
        from_preset("big", {})
    with pytest.raises(SpecError, match="--warmup 3: expected fewer than the 2"):
        Schedule("cosine", 0.1, 2, 5, 3)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return small(tmp_path_factory.mktemp("faces"))


def small(folder):
    """Sixty-four drawn faces to train on, and as many to validate and test."""
    write_ferplus(folder)
    corpus = read_ferplus(folder)
    chosen = np.concatenate(
        [
            np.flatnonzero(corpus.split == split)[:64]
            for split in np.unique(corpus.split)
        ]
    )
    return FaceData(corpus.only(np.sort(chosen)), DATASET)


CONFIG = FacesConfig(
    label_mode="crossentropy",
    batch_size=32,
    num_epochs=3,
    learning_rate=0.05,
    schedule="cosine",
    augment="flip",
)


def train(data, folder, config=CONFIG, say=lambda line: None):
    """Train a narrow network of its kind, which takes a second an epoch."""
    with pytest.MonkeyPatch.context() as patch:
        narrow = partial(compact, widths=(4, 6))
        patch.setattr(face_networks, "compact", narrow)
        return run(config, data, RunFolder(folder, "test"), say)


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_an_interrupted_training_ends_as_an_undisturbed_one(data, tmp_path, ema):
    config = replace(CONFIG, ema=ema)
    expected = train(data, tmp_path / "whole", config)

    def interrupt(line):
        if line.startswith("epoch   2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "cut", config, interrupt)
    lines = []
    found = train(data, tmp_path / "cut", config, lines.append)
    assert any("Going on after epoch 2" in line for line in lines)
    for split in ("valid", "test"):
        np.testing.assert_array_equal(found.logits[split], expected.logits[split])
    assert not list((tmp_path / "cut").glob("unfinished*"))
    # Once more: nothing is trained, the scores are the same.
    again = train(data, tmp_path / "cut", config, lines.append)
    assert any("trained before" in line for line in lines)
    np.testing.assert_array_equal(again.logits["test"], expected.logits["test"])


def the_kept_weights_are_those_that_were_validated(folder):
    """The best epoch's accuracy in the history is that of the returned network."""
    folder = Path(folder)
    data = small(folder / "faces")
    for ema in (0.0, 0.8):
        where = folder / f"run_{ema}"
        scores = train(data, where, replace(CONFIG, ema=ema))
        true, probabilities, _ = scores.labelled("valid", "majority")
        found = (probabilities.argmax(axis=1) == true).mean()
        history = pd.read_csv(where / "history_test.csv")
        assert np.isclose(history["val_acc"].max(), found, atol=1e-6)


def test_the_kept_weights_are_those_that_were_validated(tmp_path):
    the_kept_weights_are_those_that_were_validated(tmp_path)


@pytest.mark.slow
def test_the_kept_weights_are_those_that_were_validated_on_jax(tmp_path):
    run_on_jax(
        "tests.test_face_training",
        "the_kept_weights_are_those_that_were_validated",
        tmp_path,
    )


def test_a_name_taken_by_other_settings_is_refused(data, tmp_path):
    one = replace(CONFIG, num_epochs=1)
    train(data, tmp_path, one)
    with pytest.raises(SpecError, match=r"seed: 0 before, 1 now"):
        train(data, tmp_path, replace(one, seed=1))


def test_a_split_without_labels_is_refused(data, tmp_path):
    corpus = data.corpus
    votes = corpus.votes.copy()
    votes[corpus.split == "valid"] = [0] * 8 + [9, 1]
    unlabelled = FaceData(replace(corpus, votes=votes), DATASET)
    with pytest.raises(DataError, match="split valid has no face with a label"):
        train(unlabelled, tmp_path)


def test_predictions_do_not_depend_on_the_batch():
    keras.utils.set_random_seed(0)
    model = compact(4, widths=(4, 5), size=48)
    faces = np.random.default_rng(0).integers(0, 255, (7, 48, 48), np.uint8)
    image_input = ImageInput(48, (120.0,), 60.0)
    one = predict(model, faces, image_input, 7)
    other = predict(model, faces, image_input, 3)
    np.testing.assert_allclose(one, other, atol=1e-5)
    assert np.ptp(one, axis=0).min() > 1e-4
