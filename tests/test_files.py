"""Files become whole or not at all; tables grow without misaligning."""

import os
import stat

import numpy as np
import pandas as pd
import pytest

from emorec.artifacts.tables import put_rows, write_table
from emorec.errors import DataError
from emorec.files import digest, fingerprint, read_json, whole_file, write_json


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_its_block_ends(tmp_path):
    path = tmp_path / "new" / "folder" / "file.txt"
    with whole_file(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
        assert temporary.parent == path.parent
    assert path.read_text() == "whole"
    assert names(path.parent) == ["file.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("earlier", [None, "earlier"])
def test_an_interruption_leaves_the_earlier_file_or_none(tmp_path, error, earlier):
    path = tmp_path / "file.txt"
    if earlier:
        path.write_text(earlier)
    with pytest.raises(error), whole_file(path) as temporary:
        temporary.write_text("half")
        raise error
    assert names(tmp_path) == ["file.txt"] * bool(earlier)
    assert not earlier or path.read_text() == earlier


@pytest.mark.parametrize(
    "name", ["model.keras", "epoch_3.weights.h5", "l_2_d_0.2_b_32_s_45.pkl", "plain"]
)
def test_the_temporary_file_keeps_the_suffixes(tmp_path, name):
    with whole_file(tmp_path / name) as temporary:
        assert temporary.suffixes == (tmp_path / name).suffixes
        temporary.write_text("")
    assert names(tmp_path) == [name]


def test_files_have_the_permissions_of_other_files(tmp_path):
    (tmp_path / "usual").touch()
    write_json(tmp_path / "file.json", 1)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path):
    with (
        pytest.raises(DataError, match="expected a file to write, found a folder"),
        whole_file(tmp_path),
    ):
        pass


def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(DataError, match=r"file.sub\.json: cannot be written"),
        whole_file(tmp_path / "file" / "sub.json"),
    ):
        pass


def test_json_is_read_as_it_was_written(tmp_path):
    content = {"é": [1, 2.5, None, True], "nested": {"a": "b"}}
    write_json(tmp_path / "file.json", content)
    assert read_json(tmp_path / "file.json") == content


@pytest.mark.parametrize("content", [None, b"{", b"\xff\xfe\x00"])
def test_what_is_not_json_is_refused_by_name(tmp_path, content):
    if content:
        (tmp_path / "file.json").write_bytes(content)
    with pytest.raises(DataError, match=r"file\.json: (cannot be read|expected JSON)"):
        read_json(tmp_path / "file.json")


def test_a_digest_identifies_the_content_and_not_its_order():
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    different = [{"a": 1}, {"a": 2}, {"b": 1}, {"a": [1]}, {"a": "1"}, [1]]
    assert len({digest(content) for content in different}) == len(different)


def test_a_fingerprint_changes_with_a_file(tmp_path):
    paths = [tmp_path / "b.csd", tmp_path / "a.csd"]
    for path in paths:
        path.write_text("x")
    before = fingerprint(paths)
    assert list(before) == ["a.csd", "b.csd"]
    assert fingerprint(paths[::-1]) == before
    paths[0].write_text("xy")
    os.utime(paths[1], ns=(1, 1))
    after = fingerprint(paths)
    assert all(after[name] != before[name] for name in before)


def row(run, value=0.5, threshold="0"):
    return {"run": run, "threshold": threshold, "mae": value}


KEYS = ("run", "threshold")


def read(path):
    return pd.read_csv(path, dtype=str, keep_default_na=False).to_dict("records")


def test_rows_of_another_run_are_appended(tmp_path):
    path = tmp_path / "csv" / "table.csv"
    for run in "abc":
        put_rows(path, [row(run), row(run, 0.7, "valid")], KEYS)
    assert [r["run"] for r in read(path)] == list("aabbcc")
    assert names(path.parent) == ["table.csv"]


def test_a_repeated_run_leaves_the_table_as_it_was(tmp_path):
    path = tmp_path / "table.csv"
    rows = {run: [row(run, value), row(run, 1 / 3, "valid")] for run, value in
            [("a", 0.1), ("007", 1e-9), ("c d", 12345678.9)]}  # fmt: skip
    for part in rows.values():
        put_rows(path, part, KEYS)
    before = path.read_bytes()
    put_rows(path, rows["c d"], KEYS)
    assert path.read_bytes() == before


def test_rows_of_the_same_keys_are_replaced(tmp_path):
    path = tmp_path / "table.csv"
    for run in "ab":
        put_rows(path, [row(run, 0.1), row(run, 0.2, "valid")], KEYS)
    put_rows(path, [row("a", 0.9)], KEYS)
    found = {(r["run"], r["threshold"]): r["mae"] for r in read(path)}
    expected = {("a", "0"): "0.9", ("a", "valid"): "0.2"}
    assert found == expected | {("b", "0"): "0.1", ("b", "valid"): "0.2"}


@pytest.mark.parametrize("key", [3, 0.001, 1e-5, True, "", "a,b", 'say "x"', "NA"])
def test_keys_of_every_kind_are_recognised(tmp_path, key):
    path = tmp_path / "table.csv"
    for value in (0.1, 0.2):
        put_rows(path, [row("other"), row(key, value)], KEYS)
    assert [float(r["mae"]) for r in read(path)] == [0.5, 0.2]


def test_earlier_rows_keep_every_digit(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(
        "run,threshold,mae\n007,0.10,0.12345678901234567890\nNA,,1e-400\nx,1,\n"
    )
    before = read(path)
    put_rows(path, [row("new", np.nan)], KEYS)
    assert read(path)[:3] == before
    assert read(path)[3] == {"run": "new", "threshold": "0", "mae": ""}


@pytest.mark.parametrize(
    "header", ["run,threshold,mse", "run,threshold", "mae,run,threshold"]
)
def test_a_table_with_other_columns_is_refused_and_left(tmp_path, header):
    path = tmp_path / "table.csv"
    path.write_text(f"{header}\n" + ",".join("1" * (header.count(",") + 1)) + "\n")
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"table\.csv: its columns are not those"):
        put_rows(path, [row("a")], KEYS)
    assert path.read_bytes() == before


def test_a_table_that_is_no_csv_is_refused(tmp_path):
    path = tmp_path / "table.csv"
    for content in (b"", b"a,b\n1,2,3\n\xff"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"table\.csv: expected a CSV table"):
            put_rows(path, [row("a")], KEYS)


def test_a_table_has_a_header_no_index_and_empty_cells(tmp_path):
    table = pd.DataFrame({"id": ["a", "b"], "x": [0.1, np.nan], "n": [1, 2]})
    write_table(tmp_path / "table.csv", table.iloc[::-1])
    assert (tmp_path / "table.csv").read_text() == "id,x,n\nb,,2\na,0.1,1\n"
    assert names(tmp_path) == ["table.csv"]
