"""The files that say what a speech student scores: predictions, tables, figures."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from emorec.artifacts.logits import Logits
from emorec.artifacts.runs import RunFolder
from emorec.artifacts.spec import Spec
from emorec.artifacts.tables import put_rows
from emorec.errors import SpecError
from emorec.evaluation import figures, voice_figures
from emorec.evaluation.cards import card_after
from emorec.evaluation.roc import roc
from emorec.evaluation.single_label import softmax
from emorec.evaluation.voices import (
    IGNORED,
    VoiceScores,
    agreement_rows,
    auc_rows,
    dominance,
    frame_dominance,
    summary,
)
from emorec.files import whole_file
from emorec.labels import check_same

AUCS, AGREEMENT = "auc.csv", "agreement.csv"


def write_results(
    result: VoiceScores,
    folder: RunFolder,
    spec: Spec,
    say: Callable[[str], None],
    ignored: Collection[str] = IGNORED,
    rounds: int = 1000,
    seed: int = 0,
    singles: bool = False,
    frames: Mapping[str, Logits] | None = None,
) -> list[Path]:
    """Write predictions, tables and figures of a student; return the paths.

    Parameters
    ----------
    result : VoiceScores
        Its outputs.
    folder : RunFolder
        Where they go.
    spec : Spec
        Goes into the prediction files.
    say : callable
        Receives the summary.
    ignored : collection of str
        Emotions without a figure, and not in the mean.
    rounds, seed : int
        Of the resampling of speakers.
    singles : bool
        Also write each curve as ``roc_<run>/<emotion>-<partition>.png``.
    frames : mapping of str to Logits, optional
        One or two named sets of frames that the teacher judged: their dominant
        emotions are counted in one figure, as in the paper.

    Raises
    ------
    LabelMismatchError
        When the labels of `spec` or `frames` are not those of the student.
    SpecError
        When there are more than two sets of frames.
    """
    frames = frames or {}
    if len(frames) > 2:
        raise SpecError(f"Frames: expected one or two sets, received {len(frames)}.")
    for name, logits in {"The spec": spec, **frames}.items():
        check_same(result.schema, logits.schema, name)
    name, paths = folder.param_name, []
    aucs = auc_rows(result, ignored, rounds, seed)
    agreements = agreement_rows(result, rounds, seed)
    for partition in result.partitions:
        path = folder.folder / f"predictions_{partition}_{name}.npz"
        write_voice_predictions(path, result, partition, spec)
        paths.append(path)
    for file, table, keys in (
        (AUCS, aucs, ("run", "data", "partition", "emotion")),
        (AGREEMENT, agreements, ("run", "data", "partition")),
    ):
        if not table:
            continue
        decimals = [
            {"run": name, "data": result.dataset}
            | {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}
            for row in table
        ]
        put_rows(folder.folder / file, decimals, keys)
        paths.append(folder.folder / file)
    paths += _write_figures(result, folder, aucs, singles, frames)
    card_after(folder, say)
    say("\n" + summary(aucs, agreements, name, result.dataset))
    return paths


def _write_figures(
    result: VoiceScores,
    folder: RunFolder,
    aucs: list[dict[str, Any]],
    singles: bool,
    frames: Mapping[str, Logits],
) -> list[Path]:
    name, labels = folder.param_name, result.schema.labels
    title = f"{name} on {result.dataset}"
    drawn = {}
    for partition, one in result.partitions.items():
        if not one.ids:
            continue
        wanted = [
            row
            for row in aucs
            if row["partition"] == partition
            and row["emotion"] in labels
            and not row["ignored"]
        ]
        probabilities = softmax(one.logits)
        truth = np.argmax(one.teacher, axis=1)
        curves = []
        for row in wanted:
            column = labels.index(row["emotion"])
            curves.append((row, roc(truth == column, probabilities[:, column])))
        path = folder.folder / f"roc_{partition}_{name}.png"
        drawn[path] = voice_figures.roc_sheet(curves, title)
        for row, curve in curves if singles else ():
            path = folder.folder / f"roc_{name}" / f"{row['emotion']}-{partition}.png"
            drawn[path] = voice_figures.roc_sheet([(row, curve)], "")
        path = folder.folder / f"dominance_{partition}_{name}.png"
        counts = {"teacher": dominance(one.teacher), "student": dominance(one.logits)}
        drawn[path] = voice_figures.dominance_figure(
            counts, labels, f"{title}\n{partition}", "number of clips"
        )
    if frames:
        counts = {key: frame_dominance(logits) for key, logits in frames.items()}
        drawn[folder.folder / f"frames_{name}.png"] = voice_figures.dominance_figure(
            counts, labels, "dominant emotion of the teacher", "number of frames"
        )
    for path, figure in drawn.items():
        figures.save(figure, path)
    return list(drawn)


def write_voice_predictions(
    path: Path, result: VoiceScores, partition: str, spec: Spec
) -> None:
    """Write one partition as .npz without pickles.

    Arrays: ``ids`` and ``speakers`` (n,) text, ``logits`` (n, K) and ``scores`` (n, K),
    the student's before and after the softmax, ``teacher`` (n, K) logits, ``spec`` a
    JSON text.
    """
    one = result.partitions[partition]
    probabilities = softmax(one.logits) if one.ids else np.asarray(one.logits)
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            ids=np.array(one.ids, dtype=np.str_),
            speakers=np.asarray(one.speakers, dtype=np.str_),
            logits=np.asarray(one.logits, np.float32),
            scores=probabilities.astype(np.float32),
            teacher=np.asarray(one.teacher, np.float32),
            spec=np.array(json.dumps(spec.to_dict())),
        )
