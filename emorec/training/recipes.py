"""What ``emorec extract`` makes of a clip, and how: a recipe for each kind.

A recipe is plain and can be pickled: it goes to the processes that work by it, and
loads detectors and networks there. `Recipe` says what each kind offers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from emorec.errors import SpecError

KINDS = ("faces", "teacher", "speech", "text", "open")

Arrays = dict[str, np.ndarray]
Reasons = dict[str, str]


class Source(NamedTuple):
    """What there is of a clip.

    Attributes
    ----------
    id : str
        Name of the clip.
    paths : dict
        What it is -> file or folder: ``clip``; or of kind ``open`` those of ``text``,
        ``video`` and ``sound`` that there are.
    known : (int, int), optional
        Bytes and time (ns) of what an earlier extraction read, of clips that are taken
        from its store.
    """

    id: str
    paths: dict[str, Path]
    known: tuple[int, int] | None = None


def stamp(source: Source) -> tuple[int, int]:
    """Return what tells whether a clip has changed: bytes and time (ns).

    Of several files the sum, and the latest; a folder has its time only; a file that is
    not there has neither.
    """
    if source.known is not None:
        return source.known
    total = latest = 0
    for path in set(source.paths.values()):
        try:
            status = path.stat()
        except OSError:  # it is told when it is read
            continue
        total += 0 if path.is_dir() else status.st_size
        latest = max(latest, status.st_mtime_ns)
    return total, latest


class Recipe(Protocol):
    """How one kind is extracted; a frozen dataclass of plain fields.

    Attributes
    ----------
    kind : str
        Of `KINDS`.
    reader, judge : method or None
        Of kinds in which a network takes what was decoded before, so that many
        processes decode and few hold the network. Each is called once in a process.
        ``reader()`` returns a function from a source to arrays, ``judge()`` one from
        these to the arrays of ``whole()``, bit for bit. Both raise DataError for what
        cannot be extracted.
    """

    kind: str
    reader: Callable[[], Callable[[Source], Arrays]] | None
    judge: Callable[[], Callable[[Arrays], Arrays]] | None

    def settings(self) -> dict[str, Any]:
        """Return what decides the arrays, in plain containers.

        With ``arrays``, their names, and of scores ``schema``, their labels.

        Raises
        ------
        SpecError, DataError, MissingExtraError
            For what can be known to fail before any clip is read.
        """

    def sources(self, paths: Sequence[str | Path]) -> list[Source]:
        """Find the clips of files and folders.

        Raises
        ------
        DataError
            When there are none, or two have one name.
        """

    def whole(self) -> Callable[[Source], tuple[Arrays, Reasons]]:
        """Load what is needed; return the function that makes a clip's arrays.

        It returns them, each with a row a step, and why a part is missing. It raises
        DataError where nothing could be made.
        """


def recipe(kind: str, **options: Any) -> Recipe:
    """Return the recipe of a kind.

    Parameters
    ----------
    kind : str
        Of `KINDS`.
    **options
        The fields of `recipes_faces.FacesRecipe` and `recipes_faces.TeacherRecipe` (or
        `recipes_faces.from_faces`), `recipes_speech.SpeechRecipe` or
        `recipes_speech.VoiceRecipe` (with ``features``), `recipes_open.TextRecipe` and
        `recipes_open.OpenRecipe`.

    Raises
    ------
    SpecError
        For another kind, or options that cannot be.
    """
    if kind not in KINDS:
        raise SpecError(f"'{kind}': expected one of {', '.join(KINDS)}.")
    if kind == "faces":
        from emorec.training.recipes_faces import FacesRecipe

        return FacesRecipe(**options)
    if kind == "teacher":
        from emorec.training.recipes_faces import TeacherRecipe, from_faces

        return (from_faces if "faces" in options else TeacherRecipe)(**options)
    if kind == "speech":
        from emorec.training.recipes_speech import SpeechRecipe, VoiceRecipe

        return (VoiceRecipe if "features" in options else SpeechRecipe)(**options)
    from emorec.training.recipes_open import OpenRecipe, TextRecipe

    return (OpenRecipe if kind == "open" else TextRecipe)(**options)


def named(paths: Sequence[str | Path]) -> Sequence[str | Path]:
    """Return the files and folders that a user names, one or more."""
    if not paths:
        raise SpecError("Nothing to extract from: name files or folders.")
    return paths


def absolute(name: str) -> str:
    """Return a network's name so that every process finds the same file.

    Names of runs and addresses stay.
    """
    network, equals, file = name.rpartition("=")
    if "://" in file or not (equals or file.endswith((".keras", ".json"))):
        return name
    return f"{network}{equals}{Path(file).absolute()}"
