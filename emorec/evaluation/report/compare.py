"""Several runs side by side, ranked by validation alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from emorec.artifacts.found_runs import FoundRun
from emorec.artifacts.predictions import Predictions
from emorec.evaluation import metrics
from emorec.evaluation.report import runs, scores
from emorec.evaluation.report.facts import flat
from emorec.evaluation.report.html import (
    Html,
    Section,
    joined,
    name,
    number,
    page,
    score,
    table,
    tag,
)
from emorec.evaluation.report.pairs import pairs
from emorec.evaluation.report.validation import (
    Compared,
    clips_of,
    identity,
    validation,
)
from emorec.evaluation.utterances import constant_predictions
from emorec.evaluation.utterances import metrics as choice_metrics
from emorec.files import whole_file

# Runs whose settings stand beside each other.
_BESIDE = 4


def write_comparison(found: Sequence[FoundRun], path: Path) -> list[str]:
    """Write the page that compares runs; return what could not be read.

    Parameters
    ----------
    found : sequence of FoundRun
        Two or more.
    path : Path
        The HTML file.
    """
    each = ranked([_compared(run, found) for run in found])
    sections = [_table(each), pairs(each), _settings(each)]
    problems = [problem for one in each for problem in one.read.problems]
    for problem in problems:
        sections[0].lack(problem)
    lead = [
        tag(
            "p",
            "Runs are ranked by validation alone. Test scores stand beside and rank "
            "nothing: who chooses by them has no test any more.",
        )
    ]
    with whole_file(path) as temporary:
        text = page(f"Comparison of {len(each)} runs", lead, sections)
        temporary.write_text(text, encoding="utf-8")
    return problems


def _compared(run: FoundRun, found: Sequence[FoundRun]) -> Compared:
    scored = run.system in runs.SCORED
    read = runs.read_scores(run) if scored else runs.read_choices(run)
    same = [other for other in found if other.name == run.name]
    label = run.name if len(same) == 1 else f"{run.run.folder.name}/{run.name}"
    return Compared(label, run, read, validation(run, read), identity(run))


def ranked(each: Sequence[Compared]) -> list[Compared]:
    """Return runs by kind of validation in the order given, the best first in each."""
    kinds = list(dict.fromkeys(one.group for one in each))

    def key(one: Compared) -> tuple:
        value = one.validation.value
        worth = value if one.validation.less else -value
        return kinds.index(one.group), math.isnan(value), worth

    return sorted(each, key=key)


def _table(each: Sequence[Compared]) -> Section:
    own = Section("runs", "The runs, ranked by validation")
    groups = list(dict.fromkeys(one.group for one in each))
    if len(groups) > 1:
        own.put(
            tag(
                "p",
                tag("strong", f"{len(groups)} groups. "),
                "Between groups nothing is ranked: the runs were validated by another "
                "metric, on other data, or on other clips.",
                class_="warning",
            )
        )
    data = list(dict.fromkeys(one.data for one in each))
    if len(data) > 1 or "" in data:
        what = "different data" if len(data) > 1 else "data that no record names"
        own.put(
            tag(
                "p",
                tag("strong", f"These are runs on {what}: "),
                "; ".join(one or "not recorded" for one in data),
                ". Their scores cannot be compared with each other.",
                class_="warning",
            )
        )
    for number_, group in enumerate(groups, 1):
        inside = [one for one in each if one.group == group]
        kind, where = group
        better = "less is better" if inside[0].validation.less else "more is better"
        rows = [_row(place, one) for place, one in enumerate(inside, 1)]
        head = ("Run", "Rank", "Validation", "Test", "Constant, same test", "System")
        note = f"By {kind}; {better}. Data: {where or 'not recorded'}."
        title = f"Group {number_}" if len(groups) > 1 else "Runs"
        known = any(not math.isnan(one.validation.value) for one in inside)
        title += ", ranked by validation" if known else ", not ranked"
        own.put(table(title, (*head, "Takes"), rows, note))
        _told_of_clips(own, inside)
        for one in inside:
            if math.isnan(one.validation.value):
                own.lack(
                    f"{one.label}: nothing tells its {one.validation.kind}, so it is "
                    "not ranked."
                )
            if runs.test_split(list(one.read.parts)) is None:
                own.lack(f"{one.label}: there are no predictions of a test split.")
    return own


def _told_of_clips(own: Section, inside: Sequence[Compared]) -> None:
    """Say so where runs that are ranked together were validated on other clips."""
    sets = {one.label: clips_of(one.read) for one in inside}
    sets = {label: clips for label, clips in sets.items() if clips}
    common = set.intersection(*sets.values()) if sets else set()
    if any(clips != common for clips in sets.values()):
        counts = ", ".join(f"{label} {len(clips):,}" for label, clips in sets.items())
        own.put(
            tag(
                "p",
                tag("strong", "Not quite the same clips: "),
                f"validated on {counts}; they share {len(common):,}. Small differences "
                "may come from that.",
                class_="warning",
            )
        )


def _row(place: int, one: Compared) -> tuple[Any, ...]:
    value = one.validation.value
    test, constant = _test(one)
    spec = runs.spec_of(one.run)
    takes = (
        ", ".join(f"{m.name} ({m.features})" for m in spec.modalities)
        if spec
        else ", ".join(one.run.record.get("settings", {}).get("models", ()))
    )
    told = joined(
        [
            number(value),
            tag("span", f"from {one.validation.source}", class_="interval"),
        ],
        " ",
    )
    unknown = math.isnan(value)
    rank = "not ranked" if unknown else place
    shown = "not known" if unknown else told
    return name(one.label), rank, shown, test, constant, one.run.system, takes


def _test(one: Compared) -> tuple[Html | str, Html | str]:
    """Return the test score and the constant predictor's, for cells."""
    split = runs.test_split(list(one.read.parts))
    if split is None:
        return "not there", "not there"
    part = one.read.parts[split]
    if isinstance(part, Predictions):
        always = constant_predictions(part, runs.constant_class(one.run, part)[0])
        return tuple(_f1(choice, split) for choice in (part, always))
    if one.run.system == "mosi":
        true, predicted = part.true[:, 0], part.predicted[:, 0]
        return tuple(
            f"{number(metrics.sentiment(true, values)['mae'])} (MAE, {split})"
            for values in (predicted, 0 * predicted)
        )
    asked = scores.threshold(one.read.parts)
    true, said, _ = scores.decisions(one.read.parts, split, asked)
    found = metrics.classification(true, said, part.predicted, part.schema)
    what = f"(weighted accuracy, {split})"
    return f"{number(found['weighted_accuracy_macro'])} {what}", f"0.500 {what}"


