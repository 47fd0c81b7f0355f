"""What the inputs of an exported network mean, and inputs to try it with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from emorec.artifacts.found_runs import FoundRun
from emorec.artifacts.prediction_arrays import read_arrays
from emorec.artifacts.spec import Spec
from emorec.errors import DataError, shorten

# Of networks whose input is one array without a name that says what it is.
SINGLE = {"faces": "image", "voices": "spectrogram", "meld_audio": "features"}
# Free lengths that a network is tried with, from the shortest that it takes.
_LENGTHS = {"voices": (65, 100, 231), "ravdess": (13, 30, 156)}
_ANY_LENGTHS = (1, 7, 40)
_BATCHES = (1, 3, 2)
# Filled in where real input leaves them out: every step is real, nothing is missing.
_FULL = ("mask", "presence")
Shapes = Mapping[str, tuple[int | None, ...]]


def drawn(
    shapes: Shapes, system: str, seed: int = 0
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Yield inputs of several batch sizes and lengths, with a text that says which.

    Parameters
    ----------
    shapes : mapping
        Name -> shape, None for what is free.
    system : str
        One of `emorec.artifacts.runs.SYSTEMS`.
    seed : int
        Masks keep one step or more; modalities are present or not at random; pixels of
        a video are in [0, 1); all else is N(0, 1).
    """
    random = np.random.default_rng(seed)
    for batch, length in zip(_BATCHES, _LENGTHS.get(system, _ANY_LENGTHS), strict=True):
        inputs = {}
        for name, shape in shapes.items():
            full = (batch, *(length if n is None else n for n in shape[1:]))
            if name == "mask":
                kept = random.integers(1, length + 1, (batch, 1))
                inputs[name] = np.arange(length)[None] < kept
            elif name == "presence":
                inputs[name] = random.integers(0, 2, full).astype(np.float32)
            elif name == "video" and len(full) == 5:
                inputs[name] = random.random(full, np.float32)
            else:
                inputs[name] = random.standard_normal(full, np.float32)
        free = any(None in shape[1:] for shape in shapes.values())
        told = f", length {length}" if free else ""
        yield f"drawn, batch {batch}{told}", inputs


def given(path: Path, shapes: Shapes, dtypes: Mapping[str, str]) -> dict[str, Any]:
    """Read real inputs of an .npz, one array for each name.

    ``mask`` and ``presence`` may be left out where every step is real and nothing is
    missing.

    Raises
    ------
    DataError
        When arrays are missing, unknown, of another shape, or not finite.
    """
    arrays = read_arrays(path)
    expected = ", ".join(
        f"{name} {_told(shape)} {dtypes[name]}" for name, shape in shapes.items()
    )
    lacking = [name for name in shapes if name not in arrays and name not in _FULL]
    unknown = [name for name in arrays if name not in shapes]
    if lacking or unknown:
        raise DataError(
            f"{path}: expected arrays {expected}; "
            + (f"missing: {shorten(lacking)}. " if lacking else "")
            + (f"unknown: {shorten(unknown)}." if unknown else "")
        )
    first = next(name for name in shapes if name not in _FULL)
    for name in (name for name in shapes if name not in arrays):
        shape = [
            m if n is None else n
            for n, m in zip(shapes[name], arrays[first].shape, strict=False)
        ]
        arrays[name] = np.ones(shape)
    inputs = {}
    for name, shape in shapes.items():
        value = arrays[name]
        fits = value.ndim == len(shape) and all(
            n in (None, m) for n, m in zip(shape, value.shape, strict=True)
        )
        if not fits or value.dtype.kind not in "biuf" or not value.size:
            raise DataError(
                f"{path}: {name}: expected numbers of shape {_told(shape)}, received "
                f"{value.shape} {value.dtype}."
            )
        inputs[name] = value.astype(dtypes[name])
        if not np.isfinite(inputs[name]).all():
            raise DataError(f"{path}: {name} holds values that are not finite.")
    return inputs


def _told(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('any' if n is None else str(n) for n in shape)})"


