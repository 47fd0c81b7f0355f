"""Words, context and embeddings of utterances: laws of the features."""

import numpy as np
import pytest

from emorec.corpora.meld import read_meld
from emorec.errors import DataError, MissingExtraError
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


def test_embeddings_are_found_by_id(tmp_path):
    write_embeddings(tmp_path / "e.npz", ["a", "b"], np.array([[1.0], [2.0]]))
    assert read_embeddings(tmp_path / "e.npz", ["b", "a"]).tolist() == [[2], [1]]
    with pytest.raises(DataError, match="no embedding of c; 1 of 2"):
        read_embeddings(tmp_path / "e.npz", ["a", "c"])


def test_without_sentence_transformers_the_error_names_the_extra(monkeypatch):
    from emorec.features import sentence_embeddings as module

    monkeypatch.setattr(module, "find_spec", lambda name: None)
    extras = {"sentence-transformers": "sentences", "keras-hub": "text"}
    for program, extra in extras.items():
        with pytest.raises(MissingExtraError, match=rf"emorec\[{extra}\]"):
            embeddings_of(["a"], ["a"], "any-model", program)


def test_real_utterances_have_known_words(corpora_dir):
    corpus = read_meld(corpora_dir / "meld")
    vectors = read_word_vectors(corpora_dir / "meld" / "glove300_subset.npz")
    said = [w for row in corpus.rows("dev") for w in words_of(corpus.utterances[row])]
    known = np.mean([word in vectors.words for word in said])
    assert vectors.vectors.shape[1] == 300 and known > 0.7
