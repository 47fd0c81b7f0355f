"""The settings of a face network's training, and presets of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from emorec.batches.augmentation import Augmentation
from emorec.corpora.fer_votes import EVALUATED_AS, MODES
from emorec.errors import SpecError
from emorec.training.backend import JIT, PRECISIONS
from emorec.training.settings import check_settings

SCHEDULES = ("constant", "steps", "halved", "cosine")
NETWORKS = ("compact", "vgg13", "resnet50", "senet50")
LOSSES = ("distributions", "softmaxlog", "multi_target")


@dataclass(frozen=True)
class FacesConfig:
    """One training of a face network. Field names are the long options.

    Attributes
    ----------
    network : str
        One of `NETWORKS`.
    label_mode : str
        Key of `emorec.corpora.fer_votes.MODES`.
    loss : str
        ``distributions``: cross-entropy with the votes' shares; ``softmaxlog``: with
        the hard label; ``multi_target``: -log max(target x probability).
    batch_size, num_epochs, patience : int
        Patience 0 trains all epochs; the best epoch on validation is kept either way.
    learning_rate, schedule, warmup, momentum, weight_decay
        See `emorec.training.optimizers`.
    finetune_lr : float
        Factor on the rate of all layers but the classifier; 1 where nothing is loaded.
    dropout_rate : float
        Before the classifier.
    literal_dropout : bool
        Where Albanie et al.'s program drops instead, in resnet50 and senet50.
    augment, erase, jitter, mixup
        See `emorec.batches.augmentation.Augmentation`.
    label_smoothing : float
        Share of each target that is spread over all classes.
    ema : float
        Momentum of a moving average of the weights, which is validated and kept; 0
        keeps the weights themselves.
    dedup : bool
        Train and validate on no image that a later split has.
    weights, weights_sha256, head : str
        Weights to begin with: a path or URL, its digest; what becomes of their
        classifier, ``keep`` or ``replace``.
    partial : bool
        Load what fits although something of the weights does not.
    geometry : str
        ``caffe`` or ``keras``, of resnet50 and senet50.
    seed, jit, precision
        As everywhere.
    """

    network: str = "compact"
    label_mode: str = "cntk"
    loss: str = "distributions"
    batch_size: int = 128
    num_epochs: int = 180
    patience: int = 0
    learning_rate: float = 0.01
    schedule: str = "steps"
    warmup: float = 0.0
    momentum: float = 0.9
    weight_decay: float = 5e-4
    finetune_lr: float = 1.0
    dropout_rate: float = 0.5
    literal_dropout: bool = False
    augment: str = "albanie"
    erase: float = 0.0
    jitter: float = 0.0
    mixup: float = 0.0
    label_smoothing: float = 0.0
    ema: float = 0.0
    dedup: bool = False
    weights: str = ""
    weights_sha256: str = ""
    head: str = "replace"
    partial: bool = False
    geometry: str = "caffe"
    seed: int = 0
    jit: str = "auto"
    precision: str = "float32"

    def __post_init__(self) -> None:
        choices = {
            "network": NETWORKS,
            "label_mode": tuple(MODES),
            "loss": LOSSES,
            "schedule": SCHEDULES,
            "head": ("keep", "replace"),
            "jit": JIT,
            "precision": PRECISIONS,
        }
        ranges = {
            "batch_size": (1, 65536),
            "num_epochs": (1, 100_000),
            "patience": (0, 100_000),
            "learning_rate": (1e-12, 1e3),
            "momentum": (0, 0.9999),
            "weight_decay": (0, 1),
            "finetune_lr": (0, 10),
            "dropout_rate": (0, 0.99),
            "label_smoothing": (0, 0.99),
            "ema": (0, 0.99999),
        }
        check_settings(self, choices, ranges)
        if self.loss == "multi_target" and self.label_mode != "multi_target":
            raise SpecError(
                f"--loss multi_target with --label_mode {self.label_mode}: its targets "
                "are 0 or 1, so use --label_mode multi_target."
            )
        if self.label_mode == "multi_target" and self.loss != "multi_target":
            raise SpecError(
                f"--label_mode multi_target with --loss {self.loss}: its targets are "
                "no distribution, so use --loss multi_target."
            )
        if self.weights and self.network not in ("resnet50", "senet50"):
            raise SpecError(
                f"--weights with --network {self.network}: published weights are those "
                "of resnet50 and senet50."
            )
        _ = self.augmentation  # checks its own

    @property
    def augmentation(self) -> Augmentation:
        """What happens to training images."""
        return Augmentation(self.augment, self.erase, self.jitter, self.mixup)

    @property
    def evaluation_mode(self) -> str:
        """The label mode of validation and test."""
        return EVALUATED_AS[self.label_mode]

    @property
    def size(self) -> int:
        """Height and width that the network takes."""
        return {"compact": 48, "vgg13": 64}.get(self.network, 224)


# resnet50 and senet50 train as Albanie et al. (2018) did, vgg13 as Barsoum et al.
# (2016); compact is emorec's own, for two cores.
PRESETS = {
    "compact": FacesConfig(
        network="compact",
        label_mode="crossentropy",
        batch_size=64,
        num_epochs=24,
        learning_rate=0.1,
        schedule="cosine",
        warmup=1,
        weight_decay=5e-4,
        dropout_rate=0.3,
        augment="microsoft",
    ),
    "vgg13": FacesConfig(
        network="vgg13",
        label_mode="crossentropy",
        batch_size=32,
        num_epochs=100,
        learning_rate=0.05,
        schedule="halved",
        weight_decay=0.0,
        dropout_rate=0.5,
        augment="microsoft",
    ),
    "resnet50": FacesConfig(network="resnet50", finetune_lr=0.1),
    "senet50": FacesConfig(network="senet50", finetune_lr=0.1),
}


def from_preset(preset: str, given: dict[str, Any]) -> FacesConfig:
    """Return a preset with the options that were given.

    Without weights the whole network is new, so that all layers learn at full rate. A
    training that is not longer than the preset's warm-up has none.

    Raises
    ------
    SpecError
        When there is no such preset, or an option cannot be.
    """
    if preset not in PRESETS:
        raise SpecError(f"--preset {preset}: expected one of {', '.join(PRESETS)}.")
    config = replace(PRESETS[preset], **given)
    if not config.weights and "finetune_lr" not in given:
        config = replace(config, finetune_lr=1.0)
    if "warmup" not in given and config.warmup >= config.num_epochs:
        config = replace(config, warmup=0.0)
    return config
