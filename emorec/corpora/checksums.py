"""Digests of a folder's files: recorded when they arrive, compared ever after.

The SDK publishes no digests of CMU-MOSEI. Those recorded here say that a file has not
changed since it came, not that it is the one its authors made; for that, compare with
the digests of someone else's copy.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from emorec.errors import DataError
from emorec.files import exclusive, read_json, write_json
from emorec.progress import bytes_bar

FILE_NAME = "checksums.json"
_HEX = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1 << 20


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal.

    Raises
    ------
    DataError
        When it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with (
            path.open("rb") as file,
            bytes_bar(f"Checking {path.name}", 0, path.stat().st_size) as show,
        ):
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                show(file.tell())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    return digest.hexdigest()


def read_checksums(path: str | Path) -> dict[str, str]:
    """Read file name -> SHA-256 from a ``checksums.json`` or the output of sha256sum.

    Raises
    ------
    DataError
        When the file is neither.
    """
    path = Path(path)
    if path.suffix == ".json":
        content = read_json(path)
        entries = content.items() if isinstance(content, dict) else [(None, None)]
        pairs = [
            (name, entry.get("sha256") if isinstance(entry, dict) else entry)
            for name, entry in entries
        ]
    else:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: cannot be read ({error}).") from error
        split = [line.split(maxsplit=1) for line in lines if line.strip()]
        # sha256sum puts a star before the name of a file read as binary.
        pairs = [(words[-1].lstrip("*"), words[0]) for words in split]
    result = {}
    for name, digest in pairs:
        if not isinstance(digest, str) or not _HEX.fullmatch(digest.lower()):
            raise DataError(
                f"{path}: expected 64 hexadecimal digits (SHA-256) for '{name}', found "
                f"'{digest}'. A {FILE_NAME} of emorec or the output of sha256sum "
                "serves."
            )
        result[Path(name).name] = digest.lower()
    return result


def recorded(folder: Path) -> dict[str, dict[str, Any]]:
    """Return file name -> {sha256, bytes, url} as recorded in a folder."""
    path = folder / FILE_NAME
    if not path.is_file():
        return {}
    read_checksums(path)  # refuses what is not one
    return read_json(path)


def record(folder: Path, name: str, entry: dict[str, Any]) -> None:
    """Add a file to the folder's record; other processes' entries stay."""
    with exclusive(folder / f"{FILE_NAME}.lock"):
        content = recorded(folder) | {name: entry}
        write_json(folder / FILE_NAME, dict(sorted(content.items())))
