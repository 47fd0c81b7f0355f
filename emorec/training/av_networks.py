"""The network that an audio-visual configuration asks for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emorec.batches.audiovisual import AUDIO, VIDEO
from emorec.errors import SpecError
from emorec.files import whole_file
from emorec.training import backend
from emorec.training.av_config import AvConfig

if TYPE_CHECKING:
    import keras

    from emorec.training.av_data import AvData

Say = Callable[[str], None]
# In a spec's data: the file of the network whose features of frames were learnt from.
FRAME_NETWORK = "frame_network"
# How the layers of the audio are called, see `emorec.models.audiovisual`.
VOICE = "audio_model"
# What networks call their inputs -> what batches do.
_INPUTS = {"audio": AUDIO, "video": VIDEO, "frames": VIDEO}


def build(config: AvConfig, data: AvData, say: Say) -> keras.Model:
    """Build the network of a configuration.

    Its inputs are ``audio`` and ``video``, or one of them for a network of one
    modality. Where the data hold features of the faces there is no frame network.
    """
    from emorec.models import audiovisual as networks

    labels, shapes = len(data.clips.schema), data.arrays.shapes
    frames, *_, width = shapes[VIDEO]
    coefficients = shapes[AUDIO][-1]
    if config.fusion == AUDIO:
        return networks.audio_network(labels, coefficients=coefficients)
    if not data.arrays.has_faces:
        if config.fusion == VIDEO:
            network = networks.features_network(
                labels, frames, features=width, dropout=config.dropout
            )
        else:
            network = networks.fusion_network(
                config.fusion,
                labels,
                config.num_heads,
                frames,
                coefficients=coefficients,
                features=width,
                dropout=config.dropout,
            )
            _begin_audio(network, config.pretrain_audio, say)
        return _as_batches_have_it(network)
    size = shapes[VIDEO][1]
    if config.fusion == VIDEO:
        network = networks.video_network(labels, frames, size)
    else:
        network = networks.audiovisual(
            config.fusion,
            labels,
            config.num_heads,
            frames,
            size,
            coefficients=coefficients,
        )
        _begin_audio(network.get_layer("fusion"), config.pretrain_audio, say)
    if config.pretrain_path:
        _initialise(network, config.pretrain_path, say)
    return network


def frame_network(config: AvConfig, say: Say) -> keras.Model:
    """Build the network of a face, with the weights of ``--pretrain_path`` if any."""
    from emorec.models.efficientface import efficientface

    network = efficientface()
    if config.pretrain_path:
        _initialise(network, config.pretrain_path, say)
    return network


def store_frame_network(network: keras.Model, folder: Path) -> str:
    """Write a frozen frame network beside the runs that use it; return the file's name.

    The name tells the content, so that runs of one network share a file.
    """
    content = hashlib.sha256()
    for weight in network.weights:
        content.update(np.ascontiguousarray(weight).tobytes())
    path = folder / f"frame_network_{content.hexdigest()[:16]}.keras"
    if not path.is_file():
        with whole_file(path) as temporary:
            network.save(temporary)
    return path.name


def stored_frame_network(
    config: AvConfig, data: dict[str, Any], folder: Path, say: Say
) -> keras.Model:
    """Return the frozen frame network of a finished run.

    Parameters
    ----------
    config : AvConfig
        Of the run; builds the network anew where an earlier version of emorec trained
        and stored none.
    data : dict
        Of the run's spec.
    folder : Path
        Where the run lies.
    say : callable
        Receives lines for the user.

    Raises
    ------
    SpecError
        When the file is not there.
    """
    if FRAME_NETWORK in data:
        return backend.load_keras_model(folder / data[FRAME_NETWORK])
    # Without weights of a file it is drawn by the seed.
    backend.prepare(config.manual_seed)
    return frame_network(config, say)


def _initialise(model: keras.Model, path: str, say: Say) -> None:
    from emorec.artifacts.weights import read_weights
    from emorec.models.audiovisual_weights import load_frame_weights

    say(f"{path}: {load_frame_weights(model, read_weights(path))}")


def _begin_audio(network: keras.Model, path: str, say: Say) -> None:
    """Give the audio's layers the weights of a network of the audio alone."""
    if not path:
        return
    if not Path(path).is_file():
        raise SpecError(f"--pretrain_audio {path}: no such model file.")
    given = {layer.name: layer for layer in backend.load_keras_model(path).layers}
    # The classifier's has no part in a fusion.
    wanted = [layer for layer in network.layers if f"{VOICE}_conv1d" in layer.name]
    for layer in wanted:
        weights = given[layer.name].get_weights() if layer.name in given else None
        shapes = [weight.shape for weight in layer.weights]
        if weights is None or [weight.shape for weight in weights] != shapes:
            raise SpecError(
                f"--pretrain_audio {path}: expected a network of --fusion audio with "
                f"weights of {shapes} in layer {layer.name}, as many --coefficients."
            )
        layer.set_weights(weights)
    held = sum(layer.count_params() for layer in wanted)
    say(f"{path}: {held:,} weights of the audio's part.")


def _as_batches_have_it(network: keras.Model) -> keras.Model:
    import keras

    given = {
        name: keras.Input(tensor.shape[1:], name=_INPUTS[name])
        for name, tensor in network.input.items()
    }
    inputs = {_INPUTS[name]: tensor for name, tensor in given.items()}
    return keras.Model(inputs, network(given))
