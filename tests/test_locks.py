"""Locks end with their process, and what killed writers leave is removed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from emorec.artifacts.tables import put_rows
from emorec.errors import BusyError, DataError
from emorec.files import exclusive, whole_file
from tests.harness import ROOT

HOLD = """
import sys, time
from emorec.files import exclusive, whole_file
with exclusive(sys.argv[1]), whole_file(sys.argv[2]) as temporary:
    temporary.write_text("half")
    print("held", flush=True)
    time.sleep(60)
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def holder(tmp_path):
    """Return a process that holds a lock and writes a file, both in `tmp_path`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "lock", tmp_path / "file.txt"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_lock_that_another_process_holds_is_busy_until_it_is_killed(holder, tmp_path):
    busy = pytest.raises(BusyError, match="wait for it")
    with busy, exclusive(tmp_path / "lock", "wait for it"):
        pass
    holder.kill()
    holder.wait()
    with exclusive(tmp_path / "lock", "wait for it"):
        assert (tmp_path / "lock").exists()
    assert not (tmp_path / "lock").exists()


def test_what_a_killed_writer_left_goes_and_what_a_live_one_writes_stays(
    holder, tmp_path
):
    (half,) = tmp_path.glob(".writing-*")
    with whole_file(tmp_path / "other.txt") as temporary:
        temporary.write_text("whole")
    assert half.exists()
    holder.kill()
    holder.wait()
    with whole_file(tmp_path / "other.txt") as temporary:
        temporary.write_text("whole")
    assert not half.exists()
    assert "other.txt" in names(tmp_path)
    assert "file.txt" not in names(tmp_path)


def test_rests_of_unknown_machines_go_after_a_day(tmp_path):
    young, old = tmp_path / ".writing-elsewhere-1-a", tmp_path / ".writing-b"
    for path in (young, old):
        path.write_text("half")
    os.utime(old, (time.time() - 2 * 24 * 3600,) * 2)
    with whole_file(tmp_path / "file.txt"):
        pass
    assert names(tmp_path) == [young.name, "file.txt"]


def test_a_folder_that_is_slow_to_look_through_is_not_at_each_writing(
    monkeypatch, tmp_path
):
    looks, glob = [], Path.glob

    def slowly(folder, pattern):
        looks.append(folder)
        time.sleep(0.05)
        return glob(folder, pattern)

    monkeypatch.setattr(Path, "glob", slowly)
    for number in range(20):
        with whole_file(tmp_path / f"{number}.txt") as temporary:
            temporary.write_text("whole")
    # Next after 5 s.
    assert 1 <= len(looks) <= 3
    assert len(names(tmp_path)) == 20


APPEND = """
import sys
from emorec.artifacts.tables import put_rows
for number in range(20):
    put_rows(sys.argv[1], [{"run": sys.argv[2] + str(number), "value": 1}], ["run"])
"""


def test_processes_that_write_one_table_at_once_lose_no_row(tmp_path):
    table = tmp_path / "table.csv"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", APPEND, table, name],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for name in "abc"
    ]
    assert [process.wait() for process in processes] == [0, 0, 0]
    expected = {f"{name}{number}" for name in "abc" for number in range(20)}
    assert set(pd.read_csv(table)["run"]) == expected
    assert names(tmp_path) == ["table.csv"]


def test_a_lock_in_a_place_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("no folder")
    refused = pytest.raises(DataError, match="cannot be written")
    with refused, exclusive(tmp_path / "file" / "lock"):
        pass
    # And a table there, too.
    with pytest.raises(DataError, match="cannot be written"):
        put_rows(tmp_path / "file" / "table.csv", [{"run": "a"}], ["run"])
