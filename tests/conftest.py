"""What all tests share: quiet libraries, the `--slow` option, data outside git."""

import os
from pathlib import Path

# Before anything imports TensorFlow or matplotlib, which read them once.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the tests marked slow")


def pytest_collection_modifyitems(config, items):
    for item in items:
        if "corpora_dir" in item.fixturenames:
            item.add_marker("data")
        if "slow" in item.keywords and not config.getoption("--slow"):
            item.add_marker(pytest.mark.skip(reason="minutes long; run with --slow"))


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
