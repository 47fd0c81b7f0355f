"""Computational sequences: the HDF5 files (.csd) of the CMU-Multimodal SDK.

A file has one root group, named after the sequence. Under it lie
``data/<entry>/features`` (n, d), ``data/<entry>/intervals`` (n, 2) in seconds and
``metadata/<key>``, each a JSON text. An entry is a video or, in an aligned sequence,
a numbered part of one: ``video[3]``.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from emorec.errors import DataError, shorten
from emorec.files import whole_file

REQUIRED_METADATA = (
    "root name",
    "computational sequence description",
    "dimension names",
    "computational sequence version",
    "alignment compatible",
    "dataset name",
    "dataset version",
    "creator",
    "contact",
    "featureset bib citation",
    "dataset bib citation",
)
# mmsdk's template lacks a comma between two keys, so its files carry, and its checks
# ask for, the two glued together.
_GLUED = "dimension namescomputational sequence version"


class Rows(NamedTuple):
    """Timed feature rows.

    Attributes
    ----------
    intervals : (n, 2) float
        Start and end in seconds.
    features : (n, d) number
        One row per interval.
    """

    intervals: np.ndarray
    features: np.ndarray


def video_of(entry: str) -> str:
    """Return the video id of an entry key: ``"abc[3]"`` belongs to ``"abc"``."""
    return entry.split("[", 1)[0]


class ComputationalSequence:
    """One sequence, read entry by entry.

    Parameters
    ----------
    data : mapping
        Entry key -> {"intervals": (n, 2), "features": (n, d)}; arrays or open HDF5
        datasets. The ``data`` attribute of an mmsdk sequence serves as it is.
    metadata : mapping
        Metadata keys -> values; ``"root name"`` is the sequence's name.
    source : str
        What error messages call this sequence: a path, or "memory".
    path : Path, optional
        The file, from which other processes can read the sequence, too.
    """

    def __init__(
        self,
        data: Mapping[str, Any],
        metadata: Mapping[str, Any],
        source: str,
        path: Path | None = None,
    ) -> None:
        self.path = path
        self.data = data
        self.metadata = dict(metadata)
        self.source = source
        self.name = str(self.metadata["root name"])
        self.videos: dict[str, list[str]] = {}
        for entry in data:
            self.videos.setdefault(video_of(entry), []).append(entry)
        self._width: int | None = None

    @classmethod
    def from_mmsdk(cls, sequence: Any) -> ComputationalSequence:
        """Take a ``computational_sequence`` of an mmsdk dataset, without a copy."""
        metadata = {"root name": sequence.root_name, **(sequence.metadata or {})}
        return cls(sequence.data, metadata, f"mmsdk sequence '{sequence.root_name}'")

    @property
    def missing_metadata(self) -> list[str]:
        """Required metadata keys that are absent."""
        present = set(self.metadata)
        if _GLUED in present:
            present |= {"dimension names", "computational sequence version"}
        return [key for key in REQUIRED_METADATA if key not in present]

    def read(self, entry: str) -> Rows:
        """Read one entry.

        Raises
        ------
        DataError
            When the entry has no numeric (n, d) features and finite (n, 2) intervals
            of equal n, when its width is not that of the entries read before, or when
            it cannot be read from the file.
        """
        where = f"{self.source}: entry '{entry}'"
        arrays = {}
        part = "intervals"
        try:
            group = self.data[entry]
            for part in Rows._fields:
                # Sums over rows round by the order in memory: always rows first.
                arrays[part] = np.ascontiguousarray(group[part][()])
        except (KeyError, TypeError, AttributeError, ValueError, IndexError):
            raise DataError(
                f"{where}: expected a dataset '{part}', found none. "
                "The file is incomplete; get it again."
            ) from None
        except (OSError, RuntimeError) as error:
            raise DataError(
                f"{where}: '{part}' cannot be read ({error}). "
                "The file is damaged; get it again."
            ) from error
        rows = Rows(**arrays)
        self._check(rows, where)
        return rows

    def read_video(self, video: str) -> Rows:
        """Read and pool all entries of a video, in stored order."""
        parts = [self.read(entry) for entry in self.videos[video]]
        if len(parts) == 1:
            return parts[0]
        return Rows(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def _check(self, rows: Rows, where: str) -> None:
        for part, array in zip(rows._fields, rows, strict=True):
            if array.dtype.kind not in "fiu":
                raise DataError(
                    f"{where}: expected {part} of numbers, received dtype "
                    f"{array.dtype}. Choose a sequence of numeric features."
                )
        intervals, features = rows
        if intervals.ndim != 2 or intervals.shape[1] != 2:
            raise DataError(
                f"{where}: expected intervals of shape (n, 2), received "
                f"{intervals.shape}."
            )
        if features.ndim != 2:
            raise DataError(
                f"{where}: expected features of shape (n, d), received "
                f"{features.shape}."
            )
        if len(intervals) != len(features):
            raise DataError(
                f"{where}: {len(intervals)} intervals but {len(features)} feature "
                "rows; each row needs its interval."
            )
        if not np.isfinite(intervals).all():
            row = int(np.flatnonzero(~np.isfinite(intervals).all(axis=1))[0])
            raise DataError(
                f"{where}: interval {row} is {intervals[row].tolist()}; expected "
                "finite seconds."
            )
        if self._width is None:
            self._width = features.shape[1]
        elif features.shape[1] != self._width:
            raise DataError(
                f"{where}: {features.shape[1]} features a row, but the entries before "
                f"have {self._width}."
            )


def open_sequence(path: str | Path) -> ComputationalSequence:
    """Open a .csd file for reading; features stay on disk until asked for.

    The name in the metadata is the sequence's name, for files were renamed over the
    years; without it the root group's name serves.

    Raises
    ------
    DataError
        When the file is missing, truncated, not HDF5, or has not the groups of a
        computational sequence.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file.")
    try:
        handle = h5py.File(path, "r")
    except OSError as error:
        reason = str(error)
        if "truncated" in reason:
            advice = "The file is truncated, as by a broken download; get it again."
        elif isinstance(error, PermissionError) or "Permission denied" in reason:
            advice = "You may not read it; check its permissions."
        else:
            advice = "It is not an HDF5 file, or it is damaged; get it again."
        raise DataError(f"{path}: cannot be opened. {advice} ({reason})") from error
    try:
        roots = list(handle)
    except RuntimeError as error:
        raise DataError(f"{path}: damaged HDF5 ({error}); get it again.") from error
    root = handle.get(roots[0]) if roots else None
    if not isinstance(root, h5py.Group) or not isinstance(root.get("data"), h5py.Group):
        raise DataError(
            f"{path}: expected a root group with a group 'data', found "
            f"{roots or 'an empty file'}. This is not a computational sequence."
        )
    metadata = _read_metadata(root.get("metadata"))
    if not isinstance(metadata.get("root name"), str):
        metadata["root name"] = roots[0]
    return ComputationalSequence(root["data"], metadata, str(path), path)


