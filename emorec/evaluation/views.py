"""Four views of an emotion score: all levels, coarse levels, presence, dominance.

Scores are (n, K) in the order of a schema. When the schema has the label ``neutral``,
that column is on exactly when no emotion is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emorec.errors import DataError
from emorec.labels import LabelSchema

NEUTRAL = "neutral"


def _finite(scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores, np.float64)
    if not np.isfinite(scores).all():
        row = int(np.flatnonzero(~np.isfinite(scores).all(axis=-1))[0])
        raise DataError(
            f"Scores of row {row} are not finite ({scores[row].tolist()}); the "
            "training diverged or the features are damaged."
        )
    return scores


def nearest_level(scores: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Round scores to the nearest level; halfway goes to the lower one.

    Parameters
    ----------
    scores : (...) float
        Any finite values; outside the levels the first or last is nearest.
    levels : sequence of float
        Ascending, from the schema or the training fold, never from test labels.

    Returns
    -------
    (...) float32

    Raises
    ------
    DataError
        When a score is not finite.
    """
    steps = np.asarray(levels, np.float64)
    middles = (steps[1:] + steps[:-1]) / 2
    return steps[np.searchsorted(middles, _finite(scores), "left")].astype(np.float32)


def _emotions(schema: LabelSchema) -> np.ndarray:
    return np.array([label != NEUTRAL for label in schema.labels])


def _with_neutral(on: np.ndarray, schema: LabelSchema) -> np.ndarray:
    if NEUTRAL in schema.labels:
        emotion = _emotions(schema)
        on[:, ~emotion] = ~on[:, emotion].any(axis=1, keepdims=True)
    return on.astype(np.int8)


def presence(
    scores: np.ndarray, schema: LabelSchema, threshold: float | np.ndarray = 0.0
) -> np.ndarray:
    """Return which emotions are present, (n, K) int8 of 0 and 1.

    Present means at least `threshold`, one for all or one per label, (K,); where that
    is 0, above 0.
    """
    scores = _finite(scores)
    on = np.where(np.equal(threshold, 0), scores > 0, scores >= threshold)
    return _with_neutral(on, schema)


def dominant(scores: np.ndarray, schema: LabelSchema) -> np.ndarray:
    """Return which emotions are dominant, (n, K) int8 of 0 and 1.

    Every emotion that equals the row's maximum; none when the maximum is not above 0,
    nor when the score of neutral exceeds it.
    """
    scores = _finite(scores)
    emotion = _emotions(schema)
    top = np.where(emotion, scores, -np.inf).max(axis=1, keepdims=True)
    on = (scores == top) & (top > 0) & emotion
    if not emotion.all():
        on &= scores[:, ~emotion] <= top
    return _with_neutral(on, schema)


def add_neutral(scores: np.ndarray) -> np.ndarray:
    """Append the neutral column, 1 where no emotion is present: (n, K) -> (n, K+1)."""
    neutral = ~(np.asarray(scores) > 0).any(axis=1, keepdims=True)
    return np.concatenate([scores, neutral.astype(np.float32)], axis=1)
