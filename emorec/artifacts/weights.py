"""Weights that other programs wrote: files -> named arrays, never code.

What the names mean to a network is `emorec.models.face_weights`' business.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from emorec.artifacts.matconvnet import named_tensors, read_dagnn
from emorec.errors import DataError, MissingExtraError
from emorec.sequences.hdf5 import Members, read_array

# Under these keys programs save what they train along with it.
_WRAPPERS = ("state_dict", "model_state_dict", "model")


def read_weights(path: str | Path) -> dict[str, np.ndarray]:
    """Read the weights of a network.

    Parameters
    ----------
    path : path
        By its suffix: a state dictionary of PyTorch (.pth, .pt), arrays of NumPy
        (.npz), weights of Keras (.h5, .hdf5), a DagNN of MatConvNet (.mat).

    Returns
    -------
    dict
        Name -> array, as the file names and lays them out; of MatConvNet
        ``layer/kernel`` and so on (`emorec.artifacts.matconvnet.named_tensors`).

    Raises
    ------
    DataError
        When the file is missing, damaged, of another kind, or holds no arrays.
    MissingExtraError
        For PyTorch's files where PyTorch is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: expected a file of weights, found none.")
    readers = {
        ".pth": _read_torch,
        ".pt": _read_torch,
        ".npz": _read_npz,
        ".h5": _read_keras,
        ".hdf5": _read_keras,
        ".mat": lambda path: named_tensors(read_dagnn(path)),
    }
    if path.suffix.lower() not in readers:
        raise DataError(
            f"{path}: cannot tell what kind of weights this is; expected a name that "
            f"ends in {', '.join(readers)}."
        )
    tensors = readers[path.suffix.lower()](path)
    if not tensors:
        raise DataError(f"{path}: expected named arrays of numbers, found none.")
    return tensors


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        # NumPy leaves a damaged file open that it has opened itself.
        with path.open("rb") as file:
            content = np.load(file, allow_pickle=False)
            if isinstance(content, np.ndarray):
                raise ValueError("it is one array without a name")
            return {name: content[name] for name in content.files}
    except Exception as error:  # damage shows as nearly any error
        raise DataError(f"{path}: expected arrays of NumPy, but {error}.") from error


def _read_torch(path: Path) -> dict[str, np.ndarray]:
    try:
        import torch
    except ImportError:
        raise MissingExtraError("torch", "torch", f"Reading {path.name}") from None
    try:
        # Without weights_only the file could run any code.
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damage shows as nearly any error
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise DataError(
            f"{path}: expected a state dictionary of PyTorch and nothing else, but "
            f"{reason[0][:200]}. Save it with torch.save(model.state_dict(), path)."
        ) from error
    for key in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        raise DataError(
            f"{path}: expected a state dictionary, found {type(content).__name__}."
        )
    return {
        str(name): _from_torch(tensor)
        for name, tensor in content.items()
        if isinstance(tensor, torch.Tensor)
    }


def _from_torch(tensor: Any) -> np.ndarray:
    # NumPy knows no bfloat16.
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()


def _read_keras(path: Path) -> dict[str, np.ndarray]:
    """Read the HDF5 layout of Keras 1 and 2: <layer>/<layer>/<weight>:0."""
    try:
        with h5py.File(path, "r") as file:
            root = Members(file)
            # Whole models keep their weights in a group.
            if "model_weights" in root:
                root = root["model_weights"]
            tensors: dict[str, np.ndarray] = {}
            _collect(root, "", tensors)
    except (OSError, ValueError, KeyError, RuntimeError, RecursionError) as error:
        raise DataError(f"{path}: expected weights of Keras, but {error}.") from error
    return {_once(name): array for name, array in tensors.items()}


def _collect(group: Members, prefix: str, tensors: dict[str, np.ndarray]) -> None:
    """Gather the datasets of all groups within."""
    for name in group:
        item = group[name]
        if isinstance(item, Members):
            _collect(item, f"{prefix}{name}/", tensors)
        elif item.dtype.kind in "fiu":
            tensors[f"{prefix}{name}"] = read_array(item)


def _once(path: str) -> str:
    """Say the layer's name once: a/b/a/b/kernel:0 -> a/b/kernel."""
    *layer, leaf = path.removesuffix(":0").split("/")
    half = len(layer) // 2
    if half and layer[:half] == layer[half:]:
        layer = layer[:half]
    return "/".join([*layer, leaf])
