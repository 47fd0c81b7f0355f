"""A network of MatConvNet as data: its layers, their wiring, their parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class DagLayer:
    """One layer.

    Attributes
    ----------
    name : str
        As in the file, maybe with ``/``.
    kind : str
        The class without package: Conv, BatchNorm, ReLU and so on.
    inputs, outputs : tuple of str
        Variables that it reads and writes.
    params : tuple of str
        Keys of `DagNN.params`: a convolution's filters and bias, a normalisation's
        multipliers, biases and moments.
    block : dict
        The fields of its class: pad, stride and so on.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    params: tuple[str, ...]
    block: dict[str, Any]

    @property
    def is_loss(self) -> bool:
        """Whether it compares with a label, which inference lacks."""
        return self.kind.endswith("Loss") or self.kind.endswith("Error")


@dataclass(frozen=True)
class DagNN:
    """A network.

    Attributes
    ----------
    layers : tuple of DagLayer
        In the order of the file, which need not be that of execution.
    params : dict
        Name -> float32 array: filters (H, W, in, out), multipliers and biases (C,),
        moments (C, 2), which are mean and the root of variance plus epsilon.
    meta : dict
        What the file says of images and classes.
    """

    layers: tuple[DagLayer, ...]
    params: dict[str, np.ndarray]
    meta: dict[str, Any]

    def in_order(self) -> list[DagLayer]:
        """Return the layers but losses, each after those whose outputs it reads."""
        waiting = [layer for layer in self.layers if not layer.is_loss]
        made = {name for layer in waiting for name in layer.outputs}
        ready: set[str] = {
            name for layer in waiting for name in layer.inputs if name not in made
        }
        result: list[DagLayer] = []
        while waiting:
            able = [layer for layer in waiting if ready.issuperset(layer.inputs)]
            if not able:
                raise ValueError(f"layers {[x.name for x in waiting]} form a circle")
            result += able
            ready |= {name for layer in able for name in layer.outputs}
            waiting = [layer for layer in waiting if layer not in able]
        return result
