"""What several hosts are told, and what each of them makes of a batch."""

import re
import subprocess
import sys

import numpy as np
import pytest

from emorec.errors import SpecError
from emorec.training import hosts
from tests.host_processes import TWO_DEVICES, environment


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
    data, wholes = _PyBatches(faces), _PyBatches(faces)
    for number in range(3):
        rows, parts = data.part(number, lambda rows: slice(1, rows - 1))
        assert rows == (4, 4, 2)[number]
        for part, whole in zip(parts, wholes[number], strict=True):
            np.testing.assert_array_equal(part, whole[1:-1])


SPECTROGRAMS = """
import sys
sys.modules["tensorflow"] = None
import jax
import numpy as np
from emorec.models.speech_layers import FrontEnd
from emorec.training import division

divided = division.begin(2, 4)
waves = np.random.default_rng(0).normal(0, 0.1, (4, 4000)).astype(np.float32)
whole = np.asarray(FrontEnd("logmel")(waves))
layer = FrontEnd("logmel", by_rows=divided.by_rows)
for rows in (4, 3):  # three cannot be divided
    (placed,) = divided.place((waves[:rows],), rows)
    made = jax.jit(layer.call).lower(placed).compile()
    assert not [word for word in ("all-", "permute") if word in made.as_text()]
    np.testing.assert_allclose(made(placed), whole[:rows], atol=1e-3)
"""


def test_devices_make_the_spectrograms_of_their_own_rows():
    words = [sys.executable, "-c", SPECTROGRAMS]
    ended = subprocess.run(
        words, env=environment(flags=TWO_DEVICES), capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr


def test_dry_runs_and_misuse_join_nobody(miniature, command, tmp_path):
    from emorec.cli.mosei import main

    words = ["-df", miniature, "-mf", tmp_path / "models", "--hosts", "2"]
    ended = command(main, *words, "--dry_run")
    assert ended.code == 0
    assert "hosts     2" in ended.out
    ended = command(main, *words, "--no_train")
    assert ended.code == 1
    assert "one host evaluates" in ended.err
    ended = command(main, *words[:-2], "--host_rank", 1)
    assert ended.code == 1
    assert "only with --hosts" in ended.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("voices distill --hosts 2 --coordinator a:1 --host_rank 0", r"emorec\[jax\]"),
        ("voices distill --host_rank 0", "only with --hosts"),
        ("voices distill --gpus 2", "on JAX only"),
        ("voices distill --gpus -1", "expected 0 or more"),
        ("ravdess train --hosts 2", "by srun"),
        ("ravdess train --hosts 2 --no_train", "one host evaluates"),
    ],
)
def test_what_cannot_train_together_is_told_before_anything_is_made(
    words, message, command, tmp_path, monkeypatch
):
    from emorec.cli.app import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    ended = command(main, *words.split())
    assert ended.code == 1
    assert re.search(message, ended.err), ended.err
    assert not list(tmp_path.iterdir())
