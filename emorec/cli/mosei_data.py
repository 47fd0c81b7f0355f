"""Obtaining the data of CMU-MOSEI: emorec mosei download, inspect, import."""

from __future__ import annotations

import argparse
import sys

from emorec.cli.console import FAILED, OK, say

# The keys of emorec.corpora.download, which help must not load.
_PARTS = ("words", "facet", "openface", "covarep", "labels", "folds")

# Problems of one kind that are listed for a file.
_SHOWN = 5


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands to ``emorec mosei``."""
    download_parser = commands.add_parser(
        "download",
        help="fetch the SDK's files and fold lists; resumes",
        description="Fetch the files of the CMU-Multimodal SDK into a folder, and its "
        "fold lists. What is there is checked and kept; what broke off goes on. The "
        "server is often down: copies of the files from elsewhere serve as well.",
    )
    download_parser.add_argument(
        "folder", metavar="DIR", nargs="?", default="cmu_mosei", help="folder to fill"
    )
    download_parser.add_argument(
        "-f",
        "--image_feature",
        choices=("facet", "openface", "both"),
        default="facet",
        help="visual features to fetch",
    )
    download_parser.add_argument(
        "--only", nargs="+", choices=_PARTS, metavar="PART", help=", ".join(_PARTS)
    )
    download_parser.add_argument(
        "--url",
        metavar="BASE",
        help="another server, with the folders language, visual, acoustic and labels "
        "(default: that of the SDK)",
    )
    download_parser.add_argument(
        "--folds_url",
        metavar="URL",
        help="fold lists, as JSON or as the SDK's Python source, which is read and "
        "not run (default: the SDK's repository)",
    )
    download_parser.add_argument(
        "--checksums",
        metavar="FILE",
        help="SHA-256 that the files must have: a checksums.json or the output of "
        "sha256sum. The SDK publishes none",
    )
    download_parser.add_argument(
        "--retries",
        type=int,
        default=5,
        metavar="N",
        help="give a file up after so many attempts that brought nothing",
    )
    download_parser.add_argument(
        "--timeout",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="a connection silent for so long counts as dropped",
    )
    download_parser.add_argument(
        "--dry_run", action="store_true", help="print what would be done, and stop"
    )
    download_parser.set_defaults(run=download)

    import_parser = commands.add_parser(
        "import",
        help="make a dataset to train on from a processed pickle (MMSA, fold pickles)",
        description="Make a dataset to train on from a pickle in MMSA's layout "
        "(aligned_50.pkl, unaligned_50.pkl: the splits train, valid and test with "
        "text, audio, vision, id and labels) or from the fold pickles of the reference "
        "program. Where the pickle has the sentiment only, emotions are joined from "
        "the label file, and the sentiments of both must agree. The pickle is read "
        "whole, as data and never as code.",
    )
    import_parser.add_argument(
        "pickle",
        metavar="FILE.pkl",
        help="MMSA's pickle, or one of NAME_{train,valid,test}.pkl",
    )
    import_parser.add_argument(
        "--labels",
        metavar="LABELS",
        help="CMU_MOSEI_Labels.csd or a table of labels (default: one beside the "
        "pickle or in cmu_mosei)",
    )
    import_parser.add_argument(
        "--output", metavar="DIR", help="dataset folder (default: cmu_mosei/NAME)"
    )
    import_parser.add_argument(
        "--widths",
        nargs=3,
        type=int,
        metavar=("TEXT", "IMAGE", "AUDIO"),
        help="columns of the modalities in fold pickles (known for 409 and 1087)",
    )
    import_parser.set_defaults(run=import_file)

    inspect_parser = commands.add_parser(
        "inspect",
        help="check every entry of .csd files and list what is wrong",
        description="Read every entry of a folder's .csd files, list what is wrong, "
        "and say what the folder holds, how it differs from the known variants of "
        "CMU-MOSEI, and what a run would take of it.",
    )
    inspect_parser.add_argument("folder", metavar="DIR")
    inspect_parser.add_argument(
        "--all",
        action="store_true",
        help="list every problem, not the first few of each kind and file",
    )
    inspect_parser.set_defaults(run=inspect)


def download(arguments: argparse.Namespace) -> int:
    """Fetch files; fail when one of them failed."""
    from emorec.corpora import download as fetching
    from emorec.corpora.transfer import Patience
    from emorec.errors import SpecError

    if arguments.retries < 0 or not 0 < arguments.timeout < float("inf"):
        raise SpecError(
            f"--retries {arguments.retries} --timeout {arguments.timeout:g}: expected "
            "0 or more retries and a time above 0."
        )
    left_out = {"facet": "openface", "openface": "facet", "both": None}
    names = arguments.only or [
        part for part in _PARTS if part != left_out[arguments.image_feature]
    ]
    wanted = fetching.items(
        arguments.folder,
        names,
        arguments.url or fetching.SERVER,
        arguments.folds_url or fetching.FOLDS_URL,
    )
    if arguments.dry_run:
        for item in wanted:
            say(f"{item.path}: {item.state()}\n  from {item.url}")
        say("Dry run: nothing was fetched.")
        return OK
    failures = fetching.download(
        wanted,
        say,
        Patience(arguments.retries, arguments.timeout),
        arguments.checksums,
    )
    for failure in failures:
        print(f"emorec: error: {failure}", file=sys.stderr)
    if failures:
        whole = len(wanted) - len(failures)
        say(f"{len(failures)} of {len(wanted)} failed, {whole} in place.")
        return FAILED
    say(f"All {len(wanted)} are in {arguments.folder}.")
    say(f"Check every entry with: emorec mosei inspect {arguments.folder}")
    return OK


def import_file(arguments: argparse.Namespace) -> int:
    """Make a dataset folder of a processed pickle."""
    from emorec.training.mosei_import import import_pickle

    result = import_pickle(
        arguments.pickle, arguments.output, say, arguments.labels, arguments.widths
    )
    sizes = ", ".join(f"{fold} {count:,}" for fold, count in result.counts.items())
    say(f"Segments: {sizes}.")
    say("Train with:")
    pickles = result.folder / "pickle_files"
    command = f"python main.py -df {result.folder} -pf {pickles} -pnd {result.name}"
    command += f" --folds {result.folder / 'standard_folds.json'}"
    if result.aligned and "T" in result.names:
        modalities = "".join(result.names)
        subset = "" if len(modalities) == 3 else f" -m {modalities}"
        say(f"  {command} -mn {result.name}{subset}")
        return OK
    for letter in result.names:
        # 45 steps are meant for words; sequences of frames are longer.
        own = f"-t false -m {letter} -s 0"
        say(f"  {command} -mn {result.name}_{letter} {own}")
    return OK


def inspect(arguments: argparse.Namespace) -> int:
    """Tell what a folder holds and what is wrong with it; fail when anything is."""
    from emorec.corpora.inspection import inspect_folder

    found = inspect_folder(arguments.folder)
    if len(found.table):
        say(found.table.to_string(index=False))
    for note in found.notes:
        say(f"- {note}")
    groups: dict[tuple[str, str], list[str]] = {}
    for problem in found.problems:
        groups.setdefault(problem[:2], []).append(problem.text)
    for (file, _), texts in groups.items():
        shown = texts if arguments.all else texts[:_SHOWN]
        for text in shown:
            print(text, file=sys.stderr)
        if len(texts) > len(shown):
            print(
                f"{file}: {len(texts) - len(shown):,} more of this kind; --all lists "
                "them.",
                file=sys.stderr,
            )
    count = len(found.problems)
    say(f"{count:,} problems." if count else "No problems.")
    return FAILED if count else OK
