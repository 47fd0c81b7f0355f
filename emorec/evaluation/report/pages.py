"""The page of one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from emorec.artifacts.found_runs import FoundRun
from emorec.evaluation.report import (
    choices,
    dropped,
    facts,
    own_tables,
    runs,
    scores,
    sentiment,
)
from emorec.evaluation.report.html import Html, Section, name, page, tag
from emorec.evaluation.report.mistakes import Clips, of_choices, of_scores
from emorec.files import whole_file

WORST = 20


@dataclass(frozen=True)
class Options:
    """What a page is told besides the run.

    Attributes
    ----------
    clips : Path or None
        Folder of the clips that mistakes link to.
    dropped : tuple of Path
        Further tables of left out data, or folders with such.
    worst : int
        How many mistakes are listed.
    """

    clips: Path | None = None
    dropped: tuple[Path, ...] = ()
    worst: int = WORST


def write_report(run: FoundRun, path: Path, options: Options) -> list[str]:
    """Write the page of a run.

    Parameters
    ----------
    run : FoundRun
        From `emorec.evaluation.report.runs.find_reported`.
    path : Path
        The HTML file.
    options : Options
        See there.

    Returns
    -------
    list of str
        What could not be read, though it is there.

    Raises
    ------
    DataError
        When a folder that `options` name is not there.
    """
    clips = Clips(options.clips, path)
    scored = run.system in runs.SCORED
    read = runs.read_scores(run) if scored else runs.read_choices(run)
    split = runs.test_split(list(read.parts)) or runs.validation_split(list(read.parts))
    sections = [facts.facts(run)]
    if split is None:
        own = Section("scores", "Scores")
        own.lack(
            f"There are no predictions_SPLIT_{run.name}.npz that can be read, so there "
            "are no scores, curves, confusions or mistakes. They are written when a "
            "run is evaluated."
        )
        sections.append(own)
    elif scored:
        sections += _of_scores(run, read.parts, split, clips, options.worst)
    else:
        sections += _of_choices(run, read.parts, split, clips, options.worst)
    for problem in read.problems:
        _named(sections, "scores").lack(problem)
    at = 1 if split is None else 2
    sections[at:at] = [*own_tables.further(run), facts.curves(run)]
    sections.append(dropped.dropped(run, options.dropped))
    with whole_file(path) as temporary:
        text = page(f"Report of {run.name}", _lead(run, split, sections), sections)
        temporary.write_text(text, encoding="utf-8")
    return read.problems


def _named(sections: Sequence[Section], wanted: str) -> Section:
    return next(section for section in sections if section.id == wanted)


def _of_choices(run, parts, split: str, clips: Clips, worst: int) -> list[Section]:
    constants = {
        each: choices.Constant(*runs.constant_class(run, part))
        for each, part in parts.items()
    }
    first = choices.scores(parts, constants)
    if not runs.test_split(list(parts)):
        first.lack(_NO_TEST.format(split))
    part = parts[split]
    return [
        first,
        choices.classes(part, constants[split]),
        choices.matrix(part),
        choices.calibration(part),
        of_choices(part, clips, worst),
    ]


_NO_TEST = (
    "There are no predictions of a test split; the scores here are of {}, on which "
    "choices were made, and are too good."
)


def _of_scores(run, parts, split: str, clips: Clips, worst: int) -> list[Section]:
    if run.system == "mosi":
        first = sentiment.sentiment(run, parts, split)
        rest = []
    else:
        first = scores.totals(run, parts, split)
        rest = [scores.emotions(parts, split), scores.agreement(parts, split)]
        if scores.threshold(parts) != "valid":
            first.lack(
                "There are no predictions of validation, so presence is predicted with "
                "a fixed threshold."
            )
    if not runs.test_split(list(parts)):
        first.lack(_NO_TEST.format(split))
    return [first, *rest, of_scores(parts[split], split, clips, worst)]


def _lead(run: FoundRun, split: str | None, sections: Sequence[Section]) -> list[Html]:
    spec = runs.spec_of(run)
    data = run.record.get("settings", {}).get("dataset", "")
    told = spec.data if spec else {}
    data = str(told.get("dataset", data)) or "data that the record does not name"
    lines = [
        tag("p", f"{runs.TITLES[run.system]}. Trained and evaluated on {data}."),
    ]
    lines += [
        tag("p", section.headline, class_="headline")
        for section in sections
        if section.headline
    ]
    if split is not None:
        lines.append(
            tag("p", f"Unless said otherwise, scores are of the split {split}.")
        )
    if "synthetic" in data or "miniature" in data:
        lines.append(
            tag(
                "p",
                tag("strong", "Synthetic data: "),
                "scores on them say nothing about people.",
                class_="warning",
            )
        )
    lines.append(tag("p", "Folder of the run: ", name(str(run.run.folder))))
    return lines
