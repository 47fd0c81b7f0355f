"""Sweeps on Ray: the trials of a sweep without it, whatever dies on the way."""

import json
import os
import secrets
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from emorec.cluster.ranking import TABLE
from emorec.cluster.trials import FOLDER
from tests.sweep_trainings import (
    ASHA,
    CONFIG,
    CRASH,
    DIE,
    FULL,
    HANG,
    ROOT,
    at_first_rung,
    calls,
    claimed,
    hang,
    start,
    sweep,
    table,
)

pytest.importorskip("ray", reason="needs the extra cluster")
TOLD = ["trial", "rate", "nodes", "val_loss", "epochs", "run"]


def test_a_trial_that_crashes_or_is_killed_is_a_row_and_the_others_are_as_without_ray(
    tmp_path,
):
    here, there = tmp_path / "here", tmp_path / "there"
    sweep(here, CONFIG)
    # The disk is full for the third trial's log, which its process is to survive.
    full = claimed(there, CONFIG) / "0002.log"
    full.symlink_to("/dev/full")
    bad = {DIE: "trial_0001", CRASH: "trial_0004"}
    process = start(there, CONFIG, "--ray", **bad)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    rows, own = table(there), table(here)
    states = ["done", "failed", "failed", "done", "failed", "done"]
    assert rows["state"].tolist() == states
    assert rows["reason"][1].startswith("its process died")
    assert "cannot be written (No space left" in rows["reason"][2]
    assert rows["reason"][4] == "ZeroDivisionError: as asked"
    both = rows["state"] == "done"
    assert rows[both][TOLD].equals(own[both][TOLD])
    assert not (there / ".tune").exists()
    before = calls(there)
    assert sorted(before) == [f"trial_000{number}" for number in (0, 1, 3, 4, 5)]
    # All come to their end without Ray, and what is done is not done again.
    full.unlink()
    sweep(there, CONFIG, retry_failed=True)
    assert calls(there)[len(before) :] == ["trial_0001", "trial_0002", "trial_0004"]
    assert table(there)[TOLD].equals(own[TOLD])


def test_an_interrupted_sweep_on_ray_ends_at_once(tmp_path):
    process = hang(tmp_path, CONFIG, "trial_0003", "--ray")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode != 0 and "KeyboardInterrupt" in err
    assert json.loads((tmp_path / FOLDER / "0003.json").read_text())["state"] == (
        "running"
    )


