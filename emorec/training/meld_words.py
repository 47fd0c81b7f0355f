"""MELD's dialogues for a network over words: words, speakers, other models' scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from emorec.artifacts.spec import Modality, Spec
from emorec.batches.ragged import RaggedStore
from emorec.features.dialogue_context import runs, speaker_flags
from emorec.features.word_vectors import (
    Vocabulary,
    embedding_matrix,
    read_word_vectors,
    vocabulary,
    words_of,
)
from emorec.training import backend
from emorec.training.meld_config import TextConfig
from emorec.training.meld_data import JUDGED, TextData

if TYPE_CHECKING:
    import keras

    from emorec.training.meld_keras import Sequences, Task

# Of vectors that are all learnt.
_WIDTH = 100
_FLOOR = 1e-6


def words_task(
    config: TextConfig, data: TextData, scores: np.ndarray | None
) -> tuple[Task, tuple[str, ...]]:
    """Prepare the network over words and its dialogues.

    Parameters
    ----------
    config : TextConfig
        Of the model ``glove``.
    data : TextData
    scores : (N, K) float or None
        Another model's log probabilities, which become features of an utterance.

    Returns
    -------
    Task, tuple of str
        And the words that it knows, in the order of their numbers.
    """
    corpus = data.corpus
    vectors = None
    if config.vectors:
        wanted = {word for text in corpus.utterances for word in words_of(text)}
        vectors = read_word_vectors(config.vectors, wanted)
    taught = [corpus.utterances[row] for row in np.flatnonzero(data.learnt)]
    words = vocabulary(taught, vectors)
    extras = extra_features(corpus.dialogues, corpus.numbers, corpus.speakers, scores)
    backend.choose_backend()
    from emorec.training.meld_keras import Task

    sequences = {
        split: dialogue_sequences(
            data, words, extras, config.max_words, split, split == "train"
        )
        for split in ("train", *JUDGED)
        if data.split(split).any()
    }
    source = "none" if vectors is None else f"GloVe, {len(vectors.words)} words"
    width = _WIDTH if vectors is None else vectors.vectors.shape[1]
    labels = len(corpus.schema)

    def build(seed: int, begin: bool) -> keras.Model:
        model = words_network(config, len(words), extras.shape[1], labels, width)
        matrix = embedding_matrix(words, vectors, width, seed)
        model.get_layer("words").set_weights([matrix])
        return model

    spec = Spec(
        schema=corpus.schema,
        modalities=(Modality("text", f"words ({source})", width),),
        max_steps=0,
        label_type="single",
        data={"dataset": corpus.dataset, "vocabulary": len(words)},
    )
    return Task(build, sequences, spec), tuple(words.numbers)


def log_scores(scores: np.ndarray) -> np.ndarray:
    """Return the features that another model's probabilities become."""
    return np.log(np.maximum(scores, _FLOOR))


def extra_features(
    dialogues: np.ndarray,
    numbers: np.ndarray,
    speakers: np.ndarray,
    scores: np.ndarray | None,
) -> np.ndarray:
    """Return features (n, E) of utterances beside words; `scores` of `log_scores`."""
    flags = speaker_flags(dialogues, numbers, speakers)
    return flags if scores is None else np.concatenate([flags, scores], axis=1)


def dialogue_sequences(
    data: TextData,
    words: Vocabulary,
    extras: np.ndarray,
    longest: int,
    split: str,
    teaching: bool,
) -> Sequences:
    """Lay out the dialogues of a split, a step for each utterance.

    Parameters
    ----------
    data : TextData
    words : Vocabulary
    extras : (N, E) float
        Further features of the utterances.
    longest : int
        W, words of an utterance.
    split : str
    teaching : bool
        Whether only the utterances that teach have labels; the others are context.

    Returns
    -------
    Sequences
        Features (total_steps, W + E).
    """
    from emorec.training.meld_keras import Sequences

    corpus = data.corpus
    inside = corpus.rows(split)
    labels = np.eye(len(corpus.schema), dtype=np.float32)[corpus.classes]
    labels *= (data.learnt if teaching else data.worded)[:, None]
    numbers = words.encode([corpus.utterances[row] for row in inside], longest)
    features = np.concatenate([numbers, extras[inside]], axis=1).astype(np.float32)
    dialogues = runs(corpus.dialogues[inside], corpus.numbers[inside])
    store = RaggedStore.build(
        (
            (
                str(corpus.dialogues[inside[rows[0]]]),
                features[rows],
                data.worded[inside[rows], None],
                labels[inside[rows]],
            )
            for rows in dialogues
        ),
        per_step=True,
    )
    return Sequences(store, inside[np.concatenate(dialogues)])


def words_network(
    config: TextConfig, words: int, extras: int, labels: int, width: int
) -> keras.Model:
    """Build the network of a configuration.

    Parameters
    ----------
    config : TextConfig
    words : int
        Rows of the embedding.
    extras : int
        Features of an utterance beside its words.
    labels : int
    width : int
        Of a word's vector.
    """
    from emorec.models.dialogue_lstm import dialogue_lstm

    use_cudnn, _ = backend.compilation(config.jit)
    return dialogue_lstm(
        words,
        config.max_words,
        extras,
        labels,
        width,
        config.encoder,
        config.dialogue,
        config.units,
        config.num_nodes,
        config.dropout_rate,
        config.word_dropout,
        not config.fixed_words,
        use_cudnn,
        config.jit != "off",
    )
