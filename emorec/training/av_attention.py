"""The attention maps of an audio-visual network, kept and drawn over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from emorec.artifacts.runs import RunFolder
from emorec.batches.audiovisual import AvPipeline
from emorec.errors import SpecError, shorten
from emorec.evaluation.attention_figures import attention_figure
from emorec.evaluation.figures import save
from emorec.evaluation.single_label import softmax
from emorec.features.av_clips import FRAME_RATE, wanted_frames
from emorec.features.av_sound import SAMPLES, SOUND_RATE
from emorec.files import whole_file
from emorec.training.av_data import AvData
from emorec.training.av_scores import BATCH, score

if TYPE_CHECKING:
    import keras

Say = Callable[[str], None]
SECONDS = SAMPLES / SOUND_RATE


def write_attention(
    model: keras.Model,
    data: AvData,
    split: str,
    drawn: Sequence[str],
    folder: RunFolder,
    say: Say,
) -> None:
    """Write the attention maps of a split's clips, and draw some.

    ``attention_SPLIT_NAME.npz`` holds ``ids``, ``audio_over_video`` (n, heads, Ta, Tv)
    and ``video_over_audio`` (n, heads, Tv, Ta) float32, queries then keys, and the
    seconds of the steps, ``audio_seconds`` (Ta,) and ``video_seconds`` (Tv,), from the
    beginning of the 3.6 s that the network takes.

    Parameters
    ----------
    model, data
        Of `emorec.training.audiovisual.run` or `load`.
    split : str
    drawn : sequence of str
        Clips to draw; the first of each class when there are none.
    folder : RunFolder
    say : callable
        Receives lines for the user.

    Raises
    ------
    SpecError
        For a network without attention, or a clip that the split has not.
    """
    from emorec.models.audiovisual import attention_maps

    if len(model.input) < 2:
        raise SpecError(
            f"--attention: {folder.param_name} takes {', '.join(model.input)} alone; "
            "attention is between two modalities."
        )
    maps = attention_maps(model)
    rows = data.rows(split)
    clips = data.clips.only(rows)
    if unknown := sorted(set(drawn) - set(clips.ids)):
        raise SpecError(
            f"--attention {shorten(unknown)}: no such clip in the split {split}; there "
            f"are {shorten(clips.ids)}."
        )
    served = AvPipeline(data.arrays, BATCH, rows)
    parts: dict[str, list[np.ndarray]] = {}
    for number in range(len(served)):
        inputs, _ = served.batch(0, number)
        for name, values in maps.predict_on_batch(inputs).items():
            parts.setdefault(name, []).append(np.asarray(values, np.float32))
    found = {name: np.concatenate(values) for name, values in parts.items()}
    heard, seen = step_seconds(*found["audio_over_video"].shape[-2:])
    path = folder.folder / f"attention_{split}_{folder.param_name}.npz"
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            ids=np.array(clips.ids, np.str_),
            audio_seconds=heard,
            video_seconds=seen,
            **found,
        )
    if not drawn:
        first = np.unique(clips.classes, return_index=True)[1]
        drawn = [clips.ids[place] for place in sorted(first)]
    shares = softmax(score(model, data, rows))
    labels = data.clips.schema.labels
    for name in drawn:
        place = clips.ids.index(name)
        best = int(shares[place].argmax())
        title = (
            f"{name}: {labels[clips.classes[place]]}, taken for {labels[best]} "
            f"({shares[place, best]:.2f})"
        )
        figure = attention_figure(
            *(
                found[key][place].mean(axis=0)
                for key in ("audio_over_video", "video_over_audio")
            ),
            heard,
            seen,
            title,
        )
        ending = f"{folder.param_name}_{name.replace('/', '_')}.png"
        save(figure, folder.folder / f"attention_{ending}")
    say(f"Attention of {len(rows)} clips: {path}; {len(drawn)} drawn beside it.")


def step_seconds(heard: int, seen: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the middles of steps of audio and of frames, seconds from the beginning.

    Convolutions without padding take steps away at both ends alike.
    """
    steps = 1 + SAMPLES // 512
    audio = (np.arange(heard) + (steps - heard) / 2) * 512 / SOUND_RATE
    # Features of a clip, not of its frames, have no times of their own.
    video = (np.arange(seen) + 0.5) * SECONDS / seen
    if seen == len(wanted_frames(round(SECONDS * FRAME_RATE))):
        video = wanted_frames(round(SECONDS * FRAME_RATE)) / FRAME_RATE
    return audio, video
