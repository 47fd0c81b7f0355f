"""The command ``emorec sweep``: one training with many settings."""

from __future__ import annotations

import argparse
import tomllib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emorec.cli.console import INCOMPLETE, OK, say

if TYPE_CHECKING:
    from emorec.cluster.config import SweepConfig
    from emorec.cluster.sweep import Sweep

OUTPUT = "models/sweeps"
_PRINTED = 10
_DESCRIPTION = """
Train with all, or with chosen, combinations of settings that a TOML file names
(docs/sweeps.md), in processes of this machine or of a Ray cluster. Each trial is an
ordinary run. The choice is made on validation; the test scores of the chosen run are
shown once, at the end. The same command goes on where an interrupted sweep stopped.
Exits with 3 when trials failed.
"""


def add_command(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``emorec sweep``."""
    parser.description = _DESCRIPTION
    parser.add_argument(
        "config",
        metavar="CONFIG",
        help="a TOML file, or the name of a sweep that emorec brings: williams (the "
        "grid of Williams et al., 2018)",
    )
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="OPTION=VALUE",
        help="fix options of the command, in place of what CONFIG says",
    )
    parser.add_argument(
        "--output", metavar="DIR", help=f"folder of runs and results ({OUTPUT}/CONFIG)"
    )
    parser.add_argument(
        "--local",
        action="store_true",
        help="one trial after the other in this process, without Ray",
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="trials at a time (one per core)"
    )
    parser.add_argument(
        "--cpus", type=int, default=1, metavar="N", help="cores of a trial"
    )
    parser.add_argument(
        "--gpus",
        type=float,
        default=0,
        metavar="N",
        help="GPUs of a trial, as 0.25 (without, trials see none)",
    )
    parser.add_argument(
        "--address",
        default="",
        metavar="HOST:PORT",
        help="a running Ray cluster; auto finds that of this machine",
    )
    parser.add_argument(
        "--retry_failed", action="store_true", help="try failed trials again"
    )
    parser.add_argument(
        "--dry_run",
        action="store_true",
        help="print the command lines of the trials, and stop",
    )
    parser.set_defaults(run=sweep)


def sweep(arguments: argparse.Namespace) -> int:
    """Run a sweep and print what validation chooses."""
    from emorec.cli.sweep_commands import COMMANDS, call, command_of, words_of
    from emorec.cluster.config import find_config, read_config
    from emorec.cluster.sweep import opened, run_here

    path = find_config(arguments.config)
    config = read_config(path, dict(map(_change, arguments.set)))
    output = Path(arguments.output or f"{OUTPUT}/{path.stem}")
    trains_again = COMMANDS[command_of(config.command)].trains_again

    def line(options: dict[str, Any], name: str) -> list[str]:
        return words_of(config.command, config.fixed | options, output, name)

    _check(config, line)
    if arguments.dry_run:
        return _show(config, line)
    run = partial(run_here, call=call)
    if not arguments.local:
        run = partial(_on_ray(arguments), call=call)
    if config.method == "tpe":
        from emorec.cluster.tpe import require_optuna

        require_optuna()
    how = config.method
    say(f"{config.trials} trials of emorec {' '.join(config.command)}, {how}: {output}")
    retry = arguments.retry_failed
    with opened(config, output, line, say, trains_again, retry) as own:
        run(own)
        own.check_failures()
        return _tell(own)


def _change(text: str) -> tuple[str, Any]:
    """Read OPTION=VALUE, the value as TOML where it is."""
    from emorec.errors import SpecError

    name, equals, value = text.partition("=")
    if not equals:
        raise SpecError(f"--set {text}: expected OPTION=VALUE.")
    try:
        read = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        read = value
    return name.lstrip("-").replace("-", "_"), read


def _on_ray(arguments: argparse.Namespace):
    """Return what runs a sweep on Ray, which must be installed."""
    from emorec.cluster.on_ray import PURPOSE, run_on_ray
    from emorec.cluster.ray_engine import Resources, require_ray
    from emorec.errors import SpecError
    from emorec.processes import usable_cores

    workers = arguments.workers
    if workers is None:
        workers = max(1, usable_cores() // arguments.cpus)
    if min(workers, arguments.cpus) < 1 or arguments.gpus < 0:
        raise SpecError("--workers and --cpus: at least 1; --gpus: 0 or more.")
    require_ray("ray.tune", PURPOSE)
    resources = Resources(workers, arguments.cpus, arguments.gpus, arguments.address)
    return partial(run_on_ray, resources=resources)


def _check(config: SweepConfig, line) -> None:
    """Read each command line as its trial will, before anything runs."""
    from emorec.cluster import space

    points = (
        space.grid(config.search)
        if config.method == "grid"
        else space.corners(config.search)
    )
    for point in points:
        line(point, "trial")


def _show(config: SweepConfig, line) -> int:
    """Print what would be run."""
    from emorec.cluster import space
    from emorec.cluster.sweep import planned

    points = planned(config)
    if points is None:
        say(f"{config.trials} trials, proposed by tpe between such as these:")
        points = space.corners(config.search)
    for number, point in enumerate(points):
        say("emorec " + " ".join(line(point, f"trial_{number:04d}")))
    return OK


def _is_log(option: object) -> bool:
    return getattr(option, "log", False)


def _tell(own: Sweep) -> int:
    """Print leaderboard and chosen run; draw the figure; return the exit code."""
    from emorec.cluster.chosen import test_scores
    from emorec.cluster.ranking import leaderboard, ranked, rows
    from emorec.cluster.trials import FAILED, STOPPED
    from emorec.evaluation import figures
    from emorec.evaluation.sweep_figures import sweep_figure

    config, trials, output = own.config, own.ended(), own.output
    table = leaderboard(rows(trials, config), config.mode)
    if len(table):
        shown = table.drop(columns=["run", "seconds"]).head(_PRINTED)
        say(f"\nBy {config.metric} on validation, {len(table)} finished trials:")
        say(shown.to_string(index=False, na_rep=""))
    else:
        say("\nNo trial finished.")
    states = [trial.state for trial in trials]
    if STOPPED in states:
        say(f"{states.count(STOPPED)} trials were stopped early, see sweep.csv.")
    figure = sweep_figure(
        rows(trials, config),
        list(config.search),
        config.metric,
        config.mode,
        {name for name, option in config.search.items() if _is_log(option)},
        f"{output.name}: emorec {' '.join(config.command[:2])}",
    )
    figures.save(figure, output / "sweep.png")
    if best := ranked(trials, config.mode)[:1]:
        say(f"\nChosen on validation: {best[0].name}, {', '.join(best[0].runs)}.")
        say("Its scores on test, beside those of constant answers where there are any:")
        say(test_scores(best[0], output))
    say(f"\nWritten: {output}/sweep.csv, leaderboard.csv, sweep.png")
    if FAILED in states:
        say(f"{states.count(FAILED)} trials failed; reasons: sweep.csv, trials/*.log")
        return INCOMPLETE
    return OK
