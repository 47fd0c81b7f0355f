"""Published weights for the audiovisual networks: all that fit a network, or none.

Two kinds of checkpoint exist. One is of a whole network of Chumachenko et al. (2022):
its names begin with ``audio_model.``, ``visual_model.`` or that of a layer of the
fusion. The other is of EfficientFace (Zhao et al. 2021) as trained on AffectNet, which
initialises the frame network: its names begin with ``conv1.`` or ``stage2.``, and it
has a classifier ``fc``. In both ``module.`` may come before.

Those of whole networks were trained on blue, green, red.
"""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np

from emorec.errors import SpecError, shorten
from emorec.models.audiovisual import CLASSIFIER
from emorec.models.efficientface import STAGES, STEM
from emorec.models.face_weights import LoadReport, match, split_name

HEADS = ("load", "skip")
_FACE = "visual_model_"
_STAGES = tuple(f"{stage}_" for stage, _, _ in STAGES)
_FRAME_LAYERS = ("conv1_", "conv5_", "local_", "modulator_", *_STAGES)
_FRAME_CLASSIFIER = "fc"


def load_checkpoint(
    model: keras.Model,
    tensors: Mapping[str, np.ndarray],
    bgr: bool = False,
    head: str = "load",
) -> LoadReport:
    """Put the checkpoint of a whole network into one of ours; all of it, or nothing.

    A network of a part takes its part: of ``audio_network`` for example all of
    ``audio_model``. The rest of the file is reported as left out.

    Parameters
    ----------
    model : keras.Model
        Of a function of `emorec.models.audiovisual`, or of `efficientface`.
    tensors : mapping
        Name -> array, from `emorec.artifacts.weights.read_weights`.
    bgr : bool
        Whether the checkpoint was trained on blue, green, red, as the published ones
        were. Then the input channels of the first convolution change places, and the
        network takes red, green, blue.
    head : {"load", "skip"}
        What becomes of the classifiers. load: the file's. skip: the network's stay as
        they are, for labels other than the file's.

    Returns
    -------
    LoadReport
        What became of every tensor and weight.

    Raises
    ------
    SpecError
        When tensors and network do not fit, with all that does not; then the network
        is as it was. Also for another `head`.
    """
    if head not in HEADS:
        raise SpecError(f"head '{head}': expected one of {', '.join(HEADS)}.")
    layers = _layers(model)
    classifiers = ()
    if head == "skip":
        classifiers = {name for name in layers if name.endswith(CLASSIFIER)}
        layers = {x: layer for x, layer in layers.items() if x not in classifiers}
    parts = {_part(name) for name, layer in layers.items() if layer.weights}
    kept, heads, left_out = {}, [], []
    for name, tensor in tensors.items():
        owner, _ = split_name(name)
        if _part(owner) not in parts:
            left_out.append(name)
        elif owner in classifiers:
            heads.append(name)
        else:
            kept[name] = tensor
    report = _load(model, layers, kept, f"{_FACE}{STEM}/kernel" if bgr else None)
    report.head, report.left_out = heads, left_out
    return report


def load_frame_weights(
    model: keras.Model, tensors: Mapping[str, np.ndarray], bgr: bool = False
) -> LoadReport:
    """Initialise the frame network by EfficientFace's checkpoint; all, or nothing.

    Parameters
    ----------
    model : keras.Model
        Of `efficientface`, or a network that has it as its layer ``frames``.
    tensors : mapping
        Name -> array, from `emorec.artifacts.weights.read_weights`. The classifier
        ``fc`` is left out.
    bgr : bool
        As of `load_checkpoint`. Weights from AffectNet were trained on red, green,
        blue.

    Returns
    -------
    LoadReport
        What became of every tensor and of every weight of the frame network.

    Raises
    ------
    SpecError
        When tensors and network do not fit, with all that does not; then the network
        is as it was.
    """
    layers = {layer.name: layer for layer in _frame_network(model).layers}
    heads = [name for name in tensors if split_name(name)[0] == _FRAME_CLASSIFIER]
    kept = {name: tensor for name, tensor in tensors.items() if name not in heads}
    report = _load(model, layers, kept, f"{STEM}/kernel" if bgr else None)
    report.head = heads
    return report


def _frame_network(model: keras.Model) -> keras.Model:
    """Return the network itself, or its layer."""
    if model.name == "frames":
        return model
    for layer in model.layers:
        if layer.name == "frames" and isinstance(layer, keras.Model):
            return layer
    raise SpecError(
        f"network '{model.name}' has no frame network to initialise: expected one of "
        "efficientface, audiovisual or video_network."
    )


def _layers(model: keras.Model) -> dict[str, keras.Layer]:
    """Return the layers, also of networks within, by their names in a checkpoint."""
    found: dict[str, keras.Layer] = {}
    prefix = _FACE if model.name == "frames" else ""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found |= _layers(layer)
        else:
            found[f"{prefix}{layer.name}"] = layer
    return found


def _part(owner: str) -> str:
    """Name the part of the whole of which a layer is."""
    if owner.startswith("audio_model_"):
        return "audio"
    if owner.startswith(_FACE):
        frame = owner.removeprefix(_FACE).startswith(_FRAME_LAYERS)
        return "frames" if frame else "video"
    return "fusion"


def _load(
    model: keras.Model,
    layers: Mapping[str, keras.Layer],
    tensors: Mapping[str, np.ndarray],
    flipped: str | None,
) -> LoadReport:
    """Assign all tensors, the weight `flipped` with its input channels reversed."""
    report, values = match(layers, tensors)
    if not report.complete:
        raise SpecError(_refusal(model, report))
    for target, weight, value in values:
        weight.assign(value[:, :, ::-1] if target == flipped else value)
    return report


def _refusal(model: keras.Model, report: LoadReport) -> str:
    """Say all that does not fit and what to do."""
    lines = [f"The weights do not fit the network '{model.name}'; nothing was loaded."]
    for title, names in (
        ("Weights that the file has not", report.missing),
        ("Tensors that the network has not", report.unmatched),
        ("Tensors that do not fit", report.misshapen),
    ):
        if names:
            lines.append(f"{title} ({len(names)}): {shorten(names, 20)}.")
    if not report.loaded:
        lines.append("No tensor fits: is it a file of this network?")
    elif not (report.missing or report.unmatched) and all(
        CLASSIFIER in name for name in _owners(report.misshapen)
    ):
        lines.append(
            "Only the classifiers differ: build the network with the file's number of "
            'labels, or choose head="skip" to keep those of the network.'
        )
    else:
        lines.append("Build the network of the fusion that the file is of.")
    return "\n".join(lines)


def _owners(misshapen: list[str]) -> list[str]:
    """Return the layers of what was reported to be misshapen."""
    return [split_name(text.split()[0].rstrip(","))[0] for text in misshapen]
