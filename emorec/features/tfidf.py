"""TF-IDF of texts with terms and frequencies that were counted before.

The features that scikit-learn's `TfidfVectorizer` has with sublinear frequencies, for
words and pairs of words, and for runs of 2 to 5 characters within words; here from
nothing but a list of terms and their inverse frequencies, so that a model can be kept
without a pickle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from emorec.errors import SpecError
from emorec.features.word_vectors import plain, words_of

WORDS, CHARACTERS = "words", "characters"
PAIRS, RUNS = 2, (2, 5)


@dataclass(frozen=True)
class Tfidf:
    """Weights of terms.

    Attributes
    ----------
    unit : {"words", "characters"}
    terms : tuple of str
        D terms in the order of the columns; none where nothing was counted, and then
        there is one column of zeros.
    idf : (D,) float64
        Inverse frequencies.
    """

    unit: str
    terms: tuple[str, ...]
    idf: np.ndarray

    def __post_init__(self) -> None:
        if self.unit not in _TERMS:
            raise SpecError(f"TF-IDF of '{self.unit}': expected {', '.join(_TERMS)}.")
        if np.shape(self.idf) != (len(self.terms),):
            raise SpecError(
                f"TF-IDF: {len(self.terms)} terms and inverse frequencies of the shape "
                f"{np.shape(self.idf)} do not fit together."
            )

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {term: column for column, term in enumerate(self.terms)}

    def transform(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """Return features (n, D) float64: (1 + log count) idf, of length 1 or 0."""
        values: list[float] = []
        columns: list[int] = []
        ends = [0]
        for text in texts:
            counts = Counter(_TERMS[self.unit](text))
            found = [
                (self._columns[term], count)
                for term, count in counts.items()
                if term in self._columns
            ]
            own = np.array(
                [(1 + np.log(count)) * self.idf[column] for column, count in found]
            )
            length = np.sqrt((own**2).sum())
            values += (own / (length or 1)).tolist()
            columns += [column for column, _ in found]
            ends.append(len(columns))
        shape = (len(texts), max(1, len(self.terms)))
        matrix = sparse.csr_matrix((values, columns, ends), shape=shape)
        matrix.sort_indices()
        return matrix


def _words(text: str) -> Iterator[str]:
    words = words_of(text)
    for length in range(1, PAIRS + 1):
        for first in range(len(words) - length + 1):
            yield " ".join(words[first : first + length])


def _characters(text: str) -> Iterator[str]:
    for word in plain(text).lower().split():
        padded = f" {word} "
        for length in range(RUNS[0], RUNS[1] + 1):
            # A word that is no longer than a run is one run, counted once.
            for first in range(max(1, len(padded) - length + 1)):
                yield padded[first : first + length]
            if len(padded) <= length:
                break


_TERMS = {WORDS: _words, CHARACTERS: _characters}
