import json
import weakref

import h5py
import numpy as np
import pytest

from emorec.errors import DataError
from emorec.sequences.csd import (
    REQUIRED_METADATA,
    ComputationalSequence,
    Rows,
    open_sequence,
    video_of,
    write_sequence,
)

GLUED = "dimension namescomputational sequence version"
METADATA = {key: f"the {key}" for key in REQUIRED_METADATA}
METADATA["dimension names"] = ["one", "two", "three"]
quiet = pytest.mark.filterwarnings("ignore::DeprecationWarning:mmsdk")


def rows(n, dtype="f4", times="f8", seed=0):
    rng = np.random.default_rng(seed)
    starts = np.sort(rng.uniform(0, 60, n))
    intervals = np.stack([starts, starts + 0.5], axis=1).astype(times)
    return Rows(intervals, (100 * rng.standard_normal((n, 3))).astype(dtype))


def assert_same_rows(received, expected):
    for got, want in zip(received, expected, strict=True):
        assert got.dtype == want.dtype
        assert got.shape == want.shape
        assert got.tobytes() == want.tobytes()


@pytest.fixture
def path(tmp_path):
    """Return a whole file of two entries."""
    entries = {"abc": rows(40), "xyz": rows(5, seed=1)}
    write_sequence(tmp_path / "toy.csd", "toy", entries.items(), METADATA)
    return tmp_path / "toy.csd"


def put(path, where, value):
    """Put `value` in the place of a dataset or group of a .csd file."""
    with h5py.File(path, "r+") as file:
        del file[where]
        if value is not None:
            file[where] = value


@pytest.mark.parametrize("level", [None, 1, 9])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i4", "u1"])
@pytest.mark.parametrize("times", ["f4", "f8"])
def test_what_is_written_is_read_back_to_the_bit(tmp_path, level, dtype, times):
    entries = {f"v{n}": rows(n, dtype, times, seed=n) for n in (0, 1, 7)}
    path = tmp_path / "new folder" / "toy.csd"
    write_sequence(path, "toy", entries.items(), METADATA, compression_level=level)
    sequence = open_sequence(path)
    assert (sequence.name, sequence.data.keys()) == ("toy", entries.keys())
    assert sequence.data["v7"]["features"].compression_opts == level
    for entry, expected in entries.items():
        assert_same_rows(sequence.read(entry), expected)


def test_features_that_are_not_finite_are_kept(tmp_path):
    odd = Rows(rows(1).intervals, np.array([[np.nan, np.inf, -np.inf]]))
    write_sequence(tmp_path / "odd.csd", "toy", [("v", odd)], METADATA)
    assert_same_rows(open_sequence(tmp_path / "odd.csd").read("v"), odd)


def test_metadata_is_read_back(path):
    expected = METADATA | {"root name": "toy"}
    assert open_sequence(path).metadata.items() >= expected.items()


def test_the_name_in_the_metadata_goes_before_the_root_group(path):
    put(path, "toy/metadata/root name", [json.dumps("OpenFace_2")])
    assert open_sequence(path).name == "OpenFace_2"
    put(path, "toy/metadata/root name", None)
    assert open_sequence(path).name == "toy"


def test_entries_of_one_video_are_pooled_in_stored_order():
    parts = {"v[1]": rows(2, seed=1), "w": rows(1), "v[0]": rows(3, seed=2)}
    data = {entry: part._asdict() for entry, part in parts.items()}
    sequence = ComputationalSequence(data, {"root name": "toy"}, "memory")
    assert sequence.videos == {"v": ["v[1]", "v[0]"], "w": ["w"]}
    pooled = map(np.concatenate, zip(parts["v[1]"], parts["v[0]"], strict=True))
    assert_same_rows(sequence.read_video("v"), Rows(*pooled))


@pytest.mark.parametrize("entry", ["a-B_c", "a-B_c[0]", "a-B_c[12]"])
def test_an_entry_belongs_to_the_video_before_its_bracket(entry):
    assert video_of(entry) == "a-B_c"


