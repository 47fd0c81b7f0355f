"""One network that several processes train: what one process alone would train."""

import json
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from emorec.errors import SpecError
from emorec.training import hosts
from tests.host_processes import KILLED, run

PARAM = "l_1_n_4_d_0.2_b_32_s_10"
# Each process has two devices, so four share a batch.
TWO_DEVICES = "--xla_force_host_platform_device_count=2"
# Sums over a batch are taken in another order: rounding, which training makes grow.
TOLERANCE = 1e-4


def train(miniature, folder, *options, epochs=3, **how):
    folder.mkdir(exist_ok=True)
    words = ["mosei train -df", miniature, "-pf pickles -mf models -mn mine -m A"]
    words += [f"-n 4 -s 10 -b 32 -scm false -e {epochs}", *options]
    return run(folder, *words, **how)


def results(folder):
    model = folder / "models" / "mine"
    history = pd.read_csv(model / f"history_{PARAM}.csv")
    with np.load(model / f"predictions_test_{PARAM}.npz") as saved:
        scores = saved["scores"]
    record = json.loads((model / f"run_{PARAM}.json").read_text())
    return SimpleNamespace(history=history, scores=scores, record=record, path=model)


def alike(received, expected):
    pd.testing.assert_frame_equal(
        received.history, expected.history, rtol=TOLERANCE, check_exact=False
    )
    np.testing.assert_allclose(received.scores, expected.scores, atol=TOLERANCE)


@pytest.fixture(scope="module")
def alone(miniature, tmp_path_factory):
    """What one process on one device trains."""
    folder = tmp_path_factory.mktemp("alone")
    (done,) = train(miniature, folder)
    assert done.code == 0, done.err
    return results(folder)


@pytest.fixture(scope="module")
def two(miniature, tmp_path_factory):
    """What two processes train, and what they said."""
    folder = tmp_path_factory.mktemp("two")
    leader, follower = train(miniature, folder, hosts=2, flags=TWO_DEVICES)
    assert (leader.code, follower.code) == (0, 0), leader.err + follower.err
    return SimpleNamespace(said=(leader, follower), **vars(results(folder)))


def test_two_processes_train_what_one_trains(two, alone):
    # A batch that four devices cannot divide, too.
    assert alone.record["segments"]["train"] % 32 % 4
    alike(two, alone)
    saved = keras_weights(two.path), keras_weights(alone.path)
    for received, expected in zip(*saved, strict=True):
        np.testing.assert_allclose(received, expected, atol=TOLERANCE)


def keras_weights(path):
    import keras

    from emorec.training.backend import load_keras_model

    keras.utils.clear_session()
    return load_keras_model(path / f"model_{PARAM}.keras").get_weights()


def test_the_first_process_alone_writes_and_speaks(two, alone):
    leader, follower = two.said
    assert "2 hosts train together" in leader.out
    assert "Written:" in leader.out
    assert not [line for line in follower.out.splitlines() if "[Gloo]" not in line]
    assert two.record["training"]["hosts"] == 2
    assert two.record["settings"] == alone.record["settings"]
    files = [{p.name for p in run.path.iterdir()} for run in (two, alone)]
    assert files[0] == files[1]


@pytest.mark.slow
def test_two_devices_of_one_process_train_what_one_trains(miniature, alone, tmp_path):
    (done,) = train(miniature, tmp_path, "--gpus 2", flags=TWO_DEVICES)
    assert done.code == 0, done.err
    alike(results(tmp_path), alone)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_when_one_process_dies_all_end_and_another_number_goes_on(
    miniature, alone, tmp_path, rank
):
    began = time.monotonic()
    ended = train(miniature, tmp_path, hosts=2, script=KILLED, before=[str(rank)])
    assert ended[rank].code == -9
    other = ended[1 - rank]
    assert other.code not in (0, 3)
    assert "lost the others" in other.err or "another task died" in other.err
    # The limit of a lost connection, and the time of two epochs.
    assert time.monotonic() - began < hosts.LOST + 300
    (done,) = train(miniature, tmp_path)
    assert done.code == 0, done.err
    assert "Going on after epoch 2" in done.out
    alike(results(tmp_path), alone)


@pytest.mark.slow
def test_two_processes_go_on_where_one_stopped(miniature, alone, tmp_path):
    (killed,) = train(miniature, tmp_path, script=KILLED, before=["0"])
    assert killed.code == -9
    leader, follower = train(miniature, tmp_path, hosts=2)
    assert (leader.code, follower.code) == (0, 0), leader.err + follower.err
    assert "Going on after epoch 2" in leader.out
    alike(results(tmp_path), alone)


