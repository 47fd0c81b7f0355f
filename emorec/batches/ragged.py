"""The ragged store: sequences of unequal length, padded only in batches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from emorec.errors import DataError

# Bytes of features that a growing store joins at a time.
_BLOCK = 1 << 26


@dataclass
class RaggedStore:
    """Sequences laid end to end.

    Attributes
    ----------
    values : (total_steps, D) float32
        May be memory-mapped.
    presence : (total_steps, M) bool
        Whether each of M modalities is there at a step.
    offsets : (n + 1,) int64
        Sequence i is ``values[offsets[i]:offsets[i + 1]]``.
    labels : (n, K) float32, or (total_steps, K) when `per_step`
        Targets of a sequence, or of each of its steps.
    ids : list of str
        Names of the sequences.
    per_step : bool
        Whether every step has targets of its own.
    """

    values: np.ndarray
    presence: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray
    ids: list[str]
    per_step: bool = False

    def __post_init__(self) -> None:
        total, count = len(self.values), len(self.ids)
        expected = total if self.per_step else count
        if (
            len(self.offsets) != count + 1
            or self.offsets[-1] != total
            or len(self.presence) != total
            or len(self.labels) != expected
        ):
            raise DataError(
                f"Ragged store: {count} ids, {len(self.offsets)} offsets up to "
                f"{self.offsets[-1]}, {total} steps, {len(self.presence)} presence "
                f"rows and {len(self.labels)} label rows do not fit together."
            )
        if (np.diff(self.offsets) <= 0).any():
            empty = self.ids[int(np.flatnonzero(np.diff(self.offsets) <= 0)[0])]
            raise DataError(f"Sequence '{empty}' has no steps.")

    @classmethod
    def build(
        cls,
        sequences: Iterable[tuple[str, np.ndarray, np.ndarray, np.ndarray]],
        per_step: bool = False,
    ) -> RaggedStore:
        """Join sequences given as (id, features, presence, labels).

        Shapes are (steps, D), (steps, M), and (K,) or, when `per_step`, (steps, K).

        Raises
        ------
        DataError
            When there are none, or one has no steps.
        """
        builder = RaggedBuilder(per_step)
        for sequence in sequences:
            builder.add(*sequence)
        return builder.store()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> np.ndarray:
        """Return the steps of each sequence, (n,) int64."""
        return np.diff(self.offsets)

    def with_labels(self, labels: np.ndarray) -> RaggedStore:
        """Return a store with the same sequences and other targets."""
        return RaggedStore(
            self.values,
            self.presence,
            self.offsets,
            np.asarray(labels, np.float32),
            self.ids,
            self.per_step,
        )

    def sequence(self, number: int) -> np.ndarray:
        """Return the features (steps, D) of one sequence, unpadded."""
        return self.values[self.offsets[number] : self.offsets[number + 1]]


class RaggedBuilder:
    """Builds a `RaggedStore` from one sequence at a time, without a second copy.

    Parameters
    ----------
    per_step : bool
        Whether the sequences bring labels of every step.
    """

    def __init__(self, per_step: bool = False) -> None:
        self.per_step = per_step
        self._ids: list[str] = []
        self._labels: list[np.ndarray] = []
        self._lengths: list[int] = []
        # Features and presence of many sequences each: a block is large enough for the
        # system to have it back as soon as it is copied.
        self._blocks: list[tuple[np.ndarray, np.ndarray]] = []
        self._block: list[tuple[np.ndarray, np.ndarray]] = []
        self._bytes = 0

    def __len__(self) -> int:
        """Return the number of sequences so far."""
        return len(self._ids)

    def add(
        self, name: str, features: np.ndarray, presence: np.ndarray, labels: np.ndarray
    ) -> None:
        """Append a sequence; shapes as in `RaggedStore.build`."""
        self._ids.append(name)
        self._labels.append(np.asarray(labels, np.float32))
        self._lengths.append(len(features))
        self._block.append((features, presence))
        self._bytes += features.nbytes
        if self._bytes > _BLOCK:
            self._close_block()

    def _close_block(self) -> None:
        features, presence = zip(*self._block, strict=True)
        self._blocks.append((np.concatenate(features), np.concatenate(presence)))
        self._block.clear()
        self._bytes = 0

    def store(self) -> RaggedStore:
        """Return the store; nothing can be added afterwards.

        Raises
        ------
        DataError
            When there is no sequence, or one has no steps.
        """
        if not self._ids:
            raise DataError("No sequences to learn from: every segment was dropped.")
        if self._block:
            self._close_block()
        offsets = np.concatenate([[0], np.cumsum(self._lengths)]).astype(np.int64)
        features, presence = self._blocks[0]
        values = _aligned(offsets[-1], features.shape[1])
        present = np.empty((offsets[-1], presence.shape[1]), bool)
        start = 0
        while self._blocks:
            features, presence = self._blocks.pop(0)
            values[start : start + len(features)] = features
            present[start : start + len(features)] = presence
            start += len(features)
        join = np.concatenate if self.per_step else np.stack
        return RaggedStore(
            values, present, offsets, join(self._labels), self._ids, self.per_step
        )


def _aligned(rows: int, columns: int) -> np.ndarray:
    """Return an array that begins where TensorFlow can take it without a copy."""
    room = np.empty(rows * columns + 16, np.float32)
    skip = -room.ctypes.data % 64 // 4
    return room[skip : skip + rows * columns].reshape(rows, columns)


def positions(
    starts: np.ndarray, lengths: np.ndarray, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of the store that fill a padded batch, and its mask.

    A sequence longer than `width` keeps its last steps; a shorter one is padded at the
    end (cuDNN needs right padding) with repeats of its first row, to be masked.

    Parameters
    ----------
    starts, lengths : (B,) int64
        First row and number of rows of each sequence.
    width : int
        Steps of the batch.

    Returns
    -------
    rows : (B, width) int64
    mask : (B, width) bool
    """
    first = starts + np.maximum(lengths - width, 0)
    steps = np.arange(width, dtype=np.int64)
    mask = steps[None] < lengths[:, None]
    return first[:, None] + np.where(mask, steps[None], 0), mask


def gather(store: RaggedStore, index: np.ndarray, width: int) -> tuple:
    """Assemble one padded batch.

    Returns
    -------
    inputs : dict
        ``features`` (B, width, D) float32, zero where padded; ``mask`` (B, width)
        bool; ``presence`` (B, width, M) float32.
    labels : (B, K) or (B, width, K) float32
    weights : (B, width) float32, only when the store has labels per step
        1 for real steps, 0 for padding.
    """
    rows, mask = positions(store.offsets[index], store.lengths[index], width)
    real = mask[..., None].astype(np.float32)
    inputs = {
        "features": store.values[rows] * real,
        "mask": mask,
        "presence": store.presence[rows] * real,
    }
    if store.per_step:
        return inputs, store.labels[rows] * real, real[..., 0]
    return inputs, store.labels[index]
