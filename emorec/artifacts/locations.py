"""Folders on the local disk or in an object store, by one set of methods.

A location is a folder, ``file:///data/x``, or any address that fsspec knows, as
``s3://bucket/x``. Keys and endpoints of stores are found where their libraries look for
them: in the environment and in fsspec's configuration files.
"""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from emorec.artifacts.cache import Cache
from emorec.errors import DataError, EmorecError, MissingExtraError, SpecError
from emorec.files import DISK, whole_file

# Where a file appears with all its bytes or not at all, by one put.
_ATOMIC = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oci", "oss", "memory"}
# What tells one content of a file from the next one, as file systems call it.
_STAMPS = ("ETag", "etag", "md5Hash", "content_md5", "version_id", "generation")
_TIMES = ("LastModified", "last_modified", "mtime", "modified", "updated", "created")
_TEMPORARY = ".writing-"
# Libraries of stores say EIO for errors of their own.
_FULL = DISK - {errno.EIO}


def is_address(root: str | Path) -> bool:
    """Return whether `root` is an address such as ``s3://bucket/x``, not a path."""
    return "://" in str(root)


def location(root: str | Path, cache: Cache | None = None) -> Location:
    """Return the location of a folder.

    Parameters
    ----------
    root : str or path
        A path, or an address; neither need be there, and no store is asked yet.
    cache : Cache, optional
        For copies of remote files.

    Raises
    ------
    MissingExtraError
        When the address needs packages that are not installed.
    SpecError
        When nobody knows such addresses.
    """
    if not is_address(root):
        return Folder(Path(root).expanduser())
    parts = urlsplit(str(root))
    if parts.scheme == "file" and "::" not in str(root):
        return Folder(Path(unquote(parts.netloc + parts.path)))
    found = Remote(str(root).rstrip("/"), cache or Cache())
    found.connect()
    return found


