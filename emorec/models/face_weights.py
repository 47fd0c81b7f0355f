"""Weights of others for the face networks: which tensor goes where, and what does not.

The networks of MatConvNet, PyTorch and Keras share their layers' names but for ``/``
and ``_``; the last part of a tensor's name says what it is, and by that how it lies:

    kernel, bias, gamma, beta, moving_mean, moving_variance    as in Keras
    weight, bias, running_mean, running_var                    as in PyTorch
    sigma                                                      MatConvNet's deviation,
                                                               with epsilon in it
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import keras
import numpy as np

from emorec.errors import SpecError, shorten
from emorec.models.resnet50 import CLASSIFIER, HEAD_DEVIATION

HEADS = ("load", "replace", "skip")
_FIRST = "conv1_7x7_s2/kernel"
# Nested in some files by the programs that wrote them.
_PREFIXES = ("module.", "model_weights/")
# Counts batches in PyTorch; nothing is computed from it.
_EXPECTED_IDLE = "num_batches_tracked"
_NORMALISATION = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
    "sigma": "moving_variance",
}
_NORMALISING = (keras.layers.BatchNormalization, keras.layers.LayerNormalization)


@dataclass
class LoadReport:
    """What became of the tensors of a file and of the weights of a network.

    Attributes
    ----------
    loaded : list of str
        Weights of the network, as ``layer/weight``, that have their values from the
        file.
    missing : list of str
        Weights that the file has not.
    unmatched : list of str
        Tensors of the file for which the network has no weight.
    misshapen : list of str
        Tensors that do not fit their weight, both shapes said.
    head : list of str
        Tensors of the file's classifier that were left out on request.
    left_out : list of str
        Tensors of other parts of a whole of which the network is one.
    """

    loaded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)
    misshapen: list[str] = field(default_factory=list)
    head: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether every tensor went into a weight and every weight has its tensor."""
        return not (self.missing or self.unmatched or self.misshapen)

    def __str__(self) -> str:
        """Count what was loaded and name what was not."""
        parts = [f"{len(self.loaded)} weights loaded"]
        for title in ("missing", "unmatched", "misshapen"):
            names = getattr(self, title)
            if names:
                parts.append(f"{len(names)} {title}: {shorten(names)}")
        if self.head:
            parts.append("the classifier of the file left out")
        if self.left_out:
            names = shorten(self.left_out)
            parts.append(f"{len(self.left_out)} of other parts left out: {names}")
        return "; ".join(parts)


def load_weights(
    model: keras.Model,
    tensors: Mapping[str, np.ndarray],
    head: str = "load",
    partial: bool = False,
    flip_channels: bool = False,
    seed: int = 0,
) -> LoadReport:
    """Put the tensors of a file into a network; all of them, or none.

    Parameters
    ----------
    model : keras.Model
        From `emorec.models.resnet50`.
    tensors : mapping
        Name -> array, from `emorec.artifacts.weights.read_weights`.
    head : {"load", "replace", "skip"}
        What becomes of the classifier. load: the file's. replace: a new one, weights
        drawn from N(0, 1) times 0.01, bias 0, for labels other than the file's
        (Albanie et al. 2018). skip: the network's stays as it is.
    partial : bool
        Load what fits although something is missing, unmatched or misshapen.
    flip_channels : bool
        Reverse the input channels of the first convolution, for weights made for blue,
        green, red in a network for red, green, blue, or the reverse. Edges and epsilon
        remain those of the network, so that outputs are only near the original's.
    seed : int
        Of the new classifier.

    Returns
    -------
    LoadReport
        What became of every tensor and weight.

    Raises
    ------
    SpecError
        When tensors and network do not fit, with all that does not; then the network
        is as it was. Also when nothing fits, or for another `head`.
    """
    if head not in HEADS:
        raise SpecError(f"head '{head}': expected one of {', '.join(HEADS)}.")
    layers = {layer.name: layer for layer in model.layers}
    others = tensors
    if head != "load":
        layers.pop(CLASSIFIER, None)
        others = {
            name: tensor
            for name, tensor in tensors.items()
            if split_name(name)[0] != CLASSIFIER
        }
    report, values = match(layers, others)
    report.head.extend(name for name in tensors if name not in others)
    if not values or not (report.complete or partial):
        raise SpecError(_refusal(model, report, bool(values)))
    for target, weight, value in values:
        flip = flip_channels and target == _FIRST
        weight.assign(value[:, :, ::-1] if flip else value)
    if head == "replace":
        replace_head(model, seed)
    return report


def replace_head(model: keras.Model, seed: int = 0) -> None:
    """Draw a new classifier: weights N(0, 1) times 0.01, bias 0.

    A network without classifier stays as it is.
    """
    for layer in model.layers:
        if layer.name == CLASSIFIER:
            random = np.random.default_rng(seed)
            drawn = random.standard_normal(layer.kernel.shape, np.float32)
            layer.kernel.assign(drawn * np.float32(HEAD_DEVIATION))
            layer.bias.assign(np.zeros(layer.bias.shape, np.float32))


