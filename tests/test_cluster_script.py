"""run_cluster.sh: the shell script that users edit and submit."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "run_cluster.sh"


@pytest.fixture
def project(tmp_path):
    """A folder with the two files that the script needs, and no data."""
    for name in ("run_cluster.sh", "main.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def run(script, *options, cwd, **environment):
    return subprocess.run(
        ["bash", str(script), *options],
        cwd=cwd,
        env={
            **os.environ,
            "PYTHON": sys.executable,
            "PYTHONPATH": str(ROOT),
            **environment,
        },
        capture_output=True,
        text=True,
    )


def test_shellcheck_finds_nothing():
    shellcheck = shutil.which("shellcheck") or shutil.which(
        "shellcheck", path=str(Path(sys.executable).parent)
    )
    if shellcheck is None:
        pytest.skip("shellcheck is not installed (pip install 'emorec[test]')")
    checked = subprocess.run(
        [shellcheck, str(SCRIPT), str(ROOT / ".ci" / "run")],
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout


def test_it_runs_the_parameters_at_its_top(project):
    done = run(project / "run_cluster.sh", "--dry_run", cwd="/")
    assert done.returncode == 0, done.stderr
    assert "2 layers, 128 nodes, dropout 0.2" in done.stdout
    assert "MINIATURE" in done.stdout.splitlines()[1]


def test_options_behind_it_win_over_its_parameters(project):
    done = run(project / "run_cluster.sh", "--dry_run", "--seed", "7", cwd=project)
    assert "seed 7" in done.stdout


def test_edited_parameters_reach_the_program(project):
    script = project / "run_cluster.sh"
    text = script.read_text()
    script.write_text(
        text.replace("NUM_LAYERS=2", "NUM_LAYERS=3").replace(
            'MODEL_NAME=""', 'MODEL_NAME="mine"'
        )
    )
    done = run(script, "--dry_run", cwd=project)
    assert "3 layers" in done.stdout
    assert "models/mine" in done.stdout


def test_under_slurm_the_submit_folder_is_the_project(project, tmp_path_factory):
    # SLURM runs a copy of the script from its spool folder.
    spool = tmp_path_factory.mktemp("spool")
    copy = shutil.copy(project / "run_cluster.sh", spool / "slurm_script")
    done = run(
        copy, "--dry_run", cwd="/", SLURM_SUBMIT_DIR=str(project), SLURM_JOB_ID="42"
    )
    assert done.returncode == 0, done.stderr
    assert "job 42" in done.stdout


def test_a_wrong_folder_is_told(project, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    done = run(
        project / "run_cluster.sh",
        "--dry_run",
        cwd="/",
        SLURM_SUBMIT_DIR=str(elsewhere),
    )
    assert done.returncode == 2
    assert "main.py" in done.stderr


def test_the_exit_code_is_the_programs(project):
    done = run(project / "run_cluster.sh", "--dropout_rate", "2", cwd=project)
    assert done.returncode == 1
    assert "dropout_rate" in done.stderr
