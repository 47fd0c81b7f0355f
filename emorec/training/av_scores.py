"""Asking an audio-visual network with both modalities and with each alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from emorec.artifacts.runs import RunFolder
from emorec.artifacts.spec import Spec
from emorec.batches.audiovisual import AUDIO, VIDEO, AvPipeline
from emorec.batches.modality_dropout import FILLS
from emorec.evaluation.incomplete import BOTH, IncompleteScores, write_results
from emorec.labels import check_same
from emorec.training.av_data import AvData

if TYPE_CHECKING:
    import keras

Say = Callable[[str], None]
BATCH = 16
# What the published table has, of each modality alone.
CONDITIONS = (
    (BOTH, ""),
    *((given, fill) for given in (AUDIO, VIDEO) for fill in FILLS),
)


def evaluate(
    model: keras.Model,
    spec: Spec,
    data: AvData,
    folder: RunFolder,
    split: str,
    say: Say,
    seed: int = 0,
) -> IncompleteScores:
    """Ask a network about a split with both modalities and with each alone.

    Clips that truly lack a modality are asked with what they have in all conditions,
    the rest filled as the condition has it (with both: zeros).
    """
    result = scores(model, spec, data, split, seed)
    write_results(result, folder, spec, say)
    return result


def scores(
    model: keras.Model, spec: Spec, data: AvData, split: str, seed: int = 0
) -> IncompleteScores:
    """Return what `evaluate` writes.

    A network of one modality is asked with that one, about the clips that have it.
    """
    check_same(spec.schema, data.clips.schema, data.clips.dataset)
    taken = [name for name in (AUDIO, VIDEO) if name in model.input]
    conditions, there = CONDITIONS, None
    if len(taken) == 1:
        conditions, there = ((taken[0], ""),), data.arrays.present[taken[0]]
    rows = data.rows(split, there)
    logits = {}
    for given, fill in conditions:
        modalities = (AUDIO, VIDEO) if given == BOTH else (given,)
        logits[given, fill] = score(
            model, data, rows, modalities, fill or "zeros", seed
        )
    clips = data.clips.only(rows)
    training = data.clips.classes[data.clips.split == "train"]
    counts = np.bincount(training, minlength=len(spec.schema))
    return IncompleteScores(
        spec.schema,
        clips.dataset,
        split,
        clips.ids,
        clips.classes,
        clips.speakers,
        clips.intensity,
        logits,
        np.full(len(rows), counts.argmax()),
    )


def score(
    model: keras.Model,
    data: AvData,
    rows: np.ndarray,
    modalities: Sequence[str] = (AUDIO, VIDEO),
    fill: str = "zeros",
    seed: int = 0,
) -> np.ndarray:
    """Return the logits (m, K) float32 of some clips.

    Parameters
    ----------
    model : keras.Model
        Of `run`.
    data : AvData
        Clips as the network takes them.
    rows : (m,) int
        Which clips.
    modalities : sequence of str
        Those that it is given; the others are filled, as are those that a clip lacks.
    fill : str
        See `emorec.batches.modality_dropout.fill`.
    seed : int
        Of noise.
    """
    served = AvPipeline(
        data.arrays,
        BATCH,
        rows,
        seed,
        fill=fill,
        modalities=modalities,
        inputs=[name for name in (AUDIO, VIDEO) if name in model.input],
    )
    parts = []
    for number in range(len(served)):
        inputs, targets = served.batch(0, number)
        # Few sizes of batches, for each is compiled anew.
        missing = BATCH - len(targets) if len(served) > 1 else 0
        full = {
            name: np.concatenate([x, np.repeat(x[-1:], missing, axis=0)])
            for name, x in inputs.items()
        }
        logits = np.asarray(model.predict_on_batch(full))
        parts.append(logits[: len(targets)])
    return np.concatenate(parts).astype(np.float32)
