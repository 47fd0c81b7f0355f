"""The commands on CMU-MOSEI: train, align, labels; others in modules `mosei_*`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from emorec.cli import hosts as several
from emorec.cli import mosei_data, mosei_extract
from emorec.cli.console import INCOMPLETE, OK, Parser, guarded, say
from emorec.cli.mosei_options import add_options, config_of
from emorec.errors import SpecError


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add ``emorec mosei ...``."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    train_parser = commands.add_parser(
        "train",
        help="align, train, evaluate: the same as main.py",
        usage="%(prog)s [options]",
    )
    add_options(train_parser)
    several.add_options(train_parser)
    train_parser.set_defaults(run=train)

    williams_parser = commands.add_parser(
        "williams",
        help="the grid of Williams et al. (2018): 168 runs, chosen on validation",
        description="Train the grid of Williams et al. (2018) on the custom split: "
        "seven subsets of modalities, 4 lengths, 2 dropouts, 3 depths. Finished runs "
        "are not repeated; several processes may share the work.",
    )
    williams_parser.add_argument(
        "folder", metavar="DIR", nargs="?", help="folder of the .csd files"
    )
    williams_parser.add_argument(
        "-m",
        "--modalities",
        nargs="+",
        default=["each"],
        metavar="SUBSET",
        help="all, AV, AT, VT, A, V, T; or each, for all seven",
    )
    williams_parser.add_argument("--seed", type=int, default=0)
    williams_parser.add_argument("-e", "--num_epochs", type=int, default=200)
    williams_parser.add_argument(
        "-f", "--image_feature", choices=("facet", "openface"), default="facet"
    )
    williams_parser.add_argument(
        "-mf", "--model_folder", default="models/williams", metavar="DIR"
    )
    williams_parser.add_argument("--jit", choices=("auto", "on", "off"), default="auto")
    williams_parser.set_defaults(run=williams)

    align_parser = commands.add_parser(
        "align", help="align .csd files and write the aligned dataset"
    )
    align_parser.add_argument("folder", metavar="DIR", help="folder of the .csd files")
    align_parser.add_argument(
        "--output", required=True, metavar="FILE.pkl", help="pickle to write"
    )
    align_parser.add_argument(
        "-f", "--image_feature", choices=("facet", "openface"), default="facet"
    )
    align_parser.add_argument("-m", "--modalities", default="all", metavar="SUBSET")
    align_parser.add_argument(
        "--no_labels",
        action="store_true",
        help="stop after the words: entries are words, not segments",
    )
    align_parser.add_argument(
        "--no_words",
        action="store_true",
        help="leave words out: segments keep each sequence's own rows",
    )
    align_parser.set_defaults(run=align_folder)

    mosei_data.add_commands(commands)
    mosei_extract.add_commands(commands)

    labels_parser = commands.add_parser(
        "labels", help="turn a table of labels into an 'All Labels' .csd file"
    )
    labels_parser.add_argument("table", metavar="LABELS.csv")
    labels_parser.add_argument("--output", required=True, metavar="FILE.csd")
    labels_parser.set_defaults(run=write_labels)


def main(arguments: list[str] | None = None) -> int:
    """Run the main job from ``main.py``; return the exit code."""
    parser = Parser(
        prog="main.py",
        usage="%(prog)s [options]",
        description="Early fusion of text, image and audio on CMU-MOSEI: from .csd "
        "files to predictions and metrics.",
    )
    add_options(parser)
    several.add_options(parser)
    parsed = parser.parse_args(arguments)
    return guarded(lambda: train(parsed))


def train(arguments: argparse.Namespace) -> int:
    """Align, train and evaluate."""
    config = config_of(arguments)
    if arguments.hosts and config.no_train:
        raise SpecError("--hosts with --no_train: one host evaluates; leave it out.")
    from emorec.training import hosts, mosei
    from emorec.training.mosei_source import banner, locate

    if arguments.dry_run:
        config, source = locate(config, say, True)
        say(mosei.plan(config, source))
        if arguments.hosts:
            say(f"  hosts     {arguments.hosts}, which share each batch")
        say("Dry run: nothing was written.")
        return OK
    tell = several.join(arguments)
    with hosts.here().in_turn():
        config, source = locate(config, tell)
    tell(mosei.plan(config, source))
    result = mosei.run(config, source, tell)
    if result is None:
        return OK
    say("\nWritten:")
    for path in result.paths:
        say(f"  {path}")
    say(banner(source.dataset, source.folder))
    return _tell_damage(result.damaged)


def williams(arguments: argparse.Namespace) -> int:
    """Train the grid of Williams et al. (2018) and print what validation chooses."""
    from emorec.training.config import MoseiConfig, parse_modalities
    from emorec.training.williams import SUBSETS, run_grid

    subsets = arguments.modalities
    if subsets == ["each"]:
        subsets = SUBSETS
    base = MoseiConfig(
        dataset_folder=arguments.folder,
        image_feature=arguments.image_feature,
        seed=arguments.seed,
        jit=arguments.jit,
        num_epochs=arguments.num_epochs,
        model_folder=arguments.model_folder,
        pickle_name_fold="williams",
    )
    _, chosen = run_grid(base, [parse_modalities(text) for text in subsets], say)
    say("\nOf each subset the run of the least validation loss, scored on test:")
    say(chosen.round(3).to_string(index=False, na_rep=""))
    return OK


def align_folder(arguments: argparse.Namespace) -> int:
    """Write the aligned dataset of a folder."""
    from emorec.corpora import miniature, mosei
    from emorec.training.config import parse_modalities
    from emorec.training.mosei_aligned import identify, make_aligned

    if arguments.no_words and arguments.no_labels:
        raise SpecError("--no_words with --no_labels: nothing is left to align to.")
    names = mosei.sequence_names(
        arguments.image_feature,
        parse_modalities(arguments.modalities),
        not arguments.no_words,
    )
    if arguments.no_labels:
        names.remove(mosei.LABELS)
    files = mosei.open_files(arguments.folder, names)
    for note in files.notes:
        say(f"note: {note}")
    words = None if arguments.no_words else mosei.TEXT
    labels = None if arguments.no_labels else mosei.LABELS
    # A run on the pickle must know whether it holds recordings of people.
    is_miniature = miniature.is_miniature(files.sequences.values())
    dataset = miniature.DATASET if is_miniature else "CMU-MOSEI"
    sequences = {name: files.sequences[name] for name in names}
    identity = identify(dataset, sequences, words, labels)
    aligned = make_aligned(Path(arguments.output), sequences, words, labels, identity)
    for video, reason in sorted(aligned.dropped.items()):
        say(f"left out: {video}: {reason}")
    for name, entries in aligned.sequences.items():
        rows = sum(len(entry.intervals) for entry in entries.values())
        say(f"{name}: {len(entries):,} entries, {rows:,} rows")
    say(f"Written: {arguments.output}")
    return _tell_damage(aligned.damaged)


def _tell_damage(damaged: dict[str, str]) -> int:
    """Name the videos that could not be read; return the exit code."""
    for video, error in sorted(damaged.items()):
        print(f"left out: {video}: {error}", file=sys.stderr)
    if damaged:
        say(f"{len(damaged)} damaged videos were left out.")
    return INCOMPLETE if damaged else OK


def write_labels(arguments: argparse.Namespace) -> int:
    """Write an ``All Labels`` sequence."""
    from emorec.corpora import mosei

    table = mosei.read_labels_table(arguments.table)
    mosei.write_labels(table, arguments.output)
    say(
        f"{len(table):,} segments of {table['id'].nunique():,} videos: "
        f"{arguments.output}"
    )
    return OK
