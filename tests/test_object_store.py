"""Stores in an object store that speaks S3, by moto's server on this machine."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from emorec.artifacts import stores
from emorec.artifacts.cache import Cache
from emorec.artifacts.locations import location
from emorec.artifacts.stores import open_store
from emorec.errors import DataError
from tests.object_store import KEYS, free_port, make_bucket, server
from tests.small_stores import same, toys, write_store

pytest.importorskip("s3fs", reason="needs the extra remote")
pytest.importorskip("moto", reason="needs moto[server]")

MADE = [entry for entry in toys() if entry.arrays]
ROOT = "s3://bucket/some/store"


@pytest.fixture(scope="module")
def running():
    with server() as address:
        make_bucket(address)
        yield address


@pytest.fixture(autouse=True)
def keys(monkeypatch):
    import s3fs

    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    yield
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def written(running, monkeypatch, tmp_path):
    """A store in a bucket; the location of its folder."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", running)
    where = write_store(ROOT, toys(), scratch=tmp_path)
    yield where
    for folder in ("", "shards"):
        for name in where.files(folder):
            where.remove(name)


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache", 10**6)


def test_a_store_gives_what_was_written(written, cache):
    with open_store(ROOT, cache) as store:
        assert store.ids == [entry.id for entry in MADE]
        for found, entry in zip(store.entries(), MADE, strict=True):
            same(found, entry)
    assert list(written.files("shards")) == [stores.shard_name(n) for n in range(3)]


def test_a_put_is_one_object_and_nothing_beside_it(written, tmp_path):
    (tmp_path / "x").write_bytes(b"123")
    written.put(tmp_path / "x", "x")
    written.put(tmp_path / "x", "x")
    assert set(written.files()) == {
        *("x", stores.SETTINGS, stores.PLAN, stores.INDEX, stores.FAILURES)
    }
    system, folder = written.connect()
    assert len(system.find(folder)) == 5 + 3


def test_a_clip_takes_one_shard_and_a_changed_one_comes_anew(written, cache, tmp_path):
    with open_store(ROOT, cache) as store:
        store.read("toy04")
    assert len(list(cache.folder.iterdir())) == 1
    changed = [e._replace(arrays={k: -v for k, v in e.arrays.items()}) for e in toys()]
    write_store(ROOT, changed, scratch=tmp_path)
    with open_store(ROOT, cache) as store:
        same(changed[4]._replace(arrays=store.read("toy04")), changed[4])
    assert len(list(cache.folder.iterdir())) == 1


def test_a_cut_a_damaged_and_a_foreign_shard_are_told(written, cache):
    data = bytearray(written.read(stores.shard_name(0)))
    written.write(stores.shard_name(0), bytes(data[: len(data) // 2]))
    data = bytearray(written.read(stores.shard_name(1)))
    data[data.find(MADE[3].arrays["wide"].tobytes()[:64])] ^= 1
    written.write(stores.shard_name(1), bytes(data))
    written.write(stores.shard_name(2), b"shard,id\n")
    with open_store(ROOT, cache) as store:
        for number, clip in enumerate(("toy00", "toy04", "toy06")):
            with pytest.raises(DataError, match=rf"^{ROOT}/shards/0000{number}\.h5: "):
                store.read(clip)
    # Nothing that cannot be read stays.
    assert list(cache.folder.iterdir()) == []


def test_a_missing_bucket_is_told(written, cache, tmp_path):
    with pytest.raises(DataError, match=r"s3://other/x: expected a store"):
        open_store("s3://other/x", cache)
    (tmp_path / "x").write_bytes(b"123")
    for write in (
        lambda where: where.write("x", b"123"),
        lambda where: where.put(tmp_path / "x", "x"),
    ):
        with pytest.raises(DataError, match=r"s3://other/x/x: .*bucket does not exist"):
            write(location("s3://other/x"))


def test_wrong_keys_are_told(monkeypatch, cache):
    # From the first request on, this server wants keys that it knows.
    with server(INITIAL_NO_AUTH_ACTION_COUNT="0") as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        where = location("s3://bucket/x", cache)
        for use in (
            lambda: where.exists("a"),
            lambda: where.files(),
            lambda: where.read("a"),
            lambda: where.write("a", b"1"),
            lambda: where.fetch("a"),
        ):
            with pytest.raises(DataError, match=r"s3://bucket/x.*: no access .*keys"):
                use()


def test_a_store_that_does_not_answer_is_told_in_time(monkeypatch, cache):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    start = time.monotonic()
    with pytest.raises(
        DataError, match=r"s3://bucket/x/ext.*ould not connect.*network"
    ):
        open_store("s3://bucket/x", cache)
    assert time.monotonic() - start < 60


READER = """
import sys
from emorec.artifacts.cache import Cache
from emorec.artifacts.stores import open_store
store = open_store(sys.argv[1], Cache(sys.argv[2], 10**6))
print(len(list(store.entries())))
"""


def test_two_processes_share_a_cache(written, cache):
    command = [sys.executable, "-c", READER, ROOT, str(cache.folder)]
    place = Path(__file__).resolve().parents[1]
    both = [
        subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [process.communicate(timeout=120)[0] for process in both] == ["6\n"] * 2
    assert len(list(cache.folder.glob("*.h5"))) == 3
