"""The commands on audio-visual clips: prepare, train, test, import."""

from __future__ import annotations

import argparse
from pathlib import Path

from emorec.cli import ravdess_miniature as miniature
from emorec.cli.console import INCOMPLETE, OK, say
from emorec.errors import SpecError

OUTPUT = "models/ravdess"
COEFFICIENTS = 10
_PRINTED = 5
# Option -> type, help; those of `emorec.training.av_config.AvConfig`.
_OPTIONS = {
    "num_heads": (int, "of attention"),
    "fill": (str, "zeros, noise or addnoise for what a clip lacks (as the mask)"),
    "pretrain_path": (str, "EfficientFace's checkpoint for the faces"),
    "pretrain_audio": (
        str,
        "model file of --fusion audio to begin the audio's part with; in folds {fold} "
        "in it is the fold's number",
    ),
    "coefficients": (int, "MFCC of a step of sound"),
    "batch_size": (int, "clips per batch, before masks make copies"),
    "n_epochs": (int, "epochs; the best one on validation is kept"),
    "learning_rate": (float, "of PyTorch's SGD"),
    "momentum": (float, "of the gradient descent"),
    "dampening": (float, "each step is 1 less this as long"),
    "weight_decay": (float, "L2, in the gradient"),
    "manual_seed": (int, "everything follows from it"),
    "jit": (str, "auto, on or off: XLA"),
    "precision": (str, "float32 or mixed_bfloat16"),
}


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add ``emorec ravdess ...``."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    prepare_parser = commands.add_parser(
        "prepare",
        help="faces and sound of clips as the fusion takes them; resumes",
        description="Cut 15 faces and 3.6 s of sound out of each clip of RAVDESS, or "
        "of own clips listed in a CSV (video, audio, label, speaker, split), in "
        "parallel. Without clips, make a miniature of synthetic actors. Clips that are "
        "finished are not repeated. Exits with 3 when something could not be made.",
    )
    prepare_parser.add_argument(
        "clips",
        metavar="DIR|CSV",
        nargs="?",
        help="folder with Actor_01 to 24, or a list of clips (a miniature)",
    )
    miniature.add_option(prepare_parser)
    prepare_parser.add_argument(
        "--output",
        metavar="DIR",
        help=f"folder of the results (of the miniature: {miniature.PREPARED})",
    )
    prepare_parser.add_argument(
        "--labels",
        metavar="A,B,...",
        help="classes of a CSV in their order (those of RAVDESS)",
    )
    prepare_parser.add_argument(
        "--fold",
        type=int,
        choices=range(1, 6),
        help="test on this one of five groups of actors (the published split)",
    )
    prepare_parser.add_argument(
        "--workers", type=int, help="processes (as many as there are cores)"
    )
    prepare_parser.add_argument(
        "--detect_every",
        type=int,
        default=4,
        metavar="N",
        help="look for faces in each N-th of the 15 frames, and in more where they "
        "move; 1 for all, as published",
    )
    prepare_parser.add_argument(
        "--confidence", type=float, default=0.9, metavar="P", help="least, of a face"
    )
    prepare_parser.add_argument(
        "--min_face",
        type=int,
        default=40,
        metavar="PIXELS",
        help="smallest face to look for; larger is faster (RAVDESS: 120)",
    )
    prepare_parser.add_argument(
        "--whole_frames",
        action="store_true",
        help="the clips show the face alone: take each frame as the face, and look for "
        "none (as of the miniature)",
    )
    prepare_parser.add_argument(
        "--literal",
        action="store_true",
        help="as the published program: the first 3.6 s of long videos, blue first",
    )
    prepare_parser.set_defaults(run=prepare)

    train_parser = commands.add_parser(
        "train",
        help="train a fusion on prepared clips and evaluate it",
        description="Train a network on what prepare wrote, and evaluate it on the "
        "test clips with both modalities and with each alone. An interrupted training "
        "goes on; a finished one is not repeated. Defaults are the published settings; "
        "without data, those of a miniature of synthetic actors, which is made.",
    )
    _add_data(train_parser)
    miniature.add_option(train_parser)
    train_parser.add_argument("--name", default="", help="of the run")
    train_parser.add_argument(
        "--fusion",
        default="ia",
        help="ia, it (intermediate attention, transformer), lt (late), or audio or "
        "video alone; several with commas, or all for the three",
    )
    train_parser.add_argument(
        "--mask",
        default="",
        help="softhard, noise or nodropout: modality dropout in training; several with "
        "commas, or all",
    )
    train_parser.add_argument(
        "--folds",
        type=int,
        metavar="N",
        help="train and test N times, each speaker once in a test (RAVDESS has five "
        "published folds)",
    )
    for name, (kind, text) in _OPTIONS.items():
        train_parser.add_argument(
            f"--{name}", type=kind, default=argparse.SUPPRESS, help=text
        )
    train_parser.add_argument(
        "--lr_steps",
        type=int,
        nargs="*",
        default=argparse.SUPPRESS,
        metavar="EPOCH",
        help="where the rate falls to a tenth",
    )
    train_parser.add_argument(
        "--freeze_frames",
        action="store_true",
        help="compute the faces' features once and train what is behind them",
    )
    train_parser.add_argument(
        "--standardise",
        action="store_true",
        help="give each MFCC, and feature of frozen frames, mean 0 and deviation 1 "
        "over the training clips",
    )
    train_parser.set_defaults(run=train)

    test_parser = commands.add_parser(
        "test",
        help="evaluate a trained network with and without each modality",
        description="Evaluate a finished run on the clips of a split with both "
        "modalities and with each alone, the other replaced by zeros or noise.",
    )
    test_parser.add_argument("model", metavar="MODEL", help="a run by name")
    _add_data(test_parser)
    test_parser.add_argument("--split", choices=("valid", "test"), default="test")
    test_parser.add_argument(
        "--attention",
        nargs="*",
        metavar="CLIP",
        help="write the attention maps, and draw them over time for these clips (the "
        "first of each class)",
    )
    test_parser.set_defaults(run=test)

    import_parser = commands.add_parser(
        "import",
        help="make a run of a published checkpoint",
        description="Read the weights of a whole network (.pth, extra torch, or a "
        "state dictionary as .npz) and write them as a run. Everything must have its "
        "place and shape.",
    )
    import_parser.add_argument("checkpoint", metavar="CHECKPOINT")
    import_parser.add_argument("--output", default=OUTPUT, metavar="DIR")
    import_parser.add_argument("--name", default="", help="of the run (the file's)")
    import_parser.add_argument(
        "--fusion",
        choices=("ia", "it", "lt"),
        required=True,
        help="intermediate attention, intermediate or late transformer",
    )
    import_parser.add_argument("--num_heads", type=int, default=1)
    import_parser.add_argument(
        "--rgb",
        action="store_true",
        help="the network learnt from red, green, blue; published ones from blue first",
    )
    import_parser.set_defaults(run=import_checkpoint)


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder",
        metavar="DIR",
        nargs="?",
        help="what prepare wrote, or its annotations.txt (a miniature)",
    )
    parser.add_argument(
        "--labels", metavar="A,B,...", help="classes in their order (RAVDESS' eight)"
    )
    parser.add_argument(
        "--output", default=OUTPUT, metavar="DIR", help="folder of runs and results"
    )


