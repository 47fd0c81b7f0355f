"""The command ``emorec``."""

from __future__ import annotations

from emorec import __version__
from emorec.cli import (
    card,
    demo,
    export,
    extract,
    faces,
    fuse,
    meld,
    mosei,
    mosi,
    predict,
    ravdess,
    report,
    sweep,
    voices,
)
from emorec.cli.console import Parser, guarded

_COMMANDS = (
    ("mosei", mosei.add_commands, "CMU-MOSEI: early fusion, six emotions"),
    ("mosi", mosi.add_commands, "CMU-MOSI: early fusion, sentiment"),
    ("faces", faces.add_commands, "FER+: the face teacher"),
    ("voices", voices.add_commands, "VoxCeleb and others: the speech student"),
    ("ravdess", ravdess.add_commands, "RAVDESS: audio-visual fusion"),
    ("meld", meld.add_commands, "MELD: words, voice and face"),
    ("fuse", fuse.add_commands, "late fusion of any models' predictions"),
    ("extract", extract.add_command, "arrays of many clips, for training"),
    ("sweep", sweep.add_command, "one training with many settings"),
    ("predict", predict.add_command, "emotions in one's own recordings"),
    ("demo", demo.add_command, "a page on this computer to try models on clips"),
    ("report", report.add_commands, "runs as HTML pages"),
    ("card", card.add_command, "what a trained model is, as text"),
    ("export", export.add_command, "a trained network for other programs"),
)


def main(arguments: list[str] | None = None) -> int:
    """Run ``emorec``; return the exit code."""
    parser = Parser(prog="emorec", description="Emotions from words, face and voice.")
    parser.add_argument("--version", action="version", version=__version__)
    groups = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, add, text in _COMMANDS:
        add(groups.add_parser(name, help=text))
    parsed = parser.parse_args(arguments)
    return guarded(lambda: parsed.run(parsed))
