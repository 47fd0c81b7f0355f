"""Crops hold the face; boxes between detections lie where detection would see them."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emorec.errors import DataError, MissingExtraError, SpecError
from emorec.features.faces import (
    central_crop,
    confident,
    crop,
    grey,
    mtcnn_detector,
    square,
    touches,
)
from emorec.features.tracking import follow, overlaps
from emorec.features.video import read_frames
from tests.video_files import Finder, find, path_of, picture


def moving(count, *ways):
    """Frames with a square for each way, a pair of start and speed."""
    return [
        (0.24 * k, picture(*(path_of(k, speed, start) for start, speed in ways)))
        for k in range(count)
    ]


def test_a_crop_is_the_face_alone():
    image = picture((50, 30))
    found = crop(image, find(image)[0], 64)
    assert found.shape == (64, 64)
    assert found.dtype == np.uint8
    assert (found == 230).all()


def test_a_larger_crop_keeps_the_face_in_its_middle():
    image = picture((50, 30))
    found = crop(image, find(image)[0], 64, scale=2.0)
    assert found[18:46, 18:46].min() == 230
    assert found[[0, -1]].max() == 60


def test_the_middle_of_an_enlarged_track_is_the_box():
    image = picture((50, 30))
    box = find(image)[0]
    x1, y1, x2, y2 = np.rint(square(box, 1.6)).astype(int)
    again = central_crop(image[y1:y2, x1:x2], 64)
    assert np.abs(again.astype(int) - crop(image, box, 64)).max() <= 1


def test_crops_at_the_border_repeat_it():
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, :30] = 200
    assert (crop(image, (-20, 5, 10, 35), 32) == 200).all()
    with pytest.raises(DataError, match="outside"):
        crop(image, (70, 5, 90, 25), 32)
    assert not touches(image, (70, 5, 90, 25))


def test_grey_has_the_weights_of_the_teacher():
    image = np.eye(3, dtype=np.uint8)[None] * 200
    assert grey(image).tolist() == [[60, 117, 23]]


@given(
    st.integers(-30, 90), st.integers(-30, 90), st.integers(2, 80), st.integers(2, 80)
)
def test_every_box_that_touches_gives_a_crop(x, y, width, height):
    image = picture((50, 30))
    box = (x, y, x + width, y + height)
    if touches(image, box):
        assert crop(image, box, 24).shape == (24, 24)


def test_only_sure_boxes_with_an_area_are_faces():
    boxes = [[0, 0, 9, 9, 0.9], [0, 0, 9, 9, 0.5], [5, 5, 5, 9, 1], [1, 1, 9, 9, 0.95]]
    assert confident(np.array(boxes), 0.9)[:, 4].tolist() == [0.95, 0.9]
    for wrong in (np.zeros((2, 4)), np.full((1, 5), np.nan)):
        with pytest.raises(DataError, match="detector"):
            confident(wrong)


def test_overlap_of_boxes():
    box = np.array([[0, 0, 2, 2], [10, 10, 12, 12]], float)
    assert np.allclose(overlaps(box, box), np.eye(2))
    assert overlaps(box[:1], np.array([[1, 0, 3, 2]], float))[0, 0] == pytest.approx(
        1 / 3
    )
    assert overlaps(np.zeros((0, 5)), box).shape == (0, 2)


@pytest.mark.parametrize("every", [1, 2, 4, 7])
@pytest.mark.parametrize("count", [1, 2, 4, 5, 16, 17, 18, 33, 40])
def test_boxes_between_detections_lie_where_detection_sees_them(every, count):
    frames = moving(count, ((10, 40), (0.5, 0.25)))
    finder = Finder()
    found = list(follow(frames, finder, every))
    assert [time for time, _, _ in found] == [time for time, _ in frames]
    for _, image, faces in found:
        assert len(faces) == 1
        assert faces[0].track == 0
        assert np.abs(faces[0].box - find(image)[0, :4]).max() <= 1
    keys = len({*range(0, count, every), count - 1})
    assert finder.seen == keys
    assert sum(faces[0].detected for *_, faces in found) == keys
    assert finder.largest_call <= 4


def test_two_faces_keep_their_tracks():
    frames = moving(30, ((5, 5), (1, 0)), ((100, 70), (-1, 0)))
    names = set()
    for _, image, faces in follow(frames, Finder(), 4):
        upper, lower = sorted(faces, key=lambda face: face.box[1])
        names.add((upper.track, lower.track))
        shared = overlaps(find(image), np.stack([upper.box, lower.box]))
        assert shared.max(1).min() > 0.9
    assert names in ({(0, 1)}, {(1, 0)})


def test_a_cut_is_found_on_its_own_frame():
    frames = [(k, picture((5, 5) if k < 6 else (100, 70))) for k in range(13)]
    found = list(follow(frames, Finder(), 4))
    for _, image, faces in found:
        assert np.allclose(faces[0].box, find(image)[0, :4])
    assert [faces[0].track for *_, faces in found] == [0] * 6 + [1] * 7


def test_a_face_that_moves_fast_is_looked_for_on_every_frame():
    frames = moving(9, ((0, 40), (14, 0)))
    finder = Finder()
    found = list(follow(frames, finder, 4))
    assert finder.seen == 9
    assert {faces[0].track for *_, faces in found} == {0}


def test_faces_come_and_go():
    frames = [(k, picture((50, 30)) if 3 <= k < 9 else picture()) for k in range(17)]
    shown = [len(faces) for *_, faces in follow(frames, Finder(), 4)]
    assert shown == [0] * 3 + [1] * 6 + [0] * 8


def test_a_track_outlives_a_frame_in_which_the_face_was_missed():
    frames = [(k, picture((50, 30)) if k != 4 else picture()) for k in range(9)]
    found = [faces for *_, faces in follow(frames, Finder(), 1)]
    assert not found[4]
    assert {face.track for faces in found for face in faces} == {0}


def test_no_more_than_a_window_is_held():
    taken = 0

    def frames():
        nonlocal taken
        for k in range(1000):
            taken += 1
            yield k, picture((50, 30))

    for number, _ in enumerate(follow(frames(), Finder(), 4)):
        assert taken <= number + 17
        if number == 100:
            break


def test_impossible_settings_are_refused():
    for every, minimum in ((0, 0.9), (4, 1.5)):
        with pytest.raises(SpecError):
            list(follow([(0, picture())], Finder(), every, minimum))
    with pytest.raises(SpecError, match="20"):
        mtcnn_detector(10)


@pytest.mark.parametrize("package", ["mtcnn", "tensorflow"])
def test_a_missing_detector_is_told(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"'{package}'.*emorec\[faces\]"):
        mtcnn_detector()


@pytest.fixture(scope="module")
def mtcnn():
    pytest.importorskip("tensorflow")
    return mtcnn_detector()


def test_mtcnn_sees_no_face_where_none_is(mtcnn):
    noise = np.random.default_rng(0).integers(0, 255, (80, 90, 3), np.uint8)
    blank = np.zeros((100, 120, 3), np.uint8)
    tiny = np.zeros((8, 8, 3), np.uint8)
    assert [boxes.shape for boxes in mtcnn([noise, blank, tiny])] == [(0, 5)] * 3


def test_mtcnn_follows_a_real_face(mtcnn, corpora_dir):
    """Interpolated boxes of a talker are those of detection on every frame."""
    clip = corpora_dir / "clips" / "GRID" / "bbaf2n.mpg"
    frames = list(read_frames(clip))[:9]
    each, fourth = (list(follow(frames, mtcnn, every)) for every in (1, 4))
    for (_, image, (one,)), (_, _, (other,)) in zip(each, fourth, strict=True):
        assert overlaps(one.box[None], other.box[None])[0, 0] > 0.8
        height, width = image.shape[:2]
        assert -5 < one.box[0] < one.box[2] < width + 5
        assert 60 < one.box[3] - one.box[1] < height
        assert one.track == other.track == 0


def test_mtcnn_in_batches_sees_what_it_sees_alone(mtcnn, corpora_dir):
    """Frames of unequal size, with and without a face, in one call."""
    clips = corpora_dir / "clips"
    names = ("GRID/bbaf2n.mpg", "single_face.mp4")
    frames = [next(read_frames(clips / name))[1] for name in names]
    frames = [np.zeros_like(frames[0]), *frames, frames[0][:, ::-1]]
    for together, image in zip(mtcnn(frames), frames, strict=True):
        (alone,) = mtcnn([image])
        assert together.shape == alone.shape
        assert np.abs(together - alone).max(initial=0) < 2
    assert [len(confident(boxes)) for boxes in mtcnn(frames)] == [0, 1, 1, 1]
