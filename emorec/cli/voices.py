"""The commands on voices: distill, evaluate, samples; the others in modules beside."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from emorec.cli import hosts as several
from emorec.cli import voices_labelled
from emorec.cli import voices_options as options
from emorec.cli.console import INCOMPLETE, OK, say

FOLDER = Path("voxceleb")
IGNORED = ("fear", "contempt", "disgust")
_PRINTED = 5


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add ``emorec voices ...``."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    distill_parser = commands.add_parser(
        "distill",
        help="teach a speech network what a face network sees",
        description="Train a network on speech to give the emotions that a face "
        "network gave the speaker's face; no label of the speech is read. Without "
        "data, a face network trained on drawn faces teaches it on synthetic talkers. "
        "Then evaluate it. An interrupted training goes on; a finished one is not "
        "repeated. Options not given are the preset's.",
    )
    options.add_corpus(distill_parser)
    options.add_output(distill_parser)
    distill_parser.add_argument(
        "--preset", default="", help="vggm (published) or compact (two cores)"
    )
    distill_parser.add_argument(
        "--name", default="", help="name of the run (the preset and the seed)"
    )
    options.add_options(
        distill_parser,
        options.TRAINING | options.DISTILLATION,
        options.SWITCHES | options.DISTILLATION_SWITCHES,
    )
    _add_evaluation(distill_parser)
    several.add_options(distill_parser, gpus=True)
    distill_parser.set_defaults(run=distill)

    evaluate_parser = commands.add_parser(
        "evaluate",
        help="ROC of a speech network against its teacher, per emotion",
        description="Ask a network about every clip of train, heardVal and unheardVal "
        "and compare with what the face network saw: ROC, AUC with intervals over "
        "speakers, which emotions dominate.",
    )
    evaluate_parser.add_argument(
        "model", metavar="MODEL", nargs="?", default="", help="a run by name or file"
    )
    options.add_corpus(evaluate_parser, option=True)
    options.add_output(evaluate_parser)
    _add_evaluation(evaluate_parser)
    evaluate_parser.set_defaults(run=evaluate)

    voices_labelled.add_train(commands)
    voices_labelled.add_benchmark(commands)
    voices_labelled.add_embed(commands)

    samples_parser = commands.add_parser(
        "samples",
        help="clips to look at and listen to, some of each emotion",
        description="Copy sounds (and frames of faces) of clips in which the face "
        "network saw an emotion most clearly, with its scores.",
    )
    options.add_corpus(samples_parser)
    samples_parser.add_argument("--dest", required=True, metavar="DIR")
    samples_parser.add_argument(
        "--face_dir", metavar="DIR", help="face tracks (DIR/faces, if there)"
    )
    samples_parser.add_argument("--count", type=int, default=20, help="per emotion")
    samples_parser.add_argument("--seed", type=int, default=0)
    samples_parser.add_argument(
        "--ignore", nargs="*", default=list(IGNORED), metavar="EMOTION"
    )
    samples_parser.add_argument(
        "--no_peaks", action="store_true", help="leave out the frame of the peak"
    )
    samples_parser.add_argument(
        "--frames", action="store_true", help="copy all frames of the faces"
    )
    samples_parser.add_argument("--overwrite", action="store_true")
    samples_parser.set_defaults(run=samples)


def _add_evaluation(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ignore",
        nargs="*",
        default=list(IGNORED),
        metavar="EMOTION",
        help=f"emotions that do not count in the mean AUC ({', '.join(IGNORED)})",
    )
    parser.add_argument(
        "--partitions",
        nargs="+",
        default=None,
        metavar="NAME",
        help="train, heardVal, unheardVal (all)",
    )
    parser.add_argument(
        "--single_figures",
        action="store_true",
        help="a figure per emotion and partition besides the sheets",
    )


def _data(
    arguments: argparse.Namespace,
    emotions: int = 8,
    say: Callable[[str], None] = say,
):
    """Read VoxCeleb and the logits, or the miniature where no folder is named."""
    from emorec.corpora import voice_miniature
    from emorec.corpora.voxceleb import read_voxceleb
    from emorec.features.audio import require_soundfile
    from emorec.training import voice_data

    # Before minutes are spent on what could not be read then.
    require_soundfile()
    where = Path(arguments.folder or FOLDER)
    if arguments.folder is None and not (where / "wav").is_dir():
        where = where / voice_miniature.FOLDER
        # One of another size serves, too.
        whole = (where / voice_miniature.SPLIT_FILE).is_file()
        if not whole and voice_miniature.write_voxceleb(where):
            say(f"Made synthetic talkers in {where}, as {FOLDER} holds no wav folder.")
    drawn = voice_miniature.is_miniature(where)
    logits = arguments.logits or [where / "logits"]
    if drawn and not arguments.logits:
        from emorec.training.voice_teacher import label_miniature

        label_miniature(where, say)
    index = where / "sounds.csv"
    voices = read_voxceleb(where, arguments.split, index)
    name = voice_miniature.DATASET if drawn else f"VoxCeleb in {where}"
    data = voice_data.join(voices, logits, name, emotions)
    say(f"DATA: {voice_data.describe(data)}")
    if drawn:
        say("  These are synthetic; scores on them say nothing about people.")
    return data, drawn, where


def distill(arguments: argparse.Namespace) -> int:
    """Teach one network and evaluate it."""
    from emorec.training.voices_config import from_preset

    values = options.given(arguments)
    # The published network takes a GPU; what is tried without data should not.
    preset = arguments.preset or ("vggm" if arguments.folder else "compact")
    config = from_preset(preset, values)
    several.check_gpus(arguments.gpus)
    tell = several.join(arguments)
    from emorec.training import hosts

    with hosts.here().in_turn():
        data, drawn, _ = _data(arguments, config.num_pred_emotions, tell)
    from emorec.artifacts.runs import RunFolder
    from emorec.artifacts.tables import write_table
    from emorec.training import voice_runs

    name = arguments.name or f"{preset}_seed_{config.seed}"
    folder = RunFolder(Path(arguments.output), name + ("_miniature" if drawn else ""))
    trained = voice_runs.distil(config, data, folder, tell, arguments.gpus)
    if trained is None:
        return OK  # the first host evaluates
    model, spec = trained
    report = folder.folder / f"dropped_{folder.param_name}.csv"
    write_table(report, data.voices.report)
    return _evaluate(model, spec, data, folder, arguments, config.logit_aggregator)


def evaluate(arguments: argparse.Namespace) -> int:
    """Evaluate a finished run."""
    from emorec.artifacts.runs import RunFolder
    from emorec.training import voice_runs

    output = Path(arguments.output)
    ear = voice_runs.find(arguments.model, output)
    data, _, _ = _data(arguments, len(ear.spec.schema))
    settings = RunFolder(output, ear.name).record() or {}
    how = settings.get("settings", {}).get("logit_aggregator", "max")
    name = ear.name
    if ear.data and ear.data != data.identity():
        name = f"{name}_on_{data.identity()['clips'][:8]}"
    folder = RunFolder(output, name)
    return _evaluate(ear.model, ear.spec, data, folder, arguments, how)


def _evaluate(model, spec, data, folder, arguments, how: str) -> int:
    from emorec.corpora.voxceleb import PARTITIONS
    from emorec.errors import SpecError, shorten
    from emorec.evaluation.voice_results import write_results
    from emorec.training import voice_runs

    partitions = arguments.partitions or PARTITIONS
    if unknown := sorted(set(partitions) - set(PARTITIONS)):
        raise SpecError(
            f"--partitions {shorten(unknown)}: expected some of "
            f"{', '.join(PARTITIONS)}."
        )
    result, failures = voice_runs.score(model, spec, data, how, partitions)
    write_results(
        result,
        folder,
        spec,
        say,
        ignored=_emotions(arguments.ignore, spec.schema),
        singles=arguments.single_figures,
        frames={data.dataset: data.frame_logits()},
    )
    for name, reason in failures[:_PRINTED]:
        say(f"not heard: {name}: {reason}")
    say(f"Written: {folder.folder}/*_{folder.param_name}.*, auc.csv")
    return INCOMPLETE if failures else OK


def _emotions(names: list[str], schema) -> tuple[str, ...]:
    """Return emotions to ignore; of those by default, what the schema has."""
    if names == list(IGNORED):
        return tuple(name for name in names if name in schema.labels)
    for name in names:
        schema.index(name)  # tells which there are
    return tuple(names)


def samples(arguments: argparse.Namespace) -> int:
    """Export examples of each emotion."""
    data, _, root = _data(arguments)
    from emorec.evaluation.voice_samples import export_samples
    from emorec.training.voice_data import sample_candidates

    faces = arguments.face_dir or root / "faces"
    exported = export_samples(
        arguments.dest,
        sample_candidates(data, faces),
        data.schema,
        arguments.count,
        arguments.seed,
        _emotions(arguments.ignore, data.schema),
        not arguments.no_peaks,
        arguments.frames,
        arguments.overwrite,
    )
    for emotion, count in exported.counts.items():
        short = "" if count == exported.wanted else f" of {exported.wanted} wanted"
        say(f"  {emotion}: {count}{short}")
    for name, reason in exported.failures[:_PRINTED]:
        say(f"left out: {name}: {reason}")
    say(f"Written to {arguments.dest}")
    return INCOMPLETE if exported.failures else OK
