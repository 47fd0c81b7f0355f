"""Sweeps of real trainings: a trial is the run that the command alone makes."""

import json

import pandas as pd
import pytest

from emorec.cli import app
from emorec.training.following import followed_by

# Of the small rates nothing is learnt, and the later one falls behind the middle one.
SWEEP = """
command = ["mosei", "train"]
metric = "val_loss"
mode = "min"
scheduler = "asha"
grace = 2
[fixed]
dataset_folder = "{data}"
pickle_folder = "{pickles}"
modalities = "A"
fixed_num_steps = 4
num_nodes = 4
num_epochs = 3
batch_size = 64
save_confusion_matrix = false
[search]
learning_rate = [1e-9, 0.01, 1e-8]
"""
ALONE = "-m A -s 4 -n 4 -e 3 -b 64 -scm false -lr 0.01"
RUN = "l_1_n_4_d_0.2_b_64_s_4"
# Of times, and of where a process was interrupted.
OWN = ("seconds", "resumed_after")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("sweep")


@pytest.fixture(scope="module")
def swept(place, miniature, command):
    config = place / "rates.toml"
    config.write_text(SWEEP.format(data=miniature, pickles=place / "pickles"))
    words = ["sweep", config, "--local", "--output", place / "out"]
    return command(app.main, *words, eagerly=True)


def test_the_output_names_the_chosen_run_and_its_test_scores_once(swept, place):
    assert swept.code == 0, swept.err
    assert "Chosen on validation: trial_0001" in swept.out
    told = swept.out.split("Its scores on test")[1]
    for predictor in ("model", "zero", "train_mean"):
        assert predictor in told
    assert "trial_0000" not in told and "trial_0002" not in told
    assert (place / "out/sweep.png").stat().st_size > 10_000


def test_the_follower_of_a_training_ended_the_worse_one(swept, place):
    rows = pd.read_csv(place / "out/sweep.csv")
    assert rows["state"].tolist() == ["done", "done", "stopped"]
    assert rows["epochs"].tolist() == [3, 3, 2]
    record = json.loads((place / f"out/trial_0002/run_{RUN}.json").read_text())
    assert record["status"] == "training"
    assert not list((place / "out").glob("trial_*/unfinished_*"))


def test_the_data_of_the_trial_before_are_not_loaded_again(swept, place):
    logs = [(place / f"out/trials/000{n}.log").read_text() for n in range(3)]
    assert ["still in memory" in log for log in logs] == [False, True, True]


def test_a_trial_is_the_run_of_the_command_also_when_it_was_interrupted(
    swept, place, train
):
    class KilledError(Exception):
        pass

    seen = []

    def follow(epoch, values):
        seen.append((epoch, values["val_loss"]))
        if len(seen) == 1:
            raise KilledError

    with followed_by(follow):
        for _ in range(2):
            try:
                result = train(place / "alone", ALONE)
            except KilledError:
                assert len(seen) == 1
    assert result.code == 0, result.err
    # Of an epoch before the interruption it is told again.
    assert [epoch for epoch, _ in seen] == [1, 1, 2, 3]
    assert seen[0] == seen[1]
    records = []
    for folder in (place / "out/trial_0001", result.model):
        record = json.loads((folder / f"run_{RUN}.json").read_text())
        record["training"] = {
            k: v for k, v in record["training"].items() if k not in OWN
        }
        records.append(record)
    assert records[0] == records[1]
    row = pd.read_csv(place / "out/sweep.csv").iloc[1]
    assert row["val_loss"] == pytest.approx(records[0]["training"]["val_loss"])
