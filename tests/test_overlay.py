"""Videos with scores: upright, sound and time stamps kept, whole or not there."""

from fractions import Fraction

import av
import numpy as np
import pandas as pd
import pytest

from emorec.errors import DataError, SpecError
from emorec.labels import SCHEMAS, canonical
from emorec.prediction import overlay
from emorec.prediction.outputs import FIRST, row
from emorec.prediction.overlay import write_overlay
from emorec.prediction.overlay_panel import Panel
from emorec.prediction.series import series_of
from tests.video_files import picture, write_sound, write_video

FERPLUS = SCHEMAS["ferplus"]
NAMES = [canonical(label) for label in FERPLUS.labels]


def table(spans, scores, models=("face",)):
    rows = [
        row({"id": "c", "start": a, "end": b}, model, FERPLUS, s, ("face",), "", NAMES)
        for model in models
        for (a, b), s in zip(spans, scores, strict=True)
    ]
    return pd.DataFrame(rows, columns=[*FIRST, *NAMES])


def sure_of(emotion):
    return np.eye(8)[NAMES.index(emotion)]


def one_score(seconds=1.0):
    return table([(0, seconds)], [sure_of("happy")])


def frames(path):
    with av.open(str(path)) as container:
        origin = (container.start_time or 0) / av.time_base
        return [
            (frame.time - origin, frame.to_ndarray(format="rgb24"))
            for frame in container.decode(video=0)
        ]


def streams(path):
    with av.open(str(path)) as container:
        return {s.type: s.codec_context.name for s in container.streams}


def sounds(path):
    with av.open(str(path)) as container:
        return [
            (float(p.pts * p.time_base), bytes(p))
            for p in container.demux(audio=0)
            if p.dts is not None
        ]


def test_the_sound_is_the_same_and_the_codec_plays_in_browsers(tmp_path):
    clip = write_video(tmp_path / "a.mp4", [picture((10, 40))] * 25, sound=True)
    write_overlay(clip, one_score(), None, tmp_path / "out.mp4")
    assert streams(tmp_path / "out.mp4") == {"video": "h264", "audio": "aac"}
    before, after = sounds(clip), sounds(tmp_path / "out.mp4")
    assert [data for _, data in after] == [data for _, data in before]
    assert [t for t, _ in after] == pytest.approx([t for t, _ in before], abs=1e-4)


