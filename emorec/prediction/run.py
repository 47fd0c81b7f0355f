"""Asking trained models about recordings, from files to tables.

The output folder holds, for each recording,

- ``ID.csv``: a row per model and span (`emorec.prediction.outputs.FIRST`, then one
  column per emotion); while it is read, ``ID.part.csv``;
- ``ID.json``: the same rows, and what they were made of. Written last;
- ``ID.faces.csv``: where the judged faces were, if a model judged faces;

and ``settings.json``, what decides the scores (a run with other settings is refused),
and ``failures.csv``, the recordings that could not be read to their end, and why.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emorec.artifacts.claims import claim
from emorec.artifacts.runs import environment
from emorec.artifacts.tables import write_table
from emorec.errors import DataError, SpecError, shorten
from emorec.files import exclusive, fingerprint, read_json
from emorec.prediction import outputs
from emorec.prediction.asking import Asked, Clip, Fusion
from emorec.prediction.inputs import Named, open_recording
from emorec.prediction.predictor import Predictor
from emorec.prediction.recordings import Recording, Span
from emorec.prediction.spans import Spans
from emorec.progress import media_bar

SETTINGS, FAILURES = "settings.json", "failures.csv"
Say = Callable[[str], None]


@dataclass(frozen=True)
class PredictSettings:
    """How recordings are asked about.

    Attributes
    ----------
    spans : Spans
        How they are divided.
    batch : int
        Spans that a model judges at once, of one recording or several.
    """

    spans: Spans = field(default_factory=Spans)
    batch: int = 16

    def __post_init__(self) -> None:
        if not 1 <= self.batch <= 4096:
            raise SpecError(f"--batch {self.batch}: expected 1 to 4096.")


@dataclass
class Predicted:
    """What `predict_clips` did.

    Attributes
    ----------
    tables : dict
        Id -> path of the CSV of each recording that is finished.
    failures : list of (str, str)
        Id and reason of what could not be read, or not to its end.
    before : int
        Recordings that an earlier run had finished.
    media, seconds : float
        Seconds of the recordings that were read now, and what that took.
    """

    tables: dict[str, Path] = field(default_factory=dict)
    failures: list[tuple[str, str]] = field(default_factory=list)
    before: int = 0
    media: float = 0.0
    seconds: float = 0.0


def predict_clips(
    predictors: Sequence[Predictor],
    recordings: Sequence[Named],
    output: str | Path,
    settings: PredictSettings | None = None,
    say: Say = lambda line: None,
    fusion: Fusion | None = None,
    identity: dict[str, Any] | None = None,
    finished: Callable[[Recording, pd.DataFrame], None] | None = None,
) -> Predicted:
    """Ask models about recordings and write the tables; see the module for the files.

    Memory does not grow with the length of a recording. Recordings that are finished
    in the folder are not repeated unless their files have changed.

    Parameters
    ----------
    predictors : sequence of Predictor
        One or more, with names of their own.
    recordings : sequence of Named
        Of `emorec.prediction.inputs.find_recordings`.
    output : path
        Folder, made where it is not there.
    settings : PredictSettings, optional
        Spans and batches.
    say : callable
        Receives lines for the user.
    fusion : Fusion, optional
        Joins the models' scores of a span, as one model more.
    identity : dict, optional
        What decides the scores besides: the models' files. Kept in ``settings.json``.
    finished : callable, optional
        Called with each recording and its table when it is finished.

    Raises
    ------
    SpecError
        When two models have one name, or the folder holds results of other settings.
    BusyError
        When another process writes to the folder.
    """
    folder, settings = Path(output), settings or PredictSettings()
    names = [predictor.name for predictor in predictors]
    if not names or len(set(names)) < len(names):
        raise SpecError(
            f"Models {shorten(names) or 'none'}: expected one or more, each with a "
            "name of its own."
        )
    own = {"spans": asdict(settings.spans), "models": names, **(identity or {})}
    result = Predicted()
    busy = f"{folder}: another process writes there; choose another --output."
    with exclusive(folder / ".lock", busy):
        claim(folder / SETTINGS, own)
        left = _not_finished(recordings, folder, result)
        opened = _opened(left, predictors, settings.spans, result)
        total = sum(recording.duration for _, recording, _ in opened)
        if opened:
            say(
                f"{len(opened):,} recordings, {_told(total)}, {len(names)} models: "
                f"{shorten(names)}."
            )
        began = time.perf_counter()
        asked = Asked(predictors, settings.batch, fusion)
        with media_bar("Predicting", total) as done:
            for named, recording, spans in opened:
                clip = Clip(recording, spans, asked, folder)
                clip.facts = _facts(named, recording, own, predictors, fusion)
                for seconds in asked.read(clip):
                    done(result.media + seconds)
                result.media += recording.duration
                _close(asked.take_finished(), result, finished)
            asked.answer_all()
            _close(asked.take_finished(), result, finished)
        result.seconds = time.perf_counter() - began
        table = pd.DataFrame(result.failures, columns=["id", "reason"])
        write_table(folder / FAILURES, table)
    return result


def _not_finished(
    recordings: Sequence[Named], folder: Path, result: Predicted
) -> list[Named]:
    left = []
    for named in recordings:
        path = outputs.file_of(folder, named.id, ".csv")
        if _is_finished(path, named):
            result.tables[named.id] = path
            result.before += 1
        else:
            left.append(named)
    return left


def _is_finished(path: Path, named: Named) -> bool:
    facts = path.with_suffix(".json")
    if not (path.is_file() and facts.is_file()):
        return False
    try:
        return read_json(facts).get("files") == _fingerprint(named)
    except (DataError, AttributeError, ValueError):
        return False


def _fingerprint(named: Named) -> Any:
    files = [f for f in (named.media, named.sound, named.text) if f is not None]
    inside = [
        one
        for file in files
        for one in (sorted(file.iterdir()) if file.is_dir() else [file])
        if one.is_file()
    ]
    return fingerprint(inside)


def _opened(
    left: Sequence[Named],
    predictors: Sequence[Predictor],
    spans: Spans,
    result: Predicted,
) -> list[tuple[Named, Recording, list[Span]]]:
    """Return the recordings that have something for a model; the rest are failures."""
    taken = {name for predictor in predictors for name in predictor.takes}
    opened = []
    for named in left:
        try:
            recording = open_recording(named)
            divided = spans.of(recording)
        except DataError as error:
            result.failures.append((named.id, str(error)))
            continue
        if not taken & set(recording.has):
            result.failures.append(
                (
                    named.id,
                    f"it has {' and '.join(recording.has) or 'nothing'}, but the "
                    f"models take {' or '.join(sorted(taken))} only. Name a model that "
                    "takes what is there.",
                )
            )
            continue
        opened.append((named, recording, divided))
    return opened


def _facts(
    named: Named,
    recording: Recording,
    own: dict[str, Any],
    predictors: Sequence[Predictor],
    fusion: Fusion | None,
) -> dict[str, Any]:
    """Return what the JSON of a recording tells besides the rows."""
    models = {
        predictor.name: {
            "takes": list(predictor.takes),
            "schema": predictor.schema.to_dict(),
            # What a reader of the scores must know of some models' front ends.
            **getattr(predictor, "facts", {}),
        }
        for predictor in predictors
    }
    if fusion is not None:
        models["fused"] = {"schema": fusion.schema.to_dict(), **fusion.describe()}
    return {
        "id": named.id,
        "video": recording.video and recording.video.name,
        "sound": recording.sound and recording.sound.name,
        "text": named.text and named.text.name,
        "seconds": round(recording.duration, 3),
        "files": _fingerprint(named),
        "settings": own,
        "models": models,
        "environment": environment(),
    }


def _close(
    clips: Sequence[Clip],
    result: Predicted,
    finished: Callable[[Recording, pd.DataFrame], None] | None,
) -> None:
    """Finish what has been answered."""
    for clip in clips:
        name = clip.recording.id
        if clip.errors:
            result.failures.append((name, "; ".join(clip.errors)))
        if not clip.judged:
            clip.discard()
            if not clip.errors:
                result.failures.append((name, clip.nothing()))
            continue
        table = clip.finish()
        result.tables[name] = outputs.file_of(clip.folder, name, ".csv")
        if finished is not None:
            finished(clip.recording, table)


def real_time(result: Predicted) -> str:
    """Return how fast recordings were read, for people."""
    if not result.seconds or not result.media:
        return "nothing was read"
    return (
        f"{_told(result.media)} in {result.seconds:.1f} s: "
        f"{result.media / result.seconds:.1f} x real time"
    )


def _told(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = seconds / 60
    return f"{minutes:.1f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def means(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per model: its spans that were judged, and its mean scores.

    Spans count by their length.
    """
    columns = list(table.columns[len(outputs.FIRST) :])
    rows = []
    for model, part in table.groupby("model", sort=False):
        judged = part[part["dominant"] != ""]
        length = (judged["end"] - judged["start"]).to_numpy()
        values = dict.fromkeys(columns, np.nan)
        if len(judged):
            for name in columns:
                scores = judged[name].to_numpy(float)
                if not np.isnan(scores).all():
                    values[name] = round(float(np.average(scores, weights=length)), 6)
        rows.append(
            {"model": model, "spans": len(part), "judged": len(judged), **values}
        )
    return pd.DataFrame(rows, columns=["model", "spans", "judged", *columns])
