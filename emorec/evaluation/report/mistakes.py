"""The worst mistakes of a run, with links to their clips."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import quote

import numpy as np

from emorec.artifacts.predictions import Predictions
from emorec.errors import DataError
from emorec.evaluation.outputs import Scores
from emorec.evaluation.report.html import Html, Section, name, number, table, tag
from emorec.labels import LabelSchema

_NUMBERED = re.compile(r"\[\d+\]$")


class Clips:
    """Finds the file of an id in a folder of clips.

    An id is found by its whole path below the folder, without or with the suffix; else
    by the end of the path; a segment ``video[3]`` also by its video. Where several
    files fit there is no link.

    Parameters
    ----------
    folder : Path or None
        Where clips lie; None links nothing.
    page : Path
        The page that links to them.

    Raises
    ------
    DataError
        When there is no such folder.
    """

    def __init__(self, folder: Path | None, page: Path) -> None:
        self.folder, self.page = folder, page
        self._ends: dict[str, set[Path]] = {}
        self.asked = self.linked = 0
        if folder is None:
            return
        if not folder.is_dir():
            raise DataError(f"--clips {folder}: no such folder.")
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                own = path.relative_to(folder)
                for parts in (own.parts, own.with_suffix("").parts):
                    for start in range(len(parts)):
                        end = "/".join(parts[start:])
                        self._ends.setdefault(end, set()).add(path)

    def find(self, clip: str) -> Path | None:
        """Return the file of an id, or None."""
        for end in dict.fromkeys((clip, _NUMBERED.sub("", clip), clip.split("/")[-1])):
            found = self._ends.get(end, ())
            if len(found) == 1:
                return next(iter(found))
        return None

    def link(self, clip: str) -> Html:
        """Return an id as a link to its file, or as it is."""
        path = self.find(clip)
        self.asked += 1
        if path is None:
            return name(clip)
        self.linked += 1
        try:
            where = os.path.relpath(path, self.page.absolute().parent)
            where = quote(Path(where).as_posix())
        except ValueError:  # another drive
            where = path.absolute().as_uri()
        # A name such as a:b must not be read as a scheme.
        where = where if ":" in where[:8] or where.startswith(".") else f"./{where}"
        return tag("a", name(clip), href=where)


def of_choices(part: Predictions, clips: Clips, count: int) -> Section:
    """Return the wrong choices that the model was surest of."""
    own, labels = _section(), part.schema.labels
    sure = part.scores.max(axis=1)
    wrong = np.flatnonzero(part.chosen != part.true)
    worst = wrong[np.argsort(-sure[wrong], kind="stable")][:count]
    own.say(
        f"{len(wrong):,} of {len(part):,} answers of {part.split} are wrong. These are "
        "the ones with the highest probability on a wrong class."
    )
    rows = [
        (
            clips.link(part.ids[row]),
            labels[part.true[row]],
            labels[part.chosen[row]],
            number(sure[row]),
            number(part.scores[row, part.true[row]]),
        )
        for row in worst
    ]
    head = ("Clip", "True", "Answer", "Its probability", "Probability of the true")
    if rows:
        own.put(table(f"Worst mistakes of {part.split}", head, rows))
    _links(own, clips)
    return own


def of_scores(scores: Scores, split: str, clips: Clips, count: int) -> Section:
    """Return the scores that are furthest from the true ones."""
    own, schema = _section(), scores.schema
    true = scores.true if scores.are_intensities else scores.true > 0
    far = scores.predicted.astype(float) - true
    order = np.argsort(-np.abs(far), axis=None, kind="stable")[:count]
    what = "score" if scores.are_intensities else "probability"
    own.say(f"The predicted {what}s of {split} that are furthest from the true ones.")
    rows = []
    for row, column in zip(*np.unravel_index(order, far.shape), strict=True):
        rows.append(
            (
                clips.link(scores.ids[row]),
                schema.labels[column],
                number(float(scores.true[row, column]), 2),
                number(float(scores.predicted[row, column]), 2),
                f"{far[row, column]:+.2f}",
            )
        )
    head = ("Clip", "Emotion", "True score", f"Predicted {what}", "Difference")
    own.put(table(f"Worst mistakes of {split}", head, rows))
    if scores.are_intensities:
        _unnoticed(own, scores, split, schema, clips, max(1, count // 2))
    _links(own, clips)
    return own


def _unnoticed(
    own: Section,
    scores: Scores,
    split: str,
    schema: LabelSchema,
    clips: Clips,
    count: int,
) -> None:
    """Add the highest scores of what is absent."""
    if schema.kind != "intensity":
        return
    absent = np.where(scores.true > 0, -np.inf, scores.predicted)
    order = np.argsort(-absent, axis=None, kind="stable")[:count]
    rows = [
        (
            clips.link(scores.ids[row]),
            schema.labels[column],
            number(float(scores.predicted[row, column]), 2),
        )
        for row, column in zip(*np.unravel_index(order, absent.shape), strict=True)
        if np.isfinite(absent[row, column])
    ]
    own.put(
        table(
            f"Highest scores of {split} on an emotion that is absent",
            ("Clip", "Emotion", "Predicted score"),
            rows,
        )
    )


def _section() -> Section:
    return Section("mistakes", "Worst mistakes")


def _links(own: Section, clips: Clips) -> None:
    if clips.folder is None:
        own.say("Clips are named by their ids. With --clips DIR they become links.")
    elif clips.linked < clips.asked:
        own.lack(
            f"{clips.asked - clips.linked} of {clips.asked} clips are not linked: "
            f"{clips.folder} has no file of that name, or several."
        )
