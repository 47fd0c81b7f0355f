"""The settings of the main job: every option, its default, and what cannot be."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from emorec.corpora.mosei import FEATURES, MODALITIES, steps_of
from emorec.corpora.segments import MISSING
from emorec.errors import SpecError
from emorec.labels import MOSEI, MOSEI_NEUTRAL, LabelSchema
from emorec.training.backend import JIT, PRECISIONS
from emorec.training.objectives import (
    ACTIVATIONS,
    LABEL_TYPES,
    LOSSES,
    OPTIMIZERS,
    check_objective,
    default_activation,
    default_loss,
)

NORMALISATIONS = ("zscore", "maxabs", "standard", "none")
VAL_METRICS = ("loss", "acc")
_ALL_LETTERS = "TVA"


@dataclass(frozen=True)
class MoseiConfig:
    """One run of early fusion on CMU-MOSEI. Field names are the long options.

    None stands for a default that depends on other fields (`resolve`).
    """

    # Data
    dataset_folder: str | None = None
    pickle_name_dataset: str | None = None
    pickle_name_fold: str | None = None
    pickle_folder: str = "cmu_mosei/pickle_files"
    align_to_text: bool = True
    append_label_to_data: bool = True
    with_custom_split: bool = False
    folds: str = "auto"
    ignore_unknown_videos: bool = False
    image_feature: str = "facet"
    drop_facet_emotions: bool = False
    modalities: str = "all"
    missing: str | None = None
    normalise: str | None = None
    fixed_num_steps: int = 45
    predict_neutral_class: bool = False
    label_type: str = "all"
    # Network
    num_layers: int = 1
    num_nodes: int = 100
    dropout_rate: float = 0.2
    final_activ: str | None = None
    # Training
    batch_size: int = 32
    num_epochs: int = 30
    patience: int = 10
    learning_rate: float = 1e-3
    optimizer: str = "adam"
    loss_function: str | None = None
    val_metric: str = "loss"
    seed: int = 0
    jit: str = "auto"
    precision: str = "float32"
    gpus: int = 0
    no_train: bool = False
    tensorboard: bool = False
    # Evaluation and outputs
    threshold_emo_present: tuple[float | str, ...] = (0.0, "valid")
    round_decimals: int = 3
    model_folder: str = "models"
    model_name: str | None = None
    csv_folder: str = "csv"
    csv_name: str = ""
    save_predictions: bool = True
    save_confusion_matrix: bool = True
    display_fig: bool = False
    h5: bool = False
    overwrite: bool = False

    # Fields that change neither the model nor its scores.
    _SILENT: ClassVar[tuple[str, ...]] = (
        *("dataset_folder", "pickle_name_dataset", "pickle_name_fold"),
        *("pickle_folder", "no_train", "tensorboard", "round_decimals"),
        *("model_folder", "model_name", "csv_folder", "csv_name"),
        *("save_predictions", "save_confusion_matrix", "display_fig"),
        *("h5", "overwrite"),
    )

    # Fields that do not change the data, which are cut to the steps later.
    _NOT_OF_DATA: ClassVar[tuple[str, ...]] = (
        *("fixed_num_steps", "num_layers", "num_nodes", "dropout_rate"),
        *("final_activ", "batch_size", "num_epochs", "patience", "learning_rate"),
        *("optimizer", "loss_function", "val_metric", "seed", "jit", "precision"),
        *("gpus", "model_folder", "model_name"),
    )

    def resolve(self) -> MoseiConfig:
        """Fill in the defaults that depend on other fields, and check.

        Raises
        ------
        SpecError
            For a value or a combination that cannot be used; before any data is read.
        """
        # Clips as people make them lack a face or words here and there, and how loud
        # or cheerful a segment is as a whole must not be normalised away.
        raw = self.image_feature == "open"
        config = replace(
            self,
            missing=self.missing or ("mask" if raw else "drop"),
            normalise=self.normalise or ("standard" if raw else "zscore"),
            modalities=parse_modalities(self.modalities),
            final_activ=self.final_activ or default_activation(self.label_type),
            loss_function=self.loss_function or default_loss(self.label_type),
        )
        config._check()
        return config

    def _check(self) -> None:
        choices = {
            "image_feature": FEATURES,
            "missing": MISSING,
            "normalise": NORMALISATIONS,
            "label_type": LABEL_TYPES,
            "final_activ": ACTIVATIONS,
            "optimizer": OPTIMIZERS,
            "loss_function": LOSSES,
            "val_metric": VAL_METRICS,
            "jit": JIT,
            "precision": PRECISIONS,
            "num_layers": (1, 2, 3),
        }
        for name, allowed in choices.items():
            value = getattr(self, name)
            if value not in allowed:
                raise SpecError(
                    f"--{name} {value}: expected one of "
                    f"{', '.join(str(choice) for choice in allowed)}."
                )
        check_numbers(self)
        numbers = [limit for limit in self.threshold_emo_present if limit != "valid"]
        if not self.threshold_emo_present or not all(n >= 0 for n in numbers):
            raise SpecError(
                "--threshold_emo_present: expected thresholds of 0 or more, or valid."
            )
        check_objective(self.label_type, self.loss_function, self.final_activ)
        self._check_combinations()

    def _check_combinations(self) -> None:
        if not self.append_label_to_data:
            raise SpecError(
                "--append_label_to_data false: without labels there is nothing to "
                "learn. For an aligned dataset alone use: emorec mosei align DIR "
                "--output FILE.pkl --no_labels"
            )
        has_steps = steps_of(self.image_feature, self.align_to_text) is not None
        if not has_steps and len(self.modalities) > 1:
            raise SpecError(
                f"--align_to_text false with --modalities {self.modalities}: early "
                "fusion joins modalities word by word, and unaligned ones run at their "
                "own rates. Align to the text, or choose one modality."
            )
        if self.drop_facet_emotions and (
            self.image_feature != "facet" or "V" not in self.modalities
        ):
            raise SpecError(
                "--drop_facet_emotions: only for --image_feature facet in a run with "
                "the modality V."
            )
        if self.missing == "mask" and not has_steps:
            raise SpecError(
                "--missing mask with --align_to_text false: the words tell which steps "
                "are missing. Align to the text, or drop."
            )
        if self.with_custom_split and self.folds not in ("auto", "mmsdk"):
            raise SpecError(
                f"--with_custom_split with --folds {self.folds}: the custom split "
                "rearranges the standard folds; a file of your own is used as it is."
            )
        if self.predict_neutral_class and self.label_type == "coarse":
            raise SpecError(
                "--predict_neutral_class with --label_type coarse: neutral has no "
                "levels. Choose all, present or dominant."
            )
        if self.gpus > 1 and self.batch_size % self.gpus:
            raise SpecError(
                f"--gpus {self.gpus}: the batch of {self.batch_size} cannot be divided "
                f"among them. Choose a multiple of {self.gpus}."
            )

    @property
    def schema(self) -> LabelSchema:
        """Labels of the model's outputs."""
        return MOSEI_NEUTRAL if self.predict_neutral_class else MOSEI

    @property
    def presence_level(self) -> float:
        """The first threshold that is a number: from here on an emotion is present."""
        numbers = [limit for limit in self.threshold_emo_present if limit != "valid"]
        return float(numbers[0]) if numbers else 0.0

    @property
    def param_name(self) -> str:
        """The users' name of a run: ``l_2_n_128_d_0.2_b_32_s_45``."""
        return (
            f"l_{self.num_layers}_n_{self.num_nodes}_d_{self.dropout_rate:g}"
            f"_b_{self.batch_size}_s_{self.fixed_num_steps}"
        )

    @property
    def model_directory(self) -> Path:
        """Where the run's results lie; call after names are resolved."""
        return Path(self.model_folder) / str(self.model_name)

    def identity(self) -> dict[str, Any]:
        """Return the settings that decide the model and its scores."""
        content = asdict(self)
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in content.items()
            if name not in self._SILENT
        }

    def of_data(self) -> dict[str, Any]:
        """Return the settings that may decide what data a run loads and writes."""
        content = asdict(self)
        return {k: v for k, v in content.items() if k not in self._NOT_OF_DATA}


