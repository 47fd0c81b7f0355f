"""Recordings are found, looked into, divided, and read as their spans go on."""

import shutil
from itertools import pairwise

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from emorec.corpora.drawn_videos import write_film
from emorec.errors import DataError, SpecError
from emorec.features.audio import read_audio
from emorec.features.video_sound import read_native_sound
from emorec.prediction.inputs import find_recordings, open_recording
from emorec.prediction.media import look_into, sound_of
from emorec.prediction.recordings import Recording, Span
from emorec.prediction.spans import Spans
from tests.video_files import picture, write_sound, write_video


def noise(seconds, rate=16_000, seed=0):
    random = np.random.default_rng(seed)
    return (random.standard_normal(round(seconds * rate)) * 0.1).astype(np.float32)


def of_sound(path, duration):
    return Recording(path.stem, None, path, (), duration)


@pytest.fixture
def film(tmp_path):
    """Return a video of 3 s with noise for sound."""
    path = tmp_path / "film.mp4"
    frames = [picture((10 + k, 40))[..., 0] for k in range(75)]
    write_film(path, frames, 25, noise(3.0), 16_000)
    return path


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_U8", "FLOAT"])
def test_the_whole_of_a_sound_file_is_what_training_reads(tmp_path, subtype):
    path = tmp_path / "x.wav"
    soundfile.write(path, noise(2.7, 8_000), 8_000, subtype)
    (found,) = sound_of(of_sound(path, 2.7), [Span(0, 2.7)], "first")
    assert found[1] == 8_000
    np.testing.assert_array_equal(found[0], read_audio(path, 8_000))


def test_the_whole_of_a_videos_sound_is_what_training_reads(film):
    duration = look_into(film).duration
    recording = Recording("film", film, film, (), duration)
    ((samples, rate),) = sound_of(recording, [Span(0, duration)])
    expected, own = read_native_sound(film)
    assert rate == own
    np.testing.assert_array_equal(samples, expected)


@given(
    st.lists(st.tuples(st.floats(0, 9.9), st.floats(0.01, 4)), min_size=1, max_size=12)
)
def test_any_spans_have_the_samples_of_their_time(tmp_path_factory, places):
    path = tmp_path_factory.getbasetemp() / "spans.wav"
    whole = noise(10.0)
    if not path.is_file():
        soundfile.write(path, whole, 16_000, "FLOAT")
    spans = sorted(Span(a, min(a + length, 10.0)) for a, length in places)
    found = list(sound_of(of_sound(path, 10.0), spans))
    for span, (samples, rate) in zip(spans, found, strict=True):
        first, last = round(span.start * rate), round(span.end * rate)
        np.testing.assert_array_equal(samples, whole[first:last])


def test_silence_and_no_sound_are_nothing_to_hear(tmp_path):
    path = tmp_path / "x.wav"
    soundfile.write(path, np.r_[noise(1), np.zeros(16_000), noise(1)], 16_000)
    spans = [Span(0, 1), Span(1.1, 1.9), Span(2, 3)]
    found = list(sound_of(of_sound(path, 3.0), spans))
    assert [x is None for x in found] == [False, True, False]
    nobody = Recording("x", path, None, (), 3.0)
    assert list(sound_of(nobody, spans)) == [None] * 3


@given(
    st.floats(0.05, 4000),
    st.floats(1.1, 30),
    st.floats(0.1, 1.0),
)
def test_windows_leave_out_nothing_of_a_recording(duration, window, share):
    step = max(0.1, window * share)
    spans = Spans("windows", window, step).of(Recording("x", None, None, (), duration))
    assert spans[0].start == 0 and spans[-1].end == duration
    assert all(0 <= s.start < s.end <= duration for s in spans)
    assert all(
        b.start <= a.end + 1e-9 and b.start > a.start for a, b in pairwise(spans)
    )
    assert all(s.end - s.start <= window + step / 2 + 2e-3 for s in spans)


