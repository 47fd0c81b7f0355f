"""The temporary folder of the page: people's recordings stay no longer than needed."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from emorec.errors import BusyError, DataError
from emorec.files import exclusive

_PREFIX, _LOCK = "emorec-demo-", ".lock"
# Seconds after which what was uploaded and never judged goes, and results go.
UNJUDGED, RESULTS = 15 * 60, 60 * 60
_BETWEEN = 30.0


class Workplace:
    """A private folder that goes with the process.

    Attributes
    ----------
    root : Path
        Readable by this user only.
    cache : Path
        Inside it; the web server writes uploads here, and serves what lies here.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.cache = root, root / "cache"
        self.cache.mkdir()
        self._results: dict[str, Path] = {}
        self._busy: set[Path] = set()
        self._guard = threading.Lock()

    @contextmanager
    def request(self, session: str) -> Iterator[Path]:
        """Yield a folder for what one request makes; it is kept if no error comes.

        The earlier results of the session go.

        Parameters
        ----------
        session : str
            Names a page that is open in a browser.
        """
        self.forget(session)
        folder = Path(tempfile.mkdtemp(prefix="results-", dir=self.cache))
        with self._guard:
            self._busy.add(folder)
        try:
            yield folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        else:
            with self._guard:
                self._results[session] = folder
        finally:
            with self._guard:
                self._busy.discard(folder)

    def take(self, upload: str | Path, folder: Path) -> Path:
        """Move an uploaded file into a request's folder and return its new place.

        Raises
        ------
        DataError
            When it is not there any more, or lies elsewhere than uploads do.
        """
        upload = Path(upload)
        if not upload.resolve().is_relative_to(self.cache.resolve()):
            raise DataError(
                f"{upload.name}: is not a file that was given to this page."
            )
        if not upload.is_file():
            raise DataError(
                f"{upload.name}: is not there any more; files are removed after "
                f"{UNJUDGED // 60} minutes. Drop it again."
            )
        place = folder / "given" / upload.name
        place.parent.mkdir(exist_ok=True)
        upload.replace(place)
        with suppress(OSError):  # what else was uploaded with it
            upload.parent.rmdir()
        return place

    def forget(self, session: str) -> None:
        """Remove the results of a session."""
        with self._guard:
            folder = self._results.pop(session, None)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def sweep(self, now: float | None = None) -> None:
        """Remove results and uploads that are older than they may be."""
        now = time.time() if now is None else now
        with self._guard:
            kept = {folder: session for session, folder in self._results.items()}
            busy = set(self._busy)
        for path in self.cache.iterdir():
            if path in busy:
                continue
            limit = RESULTS if path in kept else UNJUDGED
            with suppress(OSError):
                if now - path.stat().st_mtime < limit:
                    continue
                if path in kept:
                    self.forget(kept[path])
                elif path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()


@contextmanager
def workplace() -> Iterator[Workplace]:
    """Yield a folder that is removed at the end, and remove those of killed pages.

    Raises
    ------
    DataError
        When the system's temporary folder cannot be written.
    """
    _remove_abandoned(Path(tempfile.gettempdir()))
    try:
        root = Path(tempfile.mkdtemp(prefix=_PREFIX))
    except OSError as error:
        raise DataError(
            f"{tempfile.gettempdir()}: cannot be written ({error.strerror}). Set "
            "TMPDIR to a folder that you may write to."
        ) from error
    ended = threading.Event()
    try:
        # The operating system gives the lock back when a process is killed.
        with exclusive(root / _LOCK, f"{root}: in use."):
            place = Workplace(root)

            def sweep() -> None:
                while not ended.wait(_BETWEEN):
                    place.sweep()

            threading.Thread(target=sweep, daemon=True).start()
            yield place
    finally:
        ended.set()
        shutil.rmtree(root, ignore_errors=True)


def _remove_abandoned(folder: Path) -> None:
    if os.name == "nt":  # where files are not locked, nobody knows who is alive
        return
    for root in folder.glob(f"{_PREFIX}*"):
        with suppress(OSError, BusyError, DataError):
            if root.is_symlink() or root.stat().st_uid != os.getuid():
                continue
            # One without the lock's file has just been made.
            if not (root / _LOCK).is_file() and (
                time.time() - root.stat().st_mtime < _BETWEEN
            ):
                continue
            with exclusive(root / _LOCK, f"{root}: in use."):
                shutil.rmtree(root, ignore_errors=True)
