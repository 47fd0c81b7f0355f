"""Labelling video: a face network's scores for many clips, resumable, in one file.

The output folder holds

- ``settings.json``: what decides the scores; a run with others is refused;
- ``clips/ID.npz``: the scores of a clip, written when it is finished;
- ``logits.npz``: those of all clips, one after another (see `emorec.artifacts.logits`);
- ``scores.csv``: one row per clip, its scores over all frames;
- ``failures.csv``: the clips that have none, and why. They are tried again each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emorec.artifacts.claims import claim
from emorec.artifacts.logits import ARRAYS, LOGITS, Logits, load_arrays, write_logits
from emorec.artifacts.tables import write_table
from emorec.corpora.clips import Clip
from emorec.errors import DataError, SpecError
from emorec.features import thumbnails
from emorec.features.faces import Detector
from emorec.files import exclusive, whole_file
from emorec.labels import LabelSchema
from emorec.progress import Stopwatch, track
from emorec.training.clip_faces import LabelSettings
from emorec.training.clip_labels import ClipLabels, Network, aggregate, label_clip

SETTINGS = "settings.json"
SCORES, FAILURES = "scores.csv", "failures.csv"
SHEET, SHEETS = "contact_sheet.png", "contact_sheets"
# Clips on the common contact sheet; more is no picture to look at.
_SHOWN = 40


@dataclass(frozen=True)
class Teacher:
    """A face network and what it answers.

    Attributes
    ----------
    network : Network
        (n, size, size) uint8 grey -> (n, K) scores before the softmax.
    schema : LabelSchema
        Names of the K columns.
    size : int
        Side of the crops in pixels.
    name : str
        Identifies the network and its weights; another one's scores are not mixed in.
    """

    network: Network
    schema: LabelSchema
    size: int
    name: str


@dataclass(frozen=True)
class Labelled:
    """What a run of `label_clips` did.

    Attributes
    ----------
    scores : pandas.DataFrame
        The table of ``scores.csv``.
    failures : list of (str, str)
        Id and reason.
    judged : int
        Clips judged in this run; the others were finished before.
    per_second : dict
        Frames a second of decoding (of those taken), detection (of those looked at),
        tracking (of those taken) and network (faces), as far as they ran.
    """

    scores: pd.DataFrame
    failures: list[tuple[str, str]]
    judged: int
    per_second: dict[str, float]


def label_clips(
    clips: Sequence[Clip],
    teacher: Teacher,
    detect: Callable[[], Detector],
    output: str | Path,
    settings: LabelSettings | None = None,
    how: str = "max",
    contact_sheet: bool = False,
) -> Labelled:
    """Judge the faces of clips and write the results; see the module for the files.

    Parameters
    ----------
    clips : sequence of Clip
        With ids of their own.
    teacher : Teacher
        The network.
    detect : callable
        Returns the face detector; called when the first clip needs it.
    output : path
        Folder, made where it is not there. Clips finished in it are not repeated
        unless their file has changed.
    settings : LabelSettings, optional
        Sampling, detection and choice of faces.
    how : {"max", "mean"}
        Makes one row of a clip's frames, in the table.
    contact_sheet : bool
        Draw some of the crops of each clip, and of the first 40 on one sheet.

    Raises
    ------
    SpecError
        When the folder holds the results of other settings or another network.
    BusyError
        When another process writes to the folder.
    """
    folder, settings = Path(output), settings or LabelSettings()
    own = settings.to_dict() | {"network": teacher.name, "size": teacher.size}
    watch, failures, judged = Stopwatch(), [], 0
    detector = _once(detect)
    busy = f"{folder}: another process writes there; choose another --output."
    with exclusive(folder / ".lock", busy):
        claim(folder / SETTINGS, own | {"schema": teacher.schema.to_dict()})
        finished = []
        for clip in track(clips, "Labelling"):
            sheet = folder / SHEETS / f"{clip.id}.png"
            if _is_finished(folder, clip, sheet if contact_sheet else None):
                finished.append(clip)
                continue
            shown = thumbnails.Thumbnails() if contact_sheet else None
            try:
                found = label_clip(
                    clip.path,
                    *(teacher.network, detector, settings, teacher.size),
                    *(watch, shown),
                )
            except DataError as error:
                failures.append((clip.id, str(error)))
                continue
            check_width(found, teacher.schema)
            # The sheet first: a clip with its scores is finished.
            if shown is not None:
                _write_strip(sheet, clip, found, shown, teacher.schema)
            _write_part(_part(folder, clip), clip, found)
            finished.append(clip)
            judged += 1
        merged = _merge(folder, finished, teacher.schema, own)
        table = score_table(merged, how)
        write_logits(folder / LOGITS, merged)
        write_table(folder / SCORES, table)
        write_table(folder / FAILURES, pd.DataFrame(failures, columns=["id", "reason"]))
        if contact_sheet and finished:
            strips = [folder / SHEETS / f"{c.id}.png" for c in finished[:_SHOWN]]
            with whole_file(folder / SHEET) as temporary:
                thumbnails.stack(strips).save(temporary)
    return Labelled(table, failures, judged, watch.per_second())


def score_table(merged: Logits, how: str = "max") -> pd.DataFrame:
    """Return one row per clip: id, start, end (s), faces, tracks, scores, dominant.

    ``faces`` counts the rows that were aggregated. Columns of scores are named by the
    labels.
    """
    rows = []
    for i, name in enumerate(merged.ids):
        part = slice(merged.offsets[i], merged.offsets[i + 1])
        scores = aggregate(merged.logits[part], how)
        rows.append(
            {
                "id": name,
                "start": round(float(merged.times[part][0]), 3),
                "end": round(float(merged.times[part][-1]), 3),
                "faces": len(merged.times[part]),
                "tracks": len(np.unique(merged.tracks[part])),
                "aggregate": how,
                **dict(zip(merged.schema.labels, scores, strict=True)),
                "dominant": merged.schema.labels[int(scores.argmax())],
            }
        )
    names = ["id", "start", "end", "faces", "tracks", "aggregate"]
    return pd.DataFrame(rows, columns=[*names, *merged.schema.labels, "dominant"])


def _once(make: Callable[[], Detector]) -> Callable[[], Detector]:
    made: list[Detector] = []

    def get() -> Detector:
        if not made:
            made.append(make())
        return made[0]

    return get


def _part(folder: Path, clip: Clip) -> Path:
    return folder / "clips" / f"{clip.id}.npz"


def _source(path: Path) -> np.ndarray:
    """Return bytes and time of a file; of a folder, the time only."""
    status = path.stat()
    size = 0 if path.is_dir() else status.st_size
    return np.array([size, status.st_mtime_ns], np.int64)


def _is_finished(folder: Path, clip: Clip, sheet: Path | None) -> bool:
    part = _part(folder, clip)
    if not part.is_file() or not clip.path.exists():
        return False
    if sheet is not None and not sheet.is_file():
        return False
    try:
        return np.array_equal(
            load_arrays(part, ("source",))["source"], _source(clip.path)
        )
    except DataError:
        return False


def _write_part(path: Path, clip: Clip, found: ClipLabels) -> None:
    arrays = {name: getattr(found, name) for name in ARRAYS}
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, source=_source(clip.path), frames=found.frames, **arrays)


def _merge(
    folder: Path, clips: Sequence[Clip], schema: LabelSchema, own: dict[str, Any]
) -> Logits:
    parts = [load_arrays(_part(folder, clip), ARRAYS) for clip in clips]
    empty = {"logits": (0, len(schema)), "boxes": (0, 4)}
    arrays = {
        name: np.concatenate([part[name] for part in parts])
        if parts
        else np.zeros(empty.get(name, 0), np.float32)
        for name in ARRAYS
    }
    offsets = np.cumsum([0, *(len(part["times"]) for part in parts)], dtype=np.int64)
    ids = [clip.id for clip in clips]
    return Logits(schema, ids, offsets, **arrays, settings=own)


def check_width(found: ClipLabels, schema: LabelSchema) -> None:
    """Refuse scores that are not of a schema's labels."""
    if found.logits.shape[1] != len(schema):
        raise SpecError(
            f"The network has {found.logits.shape[1]} outputs, but its schema "
            f"'{schema.name}' has {len(schema)} labels ({', '.join(schema.labels)})."
        )


def _write_strip(
    path: Path,
    clip: Clip,
    found: ClipLabels,
    shown: thumbnails.Thumbnails,
    schema: LabelSchema,
) -> None:
    rows = sorted(shown.rows)
    captions = [
        f"{found.times[row]:.2f} {schema.labels[int(found.logits[row].argmax())]}"
        for row in rows
    ]
    title = f"{clip.id}: {len(found.times)} faces in {found.frames} frames"
    image = thumbnails.strip([shown.rows[row] for row in rows], captions, title)
    with whole_file(path) as temporary:
        image.save(temporary)
