"""Words with times and their vectors, from a transcript.

Transcripts rarely time each word. Words of a longer cue share its time by their number
of letters, in their order: a guess that is right to a fraction of the cue, so
transcripts of short cues, or of single words, are worth having.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from emorec.errors import DataError
from emorec.features.subtitles import Cue
from emorec.features.word_vectors import read_word_vectors, words_of
from emorec.progress import track


def timed_words(cues: Iterable[Cue]) -> list[Cue]:
    """Divide cues into words, each with its share of the time.

    Words are those of `words_of`, so contractions are two; marks take no time and are
    left out.

    Parameters
    ----------
    cues : iterable of Cue

    Returns
    -------
    list of Cue
        One word each, in the order of the cues. The first begins and the last ends
        with its cue.
    """
    found = []
    for start, end, text, _ in cues:
        words = [word for word in words_of(text) if _letters(word)]
        edges = np.cumsum([0, *map(_letters, words)], dtype=np.float64)
        edges = start + (end - start) * edges / max(edges[-1], 1)
        # What the division rounds away would open a gap to the next cue.
        edges[-1] = end if words else start
        found += [
            Cue(float(a), float(b), word)
            for a, b, word in zip(edges[:-1], edges[1:], words, strict=True)
        ]
    return found


def _letters(word: str) -> int:
    return sum(character.isalnum() for character in word)


class WordLookup:
    """Vectors of words, read from a file as they are asked for.

    Equal to those of `read_word_vectors`. Of a text file only the places of its lines
    are kept, about 100 bytes a word, so that files of gigabytes serve transcripts that
    are not known yet.

    Parameters
    ----------
    path : path
        As of `read_word_vectors`.

    Raises
    ------
    DataError
        When the file is missing or holds no vectors.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        # Of words that the file has only with capitals, the first that has them.
        self._places: dict[str, int] = {}
        self._capital: dict[str, int] = {}
        self._vectors: np.ndarray | None = None
        if self.path.suffix == ".npz":
            read = read_word_vectors(self.path)
            self._vectors = read.vectors
            for word, row in read.words.items():
                self._add(word, row)
            self.width = read.vectors.shape[1]
        else:
            self._index()
        self._known: dict[str, np.ndarray] = {}

    def _add(self, word: str, place: int) -> None:
        lower = word.lower()
        places = self._places if word == lower else self._capital
        places.setdefault(lower, place)

    def _index(self) -> None:
        if not self.path.is_file():
            raise DataError(
                f"{self.path}: expected a file of word vectors, found none."
            )
        width = place = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(track(file, "word vectors"), 1):
                word, _, rest = line.partition(b" ")
                count = 0 if width else len(rest.split())
                if number > 1 or count != 1:  # not word2vec's first line
                    width = width or count
                    self._add(word.decode("utf-8", "replace"), place)
                place += len(line)
        if not width:
            raise DataError(f"{self.path}: holds no word vectors.")
        self.width = width

    def vectors(self, words: Sequence[str]) -> np.ndarray:
        """Return one row per word (n, width) float32; zeros for unknown words.

        Raises
        ------
        DataError
            When a line of the file is no word with its numbers.
        """
        result = np.zeros((len(words), self.width), np.float32)
        wanted = dict.fromkeys(words)
        # In the order of the file, which a disk reads fastest.
        places = {word: self._place(word) for word in wanted}
        known = {word: place for word, place in places.items() if place is not None}
        if self._vectors is None:
            with self.path.open("rb") as file:
                for word in sorted(known.keys() - self._known, key=known.get):
                    self._known[word] = self._read(file, known[word])
            found = self._known
        else:
            found = {word: self._vectors[place] for word, place in known.items()}
        for row, word in zip(result, words, strict=True):
            if word in known:
                row[:] = found[word]
        return result

    def knows(self, word: str) -> bool:
        """Tell whether the file has the word."""
        return self._place(word) is not None

    def _place(self, word: str) -> int | None:
        return self._places.get(word, self._capital.get(word))

    def _read(self, file, place: int) -> np.ndarray:
        file.seek(place)
        line = file.readline().decode("utf-8", "replace")
        try:
            vector = np.array(line.rstrip("\n").split(" ")[1:], np.float32)
        except ValueError:
            vector = np.empty(0, np.float32)
        if len(vector) != self.width or not np.isfinite(vector).all():
            raise DataError(
                f"{self.path}: expected a word and {self.width} finite numbers, found "
                f"{line[:60]!r}."
            )
        return vector


def times_of(cues: Sequence[Cue]) -> np.ndarray:
    """Return the times of cues, (n, 2) float64."""
    return np.array([cue[:2] for cue in cues], np.float64).reshape(-1, 2)
