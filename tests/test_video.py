"""Frames come on a grid in time, upright, one at a time; bad files say why."""

import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from emorec.corpora.clips import find_clips
from emorec.errors import DataError, MissingExtraError
from emorec.features.video import read_frames, sample
from tests.video_files import picture, write_sound, write_video


def ramp(count):
    """Frames with bars that tell their number in binary digits, which codecs keep."""
    bits = (np.arange(count)[:, None] >> np.arange(8)) & 1
    bars = np.repeat(40 + 160 * bits.astype(np.uint8), 8, axis=1)
    return [np.tile(bar[None, :, None], (64, 1, 3)) for bar in bars]


def number_of(image):
    bars = image.mean((0, 2)).reshape(8, 8).mean(1) > 120
    return int((bars << np.arange(8)).sum())


@pytest.mark.parametrize("rate", [25, 30, 29.97, 24000 / 1001, 50])
def test_frames_of_any_rate_stand_on_the_grid(tmp_path, rate):
    count = round(2 * rate)
    path = write_video(tmp_path / "a.mp4", ramp(count), rate)
    times, images = zip(*read_frames(path), strict=True)
    assert np.allclose(times, 0.24 * np.arange(len(times)))
    # The whole clip is covered, and each frame is the one nearest to its time.
    assert abs(times[-1] - 2) < 0.24 + 1 / rate
    for time, image in zip(times, images, strict=True):
        assert abs(number_of(image) / rate - time) <= 0.55 / rate


def test_at_25_every_sixth_frame_is_taken(tmp_path):
    path = write_video(tmp_path / "a.mp4", ramp(50), 25)
    assert [number_of(image) for _, image in read_frames(path)] == list(range(0, 50, 6))


def test_a_varying_rate_is_sampled_by_time(tmp_path):
    times = [0, 0.1, 0.2, 0.3, 1.3, 1.4, 1.5]
    path = write_video(tmp_path / "a.mkv", ramp(7), 25, times=times)
    found = list(read_frames(path, every=5))
    assert [round(time, 2) for time, _ in found] == [0, 0.2, 0.4, 0.6, 0.8, 1, 1.2, 1.4]
    assert [number_of(image) for _, image in found] == [0, 2, 3, 3, 3, 4, 4, 5]


@given(
    st.lists(st.floats(0.01, 0.5), min_size=1, max_size=40),
    st.floats(0, 3),
    st.integers(1, 30),
)
def test_sampling_takes_the_nearest_item_without_gaps(steps, start, every):
    times = start + np.cumsum(steps)
    found = list(sample([(time, time) for time in times], 25, every))
    grid = np.array([time for time, _ in found])
    assert len(found) >= 1
    assert np.allclose(np.diff(grid), every / 25)
    for time, item in found:
        assert abs(item - time) <= np.abs(times - time).min() + 1e-5


def test_frames_come_one_at_a_time():
    taken = []

    def endless():
        for k in range(10**9):
            taken.append(k)
            yield k / 25, k

    assert [k for _, k in islice(sample(endless()), 3)] == [0, 6, 12]
    assert len(taken) < 20


