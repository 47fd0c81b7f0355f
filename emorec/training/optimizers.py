"""Stochastic gradient descent with weight decay in the gradient and rates per group."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from emorec.errors import SpecError

SCHEDULES = ("constant", "steps", "halved", "cosine", "logspace")
# Schedule -> share of the epochs -> factor on the rate from there on.
_FALLS = {"steps": {1 / 3: 0.1, 2 / 3: 0.01}, "halved": {0.2: 0.5, 0.4: 0.1}}


@keras.saving.register_keras_serializable("emorec")
class GroupedSGD(keras.optimizers.SGD):
    """SGD as MatConvNet and Caffe do it.

    Keras' own weight decay acts beside the gradient and so escapes the momentum; here
    it is part of the gradient, as in the programs whose rates are published.

    Parameters
    ----------
    learning_rate : float or schedule
        Rate of the head.
    momentum : float
        Of the velocity.
    decay : float
        L2 weight decay of every trainable variable.
    backbone_rate : float
        Factor on the rate of all variables but those of `head`.
    head : str
        A part of the head's variables' paths: the name of its layer.
    **kwargs
        Those of `keras.optimizers.SGD`.
    """

    def __init__(
        self,
        learning_rate=0.01,
        momentum: float = 0.9,
        decay: float = 0.0,
        backbone_rate: float = 1.0,
        head: str = "classifier",
        **kwargs,
    ) -> None:
        super().__init__(learning_rate, momentum=momentum, **kwargs)
        self.decay = decay
        self.backbone_rate = backbone_rate
        self.head = head

    def update_step(self, gradient, variable, learning_rate):
        """Move one variable."""
        # On TensorFlow this is its own variable, without the path.
        path = self._trainable_variables[self._get_variable_index(variable)].path
        if self.backbone_rate != 1 and self.head not in path.split("/"):
            learning_rate = learning_rate * self.backbone_rate
        if self.decay:
            pull = ops.multiply(variable, ops.cast(self.decay, variable.dtype))
            gradient = ops.add(ops.cast(gradient, variable.dtype), pull)
        super().update_step(gradient, variable, learning_rate)

    def get_config(self):
        """Return the constructor's arguments."""
        own = ("decay", "backbone_rate", "head")
        return super().get_config() | {name: getattr(self, name) for name in own}


@keras.saving.register_keras_serializable("emorec")
class DecayedAdam(keras.optimizers.Adam):
    """Adam with L2 weight decay as part of the gradient, as PyTorch's Adam has it.

    Keras' own weight decay, AdamW's, acts beside the gradient. Here gradients are
    clipped first, then the decay is added to them.

    Parameters
    ----------
    learning_rate : float or schedule
    decay : float
        L2 weight decay of every trainable variable.
    **kwargs
        Those of `keras.optimizers.Adam`.
    """

    def __init__(self, learning_rate=1e-3, decay: float = 0.0, **kwargs) -> None:
        super().__init__(learning_rate, **kwargs)
        self.decay = decay

    def update_step(self, gradient, variable, learning_rate):
        """Move one variable."""
        if self.decay:
            pull = ops.multiply(variable, ops.cast(self.decay, variable.dtype))
            gradient = ops.add(ops.cast(gradient, variable.dtype), pull)
        super().update_step(gradient, variable, learning_rate)

    def get_config(self):
        """Return the constructor's arguments."""
        return super().get_config() | {"decay": self.decay}


@keras.saving.register_keras_serializable("emorec")
class Milestones(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that falls to a tenth at given epochs, told per step.

    Parameters
    ----------
    rate : float
        The first rate.
    epochs : sequence of int
        At whose beginnings, counted from 0, the rate falls.
    steps : int
        Steps of an epoch.
    """

    def __init__(self, rate: float, epochs, steps: int) -> None:
        self.rate, self.epochs, self.steps = rate, list(epochs), steps

    def __call__(self, step):
        """Return the rate of a step, counted from 0."""
        # Half a step keeps the comparison off its edge.
        epoch = (ops.cast(step, "float32") + 0.5) / self.steps
        rate = ops.full_like(epoch, self.rate)
        for begin in self.epochs:
            rate = ops.where(epoch >= begin, rate * 0.1, rate)
        return rate

    def get_config(self):
        """Return the constructor's arguments."""
        return {"rate": self.rate, "epochs": self.epochs, "steps": self.steps}


@keras.saving.register_keras_serializable("emorec")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate over epochs, told per step.

    Parameters
    ----------
    kind : {"constant", "steps", "halved", "cosine", "logspace"}
        ``steps`` divides the rate by ten after each third of the epochs (Albanie et
        al., 2018); ``halved`` halves it after a fifth and leaves a tenth after two
        fifths (Barsoum et al., 2016); ``cosine`` lets it fall to 0 along half a cosine;
        ``logspace`` to a tenth in the last epoch, by equal factors from one epoch to
        the next (Albanie et al., 2018, published code).
    rate : float
        The first rate.
    epochs, steps : int
        Epochs of the training, steps of an epoch.
    warmup : float
        Epochs over which the rate rises from 0, part of `epochs`.

    Raises
    ------
    SpecError
        When there is no such schedule, or the warm-up is not shorter than the training.
    """

    def __init__(
        self, kind: str, rate: float, epochs: int, steps: int, warmup: float = 0.0
    ) -> None:
        if kind not in SCHEDULES:
            raise SpecError(
                f"--schedule {kind}: expected one of {', '.join(SCHEDULES)}."
            )
        if not 0 <= warmup < epochs:
            raise SpecError(
                f"--warmup {warmup}: expected fewer than the {epochs} epochs."
            )
        self.kind, self.rate, self.warmup = kind, rate, warmup
        self.epochs, self.steps = epochs, steps

    def __call__(self, step):
        """Return the rate of a step, counted from 0."""
        epoch = ops.cast(step, "float32") / self.steps
        rate = ops.full_like(epoch, self.rate)
        if self.kind == "cosine":
            share = (epoch - self.warmup) / (self.epochs - self.warmup)
            share = ops.clip(share, 0.0, 1.0)
            rate = rate * 0.5 * (1 + ops.cos(np.pi * share))
        if self.kind == "logspace":
            # Half a step keeps an epoch's beginning off the edge.
            done = ops.floor(epoch + 0.5 / self.steps)
            rate = rate * 10 ** (-done / max(1, self.epochs - 1))
        for share, factor in _FALLS.get(self.kind, {}).items():
            # Half a step keeps the comparison off its edge.
            later = epoch + 0.5 / self.steps >= share * self.epochs
            rate = ops.where(later, self.rate * factor, rate)
        if self.warmup:
            rate = rate * ops.clip((epoch + 1 / self.steps) / self.warmup, 0.0, 1.0)
        return rate

    def get_config(self):
        """Return the constructor's arguments."""
        names = ("kind", "rate", "epochs", "steps", "warmup")
        return {name: getattr(self, name) for name in names}
