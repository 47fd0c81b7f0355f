"""The settings of MELD's audio branch."""

from __future__ import annotations

from dataclasses import dataclass

from emorec.errors import SpecError
from emorec.training.backend import JIT, PRECISIONS
from emorec.training.scaling import KINDS
from emorec.training.settings import check_settings

MODELS = ("linear", "logistic", "mlp")
NEUTRAL = ("all", "ordered", "random", "joy")


@dataclass(frozen=True)
class MeldAudioConfig:
    """One training of the audio branch. Field names are the long options.

    Attributes
    ----------
    model : str
        ``mlp``: the notebooks' network; ``linear``: a single layer trained like it;
        ``logistic``: multinomial logistic regression, whose penalty the dev split
        chooses.
    neutral : str
        Which utterances of the class neutral training keeps: ``all``, or fewer; see
        `emorec.corpora.meld.fewer_neutral`.
    scaling : str
        One of `emorec.training.scaling.KINDS`.
    literal_scaling : bool
        Each split by its own statistics, dev and test too, as the notebooks did.
    literal : bool
        Keep the last epoch, as the notebooks did, not the one with the best weighted
        F1 on dev.
    batch_size, num_epochs, patience, learning_rate
        Of Adam; patience counts epochs in which the loss on dev does not fall.
    seed, jit, precision
        As everywhere.
    """

    model: str = "mlp"
    neutral: str = "all"
    scaling: str = "min_max"
    literal_scaling: bool = False
    literal: bool = False
    batch_size: int = 12
    num_epochs: int = 100
    patience: int = 50
    learning_rate: float = 1e-3
    seed: int = 0
    jit: str = "auto"
    precision: str = "float32"

    def __post_init__(self) -> None:
        check_settings(
            self,
            {
                "model": MODELS,
                "neutral": NEUTRAL,
                "scaling": KINDS,
                "jit": JIT,
                "precision": PRECISIONS,
            },
            {
                "batch_size": (1, 65536),
                "num_epochs": (1, 100_000),
                "patience": (1, 100_000),
                "learning_rate": (1e-12, 1e3),
            },
        )
        if self.literal and self.model == "logistic":
            raise SpecError(
                "--literal keeps the last epoch, but --model logistic has no epochs. "
                "Leave it out, or choose linear or mlp."
            )

    def name(self, features: str) -> str:
        """Return what names the run and its predictions."""
        words = ["audio", self.model, features, self.neutral]
        words += ["literal_scaling"] if self.literal_scaling else []
        words += ["literal"] if self.literal else []
        return "_".join([*words, f"s_{self.seed}"])
