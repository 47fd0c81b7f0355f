"""Runs that predict the same clips, two at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import combinations
from typing import Any

from emorec.artifacts.predictions import Predictions
from emorec.evaluation import comparison
from emorec.evaluation.report import runs, scores, sentiment
from emorec.evaluation.report.html import Section, name
from emorec.evaluation.report.own_tables import comparison_table
from emorec.evaluation.report.validation import Compared

# All pairs of so many runs; of more, the best by validation against each other.
_PAIRS = 5
Decisions = dict[str, Predictions]


def pairs(each: Sequence[Compared]) -> Section:
    """Return paired comparisons of runs that decide the same about the same clips.

    Parameters
    ----------
    each : sequence of Compared
        The best by validation first.
    """
    own = Section("pairs", "Pairs on the same clips")
    kinds: dict[frozenset, list[tuple[Compared, Decisions]]] = {}
    for one in each:
        if runs.test_split(list(one.read.parts)):
            said = decisions(one)
            kinds.setdefault(_kind(said), []).append((one, said))
    together: list[dict[str, Any]] = []
    for inside in kinds.values():
        chosen = list(combinations(inside, 2))
        if len(inside) > _PAIRS:
            chosen = [(inside[0], other) for other in inside[1:]]
            own.say(
                f"Of {len(inside)} runs of a kind the first by validation, ",
                name(inside[0][0].label),
                ", is compared with each other.",
            )
        if not chosen:
            own.lack(
                f"{inside[0][0].label}: no other run here decides between the same "
                "classes."
            )
        for (first, mine), (second, theirs) in chosen:
            rows = compare_decisions(mine, theirs)
            if not rows:
                own.lack(
                    f"{first.label} and {second.label}: no clip in common, or other "
                    "true classes; so there is no paired comparison."
                )
            elif len(rows) == 1:
                together += rows
            else:
                title = f"{first.label} and {second.label}"
                own.put(comparison_table(title, rows))
    if together:
        own.put(comparison_table("Pairs of runs", together))
    if not kinds:
        own.lack("No run has predictions of a test split.")
    return own


def _kind(said: Decisions) -> frozenset:
    return frozenset((what, *sorted(one.schema.labels)) for what, one in said.items())


def compare_decisions(mine: Decisions, theirs: Decisions) -> list[dict[str, Any]]:
    """Return comparisons as of `emorec.evaluation.comparison.compare`.

    On the clips that both predict; nothing where there is none, or where their true
    classes differ, as of other data under the same ids.

    Parameters
    ----------
    mine, theirs : dict
        From `decisions`, with the same keys and labels.
    """
    rows = []
    for what, one in mine.items():
        other = theirs[what].arranged(one.schema)
        common = set(one.ids) & set(other.ids)
        if not common:
            return []
        one, other = (_only(part, common) for part in (one, other))
        places = {clip: row for row, clip in enumerate(other.ids)}
        if any(
            true != other.true[places[clip]]
            for clip, true in zip(one.ids, one.true, strict=True)
        ):
            return []
        row = asdict(comparison.compare(one, other))
        rows.append(row | ({"first": f"{what}: {row['first']}"} if what else {}))
    return rows


def _only(part: Predictions, ids: set[str]) -> Predictions:
    return part.take([row for row, clip in enumerate(part.ids) if clip in ids])


def decisions(one: Compared) -> Decisions:
    """Return what a run decides about its test clips.

    Of choices among classes one, under ""; of CMU-MOSEI one for each emotion, that it
    is present; of CMU-MOSI one, that the sentiment is positive.
    """
    parts = one.read.parts
    split = runs.test_split(list(parts))
    part = parts[split]
    if isinstance(part, Predictions):
        return {"": replace(part, model=one.label)}
    if one.run.system == "mosi":
        said = {"positive": (part.true[:, 0] > 0, part.predicted[:, 0] > 0)}
    else:
        true, predicted, _ = scores.decisions(parts, split, scores.threshold(parts))
        said = {
            label: (true[:, k], predicted[:, k])
            for k, label in enumerate(part.schema.labels)
        }
    return {
        what: sentiment.binary(*pair, part.ids, split, one.label, what)
        for what, pair in said.items()
    }
