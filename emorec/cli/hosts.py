"""The options of a training on several hosts, shared by the commands that train."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable

from emorec.cli.console import say
from emorec.errors import SpecError


def add_options(parser: argparse.ArgumentParser, gpus: bool = False) -> None:
    """Add ``--hosts`` and what it needs outside of SLURM; perhaps ``--gpus``."""
    group = parser.add_argument_group("several hosts (JAX; docs/cluster.md)")
    if gpus:
        group.add_argument(
            "--gpus",
            type=int,
            default=0,
            metavar="N",
            help="of each host, that share a batch (several hosts: all; else one)",
        )
    group.add_argument(
        "--hosts",
        default="",
        metavar="auto|N",
        help="train together with the same command on other hosts: auto under SLURM "
        "(srun), else their number",
    )
    group.add_argument(
        "--coordinator",
        default="",
        metavar="ADDRESS:PORT",
        help="of the first host, without SLURM",
    )
    group.add_argument(
        "--host_rank",
        type=int,
        default=None,
        metavar="N",
        help="number of this host, from 0, without SLURM",
    )


def check_gpus(gpus: int) -> None:
    """Refuse a number that no host has, and several GPUs on TensorFlow.

    Of the commands that divide a batch on JAX alone.
    """
    if gpus < 0:
        raise SpecError(f"--gpus {gpus}: expected 0 or more.")
    chosen = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if gpus > 1 and chosen != "jax":
        raise SpecError(
            f"--gpus {gpus}: this training is divided among GPUs on JAX only, and the "
            f"backend is {chosen}. Install emorec[jax] and set KERAS_BACKEND=jax."
        )


def join(arguments: argparse.Namespace) -> Callable[[str], None]:
    """Come together with the other hosts; return what prints lines for the user.

    Only the first host prints. Without ``--hosts`` there is one.
    """
    if not arguments.hosts:
        if arguments.coordinator or arguments.host_rank is not None:
            raise SpecError("--coordinator, --host_rank: only with --hosts N.")
        return say
    from emorec.training import hosts

    together = hosts.join(arguments.hosts, arguments.coordinator, arguments.host_rank)
    told = hosts.quiet(say)
    told(f"{together.count} hosts train together; the first one writes the results.")
    return told
