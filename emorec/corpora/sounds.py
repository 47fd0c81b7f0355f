"""What is in the sound files of a corpus: lengths, rates, and what spoils them.

Each file is read once; a table remembers what was found until the file changes.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

from emorec.errors import DataError
from emorec.features.audio import RATE, problems, read_audio, sound_info
from emorec.files import whole_file
from emorec.progress import track

# Seconds: what gives the 100 frames that the networks take at the least.
SHORTEST = 1.015
# Decoding leaves Python's lock, so threads serve.
_THREADS = min(16, 2 * (os.cpu_count() or 1))
# Rows between two writings of the table: what an interruption can lose.
_BLOCK = 2000
_KEYS = ["id", "size", "changed"]
_FOUND = ["samples", "rate", "channels", "problem", "note"]


def index_sounds(
    paths: Mapping[str, Path], table: Path | None = None, shortest: float = SHORTEST
) -> pd.DataFrame:
    """Look into every sound file, in threads.

    Parameters
    ----------
    paths : mapping
        Id -> file.
    table : Path, optional
        A CSV that remembers; files of the same size and time of change are not read
        again.
    shortest : float
        Seconds that a sound must last.

    Returns
    -------
    DataFrame
        A row per id in the order given: ``id``, ``size`` (bytes), ``changed`` (ns),
        ``samples`` (of each channel, at the file's own rate), ``rate`` (Hz),
        ``channels``, ``problem`` (why it cannot be used, or empty: unreadable, silent,
        shorter than `shortest`), ``note`` (what is told and kept: clipped, several
        channels, another rate than 16 kHz).
    """
    known = _remembered(table)
    keys = {name: (name, *_state(path)) for name, path in paths.items()}
    missing = [name for name, key in keys.items() if key not in known]
    blocks = [missing[i : i + _BLOCK] for i in range(0, len(missing), _BLOCK)]
    with ThreadPoolExecutor(_THREADS) as threads:
        rows = (
            (block, row)
            for block in blocks
            for row in zip(
                block,
                threads.map(lambda name: _look(paths[name], shortest), block),
                strict=True,
            )
        )
        for block, (name, found) in track(rows, "Reading sounds", len(missing)):
            known[keys[name]] = found
            if table is not None and name == block[-1]:
                _remember(table, known)
    found = [
        dict(zip(_KEYS, keys[name], strict=True)) | known[keys[name]] for name in paths
    ]
    return pd.DataFrame(found, columns=[*_KEYS, *_FOUND])


def at_rate(samples: int, rate: int, wanted: int = RATE) -> int:
    """Return how many samples a sound has after resampling."""
    return math.ceil(samples * wanted / rate)


def _state(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:  # it is told when it is read
        return -1, -1
    return status.st_size, status.st_mtime_ns


def _look(path: Path, shortest: float) -> dict[str, Any]:
    empty = {"samples": 0, "rate": 0, "channels": 0, "problem": "", "note": ""}
    try:
        info = sound_info(path)
        samples = read_audio(path, literal=True)
    except DataError as error:
        return empty | {"problem": str(error)}
    # What is shorter or silent has nothing to hear; what is clipped has.
    found = problems(samples, info.rate, shortest)
    spoilt = [text for text in found if not text.startswith("clipped")]
    notes = [text for text in found if text.startswith("clipped")]
    if info.channels > 1:
        notes.append(f"{info.channels} channels, the first is taken")
    if info.rate != RATE:
        notes.append(f"{info.rate} Hz")
    return {
        "samples": len(samples),
        "rate": info.rate,
        "channels": info.channels,
        "problem": "; ".join(spoilt),
        "note": "; ".join(notes),
    }


def _remembered(table: Path | None) -> dict[tuple, dict[str, Any]]:
    if table is None or not table.is_file():
        return {}
    try:
        rows = pd.read_csv(table, keep_default_na=False, dtype={"id": str})
        return {
            tuple(row[key] for key in _KEYS): {key: row[key] for key in _FOUND}
            for row in rows.to_dict("records")
        }
    except (ValueError, KeyError):  # another program's file, or a damaged one
        return {}


def _remember(table: Path, known: dict[tuple, dict[str, Any]]) -> None:
    rows = [dict(zip(_KEYS, key, strict=True)) | row for key, row in known.items()]
    with whole_file(table) as temporary:
        pd.DataFrame(rows, columns=[*_KEYS, *_FOUND]).to_csv(temporary, index=False)
