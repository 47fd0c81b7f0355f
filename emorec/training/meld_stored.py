"""What a text run of MELD keeps to answer about new words: arrays, never a pickle."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from emorec.artifacts.runs import RunFolder
from emorec.artifacts.weights import read_weights
from emorec.errors import DataError, SpecError
from emorec.features.tfidf import CHARACTERS, WORDS, Tfidf
from emorec.files import whole_file
from emorec.training.meld_classifiers import Linear, adjusted, spread
from emorec.training.meld_data import TextData
from emorec.training.meld_tfidf import join, with_context

_UNITS = {"words": WORDS, "characters": CHARACTERS, "before": WORDS}
_STAGES = ("tfidf", "embeddings", "neighbours")


@dataclass(frozen=True)
class StoredText:
    """Classifiers of a text run, and what they were fitted with.

    Attributes
    ----------
    prior : (K,) float64
        Shares of the classes in training, of which an utterance without words has
        nothing but these.
    known : (C,) int
        The classes that taught.
    tau : float
        Of `emorec.training.meld_classifiers.adjusted`; 0 changes nothing.
    words : tuple of str
        Of a network over words: its vocabulary in the order of the numbers.
    counted : dict
        See `emorec.training.meld_tfidf.TfidfBlocks`.
    character_weight : float
        Of `emorec.training.meld_tfidf.join`.
    mean, scale : (D,) float64
        Of embeddings.
    tfidf, embeddings, neighbours : Linear or None
        The stages that the run has.
    """

    prior: np.ndarray
    known: np.ndarray
    tau: float = 0.0
    words: tuple[str, ...] = ()
    counted: dict[str, Tfidf] = field(default_factory=dict)
    character_weight: float = 0.0
    mean: np.ndarray | None = None
    scale: np.ndarray | None = None
    tfidf: Linear | None = None
    embeddings: Linear | None = None
    neighbours: Linear | None = None

    @classmethod
    def of(cls, data: TextData) -> StoredText:
        """Return what any run keeps of its data."""
        return cls(data.prior, np.unique(data.corpus.classes[data.learnt]))

    def tfidf_scores(self, texts: Sequence[str], before: Sequence[str]) -> np.ndarray:
        """Return TF-IDF's probabilities (n, K) of texts and of what was said before."""
        words = self.counted["words"].transform(texts)
        if "before" in self.counted:
            words = with_context(words, self.counted["before"].transform(before))
        characters = self.counted["characters"].transform(texts)
        features = join([words.tocsr(), characters], self.character_weight)
        return self._spread(self.tfidf(features))

    def embedding_scores(self, vectors: np.ndarray) -> np.ndarray:
        """Return the classifier's probabilities (n, K) of vectors (n, D) float32."""
        # As scikit-learn scales them: in their own type.
        scaled = vectors - self.mean.astype(vectors.dtype)
        return self._spread(self.embeddings(scaled / self.scale.astype(vectors.dtype)))

    def neighbour_scores(self, features: np.ndarray) -> np.ndarray:
        """Return the second stage's probabilities (n, K)."""
        return self._spread(self.neighbours(features))

    def answers(self, scores: np.ndarray, worded: np.ndarray) -> np.ndarray:
        """Put the classes' shares where there are no words: (n, K) float64."""
        return np.where(np.asarray(worded)[:, None], scores, self.prior)

    def adjusted(self, scores: np.ndarray) -> np.ndarray:
        """Give rare classes the weight that training found for them."""
        return adjusted(scores, self.prior, self.tau) if self.tau else scores

    def _spread(self, scores: np.ndarray) -> np.ndarray:
        return spread(scores, self.known, len(self.prior))


def stored_path(run: RunFolder) -> Path:
    """Return where a run keeps it."""
    return run.folder / f"model_{run.param_name}.npz"


def write_stored(run: RunFolder, stored: StoredText) -> None:
    """Write ``model_{name}.npz``: arrays of numbers, and terms as JSON in bytes."""
    arrays = {
        "prior": stored.prior,
        "known": stored.known,
        "tau": np.array(stored.tau),
        "character_weight": np.array(stored.character_weight),
        "words": _bytes(stored.words),
    }
    for name, counted in stored.counted.items():
        arrays |= {f"terms_{name}": _bytes(counted.terms), f"idf_{name}": counted.idf}
    if stored.mean is not None:
        arrays |= {"mean": stored.mean, "scale": stored.scale}
    for stage in _STAGES:
        if (model := getattr(stored, stage)) is not None:
            arrays |= {f"{stage}_weights": model.weights, f"{stage}_bias": model.bias}
    with whole_file(stored_path(run)) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def read_stored(run: RunFolder) -> StoredText:
    """Read what `write_stored` wrote.

    Raises
    ------
    SpecError
        When there is no such file: an earlier version of emorec trained the model.
    DataError
        When it is damaged.
    """
    path = stored_path(run)
    if not path.is_file():
        raise SpecError(
            f"{path}: no such file. Earlier versions of emorec did not keep what a "
            f"text model needs to answer about new words. Remove {run.record_path} and "
            "repeat the command that trained it."
        )
    arrays = read_weights(path)
    try:
        models = {
            stage: Linear(arrays[f"{stage}_weights"], arrays[f"{stage}_bias"])
            for stage in _STAGES
            if f"{stage}_weights" in arrays
        }
        counted = {
            name: Tfidf(unit, _texts(arrays[f"terms_{name}"]), arrays[f"idf_{name}"])
            for name, unit in _UNITS.items()
            if f"terms_{name}" in arrays
        }
        return StoredText(
            arrays["prior"],
            arrays["known"],
            float(arrays["tau"]),
            _texts(arrays["words"]),
            counted,
            float(arrays["character_weight"]),
            arrays.get("mean"),
            arrays.get("scale"),
            **models,
        )
    except (KeyError, ValueError, TypeError, SpecError) as error:
        raise DataError(
            f"{path}: not what emorec meld text writes ({error}). Train the model anew."
        ) from error


def _bytes(texts: Sequence[str]) -> np.ndarray:
    content = json.dumps(list(texts), ensure_ascii=False).encode()
    return np.frombuffer(content, np.uint8)


def _texts(content: np.ndarray) -> tuple[str, ...]:
    return tuple(json.loads(content.tobytes()))
