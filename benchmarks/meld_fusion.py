"""Whether late fusion of text and audio gains anything on real utterances of MELD.

    python benchmarks/meld_fusion.py EMBEDDINGS.npz dev_sent_emo.csv [--folds 5]
        [--inner 4] [--seeds 0 1 2] [--criterion weighted_f1] [--output DIR]

EMBEDDINGS.npz holds vectors of the utterances of one split, one array (n, D) for each
modality, and ``dialogue`` and ``utterance`` (n,), which find the rows of the csv.
Each modality has a multinomial logistic regression on standardised vectors. Utterances
are scored by cross-validation over dialogues. In each fold, C and the fusion are chosen
on the other folds alone, by a cross-validation over dialogues inside them, so that
nothing is chosen on the rows that are scored.
Prints weighted F1, macro F1 and accuracy with 95 % intervals over dialogues, the
constant predictor, stacking of each modality with itself (what stacking gains without
a second modality), and McNemar's test and the paired bootstrap of each fusion against
each modality; for every seed of the folds.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from emorec.artifacts.predictions import Predictions
from emorec.evaluation.comparison import compare
from emorec.evaluation.fusion_weights import CRITERIA
from emorec.evaluation.joining import join
from emorec.evaluation.late_fusion import METHODS, fit, group_folds
from emorec.evaluation.utterances import metrics, write_results
from emorec.labels import MELD_ALPHABETICAL
from emorec.progress import track

PENALTIES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
SCHEMA = MELD_ALPHABETICAL


def read(embeddings: Path, table: Path) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
    """Return the vectors of each modality and the rows of the csv that they belong to.

    Raises
    ------
    SystemExit
        When an utterance is not in the csv, or has another emotion there.
    """
    with np.load(embeddings, allow_pickle=False) as file:
        content = {name: file[name] for name in file.files}
    keys = zip(content["dialogue"], content["utterance"], strict=True)
    names = [f"dia{dialogue}_utt{utterance}" for dialogue, utterance in keys]
    whole = frame = pd.read_csv(table)
    frame.index = [
        f"dia{d}_utt{u}"
        for d, u in zip(frame["Dialogue_ID"], frame["Utterance_ID"], strict=True)
    ]
    if set(names) - set(frame.index) or len(set(names)) < len(names):
        raise SystemExit(f"{embeddings}: not utterances of {table}, each once.")
    frame = frame.loc[names]
    if "emotion" in content and (frame["Emotion"] != content["emotion"]).any():
        raise SystemExit(f"{embeddings}: its emotions are not those of {table}.")
    print(
        f"{len(names):,} of {len(whole):,} utterances in "
        f"{frame['Dialogue_ID'].nunique()} dialogues"
    )
    vectors = {
        name: array.astype(np.float64)
        for name, array in content.items()
        if array.ndim == 2
    }
    return vectors, frame


def probabilities(
    x: np.ndarray, y: np.ndarray, wanted: np.ndarray, penalty: float
) -> np.ndarray:
    """Fit on x (n, D), y (n,) and return probabilities (m, K) of `wanted` (m, D)."""
    model = make_pipeline(
        StandardScaler(), LogisticRegression(C=penalty, max_iter=2000, tol=1e-3)
    ).fit(x, y)
    scores = np.zeros((len(wanted), len(SCHEMA)))
    scores[:, model.classes_] = model.predict_proba(wanted)
    return scores


def inner(
    x: np.ndarray, base: Predictions, folds: int, seed: int, criterion: str
) -> tuple[Predictions, float]:
    """Return out-of-fold predictions of the best C inside a training part, and C."""
    number, found = group_folds(base.groups, folds, seed), {}
    for penalty in PENALTIES:
        scores = np.zeros((len(x), len(SCHEMA)))
        for fold in range(folds):
            train, test = number != fold, number == fold
            scores[test] = probabilities(x[train], base.true[train], x[test], penalty)
        found[penalty] = _named(base, base.model, scores)
    sign = -1 if criterion == "nll" else 1
    worth = {c: sign * metrics(one, draws=0)[criterion] for c, one in found.items()}
    best = max(worth, key=worth.__getitem__)
    return found[best], best


def _named(base: Predictions, model: str, scores: np.ndarray) -> Predictions:
    return replace(base, model=model, scores=scores)


def cross_validated(
    vectors: dict[str, np.ndarray],
    base: Predictions,
    arguments: argparse.Namespace,
    seed: int,
) -> tuple[dict[str, Predictions], pd.DataFrame]:
    """Return out-of-fold predictions of each modality and fusion, and the choices."""
    number = group_folds(base.groups, arguments.folds, seed)
    names = [*vectors, *(f"fused, {method}" for method in METHODS)]
    names += [f"stacked, {name} alone" for name in vectors]
    scores = {name: np.zeros(base.scores.shape) for name in names}
    choices = []
    for fold in track(range(arguments.folds), "Folds"):
        train, test = np.flatnonzero(number != fold), np.flatnonzero(number == fold)
        selection, scored, row = [], [], {"fold": fold, "scored": len(test)}
        for name, x in vectors.items():
            part = replace(base.take(train), model=name)
            honest, row[f"C {name}"] = inner(
                x[train], part, arguments.inner, seed, arguments.criterion
            )
            selection.append(honest)
            found = probabilities(x[train], part.true, x[test], row[f"C {name}"])
            scored.append(_named(base.take(test), name, found))
            scores[name][test] = found
        selected, unseen = join(selection), join(scored)
        for method in METHODS:
            fusion = fit(method, selected, arguments.criterion)
            scores[f"fused, {method}"][test] = fusion.apply(unseen)
            if fusion.weights is not None:
                row[f"{method}: {selected.models[0]}"] = round(fusion.weights[0], 3)
        for place, name in enumerate(vectors):
            twice = [
                join([part, replace(part, model="again")])
                for part in (selection[place], scored[place])
            ]
            alone = fit("stacking", twice[0]).apply(twice[1])
            scores[f"stacked, {name} alone"][test] = alone
        choices.append(row)
    return {name: _named(base, name, s) for name, s in scores.items()}, pd.DataFrame(
        choices
    )


def line(name: str, one: Predictions) -> str:
    """Return a row of the table in Markdown."""
    found = metrics(one)
    cells = [
        f"{found[key]:.3f} ({found[f'{key}_low']:.3f} to {found[f'{key}_high']:.3f})"
        for key in ("weighted_f1", "macro_f1", "accuracy")
    ]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("table", type=Path)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--inner", type=int, default=4)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--criterion", choices=CRITERIA, default="weighted_f1")
    parser.add_argument("--output", type=Path, help="also write the results there")
    arguments = parser.parse_args()
    vectors, frame = read(arguments.embeddings, arguments.table)
    true = np.array([SCHEMA.index(label) for label in frame["Emotion"]])
    neutral = SCHEMA.index("neutral")
    base = Predictions(
        "always neutral",
        "meld",
        arguments.table.stem.split("_")[0],
        SCHEMA,
        frame.index.tolist(),
        np.eye(len(SCHEMA))[np.full(len(frame), neutral)],
        true,
        frame["Dialogue_ID"].astype(str).to_numpy(),
    )
    for seed in arguments.seeds:
        with threadpool_limits(1):
            found, choices = cross_validated(vectors, base, arguments, seed)
        print(f"\nSeed {seed}, chosen by {arguments.criterion}\n")
        print("| model | weighted F1 | macro F1 | accuracy |\n|---|---|---|---|")
        for name, one in {base.model: base, **found}.items():
            print(line(name, one))
        print("\nChosen inside the training part of each fold:")
        print(choices.to_string(index=False))
        for name, one in found.items():
            for other in vectors if name not in vectors else ():
                print(compare(one, found[other]).describe())
        for name in vectors:
            alone = found[f"stacked, {name} alone"]
            print(compare(found["fused, stacking"], alone).describe())
        if arguments.output:
            parts = [
                replace(one, model=f"{name.replace(', ', '_')}_seed_{seed}")
                for name, one in found.items()
            ]
            for part in parts:
                write_results([part], arguments.output, neutral, lambda text: None)


if __name__ == "__main__":
    main()
