"""Networks of MatConvNet (DagNN) in MATLAB's files, read by SciPy.

Vedaldi and Lenc (2015), "MatConvNet: Convolutional Neural Networks for MATLAB". Names
of parameters differ among the programs that wrote such files, so a parameter is known
by its place in its layer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

from emorec.errors import DataError, shorten
from emorec.models.dagnn_graph import DagLayer, DagNN

_KNOWN = {
    "Conv": ("kernel", "bias"),
    "BatchNorm": ("gamma", "beta", "moments"),
    "Scale": ("scale", "bias"),
}


def read_dagnn(path: str | Path) -> DagNN:
    """Read a network.

    Parameters
    ----------
    path : path
        A file of MATLAB, version 5 to 7, with ``layers`` and ``params`` at the top or
        in ``net``, as checkpoints have them.

    Raises
    ------
    DataError
        When it is damaged, of version 7.3, or holds no such network; or when a layer
        names parameters that are not there or do not have its size.
    """
    path = Path(path)
    try:
        content = scipy.io.loadmat(path, simplify_cells=True)
    except NotImplementedError:
        raise DataError(
            f"{path}: a file of MATLAB 7.3, which cannot be read. Load it in MATLAB "
            "and save it with -v7."
        ) from None
    except Exception as error:  # damage shows as nearly any error
        raise DataError(
            f"{path}: expected a file of MATLAB, but {type(error).__name__}: {error}."
        ) from error
    net = content.get("net", content)
    if not isinstance(net, dict) or not {"layers", "params"} <= set(net):
        found = [name for name in net if not str(name).startswith("__")]
        raise DataError(
            f"{path}: expected a DagNN with layers and params, found "
            f"{shorten(found) or 'nothing'}. Convert a SimpleNN in MATLAB with "
            "dagnn.DagNN.fromSimpleNN."
        )
    try:
        values = {
            str(param["name"]): np.asarray(param["value"], np.float32)
            for param in _records(net["params"])
        }
        layers = tuple(_layer(record) for record in _records(net["layers"]))
        params = _shaped(layers, values)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(
            f"{path}: expected a DagNN, but {type(error).__name__}: {error}."
        ) from error
    meta = net.get("meta")
    return DagNN(layers, params, meta if isinstance(meta, dict) else {})


def named_tensors(network: DagNN) -> dict[str, np.ndarray]:
    """Return the parameters by what they are, ``layer/kernel`` and so on.

    Of moments (C, 2) the columns become ``moving_mean`` and ``sigma``, the root of
    variance plus epsilon: the epsilon to subtract is that of the network that receives
    them.
    """
    tensors: dict[str, np.ndarray] = {}
    for layer in network.layers:
        for leaf, param in zip(_KNOWN.get(layer.kind, ()), layer.params, strict=False):
            value = network.params[param]
            if leaf == "moments":
                tensors[f"{layer.name}/moving_mean"] = value[:, 0]
                tensors[f"{layer.name}/sigma"] = value[:, 1]
            else:
                tensors[f"{layer.name}/{leaf}"] = value
    return tensors


def _records(value: Any) -> list[dict]:
    """Return a struct array as dictionaries; SciPy makes one of one a dictionary."""
    records = [value] if isinstance(value, dict) else list(value)
    if not all(isinstance(record, dict) for record in records):
        raise ValueError("a struct array was expected")
    return records


def _layer(record: dict) -> DagLayer:
    block = record.get("block")
    return DagLayer(
        name=str(record["name"]),
        kind=str(record["type"]).removeprefix("dagnn."),
        inputs=_texts(record["inputs"]),
        outputs=_texts(record["outputs"]),
        params=_texts(record.get("params", ())),
        # A class without fields may be stored as nothing.
        block=block if isinstance(block, dict) else {},
    )


def _texts(value: Any) -> tuple[str, ...]:
    """Return a cell row of texts; SciPy makes one of one a text."""
    if isinstance(value, str):
        return (value,)
    return tuple(str(text) for text in np.ravel(np.asarray(value, object)))


def _shaped(
    layers: tuple[DagLayer, ...], values: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Give parameters the dimensions of length one that MATLAB and SciPy drop."""
    params: dict[str, np.ndarray] = {}
    for layer in layers:
        for leaf, name in zip(_KNOWN.get(layer.kind, ()), layer.params, strict=False):
            if name not in values:
                raise ValueError(f"layer '{layer.name}' has no parameter '{name}'")
            value = values[name]
            if leaf == "kernel":
                size = tuple(int(n) for n in np.ravel(layer.block["size"]))
                size += (1,) * (4 - len(size))
                if value.size != np.prod(size):
                    raise ValueError(
                        f"'{name}' has the shape {value.shape}, not {size}"
                    )
                params[name] = value.reshape(size)
            elif leaf == "moments":
                params[name] = value.reshape(-1, 2)
            else:
                params[name] = value.reshape(-1)
    return params
