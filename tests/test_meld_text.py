"""MELD's text systems: laws of the features, the networks and the whole command."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emorec.artifacts.predictions import read_predictions
from emorec.corpora.meld import read_meld
from emorec.errors import DataError, MissingExtraError, SpecError
from emorec.features import dialogue_context as context
from emorec.features.sentence_embeddings import (
    embeddings_of,
    read_embeddings,
    write_embeddings,
)
from emorec.features.word_vectors import (
    PADDING,
    UNKNOWN,
    embedding_matrix,
    read_word_vectors,
    vocabulary,
    words_of,
)
from emorec.training import meld_classifiers as classifiers
from emorec.training.meld_config import text_config
from emorec.training.meld_data import TextData
from emorec.training.meld_text import run

EMOTIONS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
SENTIMENT = {"neutral": "neutral", "joy": "positive", "surprise": "positive"}
HEADER = [
    *("Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID"),
    *("Utterance_ID", "Season", "Episode", "StartTime", "EndTime"),
]
# A word tells the emotion; fillers tell nothing.
TELLING = dict(
    zip(
        EMOTIONS,
        ("damn", "yuck", "scared", "great", "okay", "sorry", "wow"),
        strict=True,
    )
)
FILLERS = ("you", "the", "we", "is", "that", "to")


def write_corpus(folder, dialogues=(20, 4, 4), length=5, empty=()):
    """Write dialogues whose telling word says the emotion; `empty` ids have none."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(5)
    for split, count in zip(("train", "dev", "test"), dialogues, strict=True):
        with (folder / f"{split}_sent_emo.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(HEADER)
            for dialogue in range(count):
                for number in range(length):
                    emotion = EMOTIONS[
                        random.choice(7, p=[0.1] * 4 + [0.4] + [0.1] * 2)
                    ]
                    words = [*random.choice(FILLERS, 3), TELLING[emotion]]
                    said = " ".join(random.permutation(words)) + "!"
                    if f"{split}/dia{dialogue}_utt{number}" in empty:
                        said = ""
                    speaker = ("Ross", "Joey")[random.integers(2)]
                    row = [
                        1,
                        said,
                        speaker,
                        emotion,
                        SENTIMENT.get(emotion, "negative"),
                    ]
                    times = [f"00:00:{number:02d},000", f"00:00:{number:02d},900"]
                    writer.writerow([*row, dialogue, number, 1, 1, *times])
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("meld"))


@pytest.fixture(scope="module")
def corpus(folder):
    return read_meld(folder)


def quiet(line):
    pass


def shuffled_embeddings(corpus, path, seed=0):
    """Write vectors that hold the class and noise, in another order of ids."""
    random = np.random.default_rng(seed)
    vectors = np.eye(7)[corpus.classes] + random.normal(0, 0.2, (len(corpus), 7))
    order = random.permutation(len(corpus))
    write_embeddings(path, [corpus.ids[row] for row in order], vectors[order])
    return path


# Words


def test_contractions_are_parted_as_in_the_penn_treebank():
    assert words_of("I don’t KNOW... you're, what?!") == [
        *("i", "do", "n't", "know", "...", "you", "'re", ",", "what", "?", "!")
    ]


def test_word_vectors_of_text_and_npz_are_the_same(tmp_path):
    words, vectors = ["joy", "Ross", ". ."], np.array([[1, 2], [3, 4], [5, 6]], float)
    lines = [f"{w} {a} {b}" for w, (a, b) in zip(words, vectors, strict=True)]
    (tmp_path / "glove.txt").write_text("\n".join(lines) + "\n")
    np.savez(tmp_path / "glove.npz", words=np.array(words), vectors=vectors)
    for name in ("glove.txt", "glove.npz"):
        found = read_word_vectors(tmp_path / name, ["joy", "ross", "absent"])
        assert set(found.words) == {"joy", "ross"}, name
        assert found.vectors[found.words["ross"]].tolist() == [3, 4]


def test_a_damaged_line_of_word_vectors_is_named(tmp_path):
    (tmp_path / "glove.txt").write_text("joy 1 2\nsad 3\n")
    with pytest.raises(DataError, match=r"glove\.txt, line 2: .* 2 numbers"):
        read_word_vectors(tmp_path / "glove.txt")


def test_words_are_known_by_training_or_by_their_vector(tmp_path):
    np.savez(tmp_path / "v.npz", words=np.array(["far"]), vectors=np.ones((1, 3)))
    vectors = read_word_vectors(tmp_path / "v.npz")
    words = vocabulary(["so so once"], vectors)
    row = words.encode(["far so once"], 5)[0].tolist()
    assert row[2:] == [UNKNOWN, PADDING, PADDING]
    assert len({*row[:2], UNKNOWN, PADDING}) == 4
    matrix = embedding_matrix(words, vectors, 3)
    assert (matrix[row[0]] == 1).all() and not matrix[PADDING].any()


