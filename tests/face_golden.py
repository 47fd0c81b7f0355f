"""Weights and inputs of the reference face networks, made by the rule of golden/."""

import json
import zlib

import numpy as np

FERPLUS = ("resnet50_ferplus", "senet50_ferplus")
VGGFACE = ("keras_vggface_resnet50", "keras_vggface_senet50")


def drawn(name, shape, kind, fan_in):
    """Fill one tensor: a scale is near 1, a variance above it, the rest about 0."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    v = random.standard_normal(shape, dtype=np.float32)
    if kind == "weight":
        return v * np.float32(np.sqrt(2 / fan_in))
    if kind == "scale":
        return 1 + np.float32(0.1) * v
    if kind == "variance":
        return 1 + np.float32(0.1) * np.abs(v)
    return np.float32(0.1) * v


def ferplus_tensors(golden_dir, name):
    """Return the state dictionary of a FER+ network of PyTorch."""
    with np.load(golden_dir / "faces" / f"{name}.npz") as file:
        shapes, kinds = (json.loads(str(file[key])) for key in ("shapes", "kinds"))
        names = [str(name) for name in file["names"]]
    meaning = {"weight": "weight", "bn_weight": "scale", "bn_var": "variance"}
    return {
        key: np.zeros((), np.int64)
        if kinds[key] == "zero"
        else drawn(key, shapes[key], meaning.get(kinds[key]), np.prod(shapes[key][1:]))
        for key in names
    }


def vggface_tensors(golden_dir, name, top="include_top"):
    """Return the weights of a network of keras-vggface, by layer/weight."""
    content = json.loads((golden_dir / "faces" / f"{name}.json").read_text())
    meaning = {"kernel": "weight", "gamma": "scale", "moving_variance": "variance"}
    return {
        f"{layer}/{leaf}": drawn(
            f"{layer}/{leaf}", shape, meaning.get(leaf), np.prod(shape[:-1])
        )
        for layer, leaf, shape in content[top]["weights"]
    }


def damped(tensors):
    """Keep the gates of the full-scale input from saturating, as golden/ does."""
    names = ("_1x1_down.weight", "_1x1_down/kernel")
    return {
        name: tensor * np.float32(0.01) if name.endswith(names) else tensor
        for name, tensor in tensors.items()
    }


def images():
    """Return the input (2, 224, 224, 3) of full scale."""
    x = np.random.default_rng(0).uniform(-100, 130, (2, 3, 224, 224))
    return x.astype(np.float32).transpose(0, 2, 3, 1)
