"""Sweeps: what is done is not done again, and one bad trial is one bad row."""

import json
import resource
from importlib.util import find_spec

import pandas as pd
import pytest

from emorec.cluster.ranking import LEADERBOARD, TABLE
from emorec.cluster.trials import FOLDER
from emorec.errors import BusyError, DataError, SpecError
from tests.sweep_trainings import (
    ASHA,
    CONFIG,
    CRASH,
    EPOCHS,
    RANDOM,
    at_first_rung,
    calls,
    claimed,
    hang,
    loss,
    sweep,
    table,
)

needs_optuna = pytest.mark.skipif(
    find_spec("optuna") is None, reason="optuna is not installed (extra cluster)"
)
TPE = pytest.param(RANDOM | {"method": "tpe"}, id="tpe", marks=needs_optuna)


def test_every_point_of_a_grid_is_trained_once_and_never_again(tmp_path):
    sweep(tmp_path, CONFIG)
    names = [f"trial_{number:04d}" for number in range(6)]
    assert calls(tmp_path) == names
    first = (tmp_path / TABLE).read_bytes()
    sweep(tmp_path, CONFIG)
    assert calls(tmp_path) == names
    assert (tmp_path / TABLE).read_bytes() == first


def test_a_row_tells_what_its_run_recorded(tmp_path):
    sweep(tmp_path, CONFIG)
    rows = pd.read_csv(tmp_path / TABLE)
    assert len(rows[["rate", "nodes"]].drop_duplicates()) == len(rows) == 6
    for row in rows.itertuples():
        assert row.val_loss == pytest.approx(loss(row.rate, row.nodes, EPOCHS))
        record = json.loads((tmp_path / f"run_{row.run}.json").read_text())
        assert record["settings"] == {"rate": row.rate, "nodes": row.nodes}
    assert set(rows["state"]) == {"done"} and set(rows["epochs"]) == {EPOCHS}
    log = (tmp_path / FOLDER / "0003.log").read_text()
    assert log.endswith("training trial_0003\n")


def test_the_leaderboard_is_ordered_by_validation_and_knows_no_test(tmp_path):
    for mode in ("min", "max"):
        sweep(tmp_path / mode, CONFIG | {"mode": mode})
        board = pd.read_csv(tmp_path / mode / LEADERBOARD)
        assert board["val_loss"].tolist() == sorted(
            board["val_loss"], reverse=mode == "max"
        )
        assert board["rank"].tolist() == [1, 2, 3, 4, 5, 6]
        assert not [name for name in board if "test" in name]


@pytest.mark.parametrize("content", [pytest.param(RANDOM, id="random"), TPE])
def test_a_killed_sweep_goes_on_as_if_it_had_not_been(tmp_path, content):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    sweep(whole, content)
    process = hang(killed, content, "trial_0004")
    process.kill()
    process.communicate()
    assert json.loads((killed / FOLDER / "0004.json").read_text())["state"] == "running"
    sweep(killed, content)
    names = [f"trial_{number:04d}" for number in range(8)]
    assert calls(killed) == [*names[:5], *names[4:]]
    assert table(killed).equals(table(whole))
    assert pd.read_csv(killed / TABLE)["rate"].nunique() == 8


def test_a_run_that_had_just_finished_is_recognised_by_its_record(tmp_path):
    sweep(tmp_path, CONFIG)
    path = tmp_path / FOLDER / "0002.json"
    begun = json.loads(path.read_text())
    expected = table(tmp_path)
    for key, value in {"state": "running", "metric": None, "runs": []}.items():
        begun[key] = value
    path.write_text(json.dumps(begun))
    sweep(tmp_path, CONFIG, trains_again=True)
    assert len(calls(tmp_path)) == 6
    assert table(tmp_path).equals(expected)
    # A record of other settings under its name is none of it.
    path.write_text(json.dumps(begun))
    record = tmp_path / "run_trial_0002.json"
    record.write_text(record.read_text().replace('"nodes": 8', '"nodes": 9'))
    sweep(tmp_path, CONFIG, trains_again=True)
    assert calls(tmp_path)[6:] == ["trial_0002"]


def test_a_run_that_was_removed_is_trained_again(tmp_path):
    sweep(tmp_path, CONFIG)
    (tmp_path / "run_trial_0001.json").unlink()
    sweep(tmp_path, CONFIG)
    assert calls(tmp_path)[6:] == ["trial_0001"]


def test_a_crashing_trial_is_a_row_with_its_reason(tmp_path, monkeypatch):
    monkeypatch.setenv(CRASH, "trial_0001")
    told = []
    sweep(tmp_path, CONFIG, say=told.append)
    rows = pd.read_csv(tmp_path / TABLE)
    assert rows["state"].tolist() == ["done", "failed", *["done"] * 4]
    assert rows["reason"][1] == "ZeroDivisionError: as asked"
    assert "Traceback" in (tmp_path / FOLDER / "0001.log").read_text()
    assert any("as asked" in line for line in told)
    assert len(pd.read_csv(tmp_path / LEADERBOARD)) == 5
    sweep(tmp_path, CONFIG)
    assert len(calls(tmp_path)) == 6
    monkeypatch.delenv(CRASH)
    sweep(tmp_path, CONFIG, retry_failed=True)
    assert calls(tmp_path)[6:] == ["trial_0001"]
    assert set(pd.read_csv(tmp_path / TABLE)["state"]) == {"done"}


