"""The commands on voices that take labels or any sounds: train, benchmark, embed."""

from __future__ import annotations

import argparse
from pathlib import Path

from emorec.cli import hosts as several
from emorec.cli import voices_options as options
from emorec.cli.console import INCOMPLETE, OK, say

FEATURES = ("logits", "embeddings", "librosa", "random")
PROTOCOLS = ("leave_speakers_out", "split", "literal")
_PRINTED = 5


def add_train(commands: argparse._SubParsersAction) -> None:
    """Add ``train``."""
    parser = commands.add_parser(
        "train",
        help="train a speech network on labels, tested on speakers it has not heard",
        description="Train a speech network from scratch (or --weights) on a corpus of "
        "labelled speech: one network per fold, tested on its speakers. Finished folds "
        "are not repeated. Options not given are the preset's.",
    )
    _add_labelled(parser)
    options.add_output(parser)
    parser.add_argument(
        "--preset", default="compact", help="compact (two cores) or vggm"
    )
    parser.add_argument(
        "--name", default="", help="name of the runs (corpus, preset and seed)"
    )
    parser.add_argument(
        "--protocol",
        default="leave_speakers_out",
        choices=PROTOCOLS[:2],
        help="folds of speakers, or the corpus' own split",
    )
    parser.add_argument(
        "--only", type=int, nargs="+", metavar="FOLD", help="train these folds only"
    )
    options.add_options(parser, options.TRAINING | options.LABELLED, options.SWITCHES)
    several.add_options(parser, gpus=True)
    parser.set_defaults(run=train)


def add_benchmark(commands: argparse._SubParsersAction) -> None:
    """Add ``benchmark``."""
    parser = commands.add_parser(
        "benchmark",
        help="what a network's frozen features are worth on labelled speech",
        description="Fit a logistic regression on what a frozen network says of each "
        "clip of a labelled corpus (RAVDESS, EmoDB, RML, eNTERFACE, AFEW), by folds of "
        "speakers and, apart, by the published random folds; beside it 185 librosa "
        "features, random features and the constant predictor.",
    )
    _add_labelled(parser)
    options.add_output(parser)
    parser.add_argument(
        "--model", default="", metavar="MODEL", help="a speech run by name or file"
    )
    parser.add_argument(
        "--features",
        nargs="+",
        default=None,
        choices=FEATURES,
        help="of the network its logits and embeddings; librosa; random (all that "
        "there are)",
    )
    parser.add_argument(
        "--protocol", nargs="+", choices=PROTOCOLS, help="all that the corpus allows"
    )
    parser.add_argument(
        "--faces",
        metavar="PATH",
        help="logits.npz of emorec faces label, or a store of emorec extract teacher, "
        "for the corpus' videos: its features as a further row",
    )
    parser.add_argument(
        "--aggregator",
        default="max",
        choices=("max", "mean", "peak"),
        help="how a clip's frames of --faces are joined",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.set_defaults(run=benchmark)


def add_embed(commands: argparse._SubParsersAction) -> None:
    """Add ``embed``."""
    parser = commands.add_parser(
        "embed",
        help="embeddings and scores of any sounds; resumes",
        description="Ask a speech network about sound files and write its embeddings "
        "(fc7), logits and scores. Exits with 3 when sounds were left out.",
    )
    parser.add_argument(
        "sounds", nargs="+", metavar="SOUND", help="sound files, or folders of such"
    )
    parser.add_argument("--model", default="", metavar="MODEL", help="a run")
    parser.add_argument(
        "--runs", default=options.OUTPUT, metavar="DIR", help="folder of the runs"
    )
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="folder of the results"
    )
    parser.set_defaults(run=embed)


def _add_labelled(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="folder of the labelled corpus")
    parser.add_argument(
        "--corpus",
        default="auto",
        help="ravdess, emodb, rml, enterface or afew (by the names of the files)",
    )


