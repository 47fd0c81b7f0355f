"""What was trained on what: the first part of a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from emorec.artifacts.found_runs import FoundRun
from emorec.evaluation import figures
from emorec.evaluation.report import runs
from emorec.evaluation.report.html import Html, Section, figure, name, table, tag
from emorec.evaluation.report.html import figures as sheet

# Longer lists are told by their length.
_LONG = 12
_SEEDS = ("seed", "manual_seed", "networks")
# Columns of histories -> what the axis says; each beside its value on validation.
_MEASURES = {
    "acc": "accuracy",
    "weighted_f1": "weighted F1",
    "f1": "weighted F1",
    "recall_mean": "mean recall",
}


def facts(run: FoundRun) -> Section:
    """Return what was trained on what, from the run's record."""
    own = Section("facts", "What was trained on what")
    record, spec = run.record, runs.spec_of(run)
    settings = record.get("settings", {})
    head = [
        ("System", runs.TITLES[run.system]),
        ("Run", name(run.name)),
        ("Identity of its settings", name(str(record.get("run", "not recorded")))),
    ]
    if spec is not None:
        schema = spec.schema
        head += [
            ("Labels", f"{', '.join(schema.labels)} (schema {schema.name})"),
            ("Kind of labels", f"{schema.kind}, {schema.low:g} to {schema.high:g}"),
            ("Learnt", spec.label_type),
            ("Steps at most", spec.max_steps or "any"),
            ("Scaling of features", _short(spec.normalisation.get("kind", "none"))),
        ]
    else:
        head += [
            ("Models fused", ", ".join(settings.get("models", ()))),
            ("Weights chosen on", settings.get("chosen_on", "not recorded")),
        ]
    seeds = {key: settings[key] for key in _SEEDS if key in settings}
    told = ", ".join(f"{key} {_short(value)}" for key, value in seeds.items())
    head.append(("Seeds", told or "not recorded"))
    first, second = [pairs("The run", head)], []
    if spec is not None:
        rows = [(m.name, m.features, m.width) for m in spec.modalities]
        first.append(table("Modalities", ("Modality", "Features", "Width"), rows))
    lines = _data(own, run, settings, spec.data if spec else {})
    if lines:
        first.append(pairs("Data and split", lines))
    training = record.get("training") or record.get("found") or {}
    if training:
        first.append(pairs("Training", flat(training)))
    elif run.system != runs.FUSION:
        own.lack("The record tells nothing of the training (epochs, time, devices).")
    rest = {key: value for key, value in settings.items() if key != "data"}
    second.append(pairs("All settings", flat(rest)))
    environment = dict(record.get("environment", {}))
    versions = environment.pop("versions", {})
    if versions:
        lines = [(key, value or "not installed") for key, value in versions.items()]
        second.append(pairs("Versions of packages", [*lines, *flat(environment)]))
    else:
        own.lack("The record has no versions of packages.")
    # What is missing stands above the tables.
    own.put(sheet(first), sheet(second))
    return own


def _data(
    own: Section, run: FoundRun, settings: dict, told: Mapping[str, Any]
) -> list[tuple[str, Any]]:
    identity = settings.get("data")
    lines = flat({"dataset": settings["dataset"]} if "dataset" in settings else {})
    lines += flat(told)
    if isinstance(identity, Mapping):
        lines += [(f"identity: {key}", value) for key, value in flat(identity)]
    elif identity:
        lines.append(("identity", name(str(identity))))
    if "segments" in run.record:
        lines += [(f"segments of {k}", v) for k, v in run.record["segments"].items()]
    if run.system == runs.FUSION:
        lines.append(("identity", "that of the models fused: see their reports"))
    elif not identity:
        own.lack(
            "The record holds no identity (digest) of the data, so the page cannot say "
            "whether another run had the same."
        )
    return lines


def pairs(caption: str, rows: list[tuple[str, Any]]) -> Html:
    """Return a table of names and values."""
    cells = [
        (key, value if isinstance(value, Html) else tag("span", value, class_="value"))
        for key, value in rows
    ]
    return table(caption, ("What", "Value"), cells, kind="pairs")


def flat(content: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """Return nested containers as rows of names and short values."""
    rows = []
    for key, value in content.items():
        where = f"{before}{key}"
        if isinstance(value, Mapping):
            rows += flat(value, f"{where}: ")
        else:
            rows.append((where, _short(value)))
    return rows


def _short(value: Any) -> str:
    if isinstance(value, list | tuple):
        if len(value) > _LONG or any(isinstance(v, list | dict) for v in value):
            return f"{len(value)} values, in the record"
        return ", ".join(str(v) for v in value) or "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "empty" if value in ("", None) else str(value)


def curves(run: FoundRun) -> Section:
    """Return the learning curves, from the histories of the run."""
    own = Section("curves", "Learning curves")
    histories = runs.history(run)
    if not histories:
        said = {
            runs.FUSION: "A late fusion has no epochs; see its weights.",
        }.get(run.system)
        if said:
            own.say(said)
        else:
            own.lack(
                f"There is no history_{run.name}.csv: the system writes none, it has "
                "no epochs, or the file was not kept."
            )
        return own
    drawn = []
    for network, history in histories.items():
        kept = runs.kept_epoch(run, network)
        title = network if len(network) < 60 else f"{network[:57]}..."
        for wanted, word in (("loss", "loss"), *_MEASURES.items()):
            if wanted not in history:
                continue
            key = "loss" if wanted == "loss" else "acc"
            values = {key: history[wanted].tolist()}
            if f"val_{wanted}" in history:
                values[f"val_{key}"] = history[f"val_{wanted}"].tolist()
            drawn.append(
                figure(
                    figures.learning_curve(values, (kept or 0) - 1, title, word),
                    _curve_alt(network, word, values, kept),
                )
            )
    own.put(sheet(drawn))
    own.say(
        "Solid: training; dashed: validation; the vertical line is the epoch whose "
        "weights were kept. The loss of the training is a mean over an epoch in which "
        "the weights change."
    )
    return own


def _curve_alt(
    network: str, word: str, values: Mapping[str, list[float]], kept: int | None
) -> str:
    parts = [f"{word[:1].upper()}{word[1:]} of {network} over {{}} epochs"]
    count = 0
    for key, series in values.items():
        series = np.asarray(series, float)
        count = len(series)
        where = "validation" if key.startswith("val_") else "training"
        parts.append(f"{where} from {series[0]:.3f} to {series[-1]:.3f}")
        if kept and where == "validation" and kept <= count:
            parts.append(f"{series[kept - 1]:.3f} at the kept epoch {kept}")
    return "; ".join(parts).format(count) + "."
