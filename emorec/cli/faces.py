"""The commands on faces: train, evaluate, benchmark; label in `faces_label`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from emorec.cli import faces_label
from emorec.cli import hosts as several
from emorec.cli.console import OK, say

FOLDER = Path("ferplus")
OUTPUT = "models/faces"
# Option -> type, help; those of `emorec.training.face_config.FacesConfig`.
_OPTIONS: dict[str, tuple[Any, str]] = {
    "label_mode": (str, "which faces count, and their labels (docs/faces.md)"),
    "loss": (str, "distributions, softmaxlog or multi_target"),
    "batch_size": (int, "faces per batch"),
    "num_epochs": (int, "epochs; the best one on validation is kept"),
    "patience": (int, "epochs without improvement before the end; 0: all epochs"),
    "learning_rate": (float, "of the classifier"),
    "schedule": (str, "constant, steps, halved or cosine"),
    "warmup": (float, "epochs over which the rate rises"),
    "momentum": (float, "of the gradient descent"),
    "weight_decay": (float, "L2, in the gradient"),
    "finetune_lr": (float, "factor on the rate of all layers but the classifier"),
    "dropout_rate": (float, "before the classifier"),
    "augment": (str, "none, flip, albanie, albanie-literal or microsoft"),
    "erase": (float, "probability of random erasing"),
    "jitter": (float, "largest change of contrast and brightness"),
    "mixup": (float, "parameter of mixup's Beta distribution"),
    "label_smoothing": (float, "share of each target spread over all classes"),
    "ema": (float, "momentum of a moving average of the weights"),
    "weights": (str, "weights to begin with: a file or URL (resnet50, senet50)"),
    "weights_sha256": (str, "their SHA-256"),
    "head": (str, "keep or replace the classifier of the weights"),
    "geometry": (str, "caffe or keras: whose weights resnet50 and senet50 take"),
    "seed": (int, "everything follows from it"),
    "jit": (str, "auto, on or off: XLA"),
    "precision": (str, "float32 or mixed_bfloat16"),
}
_SWITCHES = {
    "partial": "load what fits although something of the weights does not",
    "dedup": "train and validate on no image that a later split has",
    "literal_dropout": "drop where the program of Albanie et al. does",
}


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add ``emorec faces ...``."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    train_parser = commands.add_parser(
        "train",
        help="train a network on FER+ and evaluate it",
        description="Train a network on the faces and votes of FER+, or without data "
        "on drawn ones, and report validation and test per label mode beside the "
        "constant predictor. An interrupted training goes on; a finished one is not "
        "repeated. Options not given are the preset's.",
    )
    _add_data(train_parser)
    train_parser.add_argument(
        "--preset",
        default="compact",
        help="compact (two cores), vgg13, resnet50 or senet50",
    )
    train_parser.add_argument(
        "--name", default="", help="name of the run (the preset and the seed)"
    )
    for name, (kind, text) in _OPTIONS.items():
        train_parser.add_argument(
            f"--{name}", type=kind, default=argparse.SUPPRESS, help=text
        )
    for name, text in _SWITCHES.items():
        train_parser.add_argument(
            f"--{name}", action="store_true", default=argparse.SUPPRESS, help=text
        )
    several.add_options(train_parser)
    train_parser.set_defaults(run=train)

    evaluate_parser = commands.add_parser(
        "evaluate",
        help="evaluate trained networks, and their ensemble",
        description="Evaluate networks on validation and test of FER+. Of several, "
        "the mean of their probabilities is evaluated, too.",
    )
    _add_models(evaluate_parser)
    _add_data(evaluate_parser, option=True)
    evaluate_parser.add_argument(
        "--flip", action="store_true", help="average each face and its mirror image"
    )
    evaluate_parser.set_defaults(run=evaluate)

    benchmark_parser = commands.add_parser(
        "benchmark",
        help="a line per network: accuracy on validation and test",
        description="Accuracy of networks on validation and test, computed once and "
        "kept until model or data change.",
    )
    _add_models(benchmark_parser)
    _add_data(benchmark_parser, option=True)
    benchmark_parser.add_argument(
        "--label_mode", default="cntk", help="which faces count"
    )
    benchmark_parser.add_argument(
        "--refresh", action="store_true", help="compute what is known anew"
    )
    benchmark_parser.set_defaults(run=benchmark)
    faces_label.add_label(commands)


def _add_data(parser: argparse.ArgumentParser, option: bool = False) -> None:
    text = (
        f"folder of fer2013new.csv and the faces (default: {FOLDER}; without data a "
        "drawn miniature)"
    )
    if option:
        parser.add_argument("-df", "--data", dest="folder", metavar="DIR", help=text)
    else:
        parser.add_argument("folder", metavar="DIR", nargs="?", help=text)
    parser.add_argument(
        "--output", default=OUTPUT, metavar="DIR", help="folder of runs and results"
    )


def _add_models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "models",
        metavar="MODEL",
        nargs="*",
        help="runs by name or file, or NETWORK=WEIGHTS for published ones, such as "
        "senet50=senet50_ferplus_dag.pth; without any, all finished runs",
    )


def _data(folder: str | None, say: Callable[[str], None] = say):
    """Read FER+, or the miniature where no folder is named and none is there."""
    from emorec.corpora import fer_miniature
    from emorec.corpora.ferplus import is_ferplus, read_ferplus
    from emorec.training.face_data import FaceData, describe

    where = Path(folder or FOLDER)
    if folder is None and not is_ferplus(where):
        where = where / fer_miniature.FOLDER
        if fer_miniature.write_ferplus(where):
            say(f"Drew a miniature into {where}, as {FOLDER} holds no FER+.")
    drawn = fer_miniature.is_miniature(where)
    data = FaceData(read_ferplus(where), fer_miniature.DATASET if drawn else "FER+")
    say(f"DATA: {describe(data)}")
    if drawn:
        say("  These are drawings; scores on them say nothing about people.")
    return data, drawn


def train(arguments: argparse.Namespace) -> int:
    """Train one network and evaluate it."""
    from emorec.training.face_config import from_preset

    names = (*_OPTIONS, *_SWITCHES)
    given = {k: v for k, v in vars(arguments).items() if k in names}
    config = from_preset(arguments.preset, given)
    tell = several.join(arguments)
    from emorec.artifacts.runs import RunFolder
    from emorec.training import faces, hosts

    with hosts.here().in_turn():
        data, drawn = _data(arguments.folder, tell)
    name = arguments.name or f"{arguments.preset}_seed_{config.seed}"
    folder = RunFolder(Path(arguments.output), name + ("_miniature" if drawn else ""))
    faces.run(config, data, folder, tell)
    tell(f"Written: {folder.folder}/*_{folder.param_name}.*, accuracy.csv")
    return OK


def evaluate(arguments: argparse.Namespace) -> int:
    """Evaluate networks and their ensemble."""
    from emorec.artifacts.runs import RunFolder
    from emorec.evaluation.faces import write_results
    from emorec.training import face_runs

    output = Path(arguments.output)
    networks = face_runs.find(arguments.models, output, say)
    data, _ = _data(arguments.folder)
    suffix = "_flip" if arguments.flip else ""
    results = []
    for network in networks:
        result, spec = face_runs.predict(network, data, arguments.flip)
        results.append(result)
        folder = RunFolder(output, network.name_on(data) + suffix)
        write_results(result, folder, spec, _mode(spec), say)
    if len(results) > 1:
        folder = RunFolder(
            output, "ensemble_" + "_".join(n.name_on(data) for n in networks)
        )
        folder = RunFolder(output, folder.param_name[:100] + suffix)
        together = face_runs.ensemble(results, data)
        write_results(together, folder, spec, _mode(spec), say)
    return OK


def _mode(spec) -> str:
    from emorec.corpora.fer_votes import EVALUATED_AS

    return EVALUATED_AS.get(spec.label_type, "majority")


def benchmark(arguments: argparse.Namespace) -> int:
    """Print a line per network."""
    from emorec.training import face_runs

    output = Path(arguments.output)
    networks = face_runs.find(arguments.models, output, say)
    data, _ = _data(arguments.folder)
    mode, refresh = arguments.label_mode, arguments.refresh
    face_runs.benchmark(networks, data, output, mode, refresh, say)
    return OK