def test_spans_are_cues_where_a_transcript_has_several():
    cues = (Span(0.5, 2, "one"), Span(3, 9, "two"))
    recording = Recording("x", None, None, cues, 10.0)
    assert Spans().of(recording) == list(cues)
    windows = Spans("windows").of(recording)
    assert [span.text for span in windows] == ["one two", *["two"] * 3]
    with pytest.raises(DataError, match="needs a transcript"):
        Spans("cues").of(Recording("x", None, None, (), 10.0))


@pytest.mark.parametrize("wrong", [{"by": "x"}, {"window": 0.5}, {"step": 9.0}])
def test_impossible_spans_are_refused(wrong):
    with pytest.raises(SpecError, match="expected"):
        Spans(**wrong)


def test_a_file_tells_what_it_holds(tmp_path, film):
    holds = look_into(film)
    assert (holds.video, holds.sound) == (True, True)
    assert holds.duration == pytest.approx(3.0, abs=0.15)
    silent = write_video(tmp_path / "silent.mp4", [picture()] * 50)
    assert look_into(silent)[:2] == (True, False)
    assert look_into(silent).duration == pytest.approx(2.0, abs=0.1)
    assert look_into(write_sound(tmp_path / "only.m4a"))[:2] == (False, True)


def test_a_file_without_a_stated_length_is_measured(tmp_path):
    path = tmp_path / "x.mpg"
    write_video(path, [picture((k, 40)) for k in range(100)])
    assert look_into(path).duration == pytest.approx(4.0, abs=0.1)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("none.mp4", None),
        ("empty.mp4", b""),
        ("broken.mp4", b"\0\0\0 ftypisom" + bytes(300)),
        ("text.wav", b"This is no sound."),
        ("empty.wav", b""),
    ],
)
def test_what_is_no_recording_is_said_with_its_name(tmp_path, name, content):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=name):
        look_into(path)


def test_recordings_are_found_in_folders_with_their_transcripts(tmp_path, film):
    root = tmp_path / "my clips ö"
    (root / "deep").mkdir(parents=True)
    for name in ("ein Film.mp4", "deep/映画.mp4", "deep/same.mp4"):
        shutil.copy(film, root / name)
    soundfile.write(root / "deep" / "same.wav", noise(1), 16_000)
    (root / "ein Film.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nHi\n")
    (root / "alone.txt").write_text("Only words.")
    (root / "notes.pdf").write_bytes(b"x")
    found = {each.id: each for each in find_recordings([root])}
    assert set(found) == {
        *("ein Film", "alone", "deep/映画", "deep/same.mp4", "deep/same.wav")
    }
    assert found["ein Film"].text == root / "ein Film.srt"
    assert found["alone"].media is None
    assert open_recording(found["deep/映画"]).has == ("face", "voice")


def test_a_table_joins_files_that_lie_apart(tmp_path, film):
    soundfile.write(tmp_path / "s.wav", noise(2), 16_000)
    table = tmp_path / "list.csv"
    table.write_text("id,video,sound\na/b,film.mp4,s.wav\nc,,s.wav\n")
    first, second = find_recordings([table])
    assert (first.id, second.id) == ("a/b", "c")
    opened = open_recording(first)
    assert opened.sound == tmp_path / "s.wav" and opened.video == film
    assert open_recording(second).has == ("voice",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("name\nx\n", "columns"),
        ("id,video\nx,\n", "line 2 names no file"),
        ("id,video\n", "lists no recording"),
        ("id,video\n../x,a.mp4\n", "below a folder"),
        ("id,video\nx,a.mp4\nx,b.mp4\n", "one name"),
        ("", "CSV"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(tmp_path, content, said):
    (tmp_path / "list.csv").write_text(content)
    with pytest.raises(DataError, match=said):
        find_recordings([tmp_path / "list.csv"])


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="found none"):
        find_recordings([tmp_path])