@dataclass(frozen=True)
class Folder:
    """A folder on the local disk.

    Names of files are relative to it, as ``shards/00000.h5``. What cannot be read or
    written is a DataError with the place.
    """

    root: Path
    is_local = True

    @property
    def name(self) -> str:
        """What messages call it."""
        return str(self.root)

    def files(self, folder: str = "") -> dict[str, int]:
        """Return {name: bytes} of the whole files in a folder, not of those below.

        A folder that is not there has none.
        """
        found = {}
        with _told(self.name), suppress(FileNotFoundError):
            for entry in os.scandir(self.root / folder):
                if entry.is_file() and not entry.name.startswith("."):
                    name = str(PurePosixPath(folder) / entry.name)
                    found[name] = entry.stat().st_size
        return dict(sorted(found.items()))

    def exists(self, name: str) -> bool:
        """Return whether there is such a file."""
        return (self.root / name).is_file()

    def read(self, name: str) -> bytes:
        """Return the bytes of a file."""
        with _told(str(self.root / name)):
            return (self.root / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        """Write a file, atomically."""
        with whole_file(self.root / name) as temporary:
            temporary.write_bytes(data)

    def put(self, path: Path, name: str) -> None:
        """Copy a local file to here, atomically."""
        with whole_file(self.root / name) as temporary:
            shutil.copyfile(path, temporary)

    def fetch(self, name: str) -> Path:
        """Return where a file lies on the local disk."""
        if not self.exists(name):
            raise DataError(f"{self.root / name}: expected a file, found none.")
        return self.root / name

    def remove(self, name: str) -> None:
        """Remove a file; one that is not there is none."""
        with _told(str(self.root / name)):
            (self.root / name).unlink(missing_ok=True)


@dataclass(frozen=True)
class Remote:
    """A folder somewhere else, by fsspec.

    Names of files are relative to it, as ``shards/00000.h5``. What cannot be read or
    written is a DataError with the address. Another process connects anew.
    """

    root: str
    cache: Cache
    _connected: dict[int, tuple[Any, str]] = field(
        default_factory=dict, repr=False, compare=False
    )
    is_local = False

    def __reduce__(self) -> tuple:
        return Remote, (self.root, self.cache)

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.root

    def connect(self) -> tuple[Any, str]:
        """Return the file system and the folder within it."""
        process = os.getpid()
        if process not in self._connected:
            self._connected[process] = _connect(self.root)
        return self._connected[process]

    def _at(self, name: str) -> tuple[Any, str]:
        system, folder = self.connect()
        return system, f"{folder.rstrip('/')}/{name}".rstrip("/")

    def _address(self, name: str) -> str:
        return f"{self.root}/{name}".rstrip("/")

    def files(self, folder: str = "") -> dict[str, int]:
        """Return {name: bytes} of the whole files in a folder, not of those below.

        A folder that is not there has none.
        """
        system, path = self._at(folder)
        found = {}
        with _told(self._address(folder)):
            # Others write there: what was listed before is no answer.
            system.invalidate_cache()
            try:
                listed = system.ls(path, detail=True)
            except FileNotFoundError:
                listed = []
        for entry in listed:
            own = PurePosixPath(entry["name"]).name
            if entry["type"] == "file" and not own.startswith("."):
                found[str(PurePosixPath(folder) / own)] = int(entry["size"])
        return dict(sorted(found.items()))

    def exists(self, name: str) -> bool:
        """Return whether there is such a file."""
        return self._info(name) is not None

    def _info(self, name: str) -> dict[str, Any] | None:
        system, path = self._at(name)
        with _told(self._address(name)):
            system.invalidate_cache()
            try:
                # Not `exists`, which takes any error for a no.
                found = system.info(path)
            except FileNotFoundError:
                return None
        return found if found["type"] == "file" else None

    def read(self, name: str) -> bytes:
        """Return the bytes of a file."""
        system, path = self._at(name)
        with _told(self._address(name)):
            return system.cat_file(path)

    def write(self, name: str, data: bytes) -> None:
        """Write a file, atomically."""
        with self._writing(name) as (system, path):
            system.pipe_file(path, data)

    def put(self, path: Path, name: str) -> None:
        """Copy a local file to here, atomically."""
        with self._writing(name) as (system, place):
            system.put_file(str(path), place)

    @contextmanager
    def _writing(self, name: str) -> Iterator[tuple[Any, str]]:
        """Yield where to write a file: its place, or one beside it to be renamed."""
        system, path = self._at(name)
        with _told(self._address(name)):
            if _ATOMIC & set(_protocols(system)):
                yield system, path
                return
            folder, _, own = path.rpartition("/")
            system.makedirs(folder, exist_ok=True)
            temporary = f"{folder}/{_TEMPORARY}{uuid.uuid4().hex}-{own}"
            try:
                yield system, temporary
                system.mv(temporary, path)
            except BaseException:
                with suppress(Exception):  # the error above is the one to tell
                    system.rm_file(temporary)
                raise

    def fetch(self, name: str) -> Path:
        """Return a copy of a file on the local disk, from the cache.

        The store is asked each time whether the file has changed. The copy may go as
        soon as others are fetched: open it at once.
        """
        info = self._info(name)
        if info is None:
            raise DataError(f"{self._address(name)}: expected a file, found none.")
        system, path = self._at(name)
        stamps = [key for key in _STAMPS if info.get(key) is not None]
        keys = stamps or [key for key in _TIMES if info.get(key) is not None]
        address = self._address(name)

        def get(place: Path) -> None:
            with _told(address):
                system.get_file(path, str(place))

        stamp = [f"{key}={info[key]}" for key in keys]
        return self.cache.fetch(address, stamp, int(info["size"]), get)

    def remove(self, name: str) -> None:
        """Remove a file; one that is not there is none."""
        system, path = self._at(name)
        with _told(self._address(name)), suppress(FileNotFoundError):
            system.rm_file(path)


Location = Folder | Remote


def _protocols(system: Any) -> tuple[str, ...]:
    names = system.protocol
    return (names,) if isinstance(names, str) else tuple(names)


def _connect(root: str) -> tuple[Any, str]:
    purpose = f"The address {root}"
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingExtraError("fsspec", "remote", purpose) from error
    try:
        return url_to_fs(root)
    except ImportError as error:
        if urlsplit(root).scheme in ("s3", "s3a"):
            raise MissingExtraError("s3fs", "remote", purpose) from error
        raise SpecError(f"{purpose}: {error}.") from error
    except ValueError as error:
        raise SpecError(
            f"{purpose}: expected a folder or an address that fsspec knows, such as "
            f"s3://bucket/folder ({error})."
        ) from error
    except Exception as error:  # each store's library has errors of its own
        raise DataError(f"{purpose} cannot be used: {_text(error)}.") from error


@contextmanager
def _told(where: str) -> Iterator[None]:
    """Turn whatever a file system raises into a message about a place."""
    try:
        yield
    except EmorecError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"{where}: not there ({_text(error)}).") from error
    except PermissionError as error:
        raise DataError(
            f"{where}: no access ({_text(error)}). Check the keys of the store, or the "
            "rights of the folder."
        ) from error
    except Exception as error:  # each store's library has errors of its own
        if isinstance(error, OSError) and error.errno in _FULL:
            raise  # the local disk is told by who writes to it
        raise DataError(
            f"{where}: cannot be read or written ({_text(error)}). Check the address, "
            "the network and the keys; the same command goes on where it stopped."
        ) from error


def _text(error: BaseException) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return text or type(error).__name__
