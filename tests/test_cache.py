"""The cache of remote files: its bound, its order, and several processes at a time."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from emorec.artifacts.cache import Cache
from emorec.errors import DataError, SpecError

ROOT = Path(__file__).resolve().parents[1]


def writing(data, calls=None):
    def get(path):
        if calls is not None:
            calls.append(path)
        path.write_bytes(data)

    return get


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache", 1000)


def fetch(cache, name, calls=None, size=300, stamp="1"):
    path = cache.fetch(f"s3://b/{name}.h5", [stamp], size, writing(bytes(size), calls))
    time.sleep(0.002)  # times of last use that differ
    return path


def held(cache):
    return sum(path.stat().st_size for path in cache.folder.iterdir())


def test_a_file_is_fetched_once(cache):
    calls = []
    first = fetch(cache, "a", calls)
    assert first.read_bytes() == bytes(300) and first.suffix == ".h5"
    assert fetch(cache, "a", calls) == first and len(calls) == 1
    assert list(cache.folder.iterdir()) == [first]


def test_another_content_replaces_the_earlier_one(cache):
    first = fetch(cache, "a")
    second = fetch(cache, "a", stamp="2")
    third = fetch(cache, "a", size=301, stamp="2")
    assert len({first, second, third}) == 3
    assert list(cache.folder.iterdir()) == [third]


def test_the_least_recently_used_goes_first(cache):
    a, b, c = (fetch(cache, name) for name in "abc")
    fetch(cache, "a")
    d = fetch(cache, "d")
    assert held(cache) == 900 and set(cache.folder.iterdir()) == {a, c, d}
    big = fetch(cache, "big", size=700)
    assert set(cache.folder.iterdir()) == {d, big} and not b.exists()
    assert held(cache) == 1000


def test_the_bound_is_kept_after_every_file(cache):
    for number in range(40):
        fetch(cache, str(number % 11), size=50 + 37 * (number % 11))
        assert held(cache) <= 1000


def test_a_file_larger_than_the_cache_is_refused_before_it_comes(cache):
    calls = []
    kept = fetch(cache, "a")
    with pytest.raises(
        SpecError, match=r"s3://b/c\.h5: its 1,001 bytes .*EMOREC_CACHE_GB"
    ):
        fetch(cache, "c", calls, size=1001)
    assert calls == [] and kept.exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_fetch_leaves_nothing(cache, error):
    def get(path):
        path.write_bytes(b"half")
        raise error

    with pytest.raises(error):
        cache.fetch("s3://b/a.h5", ["1"], 300, get)
    assert list(cache.folder.iterdir()) == []


def test_a_copy_that_was_cut_off_is_fetched_anew(cache):
    calls = []
    fetch(cache, "a", calls).write_bytes(b"cut")
    assert fetch(cache, "a", calls).stat().st_size == 300 and len(calls) == 2


def test_other_than_the_announced_bytes_are_refused(cache):
    with pytest.raises(DataError, match="expected 300 bytes, received 4"):
        cache.fetch("s3://b/a.h5", ["1"], 300, writing(b"half"))
    assert list(cache.folder.iterdir()) == []


def test_the_environment_names_folder_and_bound(monkeypatch, tmp_path):
    monkeypatch.setenv("EMOREC_CACHE", str(tmp_path))
    monkeypatch.setenv("EMOREC_CACHE_GB", "0.5")
    assert Cache() == Cache(tmp_path, 500_000_000)
    for wrong in ("0", "-1", "much", "nan", "inf"):
        monkeypatch.setenv("EMOREC_CACHE_GB", wrong)
        with pytest.raises(SpecError, match=f"EMOREC_CACHE_GB={wrong}: expected giga"):
            Cache()
    monkeypatch.delenv("EMOREC_CACHE_GB")
    assert Cache().limit == 10**10
    with pytest.raises(SpecError, match="0 bytes"):
        Cache(limit=0)


# Writes half, says so, and the rest a while later.
FETCHER = """
import sys, time
from pathlib import Path
from emorec.artifacts.cache import Cache
folder, pause, log = sys.argv[1], float(sys.argv[2]), Path(sys.argv[3])
def get(path):
    path.write_bytes(bytes(150))
    with log.open("a") as file:
        file.write("fetched\\n")
    time.sleep(pause)
    path.write_bytes(bytes(300))
path = Cache(folder, 1000).fetch("s3://b/a.h5", ["1"], 300, get)
print(path.read_bytes() == bytes(300))
"""


def start(cache, pause, log):
    return subprocess.Popen(
        [sys.executable, "-c", FETCHER, cache.folder, str(pause), log],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_of_several_processes_one_fetches(cache, tmp_path):
    processes = [start(cache, 0.3, tmp_path / "log") for _ in range(3)]
    assert [process.communicate(timeout=60)[0] for process in processes] == [
        "True\n"
    ] * 3
    assert (tmp_path / "log").read_text() == "fetched\n"
    assert [path.stat().st_size for path in cache.folder.iterdir()] == [300]


@pytest.mark.skipif(os.name == "nt", reason="needs kill -9")
def test_what_a_killed_process_had_in_hand_is_no_copy_and_goes(cache, tmp_path):
    process = start(cache, 60, tmp_path / "log")
    until = time.monotonic() + 60
    while not (tmp_path / "log").exists() and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    calls = []
    path = fetch(cache, "a", calls)
    assert len(calls) == 1 and path.read_bytes() == bytes(300)
    assert [name for name in os.listdir(cache.folder) if "lock" not in name] == [
        path.name
    ]
