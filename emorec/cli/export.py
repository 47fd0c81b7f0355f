"""The command ``emorec export``."""

from __future__ import annotations

import argparse
from pathlib import Path

from emorec.cli.console import OK, say
from emorec.errors import SpecError

_FORMATS = ("saved_model", "onnx", "litert")


def add_command(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``emorec export``."""
    parser.description = (
        "Write a trained network for other programs: as a SavedModel of TensorFlow, as "
        "ONNX, or for LiteRT (TensorFlow Lite). The file is asked about drawn inputs "
        "of several sizes and stays only where it answers as Keras does. Beside it "
        "lies a JSON with its inputs, what must be done before them, and its labels."
    )
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="trained models: FOLDER/NAME, run_NAME.json or model_NAME.keras; a folder "
        "stands for all that finished in it",
    )
    parser.add_argument("--format", required=True, choices=_FORMATS)
    parser.add_argument(
        "--output",
        metavar="PATH",
        help="file, or folder of a SavedModel (beside the model, export_NAME)",
    )
    parser.add_argument(
        "--check",
        metavar="FILE",
        help="an .npz of real inputs, an array for each input's name: compare on "
        "these, too",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=1e-3,
        help="largest difference from Keras' scores, times the largest score, if "
        "above 1",
    )
    parser.set_defaults(run=export)


def export(arguments: argparse.Namespace) -> int:
    """Export every run."""
    from emorec.artifacts.found_runs import find_runs

    runs = find_runs(arguments.runs)
    if len(runs) > 1 and (arguments.output or arguments.check):
        raise SpecError(f"--output and --check are of one run; {len(runs)} were named.")
    from emorec.training import export as exports

    exports.refuse(runs)
    output, check = (
        Path(path) if path else None for path in (arguments.output, arguments.check)
    )
    for run in runs:
        say(f"{run.name} ({run.system}) as {arguments.format}:")
        done = exports.export(
            run,
            arguments.format,
            output,
            check,
            arguments.tolerance,
            lambda line: say(f"  {line}"),
        )
        say(f"  Written: {done.path}, {done.facts.name}")
    return OK
