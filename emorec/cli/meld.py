"""The commands on MELD: dialogues with words, voice and face."""

from __future__ import annotations

import argparse
from pathlib import Path

from emorec.cli.console import INCOMPLETE, OK, say

REPORT_FILE = "meld_report.csv"
_PRINTED, _REASONS = 5, 12


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add ``emorec meld ...``."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_prepare(commands)
    _add_miniature(commands)


def _add_prepare(commands) -> None:
    parser = commands.add_parser(
        "prepare",
        help="check the files of MELD; extract the sound of its videos",
        description="Count the utterances of each split and class, say what is missing "
        f"and write it to {REPORT_FILE}. With --audio, extract the sound of the videos "
        "to audio/SPLIT/*.wav, in parallel; sounds that are there are kept, so the "
        "same command goes on after an interruption. Exits with 3 when a sound could "
        "not be made.",
    )
    parser.add_argument(
        "folder",
        metavar="DIR",
        help="folder with the csv files of MELD, or with MELD.Raw",
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        help="folder of the report and the sounds (that of the corpus); another one "
        "gets the csv files, too, so that the other commands can read it",
    )
    parser.add_argument(
        "--audio", action="store_true", help="extract the sound of the videos"
    )
    parser.add_argument(
        "--rate",
        type=int,
        default=16_000,
        metavar="HZ",
        help="of the sounds, one channel; 0 for each video's own",
    )
    parser.add_argument(
        "--workers", type=int, help="processes (as many as there are cores)"
    )
    parser.set_defaults(run=prepare)


def _add_miniature(commands) -> None:
    parser = commands.add_parser(
        "miniature",
        help="write a small synthetic MELD, to try the other commands on",
        description="Write short dialogues with words, synthetic voices and drawn "
        "faces in the form of MELD. Scores on them say nothing about people.",
    )
    parser.add_argument("folder", metavar="DIR", help="made when absent")
    parser.add_argument(
        "--seed", type=int, default=0, help="everything follows from it"
    )
    parser.add_argument(
        "--dialogues",
        type=int,
        default=44,
        help="of train; dev and test have half as many each",
    )
    parser.add_argument(
        "--no_video", action="store_true", help="words and sounds only: no PyAV needed"
    )
    parser.set_defaults(run=miniature)


def miniature(arguments: argparse.Namespace) -> int:
    """Write the miniature."""
    from emorec.corpora.meld import read_meld
    from emorec.corpora.meld_miniature import write_meld

    new = write_meld(
        arguments.folder, arguments.seed, arguments.dialogues, not arguments.no_video
    )
    say(f"{'Written' if new else 'There already'}: {arguments.folder}")
    for line in read_meld(arguments.folder).described():
        say(line)
    return OK


def prepare(arguments: argparse.Namespace) -> int:
    """Check MELD and extract sounds; return INCOMPLETE when some could not be made."""
    import pandas as pd

    from emorec.artifacts.tables import write_table
    from emorec.corpora.meld import read_meld
    from emorec.corpora.meld_files import copy_tables

    corpus = read_meld(arguments.folder)
    output = Path(arguments.output or arguments.folder)
    say(f"DATA: {corpus.dataset}, {len(corpus):,} utterances in {corpus.folder}")
    for line in corpus.described():
        say(line)
    report, failures = corpus.report, []
    _say_problems(report)
    if arguments.output:
        copy_tables(corpus.folder, output)
    if arguments.audio:
        from emorec.training.meld_sound import extract_sound

        done = extract_sound(corpus, output, arguments.rate, arguments.workers)
        failures = done.failures
        for name, reason in failures[:_PRINTED]:
            say(f"not made: {name}: {reason}")
        if len(failures) > _PRINTED:
            say(f"not made: {len(failures) - _PRINTED} more, see {REPORT_FILE}")
        say(
            f"Sounds: {done.made:,} made in {done.seconds:.0f} s, {done.before:,} were "
            f"there, {len(failures):,} failures, {done.without:,} utterances without "
            "sound and video."
        )
        # What is missing now, not what was before.
        rows = [(name, False, f"sound not extracted: {why}") for name, why in failures]
        report = read_meld(corpus.folder).report
        failed = pd.DataFrame(rows, columns=list(report.columns))
        report = pd.concat([report, failed], ignore_index=True)
    write_table(output / REPORT_FILE, report)
    say(f"Written: {output / REPORT_FILE}, {len(report):,} rows")
    return INCOMPLETE if failures else OK


def _say_problems(report) -> None:
    """Say each reason once, with an example and how many it concerns."""
    groups = report.groupby("reason", sort=False)["utterance"].agg(["first", "size"])
    for reason, (first, count) in list(groups.iterrows())[:_REASONS]:
        rest = f" and {count - 1:,} more" if count > 1 else ""
        say(f"note: {first}{rest}: {reason}")
    if len(groups) > _REASONS:
        say(f"note: {len(groups) - _REASONS} other reasons, see {REPORT_FILE}")
