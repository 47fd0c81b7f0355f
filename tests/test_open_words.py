"""Transcripts, the times of their words, and vectors read as they are asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emorec.errors import DataError
from emorec.features.subtitles import Cue
from emorec.features.timed_words import WordLookup, timed_words, times_of
from emorec.features.transcripts import read_transcript
from emorec.features.word_vectors import read_word_vectors, words_of

CUES = [Cue(0.5, 2.0, "I don't know."), Cue(61.25, 63.0, "Well, so be it")]
SRT = """1
00:00:00,500 --> 00:00:02,000
<i>I don't</i>
know.

2
00:01:01,250 --> 00:01:03,000
Well, so be it

3
00:01:04,000 --> 00:01:05,000

"""
VTT = """WEBVTT - a title

NOTE a remark

first
00:00.500 --> 00:02.000 align:start
I <00:00:01.000>don't know.

01:01.250 --> 01:03.000
Well, so be it
"""
CSV = """start,end,text
61.25,63.0,"Well, so be it"
0.5,2.0,I don't know.
"""
TSV = "start\tend\ttext\n61.25\t63\tWell, so be it\n0.5\t2\tI don't know.\n"
LINES = """vid___1___61.25___63.0___Well, so be it
vid___0___0.5___2.0___I don't know.
"""


@pytest.mark.parametrize(
    "suffix, text",
    [
        *[("srt", SRT), ("srt", "\ufeff" + SRT.replace("\n", "\r\n")), ("vtt", VTT)],
        *[("csv", CSV), ("tsv", TSV)],
        *[("csv", CSV.replace("text", "Word")), ("txt", LINES)],
    ],
)
def test_every_form_says_the_same(tmp_path, suffix, text):
    path = tmp_path / f"video.{suffix}"
    path.write_text(text, encoding="utf-8", newline="")
    assert read_transcript(path) == CUES


@pytest.mark.parametrize(
    "name, text, message",
    [
        (
            "a.srt",
            "1\n00:00:05,000 --> 00:00:04,000\nx\n",
            "line 2: expected an end later",
        ),
        ("a.srt", "1\n0:01 --> later\nx\n", "line 2: expected times as"),
        ("a.csv", "start,end,text\n5,4,x\n", "line 2: from 5 to 4 s"),
        ("a.csv", "begin,text\n1,x\n", "expected the columns start, end and text"),
        ("a.csv", "start,end,text\n1,soon,x\n", "line 2: expected start and end"),
        ("a.csv", "start,end,text\n1,2,a, b\n", "line 2: more columns than names"),
        ("a.txt", "only what was said\n", "line 1: expected id___number"),
        ("a.doc", "x", "expected a transcript as .csv"),
    ],
)
def test_what_has_no_times_is_refused_with_its_line(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        read_transcript(tmp_path / name)


texts = st.text("abc de'.,!? \n", max_size=40)


@given(st.floats(0, 4000), st.floats(0.1, 30), texts)
def test_words_share_the_time_of_their_cue_in_order(start, length, text):
    words = timed_words([Cue(start, start + length, text)])
    spoken = [w for w in words_of(text) if any(c.isalnum() for c in w)]
    assert [word.text for word in words] == spoken
    if words:
        times = times_of(words)
        assert times[0, 0] == start and times[-1, 1] == start + length
        np.testing.assert_array_equal(times[1:, 0], times[:-1, 1])
        letters = [sum(c.isalnum() for c in word) for word in spoken]
        shares = np.diff(times, axis=1)[:, 0] / length
        np.testing.assert_allclose(shares, np.array(letters) / sum(letters), atol=1e-9)


def test_a_word_that_is_a_cue_has_the_times_of_the_cue():
    cues = [Cue(1.0, 1.25, "yes"), Cue(3.0, 3.5, "no!")]
    assert timed_words(cues) == [cues[0], Cue(3.0, 3.5, "no")]


GLOVE = """the 1 2 3
Berlin 4 5 6
BERLIN 7 8 9
. . . 1 1 1
berlin-wall 0 0 1
Nice 3 3 3
nice 2 2 2
the 9 9 9
"""


@pytest.mark.parametrize("header", ["", "8 3\n"])
def test_a_word_is_looked_up_as_all_words_are_read(tmp_path, header):
    path = tmp_path / "glove.txt"
    path.write_text(header + GLOVE)
    asked = ["nice", "the", "berlin", "nobody", "the", "berlin-wall"]
    lookup, read = WordLookup(path), read_word_vectors(path, asked)
    found = lookup.vectors(asked)
    assert lookup.width == 3
    for word, vector in zip(asked, found, strict=True):
        expected = read.vectors[read.words[word]] if word in read.words else np.zeros(3)
        np.testing.assert_array_equal(vector, expected)
    np.testing.assert_array_equal(lookup.vectors(asked[::-1]), found[::-1])
    assert not lookup.knows("nobody") and lookup.knows("nice")


def test_an_npz_of_vectors_is_looked_up_in_too(tmp_path):
    path = tmp_path / "vectors.npz"
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.savez(path, words=np.array(["Yes", "no"]), vectors=values)
    found = WordLookup(path).vectors(["no", "yes", "never"])
    np.testing.assert_array_equal(found, [values[1], values[0], np.zeros(3)])


def test_damaged_vectors_are_named(tmp_path):
    path = tmp_path / "glove.txt"
    path.write_text("the 1 2 3\nof 1 2\n")
    lookup = WordLookup(path)
    with pytest.raises(DataError, match="expected a word and 3 finite numbers"):
        lookup.vectors(["of"])
    path.write_text("")
    with pytest.raises(DataError, match="holds no word vectors"):
        WordLookup(path)
