"""What was left out: the tables of failures that lie beside a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from emorec.artifacts.found_runs import FoundRun
from emorec.errors import DataError
from emorec.evaluation.report import runs
from emorec.evaluation.report.html import Html, Section, name, table, tag

_SHOWN = 25
# What such tables are called; NAME is the run's.
_OWN = ("failures_{}", "text_report_{}", "missing_{}", "dropped_{}", "left_out_{}")
_SHARED = ("failures", "landmarks_failures", "*_report", "*_nonfinite", "left_out_*")
# Columns that say what and why, in the order in which they are looked for.
_REASON = ("left_out", "action", "split", "fold", "modality", "model", "reason")

# Where a system tells what it left out, if not beside the run.
_ELSEWHERE = {
    "mosei": "; the main job writes NAME_report.csv and NAME_nonfinite.csv into its "
    "pickle folder: name that with --dropped.",
    "ravdess": "; emorec ravdess prepare writes failures.csv into its own folder: name "
    "that with --dropped.",
    "meld_text": ": text_report_NAME.csv is written where utterances have no words.",
}


def dropped(run: FoundRun, further: Sequence[Path] = ()) -> Section:
    """Return what the tables of left out or repaired data say.

    Parameters
    ----------
    run : FoundRun
        Of its folder, the tables with its name.
    further : sequence of Path
        CSV files, or folders with such: the main job's pickle folder, or a folder that
        was prepared, where tables are of the data rather than of a run.

    Raises
    ------
    DataError
        When one of `further` is not there.
    """
    own = Section("dropped", "Data left out or repaired")
    paths = [run.run.folder / f"{form.format(run.name)}.csv" for form in _OWN]
    paths = [path for path in paths if path.is_file()]
    for place in further:
        if place.is_dir():
            paths += sorted(p for form in _SHARED for p in place.glob(f"{form}.csv"))
        elif place.is_file():
            paths.append(place)
        else:
            raise DataError(f"--dropped {place}: no such file or folder.")
    for path in dict.fromkeys(paths):
        _add(own, path)
    if not paths and run.system == runs.FUSION:
        own.say(
            f"There is no missing_{run.name}.csv: every model knew every utterance."
        )
    elif not paths:
        own.lack(
            "Beside the run there is no table of data that were left out"
            + _ELSEWHERE.get(run.system, ": the system writes none, or none was.")
        )
    return own


def _add(own: Section, path: Path) -> None:
    own.under(path.name)
    try:
        # Text, as ids may look like numbers.
        content = pd.read_csv(path, dtype=str, keep_default_na=False)
    except pd.errors.EmptyDataError:
        content = pd.DataFrame()
    except (ValueError, OSError) as error:
        own.lack(f"{path}: cannot be read ({error}).")
        return
    if not len(content):
        own.say("No row: nothing was left out.")
        return
    keys = [key for key in _REASON if key in content]
    if keys:
        counts = content.groupby(keys, sort=False).size().reset_index(name="rows")
        counts = counts.sort_values("rows", ascending=False, kind="stable")
        rows = [
            (int(row.pop("rows")), *map(_text, row.values()))
            for row in counts.to_dict("records")
        ]
        caption = f"Why, in {path.name}: {len(content):,} rows"
        own.put(table(caption, ("Rows", *keys), rows[:_SHOWN]))
        if len(rows) > _SHOWN:
            own.say(f"{len(rows) - _SHOWN:,} further reasons are in the file.")
    first, *rest = content.columns
    rows = [
        (name(str(row[0])), *map(_text, row[1:]))
        for row in content.head(_SHOWN).to_numpy()
    ]
    caption = f"Rows of {path.name}"
    note = f"The first {_SHOWN} of {len(content):,}." if len(content) > _SHOWN else ""
    own.put(table(caption, (first, *rest), rows, note))
    own.put(tag("p", "File: ", name(str(path))))


def _text(value: object) -> Html:
    """Return a cell that may hold a long word, as a path."""
    return tag("span", value, class_="value")
