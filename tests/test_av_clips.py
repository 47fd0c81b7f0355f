"""Faces and sound of a clip: which frames, whose face, and 3.6 s of sound."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emorec.errors import DataError, SpecError
from emorec.features import av_sound
from emorec.features.av_clips import (
    AvSettings,
    choose_boxes,
    face_clip,
    wanted_frames,
)
from emorec.features.av_sound import fit
from emorec.features.faces import cut
from emorec.features.tracking import Face
from tests.av_files import Forgetful, sine, write_clip, write_sounding_video
from tests.video_files import Finder, path_of, picture, write_video

EACH = AvSettings(detect_every=1)


def test_fifteen_frames_are_spread_over_the_middle():
    expected = [3, 10, 17, 24, 31, 39, 46, 53, 60, 67, 75, 82, 89, 96, 103]
    assert wanted_frames(108).tolist() == expected
    assert wanted_frames(50).tolist() == expected
    assert wanted_frames(128).tolist() == [10 + n for n in expected]
    assert wanted_frames(129).tolist() == [10 + n for n in expected]
    # The reference compares the other way round and never skips.
    assert wanted_frames(500, literal=True).tolist() == expected


@given(st.integers(108, 2000))
def test_the_frames_lie_in_the_middle_third_of_a_second(count):
    taken = wanted_frames(count)
    assert taken[0] >= 0 and taken[-1] < count
    assert abs(taken[0] - (count - 1 - taken[-1])) <= 2


def test_faces_are_cut_in_colour_and_stretched_to_squares():
    image = np.zeros((60, 80, 3), np.uint8)
    image[10:50, 20:40] = (200, 100, 50)
    found = cut(image, (20, 10, 40, 50), 32)
    assert found.shape == (32, 32, 3)
    assert (found == (200, 100, 50)).all()
    left = cut(image, (10, 10, 30, 50), 32)
    assert not left[:, :14].any() and (left[:, 18:] == (200, 100, 50)).all()


def test_a_long_clip_gives_its_middle(tmp_path):
    # 5 s at 25 frames a second, so 150 frames on the grid of 30.
    path = write_video(tmp_path / "a.mp4", [picture(path_of(k)) for k in range(125)])
    found = face_clip(path, Finder(), EACH)
    assert found.images.shape == (15, 224, 224, 3)
    assert found.images.dtype == np.uint8
    np.testing.assert_allclose(found.times, wanted_frames(150) / 30, atol=1e-6)
    expected = 10 + 0.5 * 25 * found.times
    assert np.abs(found.boxes[:, 0] - expected).max() <= 2
    assert set(found.origins) == {"detected"}
    assert np.abs(found.images.astype(int).mean((1, 2, 3)) - 230).max() < 15
    literal = face_clip(path, Finder(), AvSettings(detect_every=1, literal=True))
    np.testing.assert_allclose(literal.times, wanted_frames(108) / 30, atol=1e-6)


def test_frames_that_a_short_clip_lacks_are_black(tmp_path):
    path = write_video(tmp_path / "a.mp4", [picture((30, 40))] * 50)
    found = face_clip(path, Finder(), EACH)
    real = int((wanted_frames(60) < 60).sum())
    assert found.origins == ("detected",) * real + ("black",) * (15 - real)
    assert found.images[:real].min(axis=(1, 2, 3)).all()
    assert not found.images[real:].any()
    assert np.isnan(found.times[real:]).all() and np.isnan(found.boxes[real:]).all()
    write_video(path, [picture((30, 40))] * 2)
    with pytest.raises(DataError, match="2 frames at 30 a second; expected 4 or more"):
        face_clip(path, Finder(), EACH)


def test_colours_are_rgb_and_literally_bgr(tmp_path):
    image = np.full((120, 160, 3), 20, np.uint8)
    image[40:80, 30:70] = (250, 190, 120)
    path = write_video(tmp_path / "a.mkv", [image] * 20)
    found = face_clip(path, Finder(), EACH).images[0].mean((0, 1))
    assert found[0] > found[1] + 30 > found[2] + 60
    other = face_clip(path, Finder(), AvSettings(detect_every=1, literal=True))
    np.testing.assert_allclose(other.images[0].mean((0, 1)), found[::-1])
    assert AvSettings(literal=True).to_dict()["colours"] == "BGR"


def test_a_frame_without_a_face_has_the_last_box(tmp_path):
    path = write_video(tmp_path / "a.mp4", [picture(path_of(k)) for k in range(90)])
    found = face_clip(path, Forgetful({0, 5, 6}), EACH)
    assert [n for n, o in enumerate(found.origins) if o == "reused"] == [0, 5, 6]
    np.testing.assert_array_equal(found.boxes[5], found.boxes[4])
    np.testing.assert_array_equal(found.boxes[6], found.boxes[4])
    np.testing.assert_array_equal(found.boxes[0], found.boxes[1])
    with pytest.raises(DataError, match="no face found in 15 frames"):
        long = write_video(tmp_path / "b.mp4", [picture()] * 90)
        face_clip(long, Finder(), EACH)


def face(track, x, side, detected=True):
    return Face(track, np.array([x, 0, x + side, side], float), 0.99, detected)


def test_the_face_is_that_of_the_main_track():
    main, other = face(0, 0, 50), face(1, 200, 40)
    boxes = choose_boxes([[main, other], [other, main], [other], [main]])
    assert [box[0] for box, _ in boxes] == [0, 0, 0, 0]
    assert [origin for _, origin in boxes] == ["detected"] * 2 + ["reused", "detected"]
    # Before and after the main track, whoever is there.
    boxes = choose_boxes([[other], [main], [face(0, 9, 50, False)], [], [other]])
    assert [box[0] for box, _ in boxes] == [200, 0, 9, 9, 200]
    assert boxes[2][1] == "tracked"


def test_few_detections_give_the_boxes_of_many(tmp_path):
    images = [picture(path_of(k, (0.1, 0))) for k in range(125)]
    path = write_video(tmp_path / "a.mp4", images)
    few, many = Finder(), Finder()
    sparse, dense = face_clip(path, few, AvSettings()), face_clip(path, many, EACH)
    assert many.seen == 15 and few.seen < 8
    assert np.abs(sparse.boxes - dense.boxes).max() <= 2


@given(st.integers(0, 200), st.integers(1, 100))
def test_sound_is_padded_behind_or_cut_on_both_sides(count, length):
    given = np.arange(1, count + 1, dtype=np.float32)
    found = fit(given, length)
    assert len(found) == length and found.dtype == np.float32
    if count <= length:
        np.testing.assert_array_equal(found[:count], given)
        assert not found[count:].any()
    else:
        before, after = found[0] - 1, count - found[-1]
        assert after - before in (0, 1)
        assert (np.diff(found) == 1).all()


def test_sound_of_a_video_and_of_a_file_are_heard_alike(tmp_path):
    soundfile = pytest.importorskip("soundfile", reason="needs the extra 'voices'")
    given = sine(440, 22_050, 4)
    soundfile.write(tmp_path / "a.wav", given, 22_050)
    images = [picture((30, 40))] * 100
    video = tmp_path / "a.mkv"
    write_sounding_video(video, images, given, 22_050, "pcm_s16le")
    heard, seen = (av_sound.read_sound(p) for p in (tmp_path / "a.wav", video))
    assert heard.shape == seen.shape == (79_380,)
    np.testing.assert_allclose(heard, seen, atol=1e-4)
    features = av_sound.sound_features(heard)
    assert features.shape == (10, 156) and features.dtype == np.float32
    with pytest.raises(DataError, match="expected 79380"):
        av_sound.sound_features(heard[:-1])


def test_impossible_settings_are_refused():
    for wrong in ({"detect_every": 0}, {"confidence": 2}):
        with pytest.raises(SpecError, match="Detection each"):
            AvSettings(**wrong)


@pytest.mark.slow
def test_mtcnn_finds_the_face_of_a_real_clip(corpora_dir):
    from emorec.features.faces import mtcnn_detector

    pytest.importorskip("mtcnn", reason="needs the extra 'faces'")
    path = corpora_dir / "clips/RAVDESS/01-01-01-01-01-01-01.mp4"
    found = face_clip(path, mtcnn_detector(120), AvSettings())
    assert found.origins.count("black") == 1  # 3.3 s
    assert "reused" not in found.origins
    width = found.boxes[:14, 2] - found.boxes[:14, 0]
    assert width.min() > 200 and width.max() < 400


def test_a_clip_of_tests_holds_both(tmp_path):
    path = write_clip(tmp_path / "a.mkv", seconds=0.5)
    assert np.flatnonzero(av_sound.read_sound(path))[-1] < 0.51 * 22_050
