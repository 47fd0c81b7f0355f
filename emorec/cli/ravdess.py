"""The commands on audio-visual clips: prepare, train, test, import."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from emorec.cli import hosts as several
from emorec.cli import ravdess_miniature as miniature
from emorec.cli import ravdess_options as options
from emorec.cli.console import INCOMPLETE, OK, say
from emorec.errors import SpecError

COEFFICIENTS = 10
_PRINTED = 5


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add ``emorec ravdess ...``."""
    run = {"prepare": prepare, "train": train, "test": test}
    options.add_commands(parser, run | {"import": import_checkpoint})


def _read(
    arguments: argparse.Namespace,
    coefficients: int,
    say: Callable[[str], None] = say,
):
    from emorec.labels import RAVDESS, LabelSchema
    from emorec.training.av_data import read_prepared

    schema = RAVDESS
    if arguments.labels:
        names = tuple(arguments.labels.split(","))
        schema = LabelSchema("own", names, "single")
    if arguments.folder is None:
        arguments.folder = miniature.prepare(arguments, say)
    data = read_prepared(arguments.folder, schema, say, coefficients)
    return miniature.named(data, arguments.folder, say)


def train(arguments: argparse.Namespace) -> int:
    """Train networks and evaluate them: one, or each fusion with each mask."""
    options.check_published(arguments)
    from emorec.training.av_config import AvConfig

    given = {k: v for k, v in vars(arguments).items() if k in options.OPTIONS}
    given |= {k: getattr(arguments, k) for k in options.SWITCHES}
    if "lr_steps" in arguments:
        given["lr_steps"] = tuple(arguments.lr_steps)
    given, preset = miniature.with_preset(arguments, given)
    configs = [
        AvConfig(fusion=fusion, mask=mask, **given)
        for fusion, mask in _combinations(arguments.fusion, arguments.mask)
    ]
    if arguments.name and len(configs) > 1:
        raise SpecError("--name is of one run; several have names of their settings.")
    if arguments.hosts and arguments.no_train:
        raise SpecError("--hosts with --no_train: one host evaluates; leave it out.")
    tell = several.join(arguments)
    if preset:
        tell(preset)
    from emorec.training import hosts

    with hosts.here().in_turn():
        data = _read(arguments, configs[0].coefficients, tell)
    from emorec.artifacts.runs import RunFolder
    from emorec.training import audiovisual, av_scores
    from emorec.training.av_folds import FOLDS_SPLIT, run_folds

    output, names = Path(arguments.output), []
    for config in configs:
        names.append(arguments.name or config.run_name + miniature.suffix(data))
        if arguments.no_train:
            _check_trained(output, names[-1], arguments.folds)
        if arguments.folds:
            run_folds(config, data, output, names[-1], arguments.folds, tell)
            continue
        folder = RunFolder(output, names[-1])
        if trained := audiovisual.run(config, data, folder, tell):
            model, spec, taken = trained
            av_scores.evaluate(model, spec, taken, folder, "test", tell)
    if not hosts.here().lead:
        return OK
    if len(names) > 1:
        _write_table(output, names, FOLDS_SPLIT if arguments.folds else "test")
    say(f"Written: {output}/*_{names[-1]}.*, incomplete.csv")
    return OK


def _check_trained(output: Path, name: str, folds: int | None) -> None:
    from emorec.artifacts.runs import RunFolder

    names = [f"{name}_fold_{n}" for n in range(1, folds + 1)] if folds else [name]
    for one in names:
        record = RunFolder(output, one).record() or {}
        if record.get("status") != "complete":
            raise SpecError(f"--no_train: there is no finished run {one} in {output}.")


def _combinations(fusions: str, masks: str) -> list[tuple[str, str]]:
    from emorec.batches.modality_dropout import MASKS
    from emorec.training.av_config import ALONE, FUSIONS

    fusions = list(FUSIONS) if fusions == "all" else fusions.split(",")
    masks = list(MASKS) if masks == "all" else (masks or "softhard").split(",")
    found = []
    for fusion in fusions:
        # Of a single modality there is none to drop.
        found += [(fusion, m) for m in (["nodropout"] if fusion in ALONE else masks)]
    return found


