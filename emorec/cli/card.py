"""The command ``emorec card``."""

from __future__ import annotations

import argparse

from emorec.cli.console import OK, say


def add_command(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``emorec card``."""
    parser.description = (
        "Write the model card of trained models from their records and results, as "
        "card_NAME.md beside each: what it is, its labels, data, scores, licences and "
        "limits. Trainings write it themselves when they end."
    )
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="trained models: FOLDER/NAME, run_NAME.json or model_NAME.keras; a folder "
        "stands for all that finished in it",
    )
    parser.set_defaults(run=write)


def write(arguments: argparse.Namespace) -> int:
    """Write the card of every run."""
    from emorec.artifacts.found_runs import find_runs
    from emorec.evaluation.cards import write_card

    for run in find_runs(arguments.runs):
        say(f"Written: {write_card(run)}")
    return OK
