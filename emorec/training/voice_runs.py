"""Trained speech networks: taught by a face network, found again, and asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emorec.artifacts.runs import RunFolder
from emorec.artifacts.spec import Spec
from emorec.batches.sound_parts import Sounds
from emorec.corpora.voxceleb import PARTITIONS
from emorec.errors import DataError, SpecError, shorten
from emorec.features.crops import teacher_rows
from emorec.files import digest, fingerprint, read_json
from emorec.training import backend
from emorec.training.clip_labels import aggregate
from emorec.training.hearing import hear
from emorec.training.voice_data import VoiceData
from emorec.training.voices import Task, load, model_path, run
from emorec.training.voices_config import VoicesConfig

if TYPE_CHECKING:
    import keras

    from emorec.evaluation.voices import VoiceScores

Say = Callable[[str], None]


@dataclass(frozen=True)
class Ear:
    """A speech network that can be asked about sounds.

    Attributes
    ----------
    name : str
        What tables call it.
    model : keras.Model
        Spectrograms (B, F, W, 1) -> logits (B, K).
    spec : Spec
        Labels and front end.
    content : str
        Digest that identifies its files.
    data : dict
        Identity of the data of its training.
    """

    name: str
    model: keras.Model
    spec: Spec
    content: str
    data: dict[str, Any]


@dataclass(frozen=True)
class SpeechRun:
    """A finished speech run, not loaded.

    Attributes
    ----------
    run : RunFolder
        Its files.
    spec : Spec
        Labels and front end.
    content : str
        Digest that identifies its files.
    data : dict
        Identity of the data of its training.
    """

    run: RunFolder
    spec: Spec
    content: str
    data: dict[str, Any]


def find_run(name: str, folder: Path) -> SpeechRun:
    """Find a run by name, or by the path of its .keras or .json file.

    Raises
    ------
    SpecError
        When there is no such run, or it has not finished; the message names those
        that there are.
    """
    path = Path(name)
    if path.suffix in (".keras", ".json"):
        folder, name = path.parent, path.stem.partition("_")[2]
    there = {
        file.name.removeprefix("run_").removesuffix(".json"): read_json(file)
        for file in sorted(folder.glob("run_*.json"))
    }
    finished = [n for n, record in there.items() if record.get("status") == "complete"]
    if not name and len(finished) == 1:
        name = finished[0]
    if name not in finished:
        raise SpecError(
            f"{folder}: no finished run '{name}'. Finished: "
            f"{shorten(finished) or 'none; train one: emorec voices distill'}."
        )
    run = RunFolder(folder, name)
    spec = run.read_spec()
    if spec.normalisation.get("kind") != "speech":
        raise SpecError(f"{run.record_path}: not a network for speech.")
    model = model_path(run)
    if not model.is_file():
        raise SpecError(f"{model}: expected the network of the run, found no file.")
    content = digest(fingerprint([model]))
    return SpeechRun(run, spec, content, there[name]["settings"].get("data", {}))


def find(name: str, folder: Path) -> Ear:
    """Load a run by name, or by the path of its .keras or .json file.

    Raises
    ------
    SpecError
        As of `find_run`, and when the file is no model.
    """
    found = find_run(name, folder)
    backend.choose_backend()
    model, spec = load(found.run)
    return Ear(found.run.param_name, model, spec, found.content, found.data)


def hear_one(ear: Ear, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return logits (K,) and embedding (E,) of one sound.

    Raises
    ------
    DataError
        When it cannot be heard.
    """
    heard = hear(ear.model, ear.spec, [path])
    if heard.failures:
        raise DataError(heard.failures[0][1])
    return heard.logits[0], heard.embeddings[0]


def distillation_task(config: VoicesConfig, data: VoiceData) -> Task:
    """Return what a student is to learn of a teacher.

    A part's target are the teacher's logits of the frames shown while it is heard,
    joined by ``logit_aggregator``. Validation is a share of the clips of unheardVal,
    drawn by seed 0.
    """
    voices = data.voices

    def target(clip: int, start: int, length: int) -> np.ndarray:
        rows = data.rows(clip)
        logits = data.logits[rows]
        if not config.fixed_segments:
            logits = logits[teacher_rows(data.numbers[rows], start, length)]
        return aggregate(logits, config.logit_aggregator)

    unheard = np.flatnonzero(voices.partition == "unheardVal")
    count = max(1, round(config.mini_val * len(unheard)))
    drawn = np.random.default_rng(0).permutation(unheard)[:count]
    return Task(
        Sounds(voices.paths, voices.samples, config.literal_rate),
        target,
        np.flatnonzero(voices.partition == "train"),
        np.sort(drawn),
        data.schema,
        voices.speakers,
        data.dataset,
        data.identity(),
        "distilled",
    )


def distil(
    config: VoicesConfig, data: VoiceData, folder: RunFolder, say: Say, gpus: int = 0
) -> tuple[keras.Model, Spec] | None:
    """Train a student on a teacher's scores; see `emorec.training.voices.run`."""
    return run(config, distillation_task(config, data), folder, say, gpus)


def score(
    model: keras.Model,
    spec: Spec,
    data: VoiceData,
    how: str = "max",
    partitions: Sequence[str] = PARTITIONS,
) -> tuple[VoiceScores, list[tuple[str, str]]]:
    """Return a student's outputs beside the teacher's, and the clips that failed.

    Parameters
    ----------
    model, spec
        The student.
    data : VoiceData
        Clips.
    how : {"max", "mean"}
        Joins the teacher's logits over all frames of a clip.
    partitions : sequence of str
        Which are asked.
    """
    from emorec.evaluation.voices import Partition, VoiceScores

    spec_labels, labels = spec.schema.labels, data.schema.labels
    if spec_labels != labels:
        raise SpecError(
            f"The network answers with {', '.join(spec_labels)}; the teacher's logits "
            f"are of {', '.join(labels)}. Pass --num_pred_emotions {len(spec_labels)}."
        )
    voices, pooled = data.voices, data.pooled(how)
    parts, failures = {}, []
    for name in partitions:
        rows = np.flatnonzero(voices.partition == name)
        heard = hear(model, spec, [voices.paths[i] for i in rows], f"Hearing {name}")
        failures += [(voices.ids[rows[i]], reason) for i, reason in heard.failures]
        kept = rows[heard.rows]
        if not len(kept):
            raise DataError(f"{data.dataset}: no clip of {name} could be heard.")
        parts[name] = Partition(
            [voices.ids[i] for i in kept],
            voices.speakers[kept],
            heard.logits,
            pooled[kept],
        )
    return VoiceScores(data.schema, data.dataset, parts), failures
