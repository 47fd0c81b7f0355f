"""Finished runs, found by what a user names: a file, a run's name, or a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from emorec.artifacts.runs import SYSTEMS, RunFolder
from emorec.artifacts.spec import Spec
from emorec.errors import DataError, SpecError, shorten
from emorec.files import read_json

_PREFIX = "run_"
# Of records that earlier versions wrote, which do not name their system.
_BY_INPUT = {"image": "faces", "speech": "voices", "audiovisual": "ravdess"}


@dataclass(frozen=True)
class FoundRun:
    """A finished run.

    Attributes
    ----------
    run : RunFolder
        Where its files lie.
    system : str
        One of `emorec.artifacts.runs.SYSTEMS`.
    record : dict
        What its record holds.
    """

    run: RunFolder
    system: str
    record: dict[str, Any]

    @property
    def name(self) -> str:
        """What the run is called."""
        return self.run.param_name

    @property
    def model_path(self) -> Path:
        """Where its Keras model lies, if it is a single network."""
        return self.run.folder / f"model_{self.name}.keras"

    @cached_property
    def spec(self) -> Spec:
        """What enters and leaves its model."""
        return Spec.from_dict(self.record["spec"])


def find_runs(paths: Sequence[str | Path]) -> list[FoundRun]:
    """Find finished runs.

    Parameters
    ----------
    paths : sequence of path
        Each names one run, by its record ``run_NAME.json``, its model
        ``model_NAME.keras`` or ``FOLDER/NAME``; or a folder, for all that finished in
        it.

    Returns
    -------
    list of FoundRun
        In the order of `paths`, those of a folder by name; each once. Networks that
        are averaged into another run are not runs of their own.

    Raises
    ------
    SpecError
        When there is no such run, it has not finished, or its record is no record of
        a model. The message names the runs that there are.
    """
    found: dict[Path, FoundRun] = {}
    for path in map(Path, paths):
        inside = _in_folder(path) if path.is_dir() else [_one(path)]
        found |= {each.run.record_path.absolute(): each for each in inside}
    return list(found.values())


def _in_folder(folder: Path) -> list[FoundRun]:
    names = _names(folder)
    found = [_found(RunFolder(folder, name)) for name in names]
    finished = [each for each in found if each and "part_of" not in each.record]
    if not finished:
        raise SpecError(
            f"{folder}: no finished run of a model"
            + (f"; unfinished or of another kind: {shorten(names)}." if names else ".")
        )
    return finished


def _one(path: Path) -> FoundRun:
    folder, name = path.parent, path.name
    if path.suffix in (".json", ".keras") and "_" in path.stem:
        name = path.stem.partition("_")[2]
    run = RunFolder(folder, name)
    if not run.record_path.is_file():
        raise SpecError(
            f"{path}: no such run; expected {run.record_path}. Runs in {folder}: "
            f"{shorten(_names(folder)) or 'none'}."
        )
    found = _found(run)
    if found is None:
        raise SpecError(
            f"{run.record_path}: not a finished run of a model. Repeat the command "
            "that began it; it goes on where it stopped."
        )
    return found


def _names(folder: Path) -> list[str]:
    there = sorted(folder.glob(f"{_PREFIX}*.json")) if folder.is_dir() else []
    return [path.stem.removeprefix(_PREFIX) for path in there]


def _found(run: RunFolder) -> FoundRun | None:
    """Return a run that has finished and has a model."""
    try:
        record = read_json(run.record_path)
    except (ValueError, DataError) as error:
        raise SpecError(f"{run.record_path}: cannot be read ({error}).") from error
    if not isinstance(record, dict) or record.get("status") != "complete":
        return None
    try:
        kind = record["spec"]["normalisation"].get("kind")
        system = record.get("system") or _BY_INPUT.get(kind)
    except (KeyError, TypeError, AttributeError) as error:
        raise SpecError(
            f"{run.record_path}: not a record of emorec (it lacks {error})."
        ) from error
    if system not in SYSTEMS:
        raise SpecError(
            f"{run.record_path}: does not say which system made it ({system}); it was "
            "written by another version of emorec. Train the model anew."
        )
    return FoundRun(run, system, record)
