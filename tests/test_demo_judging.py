"""What the page of ``emorec demo`` refuses, finds out, and leaves behind: nothing."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from emorec.cli.app import main
from emorec.errors import DataError, SpecError
from emorec.labels import FERPLUS
from emorec.prediction.demo import workplace as place_of
from emorec.prediction.demo.judging import Judge
from emorec.prediction.demo.limits import Limits
from emorec.prediction.demo.pieces import failure, result
from emorec.prediction.demo.serving import is_local, open_socket
from emorec.prediction.demo.summary import agreements, headline, model_rows, verdict
from emorec.prediction.demo.workplace import RESULTS, UNJUDGED, Workplace, workplace
from emorec.prediction.outputs import read_table
from emorec.prediction.recordings import Recording
from emorec.prediction.run import PredictSettings
from emorec.prediction.series import Series, series_of
from tests.demo_clips import Loud, Wordy, film

EMOTIONS = tuple(FERPLUS.labels)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return film(tmp_path_factory.mktemp("clip") / "angry clip.mp4", 5.0)


def judge(folder, media=None, words="", transcript=None, overlay=False, **limits):
    told, models = [], [Loud(), Loud("turned", True), Wordy()]
    judging = Judge(models, PredictSettings(), Limits(**limits))
    found = judging.judge(
        folder, media, words, transcript, overlay, lambda *step: told.append(step)
    )
    found.told = told
    return found


def test_a_clip_is_judged_and_everything_is_there_to_download(clip, tmp_path):
    found = judge(tmp_path, clip, overlay=True)
    names = {path.name for path in found.files}
    assert names == {f"angry clip{x}" for x in (".csv", ".json", ".png", ".scores.mp4")}
    assert read_table(found.files[0]).equals(found.table)
    assert json.loads(found.files[1].read_text())["id"] == "angry clip"
    parts = [part for part, _ in found.told]
    assert parts == sorted(parts) and parts[0] == 0 and parts[-1] == 1
    assert len(parts) >= 5


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"max_mb": 0.01}, ["MB", "up to 0.01 MB", "--max_mb"]),
        ({"max_seconds": 4}, ["5.0 s long", "up to 4 s", "--max_seconds"]),
    ],
)
def test_too_large_and_too_long_clips_are_refused_with_both_sizes(
    clip, tmp_path, limits, words
):
    with pytest.raises(DataError) as error:
        judge(tmp_path, clip, **limits)
    for word in ["angry clip", *words]:
        assert word in str(error.value)
    assert not (tmp_path / "scores").exists()


def test_limits_are_inclusive():
    recording = Recording("c", None, Path("c.wav"), (), 120.0)
    Limits().check_length(recording)
    with pytest.raises(DataError):
        Limits(max_seconds=119.9).check_length(recording)


@pytest.mark.parametrize("limits", [{"max_mb": 0}, {"max_seconds": float("nan")}])
def test_limits_that_cannot_be_are_refused(limits):
    with pytest.raises(SpecError, match="expected above 0"):
        Limits(**limits)


def test_messages_show_no_path_of_the_server(tmp_path):
    broken = tmp_path / "given" / "broken.mp4"
    broken.parent.mkdir()
    broken.write_bytes(b"no video" * 500)
    with pytest.raises(DataError) as error:
        judge(tmp_path, broken)
    assert "broken.mp4" in str(error.value) and str(tmp_path) not in str(error.value)


def test_what_is_no_clip_is_refused(tmp_path):
    with pytest.raises(DataError, match="Drop a clip"):
        judge(tmp_path)
    other = tmp_path / "paper.pdf"
    other.write_bytes(b"%PDF")
    with pytest.raises(DataError, match="expected a video or a sound"):
        judge(tmp_path, other)
    with pytest.raises(DataError, match="not both"):
        judge(tmp_path, None, "words", tmp_path / "a.srt")


def test_results_escape_what_people_named(clip, tmp_path):
    found = judge(tmp_path, clip)
    found.table["model"] = found.table["model"].replace("loud", "<script>x</script>")
    found.warnings = ["<b>bold</b>"]
    shown = result(found)
    assert "<script>" not in shown and "<b>" not in shown
    assert "&lt;script&gt;" in shown and "disagree" in shown
    assert "<i>" not in failure("<i>")


def test_words_alone_are_enough_for_a_model_that_reads(tmp_path):
    (tmp_path / "given").mkdir()
    found = judge(tmp_path, words="What a lovely day. I like it.")
    rows = model_rows(series_of(found.table, found.recording.duration))
    assert rows[2].used == "words 100%" and rows[2].verdict.startswith("happy 1.00")
    assert found.recording.id == "words" and found.figure.is_file()


def series(model="m", means=(), steps=1, kind="probability", used=(1.0, 0, 0)):
    values = np.tile(np.array(means, float), (steps, 1))
    return Series(
        model,
        kind,
        EMOTIONS[: len(means)],
        np.arange(steps + 1.0),
        values,
        np.tile(np.array(used, float), (steps, 1)),
        "",
    )


@pytest.mark.parametrize(
    ("means", "words"),
    [
        ([0.7, 0.2, 0.1], "neutral 0.70 on average, then happiness 0.20"),
        ([0.45, 0.4, 0.15], "undecided between neutral and happiness"),
        ([0.5, 0.25, 0.25], "weak: neutral 0.50"),
        ([], "nothing to judge"),
    ],
)
def test_the_verdict_says_how_sure_it_is(means, words):
    assert verdict(series(means=means)).startswith(words)


def test_headlines_name_disagreement_and_doubt():
    sure, other = [0.8, 0.1, 0.1], [0.1, 0.1, 0.8]
    even = [0.34, 0.33, 0.33]
    assert "disagree" in headline([series("a", sure), series("b", other)])
    assert "undecided" in headline([series("a", sure), series("b", even)])
    assert "No emotion stands out" in headline([series("a", even), series("b", even)])
    agreed = headline([series("a", sure), series("b", sure)])
    assert agreed == "For all 2 models neutral is strongest."
    fused = headline([series("a", sure), series("fused", other)])
    assert fused.startswith("All models together: surprise")
    assert headline([series()]) == "No model had anything to judge."


def test_agreement_is_one_with_oneself_and_zero_with_the_contrary():
    one, contrary = series("a", [1, 0], 4), series("b", [0, 1], 4)
    (same,) = agreements([one, one._replace(model="c")])
    assert (same.same, same.distance) == (1, 0)
    (opposed,) = agreements([one, contrary])
    assert (opposed.same, opposed.distance) == (0, 1)
    half = one._replace(model="d", values=np.array([[1, 0]] * 2 + [[0, 1]] * 2, float))
    assert agreements([one, half])[0].same == pytest.approx(0.5)
    scale = one._replace(model="e", kind="intensity")
    assert np.isnan(agreements([one, scale])[0].distance)
    assert not agreements([one, contrary._replace(emotions=("x", "y"))])


def test_rows_tell_what_was_used_and_missing(clip, tmp_path):
    found = judge(tmp_path, clip)
    rows = model_rows(series_of(found.table, found.recording.duration))
    assert [row.model for row in rows] == ["loud", "turned", "wordy"]
    assert [row.used for row in rows] == ["voice 100%", "voice 100%", "nothing"]
    assert rows[2].reason == "no words" and rows[2].verdict == "nothing to judge"
    assert rows[0].means["anger"] > rows[1].means["anger"]


def files_below(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_uploads_are_moved_and_results_go_with_their_session(tmp_path):
    place = Workplace(tmp_path)
    upload = place.cache / "hash" / "a.mp4"
    upload.parent.mkdir()
    upload.write_text("clip")
    with place.request("one") as folder:
        taken = place.take(upload, folder)
        assert taken.read_text() == "clip" and not upload.parent.exists()
        with pytest.raises(DataError, match="not there any more"):
            place.take(upload, folder)
        for elsewhere in ("/etc/passwd", place.cache / ".." / "secret"):
            with pytest.raises(DataError, match="not a file that was given"):
                place.take(elsewhere, folder)
        (folder / "first.csv").touch()
    with place.request("two") as folder:
        (folder / "other.csv").touch()
    with place.request("one") as folder:
        assert "first.csv" not in files_below(tmp_path)
    with pytest.raises(ZeroDivisionError), place.request("one") as folder:
        (folder / "half.csv").touch()
        raise ZeroDivisionError
    place.forget("two")
    assert files_below(tmp_path) == []


def test_what_was_never_judged_goes_sooner_than_results(tmp_path):
    place = Workplace(tmp_path)
    (place.cache / "hash").mkdir()
    (place.cache / "stray").touch()
    with place.request("one") as folder:
        (folder / "a.csv").touch()
        place.sweep(time.time() + 10 * RESULTS)
        assert folder.exists()  # it is in hand
        assert sorted(path.name for path in place.cache.iterdir()) == [folder.name]
    (place.cache / "hash").mkdir()
    place.sweep()
    assert len(list(place.cache.iterdir())) == 2
    place.sweep(time.time() + UNJUDGED + 1)
    assert list(place.cache.iterdir()) == [folder]
    place.sweep(time.time() + RESULTS + 1)
    assert not list(place.cache.iterdir())


def test_the_folder_is_private_and_goes_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with workplace() as place:
        assert place.root.parent == tmp_path
        assert place.root.stat().st_mode & 0o077 == 0
        (place.cache / "a").touch()
        with workplace() as other:
            assert place.root.exists() and other.root != place.root
        assert place.root.exists()
    assert not list(tmp_path.iterdir())


def test_what_a_killed_page_left_goes_with_the_next_start(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = (
        "from emorec.prediction.demo.workplace import workplace\n"
        "with workplace() as place:\n"
        "    (place.cache / 'face.mp4').touch()\n"
        "    print('ready', flush=True)\n"
        "    input()\n"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    left = subprocess.Popen(
        [sys.executable, "-c", code],
        *(-1, None, subprocess.PIPE, subprocess.PIPE),
        env=environment,
    )
    with left:
        assert left.stdout.readline() == b"ready\n"
        assert files_below(tmp_path) == [".lock", "face.mp4"]
        with workplace():
            assert "face.mp4" in files_below(tmp_path)  # it is alive
        left.send_signal(signal.SIGKILL)
        left.wait()
    assert "face.mp4" in files_below(tmp_path)
    with workplace():
        assert files_below(tmp_path) == [".lock"]
    assert place_of._PREFIX not in " ".join(os.listdir(tmp_path))


@pytest.mark.parametrize(
    ("host", "local"),
    [
        *(("127.0.0.1", True), ("localhost", True), ("::1", True), ("127.8.8.8", True)),
        *(("0.0.0.0", False), ("192.168.0.7", False), ("example.org", False)),
    ],
)
def test_only_this_computer_is_local(host, local):
    assert is_local(host) == local


def test_a_port_that_is_taken_is_a_message(command):
    with open_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        result = command(main, "demo", "--models", "nowhere", "--port", port)
    assert result.code == 1
    assert "--port" in result.err and "Traceback" not in result.err
    with pytest.raises(SpecError, match="--port"):
        open_socket("127.0.0.1", 99_999)
