"""The options of the commands on audio-visual clips; many are the published ones."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping

from emorec.cli import hosts as several
from emorec.cli import ravdess_miniature as miniature
from emorec.errors import SpecError
from emorec.labels import RAVDESS

OUTPUT = "models/ravdess"
# Option -> type, help; those of `emorec.training.av_config.AvConfig`.
OPTIONS = {
    "num_heads": (int, "of attention"),
    "fill": (str, "zeros, noise or addnoise for what a clip lacks (as the mask)"),
    "pretrain_path": (str, "EfficientFace's checkpoint for the faces"),
    "pretrain_audio": (
        str,
        "model file of --fusion audio to begin the audio's part with; in folds {fold} "
        "in it is the fold's number",
    ),
    "dropout": (float, "of features of faces and of what is classified"),
    "coefficients": (int, "MFCC of a step of sound"),
    "batch_size": (int, "clips per batch, before masks make copies"),
    "n_epochs": (int, "epochs; the best one on validation is kept"),
    "learning_rate": (float, "of PyTorch's SGD"),
    "momentum": (float, "of the gradient descent"),
    "dampening": (float, "each step is 1 less this as long"),
    "weight_decay": (float, "L2, in the gradient"),
    "manual_seed": (int, "everything follows from it"),
    "jit": (str, "auto, on or off: XLA"),
    "precision": (str, "float32 or mixed_bfloat16"),
}
SWITCHES = ("freeze_frames", "standardise", "no_val")
# Options of the published program that say what emorec knows: the only value, and why.
_FIXED = {
    "sample_size": (224, "faces are prepared in this size"),
    "sample_duration": (15, "clips are prepared with so many frames"),
    "video_norm_value": (255, "faces are divided by this"),
    "begin_epoch": (1, "an interrupted training goes on by itself"),
}
_UNUSED = {
    "resume_path": "an interrupted training goes on by itself",
    "lr_patience": "the published program has it and never uses it; see --lr_steps",
    "n_threads": "threads are as many as there are cores",
}


def add_commands(parser: argparse.ArgumentParser, run: Mapping[str, Callable]) -> None:
    """Add ``emorec ravdess ...``; `run` has the function of each command."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    prepare_parser = commands.add_parser(
        "prepare",
        help="faces and sound of clips as the fusion takes them; resumes",
        description="Cut 15 faces and 3.6 s of sound out of each clip of RAVDESS, or "
        "of own clips listed in a CSV (video, audio, label, speaker, split), in "
        "parallel. Without clips, make a miniature of synthetic actors. Clips that are "
        "finished are not repeated. Exits with 3 when something could not be made.",
    )
    prepare_parser.add_argument(
        "clips",
        metavar="DIR|CSV",
        nargs="?",
        help="folder with Actor_01 to 24, or a list of clips (a miniature)",
    )
    miniature.add_option(prepare_parser)
    prepare_parser.add_argument(
        "--output",
        metavar="DIR",
        help=f"folder of the results (of the miniature: {miniature.PREPARED})",
    )
    prepare_parser.add_argument(
        "--labels",
        metavar="A,B,...",
        help="classes of a CSV in their order (those of RAVDESS)",
    )
    prepare_parser.add_argument(
        "--fold",
        type=int,
        choices=range(1, 6),
        help="test on this one of five groups of actors (the published split)",
    )
    prepare_parser.add_argument(
        "--workers", type=int, help="processes (as many as there are cores)"
    )
    prepare_parser.add_argument(
        "--detect_every",
        type=int,
        default=4,
        metavar="N",
        help="look for faces in each N-th of the 15 frames, and in more where they "
        "move; 1 for all, as published",
    )
    prepare_parser.add_argument(
        "--confidence", type=float, default=0.9, metavar="P", help="least, of a face"
    )
    prepare_parser.add_argument(
        "--min_face",
        type=int,
        default=40,
        metavar="PIXELS",
        help="smallest face to look for; larger is faster (RAVDESS: 120)",
    )
    prepare_parser.add_argument(
        "--whole_frames",
        action="store_true",
        help="the clips show the face alone: take each frame as the face, and look for "
        "none (as of the miniature)",
    )
    prepare_parser.add_argument(
        "--literal",
        action="store_true",
        help="as the published program: the first 3.6 s of long videos, blue first",
    )
    prepare_parser.set_defaults(run=run["prepare"])

    train_parser = commands.add_parser(
        "train",
        help="train a fusion on prepared clips and evaluate it",
        description="Train a network on what prepare wrote, and evaluate it on the "
        "test clips with both modalities and with each alone. An interrupted training "
        "goes on; a finished one is not repeated. Defaults are the published settings; "
        "without data, those of a miniature of synthetic actors, which is made.",
    )
    _add_data(train_parser)
    miniature.add_option(train_parser)
    train_parser.add_argument("--name", default="", help="of the run")
    train_parser.add_argument(
        "--fusion",
        default="ia",
        help="ia, it (intermediate attention, transformer), lt (late), or audio or "
        "video alone; several with commas, or all for the three",
    )
    train_parser.add_argument(
        "--mask",
        default="",
        help="softhard, noise or nodropout: modality dropout in training; several with "
        "commas, or all",
    )
    train_parser.add_argument(
        "--folds",
        type=int,
        metavar="N",
        help="train and test N times, each speaker once in a test (RAVDESS has five "
        "published folds)",
    )
    for name, (kind, text) in OPTIONS.items():
        train_parser.add_argument(
            f"--{name}", type=kind, default=argparse.SUPPRESS, help=text
        )
    train_parser.add_argument(
        "--lr_steps",
        type=int,
        nargs="*",
        default=argparse.SUPPRESS,
        metavar="EPOCH",
        help="where the rate falls to a tenth",
    )
    train_parser.add_argument(
        "--freeze_frames",
        action="store_true",
        help="compute the faces' features once and train what is behind them",
    )
    train_parser.add_argument(
        "--no_train", action="store_true", help="evaluate a finished run, train none"
    )
    train_parser.add_argument(
        "--no_val",
        action="store_true",
        help="learn from the validation clips, too, and keep the last epoch",
    )
    train_parser.add_argument(
        "--standardise",
        action="store_true",
        help="give each MFCC mean 0 and deviation 1 over the training clips, as "
        "features of frozen frames always have",
    )
    several.add_options(train_parser)
    add_published(train_parser)
    train_parser.set_defaults(run=run["train"])

    test_parser = commands.add_parser(
        "test",
        help="evaluate a trained network with and without each modality",
        description="Evaluate a finished run on the clips of a split with both "
        "modalities and with each alone, the other replaced by zeros or noise.",
    )
    test_parser.add_argument("model", metavar="MODEL", help="a run by name")
    _add_data(test_parser)
    test_parser.add_argument(
        "--split",
        "--test_subset",
        type=_split,
        choices=("valid", "test"),
        default="test",
        help="clips to evaluate on",
    )
    test_parser.add_argument(
        "--attention",
        nargs="*",
        metavar="CLIP",
        help="write the attention maps, and draw them over time for these clips (the "
        "first of each class)",
    )
    add_published(test_parser)
    test_parser.set_defaults(run=run["test"])

    import_parser = commands.add_parser(
        "import",
        help="make a run of a published checkpoint",
        description="Read the weights of a whole network (.pth, extra torch, or a "
        "state dictionary as .npz) and write them as a run. Everything must have its "
        "place and shape.",
    )
    import_parser.add_argument("checkpoint", metavar="CHECKPOINT")
    import_parser.add_argument("--output", default=OUTPUT, metavar="DIR")
    import_parser.add_argument("--name", default="", help="of the run (the file's)")
    import_parser.add_argument(
        "--fusion",
        choices=("ia", "it", "lt"),
        required=True,
        help="intermediate attention, intermediate or late transformer",
    )
    import_parser.add_argument("--num_heads", type=int, default=1)
    import_parser.add_argument(
        "--rgb",
        action="store_true",
        help="the network learnt from red, green, blue; published ones from blue first",
    )
    import_parser.set_defaults(run=run["import"])


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder",
        metavar="DIR",
        nargs="?",
        help="what prepare wrote, or its annotations.txt (a miniature)",
    )
    parser.add_argument(
        "--labels", metavar="A,B,...", help="classes in their order (RAVDESS' eight)"
    )
    parser.add_argument(
        "--annotation_path",
        dest="folder",
        default=argparse.SUPPRESS,
        metavar="FILE",
        help="the same as DIR",
    )
    parser.add_argument(
        "--output",
        "--result_path",
        default=OUTPUT,
        metavar="DIR",
        help="folder of runs and results",
    )