def test_the_writer_holds_one_entry_at_a_time(tmp_path):
    written = []

    def entries():
        for i in range(5):
            part = rows(2)
            # The last one is still the writer's loop variable.
            assert [ref() for ref in written[:-1]] == [None] * len(written[:-1])
            written.append(weakref.ref(part.features))
            yield f"v{i}", part
            del part

    write_sequence(tmp_path / "toy.csd", "toy", entries(), METADATA)
    assert len(written) == 5


def interrupted_by(error):
    yield "first", rows(3)
    raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), OSError("full")])
def test_an_interrupted_writing_leaves_nothing(tmp_path, error):
    with pytest.raises(type(error)):
        write_sequence(tmp_path / "toy.csd", "toy", interrupted_by(error), METADATA)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_writing_leaves_the_earlier_file(path):
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        write_sequence(path, "toy", interrupted_by(KeyboardInterrupt()), METADATA)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_bad_entries_are_refused_before_they_reach_the_file(path):
    before = path.read_bytes()
    short = Rows(rows(3).intervals[:2], rows(3).features)
    with pytest.raises(DataError, match=r"toy\.csd: entry 'bad': 2 intervals but 3"):
        write_sequence(path, "toy", [("good", rows(1)), ("bad", short)], METADATA)
    assert path.read_bytes() == before


def test_an_entry_written_twice_is_a_data_error(tmp_path):
    twice = [("v", rows(1)), ("v", rows(2))]
    with pytest.raises(DataError, match="'v'"):
        write_sequence(tmp_path / "toy.csd", "toy", twice, METADATA)


def test_writing_asks_for_the_required_metadata(tmp_path):
    metadata = {key: "x" for key in REQUIRED_METADATA if key != "creator"}
    with pytest.raises(DataError, match="metadata lacks creator"):
        write_sequence(tmp_path / "toy.csd", "toy", [], metadata)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.csd: no such file"):
        open_sequence(tmp_path / "gone.csd")


def test_a_truncated_file_is_called_truncated(path):
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"toy\.csd: .* truncated.*get it again"):
        open_sequence(path)


@pytest.mark.parametrize("content", [b"", b"<html>503 Service Unavailable</html>"])
def test_what_is_not_hdf5_is_refused(tmp_path, content):
    (tmp_path / "toy.csd").write_bytes(content)
    with pytest.raises(DataError, match=r"toy\.csd: cannot be opened.*not an HDF5"):
        open_sequence(tmp_path / "toy.csd")


@pytest.mark.parametrize(
    "make",
    [
        lambda file: None,
        lambda file: file.create_group("toy/metadata"),
        lambda file: file.create_dataset("toy", data=[1.0]),
        lambda file: file.create_dataset("toy/data", data=[1.0]),
    ],
    ids=["empty", "no data group", "root a dataset", "data a dataset"],
)
def test_hdf5_of_another_kind_is_refused(tmp_path, make):
    with h5py.File(tmp_path / "toy.csd", "w") as file:
        make(file)
    with pytest.raises(DataError, match=r"toy\.csd: .*not a computational sequence"):
        open_sequence(tmp_path / "toy.csd")


@pytest.mark.parametrize(
    "part, value, complaint",
    [
        ("intervals", None, "expected a dataset 'intervals', found none"),
        ("features", None, "expected a dataset 'features', found none"),
        ("intervals", np.zeros((40, 3)), r"intervals of shape \(n, 2\).* \(40, 3\)"),
        ("intervals", np.zeros(40), r"intervals of shape \(n, 2\).* \(40,\)"),
        ("features", np.zeros(40), r"features of shape \(n, d\).* \(40,\)"),
        ("features", np.zeros((40, 3, 2)), r"features of shape \(n, d\)"),
        ("features", np.zeros((39, 3)), "40 intervals but 39 feature rows"),
        ("features", [["a word"]] * 40, "features of numbers, received dtype object"),
        ("features", np.zeros((40, 3), "S4"), "features of numbers, received dtype"),
        ("features", np.zeros((40, 3), bool), "features of numbers, received dtype"),
        ("intervals", np.full((40, 2), np.nan), r"interval 0 is \[nan, nan\].*finite"),
        ("intervals", [[0, 1]] * 9 + [[0, np.inf]] * 31, r"interval 9 is \[0.0, inf\]"),
    ],
)
def test_damage_is_told_with_file_and_entry(path, part, value, complaint):
    put(path, f"toy/data/abc/{part}", value)
    sequence = open_sequence(path)
    with pytest.raises(DataError, match=rf"toy\.csd: entry 'abc': .*{complaint}"):
        sequence.read("abc")
    assert len(sequence.read("xyz").features) == 5