def _write_table(output: Path, names: list[str], split: str) -> None:
    from emorec.artifacts.tables import write_table
    from emorec.evaluation import figures
    from emorec.evaluation.incomplete import table_figure, whole_table

    table = whole_table(output, names, split)
    path = output / f"table_{split}.csv"
    write_table(path, table.round(4))
    title = f"accuracy by what is given, {split}"
    figures.save(table_figure(table, title), path.with_suffix(".png"))
    say(f"\n{table.round(3).to_string(index=False)}\nWritten: {path} and .png")


def test(arguments: argparse.Namespace) -> int:
    """Evaluate a finished run."""
    options.check_published(arguments)
    from emorec.artifacts.runs import RunFolder
    from emorec.training import audiovisual, av_scores

    folder = RunFolder(Path(arguments.output), arguments.model)
    spec = folder.read_spec()
    settings = dict((folder.record() or {})["settings"])
    identity = settings.pop("data", None)
    data = _read(arguments, settings.get("coefficients", COEFFICIENTS))
    model, taken = audiovisual.load(folder, settings, data, say)
    if identity not in (None, data.identity()):
        digest = data.identity()["clips"][:8]
        folder = RunFolder(folder.folder, f"{arguments.model}_on_{digest}")
    av_scores.evaluate(model, spec, taken, folder, arguments.split, say)
    if arguments.attention is not None:
        from emorec.training.av_attention import write_attention

        write_attention(model, taken, arguments.split, arguments.attention, folder, say)
    say(f"Written: {folder.folder}/*_{folder.param_name}.*, incomplete.csv")
    return OK


def prepare(arguments: argparse.Namespace) -> int:
    """Prepare clips; return INCOMPLETE when something could not be made."""
    from emorec.corpora.av_table import read_table
    from emorec.corpora.ravdess import read_ravdess
    from emorec.features.av_clips import AvSettings
    from emorec.labels import RAVDESS
    from emorec.training.av_preparation import prepare as prepare_clips

    names = ("detect_every", "confidence", "min_face", "literal", "whole_frames")
    drawn = miniature.chosen(arguments)
    settings = AvSettings(**{name: getattr(arguments, name) for name in names})
    source = Path(arguments.clips or "")
    if drawn:
        clips = miniature.read(arguments)
    elif source.suffix.lower() == ".csv":
        if arguments.fold:
            raise SpecError(
                "--fold is of RAVDESS; a CSV says each clip's split itself."
            )
        labels = arguments.labels.split(",") if arguments.labels else RAVDESS
        clips = read_table(source, labels)
    else:
        if arguments.labels:
            raise SpecError("--labels are of a CSV; RAVDESS has its own.")
        clips = read_ravdess(source, arguments.fold)
    say(f"DATA: {clips.dataset}, {len(clips):,} clips")
    for line in clips.described():
        say(f"  {line}")
    for (left_out, reason), rows in clips.report.groupby(["left_out", "reason"]):
        say(f"  {len(rows):,} {'left out' if left_out else 'kept'}: {reason}")
    done = prepare_clips(clips, arguments.output, arguments.workers, settings)
    for clip, modality, reason in done.failures[:_PRINTED]:
        say(f"not made: {clip}, {modality}: {reason}")
    if len(done.failures) > _PRINTED:
        say(f"not made: {len(done.failures) - _PRINTED} more, see failures.csv")
    say(
        f"{len(clips):,} clips: {done.made:,} made, {done.before:,} finished before, "
        f"{len(done.failures):,} failures, {len(done.missing):,} modalities that were "
        "not there."
    )
    if done.faces:
        rates = ", ".join(f"{k} {v:.1f}" for k, v in done.per_second.items())
        say(
            f"{done.faces_per_second:.1f} faces a second; a second of one process: "
            f"{rates}."
        )
    say(f"Written to {arguments.output}: annotations.txt, clips.csv, failures.csv")
    return INCOMPLETE if done.failures else OK


def import_checkpoint(arguments: argparse.Namespace) -> int:
    """Write a published network as a run."""
    from emorec.artifacts.runs import RunFolder
    from emorec.training.av_import import import_network

    source = Path(arguments.checkpoint)
    name = arguments.name or source.stem
    folder = RunFolder(Path(arguments.output), name)
    report = import_network(
        source, folder, arguments.fusion, arguments.num_heads, bgr=not arguments.rgb
    )
    say(f"{source}: {report}")
    say(f"Written: {folder.folder}/model_{name}.keras, run_{name}.json")
    return OK
