"""A RoBERTa on utterances, with drawn weights from a folder."""

from pathlib import Path

import numpy as np
import pytest

from emorec.artifacts.predictions import read_predictions
from emorec.corpora.meld import read_meld
from emorec.errors import MissingExtraError, SpecError
from emorec.features.sentence_embeddings import (
    embeddings_of,
    read_embeddings,
)
from emorec.training.meld_config import text_config
from emorec.training.meld_text import run
from tests.meld_dialogues import quiet, write_corpus


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("meld"))


@pytest.fixture(scope="module")
def corpus(folder):
    return read_meld(folder)


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    """A tiny RoBERTa with drawn weights and a vocabulary of letters, in a folder."""
    hub = pytest.importorskip("keras_hub")
    import keras

    keras.utils.set_random_seed(0)
    letters = ["Ġ", *map(chr, range(33, 127))]
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *letters, "ow", "wow"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = hub.models.RobertaTokenizer(
        vocabulary=vocabulary, merges=["o w", "w ow"]
    )
    backbone = hub.models.RobertaBackbone(
        vocabulary_size=len(tokens),
        num_layers=1,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
        max_sequence_length=100,
    )
    folder = Path(tmp_path_factory.mktemp("preset"))
    backbone.save_to_preset(folder)
    tokenizer.save_to_preset(folder)
    return folder


def test_context_is_cut_before_the_utterance(preset):
    from emorec.models.roberta_head import load_backbone
    from emorec.training.meld_roberta import tokens_of

    _, tokenizer = load_backbone(str(preset), weights=False)
    text, before = ["a wow"], ["bcdef"]
    (whole,) = tokens_of(tokenizer, text, before, 95)
    (cut,) = tokens_of(tokenizer, text, before, 9)
    (alone,) = tokens_of(tokenizer, text, [""], 95)
    start, end = tokenizer.start_token_id, tokenizer.end_token_id
    assert alone[0] == start and alone[-1] == end and len(alone) == 5
    assert len(whole) == 1 + 5 + 2 + len(alone) - 2 + 1
    assert len(cut) == 9 and cut.tolist()[-len(alone) :] == [end, *alone[1:]]


def test_padded_tokens_change_nothing(preset):
    from emorec.models.roberta_head import first_token_classifier, load_backbone

    backbone, tokenizer = load_backbone(str(preset))
    model = first_token_classifier(backbone, tokenizer.pad_token_id, 7)
    head = [layer.name for layer in model.layers][-3:]
    assert head == ["dense", "dropout", "emotions"]
    features = np.array([[[0], [9], [12], [2], [50], [50]]], np.float32)
    mask = np.arange(6)[None] < 4
    inputs = {"features": features, "mask": mask, "presence": np.ones((1, 6, 1))}
    short = {name: array[:, :4] for name, array in inputs.items()}
    np.testing.assert_allclose(
        np.asarray(model(inputs)), np.asarray(model(short)), atol=1e-5
    )


def test_roberta_is_trained_from_a_folder(preset, corpus, tmp_path):
    few = corpus.only(np.isin(corpus.split, ("train", "dev")))
    given = {"preset": str(preset), "num_epochs": 2, "learning_rate": 0.01}
    config = text_config("roberta", given | {"context": 1, "speaker_names": True})
    table = run(config, few, tmp_path, quiet)
    assert np.isfinite(table["nll"][table["predictor"] == "model"]).all()
    found = read_predictions(tmp_path / f"predictions_dev_{config.name}.npz")
    assert np.ptp(found.scores, axis=0).max() > 1e-4


def test_backbones_embed_the_mean_of_their_tokens(preset, tmp_path):
    texts = ["wow", "a longer text than that", "b"]
    found = embeddings_of(texts, list("abc"), str(preset), cache=tmp_path)
    alone = embeddings_of(texts[:1], ["a"], str(preset))
    np.testing.assert_allclose(found[:1], alone, atol=1e-5)
    (kept,) = tmp_path.glob("embeddings_*.npz")
    np.testing.assert_array_equal(read_embeddings(kept, list("abc")), found)


def test_a_missing_preset_is_named(tmp_path):
    pytest.importorskip("keras_hub")
    from emorec.models.roberta_head import load_backbone

    with pytest.raises(SpecError, match="no text network that keras-hub can load"):
        load_backbone(str(tmp_path / "absent"))


def test_without_keras_hub_the_error_names_the_extra(monkeypatch):
    from emorec.models import roberta_head

    monkeypatch.setattr(roberta_head, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"emorec\[text\]"):
        roberta_head.load_backbone("roberta_base_en")
