"""What all tests share: quiet libraries, `--slow`, data outside git, small runs."""

import io
import os
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace

# Before anything imports TensorFlow or matplotlib, which read them once.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import pytest
from hypothesis import settings

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the tests marked slow")
    parser.addoption("--slurm", action="store_true", help="run the tests under SLURM")
    parser.addoption("--full", action="store_true", help="run the tests marked full")


def pytest_configure(config):
    config.addinivalue_line("markers", "slurm: starts SLURM; run with --slurm")
    # Examples are drawn from the test's own text, so that every machine has the same.
    settings.register_profile(
        "ci", max_examples=50, derandomize=True, database=None, deadline=None
    )
    settings.register_profile(
        "slow", settings.get_profile("ci"), max_examples=2000, derandomize=False
    )
    settings.load_profile("slow" if config.getoption("--slow") else "ci")


def pytest_collection_modifyitems(config, items):
    for item in items:
        if "corpora_dir" in item.fixturenames:
            item.add_marker("data")
        if "slow" in item.keywords and not config.getoption("--slow"):
            item.add_marker(pytest.mark.skip(reason="minutes long; run with --slow"))
        if "slurm" in item.keywords and not config.getoption("--slurm"):
            item.add_marker(pytest.mark.skip(reason="starts SLURM; run with --slurm"))
        if "full" in item.keywords and not config.getoption("--full"):
            reason = "needs 12 GB and a quarter of an hour; run with --full"
            item.add_marker(pytest.mark.skip(reason=reason))


def _outside(variable: str, beside: Path) -> Path:
    """Return the folder that `variable` names, else the one beside the repository."""
    if named := os.environ.get(variable):
        # Who names a folder wants these tests to run, so a wrong name is no skip.
        assert Path(named).is_dir(), f"{variable}={named}: no such folder"
        return Path(named)
    if not beside.is_dir():
        pytest.skip(f"set {variable} to the folder that holds these files")
    return beside


@pytest.fixture(scope="session")
def corpora_dir():
    """Folder of the real corpora: mosei/, meld/, ravdess/ and others."""
    return _outside("EMOREC_DATA", SHARED / "data")


@pytest.fixture(scope="session")
def golden_dir():
    """Folder of outputs of the reference programs."""
    return _outside("EMOREC_GOLDEN", SHARED / "golden")


@pytest.fixture(scope="session")
def miniature(tmp_path_factory):
    """Folder of a synthetic CMU-MOSEI of 16 videos; to be copied, not changed."""
    from emorec.corpora.miniature import write_mosei

    folder = tmp_path_factory.mktemp("miniature")
    write_mosei(folder, videos=16)
    return folder


@pytest.fixture(scope="session")
def command():
    """Return a function that runs a command here; it returns code, out and err.

    Eagerly, TensorFlow traces nothing, which takes most of a tiny training.
    """
    return _command


def _command(main, *arguments, eagerly=False):
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings():
        if eagerly:
            import tensorflow as tf

            # tf.data stays compiled all the same, and says so.
            warnings.filterwarnings("ignore", "Even though the `tf.config")
            tf.config.run_functions_eagerly(True)
        try:
            code = main([str(argument) for argument in arguments])
        finally:
            if eagerly:
                tf.config.run_functions_eagerly(False)
            if "keras" in sys.modules:
                # The precision of a run is Keras' own until the next one.
                sys.modules["keras"].config.set_dtype_policy("float32")
    return SimpleNamespace(code=code, out=out.getvalue(), err=err.getvalue())


@pytest.fixture(scope="session")
def train(miniature, command):
    """Return a function that runs the main job on the miniature, results in a folder.

    Options may stand in one text. Eagerly, confusion matrices are not drawn, which
    takes a sixth of the time. The function's result has the exit code, out, err, and
    the folders of model and pickles.
    """
    from emorec.cli.mosei import main

    def run(root, *options, data=miniature, eagerly=True):
        words = ["-df", data, "-pf", root / "pickles", "-mf", root / "models", "-n", 8]
        words += ["-scm", "false"] if eagerly else []
        for option in options:
            words += option.split() if isinstance(option, str) else [option]
        result = command(main, *words, eagerly=eagerly)
        result.pickles = root / "pickles"
        result.model = root / "models" / "early_fusion_miniature"
        return result

    return run


@pytest.fixture(scope="session")
def finished(train, tmp_path_factory):
    """A run of three epochs, as users run it; to be copied, not changed."""
    result = train(tmp_path_factory.mktemp("finished"), "-e", 3, eagerly=False)
    assert result.code == 0, result.err
    return result