# Least values of the numbers that networks and trainings share.
_LEAST = {
    "batch_size": 1,
    "num_nodes": 1,
    "num_epochs": 1,
    "patience": 1,
    "fixed_num_steps": 0,
    "round_decimals": 0,
    "seed": 0,
    "gpus": 0,
}


def check_numbers(config: Any) -> None:
    """Check the numbers that a configuration has.

    Raises
    ------
    SpecError
        When one is out of its range.
    """
    for name, least in _LEAST.items():
        if getattr(config, name, least) < least:
            raise SpecError(
                f"--{name} {getattr(config, name)}: expected at least {least}."
            )
    if not 0 <= config.dropout_rate < 1:
        raise SpecError(
            f"--dropout_rate {config.dropout_rate}: expected a rate in [0, 1)."
        )
    if not 0 < config.learning_rate < float("inf"):
        raise SpecError(
            f"--learning_rate {config.learning_rate}: expected a rate above 0."
        )


def parse_modalities(text: str) -> str:
    """Return the letters of a subset in the order of fusion: ``AV`` -> ``VA``.

    Raises
    ------
    SpecError
        When a letter is unknown or repeated.
    """
    letters = _ALL_LETTERS if text.lower() == "all" else text.upper()
    if (
        not letters
        or set(letters) - set(MODALITIES)
        or len(set(letters)) < len(letters)
    ):
        raise SpecError(
            f"--modalities {text}: expected all, AV, AT, VT, A, V or T "
            "(A audio, V image, T text)."
        )
    return "".join(letter for letter in _ALL_LETTERS if letter in letters)
