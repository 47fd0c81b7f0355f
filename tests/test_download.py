"""Fetching from a server that misbehaves in every way that one knows of."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from emorec.cli.app import main
from emorec.corpora import transfer
from emorec.corpora.download import download, items, parse_folds
from emorec.corpora.folds import read_folds
from emorec.corpora.mosei import AUDIO, FILES, LABELS, describe, find_files
from emorec.corpora.transfer import Patience, part_of
from emorec.errors import DataError
from emorec.sequences.csd import Rows, open_sequence, write_sequence

ROOT = Path(__file__).resolve().parents[1]
AUDIO_FILE, LABELS_FILE = FILES[AUDIO], FILES[LABELS]
FOLDS = {"train": ["a", "b"], "valid": ["c"], "test": ["d"]}
HALF = 60_000


class Handler(BaseHTTPRequestHandler):
    """Answers honestly, with ranges, or as the next step of the script says."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        server.requests.append((self.path, dict(self.headers)))
        name = self.path.rsplit("/", 1)[-1]
        steps = server.script.get(name) or server.script.get("any")
        (steps.pop(0) if steps else honest)(self, server.files.get(name))
        self.close_connection = True

    def log_message(self, *arguments):
        pass

    def send(self, code, body=b"", declared=True, **headers):
        self.send_response(code)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        if declared is not False:
            length = len(body) if declared is True else declared
            self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(body)


def etag(content):
    return f'"{hashlib.md5(content).hexdigest()}"'


def honest(handler, content, upto=None, **headers):
    """Serve ranges; with `upto`, declare all and drop the connection after so much."""
    if content is None:
        return handler.send(404)
    headers = {"ETag": etag(content)} | headers
    headers = {key: value for key, value in headers.items() if value}
    asked = handler.headers.get("Range")
    begin = int(asked[6:-1]) if asked else 0
    if handler.headers.get("If-Range", headers.get("ETag")) != headers.get("ETag"):
        begin = 0
    if begin >= len(content):
        return handler.send(416, Content_Range=f"bytes */{len(content)}")
    if begin:
        headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
    code = 206 if begin else 200
    return handler.send(code, content[begin:upto], len(content) - begin, **headers)


def drops(upto=HALF, **headers):
    return lambda handler, content: honest(handler, content, upto, **headers)


def answers(code, body=b"", declared=True, **headers):
    return lambda handler, content: handler.send(code, body, declared, **headers)


def without_ranges(handler, content):
    handler.send(200, content)


def undeclared(handler, content, upto=None):
    handler.send(200, content[:upto], declared=False)


def silent(handler, content):
    """Send the first half and then nothing, until the client goes away."""
    honest(handler, content, HALF)
    handler.connection.recv(1)


PAGE = b"<!DOCTYPE html><html>We are sorry</html>"


def sequence_bytes(folder, name, seed, width=74):
    path = folder / f"{name}-{seed}.csd"
    random = np.random.default_rng(seed)
    intervals = np.stack([np.arange(400), np.arange(400) + 1], 1).astype("f4")
    features = random.normal(0, 1, (400, width)).astype("f4")
    metadata = describe("CMU-MOSEI", [], "noise") | {"uuid": "u", "md5": None}
    write_sequence(path, name, [("v", Rows(intervals, features))], metadata, None)
    return path.read_bytes()


@pytest.fixture(scope="module")
def contents(tmp_path_factory):
    folder = tmp_path_factory.mktemp("contents")
    return {
        AUDIO_FILE: sequence_bytes(folder, AUDIO, 0),
        "other": sequence_bytes(folder, AUDIO, 1),
        LABELS_FILE: sequence_bytes(folder, LABELS, 2, 7),
    }


