"""The network over words and dialogues, and its training."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emorec.artifacts.predictions import read_predictions
from emorec.corpora.meld import read_meld
from emorec.errors import SpecError
from emorec.training import meld_classifiers as classifiers
from emorec.training.meld_config import text_config
from emorec.training.meld_text import run
from tests.harness import run_on_jax
from tests.meld_dialogues import quiet, write_corpus


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("meld"))


@pytest.fixture(scope="module")
def corpus(folder):
    return read_meld(folder)


@pytest.fixture(scope="module")
def network():
    from emorec.models.dialogue_lstm import dialogue_lstm

    def build(dialogue, encoder="lstm"):
        import keras

        keras.utils.set_random_seed(1)
        model = dialogue_lstm(
            *(9, 4, 2, 3),
            width=5,
            encoder=encoder,
            context=dialogue,
            units=3,
            jit_compile=False,
        )
        return model

    return build


def batch(random, utterances, padding=0, words=4):
    """Return inputs of 2 dialogues; padded utterances hold rubbish behind the mask."""
    shape = (2, utterances + padding)
    features = np.concatenate(
        [
            random.integers(1, 9, (*shape, words)) * (np.arange(words) < 3),
            random.normal(size=(*shape, 2)),
        ],
        axis=-1,
    ).astype(np.float32)
    mask = np.broadcast_to(np.arange(shape[1]) < utterances, shape)
    presence = np.ones((*shape, 1), np.float32)
    return {"features": features, "mask": mask.copy(), "presence": presence}


@pytest.mark.parametrize("dialogue", ["none", "dialogue", "causal"])
@pytest.mark.parametrize("encoder", ["lstm", "mean"])
def test_padded_utterances_change_nothing(network, dialogue, encoder):
    model = network(dialogue, encoder)
    padded = batch(np.random.default_rng(0), 3, padding=2)
    real = {name: array[:, :3] for name, array in padded.items()}
    padded["features"][:, 3:] = 1000
    answers = [np.asarray(model(inputs)) for inputs in (real, padded)]
    np.testing.assert_allclose(answers[0], answers[1][:, :3], atol=1e-6)


@pytest.mark.parametrize("encoder", ["lstm", "mean"])
def test_padded_words_change_nothing(network, encoder):
    from emorec.models.dialogue_lstm import dialogue_lstm

    short = network("none", encoder)
    long = dialogue_lstm(
        *(9, 7, 2, 3),
        width=5,
        encoder=encoder,
        context="none",
        units=3,
        jit_compile=False,
    )
    long.set_weights(short.get_weights())
    inputs = batch(np.random.default_rng(0), 3)
    features = inputs["features"]
    wider = np.insert(features, [4, 4, 4], 0, axis=-1)
    assert wider.shape[-1] == features.shape[-1] + 3
    np.testing.assert_allclose(
        np.asarray(short(inputs)),
        np.asarray(long(inputs | {"features": wider})),
        atol=1e-6,
    )


def test_a_causal_network_does_not_see_later_utterances(network):
    inputs = batch(np.random.default_rng(0), 4)
    later = {name: array.copy() for name, array in inputs.items()}
    later["features"][:, 2:, :3] = 8
    for dialogue, same in (("causal", True), ("dialogue", False)):
        model = network(dialogue)
        first, second = (np.asarray(model(x))[:, :2] for x in (inputs, later))
        assert np.allclose(first, second, atol=1e-6) == same, dialogue


def test_mixed_precision_does_not_round_the_numbers_of_words():
    import keras

    from emorec.models.dialogue_lstm import WordsOf

    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        features = keras.Input((None, 3))
        parts = WordsOf(2, dtype="float32")(features)
        model = keras.Model(features, parts)
        numbers = np.asarray(model(np.array([[[4001, 4003, 0.5]]], np.float32))[0])
    finally:
        keras.config.set_dtype_policy("float32")
    assert numbers.tolist() == [[4001, 4003]]


def test_other_dialogues_of_the_batch_change_nothing(network):
    model = network("dialogue")
    inputs = batch(np.random.default_rng(0), 4)
    other = {name: array.copy() for name, array in inputs.items()}
    other["features"][1] = 1
    first, second = (np.asarray(model(x))[0] for x in (inputs, other))
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_weighted_f1_is_scikit_learns_over_labelled_rows():
    from emorec.training.meld_keras import WeightedF1

    random = np.random.default_rng(0)
    labels, logits = random.integers(0, 3, 40), random.normal(size=(2, 20, 3))
    targets = np.eye(3)[labels].reshape(2, 20, 3)
    targets[1, 15:] = 0
    metric = WeightedF1()
    for row in range(2):
        metric.update_state(targets[row : row + 1], logits[row : row + 1])
    expected = classifiers.weighted_f1(labels[:35], logits.reshape(40, 3)[:35])
    assert float(metric.result()) == pytest.approx(expected, abs=1e-6)


def test_the_rate_rises_and_falls_to_nothing():
    from emorec.training.meld_keras import LinearDecay

    rates = [float(LinearDecay(2.0, 10, 0.2)(step)) for step in range(11)]
    assert rates[1] == pytest.approx(2.0) and rates[10] == 0
    assert rates[0] == pytest.approx(1.0) and rates[6] == pytest.approx(1.0)


GLOVE = {"units": 8, "num_nodes": 16, "num_epochs": 6, "learning_rate": 0.02}


def glove_config(**given):
    small = {
        "jit": "off",
        "dropout_rate": 0.0,
        "word_dropout": 0.0,
        "batch_size": 4,
        "max_words": 6,
    }
    return text_config("glove", GLOVE | small | given)


@pytest.fixture(scope="module")
def glove(corpus, tmp_path_factory):
    """Results of the network over words, trained once."""
    folder = tmp_path_factory.mktemp("glove")
    said = []
    config = glove_config(dialogue="dialogue", encoder="mean", networks=2)
    table = run(config, corpus, folder, said.append)
    return config, folder, table, said


def test_the_network_learns_what_words_tell(glove):
    table = glove[2]
    model = table[table["predictor"] == "model"].set_index("split")
    assert model.loc["test", "weighted_f1"] > 0.8


def test_predictions_hold_every_utterance(glove, corpus):
    config, folder, *_ = glove
    for split in ("dev", "test"):
        found = read_predictions(folder / f"predictions_{split}_{config.name}.npz")
        assert found.ids == [corpus.ids[row] for row in corpus.rows(split)]
        assert found.schema.labels == corpus.schema.labels
        assert set(found.groups) == {name.split("_")[0] for name in found.ids}


def test_a_finished_run_is_not_repeated(glove, corpus):
    config, folder, before, _ = glove
    said = []
    after = run(config, corpus, folder, said.append)
    assert any("finished before" in line for line in said)
    assert not any("epoch" in line for line in said)
    assert after.equals(before)


def test_finished_networks_of_an_interrupted_run_are_not_repeated(glove, corpus):
    config, folder, before, _ = glove
    (folder / f"run_{config.name}.json").unlink()
    said = []
    after = run(config, corpus, folder, said.append)
    assert sum("trained before" in line for line in said) == 2
    for name in ("weighted_f1", "nll"):
        np.testing.assert_allclose(after[name], before[name], atol=1e-4)


def test_another_run_of_the_same_name_is_refused(glove, corpus):
    config, folder, *_ = glove
    with pytest.raises(SpecError, match="units: 8 before, 9 now"):
        run(replace(config, units=9), corpus, folder, quiet)


def learns_on_jax(folder, output):
    corpus = read_meld(folder)
    config = glove_config(dialogue="causal", encoder="mean", jit="auto", num_epochs=4)
    table = run(config, corpus, Path(output), quiet)
    model = table[table["predictor"] == "model"].set_index("split")
    assert model.loc["dev", "weighted_f1"] > 0.6, model


@pytest.mark.slow
def test_the_network_learns_on_jax_without_tensorflow(folder, tmp_path):
    run_on_jax("tests.test_meld_networks", "learns_on_jax", folder, tmp_path)
