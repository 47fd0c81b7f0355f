"""Pickles are read as data: what they hold comes back, what they could run does not."""

import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest

from emorec.artifacts.pickles import read_pickle, write_pickle
from emorec.errors import DataError

RNG = np.random.default_rng(0)


def rows(n, d):
    intervals = np.sort(RNG.uniform(0, 9, (n, 2)), axis=1)
    return {"intervals": intervals, "features": RNG.normal(0, 1, (n, d)).astype("f4")}


WIDTHS = {"glove_vectors": 300, "COVAREP": 74, "All Labels": 7}
FORMATS = {
    "aligned dataset": {
        name: {f"video{i}[{i}]": rows(i + 1, width) for i in range(3)}
        for name, width in WIDTHS.items()
    },
    "fold": [
        [RNG.normal(0, 1, (n, 409)).astype("f4") for n in (2, 5)],
        [RNG.uniform(0, 3, (1, 6)).astype("f4") for _ in range(2)],
        ["video[0]", "vidéo_-x[11]"],
    ],
    "scores": RNG.uniform(0, 3, (9, 7)).astype("f4"),
    "classes": RNG.integers(0, 2, (9, 6)).astype("i1"),
    "confusion": RNG.integers(0, 99, (6, 2, 2)),
    "other data": (
        OrderedDict(a=1, b=None),
        {1, 2.5, "x"},
        frozenset([True]),
        [np.float32(0.1), np.int64(-3), np.bool_(True), 1 + 2j, b"\x00\xff"],
        np.asfortranarray(RNG.normal(0, 1, (4, 3))),
        np.array(["a", "bcd"]),
        np.array([None, "objects", 3], dtype=object),
        np.array(7.0),
    ),
    "no rows": np.zeros((0, 5)),
}


def assert_same(received, expected):
    """Compare containers to the bit, types included."""
    assert type(received) is type(expected)
    if isinstance(expected, dict):
        assert list(received) == list(expected)
        received, expected = list(received.values()), list(expected.values())
    if isinstance(expected, list | tuple):
        assert len(received) == len(expected)
        for mine, theirs in zip(received, expected, strict=True):
            assert_same(mine, theirs)
    elif isinstance(expected, np.ndarray):
        assert (received.dtype, received.shape) == (expected.dtype, expected.shape)
        assert received.tolist() == expected.tolist()
    else:
        assert received == expected


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_written_is_read_back(tmp_path, name):
    path = tmp_path / "new folder" / "file.pkl"
    write_pickle(path, FORMATS[name])
    assert_same(read_pickle(path), FORMATS[name])


@pytest.mark.parametrize("name", FORMATS)
def test_other_programs_read_what_is_written(tmp_path, name):
    write_pickle(tmp_path / "file.pkl", FORMATS[name])
    with (tmp_path / "file.pkl").open("rb") as file:
        assert_same(pickle.load(file), FORMATS[name])


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_every_protocol_are_read(tmp_path, name, protocol):
    (tmp_path / "file.pkl").write_bytes(pickle.dumps(FORMATS[name], protocol))
    assert_same(read_pickle(tmp_path / "file.pkl"), FORMATS[name])


@pytest.mark.parametrize("name", FORMATS)
def test_pickles_of_the_first_numpy_are_read(tmp_path, name):
    content = pickle.dumps(FORMATS[name], 2)
    (tmp_path / "file.pkl").write_bytes(content.replace(b"numpy._core", b"numpy.core"))
    assert_same(read_pickle(tmp_path / "file.pkl"), FORMATS[name])


class Runs:
    """A thing whose unpickling makes a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("place", ["alone", "in a list", "in an array", "as a key"])
def test_code_is_refused_by_name_and_not_run(tmp_path, protocol, place):
    proof = tmp_path / "was run"
    thing = Runs(proof)
    content = {
        "alone": thing,
        "in a list": [1, [thing]],
        "in an array": np.array([thing, 1], dtype=object),
        "as a key": {"a": {thing: 1}},
    }[place]
    (tmp_path / "file.pkl").write_bytes(pickle.dumps(content, protocol))
    with pytest.raises(DataError, match=rf"file\.pkl: forbidden global '{os.name}\."):
        read_pickle(tmp_path / "file.pkl")
    assert not proof.exists()
    pickle.loads((tmp_path / "file.pkl").read_bytes())
    assert proof.exists()  # so the file was dangerous


@pytest.mark.parametrize(
    "module, name",
    [
        ("os", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("__builtin__", "__import__"),
        ("numpy", "load"),
        ("numpy", "ndarray.tofile"),
        ("numpy._core.multiarray", "fromfile"),
        ("collections", "namedtuple"),
        ("_codecs", "lookup"),
        ("pickle", "loads"),
    ],
)
def test_only_named_functions_are_known(tmp_path, module, name):
    calls = f"c{module}\n{name}\n(S'x'\ntR.".encode()
    short = b"".join(b"\x8c" + bytes([len(x)]) + x.encode() for x in (module, name))
    for content in (calls, b"\x80\x04" + short + b"\x93."):
        (tmp_path / "file.pkl").write_bytes(content)
        with pytest.raises(DataError, match=f"forbidden global '{module}.{name}'"):
            read_pickle(tmp_path / "file.pkl")


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_truncated_pickle_is_refused_wherever_it_ends(tmp_path, protocol):
    content = pickle.dumps([np.arange(3.0), {"a": "text", "b": (1, 2)}], protocol)
    for end in range(len(content)):
        (tmp_path / "file.pkl").write_bytes(content[:end])
        with pytest.raises(DataError, match=r"file\.pkl: not a pickle, or a damaged"):
            read_pickle(tmp_path / "file.pkl")


@pytest.mark.parametrize(
    "content", [b"id,score\n1,2\n", b"\x93NUMPY\x01\x00", b"PK\x03\x04", b"\xff" * 40]
)
def test_what_is_no_pickle_is_refused(tmp_path, content):
    (tmp_path / "file.pkl").write_bytes(content)
    with pytest.raises(DataError, match=r"file\.pkl: not a pickle, or a damaged"):
        read_pickle(tmp_path / "file.pkl")


@pytest.mark.parametrize(
    "intact, damaged",
    [(b"latin1", b"ltain1"), (b"X\x02\x00\x00\x00", b"\x8d" + b"\xff" * 8)],
    ids=["a codec's name", "a length"],
)
def test_a_damaged_pickle_is_refused(tmp_path, intact, damaged):
    content = pickle.dumps(["zz", np.arange(200, dtype="u1")], 2)
    assert intact in content
    (tmp_path / "file.pkl").write_bytes(content.replace(intact, damaged, 1))
    with pytest.raises(DataError, match=r"file\.pkl: not a pickle, or a damaged"):
        read_pickle(tmp_path / "file.pkl")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"absent\.pkl: no such file"):
        read_pickle(tmp_path / "absent.pkl")
    with pytest.raises(DataError, match=str(tmp_path)):
        read_pickle(tmp_path)
