"""One file over HTTP: resumed where it stopped, retried, whole before it has its name.

Servers of research data drop connections, ignore ranges and answer with pages of
HTML. What has arrived lies in ``NAME.part``, and beside it, in ``NAME.part.json``, what
the server said of the file, so that the rest of another file is never glued to it.
"""

from __future__ import annotations

import http.client
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from emorec.corpora.server import (
    OutOfRangeError,
    TransientError,
    UnreachableError,
    chunks_of,
    integer,
    opened,
    refuse_pages,
)
from emorec.errors import DataError
from emorec.files import read_json, write_json
from emorec.progress import bytes_bar

_LONGEST_WAIT = 60.0

Result = TypeVar("Result")


@dataclass(frozen=True)
class Patience:
    """How long to try.

    Attributes
    ----------
    retries : int
        Attempts after the first that may bring nothing; one that brings bytes is free.
    timeout : float
        Seconds without an answer after which a connection counts as dropped.
    sleep : callable
        Waits so many seconds.
    """

    retries: int = 5
    timeout: float = 60.0
    sleep: Callable[[float], None] = time.sleep


def part_of(path: Path) -> Path:
    """Return where the bytes of an unfinished file lie; not a name that data have."""
    return path.with_name(path.name + ".part")


def _note_of(path: Path) -> Path:
    return path.with_name(path.name + ".part.json")