def _read_metadata(group: Any) -> dict[str, Any]:
    """Read JSON texts; a text that is not JSON is kept as it stands."""
    metadata: dict[str, Any] = {}
    for key, dataset in group.items() if isinstance(group, h5py.Group) else ():
        try:
            text = np.ravel(dataset[()])[0]
        except (OSError, IndexError, TypeError, RuntimeError):
            continue
        text = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
        try:
            metadata[key] = json.loads(text)
        except ValueError:
            metadata[key] = text
    return metadata


def write_sequence(
    path: str | Path,
    name: str,
    entries: Iterable[tuple[str, Rows]],
    metadata: Mapping[str, Any],
    compression_level: int | None = 4,
) -> None:
    """Write a .csd file that this reader and mmsdk's read back equal.

    Parameters
    ----------
    path : path
        Becomes whole or not at all.
    name : str
        The sequence's name; root group and metadata carry it.
    entries : iterable of (str, Rows)
        May be a generator; one entry at a time is held.
    metadata : mapping
        Values for `REQUIRED_METADATA` (the root name is filled in), JSON-able.
    compression_level : int, optional
        gzip level, 9 as mmsdk writes; None for none.

    Raises
    ------
    DataError
        When metadata or entries are not what the format asks for.
    """
    metadata = {**metadata, "root name": name}
    missing = [key for key in REQUIRED_METADATA if key not in metadata]
    if missing:
        raise DataError(f"{path}: metadata lacks {shorten(missing, 11)}.")
    metadata.setdefault(_GLUED, metadata["computational sequence version"])
    metadata.setdefault("uuid", str(uuid.uuid4()))
    metadata.setdefault("md5", None)
    packing = (
        {}
        if compression_level is None
        else {"compression": "gzip", "compression_opts": compression_level}
    )
    checker = ComputationalSequence({}, metadata, str(path))
    _check_name(name, path)
    with whole_file(path) as temporary, h5py.File(temporary, "w") as file:
        root = file.create_group(name)
        data = root.create_group("data")
        for entry, rows in entries:
            checker._check(rows, f"{path}: entry '{entry}'")
            _check_name(entry, path)
            if entry in data:
                raise DataError(f"{path}: entry '{entry}' comes twice.")
            group = data.create_group(entry)
            for part, array in zip(rows._fields, rows, strict=True):
                # HDF5 refuses chunks of no rows.
                group.create_dataset(
                    part, data=array, **(packing if len(array) else {})
                )
        texts = root.create_group("metadata")
        for key, value in metadata.items():
            dataset = texts.create_dataset(key, (1,), dtype=h5py.string_dtype())
            dataset[0] = json.dumps(value)


def _check_name(name: str, path: str | Path) -> None:
    """Refuse names that HDF5 would read as a path."""
    if not name or "/" in name or name == ".":
        raise DataError(
            f"{path}: '{name}' cannot name a sequence or an entry; expected a name "
            "without '/'."
        )