def _f1(part: Predictions, split: str) -> Html:
    found = choice_metrics(part)
    own = score(
        found["weighted_f1"], found["weighted_f1_low"], found["weighted_f1_high"]
    )
    return joined([own, tag("span", f"weighted F1, {split}", class_="interval")], " ")


def _settings(each: Sequence[Compared]) -> Section:
    """Return what differs between the settings of runs that are ranked together."""
    own = Section("settings", "Settings that differ")
    groups = list(dict.fromkeys(one.group for one in each))
    for place, group in enumerate(groups, 1):
        inside = [one for one in each if one.group == group]
        if len(inside) == 1:
            continue
        title = f" in group {place}" if len(groups) > 1 else ""
        all_ = [dict(flat(one.run.record.get("settings", {}))) for one in inside]
        keys = list(dict.fromkeys(key for settings in all_ for key in settings))
        different = [
            key
            for key in keys
            if len({settings.get(key, "-") for settings in all_}) > 1
        ]
        if not different:
            own.say(f"The runs{title} have the same settings.")
        # Of many runs a few beside each other, so that paper is wide enough.
        for start in range(0, len(inside) if different else 0, _BESIDE):
            part = slice(start, start + _BESIDE)
            rows = [
                (
                    key,
                    *(tag("span", s.get(key, "-"), class_="value") for s in all_[part]),
                )
                for key in different
            ]
            head = ("Setting", *(name(one.label) for one in inside[part]))
            note = "A - stands where a run has no such setting."
            own.put(table(f"Settings that differ{title}", head, rows, note))
    if not own.parts:
        own.say("No two runs are ranked together.")
    return own
