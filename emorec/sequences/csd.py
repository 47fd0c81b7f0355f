"""Computational sequences: the HDF5 files (.csd) of the CMU-Multimodal SDK.

A file has one root group, named after the sequence. Under it lie
``data/<entry>/features`` (n, d), ``data/<entry>/intervals`` (n, 2) in seconds and
``metadata/<key>``, each a JSON text. An entry is a video or, in an aligned sequence,
a numbered part of one: ``video[3]``.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from emorec.errors import DataError, shorten
from emorec.files import whole_file
from emorec.sequences.hdf5 import Members, read_array, read_texts

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
# Entries whose width is taken for that of all.
_SAMPLE = 9


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

    @property
    def width(self) -> int | None:
        """Numbers a row: those of most of a few entries; None where none tells.

        Most, and by the shapes alone, so that neither a damaged entry nor the order of
        reading decides which ones are refused.
        """
        if self._width is None:
            entries = list(self.data)
            widths: Counter[int] = Counter()
            for entry in entries[:: len(entries) // _SAMPLE + 1]:
                try:
                    features = self.data[entry]["features"]
                    _check_form("features", features, entry)
                    widths[features.shape[1]] += 1
                except Exception:  # damage shows as nearly any error
                    continue
            self._width = widths.most_common(1)[0][0] if widths else None
        return self._width

    def read(self, entry: str) -> Rows:
        """Read one entry.

        Raises
        ------
        DataError
            When the entry has no numeric (n, d) features and finite (n, 2) intervals
            of equal n, when its width is not `width`, or when it cannot be read from
            the file.
        """
        where = f"{self.source}: entry '{entry}'"
        arrays = {}
        part = "intervals"
        try:
            group = self.data[entry]
            for part in Rows._fields:
                stored = group[part]
                _check_form(part, stored, where)
                if isinstance(stored, h5py.Dataset):
                    stored = read_array(stored)
                # Sums over rows round by the order in memory: always rows first.
                arrays[part] = np.ascontiguousarray(stored)
        except DataError:
            raise
        except (KeyError, TypeError, AttributeError, IndexError):
            raise DataError(
                f"{where}: expected a dataset '{part}', found none. "
                "The file is incomplete; get it again."
            ) from None
        except Exception as error:  # damage shows as nearly any error
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
            _check_form(part, array, where)
        intervals, features = rows
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
        if self.width is None:
            self._width = features.shape[1]
        elif features.shape[1] != self._width:
            raise DataError(
                f"{where}: {features.shape[1]} features a row, but other entries "
                f"have {self._width}."
            )


def _check_form(part: str, array: Any, where: str) -> None:
    """Check type and shape of an array, or of a dataset that is not read yet."""
    if array.dtype.kind not in "fiu":
        raise DataError(
            f"{where}: expected {part} of numbers, received dtype {array.dtype}. "
            "Choose a sequence of numeric features."
        )
    shape, columns = array.shape, 2 if part == "intervals" else "d"
    # An HDF5 dataset without any space has no shape.
    if shape is None or len(shape) != 2 or columns not in ("d", shape[1]):
        raise DataError(
            f"{where}: expected {part} of shape (n, {columns}), received {shape}."
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
        roots = Members(handle)
        root = next(iter(roots.values()), None)
        data = root.get("data") if isinstance(root, Members) else None
        if not isinstance(data, Members):
            raise DataError(
                f"{path}: expected a root group with a group 'data', found "
                f"{list(roots) or 'an empty file'}. This is not a computational "
                "sequence."
            )
        metadata = read_texts(root.get("metadata"))
        if not isinstance(metadata.get("root name"), str):
            metadata["root name"] = next(iter(roots))
        # Lists the entries, which shows damage, too.
        return ComputationalSequence(data, metadata, str(path), path)
    except DataError:
        raise
    except Exception as error:  # damage shows as nearly any error
        reason = str(error)
        if "truncated" in reason:
            advice = "The file is truncated, as by a broken download; get it again."
        elif isinstance(error, PermissionError) or "Permission denied" in reason:
            advice = "You may not read it; check its permissions."
        else:
            advice = "It is not an HDF5 file, or it is damaged; get it again."
        raise DataError(f"{path}: cannot be opened. {advice} ({reason})") from error


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
