"""The command ``emorec meld text``: emotions from the words of MELD."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from emorec.cli.console import INCOMPLETE, OK, say

OUTPUT = "models/meld"
MODELS = ("tfidf", "glove", "embeddings", "roberta")
# Option -> type, help; those of `emorec.training.meld_config.TextConfig`.
_OPTIONS: dict[str, tuple[Any, str]] = {
    "neutral": (
        str,
        "training utterances: all (default), or fewer neutral ones: ordered (without "
        "the earlier ones), random, joy (as many as of joy)",
    ),
    "context": (
        int,
        "tfidf, embeddings, roberta: utterances before that take part in the input",
    ),
    "neighbours": (
        int,
        "tfidf, embeddings: a second logistic regression sees the scores of so many "
        "utterances on either side",
    ),
    "classifier": (str, "embeddings: logistic (default), svm, boosting or xgboost"),
    "embeddings": (
        str,
        "embeddings: an .npz of ids and embeddings, or folder or name of a model",
    ),
    "program": (
        str,
        "embeddings: what loads the model: auto (default), sentence-transformers or "
        "keras-hub",
    ),
    "vectors": (str, "glove: file of word vectors, glove.*.txt or .npz"),
    "encoder": (str, "glove: lstm (default) or mean: how words become an utterance"),
    "dialogue": (
        str,
        "glove: none (default), dialogue or causal: which utterances an LSTM over the "
        "dialogue sees",
    ),
    "units": (int, "glove: units of each LSTM in each direction"),
    "num_nodes": (int, "glove: units of the dense layer"),
    "word_dropout": (float, "glove: share of words left out in training"),
    "max_words": (int, "glove: words of an utterance; of longer ones the last"),
    "preset": (str, "roberta: folder or name of a keras-hub preset"),
    "max_length": (int, "roberta: tokens of the input (95)"),
    "warmup": (float, "roberta: share of the steps over which the rate rises"),
    "dropout_rate": (float, "glove, roberta"),
    "learning_rate": (float, "glove, roberta"),
    "weight_decay": (float, "glove, roberta: of AdamW"),
    "batch_size": (int, "glove: dialogues; roberta: utterances"),
    "num_epochs": (int, "glove, roberta: the best one on dev is kept"),
    "patience": (int, "glove, roberta: epochs without improvement; 0: all epochs"),
    "networks": (int, "glove, roberta: networks whose probabilities are averaged"),
    "seed": (int, "everything follows from it"),
    "jit": (str, "auto, on or off: XLA"),
    "precision": (str, "float32 or mixed_bfloat16"),
}
_SWITCHES = {
    "adjust": "rare classes get more weight, as much as dev asks for",
    "causal": "tfidf, embeddings: --neighbours of the past alone",
    "tfidf_scores": "glove: the tfidf model's scores are features of an utterance",
    "fixed_words": "glove: word vectors are not trained further",
    "speaker_names": "roberta: each utterance begins with its speaker's name",
}


def add_command(commands: argparse._SubParsersAction) -> None:
    """Add ``text``."""
    parser = commands.add_parser(
        "text",
        help="emotions from the words: TF-IDF, GloVe, sentence embeddings, RoBERTa",
        description="Train a text system on MELD, choose its settings on dev, and "
        "report dev and test beside the constant predictor. A finished run is not "
        "repeated; the networks of an interrupted one go on. Exits with 3 when "
        "utterances have no words. Options not given are the model's.",
    )
    parser.add_argument("folder", metavar="DIR", help="folder of MELD's csv files")
    parser.add_argument("--model", default="tfidf", choices=MODELS)
    parser.add_argument(
        "--output", default=OUTPUT, metavar="DIR", help="folder of the results"
    )
    parser.add_argument("--name", default="", help="name of the run (its choices)")
    for name, (kind, about) in _OPTIONS.items():
        parser.add_argument(f"--{name}", type=kind, default=None, help=about)
    for name, about in _SWITCHES.items():
        parser.add_argument(f"--{name}", action="store_true", default=None, help=about)
    parser.set_defaults(run=text)


def text(arguments: argparse.Namespace) -> int:
    """Train and evaluate one text system."""
    from emorec.training.meld_config import text_config

    given = {
        name: value
        for name in (*_OPTIONS, *_SWITCHES)
        if (value := getattr(arguments, name)) is not None
    }
    config = text_config(arguments.model, given)
    from emorec.corpora.meld import read_meld
    from emorec.training.meld_text import run

    corpus = read_meld(arguments.folder)
    name = arguments.name or config.name
    run(config, corpus, Path(arguments.output), say, name)
    say(f"Written: {arguments.output}/*_{name}*, results.csv")
    empty = sum(not words.strip() for words in corpus.utterances)
    return INCOMPLETE if empty else OK
