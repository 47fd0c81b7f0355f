"""Copies of remote files on the local disk, within a bound of bytes.

The least recently used copies go first. Several processes may use a cache at a time: a
file is fetched by one, the others wait for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from emorec.errors import DataError, SpecError
from emorec.files import digest, exclusive, whole_file

FOLDER_VARIABLE, SIZE_VARIABLE = "EMOREC_CACHE", "EMOREC_CACHE_GB"
_FOLDER, _GIGABYTES = "~/.cache/emorec/files", 10.0


def _default_folder() -> Path:
    return Path(os.environ.get(FOLDER_VARIABLE) or _FOLDER).expanduser()


def _default_limit() -> int:
    text = os.environ.get(SIZE_VARIABLE) or str(_GIGABYTES)
    with suppress(ValueError, OverflowError):
        if (limit := int(float(text) * 1e9)) > 0:
            return limit
    raise SpecError(f"{SIZE_VARIABLE}={text}: expected gigabytes, such as 10 or 0.5.")


@dataclass(frozen=True)
class Cache:
    """A folder of copies.

    Attributes
    ----------
    folder : Path
        The folder (default: the environment variable ``EMOREC_CACHE``, else
        ``~/.cache/emorec/files``); made when needed. Nothing else may lie there.
    limit : int
        Bytes that the copies may take together (default: ``EMOREC_CACHE_GB``
        gigabytes, else 10). Processes that fetch at the same moment may exceed it by
        what they have in hand, until they are done.
    """

    folder: Path
    limit: int

    def __init__(
        self, folder: str | Path | None = None, limit: int | None = None
    ) -> None:
        object.__setattr__(self, "folder", Path(folder or _default_folder()))
        limit = _default_limit() if limit is None else limit
        if limit <= 0:
            raise SpecError(f"A cache of {limit} bytes: expected more than 0.")
        object.__setattr__(self, "limit", limit)

    def fetch(
        self, name: str, stamp: list[str], size: int, get: Callable[[Path], None]
    ) -> Path:
        """Return a copy of a file, which is fetched where there is none.

        Parameters
        ----------
        name : str
            Address of the file; what messages call it.
        stamp : list of str
            Tells this content of the file from others, of which no copy is kept.
        size : int
            Its bytes.
        get : callable
            Writes the file to a path.

        Returns
        -------
        Path
            The copy. It may go as soon as other files are fetched: open it at once.

        Raises
        ------
        DataError
            When other than `size` bytes came, or the folder cannot be written.
        SpecError
            When the file is larger than the whole cache.
        """
        if size > self.limit:
            raise SpecError(
                f"{name}: its {size:,} bytes do not fit into the cache of "
                f"{self.limit:,} bytes. Set {SIZE_VARIABLE} to more gigabytes."
            )
        key = digest(name)
        path = self.folder / f"{key}-{digest([stamp, size])}{Path(name).suffix}"
        if _use(path, size):
            return path
        with exclusive(self.folder / f".{key}.lock"):
            if _use(path, size):  # Another process has fetched it meanwhile.
                return path
            for old in self.folder.glob(f"{key}-*"):
                old.unlink(missing_ok=True)
            self._make_room(size)
            with whole_file(path) as temporary:
                get(temporary)
                if (came := temporary.stat().st_size) != size:
                    raise DataError(
                        f"{name}: expected {size:,} bytes, received {came:,}. It may "
                        "have been written anew meanwhile: try again."
                    )
            self._make_room(0, path)
        return path

    def _make_room(self, size: int, but: Path | None = None) -> None:
        """Remove the least recently used copies until `size` bytes more fit."""
        with exclusive(self.folder / ".room.lock"):
            copies = self._copies()
            total = sum(bytes_ for _, bytes_, _ in copies) + size
            for _, bytes_, path in copies:
                if total <= self.limit:
                    return
                if path != but:
                    path.unlink(missing_ok=True)
                    total -= bytes_

    def _copies(self) -> list[tuple[int, int, Path]]:
        """Return time of the last use (ns), bytes and path of the copies, in order."""
        found = []
        for path in self.folder.glob("[!.]*"):
            with suppress(FileNotFoundError):
                status = path.stat()
                found.append((status.st_mtime_ns, status.st_size, path))
        return sorted(found)


def _use(path: Path, size: int) -> bool:
    """Mark a copy as used now; return whether it is there and has all its bytes."""
    try:
        if path.stat().st_size != size:
            return False
        os.utime(path)
    except FileNotFoundError:
        return False
    return True