@pytest.fixture
def server(contents):
    assert len(contents[AUDIO_FILE]) > HALF + 10_000
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.script, server.requests = dict(contents), {}, []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def fetch(server, tmp_path):
    """Return a function that downloads the audio file; it keeps lines and waits."""

    def run(
        *steps, names=("covarep",), retries=2, checksums=None, url=None, timeout=5.0
    ):
        if steps:
            server.script[AUDIO_FILE] = list(steps)
        run.lines, run.waits, server.requests[:] = [], [], []
        wanted = items(tmp_path, names, url or server.url, f"{server.url}/folds.py")
        patience = Patience(retries, timeout, run.waits.append)
        return download(wanted, run.lines.append, patience, checksums)

    return run


@pytest.fixture
def path(tmp_path):
    return tmp_path / AUDIO_FILE


def ranges(server):
    return [headers.get("Range") for _, headers in server.requests]


def test_a_file_arrives_whole_with_its_digest(fetch, server, path):
    assert fetch() == []
    assert path.read_bytes() == server.files[AUDIO_FILE]
    assert server.requests[0][0] == f"/acoustic/{AUDIO_FILE}"
    entry = json.loads((path.parent / "checksums.json").read_text())[AUDIO_FILE]
    assert entry["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert entry["bytes"] == path.stat().st_size
    assert sorted(p.name for p in path.parent.iterdir()) == [
        AUDIO_FILE,
        "checksums.json",
    ]


def test_what_is_there_is_checked_and_not_fetched_again(fetch, server, path):
    fetch()
    assert fetch() == []
    assert server.requests == []
    assert fetch.lines[0].startswith(f"{AUDIO_FILE}: there, SHA-256 ")
    changed = bytearray(path.read_bytes())
    changed[-5000] ^= 1
    path.write_bytes(changed)
    (failure,) = fetch()
    assert str(path) in failure and "was recorded when it came first" in failure
    assert path.read_bytes() == changed


def test_a_copy_from_elsewhere_is_recorded(fetch, server, path):
    path.write_bytes(server.files[AUDIO_FILE])
    assert fetch() == [] and server.requests == []
    assert AUDIO_FILE in json.loads((path.parent / "checksums.json").read_text())


BROKEN = {
    "dropped midway": ([drops()], [None, f"bytes={HALF}-"]),
    "dropped twice": (
        [drops(), drops(HALF + 500)],
        [None, f"bytes={HALF}-", f"bytes={HALF + 500}-"],
    ),
    "no validators": (
        [drops(ETag=None), lambda h, c: honest(h, c, ETag=None)],
        [None, f"bytes={HALF}-"],
    ),
    "a date for a validator": (
        [drops(ETag=None, Last_Modified="Mon, 01 Jan 2018 00:00:00 GMT")],
        [None, f"bytes={HALF}-"],
    ),
    "503": ([answers(503)], [None, None]),
    "500 in between": ([drops(), answers(500)], [None, *[f"bytes={HALF}-"] * 2]),
    "ignores ranges": ([drops(), without_ranges], [None, f"bytes={HALF}-"]),
    "no length": ([undeclared], [None]),
    "silence": ([silent], [None, f"bytes={HALF}-"]),
    "no answer": ([lambda handler, content: None], [None, None]),
    "redirects": ([answers(302, Location=f"/elsewhere/{AUDIO_FILE}")], [None, None]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_the_file_arrives_all_the_same(fetch, server, path, name):
    steps, asked = BROKEN[name]
    assert fetch(*steps, timeout=1.0 if name == "silence" else 5.0) == []
    assert path.read_bytes() == server.files[AUDIO_FILE]
    assert ranges(server) == asked
    assert not part_of(path).exists()


def test_many_drops_are_endured_while_bytes_come(fetch, server, path):
    steps = [drops(1000 * (i + 1)) for i in range(20)]
    assert fetch(*steps, retries=1) == []
    assert len(server.requests) == 21
    assert path.read_bytes() == server.files[AUDIO_FILE]


def test_a_server_that_always_fails_is_given_up_politely(fetch, server, path):
    fetch(drops(), *[answers(503)] * 3)
    assert len(server.requests) == 4
    (failure,) = fetch(*[answers(503, Retry_After="7")] * 3)
    assert "answered 503" in failure and "60,000 bytes that arrived are kept" in failure
    assert fetch.waits == [7.0, 7.0]
    assert part_of(path).stat().st_size == HALF
    # What is partial is no data yet.
    assert find_files(path.parent) == []
    assert fetch() == []
    assert ranges(server) == [f"bytes={HALF}-"]
    assert path.read_bytes() == server.files[AUDIO_FILE]


def test_waits_grow_without_an_answer_to_the_question_how_long(fetch):
    fetch(*[answers(500)] * 9, retries=8)
    assert fetch.waits == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]


@pytest.mark.parametrize("code", [404, 403, 410])
def test_a_refusal_is_not_repeated(fetch, server, path, code):
    (failure,) = fetch(answers(code, b"no"))
    assert f"answered {code}" in failure and "--url" in failure
    assert len(server.requests) == 1
    assert list(path.parent.iterdir()) == []  # not even an empty file


def test_a_file_that_changes_in_between_is_never_glued(fetch, server, path):
    fetch(drops(), *[answers(503)] * 3)
    server.files[AUDIO_FILE] = server.files["other"]
    assert fetch() == []
    assert path.read_bytes() == server.files["other"]


@pytest.mark.parametrize("tell", ["etag", "length", "offset"])
def test_the_rest_of_another_file_is_refused(fetch, server, path, tell):
    """A server that knows no If-Range and answers with a part all the same."""
    content = server.files[AUDIO_FILE]
    size = len(content) + (tell == "length")
    begin = HALF - (tell == "offset")
    rest = answers(
        206,
        content[begin:],
        ETag='"another"' if tell == "etag" else etag(content),
        Content_Range=f"bytes {begin}-{size - 1}/{size}",
    )
    assert fetch(drops(), rest) == []
    assert ranges(server) == [None, f"bytes={HALF}-", None]
    assert path.read_bytes() == content


def test_a_whole_partial_file_needs_no_more_bytes(fetch, server, path):
    fetch(drops(), *[answers(503)] * 3)
    part_of(path).write_bytes(server.files[AUDIO_FILE])
    assert fetch() == []
    assert ranges(server) == [f"bytes={len(server.files[AUDIO_FILE])}-"]  # 416
    assert path.read_bytes() == server.files[AUDIO_FILE]


def test_a_partial_file_longer_than_the_servers_is_begun_again(fetch, server, path):
    fetch(drops(), *[answers(503)] * 3)
    part_of(path).write_bytes(server.files[AUDIO_FILE] + b"more")
    assert fetch() == []
    assert ranges(server)[-1] is None
    assert path.read_bytes() == server.files[AUDIO_FILE]


def test_bytes_of_unknown_origin_are_not_continued(fetch, server, path):
    part_of(path).write_bytes(b"x" * 100)
    assert fetch() == []
    assert ranges(server) == [None]


def test_another_server_is_not_asked_for_the_rest(fetch, server, path):
    fetch(drops(), *[answers(503)] * 3)
    assert fetch(url=f"{server.url}/mirror") == []
    assert ranges(server) == [None]
    assert path.read_bytes() == server.files[AUDIO_FILE]


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "text/plain"])
def test_a_page_of_html_is_no_file_and_costs_no_bytes(fetch, server, path, kind):
    fetch(drops(), *[answers(503)] * 3)
    (failure,) = fetch(answers(200, PAGE, Content_Type=kind))
    assert "a page that begins '<!DOCTYPE html><html>We are sorry" in failure
    assert part_of(path).stat().st_size == HALF
    assert not path.exists()


