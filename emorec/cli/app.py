"""The command ``emorec``."""

from __future__ import annotations

from emorec import __version__
from emorec.cli import demo, faces, fuse, meld, mosei, mosi, predict, ravdess, voices
from emorec.cli.console import Parser, guarded


def main(arguments: list[str] | None = None) -> int:
    """Run ``emorec``; return the exit code."""
    parser = Parser(prog="emorec", description="Emotions from words, face and voice.")
    parser.add_argument("--version", action="version", version=__version__)
    groups = parser.add_subparsers(required=True, metavar="CORPUS")
    mosei.add_commands(
        groups.add_parser("mosei", help="CMU-MOSEI: early fusion, six emotions")
    )
    mosi.add_commands(
        groups.add_parser("mosi", help="CMU-MOSI: early fusion, sentiment")
    )
    faces.add_commands(groups.add_parser("faces", help="FER+: the face teacher"))
    voices.add_commands(
        groups.add_parser("voices", help="VoxCeleb and others: the speech student")
    )
    ravdess.add_commands(
        groups.add_parser("ravdess", help="RAVDESS: audio-visual fusion")
    )
    meld.add_commands(groups.add_parser("meld", help="MELD: words, voice and face"))
    fuse.add_commands(
        groups.add_parser("fuse", help="late fusion of any models' predictions")
    )
    predict.add_command(
        groups.add_parser("predict", help="emotions in one's own recordings")
    )
    demo.add_command(
        groups.add_parser("demo", help="the same in a page, on this computer")
    )
    parsed = parser.parse_args(arguments)
    return guarded(lambda: parsed.run(parsed))
