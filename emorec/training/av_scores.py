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
# Passed through the frame network at once: two clips.
_FRAMES = 30
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

    Frames of zeros do not pass through the frame network: those of a missing video, or
    without a face. Here batch normalisation has stored statistics, so each frame's
    features are its own, and those of a black one are computed once; the logits are
    the same to rounding. In training this would be another network: there the
    statistics are the batch's, black frames among them, and every step changes the
    features of black. With `--freeze_frames` no black frame is computed in training,
    either, as what stands for a missing video then stands for its features.

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
    asked, parts = Asked(model), []
    for number in range(len(served)):
        inputs, _ = served.batch(0, number)
        parts.append(asked(inputs, BATCH if len(served) > 1 else 0))
    return np.concatenate(parts)


class Asked:
    """A network that is asked batch by batch; see `score` for black frames."""

    def __init__(self, model: keras.Model) -> None:
        self.features, self.ending = _parts(model)

    def __call__(self, inputs: dict[str, np.ndarray], least: int = 0) -> np.ndarray:
        """Return logits (B, K) float32.

        Parameters
        ----------
        inputs : dict
            Modality -> (B, ...) float32, as of `AvPipeline.batch`.
        least : int
            Smaller batches are filled up to this size, for each is compiled anew.
        """
        if self.features:
            frames = self.features(inputs[VIDEO])
            inputs = {"audio": inputs[AUDIO], "frames": frames}
        count = len(next(iter(inputs.values())))
        full = {
            name: np.concatenate([x, np.repeat(x[-1:], max(0, least - count), axis=0)])
            for name, x in inputs.items()
        }
        logits = np.asarray(self.ending.predict_on_batch(full))
        return logits[:count].astype(np.float32)


def _parts(model: keras.Model) -> tuple[_FrameFeatures | None, keras.Model]:
    """Return what makes features of frames, and the network behind it.

    None, and the network itself, where that takes features.
    """
    parts = {layer.name: layer for layer in model.layers}
    if not {"frames", "fusion"} <= parts.keys():
        return None, model
    return _FrameFeatures(parts["frames"]), parts["fusion"]


class _FrameFeatures:
    """The features of the frames of clips, those of a black frame computed once."""

    def __init__(self, network: keras.Model) -> None:
        self.network = network
        self.at_once = 0
        self.black: np.ndarray | None = None

    def __call__(self, video: np.ndarray) -> np.ndarray:
        """Return (B, F, C) float32 of (B, F, S, S, 3)."""
        frames = video.reshape(-1, *video.shape[2:])
        # Of one size, for each is compiled anew.
        self.at_once = self.at_once or min(len(frames), _FRAMES)
        seen = np.array([frame.any() for frame in frames])
        result = np.empty((len(frames), self.network.output_shape[-1]), np.float32)
        result[seen] = self._computed(frames[seen])
        if not seen.all():
            if self.black is None:
                self.black = self._computed(frames[~seen][:1])
            result[~seen] = self.black
        return result.reshape(*video.shape[:2], -1)

    def _computed(self, frames: np.ndarray) -> np.ndarray:
        result = np.empty((len(frames), self.network.output_shape[-1]), np.float32)
        full = np.zeros((self.at_once, *frames.shape[1:]), frames.dtype)
        for start in range(0, len(frames), self.at_once):
            part = frames[start : start + self.at_once]
            full[: len(part)] = part
            found = np.asarray(self.network.predict_on_batch(full))
            result[start : start + len(part)] = found[: len(part)]
        return result
