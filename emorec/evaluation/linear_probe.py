"""What frozen features say of emotions: logistic regression and its cross-validation.

Albanie et al. (2018), section 6 and published code: features of a network that is not
trained further, an unregularised multinomial logistic regression on them, accuracy over
folds. The published folds are of a random permutation, so that every speaker is in
training and test; here that is one protocol beside others, never the only one.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from emorec.corpora.acted import ActedSpeech
from emorec.corpora.speaker_folds import folds_by_speaker
from emorec.errors import DataError, SpecError
from emorec.evaluation.intervals import macro_f1, speaker_interval
from emorec.labels import LabelSchema

PROTOCOLS = ("literal", "leave_speakers_out", "split")
_LITERAL_FOLDS = 10
# Of the gradient of the mean loss.
_TOLERANCE, _STEPS = 1e-6, 10_000


@dataclass(frozen=True)
class ProbeResult:
    """How well features tell the classes under one protocol.

    Attributes
    ----------
    protocol : str
        One of `PROTOCOLS`.
    schema : LabelSchema
        Names of the K classes.
    folds : pandas.DataFrame
        One row per fold: ``fold``, ``train``, ``test`` (takes), ``accuracy``,
        ``constant`` (accuracy of always answering the most frequent class of the
        training takes), ``train_accuracy``, ``converged``, ``speakers_shared``
        (speakers in both training and test).
    fold : (n,) int64
        The fold in which a take was tested; -1 where it never was.
    predicted : (n,) int64
        Predicted class; -1 where the take was never tested.
    confusion : (K, K) int64
        Sum over folds, true classes in rows.
    accuracy, std : float
        Mean over folds and their sample standard deviation (n - 1); of one fold NaN.
    constant : float
        Mean over folds.
    f1_macro, f1_low, f1_high : float
        F1 over all tested takes, mean over classes that occur, and the bounds of its
        95 % bootstrap interval over speakers (over takes where they are not named).
    """

    protocol: str
    schema: LabelSchema
    folds: pd.DataFrame
    fold: np.ndarray
    predicted: np.ndarray
    confusion: np.ndarray
    accuracy: float
    std: float
    constant: float
    f1_macro: float
    f1_low: float
    f1_high: float


def probe(
    features: np.ndarray,
    corpus: ActedSpeech,
    protocol: str = "leave_speakers_out",
    seed: int = 0,
    standardise: bool = True,
) -> ProbeResult:
    """Fit and test a logistic regression on frozen features.

    Parameters
    ----------
    features : (n, D) float
        One row per take of the corpus, finite.
    corpus : ActedSpeech
        Classes, speakers and split.
    protocol : str
        "literal": ten folds of a random permutation, as published, NOT independent of
        the speaker. "leave_speakers_out": see `folds_by_speaker`. "split": trained on
        the corpus' own training part, tested on its test part, or on its validation
        part where it has no test part (AFEW).
    seed : int
        Of the permutation and the bootstrap. The published permutation is MATLAB's and
        cannot be drawn here.
    standardise : bool
        By mean and deviation of the training takes. It matters only where the
        training takes can be told apart without an error.

    Notes
    -----
    Where training takes can be told apart without an error (``train_accuracy`` 1, usual
    with about as many features as takes), the likelihood has no maximum: weights grow
    until the largest entry of its gradient is below 1e-6, and the result depends on
    that bound and on the scale of the features.

    Raises
    ------
    DataError
        When features and corpus do not fit together, a feature is not finite, a
        training part has one class, or the protocol needs speakers or a split that
        the corpus lacks.
    SpecError
        For another protocol.
    """
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or len(features) != len(corpus):
        raise DataError(
            f"Expected features ({len(corpus)}, D), one row per take of "
            f"{corpus.dataset}, received {features.shape}."
        )
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        raise DataError(
            f"{len(bad)} of {len(corpus)} takes have features that are not finite, the "
            f"first {corpus.ids[bad[0]]}. Leave them out first."
        )
    fold = protocol_folds(corpus, protocol, seed)
    check_folds(corpus, fold, protocol)
    predicted = np.full(len(corpus), -1, np.int64)
    rows = []
    for number in range(fold.max() + 1):
        test = fold == number
        train = corpus.split == "train" if protocol == "split" else ~test
        found = _fit(features, corpus.classes, train, test, standardise, number)
        predicted[test], row = found
        shared = set(corpus.speakers[train]) & set(corpus.speakers[test]) - {""}
        rows.append({"fold": number, **row, "speakers_shared": len(shared)})
    return summarise(corpus, protocol, fold, predicted, rows, seed)


def summarise(
    corpus: ActedSpeech,
    protocol: str,
    fold: np.ndarray,
    predicted: np.ndarray,
    rows: list[dict],
    seed: int = 0,
) -> ProbeResult:
    """Return the result of folds, whatever predicted them.

    Parameters
    ----------
    corpus : ActedSpeech
        n takes.
    protocol : str
        One of `PROTOCOLS`.
    fold, predicted : (n,) int
        See `ProbeResult`.
    rows : list of dict
        The columns of `ProbeResult.folds`, a row per fold.
    seed : int
        Of the bootstrap.
    """
    folds = pd.DataFrame(rows)
    tested = fold >= 0
    true, chosen = corpus.classes[tested], predicted[tested]
    classes = len(corpus.schema)
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (true, chosen), 1)
    low, high = speaker_interval(true, chosen, corpus.speakers[tested], classes, seed)
    accuracy = folds["accuracy"].to_numpy()
    return ProbeResult(
        protocol,
        corpus.schema,
        folds,
        fold,
        predicted,
        confusion,
        float(accuracy.mean()),
        float(accuracy.std(ddof=1)) if len(accuracy) > 1 else float("nan"),
        float(folds["constant"].mean()),
        float(macro_f1(confusion[None])[0]),
        low,
        high,
    )


def protocol_folds(corpus: ActedSpeech, protocol: str, seed: int = 0) -> np.ndarray:
    """Return the fold in which each take is tested, (n,) int64; -1 for never.

    Raises
    ------
    DataError, SpecError
        See `probe`.
    """
    n = len(corpus)
    if protocol == "leave_speakers_out":
        return folds_by_speaker(corpus)
    if protocol == "split":
        tested = next((p for p in ("test", "valid") if (corpus.split == p).any()), None)
        if tested is None or not (corpus.split == "train").any():
            raise DataError(
                f"{corpus.dataset}: has no split of its own; take the protocol "
                "leave_speakers_out."
            )
        return np.where(corpus.split == tested, 0, -1)
    if protocol != "literal":
        raise SpecError(
            f"Protocol '{protocol}': expected one of {', '.join(PROTOCOLS)}."
        )
    if n < _LITERAL_FOLDS:
        raise DataError(
            f"{corpus.dataset}: expected {_LITERAL_FOLDS} takes or more, found {n}."
        )
    # round(linspace(0, n, 11)) with halves rounded up, as MATLAB does.
    bounds = (2 * n * np.arange(_LITERAL_FOLDS + 1) + 10) // 20
    fold = np.empty(n, np.int64)
    fold[np.random.default_rng(seed).permutation(n)] = np.repeat(
        np.arange(_LITERAL_FOLDS), np.diff(bounds)
    )
    return fold


def check_folds(corpus: ActedSpeech, fold: np.ndarray, protocol: str) -> None:
    """Refuse folds of speakers that are not: a speaker tested in two folds.

    Raises
    ------
    DataError
        Under "leave_speakers_out", naming a speaker that would be in both training
        and test.
    """
    if protocol != "leave_speakers_out":
        return
    for speaker in np.unique(corpus.speakers):
        where = np.unique(fold[corpus.speakers == speaker])
        if len(where) > 1:
            raise DataError(
                f"{corpus.dataset}: speaker {speaker} would be in both training and "
                f"test (folds {', '.join(map(str, where))})."
            )


def random_features(n: int, width: int, seed: int = 0) -> np.ndarray:
    """Return (n, width) float64 of N(0, 1): what a network that knows nothing says."""
    return np.random.default_rng(seed).standard_normal((n, width))


def _fit(
    features: np.ndarray,
    classes: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    standardise: bool,
    number: int,
) -> tuple[np.ndarray, dict]:
    """Return predictions of the test rows, and what is told of the fold."""
    x, y, inputs = features[train], classes[train], features[test]
    if len(np.unique(y)) < 2:
        raise DataError(
            f"Fold {number}: its {len(y)} training takes have one class; expected 2."
        )
    spread = x.std(axis=0)
    spread[spread < 1e-12 * (1 + np.abs(x).max(axis=0))] = 1  # constant columns
    middle = x.mean(axis=0)
    x, inputs = (x - middle) / spread, (inputs - middle) / spread
    # The maximum of the likelihood, where there is one, is the same along any axes, and
    # along axes without correlation it is found in few steps.
    _, sizes, axes = np.linalg.svd(x, full_matrices=False)
    axes = axes[sizes > 1e-9 * sizes[0]] / sizes[sizes > 1e-9 * sizes[0], None]
    axes *= np.sqrt(len(x))
    model, converged = _maximum(x @ axes.T, y)
    chosen = model.predict(inputs @ axes.T)
    trained = float(model.score(x @ axes.T, y))
    if trained == 1:
        # There is none. Where the weights go depends on the axes, and long axes of
        # noise are the worse ones: take the features' own.
        if not standardise:
            x, inputs = x * spread, inputs * spread
        model, converged = _maximum(x, y)
        chosen, trained = model.predict(inputs), float(model.score(x, y))
    constant = np.bincount(y).argmax()
    return chosen, {
        "train": int(train.sum()),
        "test": int(test.sum()),
        "accuracy": float((chosen == classes[test]).mean()),
        "constant": float((classes[test] == constant).mean()),
        "train_accuracy": trained,
        "converged": converged,
    }


def _maximum(x: np.ndarray, y: np.ndarray) -> tuple[LogisticRegression, bool]:
    """Fit without a penalty; return the model and whether the steps sufficed."""
    model = LogisticRegression(C=np.inf, tol=_TOLERANCE, max_iter=_STEPS)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(x, y)
    return model, not any(issubclass(w.category, ConvergenceWarning) for w in heard)
