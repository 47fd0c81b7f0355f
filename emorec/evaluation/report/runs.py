"""What is read of a run: its record, predictions, history and tables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emorec.artifacts.found_runs import FoundRun, find_runs
from emorec.artifacts.prediction_arrays import read_arrays
from emorec.artifacts.predictions import Predictions, read_predictions
from emorec.artifacts.runs import RunFolder
from emorec.artifacts.spec import Spec
from emorec.corpora.fer_votes import EVALUATED_AS, label
from emorec.errors import DataError, EmorecError, SpecError, shorten
from emorec.evaluation.faces import FaceScores
from emorec.evaluation.outputs import Scores
from emorec.files import read_json

FUSION = "fusion"
# Systems whose outputs are scores, not a choice among classes.
SCORED = ("mosei", "mosi")
TITLES = {
    "mosei": "CMU-MOSEI: early fusion, six emotions",
    "mosi": "CMU-MOSI: early fusion, sentiment",
    "faces": "FER+: a network on faces",
    "voices": "VoxCeleb: a speech student taught by faces",
    "ravdess": "RAVDESS: audio-visual fusion",
    "meld_text": "MELD: words",
    "meld_audio": "MELD: voice",
    "meld_face": "MELD: face",
    FUSION: "Late fusion of several models' predictions",
}
# Of the speech student there is no test split: unheardVal has speakers of its own.
_TEST = ("test", "folds", "unheardVal")
_VALIDATION = ("valid", "dev", "heardVal")
_TABLES = {
    "faces": "accuracy.csv",
    "voices": "agreement.csv",
    "ravdess": "incomplete.csv",
}


def find_reported(paths: Sequence[str | Path]) -> list[FoundRun]:
    """Find finished runs and late fusions.

    Parameters
    ----------
    paths : sequence of path
        As of `emorec.artifacts.found_runs.find_runs`; records of fusions, too, whose
        system is ``fusion``.

    Raises
    ------
    SpecError
        When there is none.
    """
    found: dict[Path, FoundRun] = {}
    for path in map(Path, paths):
        if path.is_dir():
            there = [_fusion(one) for one in sorted(path.glob("run_*.json"))]
            inside = [one for one in there if one]
            try:
                inside = [*find_runs([path]), *inside]
            except SpecError:
                if not inside:
                    raise
        else:
            named = path.suffix in (".json", ".keras") and "_" in path.stem
            name = path.stem.partition("_")[2] if named else path.name
            one = _fusion(RunFolder(path.parent, name).record_path)
            inside = [one] if one else find_runs([path])
        found |= {one.run.record_path.absolute(): one for one in inside}
    return list(found.values())


def _fusion(path: Path) -> FoundRun | None:
    """Return a late fusion, or None where the record is another's or none."""
    try:
        record = read_json(path)
    except DataError:
        return None
    if not isinstance(record, dict) or "fusions" not in record:
        return None
    name = path.stem.removeprefix("run_")
    return FoundRun(RunFolder(path.parent, name), FUSION, record)


def spec_of(run: FoundRun) -> Spec | None:
    """Return what enters and leaves a run's model; None of a fusion."""
    return run.spec if run.system != FUSION else None


def prediction_files(run: FoundRun) -> dict[str, Path]:
    """Return split -> file of predictions: test splits first, train last."""
    pattern = re.compile(rf"predictions_([^_]+)_{re.escape(run.name)}")
    found = {
        match[1]: path
        for path in sorted(run.run.folder.glob("predictions_*.npz"))
        if (match := pattern.fullmatch(path.stem))
    }
    order = {split: place for place, split in enumerate((*_TEST, *_VALIDATION))}
    return dict(sorted(found.items(), key=lambda item: order.get(item[0], 99)))


def test_split(splits: Sequence[str]) -> str | None:
    """Return the split that scores are of, of those that there are."""
    return next((split for split in _TEST if split in splits), None)


def validation_split(splits: Sequence[str]) -> str | None:
    """Return the split on which choices were made, of those that there are."""
    return next((split for split in _VALIDATION if split in splits), None)


@dataclass(frozen=True)
class Read:
    """Predictions of one kind, split by split.

    Attributes
    ----------
    parts : dict
        Split -> `Predictions`, or `Scores` of the systems in `SCORED`.
    problems : list of str
        Files that could not be read, and why.
    """

    parts: dict[str, Any]
    problems: list[str]


def read_choices(run: FoundRun) -> Read:
    """Read the predictions of a run that chooses among classes."""
    return _read(run, lambda path: _choices(run, path))


def read_scores(run: FoundRun) -> Read:
    """Read the scores of a run on CMU-MOSEI or CMU-MOSI."""
    return _read(run, lambda path: _scores(run, path))


def _read(run: FoundRun, reader) -> Read:
    parts, problems = {}, []
    for split, path in prediction_files(run).items():
        try:
            parts[split] = reader(path)
        except EmorecError as error:
            problems.append(str(error))
    return Read(parts, problems)


