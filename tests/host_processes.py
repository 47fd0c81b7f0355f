"""Processes of this machine that stand for hosts, on JAX without TensorFlow."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parents[1]
# A sane test takes a tenth of it, on a machine that does nothing else.
LIMIT = 400
# Of a process: two of them have four, which share a batch.
TWO_DEVICES = "--xla_force_host_platform_device_count=2"
# Commands one after another, then those that the first process runs by itself, in a
# folder `alone`: a start takes as long as a small training.
TRAIN = """
import json, os, sys
from functools import cache
from pathlib import Path
sys.modules["tensorflow"] = None  # as where it is not installed; and it takes seconds
from matplotlib.figure import Figure
from emorec.cli.app import main
from emorec.training import hosts

hosts.join = cache(hosts.join)  # once in a process
Figure.savefig = lambda self, path, **how: Path(path).touch()  # others look at them
together, alone = json.loads(sys.argv[1])
for words in together:
    if code := main(words):
        sys.exit(code)
if alone and hosts.here().lead:
    os.mkdir("alone")
    os.chdir("alone")
    with hosts.here().by_itself():
        sys.exit(max(main(words) for words in alone))
"""
# The process of this rank ends as by a power cut after its second epoch.
KILLED = (
    """
import os, signal, sys
sys.modules["tensorflow"] = None
rank = sys.argv.pop(1)
from emorec.training import backend

prepare = backend.prepare

def dying(*arguments):
    from emorec.training import fit, hosts
    end = fit.Progress.on_epoch_end

    def on_epoch_end(self, epoch, logs=None):
        end(self, epoch, logs)
        if epoch == 1 and hosts.here().rank == int(rank):
            os.kill(os.getpid(), signal.SIGKILL)

    fit.Progress.on_epoch_end = on_epoch_end
    return prepare(*arguments)

backend.prepare = dying
"""
    + TRAIN
)


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a process on JAX that compiles fast rather than well.

    The tests' own variables for SLURM are not handed on.
    """
    own = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_")}
    flags = (
        "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    )
    return own | {
        "PYTHONPATH": str(ROOT),
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"{flags} {more.pop('flags', '')}",
        **more,
    }


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return door.getsockname()[1]


def run(
    folder, *commands, hosts: int = 1, script: str = TRAIN, before=(), alone=(), **more
):
    """Run ``emorec`` in `folder`, in processes that train together.

    Each command is a list of options; a text may hold several. Those of `alone` are
    run after the others, in a folder of that name, by one process. Returns one result
    a process: code, out, err.
    """
    commands, alone = (
        [[str(word) for option in command for word in _words(option)] for command in of]
        for of in (commands, alone)
    )
    port = free_port()
    started = []
    for rank in range(hosts):
        own = []
        if hosts > 1:
            own = ["--hosts", str(hosts), "--coordinator", f"127.0.0.1:{port}"]
            own += ["--host_rank", str(rank)]
        words = json.dumps([[[*command, *own] for command in commands], alone])
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", script, *before, words],
                cwd=folder,
                env=environment(**more),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    results = []
    try:
        for process in started:
            out, err = process.communicate(timeout=LIMIT)
            results.append(SimpleNamespace(code=process.returncode, out=out, err=err))
    finally:
        for process in started:
            process.kill()
            process.wait()
    return results


def _words(option) -> list:
    return option.split() if isinstance(option, str) else [option]
