"""``emorec meld table``: the published tables with our runs beside them."""

from __future__ import annotations

import argparse
from pathlib import Path

from emorec.cli.console import OK, say

RESULTS = "models/meld"


def add_command(commands: argparse._SubParsersAction) -> None:
    """Add ``table`` to the commands of ``emorec meld``."""
    parser = commands.add_parser(
        "table",
        help="the published tables with our runs beside them",
        description="Print the published tables of text, audio, fusion and vision on "
        "MELD with the runs of a results folder beside them; what has not been run "
        "says so. In brackets 95 % intervals over dialogues. Also written as "
        "meld_table.csv and meld_table.md.",
    )
    parser.add_argument(
        "results", nargs="?", default=RESULTS, metavar="RESULTS", help="folder of runs"
    )
    parser.add_argument(
        "--output", metavar="DIR", help="folder of the two files (that of the results)"
    )
    parser.set_defaults(run=table)


def table(arguments: argparse.Namespace) -> int:
    """Print and write the tables."""
    from emorec.artifacts.tables import write_table
    from emorec.evaluation.meld_tables import beside, markdown, read_results
    from emorec.files import whole_file

    results = read_results(arguments.results)
    others = sorted(set(results["dataset"].astype(str)) - {"meld"})
    rows = beside(results)
    output = Path(arguments.output or arguments.results)
    text = markdown(rows)
    if others:
        text = (
            f"Runs on {', '.join(others)} are among ours: they say nothing about MELD "
            f"and must not be compared with what is published.\n\n{text}"
        )
    write_table(output / "meld_table.csv", rows)
    with whole_file(output / "meld_table.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    say(text)
    say(f"Written: {output}/meld_table.csv, meld_table.md")
    return OK
