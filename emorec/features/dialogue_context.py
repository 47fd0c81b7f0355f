"""Which utterances of a dialogue are one another's context."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emorec.errors import DataError

ABSENT = -1


def neighbours(
    dialogues: np.ndarray, numbers: np.ndarray, offsets: Sequence[int]
) -> np.ndarray:
    """Find utterances before and after each one in its own dialogue.

    Parameters
    ----------
    dialogues : (n,) text
        Name of each utterance's dialogue.
    numbers : (n,) int
        Its place there; gaps are allowed, for what is missing leaves no place.
    offsets : sequence of int
        -1 is the utterance before, 2 the one after the next.

    Returns
    -------
    (n, len(offsets)) int
        Rows, `ABSENT` where the dialogue has begun later or ended before.

    Raises
    ------
    DataError
        When a dialogue has a number twice.
    """
    dialogues, numbers = np.asarray(dialogues), np.asarray(numbers)
    order = np.lexsort([numbers, dialogues])
    named, placed = dialogues[order], numbers[order]
    same = named[1:] == named[:-1]
    if (twice := np.flatnonzero(same & (placed[1:] == placed[:-1]))).size:
        raise DataError(
            f"Dialogue {named[twice[0]]}: utterance {placed[twice[0]]} stands twice."
        )
    found = np.full((len(order), len(offsets)), ABSENT)
    places = np.arange(len(order))
    for column, offset in enumerate(offsets):
        there = places + offset
        inside = (there >= 0) & (there < len(order))
        inside[inside] = named[there[inside]] == named[inside]
        found[order[inside], column] = order[there[inside]]
    return found


def runs(dialogues: np.ndarray, numbers: np.ndarray) -> list[np.ndarray]:
    """Return the rows of each dialogue in the order in which they were said."""
    dialogues = np.asarray(dialogues)
    order = np.lexsort([np.asarray(numbers), dialogues])
    cuts = np.flatnonzero(dialogues[order][1:] != dialogues[order][:-1]) + 1
    return np.split(order, cuts) if len(order) else []


def speaker_flags(
    dialogues: np.ndarray, numbers: np.ndarray, speakers: np.ndarray
) -> np.ndarray:
    """Say how the turn goes on, from the past alone.

    Returns
    -------
    (n, 3) float32
        1 where the utterance begins its dialogue; where its speaker is the one of the
        utterance before; where it is the one of the utterance before that.
    """
    before = neighbours(dialogues, numbers, (-1, -2))
    speakers = np.asarray(speakers)
    flags = np.zeros((len(speakers), 3), np.float32)
    flags[:, 0] = before[:, 0] == ABSENT
    for column in (0, 1):
        there = before[:, column]
        flags[:, column + 1] = (there != ABSENT) & (speakers[there] == speakers)
    return flags


def with_previous(
    features: np.ndarray, dialogues: np.ndarray, numbers: np.ndarray, count: int
) -> np.ndarray:
    """Join an utterance's features with those of the utterances before it.

    Parameters
    ----------
    features : (n, D) float
    dialogues, numbers : (n,)
        See `neighbours`.
    count : int
        N, how many before; 0 returns the features as they are.

    Returns
    -------
    (n, D * (N + 2)) float
        The utterance, the N before it from the latest on (0 where there is none), and
        the mean of all before it in the dialogue.
    """
    if not count:
        return features
    before = neighbours(dialogues, numbers, range(-1, -count - 1, -1))
    parts = [features]
    for rows in before.T:
        parts.append(features[rows] * (rows != ABSENT)[:, None])
    means = np.zeros_like(features)
    for rows in runs(dialogues, numbers):
        sums = np.cumsum(features[rows[:-1]], axis=0, dtype=np.float64)
        means[rows[1:]] = sums / np.arange(1, len(rows))[:, None]
    return np.concatenate([*parts, means], axis=1)


def previous_texts(
    texts: Sequence[str],
    dialogues: np.ndarray,
    numbers: np.ndarray,
    count: int,
    speakers: Sequence[str] | None = None,
) -> list[str]:
    """Return of each utterance the words of the `count` before it, the latest last.

    With `speakers` each of them begins with ``"Name: "``.
    """
    if not count:
        return [""] * len(texts)
    said = named(texts, speakers)
    before = neighbours(dialogues, numbers, range(-count, 0))
    return [
        " ".join(said[row] for row in rows if row != ABSENT and texts[row])
        for rows in before
    ]


def named(texts: Sequence[str], speakers: Sequence[str] | None) -> list[str]:
    """Put the speaker's name before each utterance, where names are given."""
    if speakers is None:
        return list(texts)
    return [f"{name}: {text}" for name, text in zip(speakers, texts, strict=True)]
