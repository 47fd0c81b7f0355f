"""Alignment: laws, and equality to the bit with mmsdk and with its rule spelt out."""

import numpy as np
import pytest

from emorec.errors import DataError
from emorec.sequences import overlaps
from emorec.sequences.alignment import align
from emorec.sequences.csd import Rows, open_sequence
from tests.alignment_rule import (
    LABELS,
    WORDS,
    assert_same,
    literal_align,
    literal_pass,
    opened,
    random_rows,
)


def timed(*intervals, first=0.0):
    """Make rows of these intervals; their one feature counts them."""
    features = first + np.arange(len(intervals), dtype=float)[:, None]
    return Rows(np.array(intervals, float).reshape(-1, 2), features)


def to_words(words, image):
    """Align the image of one video to its words; return {name: {key: Rows}}."""
    content = {WORDS: {"v": words}, "image": {"v": image}}
    return align(opened(content), WORDS, None).sequences


def random_case(seed):
    rng = np.random.default_rng(seed)
    offset = rng.choice([0, 0, 1000, 1e6])

    def draw(least, most, entries, dtypes):
        form = rng.choice([1, 2, 5, 20]), rng.choice(["f4", "f8"]), rng.choice(dtypes)
        return {key: random_rows(rng, least, most, *form, offset) for key in entries}

    videos = ["B", "_c", "a"]
    words = draw(0, 10, videos, ["f4", "f8"])
    image = draw(0, 40, videos, ["f2", "f4", "f8", "i4"])
    parts = [f"{video}[{i}]" for i in (1, 0) for video in videos]
    audio = draw(0, 20, parts, ["f4", "f8"])
    labels = draw(1, 5, videos, ["f4"])
    for rows in labels.values():
        # One segment holds everything, so that there is always something to cut.
        rows.intervals[0] = offset - 9, offset + 99
    return words, labels, {"image": image, "audio": audio}


@pytest.mark.parametrize("seed", range(200))
def test_alignment_follows_the_rule_spelt_out_to_the_bit(seed):
    words, labels, others = random_case(seed)
    by_word, by_segment = literal_align(words, labels, others)
    content = {WORDS: words, **others}
    for name, entries in align(opened(content), WORDS, None).sequences.items():
        assert_same(entries, by_word[name])
    content[LABELS] = labels
    for name, entries in align(opened(content), WORDS, LABELS).sequences.items():
        assert_same(entries, by_segment[name])


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.filterwarnings("ignore::DeprecationWarning:mmsdk")
def test_the_rule_spelt_out_is_that_of_mmsdk(seed):
    mmdatasdk = pytest.importorskip("mmsdk.mmdatasdk")
    words, labels, others = random_case(seed)
    dataset = object.__new__(mmdatasdk.mmdataset)
    dataset.computational_sequences = {}

    def add(content):
        for name, sequence in opened(content).items():
            theirs = dataset.computational_sequences[name] = (
                mmdatasdk.computational_sequence(name)
            )
            theirs.data = sequence.data

    add({WORDS: words, **others})
    collapse = [lambda intervals, features: np.average(features, axis=0)]
    for expected in literal_align(words, labels, others):
        with np.errstate(invalid="ignore"):
            dataset.align(WORDS if collapse else LABELS, collapse_functions=collapse)
        for name, entries in expected.items():
            theirs = dataset[name].data.items()
            assert_same({key: Rows(**rows) for key, rows in theirs}, entries)
        collapse = None
        add({LABELS: labels})


@pytest.fixture(scope="module")
def golden(golden_dir):
    """Return the opened sequences and what mmsdk made of them."""
    folder = golden_dir / "mosei_alignment"
    found = map(open_sequence, sorted(folder.rglob("*.csd")))
    with np.load(folder / "expected.npz") as expected:
        return {sequence.name: sequence for sequence in found}, dict(expected)


def test_words_equal_the_golden_to_the_bit(golden):
    sequences, expected = golden
    first = {name: seq for name, seq in sequences.items() if name != LABELS}
    for name, entries in align(first, WORDS, None).sequences.items():
        assert list(entries) == expected[f"words|{name}|keys"].tolist()
        stacked = Rows(*map(np.concatenate, zip(*entries.values(), strict=True)))
        golden_rows = Rows(*(expected[f"words|{name}|{part}"] for part in Rows._fields))
        assert_same({"all": stacked}, {"all": golden_rows})


def test_segments_equal_the_golden_to_the_bit(golden):
    sequences, expected = golden
    aligned = align(sequences, WORDS, LABELS).sequences
    for name, entries in aligned.items():
        keys = [key.split("|")[1] for key in expected if key.startswith(f"{name}|")]
        golden_rows = {
            key: Rows(*(expected[f"{name}|{key}|{part}"] for part in Rows._fields))
            for key in dict.fromkeys(keys)
        }
        assert golden_rows
        assert_same(entries, golden_rows)


