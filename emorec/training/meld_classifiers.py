"""Classifiers on fixed features of utterances, their settings chosen on dev."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from emorec.errors import MissingExtraError
from emorec.evaluation.single_label import softmax
from emorec.features.dialogue_context import ABSENT, neighbours
from emorec.features.word_vectors import plain, words_of
from emorec.progress import track

TFIDF_C = (1.0, 3.0, 10.0)
CHARACTER_WEIGHTS = (0.5, 1.0)
EMBEDDING_C = (0.003, 0.01, 0.03, 0.1)
SVM_C = (0.5, 1.0, 3.0, 10.0)
NEIGHBOUR_C = (0.003, 0.01, 0.03, 0.1)
_ROUNDS = 200
_CONTEXT_WEIGHT = 0.5
# Of the folds that give training utterances scores of a model that has not seen them.
FOLDS = 5
# Of the search for the weights, per strength of the penalty.
_STEPS = 80
_FLOOR = 1e-6


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
    """

    settings: dict[str, Any]
    f1: float
    tried: list[dict[str, Any]]
    scores: np.ndarray


def weighted_f1(true: np.ndarray, scores: np.ndarray) -> float:
    """Return the weighted F1, in [0, 1], of choosing the likeliest of K classes."""
    return float(
        f1_score(true, scores.argmax(axis=1), average="weighted", zero_division=0)
    )


def tfidf_blocks(
    texts: Sequence[str], before: Sequence[str] | None, learnt: np.ndarray
) -> list[sparse.csr_matrix]:
    """Return TF-IDF features of words and of characters, counted on train alone.

    Parameters
    ----------
    texts : sequence of str
        N utterances.
    before : sequence of str, optional
        The words before each of them; more columns, half as heavy.
    learnt : (N,) bool
        Utterances whose words and frequencies are known.

    Returns
    -------
    list of (N, D) csr_matrix
        Words and pairs of words; runs of 2 to 5 characters within words. Sublinear
        frequencies, what stands in one utterance alone left out.
    """

    def block(texts: Sequence[str], **options: Any) -> sparse.csr_matrix:
        counted = TfidfVectorizer(sublinear_tf=True, **options)
        try:
            counted.fit([texts[row] for row in np.flatnonzero(learnt)])
        except ValueError:  # nothing stands twice
            return sparse.csr_matrix((len(texts), 1))
        return counted.transform(texts)

    # Our own words: scikit-learn's drop the marks, which say much of emotions.
    texts = [plain(text) for text in texts]
    words = {
        "tokenizer": words_of,
        "token_pattern": None,
        "lowercase": False,
        "ngram_range": (1, 2),
        "min_df": 2,
    }
    characters = {"analyzer": "char_wb", "ngram_range": (2, 5), "min_df": 3}
    blocks = [block(texts, **words), block(texts, **characters)]
    if before is not None:
        blocks[0] = sparse.hstack([blocks[0], _CONTEXT_WEIGHT * block(before, **words)])
    return [part.tocsr() for part in blocks]


def join(blocks: Sequence[sparse.csr_matrix], weight: float) -> sparse.csr_matrix:
    """Join words with characters, which have the `weight`."""
    words, characters = blocks
    return sparse.hstack([words, weight * characters]).tocsr() if weight else words


def fit_logistic(
    features: Any, classes: np.ndarray, settings: Sequence[float]
) -> list[tuple[float, Callable[[Any], np.ndarray]]]:
    """Fit a logistic regression per strength C, each from where the last one ended.

    The number of steps is bounded, which is a mild penalty of its own.

    Returns
    -------
    list of (C, function)
        The function turns features (n, D) into probabilities of the known classes.
    """
    # The gradient is of the mean loss: by the usual tolerance a fit that starts where
    # the last one ended would be over before it began.
    model = LogisticRegression(max_iter=_STEPS, tol=1e-6, warm_start=True)
    fitted = []
    for c in sorted(settings):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.set_params(C=c).fit(features, classes)
        fitted.append((c, _linear(model.coef_.copy(), model.intercept_.copy())))
    return fitted