@pytest.mark.parametrize(
    "step",
    [
        lambda handler, content: undeclared(handler, content, HALF),
        lambda handler, content: handler.send(200, content[:HALF]),
        answers(200, b"\x89HDF nonsense"),
    ],
    ids=["truncated, no length", "truncated, length fits", "not HDF5"],
)
def test_damage_never_gets_the_name_of_the_file(fetch, server, path, step):
    (failure,) = fetch(step)
    assert "get it again" in failure and f"{AUDIO_FILE}.damaged" in failure
    assert not path.exists() and not part_of(path).exists()
    assert find_files(path.parent) == []
    assert fetch() == []
    assert ranges(server) == [None]


def test_the_digests_of_the_user_decide(fetch, server, path, tmp_path):
    good = hashlib.sha256(server.files[AUDIO_FILE]).hexdigest()
    sums = tmp_path / "sums.txt"
    sums.write_text(f"{'0' * 64}  {AUDIO_FILE}\n")
    (failure,) = fetch(checksums=sums)
    assert f"expected the SHA-256 {'0' * 64}" in failure and good in failure
    assert not path.exists()
    sums.write_text(f"{good} *some/folder/{AUDIO_FILE}\n")
    assert fetch(checksums=sums) == []
    assert fetch.lines[-1].endswith("as expected")
    assert fetch(checksums=path.parent / "checksums.json") == []
    sums.write_text(f"{good}  another.csd\n")
    assert fetch(checksums=sums) == []
    assert fetch.lines[0] == f"{AUDIO_FILE}: not named in {sums}"
    sums.write_text("not a digest\n")
    with pytest.raises(DataError, match=r"sums\.txt: expected 64 hexadecimal"):
        fetch(checksums=sums)


