"""Ray: processes of this machine or of a cluster, begun and left."""

from __future__ import annotations

import logging
import math
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module

from emorec.errors import MissingExtraError, SpecError

# Bytes; what goes between processes is small, and Ray would take a third of the memory.
_STORE = 100_000_000
# Seconds.
_LISTENS = 10
_ENVIRONMENT = {
    # Nothing is reported to anybody, and no files are written that nobody reads.
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # A process without --gpus sees none, so that they do not crowd the first one.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
    # Progress is told by emorec.
    "RAY_AIR_NEW_OUTPUT": "0",
    # The processes' work is the work here: not behind everything else on the machine.
    "RAY_worker_niceness": "0",
}


@dataclass(frozen=True)
class Resources:
    """What is taken of a machine or a cluster.

    Attributes
    ----------
    workers : int
        Processes at a time.
    cpus : int
        Cores of each process.
    gpus : float
        Of each worker; a share of one when below 1.
    address : str
        Of a running Ray cluster; empty: processes of this machine.
    readers : int
        Processes beside the workers that have cores only.
    """

    workers: int
    cpus: int = 1
    gpus: float = 0
    address: str = ""
    readers: int = 0


def require_ray(part: str, purpose: str) -> None:
    """Check that a part of Ray is there, and set how it behaves.

    Parameters
    ----------
    part : str
        ``ray.tune`` or ``ray.data``.
    purpose : str
        What needs it, and what does without; begins the message.

    Raises
    ------
    MissingExtraError
        When it is not installed.
    """
    os.environ.update(_ENVIRONMENT)
    # Ray's remarks about its own affairs, which nobody here can mend.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import_module(part)
    except ImportError as error:
        raise MissingExtraError("ray", "cluster", purpose) from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)


@contextmanager
def connected(resources: Resources, store: int = _STORE) -> Iterator[None]:
    """Begin Ray here, or join a cluster; leave it in the end.

    Parameters
    ----------
    resources : Resources
        What the processes need.
    store : int
        Bytes of memory for what goes between processes of this machine.

    Raises
    ------
    SpecError
        When there is no such cluster.
    """
    import ray

    quiet = {"log_to_driver": False, "logging_level": "error"}
    if resources.address:
        try:
            _knock(resources.address)
            with _silent():
                ray.init(resources.address, **quiet)
        except ConnectionError as error:
            raise SpecError(
                f"--address {resources.address}: no Ray cluster lets this process in "
                f"({error}). Start one with: ray start --head; where it asks for a "
                "token, set RAY_AUTH_TOKEN to the cluster's own."
            ) from error
    else:
        with _silent():
            ray.init(
                "local",  # also where a cluster runs on this machine
                num_cpus=(resources.workers + resources.readers) * resources.cpus,
                num_gpus=math.ceil(resources.workers * resources.gpus),
                object_store_memory=store,
                include_dashboard=False,
                **quiet,
            )
    try:
        yield
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Check that somebody listens: Ray itself asks for minutes where nobody does."""
    host, colon, port = address.rpartition(":")
    if not colon or "/" in host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), _LISTENS).close()
    except OSError as error:
        raise ConnectionError(str(error)) from error


@contextmanager
def _silent() -> Iterator[None]:
    """Hide what the block writes to standard error below Python.

    Ray writes a line there about the very setting that keeps it quiet; its errors come
    as exceptions.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)


def share_gpu(gpus: float) -> None:
    """Let this process leave room on its GPU, when it has a share of one only."""
    if 0 < gpus < 1:
        # Else the first process takes all the memory.
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
