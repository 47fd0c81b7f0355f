"""Classifiers on fixed features of utterances, their settings chosen on dev."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from emorec.errors import MissingExtraError
from emorec.evaluation.single_label import softmax
from emorec.progress import track

EMBEDDING_C = (0.003, 0.01, 0.03, 0.1)
SVM_C = (0.5, 1.0, 3.0, 10.0)
TEMPERATURES = tuple(step / 10 for step in range(9))
_ROUNDS = 200
# Of the search for the weights, per strength of the penalty.
_STEPS = 80


@dataclass(frozen=True)
class Linear:
    """A fitted logistic regression.

    Attributes
    ----------
    weights, bias : (C, D), (C,) float64
        Of C known classes; of two one row, which tells the second from the first.
    """

    weights: np.ndarray
    bias: np.ndarray

    def __call__(self, features: Any) -> np.ndarray:
        """Return probabilities (n, C) float64 of features (n, D), sparse or not."""
        logits = features @ self.weights.T + self.bias
        if logits.shape[1] == 1:  # two classes
            logits = np.concatenate([-logits / 2, logits / 2], axis=1)
        return softmax(logits)


@dataclass(frozen=True)
class Choice:
    """A fitted classifier, chosen among others.

    Attributes
    ----------
    settings : dict
        What was chosen.
    f1 : float
        Its weighted F1 on dev, in [0, 1].
    tried : list of dict
        Every setting with its ``f1``.
    scores : (N, K) float64
        Probabilities. Of utterances that taught, a logistic regression's are by the
        model that they taught, and those of other classifiers are 0: nobody needs them.
    model : Linear or None
        Of a logistic regression, the one that was chosen, of the classes that taught.
    """

    settings: dict[str, Any]
    f1: float
    tried: list[dict[str, Any]]
    scores: np.ndarray
    model: Linear | None = None


def weighted_f1(true: np.ndarray, scores: np.ndarray) -> float:
    """Return the weighted F1, in [0, 1], of choosing the likeliest of K classes."""
    return float(
        f1_score(true, scores.argmax(axis=1), average="weighted", zero_division=0)
    )


def fit_logistic(
    features: Any, classes: np.ndarray, settings: Sequence[float]
) -> list[tuple[float, Linear]]:
    """Fit a logistic regression per strength C, each from where the last one ended.

    The number of steps is bounded, which is a mild penalty of its own.

    Returns
    -------
    list of (C, Linear)
    """
    # The gradient is of the mean loss: by the usual tolerance a fit that starts where
    # the last one ended would be over before it began.
    model = LogisticRegression(max_iter=_STEPS, tol=1e-6, warm_start=True)
    fitted = []
    for c in sorted(settings):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.set_params(C=c).fit(features, classes)
        fitted.append((c, Linear(model.coef_.copy(), model.intercept_.copy())))
    return fitted


def choose(
    candidates: Sequence[tuple[dict[str, Any], np.ndarray, Linear | None]],
    classes: np.ndarray,
    dev: np.ndarray,
) -> Choice:
    """Choose among classifiers by weighted F1 on dev; ties to the first.

    Parameters
    ----------
    candidates : sequence
        Each with settings, scores (N, K) of all utterances, and its model if linear.
    classes : (N,) int
    dev : (N,) bool
    """
    tried = [
        settings | {"f1": weighted_f1(classes[dev], scores[dev])}
        for settings, scores, _ in candidates
    ]
    best = int(np.argmax([row["f1"] for row in tried]))
    settings, scores, model = candidates[best]
    return Choice(settings, tried[best]["f1"], tried, scores, model)


def adjust(
    scores: np.ndarray, prior: np.ndarray, classes: np.ndarray, dev: np.ndarray
) -> tuple[np.ndarray, float]:
    """Give rare classes more weight, as much as the weighted F1 on dev asks for.

    Menon et al. (2021), "Long-tail learning via logit adjustment", section 4.1:
    probabilities over the classes' shares to the power of tau, here one of
    `TEMPERATURES`; the smallest of equally good ones.

    Parameters
    ----------
    scores : (N, K) float
        Probabilities.
    prior : (K,) float
        Shares of the classes in training.
    classes : (N,) int
    dev : (N,) bool
        Utterances that decide.

    Returns
    -------
    (N, K) float64
        Probabilities.
    float
        tau; 0 changes nothing.
    """
    tried = [adjusted(scores, prior, tau) for tau in TEMPERATURES]
    f1 = [weighted_f1(classes[dev], shifted[dev]) for shifted in tried]
    best = int(np.argmax(f1))
    return tried[best], TEMPERATURES[best]


def adjusted(scores: np.ndarray, prior: np.ndarray, tau: float) -> np.ndarray:
    """Return probabilities (n, K) over the shares to the power of tau, the sum 1."""
    # A class that nothing taught stays where it is.
    shifted = scores / np.where(prior > 0, prior, 1.0) ** tau
    sums = shifted.sum(axis=1, keepdims=True)
    return shifted / np.where(sums > 0, sums, 1)


def spread(scores: np.ndarray, known: np.ndarray, width: int) -> np.ndarray:
    """Put columns of the known classes into (n, width); others are 0."""
    result = np.zeros((len(scores), width))
    result[:, known] = scores
    return result


def classify_embeddings(
    features: np.ndarray,
    classes: np.ndarray,
    learnt: np.ndarray,
    dev: np.ndarray,
    width: int,
    classifier: str = "logistic",
    seed: int = 0,
) -> Choice:
    """Choose the settings of a classifier on dense features.

    Parameters
    ----------
    features : (N, D) float
    classes, learnt, dev, width
        See `emorec.training.meld_tfidf.classify_tfidf`.
    classifier : {"logistic", "svm", "boosting", "xgboost"}
        Logistic regression (C); support vectors with radial basis functions (C), whose
        scores are the softmax of the margins and no calibrated probabilities; gradient
        boosting of histograms (rounds), scikit-learn's or XGBoost's.
    seed : int
        Of the boosting.

    Raises
    ------
    MissingExtraError
        When XGBoost is asked for and not installed.
    """
    if classifier == "xgboost" and find_spec("xgboost") is None:
        raise MissingExtraError("xgboost", "xgboost", "--classifier xgboost")
    features = standardised(features, learnt)
    known, targets = np.unique(classes[learnt], return_inverse=True)
    fitted = _FITS[classifier](features, learnt, targets, seed)
    candidates = [
        (settings, spread(scores, known, width), *model)
        for settings, scores, *model in fitted
    ]
    return choose(candidates, classes, dev)


def standardised(features: np.ndarray, learnt: np.ndarray) -> np.ndarray:
    """Scale (N, D) to mean 0 and deviation 1 of the utterances that teach."""
    return scaler(features, learnt).transform(features)


def scaler(features: np.ndarray, learnt: np.ndarray) -> StandardScaler:
    """Return what `standardised` scales by."""
    return StandardScaler().fit(features[learnt])


def _fit_logistic(features, learnt, targets, seed):
    fitted = fit_logistic(features[learnt], targets, EMBEDDING_C)
    return [({"C": c}, ask(features), ask) for c, ask in fitted]


def _fit_svm(features, learnt, targets, seed):
    for c in track(SVM_C, "support vector machines"):
        model = SVC(C=c, decision_function_shape="ovr", cache_size=1000)
        model.fit(features[learnt], targets)
        margins = model.decision_function(features[~learnt])
        if margins.ndim == 1:
            margins = np.stack([-margins, margins], axis=1)
        yield {"C": c}, _for_others(softmax(margins), learnt), None


def _fit_boosting(features, learnt, targets, seed):
    model = HistGradientBoostingClassifier(
        learning_rate=0.1,
        max_iter=_ROUNDS,
        max_leaf_nodes=15,
        early_stopping=False,
        random_state=seed,
    )
    model.fit(features[learnt], targets)
    staged = model.staged_predict_proba(features[~learnt])
    for number, scores in enumerate(staged, 1):
        if number % 20 == 0:
            yield {"rounds": number}, _for_others(scores, learnt), None


def _fit_xgboost(features, learnt, targets, seed):
    import xgboost

    model = xgboost.XGBClassifier(
        n_estimators=_ROUNDS, max_depth=4, random_state=seed, tree_method="hist"
    )
    model.fit(features[learnt], targets)
    for number in range(20, _ROUNDS + 1, 20):
        scores = model.predict_proba(features[~learnt], iteration_range=(0, number))
        yield {"rounds": number}, _for_others(scores, learnt), None


def _for_others(scores, learnt):
    result = np.zeros((len(learnt), scores.shape[1]))
    result[~learnt] = scores
    return result


_FITS = {
    "logistic": _fit_logistic,
    "svm": _fit_svm,
    "boosting": _fit_boosting,
    "xgboost": _fit_xgboost,
}