def test_a_changed_file_on_the_server_is_told(fetch, server, path):
    fetch()
    path.unlink()
    server.files[AUDIO_FILE] = server.files["other"]
    (failure,) = fetch()
    assert "was recorded when it came first" in failure
    assert not path.exists()


def test_other_files_go_on_and_the_exit_code_tells(server, tmp_path, capsys):
    server.script[AUDIO_FILE] = [answers(404)]
    arguments = ["mosei", "download", str(tmp_path), "--url", server.url]
    arguments += ["--only", "covarep", "labels", "--retries", "0"]
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert err.startswith("emorec: error: ") and f"{AUDIO_FILE}: the server" in err
    assert out.endswith("1 of 2 failed, 1 in place.\n")
    assert open_sequence(tmp_path / LABELS_FILE).name == LABELS
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert err == "" and f"All 2 are in {tmp_path}." in out


def test_a_server_that_is_down_is_waited_for_once(server, tmp_path):
    url = server.url
    server.shutdown()
    server.server_close()
    waits = []
    wanted = items(tmp_path, ("covarep", "labels"), url)
    failures = download(wanted, [].append, Patience(2, 5.0, waits.append))
    assert len(failures) == 2 and len(waits) == 2
    assert all("no connection" in failure for failure in failures)


def test_a_dry_run_asks_and_writes_nothing(server, tmp_path, capsys):
    arguments = ["mosei", "download", str(tmp_path / "new"), "--url", server.url]
    assert main([*arguments, "--dry_run", "-f", "both"]) == 0
    out = capsys.readouterr().out
    assert all(f"/{name}: to fetch" in out for name in FILES.values() if "CMU_" in name)
    assert server.requests == [] and not (tmp_path / "new").exists()


@pytest.mark.parametrize("kept", [0, HALF])
def test_a_full_disk_keeps_what_arrived(fetch, server, path, monkeypatch, kept):
    if kept:
        fetch(drops(), *[answers(503)] * 3)
    usage = type("Usage", (), {"free": 100})
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda folder: usage)
    (failure,) = fetch()
    assert "only 100 are free" in failure and "Make room" in failure
    assert part_of(path).exists() == bool(kept)
    assert not kept or part_of(path).stat().st_size == kept


def test_a_disk_that_fills_up_meanwhile_keeps_what_arrived(fetch, path, monkeypatch):
    whole = transfer._write

    class Full:
        def __init__(self, file):
            self.file = file

        def write(self, view):
            if self.file.tell() + len(view) > HALF:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return self.file.write(view)

        def tell(self):
            return self.file.tell()

    with monkeypatch.context() as patch:
        patch.setattr(
            transfer, "_write", lambda file, chunk, path: whole(Full(file), chunk, path)
        )
        (failure,) = fetch()
    assert "No space left on device" in failure and "make room" in failure
    assert not path.exists()
    assert fetch() == []


