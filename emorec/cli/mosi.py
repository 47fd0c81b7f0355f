"""The commands on CMU-MOSI: train."""

from __future__ import annotations

import argparse
from pathlib import Path

from emorec.cli.console import OK, say


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add ``emorec mosi ...``."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    train_parser = commands.add_parser(
        "train",
        help="sentiment of utterances for modality subsets and seeds",
        description="Train the early-fusion network on CMU-MOSI's utterance vectors, "
        "for every modality subset and seed asked for, and report the test split "
        "beside the constant predictors. Finished runs are not repeated.",
    )
    train_parser.add_argument(
        "folder", metavar="DIR", help="folder of mosi_features.npz and index.csv"
    )
    train_parser.add_argument(
        "-m",
        "--modalities",
        nargs="+",
        default=["each"],
        metavar="SUBSET",
        help="all, AV, AT, VT, A, V, T; or each, for all seven",
    )
    train_parser.add_argument(
        "--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4], metavar="N"
    )
    train_parser.add_argument(
        "-l", "--num_layers", type=int, default=1, choices=(1, 2, 3)
    )
    train_parser.add_argument("-n", "--num_nodes", type=int, default=100, metavar="N")
    train_parser.add_argument(
        "-d", "--dropout_rate", type=float, default=0.2, metavar="RATE"
    )
    train_parser.add_argument(
        "-b",
        "--batch_size",
        type=int,
        default=8,
        metavar="N",
        help="videos per batch",
    )
    train_parser.add_argument("-e", "--num_epochs", type=int, default=60, metavar="N")
    train_parser.add_argument("-p", "--patience", type=int, default=10, metavar="N")
    train_parser.add_argument(
        "-lr", "--learning_rate", type=float, default=1e-3, metavar="RATE"
    )
    train_parser.add_argument("--jit", choices=("auto", "on", "off"), default="auto")
    train_parser.add_argument(
        "--precision", choices=("float32", "mixed_bfloat16"), default="float32"
    )
    train_parser.add_argument(
        "--output", default="models/mosi", metavar="DIR", help="folder of the results"
    )
    train_parser.set_defaults(run=train)


def train(arguments: argparse.Namespace) -> int:
    """Train every subset with every seed and print the table."""
    from emorec.training.config import parse_modalities
    from emorec.training.mosi import SUBSETS, MosiConfig, run_all

    subsets = list(
        SUBSETS
        if arguments.modalities == ["each"]
        else [parse_modalities(text) for text in arguments.modalities]
    )
    names = (
        *("num_layers", "num_nodes", "dropout_rate", "batch_size", "num_epochs"),
        *("patience", "learning_rate", "jit", "precision"),
    )
    base = MosiConfig(**{name: getattr(arguments, name) for name in names})
    output = Path(arguments.output)
    table = run_all(arguments.folder, base, subsets, arguments.seeds, output, say)
    shown = table[[c for c in table if not c.startswith(("f1", "acc2_has0"))]]
    say("\nTest, mean and deviation over seeds:")
    say(shown.round(3).to_string(index=False, na_rep=""))
    say(f"Written: {output}/sentiment.csv, {output}/summary.csv")
    return OK
