"""run_cluster.sh: the shell script that users edit and submit."""

import json
import os
import re
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


# What a node of a job with three nodes sees.
NODE = {
    "SLURM_JOB_ID": "42",
    "SLURM_JOB_NUM_NODES": "3",
    "SLURM_NTASKS": "3",
    "SLURM_CPUS_PER_TASK": "4",
}


def started(done):
    """The commands that a dry run would start, without their first word's folder."""
    return [line[2:] for line in done.stdout.splitlines() if line.startswith("+ ")]


def test_several_hosts_here_are_processes_that_meet_at_one_port(project):
    done = run(project / "run_cluster.sh", "--dry_run", cwd=project, HOSTS="2")
    assert done.returncode == 0, done.stderr
    assert "hosts     2" in done.stdout
    first, second = started(done)
    assert "--coordinator 127.0.0.1:" in first
    assert first.replace("--host_rank 0", "--host_rank 1") == second
    assert not (project / "cmu_mosei").exists()


def test_several_hosts_under_slurm_are_tasks_of_one_step(project):
    job = NODE | {"SLURM_SUBMIT_DIR": str(project), "HOSTS": "3"}
    done = run(project / "run_cluster.sh", "--dry_run", cwd="/", **job)
    assert done.returncode == 0, done.stderr
    (command,) = started(done)
    assert command.startswith("srun --ntasks=3 --kill-on-bad-exit=1 ")
    assert "--hosts auto" in command


@pytest.mark.parametrize("hosts", ["2", "4"])
def test_a_job_of_another_size_is_told(project, hosts):
    job = NODE | {"SLURM_SUBMIT_DIR": str(project), "HOSTS": hosts}
    done = run(project / "run_cluster.sh", "--dry_run", cwd="/", **job)
    assert done.returncode == 2
    assert f"submit with sbatch --nodes={hosts}" in done.stderr
    assert not started(done)


def test_a_sweep_of_one_node_is_one_command(project):
    (project / "mine.toml").touch()
    program = {"PYTHON": "echo", "SWEEP": "mine.toml"}
    done = run(project / "run_cluster.sh", "--dry_run", cwd=project, **program)
    assert done.returncode == 0, done.stderr
    assert started(done) == ["echo -m emorec sweep mine.toml --dry_run"]


def test_a_sweep_of_several_nodes_runs_on_a_ray_of_their_own(project):
    (project / "mine.toml").touch()
    job = NODE | {"SLURM_SUBMIT_DIR": str(project)}
    program = {"PYTHON": "echo", "SWEEP": "mine.toml"}
    done = run(project / "run_cluster.sh", "--dry_run", cwd="/", **job, **program)
    assert done.returncode == 0, done.stderr
    head, others, sweep = started(done)
    (port,) = re.findall(r"--head .*--port=(\d+) ", head)
    assert "--num-cpus=4" in head
    assert "--nodes=2 --ntasks=2" in others
    assert f":{port}" in others
    assert sweep.startswith("echo -m emorec sweep mine.toml --workers 12 ")
    assert sweep.endswith(f":{port}")
    # The token by which its processes know each other stands in no command or log.
    assert not re.search(r"[0-9a-f]{32}", done.stdout + done.stderr)


EXTRACTION = ("teacher", "my clips", "--output", "out")


def test_an_extraction_of_one_node_is_one_command(project):
    program = {"PYTHON": "echo", "EXTRACT": "1"}
    done = run(project / "run_cluster.sh", *EXTRACTION, cwd=project, **program)
    assert done.returncode == 0, done.stderr
    # What it starts, and what that said.
    *_, command, said = done.stdout.splitlines()
    assert command == r"+ echo -m emorec extract teacher my\ clips --output out"
    assert said == "-m emorec extract teacher my clips --output out"


