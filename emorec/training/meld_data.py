"""What MELD's text systems learn from and answer about."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from emorec.corpora.meld import REPORT, Meld, fewer_neutral
from emorec.errors import DataError
from emorec.files import digest

JUDGED = ("dev", "test")


@dataclass(frozen=True)
class TextData:
    """Utterances of MELD, and which of them teach.

    Attributes
    ----------
    corpus : Meld
        N utterances.
    learnt : (N,) bool
        Utterances of train that teach: with words, and kept by the choice of neutral
        ones.
    worded : (N,) bool
        Utterances with words.
    """

    corpus: Meld
    learnt: np.ndarray
    worded: np.ndarray

    @classmethod
    def of(cls, corpus: Meld, neutral: str = "all", seed: int = 0) -> TextData:
        """Choose the utterances that teach.

        Raises
        ------
        DataError
            When none has words, or dev has none.
        """
        worded = np.array([bool(text.strip()) for text in corpus.utterances], bool)
        learnt = np.zeros(len(corpus), bool)
        chosen = (
            corpus.rows("train")
            if neutral == "all"
            else fewer_neutral(corpus, neutral, seed)
        )
        learnt[chosen] = True
        data = cls(corpus, learnt & worded, worded)
        for split, mask in (("train", data.learnt), ("dev", data.split("dev"))):
            if not mask.any():
                raise DataError(
                    f"{corpus.folder}: no utterance of {split} has words; nothing can "
                    "be learnt."
                )
        return data

    def split(self, split: str) -> np.ndarray:
        """Return which utterances (N,) bool of a split have words."""
        inside = np.zeros(len(self.corpus), bool)
        inside[self.corpus.rows(split)] = True
        return inside & self.worded

    @property
    def prior(self) -> np.ndarray:
        """Shares (K,) of the classes among the utterances that teach."""
        classes = self.corpus.classes[self.learnt]
        return np.bincount(classes, minlength=len(self.corpus.schema)) / len(classes)

    def identity(self) -> str:
        """Return a digest of the texts, dialogues, classes and what teaches."""
        corpus = self.corpus
        parts = (corpus.speakers, corpus.numbers, corpus.classes, self.learnt)
        return digest(
            [corpus.ids, corpus.utterances, *(part.tolist() for part in parts)]
        )

    def report(self) -> pd.DataFrame:
        """Return a row for each utterance without words: they are not read."""
        rows = [
            (name, split == "train", reason)
            for name, split, reason in (
                (
                    self.corpus.ids[row],
                    self.corpus.split[row],
                    "no words; not learnt from"
                    if self.corpus.split[row] == "train"
                    else "no words; answered by the shares of the classes in train",
                )
                for row in np.flatnonzero(~self.worded)
            )
        ]
        return pd.DataFrame(rows, columns=list(REPORT))

    def answers(self, scores: np.ndarray) -> np.ndarray:
        """Put the classes' shares where there are no words: (N, K) float64."""
        answers = np.array(scores, np.float64)
        answers[~self.worded] = self.prior
        return answers
