"""Training a speech network on labels, fold by fold, on a corpus of acted speech."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from emorec.artifacts.runs import RunFolder
from emorec.batches.sound_parts import Sounds
from emorec.corpora.acted import ActedSpeech
from emorec.corpora.sounds import at_rate, index_sounds
from emorec.errors import DataError, SpecError
from emorec.evaluation.linear_probe import (
    ProbeResult,
    check_folds,
    protocol_folds,
    summarise,
)
from emorec.evaluation.single_label import softmax
from emorec.files import digest
from emorec.training import hosts, voices
from emorec.training.hearing import hear
from emorec.training.voices_config import VoicesConfig

Say = Callable[[str], None]


@dataclass(frozen=True)
class Labelled:
    """A corpus whose sounds were looked into.

    Attributes
    ----------
    corpus : ActedSpeech
        n usable takes.
    samples : (n,) int64
        Lengths at 16 kHz.
    """

    corpus: ActedSpeech
    samples: np.ndarray

    def identity(self) -> dict[str, str]:
        """Return what a model trained on these data must record."""
        corpus = self.corpus
        content = [corpus.ids, corpus.classes.tolist(), self.samples.tolist()]
        return {"name": corpus.dataset, "takes": digest(content)}


def usable(corpus: ActedSpeech, table: Path | None = None) -> Labelled:
    """Leave out sounds that cannot be learnt from; the corpus' report tells which.

    Parameters
    ----------
    corpus : ActedSpeech
        Of sounds.
    table : Path, optional
        See `emorec.corpora.sounds.index_sounds`.

    Raises
    ------
    DataError
        When nothing is left.
    """
    paths = dict(zip(corpus.ids, corpus.paths, strict=True))
    index = index_sounds(paths, table)
    good = (index.problem == "").to_numpy()
    if not good.any():
        raise DataError(
            f"{corpus.dataset}: none of {len(corpus)} sounds can be used. The first: "
            f"{index.problem.iloc[0]}"
        )
    bad = index[~good]
    told = pd.DataFrame({"file": bad.id, "reason": bad.problem})
    report = pd.concat([corpus.report, told], ignore_index=True)
    samples = [at_rate(row.samples, row.rate) for row in index[good].itertuples()]
    return Labelled(
        replace(corpus.take(good), report=report), np.array(samples, np.int64)
    )


def train_folds(
    config: VoicesConfig,
    data: Labelled,
    protocol: str,
    folder: Path,
    name: str,
    say: Say,
    only: Sequence[int] | None = None,
    gpus: int = 0,
) -> ProbeResult | None:
    """Train and test one network per fold; finished folds are not repeated.

    Of several hosts (`emorec.training.hosts`) all train, and the first one tests.

    Parameters
    ----------
    config : VoicesConfig
        The settings. ``keep`` last trains on all takes that are not tested, for all
        epochs; best validates on the split's own part, or on the speakers of the next
        fold, from which it does not learn then.
    data : Labelled
        Takes.
    protocol : {"leave_speakers_out", "split"}
        See `emorec.evaluation.linear_probe.probe`. Random folds are refused: a network
        that has heard the speaker says nothing of others.
    folder : Path
        Of the runs, ``NAME_fold_0`` and so on.
    name : str
        Of the runs.
    say : callable
        Receives lines for the user.
    only : sequence of int, optional
        Folds to train; all by default.
    gpus : int
        See `emorec.training.voices.run`.

    Returns
    -------
    ProbeResult
        Over the folds that were trained; None on all hosts but the first.

    Raises
    ------
    SpecError
        For another protocol or a fold that is not there.
    """
    corpus = data.corpus
    if protocol not in ("leave_speakers_out", "split"):
        raise SpecError(
            f"--protocol {protocol}: expected leave_speakers_out or split. Folds that "
            "share speakers between training and test are refused."
        )
    fold = protocol_folds(corpus, protocol)
    check_folds(corpus, fold, protocol)
    numbers = range(fold.max() + 1)
    if unknown := sorted(set(only or ()) - set(numbers)):
        raise SpecError(f"--only {unknown}: the folds are {list(numbers)}.")
    predicted = np.full(len(corpus), -1, np.int64)
    probabilities = np.full((len(corpus), len(corpus.schema)), np.nan)
    rows = []
    for number in numbers:
        if only and number not in only:
            continue
        test = fold == number
        train, valid = _parts(corpus, fold, number, protocol, config.keep)
        told = sorted(set(corpus.speakers[test].tolist()))
        say(f"\nFold {number}: tested on speakers {', '.join(told)}.")
        task = _task(config, data, train, valid, fold=number)
        run = RunFolder(folder, f"{name}_fold_{number}")
        trained = voices.run(config, task, run, say, gpus)
        if trained is None:
            continue
        model, spec = trained
        chosen = np.flatnonzero(test)
        heard = hear(model, spec, [corpus.paths[i] for i in chosen], "Testing")
        if heard.failures:
            raise DataError(heard.failures[0][1])
        probabilities[chosen] = softmax(heard.logits)
        predicted[chosen] = heard.logits.argmax(axis=1)
        accuracy = float((predicted[chosen] == corpus.classes[chosen]).mean())
        constant = np.bincount(corpus.classes[train]).argmax()
        shared = set(corpus.speakers[train]) & set(corpus.speakers[test]) - {""}
        # The columns of a probe's folds, beside which they stand in a table.
        rows.append(
            {
                "fold": number,
                "train": int(train.sum()),
                "test": len(chosen),
                "accuracy": accuracy,
                "constant": float((corpus.classes[chosen] == constant).mean()),
                "train_accuracy": float("nan"),
                "converged": True,
                "speakers_shared": len(shared),
            }
        )
        say(f"Fold {number}: accuracy {accuracy:.3f} on {len(chosen)} takes.")
    if not hosts.here().lead:
        return None
    fold = np.where(predicted >= 0, fold, -1)
    return summarise(corpus, protocol, fold, predicted, rows, config.seed)


def _parts(
    corpus: ActedSpeech, fold: np.ndarray, number: int, protocol: str, keep: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return which takes a fold learns from and validates on, (n,) bool each."""
    if protocol == "split":
        tested = corpus.split[fold == number][0]
        train, valid = corpus.split == "train", corpus.split == "valid"
        return train, valid & (tested != "valid")
    if keep == "last":
        return fold != number, np.zeros(len(fold), bool)
    valid = fold == (number + 1) % (fold.max() + 1)
    return (fold != number) & ~valid, valid


def _task(
    config: VoicesConfig,
    data: Labelled,
    train: np.ndarray,
    valid: np.ndarray,
    fold: int,
) -> voices.Task:
    corpus = data.corpus
    targets = np.eye(len(corpus.schema), dtype=np.float32)[corpus.classes]
    return voices.Task(
        Sounds(corpus.paths, data.samples, config.literal_rate),
        lambda clip, start, length: targets[clip],
        np.flatnonzero(train),
        np.flatnonzero(valid),
        corpus.schema,
        corpus.speakers,
        corpus.dataset,
        data.identity() | {"fold": fold},
        "single",
    )
