"""Small CMU-MOSEI folders that a test can spoil before they are written."""

import numpy as np

from emorec.corpora import mosei
from emorec.corpora.folds import FILE_NAME, write_folds
from emorec.sequences.csd import Rows, write_sequence

IMAGE = mosei.IMAGE["facet"]
WIDTHS = {mosei.TEXT: 6, IMAGE: 5, mosei.AUDIO: 4}
SIZES = {"train": 4, "valid": 2, "test": 2}
FOLDS = {fold: [f"{fold}{i}" for i in range(size)] for fold, size in SIZES.items()}


def timed(starts, length, features):
    starts = np.asarray(starts, "f4")
    return Rows(np.stack([starts, starts + np.float32(length)], 1), features)


def draw(folds=FOLDS, segments=3, words=4, dtype="f4", seed=0):
    """Return {sequence: {video: Rows}}: a word a second, two frames to each."""
    rng = np.random.default_rng(seed)
    content = {name: {} for name in (*WIDTHS, mosei.LABELS)}
    for video in (video for fold in folds.values() for video in fold):
        count = segments * words
        for name, width in WIDTHS.items():
            rate = 1 if name == mosei.TEXT else 2
            features = rng.standard_normal((count * rate, width)).astype(dtype)
            starts = np.arange(count * rate) / rate
            content[name][video] = timed(starts, 1 / rate, features)
        scores = rng.choice([0, 0, 1 / 3, 1, 2], (segments, 7)).astype("f4")
        content[mosei.LABELS][video] = timed(np.arange(segments) * words, words, scores)
    return content


def write(folder, content, folds=FOLDS):
    """Write the files of a dataset folder."""
    for name, entries in content.items():
        metadata = mosei.describe("CMU-MOSEI", [], name)
        write_sequence(folder / mosei.FILES[name], name, entries.items(), metadata)
    write_folds(folder / FILE_NAME, folds)
    return folder
