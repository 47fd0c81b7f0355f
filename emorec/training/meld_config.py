"""The settings of MELD's text systems, and their defaults by model."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from emorec.corpora.meld import WAYS
from emorec.errors import SpecError
from emorec.features.sentence_embeddings import PROGRAMS
from emorec.training.backend import JIT, PRECISIONS
from emorec.training.settings import check_settings

MODELS = ("tfidf", "glove", "embeddings", "roberta")
CLASSIFIERS = ("logistic", "svm", "boosting", "xgboost")
NEUTRAL = ("all", *WAYS)
ENCODERS = ("lstm", "mean")
CONTEXTS = ("none", "dialogue", "causal")


@dataclass(frozen=True)
class TextConfig:
    """One text system. Field names are the long options.

    Attributes
    ----------
    model : str
        ``tfidf``: words and characters, logistic regression; ``glove``: word vectors
        and LSTMs; ``embeddings``: frozen sentence embeddings and a classifier;
        ``roberta``: a RoBERTa, all of whose weights are trained.
    neutral : str
        Training utterances: ``all``, or `emorec.corpora.meld.fewer_neutral`'s ways.
    context : int
        tfidf, embeddings, roberta: how many utterances before take part in the input.
    neighbours : int
        tfidf, embeddings with ``logistic``: a second logistic regression sees the
        scores of so many utterances on either side.
    causal : bool
        `neighbours` of the past alone. (Of ``glove`` see `dialogue`.)
    adjust : bool
        Rare classes get more weight, as dev asks for:
        `emorec.training.meld_classifiers.adjust`.
    classifier : str
        embeddings: one of `CLASSIFIERS`.
    embeddings, program : str
        embeddings: see `emorec.features.sentence_embeddings.embeddings_of`.
    vectors : str
        glove: file of word vectors; without one, all are learnt.
    encoder, dialogue : str
        glove: see `emorec.models.dialogue_lstm`, where `dialogue` is ``context``.
    tfidf_scores : bool
        glove: out-of-fold scores of the tfidf model are features of an utterance.
    units, num_nodes, dropout_rate, word_dropout, max_words, fixed_words
        glove: sizes and dropout; words of an utterance; whether vectors stay fixed.
    preset : str
        roberta: folder or name of a preset of keras-hub.
    speaker_names : bool
        roberta: each utterance begins with its speaker's name.
    max_length : int
        roberta: tokens of the input with its context, special ones included.
    learning_rate, weight_decay, warmup : float
        glove, roberta: of AdamW; share of the steps over which roberta's rate rises.
    batch_size, num_epochs, patience : int
        glove (dialogues per batch), roberta (utterances). The epoch of the best
        weighted F1 on dev is kept; `patience` epochs without a better one end it.
    networks : int
        glove, roberta: so many networks, of the seeds `seed`, `seed` + 1 and so on;
        the answer is the mean of their probabilities.
    seed, jit, precision
        As everywhere.
    """

    model: str = "tfidf"
    neutral: str = "all"
    context: int = 0
    neighbours: int = 0
    causal: bool = False
    adjust: bool = False
    classifier: str = "logistic"
    embeddings: str = ""
    program: str = "auto"
    vectors: str = ""
    encoder: str = "lstm"
    dialogue: str = "none"
    tfidf_scores: bool = False
    units: int = 64
    num_nodes: int = 100
    dropout_rate: float = 0.3
    word_dropout: float = 0.2
    max_words: int = 32
    fixed_words: bool = False
    preset: str = "roberta_base_en"
    speaker_names: bool = False
    max_length: int = 95
    learning_rate: float = 3e-3
    weight_decay: float = 0.0
    warmup: float = 0.0
    batch_size: int = 8
    num_epochs: int = 15
    patience: int = 4
    networks: int = 1
    seed: int = 0
    jit: str = "auto"
    precision: str = "float32"

    def __post_init__(self) -> None:
        choices = {
            "model": MODELS,
            "neutral": NEUTRAL,
            "classifier": CLASSIFIERS,
            "program": PROGRAMS,
            "encoder": ENCODERS,
            "dialogue": CONTEXTS,
            "jit": JIT,
            "precision": PRECISIONS,
        }
        ranges = {
            "context": (0, 50),
            "neighbours": (0, 20),
            "units": (1, 4096),
            "num_nodes": (1, 65536),
            "dropout_rate": (0, 0.99),
            "word_dropout": (0, 0.99),
            "max_words": (1, 512),
            "max_length": (8, 512),
            "learning_rate": (1e-12, 1e3),
            "weight_decay": (0, 1),
            "warmup": (0, 0.9),
            "batch_size": (1, 65536),
            "num_epochs": (1, 100_000),
            "patience": (0, 100_000),
            "networks": (1, 100),
        }
        check_settings(self, choices, ranges)
        if self.model == "embeddings" and not self.embeddings:
            raise SpecError(
                "--model embeddings needs --embeddings: an .npz of ids and embeddings, "
                "a folder or the name of a sentence model."
            )
        if self.neighbours and self.classifier != "logistic":
            raise SpecError(
                f"--neighbours with --classifier {self.classifier}: its second stage "
                "is for logistic."
            )

    def settings(self) -> dict[str, Any]:
        """Return what decides the result: the fields that this model uses."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if self.model in OF.get(field.name, MODELS)
        }

    @property
    def name(self) -> str:
        """A name of the run that tells the main choices."""
        parts = ["text", self.model]
        if self.model == "embeddings":
            parts.append(self.classifier)
        if self.model == "glove" and self.encoder != "lstm":
            parts.append(self.encoder)
        if self.model == "glove" and self.dialogue != "none":
            parts.append(self.dialogue)
        if self.model == "glove" and self.tfidf_scores:
            parts.append("tfidf-scores")
        if self.context and self.model != "glove":
            parts.append(f"context-{self.context}")
        if self.neighbours and self.model in OF["neighbours"]:
            parts.append(f"neighbours-{self.neighbours}")
            parts += ["causal"] * self.causal
        if self.speaker_names:
            parts.append("speakers")
        parts += ["adjusted"] * self.adjust
        if self.neutral != "all":
            parts.append(f"neutral-{self.neutral}")
        return "_".join(parts)


