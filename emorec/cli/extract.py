"""The command ``emorec extract``: arrays of many clips, here or on a cluster."""

from __future__ import annotations

import argparse
import time
from functools import partial
from typing import TYPE_CHECKING

from emorec.cli.console import INCOMPLETE, OK, say
from emorec.cli.extract_options import KINDS, add_recipe_options, finish, recipe_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from emorec.cluster.extraction_state import Extraction
    from emorec.cluster.ray_engine import Resources
    from emorec.training.recipes import Recipe

# Failures that are printed; failures.csv has all.
_PRINTED = 5
_DESCRIPTION = """
Extract what KIND says from clips (docs/extract.md), in processes of this machine or of
a Ray cluster, into a folder or an object store. The same command goes on where an
interrupted one stopped, and takes in clips that are new or have changed. Exits with 3
when clips failed.
"""


def add_command(parser: argparse.ArgumentParser) -> None:
    """Add the kinds of ``emorec extract``."""
    parser.description = _DESCRIPTION
    kinds = parser.add_subparsers(required=True, metavar="KIND")
    for kind, text in KINDS.items():
        own = kinds.add_parser(kind, help=text, description=_DESCRIPTION)
        add_recipe_options(own, kind)
        _add_engine(own.add_argument_group("store and processes"))
        own.set_defaults(run=extract)


def _add_engine(parser: argparse._ArgumentGroup) -> None:
    parser.add_argument(
        "--output",
        required=True,
        metavar="DIR",
        help="folder, or an address such as s3://bucket/folder",
    )
    parser.add_argument(
        "--local",
        action="store_true",
        help="one clip after the other in this process, without Ray",
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes that extract (as many as there are cores for)",
    )
    parser.add_argument(
        "--readers",
        type=int,
        default=0,
        metavar="N",
        help="further processes that only read clips, for workers that only judge; "
        "where few workers hold a GPU",
    )
    parser.add_argument(
        "--cpus",
        type=int,
        metavar="N",
        help="cores of a process (1; with --local all)",
    )
    parser.add_argument(
        "--gpus",
        type=float,
        default=0,
        metavar="N",
        help="GPUs of a worker, as 0.25 (without, they see none)",
    )
    parser.add_argument(
        "--address",
        default="",
        metavar="HOST:PORT",
        help="a running Ray cluster; auto finds that of this machine",
    )
    parser.add_argument(
        "--shard_size",
        type=int,
        default=64,
        metavar="N",
        help="clips of a file; less where clips are long",
    )
    parser.add_argument(
        "--retry_failed", action="store_true", help="try failed clips again"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="read all that is there, and make damaged files again",
    )


def extract(arguments: argparse.Namespace) -> int:
    """Extract; print what came of it."""
    from emorec.cluster.extraction import opened
    from emorec.progress import count_bar

    recipe = recipe_of(arguments)
    run = _how(arguments, recipe)
    began = time.perf_counter()
    with opened(
        recipe,
        arguments.clips,
        arguments.output,
        arguments.shard_size,
        arguments.retry_failed,
        arguments.check,
        say,
    ) as own:
        say(
            f"{own.given} clips, {own.before} extracted before: emorec extract "
            f"{recipe.kind} into {own.job.where.name}"
        )
        with count_bar("Extracting", own.before, own.given, "clips") as tell:
            run(own, tell=tell)
    code = _tell(own, time.perf_counter() - began)
    finish(arguments, recipe)
    return code


def _how(
    arguments: argparse.Namespace, recipe: Recipe
) -> Callable[[Extraction, Callable[[int], None]], None]:
    """Return what runs the extraction, which must be installed."""
    from emorec.cluster.extraction import run_here
    from emorec.cluster.extraction_on_ray import PURPOSE, run_on_ray
    from emorec.cluster.ray_engine import require_ray
    from emorec.errors import SpecError
    from emorec.processes import limit_threads

    resources = _resources(arguments)
    if resources.readers and recipe.judge is None:
        raise SpecError(
            f"--readers: {recipe.kind} has no network behind the reading that could "
            "work in other processes. Give more --workers instead."
        )
    if not arguments.local:
        require_ray("ray.data", PURPOSE)
        return partial(run_on_ray, resources=resources)
    given = ("workers", "readers", "gpus", "address")
    if options := [f"--{name}" for name in given if getattr(arguments, name)]:
        raise SpecError(f"--local: one process of its own, so not {options[0]}.")
    if arguments.cpus is not None:
        limit_threads(arguments.cpus)
    return run_here


def _resources(arguments: argparse.Namespace) -> Resources:
    from emorec.cluster.ray_engine import Resources
    from emorec.errors import SpecError
    from emorec.processes import usable_cores

    cpus = 1 if arguments.cpus is None else arguments.cpus
    workers = arguments.workers
    if cpus < 1 or (workers is not None and workers < 1):
        raise SpecError("--workers and --cpus: expected 1 or more.")
    if min(arguments.readers, arguments.gpus) < 0:
        raise SpecError("--readers and --gpus: expected 0 or more.")
    if workers is None:
        # Of a cluster it is asked how many there is room for.
        own = max(1, usable_cores() // cpus - arguments.readers)
        workers = 0 if arguments.address else own
    return Resources(
        workers, cpus, arguments.gpus, arguments.address, arguments.readers
    )


def _tell(own: Extraction, seconds: float) -> int:
    """Print failures and the summary; return the exit code."""
    from emorec.artifacts.stores import FAILURES
    from emorec.cluster.extraction_usage import READER, WORKER
    from emorec.processes import peak_memory

    failures = [row for n in sorted(own.failures) for row in own.failures[n]]
    for name, part, reason in failures[:_PRINTED]:
        say(f"left out: {name}{f' ({part})' if part else ''}: {reason}")
    if len(failures) > _PRINTED:
        say(f"left out: {len(failures) - _PRINTED} more, see {FAILURES}")
    rate = f", {own.new / seconds:.2f} clips/s" if own.new else ""
    say(
        f"{own.given} clips: {own.new} new, {own.before} before, {own.failed} failed; "
        f"{seconds:.1f} s{rate}"
    )
    measured = own.measured
    memory = [f"this process {peak_memory() / 1e9:.2f} GB"]
    memory += [
        f"a {role} {size / 1e9:.2f} GB" for role, size in measured.memory.items()
    ]
    if measured.store:
        memory.append(f"between processes {measured.store / 1e9:.2f} GB")
    say(f"Memory at most: {', '.join(memory)}")
    if READER in measured.memory:
        say(
            f"Waiting: readers {measured.waiting(READER):.0%} of their time, workers "
            f"{measured.waiting(WORKER):.0%}"
        )
    return INCOMPLETE if failures else OK
