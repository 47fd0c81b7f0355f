"""Recipes of open features: words alone, or words, face and voice of each video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from emorec.artifacts.found_runs import find_runs
from emorec.corpora.extraction import PATH
from emorec.corpora.recorded import Recorded, find_recorded
from emorec.errors import DataError, SpecError
from emorec.sequences.csd import Rows
from emorec.training import open_features
from emorec.training.clip_faces import LabelSettings
from emorec.training.open_features import LACKING, FrontEnd
from emorec.training.open_sequences import PARTS
from emorec.training.recipes import Arrays, Reasons, Source, named

# Letter of a modality -> what sources call its file.
_FILES = {"T": "text", "V": "video", "A": "sound"}


@dataclass(frozen=True)
class TextRecipe:
    """Vectors of words or sentences: ``intervals`` (T, 2) and ``features`` (T, D).

    Attributes
    ----------
    text : {"glove", "sentences"}
        A vector for each word, or for each cue of the transcript.
    vectors : str
        A file of word vectors.
    sentence_model : str
        A model's name or folder.
    """

    kind: ClassVar[str] = "text"
    reader: ClassVar[None] = None
    judge: ClassVar[None] = None

    text: str = "glove"
    vectors: str = ""
    sentence_model: str = ""

    def __post_init__(self) -> None:
        _check_words(self)
        _from_anywhere(self, "vectors", "sentence_model")

    def settings(self) -> dict[str, Any]:
        """Return what decides the arrays; see `emorec.training.recipes.Recipe`."""
        told = _told(words(self.text, self.vectors, self.sentence_model))
        return {"kind": self.kind, "text": told, "arrays": list(Rows._fields)}

    def sources(self, paths: Sequence[str | Path]) -> list[Source]:
        """Find transcripts; of videos without one nothing can be extracted."""
        return [_source(each, "T") for each in find_recorded(named(paths))]

    def whole(self) -> Callable[[Source], tuple[Arrays, Reasons]]:
        """Return the function of a transcript."""
        front = words(self.text, self.vectors, self.sentence_model)
        return lambda source: (_rows(front, "T", source)._asdict(), {})


@dataclass(frozen=True)
class OpenRecipe:
    """Words, face and voice of videos, as ``emorec mosei extract`` makes them.

    Arrays are ``text_intervals`` (T, 2) float64 in seconds, ``text_features`` (T, D)
    float32, and so on for ``face`` and ``voice``: as many parts as are asked for.

    Attributes
    ----------
    text, vectors, sentence_model : str
        See `TextRecipe`; empty: no words.
    voice : {"", "librosa", "egemaps"}
        See `emorec.training.open_features.voice`; empty: no voice.
    face : str
        A finished run of ``emorec faces``; empty: no face.
    face_output : {"probabilities", "embedding", "both"}
        See `emorec.training.open_faces.face`.
    sampling : LabelSettings
        Frames, detection and choice of faces.
    """

    kind: ClassVar[str] = "open"
    reader: ClassVar[None] = None
    judge: ClassVar[None] = None

    text: str = ""
    vectors: str = ""
    sentence_model: str = ""
    voice: str = ""
    face: str = ""
    face_output: str = "probabilities"
    sampling: LabelSettings = field(default_factory=LabelSettings)

    def __post_init__(self) -> None:
        if self.text:
            _check_words(self)
        if not self.letters:
            raise SpecError("Nothing to extract: give --text, --face or --voice.")
        _from_anywhere(self, "vectors", "sentence_model", "face")

    @property
    def letters(self) -> str:
        """Of the modalities that are asked for."""
        asked = {"T": self.text, "V": self.face, "A": self.voice}
        return "".join(letter for letter, what in asked.items() if what)

    def fronts(self, at_once: bool = True) -> dict[str, FrontEnd]:
        """Return letter -> how its rows are made.

        Parameters
        ----------
        at_once : bool
            Load the face network now, not when the first film needs it.
        """
        found = {}
        if self.text:
            found["T"] = words(self.text, self.vectors, self.sentence_model)
        if self.face:
            from emorec.training import open_faces

            own = self.face, self.face_output, self.sampling
            found["V"] = open_faces.face(*own, at_once=at_once)
        if self.voice:
            found["A"] = open_features.voice(self.voice)
        return found

    def settings(self) -> dict[str, Any]:
        """Return what decides the arrays; see `emorec.training.recipes.Recipe`."""
        fronts = self.fronts(at_once=False)
        parts = {part: _told(fronts[PARTS[part]]) for part in self._parts}
        arrays = [f"{part}_{field}" for part in parts for field in Rows._fields]
        return {"kind": self.kind, "parts": parts, "arrays": arrays}

    @property
    def _parts(self) -> list[str]:
        return [part for part, letter in PARTS.items() if letter in self.letters]

    def places(self) -> dict[str, str]:
        """Return part -> where what makes it lies, of those that need a file."""
        found = {}
        if self.text:
            found["text"] = str(Path(self.vectors).resolve())
        if self.text == "sentences":
            folder = Path(self.sentence_model)
            local = folder.is_dir()
            found["text"] = str(folder.resolve()) if local else self.sentence_model
        if self.face:
            (run,) = find_runs([self.face])
            found["face"] = str((run.run.folder / run.name).resolve())
        return found

    def sources(self, paths: Sequence[str | Path]) -> list[Source]:
        """Find videos; files of one name are one video."""
        return [_source(each, self.letters) for each in find_recorded(named(paths))]

    def whole(self) -> Callable[[Source], tuple[Arrays, Reasons]]:
        """Return the function of a video, which reads a few seconds of it at a time."""
        fronts, parts = self.fronts(), self._parts

        def extract(source: Source) -> tuple[Arrays, Reasons]:
            arrays: Arrays = {}
            reasons: Reasons = {}
            for part in parts:
                letter = PARTS[part]
                try:
                    rows = _rows(fronts[letter], letter, source)
                except DataError as error:
                    reasons[part] = str(error)
                    continue
                arrays |= {f"{part}_{k}": array for k, array in rows._asdict().items()}
            if not arrays:
                raise DataError("; ".join(f"{p}: {why}" for p, why in reasons.items()))
            return arrays, reasons

        return extract


def words(text: str, vectors: str, sentence_model: str) -> FrontEnd:
    """Return the front end of words; see `TextRecipe`."""
    if text == "sentences":
        return open_features.sentences(sentence_model)
    return open_features.words_by_vectors(vectors)


def _check_words(recipe: TextRecipe | OpenRecipe) -> None:
    if recipe.text not in open_features.TEXTS:
        raise SpecError(
            f"--text {recipe.text}: expected {' or '.join(open_features.TEXTS)}."
        )
    if recipe.text == "glove" and not recipe.vectors:
        raise SpecError("--text glove: needs a file of word vectors, --vectors FILE.")
    if recipe.text == "sentences" and not recipe.sentence_model:
        raise SpecError("--text sentences: needs --sentence_model MODEL.")


def _from_anywhere(recipe: TextRecipe | OpenRecipe, *names: str) -> None:
    """Make files the same from whatever folder a process begins in."""
    for name in names:
        value = getattr(recipe, name)
        # A model's name is no file.
        if value and (name != "sentence_model" or Path(value).is_dir()):
            object.__setattr__(recipe, name, str(Path(value).absolute()))


def _told(front: FrontEnd) -> dict[str, Any]:
    """Return what decides the rows of a front end, and the columns' names."""
    own = {key: value for key, value in front.settings.items() if key != PATH}
    return own | {"names": list(front.names)}


def _source(recorded: Recorded, letters: str) -> Source:
    files = {"T": recorded.transcript, "V": recorded.video, "A": recorded.sound}
    paths = {
        _FILES[letter]: files[letter].absolute() for letter in letters if files[letter]
    }
    return Source(recorded.id, paths)


def _rows(front: FrontEnd, letter: str, source: Source) -> Rows:
    path = source.paths.get(_FILES[letter])
    if path is None:
        raise DataError(LACKING[letter])
    return open_features.rows_of(front, letter, path)