def test_bars_show_the_scores_of_their_time(tmp_path):
    clip = write_video(tmp_path / "a.mp4", [picture()] * 50)
    scores = table([(0, 1), (1, 2)], [sure_of("happy"), sure_of("sad")])
    panel = Panel(series_of(scores, 2.0), 360)
    assert not np.array_equal(panel.at(0.5), panel.at(1.5))
    assert panel.at(0.5) is panel.at(0.9)  # drawn once a step
    write_overlay(clip, scores, None, tmp_path / "out.mp4")
    seen = frames(tmp_path / "out.mp4")
    for moment, expected in ((0.5, panel.at(0.5)), (1.5, panel.at(1.5))):
        _, image = min(seen, key=lambda item: abs(item[0] - moment))
        shown = image[:, -panel.width :].astype(int)
        assert np.abs(shown - expected).mean() < 6
    assert np.abs(shown - panel.at(0.5)).mean() > np.abs(shown - expected).mean() + 0.5


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_rotated_phone_videos_come_out_upright(tmp_path, rotation):
    images = [picture((0, 0))] * 5  # bright in the upper left corner
    clip = write_video(tmp_path / "a.mov", images, rotation=rotation)
    write_overlay(clip, one_score(0.2), None, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        frame = next(container.decode(video=0))
        assert frame.rotation == 0
    _, image = frames(tmp_path / "out.mp4")[0]
    shown = np.rot90(images[0], round(rotation / 90) % 4)
    factor = 360 / shown.shape[0] if shown.shape[0] < 360 else 1
    high, wide = (round(factor * side) for side in shown.shape[:2])
    corner = np.unravel_index(np.argmax(shown.mean(-1)), shown.shape[:2])
    y = min(round(factor * corner[0]) + 20, high - 20)
    x = min(round(factor * corner[1]) + 20, wide - 20)
    assert image[y, x].mean() > 180
    assert image[high - 1 - y, wide - 1 - x].mean() < 100


def test_a_varying_frame_rate_keeps_its_times(tmp_path):
    times = np.cumsum([0.04, 0.04, 0.1, 0.033, 0.25, 0.04, 0.5, 0.01, 0.02])
    images = [picture((4 * k, 40)) for k in range(len(times))]
    clip = write_video(tmp_path / "a.mp4", images, times=times)
    write_overlay(clip, one_score(), None, tmp_path / "out.mp4")
    before, after = frames(clip), frames(tmp_path / "out.mp4")
    assert [t for t, _ in after] == pytest.approx([t for t, _ in before], abs=1e-4)


def test_without_the_encoder_of_h264_it_is_mpeg4(tmp_path, monkeypatch):
    monkeypatch.setattr(overlay, "_encoder", lambda: "mpeg4")
    clip = write_video(
        tmp_path / "a.mp4", [picture()] * 9, rate=30000 / 1001, sound=True
    )
    write_overlay(clip, one_score(), None, tmp_path / "out.mp4")
    assert streams(tmp_path / "out.mp4")["video"] == "mpeg4"
    before, after = frames(clip), frames(tmp_path / "out.mp4")
    assert [t for t, _ in after] == pytest.approx([t for t, _ in before], abs=1e-4)


def browser_recording(path, height=121, width=161):
    """Write what browsers record: VP8 and Opus, sizes odd."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libvpx", rate=20)
        video.height, video.width, video.pix_fmt = height, width, "yuv420p"
        sound = container.add_stream("libopus", rate=48_000)
        for k in range(20):
            image = np.full((height, width, 3), 10 * k, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            container.mux(video.encode(frame))
        frame = av.AudioFrame.from_ndarray(
            np.sin(np.arange(48_000) / 20)[None].astype(np.float32),
            format="fltp",
            layout="mono",
        )
        frame.sample_rate, frame.pts, frame.time_base = 48_000, 0, Fraction(1, 48_000)
        container.mux(sound.encode(frame))
        container.mux(sound.encode())
        container.mux(video.encode())
    return path


def test_other_sounds_are_coded_anew_and_odd_sizes_made_even(tmp_path):
    clip = browser_recording(tmp_path / "a.webm")
    write_overlay(clip, one_score(), None, tmp_path / "out.mp4")
    assert streams(tmp_path / "out.mp4") == {"video": "h264", "audio": "aac"}
    seen = frames(tmp_path / "out.mp4")
    assert len(seen) == 20
    assert all(side % 2 == 0 for side in seen[0][1].shape[:2])
    with av.open(str(tmp_path / "out.mp4")) as container:
        loud = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
    assert len(loud) == pytest.approx(48_000, rel=0.05)
    assert np.abs(loud[10_000:40_000]).max() > 0.5


def test_boxes_are_drawn_near_their_times_only(tmp_path):
    clip = write_video(tmp_path / "a.mp4", [picture()] * 50)
    rows = [(t, 40.0, 30.0, 100.0, 90.0) for t in (0.0, 0.24, 0.48)]
    boxes = pd.DataFrame(rows, columns=["time", "x1", "y1", "x2", "y2"])
    write_overlay(clip, one_score(2), boxes, tmp_path / "out.mp4")
    found = []
    for time, image in frames(tmp_path / "out.mp4"):
        yellow = (image[..., 0] > 200) & (image[..., 2] < 120)
        yellow[:, 480:] = False  # the panel has bars
        found.append((time, yellow))
    assert all(yellow.any() == (time <= 0.66 + 1e-6) for time, yellow in found)
    y, x = np.nonzero(found[0][1])
    # The picture of 160 x 120 is shown three times as large.
    assert [x.min(), y.min(), x.max(), y.max()] == pytest.approx(
        [120, 90, 300, 270], abs=4
    )


def test_many_models_stand_in_columns_and_names_of_any_script_are_drawn(tmp_path):
    models = (
        "face",
        "voice with a very long name indeed, longer than room",
        "日本語",
        "d",
    )
    content = table([(0, 1), (1, 2)], [sure_of("fear"), None], models)
    panel = Panel(series_of(content, 2.0), 360)
    assert panel.width == 2 * Panel(series_of(one_score(), 1.0), 360).width
    assert panel.at(1.5).shape == (panel.height, panel.width, 3)
    assert panel.width % 2 == panel.height % 2 == 0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: write_sound(p / "a.m4a"), "picture"),
        (lambda p: p, "video file"),
        (lambda p: p / "absent.mp4", "video file"),
    ],
)
def test_what_has_no_picture_is_refused(tmp_path, make, words):
    with pytest.raises(DataError, match=words):
        write_overlay(make(tmp_path), one_score(), None, tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_other_formats_are_refused(tmp_path):
    clip = write_video(tmp_path / "a.mp4", [picture()] * 3)
    with pytest.raises(SpecError, match=r"\.mp4"):
        write_overlay(clip, one_score(), None, tmp_path / "out.avi")


def test_a_cut_off_video_is_refused(tmp_path):
    clip = write_video(tmp_path / "a.mp4", [picture((k, k)) for k in range(60)])
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    with pytest.raises(DataError, match=r"a\.mp4"):
        write_overlay(clip, one_score(3), None, tmp_path / "out.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_an_interruption_leaves_no_file(tmp_path, monkeypatch):
    clip = write_video(tmp_path / "a.mp4", [picture()] * 40)
    draw = Panel.at

    def interrupted(panel, time):
        if time > 1:
            raise KeyboardInterrupt
        return draw(panel, time)

    monkeypatch.setattr(Panel, "at", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_overlay(clip, one_score(2), None, tmp_path / "out.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
