"""Options of the commands on voices: those of a training, and those naming data."""

from __future__ import annotations

import argparse
import re
from typing import Any

OUTPUT = "models/voices"
# Option -> type, help; those of `emorec.training.voices_config.VoicesConfig`.
TRAINING: dict[str, tuple[Any, str]] = {
    "student": (str, "vggm (the published network), compact or statistics"),
    "features": (str, "voxceleb (magnitudes of 512 bins) or logmel (64 bands)"),
    "num_seconds": (float, "of the parts that are drawn from clips"),
    "part": (str, "random: parts from anywhere; speech: around what is loud"),
    "normalisation": (str, "of bins: clip (over the part) or train (over all)"),
    "mini_epoch_ratio": (float, "share of the training clips in an epoch"),
    "keep": (str, "last or best: which epoch's weights are kept"),
    "batch_size": (int, "parts per batch"),
    "num_epochs": (int, "epochs"),
    "patience": (int, "epochs without improvement before the end; 0: all epochs"),
    "optimizer": (str, "sgd or adamw"),
    "learning_rate": (float, "the first one"),
    "schedule": (str, "constant, logspace (to a tenth) or cosine (to 0)"),
    "warmup": (float, "epochs over which the rate rises"),
    "momentum": (float, "of sgd"),
    "weight_decay": (float, "L2 in the gradient (sgd) or beside it (adamw)"),
    "dropout_rate": (float, "of the last two hidden layers"),
    "speed": (float, "play parts up to so much faster or slower, as 0.05"),
    "shift": (float, "seconds by which parts around speech are moved"),
    "other_voices": (float, "share of clips given bands of another speaker"),
    "noise": (float, "largest factor on added noise"),
    "noise_dir": (str, "folder of sounds that are the noise (white)"),
    "gain": (float, "change loudness by up to so many decibels"),
    "bands": (int, "bands of the spectrogram that are hidden (SpecAugment)"),
    "widest_band": (float, "share of the bins that a hidden band may have"),
    "stretches": (int, "stretches of time that are hidden"),
    "longest_stretch": (float, "share of the time that a hidden stretch may have"),
    "ema": (float, "momentum of a moving average of the weights"),
    "weights": (str, "a run's .keras file whose weights to begin with"),
    "seed": (int, "everything follows from it"),
    "jit": (str, "auto, on or off: XLA"),
    "precision": (str, "float32 or mixed_bfloat16"),
}
DISTILLATION: dict[str, tuple[Any, str]] = {
    "loss_type": (str, "hot-cross-ent, kl, softmaxlog, euclidean or huber"),
    "temperature": (float, "softens both in hot-cross-ent and kl"),
    "logit_aggregator": (str, "max or mean of the frames of a part"),
    "num_pred_emotions": (int, "learn the first so many of the teacher's emotions"),
    "mini_val": (float, "share of unheardVal that is validated"),
}
LABELLED: dict[str, tuple[Any, str]] = {
    "label_smoothing": (float, "share of each target spread over all classes"),
    "mixup": (float, "parameter of mixup's Beta distribution"),
}
SWITCHES = {"literal_rate": "take every file's samples for 16 kHz, as published"}
DISTILLATION_SWITCHES = {
    "fixed_segments": "learn from all frames of a clip in each of its parts"
}


def add_options(
    parser: argparse.ArgumentParser,
    options: dict[str, tuple[Any, str]],
    switches: dict[str, str],
) -> None:
    """Add options without defaults, each also under its published name (numSeconds)."""
    for name, (kind, text) in options.items():
        parser.add_argument(
            *_spellings(name), type=kind, default=argparse.SUPPRESS, help=text
        )
    for name, text in switches.items():
        parser.add_argument(
            *_spellings(name), action="store_true", default=argparse.SUPPRESS, help=text
        )


def _spellings(name: str) -> list[str]:
    published = re.sub("_(.)", lambda found: found[1].upper(), name)
    return list(dict.fromkeys([f"--{name}", f"--{published}"]))


def given(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options of a training that the user gave."""
    names = {*TRAINING, *DISTILLATION, *LABELLED, *SWITCHES, *DISTILLATION_SWITCHES}
    return {name: v for name, v in vars(arguments).items() if name in names}


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add --output, the folder of the runs."""
    parser.add_argument(
        "--output", default=OUTPUT, metavar="DIR", help="folder of runs and results"
    )


def add_corpus(parser: argparse.ArgumentParser, option: bool = False) -> None:
    """Add what names VoxCeleb, its split and the teacher's logits."""
    text = (
        "folder with wav/SPEAKER/VIDEO/00001.wav (default: voxceleb; without data a "
        "miniature of synthetic talkers)"
    )
    if option:
        parser.add_argument("-df", "--data", dest="folder", metavar="DIR", help=text)
    else:
        parser.add_argument("folder", metavar="DIR", nargs="?", help=text)
    parser.add_argument(
        "--logits",
        nargs="+",
        metavar="PATH",
        help="logits.npz of emorec faces label, stores of emorec extract teacher "
        "(folders or addresses), or folders of such (DIR/logits)",
    )
    parser.add_argument(
        "--split",
        metavar="FILE",
        help="lines 'SET CLIP' with set 1 train, 2 unheardVal, 3 heardVal "
        "(DIR/emovoxceleb_split.txt); draw: draw one by speakers",
    )
