"""Words of an utterance, and vectors of words.

Pennington, Socher and Manning (2014), "GloVe: Global Vectors for Word Representation":
text files of a word and its numbers per line, made from words that are split as in the
Penn Treebank (do n't, you 're).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emorec.errors import DataError, SpecError
from emorec.progress import track

PADDING, UNKNOWN = 0, 1
_RESERVED = 2
_PLAIN = str.maketrans(
    {"’": "'", "‘": "'", "“": '"', "”": '"', "…": "...", "–": "-", "—": "-"}
)
_TOKEN = re.compile(
    r"n't\b|[a-z]+(?=n't\b)|'(?:s|m|d|re|ve|ll|cause|em|til)\b|[a-z]+"
    r"|\d+(?:[.,:]\d+)*|\.\.+|[!?.,;:\"()&$%-]|\S"
)


def plain(text: str) -> str:
    """Return a text with typewriter's apostrophes and dots, as word vectors have."""
    return text.translate(_PLAIN)


def words_of(text: str) -> list[str]:
    """Split an utterance into lower-case words and marks.

    Contractions are parted as in the Penn Treebank; the dots of a pause are one mark.
    """
    found = _TOKEN.findall(plain(text).lower())
    return ["..." if word.startswith("..") else word for word in found]


@dataclass(frozen=True)
class WordVectors:
    """Vectors of known words.

    Attributes
    ----------
    words : dict
        Word -> row of `vectors`.
    vectors : (n, D) float32
    """

    words: dict[str, int]
    vectors: np.ndarray


def read_word_vectors(
    path: str | Path, wanted: Iterable[str] | None = None
) -> WordVectors:
    """Read word vectors.

    Parameters
    ----------
    path : path
        An .npz with ``words`` (n,) text and ``vectors`` (n, D), or a text file as GloVe
        has them: a word and D numbers a line.
    wanted : iterable of str, optional
        Only these words are kept, so that memory does not grow with the file. A word
        that the file has only with capitals is found, too.

    Raises
    ------
    DataError
        When the file is missing, is neither, or a line has another number of values.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: expected a file of word vectors, found none.")
    wanted = None if wanted is None else set(wanted)
    read = _read_npz if path.suffix == ".npz" else _read_text
    found: dict[str, np.ndarray] = {}
    exact: set[str] = set()
    for word, vector in read(path):
        # Vectors that tell cases apart have the usual one under the lower case.
        key = word if wanted is None or word in wanted else word.lower()
        if (wanted is not None and key not in wanted) or key in exact:
            continue
        if key == word:
            exact.add(key)
        elif key in found:
            continue
        found[key] = vector
    if not found:
        raise DataError(f"{path}: has none of the words that are wanted.")
    words = {word: row for row, word in enumerate(found)}
    vectors = np.array(list(found.values()), np.float32)
    if not np.isfinite(vectors).all():
        raise DataError(f"{path}: holds vectors that are not finite.")
    return WordVectors(words, vectors)


def _read_npz(path: Path):
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            words, vectors = content["words"], content["vectors"]
    except Exception as error:  # damage shows as nearly any error
        raise DataError(
            f"{path}: expected arrays words (n,) and vectors (n, D), but {error}."
        ) from error
    if words.ndim != 1 or vectors.ndim != 2 or len(words) != len(vectors):
        raise DataError(
            f"{path}: expected words (n,) and vectors (n, D), found {words.shape} and "
            f"{vectors.shape}."
        )
    return zip(words.tolist(), vectors, strict=True)


def _read_text(path: Path):
    width = 0
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(track(file, "word vectors"), 1):
            word, *numbers = line.rstrip("\n").split(" ")
            if number == 1 and len(numbers) == 1:
                continue  # word2vec's first line: how many, how wide
            width = width or len(numbers)
            # Some words of the largest GloVe hold spaces.
            spaces = len(numbers) - width
            if spaces > 0:
                word, numbers = " ".join([word, *numbers[:spaces]]), numbers[spaces:]
            try:
                vector = np.array(numbers, np.float32)
            except ValueError:
                vector = np.empty(0, np.float32)
            if not width or len(vector) != width:
                raise DataError(
                    f"{path}, line {number}: expected a word and {width or 'some'} "
                    f"numbers, found {line[:60]!r}."
                )
            yield word, vector


@dataclass(frozen=True)
class Vocabulary:
    """Numbers of words: 0 is padding, 1 any word that is not known.

    Attributes
    ----------
    numbers : dict
        Word -> 2 and more.
    """

    numbers: dict[str, int]

    def __len__(self) -> int:
        """Return how many rows an embedding needs."""
        return len(self.numbers) + _RESERVED

    def encode(self, texts: Sequence[str], longest: int) -> np.ndarray:
        """Return the numbers of words (n, longest) int64, `PADDING` behind the last.

        Of longer texts the last `longest` words are kept.
        """
        if longest < 1:
            raise SpecError(f"--max_words {longest}: expected 1 or more.")
        result = np.full((len(texts), longest), PADDING)
        for row, text in zip(result, texts, strict=True):
            known = [self.numbers.get(word, UNKNOWN) for word in words_of(text)]
            known = known[-longest:]
            row[: len(known)] = known
        return result


def vocabulary(
    texts: Iterable[str], vectors: WordVectors | None, least: int = 2
) -> Vocabulary:
    """Give a number to each word that can be known.

    Parameters
    ----------
    texts : iterable of str
        Of training alone.
    vectors : WordVectors or None
        All of their words are known, also those that training does not have.
    least : int
        A word without a vector is known when it stands so often in `texts`.
    """
    counts = Counter(word for text in texts for word in words_of(text))
    known = {word for word, count in counts.items() if count >= least}
    known |= set(vectors.words if vectors else ())
    return vocabulary_of(sorted(known))


def vocabulary_of(words: Iterable[str]) -> Vocabulary:
    """Return the vocabulary of words in the order of their numbers."""
    return Vocabulary({word: number for number, word in enumerate(words, _RESERVED)})


def embedding_matrix(
    words: Vocabulary, vectors: WordVectors | None, width: int, seed: int = 0
) -> np.ndarray:
    """Return the first rows of an embedding, (len(words), width) float32.

    Words without a vector are drawn with the spread of the vectors (of 0.1 without
    any); padding is 0.

    Raises
    ------
    SpecError
        When the vectors have another width.
    """
    if vectors is not None and vectors.vectors.shape[1] != width:
        raise SpecError(
            f"Word vectors of {vectors.vectors.shape[1]} numbers; expected {width}."
        )
    spread = 0.1 if vectors is None else float(vectors.vectors.std())
    matrix = np.random.default_rng(seed).normal(0, spread, (len(words), width))
    for word, row in (vectors.words if vectors else {}).items():
        matrix[words.numbers[word]] = vectors.vectors[row]
    matrix[PADDING] = 0
    return matrix.astype(np.float32)
