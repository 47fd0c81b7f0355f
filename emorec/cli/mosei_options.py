"""The options of the main job: users' short flags, and the settings they fill."""

from __future__ import annotations

import argparse
from dataclasses import fields

from emorec.cli.console import threshold, yes_or_no
from emorec.corpora.mosei import FEATURES
from emorec.training.config import (
    NORMALISATIONS,
    VAL_METRICS,
    MoseiConfig,
)
from emorec.training.objectives import ACTIVATIONS, LABEL_TYPES, LOSSES, OPTIMIZERS

# group -> (short flag, field, help, keywords of add_argument)
_OPTIONS: dict[str, list[tuple[str | None, str, str, dict]]] = {
    "data": [
        (
            "-df",
            "dataset_folder",
            "folder of the .csd files; cmu_mosei by default, where a synthetic "
            "miniature is written when it holds none",
            {"metavar": "DIR"},
        ),
        (
            "-pnd",
            "pickle_name_dataset",
            "name of the pickle of the aligned dataset (default: cmu_mosei_aligned)",
            {"metavar": "NAME"},
        ),
        (
            "-pnf",
            "pickle_name_fold",
            "name of the pickles of the folds (default: cmu_mosei)",
            {"metavar": "NAME"},
        ),
        ("-pf", "pickle_folder", "folder of the pickles", {"metavar": "DIR"}),
        ("-t", "align_to_text", "make words the common steps", {}),
        ("-al", "append_label_to_data", "align to the labelled segments", {}),
        (
            "-c",
            "with_custom_split",
            "split as Williams et al. (2018) instead of the standard folds",
            {},
        ),
        (
            None,
            "folds",
            "source of the standard folds: auto (mmsdk where installed, else "
            "standard_folds.json beside the data), mmsdk, or a JSON file",
            {"metavar": "SOURCE"},
        ),
        (
            None,
            "ignore_unknown_videos",
            "go on when folds name videos that the labels lack",
            {},
        ),
        (
            "-f",
            "image_feature",
            "visual features of the SDK; or open: words, face and voice as emorec "
            "mosei extract has made them of raw clips",
            {"choices": FEATURES},
        ),
        (
            None,
            "drop_facet_emotions",
            "leave out FACET's own emotion estimates, which are close to the labels",
            {},
        ),
        (
            "-m",
            "modalities",
            "all, AV, AT, VT, A, V or T (audio, visual, text)",
            {"metavar": "SUBSET"},
        ),
        (
            None,
            "missing",
            "segments whose modalities differ in steps: drop them, or mask what is "
            "missing (default: drop; mask with open features)",
            {"choices": ("drop", "mask")},
        ),
        (
            None,
            "normalise",
            "image and audio: z-score over each segment, division by the training "
            "maximum (Williams et al.), standardised by training's mean and deviation, "
            "or none (default: zscore; standard with open features)",
            {"choices": NORMALISATIONS},
        ),
        (
            "-s",
            "fixed_num_steps",
            "steps per segment: the last so many are kept; 0 keeps all",
            {"metavar": "N"},
        ),
        ("-nc", "predict_neutral_class", "add the class neutral", {}),
        ("-lt", "label_type", "view of the scores to learn", {"choices": LABEL_TYPES}),
    ],
    "network": [
        ("-l", "num_layers", "bidirectional LSTM layers", {"choices": (1, 2, 3)}),
        ("-n", "num_nodes", "nodes of the dense layer", {"metavar": "N"}),
        ("-d", "dropout_rate", "dropout", {"metavar": "RATE"}),
        (
            "-a",
            "final_activ",
            "activation of the output (default: linear; sigmoid for present and "
            "dominant)",
            {"choices": ACTIVATIONS},
        ),
    ],
    "training": [
        ("-b", "batch_size", "segments per batch, over all GPUs", {"metavar": "N"}),
        ("-e", "num_epochs", "at most so many epochs", {"metavar": "N"}),
        (
            "-p",
            "patience",
            "stop after so many epochs without improvement",
            {"metavar": "N"},
        ),
        ("-lr", "learning_rate", "learning rate", {"metavar": "RATE"}),
        ("-opt", "optimizer", "optimiser", {"choices": OPTIMIZERS}),
        (
            "-lf",
            "loss_function",
            "loss (default: mean_absolute_error; binary_crossentropy for present and "
            "dominant)",
            {"choices": LOSSES},
        ),
        (
            "-v",
            "val_metric",
            "what early stopping watches on validation",
            {"choices": VAL_METRICS},
        ),
        (None, "seed", "seed of everything random", {"metavar": "N"}),
        (
            None,
            "jit",
            "XLA: auto leaves it to Keras (JAX: always; TensorFlow: not with LSTMs)",
            {"choices": ("auto", "on", "off")},
        ),
        (
            None,
            "precision",
            "arithmetic of the network",
            {"choices": ("float32", "mixed_bfloat16")},
        ),
        (
            None,
            "gpus",
            "GPUs of this host that share each batch (TensorFlow)",
            {"metavar": "N"},
        ),
        (None, "no_train", "evaluate the saved model of this name", {}),
        (None, "tensorboard", "write logs for TensorBoard", {}),
    ],
    "evaluation and outputs": [
        (
            "-tp",
            "threshold_emo_present",
            "an emotion is present from this score on (0: above 0); valid chooses one "
            "per emotion on validation; several give a row each",
            {"metavar": "SCORE", "nargs": "+", "type": threshold},
        ),
        ("-rd", "round_decimals", "decimals in the CSV tables", {"metavar": "N"}),
        ("-mf", "model_folder", "folder of all models", {"metavar": "DIR"}),
        (
            "-mn",
            "model_name",
            "folder of this model in it (default: early_fusion)",
            {"metavar": "NAME"},
        ),
        (
            "-cf",
            "csv_folder",
            "folder of the CSV tables, in the model's",
            {"metavar": "DIR"},
        ),
        ("-cn", "csv_name", "put before the tables' names", {"metavar": "NAME"}),
        ("-sp", "save_predictions", "write the predictions", {}),
        ("-scm", "save_confusion_matrix", "write the confusion matrices", {}),
        (None, "display_fig", "show the figures in windows", {}),
        (None, "h5", "write the model also as .h5", {}),
        (
            None,
            "overwrite",
            "replace a run of the same name with other settings",
            {},
        ),
    ],
}


