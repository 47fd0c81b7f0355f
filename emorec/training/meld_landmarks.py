"""Landmarks of the speakers of MELD's videos, each clip made once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache as once
from pathlib import Path

import numpy as np
import pandas as pd

from emorec.artifacts.landmarks import Landmarks
from emorec.artifacts.logits import load_arrays
from emorec.corpora.meld import Meld
from emorec.errors import DataError, SpecError
from emorec.features.faces import Detector
from emorec.features.landmarks import (
    SIDE,
    Embedder,
    Landmarker,
    SpeakerSettings,
    speaker_landmarks,
)
from emorec.features.video import read_frames
from emorec.files import digest, fingerprint
from emorec.training import backend
from emorec.training.feature_cache import Made, finish

ARRAY = "points"


@dataclass(frozen=True)
class Tools:
    """What finds a speaker's landmarks, made when the first clip needs it.

    Attributes
    ----------
    detect, landmark : callable
        Return the detector and the landmarker.
    name : str
        Identifies the landmarker; another one's points are not mixed in.
    embed : callable or None
        Returns the embedder.
    references : dict
        Speaker's name -> vector (E,).
    """

    detect: Callable[[], Detector]
    landmark: Callable[[], Landmarker]
    name: str
    embed: Callable[[], Embedder] | None = None
    references: dict[str, np.ndarray] | None = None

    def __post_init__(self) -> None:
        if (self.embed is None) != (not self.references):
            raise SpecError(
                "Speakers are told by an embedder and reference vectors of the same "
                "network: give both, or neither to take the largest face."
            )


def make_landmarks(
    corpus: Meld, tools: Tools, cache: str | Path, settings: SpeakerSettings
) -> tuple[Landmarks, pd.DataFrame, int]:
    """Find the landmarks of the speaker in every video of a corpus.

    Parameters
    ----------
    corpus : Meld
        Utterances with speakers and videos.
    tools : Tools
        Detector, landmarker, and what tells speakers apart. With references a speaker
        without one is a failure.
    cache : path
        Folder of what is kept; an interrupted work goes on there.
    settings : SpeakerSettings
        Sampling and choice of faces.

    Returns
    -------
    Landmarks, pandas.DataFrame, int
        Of the utterances that have them; ``id`` and ``reason`` of the others; how many
        were made now.

    Raises
    ------
    SpecError, DataError, BusyError
        See `emorec.training.feature_cache.kept`.
    """
    detect, landmark = once(tools.detect), once(tools.landmark)
    embed = once(tools.embed) if tools.embed else None
    videos = corpus.media("video")
    speakers = dict(zip(videos, corpus.speakers.tolist(), strict=True))
    references = tools.references or {}

    def make(paths: Sequence[Path]) -> Made:
        for place, path in enumerate(paths):
            try:
                yield place, (points_of(path),)
            except DataError as error:
                yield place, str(error)

    def points_of(path: Path) -> np.ndarray:
        speaker = speakers[path]
        if references and speaker not in references:
            raise DataError(f"{path}: no reference of the speaker {speaker}.")
        frames = read_frames(path, settings.rate, settings.every)
        try:
            return speaker_landmarks(
                frames,
                detect(),
                landmark(),
                settings,
                embed() if embed else None,
                references.get(speaker),
            )
        except DataError as error:
            told = str(error)
            raise DataError(told if str(path) in told else f"{path}: {told}") from error

    own = settings.to_dict() | {
        "landmarker": tools.name,
        "references": digest({k: v.tolist() for k, v in references.items()}),
    }
    files, failures, made = finish(
        *(corpus.dataset, corpus.ids, videos, make, cache, (ARRAY,), own),
        "Landmarks",
        dimensions=3,
    )
    there = [row for row in range(len(corpus)) if row not in failures]
    clips = [load_arrays(files[row], (ARRAY,))[ARRAY] for row in there]
    rows = [(corpus.ids[row], failures[row]) for row in sorted(failures)]
    table = pd.DataFrame(rows, columns=["id", "reason"])
    ids = [corpus.ids[row] for row in there]
    return Landmarks.of(ids, clips, made=own), table, made


def read_references(path: str | Path) -> dict[str, np.ndarray]:
    """Read one vector (E,) per speaker.

    Parameters
    ----------
    path : path
        An .npz whose arrays are named by the speakers, or a folder of NAME.npy, in it
        or below.

    Raises
    ------
    DataError
        When there are none, they are damaged, or their widths differ.
    """
    path = Path(path)
    try:
        if path.is_dir():
            files = sorted(path.rglob("*.npy"))
            found = {file.stem: np.load(file, allow_pickle=False) for file in files}
        else:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
                found = {name: content[name] for name in content.files}
    except (OSError, ValueError, EOFError, AttributeError) as error:
        raise DataError(f"{path}: expected reference vectors ({error}).") from error
    found = {name: np.asarray(v, np.float64).ravel() for name, v in found.items()}
    widths = {len(vector) for vector in found.values()}
    if len(widths) != 1:
        raise DataError(
            f"{path}: expected one vector per speaker, all of one width; found "
            f"{len(found)} of the widths {sorted(widths)}."
        )
    return found


def keras_embedder(path: str | Path) -> Embedder:
    """Return a Keras network by its file as an embedder; no code of it is run.

    Parameters
    ----------
    path : path
        A .keras file; input (n, 112, 112, 3) RGB from 0 to 1, output (n, E).

    Raises
    ------
    SpecError
        When it is missing, not such a file, or takes other input.
    """
    backend.choose_backend()
    model = backend.load_keras_model(path)
    shape = model.input_shape
    if isinstance(shape, list | dict) or tuple(shape[1:]) != (SIDE, SIDE, 3):
        raise SpecError(
            f"{path}: takes {shape}; expected a network of faces (n, {SIDE}, {SIDE}, "
            "3)."
        )
    return model.predict_on_batch


def tool_name(predictor: str | Path) -> str:
    """Return what identifies a landmarker's model file."""
    path = Path(predictor)
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected a model of 68 landmarks.")
    return f"dlib {path.name} {digest(fingerprint([path]))}"
