"""A network with the weights of a file or an address."""

from __future__ import annotations

from pathlib import Path

import keras

from emorec.artifacts.local_copy import FOLDER, local_copy
from emorec.artifacts.weights import read_weights
from emorec.models.face_weights import LoadReport, load_weights


def load_pretrained(
    model: keras.Model,
    weights: str | Path,
    sha256: str | None = None,
    folder: str | Path = FOLDER,
    head: str = "load",
    partial: bool = False,
    flip_channels: bool = False,
    seed: int = 0,
) -> LoadReport:
    """Load weights into a network of `emorec.models.resnet50`.

    Parameters
    ----------
    model : keras.Model
        Of the geometry of the weights.
    weights : str or path
        A path or an address of a file that `emorec.artifacts.weights.read_weights`
        reads.
    sha256, folder
        As of `emorec.artifacts.local_copy.local_copy`.
    head, partial, flip_channels, seed
        As of `emorec.models.face_weights.load_weights`.

    Returns
    -------
    LoadReport
        What became of every tensor and weight.

    Raises
    ------
    DataError, MissingExtraError, SpecError
        As of these three functions.
    """
    path = local_copy(weights, sha256, folder)
    return load_weights(
        model, read_weights(path), head, partial, flip_channels, seed=seed
    )
