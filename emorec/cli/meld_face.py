"""``emorec meld face`` and ``emorec meld landmarks``: the face branch of MELD."""

from __future__ import annotations

import argparse
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

from emorec.cli.console import INCOMPLETE, OK, say

OUTPUT = "models/meld"


def add_command(commands: argparse._SubParsersAction) -> None:
    """Add ``face`` and ``landmarks`` to the commands of ``emorec meld``."""
    parser = commands.add_parser(
        "face",
        help="a network on the landmarks of the speaker's face",
        description="Train a recurrent network on facial landmarks and predict dev and "
        "test. It is the weakest branch: the published one answers neutral to every "
        "clip. A finished run is not repeated. Options left out have the values of "
        "the training that is asked for, by default or with --literal.",
    )
    parser.add_argument("folder", metavar="DIR", help="folder of MELD")
    parser.add_argument(
        "--landmarks",
        required=True,
        metavar="FILE",
        help="landmarks.npz of emorec meld landmarks, or compact-visual.pkl",
    )
    parser.add_argument(
        "--literal",
        action="store_true",
        default=None,
        help="as published: batch 1, 5 epochs, learning rate 0.005, points in pixels, "
        "the last epoch kept",
    )
    parser.add_argument(
        "--pool",
        choices=("last", "mean"),
        help="output of the last step, as published, or the mean over time",
    )
    # Not BooleanOptionalAction, whose --no-size the parser would not know.
    parser.add_argument(
        "--size",
        action="store_true",
        default=None,
        help="divide each frame's points by the size of the face",
    )
    parser.add_argument(
        "--no_size",
        dest="size",
        action="store_false",
        default=None,
        help="leave them as they are",
    )
    parser.add_argument("-b", "--batch_size", type=int, metavar="N")
    parser.add_argument("-e", "--num_epochs", type=int, metavar="N")
    parser.add_argument("-p", "--patience", type=int, metavar="N")
    parser.add_argument("-lr", "--learning_rate", type=float, metavar="RATE")
    parser.add_argument("--weight_decay", type=float, metavar="DECAY")
    parser.add_argument("--clip", type=float, metavar="NORM")
    parser.add_argument("--seed", type=int, metavar="N")
    parser.add_argument("--jit", choices=("auto", "on", "off"))
    parser.add_argument("--precision", choices=("float32", "mixed_bfloat16"))
    parser.add_argument(
        "--output", default=OUTPUT, metavar="DIR", help="folder of the results"
    )
    parser.add_argument(
        "--name", metavar="NAME", help="of the run; by default its settings"
    )
    parser.set_defaults(run=face)
    _add_landmarks(commands)


def _add_landmarks(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "landmarks",
        help="landmarks of the speakers' faces, from the videos",
        description="Find the speaker's face in every video and its 68 landmarks. "
        "Clips that are done are not repeated. Exit code 3: some have none; they are "
        "listed in landmarks_failures.csv.",
    )
    parser.add_argument("folder", metavar="DIR", help="folder of MELD")
    parser.add_argument(
        "--predictor",
        required=True,
        metavar="FILE",
        help="dlib's shape predictor of 68 points, which you have to get yourself",
    )
    parser.add_argument(
        "--references",
        metavar="FILE",
        help="a vector per speaker: .npz with arrays named by them, or a folder of "
        "NAME.npy; without, the largest face of a clip is taken",
    )
    parser.add_argument(
        "--embedder",
        metavar="FILE",
        help=".keras network that made the references, on faces of 112 x 112 pixels",
    )
    parser.add_argument("--rate", type=float, default=25.0, metavar="FPS")
    parser.add_argument(
        "--every", type=int, default=1, metavar="N", help="each n-th frame of --rate"
    )
    parser.add_argument(
        "--detect_every",
        type=int,
        default=4,
        metavar="N",
        help="look for faces on each n-th of them, and where they move",
    )
    parser.add_argument("--min_face", type=int, default=40, metavar="PIXELS")
    parser.add_argument(
        "--output", default=OUTPUT, metavar="DIR", help="folder of the results"
    )
    parser.set_defaults(run=landmarks)


def face(arguments: argparse.Namespace) -> int:
    """Train on landmarks and write the predictions."""
    from emorec.artifacts.landmarks import read_landmarks
    from emorec.artifacts.runs import RunFolder
    from emorec.corpora.meld import read_meld
    from emorec.training.meld_face import joined, run
    from emorec.training.meld_face_config import LITERAL, MeldFaceConfig

    given = {
        one.name: value
        for one in fields(MeldFaceConfig)
        if (value := getattr(arguments, one.name)) is not None
    }
    base = LITERAL if arguments.literal else MeldFaceConfig()
    config = replace(base, **given)
    found = read_landmarks(arguments.landmarks)
    corpus = joined(read_meld(arguments.folder), found)
    say(f"{len(found):,} of {len(corpus):,} utterances have landmarks.")
    output = Path(arguments.output)
    folder = RunFolder(output, arguments.name or config.name)
    run(config, corpus, found, folder, say)
    say(f"Written: {output}/results.csv, predictions_*_{folder.param_name}.npz")
    return OK


def landmarks(arguments: argparse.Namespace) -> int:
    """Find landmarks and write them."""
    from emorec.artifacts.landmarks import write_landmarks
    from emorec.artifacts.tables import write_table
    from emorec.corpora.meld import read_meld
    from emorec.features.faces import mtcnn_detector
    from emorec.features.landmarks import SpeakerSettings, dlib_landmarker
    from emorec.training import backend
    from emorec.training.meld_landmarks import (
        Tools,
        keras_embedder,
        make_landmarks,
        read_references,
        tool_name,
    )

    corpus = read_meld(arguments.folder)
    embedder = arguments.embedder
    settings = SpeakerSettings(
        arguments.rate,
        arguments.every,
        arguments.detect_every,
        min_face=arguments.min_face,
    )
    tools = Tools(
        partial(mtcnn_detector, settings.min_face),
        partial(dlib_landmarker, arguments.predictor),
        tool_name(arguments.predictor),
        partial(keras_embedder, embedder) if embedder else None,
        read_references(arguments.references) if arguments.references else None,
    )
    backend.choose_backend()
    output = Path(arguments.output)
    found, failures, made = make_landmarks(
        corpus, tools, output / "landmarks", settings
    )
    write_landmarks(output / "landmarks.npz", found)
    write_table(output / "landmarks_failures.csv", failures)
    say(
        f"{len(found):,} of {len(corpus):,} clips have landmarks, {made:,} made now, "
        f"{len(found.points):,} frames."
    )
    say(f"Written: {output}/landmarks.npz, landmarks_failures.csv")
    return INCOMPLETE if len(failures) else OK
