"""mmsdk's rule of alignment, word by word and row by row, as slow as it is plain."""

import numpy as np

from emorec.sequences.csd import ComputationalSequence, Rows, video_of

EPSILON = 1e-5
WORDS, LABELS = "glove_vectors", "All Labels"


def opened(content):
    """Make sequences of {name: {entry: Rows}}."""
    return {
        name: ComputationalSequence(
            {entry: rows._asdict() for entry, rows in entries.items()},
            {"root name": name},
            f"{name}.csd",
        )
        for name, entries in content.items()
    }


def assert_same(received, expected):
    """Compare {key: Rows} to the bit, with order, dtypes and shapes."""
    assert list(received) == list(expected)
    for key in expected:
        for got, want in zip(received[key], expected[key], strict=True):
            assert (got.dtype, got.shape) == (want.dtype, want.shape), key
            assert got.tobytes() == want.tobytes(), key


def literal_pass(reference, entries, collapse):
    aligned = {}
    for video in sorted(reference):
        parts = [entries[key] for key in entries if video_of(key) == video]
        intervals, features = map(np.concatenate, zip(*parts, strict=True))
        order = sorted(range(len(intervals)), key=lambda row: intervals[row, 0])
        for i, (r0, r1) in enumerate(reference[video].intervals):
            if abs(r0 - r1) < EPSILON:
                continue
            chosen, clipped = [], []
            for row in order:
                start, end = intervals[row]
                if r1 - start > -EPSILON and end - r0 > -EPSILON:
                    cut = np.maximum(start, r0), np.minimum(end, r1)
                    if abs(cut[0] - cut[1]) > EPSILON:
                        chosen.append(row)
                        clipped.append(cut)
            if entries is reference:
                chosen, clipped = [i], [(r0, r1)]
            if chosen:
                rows = Rows(np.array(clipped), features[chosen])
                aligned[f"{video}[{i}]"] = average(rows) if collapse else rows
    return aligned


def average(rows):
    limits = np.array([[rows.intervals.min(), rows.intervals.max()]])
    with np.errstate(invalid="ignore"):
        return Rows(limits, np.average(rows.features, axis=0)[None])


def present(entries):
    """Return the videos that have a row."""
    return {video_of(key) for key, rows in entries.items() if len(rows.intervals)}


def only(videos, entries):
    return {key: rows for key, rows in entries.items() if video_of(key) in videos}


def literal_words(words, others):
    content = {WORDS: words, **others}
    common = set.intersection(*({*map(video_of, e)} for e in content.values()))
    words = only(common, words)
    return {
        name: literal_pass(words, words if name == WORDS else only(common, e), True)
        for name, e in content.items()
    }


def literal_segments(labels, others):
    common = set.intersection(set(labels), *map(present, others.values()))
    labels = only(common, labels)
    content = {name: only(common, entries) for name, entries in others.items()}
    content[LABELS] = labels
    return {name: literal_pass(labels, e, False) for name, e in content.items()}


def literal_align(words, labels, others):
    by_word = literal_words(words, others)
    return by_word, literal_segments(labels, by_word)


def random_rows(rng, least, most, width, times, dtype, offset):
    """Draw rows on a grid, so that edges often meet, jittered by about EPSILON."""
    n = int(rng.integers(least, most + 1))
    jitter = [0, 0, 0, 4e-6, -4e-6, 1e-5, -1e-5, 2e-5]
    starts = rng.integers(-4, 16, n) / 4 + rng.choice(jitter, n) + offset
    lengths = [0, 5e-6, 1e-5, 2e-5, 0.1, 0.25, 0.25, 0.5, 1, 6, -0.25, -2e-5]
    ends = starts + rng.choice(lengths, n) + rng.choice(jitter, n)
    features = rng.standard_normal((n, width)) * 10.0 ** rng.integers(-3, 4)
    if np.dtype(dtype).kind == "f":
        odd = rng.random((n, width)) < 0.05
        features[odd] = rng.choice([np.nan, np.inf, -np.inf], odd.sum())
    return Rows(np.stack([starts, ends], 1).astype(times), features.astype(dtype))
