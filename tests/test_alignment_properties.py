"""Alignment of whatever comes: laws, and equality with the rule to the bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from emorec.corpora.mosei import describe
from emorec.errors import DataError
from emorec.sequences import parallel
from emorec.sequences.alignment import align
from emorec.sequences.csd import Rows, open_sequence, video_of, write_sequence
from tests.alignment_rule import (
    LABELS,
    WORDS,
    assert_same,
    literal_segments,
    literal_words,
    only,
    opened,
    random_rows,
)

VIDEOS = ("a", "ab", "B", "ä")
# Where the rule turns: no length, EPSILON above and below, touching, behind, beyond.
LENGTHS = (0.25, 0.5, 0.1, 6.0, 50.0, 0.0, 5e-6, 1e-5, 2e-5, -0.25, -2e-5)
JITTER = (0.0, 0.0, 0.0, 0.0, 0.0, 4e-6, -4e-6, 1e-5, -1e-5, 2e-5)
EARLIEST = (0.0, -3.0, 1000.0, 1e6)


@st.composite
def entry(draw, form, least=0, most=12):
    """Draw the rows of an entry, in any order, on a grid so that their edges meet."""
    width, times, dtype, earliest = form
    row = st.tuples(
        st.integers(-4, 12), *map(st.sampled_from, (JITTER, LENGTHS, JITTER))
    )
    rows = np.array(draw(st.lists(row, min_size=least, max_size=most)), float)
    quarters, early, length, late = rows.reshape(-1, 4).T
    starts, count = earliest + quarters / 4 + early, len(rows)
    intervals = np.stack([starts, starts + length + late], 1)
    elements = st.floats(width=8 * np.dtype(dtype).itemsize)
    features = draw(hnp.arrays(dtype, (count, width), elements=elements))
    return Rows(intervals.astype(times), features)


@st.composite
def sequence(draw, videos, earliest, numbered=False, least=0, most=12):
    """Draw {entry: Rows}; where `numbered`, a video may have several, in any order."""
    dtype = st.sampled_from(["f4", "f8"])
    form = draw(st.integers(1, 3)), draw(dtype), draw(dtype), earliest
    keys = list(videos)
    if numbered and draw(st.booleans()):
        keys = [f"{video}[{number}]" for number in (7, 0) for video in videos]
        keys = draw(st.lists(st.sampled_from(keys), min_size=1, unique=True))
    return {key: draw(entry(form, least, most)) for key in keys}


@st.composite
def dataset(draw):
    """Draw words, labels and other sequences, each of some of the videos."""
    earliest = draw(st.sampled_from(EARLIEST))
    some = st.lists(st.sampled_from(VIDEOS), min_size=1, unique=True)
    others = {
        name: draw(sequence(draw(some), earliest, True, most=30))
        for name in ("image", "audio")[: draw(st.integers(0, 2))]
    }
    words = draw(sequence(draw(some), earliest, most=8))
    labels = draw(sequence(draw(some), earliest, most=4))
    return words, labels, others


def videos_of(content):
    return [{*map(video_of, entries)} for entries in content.values()]


def assert_aligned(content, words, labels, expected):
    """Compare an alignment with the rule; where no video is common it is refused."""
    if not set.intersection(*videos_of(content)):
        with pytest.raises(DataError, match="No video is in every sequence"):
            align(opened(content), words, labels)
        return
    aligned = align(opened(content), words, labels)
    assert aligned.sequences.keys() == expected.keys() == content.keys()
    for name, entries in expected.items():
        assert_same(aligned.sequences[name], entries)
    if labels is not None:
        # Every video has its place or its reason.
        kept = {video_of(key) for key in expected[LABELS]}
        assert not kept & aligned.dropped.keys()
        for video in set.union(*videos_of(content)) - kept - aligned.dropped.keys():
            lengths = np.diff(content[LABELS][video].intervals.astype(float))
            assert (np.abs(lengths) < 1.001e-5).all()


@given(dataset())
def test_words_follow_the_rule_to_the_bit(drawn):
    words, _, others = drawn
    content = {WORDS: words, **others}
    assert_aligned(content, WORDS, None, literal_words(words, others))


@given(dataset())
def test_segments_of_the_files_own_rows_follow_the_rule_to_the_bit(drawn):
    words, labels, others = drawn
    content = {WORDS: words, **others}
    expected = literal_segments(labels, content)
    assert_aligned({**content, LABELS: labels}, None, LABELS, expected)


@given(dataset())
def test_segments_of_words_follow_the_rule_to_the_bit(drawn):
    words, labels, others = drawn
    content = {WORDS: words, **others, LABELS: labels}
    by_word = literal_words(words, others)
    assert_aligned(content, WORDS, LABELS, literal_segments(labels, by_word))


def aligned(content):
    return align(opened(content), WORDS, LABELS)


@st.composite
def unified(draw):
    """Draw {name: entries} of which every sequence has rows of every video."""
    earliest = draw(st.sampled_from(EARLIEST))
    most = {WORDS: 8, "image": 20, LABELS: 3}
    return {
        name: draw(sequence(VIDEOS[:2], earliest, least=1, most=count))
        for name, count in most.items()
    }


@given(unified(), st.integers(-1000, 1000))
def test_a_constant_signal_aligns_to_that_constant(content, eighths):
    # Eighths, whose sums are exact.
    for rows in content["image"].values():
        rows.features[:] = eighths / 8
    for rows in aligned(content).sequences["image"].values():
        assert (rows.features == eighths / 8).all()


@given(unified())
def test_another_video_changes_no_entry_of_the_others(content):
    alone = {name: only({"a"}, entries) for name, entries in content.items()}
    together = aligned(content).sequences
    for name, entries in aligned(alone).sequences.items():
        assert_same(only({"a"}, together[name]), entries)


@given(dataset(), st.randoms(use_true_random=False))
def test_the_order_of_files_and_of_their_videos_does_not_matter(drawn, random):
    words, labels, others = drawn
    content = {WORDS: words, **others, LABELS: labels}
    if not set.intersection(*videos_of(content)):
        return
    expected = aligned(content)
    names = random.sample(list(content), len(content))
    videos = random.sample(VIDEOS, len(VIDEOS))
    shuffled = {
        name: dict(
            sorted(content[name].items(), key=lambda x: videos.index(video_of(x[0])))
        )
        for name in names
    }
    received = aligned(shuffled)
    assert list(received.sequences) == names
    assert received.dropped.keys() == expected.dropped.keys()
    for name, entries in expected.sequences.items():
        assert_same(received.sequences[name], entries)


def test_processes_align_hard_rows_as_one_does(tmp_path, monkeypatch):
    rng, sequences = np.random.default_rng(0), {}
    for name, times, dtype in (
        (WORDS, "f4", "f8"),
        ("image", "f8", "f4"),
        (LABELS, "f4", "f4"),
    ):
        entries = {
            f"v{i}": random_rows(rng, 1, 30, 4, times, dtype, (0, 1e6)[i % 2])
            for i in range(40)
        }
        path = tmp_path / f"{name}.csd"
        write_sequence(path, name, entries.items(), describe("hard", [], "hard rows"))
        sequences[name] = open_sequence(path)
    expected = align(sequences, WORDS, LABELS)
    monkeypatch.setattr(parallel, "_WORTH_IT", 2)
    monkeypatch.setattr(parallel, "_PART", 3)
    received = parallel.align_on_cores(sequences, WORDS, LABELS, tmp_path / "parts", 2)
    assert received.dropped == expected.dropped
    for name, entries in expected.sequences.items():
        assert len(entries) > 100
        assert_same(received.sequences[name], entries)