def test_an_entry_that_is_no_group_is_told_with_file_and_entry(path):
    put(path, "toy/data/abc", np.zeros((3, 2)))
    with pytest.raises(DataError, match=r"toy\.csd: entry 'abc'"):
        open_sequence(path).read("abc")


def test_damaged_bytes_inside_a_file_are_told_with_file_and_entry(path):
    with h5py.File(path) as file:
        chunk = file["toy/data/abc/features"].id.get_chunk_info(0)
    with path.open("r+b") as raw:
        raw.seek(chunk.byte_offset)
        raw.write(b"\0" * chunk.size)
    with pytest.raises(DataError, match=r"toy\.csd: entry 'abc': 'features' cannot"):
        open_sequence(path).read("abc")


def test_the_width_must_not_change_between_entries(path):
    put(path, "toy/data/xyz/features", np.zeros((5, 4)))
    (sequence := open_sequence(path)).read("abc")
    with pytest.raises(DataError, match=r"entry 'xyz': 4 features a row, .* have 3"):
        sequence.read("xyz")


def test_missing_metadata_is_listed_and_no_error(path):
    for key in ("creator", "contact"):
        put(path, f"toy/metadata/{key}", None)
    assert open_sequence(path).missing_metadata == ["creator", "contact"]
    put(path, "toy/metadata", None)
    assert open_sequence(path).missing_metadata == [
        key for key in REQUIRED_METADATA if key != "root name"
    ]


def test_the_glued_key_of_mmsdk_counts_for_both(path):
    for key in ("dimension names", "computational sequence version"):
        put(path, f"toy/metadata/{key}", None)
    assert GLUED in open_sequence(path).metadata
    assert open_sequence(path).missing_metadata == []


def test_metadata_that_is_not_json_is_kept_as_text(path):
    put(path, "toy/metadata/contact", ["nobody {"])
    assert open_sequence(path).metadata["contact"] == "nobody {"


@pytest.fixture
def mmsdk_sequence(monkeypatch):
    """Return mmsdk's own class of computational sequences."""
    mmdatasdk = pytest.importorskip("mmsdk.mmdatasdk")
    # Asked for missing metadata mmsdk waits for the keyboard.
    monkeypatch.setattr("builtins.input", lambda _: pytest.fail("mmsdk asked"))
    return mmdatasdk.computational_sequence


@quiet
def test_mmsdk_reads_what_emorec_writes_without_complaint(path, mmsdk_sequence, capsys):
    theirs = mmsdk_sequence(str(path))
    assert "| Warning |" not in capsys.readouterr().out
    ours = open_sequence(path)
    assert (theirs.root_name, theirs.metadata) == ("toy", ours.metadata)
    assert theirs.keys() == ours.data.keys()
    for entry in ours.data:
        arrays = [theirs[entry][part][...] for part in Rows._fields]
        assert_same_rows(Rows(*arrays), ours.read(entry))
        shared = ComputationalSequence.from_mmsdk(theirs).read(entry)
        assert_same_rows(shared, ours.read(entry))
    theirs.h5handle.close()


@quiet
def test_emorec_reads_what_mmsdk_writes(tmp_path, mmsdk_sequence):
    entries = {"abc": rows(40), "xyz": rows(5, "f8", "f4", seed=1)}
    theirs = mmsdk_sequence("toy")
    theirs.setData({entry: part._asdict() for entry, part in entries.items()})
    theirs.setMetadata(METADATA | {"root name": "toy", GLUED: "1.0"})
    theirs.deploy(str(tmp_path / "toy.csd"))
    ours = open_sequence(tmp_path / "toy.csd")
    assert ours.missing_metadata == []
    assert ours.metadata == theirs.metadata
    assert ours.data.keys() == entries.keys()
    for entry, expected in entries.items():
        assert_same_rows(ours.read(entry), expected)