def test_times_that_go_back_are_passed_over():
    items = [(0.0, "a"), (0.04, "b"), (0.02, "wrong"), (0.08, "c")]
    assert "wrong" not in [item for _, item in sample(items, 25, 1)]


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_turned_video_comes_upright(tmp_path, degrees):
    image = picture((20, 10))
    turned = np.ascontiguousarray(np.rot90(image, -degrees // 90))
    path = write_video(tmp_path / "a.mp4", [turned] * 3, rotation=degrees)
    _, found = next(read_frames(path))
    assert found.shape == image.shape
    assert np.abs(found.astype(int) - image).mean() < 5


def test_folders_are_frames_in_the_order_of_numbers(tmp_path):
    for k, image in enumerate(ramp(12)):
        Image.fromarray(image).save(tmp_path / f"{k}.png")
    (tmp_path / ".hidden.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no frame")
    found = list(read_frames(tmp_path))
    assert np.allclose([time for time, _ in found], 0.24 * np.arange(12))
    assert [number_of(image) for _, image in found] == list(range(12))


def cut(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def test_files_without_frames_are_refused(tmp_path):
    empty = tmp_path / "empty.mp4"
    empty.write_bytes(b"")
    text = tmp_path / "text.mp4"
    text.write_text("no video at all, but some text")
    headless = write_video(tmp_path / "cut.mp4", ramp(50))
    cut(headless, 0.5)
    sound = write_sound(tmp_path / "sound.mp4")
    broken = tmp_path / "frames"
    broken.mkdir()
    (broken / "1.jpg").write_bytes(b"\xff\xd8\xff")
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    expected = {
        tmp_path / "missing.mp4": "no such file",
        empty: "empty",
        text: "cannot be read as a video",
        headless: "cannot be read as a video",
        sound: "holds audio only",
        broken: "cannot be read as an image",
        nothing: "found none",
    }
    for path, reason in expected.items():
        with pytest.raises(DataError, match=reason) as caught:
            list(read_frames(path))
        assert str(path) in str(caught.value)


def test_a_video_that_is_cut_off_is_refused(tmp_path):
    whole = write_video(
        tmp_path / "whole.mp4", [picture((k % 99, 9)) for k in range(250)]
    )
    # The index comes last in the file; in front of the frames, a cut leaves it whole.
    import av

    path = tmp_path / "cut.mp4"
    with (
        av.open(str(whole)) as source,
        av.open(str(path), "w", options={"movflags": "faststart"}) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    assert len(list(read_frames(path))) == 42
    cut(path, 0.5)
    with pytest.raises(DataError, match=r"cut off|damaged"):
        list(read_frames(path))


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "mpg"])
def test_damaged_bytes_give_frames_or_a_reason(tmp_path, suffix):
    content = write_video(tmp_path / f"whole.{suffix}", ramp(30)).read_bytes()
    path = tmp_path / f"damaged.{suffix}"
    random = np.random.default_rng(0)
    for _ in range(25):
        damaged = bytearray(content)
        for place in random.integers(0, len(content), 30):
            damaged[place] = random.integers(256)
        path.write_bytes(damaged)
        try:
            for time, image in islice(read_frames(path), 1000):
                assert time >= 0
                assert image.shape[-1] == 3
        except DataError as error:
            assert str(path) in str(error)


def test_a_name_is_never_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write_video("whole.mp4", ramp(5))
    Path(path).rename("concat:x.mp4")
    assert len(list(read_frames("concat:x.mp4"))) == 1


def test_without_a_decoder_the_extra_is_named(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", ramp(5))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"emorec\[faces\]"):
        list(read_frames(path))


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_times_are_those_of_the_sound(tmp_path, suffix):
    """Pictures that begin half a second after the sound keep that distance."""
    times = 0.52 + np.arange(20) / 25
    path = tmp_path / f"a.{suffix}"
    write_video(path, ramp(20), sound=True, times=times)
    found = list(read_frames(path))
    assert [round(time, 2) for time, _ in found] == [0.48, 0.72, 0.96, 1.2]
    assert [number_of(image) for _, image in found] == [0, 5, 11, 17]


def test_sound_and_pictures_in_one_file(tmp_path):
    path = write_video(tmp_path / "a.mp4", ramp(50), sound=True)
    assert len(list(read_frames(path))) == 9


def test_clips_of_a_tree_have_ids_of_their_own(tmp_path):
    for name in ("b/2.mp4", "a/2.mp4", "a/10.txt", "a/.x.mp4", "c/t1/0001.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [clip.id for clip in find_clips([tmp_path])] == [
        "a/2.mp4",
        "b/2.mp4",
        "c/t1",
    ]
    assert [clip.id for clip in find_clips([tmp_path / "c/t1", "no.mp4"])] == [
        "t1",
        "no.mp4",
    ]
    with pytest.raises(DataError, match=r"2\.mp4"):
        find_clips([tmp_path / "a/2.mp4", tmp_path / "b/2.mp4"])
    (tmp_path / "d").mkdir()
    with pytest.raises(DataError, match="found neither"):
        find_clips([tmp_path / "d"])