# Open features are more than visual, and not of a dataset that was downloaded.
_OTHER_NAMES = {"image_feature": ("features",), "dataset_folder": ("data",)}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add every option of the main job, each with its default.

    A switch takes an optional value: ``-t``, ``-t true``, ``-t false``.
    """
    defaults = {field.name: field.default for field in fields(MoseiConfig)}
    for title, options in _OPTIONS.items():
        group = parser.add_argument_group(title)
        for short, name, text, keywords in options:
            default = defaults[name]
            keywords = {"default": default, "help": text} | keywords
            if isinstance(default, bool):
                keywords |= {
                    "nargs": "?",
                    "const": True,
                    "type": yes_or_no,
                    "metavar": "true|false",
                }
            elif default is not None and "type" not in keywords:
                keywords["type"] = type(default)
            flags = [f"--{name}"] if short is None else [short, f"--{name}"]
            flags += [f"--{other}" for other in _OTHER_NAMES.get(name, ())]
            group.add_argument(*flags, **keywords)
    parser.add_argument(
        "--dry_run", action="store_true", help="print what would be done, and stop"
    )


def config_of(arguments: argparse.Namespace) -> MoseiConfig:
    """Turn parsed options into a resolved configuration.

    Raises
    ------
    SpecError
        For an illegal combination.
    """
    values = {
        field.name: getattr(arguments, field.name) for field in fields(MoseiConfig)
    }
    values["threshold_emo_present"] = tuple(values["threshold_emo_present"])
    return MoseiConfig(**values).resolve()