@pytest.mark.slow
def test_an_error_of_the_first_ends_the_second(miniature, tmp_path):
    # 30 segments are not divisible among four devices.
    ended = train(miniature, tmp_path, "-b 30", hosts=2, flags=TWO_DEVICES)
    assert all(process.code not in (0, 3) for process in ended)
    assert "Choose a multiple of 4" in ended[0].err
    assert not list(tmp_path.rglob("*.keras"))


@pytest.mark.slow
def test_faces_are_learnt_on_two_processes_as_on_one(tmp_path):
    # At a low rate, for at a high one rounding soon grows into other weights.
    words = "faces train --num_epochs 2 --batch_size 64 --learning_rate 1e-4 --ema 0.9"
    found = []
    for count in (1, 2):
        folder = tmp_path / str(count)
        folder.mkdir()
        done = run(folder, words, hosts=count)
        assert [process.code for process in done] == [0] * count, done[0].err
        (path,) = folder.rglob("history_*.csv")
        found.append(pd.read_csv(path))
    pd.testing.assert_frame_equal(*found, rtol=TOLERANCE, check_exact=False)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (("2", "", None), "by srun"),
        (("two", "", None), "expected auto"),
        (("0", "", None), "expected auto"),
        (("auto", "there:1", 0), "all three"),
        (("2", "there", 0), "ADDRESS:PORT"),
        (("2", "there:1", None), "all three"),
        (("2", "there:1", 2), "expected 0 to 1"),
    ],
)
def test_what_hosts_cannot_be_is_told(told, words, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(SpecError, match=words):
        hosts.join(*told)


@pytest.fixture
def step(monkeypatch):
    """Return a function that sets the variables of a job step of SLURM."""

    def variables(tasks, per_node):
        told = {"JOB_ID": "7", "STEP_NODELIST": "n[1-2]", "PROCID": "0"}
        told |= {"NTASKS": tasks, "STEP_TASKS_PER_NODE": per_node}
        for name, value in told.items():
            monkeypatch.setenv(f"SLURM_{name}", value)

    return variables


def test_slurm_tells_the_processes_and_must_have_as_many(step, monkeypatch):
    step("2", "1(x2)")
    with pytest.raises(SpecError, match="has 2 processes"):
        hosts.join("3")
    # All agree; what is wrong then is the backend.
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    with pytest.raises(SpecError, match=r"emorec\[jax\] and set KERAS_BACKEND=jax"):
        hosts.join("auto")


@pytest.mark.parametrize(
    ("per_node", "devices"), [("1", []), ("1(x2)", []), ("2(x2)", None), ("1,2", None)]
)
def test_a_task_takes_all_devices_of_a_node_that_it_has_alone(step, per_node, devices):
    step("2", per_node)
    assert hosts._told("auto", "", None) == {"local_device_ids": devices}


def test_rows_of_all_hosts_are_the_rows_of_the_batch(monkeypatch):
    from emorec.training.division import Division

    for count, devices in ((1, 2), (2, 2), (2, 4), (3, 3)):
        division = Division(list(range(devices)))
        for rows in range(1, 40):
            shares = []
            for rank in range(count):
                monkeypatch.setattr(hosts, "_hosts", hosts.Hosts(rank, count))
                shares.append(list(range(rows))[division.share(rows)])
            if rows % devices:
                # Not divisible: every device computes all of it.
                assert shares == [list(range(rows))] * count
            else:
                assert [row for share in shares for row in share] == list(range(rows))
                assert len({len(share) for share in shares}) == 1


def test_parts_of_batches_are_rows_of_whole_ones():
    from emorec.batches.images import ImageInput, ImagePipeline
    from emorec.batches.threaded import _PyBatches

    images = np.random.default_rng(0).integers(0, 255, (10, 8, 8)).astype(np.uint8)
    targets = np.eye(10, dtype=np.float32)
    faces = ImagePipeline(images, targets, ImageInput(8, (0.0,)), 4, shuffle=True)
    data = _PyBatches(faces)
    assert [data.rows(number) for number in range(3)] == [4, 4, 2]
    for number in range(3):
        for part, whole in zip(
            data.part(number, slice(1, 2)), data[number], strict=True
        ):
            np.testing.assert_array_equal(part, whole[1:2])


def test_dry_runs_and_misuse_join_nobody(miniature, command, tmp_path):
    from emorec.cli.mosei import main

    words = ["-df", miniature, "-mf", tmp_path / "models", "--hosts", "2"]
    done = command(main, *words, "--dry_run")
    assert done.code == 0
    assert "hosts     2" in done.out
    done = command(main, *words, "--no_train")
    assert done.code == 1
    assert "one host evaluates" in done.err
    done = command(main, *words[:-2], "--host_rank", 1)
    assert done.code == 1
    assert "only with --hosts" in done.err
    assert not list(tmp_path.iterdir())
