"""A second classifier that sees what the first one says of the utterances around."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from emorec.features.dialogue_context import ABSENT, neighbours
from emorec.progress import track
from emorec.training.meld_classifiers import Choice, choose, fit_logistic, spread

NEIGHBOUR_C = (0.003, 0.01, 0.03, 0.1)
# Of the folds that give training utterances scores of a model that has not seen them.
FOLDS = 5
_FLOOR = 1e-6


def dialogue_folds(dialogues: np.ndarray, learnt: np.ndarray, seed: int) -> np.ndarray:
    """Return the fold of each utterance's dialogue, (N,) int; -1 where nothing teaches.

    Dialogues stay whole, so that no utterance is judged by a model that its own
    dialogue taught.
    """
    names = np.unique(dialogues[learnt])
    order = np.random.default_rng(seed).permutation(len(names))
    number = dict(zip(names[order], np.arange(len(names)) % FOLDS, strict=True))
    return np.array([number.get(name, -1) for name in dialogues])


def out_of_fold(
    scores: np.ndarray,
    fit: Callable[[np.ndarray], np.ndarray],
    fold: np.ndarray,
    learnt: np.ndarray,
) -> np.ndarray:
    """Replace the scores of utterances in dialogues that teach by unseen ones.

    Parameters
    ----------
    scores : (N, K) float
        Of a model that all of `learnt` taught.
    fit : callable
        Takes which utterances (N,) bool teach; returns scores (N, K).
    fold : (N,) int
        Of `dialogue_folds`.
    learnt : (N,) bool
    """
    result = scores.copy()
    for number in track(np.unique(fold[fold >= 0]), "folds"):
        inside = fold == number
        result[inside] = fit(learnt & ~inside)[inside]
    return result


def neighbour_features(
    scores: np.ndarray,
    dialogues: np.ndarray,
    numbers: np.ndarray,
    speakers: np.ndarray,
    count: int,
    causal: bool,
) -> np.ndarray:
    """Return the scores of utterances with those of their neighbours.

    Returns
    -------
    (N, K * (1 + 2M)) float64
        Log probabilities of the utterance; of each of M neighbours (`count` before,
        and as many after unless `causal`), and again where it is of the same speaker;
        0 where there is none.
    """
    logs = np.log(np.maximum(scores, _FLOOR))
    # So that an absent neighbour, 0, says as little as an undecided one.
    logs -= logs.mean(axis=1, keepdims=True)
    offsets = [*range(-count, 0), *([] if causal else range(1, count + 1))]
    found = neighbours(dialogues, numbers, offsets)
    parts = [logs]
    for rows in found.T:
        there = logs[rows] * (rows != ABSENT)[:, None]
        same = (speakers[rows] == speakers)[:, None]
        parts += [there, there * same]
    return np.concatenate(parts, axis=1)


def classify_neighbours(
    features: np.ndarray,
    classes: np.ndarray,
    learnt: np.ndarray,
    dev: np.ndarray,
    width: int,
) -> Choice:
    """Choose C of the second logistic regression by weighted F1 on dev.

    Parameters
    ----------
    features : (N, D) float
        Of `neighbour_features`.
    classes : (N,) int
    learnt, dev : (N,) bool
        Which utterances teach, and which decide.
    width : int
        K, the labels.
    """
    known = np.unique(classes[learnt])
    fitted = fit_logistic(features[learnt], classes[learnt], NEIGHBOUR_C)
    candidates = [
        ({"C": c}, spread(ask(features), known, width), ask) for c, ask in fitted
    ]
    return choose(candidates, classes, dev)
