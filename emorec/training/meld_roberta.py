"""MELD's utterances as the tokens that a RoBERTa reads, with speakers and context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from emorec.artifacts.spec import Modality, Spec
from emorec.batches.ragged import RaggedStore
from emorec.features.dialogue_context import named, previous_texts
from emorec.features.sentence_embeddings import token_ids
from emorec.training import backend
from emorec.training.meld_config import TextConfig
from emorec.training.meld_data import JUDGED, TextData


def tokens_of(
    tokenizer: Any, texts: Sequence[str], before: Sequence[str], longest: int
) -> list[np.ndarray]:
    """Return the numbers of tokens that a RoBERTa reads.

    ``<s> text </s>``, or where there is context ``<s> context </s></s> text </s>``, as
    RoBERTa was shown pairs. What is too long loses the beginning of its context first,
    then the end of the text.

    Parameters
    ----------
    tokenizer
        Of keras-hub.
    texts, before : sequence of str
        n utterances and their contexts, empty where there is none.
    longest : int
        Tokens, special ones included.

    Returns
    -------
    list of n (<= longest,) int64
    """
    start, end = tokenizer.start_token_id, tokenizer.end_token_id
    pairs = zip(token_ids(tokenizer, texts), token_ids(tokenizer, before), strict=True)
    result = []
    for text, context in pairs:
        text = text[: longest - 2]
        room = longest - 4 - len(text)
        tokens = [start, *text, end]
        if context and room > 0:
            tokens = [start, *context[-room:], end, end, *text, end]
        result.append(np.array(tokens))
    return result


def roberta_task(config: TextConfig, data: TextData) -> Any:
    """Prepare a RoBERTa and the tokens of all utterances with words.

    Parameters
    ----------
    config : TextConfig
        Of the model ``roberta``.
    data : TextData

    Returns
    -------
    emorec.training.meld_keras.Task

    Raises
    ------
    MissingExtraError
        When keras-hub is not installed.
    SpecError
        When there is no such preset, or it reads fewer tokens.
    """
    backend.prepare(config.seed, config.precision)
    from emorec.errors import SpecError
    from emorec.models.roberta_head import first_token_classifier, load_backbone
    from emorec.training.meld_keras import Sequences, Task

    corpus = data.corpus
    backbone, tokenizer = load_backbone(config.preset, weights=False)
    most = getattr(backbone, "max_sequence_length", config.max_length)
    if most < config.max_length:
        raise SpecError(
            f"--max_length {config.max_length}: {config.preset} reads {most} tokens "
            "at most."
        )
    speakers = corpus.speakers if config.speaker_names else None
    texts = named(corpus.utterances, speakers)
    before = previous_texts(
        corpus.utterances, corpus.dialogues, corpus.numbers, config.context, speakers
    )
    tokens = tokens_of(tokenizer, texts, before, config.max_length)
    labels = np.eye(len(corpus.schema), dtype=np.float32)[corpus.classes]

    def sequences(chosen: np.ndarray) -> Sequences:
        rows = np.flatnonzero(chosen)
        store = RaggedStore.build(
            (
                corpus.ids[row],
                tokens[row][:, None].astype(np.float32),
                np.ones((len(tokens[row]), 1), bool),
                labels[row],
            )
            for row in rows
        )
        return Sequences(store, rows)

    def build(seed: int, begin: bool):
        backbone, _ = load_backbone(config.preset, weights=begin)
        return first_token_classifier(
            backbone, tokenizer.pad_token_id, len(corpus.schema), config.dropout_rate
        )

    splits = {"train": data.learnt} | {split: data.split(split) for split in JUDGED}
    return Task(
        build,
        {split: sequences(chosen) for split, chosen in splits.items() if chosen.any()},
        Spec(
            schema=corpus.schema,
            modalities=(Modality("text", "tokens", 1),),
            max_steps=0,
            label_type="single",
            data={"dataset": corpus.dataset, "preset": config.preset},
        ),
    )
