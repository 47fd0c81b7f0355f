"""Example clips: which are drawn, what their folders hold, what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from emorec.artifacts.logits import Logits
from emorec.errors import BusyError, DataError, LabelMismatchError, SpecError
from emorec.evaluation import voice_samples
from emorec.evaluation.voice_candidates import Candidate, candidates
from emorec.evaluation.voice_figures import distribution_figure
from emorec.evaluation.voice_samples import export_samples
from emorec.files import exclusive
from emorec.labels import FERPLUS

BUT_ANGER = tuple(label for label in FERPLUS.labels if label != "anger")


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    # A figure takes a tenth of a second; one test draws a real one.
    monkeypatch.setattr(voice_samples, "save", lambda figure, path: path.touch())


def clip(folder, name="anna/1", peak=(2, 4), steps=4):
    """Return a clip of four images whose largest score is at `peak`."""
    own = folder / name
    (own / "faces").mkdir(parents=True)
    (own / "voice.wav").write_bytes(name.encode())
    for number in range(steps):
        colour = (60 * number, 0, 0)
        Image.new("RGB", (4, 4), colour).save(own / "faces" / f"{number + 8}.png")
    logits = np.random.default_rng(0).normal(0, 1, (steps, 8)).astype(np.float32)
    logits[peak] = 7.125
    return Candidate(
        name, own / "voice.wav", own / "faces", np.arange(steps) * 0.24, logits
    )


def clips(folder, count, emotion=4):
    return [clip(folder, f"anna/{i}", (i % 4, emotion)) for i in range(count)]


def sources(folder):
    """Return the clips of a folder by their places."""
    return {
        str(path.parent.relative_to(folder)): path.read_text().splitlines()[0]
        for path in folder.rglob("meta.txt")
    }


def test_a_sample_holds_sound_scores_bars_and_the_face_of_the_largest(
    tmp_path, monkeypatch
):
    monkeypatch.undo()
    one = clip(tmp_path / "in")
    result = export_samples(tmp_path / "out", [one], FERPLUS, sequence=True)
    place = tmp_path / "out" / "anger" / "1"
    assert (place / "voice.wav").read_bytes() == b"anna/1"
    lines = (place / "meta.txt").read_text().splitlines()
    assert lines[:2] == ["source anna/1", "peak 0.48 s, frame 3"]
    largest = one.logits.max(axis=0)
    for line, label, value in zip(lines[2:], FERPLUS.labels, largest, strict=True):
        assert line == f"{label} {value:.4f}"
    assert "anger 7.1250" in lines
    # The third image by number, not by spelling: 8, 9, 10, 11.
    faces = one.frames
    assert (place / "peakFrame.png").read_bytes() == (faces / "10.png").read_bytes()
    copied = sorted(path.name for path in (place / "frames").iterdir())
    assert copied == [f"0000{i}.png" for i in range(1, 5)]
    with Image.open(place / "distribution.png") as image:
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    assert image.size == (960, 480)
    for colour in ((202, 202, 202), (230, 88, 88)):
        assert (pixels == colour).all(axis=1).sum() > 500
    assert result.counts["anger"] == 1 and result.counts["neutral"] == 0
    assert "anger: 1 clips of 20: there are no more" in result.summary()
    assert set(result.counts) == set(FERPLUS.labels[:5])


def test_bars_reach_from_minus_three_to_ten_or_further():
    def limits(*values):
        figure = distribution_figure(np.array(values, float), FERPLUS.labels, "clip")
        return figure.axes[0].get_ylim()

    assert limits(0, 1, 2, 3, 4, 5, 6, -1) == (-3, 10)
    assert limits(0, 1, 2, 3, 4, 5, 16, -8) == (-8, 16)
    with pytest.raises(LabelMismatchError, match="expected 8 scores"):
        limits(1, 2)


def test_the_same_clips_are_drawn_in_whatever_order_they_come(tmp_path):
    many = clips(tmp_path / "in", 12)
    for number, order in enumerate((many, many[::-1])):
        out = tmp_path / str(number)
        result = export_samples(out, order, FERPLUS, count=3, ignored=BUT_ANGER)
        assert result.counts == {"anger": 3} and not result.failures
        assert result.summary() == "anger: 3 clips"
    first = sources(tmp_path / "0")
    assert first == sources(tmp_path / "1") and len(set(first.values())) == 3
    export_samples(tmp_path / "2", many, FERPLUS, count=3, seed=1, ignored=BUT_ANGER)
    assert sources(tmp_path / "2") != first
    # What else is shown changes no emotion's clips.
    export_samples(tmp_path / "3", many, FERPLUS, count=3, ignored=())
    assert sources(tmp_path / "3") == first


def test_the_tag_is_of_the_single_largest_score_not_of_the_mean(tmp_path):
    one = clip(tmp_path)
    logits = np.zeros((4, 8), np.float32)
    logits[:, 0], logits[1, 3] = 5, 5.5
    assert replace(one, logits=logits).peak() == (1, 3)
    logits[3, 1] = 5.5  # a tie goes to the earlier frame
    assert replace(one, logits=logits).peak() == (1, 3)


def test_clips_that_cannot_be_read_give_their_place_to_others(tmp_path):
    many = clips(tmp_path / "in", 5)
    many[0].sound.unlink()
    (many[1].frames / "9.png").unlink()
    gone = replace(many[2], frames=tmp_path / "nowhere")
    given = [*many[:2], gone, *many[3:]]
    out = tmp_path / "out"
    result = export_samples(out, given, FERPLUS, count=4, ignored=BUT_ANGER)
    assert result.counts == {"anger": 2}
    reasons = dict(result.failures)
    assert "voice.wav: no such file" in reasons["anna/0"]
    assert "an image for each of 4 scores, found 3" in reasons["anna/1"]
    assert "no such folder" in reasons["anna/2"]
    assert "passed over anna/0" in result.summary()
    # Without faces only the sound is asked for.
    out = tmp_path / "sounds"
    result = export_samples(
        out, given, FERPLUS, count=4, ignored=BUT_ANGER, peaks=False
    )
    assert result.counts == {"anger": 4}
    assert not list(out.rglob("peakFrame*"))


def test_a_clip_without_images_has_none(tmp_path):
    one = replace(clip(tmp_path / "in"), frames=None)
    export_samples(tmp_path / "out", [one], FERPLUS, sequence=True)
    names = {path.name for path in (tmp_path / "out" / "anger" / "1").iterdir()}
    assert names == {"voice.wav", "meta.txt", "distribution.png"}


def test_an_interrupted_export_goes_on(tmp_path, monkeypatch):
    many, out = clips(tmp_path / "in", 8), tmp_path / "out"
    written = []

    def interrupted(figure, path):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        path.touch()

    monkeypatch.setattr(voice_samples, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export_samples(out, many, FERPLUS, count=5, ignored=BUT_ANGER)
    before = sources(out)
    assert len(before) == 2 and not list(out.rglob(".writing-*"))
    monkeypatch.setattr(voice_samples, "save", lambda figure, path: path.touch())
    (out / "anger" / ".writing-killed").mkdir()
    result = export_samples(out, many, FERPLUS, count=5, ignored=BUT_ANGER)
    assert result.counts == {"anger": 5} and not list(out.rglob(".writing-*"))
    assert before.items() <= sources(out).items()
    export_samples(tmp_path / "at_once", many, FERPLUS, count=5, ignored=BUT_ANGER)
    assert sources(tmp_path / "at_once") == sources(out)


def test_other_samples_are_replaced_only_when_asked(tmp_path):
    many, out = clips(tmp_path / "in", 6), tmp_path / "out"
    settings = {"schema": FERPLUS, "ignored": BUT_ANGER}
    export_samples(out, many, count=5, **settings)
    kept = out / "anger" / "notes.txt"
    kept.write_text("mine")
    with pytest.raises(SpecError, match=r"count: 5 before, 2 now"):
        export_samples(out, many, count=2, **settings)
    with pytest.raises(SpecError, match="clips: "):
        export_samples(out, many[1:], count=5, **settings)
    assert len(sources(out)) == 5
    export_samples(out, many, count=2, overwrite=True, **settings)
    assert set(sources(out)) == {"anger/1", "anger/2"} and kept.read_text() == "mine"


def test_a_folder_of_something_else_is_never_touched(tmp_path):
    many, out = clips(tmp_path / "in", 1), tmp_path / "out"
    (out / "anger" / "1").mkdir(parents=True)
    for record in (None, "[]", '{"emotions": ["../in"]}'):
        if record is not None:
            (out / "samples.json").write_text(record)
        with pytest.raises(SpecError, match="which are no samples"):
            export_samples(out, many, FERPLUS, overwrite=True)
    assert (out / "anger" / "1").is_dir() and many[0].sound.is_file()


def test_what_cannot_be_drawn_from_is_refused(tmp_path):
    one, out = clip(tmp_path / "in"), tmp_path / "out"
    with pytest.raises(DataError, match="anna/1 there twice"):
        export_samples(out, [one, one], FERPLUS)
    with pytest.raises(LabelMismatchError, match="anna/1: expected scores of 8"):
        export_samples(out, [replace(one, logits=one.logits[:, :7])], FERPLUS)
    with pytest.raises(DataError, match="received 0 frames"):
        export_samples(out, [replace(one, logits=one.logits[:0])], FERPLUS)
    with pytest.raises(SpecError, match="count 0"):
        export_samples(out, [one], FERPLUS, count=0)
    with pytest.raises(LabelMismatchError, match="joy"):
        export_samples(out, [one], FERPLUS, ignored=["joy"])
    assert not out.exists()
    with exclusive(out / ".samples.lock"), pytest.raises(BusyError, match="another"):
        export_samples(out, [one], FERPLUS)


def test_clips_of_a_file_of_scores_come_with_their_rows(tmp_path):
    logits = np.arange(40, dtype=np.float32).reshape(5, 8)
    file = Logits(
        FERPLUS,
        ["a", "b", "c"],
        np.array([0, 2, 3, 5]),
        np.arange(5.0),
        logits,
        np.zeros((5, 4)),
        np.zeros(5, np.int32),
        {},
    )
    sounds = {"a": tmp_path / "a.wav", "c": tmp_path / "c.wav"}
    a, c = candidates(file, sounds, {"c": tmp_path})
    np.testing.assert_array_equal(a.logits, logits[:2])
    np.testing.assert_array_equal(c.times, [3, 4])
    assert (a.id, a.frames, c.sound, c.frames) == ("a", None, sounds["c"], tmp_path)
