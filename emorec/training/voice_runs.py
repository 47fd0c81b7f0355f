"""Trained speech networks: taught by a face network, found again, and asked."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emorec.artifacts.runs import RunFolder
from emorec.artifacts.spec import Spec
from emorec.batches.sounds import Sounds
from emorec.batches.speech_input import SpeechInput
from emorec.corpora.voxceleb import PARTITIONS
from emorec.errors import DataError, SpecError, shorten
from emorec.evaluation.single_label import softmax
from emorec.features.crops import teacher_rows
from emorec.files import digest, fingerprint, read_json
from emorec.progress import track
from emorec.training import backend
from emorec.training.clip_labels import aggregate
from emorec.training.voice_data import VoiceData
from emorec.training.voices import Task, load, model_path, run
from emorec.training.voices_config import VoicesConfig

if TYPE_CHECKING:
    import keras

    from emorec.evaluation.voices import VoiceScores

Say = Callable[[str], None]
BATCH = 32
# Clips whose spectrograms are in memory at a time.
_BLOCK = 256
_THREADS = min(8, os.cpu_count() or 1)


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
class Heard:
    """What a network says of sounds.

    Attributes
    ----------
    rows : (m,) int64
        Which of the sounds could be heard.
    logits : (m, K) float32
    embeddings : (m, E) float32
        Outputs of fc7.
    failures : list of (int, str)
        The other sounds, and why.
    """

    rows: np.ndarray
    logits: np.ndarray
    embeddings: np.ndarray
    failures: list[tuple[int, str]]


def find(name: str, folder: Path) -> Ear:
    """Load a run by name, or by the path of its .keras or .json file.

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
    backend.choose_backend()
    model, spec = load(run)
    if spec.normalisation.get("kind") != "speech":
        raise SpecError(f"{run.record_path}: not a network for speech.")
    content = digest(fingerprint([model_path(run)]))
    return Ear(name, model, spec, content, there[name]["settings"].get("data", {}))


def hear(
    model: keras.Model, spec: Spec, paths: Sequence[Path], text: str = "Listening"
) -> Heard:
    """Ask a network about whole sounds.

    How, the network's own settings say (`SpeechInput.of_clip`); the published way is
    the spectrogram of the whole clip, normalised over it, its middle up to 10 s.

    Parameters
    ----------
    model : keras.Model
        Of `emorec.models.vggm`.
    spec : Spec
        Its spec.
    paths : sequence of Path
        Sound files; what cannot be heard (unreadable, shorter than 1.015 s) is told in
        the result.
    text : str
        Of the progress bar.
    """
    speech_input = SpeechInput.from_dict(spec.normalisation)
    both = _with_embedding(model)
    found: dict[int, list[list[np.ndarray]]] = {}
    failures: list[tuple[int, str]] = []

    def look(row: int) -> list[np.ndarray] | DataError:
        try:
            return speech_input.of_clip(speech_input.read(paths[row]))
        except DataError as error:
            return error

    blocks = [
        range(start, min(start + _BLOCK, len(paths)))
        for start in range(0, len(paths), _BLOCK)
    ]
    with ThreadPoolExecutor(_THREADS) as threads:
        for block in track(blocks, text):
            by_width: dict[int, list[tuple[int, np.ndarray]]] = {}
            for row, clips in zip(block, threads.map(look, block), strict=True):
                if isinstance(clips, DataError):
                    failures.append((row, str(clips)))
                    continue
                found[row] = []
                for clip in clips:
                    by_width.setdefault(clip.shape[1], []).append((row, clip))
            for clips in by_width.values():
                for start in range(0, len(clips), BATCH):
                    part = clips[start : start + BATCH]
                    outputs = _outputs(both, np.stack([clip for _, clip in part]))
                    for (row, _), *values in zip(part, *outputs, strict=True):
                        found[row].append(values)
    rows = np.array(sorted(found), np.int64)
    means = [_mean(found[row]) for row in rows]
    logits, embeddings = (
        np.array([mean[k] for mean in means], np.float32).reshape(-1, output.shape[-1])
        for k, output in enumerate(both.outputs)
    )
    return Heard(rows, logits, embeddings, failures)


def _mean(versions: list[list[np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Return logits of the mean probabilities, and the mean embedding."""
    logits, embeddings = (np.stack(values) for values in zip(*versions, strict=True))
    if len(logits) == 1:
        return logits[0], embeddings[0]
    return np.log(softmax(logits).mean(axis=0) + 1e-12), embeddings.mean(axis=0)


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


@lru_cache(maxsize=2)  # a model made anew would be compiled anew
def _with_embedding(model: keras.Model) -> keras.Model:
    import keras

    from emorec.models.vggm import EMBEDDING

    return keras.Model(model.input, [model.output, model.get_layer(EMBEDDING).output])


def _outputs(model: keras.Model, clips: np.ndarray) -> list[np.ndarray]:
    # Few sizes of batches, for each is compiled anew.
    count = min(BATCH, 1 << (len(clips) - 1).bit_length())
    full = np.concatenate([clips, np.repeat(clips[-1:], count - len(clips), axis=0)])
    return [np.asarray(out)[: len(clips)] for out in model.predict_on_batch(full)]


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
    config: VoicesConfig, data: VoiceData, folder: RunFolder, say: Say
) -> tuple[keras.Model, Spec]:
    """Train a student on a teacher's scores; see `emorec.training.voices.run`."""
    return run(config, distillation_task(config, data), folder, say)


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
