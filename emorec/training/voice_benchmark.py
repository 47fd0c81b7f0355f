"""The external benchmarks of Albanie et al. (2018): frozen features, linear probes.

A folder holds, for each corpus,

- ``benchmark_DATASET.csv``: a row per features and protocol;
- ``folds_DATASET.csv``: a row per fold;
- ``left_out_DATASET.csv``: files and takes that took no part, and why;
- ``confusion_DATASET_FEATURES_PROTOCOL.csv`` and ``.png``;
- ``predictions_DATASET_FEATURES_PROTOCOL.npz``: the predicted class of every take.

Other features and protocols add rows; the same ones replace theirs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from emorec.artifacts.runs import RunFolder
from emorec.artifacts.tables import put_rows, write_table
from emorec.corpora.acted import ActedSpeech
from emorec.errors import DataError, SpecError, shorten
from emorec.evaluation.cards import card_after
from emorec.evaluation.class_figures import confusion_figure
from emorec.evaluation.figures import save
from emorec.evaluation.linear_probe import ProbeResult, probe, protocol_folds
from emorec.files import whole_file
from emorec.progress import track

KEYS = ("dataset", "features", "protocol")
_SHOWN = {
    "features": "features",
    "protocol": "protocol",
    "takes": "takes",
    "accuracy": "accuracy",
    "accuracy_std": "std",
    "constant": "constant",
    "f1_macro": "macro F1",
    "f1_low": "from",
    "f1_high": "to",
}


def applicable(corpus: ActedSpeech) -> list[str]:
    """Return the protocols that a corpus allows; the published one comes last."""
    protocols = ["leave_speakers_out"] if len(set(corpus.speakers) - {""}) > 1 else []
    has_split = {"train"} < set(corpus.split)
    # Of a corpus with a split and no speakers (AFEW) that is the published protocol.
    protocols += ["split"] if has_split else []
    return [*protocols, "literal"] if protocols != ["split"] else protocols


def benchmark(
    corpus: ActedSpeech,
    features: Mapping[str, np.ndarray],
    protocols: Sequence[str] | None,
    folder: str | Path,
    say: Callable[[str], None] = print,
    seed: int = 0,
    failures: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Probe sets of frozen features on a corpus; see the module for what is written.

    Parameters
    ----------
    corpus : ActedSpeech
        n takes.
    features : mapping
        Name -> (n, D) float. A row of NaN says that the take has none; such a take is
        left out of all sets, so that they are compared on the same takes.
    protocols : sequence of str, optional
        See `emorec.evaluation.linear_probe.probe`; by default all `applicable` ones.
    folder : path
        Where tables and figures go.
    say : callable
        Takes lines for the user.
    seed : int
        Of permutation and bootstrap.
    failures : pandas.DataFrame, optional
        ``id`` and ``reason`` of takes without features, for the table of those left
        out.

    Returns
    -------
    pandas.DataFrame
        The rows of this call. ``accuracy_of_all`` counts a take that was left out, and
        would have been tested, as wrong: so do the published results of AFEW.

    Raises
    ------
    DataError
        When shapes do not fit, no take has all features, or the corpus does not allow
        a protocol.
    SpecError
        For an unknown protocol, or two names that would write the same files.
    """
    folder = Path(folder)
    protocols = list(protocols) if protocols else applicable(corpus)
    slugs = {name: _slug(name) for name in features}
    if not features or len(set(slugs.values())) < len(slugs):
        raise SpecError(
            f"Expected sets of features with names of their own, received "
            f"{list(features) or 'none'}."
        )
    arrays = {name: _aligned(name, array, corpus) for name, array in features.items()}
    usable = np.all([np.isfinite(a).all(axis=1) for a in arrays.values()], axis=0)
    if not usable.any():
        raise DataError(f"{corpus.dataset}: no take has all of {shorten(arrays)}.")
    kept = corpus.take(usable)
    for protocol in protocols:
        protocol_folds(kept, protocol, seed)  # Before any work, or not at all.
    _write_left_out(folder, corpus, arrays, failures)
    say(corpus.describe())
    if len(kept) < len(corpus):
        say(f"{len(corpus) - len(kept)} takes without features are left out of all.")
    table = []
    pairs = [(name, protocol) for protocol in protocols for name in arrays]
    for name, protocol in track(pairs, "Probing"):
        result = probe(arrays[name][usable], kept, protocol, seed)
        row = _row(corpus, kept, name, arrays[name].shape[1], result, seed)
        _write(folder, kept, name, slugs[name], result, row)
        table.append(row)
    frame = pd.DataFrame(table)
    say(table_text(frame))
    return frame


def record(
    corpus: ActedSpeech,
    name: str,
    result: ProbeResult,
    folder: str | Path,
    seed: int,
    say: Callable[[str], None] = print,
) -> pd.DataFrame:
    """Put the result of networks that were trained on a corpus beside the probes'.

    Parameters
    ----------
    corpus : ActedSpeech
        The takes of the result.
    name : str
        Of the training; it stands in the column of the features.
    result : ProbeResult
        Over folds, of `emorec.evaluation.linear_probe.summarise`.
    folder, seed, say
        As of `benchmark`.
    """
    folder = Path(folder)
    _write_left_out(folder, corpus, {}, None)
    row = _row(corpus, corpus, name, None, result, seed)
    _write(folder, corpus, name, _slug(name), result, row)
    for path in sorted(folder.glob(f"run_{name}_fold_*.json")):
        card_after(RunFolder(folder, path.stem.removeprefix("run_")), say)
    frame = pd.DataFrame([row])
    say("\n" + table_text(frame))
    return frame


