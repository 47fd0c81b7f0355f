"""librosa, loaded by one process at a time.

librosa compiles some of its functions when it is loaded, by numba, and keeps them in
files that it reads from then on. numba writes these files without a lock: of two
processes that compile at the same time, files of both stay that do not fit together,
and whatever process reads them afterwards crashes (seen with numba 0.68). So whoever
loads it here waits until nobody else does.
"""

from __future__ import annotations

import importlib
import os
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from emorec.errors import MissingExtraError
from emorec.files import exclusive

# Modules with such functions; librosa would load them at the first use.
_COMPILED = ("librosa.util.utils", "librosa.core.audio", "librosa.core.pitch")


def load_librosa(purpose: str = "Voice features"):
    """Return librosa, with all of it that is compiled.

    Raises
    ------
    MissingExtraError
        When it is not installed.
    """
    try:
        import librosa

        _load_compiled()
    except ImportError as error:
        raise MissingExtraError("librosa", "voices", purpose) from error
    return librosa


@cache
def _load_compiled() -> None:
    # What takes time and compiles nothing.
    import numba  # noqa: F401
    import scipy.signal  # noqa: F401

    with alone():
        for name in _COMPILED:
            importlib.import_module(name)


def alone() -> AbstractContextManager[None]:
    """Lock the folder where numba keeps what it compiles, as numba chooses it."""
    found = find_spec("librosa")
    beside = Path(found.origin).parent if found and found.origin else Path()
    if given := os.environ.get("NUMBA_CACHE_DIR"):
        folder = Path(given)
    elif os.access(beside, os.W_OK):
        folder = beside / "__pycache__"
    else:
        folder = Path("~/.cache/emorec").expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # then numba keeps nothing, either
        return nullcontext()
    if not os.access(folder, os.W_OK):
        return nullcontext()
    return exclusive(folder / ".emorec-librosa.lock")
