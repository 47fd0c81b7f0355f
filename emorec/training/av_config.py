"""The settings of an audio-visual training; the published ones are the defaults."""

from __future__ import annotations

from dataclasses import dataclass

from emorec.batches.audiovisual import AUDIO, VIDEO
from emorec.batches.modality_dropout import FILLS, MASKS
from emorec.errors import SpecError
from emorec.training.backend import JIT, PRECISIONS
from emorec.training.settings import check_settings

FUSIONS = ("ia", "it", "lt")
# Networks of one modality, to compare with.
ALONE = (AUDIO, VIDEO)


@dataclass(frozen=True)
class AvConfig:
    """One training. Field names are the long options, those of the published program.

    Attributes
    ----------
    fusion, num_heads
        See `emorec.models.audiovisual.audiovisual`; ``audio`` or ``video`` is the
        network of that modality alone.
    mask : str
        See `emorec.batches.modality_dropout.drop_modalities`.
    fill : str
        What stands for a modality that a clip lacks; empty: as the mask has it.
    pretrain_path : str
        EfficientFace's checkpoint for the frame network.
    pretrain_audio : str
        Model file of a network of ``--fusion audio``, with whose weights the audio's
        part begins; in folds ``{fold}`` in it is the fold's number.
    freeze_frames : bool
        Compute the frames' features once and train what is behind them: for a CPU.
        Faces are not augmented then, and masks act on the features.
    coefficients : int
        MFCC of a step of audio.
    standardise : bool
        Give each MFCC mean 0 and deviation 1 over the training clips. Features of
        faces, given or of frozen frames, always have them.
    dropout : float
        Of features of faces and of what is classified, where frames are frozen or
        their features given; the published network has none.
    no_val : bool
        Learn from the validation clips, too, and keep the last epoch.
    batch_size, n_epochs : int
        Clips per batch, before masks make copies; the best epoch on validation is kept.
    learning_rate, momentum, dampening, weight_decay : float
        Of PyTorch's SGD: a dampening d makes each step 1 - d times as long.
    lr_steps : tuple of int
        Epochs at which the rate falls to a tenth.
    manual_seed, jit, precision
        As everywhere.
    """

    fusion: str = "ia"
    num_heads: int = 1
    mask: str = "softhard"
    fill: str = ""
    pretrain_path: str = ""
    pretrain_audio: str = ""
    freeze_frames: bool = False
    coefficients: int = 10
    standardise: bool = False
    dropout: float = 0.0
    no_val: bool = False
    batch_size: int = 8
    n_epochs: int = 100
    learning_rate: float = 0.04
    momentum: float = 0.9
    dampening: float = 0.9
    weight_decay: float = 1e-3
    lr_steps: tuple[int, ...] = (40, 55, 65, 70, 200, 250)
    manual_seed: int = 1
    jit: str = "auto"
    precision: str = "float32"

    def __post_init__(self) -> None:
        choices = {
            "fusion": (*FUSIONS, *ALONE),
            "mask": MASKS,
            "fill": ("", *FILLS),
            "jit": JIT,
            "precision": PRECISIONS,
        }
        ranges = {
            "num_heads": (1, 128),
            "coefficients": (1, 128),
            "batch_size": (1, 65536),
            "n_epochs": (1, 100_000),
            "learning_rate": (1e-12, 1e3),
            "momentum": (0, 0.9999),
            "dropout": (0, 0.9999),
            "dampening": (0, 0.9999),
            "weight_decay": (0, 1),
        }
        check_settings(self, choices, ranges)
        if self.fusion in ALONE and self.mask != "nodropout":
            raise SpecError(
                f"--fusion {self.fusion} --mask {self.mask}: a network of one modality "
                "has none to lose; give --mask nodropout."
            )
        if (
            list(self.lr_steps) != sorted(set(self.lr_steps))
            or min(self.lr_steps, default=1) < 1
        ):
            raise SpecError(
                f"--lr_steps {list(self.lr_steps)}: expected epochs in rising order."
            )

    @property
    def inputs(self) -> tuple[str, ...]:
        """The modalities that the network takes."""
        return (self.fusion,) if self.fusion in ALONE else (AUDIO, VIDEO)

    @property
    def run_name(self) -> str:
        """What a run is called that is given no name."""
        parts = [self.fusion]
        if self.fusion not in ALONE:
            parts += [self.mask, str(self.num_heads)]
        return "_".join([*parts, "seed", str(self.manual_seed)])

    @property
    def rate(self) -> float:
        """Keras' rate for the same steps."""
        return self.learning_rate * (1 - self.dampening)


# For two cores: what is trained on where no data are named.
MINIATURE = {
    "freeze_frames": True,
    "n_epochs": 30,
    "learning_rate": 0.1,
    "lr_steps": (20,),
}
