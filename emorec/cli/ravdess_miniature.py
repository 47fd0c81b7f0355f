"""What the commands on audio-visual clips run on when no data are named."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emorec.cli.console import say

if TYPE_CHECKING:
    from emorec.corpora.av_clips import AvClips
    from emorec.training.av_data import AvData

PREPARED = "ravdess_miniature/prepared"
_TOLD = "  These are synthetic; scores on them say nothing about people."


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add --clips, the size of the miniature."""
    parser.add_argument(
        "--clips",
        dest="clips_each",
        type=int,
        metavar="N",
        help="clips of each actor of the miniature, 1 to 32, where no data are named "
        "(those that are there, else 8)",
    )


def refuse_option(arguments: argparse.Namespace) -> None:
    """Refuse --clips beside data.

    Raises
    ------
    SpecError
        When it is given.
    """
    from emorec.errors import SpecError

    if arguments.clips_each is not None:
        raise SpecError("--clips is of the miniature: leave the data or --clips away.")


def read(clips_each: int | None = None, fold: int | None = None) -> AvClips:
    """Write the miniature where it is not there, and read it."""
    from emorec.corpora import av_miniature
    from emorec.corpora.ravdess import read_ravdess
    from emorec.features.audio import require_soundfile

    # Before a minute is spent on what could not be read then.
    require_soundfile()
    folder = Path(av_miniature.FOLDER)
    # One of another size serves, too.
    count = clips_each or av_miniature.clips_in(folder) or av_miniature.CLIPS
    if av_miniature.write_ravdess(folder, clips=count):
        say(f"Made synthetic actors in {folder}, as no data are named.")
    clips = read_ravdess(folder, fold)
    return replace(clips, dataset=av_miniature.DATASET)


def prepare(clips_each: int | None = None) -> Path:
    """Write and prepare the miniature where that is not done; return the folder."""
    from emorec.features.av_clips import AvSettings
    from emorec.training.av_preparation import prepare as prepare_clips

    settings = AvSettings(whole_frames=True)
    done = prepare_clips(read(clips_each), PREPARED, settings=settings)
    for clip, modality, reason in done.failures:
        say(f"not made: {clip}, {modality}: {reason}")
    return Path(PREPARED)


def named(data: AvData, folder: str | Path) -> tuple[AvData, bool]:
    """Name data by what they are when they are the miniature, and say so."""
    from emorec.corpora.av_miniature import DATASET
    from emorec.files import read_json
    from emorec.training.av_preparation import SETTINGS

    settings = Path(folder) / SETTINGS
    if not settings.is_file() or read_json(settings).get("dataset") != DATASET:
        return data, False
    say(_TOLD)
    return replace(data, clips=replace(data.clips, dataset=DATASET)), True


def with_preset(given: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a training on the miniature, and tell them."""
    from emorec.training.av_config import MINIATURE

    settings = MINIATURE | {k: v for k, v in given.items() if k != "freeze_frames"}
    words = []
    for name, value in MINIATURE.items():
        if name in given and name != "freeze_frames":
            continue
        shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
        words.append(f"--{name}" if value is True else f"--{name} {shown}")
    say(f"Settings for the miniature: {' '.join(words)}")
    return settings