def preparation(run: FoundRun) -> list[str]:
    """Say what makes the inputs of a run's network, which the file does not do."""
    return {
        "faces": _faces,
        "voices": _voices,
        "ravdess": _ravdess,
        "mosei": _sequences,
        "mosi": _sequences,
        "meld_audio": _meld_audio,
        "meld_face": _meld_face,
    }[run.system](run.spec)


def outputs(run: FoundRun) -> str:
    """Say what the columns of the scores are."""
    kind = run.spec.schema.kind
    if run.system == "mosi":
        return (
            "Sentiment from -3 to 3 of each step (an utterance of a video); values "
            "can leave the range."
        )
    if run.system == "mosei":
        if run.spec.label_type in ("all", "coarse"):
            return "Intensities from 0 to 3; values can leave the range."
        return "Probabilities, each for itself: emotions can be present at once."
    assert kind == "single", kind
    return "Before the softmax, which makes probabilities of them."


def _faces(spec: Spec) -> list[str]:
    how = spec.normalisation
    mean = ", ".join(f"{value:g}" for value in how["mean"])
    return [
        f"image: a grey face, {how['size']} x {how['size']} pixels from 0 to 255, the "
        f"same in each of {len(how['mean'])} channels; less {mean}, divided by "
        f"{how['scale']:g}.",
        "Faces were cut out as FER2013 shows them, or as emorec faces label does it.",
    ]


def _voices(spec: Spec) -> list[str]:
    how = spec.normalisation
    over = (
        "each bin less `mean` and divided by `deviation` of the spec's normalisation"
        if how.get("normalisation") == "train"
        else "each bin with mean 0 and deviation 1 over the clip's time"
    )
    speeds = how.get("speeds", [100])
    lines = [
        f"spectrogram: {how['bins']} bins of mono sound at {how['rate']} Hz "
        f"({how['features']}: emorec.features."
        f"{'spectrogram' if how['features'] == 'voxceleb' else 'mel'}), {over}; "
        "(frequency, time, 1).",
    ]
    if list(speeds) != [100]:
        lines.append(
            f"At test a clip is heard at the speeds {', '.join(map(str, speeds))} %, "
            "and the probabilities are averaged."
        )
    return lines


def _ravdess(spec: Spec) -> list[str]:
    lines = []
    for modality in spec.modalities:
        statistics = spec.normalisation.get(modality.name)
        scaled = (
            "; less `mean`, divided by `deviation` of the spec's normalisation"
            if isinstance(statistics, dict)
            else ""
        )
        whole = modality.features.endswith("RGB")
        over = "; from 0 to 255, divided by 255" if whole else ""
        lines.append(
            f"{modality.name}: {modality.features}, {modality.width} columns"
            f"{over}{scaled}. Zeros where a clip has none."
        )
    return [*lines, "emorec ravdess prepare makes the arrays of clips."]


def _sequences(spec: Spec) -> list[str]:
    columns = ", then ".join(
        f"{m.width} of {m.name} ({m.features})" for m in spec.modalities
    )
    step = "utterance" if spec.label_type == "all" and len(spec.schema) == 1 else "word"
    lines = [
        f"features: a row a step (one {step}); columns: {columns}.",
        "mask: true at real steps, which must come first; what follows is padding.",
        "presence: 1 where a modality is there, in the same order, else 0.",
    ]
    if spec.max_steps:
        lines.append(f"Trained on up to {spec.max_steps} steps; the rest was cut off.")
    if "scale" in spec.normalisation:
        lines.append("Columns are divided by `scale` of the spec's normalisation.")
    return lines


def _meld_audio(spec: Spec) -> list[str]:
    (modality,), how = spec.modalities, spec.normalisation
    scaled = (
        "less `shift`, divided by `width` of the spec's normalisation"
        if "shift" in how
        else f"scaled: {how.get('kind')}; the spec holds no statistics of it"
    )
    return [
        f"features: {modality.width} values of an utterance's sound "
        f"({modality.features}), {scaled}."
    ]


def _meld_face(spec: Spec) -> list[str]:
    return [
        "features: x and y of 68 facial landmarks of each frame, "
        f"{spec.normalisation['kind']}.",
        "mask: true at real frames, which must come first.",
    ]
