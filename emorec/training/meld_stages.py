"""The logistic regressions of MELD's text systems: on TF-IDF, and on neighbours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from emorec.features.dialogue_context import previous_texts
from emorec.training import meld_classifiers as classifiers
from emorec.training import meld_neighbours, meld_tfidf
from emorec.training.meld_config import TextConfig
from emorec.training.meld_data import TextData
from emorec.training.meld_stored import StoredText

Say = Callable[[str], None]


def tell(choice: classifiers.Choice, what: str, say: Say) -> dict[str, Any]:
    """Say what was chosen, and return it for the record."""
    chosen = ", ".join(f"{key} {value:g}" for key, value in choice.settings.items())
    say(f"{what}: weighted F1 on dev {choice.f1:.4f} with {chosen}.")
    return {"chosen": choice.settings, "dev_f1": choice.f1, "tried": choice.tried}


def tfidf_scores(
    config: TextConfig, data: TextData, say: Say, unseen: bool
) -> tuple[np.ndarray, dict[str, Any], int, StoredText]:
    """Return TF-IDF's probabilities (N, K), what was chosen, its columns, the model.

    With `unseen`, training utterances have scores of models that their dialogues did
    not teach.
    """
    corpus = data.corpus
    before = None
    if config.context:
        before = previous_texts(
            corpus.utterances, corpus.dialogues, corpus.numbers, config.context
        )
    width = len(corpus.schema)
    blocks, counted = meld_tfidf.tfidf_blocks(corpus.utterances, before, data.learnt)
    choice = meld_tfidf.classify_tfidf(
        blocks, corpus.classes, data.learnt, data.split("dev"), width
    )
    found = tell(choice, "TF-IDF", say)
    weight = choice.settings["character_weight"]
    features = meld_tfidf.join(blocks, weight)
    scores = choice.scores
    if unseen:
        scores = unseen_scores(data, features, choice, config.seed)
    stored = replace(
        StoredText.of(data),
        counted=counted,
        character_weight=weight,
        tfidf=choice.model,
    )
    return scores, found, features.shape[1], stored


def unseen_scores(
    data: TextData, features: Any, choice: classifiers.Choice, seed: int
) -> np.ndarray:
    """Return the scores with those of training dialogues out of fold.

    `features` (N, D) are those of the chosen logistic regression.
    """
    classes, width = data.corpus.classes, len(data.corpus.schema)

    def fit(taught: np.ndarray) -> np.ndarray:
        c = [choice.settings["C"]]
        (_, ask), *_ = classifiers.fit_logistic(features[taught], classes[taught], c)
        return classifiers.spread(ask(features), np.unique(classes[taught]), width)

    fold = meld_neighbours.dialogue_folds(data.corpus.dialogues, data.learnt, seed)
    return meld_neighbours.out_of_fold(choice.scores, fit, fold, data.learnt)


def with_neighbours(
    config: TextConfig, data: TextData, scores: np.ndarray, found: dict, say: Say
) -> tuple[np.ndarray, classifiers.Linear]:
    """Return the second stage's probabilities, and it; `scores` are out of fold."""
    corpus = data.corpus
    features = meld_neighbours.neighbour_features(
        data.answers(scores),
        corpus.dialogues,
        corpus.numbers,
        corpus.speakers,
        config.neighbours,
        config.causal,
    )
    choice = meld_neighbours.classify_neighbours(
        features, corpus.classes, data.learnt, data.split("dev"), len(corpus.schema)
    )
    found["neighbours"] = tell(choice, "with neighbours", say)
    return choice.scores, choice.model
