"""``emorec meld audio``: the audio branch of MELD."""

from __future__ import annotations

import argparse
from pathlib import Path

from emorec.cli.console import INCOMPLETE, OK, say
from emorec.errors import SpecError


def add_command(commands: argparse._SubParsersAction) -> None:
    """Add ``audio`` to the commands of ``emorec meld``."""
    parser = commands.add_parser(
        "audio",
        help="a network on the sound of each utterance",
        description="Compute one vector of each utterance's sound, or read vectors "
        "from files, train a network on them and predict dev and test. What is done "
        "is not repeated. Exit code 3: some utterances have no sound that can be "
        "read; they are listed in failures_*.csv and have no prediction.",
    )
    parser.add_argument("folder", metavar="DIR", help="folder of MELD")
    parser.add_argument(
        "--features",
        nargs="+",
        default=["librosa"],
        metavar="FEATURES",
        help="librosa: 185 means of librosa's features; logmel: mean and deviation of "
        "64 mel bands; or .npz files of vectors",
    )
    parser.add_argument(
        "--array",
        default="embeddings",
        metavar="NAME",
        help="array of the vectors in .npz files",
    )
    parser.add_argument(
        "--model",
        choices=("linear", "logistic", "mlp"),
        default="mlp",
        help="linear: one layer; logistic: multinomial logistic regression; mlp: three "
        "hidden layers, 66,929 parameters on librosa's features",
    )
    parser.add_argument(
        "--neutral",
        choices=("all", "ordered", "random", "joy"),
        default="all",
        help="the class neutral in training: all of it; without the first 2,710 in "
        "the order of the episodes; without 2,710 drawn; or as many as joy",
    )
    parser.add_argument(
        "--scaling",
        choices=("min_max", "standard", "none"),
        help="of each column, by training utterances; by default min_max of librosa's "
        "features, standard of others",
    )
    parser.add_argument(
        "--literal_scaling",
        action="store_true",
        help="each split by its own statistics, dev and test too, as published",
    )
    parser.add_argument(
        "--literal",
        action="store_true",
        help="keep the last epoch, as published, not the best on dev",
    )
    parser.add_argument("-b", "--batch_size", type=int, default=12, metavar="N")
    parser.add_argument("-e", "--num_epochs", type=int, default=100, metavar="N")
    parser.add_argument("-p", "--patience", type=int, default=50, metavar="N")
    parser.add_argument(
        "-lr", "--learning_rate", type=float, default=1e-3, metavar="RATE"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--jit", choices=("auto", "on", "off"), default="auto")
    parser.add_argument(
        "--precision", choices=("float32", "mixed_bfloat16"), default="float32"
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes for features of sounds; by default one per core",
    )
    parser.add_argument(
        "--cache",
        metavar="DIR",
        help="folder of the sounds' features; by default features in --output",
    )
    parser.add_argument(
        "--output", default="models/meld", metavar="DIR", help="folder of the results"
    )
    parser.add_argument(
        "--name", metavar="NAME", help="of the run; by default its settings"
    )
    parser.set_defaults(run=audio)


def audio(arguments: argparse.Namespace) -> int:
    """Make vectors, train, and write the predictions."""
    from emorec.artifacts.runs import RunFolder
    from emorec.corpora.meld import read_meld
    from emorec.training.meld_audio import run
    from emorec.training.meld_audio_config import MeldAudioConfig
    from emorec.training.meld_vectors import SOUNDS, file_vectors, sound_vectors

    features, output = arguments.features, Path(arguments.output)
    sounds = len(features) == 1 and features[0] in SOUNDS
    if not sounds and (wrong := [f for f in features if not f.endswith(".npz")]):
        raise SpecError(
            f"--features {' '.join(wrong)}: expected {' or '.join(SOUNDS)}, or .npz "
            "files."
        )
    names = (
        *("model", "neutral", "literal_scaling", "literal", "batch_size"),
        *("num_epochs", "patience", "learning_rate", "seed", "jit", "precision"),
    )
    scaling = arguments.scaling or (
        "min_max" if features == ["librosa"] else "standard"
    )
    config = MeldAudioConfig(
        scaling=scaling, **{name: getattr(arguments, name) for name in names}
    )
    corpus = read_meld(arguments.folder)
    if sounds:
        cache = arguments.cache or output / "features"
        vectors = sound_vectors(corpus, features[0], cache, arguments.workers)
    else:
        vectors = file_vectors(corpus, features, arguments.array)
    say(
        f"{vectors.name}: {vectors.there.sum():,} of {len(corpus):,} utterances have a "
        f"vector of {vectors.values.shape[1]}; {vectors.made:,} computed now."
    )
    folder = RunFolder(output, arguments.name or config.name(vectors.name))
    run(config, corpus, vectors, folder, say)
    failures = output / f"failures_{folder.param_name}.csv"
    if len(vectors.failures):
        say(f"{len(vectors.failures):,} without a prediction: {failures}")
    say(f"Written: {output}/results.csv, predictions_*_{folder.param_name}.npz")
    return INCOMPLETE if sounds and len(vectors.failures) else OK
