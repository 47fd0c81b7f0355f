"""The votes of FER+ and what label modes make of them.

Ten people looked at each face and chose among eight emotions, "unknown" and "not a
face" (NF). Barsoum et al. (2016), "Training Deep Networks for Facial Expression
Recognition with Crowd-Sourced Label Distribution", describe Microsoft's modes; Albanie
et al. (2018), "Emotion Recognition in Speech using Cross-Modal Transfer in the Wild",
trained on the modes cntk, clean and full. The modes keep different images, so that
accuracies of two modes must not be compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from emorec.errors import SpecError
from emorec.labels import FERPLUS, FERPLUS_VOTES, LabelSchema

_EMOTIONS = len(FERPLUS)
# Of multi_target: each target is raised by so much of the rest.
_EPSILON = 0.001


@dataclass(frozen=True)
class FaceLabels:
    """Labels of the faces that a mode keeps.

    Attributes
    ----------
    mode : str
        Key of `MODES`.
    schema : LabelSchema
        The columns of `targets`: eight emotions, or ten with ``full``.
    kept : (N,) bool
        Which of all faces.
    targets : (n, K) float32
        One row per kept face: a distribution, or with ``multi_target`` K targets
        near 0 or 1.
    """

    mode: str
    schema: LabelSchema
    kept: np.ndarray
    targets: np.ndarray

    @property
    def classes(self) -> np.ndarray:
        """The hard labels (n,): the largest target, the first of equal ones."""
        return self.targets.argmax(axis=1)


def label(votes: np.ndarray, mode: str) -> FaceLabels:
    """Turn votes into labels.

    Parameters
    ----------
    votes : (N, 10) int
        In the order of `FERPLUS_VOTES`.
    mode : str
        Key of `MODES`.

    Raises
    ------
    SpecError
        When there is no such mode.
    """
    if mode not in MODES:
        raise SpecError(f"Label mode '{mode}': expected one of {', '.join(MODES)}.")
    # Ten votes make few patterns, so each is looked at once.
    patterns, numbers = np.unique(votes, axis=0, return_inverse=True)
    decided = [MODES[mode](pattern.astype(float)) for pattern in patterns]
    schema = FERPLUS_VOTES if mode == "full" else FERPLUS
    kept = np.array([row is not None for row in decided], bool)[numbers.ravel()]
    empty = np.zeros(len(schema))
    rows = np.array([empty if row is None else row for row in decided], np.float32)
    return FaceLabels(mode, schema, kept, rows.reshape(-1, len(schema))[numbers][kept])


def _without_single_votes(votes: np.ndarray) -> np.ndarray:
    return np.where(votes <= 1, 0.0, votes)


def _is_no_emotion(votes: np.ndarray) -> bool:
    """Whether the largest entry, the first of equal ones, is unknown or NF."""
    return not votes.any() or votes.argmax() >= _EMOTIONS


def _distribution(votes: np.ndarray) -> np.ndarray:
    emotions = votes[:_EMOTIONS]
    return emotions / emotions.sum()


def _cntk(votes: np.ndarray) -> np.ndarray | None:
    """Refuse ties with unknown or NF, ties of three, and minorities."""
    votes = _without_single_votes(votes)
    ties = np.flatnonzero(votes == votes.max())
    minority = len(ties) * votes.max() <= 0.5 * votes.sum()
    if (ties >= _EMOTIONS).any() or len(ties) >= 3 or minority:
        return None
    return _distribution(votes)


def _clean(votes: np.ndarray) -> np.ndarray | None:
    return None if _is_no_emotion(votes) else _distribution(votes)


def _full(votes: np.ndarray) -> np.ndarray | None:
    return votes / votes.sum() if votes.any() else None


def _majority(votes: np.ndarray) -> np.ndarray | None:
    votes = _without_single_votes(votes)
    if votes.max() <= 0.5 * votes.sum() or _is_no_emotion(votes):
        return None
    return np.eye(_EMOTIONS)[votes.argmax()]


def _crossentropy(votes: np.ndarray) -> np.ndarray | None:
    """Take categories from the largest on, until 75 % of the votes or three of them."""
    votes = _without_single_votes(votes)
    total, taken, mass = votes.sum(), np.zeros_like(votes), 0.0
    left = votes.copy()
    more = True
    while more and mass < 0.75 * total and np.count_nonzero(taken) < 3:
        largest = left.max()
        for category in np.flatnonzero(left == largest):
            mass += largest
            left[category] = 0
            if category < _EMOTIONS:
                taken[category] = largest
                continue
            # Nothing is taken after unknown or NF, which count only when first.
            more = False
            if not taken.any():
                taken[category] = largest
            break
    few = taken.sum() <= 0.5 * total
    if few or np.count_nonzero(taken) > 3 or _is_no_emotion(taken):
        return None
    return _distribution(taken)


def _multi_target(votes: np.ndarray) -> np.ndarray | None:
    votes = _without_single_votes(votes)
    taken = np.where(votes >= 0.3 * votes.sum(), votes, 0.0)
    if taken.sum() <= 0.5 * votes.sum() or _is_no_emotion(taken):
        return None
    return (1 - _EPSILON) * (taken[:_EMOTIONS] > 0) + _EPSILON


# cntk, clean and full are those of Albanie et al., the others those of Microsoft.
# probability draws one class from the distribution of crossentropy, each time anew.
MODES: dict[str, Callable[[np.ndarray], np.ndarray | None]] = {
    "cntk": _cntk,
    "clean": _clean,
    "full": _full,
    "majority": _majority,
    "probability": _crossentropy,
    "crossentropy": _crossentropy,
    "multi_target": _multi_target,
}
# Microsoft's modes are validated and tested on the images with a majority.
EVALUATED_AS = {mode: mode for mode in ("cntk", "clean", "full", "majority")} | {
    mode: "majority" for mode in ("probability", "crossentropy", "multi_target")
}
