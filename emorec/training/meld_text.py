"""Emotions from the words of MELD: four systems, one kind of prediction file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from emorec.artifacts.predictions import Predictions, read_predictions
from emorec.artifacts.runs import RunFolder
from emorec.artifacts.spec import Modality, Spec
from emorec.artifacts.tables import write_table
from emorec.corpora.meld import Meld
from emorec.evaluation.cards import card_after
from emorec.evaluation.utterances import write_results
from emorec.features.dialogue_context import with_previous
from emorec.features.sentence_embeddings import embeddings_of
from emorec.files import fingerprint
from emorec.training import meld_classifiers as classifiers
from emorec.training.meld_config import TextConfig
from emorec.training.meld_data import JUDGED, TextData
from emorec.training.meld_stages import (
    tell,
    tfidf_scores,
    unseen_scores,
    with_neighbours,
)
from emorec.training.meld_stored import StoredText, write_stored

Say = Callable[[str], None]
# Values that name a file or a folder.
_SOURCES = ("vectors", "embeddings", "preset")


def run(
    config: TextConfig, corpus: Meld, folder: Path, say: Say, name: str = ""
) -> pd.DataFrame:
    """Train one text system, answer about dev and test, and write the results.

    A finished run is not repeated; its predictions are evaluated anew. The networks of
    an interrupted one go on.

    Parameters
    ----------
    config : TextConfig
        The system.
    corpus : Meld
        The utterances.
    folder : Path
        Where everything is written.
    say : callable
        Receives lines for the user.
    name : str
        Of the run and of its predictions; `TextConfig.name` by default.

    Returns
    -------
    pandas.DataFrame
        See `emorec.evaluation.utterances.write_results`.

    Raises
    ------
    SpecError
        When the name is taken by a run of other settings.
    DataError, MissingExtraError
        When a file or a package is missing.
    """
    data = TextData.of(corpus, config.neutral, config.seed)
    settings = _settings(config, data)
    folder_of_run = RunFolder(Path(folder), name or config.name)
    with folder_of_run.alone():
        folder_of_run.claim(settings, False, "Give this run its own --name.")
        parts = _finished(folder_of_run)
        if parts:
            say(f"{folder_of_run.param_name}: finished before; evaluating it.")
        else:
            parts = _answer(config, data, settings, folder_of_run, say)
        constant = int(data.prior.argmax())
        table = write_results(parts, folder_of_run.folder, constant, say)
        record = folder_of_run.record()
        if record and record["status"] != "complete":
            _write(folder_of_run, settings, record["spec"], "complete", record["found"])
        card_after(folder_of_run, say)
        return table


def _settings(config: TextConfig, data: TextData) -> dict[str, Any]:
    """Return what decides the result, the content of files by size and time."""
    settings = config.settings()
    for field in _SOURCES:
        path = Path(str(settings.get(field) or ""))
        if settings.get(field) and path.exists():
            files = path.rglob("*") if path.is_dir() else [path]
            settings[f"{field}_files"] = fingerprint(
                [file for file in files if file.is_file()]
            )
    return settings | {"data": data.identity()}


def _finished(run: RunFolder) -> list[Predictions]:
    """Return the predictions of a run that has ended, or nothing."""
    record = run.record()
    if not record or record.get("status") != "complete":
        return []
    paths = [run.folder / f"predictions_{s}_{run.param_name}.npz" for s in JUDGED]
    return [read_predictions(path) for path in paths if path.is_file()]


def _write(
    run: RunFolder, settings: dict, spec: dict, status: str, found: dict
) -> None:
    run.write_record(
        settings, Spec.from_dict(spec), system="meld_text", status=status, found=found
    )


def _answer(
    config: TextConfig, data: TextData, settings: dict, run: RunFolder, say: Say
) -> list[Predictions]:
    """Train, and return the predictions of dev and test."""
    corpus = data.corpus
    report = data.report()
    for row in report.head(5).itertuples():
        say(f"{row.utterance}: {row.reason}")
    if len(report):
        write_table(run.folder / f"text_report_{run.param_name}.csv", report)
    counts = ", ".join(f"{s} {int(data.split(s).sum()):,}" for s in JUDGED)
    say(f"Learning from {int(data.learnt.sum()):,} utterances of train; {counts}.")
    scores, spec, found, stored = _SYSTEMS[config.model](
        config, data, settings, run, say
    )
    if config.adjust:
        scores, tau = classifiers.adjust(
            scores, data.prior, corpus.classes, data.split("dev")
        )
        found["tau"] = tau
        stored = replace(stored, tau=tau)
        say(f"Adjusted to the classes' shares with tau {tau:g}.")
    write_stored(run, stored)
    scores = data.answers(scores)
    parts = []
    for split in JUDGED:
        rows = corpus.rows(split)
        if len(rows):
            parts.append(
                Predictions(
                    run.param_name,
                    corpus.dataset,
                    split,
                    corpus.schema,
                    [corpus.ids[row] for row in rows],
                    scores[rows],
                    corpus.classes[rows],
                    corpus.dialogues[rows],
                )
            )
    # Complete only when the prediction files are there.
    _write(run, settings, spec.to_dict(), "evaluating", found)
    return parts


class System(NamedTuple):
    """What came of a text system.

    Attributes
    ----------
    scores : (N, K) float
        Probabilities; of utterances without words anything.
    spec : Spec
    found : dict
        What the record tells of it.
    stored : StoredText
        What answers about new words need, beside networks.
    """

    scores: np.ndarray
    spec: Spec
    found: dict[str, Any]
    stored: StoredText


def _spec(data: TextData, features: str, width: int) -> Spec:
    return Spec(
        schema=data.corpus.schema,
        modalities=(Modality("text", features, width),),
        max_steps=0,
        label_type="single",
        data={"dataset": data.corpus.dataset},
    )


def _tfidf(
    config: TextConfig, data: TextData, settings: dict, run: RunFolder, say: Say
) -> System:
    scores, found, width, stored = tfidf_scores(
        config, data, say, bool(config.neighbours)
    )
    if config.neighbours:
        scores, second = with_neighbours(config, data, scores, found, say)
        stored = replace(stored, neighbours=second)
    return System(scores, _spec(data, "TF-IDF", width), found, stored)


def _embeddings(
    config: TextConfig, data: TextData, settings: dict, run: RunFolder, say: Say
) -> System:
    corpus = data.corpus
    rows = np.flatnonzero(data.worded)
    vectors = embeddings_of(
        [corpus.utterances[row] for row in rows],
        [corpus.ids[row] for row in rows],
        config.embeddings,
        config.program,
        run.folder / "features",
    )
    # Of an utterance without words nothing is said.
    features = np.zeros((len(corpus), vectors.shape[1]), np.float32)
    features[rows] = vectors
    features = with_previous(features, corpus.dialogues, corpus.numbers, config.context)
    width = len(corpus.schema)
    choice = classifiers.classify_embeddings(
        features,
        corpus.classes,
        data.learnt,
        data.split("dev"),
        width,
        config.classifier,
        config.seed,
    )
    found = tell(choice, config.classifier, say)
    scores, scaler = choice.scores, classifiers.scaler(features, data.learnt)
    stored = replace(
        StoredText.of(data),
        mean=scaler.mean_,
        scale=scaler.scale_,
        embeddings=choice.model,
    )
    if config.neighbours:
        unseen = unseen_scores(data, scaler.transform(features), choice, config.seed)
        scores, second = with_neighbours(config, data, unseen, found, say)
        stored = replace(stored, neighbours=second)
    spec = _spec(data, "sentence embeddings", features.shape[1])
    return System(scores, spec, found, stored)


def _network(
    config: TextConfig, data: TextData, settings: dict, run: RunFolder, say: Say
) -> System:
    found: dict[str, Any] = {}
    stored = StoredText.of(data)
    if config.model == "glove":
        from emorec.training.meld_words import log_scores, words_task

        extra = None
        if config.tfidf_scores:
            scores, found, _, stored = tfidf_scores(config, data, say, unseen=True)
            extra = log_scores(data.answers(scores))
        task, words = words_task(config, data, extra)
        stored = replace(stored, words=words)
    else:
        from emorec.training.meld_roberta import roberta_task

        task = roberta_task(config, data)
    from emorec.training.meld_keras import predict_networks

    answers, trainings = predict_networks(
        config, task, run.folder, run.param_name, settings, say
    )
    scores = np.zeros((len(data.corpus), len(data.corpus.schema)))
    for row, values in answers.items():
        scores[row] = values
    found = {**found, "trainings": trainings}
    return System(scores, task.spec, found, stored)


_SYSTEMS = {
    "tfidf": _tfidf,
    "embeddings": _embeddings,
    "glove": _network,
    "roberta": _network,
}
