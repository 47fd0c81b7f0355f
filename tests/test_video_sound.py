"""The sound of videos: formats, channels, the clock, and what is refused."""

import sys

import numpy as np
import pytest

from emorec.errors import DataError, MissingExtraError, SpecError
from emorec.features.video import read_frames
from emorec.features.video_sound import mixed, read_sound_of_video
from tests.av_files import sine, write_sounding_video
from tests.video_files import picture, write_sound, write_video

RATE = 16_000
FRAMES = [picture((30, 40))] * 25


@pytest.mark.parametrize(
    "name, codec, tolerance",
    [
        ("a.mkv", "pcm_s16le", 1 / 32000),
        ("a.mkv", "pcm_u8", 1 / 60),
        ("a.mkv", "pcm_s32le", 1e-6),
        ("a.mkv", "pcm_f32le", 1e-7),
        ("a.mkv", "flac", 1 / 32000),
    ],
)
def test_samples_of_every_format_are_those_written(tmp_path, name, codec, tolerance):
    given = np.random.default_rng(0).uniform(-1, 1, RATE).astype(np.float32)
    path = write_sounding_video(tmp_path / name, FRAMES, given, codec=codec)
    found = read_sound_of_video(path, RATE)
    assert found.dtype == np.float32
    assert len(found) == len(given)
    np.testing.assert_allclose(found, given, atol=tolerance)


@pytest.mark.parametrize("name, codec", [("a.mp4", "aac"), ("a.mpg", "mp2")])
def test_compressed_sound_is_about_what_was_written(tmp_path, name, codec):
    given = sine(440, RATE, 2)
    path = write_sounding_video(tmp_path / name, FRAMES * 2, given, codec=codec)
    found = read_sound_of_video(path, RATE)
    assert abs(len(found) - len(given)) < 3000  # whole blocks
    strongest = np.abs(np.fft.rfft(found[8000:24000])).argmax()
    assert abs(strongest - 440) <= 2


def test_channels_are_averaged(tmp_path):
    both = np.stack([sine(300, RATE, 1), np.zeros(RATE)])
    path = write_sounding_video(
        tmp_path / "a.mkv", FRAMES, both, codec="pcm_s16le", layout="stereo"
    )
    found = read_sound_of_video(path, RATE)
    np.testing.assert_allclose(found, both[0] / 2, atol=1e-4)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32, np.int64, np.float32])
def test_full_scale_and_silence_of_every_type(kind):
    if kind is np.float32:
        low, middle, high = -1.0, 0.0, 1.0
    else:
        info = np.iinfo(kind)
        low, high = info.min, info.max
        middle = 128 if kind is np.uint8 else 0
    found = mixed(np.array([[low, middle, high]], kind), 1)
    np.testing.assert_allclose(found, [-1, 0, 1], atol=1 / 100)
    assert found[1] == 0


def test_planar_and_packed_samples_are_the_same():
    planar = np.random.default_rng(0).normal(size=(3, 50)).astype(np.float32)
    packed = planar.T.reshape(1, -1)
    np.testing.assert_array_equal(mixed(planar, 3), mixed(packed, 3))
    np.testing.assert_array_equal(mixed(planar[:1], 1), planar[0])


def test_another_rate_is_resampled(tmp_path):
    path = write_sounding_video(
        tmp_path / "a.mkv", FRAMES, sine(1000, 48_000, 1), 48_000, "pcm_s16le"
    )
    found = read_sound_of_video(path, 22_050)
    assert len(found) == 22_050
    inside = slice(300, -300)
    np.testing.assert_allclose(found[inside], sine(1000, 22_050, 1)[inside], atol=1e-3)


def test_sound_that_begins_later_has_silence_before_it(tmp_path):
    given = np.full(RATE, 0.5)
    path = tmp_path / "a.mkv"
    write_sounding_video(path, FRAMES, given, codec="pcm_s16le", late=0.4)
    found = read_sound_of_video(path, RATE)
    begins = np.flatnonzero(found > 0.1)[0]
    assert abs(begins / RATE - 0.4) < 0.002  # the file's clock counts milliseconds
    assert not found[:begins].any()
    assert next(read_frames(path))[0] == 0


def test_frames_that_begin_later_do_not_move_the_sound(tmp_path):
    path = tmp_path / "a.mkv"
    given = sine(440, RATE, 1.4)
    write_sounding_video(path, FRAMES, given, codec="pcm_s16le", late=-0.4)
    found = read_sound_of_video(path, RATE)
    np.testing.assert_allclose(found, given, atol=1e-4)
    assert next(read_frames(path, 25, 1))[0] == pytest.approx(0.4)


def spoilt(folder, kind):
    path = folder / "a.mkv"
    if kind == "empty":
        path.write_bytes(b"")
    if kind == "no sound":
        write_video(path, FRAMES)
    if kind == "text":
        path.write_text("These are words and no video. " * 99)
    if kind == "not finite":
        given = np.full(RATE, np.nan)
        write_sounding_video(path, FRAMES, given, codec="pcm_f32le")
    if kind == "cut off":
        path = folder / "a.mp4"
        given = np.random.default_rng(0).uniform(-1, 1, 20 * RATE)
        write_sounding_video(path, FRAMES, given, codec="aac")
        content = bytearray(path.read_bytes())
        # The index is at the end: only the samples before it are lost.
        start = content.index(b"mdat") + 4
        content[start + (content.index(b"moov") - start) // 4 : -len(content) // 4] = (
            b""
        )
        path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "kind, message",
    [
        ("missing", "no such file"),
        ("empty", "the file is empty"),
        ("text", "cannot be read as a video"),
        ("no sound", "expected a video with sound, but it has no sound track"),
        ("not finite", "samples are not finite"),
        ("cut off", "cut off|damaged|cannot be read"),
    ],
)
def test_what_has_no_sound_is_refused(tmp_path, kind, message):
    path = spoilt(tmp_path, kind)
    with pytest.raises(DataError, match=message) as refusal:
        read_sound_of_video(path)
    assert path.name in str(refusal.value)


def test_a_rate_that_cannot_be_is_refused(tmp_path):
    with pytest.raises(SpecError, match="rate 0"):
        read_sound_of_video(tmp_path / "a.mp4", 0)


def test_a_sound_alone_is_read_too(tmp_path):
    path = write_sound(tmp_path / "a.mp4", seconds=2)
    assert abs(len(read_sound_of_video(path)) - 2 * RATE) < 2100


def test_without_pyav_the_extra_is_named(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", FRAMES)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'emorec\[faces\]'"):
        read_sound_of_video(path)


@pytest.mark.parametrize(
    "name", ["CREMA-D/1001_DFA_HAP_XX.flv", "GRID/brbk7n.mpg", "single_face.mp4"]
)
def test_real_videos_sound_as_long_as_they_show(corpora_dir, name):
    path = corpora_dir / "clips" / name
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    found = read_sound_of_video(path)
    times = [time for time, _ in read_frames(path)]
    assert abs(len(found) / RATE - times[-1]) < 0.3
    # The sound of the last is nearly silent.
    least = 1e-5 if name == "single_face.mp4" else 1e-3
    assert least < np.abs(found).mean() < 0.5
