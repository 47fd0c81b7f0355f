"""Extraction: what is done is not done again, and what failed is a row.

Here without Ray; the same on Ray is in test_extraction_ray.py.
"""

import os
import resource
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from emorec.artifacts.stores import open_store
from emorec.cluster.extraction_notes import DEATHS, Note
from emorec.errors import DataError
from tests.extraction_recipes import (
    CALLS,
    ROOT,
    Drawn,
    calls,
    content,
    draw,
    extract,
    start,
    times,
    wait_for,
)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder for clips and results; the extracted clips are noted in it."""
    (tmp_path / "calls").mkdir()
    monkeypatch.setenv(CALLS, str(tmp_path / "calls"))
    return tmp_path


@pytest.fixture
def run(place, command):
    """Return a function that extracts clips/ into out/, in shards of 8."""

    def run(*options, output="out"):
        words = [place / "clips", "--output", place / output, "--shard_size", 8]
        return command(extract, *words, "--local", *options)

    return run


def undisturbed(place, run):
    """Return what one call extracts of the clips."""
    assert run(output="undisturbed").code in (0, 3)
    return content(place / "undisturbed")


def test_all_clips_are_extracted_once_and_never_again(place, run):
    draw(place / "clips", 20)
    result = run()
    assert result.code == 0, result.err
    assert "20 clips: 20 new, 0 before, 0 failed" in result.out
    names = [f"c{number:05d}" for number in range(20)]
    assert calls(place / "calls") == names
    arrays, failures, settings = content(place / "out")
    assert list(arrays) == names
    for name in names:
        clip = np.load(place / "clips" / f"{name}.npy")
        assert arrays[name]["twice"] == (clip * np.float32(2)).tolist()
    assert failures == {"id": [], "part": [], "reason": []}
    assert settings == {"kind": "drawn", **Drawn().settings()}
    before = times(place / "out")
    again = run()
    assert "20 clips: 0 new, 20 before, 0 failed" in again.out
    assert calls(place / "calls") == names
    assert times(place / "out") == before
    left = {"extraction.json", "plan.csv", "shards", "shards.csv", "failures.csv"}
    assert {path.name for path in (place / "out").iterdir()} == left


def test_new_clips_are_appended_and_a_changed_one_is_redone_alone(place, run):
    draw(place / "clips", 20)
    run()
    plan = pd.read_csv(place / "out" / "plan.csv")
    before = times(place / "out")
    draw(place / "clips", 3, first=20)
    draw(place / "clips", 1, names={0: "first"})
    np.save(place / "clips" / "c00009.npy", np.ones((2, 4), np.float32))
    result = run()
    assert result.code == 0, result.err
    assert "24 clips: 5 new, 19 before" in result.out
    made = ["c00000-first", "c00009", "c00020", "c00021", "c00022"]
    assert sorted(calls(place / "calls")[20:]) == made
    now = pd.read_csv(place / "out" / "plan.csv")
    assert now[["shard", "id"]][:20].equals(plan[["shard", "id"]])
    assert (now["shard"][20:] == 3).all()
    after = times(place / "out")
    assert {name for name in after if after[name] != before.get(name)} == (
        {"00001.h5", "00003.h5"}
    )
    arrays, _, _ = content(place / "out")
    assert arrays["c00009"]["sums"] == [4.0, 4.0]
    assert len(arrays) == 24
    assert {k: arrays[k] for k in sorted(arrays)} == {
        k: v for k, v in sorted(undisturbed(place, run)[0].items())
    }


def test_clips_that_are_not_given_stay(place, run):
    draw(place / "clips", 12)
    run()
    (place / "clips" / "c00003.npy").unlink()
    np.save(place / "clips" / "c00004.npy", np.ones((2, 4), np.float32))
    result = run()
    assert "11 clips: 1 new, 10 before" in result.out
    arrays, _, _ = content(place / "out")
    assert len(arrays) == 12 and arrays["c00004"]["sums"] == [4.0, 4.0]


def test_failures_are_rows_and_tried_again_when_asked(place, run):
    draw(place / "clips", 12, names={3: "bad", 9: "partly"})
    result = run()
    assert result.code == 3
    assert "left out: c00003-bad: " in result.out
    assert "12 clips: 12 new, 0 before, 2 failed" in result.out
    table = pd.read_csv(place / "out" / "failures.csv", keep_default_na=False)
    assert table["id"].tolist() == ["c00003-bad", "c00009-partly"]
    assert table["part"].tolist() == ["", "sums"]
    assert table["reason"][0].endswith("c00003-bad.npy: bad, as asked.")
    index = pd.read_csv(place / "out" / "shards.csv")
    assert index["failed"].tolist() == [1, 1]
    with open_store(place / "out") as store:
        assert "c00003-bad" not in store.ids and "c00009-partly" in store.ids
    again = run()
    assert again.code == 3 and "0 new, 12 before, 2 failed" in again.out
    third = run("--retry_failed")
    assert third.code == 3 and "2 new, 10 before, 2 failed" in third.out
    assert calls(place / "calls")[12:] == ["c00003-bad", "c00009-partly"]


def test_a_shard_that_was_cut_off_is_made_again_and_told(place, run):
    draw(place / "clips", 20)
    run()
    expected = content(place / "out")
    path = place / "out" / "shards" / "00001.h5"
    path.write_bytes(path.read_bytes()[:-2000])
    result = run()
    assert result.code == 0
    assert "shard 1 is made again: " in result.out
    assert "20 clips: 8 new, 12 before" in result.out
    assert content(place / "out") == expected
    path.unlink()
    assert "20 clips: 8 new, 12 before" in run().out
    assert content(place / "out") == expected


def test_a_check_finds_damage_that_leaves_the_size(place, run):
    draw(place / "clips", 20)
    run()
    expected = content(place / "out")
    path = place / "out" / "shards" / "00002.h5"
    data = bytearray(path.read_bytes())
    where = data.find(np.load(place / "clips" / "c00016.npy").sum(axis=1).tobytes())
    assert where > 0
    data[where] ^= 1
    path.write_bytes(data)
    assert "0 new, 20 before" in run().out
    result = run("--check")
    assert "shard 2 is made again: " in result.out
    assert "4 new, 16 before" in result.out
    assert content(place / "out") == expected
    assert "made again" not in run("--check").out


def test_damage_in_a_shard_that_is_redone_anyway_loses_nothing(place, run):
    draw(place / "clips", 8)
    run()
    path = place / "out" / "shards" / "00000.h5"
    data = bytearray(path.read_bytes())
    where = data.find(np.load(place / "clips" / "c00002.npy").sum(axis=1).tobytes())
    data[where] ^= 1
    path.write_bytes(data)
    np.save(place / "clips" / "c00004.npy", np.ones((2, 4), np.float32))
    assert run().code == 0
    assert sorted(set(calls(place / "calls")[8:])) == (
        [f"c{number:05d}" for number in range(8)]
    )
    assert content(place / "out") == undisturbed(place, run)


def test_a_killed_run_goes_on_and_repeats_no_shard(place, run):
    draw(place / "clips", 30, names={19: "waits"})
    process = start(place, "--local")
    wait_for(place / "out" / "shards" / "00001.h5", process)
    process.kill()
    process.communicate()
    before = times(place / "out")
    assert len(before) == 2
    assert not (place / "out" / "shards.csv").read_text().splitlines()[1:]
    (place / "calls" / "go").touch()
    result = run()
    assert result.code == 0, result.err
    assert "30 clips: 14 new, 16 before" in result.out
    after = times(place / "out")
    assert {name: after[name] for name in before} == before
    assert not {*calls(place / "calls")[20:]} & {f"c{n:05d}" for n in range(16)}
    assert content(place / "out") == undisturbed(place, run)
    assert not (place / "out" / "inhand").exists()


def test_an_interruption_leaves_whole_files_and_says_how_to_go_on(place, run):
    draw(place / "clips", 20, names={12: "waits"})
    process = start(place, "--local")
    wait_for(place / "out" / "shards" / "00000.h5", process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on where it stopped" in err
    assert len((place / "out" / "shards.csv").read_text().splitlines()) == 2
    assert not (place / "out" / "inhand").exists()
    assert not [path for path in place.rglob(".*")]
    (place / "calls" / "go").touch()
    assert "20 clips: 12 new, 8 before" in run().out


@pytest.mark.skipif(sys.platform != "linux", reason="limits files' sizes")
def test_a_full_disk_ends_the_run_and_the_same_command_goes_on(place, run):
    # Shards of larger clips do not go into files of 40,000 bytes.
    draw(place / "clips", 20)
    for number in range(8, 16):
        clip = np.random.default_rng(0).normal(size=(2000, 4)).astype(np.float32)
        np.save(place / "clips" / f"c{number:05d}.npy", clip)
    limits = (40_000, 40_000)
    process = start(
        place,
        "--local",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limits),
    )
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "00001.h5: cannot be written (File too large)" in err
    assert "the same command goes on" in err and "Traceback" not in err
    assert set(times(place / "out")) == {"00000.h5"}
    assert not [path for path in place.rglob(".writing-*")]
    result = run()
    assert result.code == 0 and "12 new, 8 before, 0 failed" in result.out
    assert content(place / "out") == undisturbed(place, run)


def test_two_runs_do_not_share_a_folder(place, run):
    draw(place / "clips", 4, names={1: "waits"})
    process = start(place, "--local")
    try:
        wait_for(place / "out" / "inhand", process)
        result = run()
        assert result.code == 1
        assert "another extraction is at work there" in result.err
    finally:
        (place / "calls" / "go").touch()
        assert process.wait(60) == 0
        process.communicate()
    assert "0 new, 4 before" in run().out


def test_other_settings_and_other_folders_are_refused(place, run):
    draw(place / "clips", 4)
    run()
    result = run("--scale", 3)
    assert result.code == 1
    assert "scale: there 2.0, now 3.0" in result.err
    (place / "thesis").mkdir()
    (place / "thesis" / "thesis.txt").write_text("mine")
    result = run(output="thesis")
    assert result.code == 1 and "holds other files" in result.err
    assert [path.name for path in (place / "thesis").iterdir()] == ["thesis.txt"]
    # A shard of another store is none of this one's.
    assert run("--scale", 3, output="other").code == 0
    shard = (place / "other" / "shards" / "00000.h5").read_bytes()
    (place / "out" / "shards" / "00000.h5").write_bytes(shard)
    (place / "out" / "shards.csv").unlink()
    result = run()
    assert "made with other settings" in result.out and "4 new" in result.out


@pytest.mark.parametrize("damage", ["not a table\n", "shard,clips\n0,4\n", ""])
def test_an_index_that_is_damaged_is_made_anew(place, run, damage):
    draw(place / "clips", 12, names={3: "bad"})
    run()
    path = place / "out" / "shards.csv"
    expected = path.read_bytes()
    path.write_text(damage)
    result = run()
    assert result.code == 3
    assert "0 new, 12 before, 1 failed" in result.out
    assert path.read_bytes() == expected


def test_a_plan_that_is_damaged_is_an_error(place, run):
    draw(place / "clips", 4)
    run()
    path = place / "out" / "plan.csv"
    text = path.read_text()
    path.write_text(text.replace("0,c00001", "x,c00001"))
    result = run()
    assert result.code == 1 and "plan.csv: expected numbers" in result.err
    path.write_text(text + text.splitlines()[1] + "\n")
    result = run()
    assert result.code == 1 and "expected each clip once" in result.err


def test_a_clip_that_kills_its_process_three_times_is_left_out(place, run):
    draw(place / "clips", 12, names={5: "dies"})
    for _ in range(DEATHS):
        process = start(place, "--local")
        process.communicate(timeout=60)
        assert process.returncode == 9
    result = run()
    assert result.code == 3, result.err
    table = pd.read_csv(place / "out" / "failures.csv")
    assert table["id"].tolist() == ["c00005-dies"]
    assert table["reason"][0].startswith("3 processes died with it in hand")
    assert calls(place / "calls").count("c00005-dies") == DEATHS
    assert len(content(place / "out")[0]) == 11


def test_interruptions_are_no_deaths(place):
    where = place / "store"
    from emorec.artifacts.locations import location

    where.mkdir()
    note = Note(location(where), "00000")
    for clip in ("a", "b", "c"):
        assert not note.begin(clip)
    # A process that had c in hand has died, then two more that had a.
    for clip in ("a", "a", "a"):
        note = Note(location(where), "00000")
        assert not note.begin(clip)
    note = Note(location(where), "00000")
    assert note.begin("a").startswith("3 processes died")
    assert not note.begin("c")
    # Half a note is none.
    path = where / "inhand" / "00000.json"
    path.write_text(path.read_text()[:5])
    assert not Note(location(where), "00000").begin("a")
    Note(location(where), "00000").end()
    assert not path.exists()


def test_an_error_that_is_about_more_than_a_clip_ends_the_run(place, run):
    draw(place / "clips", 12, names={9: "lacks"})
    result = run()
    assert result.code == 1
    assert "The clip needs the package 'nothing'" in result.err
    assert set(times(place / "out")) == {"00000.h5"}
    draw(place / "clips", 1, first=20, names={20: "fault"})
    (place / "clips" / "c00009-lacks.npy").unlink()
    with pytest.raises(ZeroDivisionError, match="as asked"):
        run()
    assert len((place / "out" / "shards.csv").read_text().splitlines()) == 3


def test_wrong_options_are_refused_before_anything_is_made(place, run, command):
    draw(place / "clips", 4)
    for options, message in (
        (["--shard_size", 0], "--shard_size 0"),
        (["--workers", 0], "--workers and --cpus: expected 1 or more"),
        (["--cpus", 0], "--workers and --cpus: expected 1 or more"),
        (["--gpus", -1], "--readers and --gpus: expected 0 or more"),
        (["--workers", 2], "--local: one process of its own, so not --workers"),
        (["--readers", 1, "--whole"], "--readers: drawn has no network"),
    ):
        result = run(*options)
        assert result.code == 1 and message in result.err, result.err
    assert not (place / "out").exists()
    (place / "none").mkdir()
    result = command(extract, place / "none", "--output", place / "out", "--local")
    assert result.code == 1 and "found none" in result.err
    assert not (place / "out").exists()


def test_two_clips_of_one_name_are_refused(place, command):
    draw(place / "a", 2)
    draw(place / "b", 2, first=1)
    words = [place / "a", place / "b", "--output", place / "out", "--local"]
    result = command(extract, *words)
    assert result.code == 1 and "several are called c00001" in result.err


def test_a_store_in_memory_is_that_of_a_folder(place, run, command):
    pytest.importorskip("fsspec", reason="needs the extra remote")
    draw(place / "clips", 20, names={3: "bad"})
    words = [place / "clips", "--shard_size", 8, "--local"]
    address = "memory://emorec-extraction"
    result = command(extract, *words, "--output", address)
    assert result.code == 3, result.err
    assert "20 clips: 20 new, 0 before, 1 failed" in result.out
    assert content(address) == undisturbed(place, run)
    np.save(place / "clips" / "c00009.npy", np.ones((2, 4), np.float32))
    result = command(extract, *words, "--output", address)
    assert "20 clips: 1 new, 19 before, 1 failed" in result.out
    assert content(address)[0]["c00009"]["sums"] == [4.0, 4.0]
    result = command(extract, *words, "--output", address, "--scale", 3)
    assert result.code == 1 and "scale: there 2.0, now 3.0" in result.err


def test_a_computer_that_sees_other_files_says_so(place, run):
    from dataclasses import replace

    from emorec.cluster import extraction_shards
    from emorec.cluster.extraction import opened
    from emorec.cluster.extraction_makers import Maker

    draw(place / "clips", 4)
    with opened(Drawn(), [place / "clips"], place / "out", say=str) as own:
        (task,) = own.tasks()
        elsewhere = replace(own.job, host="elsewhere")
        (place / "clips" / "c00002.npy").unlink()
        with pytest.raises(
            DataError, match=r"c00002.npy: the computer .* see the file"
        ):
            Maker(elsewhere).make(task)
        (place / "out" / "extraction.json").unlink()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(extraction_shards, "_PATIENCE", 0)
            with pytest.raises(
                DataError, match="does not see there what elsewhere has"
            ):
                Maker(elsewhere).make(task)
    assert not times(place / "out")


def test_a_process_computes_with_as_many_threads_as_it_is_given():
    code = """
import os, numpy
from threadpoolctl import threadpool_info
from emorec.processes import limit_threads
limit_threads(1)
assert {pool["num_threads"] for pool in threadpool_info()} == {1}
assert os.environ["OMP_NUM_THREADS"] == os.environ["TF_NUM_INTRAOP_THREADS"] == "1"
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
