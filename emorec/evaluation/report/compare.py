"""Several runs side by side, ranked by validation alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from emorec.artifacts.found_runs import FoundRun
from emorec.artifacts.predictions import Predictions
from emorec.errors import EmorecError, shorten
from emorec.evaluation import comparison, metrics, outputs
from emorec.evaluation.report import runs, scores, sentiment
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
from emorec.evaluation.report.own_tables import comparison_table
from emorec.evaluation.report.validation import (
    Validation,
    identity,
    ids_of,
    validation,
)
from emorec.evaluation.utterances import constant_predictions
from emorec.evaluation.utterances import metrics as choice_metrics
from emorec.files import whole_file

# All pairs of so many runs; of more, the best by validation against each other.
_PAIRS = 5


@dataclass(frozen=True)
class Compared:
    """A run of a comparison.

    Attributes
    ----------
    label : str
        Its name, with the folder's where another run has the same.
    run : FoundRun
    read : Read
        Its predictions.
    validation : Validation
    data : str
        What the record tells of the identity of the data; empty where nothing.
    """

    label: str
    run: FoundRun
    read: runs.Read
    validation: Validation
    data: str

    @property
    def group(self) -> tuple[str, str, str]:
        """What runs that are ranked together share."""
        return self.validation.kind, self.data, ids_of(self.run, self.read)


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
    sections = [_table(each), _pairs(each), _settings(each)]
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
        kind, where, _ = group
        better = "less is better" if inside[0].validation.less else "more is better"
        rows = [_row(place, one) for place, one in enumerate(inside, 1)]
        head = ("Run", "Rank", "Validation", "Test", "Constant, same test", "System")
        note = f"By {kind}; {better}. Data: {where or 'not recorded'}."
        title = f"Group {number_}" if len(groups) > 1 else "Runs"
        own.put(table(f"{title}, ranked by validation", (*head, "Takes"), rows, note))
        for one in inside:
            if math.isnan(one.validation.value):
                own.lack(
                    f"{one.label}: nothing tells its {one.validation.kind}, so it is "
                    "not ranked."
                )
            if runs.test_split(list(one.read.parts)) is None:
                own.lack(f"{one.label}: there are no predictions of a test split.")
    return own


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
    valid = one.read.parts.get("valid", part)
    rows = outputs.metric_rows(part, valid, [asked])["classification_presence"]
    found = {row["predictor"]: row["weighted_accuracy_macro"] for row in rows}
    return tuple(
        f"{number(found[who])} (weighted accuracy, {split})"
        for who in ("model", "zero")
    )


def _f1(part: Predictions, split: str) -> Html:
    found = choice_metrics(part)
    own = score(
        found["weighted_f1"], found["weighted_f1_low"], found["weighted_f1_high"]
    )
    return joined([own, tag("span", f"weighted F1, {split}", class_="interval")], " ")


def _pairs(each: Sequence[Compared]) -> Section:
    own = Section("pairs", "Pairs on the same clips")
    usable = [one for one in each if runs.test_split(list(one.read.parts))]
    pairs = list(combinations(usable, 2))
    if len(usable) > _PAIRS:
        best = usable[0]
        pairs = [(best, other) for other in usable[1:]]
        own.say(
            f"Of {len(usable)} runs the first by validation, ",
            name(best.label),
            ", is compared with each other.",
        )
    for first, second in pairs:
        title = f"{first.label} and {second.label}"
        try:
            rows = compared_pair(first, second)
        except EmorecError as error:
            own.lack(f"{title}: no paired comparison. {error}")
            continue
        own.put(comparison_table(title, rows))
    if not pairs:
        own.lack("There are not two runs with predictions of a test split.")
    return own


def compared_pair(first: Compared, second: Compared) -> list[dict[str, Any]]:
    """Return paired comparisons of two runs on their test clips.

    Of choices among classes one; of CMU-MOSEI one for each emotion, of the decision
    that it is present; of CMU-MOSI one, of the decision that it is positive.

    Raises
    ------
    DataError, LabelMismatchError
        When clips, true classes or labels differ.
    """
    sides = [_decisions(one) for one in (first, second)]
    if len(sides[0]) != len(sides[1]) or set(sides[0]) != set(sides[1]):
        raise EmorecError(
            f"One predicts {shorten(sides[0]) or 'one class'}, the other "
            f"{shorten(sides[1]) or 'one class'}."
        )
    rows = []
    for what, one in sides[0].items():
        other = sides[1][what]
        if set(one.schema.labels) == set(other.schema.labels):
            other = other.arranged(one.schema)
        row = asdict(comparison.compare(one, other))
        if what:
            row |= {"first": f"{what}: {row['first']}"}
        rows.append(row)
    return rows


def _decisions(one: Compared) -> dict[str, Predictions]:
    """Return what is decided -> choices; "" of a choice among classes."""
    parts = one.read.parts
    split = runs.test_split(list(parts))
    part = parts[split]
    if isinstance(part, Predictions):
        return {"": replace(part, model=one.label)}
    if one.run.system == "mosi":
        pair = part.true[:, 0] > 0, part.predicted[:, 0] > 0
        said = {"positive": pair}
    else:
        asked = scores.threshold(parts)
        true, predicted, _ = scores.decisions(parts, split, asked)
        said = {
            label: (true[:, k], predicted[:, k])
            for k, label in enumerate(part.schema.labels)
        }
    return {
        what: sentiment.binary(*pair, part.ids, split, one.label, what)
        for what, pair in said.items()
    }


def _settings(each: Sequence[Compared]) -> Section:
    """Return what differs between the settings."""
    own = Section("settings", "Settings that differ")
    all_ = [dict(flat(one.run.record.get("settings", {}))) for one in each]
    keys = list(dict.fromkeys(key for settings in all_ for key in settings))
    different = [
        key for key in keys if len({settings.get(key, "-") for settings in all_}) > 1
    ]
    rows = [
        (key, *(tag("span", s.get(key, "-"), class_="value") for s in all_))
        for key in different
    ]
    head = ("Setting", *(name(one.label) for one in each))
    note = "A - stands where a run has no such setting."
    if rows:
        own.put(table("Settings that differ", head, rows, note))
    else:
        own.say("The runs have the same settings.")
    return own
