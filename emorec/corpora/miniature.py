"""Miniatures: tiny synthetic corpora in the real corpora's own file formats.

They let every command be tried, and tested, without any data. Nothing in them comes
from a person; their scores say that the program works, nothing about people.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from emorec.corpora import mosei
from emorec.corpora.folds import FILE_NAME, write_folds
from emorec.errors import DataError
from emorec.labels import MOSEI, MOSEI_ALL
from emorec.progress import track
from emorec.sequences.csd import (
    ComputationalSequence,
    Rows,
    open_sequence,
    write_sequence,
)

DATASET = "emorec miniature (synthetic)"
FOLDER = "miniature"

_VIDEOS = 60
_SEGMENTS = 8
_FOLD_SIZES = {"train": 40, "valid": 8, "test": 11}  # one video is in no fold
# Rates as in the real corpus: words per second, FACET and COVAREP frames per second.
_WORDS, _IMAGE_RATE, _AUDIO_RATE = 2.6, 30, 100
_WIDTHS = {"T": 300, "V": 35, "A": 74}
_PRESENT = (0.45, 0.30, 0.28, 0.20, 0.25, 0.20)
# How often a present emotion shows in each modality: no one of them has it all, so
# that their fusion must beat each alone.
_SHOWN = {"T": 0.60, "V": 0.55, "A": 0.55}
_VOCABULARY, _TOLD_BY = 300, 8
_FACET_NAMES = [
    *("Anger", "Contempt", "Disgust", "Joy", "Fear", "Sadness", "Surprise"),
    *("Confusion", "Frustration"),
    *(f"AU{number}" for number in range(1, 27)),
]


def is_miniature(sequences: Iterable[ComputationalSequence]) -> bool:
    """Tell whether sequences are a miniature's.

    Raises
    ------
    DataError
        When some are and some are not: results on a mixture would mean nothing.
    """
    synthetic, real = [], []
    for sequence in sequences:
        own = sequence.metadata.get("dataset name") == DATASET
        (synthetic if own else real).append(sequence.source)
    if synthetic and real:
        raise DataError(
            "Files of the synthetic miniature and other files lie together: "
            f"{', '.join(synthetic)} are synthetic, {', '.join(real)} are not. Remove "
            "the synthetic ones."
        )
    return bool(synthetic)


def write_mosei(folder: str | Path, seed: int = 0, videos: int = _VIDEOS) -> bool:
    """Write a miniature of CMU-MOSEI: four .csd files and the folds.

    60 videos of 8 segments with words, 35 face features at 30 Hz and 74 voice features
    at 100 Hz. Emotional words tell an emotion in the text, a bump of the action units
    in the face, a rise of the voice features in the voice; each shows only some. Like
    the real corpus it has frames without a face, non-finite voice features, a video
    without voice and one in no fold.

    Parameters
    ----------
    folder : path
        Made when absent. Must hold no other .csd files.
    seed : int
        Everything follows from it.
    videos : int
        Number of videos, at least 12.

    Returns
    -------
    bool
        False when the miniature was there already, complete.

    Raises
    ------
    DataError
        When other .csd files are in the folder.
    """
    folder = Path(folder)
    # Written last, so that an interrupted writing is taken up again.
    if (folder / FILE_NAME).is_file():
        return False
    others = [path.name for path in mosei.find_files(folder) if not _is_ours(path)]
    if others:
        raise DataError(f"{folder}: holds other files ({', '.join(others)}).")
    world = _World(np.random.default_rng(seed))
    names = [f"miniature_{number:02d}" for number in range(videos)]
    drawn = {
        name: world.video(np.random.default_rng((seed, number)), number)
        for number, name in enumerate(track(names, "Writing the miniature"))
    }
    dimensions = {
        mosei.TEXT: [f"glove_{i}" for i in range(_WIDTHS["T"])],
        mosei.IMAGE["facet"]: _FACET_NAMES,
        mosei.AUDIO: [f"covarep_{i}" for i in range(_WIDTHS["A"])],
        mosei.LABELS: list(MOSEI_ALL.labels),
    }
    for sequence, names_of_columns in dimensions.items():
        subfolder = "labels" if sequence == mosei.LABELS else ""
        # One video has no voice, as happens in the real corpus.
        without = names[-2] if sequence == mosei.AUDIO else None
        write_sequence(
            folder / subfolder / mosei.FILES[sequence],
            sequence,
            _entries(drawn, sequence, without),
            mosei.describe(DATASET, names_of_columns, "synthetic"),
        )
    order = np.random.default_rng((seed, videos)).permutation(videos - 1)
    shares = np.cumsum([size * videos // _VIDEOS for size in _FOLD_SIZES.values()])
    parts = np.split(order, shares[:-1])
    write_folds(
        folder / FILE_NAME,
        {
            fold: [names[i] for i in sorted(part)]
            for fold, part in zip(_FOLD_SIZES, parts, strict=True)
        },
    )
    return True


def _is_ours(path: Path) -> bool:
    try:
        return open_sequence(path).metadata.get("dataset name") == DATASET
    except DataError:
        return False


def _entries(
    drawn: dict[str, dict[str, Rows]], sequence: str, without: str | None
) -> Iterator[tuple[str, Rows]]:
    for name, rows in drawn.items():
        if name != without:
            yield name, rows[sequence]


class _World:
    """What all videos share: the vocabulary and the columns that show emotions."""

    def __init__(self, random: np.random.Generator) -> None:
        emotions = len(MOSEI)
        self.words = random.normal(0, 0.35, (_VOCABULARY, _WIDTHS["T"]))
        directions = random.normal(0, 1, (emotions, _WIDTHS["T"]))
        directions *= 4 / np.linalg.norm(directions, axis=1, keepdims=True)
        for k in range(emotions):
            self.words[k * _TOLD_BY : (k + 1) * _TOLD_BY] += directions[k]
        self.neutral = np.arange(emotions * _TOLD_BY, _VOCABULARY)
        estimates = len([name for name in _FACET_NAMES if not name.startswith("AU")])
        units = estimates + random.permutation(_WIDTHS["V"] - estimates)
        self.units = units[: 3 * emotions].reshape(emotions, 3)
        voice = random.permutation(_WIDTHS["A"])
        self.voice = voice[: 5 * emotions].reshape(emotions, 5)

    def video(self, random: np.random.Generator, number: int) -> dict[str, Rows]:
        """Draw one video: sequence -> rows."""
        spans, text, labels, tracks = [], [], [], []
        clock = random.uniform(0.2, 1.0)
        for _ in range(_SEGMENTS):
            scores, shown = self._emotions(random)
            count = int(random.integers(6, 12))
            chosen = self._choose_words(random, shown["T"], count)
            lengths = random.uniform(0.7, 1.3, count) / _WORDS
            edges = clock + np.concatenate([[0.0], np.cumsum(lengths)])
            spans.append(np.stack([edges[:-1], edges[1:]], axis=1))
            text.append(self.words[chosen])
            labels.append((edges[0], edges[-1], scores))
            tracks.append((edges[0], edges[-1], shown))
            clock = edges[-1] + random.uniform(0.3, 0.9)
        image = self._frames(random, clock, tracks, "V")
        audio = self._frames(random, clock, tracks, "A")
        if number % 9 == 4:
            # The face is lost for a while.
            lost = labels[number % _SEGMENTS]
            middle = (lost[0] + lost[1]) / 2
            away = np.abs(image.intervals[:, 0] - middle) < 0.5
            image = Rows(image.intervals[~away], image.features[~away])
        if number % 10 == 3:
            # Known of COVAREP: infinities and undefined values.
            audio.features[::500, 5] = -np.inf
            audio.features[7::900, 30] = np.nan
        scores = [
            np.concatenate([[_sentiment(scores)], scores]) for _, _, scores in labels
        ]
        return {
            mosei.TEXT: _rows(np.concatenate(spans), np.concatenate(text)),
            mosei.IMAGE["facet"]: image,
            mosei.AUDIO: audio,
            mosei.LABELS: _rows(
                np.array([label[:2] for label in labels]), np.array(scores), exact=True
            ),
        }

    @staticmethod
    def _emotions(random: np.random.Generator) -> tuple[np.ndarray, dict]:
        """Draw scores (6,) and, by modality, how strongly each emotion shows."""
        present = random.random(len(MOSEI)) < _PRESENT
        thirds = random.integers(1, 7, len(MOSEI)) / 3
        scores = np.where(present, thirds, 0.0)
        shows = {m: random.random(len(MOSEI)) < share for m, share in _SHOWN.items()}
        hidden = ~np.any(list(shows.values()), axis=0)
        somewhere = random.choice(list(_SHOWN), len(MOSEI))
        return scores, {
            m: scores * (shows[m] | (hidden & (somewhere == m))) for m in _SHOWN
        }

    def _choose_words(
        self, random: np.random.Generator, shown: np.ndarray, count: int
    ) -> np.ndarray:
        chosen = random.choice(self.neutral, count)
        places = list(random.permutation(count))
        for k in np.flatnonzero(shown):
            for _ in range(int(np.ceil(2 * shown[k]))):
                if places:
                    chosen[places.pop()] = k * _TOLD_BY + random.integers(_TOLD_BY)
        return chosen

    def _frames(
        self, random: np.random.Generator, end: float, tracks: list, modality: str
    ) -> Rows:
        rate = _IMAGE_RATE if modality == "V" else _AUDIO_RATE
        columns = self.units if modality == "V" else self.voice
        starts = np.arange(int(end * rate)) / rate
        values = random.normal(0, 1, (len(starts), _WIDTHS[modality]))
        for begin, finish, shown in tracks:
            inside = (starts >= begin) & (starts < finish)
            phase = (starts[inside] - begin) / (finish - begin)
            if modality == "V":
                centre = random.uniform(0.3, 0.7)
                shape = np.exp(-0.5 * ((phase - centre) / 0.15) ** 2) * 3.0
            else:
                shape = (phase - 0.5) * 2.5
            for k in np.flatnonzero(shown[modality]):
                values[np.ix_(inside, columns[k])] += (
                    0.5 + shown[modality][k]
                ) * shape[:, None]
        return _rows(np.stack([starts, starts + 1 / rate], axis=1), values)


def _sentiment(scores: np.ndarray) -> float:
    """Happy against the unpleasant emotions, in [-3, 3]."""
    unpleasant = scores[[MOSEI.index(e) for e in ("sad", "anger", "disgust", "fear")]]
    return float(np.clip(scores[MOSEI.index("happy")] - unpleasant.max(), -3, 3))


def _rows(intervals: np.ndarray, features: np.ndarray, exact: bool = False) -> Rows:
    """Single precision; features in steps of 1/16, which gzip packs well."""
    if not exact:
        features = np.round(features * 16) / 16
    return Rows(intervals.astype(np.float32), features.astype(np.float32))
