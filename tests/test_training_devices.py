"""The same job on JAX without TensorFlow, and divided among devices."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[1]
PARAM = "l_1_n_8_d_0.2_b_35_s_45"


def process(script, folder, *arguments):
    """Run a script in a fresh process and return the last line that it prints."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "KERAS_BACKEND": "",
        # Compiles each network once in three runs.
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # compiling takes longer than running
    }
    result = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()[-1]


ON_JAX = """
import sys
sys.modules["tensorflow"] = None  # as where it is not installed
from emorec.cli.mosei import main

data, options = sys.argv[1], "-n 8 -e 3 -b 35".split()

def run(folder, *more):
    places = "-df", data, "-pf", "pickles", "-mf", folder
    return main([*places, *options, *more])

codes = [run("whole")]
from emorec.training import fit
write, calls = fit.write_json, []

def interrupting(*arguments):
    calls.append(arguments)
    if len(calls) == 2:
        raise KeyboardInterrupt
    write(*arguments)

fit.write_json = interrupting
codes.append(run("resumed"))
fit.write_json = write
codes.append(run("resumed"))
options = "-n 8 -e 3 --no_train -pf saved -scm false".split()
codes.append(run("saved"))
print(*codes)
"""


@pytest.fixture(scope="module")
def jax(finished, miniature, tmp_path_factory):
    """Folder of runs on JAX, where importing TensorFlow fails.

    One whole, one interrupted and resumed, and an evaluation of a model that was
    trained on TensorFlow.
    """
    folder = tmp_path_factory.mktemp("jax")
    shutil.copytree(finished.model, folder / "saved" / finished.model.name)
    assert process(ON_JAX, folder, miniature) == "0 130 0 0"
    return folder


def results(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".npz", ".csv", ".pkl")
    }


def test_without_tensorflow_jax_does_the_whole_job(jax, finished):
    model = jax / "whole" / finished.model.name
    record = json.loads((model / f"run_{PARAM}.json").read_text())
    assert record["status"] == "complete"
    assert record["training"]["backend"] == "jax"
    written = {name.replace("b_35", "b_32") for name in results(model)}
    assert written == results(finished.model).keys()
    for fold in ("train", "valid", "test"):
        name = f"cmu_mosei_miniature_{fold}.pkl"
        other = finished.pickles / name
        assert (jax / "pickles" / name).read_bytes() == other.read_bytes()


def test_jax_and_tensorflow_learn_alike(jax, finished):
    mine = pd.read_csv(jax / "whole" / finished.model.name / f"history_{PARAM}.csv")
    (path,) = finished.model.glob("history_*.csv")
    theirs = pd.read_csv(path)
    # Other random numbers, the same curve.
    assert mine["val_loss"].min() == pytest.approx(theirs["val_loss"].min(), rel=0.15)
    assert mine["loss"].is_monotonic_decreasing
    assert theirs["loss"].is_monotonic_decreasing


def test_jax_resumes_to_the_same_bytes(jax, finished):
    whole, resumed = (jax / name / finished.model.name for name in ("whole", "resumed"))
    record = json.loads((resumed / f"run_{PARAM}.json").read_text())
    assert record["training"]["resumed_after"] == 1
    assert results(resumed) == results(whole)
    assert not list(resumed.glob("unfinished_*"))


def test_jax_predicts_what_tensorflow_predicts(jax, finished):
    (path,) = finished.model.glob("predictions_test_*.npz")
    saved = jax / "saved" / finished.model.name / path.name
    with np.load(path) as expected, np.load(saved) as received:
        assert received["ids"].tolist() == expected["ids"].tolist()
        np.testing.assert_allclose(received["scores"], expected["scores"], atol=1e-5)


DIVIDED = """
import sys
from emorec.training import backend
backend.choose_backend()
import tensorflow as tf

(cpu,) = tf.config.list_physical_devices("CPU")
halves = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, halves)
from emorec.cli.mosei import main

print(main(sys.argv[1:]))
"""


def test_two_devices_learn_what_one_learns(train, miniature, tmp_path):
    # Without dropout, and by an optimiser that a wrong scale of the gradient shows in.
    options = "-n 8 -e 2 -m A -d 0 -opt sgd -lr 0.1 -scm false"
    folders = "-df", miniature, "-pf", "pickles", "-mf", "models"
    assert process(DIVIDED, tmp_path, *folders, "--gpus", 2, *options.split()) == "0"
    one = train(tmp_path / "one", options)
    assert one.code == 0, one.err

    def history(folder):
        (path,) = folder.rglob("history_*.csv")
        return pd.read_csv(path)

    received, expected = history(tmp_path / "models"), history(one.model)
    # Each device normalises by the statistics of its own half of a batch.
    for name in ("loss", "val_loss"):
        np.testing.assert_allclose(received[name], expected[name], rtol=0.02)


MESSAGES = """
import re, sys
sys.modules["tensorflow"] = None
from emorec.training import backend
backend.choose_backend()
import jax
import numpy as np
from emorec.models.early_fusion import early_fusion
from emorec.training import division

def messages(rows, steps=5, widths=(4, 3)):
    divided = division.begin(2, rows)
    with divided.scope():
        model = early_fusion(widths, 2, 2, 8)
        model.compile(optimizer="adam", loss="mean_absolute_error")
        model.optimizer.build(model.trainable_variables)
    inputs = {
        "features": np.ones((rows, steps, sum(widths)), np.float32),
        "mask": np.ones((rows, steps), bool),
        "presence": np.ones((rows, steps, len(widths)), np.float32),
    }
    batch = divided.place((inputs, np.ones((rows, 2), np.float32)), rows)
    model._symbolic_build(data_batch=batch)
    kinds = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )
    state = tuple([variable.value for variable in kind] for kind in kinds)
    program = jax.jit(model.train_step).lower(state, batch).compile().as_text()
    sent = re.findall(
        r"= (.*?) (all-reduce|all-gather|all-to-all|collective-permute)[(]", program
    )
    return sorted((kind, re.sub(r"/[*].*?[*]/", "", shapes)) for shapes, kind in sent)

few, many = messages(8), messages(16)
print(few == many, {kind for kind, _ in few})
"""


def test_what_devices_send_does_not_grow_with_the_batch(monkeypatch, tmp_path):
    # Sums over the batch travel, never rows of it.
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
    assert process(MESSAGES, tmp_path) == "True {'all-reduce'}"