# Context


def test_neighbours_stay_in_their_dialogue_and_skip_gaps():
    dialogues, numbers = np.array(["b", "a", "b", "a"]), np.array([7, 1, 2, 0])
    found = context.neighbours(dialogues, numbers, (-1, 1))
    none = context.ABSENT
    assert found.tolist() == [[2, none], [3, none], [none, 0], [none, 1]]


def test_an_utterance_that_stands_twice_is_refused():
    with pytest.raises(DataError, match="Dialogue a: utterance 3 stands twice"):
        context.neighbours(np.array(["a", "a"]), np.array([3, 3]), (-1,))


def test_context_comes_from_the_past_alone():
    random = np.random.default_rng(0)
    features = random.normal(size=(6, 2))
    dialogues, numbers = np.array(list("aaaabb")), np.array([0, 1, 2, 3, 0, 1])
    before = context.with_previous(features, dialogues, numbers, 2)
    changed = features.copy()
    changed[2:] += 1
    after = context.with_previous(changed, dialogues, numbers, 2)
    assert before.shape == (6, 8)
    np.testing.assert_array_equal(before[:2], after[:2])
    np.testing.assert_allclose(before[3, -2:], features[:3].mean(0))
    assert not before[[0, 4], 2:].any()


def test_speaker_flags_tell_how_the_turn_goes_on():
    speakers = np.array(["x", "x", "y", "x"])
    flags = context.speaker_flags(np.array(list("aaaa")), np.arange(4), speakers)
    assert flags.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1]]


def test_previous_texts_name_their_speakers():
    texts = ["hi", "", "oh", "no"]
    said = context.previous_texts(
        texts, np.array(list("aaaa")), np.arange(4), 2, ["A", "B", "C", "D"]
    )
    assert said == ["", "A: hi", "A: hi", "C: oh"]


# Classifiers


def test_tfidf_is_fitted_on_train_alone(corpus):
    learnt = TextData.of(corpus).learnt
    changed = list(corpus.utterances)
    for row in np.flatnonzero(~learnt):
        changed[row] = "unheard unheard words words"
    for mine, theirs in zip(
        classifiers.tfidf_blocks(corpus.utterances, None, learnt),
        classifiers.tfidf_blocks(changed, None, learnt),
        strict=True,
    ):
        assert mine.shape == theirs.shape
        assert abs(mine[learnt] - theirs[learnt]).max() == 0


def test_permuted_classes_permute_the_scores(corpus):
    data = TextData.of(corpus)
    blocks = classifiers.tfidf_blocks(corpus.utterances, None, data.learnt)
    order = np.random.default_rng(0).permutation(7)
    dev = data.split("dev")
    scores = [
        classifiers.classify_tfidf(blocks, classes, data.learnt, dev, 7).scores
        for classes in (corpus.classes, order[corpus.classes])
    ]
    np.testing.assert_allclose(scores[0], scores[1][:, order], atol=1e-3)


def test_out_of_fold_scores_come_from_models_that_did_not_learn_the_dialogue():
    dialogues = np.repeat([f"d{n}" for n in range(12)], 3)
    learnt = np.arange(36) < 30
    fold = classifiers.dialogue_folds(dialogues, learnt, 0)

    def fit(taught):
        return np.isin(dialogues, dialogues[taught])[:, None].astype(float)

    scores = classifiers.out_of_fold(np.full((36, 1), 0.5), fit, fold, learnt)
    assert (scores[learnt] == 0).all() and (scores[~learnt] == 0.5).all()


def test_causal_neighbours_do_not_see_later_utterances():
    random = np.random.default_rng(0)
    scores = random.dirichlet(np.ones(3), 5)
    changed = scores.copy()
    changed[3:] = random.dirichlet(np.ones(3), 2)
    place = (np.array(list("aaaaa")), np.arange(5), np.array(list("xyxyx")))
    both = [
        classifiers.neighbour_features(s, *place, 2, causal)
        for causal in (True, False)
        for s in (scores, changed)
    ]
    np.testing.assert_array_equal(both[0][:3], both[1][:3])
    assert not np.array_equal(both[2][:3], both[3][:3])


@pytest.mark.parametrize("classifier", ["svm", "boosting"])
def test_classifiers_learn_what_embeddings_tell(corpus, tmp_path, classifier):
    path = shuffled_embeddings(corpus, tmp_path / "e.npz")
    config = text_config(
        "embeddings", {"embeddings": str(path), "classifier": classifier}
    )
    table = run(config, corpus, tmp_path, quiet)
    model = table[table["predictor"] == "model"]
    constant = table[table["predictor"] == "constant"]
    gain = model["weighted_f1"].to_numpy() - constant["weighted_f1"].to_numpy()
    assert (gain > 0.3).all()