def test_a_folder_that_cannot_be_written_is_named(fetch, tmp_path, server):
    (tmp_path / "file").write_text("no folder")
    wanted = items(tmp_path / "file" / "data", ["covarep", "folds"], server.url)
    failures = download(wanted, [].append, Patience(0, 5.0))
    assert len(failures) == 2
    assert str(tmp_path / "file" / "data") in failures[0]
    assert "may write to" in failures[0]


def test_two_downloads_of_a_file_do_not_mix(fetch, server, path, tmp_path):
    entered, go_on = threading.Event(), threading.Event()

    def slow(handler, content):
        entered.set()
        assert go_on.wait(10)
        honest(handler, content)

    first = []
    thread = threading.Thread(target=lambda: first.extend(fetch(slow)))
    thread.start()
    assert entered.wait(10)
    wanted = items(tmp_path, ["covarep"], server.url)
    (failure,) = download(wanted, [].append, Patience(0, 5.0))
    go_on.set()
    thread.join()
    assert "another emorec is fetching this file" in failure
    assert first == [] and path.read_bytes() == server.files[AUDIO_FILE]


def test_an_interrupted_download_goes_on(server, path, tmp_path):
    stop = threading.Event()

    def stalls(handler, content):
        honest(handler, content, HALF)
        handler.wfile.flush()
        stop.wait(120)

    server.script[AUDIO_FILE] = [stalls]
    command = [sys.executable, "-m", "emorec", "mosei", "download", str(tmp_path)]
    command += ["--url", server.url, "--only", "covarep"]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Tests that a shell runs in the background inherit that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    with process:
        try:
            part = part_of(path)
            while not (part.exists() and part.stat().st_size == HALF):
                assert process.poll() is None
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        finally:
            stop.set()
            process.kill()
    assert process.returncode == 130
    assert "interrupted" in err and "Traceback" not in err
    assert part.stat().st_size == HALF
    assert main(command[3:]) == 0
    assert ranges(server)[-1] == f"bytes={HALF}-"
    assert path.read_bytes() == server.files[AUDIO_FILE]


SOURCE = b"""
standard_train_fold=['a', 'b']
standard_test_fold=['d']
other = 3
standard_valid_fold=['c']
"""


@pytest.mark.parametrize("source", [SOURCE, json.dumps(FOLDS).encode()])
def test_fold_lists_are_read_from_source_and_json(fetch, server, tmp_path, source):
    server.files["folds.py"] = source
    assert fetch(names=["folds"]) == []
    assert read_folds(tmp_path / "standard_folds.json") == FOLDS
    assert "train 2, valid 1, test 1 videos" in fetch.lines[-1]
    server.files["folds.py"] = b""
    assert fetch(names=["folds"]) == []  # there already


@pytest.mark.parametrize(
    "source, reason",
    [
        (b"standard_train_fold = __import__('os').listdir('/')", "malformed"),
        (PAGE, "expected the SDK's fold lists"),
        (b"standard_train_fold=['a']", "standard_valid_fold"),
        (SOURCE.replace(b"'c'", b"'a'"), "both train and valid"),
        (SOURCE.replace(b"'c'", b"3"), "standard_valid_fold"),
        (b"(" * 100_000, "expected the SDK's fold lists"),
        (b"\0", "expected the SDK's fold lists"),
    ],
)
def test_what_is_no_fold_list_is_refused(source, reason):
    with pytest.raises(DataError, match=reason):
        parse_folds(source, "somewhere")


def test_missing_fold_lists_say_where_they_come_from(fetch, tmp_path):
    (failure,) = fetch(names=["folds"])
    assert "404" in failure and "install mmsdk" in failure
    assert not (tmp_path / "standard_folds.json").exists()
