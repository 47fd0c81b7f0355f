"""TF-IDF of words and characters, and a logistic regression on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from emorec.features.tfidf import CHARACTERS, PAIRS, RUNS, WORDS, Tfidf
from emorec.features.word_vectors import plain, words_of
from emorec.progress import track
from emorec.training.meld_classifiers import Choice, choose, fit_logistic, spread

TFIDF_C = (1.0, 3.0, 10.0)
CHARACTER_WEIGHTS = (0.5, 1.0)
_CONTEXT_WEIGHT = 0.5
_OPTIONS = {
    # Our own words: scikit-learn's drop the marks, which say much of emotions.
    WORDS: {
        "tokenizer": words_of,
        "token_pattern": None,
        "lowercase": False,
        "ngram_range": (1, PAIRS),
        "min_df": 2,
    },
    CHARACTERS: {"analyzer": "char_wb", "ngram_range": RUNS, "min_df": 3},
}


class TfidfBlocks(NamedTuple):
    """TF-IDF features of N utterances, and what they were counted by.

    Attributes
    ----------
    matrices : list of (N, D) csr_matrix
        Words and pairs of words, with those of the context behind them; runs of 2 to 5
        characters within words.
    counted : dict
        ``words``, ``characters`` and, with a context, ``before`` -> `Tfidf`.
    """

    matrices: list[sparse.csr_matrix]
    counted: dict[str, Tfidf]


def tfidf_blocks(
    texts: Sequence[str], before: Sequence[str] | None, learnt: np.ndarray
) -> TfidfBlocks:
    """Return TF-IDF features of words and of characters, counted on train alone.

    Parameters
    ----------
    texts : sequence of str
        N utterances.
    before : sequence of str, optional
        The words before each of them; more columns, half as heavy.
    learnt : (N,) bool
        Utterances whose words and frequencies are known.

    Returns
    -------
    TfidfBlocks
        Sublinear frequencies, what stands in one utterance alone left out.
    """
    counted = {}

    def block(name: str, texts: Sequence[str], unit: str) -> sparse.csr_matrix:
        made = TfidfVectorizer(sublinear_tf=True, **_OPTIONS[unit])
        try:
            made.fit([texts[row] for row in np.flatnonzero(learnt)])
        except ValueError:  # nothing stands twice
            counted[name] = Tfidf(unit, (), np.zeros(0))
            return sparse.csr_matrix((len(texts), 1))
        terms = tuple(made.get_feature_names_out().tolist())
        counted[name] = Tfidf(unit, terms, made.idf_)
        return made.transform(texts)

    texts = [plain(text) for text in texts]
    parts = [block("words", texts, WORDS), block("characters", texts, CHARACTERS)]
    if before is not None:
        parts[0] = with_context(parts[0], block("before", before, WORDS))
    return TfidfBlocks([part.tocsr() for part in parts], counted)


def with_context(
    words: sparse.csr_matrix, before: sparse.csr_matrix
) -> sparse.csr_matrix:
    """Join an utterance's words with those before it, half as heavy."""
    return sparse.hstack([words, _CONTEXT_WEIGHT * before])


def join(blocks: Sequence[sparse.csr_matrix], weight: float) -> sparse.csr_matrix:
    """Join words with characters, which have the `weight`."""
    words, characters = blocks
    return sparse.hstack([words, weight * characters]).tocsr() if weight else words


def classify_tfidf(
    blocks: Sequence[sparse.csr_matrix],
    classes: np.ndarray,
    learnt: np.ndarray,
    dev: np.ndarray,
    width: int,
) -> Choice:
    """Choose C and the characters' weight of a logistic regression on TF-IDF.

    Parameters
    ----------
    blocks : list of (N, D) csr_matrix
        The matrices of `tfidf_blocks`.
    classes : (N,) int
    learnt, dev : (N,) bool
        Which utterances teach, and which decide.
    width : int
        K, the labels.
    """
    candidates = []
    for weight in track(CHARACTER_WEIGHTS, "logistic regressions"):
        features = join(blocks, weight)
        for c, ask in fit_logistic(features[learnt], classes[learnt], TFIDF_C):
            scores = spread(ask(features), np.unique(classes[learnt]), width)
            settings = {"C": c, "character_weight": weight}
            candidates.append((settings, scores, ask))
    return choose(candidates, classes, dev)
