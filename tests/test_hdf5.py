"""Careful access to HDF5: links, declared sizes, names and texts of a .csd file."""

import errno
import json
import os
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from emorec.errors import DataError
from emorec.sequences.csd import ComputationalSequence, Rows, open_sequence
from emorec.sequences.csd import write_sequence as write
from tests.csd_damage import METADATA
from tests.csd_hostile import other_file, pack_a_bomb
from tests.harness import ROOT


def rows(width=5):
    return Rows(np.array([[0, 1], [1, 2.5]]), np.arange(2.0 * width).reshape(2, width))


@pytest.fixture
def path(tmp_path):
    write(tmp_path / "toy.csd", "toy", [("v0", rows()), ("w", rows())], METADATA)
    return tmp_path / "toy.csd"


def read_all(path):
    sequence = open_sequence(path)
    return {entry: sequence.read(entry) for entry in sequence.data}, sequence.metadata


PLACES = ["toy", "toy/data", "toy/data/v0", "toy/data/v0/features"]
INSIDE = {"toy": "all", "toy/data": "all/data", "toy/data/v0": "all/v0"}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("soft", [False, True])
def test_no_link_is_followed_to_another_file(path, place, soft):
    other = other_file(path)
    inside = INSIDE.get(place, "all/v0/features")
    with h5py.File(path, "r+") as file:
        del file[place]
        if soft:
            # Behind the last name, as the first root group is taken.
            file["zzz"] = h5py.ExternalLink(other, "/")
        outside = h5py.ExternalLink(other, inside)
        file[place] = h5py.SoftLink(f"/zzz/{inside}") if soft else outside
        # HDF5 itself follows it.
        assert file[place].name
    with pytest.raises(DataError, match=r"toy\.csd: .*links are not followed"):
        read_all(path)


def test_metadata_behind_a_link_counts_as_missing(path):
    other = other_file(path)
    with h5py.File(path, "r+") as file:
        del file["toy/metadata/creator"]
        file["toy/metadata/creator"] = h5py.ExternalLink(other, "all/metadata/stolen")
        assert file["toy/metadata/creator"][0]
    assert open_sequence(path).missing_metadata == ["creator"]


READER = """
import sys
from tests.csd_mutations import read_everything
print(read_everything(sys.argv[1]))
"""


def test_a_file_that_a_link_names_is_not_even_opened(path):
    # Opening a pipe waits for the other end, which can tell whether someone waits.
    pipe = path.with_name("pipe")
    os.mkfifo(pipe)
    with h5py.File(path, "r+") as file:
        for place in ("toy/data/v0", "toy/data/w/features", "toy/metadata/creator"):
            del file[place]
            file[place] = h5py.ExternalLink(str(pipe), "/")
    command = [sys.executable, "-c", READER, str(path)]
    reader = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    opened = False
    while reader.poll() is None:
        try:
            os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
            opened = True
        except OSError as error:
            assert error.errno == errno.ENXIO  # nobody waits
        time.sleep(0.01)
    assert reader.communicate()[0] == "2 refused\n"
    assert not opened


@pytest.mark.parametrize("virtual", [False, True])
def test_no_numbers_are_taken_from_another_file(path, virtual):
    other = other_file(path)
    with h5py.File(path, "r+") as file:
        group = file["toy/data/v0"]
        del group["features"]
        if virtual:
            layout = h5py.VirtualLayout((2, 5), "f4")
            layout[:] = h5py.VirtualSource(other, "all/v0/features", (8, 5))[:2]
            group.create_virtual_dataset("features", layout)
        else:
            raw = [(other, 0, 40)]
            group.create_dataset("features", (2, 5), "f4", external=raw)
        assert group["features"][()].shape == (2, 5)
    with pytest.raises(DataError, match=r"entry 'v0': 'features'.* from other files"):
        open_sequence(path).read("v0")


@pytest.mark.parametrize("form", [{}, {"chunks": (2, 5), "compression": "gzip"}])
def test_more_numbers_than_the_file_can_hold_are_not_read(path, form):
    with h5py.File(path, "r+") as file:
        del file["toy/data/v0/features"]
        shape = (10**12, 5)
        file.create_dataset("toy/data/v0/features", shape, "f4", **form)
    with pytest.raises(DataError, match=r"'v0': .* declares 20,000,000,000,000 bytes"):
        open_sequence(path).read("v0")


