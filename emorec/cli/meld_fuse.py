"""``emorec meld fuse``: late fusion of a text and an audio run by name."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from emorec.cli.console import OK, say
from emorec.cli.fuse import add_settings, fuse_files
from emorec.cli.meld_table import RESULTS

if TYPE_CHECKING:
    import pandas as pd


def add_command(commands: argparse._SubParsersAction) -> None:
    """Add ``fuse`` to the commands of ``emorec meld``."""
    parser = commands.add_parser(
        "fuse",
        help="late fusion of text and audio",
        description="Fuse the probabilities of a text and an audio run, p = a p_text + "
        "(1 - a) p_audio, with the a of 0 to 1 in steps of 0.05 that has the best "
        "weighted F1 on dev. Utterances that have no sound are left out, and reported. "
        "Runs that are not named are those with the best weighted F1 on dev.",
    )
    parser.add_argument(
        "results", nargs="?", default=RESULTS, metavar="RESULTS", help="folder of runs"
    )
    parser.add_argument("--text", metavar="NAME", help="the text run")
    parser.add_argument("--audio", metavar="NAME", help="the audio run")
    parser.add_argument(
        "--split",
        nargs="+",
        choices=("train", "test"),
        default=["test"],
        help="to be scored; dev is too, out of fold",
    )
    add_settings(parser)
    parser.set_defaults(run=fuse, nested=None)


def fuse(arguments: argparse.Namespace) -> int:
    """Fuse two runs of a folder."""
    from emorec.evaluation.meld_tables import read_results

    folder = Path(arguments.results)
    results = read_results(folder)
    runs = [
        _run(results, folder, kind, getattr(arguments, kind))
        for kind in ("text", "audio")
    ]
    say(f"Text: {runs[0]}; audio: {runs[1]}")
    selected = [folder / f"predictions_dev_{run}.npz" for run in runs]
    # The last one is what the record tells of.
    for split in sorted(arguments.split, reverse=True, key=("test", "train").index):
        files = [folder / f"predictions_{split}_{run}.npz" for run in runs]
        fuse_files(files, selected, folder, "intersect", arguments)
    return OK


def _run(results: pd.DataFrame, folder: Path, kind: str, named: str | None) -> str:
    """Return the run that is named, else the best of its kind on dev."""
    from emorec.errors import DataError, shorten

    runs = results[
        (results["kind"] == kind)
        & (results["split"] == "dev")
        & (results["predictor"] == "model")
    ]
    if named is None and len(runs):
        return str(runs.loc[runs["weighted_f1"].idxmax(), "model"])
    if named is None or not (runs["model"] == named).any():
        raise DataError(
            f"{folder}: expected the {kind} run {named or ''} with predictions of dev; "
            f"there are {shorten(runs['model']) or 'none'}. Run emorec meld {kind} "
            f"first, or name one with --{kind}."
        )
    return named