@pytest.mark.slow
def test_asha_never_ends_the_best_and_processes_are_kept(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    sweep(here, ASHA)
    process = start(there, ASHA, "--ray")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    rows, own = table(there), table(here)
    both = (rows["state"] == "done") & (own["state"] == "done")
    assert rows[both][TOLD].equals(own[both][TOLD])
    values = at_first_rung(rows)
    assert set(rows["state"]) == {"done", "stopped"}
    assert rows["state"][values.index(min(values))] == "done"
    lines = (there / "calls.txt").read_text().splitlines()
    assert len(set(calls(there))) == len(lines) == 12
    # Processes are kept from trial to trial: two, and one that Tune may begin before
    # the first is free.
    assert len({line.split()[1] for line in lines}) <= 3


@pytest.mark.slow
@pytest.mark.parametrize("again", [None, ""], ids=["without", "on Ray"])
def test_a_killed_sweep_on_ray_goes_on(tmp_path, again):
    process = hang(tmp_path, CONFIG, "trial_0003", "--ray")
    process.kill()
    process.communicate()
    done = {
        path.stem
        for path in (tmp_path / FOLDER).glob("*.json")
        if json.loads(path.read_text())["state"] == "done"
    }
    before = len(calls(tmp_path))
    sweep(tmp_path, CONFIG, on_ray=again)
    repeated = {name.removeprefix("trial_") for name in calls(tmp_path)[before:]}
    assert "0003" in repeated and not repeated & done
    rows = table(tmp_path)
    assert rows["trial"].tolist() == list(range(6))
    assert set(rows["state"]) == {"done"}


@pytest.mark.slow
def test_a_sweep_on_ray_on_a_full_disk_says_so_and_goes_on(tmp_path):
    process = start(tmp_path, CONFIG, "--ray", **{FULL: "2"})
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "DataError" in err and "cannot be written (File too large)" in err
    whole = sorted(path.stem[4:] for path in tmp_path.glob("run_*.json"))
    assert 2 <= len(whole) < 6
    sweep(tmp_path, CONFIG)
    assert "failed" not in set(table(tmp_path)["state"])
    assert len(table(tmp_path)) == 6


@contextmanager
def cluster(folder, nodes, **variables):
    """Yield the address of a Ray cluster whose nodes are all this machine.

    The first node has no cores, so that all trials run on the others. Processes have
    `variables` in their environment.
    """
    # Not one of those that the system hands out, which another Ray may have got.
    port = 20_000 + os.getpid() % 10_000
    address = f"127.0.0.1:{port}"
    environment = os.environ | {
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONPATH": str(ROOT),
        **variables,
    }
    ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
    ray += ["--object-store-memory=100000000", "--disable-usage-stats"]
    head = ["--head", f"--port={port}", "--num-cpus=0"]
    head += ["--include-dashboard=false", f"--temp-dir={folder}"]
    started = []

    def begin(*options):
        started.append(
            subprocess.Popen(
                [*ray, *options],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )

    try:
        begin(*head)
        _until_alive(address, 1)
        for number in range(nodes):
            # One after the other, for on one machine they would take the same ports.
            begin(f"--address={address}", "--num-cpus=1")
            _until_alive(address, 2 + number)
        yield address
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(60)


def _until_alive(address, wanted):
    script = """
import sys, time
import ray
address, wanted = sys.argv[1], int(sys.argv[2])
end = time.monotonic() + 200
while True:
    try:
        ray.init(address, log_to_driver=False, logging_level="error")
        while sum(node["Alive"] for node in ray.nodes()) < wanted:
            assert time.monotonic() < end
            time.sleep(0.2)
        break
    except ConnectionError:
        assert time.monotonic() < end
        time.sleep(1)
"""
    subprocess.run([sys.executable, "-c", script, address, str(wanted)], check=True)


@pytest.mark.slow
def test_when_a_node_is_lost_its_trial_is_done_on_another(
    tmp_path, tmp_path_factory, monkeypatch
):
    # So that nothing else on this machine joins, nor is joined.
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    # Ray's sockets lie there, whose names may not be long.
    folder = tmp_path_factory.getbasetemp() / "r"
    with cluster(folder, 2, **{HANG: "trial_0001"}) as address:
        process = hang(tmp_path, CONFIG, "trial_0001", f"--ray={address}")
        worker = int((tmp_path / "hanging").read_text())
        status = Path(f"/proc/{worker}/status").read_text()
        raylet = int(status.partition("PPid:")[2].split()[0])
        assert "raylet" in Path(f"/proc/{raylet}/comm").read_text()
        os.kill(raylet, signal.SIGKILL)
        os.kill(worker, signal.SIGKILL)
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert out.count("its node is lost") == 1
    rows = pd.read_csv(tmp_path / TABLE)
    assert rows["trial"].tolist() == list(range(6))
    assert set(rows["state"]) == {"done"}
    counts = pd.Series(calls(tmp_path)).value_counts()
    assert counts["trial_0001"] == 2 and counts.sum() == 7


def test_the_rungs_decide_as_those_of_ray():
    import numpy as np
    from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler

    from emorec.cluster.halving import falls_behind, is_rung

    class Named:
        def __init__(self, number):
            self.trial_id = str(number)

    random = np.random.default_rng(0)
    for reduction, grace in ((2, 1), (3, 2), (4, 1)):
        theirs = AsyncHyperBandScheduler(
            time_attr="epoch",
            metric="loss",
            mode="min",
            max_t=10_000,
            grace_period=grace,
            reduction_factor=reduction,
        )
        rungs = {}
        for number in range(60):
            trial = Named(number)
            theirs.on_trial_add(None, trial)
            start_at = random.uniform(0, 1)
            for epoch in range(1, 30):
                value = start_at + random.normal() / epoch
                expected = theirs.on_trial_result(
                    None, trial, {"epoch": epoch, "loss": value}
                )
                behind = False
                if is_rung(epoch, grace, reduction):
                    others = rungs.setdefault(epoch, [])
                    behind = falls_behind(value, others, "min", reduction)
                    others.append(value)
                assert behind == (expected == TrialScheduler.STOP)
                if behind:
                    break
