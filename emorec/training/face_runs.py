"""Trained face networks on data: found, evaluated, averaged, compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emorec.artifacts.runs import RunFolder
from emorec.artifacts.spec import Modality, Spec
from emorec.errors import SpecError, shorten
from emorec.evaluation.faces import FaceScores
from emorec.evaluation.single_label import softmax
from emorec.files import digest, fingerprint, read_json, write_json
from emorec.labels import FERPLUS, LabelSchema
from emorec.training import backend
from emorec.training.face_config import FacesConfig, from_preset
from emorec.training.face_data import FaceData
from emorec.training.faces import build, model_path

if TYPE_CHECKING:
    import keras

Say = Callable[[str], None]
BATCH = 128
CACHE = "benchmark.json"
_FLIP = np.array([[1, 0, 0], [0, -1, 0]], np.float32)


@dataclass(frozen=True)
class FaceNetwork:
    """A network that can be asked about faces.

    Attributes
    ----------
    name : str
        What tables call it.
    files : list of Path
        What it is made of; their size and time identify it.
    load : callable
        Returns model and spec.
    head : callable
        Returns the labels and the size of the faces, without building the network.
    data : dict or None
        Identity of the data of its training, as far as it is known.
    """

    name: str
    files: list[Path]
    load: Callable[[], tuple[keras.Model, Spec]]
    head: Callable[[], tuple[LabelSchema, int]]
    data: dict | None = None

    def name_on(self, data: FaceData) -> str:
        """Return the name of its results on `data`; those on its own keep theirs."""
        if self.data in (None, data.identity()):
            return self.name
        return f"{self.name}_on_{data.identity()['faces'][:8]}"


def find(names: Sequence[str], folder: Path, say: Say) -> list[FaceNetwork]:
    """Find networks: runs by name or path, or published weights as ``NETWORK=FILE``.

    Parameters
    ----------
    names : sequence of str
        Without any, all finished runs of the folder.
    folder : Path
        Where runs lie.
    say : callable
        Receives what is told of loaded weights.

    Raises
    ------
    SpecError
        When there is no such run; the message names those that there are.
    """
    there = [
        path.name.removeprefix("run_").removesuffix(".json")
        for path in sorted(folder.glob("run_*.json"))
        if read_json(path).get("status") == "complete"
    ]
    if not (names or there):
        raise SpecError(f"{folder}: no finished run. Train one: emorec faces train.")
    return [_find(name, folder, there, say) for name in names or there]


def _find(name: str, folder: Path, there: list[str], say: Say) -> FaceNetwork:
    network, equals, file = name.partition("=")
    if equals:
        return FaceNetwork(
            f"{network}-{Path(file).stem}",
            [Path(file)] if Path(file).is_file() else [],
            lambda: published(network, file, say),
            lambda: (FERPLUS, _published_config(network, file).size),
        )
    path = Path(name)
    if path.suffix in (".keras", ".json"):
        folder, name = path.parent, path.stem.partition("_")[2]
    run = RunFolder(folder, name)
    record = run.record()
    if record is None:
        raise SpecError(
            f"{run.record_path}: no such run. Finished ones in {folder}: "
            f"{shorten(there) or 'none'}."
        )
    files = [model_path(run), run.record_path]

    def load() -> tuple[keras.Model, Spec]:
        backend.choose_backend()
        return backend.load_keras_model(model_path(run)), run.read_spec()

    def head() -> tuple[LabelSchema, int]:
        spec = run.read_spec()
        return spec.schema, spec.normalisation["size"]

    return FaceNetwork(name, files, load, head, record["settings"].get("data"))


def published(network: str, weights: str, say: Say) -> tuple[keras.Model, Spec]:
    """Build a network with published weights for the eight emotions of FER+.

    Their files do not name the classes; the order is that of FER+'s own columns, as
    Albanie et al. (2018) tell of these networks.
    """
    config = _published_config(network, weights)
    backend.prepare(config.seed)
    from emorec.batches.images import ImageInput

    model, (mean, scale) = build(config, len(FERPLUS), say)
    spec = Spec(
        schema=FERPLUS,
        modalities=(Modality("image", "grey faces", len(mean)),),
        max_steps=0,
        label_type="cntk",
        normalisation=ImageInput(config.size, mean, scale).to_dict(),
        data={"dataset": "published weights"},
    )
    return model, spec


def _published_config(network: str, weights: str) -> FacesConfig:
    given = {"weights": weights, "head": "keep", "network": network}
    preset = network if network in ("resnet50", "senet50") else "resnet50"
    return from_preset(preset, given)


def predict(
    network: FaceNetwork, data: FaceData, flip: bool = False
) -> tuple[FaceScores, Spec]:
    """Return a network's outputs for the faces of validation and test.

    With `flip`, log probabilities averaged over each face and its mirror image.
    """
    model, spec = network.load()
    from emorec.batches.images import ImageInput
    from emorec.batches.images import predict as outputs

    image_input = ImageInput.from_dict(spec.normalisation)
    logits = {}
    for split in ("valid", "test"):
        faces = data.corpus.images[data.corpus.split == split]
        logits[split] = outputs(model, faces, image_input, BATCH)
        if flip:
            mirrored = outputs(model, faces, image_input, BATCH, _FLIP)
            logits[split] = _mean([logits[split], mirrored])
    return FaceScores.of(data.corpus, logits, spec.schema, data.dataset), spec


def ensemble(results: Sequence[FaceScores], data: FaceData) -> FaceScores:
    """Average the probabilities of several networks on the same faces."""
    widths = {len(result.schema) for result in results}
    if len(widths) > 1:
        raise SpecError(
            f"An ensemble of networks with {shorten(sorted(widths))} classes: all must "
            "have the same labels."
        )
    logits = {
        split: _mean([result.logits[split] for result in results])
        for split in ("valid", "test")
    }
    return FaceScores.of(data.corpus, logits, results[0].schema, data.dataset)


def _mean(logits: Sequence[np.ndarray]) -> np.ndarray:
    """Return logits of the mean probabilities."""
    mean = np.mean([softmax(values) for values in logits], axis=0)
    return np.log(np.maximum(mean, 1e-12)).astype(np.float32)


def benchmark(
    networks: Sequence[FaceNetwork],
    data: FaceData,
    folder: Path,
    mode: str,
    refresh: bool,
    say: Say,
) -> list[dict]:
    """Tell the accuracies of networks on validation and test, computing each once.

    Parameters
    ----------
    networks : sequence of FaceNetwork
        From `find`.
    data : FaceData
        Faces and votes.
    folder : Path
        Where the cache lies.
    mode : str
        Label mode that says which faces count.
    refresh : bool
        Compute all anew.
    say : callable
        Receives a line per network.

    Returns
    -------
    list of dict
        name, mode, and per split accuracy and number of faces.
    """
    path = folder / CACHE
    cache = read_json(path) if path.is_file() and not refresh else {}
    table = []
    for network in networks:
        own = {"files": fingerprint(network.files), "data": data.identity(), "m": mode}
        key = f"{network.name} {digest(own)}"
        if key not in cache or not network.files:
            scores, _ = predict(network, data)
            row: dict = {"name": network.name, "mode": mode}
            for split in ("valid", "test"):
                true, probabilities, _ = scores.labelled(split, mode)
                right = probabilities.argmax(axis=1) == true
                row[split] = round(float(right.mean()), 4)
                row[f"{split}_faces"] = len(true)
            cache[key] = row
            write_json(path, cache)
        row = cache[key]
        table.append(row)
        say(
            f"{row['name']}: val ({100 * row['valid']:.2f} %, {row['valid_faces']:,} "
            f"faces), test ({100 * row['test']:.2f} %, {row['test_faces']:,} faces)"
        )
    return table
