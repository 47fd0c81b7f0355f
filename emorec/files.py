"""Whole files or none: every output is written beside its place and then renamed."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from emorec.errors import DataError


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path that becomes `path` when the block ends without error.

    The temporary file lies in the same folder, so that the rename is atomic, and
    keeps the suffixes, because some writers choose their format by them. An
    interruption leaves the earlier file, or none.

    Raises
    ------
    DataError
        When the folder cannot be made or written, or `path` is one.
    """
    path = Path(path)
    if path.is_dir():
        raise DataError(f"{path}: expected a file to write, found a folder.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=".writing-", suffix="".join(path.suffixes)
        )
        os.close(handle)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror}). "
            "Choose a folder that you may write to."
        ) from error
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files private; results are meant to be shared.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: str | Path, content: Any) -> None:
    """Write `content` as indented JSON, atomically."""
    with whole_file(path) as temporary:
        text = json.dumps(content, indent=2, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read JSON.

    Raises
    ------
    DataError
        When the file is missing, cannot be read, or is not JSON.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise DataError(f"{path}: expected JSON, but {error}.") from error


def digest(content: Any) -> str:
    """Return 16 hexadecimal digits that identify JSON-able `content`."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fingerprint(paths: list[Path]) -> dict[str, list[int]]:
    """Return {file name: [bytes, modification time in ns]}: cheap, never reads data."""
    return {
        path.name: [path.stat().st_size, path.stat().st_mtime_ns]
        for path in sorted(paths)
    }