def test_an_extraction_runs_on_the_ray_that_a_sweep_runs_on(project):
    (project / "mine.toml").touch()
    job = NODE | {"SLURM_SUBMIT_DIR": str(project), "PYTHON": "echo"}
    script = project / "run_cluster.sh"
    swept = run(script, "--dry_run", cwd="/", **job, SWEEP="mine.toml")
    words = [*EXTRACTION, "--dry_run"]
    done = run(script, *words, cwd="/", **job, EXTRACT="1")
    assert done.returncode == 0, done.stderr
    *ray, command = started(done)
    assert ray == started(swept)[:2]
    # How many processes there is room for, it asks Ray.
    assert re.search(r" --address \S+:20042$", command) and "--workers" not in command
    assert command.startswith(r"echo -m emorec extract teacher my\ clips --output out ")


# As SLURM's, but every node is this machine: it runs the command behind its options.
SRUN = """#!/usr/bin/env bash
while [[ "$1" == --* ]]; do shift; done
exec "$@"
"""
# Writes down who was called; "Ray" stays, as the real one, until it is ended, and what
# waits for it waits for so many of these.
PROGRAM = """#!/usr/bin/env bash
echo "${RAY_AUTH_TOKEN:-none} $$ $*" >> calls.txt
case "$*" in
    *"scripts start"*) exec sleep 300 ;;
    "-m emorec"*) exit 3 ;;
    "- "*) until (($(grep -c "scripts start" calls.txt) >= $3)); do sleep 0.1; done ;;
esac
"""


def programs(folder, **texts):
    """Write scripts that can be run."""
    folder.mkdir()
    for name, text in texts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.parametrize(
    "use, words",
    [
        ({"SWEEP": "mine.toml"}, ("sweep", "mine.toml")),
        ({"EXTRACT": "1"}, ("extract", *EXTRACTION)),
    ],
)
def test_ray_lives_as_long_as_the_command_and_its_exit_code_is_the_jobs(
    project, tmp_path_factory, use, words
):
    (project / "mine.toml").touch()
    folder = programs(
        tmp_path_factory.mktemp("stand_ins") / "bin", srun=SRUN, python=PROGRAM
    )
    job = NODE | use | {"SLURM_SUBMIT_DIR": str(project), "SLURM_JOB_NUM_NODES": "2"}
    job |= {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHON": "python"}
    own = [] if "SWEEP" in use else EXTRACTION
    done = run(project / "run_cluster.sh", *own, cwd="/", **job)
    assert done.returncode == 3, done.stderr
    lines = (project / "calls.txt").read_text().splitlines()
    calls = [line.split(" ", 2) for line in lines]
    rays = [call for call in calls if "scripts start" in call[2]]
    assert ["--head" in call[2] for call in rays] == [True, False]
    (command,) = [call for call in calls if "-m emorec" in call[2]]
    assert command[2].startswith(" ".join(("-m emorec", *words)))
    # All have the job's token, and no command or log.
    (token,) = {call[0] for call in calls}
    assert re.fullmatch("[0-9a-f]{64}", token)
    assert token not in done.stdout + done.stderr + "".join(c[2] for c in calls)
    for _, process, _ in rays:
        assert not Path(f"/proc/{process}").exists()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"HOSTS": "two"}, "expected a number"),
        ({"HOSTS": "0"}, "expected a number"),
        ({"HOSTS": "2", "SWEEP": "a.toml"}, "unset HOSTS"),
        ({"SWEEP": "a.toml"}, "no such file"),
        ({"EXTRACT": "1"}, "run_cluster.sh teacher CLIPS --output OUT"),
        ({"EXTRACT": "1", "HOSTS": "2"}, "unset HOSTS"),
        ({"EXTRACT": "1", "SWEEP": "a.toml"}, "expected one of them"),
    ],
)
def test_what_cannot_be_is_told(project, settings, words):
    done = run(project / "run_cluster.sh", "--dry_run", cwd=project, **settings)
    assert done.returncode == 2
    assert words in done.stderr


@pytest.mark.slow
def test_two_processes_here_train_one_network(project, miniature):
    script = project / "run_cluster.sh"
    words = f"-df {miniature} -mn mine -m A -n 4 -s 10 -e 1 -scm false".split()
    done = run(script, *words, cwd=project, HOSTS="2", JAX_PLATFORMS="cpu")
    assert done.returncode == 0, done.stderr
    (record,) = (project / "models" / "mine").glob("run_*.json")
    assert json.loads(record.read_text())["training"]["hosts"] == 2
