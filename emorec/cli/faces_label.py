"""Labelling video with a face network: emorec faces label."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from emorec.cli.console import INCOMPLETE, OK, say

if TYPE_CHECKING:
    from emorec.training.clip_faces import LabelSettings


# Failures that are printed; failures.csv has all.
_PRINTED = 5


def add_label(commands: argparse._SubParsersAction) -> None:
    """Add ``label`` to ``emorec faces``."""
    parser = commands.add_parser(
        "label",
        help="the emotions of faces in videos, frame by frame; resumes",
        description="Find the faces of video clips, judge each with a face network "
        "and write its scores: logits.npz (every frame), scores.csv (every clip), "
        "failures.csv. Clips that are finished are not repeated. Exits with 3 when "
        "clips were left out.",
    )
    parser.add_argument(
        "clips",
        nargs="+",
        metavar="CLIP",
        help="a video file, a folder of frames, or a folder tree of either",
    )
    parser.add_argument(
        "--model",
        required=True,
        metavar="MODEL",
        help="a run by name or file, or NETWORK=WEIGHTS for published ones",
    )
    parser.add_argument(
        "--runs", default="models/faces", metavar="DIR", help="folder of the runs"
    )
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="folder of the results"
    )
    add_sampling(parser)
    parser.add_argument(
        "--aggregate",
        choices=("max", "mean"),
        default="max",
        help="how scores.csv makes one row of the frames of a clip",
    )
    parser.add_argument(
        "--contact_sheet", action="store_true", help="draw the faces that were found"
    )
    parser.set_defaults(run=run)


def add_sampling(
    parser: argparse.ArgumentParser | argparse._ArgumentGroup,
    tracks: tuple[str, ...] = ("main", "largest", "all"),
) -> None:
    """Add what decides which faces of a clip are judged."""
    parser.add_argument(
        "--rate",
        type=float,
        default=25.0,
        metavar="HZ",
        help="frames a second that --every counts; videos of other rates are sampled "
        "at the same times",
    )
    parser.add_argument(
        "--every", type=int, default=6, metavar="N", help="take each N-th frame"
    )
    parser.add_argument(
        "--detect_every",
        type=int,
        default=4,
        metavar="N",
        help="look for faces in each N-th of the frames taken, and in more where "
        "they move; 1 for all",
    )
    parser.add_argument(
        "--confidence",
        type=float,
        default=0.9,
        metavar="P",
        help="least confidence of a face",
    )
    parser.add_argument(
        "--min_face",
        type=int,
        default=40,
        metavar="PIXELS",
        help="smallest face to look for; larger is faster",
    )
    parser.add_argument(
        "--scale",
        type=float,
        default=1.0,
        metavar="FACTOR",
        help="enlarge the squares around faces",
    )
    parser.add_argument(
        "--faces",
        choices=("auto", "detect", "given"),
        default="auto",
        help="look for faces, or take the frames for face tracks whose boxes were "
        "enlarged 1.6 times; auto takes folders of images for these",
    )
    parser.add_argument(
        "--tracks",
        choices=tracks,
        default="main",
        help="keep the main face of a clip, the largest of each frame, or all",
    )


def sampling_of(arguments: argparse.Namespace) -> LabelSettings:
    """Return the settings that `add_sampling` has added."""
    from emorec.training.clip_faces import LabelSettings

    names = (
        *("rate", "every", "detect_every", "confidence", "scale", "faces", "tracks"),
        "min_face",
    )
    return LabelSettings(**{name: getattr(arguments, name) for name in names})


def run(arguments: argparse.Namespace) -> int:
    """Judge the faces of clips; return INCOMPLETE when clips failed."""
    from emorec.corpora.clips import find_clips
    from emorec.features.faces import mtcnn_detector
    from emorec.training.face_teachers import load_teacher
    from emorec.training.labelling import FAILURES, LOGITS, SCORES, SHEET, label_clips

    settings = sampling_of(arguments)
    clips = find_clips(arguments.clips)
    teacher = load_teacher(arguments.model, Path(arguments.runs), say)
    result = label_clips(
        clips,
        teacher,
        lambda: mtcnn_detector(settings.min_face),
        arguments.output,
        settings,
        arguments.aggregate,
        arguments.contact_sheet,
    )
    for name, reason in result.failures[:_PRINTED]:
        say(f"left out: {name}: {reason}")
    if len(result.failures) > _PRINTED:
        say(f"left out: {len(result.failures) - _PRINTED} more, see {FAILURES}")
    before = len(result.scores) - result.judged
    say(
        f"{len(clips)} clips: {result.judged} judged, {before} finished before, "
        f"{len(result.failures)} failed."
    )
    if result.per_second:
        rates = ", ".join(f"{k} {v:.1f}" for k, v in result.per_second.items())
        say(f"Frames a second: {rates}.")
    files = [LOGITS, SCORES, FAILURES]
    if arguments.contact_sheet and len(result.scores):
        files.append(SHEET)
    say(f"Written to {arguments.output}: {', '.join(files)}")
    return INCOMPLETE if result.failures else OK
