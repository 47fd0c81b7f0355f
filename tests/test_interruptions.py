"""Killed, stopped or out of disk at any moment: nothing is lost, nothing half is left.

Real processes are ended at random moments; the same command goes on, and its results
are those of an undisturbed run to the bit.
"""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

# Parts of two videos on two processes, so that there is something to interrupt; without
# tracing, which takes most of a tiny training.
ALIGN = """
import sys
from emorec.sequences import parallel
parallel._WORTH_IT, parallel._PART = 2, 2
parallel.usable_cores = lambda: 2
from emorec.cli.app import main
sys.exit(main(sys.argv[1:]))
"""
TRAIN = """
import sys, warnings
import tensorflow as tf
warnings.simplefilter("ignore")
tf.config.run_functions_eagerly(True)
from emorec.cli.mosei import main
sys.exit(main(sys.argv[1:]))
"""
ROOT = Path(__file__).parents[1]
SETTINGS = ("-df", "data", "-pf", "pickles", "-n", "8", "-e", "4", "-b", "32")


def start(code, arguments, where, **kwargs):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=where,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **kwargs,
    )


def finish(process):
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def children(process):
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    try:
        return [int(number) for number in path.read_text().split()]
    except OSError:
        return []


def wait_until(condition, seconds=30):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def running(number):
    """Tell whether a process is there and not merely waiting to be buried."""
    try:
        return Path(f"/proc/{number}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def content(folder, *ignored):
    """Return the bytes of every file but those whose names tell of times."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(ignored)
    }


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return a miniature of 40 videos."""
    from emorec.corpora.miniature import write_mosei

    folder = tmp_path_factory.mktemp("interrupted")
    write_mosei(folder / "data", videos=40)
    return folder / "data"


@pytest.fixture(scope="module")
def aligned(data, tmp_path_factory):
    """Return what an undisturbed alignment writes, and its seconds."""
    folder = tmp_path_factory.mktemp("undisturbed")
    began = time.monotonic()
    assert finish(start(ALIGN, align_into(data), folder))[0] == 0
    return content(folder, ".json"), time.monotonic() - began


def align_into(data):
    return ("mosei", "align", data, "--output", "aligned.pkl")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    "kills", [6, pytest.param(20, marks=pytest.mark.slow, id="20")]
)
def test_alignment_survives_being_killed_again_and_again(
    data, aligned, tmp_path, kills
):
    expected, seconds = aligned
    moments = random.Random(0)
    kept = 0
    for _ in range(kills):
        process = start(ALIGN, align_into(data), tmp_path)
        time.sleep(moments.uniform(0.2, 0.9) * seconds)
        helpers = children(process)
        process.kill()
        finish(process)
        wait_until(lambda numbers=helpers: not any(map(running, numbers)))
        parts = len(list(tmp_path.glob("aligned.parts-*/*.json")))
        done = (tmp_path / "aligned.pkl").exists()
        assert done or parts >= kept
        kept = parts
        if moments.random() < 0.2:  # a fresh beginning now and then
            shutil.rmtree(tmp_path)
            tmp_path.mkdir()
            kept = 0
    code, _, err = finish(start(ALIGN, align_into(data), tmp_path))
    assert (code, err) == (0, "")
    assert content(tmp_path, ".json") == expected


@pytest.mark.parametrize("whole_group", [True, False])
def test_an_interrupted_alignment_says_so_and_ends_at_once(
    data, aligned, tmp_path, whole_group
):
    process = start(ALIGN, align_into(data), tmp_path)
    wait_until(lambda: list(tmp_path.glob("aligned.parts-*/*.json")))
    helpers = children(process)
    if whole_group:  # as Ctrl-C in a terminal does
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    assert code in (0, 130)  # 0 when it had just ended
    assert "Traceback" not in err
    assert code == 0 or "the same command goes on where it stopped" in err
    wait_until(lambda: not any(map(running, helpers)))
    assert finish(start(ALIGN, align_into(data), tmp_path))[0] == 0
    assert content(tmp_path, ".json") == aligned[0]


def test_a_dead_helper_is_an_error_and_loses_nothing(data, aligned, tmp_path):
    process = start(ALIGN, align_into(data), tmp_path)
    wait_until(lambda: list(tmp_path.glob("aligned.parts-*/*.json")))
    for number in children(process):
        with open(f"/proc/{number}/cmdline", "rb") as file:
            if b"spawn_main" in file.read():
                os.kill(number, signal.SIGKILL)
                break
    code, _, err = finish(process)
    assert code == 0 or (code == 1 and "died (SIGKILL)" in err)
    assert "Traceback" not in err
    assert finish(start(ALIGN, align_into(data), tmp_path))[0] == 0
    assert content(tmp_path, ".json") == aligned[0]