def _linear(weights: np.ndarray, bias: np.ndarray) -> Callable[[Any], np.ndarray]:
    def probabilities(features: Any) -> np.ndarray:
        logits = features @ weights.T + bias
        if logits.shape[1] == 1:  # two classes
            logits = np.concatenate([-logits / 2, logits / 2], axis=1)
        return softmax(logits)

    return probabilities


def choose(
    candidates: Sequence[tuple[dict[str, Any], np.ndarray]],
    classes: np.ndarray,
    dev: np.ndarray,
) -> Choice:
    """Choose among (settings, scores (N, K)) by weighted F1 on dev; ties to the first.

    Parameters
    ----------
    candidates : sequence
        Each with scores of all utterances.
    classes : (N,) int
    dev : (N,) bool
    """
    tried = [
        settings | {"f1": weighted_f1(classes[dev], scores[dev])}
        for settings, scores in candidates
    ]
    best = int(np.argmax([row["f1"] for row in tried]))
    settings, scores = candidates[best]
    return Choice(settings, tried[best]["f1"], tried, scores)


def spread(scores: np.ndarray, known: np.ndarray, width: int) -> np.ndarray:
    """Put columns of the known classes into (n, width); others are 0."""
    result = np.zeros((len(scores), width))
    result[:, known] = scores
    return result


def classify_tfidf(
    blocks: Sequence[sparse.csr_matrix],
    classes: np.ndarray,
    learnt: np.ndarray,
    dev: np.ndarray,
    width: int,
) -> Choice:
    """Choose C and the characters' weight of a logistic regression on TF-IDF.

    Parameters
    ----------
    blocks : list of (N, D) csr_matrix
        Of `tfidf_blocks`.
    classes : (N,) int
    learnt, dev : (N,) bool
        Which utterances teach, and which decide.
    width : int
        K, the labels.
    """
    candidates = []
    for weight in track(CHARACTER_WEIGHTS, "logistic regressions"):
        features = join(blocks, weight)
        for c, ask in fit_logistic(features[learnt], classes[learnt], TFIDF_C):
            scores = spread(ask(features), np.unique(classes[learnt]), width)
            candidates.append(({"C": c, "character_weight": weight}, scores))
    return choose(candidates, classes, dev)


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
        See `classify_tfidf`.
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
        (settings, spread(scores, known, width)) for settings, scores in fitted
    ]
    return choose(candidates, classes, dev)


def standardised(features: np.ndarray, learnt: np.ndarray) -> np.ndarray:
    """Scale (N, D) to mean 0 and deviation 1 of the utterances that teach."""
    return StandardScaler().fit(features[learnt]).transform(features)


def _fit_logistic(features, learnt, targets, seed):
    fitted = fit_logistic(features[learnt], targets, EMBEDDING_C)
    return [({"C": c}, ask(features)) for c, ask in fitted]


def _fit_svm(features, learnt, targets, seed):
    for c in track(SVM_C, "support vector machines"):
        model = SVC(C=c, decision_function_shape="ovr", cache_size=1000)
        model.fit(features[learnt], targets)
        margins = model.decision_function(features[~learnt])
        if margins.ndim == 1:
            margins = np.stack([-margins, margins], axis=1)
        yield {"C": c}, _for_others(softmax(margins), learnt)


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
            yield {"rounds": number}, _for_others(scores, learnt)


def _fit_xgboost(features, learnt, targets, seed):
    import xgboost

    model = xgboost.XGBClassifier(
        n_estimators=_ROUNDS, max_depth=4, random_state=seed, tree_method="hist"
    )
    model.fit(features[learnt], targets)
    for number in range(20, _ROUNDS + 1, 20):
        scores = model.predict_proba(features[~learnt], iteration_range=(0, number))
        yield {"rounds": number}, _for_others(scores, learnt)


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
    """Choose C of the second logistic regression; arguments as `classify_tfidf`."""
    known = np.unique(classes[learnt])
    fitted = fit_logistic(features[learnt], classes[learnt], NEIGHBOUR_C)
    candidates = [({"C": c}, spread(ask(features), known, width)) for c, ask in fitted]
    return choose(candidates, classes, dev)
