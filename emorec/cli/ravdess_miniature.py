"""What the commands on audio-visual clips run on when no data are named."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emorec.cli.console import say
from emorec.errors import SpecError

if TYPE_CHECKING:
    from emorec.corpora.av_clips import AvClips
    from emorec.training.av_data import AvData

Say = Callable[[str], None]
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


def chosen(arguments: argparse.Namespace) -> bool:
    """Tell whether ``prepare`` is to make the miniature, and complete its options.

    Raises
    ------
    SpecError
        For options that do not go together.
    """
    if arguments.clips is not None:
        _refuse_size(arguments)
        if not arguments.output:
            raise SpecError("--output DIR is missing: the folder of the results.")
        return False
    if arguments.labels:
        raise SpecError("--labels are of a CSV: name it.")
    arguments.output = arguments.output or PREPARED
    arguments.whole_frames = True
    return True


def _refuse_size(arguments: argparse.Namespace) -> None:
    if getattr(arguments, "clips_each", None) is not None:
        raise SpecError("--clips is of the miniature: leave it or the data away.")


def read(arguments: argparse.Namespace, say: Say = say) -> AvClips:
    """Write the miniature where it is not there, and read it."""
    from emorec.corpora import av_miniature
    from emorec.corpora.ravdess import read_ravdess
    from emorec.features.audio import require_soundfile

    # Before a minute is spent on what could not be read then.
    require_soundfile()
    folder = Path(av_miniature.FOLDER)
    # One of another size serves, too.
    count = getattr(arguments, "clips_each", None) or av_miniature.clips_in(folder)
    if av_miniature.write_ravdess(folder, clips=count or av_miniature.CLIPS):
        say(f"Made synthetic actors in {folder}, as no data are named.")
    clips = read_ravdess(folder, getattr(arguments, "fold", None))
    return replace(clips, dataset=av_miniature.DATASET)


def prepare(arguments: argparse.Namespace, say: Say) -> Path:
    """Write and prepare the miniature where that is not done; return the folder."""
    from emorec.features.av_clips import AvSettings
    from emorec.training.av_preparation import prepare as prepare_clips

    settings = AvSettings(whole_frames=True)
    done = prepare_clips(read(arguments, say), PREPARED, settings=settings)
    for clip, modality, reason in done.failures:
        say(f"not made: {clip}, {modality}: {reason}")
    return Path(PREPARED)


def named(data: AvData, folder: str | Path, say: Say) -> AvData:
    """Name data by what they are when they are the miniature, and say so."""
    from emorec.corpora.av_miniature import DATASET
    from emorec.files import read_json
    from emorec.training.av_preparation import SETTINGS

    settings = Path(folder) / SETTINGS
    if not settings.is_file() or read_json(settings).get("dataset") != DATASET:
        return data
    say(_TOLD)
    return replace(data, clips=replace(data.clips, dataset=DATASET))


def suffix(data: AvData) -> str:
    """Return what the names of runs on the miniature end with."""
    from emorec.corpora.av_miniature import DATASET

    return "_miniature" if data.clips.dataset == DATASET else ""


def with_preset(
    arguments: argparse.Namespace, given: dict[str, Any]
) -> tuple[dict[str, Any], str]:
    """Return the settings of a training, and what is to be said of them.

    Without data they are those of the miniature.

    Raises
    ------
    SpecError
        When the size of the miniature is given beside data.
    """
    from emorec.training.av_config import MINIATURE

    if arguments.folder is not None:
        _refuse_size(arguments)
        return given, ""
    # A switch that was not given is False.
    own = {name: value for name, value in given.items() if value is not False}
    words = []
    for name, value in MINIATURE.items():
        if name not in own:
            shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
            words.append(f"--{name}" if value is True else f"--{name} {shown}")
    return MINIATURE | own, f"Settings for the miniature: {' '.join(words)}"
