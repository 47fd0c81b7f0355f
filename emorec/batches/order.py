"""The order of batches: a function of seed and epoch, so that resuming repeats it."""

from __future__ import annotations

import numpy as np

# Sequences of similar length share a batch when every step is kept; few buckets, for
# XLA compiles once per width.
_BUCKETS = 6
# Sequences so many times as long as five in six of them are a bucket of their own.
_FAR = 4


class BatchOrder:
    """Which sequences form each batch of an epoch.

    Parameters
    ----------
    lengths : (n,) int
        Steps of each sequence.
    batch_size : int
        Sequences per batch; the last batch (of a bucket) may be smaller.
    steps : int
        Longest width of a batch: of longer sequences the last steps are kept. 0 keeps
        all steps and groups sequences by length, each batch as wide as the longest
        sequence of its bucket.
    seed : int
        Seed of the permutations.
    shuffle : bool
        False keeps the stored order (within buckets).
    """

    def __init__(
        self,
        lengths: np.ndarray,
        batch_size: int,
        steps: int,
        seed: int = 0,
        shuffle: bool = False,
    ) -> None:
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        everything = np.arange(len(lengths))
        if steps:
            # Padding beyond the longest sequence would change nothing but the time.
            self.buckets = [(everything, min(steps, int(lengths.max())))]
            return
        by_length = np.argsort(lengths, kind="stable")
        edges = np.quantile(lengths, np.linspace(0, 1, _BUCKETS + 1)[1:-1])
        # A few that are far longer would pad all others of their batches.
        edges = np.append(edges, _FAR * edges[-1])
        cuts = np.searchsorted(lengths[by_length], edges, "right")
        self.buckets = [
            (np.sort(part), int(lengths[part].max()))
            for part in np.split(by_length, cuts)
            if len(part)
        ]

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return sum(-(-len(part) // self.batch_size) for part, _ in self.buckets)

    def epoch(self, number: int) -> list[tuple[np.ndarray, int]]:
        """Return the batches of an epoch: (sequence numbers, width) each."""
        random = np.random.default_rng((self.seed, number))
        batches = []
        for part, width in self.buckets:
            if self.shuffle:
                part = random.permutation(part)
            batches += [
                (part[start : start + self.batch_size], width)
                for start in range(0, len(part), self.batch_size)
            ]
        if self.shuffle and len(self.buckets) > 1:
            batches = [batches[i] for i in random.permutation(len(batches))]
        return batches
