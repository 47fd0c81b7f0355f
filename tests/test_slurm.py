"""run_cluster.sh under a real SLURM, started for these tests on this machine.

Needs Debian's packages slurmd, slurmctld and munge, and root, as which slurmd runs.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.host_processes import ROOT, environment, free_port

pytestmark = pytest.mark.slurm
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scancel", "scontrol")
# CPUs and memory that the machine may not have, for no job takes what it asks for.
CONFIGURATION = """
ClusterName=emorec
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmdPort={other}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CryptoType=crypto/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=10
SwitchType=switch/none
MpiDefault=none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
NodeName={host} NodeAddr=127.0.0.1 CPUs=16 RealMemory=64000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
OPTIONS = ["-mn", "mine", "-m", "A", "-n", "4", "-s", "10", "-scm", "false"]
PARAM = "l_2_n_4_d_0.2_b_32_s_10"


class Slurm:
    """A controller and one node, whose files lie in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        host = socket.gethostname().partition(".")[0]
        (folder / "key").write_bytes(os.urandom(1024))
        (folder / "key").chmod(0o400)
        (folder / "slurm.conf").write_text(
            CONFIGURATION.format(
                host=host, folder=folder, port=free_port(), other=free_port()
            )
        )
        for name in ("state", "spool"):
            (folder / name).mkdir()
        self.environment = environment(SLURM_CONF=str(folder / "slurm.conf"))

    def start(self) -> None:
        munge = {
            "key-file": "key",
            "socket": "munge.sock",
            "pid-file": "munged.pid",
            "log-file": "munged.log",
            "seed-file": "seed",
        }
        places = [f"--{name}={self.folder / file}" for name, file in munge.items()]
        self.run("munged", "--force", *places)
        self.run("slurmctld")
        self.run("slurmd")
        self.until(lambda: self.run("sinfo", "-h", "-o", "%T") == "idle", 60)

    def stop(self) -> None:
        """End the jobs of tests that failed, then the programs; nothing is left."""
        with suppress(AssertionError, subprocess.TimeoutExpired):
            for job in self.run("squeue", "-h", "-o", "%A").split():
                self.run("scancel", job)
            self.until(lambda: not self.run("squeue", "-h"), 30)
        for name in ("slurmd", "slurmctld", "munged"):
            file = self.folder / f"{name}.pid"
            with suppress(OSError, ValueError):
                number = int(file.read_text())
                os.kill(number, signal.SIGTERM)
                with suppress(AssertionError):
                    self.until(lambda own=file: not own.exists(), 20)
                    continue
                os.kill(number, signal.SIGKILL)

    def run(self, *words, cwd=None, **more) -> str:
        done = subprocess.run(
            words,
            cwd=cwd,
            env=self.environment | more,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def until(self, true, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, self.logs()
            time.sleep(0.2)

    def logs(self) -> str:
        logs = [p for p in self.folder.glob("*.log") if p.is_file()]
        return "\n".join(f"{p.name}:\n{p.read_text()[-2000:]}" for p in logs)

    def submit(self, project: Path, *options, given=(), **more) -> int:
        words = ["sbatch", *given, "run_cluster.sh", *map(str, options)]
        told = self.run(*words, cwd=project, **more)
        return int(told.split()[-1])

    def state(self, job: int) -> str:
        told = self.run("scontrol", "show", "job", str(job), "-o")
        return re.search(r"JobState=(\w+)", told).group(1)

    def ended(self, job: int, project: Path, seconds: float = 400) -> tuple[str, str]:
        """Wait for a job's end; return its state and what it printed."""
        going = ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING")
        self.until(lambda: self.state(job) not in going, seconds)
        return self.state(job), (project / f"emorec_{job}.log").read_text()


@pytest.fixture(scope="module")
def slurm():
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        pytest.skip(f"needs {', '.join(missing)}: apt-get install slurmd slurmctld")
    if os.geteuid():
        pytest.skip("slurmd runs as root")
    # Not pytest's folder, which is closed to others, as munge's must not be.
    folder = Path(tempfile.mkdtemp(prefix="emorec-slurm-"))
    folder.chmod(0o755)
    cluster = Slurm(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder)


@pytest.fixture
def project(tmp_path, miniature, slurm):
    """A folder to submit from."""
    for name in ("run_cluster.sh", "main.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    script = (tmp_path / "run_cluster.sh").read_text()
    folder = f'DATASET_FOLDER="{miniature}"'
    (tmp_path / "run_cluster.sh").write_text(
        script.replace('DATASET_FOLDER=""', folder)
    )
    slurm.environment |= {"PYTHON": sys.executable}
    return tmp_path


def record(project):
    return json.loads((project / "models/mine" / f"run_{PARAM}.json").read_text())


def test_a_job_of_one_run_completes(slurm, project):
    job = slurm.submit(project, *OPTIONS, "-e", 2)
    state, log = slurm.ended(job, project)
    assert state == "COMPLETED", log
    assert f"job {job}" in log
    assert record(project)["status"] == "complete"
    assert list((project / "models/mine/csv").glob("*.csv"))


def test_a_wrong_option_fails_the_job_and_says_why(slurm, project):
    job = slurm.submit(project, "--dropout_rate", "2")
    state, log = slurm.ended(job, project)
    assert state == "FAILED"
    assert "dropout_rate" in log


def test_a_cancelled_job_of_several_hosts_goes_on(slurm, project):
    def submit():
        tasks = ("--ntasks=2", "--ntasks-per-node=2")
        return slurm.submit(project, *OPTIONS, "-e", 25, given=tasks, HOSTS="2")

    job = submit()
    log = project / f"emorec_{job}.log"
    slurm.until(lambda: log.is_file() and "epoch   2" in log.read_text(), 400)
    slurm.run("scancel", str(job))
    began = time.monotonic()
    state, said = slurm.ended(job, project)
    assert state == "CANCELLED", said
    # Both processes end on the signal, not by being killed later.
    assert time.monotonic() - began < 10
    unfinished = project / "models/mine" / f"unfinished_{PARAM}"
    known = json.loads((unfinished / "state.json").read_text())
    assert 2 <= known["epochs"] < 25
    for epoch in {known["epochs"] - 1, known["best_epoch"]}:
        assert (unfinished / f"epoch_{epoch}.weights.h5").stat().st_size
    assert record(project)["status"] == "training"

    job = submit()
    state, said = slurm.ended(job, project)
    assert state == "COMPLETED", said
    assert "2 hosts train together" in said
    # A killed process may have written one more epoch than was known above.
    assert "Going on after epoch" in said
    assert record(project)["status"] == "complete"
    assert record(project)["training"]["hosts"] == 2
    assert record(project)["training"]["epochs"] <= 25
    assert not unfinished.exists()


def test_too_few_tasks_are_told(slurm, project):
    job = slurm.submit(project, *OPTIONS, HOSTS="2")
    state, log = slurm.ended(job, project)
    assert state == "FAILED"
    assert "submit with sbatch --nodes=2" in log
