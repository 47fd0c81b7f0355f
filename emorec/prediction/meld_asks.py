"""The four kinds of text models of MELD, asked about the spans of a recording."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from emorec.artifacts.found_runs import FoundRun
from emorec.errors import SpecError
from emorec.features.dialogue_context import previous_texts, with_previous
from emorec.features.sentence_embeddings import embeddings_of
from emorec.training import backend
from emorec.training.meld_config import TextConfig
from emorec.training.meld_neighbours import neighbour_features
from emorec.training.meld_stored import StoredText


@dataclass
class Dialogue:
    """The spans of a recording, which are one another's context.

    Attributes
    ----------
    texts, speakers : list of n str
    scores : (n, K) float64 or None
        What a model says of all of them, once it was asked.
    """

    texts: list[str]
    speakers: list[str]
    scores: np.ndarray | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def worded(self) -> np.ndarray:
        """Which have words, (n,) bool."""
        return np.array([bool(text.strip()) for text in self.texts], bool)

    @property
    def place(self) -> tuple[np.ndarray, np.ndarray]:
        """Name of the dialogue and number in it, as trainings have them: (n,) each."""
        return np.full(len(self), ""), np.arange(len(self))


# Of a dialogue and rows in it to probabilities (m, K), before they are adjusted.
Ask = Callable[[Dialogue, Sequence[int]], np.ndarray]


def _at_once(of_all: Callable[[Dialogue], np.ndarray]) -> Ask:
    """Ask about all of a dialogue when it first is asked about, and keep that."""

    def ask(dialogue: Dialogue, rows: Sequence[int]) -> np.ndarray:
        if dialogue.scores is None:
            dialogue.scores = of_all(dialogue)
        return dialogue.scores[list(rows)]

    return ask


def _tfidf(config: TextConfig, stored: StoredText, found: FoundRun, whole: str) -> Ask:
    return _at_once(partial(_tfidf_scores, config, stored))


def _tfidf_scores(
    config: TextConfig, stored: StoredText, dialogue: Dialogue
) -> np.ndarray:
    before = previous_texts(dialogue.texts, *dialogue.place, config.context)
    scores = stored.tfidf_scores(dialogue.texts, before)
    return _with_neighbours(config, stored, dialogue, scores)


def _with_neighbours(
    config: TextConfig, stored: StoredText, dialogue: Dialogue, scores: np.ndarray
) -> np.ndarray:
    """Return the second stage's probabilities, where the run has one."""
    if stored.neighbours is None:
        return scores
    features = neighbour_features(
        stored.answers(scores, dialogue.worded),
        *dialogue.place,
        np.array(dialogue.speakers),
        config.neighbours,
        config.causal,
    )
    return stored.neighbour_scores(features)


def _embeddings(
    config: TextConfig, stored: StoredText, found: FoundRun, whole: str
) -> Ask:
    if config.embeddings.endswith(".npz"):
        raise SpecError(
            f"{found.run.record_path}: its sentence embeddings came from a file "
            f"({config.embeddings}), so those of new words cannot be made. Train one "
            "with a model: emorec meld text --model embeddings --embeddings FOLDER."
        )
    if stored.embeddings is None:
        raise SpecError(
            f"{found.run.record_path}: of --classifier {config.classifier} nothing is "
            "kept that could answer about new words; of logistic it is. Train one with "
            "--classifier logistic."
        )
    backend.choose_backend()

    def of_all(dialogue: Dialogue) -> np.ndarray:
        rows = np.flatnonzero(dialogue.worded)
        texts = [dialogue.texts[row] for row in rows]
        vectors = embeddings_of(
            texts, [str(row) for row in rows], config.embeddings, config.program
        )
        features = np.zeros((len(dialogue), vectors.shape[1]), np.float32)
        features[rows] = vectors
        features = with_previous(features, *dialogue.place, config.context)
        if features.shape[1] != len(stored.mean):
            raise SpecError(
                f"{config.embeddings}: gives vectors of {vectors.shape[1]} numbers, "
                f"others than when {found.name} was trained."
            )
        scores = stored.embedding_scores(features)
        return _with_neighbours(config, stored, dialogue, scores)

    return _at_once(of_all)