def test_xgboost_names_its_extra():
    if classifiers.find_spec("xgboost"):
        pytest.skip("XGBoost is installed")
    with pytest.raises(MissingExtraError, match="xgboost"):
        classifiers.classify_embeddings(
            np.ones((2, 2)), np.arange(2), *2 * [np.ones(2, bool)], 7, "xgboost"
        )


# Embeddings


def test_embeddings_are_found_by_id(tmp_path):
    write_embeddings(tmp_path / "e.npz", ["a", "b"], np.array([[1.0], [2.0]]))
    assert read_embeddings(tmp_path / "e.npz", ["b", "a"]).tolist() == [[2], [1]]
    with pytest.raises(DataError, match="no embedding of c; 1 of 2"):
        read_embeddings(tmp_path / "e.npz", ["a", "c"])


def test_without_sentence_transformers_the_error_names_the_extra(monkeypatch):
    from emorec.features import sentence_embeddings as module

    monkeypatch.setattr(module, "find_spec", lambda name: None)
    for program in ("sentence-transformers", "keras-hub"):
        with pytest.raises(MissingExtraError, match=r"emorec\[text\]"):
            embeddings_of(["a"], ["a"], "any-model", program)


# The network over words and dialogues


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


# The whole


GLOVE = {"units": 8, "num_nodes": 16, "num_epochs": 5, "learning_rate": 0.02}


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
    config = glove_config(dialogue="dialogue", networks=2)
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


def test_empty_utterances_are_reported_and_answered_by_the_shares(tmp_path):
    empty = ("train/dia0_utt0", "dev/dia1_utt2")
    corpus = read_meld(write_corpus(tmp_path / "meld", empty=empty))
    said = []
    config = text_config("tfidf", {"neighbours": 1})
    run(config, corpus, tmp_path, said.append)
    found = read_predictions(tmp_path / f"predictions_dev_{config.name}.npz")
    data = TextData.of(corpus)
    scores = found.scores[found.ids.index(empty[1])]
    np.testing.assert_allclose(scores, data.prior)
    assert not data.learnt[corpus.ids.index(empty[0])]
    report = (tmp_path / f"text_report_{config.name}.csv").read_text()
    assert all(name in report for name in empty)


def test_an_unknown_emotion_is_refused(tmp_path):
    folder = write_corpus(tmp_path)
    path = folder / "dev_sent_emo.csv"
    path.write_text(path.read_text().replace(",neutral,neutral", ",bored,neutral", 1))
    with pytest.raises(DataError, match="bored"):
        read_meld(folder)


def test_fewer_neutral_utterances_teach(corpus):
    everything, fewer = (TextData.of(corpus, how) for how in ("all", "ordered"))
    neutral = corpus.schema.index("neutral")
    gone = everything.learnt & ~fewer.learnt
    assert gone.any() and (corpus.classes[gone] == neutral).all()
    assert everything.identity() != fewer.identity()


def test_options_of_other_models_are_refused():
    with pytest.raises(
        SpecError, match="--units with --model tfidf: the option is for --model glove"
    ):
        text_config("tfidf", {"units": 3})
    with pytest.raises(SpecError, match="needs --embeddings"):
        text_config("embeddings", {})


def test_the_options_and_the_settings_have_the_same_names():
    from dataclasses import fields

    from emorec.cli import meld_text
    from emorec.training import meld_config

    options = {*meld_text._OPTIONS, *meld_text._SWITCHES, "model"}
    assert options == {field.name for field in fields(meld_config.TextConfig)}
    assert meld_text.MODELS == meld_config.MODELS


def test_the_command_runs(folder, tmp_path, command, corpus):
    path = shuffled_embeddings(corpus, tmp_path / "e.npz")

    def main(words):
        from emorec.cli import meld_text
        from emorec.cli.console import Parser, guarded

        parser = Parser()
        meld_text.add_command(parser.add_subparsers(required=True))
        parsed = parser.parse_args(words)
        return guarded(lambda: parsed.run(parsed))

    options = ["--model", "embeddings", "--embeddings", path, "--context", "1"]
    done = command(main, "text", folder, *options, "--output", tmp_path)
    assert done.code == 0, done.err
    assert (
        tmp_path / "predictions_test_text_embeddings_logistic_context-1.npz"
    ).is_file()


# RoBERTa


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


# Real utterances


def test_real_utterances_have_known_words(corpora_dir):
    corpus = read_meld(corpora_dir / "meld")
    vectors = read_word_vectors(corpora_dir / "meld" / "glove300_subset.npz")
    said = [w for row in corpus.rows("dev") for w in words_of(corpus.utterances[row])]
    known = np.mean([word in vectors.words for word in said])
    assert vectors.vectors.shape[1] == 300 and known > 0.7
