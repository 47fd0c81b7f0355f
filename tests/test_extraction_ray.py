"""Extraction on Ray: the arrays of one process, whatever dies meanwhile."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("ray", reason="needs the extra cluster")

from tests.extraction_recipes import (
    CALLS,
    calls,
    content,
    draw,
    extract,
    processes,
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


@pytest.fixture(scope="module")
def cluster():
    """Return a function that starts a cluster of nodes with one core each."""
    from ray.cluster_utils import Cluster

    begun = []

    def begin(nodes):
        own = Cluster()
        begun.append(own)
        quiet = {"include_dashboard": False, "object_store_memory": 100_000_000}
        own.add_node(num_cpus=0, **quiet)
        own.workers = [
            own.add_node(num_cpus=1, object_store_memory=100_000_000)
            for _ in range(nodes)
        ]
        return own

    yield begin
    for own in begun:
        own.shutdown()


@pytest.fixture(scope="module")
def pair(cluster):
    """The address of two nodes that stay."""
    return cluster(2).address


def undisturbed(place, command):
    """Return what one process extracts of the clips."""
    words = [place / "clips", "--output", place / "undisturbed", "--local"]
    assert command(extract, *words, "--shard_size", 8).code in (0, 3)
    return content(place / "undisturbed")


def ended(process, code=0):
    out, err = process.communicate(timeout=600)
    assert process.returncode == code, out + err
    return out, err


def everything(place, count):
    """Check that each clip is in one shard, once."""
    plan = pd.read_csv(place / "out" / "plan.csv")
    index = pd.read_csv(place / "out" / "shards.csv")
    assert len(plan) == plan["id"].nunique() == index["clips"].sum() == count


def test_processes_extract_what_one_does(place, command):
    draw(place / "clips", 30, names={3: "bad"})
    expected = undisturbed(place, command)
    out, err = ended(start(place, "--workers", "2"), 3)
    assert err == ""
    assert "30 clips: 30 new, 0 before, 1 failed" in out
    assert content(place / "out") == expected
    (place / "out").rename(place / "first")
    out, err = ended(start(place, "--workers", "1", "--readers", "1"), 3)
    assert err == ""
    assert "Waiting: readers" in out
    assert content(place / "out") == expected
    assert not (place / "out" / "inhand").exists()


@pytest.mark.slow
@pytest.mark.parametrize("readers", [0, 1])
def test_going_on_repeats_nothing(place, command, pair, readers):
    engine = ["--address", pair, "--readers", str(readers), "--workers", "1"]
    draw(place / "clips", 20)
    ended(start(place, *engine))
    before = times(place / "out")
    draw(place / "clips", 3, first=20)
    out, _ = ended(start(place, *engine))
    assert "23 clips: 3 new, 20 before" in out
    assert sorted(calls(place / "calls")) == [f"c{n:05d}" for n in range(23)]
    after = times(place / "out")
    assert {name: after[name] for name in before} == before
    assert content(place / "out") == undisturbed(place, command)


@pytest.mark.slow
@pytest.mark.parametrize("readers", [0, 1])
def test_a_process_that_is_killed_loses_and_doubles_nothing(
    place, command, pair, readers
):
    draw(place / "clips", 40, names={9: "once", 21: "once"})
    engine = ["--address", pair, "--readers", str(readers), "--workers", "1"]
    out, _ = ended(start(place, *engine))
    assert "40 clips: 40 new, 0 before, 0 failed" in out
    for number in (9, 21):
        assert calls(place / "calls").count(f"c{number:05d}-once") == 2
    everything(place, 40)
    assert content(place / "out") == undisturbed(place, command)


@pytest.mark.slow
@pytest.mark.parametrize("readers", [0, 1])
def test_a_clip_that_kills_every_process_is_left_out(place, command, pair, readers):
    draw(place / "clips", 30, names={5: "dies", 20: "bad"})
    engine = ["--address", pair, "--readers", str(readers), "--workers", "1"]
    out, _ = ended(start(place, *engine), 3)
    assert "30 clips: 30 new, 0 before, 2 failed" in out
    table = pd.read_csv(place / "out" / "failures.csv")
    assert table["id"].tolist() == ["c00005-dies", "c00020-bad"]
    assert table["reason"][0].startswith("3 processes died with it in hand")
    assert calls(place / "calls").count("c00005-dies") == 3
    everything(place, 30)
    (place / "clips" / "c00005-dies.npy").unlink()
    expected, _, _ = undisturbed(place, command)
    assert content(place / "out")[0] == expected


@pytest.mark.slow
@pytest.mark.parametrize("spare", [0, 1])
def test_a_node_that_is_killed_loses_and_doubles_nothing(
    place, command, cluster, spare
):
    own = cluster(2 + spare)
    draw(place / "clips", 60, names={20: "waits"})
    process = start(place, "--address", own.address, "--workers", "2")
    waiting = process_that_waits(place, process)
    before = times(place / "out")
    kill(own, waiting)
    (place / "calls" / "go").touch()
    out, _ = ended(process)
    assert "60 clips: 60 new, 0 before, 0 failed" in out
    # The clips of the shard that the node had in hand.
    assert 0 < len(calls(place / "calls")) - 60 <= 8
    after = times(place / "out")
    assert {name: after[name] for name in before} == before
    everything(place, 60)
    assert content(place / "out") == undisturbed(place, command)


@pytest.mark.slow
@pytest.mark.parametrize("spare", [0, 1])
def test_a_node_of_readers_that_is_killed_loses_nothing(place, command, cluster, spare):
    own = cluster(2 + spare)
    draw(place / "clips", 60, names={20: "waits"})
    process = start(
        place, *("--address", own.address, "--workers", "1", "--readers", "1")
    )
    reader = process_that_waits(place, process)
    kill(own, reader)
    (place / "calls" / "go").touch()
    if not spare:
        out, err = ended(process, 1)
        assert "A node of the cluster has gone" in out
        assert "no room for a worker of 1 cores and 0 GPUs beside 1 readers" in err
        ended(start(place, "--address", own.address, "--workers", "1"))
    else:
        ended(process)
    everything(place, 60)
    assert content(place / "out") == undisturbed(place, command)


def process_that_waits(place, process):
    """Return the number of the process that has the clip in hand that waits."""
    until = time.monotonic() + 300
    while True:
        for path in (place / "calls").glob("*.txt"):
            if "waits" in path.read_text():
                return int(path.stem)
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.1)


def kill(cluster, number):
    """Kill the node that has a process, and the process, which would outlive it."""
    (node,) = (
        node
        for node in cluster.workers
        if node.all_processes["raylet"][0].process.pid == parent_of(number)
    )
    cluster.remove_node(node, allow_graceful=False)
    with suppress(ProcessLookupError):
        os.kill(number, signal.SIGKILL)


def parent_of(number):
    return int(Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.slow
def test_a_killed_command_goes_on_and_repeats_no_shard(place, command, pair):
    draw(place / "clips", 60)
    engine = ("--address", pair, "--workers", "2")
    process = start(place, *engine, "--seconds", "0.1")
    wait_for(place / "out" / "shards" / "00002.h5", process)
    process.kill()
    process.communicate()
    # Ray ends the processes of a command that has gone; until then they may finish.
    numbers = processes(place / "calls")
    until = time.monotonic() + 60
    while any(Path(f"/proc/{number}").exists() for number in numbers):
        assert time.monotonic() < until
        time.sleep(0.1)
    before = times(place / "out")
    assert 3 <= len(before) < 8
    out, _ = ended(start(place, *engine))
    assert f"{8 * len(before)} before, 0 failed" in out
    after = times(place / "out")
    assert {name: after[name] for name in before} == before
    everything(place, 60)
    assert content(place / "out") == undisturbed(place, command)


@pytest.mark.slow
def test_an_interrupted_command_ends_and_says_how_to_go_on(place):
    draw(place / "clips", 40, names={30: "waits"})
    process = start(place, "--workers", "2")
    wait_for(place / "out" / "shards" / "00002.h5", process)
    os.killpg(process.pid, signal.SIGINT)
    _, err = ended(process, 130)
    assert "the same command goes on where it stopped" in err
    assert "Traceback" not in err
    assert not (place / "out" / "inhand").exists()
    assert not list(place.rglob(".writing-*"))
    (place / "calls" / "go").touch()
    ended(start(place, "--local"))
    everything(place, 40)


@pytest.mark.slow
@pytest.mark.parametrize("readers", [0, 1])
def test_errors_that_are_about_more_than_a_clip_end_the_run(place, pair, readers):
    engine = ["--address", pair, "--readers", str(readers), "--workers", "1"]
    draw(place / "clips", 20, names={18: "lacks"})
    _, err = ended(start(place, *engine), 1)
    assert err.startswith("emorec: error: The clip needs the package 'nothing'")
    assert "Traceback" not in err
    (place / "clips" / "c00018-lacks.npy").unlink()
    draw(place / "clips", 1, first=20, names={20: "fault"})
    _, err = ended(start(place, *engine), 1)
    assert "ZeroDivisionError: as asked" in err
    # Where it happened, in the worker.
    assert "in happens" in err
    assert len(content(place / "out")[0]) >= 16


@pytest.mark.slow
def test_processes_that_do_not_fit_are_refused_or_fewer(place, pair):
    draw(place / "clips", 4)
    for options, message in (
        (["--cpus", "4"], "no room for a worker of 4 cores and 0 GPUs"),
        (["--cpus", "2"], "no node has 2 cores"),
        (["--gpus", "1"], "no room for a worker of 1 cores and 1 GPUs"),
        (["--readers", "2"], "no room for a worker of 1 cores and 0 GPUs beside 2"),
    ):
        _, err = ended(start(place, "--address", pair, *options), 1)
        assert message in err
    _, err = ended(start(place, "--address", "127.0.0.1:1"), 1)
    assert "no Ray cluster lets this process in" in err
    options = ("--readers", "1", "--workers", "2")
    out, _ = ended(start(place, "--address", pair, *options))
    assert "2 cores and 0 GPUs: room for 1 workers" in out


@pytest.mark.slow
@pytest.mark.parametrize("readers", [0, 1])
def test_several_shards_may_share_a_block_of_ray(place, command, pair, readers):
    draw(place / "clips", 40, names={11: "bad"})
    engine = ("--address", pair, "--readers", str(readers), "--workers", "1")
    out, _ = ended(start(place, *engine, "--blocks", "2"), 3)
    assert "40 clips: 40 new, 0 before, 1 failed" in out
    everything(place, 40)
    assert content(place / "out") == undisturbed(place, command)


@pytest.fixture
def small_disk(place):
    """The folder out/ on a disk of its own, and a function that gives it more room."""
    folder = place / "out"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=160k", "none", str(folder)]
    if subprocess.run(words, capture_output=True).returncode:
        pytest.skip("only the superuser may mount")

    def enlarge():
        more = ["mount", "-o", "remount,size=10m", str(folder)]
        subprocess.run(more, check=True)

    yield enlarge
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.slow
def test_a_full_disk_ends_the_run_and_the_same_command_goes_on(
    place, command, pair, small_disk
):
    draw(place / "clips", 80)
    engine = ("--address", pair, "--workers", "1")
    _, err = ended(start(place, *engine), 1)
    assert "No space left on device" in err and "the same command goes on" in err
    assert "Traceback" not in err
    before = times(place / "out")
    assert 0 < len(before) < 10
    small_disk()
    out, _ = ended(start(place, *engine))
    assert f"{8 * len(before)} before, 0 failed" in out
    after = times(place / "out")
    assert {name: after[name] for name in before} == before
    everything(place, 80)
    assert content(place / "out") == undisturbed(place, command)