def train(arguments: argparse.Namespace) -> int:
    """Train and test a network per fold."""
    from emorec.corpora.acted import read_acted
    from emorec.training.voices_config import LABELLED_PRESETS, from_preset

    config = from_preset(arguments.preset, options.given(arguments), LABELLED_PRESETS)
    corpus = read_acted(arguments.folder, arguments.corpus)
    several.check_gpus(arguments.gpus)
    tell = several.join(arguments)
    from emorec.training import hosts, voice_benchmark
    from emorec.training.voices_labelled import train_folds, usable

    folder = Path(arguments.output)
    with hosts.here().in_turn():
        data = usable(corpus, folder / f"sounds_{corpus.dataset}.csv")
    tell(f"DATA: {data.corpus.describe()}")
    name = arguments.name or f"{corpus.dataset}_{arguments.preset}_seed_{config.seed}"
    if arguments.protocol == "split":
        name += "_split"
    result = train_folds(
        *(config, data, arguments.protocol, folder, name, tell, arguments.only),
        gpus=arguments.gpus,
    )
    if result is None:
        return OK  # the first host tests
    voice_benchmark.record(data.corpus, name, result, folder, config.seed, say)
    say(f"Written: {folder}/*_{name}*, benchmark_{corpus.dataset}.csv")
    return OK


def benchmark(arguments: argparse.Namespace) -> int:
    """Probe frozen features on a labelled corpus."""
    import pandas as pd

    from emorec.corpora.acted import read_acted
    from emorec.errors import SpecError

    corpus = read_acted(arguments.folder, arguments.corpus)
    from emorec.artifacts.logits import read_logits
    from emorec.training import voice_benchmark, voice_features, voice_runs
    from emorec.training.voice_feature_sets import feature_sets

    output = Path(arguments.output)
    wanted = arguments.features
    if wanted is None:
        wanted = [*(FEATURES[:2] if arguments.model else ()), *FEATURES[2:]]
    ear = None
    if {"logits", "embeddings"} & set(wanted):
        if not arguments.model:
            raise SpecError("--features logits and embeddings need a --model.")
        ear = voice_runs.find(arguments.model, output)
    found, failures = feature_sets(
        corpus,
        wanted,
        output / "features",
        ear and (lambda path: voice_runs.hear_one(ear, path)),
        ear.content if ear else "",
        seed=arguments.seed,
    )
    # Rows of several networks stand in one table.
    features = {
        f"{name} of {ear.name}" if ear and name in FEATURES[:2] else name: values
        for name, values in found.items()
    }
    if arguments.faces:
        faces = read_logits(arguments.faces)
        seen = voice_features.visual_features(corpus, faces, arguments.aggregator)
        failures = pd.concat([failures, seen.failures], ignore_index=True)
        features[f"faces ({arguments.aggregator})"] = seen.arrays["faces"]
    voice_benchmark.benchmark(
        corpus,
        features,
        arguments.protocol,
        output,
        say,
        arguments.seed,
        failures,
    )
    say(f"Written: {output}/benchmark_{corpus.dataset}.csv and figures beside it")
    return INCOMPLETE if len(failures) else OK


def embed(arguments: argparse.Namespace) -> int:
    """Write embeddings and scores of sounds."""
    from emorec.training.voice_embeddings import (
        EMBEDDINGS,
        FAILURES,
        embed,
        find_sounds,
    )
    from emorec.training.voice_runs import find

    sounds = find_sounds(arguments.sounds)
    ear = find(arguments.model, Path(arguments.runs))
    output = Path(arguments.output)
    heard, failures = embed(ear, sounds, output)
    for name, reason in failures[:_PRINTED]:
        say(f"left out: {name}: {reason}")
    if len(failures) > _PRINTED:
        say(f"left out: {len(failures) - _PRINTED} more, see {FAILURES}")
    say(f"{heard} sounds heard by {ear.name}; written to {output}/{EMBEDDINGS}")
    return INCOMPLETE if failures else OK
