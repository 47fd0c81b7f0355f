"""The audio branch of MELD: a small network on one vector of each utterance's sound.

After the notebooks of the Communicative Robots course (Vrije Universiteit Amsterdam,
2020). They scaled each split by its own smallest and largest values, kept the last
epoch, and shrank the class neutral in training; each of these is a setting here.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from emorec.artifacts.runs import RunFolder
from emorec.artifacts.spec import Modality, Spec
from emorec.corpora.meld import Meld, fewer_neutral
from emorec.files import digest
from emorec.training import backend
from emorec.training.meld_audio_config import MeldAudioConfig
from emorec.training.meld_branch import (
    SCORED,
    Compiled,
    Say,
    Trained,
    announce,
    fit_network,
    most_frequent,
    need_splits,
    predictions,
    run_once,
    save_model,
)
from emorec.training.meld_vectors import Vectors
from emorec.training.scaling import Scaling

# In a spec's normalisation: the training's statistics, where each split had its own.
OF_TRAINING = "training"


def run(
    config: MeldAudioConfig,
    corpus: Meld,
    vectors: Vectors,
    folder: RunFolder,
    say: Say,
) -> pd.DataFrame:
    """Train one network and write its predictions; a finished run is not repeated.

    Beside what `emorec.evaluation.utterances.write_results` writes, the folder gets
    the model, its record and history, and ``failures_{run}.csv``: the utterances
    without a prediction, and why.

    Parameters
    ----------
    config : MeldAudioConfig
        The settings.
    corpus : Meld
        Utterances with their classes.
    vectors : Vectors
        One row per utterance of the corpus.
    folder : RunFolder
        Where everything is written; its parameter name becomes the model's name.
    say : callable
        Receives lines for the user.

    Returns
    -------
    pandas.DataFrame
        The model's rows of ``results.csv``.

    Raises
    ------
    DataError
        When train or dev has no utterance with a vector.
    SpecError
        When the name is taken by a run of other settings.
    """
    settings = asdict(config) | {"data": identity(corpus, vectors)}

    def train() -> Trained:
        rows = training_rows(corpus, vectors, config.neutral)
        inputs, scaling = scaled(corpus, vectors, rows, config)
        return _train(
            config, corpus, vectors.name, inputs, rows, scaling, folder, settings, say
        )

    constant = most_frequent(corpus)
    return run_once(
        folder, "meld_audio", settings, vectors.failures, constant, train, say
    )


def identity(corpus: Meld, vectors: Vectors) -> dict[str, Any]:
    """Return what tells these data from others: features, their digest, the labels'."""
    return {
        "features": vectors.name,
        "values": vectors.identity(),
        "utterances": digest([corpus.ids, corpus.classes.tolist()]),
    }


def training_rows(corpus: Meld, vectors: Vectors, neutral: str) -> np.ndarray:
    """Return the rows of train (m,) int that have a vector and are kept.

    Raises
    ------
    DataError
        When there are none, or dev, which chooses the epoch, has none.
    """
    reasons = dict(zip(vectors.failures["id"], vectors.failures["reason"], strict=True))
    need_splits(vectors.there, corpus, [reasons.get(name, "") for name in corpus.ids])
    rows = corpus.rows("train")
    if neutral != "all":
        # Always the same draw: the seed of a run is that of its network.
        rows = fewer_neutral(corpus, neutral)
    return rows[vectors.there[rows]]


def scaled(
    corpus: Meld, vectors: Vectors, rows: np.ndarray, config: MeldAudioConfig
) -> tuple[np.ndarray, dict[str, Any]]:
    """Scale all vectors by the training rows, or each split by its own.

    Parameters
    ----------
    corpus, vectors
        n utterances.
    rows : (m,) int
        Those that train the network.
    config : MeldAudioConfig
        Kind, and whether literally.

    Returns
    -------
    (n, D) float32, dict
        Scaled vectors, NaN where there are none, and the statistics for the spec.
    """
    result = np.full(vectors.values.shape, np.nan, np.float32)
    scaling = Scaling.fit(vectors.values[rows], config.scaling)
    if not config.literal_scaling:
        there = vectors.there
        result[there] = scaling(vectors.values[there])
        return result, scaling.to_dict()
    for split in ("train", *SCORED):
        own = rows if split == "train" else corpus.rows(split)
        own = own[vectors.there[own]]
        if len(own):
            values = vectors.values[own]
            result[own] = Scaling.fit(values, config.scaling)(values)
    # A recording is no split, so prediction takes the training's.
    training = {OF_TRAINING: scaling.to_dict()}
    return result, {"kind": f"{config.scaling}, each split by its own", **training}


def _train(
    config: MeldAudioConfig,
    corpus: Meld,
    features: str,
    inputs: np.ndarray,
    rows: np.ndarray,
    scaling: dict[str, Any],
    folder: RunFolder,
    settings: dict[str, Any],
    say: Say,
) -> Trained:
    name = backend.prepare(config.seed, config.precision)
    import keras

    from emorec.batches.vectors import VectorPipeline, predict
    from emorec.models import meld_audio

    there = {split: _there(corpus, inputs, split) for split in SCORED}
    parts = {"train": rows, **there}
    counts = {split: len(part) for split, part in parts.items()}
    spec = Spec(
        schema=corpus.schema,
        modalities=(Modality("audio", features, inputs.shape[1]),),
        max_steps=0,
        label_type="class",
        normalisation=scaling,
        data={"dataset": corpus.dataset, "backend": name, **counts},
    )
    network = "linear" if config.model == "logistic" else config.model
    model = meld_audio.network(network, inputs.shape[1], len(corpus.schema))
    announce(name, model, counts, say)
    folder.write_record(settings, spec, system="meld_audio", status="training")
    if config.model == "logistic":
        from emorec.training.meld_logistic import fit_logistic

        both = (inputs, corpus.classes)
        pairs = [array[parts[s]] for s in ("train", "dev") for array in both]
        told = fit_logistic(model, *pairs)
        say(f"Penalty 1/C with C = {told['C']:g}, chosen on dev.")
    else:
        one_hot = np.eye(len(corpus.schema), dtype=np.float32)[corpus.classes]
        train, dev = (
            VectorPipeline(
                inputs[parts[split]],
                one_hot[parts[split]],
                config.batch_size,
                config.seed,
                shuffle=split == "train",
            )
            for split in ("train", "dev")
        )
        how = Compiled(
            keras.optimizers.Adam(config.learning_rate),
            config.num_epochs,
            config.patience,
            config.literal,
            backend.compilation(config.jit)[1],
        )
        told = fit_network(model, train, dev, how, folder, settings, say)
    save_model(model, folder)
    results = [
        predictions(
            predict(model, inputs[part]),
            corpus,
            part,
            folder.param_name,
            corpus.dataset,
            split,
        )
        for split, part in there.items()
        if len(part)
    ]
    return Trained(results, spec, told)


def _there(corpus: Meld, inputs: np.ndarray, split: str) -> np.ndarray:
    """Return the rows of a split that have a vector."""
    rows = corpus.rows(split)
    return rows[np.isfinite(inputs[rows]).all(axis=1)]
