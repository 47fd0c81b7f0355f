"""The open features of faces: what a run of emorec faces says of the main face."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
from scipy.special import log_softmax

from emorec.artifacts.found_runs import FoundRun, find_runs
from emorec.corpora.extraction import PATH
from emorec.errors import SpecError
from emorec.features.faces import Detector, mtcnn_detector
from emorec.sequences.csd import Rows
from emorec.training import backend
from emorec.training.clip_faces import LabelSettings
from emorec.training.clip_labels import Network, label_clip
from emorec.training.open_features import FrontEnd, content_of

FACE_OUTPUTS = ("probabilities", "embedding", "both")


def face(
    run: str | Path,
    outputs: str = "probabilities",
    settings: LabelSettings | None = None,
    detect: Callable[[], Detector] | None = None,
    at_once: bool = True,
) -> FrontEnd:
    """Return the front end of the main face of a film.

    A row for each sampled frame with a face, from the frame's time to the next one's.

    Parameters
    ----------
    run : path
        A finished run of ``emorec faces``.
    outputs : {"probabilities", "embedding", "both"}
        The logarithms of the network's probabilities, what its last layer takes, or
        both.
    settings : LabelSettings, optional
        Sampling and detection.
    detect : callable, optional
        Returns the detector; by default MTCNN.
    at_once : bool
        Load the network now; else when it is needed: for the first film, or for the
        names of an embedding's columns.
    """
    if outputs not in FACE_OUTPUTS:
        raise SpecError(f"--face_output {outputs}: expected {', '.join(FACE_OUTPUTS)}.")
    found = find_runs([run])
    if len(found) != 1 or found[0].system != "faces":
        raise SpecError(
            f"--face {run}: expected one run of emorec faces, found "
            f"{', '.join(f'{each.name} ({each.system})' for each in found)}."
        )
    (teacher,) = found
    settings = settings or LabelSettings()
    if settings.tracks == "all":
        raise SpecError("--tracks all: a step has one face; choose main or largest.")
    labels, size = teacher.spec.schema.labels, teacher.spec.normalisation["size"]
    content = content_of(teacher.model_path)
    loaded = cache(partial(_face_network, teacher))
    found_detector = cache(detect or partial(mtcnn_detector, settings.min_face))
    embedded = outputs != "probabilities"
    width = loaded()[1] if at_once or embedded else 0

    def rows(path: Path) -> Rows:
        made = label_clip(path, loaded()[0], found_detector, settings, size)
        scores = made.logits[:, : len(labels)].astype(np.float64)
        parts = {
            "probabilities": log_softmax(scores, axis=1),
            "embedding": made.logits[:, len(labels) :],
        }
        wanted = [parts[name] for name in parts if outputs in (name, "both")]
        step = settings.every / settings.rate
        times = np.stack([made.times, made.times + step], axis=1)
        return Rows(times, np.concatenate(wanted, axis=1).astype(np.float32))

    all_names = {
        "probabilities": [f"log_{label}" for label in labels],
        "embedding": [f"face_{number:04d}" for number in range(width)],
    }
    names = [
        n for kind in all_names if outputs in (kind, "both") for n in all_names[kind]
    ]
    own = {
        "kind": "face",
        "run": teacher.name,
        "content": content,
        "outputs": outputs,
        "size": size,
        **settings.to_dict(),
        PATH: str((teacher.run.folder / teacher.name).resolve()),
    }
    return FrontEnd(own, tuple(names), rows)


def _face_network(teacher: FoundRun) -> tuple[Network, int]:
    """Return how faces are judged, and the embedding's width."""
    model = backend.load_found(teacher)
    import keras

    from emorec.batches.images import ImageInput, predict
    from emorec.training.face_runs import BATCH

    spec = teacher.spec
    image_input = ImageInput.from_dict(spec.normalisation)
    embedding = keras.layers.Flatten()(model.layers[-1].input)
    joined = keras.layers.Concatenate()([model.output, embedding])
    both = keras.Model(model.inputs, joined)

    def network(crops: np.ndarray) -> np.ndarray:
        return predict(both, crops, image_input, BATCH)

    return network, both.output_shape[-1] - len(spec.schema)
