"""Output folders that keep to one set of settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from emorec.errors import SpecError
from emorec.files import read_json, write_json


def claim(path: Path, own: dict[str, Any]) -> None:
    """Write what decides a folder's results, or compare it with what is there.

    Parameters
    ----------
    path : Path
        The JSON file of the folder.
    own : dict
        Plain containers.

    Raises
    ------
    SpecError
        When the folder holds results of other settings, with the differences.
    """
    if not path.is_file():
        write_json(path, own)
        return
    compare(path, read_json(path), own)


def compare(where: str | Path, before: dict[str, Any], own: dict[str, Any]) -> None:
    """Compare what decided the results of a folder with what would now.

    Parameters
    ----------
    where : str or path
        What the message calls the file.
    before, own : dict
        Plain containers.

    Raises
    ------
    SpecError
        With the differences.
    """
    different = [key for key in own if before.get(key) != own[key]]
    if different:
        lines = [f"  {k}: there {before.get(k)}, now {own[k]}" for k in different]
        raise SpecError(
            "\n".join(
                [
                    f"{where}: the folder holds results of other settings.",
                    *lines,
                    "  Choose another --output.",
                ]
            )
        )