def test_too_many_failures_end_a_sweep(tmp_path, monkeypatch):
    monkeypatch.setenv(CRASH, "trial_0000,trial_0002,trial_0003")
    content = CONFIG | {"max_failures": 1}
    with pytest.raises(DataError, match=r"2 trials failed.*trial_0000.*as asked"):
        sweep(tmp_path, content)
    assert calls(tmp_path) == ["trial_0000", "trial_0001", "trial_0002"]


def test_a_log_on_a_full_disk_is_a_row_of_its_trial(tmp_path):
    log = claimed(tmp_path, CONFIG) / "0002.log"
    log.symlink_to("/dev/full")
    sweep(tmp_path, CONFIG, say=list)
    rows = pd.read_csv(tmp_path / TABLE)
    assert rows["state"].tolist() == ["done", "done", "failed", *["done"] * 3]
    assert "0002.log: cannot be written (No space left" in rows["reason"][2]
    log.unlink()
    sweep(tmp_path, CONFIG, say=list, retry_failed=True)
    assert calls(tmp_path) == [f"trial_000{n}" for n in (0, 1, 3, 4, 5, 2)]


# Bytes of the largest file that fits: of the search, of trials, tables, records.
@pytest.mark.parametrize("size", [50, 200, 320, 500, 800])
def test_a_sweep_on_a_full_disk_loses_nothing_and_goes_on(tmp_path, size):
    whole, full = tmp_path / "whole", tmp_path / "full"
    sweep(whole, CONFIG, say=list)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    told = []
    try:
        sweep(full, CONFIG, say=told.append)
    except DataError as error:
        told.append(str(error))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert any("cannot be written (File too large)" in line for line in told)
    assert not list(full.rglob(".writing-*"))
    done = [path.stem[4:] for path in full.glob("run_*.json")]
    sweep(full, CONFIG, say=list, retry_failed=True)
    assert table(full).equals(table(whole))
    for name in done:
        assert calls(full).count(name) == 1


def test_two_sweeps_do_not_share_a_folder(tmp_path):
    process = hang(tmp_path, CONFIG, "trial_0001")
    try:
        with pytest.raises(BusyError, match="another sweep is at work there"):
            sweep(tmp_path, CONFIG)
    finally:
        process.kill()
        process.communicate()
    sweep(tmp_path, CONFIG)
    assert len(pd.read_csv(tmp_path / TABLE)) == 6


def test_a_changed_search_is_refused_and_a_longer_one_goes_on(tmp_path):
    sweep(tmp_path, RANDOM)
    with pytest.raises(SpecError, match="seed: there 0, now 1"):
        sweep(tmp_path, RANDOM | {"seed": 1})
    with pytest.raises(SpecError, match="mode: there min, now max"):
        sweep(tmp_path, RANDOM | {"mode": "max"})
    before = table(tmp_path)
    sweep(tmp_path, RANDOM | {"trials": 11})
    assert table(tmp_path)[:8].equals(before)
    assert len(calls(tmp_path)) == 11


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(SpecError, match="holds other files"):
        sweep(tmp_path, CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_asha_stops_trials_that_are_behind_and_never_the_best(tmp_path):
    sweep(tmp_path, ASHA)
    rows = pd.read_csv(tmp_path / TABLE)
    values = at_first_rung(rows)
    assert rows["state"][values.index(min(values))] == "done"
    stopped = rows[rows["state"] == "stopped"]
    assert len(stopped) >= 4
    assert set(stopped["epochs"]) <= {1, 3, 9}
    assert stopped["val_loss"].isna().all()
    # Each was worse than the best third of those before it.
    for number in stopped["trial"][stopped["epochs"] == 1]:
        before = sorted(values[:number])
        assert values[number] > before[(len(before) - 1) // 3]


def test_asha_decides_the_same_after_an_interruption(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    sweep(whole, ASHA)
    rows = pd.read_csv(whole / TABLE)
    last = int(rows["trial"][rows["state"] == "done"].max())
    process = hang(killed, ASHA, f"trial_{last:04d}")
    process.kill()
    process.communicate()
    sweep(killed, ASHA)
    assert table(killed).equals(table(whole))


@needs_optuna
def test_tpe_learns_from_finished_trials(tmp_path):
    content = RANDOM | {"trials": 30}
    sweep(tmp_path / "tpe", content | {"method": "tpe"})
    sweep(tmp_path / "random", content)
    late = {
        name: pd.read_csv(tmp_path / name / TABLE)["val_loss"][12:].median()
        for name in ("tpe", "random")
    }
    assert late["tpe"] < late["random"]
