"""A sweep: which trials are done, which one is next, and when there are no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from emorec.artifacts.claims import claim
from emorec.artifacts.tables import write_table
from emorec.cluster import space, tpe
from emorec.cluster.config import SweepConfig
from emorec.cluster.halving import falls_behind
from emorec.cluster.ranking import LEADERBOARD, TABLE, leaderboard, rows
from emorec.cluster.space import Point
from emorec.cluster.trials import (
    DONE,
    FAILED,
    FOLDER,
    RUNNING,
    STOPPED,
    Call,
    Trial,
    clear,
    collect,
    is_intact,
    records,
    run_trial,
    told,
    trial_path,
)
from emorec.errors import DataError, EmorecError, SpecError
from emorec.files import exclusive, read_json, write_json

Say = Callable[[str], None]
CLAIM = "sweep.json"
_LOCK = ".sweep.lock"


def planned(config: SweepConfig) -> list[Point] | None:
    """Return the points that are known beforehand; None of a method that learns."""
    if config.method == "grid":
        return space.grid(config.search)
    if config.method == "random":
        return list(islice(space.drawn(config.search, config.seed), config.trials))
    return None


@dataclass
class Sweep:
    """The state of a sweep; every change of it is a file at once.

    Attributes
    ----------
    config : SweepConfig
        What is tried.
    output : Path
        Folder of everything.
    arguments : callable
        Takes a point and the run's name; returns the command line.
    say : callable
        Receives lines for the user.
    trains_again : bool
        The command would train a finished run again.
    trials : dict
        Number -> trial.
    begun : set of int
        Trials that this process has handed out.
    """

    config: SweepConfig
    output: Path
    arguments: Callable[[Point, str], list[str]]
    say: Say
    trains_again: bool = False
    trials: dict[int, Trial] = field(default_factory=dict)
    begun: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._points = planned(self.config)

    def load(self, retry_failed: bool) -> None:
        """Read the trials of an earlier call, and recognise the finished ones."""
        metric = self.config.metric
        for path in sorted((self.output / FOLDER).glob("*.json")):
            trial = Trial.from_dict(read_json(path))
            if trial.state == DONE and not is_intact(trial, self.output, metric):
                self.say(
                    f"{trial.name}: its run is gone or changed; training it again."
                )
                trial = Trial(trial.number, trial.options)
            elif trial.state == FAILED and retry_failed:
                trial = Trial(trial.number, trial.options)
            elif trial.state == RUNNING and self.trains_again:
                self._recover(trial)
            elif trial.state == STOPPED:
                clear(trial, self.output)
            self.trials[trial.number] = trial
        if ended := sum(self._ended(trial) for trial in self.trials.values()):
            self.say(f"{ended} of {self.config.trials} trials were done before.")

    def _recover(self, trial: Trial) -> None:
        """Take a run that finished just before the sweep was killed."""
        try:
            collect(trial, self.output, self.config.metric)
        except EmorecError:
            return
        ((_, record),) = records(trial, self.output)
        settings = record["settings"]
        own = self.config.fixed | trial.options
        # Numbers are not respelt on their way into the settings, as texts may be.
        if all(
            settings.get(name, value) == value
            for name, value in own.items()
            if isinstance(value, int | float)
        ):
            trial.state = DONE
            trial.seconds = record["training"]["seconds"]
            self._write(trial)

    @staticmethod
    def _ended(trial: Trial) -> bool:
        return trial.state != RUNNING

    def ended(self) -> list[Trial]:
        """Return the trials that have ended, by number."""
        trials = [self.trials[number] for number in sorted(self.trials)]
        return [trial for trial in trials if self._ended(trial)]

    @property
    def failures(self) -> int:
        """How many trials have failed."""
        return sum(trial.state == FAILED for trial in self.trials.values())

    @property
    def left(self) -> int:
        """How many trials are still to be handed out."""
        done = self.begun | {t.number for t in self.ended()}
        return max(0, self.config.trials - len(done))

    def next(self) -> Trial | None:
        """Return the next trial, or None when there is none.

        First those that an earlier call began and did not end, in their order.
        """
        if self.failures > self.config.max_failures:
            return None
        for number in range(self.config.trials):
            trial = self.trials.get(number)
            if number in self.begun or (trial and self._ended(trial)):
                continue
            if trial is None:
                point = self._point(number)
                if point is None:
                    return None
                trial = Trial(number, point)
            self.begun.add(number)
            self.trials[number] = trial
            self._write(trial)
            return trial
        return None

    def unended(self) -> list[Trial]:
        """Return the trials that this process handed out, and that have not ended."""
        handed_out = [self.trials[number] for number in sorted(self.begun)]
        return [trial for trial in handed_out if not self._ended(trial)]

    def give_back(self, trial: Trial) -> None:
        """Let a trial that was handed out, and never ended, be handed out again."""
        self.begun.discard(trial.number)
        self.trials[trial.number] = Trial(trial.number, trial.options)

    def _point(self, number: int) -> Point | None:
        if self._points is None:
            return tpe.propose(self.config, number, self.trials.values())
        return self._points[number] if number < len(self._points) else None

    def falls_behind(self, trial: Trial, epoch: int, value: float) -> bool:
        """Note a trial's metric at a rung; tell whether the trial is to end."""
        others = [
            other.rungs[epoch]
            for other in self.trials.values()
            if other.number != trial.number and epoch in other.rungs
        ]
        self.trials[trial.number].rungs[epoch] = value
        return falls_behind(value, others, self.config.mode, self.config.reduction)

    def end(self, trial: Trial) -> None:
        """Note what came of a trial."""
        self.trials[trial.number] = trial
        self._write(trial)
        self.write_table()
        result = trial.state if trial.metric is None else f"{trial.metric:.5g}"
        options = "  ".join(f"{k} {v}" for k, v in trial.options.items())
        count = len(self.ended())
        self.say(
            f"{count:4d}/{self.config.trials}  {trial.name}  {self.config.metric} "
            f"{result}  {trial.epochs} epochs  {trial.seconds:.1f} s  {options}"
            + (f"\n           {told(trial.reason)}" if trial.reason else "")
        )

    def _write(self, trial: Trial) -> None:
        write_json(trial_path(self.output, trial.number, "json"), trial.to_dict())

    def write_table(self) -> None:
        """Write the row of each trial that has ended."""
        table = rows(self.ended(), self.config)
        write_table(self.output / TABLE, table)
        write_table(self.output / LEADERBOARD, leaderboard(table, self.config.mode))

    def check_failures(self) -> None:
        """End a sweep of which too many trials failed.

        Raises
        ------
        DataError
            With the reason of the first one.
        """
        if self.failures <= self.config.max_failures:
            return
        first = next(trial for trial in self.ended() if trial.state == FAILED)
        raise DataError(
            f"{self.failures} trials failed, more than max_failures = "
            f"{self.config.max_failures}. The first, {first.name}: "
            f"{told(first.reason)} (all of it in "
            f"{trial_path(self.output, first.number, 'log')}). Remove the cause and "
            "call again with --retry_failed."
        )


