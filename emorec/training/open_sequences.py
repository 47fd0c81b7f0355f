"""Writing the .csd files of open features: of parts in a folder, or of a store.

The output folder gets ``open_words.csd``, ``open_face.csd`` and ``open_voice.csd``,
each with its settings in the metadata; ``open_steps.csd``, windows of equal length; and
``failures.csv``, what could not be extracted, and why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from emorec.artifacts.stores import Store, check_kind
from emorec.artifacts.tables import write_table
from emorec.corpora import mosei
from emorec.corpora.extraction import KEY, PATH
from emorec.errors import DataError
from emorec.files import digest, exclusive
from emorec.progress import track
from emorec.sequences.csd import Rows, open_sequence, write_sequence
from emorec.training import open_features

FAILURES = "failures.csv"
# What stores call the modalities of `emorec.corpora.mosei.MODALITIES`.
PARTS = {"text": "T", "face": "V", "voice": "A"}
# What tells whether a sequence is of the same parts still.
_PARTS = "emorec parts"

# Video, modality and reason.
Failure = tuple[str, str, str]


def write_sequences(
    store: Store,
    output: str | Path,
    corpus: str,
    step: float = open_features.STEP,
    places: Mapping[str, str] | None = None,
) -> tuple[list[Path], list[Failure]]:
    """Write the sequences that ``emorec mosei extract`` writes, out of a store.

    One video is in memory at a time; the store is read once for each modality.

    Parameters
    ----------
    store : Store
        Of kind ``open``.
    output : path
        Folder, made where it is not there. Sequences of the same videos stay.
    corpus : str
        Name of the corpus, for the metadata.
    step : float
        Seconds of a window.
    places : mapping, optional
        Part (text, face, voice) -> where what made it lies, as word vectors do, so that
        prediction finds it; by default its name, which prediction looks for beside the
        model.

    Returns
    -------
    list of Path, list of (str, str, str)
        The sequences; video, modality and reason of what is missing.

    Raises
    ------
    SpecError
        For a store of another kind.
    DataError
        When nothing was extracted of a modality, or the store is damaged.
    BusyError
        When another process writes to the folder.
    """
    check_kind(store, "open")
    folder, places = Path(output), places or {}
    parts: dict[str, dict[str, Any]] = store.settings["parts"]
    failures = _failures_of(store, list(parts))
    busy = f"{folder}: another process writes there; choose another folder."
    with exclusive(folder / ".lock", busy):
        sources, ends = _index(store, list(parts))
        for part, found in sources.items():
            if not found:
                raise nothing(folder, mosei.MODALITIES[PARTS[part]], failures)
        paths = []
        for part, told in parts.items():
            settings = dict(told)
            names = settings.pop("names")
            if what := settings.get(_NAMED.get(settings["kind"], "")):
                settings[PATH] = places.get(part, what)

            def rows(name: str, part: str = part) -> Rows:
                fields = [f"{part}_{field}" for field in Rows._fields]
                found = store.read(name, fields)
                return Rows(*(found[field] for field in fields))

            letter = PARTS[part]
            paths.append(
                write_rows(folder, letter, names, settings, corpus, sources[part], rows)
            )
        paths.append(write_steps(folder, ends, corpus, step))
        write_failures(folder, failures)
    return paths, failures


# Of a front end that needs a file: what its settings call the file.
_NAMED = {"glove": "vectors", "sentences": "model", "face": "run"}


def _index(
    store: Store, parts: Sequence[str]
) -> tuple[dict[str, list[list]], dict[str, float]]:
    """Return id, bytes and time of the videos of each part, and where videos end."""
    sources: dict[str, list[list]] = {part: [] for part in parts}
    ends: dict[str, float] = {}
    times = {part: f"{part}_intervals" for part in parts}
    for entry in store.entries(list(times.values())):
        for part, name in times.items():
            if name in entry.arrays:
                sources[part].append([entry.id, *entry.source])
                end = float(entry.arrays[name].max())
                ends[entry.id] = max(ends.get(entry.id, 0.0), end)
    return sources, ends


def _failures_of(store: Store, parts: Sequence[str]) -> list[Failure]:
    """Return what a store lacks; a video that failed as a whole lacks every part."""
    return [
        (name, mosei.MODALITIES[PARTS[each]], reason)
        for name, part, reason in store.failures.itertuples(index=False, name=None)
        for each in ([part] if part else parts)
    ]


def nothing(folder: Path, modality: str, failures: Sequence[Failure]) -> DataError:
    """Return the error of a modality of which no video has anything."""
    reasons = "\n  ".join(sorted({reason for *_, reason in failures})[:3])
    return DataError(
        f"{folder}: nothing could be extracted for the {modality}:\n  {reasons}"
    )


def write_failures(folder: Path, failures: Sequence[Failure]) -> None:
    """Write the table of what is missing."""
    columns = ["id", "modality", "reason"]
    write_table(folder / FAILURES, pd.DataFrame(failures, columns=columns))


def write_rows(
    folder: Path,
    letter: str,
    names: Sequence[str],
    settings: dict[str, Any],
    corpus: str,
    sources: Sequence[list],
    rows: Callable[[str], Rows],
) -> Path:
    """Write the sequence of a modality, unless it is there.

    Parameters
    ----------
    folder : Path
        Where it goes.
    letter : str
        Of `emorec.corpora.mosei.MODALITIES`.
    names : sequence of str
        Of the columns.
    settings : dict
        What decides the rows.
    corpus : str
        Name of the corpus.
    sources : sequence of [str, int, int]
        Video, bytes and time of its files; a sequence of the same stays.
    rows : callable
        Returns the rows of a video.
    """
    name = mosei.OPEN[letter]
    sources = sorted(sources, key=lambda source: source[0].encode())

    def entries() -> Iterator[tuple[str, Rows]]:
        for video, *_ in track(sources, f"Writing {name}"):
            yield video, rows(video)

    return _write_once(folder, name, entries, names, settings, corpus, sources)


def write_steps(
    folder: Path, ends: Mapping[str, float], corpus: str, step: float
) -> Path:
    """Write windows that reach to where whatever a video has ends, in seconds."""

    def entries() -> Iterator[tuple[str, Rows]]:
        for name in sorted(ends, key=str.encode):
            yield name, open_features.steps([ends[name]], step)

    settings = {"kind": "steps", "seconds": step}
    known = sorted(ends.items())
    return _write_once(
        folder, mosei.OPEN_STEPS, entries, ("step",), settings, corpus, known
    )


def _write_once(
    folder: Path,
    name: str,
    entries: Callable[[], Iterator[tuple[str, Rows]]],
    columns: Sequence[str],
    settings: dict,
    corpus: str,
    parts: list,
) -> Path:
    """Write a sequence; one of the same parts stays, and so what was aligned of it."""
    path = folder / mosei.FILES[name]
    told = {KEY: settings, _PARTS: digest([parts, settings, corpus])}
    if path.is_file():
        try:
            if open_sequence(path).metadata.get(_PARTS) == told[_PARTS]:
                return path
        except DataError:
            pass  # It is written anew.
    metadata = mosei.describe(corpus, list(columns), "extracted by emorec")
    write_sequence(path, name, entries(), metadata | told)
    return path
