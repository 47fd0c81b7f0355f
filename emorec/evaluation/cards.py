"""Model cards: what a trained model is, from its own record and results.

Mitchell et al. (2019), "Model Cards for Model Reporting"; the front matter is that of
the Hugging Face hub.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from emorec.artifacts.found_runs import FoundRun, find_runs
from emorec.artifacts.licences import Terms, is_drawn, of_dataset, of_weights
from emorec.artifacts.runs import RunFolder
from emorec.errors import DataError
from emorec.evaluation.card_scores import limits, scores_of
from emorec.evaluation.card_tables import CardScores, markdown, two_columns
from emorec.files import digest, whole_file

# What a system is, its tag, and the hub's name for its task where it has one.
_SYSTEMS = {
    "mosei": ("early fusion of words, face and voice", "multimodal", ""),
    "mosi": ("early fusion of words, face and voice: sentiment", "multimodal", ""),
    "faces": ("emotions in a face", "face", "image-classification"),
    "voices": ("emotions in a voice", "voice", "audio-classification"),
    "ravdess": ("fusion of face and voice", "audio-visual", ""),
    "meld_text": ("emotions in words", "text", "text-classification"),
    "meld_audio": ("emotions in a voice, by a vector of its sound", "voice", ""),
    "meld_face": ("emotions in facial landmarks over time", "face", ""),
}
_KINDS = {
    "intensity": "an intensity of each",
    "multilabel": "each present or not",
    "single": "exactly one of them",
    "sentiment": "one value from negative to positive",
}
# Settings that name files or presets of others' weights.
_BACKBONES = ("weights", "pretrain_path", "vectors", "imported")
_LAW = """\
Regulation (EU) 2024/1689, the AI Act: Article 5(1)(f) prohibits AI systems that infer
emotions of natural persons at the workplace and in education institutions, except for
medical or safety reasons. Elsewhere, systems for emotion recognition are high-risk
(Annex III, point 1(c)), and who deploys one must inform the persons exposed to it
(Article 50(3)). This is not legal advice; other laws, of data protection among them,
apply as well."""


def write_card(run: FoundRun) -> Path:
    """Write the card of a finished run beside its model; return its path.

    Raises
    ------
    DataError
        When it cannot be written, or the results are not those of this version.
    """
    path = run.run.folder / f"card_{run.name}.md"
    try:
        text = card(run)
    except KeyError as error:
        raise DataError(
            f"{run.run.record_path}: the record or the tables beside it lack {error}; "
            "another version of emorec wrote them, or they are damaged. Evaluate the "
            "model anew."
        ) from error
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def card_after(folder: RunFolder, say: Callable[[str], None]) -> None:
    """Write the card at the end of a run; tell, rather than raise, what hinders.

    A training of days must not fail for its description. Results without a model of
    their own (of other data, of several networks) have no card.
    """
    if not folder.record_path.is_file():
        return
    try:
        (run,) = find_runs([folder.record_path])
        write_card(run)
    except Exception as error:
        # Whatever it is: the model and its results are written and whole.
        say(
            f"The model card of {folder.param_name} could not be written "
            f"({type(error).__name__}: {error}). All else is; see emorec card "
            f"{folder.record_path}."
        )


def card(run: FoundRun) -> str:
    """Return the text of the card; the same for the same files."""
    scores, data = scores_of(run), run.spec.data
    # Of data on a path the name is enough.
    dataset = str(data.get("dataset") or "").partition(" in ")[0]
    drawn = is_drawn(dataset) or bool(data.get("miniature"))
    terms = of_dataset("miniature" if drawn else dataset)
    warning = (
        "> **Trained on synthetic data.** The scores below show that the program "
        "works and mean nothing about people. Do not use this model.\n"
        if drawn
        else ""
    )
    limited = "\n".join(f"- {line}" for line in limits(scores, terms.acted))
    parts = [
        _front(run, terms),
        f"# {run.name}\n\n{warning}{_what(run)}",
        f"## Labels\n\n{_labels(run)}",
        f"## Data\n\n{_data(run, dataset, terms)}",
        f"## Input\n\n{_input(run)}",
        f"## Scores\n\n{_scores(scores, drawn)}",
        f"## Licences\n\n{_licences(run, terms)}",
        f"## Use\n\n{_use(run)}",
        f"## Limits\n\n{limited}",
        f"## Law\n\n{_LAW}",
        f"## How it was made\n\n{_made(run)}",
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _front(run: FoundRun, terms: Terms) -> str:
    _, tag, task = _SYSTEMS[run.system]
    lines = ["---", "library_name: keras"]
    if terms.language:
        lines += ["language:", f"- {terms.language}"]
    # Of the data: nobody has licensed the weights yet.
    lines.append(f"license: {terms.identifier}")
    if terms.identifier == "other":
        lines += [f"license_name: {json.dumps(f'terms of {terms.name}')}"]
    lines += [f"pipeline_tag: {task}"] if task else []
    lines += ["tags:", "- emorec", "- emotion-recognition", f"- {tag}", "---"]
    return "\n".join(lines)


def _what(run: FoundRun) -> str:
    what = _SYSTEMS[run.system][0]
    count = _parameters(run.record)
    told = f"{count:,}" if count else "not recorded"
    settings = run.record["settings"]
    names = ("network", "student", "fusion", "model", "encoder", "num_layers", "pool")
    network = ", ".join(f"{k} {settings[k]}" for k in names if settings.get(k))
    return two_columns(
        {
            "system": f"emorec {run.system.replace('_', ' ')}: {what}",
            "network": network or "that of the system",
            "parameters": told,
            "run": run.record.get("run", "not recorded"),
        }
    )


def _parameters(record: dict[str, Any]) -> int:
    trainings = record.get("found", {}).get("trainings", [])
    found = [record.get("training") or {}, *trainings]
    return sum(each.get("parameters", 0) for each in found)


def _labels(run: FoundRun) -> str:
    schema = run.spec.schema
    rows = pd.DataFrame(
        {"column": map(str, range(len(schema))), "label": list(schema.labels)}
    )
    return (
        f"In the order of the output's columns (schema `{schema.name}`): "
        f"{_KINDS[schema.kind]} (kind `{schema.kind}`), true values from "
        f"{schema.low:g} to {schema.high:g}. Learnt: `{run.spec.label_type}`.\n\n"
        f"{markdown(rows)}"
    )


def _data(run: FoundRun, dataset: str, terms: Terms) -> str:
    record, spec = run.record, run.spec
    sizes = record.get("segments") or record.get("utterances") or spec.data
    counts = {
        key: value
        for key, value in sizes.items()
        if isinstance(value, int) and not isinstance(value, bool)
    }
    identity = record["settings"].get("data")
    told = {
        "dataset": dataset or "not recorded",
        "identity": f"`{digest(identity)}`" if identity else "not recorded",
        "clips of each split": ", ".join(f"{k} {v:,}" for k, v in counts.items())
        or "not recorded",
    }
    for key in ("folds", "split", "missing"):
        if isinstance(spec.data.get(key), str):
            told[key] = spec.data[key]
    nature = terms.nature or "Nothing is known to emorec of who is recorded."
    return f"{two_columns(told)}\n\n{nature}"


def _input(run: FoundRun) -> str:
    spec = run.spec
    columns = pd.DataFrame(
        [
            {"modality": m.name, "features": m.features, "width": str(m.width)}
            for m in spec.modalities
        ]
    )
    short = {
        key: value
        for key, value in spec.normalisation.items()
        # Statistics of each column stand in the record.
        if not isinstance(value, dict) and not (isinstance(value, list) and value[8:])
    }
    told = ", ".join(f"{key} {value}" for key, value in short.items()) or "none"
    steps = spec.max_steps or "any number"
    return f"{markdown(columns)}\n\nNormalisation: {told}. Steps: {steps}."


def _scores(scores: CardScores, drawn: bool) -> str:
    if not scores.tables:
        return "Not evaluated yet, or the tables lie elsewhere."
    loud = ["**Of synthetic data: they mean nothing about people.**"] if drawn else []
    tables = [f"### {title}\n\n{markdown(cells)}" for title, cells in scores.tables]
    return "\n\n".join([*loud, *scores.lines, *tables])


def _licences(run: FoundRun, terms: Terms) -> str:
    rows = [{"what": terms.name, "terms": terms.licence, "source": terms.source}]
    for name in _backbones(run.record["settings"]):
        weights = of_weights(name)
        what = name if name == weights.name else f"{weights.name} ({name})"
        row = {"what": what, "terms": weights.licence, "source": weights.source}
        rows.append(row)
    if run.system == "voices" and run.spec.label_type == "distilled":
        what = "the face network that taught it"
        rows.append({"what": what, "terms": "see its own card", "source": "none"})
    return (
        f"{markdown(pd.DataFrame(rows))}\n\nThe weights themselves carry no licence "
        "before whoever trained them gives one; the field `license` above is that of "
        "the data. Whether terms of data bind what was learnt from them is for a "
        "lawyer."
    )


def _backbones(settings: dict[str, Any]) -> list[str]:
    named = [Path(str(settings[k])).name for k in _BACKBONES if settings.get(k)]
    if settings.get("model") == "roberta":
        named.append(Path(str(settings.get("preset", "roberta"))).name)
    if settings.get("model") == "embeddings" and settings.get("embeddings"):
        named.append(Path(str(settings["embeddings"])).name)
    return named


def _use(run: FoundRun) -> str:
    name = run.model_path.name if run.model_path.is_file() else run.run.record_path.name
    asked = f"```\nemorec predict CLIP --models {name}\n```"
    if run.system == "mosi":
        asked = (
            "It takes ready-made vectors of CMU-MOSI, which no program makes of a "
            "recording, so `emorec predict` refuses it."
        )
    return (
        f"{asked}\n\nMeant for research on expressed emotions, on data like those of "
        "its training. Out of scope: to conclude what a person feels, thinks or "
        "intends; decisions about persons; medical, legal or security use; other "
        "languages, cultures, ages, cameras or microphones than those of its data, "
        "before it was tested there."
    )


def _made(run: FoundRun) -> str:
    record, settings = run.record, run.record["settings"]
    training = record.get("training") or {}
    seed = settings.get("seed", settings.get("manual_seed", "not recorded"))
    environment = record.get("environment", {})
    versions = environment.get("versions", {})
    kept = training.get("best_epoch", training.get("kept_epoch"))
    return two_columns(
        {
            "seed": str(seed),
            "epochs": str(training.get("epochs", record.get("epochs", "not recorded"))),
            "kept epoch": str(kept or "not recorded"),
            "backend": run.spec.data.get("backend")
            or training.get("backend", "not recorded"),
            "devices": ", ".join(training.get("devices", [])) or "not recorded",
            "versions": ", ".join(f"{k} {v}" for k, v in versions.items() if v)
            or "not recorded",
            "all settings": f"`{run.run.record_path.name}`",
        }
    )
