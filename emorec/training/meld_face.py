"""The face branch of MELD: a recurrent network on the speaker's facial landmarks.

After the notebooks of the Communicative Robots course (Vrije Universiteit Amsterdam,
2020), whose network answered neutral to every clip: it is the weakest branch.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd

from emorec.artifacts.landmarks import Landmarks
from emorec.artifacts.runs import RunFolder
from emorec.artifacts.spec import Modality, Spec
from emorec.batches.ragged import RaggedStore
from emorec.corpora.meld import Meld
from emorec.errors import DataError, shorten
from emorec.files import digest
from emorec.training import backend
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
from emorec.training.meld_face_config import MeldFaceConfig

INPUTS = ("features", "mask")
# In a spec's data: how the landmarks were made, None where that is not known.
LANDMARKS = "landmarks"


def shapes(points: np.ndarray, size: bool = True) -> np.ndarray:
    """Return what the network takes of a face's landmarks.

    Parameters
    ----------
    points : (T, 68, 2) float
        x and y in pixels.
    size : bool
        Divide by the frame's centroid size, the root of the mean squared distance of
        the points from their centre.

    Returns
    -------
    (T, 136) float32
        Relative to the first point, an end of the jaw: its own are 0.

    Raises
    ------
    DataError
        When the points of a frame are all the same and a size is wanted.
    """
    points = np.asarray(points, np.float64)
    moved = points - points[:, :1]
    if size:
        away = points - points.mean(axis=1, keepdims=True)
        scale = np.sqrt((away**2).sum(axis=2).mean(axis=1))
        if not scale.all():
            raise DataError(
                f"The landmarks of frame {int(scale.argmin())} are all one point."
            )
        moved /= scale[:, None, None]
    return moved.reshape(len(points), -1).astype(np.float32)


def joined(corpus: Meld, landmarks: Landmarks) -> Meld:
    """Return the utterances that landmarks are of, or could be.

    Where the landmarks bring a split of their own, as the notebooks' file does, the
    corpus is their utterances with that split, else it is left as it is.

    Raises
    ------
    DataError
        When an utterance of the landmarks is not in the corpus, or its class differs.
    """
    place = {name: row for row, name in enumerate(corpus.ids)}
    unknown = [name for name in landmarks.ids if name not in place]
    if unknown:
        raise DataError(
            f"Landmarks of {len(unknown)} utterances that are not in "
            f"{corpus.folder}: {shorten(unknown)}. Names are like {corpus.ids[0]}."
        )
    rows = np.array([place[name] for name in landmarks.ids], int)
    if landmarks.classes is not None:
        differ = np.flatnonzero(corpus.classes[rows] != landmarks.classes)
        if len(differ):
            row = rows[differ[0]]
            raise DataError(
                f"Landmarks: {len(differ)} utterances have other emotions than in "
                f"{corpus.folder}; the first is {corpus.ids[row]}, there "
                f"{corpus.schema.labels[corpus.classes[row]]}, in the file "
                f"{corpus.schema.labels[landmarks.classes[differ[0]]]}."
            )
    if landmarks.split is None:
        return corpus
    # Under another name: its splits are not MELD's.
    dataset = f"{corpus.dataset}_own_split"
    return replace(corpus.only(rows), split=landmarks.split, dataset=dataset)


def run(
    config: MeldFaceConfig,
    corpus: Meld,
    landmarks: Landmarks,
    folder: RunFolder,
    say: Say,
) -> pd.DataFrame:
    """Train the network and write its predictions; a finished run is not repeated.

    For what is written, and errors, see `emorec.training.meld_audio.run`.

    Parameters
    ----------
    config : MeldFaceConfig
        The settings.
    corpus : Meld
        From `joined`. Utterances without landmarks are failures.
    landmarks : Landmarks
        The speakers' faces.
    folder : RunFolder
        Where everything is written; its parameter name becomes the model's name.
    say : callable
        Receives lines for the user.

    Returns
    -------
    pandas.DataFrame
        The model's rows of ``results.csv``.
    """
    number = {name: n for n, name in enumerate(landmarks.ids)}
    sequences: dict[int, np.ndarray] = {}
    reasons = [""] * len(corpus)
    for row, name in enumerate(corpus.ids):
        if name not in number:
            reasons[row] = "no landmarks of it in the file"
            continue
        try:
            sequences[row] = shapes(landmarks.clip(number[name]), config.size)
        except DataError as error:
            reasons[row] = str(error)
    pairs = [pair for pair in zip(corpus.ids, reasons, strict=True) if pair[1]]
    failures = pd.DataFrame(pairs, columns=["id", "reason"])
    settings = asdict(config) | {"data": identity(corpus, landmarks)}

    def train() -> Trained:
        there = np.array([not reason for reason in reasons], bool)
        need_splits(there, corpus, reasons)
        return _train(config, corpus, sequences, landmarks.made, folder, settings, say)

    constant = most_frequent(corpus)
    return run_once(folder, "meld_face", settings, failures, constant, train, say)


def identity(corpus: Meld, landmarks: Landmarks) -> dict[str, Any]:
    """Return what tells these data from others: points, utterances and labels."""
    points = np.ascontiguousarray(landmarks.points).tobytes()
    return {
        "points": hashlib.sha256(points).hexdigest()[:16],
        "clips": digest([landmarks.ids, landmarks.offsets.tolist()]),
        "utterances": digest(
            [corpus.ids, corpus.classes.tolist(), corpus.split.tolist()]
        ),
    }


def _train(
    config: MeldFaceConfig,
    corpus: Meld,
    sequences: dict[int, np.ndarray],
    made: dict[str, Any] | None,
    folder: RunFolder,
    settings: dict[str, Any],
    say: Say,
) -> Trained:
    name = backend.prepare(config.seed, config.precision)
    from emorec.batches.order import BatchOrder
    from emorec.batches.pipeline import Pipeline
    from emorec.models.landmark_lstm import COLUMNS, landmark_lstm
    from emorec.training.optimizers import DecayedAdam

    one_hot = np.eye(len(corpus.schema), dtype=np.float32)[corpus.classes]
    present = np.ones((max(map(len, sequences.values())), 1), bool)
    rows, pipelines = {}, {}
    for split in ("train", *SCORED):
        rows[split] = [row for row in corpus.rows(split).tolist() if row in sequences]
        if not rows[split]:
            continue
        store = RaggedStore.build(
            (corpus.ids[n], sequences[n], present[: len(sequences[n])], one_hot[n])
            for n in rows[split]
        )
        order = BatchOrder(
            store.lengths, config.batch_size, 0, config.seed, split == "train"
        )
        pipelines[split] = Pipeline(store, order, INPUTS)
    counts = {split: len(part) for split, part in rows.items()}
    scale = "divided by centroid size" if config.size else "in pixels"
    spec = Spec(
        schema=corpus.schema,
        modalities=(Modality("face", "68 landmarks", COLUMNS),),
        max_steps=0,
        label_type="class",
        normalisation={"kind": f"relative to landmark 0, {scale}"},
        data={"dataset": corpus.dataset, "backend": name, LANDMARKS: made, **counts},
    )
    use_cudnn, jit_compile = backend.compilation(config.jit)
    model = landmark_lstm(
        len(corpus.schema),
        config.pool,
        use_cudnn=use_cudnn,
        jit_compile=jit_compile is not False,
    )
    announce(name, model, counts, say)
    folder.write_record(settings, spec, system="meld_face", status="training")
    how = Compiled(
        DecayedAdam(
            config.learning_rate, config.weight_decay, global_clipnorm=config.clip
        ),
        config.num_epochs,
        config.patience,
        config.literal,
        jit_compile,
    )
    train, dev = pipelines["train"], pipelines["dev"]
    told = fit_network(model, train, dev, how, folder, settings, say)
    save_model(model, folder)
    results = [
        predictions(
            pipelines[split].predict(model),
            corpus,
            np.array(rows[split], int),
            folder.param_name,
            corpus.dataset,
            split,
        )
        for split in SCORED
        if split in pipelines
    ]
    return Trained(results, spec, told)
