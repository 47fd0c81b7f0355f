"""Pickles without code: written for users' habits, read only as data.

Unpickling can run any code. Files are read through an unpickler that knows numpy
arrays and plain containers and refuses everything else by name. This keeps code out; a
file made to harm can still crash the process.
"""

from __future__ import annotations

import _codecs
import builtins
import collections
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from emorec.errors import DataError
from emorec.files import fingerprint, whole_file

try:
    from numpy._core import multiarray, numeric
except ImportError:  # NumPy 1
    from numpy.core import multiarray, numeric

# NumPy 1 wrote its functions under numpy.core, NumPy 2 under numpy._core.
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _codecs.encode,
    ("collections", "OrderedDict"): collections.OrderedDict,
}
for _core in ("numpy.core", "numpy._core"):
    _ALLOWED[f"{_core}.multiarray", "_reconstruct"] = multiarray._reconstruct
    _ALLOWED[f"{_core}.multiarray", "scalar"] = multiarray.scalar
    _ALLOWED[f"{_core}.numeric", "_frombuffer"] = numeric._frombuffer
for _name in ("set", "frozenset", "complex", "bytearray", "bytes"):
    for _module in ("builtins", "__builtin__"):
        _ALLOWED[_module, _name] = getattr(builtins, _name)


class _DataUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        raise pickle.UnpicklingError(f"forbidden global '{module}.{name}'")


def write_pickle(path: str | Path, content: Any) -> dict[str, list[int]]:
    """Write `content`, atomically.

    Returns
    -------
    dict
        What `emorec.files.fingerprint` says of the file. (Asked afterwards, it might
        speak of the file by which another process has replaced this one.)
    """
    with whole_file(path) as temporary:
        with temporary.open("wb") as file:
            # Earlier protocols copy every array, and keep the copies until the end.
            pickle.dump(content, file, protocol=5)
        (written,) = fingerprint([temporary]).values()
    return {Path(path).name: written}


def read_pickle(path: str | Path) -> Any:
    """Read arrays and plain containers.

    Raises
    ------
    DataError
        When the file is missing, damaged, or names anything that could be code.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return _DataUnpickler(file, encoding="latin1").load()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file.") from None
    except pickle.UnpicklingError as error:
        if "forbidden global" in str(error):
            raise DataError(
                f"{path}: {error}. emorec reads only numpy arrays and plain containers "
                "from pickles, for a pickle can run any code; convert the file to "
                "these with the program that wrote it."
            ) from None
        raise DataError(f"{path}: not a pickle, or a damaged one ({error}).") from error
    # Damage shows as nearly any error: lengths, codecs, shapes and opcodes break.
    except Exception as error:
        raise DataError(f"{path}: not a pickle, or a damaged one ({error}).") from error
