"""Late fusion of any models' predictions: ``emorec fuse A.npz B.npz``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from emorec.cli.console import OK, say

if TYPE_CHECKING:
    from emorec.artifacts.predictions import Predictions

# In the order in which they are looked for.
_SELECT = ("dev", "valid")
_DESCRIPTION = """
Fuse the probabilities that two or more models gave to the same utterances. The files
are those to be scored, say predictions_test_A.npz; weights are chosen on the files
beside them of the selection split, predictions_dev_A.npz, and never on the rows that
are scored. Without such files --nested 5 chooses and scores by cross-validation over
groups (dialogues, speakers).
"""


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``emorec fuse``."""
    parser.description = _DESCRIPTION
    parser.add_argument(
        "files", nargs="+", metavar="PREDICTIONS", help="files of the split to score"
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--select",
        choices=_SELECT,
        help="split to choose weights on, of the files beside those given (the one "
        "that is there)",
    )
    source.add_argument(
        "--select_files",
        nargs="+",
        metavar="PREDICTIONS",
        help="files to choose weights on, in the order of the others",
    )
    source.add_argument(
        "--nested",
        type=int,
        metavar="K",
        help="choose and score by cross-validation with K folds of whole groups",
    )
    add_settings(parser)
    lacking = parser.add_mutually_exclusive_group()
    lacking.add_argument(
        "--intersect",
        action="store_true",
        help="keep the utterances that all models know, and find label columns by name",
    )
    lacking.add_argument(
        "--missing",
        choices=("refuse", "renormalise"),
        default="refuse",
        help="of an utterance that a model lacks: renormalise the weights of the rest",
    )
    parser.add_argument(
        "--output", metavar="DIR", help="folder of the results (that of the first file)"
    )
    parser.set_defaults(run=fuse)


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add how to fuse and how to name it."""
    parser.add_argument(
        "--method",
        nargs="+",
        choices=("weights", "convex", "stacking"),
        default=["weights"],
        help="weights: the best of a grid; convex: the likeliest weights; stacking: "
        "logistic regression on log probabilities; several are done one after another",
    )
    parser.add_argument(
        "--criterion",
        choices=("weighted_f1", "macro_f1", "accuracy", "nll"),
        default="weighted_f1",
        help="of the grid",
    )
    parser.add_argument(
        "--step", type=float, default=0.05, help="of the grid, from 0 to 1"
    )
    parser.add_argument(
        "--folds",
        type=int,
        default=5,
        help="of the cross-validation that scores the selection split",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the folds")
    parser.add_argument(
        "--name", help="of the fusion, the method is added (the models' names)"
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace a fusion of the same name with other settings",
    )


def fuse(arguments: argparse.Namespace) -> int:
    """Fuse the files."""
    from emorec.errors import SpecError

    files = [Path(file) for file in arguments.files]
    selected = None
    if arguments.select_files:
        selected = [Path(file) for file in arguments.select_files]
        if len(selected) != len(files):
            raise SpecError(
                f"--select_files: expected {len(files)} files, one for each file to "
                f"score, received {len(selected)}."
            )
    elif not arguments.nested:
        selected = siblings(files, arguments.select)
    missing = "intersect" if arguments.intersect else arguments.missing
    folder = Path(arguments.output) if arguments.output else files[0].parent
    fuse_files(files, selected, folder, missing, arguments)
    return OK


def fuse_files(
    files: list[Path],
    selected: list[Path] | None,
    folder: Path,
    missing: str,
    arguments: argparse.Namespace,
) -> None:
    """Fuse files of predictions and write the results.

    Parameters
    ----------
    files, selected : list of Path
        To be scored and to choose on; without the latter, nested.
    folder : Path
        Of the results.
    missing : str
        As of `emorec.evaluation.joining.join`.
    arguments : Namespace
        Those of `add_settings`, and ``nested``.
    """
    from emorec.artifacts.runs import RunFolder
    from emorec.evaluation.fusion_results import (
        FusionSettings,
        describe,
        write_fusion,
    )
    from emorec.evaluation.joining import join

    scored = join(_read(files), missing)
    selection = join(_read(selected), missing) if selected else None
    for one in (scored, selection):
        if one is not None and len(one.report):
            what = "left out" if missing == "intersect" else "without some model"
            count = one.report["utterance"].nunique()
            say(f"{one.split}: {len(one):,} utterances, {count:,} {what}")
    for method in arguments.method:
        settings = FusionSettings(
            method,
            arguments.criterion,
            arguments.step,
            arguments.nested or arguments.folds,
            arguments.seed,
        )
        name = f"{arguments.name or '-'.join(scored.models)}_{method}"
        run = RunFolder(folder, name)
        with run.alone():
            run.claim(
                describe(scored, selection, settings),
                arguments.overwrite,
                "Give this fusion its own --name, or pass --overwrite.",
            )
            write_fusion(scored, selection, settings, run, say)
        say(f"Written: {folder}/*_{name}.*, results.csv, comparisons.csv")


def siblings(files: list[Path], select: str | None) -> list[Path]:
    """Return the files of the selection split that lie beside those to be scored.

    Raises
    ------
    DataError
        When one is not there, or a file's name does not say its split.
    """
    from emorec.errors import DataError

    tried = []
    for word in (select,) if select else _SELECT:
        found = []
        for file in files:
            start, split, rest = (*file.name.split("_", 2), "", "")[:3]
            if start != "predictions" or not rest:
                raise DataError(
                    f"{file}: expected a name like predictions_test_MODEL.npz, to find "
                    "the file of the selection split. Give it with --select_files, or "
                    "ask for --nested 5."
                )
            if split == word:
                raise DataError(
                    f"{file}: is of {word}, the split to choose weights on; weights "
                    "are never chosen on what is scored. Give the files of another "
                    "split, or ask for --nested 5."
                )
            found.append(file.with_name(f"predictions_{word}_{rest}"))
        lacking = [file for file in found if not file.is_file()]
        if not lacking:
            return found
        tried += lacking
    raise DataError(
        "Nothing to choose weights on; not there: "
        f"{', '.join(str(file) for file in tried)}. Name the split with --select, give "
        "files with --select_files, or ask for --nested 5."
    )


def _read(files: list[Path]) -> list[Predictions]:
    """Read files; of models of one name the folder is added to the name."""
    from dataclasses import replace

    from emorec.artifacts.predictions import read_predictions

    parts = [read_predictions(file) for file in files]
    names = [part.model for part in parts]
    return [
        replace(part, model=f"{file.resolve().parent.name}_{part.model}")
        if names.count(part.model) > 1
        else part
        for part, file in zip(parts, files, strict=True)
    ]
