"""CMU-MOSI: sentiment of utterances, given as one vector per modality and utterance.

Zadeh et al. (2016), "MOSI: Multimodal Corpus of Sentiment Intensity". The vectors come
from networks that were trained on the rows whose ``file`` is ``train``, so the column
``file`` is the only split on which a test score means anything; the SDK's folds, the
column ``fold``, leak.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from emorec.corpora.mosei import MODALITIES
from emorec.corpora.segments import Segment
from emorec.errors import DataError, shorten

FEATURES_FILE, INDEX_FILE = "mosi_features.npz", "index.csv"
ARRAYS = {"T": "text", "V": "video", "A": "audio"}
_COLUMNS = ("file", "id", "video", "sent")
# Every sixth training video validates.
_VALID_EVERY = 6


@dataclass
class Mosi:
    """The utterances of CMU-MOSI.

    Attributes
    ----------
    index : DataFrame
        One row an utterance: ``split`` (train, valid, test), ``video``, ``id``,
        ``sent`` in [-3, 3]; sorted by video and number of the utterance.
    features : dict
        Letter of the modality -> (n, d) float32, in the order of `index`.
    """

    index: pd.DataFrame
    features: dict[str, np.ndarray]


def read_mosi(folder: str | Path) -> Mosi:
    """Read ``mosi_features.npz`` and, line for line, ``index.csv``.

    Raises
    ------
    DataError
        When a file is missing or damaged, arrays and rows do not fit, values are not
        finite, or a video is in two splits.
    """
    folder = Path(folder)
    index = _read_index(folder / INDEX_FILE)
    arrays = _read_arrays(folder / FEATURES_FILE, len(index))
    shared = set(index.video[index.file == "train"]) & set(
        index.video[index.file == "test"]
    )
    if shared:
        raise DataError(
            f"{folder / INDEX_FILE}: the videos {shorten(sorted(shared))} are both in "
            "train and test."
        )
    number = index.id.str.rsplit("_", n=1).str[-1].astype(int)
    order = np.lexsort((number, index.video))
    features = {letter: array[order] for letter, array in arrays.items()}
    index = index.iloc[order].reset_index(drop=True)
    videos = sorted(index.video[index.file == "train"].unique())
    validating = set(videos[_VALID_EVERY - 1 :: _VALID_EVERY])
    index["split"] = np.where(index.video.isin(validating), "valid", index.file)
    return Mosi(index, features)


def _read_index(path: Path) -> pd.DataFrame:
    try:
        index = pd.read_csv(path, dtype={"id": str, "video": str})
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected a CSV table ({error}).") from error
    missing = [column for column in _COLUMNS if column not in index]
    if missing:
        raise DataError(f"{path}: lacks the columns {', '.join(missing)}.")
    unknown = set(index.file) - {"train", "test"}
    if unknown:
        raise DataError(
            f"{path}: column 'file' must be train or test, found {shorten(unknown)}."
        )
    index["sent"] = pd.to_numeric(index.sent, errors="coerce")
    bad = ~index.sent.between(-3, 3)
    if bad.any():
        raise DataError(
            f"{path}: utterance {index.id[bad].iloc[0]}: sentiment "
            f"{index.sent[bad].iloc[0]}, expected a number from -3 to 3."
        )
    if not index.id.str.fullmatch(r".+_\d+").all():
        raise DataError(f"{path}: ids must end in _NUMBER, their place in the video.")
    return index


def _read_arrays(path: Path, count: int) -> dict[str, np.ndarray]:
    arrays = {}
    try:
        # numpy leaves a file open that it opened itself and could not read.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            for letter, name in ARRAYS.items():
                arrays[letter] = stored[name].astype(np.float32)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path}: expected arrays {', '.join(ARRAYS.values())} ({error})."
        ) from error
    for letter, array in arrays.items():
        if array.ndim != 2 or len(array) != count:
            raise DataError(
                f"{path}: '{ARRAYS[letter]}' has shape {array.shape}, expected "
                f"({count}, d)."
            )
        if not np.isfinite(array).all():
            row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
            raise DataError(f"{path}: '{ARRAYS[letter]}' row {row} is not finite.")
    return arrays


def video_sequences(corpus: Mosi, split: str, modalities: str) -> Iterator[Segment]:
    """Yield each video of a split as one sequence of utterances.

    Parameters
    ----------
    corpus : Mosi
        From `read_mosi`.
    split : {"train", "valid", "test"}
        The split.
    modalities : str
        Letters, joined in their order.

    Yields
    ------
    Segment
        Features (utterances, D), labels (utterances, 1): sentiment.
    """
    joined = np.concatenate([corpus.features[letter] for letter in modalities], axis=1)
    chosen = corpus.index[corpus.index.split == split]
    for video, rows in chosen.groupby("video", sort=True):
        numbers = rows.index.to_numpy()
        yield Segment(
            str(video),
            joined[numbers],
            np.ones((len(numbers), len(modalities)), bool),
            rows.sent.to_numpy(np.float32)[:, None],
        )


def widths(corpus: Mosi, modalities: str) -> dict[str, int]:
    """Return name of the modality -> number of its columns."""
    return {
        MODALITIES[letter]: corpus.features[letter].shape[1] for letter in modalities
    }