def test_a_constant_signal_aligns_to_that_constant():
    rng = np.random.default_rng(0)
    form = {"width": 4, "times": "f4", "dtype": "f4", "offset": 0}
    words, image = random_rows(rng, 9, 9, **form), random_rows(rng, 99, 99, **form)
    image.features[:] = 3
    content = {WORDS: {"v": words}, "image": {"v": image}}
    content[LABELS] = {"v": timed((-9, 3), (2, 99))}
    aligned = align(opened(content), WORDS, LABELS).sequences["image"]
    assert list(aligned) == ["v[0]", "v[1]"]
    assert all((rows.features == 3).all() for rows in aligned.values())


@pytest.mark.parametrize("block", [1, 7, 64])
def test_small_blocks_give_the_same_when_one_row_spans_all_words(monkeypatch, block):
    words = timed(*((i, i + 1) for i in range(60)))
    frames = timed((0, 60), *((i / 3, i / 3 + 0.5) for i in range(180)))
    expected = to_words(words, frames)
    assert len(expected["image"]) == 60
    monkeypatch.setattr(overlaps, "_BLOCK", block)
    assert_same(to_words(words, frames)["image"], expected["image"])


def test_words_keep_their_numbers_and_a_word_without_frames_has_no_entry():
    words = timed((0, 1), (1, 1), (1, 2), (2, 3))
    image = timed((0.5, 1.5), (1.2, 1.4), (2, 2), first=10)
    aligned = to_words(words, image)
    assert list(aligned[WORDS]) == ["v[0]", "v[2]", "v[3]"]
    # The first frame lies across two words and counts whole in both.
    means = {key: rows.features.item() for key, rows in aligned["image"].items()}
    assert means == {"v[0]": 10, "v[2]": 10.5}
    assert aligned["image"]["v[2]"].intervals.tolist() == [[1, 1.5]]


def test_a_word_across_a_boundary_belongs_to_both_segments_clipped():
    words = timed((0, 1), (1, 3), (3, 4))
    content = {WORDS: {"v": words}, LABELS: {"v": timed((0, 2), (2, 4))}}
    text = align(opened(content), WORDS, LABELS).sequences[WORDS]
    assert text["v[0]"].intervals.tolist() == [[0, 1], [1, 2]]
    assert text["v[1]"].intervals.tolist() == [[2, 3], [3, 4]]
    assert text["v[0]"].features[1] == text["v[1]"].features[0]


def test_without_words_segments_hold_the_rows_of_the_files():
    _, labels, others = random_case(3)
    aligned = align(opened({**others, LABELS: labels}), None, LABELS).sequences
    for name, entries in {**others, LABELS: labels}.items():
        assert_same(aligned[name], literal_pass(labels, entries, False))


def test_the_order_of_rows_does_not_matter_when_starts_are_distinct():
    rng = np.random.default_rng(0)
    starts = rng.permutation(np.arange(300) / 10)
    image = Rows(np.stack([starts, starts + 0.3], 1), rng.standard_normal((300, 4)))
    shuffle = rng.permutation(300)
    words = timed(*((i, i + 0.8) for i in range(30)))
    shuffled = Rows(*(part[shuffle] for part in image))
    assert_same(to_words(words, shuffled)["image"], to_words(words, image)["image"])


def test_the_memory_order_of_features_changes_no_bit():
    features = np.random.default_rng(0).standard_normal((200, 3)).astype("f4")
    intervals = np.stack([np.arange(200) / 100, np.arange(1, 201) / 100], 1)
    received, expected = (
        to_words(timed((0, 2)), Rows(intervals, stored))["image"]
        for stored in (np.asfortranarray(features), features)
    )
    assert_same(received, expected)


def test_averaging_makes_minus_zero_zero_for_words_and_frames():
    minus = Rows(np.array([[0.0, 1]]), np.array([[-0.0]]))
    for entries in to_words(minus, minus).values():
        averaged = np.average(minus.features, axis=0)
        assert np.signbit(entries["v[0]"].features) == np.signbit(averaged)


def test_a_video_missing_from_one_sequence_is_dropped_and_reported():
    rows = timed((0, 1))
    # mmsdk drops by prefix; with 25522 it would lose 255224, a video of its own.
    content = {
        WORDS: {"25522": rows, "255224": rows, "late": rows},
        "image": {"255224[0]": rows, "late": timed((5, 6))},
        LABELS: {"25522": rows, "255224": rows, "late": rows, "unheard": rows},
    }
    aligned = align(opened(content), WORDS, LABELS)
    assert aligned.dropped.pop("unheard").startswith("video not in ")
    assert aligned.dropped == {
        "25522": "video not in image",
        "late": "no row of image touches a word",
    }
    for entries in aligned.sequences.values():
        assert list(entries) == ["255224[0]"]


def test_sequences_without_a_common_video_are_refused():
    content = {WORDS: {"a": timed((0, 1))}, "image": {"b": timed((0, 1))}}
    with pytest.raises(DataError, match=r"No video .*glove_vectors \(1\), image \(1\)"):
        align(opened(content), WORDS, None)


@pytest.mark.parametrize("aligned", [WORDS, LABELS])
def test_an_already_aligned_reference_is_refused(aligned):
    content = {name: {"v": timed((0, 1))} for name in (WORDS, LABELS)}
    content[aligned] = {"v[0]": timed((0, 1))}
    with pytest.raises(DataError, match=rf"{aligned}\.csd: .*'v\[0\]'.*already"):
        align(opened(content), WORDS, LABELS)