@contextmanager
def opened(
    config: SweepConfig,
    output: Path,
    arguments: Callable[[Point, str], list[str]],
    say: Say,
    trains_again: bool = False,
    retry_failed: bool = False,
) -> Iterator[Sweep]:
    """Open the folder of a sweep for this process alone.

    Parameters are those of `Sweep`, and whether failed trials are tried again.

    Raises
    ------
    BusyError
        When another sweep is at work on the folder.
    SpecError
        When the folder holds the trials of another sweep, or other things.
    """
    there = {path.name for path in output.iterdir()} if output.is_dir() else set()
    # A sweep that has just begun there has its lock only.
    if there - {_LOCK} and CLAIM not in there:
        raise SpecError(
            f"{output}: the folder holds other files than those of a sweep. Choose "
            "another --output."
        )
    busy = (
        f"{output}: another sweep is at work there. Wait for it, or choose another "
        "--output."
    )
    with exclusive(output / _LOCK, busy):
        claim(output / CLAIM, config.identity())
        sweep = Sweep(config, output, arguments, say, trains_again)
        sweep.load(retry_failed)
        yield sweep
        sweep.write_table()


def run_here(sweep: Sweep, call: Call) -> None:
    """Run the trials one after another in this process."""
    while (trial := sweep.next()) is not None:
        sweep.end(
            run_trial(
                call,
                sweep.arguments(trial.options, trial.name),
                trial,
                sweep.output,
                sweep.config,
                lambda epoch, value, own=trial: sweep.falls_behind(own, epoch, value),
            )
        )
