"""Face tracks: detection on few frames, the boxes between them interpolated.

Finding faces costs far more than decoding, so it runs on every n-th sampled frame
only. Where the faces of two such key frames agree one to one (their boxes overlap by
seven tenths or more), the boxes of the frames between are interpolated linearly. Where
they do not - a cut, a face that comes, goes or moves fast - the frames between are
looked at one by one. So a still talker costs one detection in n frames and a cut is
found on its own frame. What happens between two agreeing key frames stays unseen: a
nod there and back, or another face shown for less than the time between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from emorec.errors import SpecError
from emorec.features.faces import CONFIDENCE, Detector, confident

DETECT_EVERY = 4

# Overlap (intersection over union) from which two boxes are one face: in neighbouring
# frames, and in key frames between which boxes may be interpolated.
_SAME, _AGREE = 0.3, 0.7
# Frames for which a face may be missed without losing its track: about a second.
_PATIENCE = 4
# Frames that one call of the detector takes; more gain little and hold more memory.
_BATCH = 4


class Face(NamedTuple):
    """A face in one frame.

    Attributes
    ----------
    track : int
        The same number in every frame of a track, from 0.
    box : (4,) float64
        x1, y1, x2, y2 in pixels.
    confidence : float
        The detector's; of an interpolated box, the lower of both ends.
    detected : bool
        Whether the detector saw this frame.
    """

    track: int
    box: np.ndarray
    confidence: float
    detected: bool


@dataclass
class _Tracks:
    """The tracks that may go on: number -> last box and its frame."""

    alive: dict[int, tuple[np.ndarray, int]] = field(default_factory=dict)
    count: int = 0

    def update(self, frame: int, boxes: np.ndarray, same: float) -> list[int]:
        """Continue tracks with (m, 5) boxes, begin new ones; return m numbers."""
        self.alive = {
            track: (box, seen)
            for track, (box, seen) in self.alive.items()
            if frame - seen <= _PATIENCE
        }
        names = list(self.alive)
        known = np.array([self.alive[name][0] for name in names]).reshape(-1, 5)
        partner = match(known, boxes, same)
        numbers = []
        for place in range(len(boxes)):
            if place in partner:
                numbers.append(names[partner[place]])
            else:
                numbers.append(self.count)
                self.count += 1
            self.alive[numbers[-1]] = boxes[place], frame
        return numbers


def overlaps(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the intersection over union of every pair of boxes.

    Parameters
    ----------
    first, second : (n, >= 4) and (m, >= 4) float
        x1, y1, x2, y2.

    Returns
    -------
    (n, m) float64
        In [0, 1].
    """
    a, b = first[:, None, :4], second[None, :, :4]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = sides.clip(0).prod(-1)
    area = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1)
    return shared / np.maximum(area - shared, 1e-9)


def match(first: np.ndarray, second: np.ndarray, minimum: float) -> dict[int, int]:
    """Pair boxes so that the overlaps sum to the most; return second -> first.

    Pairs that overlap by less than `minimum` are left out.
    """
    shared = overlaps(first, second)
    pairs = zip(*linear_sum_assignment(shared, maximize=True), strict=True)
    return {int(j): int(i) for i, j in pairs if shared[i, j] >= minimum}


def follow(
    frames: Iterable[tuple[float, np.ndarray]],
    detect: Detector,
    detect_every: int = DETECT_EVERY,
    minimum: float = CONFIDENCE,
) -> Iterator[tuple[float, np.ndarray, list[Face]]]:
    """Find and follow the faces of a video.

    Parameters
    ----------
    frames : iterable of (float, (H, W, 3) uint8)
        Times in seconds and RGB images; at most ``4 * detect_every + 1`` are held.
    detect : Detector
        Called with up to four frames.
    detect_every : int
        Key frames are the first, each so-maniest after it, and the last; 1 detects on
        all.
    minimum : float
        Confidence of a face.

    Yields
    ------
    time, image, faces
        Every frame in order with its faces, none or more.

    Raises
    ------
    SpecError
        When `detect_every` is below 1 or `minimum` outside [0, 1].
    """
    if detect_every < 1 or not 0 <= minimum <= 1:
        raise SpecError(
            f"Key frames each {detect_every} with confidence {minimum:g}: expected 1 "
            "or more, and a confidence from 0 to 1."
        )
    frames = iter(frames)
    tracks = _Tracks()
    start, before = 0, None
    # A window ends with a key frame, so that every frame in it lies between two.
    while window := list(islice(frames, _BATCH * detect_every + (start == 0))):
        numbers = range(start, start + len(window))
        keys = [n for n in numbers if n % detect_every == 0 or n == numbers[-1]]

        def look(asked: Sequence[int], window=window, start=start) -> dict:
            images = [window[n - start][1] for n in asked]
            return dict(zip(asked, _detect(detect, images, minimum), strict=True))

        seen = look(keys)
        ends = ([before] if before else []) + [(n, seen[n]) for n in keys]
        unclear = [
            n
            for (a, left), (b, right) in pairwise(ends)
            if not _agree(left, right)
            for n in range(a + 1, b)
        ]
        seen |= look(unclear)
        faces = _between(numbers, seen, before, tracks)
        for (time, image), found in zip(window, faces, strict=True):
            yield time, image, found
        start += len(window)
        before = numbers[-1], seen[numbers[-1]]


def _detect(
    detect: Detector, images: list[np.ndarray], minimum: float
) -> list[np.ndarray]:
    found = []
    for first in range(0, len(images), _BATCH):
        part = images[first : first + _BATCH]
        found += [confident(boxes, minimum) for boxes in detect(part)]
    return found


def _agree(left: np.ndarray, right: np.ndarray) -> bool:
    return len(left) == len(right) == len(match(left, right, _AGREE))


def _between(
    numbers: range,
    seen: dict[int, np.ndarray],
    before: tuple[int, np.ndarray] | None,
    tracks: _Tracks,
) -> Iterator[list[Face]]:
    """Yield the faces of each frame, interpolated where it was not looked at."""
    last = before
    for n in numbers:
        if n in seen:
            names = tracks.update(n, seen[n], _SAME)
            last = n, seen[n]
            rows = zip(names, seen[n], strict=True)
            yield [Face(name, row[:4], float(row[4]), True) for name, row in rows]
            continue
        # The first frame is a key frame, so there is always one before.
        a, left = last
        b = next(key for key in range(n + 1, numbers[-1] + 1) if key in seen)
        partner = match(left, seen[b], _AGREE)
        rows = []
        for place, i in partner.items():
            ends = np.stack([left[i], seen[b][place]])
            part = (n - a) / (b - a)
            row = (1 - part) * ends[0] + part * ends[1]
            row[4] = ends[:, 4].min()
            rows.append(row)
        rows = np.array(rows).reshape(-1, 5)
        # The tracks move along, so that a face may go far between two key frames.
        names = tracks.update(n, rows, _SAME)
        pairs = zip(names, rows, strict=True)
        yield [Face(name, row[:4], float(row[4]), False) for name, row in pairs]
