"""Stores and locations: local folders and whatever fsspec reaches read the same."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from emorec.artifacts import stores
from emorec.artifacts.cache import Cache
from emorec.artifacts.locations import Folder, location
from emorec.artifacts.stores import open_store
from emorec.errors import DataError, MissingExtraError, SpecError
from tests.small_stores import SETTINGS, same, toys, write_store

MADE = [entry for entry in toys() if entry.arrays]


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache", 10**6)


@pytest.fixture(params=["folder", "file", "memory", "local"])
def root(request, tmp_path):
    """A place for a store: paths are read directly, the last two through fsspec."""
    if request.param == "folder":
        return tmp_path / "store"
    if request.param == "file":
        return f"file://{tmp_path}/my%20store"
    fsspec = pytest.importorskip("fsspec", reason="needs the extra remote")
    if request.param == "local":
        # fsspec's other name of the local disk, where files are renamed.
        return f"local://{tmp_path}/store"
    fsspec.filesystem("memory").store.clear()
    return "memory://bucket/store"


def test_a_location_is_a_folder_of_whole_files(root, cache, tmp_path):
    where = location(root, cache)
    assert where.files() == where.files("shards") == {}
    assert not where.exists("a.txt")
    where.write("a.txt", b"first")
    where.write("a.txt", b"second")
    where.remove("not there")
    (tmp_path / "source").write_bytes(b"12345")
    where.put(tmp_path / "source", "shards/b.h5")
    assert where.read("a.txt") == b"second" and where.exists("a.txt")
    assert where.files() == {"a.txt": 6}
    assert where.files("shards") == {"shards/b.h5": 5}
    assert where.fetch("shards/b.h5").read_bytes() == b"12345"
    assert not where.exists("shards")
    again = pickle.loads(pickle.dumps(where))
    assert again == where and again.read("a.txt") == b"second"
    where.remove("a.txt")
    assert not where.exists("a.txt") and where.files() == {}
    for use in (where.read, where.fetch):
        with pytest.raises(DataError, match=r"store/a\.txt: "):
            use("a.txt")


def test_addresses_of_files_are_the_files(tmp_path):
    assert location(f"file://{tmp_path}/a%20b") == Folder(tmp_path / "a b")
    assert location(tmp_path).is_local and location("a/b") == Folder(Path("a/b"))


def test_a_store_gives_what_was_written(root, cache, tmp_path):
    write_store(root, toys(), scratch=tmp_path)
    with open_store(root, cache) as store:
        assert store.kind == "toy" and store.settings == SETTINGS
        assert store.ids == [entry.id for entry in MADE]
        for found, entry in zip(store.entries(), MADE, strict=True):
            same(found, entry)
        for entry in reversed(MADE):
            same(entry._replace(arrays=store.read(entry.id)), entry)
        assert set(store.read("toy02", ["times"])) == {"times"}
        assert [set(e.arrays) for e in store.entries(["crops"])] == 5 * [{"crops"}]
        assert store.failures.values.tolist() == [
            ["toy03", "", "toy03.mp4: no face in 7 frames."],
            ["toy05", "face", "no picture"],
        ]
        # While all are read, others may be.
        for found, entry in zip(store.entries(), MADE, strict=True):
            for other in MADE:
                store.read(other.id, ["times"])
            store.close()
            same(found, entry)
        again = pickle.loads(pickle.dumps(store))
        assert np.array_equal(again.read("toy06")["wide"], MADE[-1].arrays["wide"])
        again.close()


def test_what_is_missing_is_told_with_the_reason(root, cache, tmp_path):
    write_store(root, toys(), scratch=tmp_path)
    with open_store(root, cache) as store:
        with pytest.raises(DataError, match=r"toy03: nothing .*no face in 7 frames"):
            store.read("toy03")
        with pytest.raises(DataError, match=r"toy05: no crops .*face: no picture"):
            store.read("toy05", ["times", "crops"])
        with pytest.raises(DataError, match=r"store: no clip 'other'.*toy00, toy01"):
            store.read("other")


def test_a_place_without_a_store_is_told(root, cache, tmp_path):
    with pytest.raises(DataError, match=r"store: expected a store, found no ext.*json"):
        open_store(root, cache)
    location(root).write(stores.SETTINGS, b"[1]")
    with pytest.raises(DataError, match=r"extraction\.json: expected the settings"):
        open_store(root, cache)
    where = write_store(root, toys(), scratch=tmp_path)
    where.write(stores.PLAN, b"shard;id\n")
    with pytest.raises(DataError, match=r"plan\.csv: expected the columns shard, id"):
        _ = open_store(root, cache).ids


def test_an_unfinished_store_gives_its_finished_shards(root, cache, tmp_path):
    where = write_store(root, toys(), scratch=tmp_path)
    where.remove(stores.shard_name(1))
    where.remove(stores.FAILURES)
    with open_store(root, cache) as store:
        assert store.ids == ["toy00", "toy01", "toy02", "toy06"]
        assert [entry.id for entry in store.entries()] == store.ids
        with pytest.raises(DataError, match="no clip 'toy04' in its finished shards"):
            store.read("toy04")


def test_a_shard_of_other_settings_is_told(root, cache, tmp_path):
    where = write_store(root, toys(), scratch=tmp_path)
    write_store(
        tmp_path / "other", toys(), {"kind": "toy", "width": 4}, scratch=tmp_path
    )
    where.put(tmp_path / "other/shards/00001.h5", stores.shard_name(1))
    with open_store(root, cache) as store:
        store.read("toy00")
        with pytest.raises(DataError, match=r"00001\.h5: .*other settings.*json"):
            store.read("toy04")


def test_a_cut_or_damaged_shard_is_told_by_its_address(root, cache, tmp_path):
    where = write_store(root, toys(), scratch=tmp_path)
    data = where.read(stores.shard_name(0))
    where.write(stores.shard_name(0), data[:-100])
    where.write(stores.shard_name(1), b"not HDF5")
    flipped = bytearray(where.read(stores.shard_name(2)))
    flipped[flipped.find(MADE[-1].arrays["wide"].tobytes()[:64])] ^= 1
    where.write(stores.shard_name(2), bytes(flipped))
    with open_store(root, cache) as store:
        for clip, number in (("toy00", 0), ("toy04", 1)):
            with pytest.raises(DataError, match=rf"store/shards/0000{number}\.h5"):
                store.read(clip)
        with pytest.raises(DataError, match="damaged"):
            store.read("toy06")


def test_a_damaged_copy_is_fetched_anew(cache, tmp_path):
    pytest.importorskip("fsspec", reason="needs the extra remote")
    write_store("memory://bucket/copies", toys(), scratch=tmp_path)
    with open_store("memory://bucket/copies", cache) as store:
        path = store.where.fetch(stores.shard_name(2))
        data = bytearray(path.read_bytes())
        data[data.find(MADE[-1].arrays["wide"].tobytes()[:64])] ^= 1
        path.write_bytes(data)
        with pytest.raises(DataError, match=r"^memory://bucket/copies/shards/00002.h5"):
            store.read("toy06")
        same(MADE[-1]._replace(arrays=store.read("toy06")), MADE[-1])


def test_reading_a_clip_fetches_one_shard(monkeypatch, cache, tmp_path):
    fsspec = pytest.importorskip("fsspec", reason="needs the extra remote")
    write_store("memory://bucket/lazy", toys(), scratch=tmp_path)
    memory, fetched = type(fsspec.filesystem("memory")), []
    get_file = memory.get_file

    def counted(self, path, *args, **kwargs):
        fetched.append(path)
        return get_file(self, path, *args, **kwargs)

    monkeypatch.setattr(memory, "get_file", counted)
    with open_store("memory://bucket/lazy", cache) as store:
        assert len(store.ids) == 6 and fetched == []
        store.read("toy04")
        store.read("toy05", ["wide"])
        assert fetched == ["/bucket/lazy/shards/00001.h5"]
    with open_store("memory://bucket/lazy", cache) as store:
        store.read("toy04")
        assert len(fetched) == 1
        store.read("toy00")
    # Files that have changed in the store are fetched anew.
    changed = [
        e._replace(arrays={k: v[::-1] for k, v in e.arrays.items()}) for e in MADE
    ]
    write_store("memory://bucket/lazy", changed, scratch=tmp_path)
    with open_store("memory://bucket/lazy", cache) as store:
        for entry in changed:
            same(entry._replace(arrays=store.read(entry.id)), entry)
    assert fetched[2:] == [f"/bucket/lazy/shards/0000{n}.h5" for n in (0, 1)]
    assert len(list(cache.folder.iterdir())) == 2


@pytest.mark.parametrize("package", ["fsspec.core", "s3fs"])
def test_what_an_address_needs_is_named(monkeypatch, package):
    if package == "s3fs":
        pytest.importorskip("fsspec", reason="needs the extra remote")
        # As before anybody asked for s3.
        monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", False)
    monkeypatch.setitem(sys.modules, package, None)
    wanted = (
        rf"s3://bucket/x needs the package '{package[:5].rstrip('.')}.*emorec\[remote\]"
    )
    with pytest.raises(MissingExtraError, match=wanted):
        location("s3://bucket/x")


def test_an_address_that_nobody_knows_is_told():
    pytest.importorskip("fsspec", reason="needs the extra remote")
    with pytest.raises(
        SpecError, match=r"nowhere://x: expected a folder or an address"
    ):
        location("nowhere://x")


READER = """
import sys
from emorec.artifacts.cache import Cache
from emorec.artifacts.stores import open_store
store = open_store(sys.argv[1], Cache(sys.argv[2], 10**6))
print(len(list(store.entries())), sorted({"fsspec", "s3fs", "ray"} & set(sys.modules)))
"""


def test_a_local_store_needs_no_fsspec(tmp_path):
    write_store(tmp_path / "store", toys(), scratch=tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", READER, tmp_path / "store", tmp_path / "cache"],
        cwd=Path(__file__).resolve().parents[1],
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["6", "[]"], done.stderr
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    "error", [ConnectionError("gone"), KeyboardInterrupt(), OSError(28, "No space")]
)
def test_an_interrupted_download_is_told_and_leaves_nothing(
    monkeypatch, cache, tmp_path, error
):
    fsspec = pytest.importorskip("fsspec", reason="needs the extra remote")
    write_store("memory://bucket/broken", toys(), scratch=tmp_path)

    def half(self, path, place, *args, **kwargs):
        Path(place).write_bytes(self.cat_file(path)[:1000])
        raise error

    with open_store("memory://bucket/broken", cache) as store:
        with monkeypatch.context() as patch:
            patch.setattr(type(fsspec.filesystem("memory")), "get_file", half)
            told = (DataError, KeyboardInterrupt)
            with pytest.raises(told, match=r"broken/sh.*01\.h5: .*gone|\(No space|^$"):
                store.read("toy04")
        assert list(cache.folder.iterdir()) == []
        same(MADE[3]._replace(arrays=store.read("toy04")), MADE[3])


def test_an_interrupted_upload_leaves_the_earlier_file(monkeypatch, tmp_path):
    fsspec = pytest.importorskip("fsspec", reason="needs the extra remote")
    (tmp_path / "source").write_bytes(b"123456")
    where = location(f"local://{tmp_path}/store")
    where.write("a/x", b"earlier")

    def half(self, path, place, *args, **kwargs):
        Path(place).write_bytes(b"123")
        raise ConnectionError("gone")

    monkeypatch.setattr(type(fsspec.filesystem("local")), "put_file", half)
    with pytest.raises(DataError, match=r"store/a/x: .*gone"):
        where.put(tmp_path / "source", "a/x")
    assert where.read("a/x") == b"earlier"
    assert [path.name for path in (tmp_path / "store/a").iterdir()] == ["x"]