def _choices(run: FoundRun, path: Path) -> Predictions:
    if run.system != "faces":
        return read_predictions(path)
    content, mode = read_arrays(path), face_mode(run)
    lacking = [k for k in ("ids", "logits", "labels", "seen") if k not in content]
    if lacking:
        raise DataError(f"{path}: expected predictions of faces, it has no {lacking}.")
    split = path.stem.split("_")[1]
    ids = np.asarray(content["ids"], np.str_)
    scores = FaceScores(
        run.spec.schema,
        str(run.spec.data.get("dataset", "")),
        {split: ids},
        {split: content["logits"]},
        {split: content["labels"]},
        {split: content["seen"]},
        content["labels"][:0],
    )
    true, probabilities, _ = scores.labelled(split, mode)
    labels = label(content["labels"], mode)
    kept = ids[labels.kept].tolist()
    groups = np.full(len(kept), "")
    return Predictions(
        *(run.name, scores.dataset, split, labels.schema),
        *(kept, probabilities, true, groups),
    )


def face_mode(run: FoundRun) -> str:
    """Return the label mode in which a face network is told of."""
    return EVALUATED_AS.get(run.spec.label_type, "majority")


def _scores(run: FoundRun, path: Path) -> Scores:
    content = read_arrays(path)
    lacking = [name for name in ("ids", "scores", "labels") if name not in content]
    if lacking:
        raise DataError(f"{path}: has no array {shorten(lacking)}.")
    shape = (len(content["ids"]), len(run.spec.schema))
    found = {name: content[name].shape for name in ("scores", "labels")}
    if set(found.values()) != {shape}:
        raise DataError(f"{path}: expected scores of shape {shape}, found {found}.")
    return Scores(
        schema=run.spec.schema,
        ids=[str(name) for name in content["ids"]],
        true=content["labels"],
        predicted=content["scores"],
        # The training mean is in no file but the record, which has its scores.
        train_mean=np.zeros(shape[1], np.float32),
        label_type=run.spec.label_type,
    )


def videos(ids: Sequence[str]) -> np.ndarray:
    """Return the video of each segment, (n,) str: segments of one are alike.

    ``video[3]`` of CMU-MOSEI, ``video_3`` of CMU-MOSI.
    """
    return np.array([re.sub(r"(\[\d+\]|_\d+)$", "", name) for name in ids], np.str_)


def history(run: FoundRun) -> dict[str, pd.DataFrame]:
    """Return name -> learning history: of the run, or of the networks it averages."""
    found = {}
    for path in sorted(run.run.folder.glob("history_*.csv")):
        name = path.stem.removeprefix("history_")
        record = {} if name == run.name else RunFolder(run.run.folder, name).record()
        if name == run.name or (record or {}).get("part_of") == run.name:
            try:
                found[name] = pd.read_csv(path)
            except ValueError:
                continue
    return found


def kept_epoch(run: FoundRun, name: str) -> int | None:
    """Return the epoch, counted from 1, whose weights a network kept."""
    record = (
        run.record if name == run.name else RunFolder(run.run.folder, name).record()
    )
    training = (record or {}).get("training") or {}
    return training.get("best_epoch", training.get("kept_epoch"))


def rows_of(run: FoundRun, file: str, column: str = "run") -> pd.DataFrame | None:
    """Return a run's rows of a CSV in its folder; None where there is none."""
    path = run.run.folder / file
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError):
        return None
    if column not in table:
        return None
    own = table[table[column].astype(str) == run.name]
    return own if len(own) else None


def constant_class(run: FoundRun, part: Predictions) -> tuple[int, str]:
    """Return the class that the constant predictor answers, and where that is told.

    The tables have the most frequent class of the training data: the one whose recall
    is 1. Without them it is the most frequent class of the split itself, the best that
    any constant could do there.
    """
    labels = part.schema.labels
    file = _TABLES.get(run.system, "results.csv")
    table = rows_of(run, file, "run" if run.system in _TABLES else "model")
    if table is not None:
        if run.system == "voices":
            own = table[table["partition"] == part.split]
            if len(own) and own.iloc[0]["constant_emotion"] in labels:
                return labels.index(own.iloc[0]["constant_emotion"]), file
        else:
            given = "given" if run.system == "ravdess" else "predictor"
            chosen = (table["split"] == part.split) & (table[given] == "constant")
            if run.system == "faces":
                chosen &= table["label_mode"] == face_mode(run)
            for _, row in table[chosen].iterrows():
                for place, label_ in enumerate(labels):
                    if row.get(f"recall_{label_}") == 1:
                        return place, file
    return int(np.bincount(part.true, minlength=len(labels)).argmax()), ""


def constants_of(run: FoundRun, file: str) -> dict[str, pd.Series]:
    """Return constant predictor -> its row of a CSV that has a column of predictors."""
    try:
        table = pd.read_csv(run.run.folder / file)
    except (OSError, ValueError):
        return {}
    if "predictor" not in table:
        return {}
    own = table[table["predictor"] != "model"]
    return {str(row["predictor"]): row for _, row in own.iterrows()}