def limit(size):
    """Return what lets a process write files of `size` bytes at most."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("size", [1_000, 20_000, 300_000])
def test_alignment_on_a_full_disk_is_an_error_and_goes_on(
    data, aligned, tmp_path, size
):
    process = start(ALIGN, align_into(data), tmp_path, preexec_fn=limit(size))
    code, _, err = finish(process)
    assert code == 1
    assert "cannot be written (File too large)" in err
    assert "Traceback" not in err
    assert not list(tmp_path.rglob(".writing-*"))
    assert finish(start(ALIGN, align_into(data), tmp_path))[0] == 0
    assert content(tmp_path, ".json") == aligned[0]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a function that makes a folder with aligned data, ready to train."""
    from emorec.corpora.miniature import write_mosei

    first = tmp_path_factory.mktemp("trained")
    write_mosei(first / "data", videos=12)

    def make(folder):
        shutil.copytree(first, folder, dirs_exist_ok=True, copy_function=os.link)
        shutil.rmtree(folder / "models", ignore_errors=True)
        return folder

    assert finish(start(TRAIN, SETTINGS, first))[0] == 0
    make.result = results(first)
    return make


def results(folder):
    """Return the trained weights, the predictions and the tables of a run."""
    (model,) = folder.glob("models/*")
    weights = {}
    for path in model.glob("*.keras"):
        weights[path.name] = path.stat().st_size
    scores = {}
    for path in model.glob("predictions_*.npz"):
        with np.load(path) as stored:
            scores[path.name] = stored["scores"].tobytes()
    tables = content(model / "csv")
    kept = {path.name for path in model.iterdir()}
    return weights, scores, tables, kept


@pytest.mark.parametrize(
    "kills", [1, pytest.param(20, marks=pytest.mark.slow, id="20")]
)
def test_training_survives_being_killed(place, tmp_path, kills):
    folder = place(tmp_path)
    moments = random.Random(kills)
    for number in range(kills):
        process = start(TRAIN, SETTINGS, folder)
        if number % 2:
            time.sleep(moments.uniform(2, 20))
        else:
            # Epochs are short beside the start: look for the moment.
            pattern = f"models/*/unfinished_*/epoch_{moments.randrange(3)}*"
            until = time.monotonic() + 60
            while process.poll() is None and not list(folder.glob(pattern)):
                assert time.monotonic() < until
                time.sleep(0.01)
            time.sleep(moments.uniform(0, 0.3))
        process.kill()
        finish(process)
    code, _, err = finish(start(TRAIN, SETTINGS, folder))
    assert code == 0, err
    assert results(folder) == place.result


@pytest.mark.slow
@pytest.mark.parametrize("size", [2_000, 300_000])
def test_training_on_a_full_disk_is_an_error_and_goes_on(place, tmp_path, size):
    folder = place(tmp_path)
    process = start(TRAIN, SETTINGS, folder, preexec_fn=limit(size))
    code, _, err = finish(process)
    assert code == 1, err
    assert "cannot be written (File too large)" in err
    assert "Traceback" not in err
    assert not list(folder.rglob(".writing-*"))
    assert finish(start(TRAIN, SETTINGS, folder))[0] == 0
    assert results(folder) == place.result


@pytest.mark.slow
def test_two_runs_share_their_folders(place, tmp_path):
    folder = place(tmp_path)
    shutil.rmtree(folder / "pickles")
    runs = [(*SETTINGS[:5], nodes, *SETTINGS[6:]) for nodes in ("8", "9")]
    processes = [start(TRAIN, run, folder) for run in runs]
    for process in processes:
        code, _, err = finish(process)
        assert code == 0, err
    (model,) = folder.glob("models/*")
    for table in model.glob("csv/*.csv"):
        text = table.read_text()
        assert text.count("l_1_n_8_") == text.count("l_1_n_9_") > 0
    assert not list(folder.rglob(".*"))


@pytest.mark.slow
def test_the_same_run_twice_at_once_is_refused_or_done_after(place, tmp_path):
    folder = place(tmp_path)
    ended = [finish(p) for p in [start(TRAIN, SETTINGS, folder) for _ in range(2)]]
    assert 0 in [code for code, _, _ in ended]
    for code, _, err in ended:
        assert code == 0 or "another process is working on the run" in err
    assert results(folder) == place.result


@pytest.fixture
def read_only():
    """Return a function that makes a folder read-only, also for the superuser."""
    mounted, closed = [], []

    def make(folder):
        if os.geteuid() == 0:
            for options in (
                ["--bind", folder, folder],
                ["-o", "remount,ro,bind", folder],
            ):
                done = subprocess.run(["mount", *options], capture_output=True)
                if done.returncode:
                    pytest.skip("the superuser writes everywhere, and may not mount")
                mounted.append(folder)
        else:
            closed.extend([folder, *folder.rglob("*")])
            for path in closed:
                path.chmod(0o555 if path.is_dir() else 0o444)

    yield make
    if mounted:
        subprocess.run(["umount", mounted[0]], check=True)
    for path in closed:
        path.chmod(0o755 if path.is_dir() else 0o644)


def test_a_folder_of_data_that_nobody_may_write_to_serves(
    miniature, train, tmp_path, read_only
):
    data = shutil.copytree(miniature, tmp_path / "data")
    read_only(data)
    with pytest.raises(OSError):
        (data / "new").touch()
    result = train(tmp_path, "-e 1 -b 128 -m A -s 10", data=data)
    assert result.code == 0, result.err
    assert list(result.model.glob("csv/*.csv"))
