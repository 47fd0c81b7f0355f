"""TF-IDF of words and characters, and a logistic regression on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from emorec.features.word_vectors import plain, words_of
from emorec.progress import track
from emorec.training.meld_classifiers import Choice, choose, fit_logistic, spread

TFIDF_C = (1.0, 3.0, 10.0)
CHARACTER_WEIGHTS = (0.5, 1.0)
_CONTEXT_WEIGHT = 0.5


def tfidf_blocks(
    texts: Sequence[str], before: Sequence[str] | None, learnt: np.ndarray
) -> list[sparse.csr_matrix]:
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
    list of (N, D) csr_matrix
        Words and pairs of words; runs of 2 to 5 characters within words. Sublinear
        frequencies, what stands in one utterance alone left out.
    """

    def block(texts: Sequence[str], **options: Any) -> sparse.csr_matrix:
        counted = TfidfVectorizer(sublinear_tf=True, **options)
        try:
            counted.fit([texts[row] for row in np.flatnonzero(learnt)])
        except ValueError:  # nothing stands twice
            return sparse.csr_matrix((len(texts), 1))
        return counted.transform(texts)

    # Our own words: scikit-learn's drop the marks, which say much of emotions.
    texts = [plain(text) for text in texts]
    words = {
        "tokenizer": words_of,
        "token_pattern": None,
        "lowercase": False,
        "ngram_range": (1, 2),
        "min_df": 2,
    }
    characters = {"analyzer": "char_wb", "ngram_range": (2, 5), "min_df": 3}
    blocks = [block(texts, **words), block(texts, **characters)]
    if before is not None:
        blocks[0] = sparse.hstack([blocks[0], _CONTEXT_WEIGHT * block(before, **words)])
    return [part.tocsr() for part in blocks]


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
        Of `tfidf_blocks`.
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
            candidates.append(({"C": c, "character_weight": weight}, scores))
    return choose(candidates, classes, dev)