def add_published(parser: argparse.ArgumentParser) -> None:
    """Add the options of the published program that change nothing here."""
    group = parser.add_argument_group(
        "options of the published program, accepted so that its command lines work"
    )
    for name, (value, why) in _FIXED.items():
        group.add_argument(f"--{name}", type=int, help=f"{value}: {why}")
    for name, why in _UNUSED.items():
        group.add_argument(f"--{name}", help=why)
    group.add_argument("--n_classes", type=int, help="as many as --labels has")
    group.add_argument(
        "--device", choices=("cpu", "cuda"), help="cpu hides GPUs; cuda is the default"
    )


def check_published(arguments: argparse.Namespace) -> None:
    """Refuse values of published options that would be something else here.

    Raises
    ------
    SpecError
        With the value that there is, and why.
    """
    for name, (value, why) in _FIXED.items():
        if getattr(arguments, name) not in (None, value):
            raise SpecError(f"--{name}: expected {value}, as {why}.")
    classes = arguments.labels.split(",") if arguments.labels else RAVDESS.labels
    if arguments.n_classes not in (None, len(classes)):
        raise SpecError(
            f"--n_classes {arguments.n_classes}: there are {len(classes)} classes "
            f"({', '.join(classes)}). Name others with --labels."
        )
    if arguments.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        os.environ.setdefault("JAX_PLATFORMS", "cpu")


def _split(text: str) -> str:
    """Return valid for the published program's word val."""
    return {"val": "valid"}.get(text, text)
