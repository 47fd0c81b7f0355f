"""Text models of MELD asked about transcripts: what their evaluation said of test."""

import warnings

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from emorec.artifacts.found_runs import find_runs
from emorec.artifacts.predictions import read_predictions
from emorec.corpora.meld import read_meld
from emorec.errors import DataError, SpecError
from emorec.features.dialogue_context import runs
from emorec.features.tfidf import CHARACTERS, WORDS, Tfidf
from emorec.features.word_vectors import plain, words_of
from emorec.prediction.meld_text import MeldTextPredictor
from emorec.prediction.recordings import Recording, Span
from emorec.training.meld_config import text_config
from emorec.training.meld_text import run
from tests.meld_dialogues import quiet, shuffled_embeddings, write_corpus
from tests.test_meld_roberta import preset

__all__ = ["preset"]
EMPTY = ("test/dia1_utt2", "test/dia2_utt0")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return read_meld(write_corpus(tmp_path_factory.mktemp("meld"), empty=EMPTY))


def recordings(corpus):
    """Return recording, spans and rows of each dialogue of test."""
    inside = corpus.rows("test")
    for rows in runs(corpus.dialogues[inside], corpus.numbers[inside]):
        rows = inside[rows]
        spans = [
            Span(n, n + 0.9, corpus.utterances[row], str(corpus.speakers[row]))
            for n, row in enumerate(rows)
        ]
        name = str(corpus.dialogues[rows[0]])
        yield Recording(name, None, None, tuple(spans), len(spans)), spans, rows


def law(corpus, folder, model, given, tolerance=1e-9):
    """Train, ask about the utterances of test, and compare with the predictions."""
    config = text_config(model, {"seed": 1, **given})
    run(config, corpus, folder, quiet)
    (found,) = find_runs([folder])
    predictor = MeldTextPredictor.load(found)
    assert predictor.takes == ("words",)
    stored = read_predictions(folder / f"predictions_test_{found.name}.npz")
    expected = dict(zip(stored.ids, stored.scores, strict=True))
    contents, ids = [], []
    for recording, spans, rows in recordings(corpus):
        answers = list(predictor.given(recording, spans))
        for row, one in zip(rows, answers, strict=True):
            if corpus.ids[row] in EMPTY:
                assert one == (None, (), "no words")
                continue
            assert one.present == ("words",) and not one.reason
            contents.append(one.content)
            ids.append(corpus.ids[row])
    # In another order, of several recordings, and in two parts.
    order = np.random.default_rng(0).permutation(len(ids))
    parts = np.array_split(order, 2)
    scores = np.concatenate(
        [predictor.scores([contents[n] for n in part]) for part in parts]
    )
    wanted = np.stack([expected[ids[n]] for n in order])
    np.testing.assert_allclose(scores, wanted, atol=tolerance, rtol=0)
    assert np.ptp(wanted[:, 0]) > max(1e-3, 100 * tolerance) / 10
    return predictor, found


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"context": 2, "neighbours": 2, "adjust": True},
        {"neighbours": 1, "causal": True, "neutral": "ordered"},
    ],
)
def test_tfidf_says_of_new_words_what_training_said(corpus, tmp_path, given):
    law(corpus, tmp_path, "tfidf", given)


@pytest.mark.parametrize("unit", [WORDS, CHARACTERS])
def test_counted_terms_give_scikit_learns_features(corpus, unit):
    options = {
        WORDS: {
            "tokenizer": words_of,
            "token_pattern": None,
            "lowercase": False,
            "ngram_range": (1, 2),
        },
        CHARACTERS: {"analyzer": "char_wb", "ngram_range": (2, 5)},
    }[unit]
    texts = [*corpus.utterances, "I", "İ don’t — KNOW…", "a  b\tc\nd", "", "x" * 9]
    made = TfidfVectorizer(sublinear_tf=True, min_df=2, **options)
    made.fit(texts[:60])
    terms = tuple(made.get_feature_names_out())
    found = Tfidf(unit, terms, made.idf_).transform(texts)
    expected = made.transform([plain(text) for text in texts])
    np.testing.assert_allclose(found.toarray(), expected.toarray(), atol=1e-12)
    assert Tfidf(unit, (), np.zeros(0)).transform(texts).shape == (len(texts), 1)
    with pytest.raises(SpecError, match="do not fit"):
        Tfidf(unit, ("a",), np.zeros(2))


