"""The open features of raw clips: what settings mean, the same for all who extract.

Each modality has a front end: a function of one recording's file that returns
timed rows, with settings that say all that decides them. Extraction of a corpus writes
rows and settings; prediction makes the front end of a model's settings again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from emorec.corpora.extraction import PATH
from emorec.errors import DataError, SpecError
from emorec.features import voice_frames
from emorec.features.audio import RATE
from emorec.features.sound_blocks import sound_blocks
from emorec.features.subtitles import Cue
from emorec.features.timed_words import WordLookup, timed_words, times_of
from emorec.features.transcripts import read_transcript
from emorec.files import digest, fingerprint
from emorec.sequences.csd import Rows
from emorec.training.clip_faces import LabelSettings

TEXTS, VOICES = ("glove", "sentences"), ("librosa", "egemaps")
# Why a video has no rows of a modality.
LACKING = {"T": "no transcript", "V": "no video", "A": "no sound"}
# Seconds of a step where there are no words.
STEP = 0.5
# Bytes at either end of a file that tell it from others.
_ENDS = 1 << 20


@dataclass(frozen=True)
class FrontEnd:
    """How the rows of one modality are made.

    Attributes
    ----------
    settings : dict
        Plain containers, all that decides the rows; ``path`` says where something lies
        and decides nothing.
    names : tuple of str
        Of the columns.
    rows : callable
        Of the words, a list of cues -> Rows; of face and voice, a file -> Rows. Rows
        may be none; intervals are float64 seconds, features float32. Raises DataError
        for a file that cannot be read, or a film that shows no face.
    """

    settings: dict[str, Any]
    names: tuple[str, ...]
    rows: Callable[[Any], Rows] = field(compare=False)


def words_by_vectors(path: str | Path) -> FrontEnd:
    """Return the front end of words with vectors of a GloVe file or an .npz.

    A row a word, with the word's time (`emorec.features.timed_words`).
    """
    lookup = WordLookup(path)

    def rows(cues: Sequence[Cue]) -> Rows:
        words = timed_words(cues)
        return Rows(times_of(words), lookup.vectors([word.text for word in words]))

    settings = {
        "kind": "glove",
        "vectors": lookup.path.name,
        "content": content_of(lookup.path),
        PATH: str(lookup.path.resolve()),
    }
    names = tuple(f"word_{number:03d}" for number in range(lookup.width))
    return FrontEnd(settings, names, rows)


def sentences(source: str, program: str = "auto") -> FrontEnd:
    """Return the front end of cues with vectors of a sentence model.

    A row a cue, with the cue's time.
    """
    from emorec.features.sentence_embeddings import embeddings_of

    folder = Path(source)
    if source.endswith(".npz"):
        raise SpecError(
            f"{source}: sentences of other clips are not in a file of embeddings; give "
            "a model's name or folder."
        )

    def rows(cues: Sequence[Cue]) -> Rows:
        texts = [cue.text for cue in cues]
        ids = [f"cue {number}" for number in range(len(cues))]
        if not texts:
            return Rows(np.zeros((0, 2)), np.zeros((0, width), np.float32))
        return Rows(times_of(cues), embeddings_of(texts, ids, source, program))

    # The model is asked once, which also says what is wrong with it before the corpus.
    width = embeddings_of(["yes"], ["a word"], source, program).shape[1]
    local = folder.is_dir()
    settings = {
        "kind": "sentences",
        "model": folder.name if local else source,
        "program": program,
        "content": _folder_content(folder) if local else None,
        PATH: str(folder.resolve()) if local else source,
    }
    return FrontEnd(settings, tuple(f"sentence_{i:04d}" for i in range(width)), rows)


def voice(kind: str = "librosa") -> FrontEnd:
    """Return the front end of a voice: rows of a tenth of a second.

    Parameters
    ----------
    kind : {"librosa", "egemaps"}
        See `emorec.features.voice_frames` and `emorec.features.egemaps`.
    """
    if kind not in VOICES:
        raise SpecError(f"--voice {kind}: expected {' or '.join(VOICES)}.")
    settings: dict[str, Any] = {"kind": kind, "rate": RATE, "rows_per_second": 10}
    if kind == "librosa":
        make, names = voice_frames.voice_rows, voice_frames.NAMES
    else:
        from emorec.features import egemaps

        make, names = egemaps.egemaps_rows, egemaps.names()
    return FrontEnd(settings, names, partial(_voice, make, len(names)))


def _voice(make: Callable, width: int, path: Path) -> Rows:
    parts = [np.zeros((0, width), np.float32), *make(sound_blocks(path))]
    return Rows(grid(sum(map(len, parts)), 10), np.concatenate(parts))


def rows_of(front: FrontEnd, letter: str, path: Path) -> Rows:
    """Return the rows of a recording's file, one or more.

    Parameters
    ----------
    front : FrontEnd
        How they are made.
    letter : {"T", "V", "A"}
        Of `emorec.corpora.mosei.MODALITIES`; the file of words is a transcript.
    path : Path
        The file.

    Raises
    ------
    DataError
        When it cannot be read, or has nothing.
    """
    rows = front.rows(read_transcript(path) if letter == "T" else path)
    if not len(rows.intervals):
        raise DataError(f"{path}: has no words, or no sound.")
    return rows


def steps(ends: Iterable[float], step: float = STEP) -> Rows:
    """Return windows of equal length that reach to the last of some ends.

    Their one feature, 1, says nothing.
    """
    count = int(np.ceil(max(ends, default=0.0) / step - 1e-9))
    edges = np.arange(count + 1) * step
    return Rows(
        np.stack([edges[:-1], edges[1:]], axis=1), np.ones((count, 1), np.float32)
    )


def grid(count: int, per_second: int) -> np.ndarray:
    """Return the times of rows, one after another from 0 on, (count, 2) float64."""
    edges = np.arange(count + 1) / per_second
    return np.stack([edges[:-1], edges[1:]], axis=1)


def content_of(path: Path) -> str:
    """Return digits that tell a file from others by its size and its two ends."""
    import hashlib

    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            ends = file.read(_ENDS)
            file.seek(max(0, size - _ENDS))
            ends += file.read(_ENDS)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    return digest([size, hashlib.sha256(ends).hexdigest()])


def _folder_content(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sizes = {name: size for name, (size, _) in fingerprint(files).items()}
    return digest([sizes, [content_of(path) for path in files]])


def front_of(settings: dict[str, Any], beside: Path) -> FrontEnd:
    """Make the front end of a model's features again.

    Parameters
    ----------
    settings : dict
        As `emorec.corpora.extraction.of_sequence` tells them.
    beside : Path
        The model's folder, where files are looked for that do not lie where they did.

    Raises
    ------
    SpecError
        When a file is not there, or is not what the model was trained with.
    """
    kind = settings["kind"]
    if kind == "glove":
        front = words_by_vectors(_found(settings, settings["vectors"], beside))
    elif kind == "sentences":
        source = settings[PATH]
        if settings["content"] is not None:
            source = str(_found(settings, settings["model"], beside))
        front = sentences(source, settings["program"])
    elif kind == "face":
        names = [each.name for each in fields(LabelSettings)]
        own = LabelSettings(**{name: settings[name] for name in names})
        name = f"run_{settings['run']}.json"
        place = Path(settings[PATH])
        record = _found(settings | {PATH: str(place.with_name(name))}, name, beside)
        from emorec.training.open_faces import face

        front = face(record, settings["outputs"], own)
    else:
        front = voice(kind)
    made = {**front.settings, "names": list(front.names)}
    different = [
        f"  {key}: expected {settings[key]}, found {made.get(key)}"
        for key in settings
        if key != PATH and settings[key] != made.get(key)
    ]
    if different:
        raise SpecError(
            f"{front.settings.get(PATH, kind)}: not what the model was trained with.\n"
            + "\n".join(different)
        )
    return front


def _found(settings: dict[str, Any], name: str, beside: Path) -> Path:
    places = [Path(settings[PATH]), beside / name]
    for place in places:
        if place.exists():
            return place
    raise SpecError(
        f"{places[0]}: no such file, and {places[1]} neither. The model's features "
        f"were made with it ({settings['kind']}); put it into one of these places."
    )
