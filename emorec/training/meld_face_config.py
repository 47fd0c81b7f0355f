"""The settings of MELD's face branch, by default and as published."""

from __future__ import annotations

from dataclasses import dataclass

from emorec.training.backend import JIT, PRECISIONS
from emorec.training.settings import check_settings

POOLS = ("last", "mean")


@dataclass(frozen=True)
class MeldFaceConfig:
    """One training of the face branch. Field names are the long options.

    Attributes
    ----------
    pool : str
        The last step's output, as published, or the ``mean`` over time.
    size : bool
        Divide each frame's points by their own size, so that the distance from the
        camera does not matter.
    literal : bool
        Keep the last epoch, not the one with the best weighted F1 on dev.
    batch_size, num_epochs, patience, learning_rate, weight_decay, clip
        Of Adam with L2 decay in the gradient and the whole gradient's norm clipped;
        patience counts epochs in which the loss on dev does not fall.
    seed, jit, precision
        As everywhere.
    """

    pool: str = "last"
    size: bool = True
    literal: bool = False
    batch_size: int = 16
    num_epochs: int = 40
    patience: int = 10
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    clip: float = 0.25
    seed: int = 0
    jit: str = "auto"
    precision: str = "float32"

    def __post_init__(self) -> None:
        check_settings(
            self,
            {"pool": POOLS, "jit": JIT, "precision": PRECISIONS},
            {
                "batch_size": (1, 65536),
                "num_epochs": (1, 100_000),
                "patience": (1, 100_000),
                "learning_rate": (1e-12, 1e3),
                "weight_decay": (0, 1),
                "clip": (1e-6, 1e6),
            },
        )

    @property
    def name(self) -> str:
        """What names the run and its predictions."""
        words = ["face", self.pool] + ["literal"] * self.literal
        return "_".join([*words, f"s_{self.seed}"])


# As published; the sequences as they lie in the frame, in pixels.
LITERAL = MeldFaceConfig(
    size=False,
    literal=True,
    batch_size=1,
    num_epochs=5,
    patience=5,
    learning_rate=0.005,
)
