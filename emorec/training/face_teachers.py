"""Face networks as teachers: what they answer, and how they are asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from emorec.errors import SpecError
from emorec.files import digest, fingerprint
from emorec.labels import LabelSchema
from emorec.training.face_runs import BATCH, FaceNetwork, find
from emorec.training.labelling import Teacher

Say = Callable[[str], None]


def load_teacher(name: str, folder: Path, say: Say) -> Teacher:
    """Find a face network and load it.

    Parameters
    ----------
    name : str
        A run, its .keras file, or NETWORK=WEIGHTS.
    folder : Path
        Of the runs.
    say : callable
        Receives what is told of loaded weights.

    Raises
    ------
    SpecError
        When there is no such network.
    """
    (found,) = find([name], folder, say)
    model, spec = found.load()
    from emorec.batches.images import ImageInput, predict

    image_input = ImageInput.from_dict(spec.normalisation)

    def network(crops: np.ndarray) -> np.ndarray:
        return predict(model, crops, image_input, BATCH)

    return Teacher(network, spec.schema, image_input.size, _called(found))


def describe_teacher(name: str, folder: Path) -> tuple[LabelSchema, int, str]:
    """Return schema, size and name of what `load_teacher` loads, without loading it.

    Raises
    ------
    SpecError
        When there is no such network.
    """
    (found,) = find([name], folder, lambda line: None)
    weights = name.partition("=")[2]
    # Those of an address are fetched when they are loaded.
    known = [] if "://" in weights else found.files or [Path(weights)]
    if missing := [path for path in known if not path.is_file()]:
        raise SpecError(f"{missing[0]}: expected a trained network, found no file.")
    return *found.head(), _called(found)


def _called(found: FaceNetwork) -> str:
    return f"{found.name} {digest(fingerprint(found.files))}"
