"""Modality dropout: batches in which a modality is weakened or missing.

Chumachenko, Iosifidis and Gabbouj (2022), "Self-attention fusion for audiovisual
emotion recognition with incomplete data", section 3.3, and their program. Any number of
modalities of any shape serve; the published system has two.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from emorec.errors import SpecError

MASKS = ("nodropout", "noise", "softhard")
FILLS = ("zeros", "noise", "addnoise")
# Of training with a mask, what stands for a modality that is not there.
FILL_OF = {"nodropout": "zeros", "noise": "noise", "softhard": "zeros"}
_STEPS = 100

Batch = dict[str, np.ndarray]


def drop_modalities(
    inputs: Mapping[str, np.ndarray],
    targets: np.ndarray,
    mask: str,
    random: np.random.Generator,
) -> tuple[Batch, np.ndarray]:
    """Return a batch with copies that lack modalities.

    Parameters
    ----------
    inputs : mapping
        Modality -> (B, ...) float32; two or more.
    targets : (B, K) float32
        All copies of a sample keep its target.
    mask : str
        ``nodropout``: the batch as it is. ``noise``: beside it, for each modality, a
        copy in which only that one is left and the others are N(0, 1). ``softhard``:
        beside it a copy in which the first modality is multiplied by c and the others
        by 1 - c, with one c of 0, 0.01, ... 0.99 for each sample, and for each modality
        a copy in which it is zero.
    random : numpy.random.Generator
        Of noise, factors and the order of the copies.

    Returns
    -------
    inputs, targets
        B, 3 B or 4 B samples of two modalities, shuffled together.

    Raises
    ------
    SpecError
        For another mask or fewer than two modalities.
    """
    if mask not in MASKS:
        raise SpecError(f"--mask {mask}: expected one of {', '.join(MASKS)}.")
    if mask == "nodropout":
        return dict(inputs), targets
    if len(inputs) < 2:
        raise SpecError(
            f"--mask {mask}: {len(inputs)} modality cannot be dropped; expected two."
        )
    copies = [dict(inputs)]
    if mask == "noise":
        copies += [
            {
                name: values if name == left else fill(values, "noise", random)
                for name, values in inputs.items()
            }
            for left in inputs
        ]
    else:
        factor = random.integers(_STEPS, size=len(targets)) / np.float32(_STEPS)
        first = next(iter(inputs))
        copies.append(
            {
                name: values * _tall(factor if name == first else 1 - factor, values)
                for name, values in inputs.items()
            }
        )
        copies += [
            {
                name: np.zeros_like(values) if name == gone else values
                for name, values in inputs.items()
            }
            for gone in inputs
        ]
    order = random.permutation(len(copies) * len(targets))
    together = {
        name: np.concatenate([copy[name] for copy in copies])[order] for name in inputs
    }
    return together, np.tile(targets, (len(copies), 1))[order]


def _tall(factor: np.ndarray, values: np.ndarray) -> np.ndarray:
    return factor.astype(np.float32).reshape(-1, *[1] * (values.ndim - 1))


def fill(values: np.ndarray, how: str, random: np.random.Generator) -> np.ndarray:
    """Return what stands for a modality (B, ...) that is missing.

    Parameters
    ----------
    values : (B, ...) float32
        What it would be; of clips that truly lack it, anything of its shape.
    how : str
        ``zeros``; ``noise``: N(0, 1); ``addnoise``: each sample with noise of its own
        mean and deviation added.
    random : numpy.random.Generator
        Of the noise.

    Raises
    ------
    SpecError
        For another way.
    """
    if how not in FILLS:
        raise SpecError(f"--fill {how}: expected one of {', '.join(FILLS)}.")
    if how == "zeros":
        return np.zeros_like(values, np.float32)
    noise = random.standard_normal(values.shape, np.float32)
    if how == "noise":
        return noise
    axes = tuple(range(1, values.ndim))
    mean = values.mean(axis=axes, keepdims=True)
    return values + mean + values.std(axis=axes, keepdims=True) * noise


def without(
    inputs: Mapping[str, np.ndarray],
    present: Mapping[str, np.ndarray],
    how: str,
    random: np.random.Generator,
) -> Batch:
    """Return a batch in which what is not present is filled.

    Parameters
    ----------
    inputs : mapping
        Modality -> (B, ...) float32.
    present : mapping
        Modality -> (B,) bool.
    how, random
        As of `fill`.
    """
    result = {}
    for name, values in inputs.items():
        there = present[name]
        if there.all():
            result[name] = values
            continue
        result[name] = values.copy()
        result[name][~there] = fill(values[~there], how, random)
    return result