def test_a_chunk_that_unpacks_to_a_gigabyte_is_not_unpacked(path):
    pack_a_bomb(path, np.random.default_rng(0))
    with pytest.raises(DataError, match="larger packed than unpacked"):
        read_all(path)


@pytest.mark.parametrize("level", [None, 1, 9])
@pytest.mark.parametrize("draw", [np.zeros, np.random.default_rng(0).standard_normal])
def test_what_packs_best_and_worst_is_read(tmp_path, draw, level):
    # A thousandth of its size, or no smaller at all.
    features = draw((200_000, 5))
    intervals = np.tile([0.0, 1], (len(features), 1))
    path = tmp_path / "a.csd"
    write(path, "toy", [("v", Rows(intervals, features))], METADATA, level)
    read, _ = read_all(path)
    np.testing.assert_array_equal(read["v"].features, features)


def test_names_that_are_not_utf_8_are_shown_with_backslashes_and_read(path):
    with h5py.File(path, "r+") as file:
        data = file["toy/data"]
        h5py.h5g.create(data.id, b"caf\xe9")
        for part in Rows._fields:
            data[b"caf\xe9"][part] = data["w"][part]
    read, _ = read_all(path)
    assert list(read) == [r"caf\xe9", "v0", "w"]
    np.testing.assert_array_equal(read[r"caf\xe9"].features, rows().features)


@pytest.mark.parametrize(
    "form", [{"userblock_size": 512}, {"libver": "latest"}, {"track_order": True}]
)
def test_files_of_every_layout_of_hdf5_are_read_alike(path, form):
    other = path.with_name("other.csd")
    with h5py.File(path) as source, h5py.File(other, "w", **form) as file:
        source.copy("toy", file)
    (mine, metadata), (theirs, other_metadata) = read_all(other), read_all(path)
    assert metadata == other_metadata
    for entry, expected in theirs.items():
        for got, want in zip(mine[entry], expected, strict=True):
            assert got.tobytes() == want.tobytes()


@pytest.mark.parametrize("dtype", [h5py.string_dtype(), "S40"])
def test_texts_of_either_kind_are_read(path, dtype):
    text = json.dumps("ein Gespräch, \u2603")
    with h5py.File(path, "r+") as file:
        del file["toy/metadata/contact"]
        data = np.array([text.encode()], dtype if dtype == "S40" else object)
        file.create_dataset("toy/metadata/contact", data=data, dtype=dtype)
    assert open_sequence(path).metadata["contact"] == "ein Gespräch, \u2603"


@pytest.mark.parametrize("text", ["[" * 10**5, '"\\ud800"', "1" * 10**5, "nobody {"])
def test_a_text_that_is_no_json_or_cannot_be_written_stays_a_text(path, text):
    with h5py.File(path, "r+") as file:
        file["toy/metadata/contact"][0] = text
    assert open_sequence(path).metadata["contact"] == text


def test_zeros_among_the_texts_cost_these_and_no_more(path):
    # Reading them, HDF5 1.14 would search for ever.
    content = bytearray(path.read_bytes())
    at = content.rindex(b"GCOL")
    content[at + 16 : at + 2000] = bytes(1984)
    path.write_bytes(content)
    read, metadata = read_all(path)
    assert list(read) == ["v0", "w"]
    assert metadata.keys() < METADATA.keys() | {"root name", "md5"}


@pytest.mark.parametrize("bad", range(4))
@pytest.mark.parametrize("first", range(4))
def test_the_odd_entry_is_refused_in_whatever_order_they_are_read(bad, first):
    data = {f"v{i}": rows(3 if i == bad else 5)._asdict() for i in range(4)}
    sequence = ComputationalSequence(data, {"root name": "toy"}, "memory")
    refused = []
    for i in range(first, first + 4):
        try:
            sequence.read(f"v{i % 4}")
        except DataError as error:
            assert "3 features a row, but other entries have 5" in str(error)
            refused.append(i % 4)
    assert refused == [bad]
