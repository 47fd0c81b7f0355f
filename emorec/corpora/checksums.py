"""Digests of a folder's files: recorded when they arrive, compared ever after.

The SDK publishes no digests of CMU-MOSEI. Those recorded here say that a file has not
changed since it came, not that it is the one its authors made; for that, compare with
the digests of someone else's copy.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from emorec.errors import DataError
from emorec.files import read_json, write_json
from emorec.progress import bytes_bar

try:
    import fcntl
except ImportError:  # Windows; there, nothing keeps two downloads apart
    fcntl = None

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
    with locked(folder / f"{FILE_NAME}.lock", wait=True):
        content = recorded(folder) | {name: entry}
        write_json(folder / FILE_NAME, dict(sorted(content.items())))


@contextmanager
def locked(path: Path, wait: bool = False) -> Iterator[None]:
    """Hold a lock that ends with the process, however it ends.

    Raises
    ------
    DataError
        When another process holds it and `wait` is off, or the folder cannot be
        written.
    """
    if fcntl is None:
        yield
        return
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
        except OSError as error:
            raise DataError(
                f"{path.parent}: cannot be written ({error.strerror}). Choose a folder "
                "that you may write to."
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(handle)
            raise DataError(
                f"{path.with_suffix('')}: another emorec is fetching this file. Let "
                "it finish, or stop it and start again; nothing was changed."
            ) from None
        except OSError:
            pass  # a file system without locks
        try:
            # The holder before may have removed the file between the two calls.
            if os.stat(path).st_ino == os.fstat(handle).st_ino:
                break
        except FileNotFoundError:
            pass
        os.close(handle)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)