def _glove(config: TextConfig, stored: StoredText, found: FoundRun, whole: str) -> Ask:
    from emorec.features.word_vectors import vocabulary_of
    from emorec.training.meld_words import extra_features, log_scores, words_network

    backend.choose_backend()
    words, labels = vocabulary_of(stored.words), len(found.spec.schema)
    width = found.spec.modalities[0].width
    # The flags of speakers; see `extra_features`.
    extras = 3 + (labels if config.tfidf_scores else 0)

    def build():
        return words_network(config, len(words), extras, labels, width)

    networks = _networks(config, found, whole, build)

    def of_all(dialogue: Dialogue) -> np.ndarray:
        from emorec.batches.ragged import RaggedStore

        scores = None
        if config.tfidf_scores:
            scores = stored.tfidf_scores(dialogue.texts, [""] * len(dialogue))
            scores = log_scores(stored.answers(scores, dialogue.worded))
        speakers = np.array(dialogue.speakers)
        features = np.concatenate(
            [
                words.encode(dialogue.texts, config.max_words),
                extra_features(*dialogue.place, speakers, scores),
            ],
            axis=1,
        ).astype(np.float32)
        nothing = np.zeros((len(dialogue), labels), np.float32)
        store = RaggedStore.build(
            [("dialogue", features, dialogue.worded[:, None], nothing)], per_step=True
        )
        return _mean(networks, store, 1)

    return _at_once(of_all)


def _roberta(
    config: TextConfig, stored: StoredText, found: FoundRun, whole: str
) -> Ask:
    backend.choose_backend()
    from emorec.models.roberta_head import first_token_classifier, load_backbone
    from emorec.training.meld_roberta import tokens_of

    _, tokenizer = load_backbone(config.preset, weights=False)
    labels = len(found.spec.schema)

    def build():
        backbone, _ = load_backbone(config.preset, weights=False)
        return first_token_classifier(
            backbone, tokenizer.pad_token_id, labels, config.dropout_rate
        )

    networks = _networks(config, found, whole, build)

    def ask(dialogue: Dialogue, rows: Sequence[int]) -> np.ndarray:
        from emorec.batches.ragged import RaggedStore

        texts = dialogue.texts
        if config.speaker_names:
            # A speaker whom nobody names has none.
            pairs = zip(dialogue.speakers, texts, strict=True)
            texts = [f"{n}: {t}" if n and t.strip() else t for n, t in pairs]
        before = previous_texts(texts, *dialogue.place, config.context)
        tokens = tokens_of(
            tokenizer,
            [texts[row] for row in rows],
            [before[row] for row in rows],
            config.max_length,
        )
        store = RaggedStore.build(
            (
                str(row),
                one[:, None].astype(np.float32),
                np.ones((len(one), 1), bool),
                np.zeros(labels, np.float32),
            )
            for row, one in zip(rows, tokens, strict=True)
        )
        return _mean(networks, store, config.batch_size)

    return ask


def _networks(
    config: TextConfig, found: FoundRun, whole: str, build: Callable[[], Any]
) -> list[Any]:
    """Return the networks of all seeds with their weights."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(config.precision)
    networks = []
    try:
        for seed in range(config.seed, config.seed + config.networks):
            name = f"model_{whole}_seed_{seed}.weights.h5"
            path = found.run.folder / name
            if not path.is_file():
                raise SpecError(f"{path}: no such file; it belongs to {found.name}.")
            network = build()
            try:
                network.load_weights(path)
            except (ValueError, OSError, KeyError) as error:
                reason = str(error).strip().splitlines()[0][:200]
                raise SpecError(
                    f"{path}: not the weights of {found.name} ({reason})."
                ) from error
            networks.append(network)
    finally:
        keras.config.set_dtype_policy(before)
    return networks


def _mean(networks: Sequence[Any], store: Any, batch_size: int) -> np.ndarray:
    """Return the mean of the networks' probabilities (n, K) float64."""
    from emorec.batches.order import BatchOrder
    from emorec.batches.pipeline import Pipeline
    from emorec.evaluation.single_label import softmax

    # One width for all: of few sequences each bucket would be filled up.
    order = BatchOrder(store.lengths, batch_size, int(store.lengths.max()))
    pipeline = Pipeline(store, order)
    return np.mean([softmax(pipeline.predict(one)) for one in networks], axis=0)


ASKS = {
    "tfidf": _tfidf,
    "embeddings": _embeddings,
    "glove": _glove,
    "roberta": _roberta,
}