@pytest.fixture
def eagerly():
    """Let TensorFlow trace nothing, which takes most of a tiny training."""
    import tensorflow as tf

    with warnings.catch_warnings():
        # tf.data stays compiled all the same, and says so.
        warnings.filterwarnings("ignore", "Even though the `tf.config")
        tf.config.run_functions_eagerly(True)
        yield
        tf.config.run_functions_eagerly(False)


@pytest.mark.slow
def test_networks_over_words_say_what_training_said(corpus, tmp_path, eagerly):
    given = {
        "dialogue": "dialogue",
        "tfidf_scores": True,
        "adjust": True,
        "networks": 2,
        "num_epochs": 1,
        "units": 4,
        "max_words": 6,
        "batch_size": 10,
        "num_nodes": 8,
        "jit": "off",
    }
    predictor, found = law(corpus, tmp_path, "glove", given, 1e-6)
    # One of the networks is asked by its own name.
    alone = MeldTextPredictor.load(*find_runs([tmp_path / f"{found.name}_seed_2"]))
    recording, spans, _ = next(recordings(corpus))
    contents = [
        [one.content for one in p.given(recording, spans)] for p in (predictor, alone)
    ]
    assert not np.allclose(predictor.scores(contents[0]), alone.scores(contents[1]))
    (tmp_path / f"model_{found.name}_seed_1.weights.h5").write_bytes(b"no weights")
    with pytest.raises(SpecError, match=r"seed_1\.weights\.h5: not the weights"):
        MeldTextPredictor.load(found)
    (tmp_path / f"model_{found.name}_seed_1.weights.h5").unlink()
    with pytest.raises(SpecError, match="no such file; it belongs to"):
        MeldTextPredictor.load(found)


@pytest.mark.slow
def test_a_roberta_says_what_training_said(corpus, preset, tmp_path, eagerly):
    given = {
        "preset": str(preset),
        "context": 1,
        "speaker_names": True,
        "num_epochs": 1,
        "max_length": 60,
        "learning_rate": 0.01,
        "jit": "off",
    }
    predictor, _ = law(corpus, tmp_path, "roberta", given, 1e-6)
    # Without names the words alone are read.
    recording, spans, _ = next(recordings(corpus))
    nameless = [span._replace(speaker="") for span in spans]
    scores = [
        predictor.scores([one.content for one in predictor.given(recording, given)])
        for given in (spans, nameless)
    ]
    assert np.abs(scores[0] - scores[1]).max() > 1e-6


def test_embeddings_say_what_training_said(corpus, preset, tmp_path):
    given = {
        "embeddings": str(preset),
        "program": "keras-hub",
        "context": 1,
        "neighbours": 1,
    }
    law(corpus, tmp_path, "embeddings", given, 1e-5)


def test_what_cannot_answer_about_new_words_says_what_can(corpus, tmp_path, preset):
    vectors = shuffled_embeddings(corpus, tmp_path / "e.npz")
    config = text_config("embeddings", {"embeddings": str(vectors)})
    run(config, corpus, tmp_path / "file", quiet)
    with pytest.raises(SpecError, match=r"came from a file.*--embeddings FOLDER"):
        MeldTextPredictor.load(*find_runs([tmp_path / "file"]))
    given = {"embeddings": str(preset), "program": "keras-hub", "classifier": "svm"}
    run(text_config("embeddings", given), corpus, tmp_path / "svm", quiet)
    with pytest.raises(SpecError, match="--classifier logistic"):
        MeldTextPredictor.load(*find_runs([tmp_path / "svm"]))


def test_runs_of_earlier_versions_and_damaged_ones_are_told(corpus, tmp_path):
    run(text_config("tfidf", {}), corpus, tmp_path, quiet)
    (found,) = find_runs([tmp_path])
    path = tmp_path / "model_text_tfidf.npz"
    whole = path.read_bytes()
    path.unlink()
    with pytest.raises(SpecError, match=r"Earlier versions.*repeat the command"):
        MeldTextPredictor.load(found)
    path.write_bytes(whole[:100])
    with pytest.raises(DataError, match=r"model_text_tfidf\.npz"):
        MeldTextPredictor.load(found)
    np.savez(path, prior=np.ones(7))
    with pytest.raises(DataError, match="not what emorec meld text writes"):
        MeldTextPredictor.load(found)


def test_a_recording_without_a_transcript_has_no_words(corpus, tmp_path):
    run(text_config("tfidf", {}), corpus, tmp_path, quiet)
    predictor = MeldTextPredictor.load(*find_runs([tmp_path]))
    clip = Recording("a", tmp_path / "a.mp4", None, (), 4.0)
    assert list(predictor.given(clip, [Span(0, 4)])) == [(None, (), "no transcript")]