_TRAINED = ("glove", "roberta")
# Option -> the models that it is for; others are for all.
OF: dict[str, tuple[str, ...]] = {
    "context": ("tfidf", "embeddings", "roberta"),
    "neighbours": ("tfidf", "embeddings"),
    "causal": ("tfidf", "embeddings"),
    "classifier": ("embeddings",),
    "embeddings": ("embeddings",),
    "program": ("embeddings",),
    **dict.fromkeys(
        (
            "vectors",
            "encoder",
            "dialogue",
            "tfidf_scores",
            "units",
            "num_nodes",
            "word_dropout",
            "max_words",
            "fixed_words",
        ),
        ("glove",),
    ),
    "preset": ("roberta",),
    "speaker_names": ("roberta",),
    "max_length": ("roberta",),
    "warmup": ("roberta",),
    **dict.fromkeys(
        (
            "dropout_rate",
            "learning_rate",
            "weight_decay",
            "batch_size",
            "num_epochs",
            "patience",
            "networks",
            "jit",
            "precision",
        ),
        _TRAINED,
    ),
}

DEFAULTS: dict[str, dict[str, Any]] = {
    # Communicative Robots (2020); rate, batch, epochs and warm-up as Devlin et al.
    # (2019), appendix A.3, recommend and Liu et al. (2019), table 10, have them.
    "roberta": {
        "learning_rate": 2e-5,
        "weight_decay": 0.01,
        "warmup": 0.06,
        "batch_size": 16,
        "num_epochs": 3,
        "patience": 0,
        "dropout_rate": 0.3,
    },
}


def text_config(model: str, given: dict[str, Any]) -> TextConfig:
    """Return a model's defaults with the options that were given.

    Raises
    ------
    SpecError
        When an option is not for this model, or cannot be.
    """
    for option in given:
        if model not in OF.get(option, MODELS):
            raise SpecError(
                f"--{option} with --model {model}: the option is for --model "
                f"{' or '.join(OF[option])}."
            )
    start = TextConfig(model=model, embeddings="given" if model == "embeddings" else "")
    if model == "embeddings":
        given = {"embeddings": "", **given}
    return replace(start, **{**DEFAULTS.get(model, {}), **given})
