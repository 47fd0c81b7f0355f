"""Emotions from the words of MELD: four systems, one kind of prediction file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emorec.artifacts.predictions import Predictions, read_predictions
from emorec.artifacts.runs import RunFolder
from emorec.artifacts.spec import Modality, Spec
from emorec.artifacts.tables import write_table
from emorec.corpora.meld import Meld
from emorec.evaluation.cards import card_after
from emorec.evaluation.utterances import write_results
from emorec.features.dialogue_context import previous_texts, with_previous
from emorec.features.sentence_embeddings import embeddings_of
from emorec.files import fingerprint
from emorec.training import meld_classifiers as classifiers
from emorec.training import meld_neighbours, meld_tfidf
from emorec.training.meld_config import TextConfig
from emorec.training.meld_data import JUDGED, TextData

Say = Callable[[str], None]
_FLOOR = 1e-6
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
    scores, spec, found = _SYSTEMS[config.model](config, data, settings, run, say)
    if config.adjust:
        scores, tau = classifiers.adjust(
            scores, data.prior, corpus.classes, data.split("dev")
        )
        found["tau"] = tau
        say(f"Adjusted to the classes' shares with tau {tau:g}.")
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


def _spec(data: TextData, features: str, width: int) -> Spec:
    return Spec(
        schema=data.corpus.schema,
        modalities=(Modality("text", features, width),),
        max_steps=0,
        label_type="single",
        data={"dataset": data.corpus.dataset},
    )


def _tell(choice: classifiers.Choice, what: str, say: Say) -> dict[str, Any]:
    chosen = ", ".join(f"{key} {value:g}" for key, value in choice.settings.items())
    say(f"{what}: weighted F1 on dev {choice.f1:.4f} with {chosen}.")
    return {"chosen": choice.settings, "dev_f1": choice.f1, "tried": choice.tried}


def tfidf_scores(
    config: TextConfig, data: TextData, say: Say, unseen: bool
) -> tuple[np.ndarray, dict[str, Any], int]:
    """Return TF-IDF's probabilities (N, K), what was chosen, and its columns.

    With `unseen`, training utterances have scores of models that their dialogues did
    not teach.
    """
    corpus = data.corpus
    before = None
    if config.context:
        before = previous_texts(
            corpus.utterances, corpus.dialogues, corpus.numbers, config.context
        )
    width = len(corpus.schema)
    blocks = meld_tfidf.tfidf_blocks(corpus.utterances, before, data.learnt)
    choice = meld_tfidf.classify_tfidf(
        blocks, corpus.classes, data.learnt, data.split("dev"), width
    )
    found = _tell(choice, "TF-IDF", say)
    features = meld_tfidf.join(blocks, choice.settings["character_weight"])
    scores = choice.scores
    if unseen:
        scores = _unseen(data, features, choice, config.seed)
    return scores, found, features.shape[1]


def _unseen(
    data: TextData, features: Any, choice: classifiers.Choice, seed: int
) -> np.ndarray:
    """Return the scores with those of training dialogues out of fold."""
    classes, width = data.corpus.classes, len(data.corpus.schema)

    def fit(taught: np.ndarray) -> np.ndarray:
        c = [choice.settings["C"]]
        (_, ask), *_ = classifiers.fit_logistic(features[taught], classes[taught], c)
        return classifiers.spread(ask(features), np.unique(classes[taught]), width)

    fold = meld_neighbours.dialogue_folds(data.corpus.dialogues, data.learnt, seed)
    return meld_neighbours.out_of_fold(choice.scores, fit, fold, data.learnt)


def _with_neighbours(
    config: TextConfig, data: TextData, scores: np.ndarray, found: dict, say: Say
) -> np.ndarray:
    """Return the second stage's probabilities; `scores` are out of fold."""
    corpus = data.corpus
    features = meld_neighbours.neighbour_features(
        data.answers(scores),
        corpus.dialogues,
        corpus.numbers,
        corpus.speakers,
        config.neighbours,
        config.causal,
    )
    choice = meld_neighbours.classify_neighbours(
        features, corpus.classes, data.learnt, data.split("dev"), len(corpus.schema)
    )
    found["neighbours"] = _tell(choice, "with neighbours", say)
    return choice.scores


def _tfidf(
    config: TextConfig, data: TextData, settings: dict, run: RunFolder, say: Say
) -> tuple[np.ndarray, Spec, dict]:
    scores, found, width = tfidf_scores(config, data, say, bool(config.neighbours))
    if config.neighbours:
        scores = _with_neighbours(config, data, scores, found, say)
    return scores, _spec(data, "TF-IDF", width), found


def _embeddings(
    config: TextConfig, data: TextData, settings: dict, run: RunFolder, say: Say
) -> tuple[np.ndarray, Spec, dict]:
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
    found = _tell(choice, config.classifier, say)
    scores = choice.scores
    if config.neighbours:
        scaled = classifiers.standardised(features, data.learnt)
        unseen = _unseen(data, scaled, choice, config.seed)
        scores = _with_neighbours(config, data, unseen, found, say)
    return scores, _spec(data, "sentence embeddings", features.shape[1]), found


def _network(
    config: TextConfig, data: TextData, settings: dict, run: RunFolder, say: Say
) -> tuple[np.ndarray, Spec, dict]:
    found: dict[str, Any] = {}
    if config.model == "glove":
        from emorec.training.meld_words import words_task

        extra = None
        if config.tfidf_scores:
            scores, found, _ = tfidf_scores(config, data, say, unseen=True)
            extra = np.log(np.maximum(data.answers(scores), _FLOOR))
        task = words_task(config, data, extra)
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
    return scores, task.spec, {**found, "trainings": trainings}


_SYSTEMS = {
    "tfidf": _tfidf,
    "embeddings": _embeddings,
    "glove": _network,
    "roberta": _network,
}