def _slug(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name)


def table_text(table: pd.DataFrame) -> str:
    """Return the main columns of `benchmark`'s rows, with what a reader must know."""
    shown = table[list(_SHOWN)].rename(columns=_SHOWN)
    lines = [
        f"{', '.join(table['dataset'].unique())}: accuracy over folds, beside the "
        "constant predictor's; macro F1 with its 95 % interval over speakers",
        shown.to_string(index=False, float_format="{:.3f}".format, na_rep=""),
    ]
    if (table["protocol"] == "literal").any():
        lines.append(
            "literal: random folds, as published; every speaker is in training too, "
            "so it says nothing of new speakers."
        )
    if (apart := table["train_accuracy"] >= 1).any():
        lines.append(
            "The training takes are fitted without an error by "
            f"{shorten(table['features'][apart].unique())}: without a penalty the fit "
            "is then no unique one."
        )
    if (loose := table["not_converged"] > 0).any():
        names = shorten(table["features"][loose].unique())
        lines.append(f"Not converged in some folds: {names}.")
    return "\n".join(lines)


def _aligned(name: str, array: np.ndarray, corpus: ActedSpeech) -> np.ndarray:
    array = np.asarray(array, np.float64)
    if array.ndim != 2 or len(array) != len(corpus) or not array.shape[1]:
        raise DataError(
            f"Features '{name}': expected ({len(corpus)}, D), one row per take of "
            f"{corpus.dataset}, received {array.shape}."
        )
    return array


def _row(
    corpus: ActedSpeech,
    kept: ActedSpeech,
    name: str,
    width: int | None,
    result: ProbeResult,
    seed: int,
) -> dict[str, object]:
    tested = int((result.fold >= 0).sum())
    parts = np.unique(kept.split[result.fold >= 0])
    split = result.protocol == "split"
    wanted = int(np.isin(corpus.split, parts).sum()) if split else len(corpus)
    folds = result.folds
    return {
        "dataset": corpus.dataset,
        "features": name,
        "protocol": result.protocol,
        "width": width,
        "takes": tested,
        "left_out": wanted - tested,
        "speakers": len(set(kept.speakers) - {""}),
        "folds": len(folds),
        "accuracy": result.accuracy,
        "accuracy_std": result.std,
        "accuracy_of_all": float(np.trace(result.confusion)) / wanted,
        "constant": result.constant,
        "f1_macro": result.f1_macro,
        "f1_low": result.f1_low,
        "f1_high": result.f1_high,
        "train_accuracy": float(folds["train_accuracy"].mean()),
        "not_converged": int((~folds["converged"]).sum()),
        "seed": seed,
    }


def _write(
    folder: Path,
    kept: ActedSpeech,
    name: str,
    slug: str,
    result: ProbeResult,
    row: dict[str, object],
) -> None:
    ends = f"{kept.dataset}_{slug}_{result.protocol}"
    labels = kept.schema.labels
    counts = pd.DataFrame(result.confusion, columns=labels)
    counts.insert(0, "true", labels)
    write_table(folder / f"confusion_{ends}.csv", counts)
    title = f"{name}, {result.protocol}, {kept.dataset}"
    figure = confusion_figure(result.confusion, labels, title)
    save(figure, folder / f"confusion_{ends}.png")
    path = folder / f"predictions_{ends}.npz"
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            ids=np.array(kept.ids, np.str_),
            speakers=kept.speakers,
            true=kept.classes,
            predicted=result.predicted,
            fold=result.fold,
            labels=np.array(labels, np.str_),
        )
    keys = {key: row[key] for key in KEYS}
    folds = [keys | fold for fold in result.folds.to_dict("records")]
    put_rows(folder / f"folds_{kept.dataset}.csv", folds, KEYS)
    # The row comes last: what it tells of is there.
    put_rows(folder / f"benchmark_{kept.dataset}.csv", [row], KEYS)


def _write_left_out(
    folder: Path,
    corpus: ActedSpeech,
    arrays: Mapping[str, np.ndarray],
    failures: pd.DataFrame | None,
) -> None:
    reasons = dict(failures[["id", "reason"]].values) if failures is not None else {}
    missing = {name: ~np.isfinite(a).all(axis=1) for name, a in arrays.items()}
    files = corpus.report[["file", "reason"]].itertuples(index=False, name=None)
    rows = []
    for place in np.flatnonzero(np.any(list(missing.values()), axis=0)):
        names = [name for name, none in missing.items() if none[place]]
        reason = reasons.get(corpus.ids[place], "it has none that are finite")
        rows.append((corpus.ids[place], f"no features {', '.join(names)}: {reason}"))
    table = pd.DataFrame([*files, *rows], columns=["file", "reason"])
    write_table(folder / f"left_out_{corpus.dataset}.csv", table)
