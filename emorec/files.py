"""Whole files or none: every output is written beside its place and then renamed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

from emorec.errors import BusyError, DataError

try:
    import fcntl
except ImportError:  # Windows, where files are not locked
    fcntl = None

_PREFIX = ".writing-"
_DAY = 24 * 3600
# Looking through a folder of so many files that it takes longer than this (s) may take
# one part in so many of a process' time.
_CHEAP, _SHARE = 0.001, 100
# Folder -> when it was looked through, and how long that took.
_looked: dict[Path, tuple[float, float]] = {}
# What a full or broken disk answers.
DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path that becomes `path` when the block ends without error.

    The temporary file lies in the same folder, so that the rename is atomic, and
    keeps the suffixes, because some writers choose their format by them. An
    interruption leaves the earlier file, or none; what a killed writer left behind,
    the next one removes.

    Raises
    ------
    DataError
        When the folder cannot be made or written, the disk is full, or `path` is a
        folder.
    """
    path = Path(path)
    if path.is_dir():
        raise DataError(f"{path}: expected a file to write, found a folder.")
    with _writable(path):
        _sweep(path.parent)
        handle, name = tempfile.mkstemp(
            dir=path.parent,
            prefix=f"{_PREFIX}{_machine()}-{os.getpid()}-",
            suffix="".join(path.suffixes),
        )
        os.close(handle)
    temporary = Path(name)
    try:
        try:
            yield temporary
        except OSError as error:
            if _reason(error) not in DISK:
                raise
            raise DataError(
                f"{path}: cannot be written ({os.strerror(_reason(error))}). Files "
                "written before are whole; make room, and the same command goes on."
            ) from error
        # mkstemp makes files private; results are meant to be shared.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    """Make the folder of `path`; say what is wrong where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror}). "
            "Choose a folder that you may write to."
        ) from error


def _reason(error: OSError) -> int | None:
    """Return the number of an error, also of one that h5py tells in words."""
    if error.errno is not None:
        return error.errno
    numbers = [number for number in DISK if os.strerror(number) in str(error)]
    return numbers[0] if numbers else None


@cache
def _machine() -> str:
    """Name what shares this process' numbering of processes: one boot, one container.

    Two hosts may share a folder, and their process numbers mean different processes.
    """
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return digest(parts)


def _sweep(folder: Path) -> None:
    """Remove what killed writers left, never what a writer has in hand.

    Not at each writing in a folder of very many files, which would cost the square of
    their number.
    """
    began = time.monotonic()
    ended, took = _looked.get(folder, (0.0, 0.0))
    if took > _CHEAP and began - ended < _SHARE * took:
        return
    for path in folder.glob(f"{_PREFIX}*"):
        machine, _, rest = path.name.removeprefix(_PREFIX).partition("-")
        number = rest.partition("-")[0]
        with suppress(OSError):
            here = machine == _machine() and number.isdigit()
            old = time.time() - path.stat().st_mtime > _DAY
            if old or (here and not _alive(int(number))):
                path.unlink()
    ended = time.monotonic()
    _looked[folder] = ended, ended - began


def _alive(process: int) -> bool:
    if fcntl is None:
        return True  # On Windows the question below would end the process.
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


@contextmanager
def exclusive(path: str | Path, busy: str | None = None) -> Iterator[None]:
    """Hold the operating system's lock on a file while the block runs.

    The lock ends with the process, also with a killed one; the file goes with the
    block. Where the file system knows no locks, there is none.

    Parameters
    ----------
    path : path
        The file; made where it is not there.
    busy : str, optional
        Message of the error when another process holds the lock; without it, wait.

    Raises
    ------
    BusyError
        When the lock is taken and `busy` is given.
    """
    path = Path(path)
    while True:
        with _writable(path):
            file = path.open("a")
        with file:
            _lock(file, busy)
            try:
                # Who had the lock before has removed the file that was waited for.
                ours = path.stat().st_ino == os.fstat(file.fileno()).st_ino
            except FileNotFoundError:
                ours = False
            if not ours:
                continue
            try:
                yield
            finally:
                with suppress(OSError):
                    path.unlink()
            return


def _lock(file: IO[str], busy: str | None) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
    except BlockingIOError:
        raise BusyError(busy) from None
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
            raise


def write_json(path: str | Path, content: Any, indent: int | None = 2) -> None:
    """Write `content` as JSON, atomically."""
    with whole_file(path) as temporary:
        text = json.dumps(content, indent=indent, ensure_ascii=False)
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