def _read(arguments: argparse.Namespace, coefficients: int):
    from emorec.labels import RAVDESS, LabelSchema
    from emorec.training.av_data import read_prepared

    schema = RAVDESS
    if arguments.labels:
        names = tuple(arguments.labels.split(","))
        schema = LabelSchema("own", names, "single")
    if arguments.folder is None:
        arguments.folder = miniature.prepare(arguments)
    data = read_prepared(arguments.folder, schema, say, coefficients)
    return miniature.named(data, arguments.folder)


def train(arguments: argparse.Namespace) -> int:
    """Train networks and evaluate them: one, or each fusion with each mask."""
    from emorec.training.av_config import AvConfig

    given = {k: v for k, v in vars(arguments).items() if k in _OPTIONS}
    given |= {k: getattr(arguments, k) for k in ("freeze_frames", "standardise")}
    if "lr_steps" in arguments:
        given["lr_steps"] = tuple(arguments.lr_steps)
    given = miniature.with_preset(arguments, given)
    configs = [
        AvConfig(fusion=fusion, mask=mask, **given)
        for fusion, mask in _combinations(arguments.fusion, arguments.mask)
    ]
    if arguments.name and len(configs) > 1:
        raise SpecError("--name is of one run; several have names of their settings.")
    data = _read(arguments, configs[0].coefficients)
    from emorec.artifacts.runs import RunFolder
    from emorec.training import audiovisual, av_scores
    from emorec.training.av_folds import FOLDS_SPLIT, run_folds

    output, names = Path(arguments.output), []
    for config in configs:
        names.append(arguments.name or config.run_name + miniature.suffix(data))
        if arguments.folds:
            run_folds(config, data, output, names[-1], arguments.folds, say)
            continue
        folder = RunFolder(output, names[-1])
        model, spec, taken = audiovisual.run(config, data, folder, say)
        av_scores.evaluate(model, spec, taken, folder, "test", say)
    if len(names) > 1:
        _write_table(output, names, FOLDS_SPLIT if arguments.folds else "test")
    say(f"Written: {output}/*_{names[-1]}.*, incomplete.csv")
    return OK


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
