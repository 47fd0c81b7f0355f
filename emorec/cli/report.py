"""Reports of runs as HTML pages: ``emorec report RUN...``."""

from __future__ import annotations

import argparse
from pathlib import Path

from emorec.cli.console import INCOMPLETE, OK, say
from emorec.errors import SpecError, shorten

_DESCRIPTION = """
Write one self-contained HTML page for each run, or with --compare one page that has
all runs side by side, ranked by validation. Pages need no network: figures and styles
are inside. What a run lacks is said on its page. Exits with 3 when files of predictions
are there but cannot be read.
"""


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``emorec report``."""
    parser.description = _DESCRIPTION
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="runs or late fusions by name, as models/meld/text_tfidf, by file "
        "(run_NAME.json, model_NAME.keras), or folders of such",
    )
    parser.add_argument(
        "--compare",
        action="store_true",
        help="one page that compares the runs, with paired tests on the same clips",
    )
    parser.add_argument(
        "--output",
        metavar="PATH",
        help="an .html file, or a folder (report_NAME.html beside each run; "
        "comparison.html beside the first one)",
    )
    parser.add_argument(
        "--clips", metavar="DIR", help="folder of clips that mistakes link to, by id"
    )
    parser.add_argument(
        "--dropped",
        nargs="+",
        default=(),
        metavar="PATH",
        help="further tables of data left out (CSV), or folders with such, as the main "
        "job's pickle folder",
    )
    parser.add_argument(
        "--worst", type=int, default=20, metavar="N", help="mistakes to list"
    )
    parser.set_defaults(run=report)


def report(arguments: argparse.Namespace) -> int:
    """Write the pages."""
    from emorec.evaluation.report.compare import write_comparison
    from emorec.evaluation.report.pages import Options, write_report
    from emorec.evaluation.report.runs import find_reported

    if arguments.worst < 1:
        raise SpecError(f"--worst: expected 1 or more, received {arguments.worst}.")
    found = find_reported(arguments.runs)
    output = Path(arguments.output) if arguments.output else None
    if arguments.compare:
        given = {"--clips": arguments.clips, "--dropped": arguments.dropped}
        if unused := [key for key, value in given.items() if value]:
            raise SpecError(
                f"{shorten(unused)}: of the report of one run, not of several."
            )
        if len(found) < 2:
            raise SpecError(
                f"--compare: expected two runs or more, found {found[0].name} alone."
            )
        path = _paths(found[:1], output, "comparison")[0]
        problems = write_comparison(found, path)
        say(f"Written: {path} ({len(found)} runs)")
        return _end(problems)
    options = Options(
        Path(arguments.clips) if arguments.clips else None,
        tuple(Path(path) for path in arguments.dropped),
        arguments.worst,
    )
    problems = []
    for run, path in zip(found, _paths(found, output), strict=True):
        problems += write_report(run, path, options)
        say(f"Written: {path}")
    return _end(problems)


def _paths(found: list, output: Path | None, name: str = "") -> list[Path]:
    """Return where the pages go."""
    if output is not None and output.suffix.lower() in (".html", ".htm"):
        if len(found) > 1:
            raise SpecError(
                f"--output {output}: one file for {len(found)} runs "
                f"({shorten([run.name for run in found])}). Give a folder, or compare "
                "them with --compare."
            )
        return [output]
    names = [name or f"report_{run.name}" for run in found]
    if output is not None:
        # Runs of one name come from several folders.
        names = [
            f"report_{run.run.folder.name}_{run.name}" if names.count(own) > 1 else own
            for run, own in zip(found, names, strict=True)
        ]
        if len(set(names)) < len(names):
            raise SpecError(
                f"--output {output}: several runs would be written to "
                f"{shorten(sorted(n for n in set(names) if names.count(n) > 1))}.html. "
                "Report them one by one."
            )
    return [
        (output or run.run.folder) / f"{own}.html"
        for run, own in zip(found, names, strict=True)
    ]


def _end(problems: list[str]) -> int:
    for problem in problems:
        say(f"cannot be read: {problem}")
    return INCOMPLETE if problems else OK
