"""Finished runs with drawn predictions and all files that their systems write."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pandas as pd

from emorec.artifacts.predictions import Predictions
from emorec.artifacts.runs import RunFolder
from emorec.artifacts.spec import Modality, Spec
from emorec.artifacts.tables import write_table
from emorec.evaluation import faces, incomplete, metrics, outputs, utterances, voices
from emorec.evaluation.summary import plain
from emorec.evaluation.voice_results import write_results as write_voices
from emorec.labels import FERPLUS, MELD_ALPHABETICAL, MOSEI, RAVDESS, SENTIMENT

SEED = {"seed": 3}


def quiet(text):
    """Say nothing."""


def choices(name, split, strength=1.5, seed=0, schema=MELD_ALPHABETICAL, rows=60):
    """Return predictions of dialogues of five utterances."""
    width = len(schema)
    true = np.random.default_rng(len(split)).integers(0, width, rows)
    logits = np.random.default_rng(seed + len(split)).standard_normal((rows, width))
    logits[np.arange(rows), true] += strength
    scores = np.exp(logits)
    dialogues = [f"{split}/dia{row // 5}" for row in range(rows)]
    return Predictions(
        *(name, "meld", split, schema),
        [f"{dialogue}_utt{row % 5}" for row, dialogue in enumerate(dialogues)],
        scores / scores.sum(axis=1, keepdims=True),
        true,
        np.array(dialogues),
    )


def _record(folder, name, system, spec, **content):
    settings = content.pop("settings", SEED | {"data": {"name": "drawn", "clips": "x"}})
    run = RunFolder(folder, name)
    run.write_record(settings, spec, system=system, status="complete", **content)
    return run


def history(folder, name, epochs=4, **columns):
    """Write a history in which everything falls, but what rises."""
    steps = np.arange(1, epochs + 1)
    columns = {"loss": 1 / steps, "val_loss": 1.1 / steps} | columns
    write_table(
        folder / f"history_{name}.csv", pd.DataFrame({"epoch": steps} | columns)
    )


def meld(folder, name="words", strength=1.5, seed=0, parts=None, system="meld_text"):
    """Write a run on MELD."""
    parts = parts or [choices(name, split, strength, seed) for split in ("dev", "test")]
    utterances.write_results(parts, folder, 0, quiet)
    spec = Spec(
        *(parts[0].schema, (Modality("text", "TF-IDF", 99),), 0, "single", {}),
        {"dataset": "meld"},
    )
    training = {"epochs": 4, "best_epoch": 3, "seconds": 1.5}
    settings = SEED | {"data": f"digest of {system}", "strength": strength}
    history(folder, name, weighted_f1=np.linspace(0.2, 0.5, 4))
    rows = [("train/dia9_utt9", "no sound in the folder")]
    write_table(
        folder / f"failures_{name}.csv", pd.DataFrame(rows, columns=["id", "reason"])
    )
    return _record(folder, name, system, spec, training=training, settings=settings)


def mosei_scores(split, strength, seed=0, label_type="all"):
    """Return drawn intensities of videos of four segments."""
    random = np.random.default_rng(len(split))
    true = random.integers(0, 4, (80, 6)) * (random.random((80, 6)) < 0.5)
    noise = np.random.default_rng(seed).normal(0.3, 1, true.shape)
    return outputs.Scores(
        MOSEI,
        [f"{split}_vid{row // 4}[{row % 4}]" for row in range(80)],
        true.astype(np.float32),
        (strength * true + noise).astype(np.float32),
        true.mean(axis=0).astype(np.float32),
        label_type,
    )


@lru_cache
def mosei_tables(strength, seed):
    """Return the metrics of drawn intensities; scikit-learn takes a second for them."""
    valid, test = (mosei_scores(split, strength, seed) for split in ("valid", "test"))
    return outputs.metric_rows(test, valid, ["valid"])


def mosei(folder, name="l_1_n_8", strength=1.0, seed=0, val_loss=0.5):
    """Write a run of the main job."""
    spec = Spec(
        *(MOSEI, (Modality("text", "glove_vectors", 300),), 15, "all"),
        *({"kind": "none"}, {"dataset": "drawn MOSEI"}),
    )
    folder.mkdir(parents=True, exist_ok=True)
    both = {split: mosei_scores(split, strength, seed) for split in ("valid", "test")}
    for split, scores in both.items():
        path = folder / f"predictions_{split}_{name}.npz"
        outputs.write_scores(path, scores, spec.to_dict())
    tables = mosei_tables(strength, seed)
    history(folder, name, acc=np.linspace(0.3, 0.6, 4))
    return _record(
        *(folder, name, "mosei", spec),
        training={"epochs": 4, "best_epoch": 4, "val_loss": val_loss},
        segments={"train": 200, "valid": 80, "test": 80},
        metrics=plain(tables),
        settings=SEED
        | {"loss_function": "mean_absolute_error", "data": {"name": "drawn"}},
    )


def mosi(folder, name="T_seed_0", seed=0):
    """Write a run on CMU-MOSI, as it is written: of the test split alone."""
    spec = Spec(
        *(SENTIMENT, (Modality("text", "vectors", 6),), 0, "all"),
        *({"kind": "none"}, {"dataset": "CMU-MOSI"}),
    )
    folder.mkdir(parents=True, exist_ok=True)
    true = np.random.default_rng(1).integers(-15, 16, (40, 1)) / 5
    noise = np.random.default_rng(seed).normal(0, 1, true.shape)
    scores = outputs.Scores(
        SENTIMENT,
        [f"vid{row // 4}_{row % 4}" for row in range(40)],
        true.astype(np.float32),
        (true + noise).astype(np.float32),
        np.zeros(1, np.float32),
        "all",
    )
    outputs.write_scores(
        folder / f"predictions_test_{name}.npz", scores, spec.to_dict()
    )
    values = metrics.sentiment(true[:, 0], np.full(40, 0.1))
    rows = [{"predictor": "train_mean", "modalities": "", "seed": ""} | values]
    write_table(folder / "sentiment.csv", pd.DataFrame(rows))
    return _record(folder, name, "mosi", spec, settings=SEED | {"data": "digest"})


def ferplus(folder, name="compact"):
    """Write a run on FER+."""
    random = np.random.default_rng(0)
    spec = Spec(
        *(FERPLUS, (Modality("image", "grey faces", 1),), 0, "crossentropy"),
        *({"kind": "image"}, {"dataset": "drawn FER+"}),
    )
    votes, logits, ids, seen = {}, {}, {}, {}
    for split in ("valid", "test"):
        true = random.integers(0, 8, 50)
        votes[split] = 8 * np.eye(10, dtype=int)[true]
        # A face without a majority, which only some label modes know.
        votes[split][0, :4] = 3
        votes[split][0, 4:] = 0
        logits[split] = random.normal(size=(50, 8)) + 2 * np.eye(8)[true]
        ids[split] = np.array([f"{split}{row}.png" for row in range(50)])
        seen[split] = np.arange(50) == 1
    result = faces.FaceScores(
        FERPLUS, "drawn FER+", ids, logits, votes, seen, votes["valid"]
    )
    run = _record(
        *(folder, name, "faces", spec),
        training={"epochs": 4, "best_epoch": 2, "val_acc": 0.6},
    )
    faces.write_results(result, run, spec, "majority", quiet)
    history(folder, name, acc=np.linspace(0.2, 0.6, 4))
    return run


def voxceleb(folder, name="student"):
    """Write a speech student."""
    random = np.random.default_rng(0)
    spec = Spec(
        *(FERPLUS, (Modality("speech", "logmel", 64),), 0, "distilled"),
        *({"kind": "speech"}, {"dataset": "drawn voices"}),
    )
    parts = {}
    for partition in ("train", "heardVal", "unheardVal"):
        teacher = random.normal((2, 1, 1, 1, 1, 0, 0, -9), 1, (40, 8))
        who = np.array([f"id{row % 6}" for row in range(40)])
        ids = [f"{speaker}/{partition}/{row}" for row, speaker in enumerate(who)]
        student = teacher + random.normal(0, 1, teacher.shape)
        parts[partition] = voices.Partition(ids, who, student, teacher)
    run = _record(folder, name, "voices", spec, training={"epochs": 4, "kept_epoch": 4})
    scores = voices.VoiceScores(FERPLUS, "drawn voices", parts)
    write_voices(scores, run, spec, quiet, rounds=50)
    return run


def ravdess(folder, name="ia_softhard"):
    """Write an audio-visual run."""
    random = np.random.default_rng(0)
    spec = Spec(
        *(RAVDESS, (Modality("audio", "MFCC", 10), Modality("video", "faces", 3))),
        *(0, "single", {"kind": "audiovisual"}, {"dataset": "drawn RAVDESS"}),
    )
    true = np.tile(np.arange(8), 6)
    conditions = (("both", ""), ("audio", "zeros"), ("video", "zeros"))
    result = incomplete.IncompleteScores(
        *(RAVDESS, "drawn RAVDESS", "test", [f"01-{n:02d}" for n in range(48)], true),
        np.array([f"{n % 4:02d}" for n in range(48)]),
        np.ones(48, int),
        {
            condition: random.normal(size=(48, 8)) + weight * np.eye(8)[true]
            for condition, weight in zip(conditions, (3, 1, 1), strict=True)
        },
        np.full(48, 1),
    )
    run = _record(
        *(folder, name, "ravdess", spec),
        training={"epochs": 4, "kept_epoch": 4, "val_acc": 0.7},
    )
    incomplete.write_results(result, run, spec, quiet)
    return run


def renamed(part, ids):
    """Return predictions with other ids."""
    return replace(part, ids=ids)


# System -> what writes a run of it into a folder.
WRITERS = {
    "meld_text": meld,
    "meld_audio": lambda folder: meld(folder, system="meld_audio"),
    "meld_face": lambda folder: meld(folder, system="meld_face"),
    "mosei": mosei,
    "mosi": mosi,
    "faces": ferplus,
    "voices": voxceleb,
    "ravdess": ravdess,
}
