"""Labelling video with a face network: emorec faces label."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from emorec.cli.console import INCOMPLETE, OK, say

if TYPE_CHECKING:
    import numpy as np

    from emorec.labels import LabelSchema

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
        "--model", required=True, metavar="RUN", help="folder of a run, or its .keras"
    )
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="folder of the results"
    )
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
        choices=("main", "largest", "all"),
        default="main",
        help="keep the main face of a clip, the largest of each frame, or all",
    )
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


def load_network(
    path: str | Path,
) -> tuple[Callable[[np.ndarray], np.ndarray], LabelSchema, int, str]:
    """Load a face network.

    Parameters
    ----------
    path : path
        A .keras file that takes (n, S, S, 1) grey images as floats from 0 to 255, or
        the folder that holds one.

    Returns
    -------
    network : callable
        (n, S, S) uint8 -> (n, K) float32 scores before the softmax.
    schema : LabelSchema
        Names of the K columns.
    size : int
        S.
    name : str
        Identifies the file's content.

    Raises
    ------
    SpecError
        When there is no such model, or its input is not a square grey image.
    """
    import hashlib

    import numpy as np

    from emorec.errors import SpecError
    from emorec.labels import FERPLUS
    from emorec.training.backend import choose_backend, load_keras_model
    from emorec.training.clip_labels import BATCH

    path = Path(path)
    if path.is_dir():
        found = sorted(path.glob("*.keras"))
        if len(found) != 1:
            raise SpecError(
                f"{path}: expected one .keras file, found {len(found)}. Name the file."
            )
        path = found[0]
    choose_backend()
    model = load_keras_model(path)
    shape = model.input_shape
    square = len(shape) == 4 and shape[1] and shape[1] == shape[2] and shape[3] == 1
    if not square or model.output_shape[1:] != (len(FERPLUS),):
        raise SpecError(
            f"{path}: expected a network from square grey images, (n, S, S, 1), to "
            f"{len(FERPLUS)} scores; this one takes {shape} and returns "
            f"{model.output_shape}."
        )

    def network(crops: np.ndarray) -> np.ndarray:
        parts = []
        for first in range(0, len(crops), BATCH):
            part = crops[first : first + BATCH]
            # Few sizes of batches, for each is compiled anew.
            full = min(BATCH, 1 << (len(part) - 1).bit_length())
            images = np.zeros((full, *part.shape[1:], 1), np.float32)
            images[: len(part), ..., 0] = part
            parts.append(np.asarray(model.predict_on_batch(images))[: len(part)])
        return np.concatenate(parts).astype(np.float32)

    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    return network, FERPLUS, shape[1], f"{path.name} {content}"


def run(arguments: argparse.Namespace) -> int:
    """Judge the faces of clips; return INCOMPLETE when clips failed."""
    from emorec.corpora.clips import find_clips
    from emorec.features.faces import mtcnn_detector
    from emorec.training.clip_labels import LabelSettings
    from emorec.training.labelling import (
        FAILURES,
        LOGITS,
        SCORES,
        SHEET,
        Teacher,
        label_clips,
    )

    names = (
        *("rate", "every", "detect_every", "confidence", "scale", "faces", "tracks"),
        "min_face",
    )
    settings = LabelSettings(**{name: getattr(arguments, name) for name in names})
    clips = find_clips(arguments.clips)
    teacher = Teacher(*load_network(arguments.model))
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
