"""Asking a trained speech network about sounds."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emorec.artifacts.spec import Spec
from emorec.batches.speech_input import SpeechInput
from emorec.errors import DataError
from emorec.evaluation.single_label import softmax
from emorec.progress import track

if TYPE_CHECKING:
    import keras

BATCH = 32
# Clips whose spectrograms are in memory at a time.
_BLOCK = 256
_THREADS = min(8, os.cpu_count() or 1)


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
    both = with_embedding(model)
    found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
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
            looked = dict(zip(block, threads.map(look, block), strict=True))
            heard = {row: x for row, x in looked.items() if isinstance(x, list)}
            failures += [(row, str(x)) for row, x in looked.items() if row not in heard]
            found |= zip(heard, ask(both, list(heard.values())), strict=True)
    rows = np.array(sorted(found), np.int64)
    means = [found[row] for row in rows]
    logits, embeddings = (
        np.array([mean[k] for mean in means], np.float32).reshape(-1, output.shape[-1])
        for k, output in enumerate(both.outputs)
    )
    return Heard(rows, logits, embeddings, failures)


def ask(
    both: keras.Model, sounds: Sequence[Sequence[np.ndarray]]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Ask a network about sounds, those of one width together.

    Parameters
    ----------
    both : keras.Model
        Of `with_embedding`.
    sounds : sequence of sequence of (F, W, 1) float32
        What of each sound is heard, one or more: `SpeechInput.of_clip`.

    Returns
    -------
    list of ((K,), (E,)) float32
        Logits and embedding of each sound; of several versions, logits of the mean
        probabilities, and the mean embedding.
    """
    by_width: dict[int, list[tuple[int, np.ndarray]]] = {}
    for row, versions in enumerate(sounds):
        for clip in versions:
            by_width.setdefault(clip.shape[1], []).append((row, clip))
    found: list[list[list[np.ndarray]]] = [[] for _ in sounds]
    for clips in by_width.values():
        for start in range(0, len(clips), BATCH):
            part = clips[start : start + BATCH]
            outputs = _outputs(both, np.stack([clip for _, clip in part]))
            for (row, _), *values in zip(part, *outputs, strict=True):
                found[row].append(values)
    return [_mean(versions) for versions in found]


def _mean(versions: list[list[np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Return logits of the mean probabilities, and the mean embedding."""
    logits, embeddings = (np.stack(values) for values in zip(*versions, strict=True))
    if len(logits) == 1:
        return logits[0], embeddings[0]
    return np.log(softmax(logits).mean(axis=0) + 1e-12), embeddings.mean(axis=0)


@lru_cache(maxsize=2)  # a model made anew would be compiled anew
def with_embedding(model: keras.Model) -> keras.Model:
    """Return a network with two outputs: logits (B, K) and embedding (B, E)."""
    import keras

    from emorec.models.vggm import EMBEDDING

    return keras.Model(model.input, [model.output, model.get_layer(EMBEDDING).output])


def _outputs(model: keras.Model, clips: np.ndarray) -> list[np.ndarray]:
    # Few sizes of batches, for each is compiled anew.
    count = min(BATCH, 1 << (len(clips) - 1).bit_length())
    full = np.concatenate([clips, np.repeat(clips[-1:], count - len(clips), axis=0)])
    return [np.asarray(out)[: len(clips)] for out in model.predict_on_batch(full)]
