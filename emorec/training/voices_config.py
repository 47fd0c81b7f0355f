"""The settings of a speech network's training, and presets of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from emorec.batches.sound_parts import SoundChanges
from emorec.batches.speech_input import FEATURES, SpeechInput
from emorec.errors import SpecError
from emorec.training.backend import JIT, PRECISIONS
from emorec.training.settings import check_settings

STUDENTS = ("vggm", "compact", "statistics")
LOSSES = ("hot-cross-ent", "kl", "softmaxlog", "euclidean", "huber")
AGGREGATORS = ("max", "mean")
OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("constant", "logspace", "cosine")


@dataclass(frozen=True)
class VoicesConfig:
    """One training of a speech network. Field names are the long options.

    Attributes
    ----------
    student : str
        One of `STUDENTS`: the published network, a narrow one, or a narrow one that
        joins time by mean and deviation.
    features, num_seconds, literal_rate, part, normalisation
        See `emorec.batches.speech_input.SpeechInput`.
    test_speeds : tuple of int
        Its ``speeds``.
    loss_type, temperature
        See `emorec.training.distillation.distillation_loss`. Training with labels uses
        softmaxlog.
    logit_aggregator : {"max", "mean"}
        How the teacher's rows of a part become one.
    fixed_segments : bool
        Take all of a clip's rows for any of its parts.
    num_pred_emotions : int
        The first so many of the teacher's emotions.
    mini_epoch_ratio : float
        Share of the training clips in an epoch, drawn anew each time.
    mini_val : float
        Share of unheardVal's clips that is validated.
    keep : {"last", "best"}
        Which epoch's weights are kept: of the best, validation chose, so that the
        clips that it validated on are no test.
    batch_size, num_epochs, patience : int
        Patience 0 trains all epochs.
    optimizer, learning_rate, schedule, warmup, momentum, weight_decay
        See `emorec.training.optimizers`; logspace falls to a tenth, in equal factors
        from epoch to epoch.
    dropout_rate : float
        Of fc6 and fc7.
    label_smoothing, mixup : float
        Of training with labels.
    speed, shift, noise, noise_dir, gain
        See `emorec.batches.sound_parts.SoundChanges`; the sounds of a folder.
    other_voices : float
        Share of `emorec.batches.speakers.OtherVoices`; needs normalisation train.
    bands, widest_band, stretches, longest_stretch
        See `emorec.models.speech_layers.SpecAugment`.
    ema : float
        Momentum of a moving average of the weights, which is validated and kept.
    weights : str
        A trained run's .keras file to begin with; the classifier is drawn anew where
        it has other labels.
    seed, jit, precision
        As everywhere.
    """

    student: str = "vggm"
    features: str = "voxceleb"
    num_seconds: float = 4.0
    literal_rate: bool = False
    part: str = "random"
    normalisation: str = "clip"
    test_speeds: tuple[int, ...] = (100,)
    loss_type: str = "hot-cross-ent"
    temperature: float = 2.0
    logit_aggregator: str = "max"
    fixed_segments: bool = False
    num_pred_emotions: int = 8
    mini_epoch_ratio: float = 0.05
    mini_val: float = 0.2
    keep: str = "last"
    batch_size: int = 64
    num_epochs: int = 300
    patience: int = 0
    optimizer: str = "sgd"
    learning_rate: float = 1e-4
    schedule: str = "logspace"
    warmup: float = 0.0
    momentum: float = 0.9
    weight_decay: float = 5e-4
    dropout_rate: float = 0.0
    label_smoothing: float = 0.0
    mixup: float = 0.0
    speed: float = 0.0
    shift: float = 0.0
    other_voices: float = 0.0
    noise: float = 0.0
    noise_dir: str = ""
    gain: float = 0.0
    bands: int = 0
    widest_band: float = 0.125
    stretches: int = 0
    longest_stretch: float = 0.1
    ema: float = 0.0
    weights: str = ""
    seed: int = 0
    jit: str = "auto"
    precision: str = "float32"

    def __post_init__(self) -> None:
        choices = {
            "student": STUDENTS,
            "features": FEATURES,
            "loss_type": LOSSES,
            "logit_aggregator": AGGREGATORS,
            "keep": ("last", "best"),
            "optimizer": OPTIMIZERS,
            "schedule": SCHEDULES,
            "jit": JIT,
            "precision": PRECISIONS,
        }
        ranges = {
            "temperature": (1e-3, 1e3),
            "num_pred_emotions": (2, 8),
            "mini_epoch_ratio": (1e-6, 1),
            "mini_val": (1e-6, 1),
            "batch_size": (1, 65536),
            "num_epochs": (1, 100_000),
            "patience": (0, 100_000),
            "learning_rate": (1e-12, 1e3),
            "momentum": (0, 0.9999),
            "weight_decay": (0, 1),
            "dropout_rate": (0, 0.99),
            "label_smoothing": (0, 0.99),
            "mixup": (0, 10),
            "other_voices": (0, 1),
            "bands": (0, 20),
            "widest_band": (0, 1),
            "stretches": (0, 20),
            "longest_stretch": (0, 1),
            "ema": (0, 0.99999),
        }
        check_settings(self, choices, ranges)
        if self.student == "vggm" and self.features != "voxceleb":
            raise SpecError(
                f"--student vggm with --features {self.features}: the published "
                "network takes 512 bins. Use --student compact, or --features voxceleb."
            )
        if self.patience and self.keep == "last":
            raise SpecError("--patience needs --keep best.")
        if self.other_voices and self.normalisation != "train":
            raise SpecError("--other_voices needs --normalisation train.")
        # They check their own; what follows from the data comes later.
        _ = self.speech_input, self._changes(())

    @property
    def speech_input(self) -> SpeechInput:
        """How sounds enter the network."""
        return SpeechInput(
            self.features,
            self.num_seconds,
            self.literal_rate,
            self.part,
            self.normalisation,
            speeds=tuple(self.test_speeds),
        )

    def changes(self) -> SoundChanges:
        """Return what happens to parts in training; looks into `noise_dir`.

        Raises
        ------
        SpecError
            When the folder holds no sounds.
        """
        from emorec.features.audio import AUDIO_SUFFIXES

        files: list[Path] = []
        if self.noise_dir:
            files = sorted(
                path
                for path in Path(self.noise_dir).rglob("*")
                if path.suffix.lower() in AUDIO_SUFFIXES
            )
            if not files:
                raise SpecError(f"--noise_dir {self.noise_dir}: no sounds there.")
        return self._changes(tuple(files))

    def _changes(self, files: tuple[Path, ...]) -> SoundChanges:
        return SoundChanges(self.speed, self.shift, self.noise, files, self.gain)


# distil: vggm as Albanie et al. (2018) trained it (their code, where their text
# differs); compact is emorec's own, for two cores.
PRESETS = {
    "vggm": VoicesConfig(),
    "compact": VoicesConfig(
        student="compact",
        features="logmel",
        mini_epoch_ratio=1.0,
        mini_val=1.0,
        batch_size=32,
        num_epochs=20,
        learning_rate=0.02,
        schedule="cosine",
        warmup=1,
    ),
}


# With labels: the recipe that was best on validation actors of RAVDESS, for two cores;
# the same network with the published front end; and the published network.
_LABELLED = VoicesConfig(
    student="statistics",
    features="logmel",
    loss_type="softmaxlog",
    num_seconds=2.24,
    part="speech",
    normalisation="train",
    test_speeds=(80, 84, 89, 94, 100, 106, 112, 119, 125),
    mini_epoch_ratio=1.0,
    batch_size=32,
    num_epochs=70,
    optimizer="adamw",
    learning_rate=3e-3,
    schedule="cosine",
    warmup=3,
    weight_decay=0.05,
    dropout_rate=0.3,
    label_smoothing=0.05,
    speed=0.25,
    shift=0.3,
    other_voices=0.8,
    bands=1,
    widest_band=10 / 64,
    stretches=1,
    longest_stretch=25 / 224,
    ema=0.995,
)
LABELLED_PRESETS = {
    "compact": _LABELLED,
    "compact_voxceleb": replace(_LABELLED, features="voxceleb"),
    "vggm": replace(_LABELLED, student="vggm", features="voxceleb", learning_rate=3e-4),
}


def from_preset(
    preset: str, given: dict[str, Any], presets: dict[str, VoicesConfig] | None = None
) -> VoicesConfig:
    """Return a preset with the options that were given.

    A training that is not longer than the preset's warm-up has none.

    Raises
    ------
    SpecError
        When there is no such preset, or an option cannot be.
    """
    presets = PRESETS if presets is None else presets
    if preset not in presets:
        raise SpecError(f"--preset {preset}: expected one of {', '.join(presets)}.")
    config = replace(presets[preset], **given)
    if "warmup" not in given and config.warmup >= config.num_epochs:
        config = replace(config, warmup=0.0)
    return config