def match(
    layers: Mapping[str, keras.Layer], tensors: Mapping[str, np.ndarray]
) -> tuple[LoadReport, list[tuple[str, keras.Variable, np.ndarray]]]:
    """Find the weight of each tensor, without changing any.

    Parameters
    ----------
    layers : mapping
        Name, as tensors have it -> layer. Those without weights do no harm.
    tensors : mapping
        Name -> array.

    Returns
    -------
    report : LoadReport
    values : list
        Of what fits: the name as ``layer/weight``, the weight, the value laid out as
        Keras does.
    """
    targets = {
        f"{name}/{leaf}" for name, layer in layers.items() for leaf in _leaves(layer)
    }
    report, values = LoadReport(), []
    used: set[str] = set()
    for name, tensor in tensors.items():
        owner, leaf = split_name(name)
        if leaf == _EXPECTED_IDLE:
            continue
        layer = layers.get(owner)
        own = leaf if layer is None else _own_leaf(layer, leaf)
        target = f"{owner}/{own}"
        if target not in targets or target in used:
            report.unmatched.append(name)
            continue
        used.add(target)
        weight = _leaves(layer)[own]
        value = _arranged(layer, leaf, np.asarray(tensor))
        if value.shape != tuple(weight.shape):
            report.misshapen.append(
                f"{name} {tuple(np.shape(tensor))} for {target} {tuple(weight.shape)}"
            )
        elif not np.isfinite(value).all():
            report.misshapen.append(f"{name}, which holds numbers that are not finite")
        else:
            report.loaded.append(target)
            values.append((target, weight, value))
    report.missing.extend(sorted(targets - used))
    return report, values


def split_name(name: str) -> tuple[str, str]:
    """Split a tensor's name into that of our layer and what it is of the layer.

    >>> split_name("conv1/7x7_s2/bn/gamma")
    ('conv1_7x7_s2_bn', 'gamma')
    >>> split_name("module.conv1_7x7_s2_bn.weight")
    ('conv1_7x7_s2_bn', 'weight')
    """
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    name = name.removesuffix(":0")
    cut = max(name.rfind("/"), name.rfind("."))
    owner = name[: max(cut, 0)]
    for mark in "/:-.":
        owner = owner.replace(mark, "_")
    return owner, name[cut + 1 :]


def _leaves(layer: keras.Layer) -> dict[str, keras.Variable]:
    """Return the weights of a layer by name; seeds of dropout are none."""
    return {
        weight.name: weight
        for weight in layer.weights
        if weight.name != "seed_generator_state"
    }


def _own_leaf(layer: keras.Layer, leaf: str) -> str:
    """Name what PyTorch or MatConvNet calls `leaf` as this layer does."""
    if isinstance(layer, _NORMALISING):
        return _NORMALISATION.get(leaf, leaf)
    return "kernel" if leaf == "weight" else leaf


def _arranged(layer: keras.Layer, leaf: str, value: np.ndarray) -> np.ndarray:
    """Lay a tensor out as `layer` has it: (H, W, in, out), (T, in, out), (in, out)."""
    value = value.astype(np.float32, copy=False)
    if leaf == "sigma":
        # Computed in float64, as the variance may be as small as epsilon.
        return (value.astype(np.float64) ** 2 - layer.epsilon).astype(np.float32)
    if isinstance(layer, _NORMALISING):
        return value
    if leaf == "weight" and isinstance(layer, keras.layers.DepthwiseConv2D):
        # A channel's outputs follow one another: (in * multiplier, 1, H, W).
        each = layer.depth_multiplier
        if value.ndim == 4 and value.shape[1] == 1 and value.shape[0] % each == 0:
            value = value.reshape(-1, each, *value.shape[2:])
        return value.transpose(2, 3, 0, 1) if value.ndim == 4 else value
    if leaf == "weight":
        value = value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T
    dense = isinstance(layer, keras.layers.Dense)
    if dense and value.ndim == 4 and value.shape[:2] == (1, 1):
        value = value[0, 0]
    return value


def _refusal(model: keras.Model, report: LoadReport, some: bool) -> str:
    """Say all that does not fit and what to do."""
    lines = [f"The weights do not fit {model.name}; nothing was loaded."]
    for title, names in (
        ("Weights that the file has not", report.missing),
        ("Tensors that the network has not", report.unmatched),
        ("Tensors that do not fit", report.misshapen),
    ):
        if names:
            lines.append(f"{title} ({len(names)}): {shorten(names, 20)}.")
    if _only_head(report.missing + report.unmatched + report.misshapen):
        lines.append(
            "Only the classifier differs: build the network with the file's number of "
            'labels, or choose head="replace" for a new one, head="skip" for none.'
        )
    elif some:
        lines.append(
            "Build the network that the file is of, with its number of labels and with "
            "or without squeeze-and-excitation; partial=True loads the "
            f"{len(report.loaded)} that fit."
        )
    else:
        lines.append("No tensor fits: is it a file of this network?")
    return "\n".join(lines)


def _only_head(names: Iterable[str]) -> bool:
    return all(name.startswith(CLASSIFIER) for name in names)