def fetch(url: str, path: Path, patience: Patience, say: Callable[[str], None]) -> dict:
    """Bring the file at `url` into ``path.part``, going on where that ends.

    The caller looks at the content and gives it its name; `forget` removes the rest.

    Returns
    -------
    dict
        What the server said: url, bytes (None when undeclared), etag, last_modified.

    Raises
    ------
    UnreachableError
        When no connection could be made.
    DataError
        When the server refuses, keeps failing, or sends something else, or the disk is
        full. What has arrived is kept.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = part_of(path).open("r+b" if part_of(path).exists() else "x+b", 0)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror}). Choose a folder that you "
            "may write to."
        ) from error
    with _closed_or_removed(file, path):
        size = file.seek(0, 2)
        if size and not _note_of(path).is_file():
            # Nobody knows whose bytes these are.
            size = file.truncate(0)
        if size:
            say(f"{path.name}: going on after {size:,} bytes")
        return _persist(
            lambda: _attempt(url, file, path, patience.timeout, say),
            patience,
            say,
            path.name,
            url,
            lambda: file.seek(0, 2),
        )


@contextmanager
def _closed_or_removed(file: BinaryIO, path: Path) -> Iterator[None]:
    """Close a partial file; leave none behind when no byte has come."""
    with file:
        try:
            yield
        finally:
            if not file.seek(0, 2):
                part_of(path).unlink(missing_ok=True)
                forget(path)


def forget(path: Path) -> None:
    """Remove what `fetch` keeps beside ``path.part``."""
    _note_of(path).unlink(missing_ok=True)


def fetch_small(
    url: str, limit: int, patience: Patience, say: Callable[[str], None]
) -> bytes:
    """Return a file of at most `limit` bytes; raises as `fetch`."""

    def attempt() -> bytes:
        with opened(url, {}, patience.timeout) as response:
            content = b"".join(chunks_of(response, limit))
            declared = integer(response.headers.get("Content-Length"))
            if declared is not None and len(content) < min(declared, limit):
                raise TransientError(
                    f"broke off at {len(content):,} of {declared:,} bytes"
                )
            return content

    return _persist(attempt, patience, say, url.rsplit("/", 1)[-1], url)


def _persist(
    attempt: Callable[[], Result],
    patience: Patience,
    say: Callable[[str], None],
    name: str,
    url: str,
    reached: Callable[[], int] = lambda: 0,
) -> Result:
    """Attempt until it works, or too often without a byte more than ever before."""
    fruitless, best = 0, reached()
    while True:
        try:
            return attempt()
        except TransientError as error:
            now = reached()
            fruitless = 0 if now > best else fruitless + 1
            best = max(best, now)
            if fruitless > patience.retries:
                kind = DataError if error.connected else UnreachableError
                kept = f" The {now:,} bytes that arrived are kept." if now else ""
                raise kind(
                    f"{name}: {error} ({url}); tried {fruitless} times.{kept} The same "
                    "command goes on from there; or give another server with --url, or "
                    "copy the file from someone who has it."
                ) from None
            wait = error.wait if error.wait is not None else float(2**fruitless)
            say(f"{name}: {error}; trying again")
            patience.sleep(min(wait, _LONGEST_WAIT))


def _attempt(
    url: str, file: BinaryIO, path: Path, timeout: float, say: Callable[[str], None]
) -> dict:
    """Send one request and append its answer to the partial file."""
    offset = file.seek(0, 2)
    known = read_json(_note_of(path)) if offset else {}
    headers = {}
    if offset and known.get("url") == url:
        headers["Range"] = f"bytes={offset}-"
        # A weak tag does not promise equal bytes.
        strong = known["etag"] if not (known["etag"] or "W/").startswith("W/") else None
        if strong or known["last_modified"]:
            headers["If-Range"] = strong or known["last_modified"]
    try:
        response = opened(url, headers, timeout)
    except OutOfRangeError as answer:
        if answer.total == offset:
            return known
        file.truncate(0)
        raise TransientError(
            f"the server's file has {answer.total} bytes, fewer than the {offset:,} "
            "here, so it is another one; from the beginning",
            0.0,
        ) from None
    with response:
        said = _said(url, response)
        if response.status == 206 and not _continues(said, known, response, offset):
            file.truncate(0)
            raise TransientError(
                "the server's file has changed; from the beginning", 0.0
            )
        begin = offset if response.status == 206 else 0
        chunks = chunks_of(response)
        first = next(chunks, b"")
        refuse_pages(first, begin, response, path.name, url)
        _refuse_full(path, said["bytes"], begin, offset)
        if begin == 0:
            if offset:
                say(f"{path.name}: the server sends it from the beginning")
            # Only now: an error page must not cost what is here.
            file.truncate(0)
            write_json(_note_of(path), said)
        file.seek(begin)
        with bytes_bar(path.name, begin, said["bytes"]) as show:
            _write(file, first, path)
            show(file.tell())
            for chunk in chunks:
                _write(file, chunk, path)
                show(file.tell())
        size = file.tell()
    if said["bytes"] is not None and size < said["bytes"]:
        raise TransientError(f"broke off at {size:,} of {said['bytes']:,} bytes")
    return said


def _said(url: str, response: http.client.HTTPResponse) -> dict[str, Any]:
    total = integer(response.headers.get("Content-Length"))
    if response.status == 206:
        total = integer(
            (response.headers.get("Content-Range") or "").rpartition("/")[2]
        )
    return {
        "url": url,
        "bytes": total,
        "etag": response.headers.get("ETag"),
        "last_modified": response.headers.get("Last-Modified"),
    }


def _continues(
    said: dict, known: dict, response: http.client.HTTPResponse, offset: int
) -> bool:
    """Tell whether a partial answer is the rest of the file that is known."""
    begin = re.match(r"bytes (\d+)-", response.headers.get("Content-Range") or "")
    return (
        begin is not None
        and int(begin[1]) == offset
        and all(
            said[key] is None or known.get(key) is None or said[key] == known[key]
            for key in ("bytes", "etag", "last_modified")
        )
    )


def _write(file: BinaryIO, chunk: bytes, path: Path) -> None:
    view = memoryview(chunk)
    try:
        while view:
            view = view[file.write(view) :]
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written on ({error.strerror}); {file.tell():,} bytes "
            "are kept. Please make room, or check the disk; the same command goes on "
            "from there."
        ) from error


def _refuse_full(path: Path, total: int | None, begin: int, here: int) -> None:
    """Refuse to begin what cannot end."""
    free = shutil.disk_usage(path.parent).free + here - begin
    if total is not None and total - begin > free:
        raise DataError(
            f"{path}: {total - begin:,} bytes to come, but only {free:,} are free on "
            f"the disk; the {here:,} here are kept. Make room; the same command goes "
            "on from there."
        )
