"""The page of ``emorec demo`` in a real browser; it asks no other computer."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import warnings
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import soundfile

from emorec.errors import MissingExtraError
from emorec.prediction.demo.judging import Judge
from emorec.prediction.demo.limits import Limits
from emorec.prediction.demo.page import require_gradio
from emorec.prediction.demo.serving import open_socket, page_server
from emorec.prediction.demo.workplace import workplace
from emorec.prediction.run import PredictSettings
from emorec.prediction.spans import Spans
from tests.browser import browser  # noqa: F401
from tests.demo_clips import Loud, Wordy, film
from tests.small_runs import small_voices

# gradio's threads use what its packages deprecate.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

_PATIENCE = 30


@contextmanager
def unwarned():
    """Gradio leaves sockets to the collector, and its packages warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
        gc.collect()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page, served by a thread: its address, and the folder of its files."""
    with unwarned():
        pytest.importorskip("gradio", reason="needs the extra demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("tmp")))
        patch.setenv("GRADIO_TEMP_DIR", "")
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "")
        patch.setenv("HF_HUB_DISABLE_TELEMETRY", "")
        models = [Loud(), Loud("turned", turned=True), Wordy()]
        settings = PredictSettings(Spans("auto", 2.0, 1.0))
        judge = Judge(models, settings, Limits(max_mb=1, max_seconds=8))
        with open_socket("127.0.0.1", 0) as listening, workplace() as place:
            with unwarned():
                server = page_server(judge, place, local=True)
            thread = threading.Thread(target=server.run, args=([listening],))
            thread.start()
            port = listening.getsockname()[1]
            yield SimpleNamespace(
                address=f"http://127.0.0.1:{port}/", place=place, judge=judge
            )
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


@pytest.fixture
def opened(page, browser):  # noqa: F811
    browser.open(page.address)
    parts = "['#clip input', '#judge', 'input[type=checkbox]', '#result']"
    ready = f"return {parts}.every(part => document.querySelector(part))"
    wait(lambda: browser.ask(ready))
    return browser


def wait(until):
    end = time.monotonic() + _PATIENCE
    while not (found := until()):
        assert time.monotonic() < end, "the page did not answer in time"
        time.sleep(0.1)
    return found


def text(opened):
    return opened.ask("return document.querySelector('#result').innerText")


def drop(opened, path, where="#clip"):
    opened.driver.find_element("css selector", f"{where} input").send_keys(str(path))
    wait(lambda: path.name.split(".")[0][:5] in said(opened, where))


def said(opened, where):
    shown = opened.ask("return document.querySelector(arguments[0])?.innerText", where)
    return (shown or "").replace("\n", "")  # names and suffixes are apart


def press(opened):
    opened.driver.find_element("css selector", "#judge").click()


def left_over(page):
    return {path.name for path in page.place.cache.rglob("*") if path.is_file()}


def test_a_clip_is_dropped_judged_and_gone(page, opened, tmp_path):
    drop(opened, film(tmp_path / "angry.mp4", 5.0))
    opened.driver.find_element("css selector", "input[type=checkbox]").click()
    press(opened)
    wait(lambda: "Over time" in text(opened))
    shown = text(opened)
    for words in ("disagree", "turned", "voice 100%", "no words", "Means over the"):
        assert words in shown
    width = "return document.querySelector('#result img').naturalWidth"
    wait(lambda: opened.ask(width) > 800)
    wait(lambda: "angry.csv" in said(opened, "#files"))
    for name in ("angry.json", "angry.png", "angry.scores.mp4"):
        assert name in said(opened, "#files")
    length = "return document.querySelector('video')?.duration"
    assert wait(lambda: opened.ask(length)) == pytest.approx(5, abs=0.3)
    link = opened.ask("return document.querySelector('#files a[href]').href")
    table = urllib.request.urlopen(link).read().decode()
    assert table.startswith("id,model,start,end")
    # The clip itself is gone, and the page does not show it as if it were there.
    assert "angry.mp4" not in left_over(page) and "angry.mp4" not in said(
        opened, "#clip"
    )
    strange = [
        address
        for address in opened.requests()
        if not address.startswith((page.address, "data:", "blob:"))
    ]
    assert strange == []
    assert not [line for line in opened.errors() if "Content Security" in line]
    opened.open("about:blank")
    wait(lambda: not left_over(page) & {"angry.csv", "angry.json", "angry.scores.mp4"})


def test_it_fits_a_phone(page, opened, tmp_path):
    opened.resize(390, 800)
    drop(opened, film(tmp_path / "clip.mp4"))
    press(opened)
    wait(lambda: "Over time" in text(opened))
    assert opened.ask("return document.documentElement.scrollWidth") <= 390


def broken(path):
    path.write_bytes(b"nothing of a video" * 1000)
    return path


def silent(path):
    soundfile.write(path, [0.0] * 16_000, 16_000)
    return path


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("broken.mp4", broken, "broken.mp4: cannot be read as a video"),
        ("toolong.mp4", lambda path: film(path, 9.0), "up to 8 s"),
        ("silent.wav", silent, "no sound in it"),
    ],
)
def test_what_cannot_be_judged_is_said_in_the_page(
    page, opened, tmp_path, name, make, words
):
    drop(opened, make(tmp_path / name))
    press(opened)
    wait(lambda: "could not be judged" in text(opened))
    assert words in text(opened) and "Traceback" not in text(opened)
    assert str(page.place.root) not in text(opened)
    assert name not in left_over(page)


def test_words_are_typed_or_dropped(page, opened, tmp_path):
    clip = film(tmp_path / "spoken.mp4")
    script = tmp_path / "lines.srt"
    cue = "{0}\n00:00:0{0},000 --> 00:00:0{1},000\nWhat a day\n\n"
    script.write_text(cue.format(0, 1) + cue.format(1, 2))
    opened.driver.find_element("xpath", "//button[contains(., 'Words')]").click()
    wait(lambda: opened.ask("return !!document.querySelector('#transcript input')"))
    drop(opened, clip)
    drop(opened, script, "#transcript")
    press(opened)
    wait(lambda: "words 67%" in text(opened))
    assert "lines.srt" not in left_over(page)
    box = opened.driver.find_element("css selector", "textarea")
    box.send_keys("I am so glad")
    press(opened)
    wait(lambda: "words 100%" in text(opened))
    assert "words.txt" not in left_over(page)


def test_nothing_is_a_message_too(opened):
    press(opened)
    wait(lambda: "Drop a clip" in text(opened))


def test_a_file_that_is_too_large_is_not_even_taken(page, opened, tmp_path):
    large = tmp_path / "large.wav"
    soundfile.write(large, [0.1] * 700_000, 16_000)
    where = opened.driver.find_element("css selector", "#clip input")
    where.send_keys(str(large))
    body = "return document.body.innerText"
    wait(lambda: "exceed the maximum" in opened.ask(body))
    assert "large.wav" not in left_over(page)


def test_a_fault_of_ours_is_not_shown_as_a_traceback(
    page, opened, tmp_path, monkeypatch, capfd
):
    monkeypatch.setattr(Loud, "scores", lambda self, contents: 1 / 0)
    drop(opened, film(tmp_path / "clip.mp4"))
    press(opened)
    wait(lambda: "could not be judged" in text(opened))
    assert "no fault of your clip" in text(opened)
    assert "ZeroDivisionError" not in text(opened)
    assert "ZeroDivisionError" in capfd.readouterr().err
    assert "clip.mp4" not in left_over(page)


def ask(address, **headers):
    request = urllib.request.Request(address, headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, {}


def test_pages_of_the_internet_are_not_answered(page):
    own = page.address.rstrip("/")
    status, headers = ask(page.address, Origin=own)
    assert status == 200
    assert headers["content-security-policy"].startswith("default-src 'self'")
    assert headers["cache-control"] == "no-store"
    assert ask(page.address, Host="evil.example")[0] == 403
    assert ask(page.address, Origin="https://evil.example")[0] == 403
    for path in ("/etc/passwd", "pyproject.toml", page.judge.__module__):
        assert ask(f"{page.address}gradio_api/file={path}")[0] in (403, 404)
    assert ask(f"{page.address}monitoring")[0] in (401, 403, 404)


def test_without_gradio_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "gradio", None)
    for name in ("GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED"):
        monkeypatch.setenv(name, "")
    with pytest.raises(MissingExtraError, match=r"emorec\[demo\]"):
        require_gradio(SimpleNamespace(cache=tmp_path))


@pytest.mark.slow
def test_the_command_serves_until_it_is_ended(page, tmp_path):
    small_voices(tmp_path / "models")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    command = ["demo", "--models", tmp_path / "models", "--port", 0]
    process = subprocess.Popen(
        [sys.executable, "-m", "emorec", *map(str, command)],
        stdout=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(temporary)},
        text=True,
    )
    with process:
        try:
            address = process.stdout.readline().split(" at ")[1].split()[0]
            assert address.startswith("http://127.0.0.1:")
            assert ask(address)[0] == 200
            assert list(temporary.iterdir())
            process.terminate()
            assert process.wait(30) == 128 + signal.SIGTERM
        finally:
            process.kill()
    assert not list(temporary.iterdir())
