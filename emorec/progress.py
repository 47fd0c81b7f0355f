"""Progress bars for long work, silent where nobody watches; and where time goes."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

Item = TypeVar("Item")


def track(
    items: Iterable[Item],
    description: str,
    total: int | None = None,
    unit: str | None = None,
) -> Iterator[Item]:
    """Yield `items` under a progress bar on standard error.

    With a `unit`, as "clips", the bar also shows how many are done each second.
    Without a terminal (a log file, a cluster job) nothing is drawn, so that logs
    hold no control characters.
    """
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track as rich_track

    if total is None and isinstance(items, Sized):
        total = len(items)
    if unit is not None:
        yield from _with_rate(items, description, total, unit)
        return
    yield from rich_track(
        items, description, total, console=Console(stderr=True), transient=True
    )


def _with_rate(
    items: Iterable[Item], description: str, total: int | None, unit: str
) -> Iterator[Item]:
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        _rate(unit),
        progress.TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    # Over the last minutes: clips take seconds each.
    with progress.Progress(
        *columns, console=console, transient=True, speed_estimate_period=300
    ) as bar:
        yield from bar.track(items, total, description=description)


def _rate(unit: str):
    """Return a column of rich that tells how many are done each second."""
    from rich import progress
    from rich.text import Text

    class Rate(progress.ProgressColumn):
        def render(self, task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:.2f} {unit}/s")

    return Rate()


@contextmanager
def bytes_bar(
    description: str, done: int, total: int | None
) -> Iterator[Callable[[int], None]]:
    """Yield a function that shows how many bytes of `total` are done.

    Nothing is drawn without a terminal, as in `track`.
    """
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich import progress

    shown = (progress.DownloadColumn(), progress.TransferSpeedColumn())
    with _bar(description, shown, total, done) as tell:
        yield tell


@contextmanager
def media_bar(description: str, total: float) -> Iterator[Callable[[float], None]]:
    """Yield a function that shows how many seconds of media of `total` are done.

    Beside it stand the speed, in seconds of media a second, and the time that is left.
    Nothing is drawn without a terminal, as in `track`.
    """
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich import progress
    from rich.text import Text

    class Speed(progress.ProgressColumn):
        def render(self, task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:.1f} x real time")

    # Over the last minutes: spans come in batches.
    shown = (progress.TaskProgressColumn(), Speed())
    with _bar(description, shown, total, period=300) as tell:
        yield tell


@contextmanager
def count_bar(
    description: str, done: int, total: int, unit: str
) -> Iterator[Callable[[int], None]]:
    """Yield a function that adds to how many of `total` are done.

    Beside it stand how many are done each second, and the time that is left. Nothing is
    drawn without a terminal, as in `track`.
    """
    if not sys.stderr.isatty():
        yield lambda more: None
        return
    from rich import progress

    shown = (progress.MofNCompleteColumn(), _rate(unit))
    # Over the last minutes: they come in batches.
    with _bar(description, shown, total, done, period=300) as tell:

        def add(more: int) -> None:
            nonlocal done
            done += more
            tell(done)

        yield add


@contextmanager
def _bar(
    description: str,
    shown: tuple,
    total: float | None,
    done: float = 0,
    period: float = 30,
) -> Iterator[Callable[[float], None]]:
    """Draw a bar with columns of rich behind it, and the time that is left.

    The speed is that of the last `period` seconds.
    """
    from rich import progress
    from rich.console import Console

    bar = progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        *shown,
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        speed_estimate_period=period,
    )
    with bar:
        task = bar.add_task(description, completed=done, total=total)
        yield lambda done: bar.update(task, completed=done)


@dataclass
class Stopwatch:
    """Seconds and frames of each stage, summed over clips."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    frames: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    @contextmanager
    def time(self, stage: str, frames: int) -> Iterator[None]:
        """Add the duration of the block to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - start
            self.frames[stage] += frames

    def each(self, stage: str, items: Iterator) -> Iterator:
        """Yield `items`, and count the time until each of them comes."""
        while True:
            start = time.perf_counter()
            item = next(items, None)
            self.seconds[stage] += time.perf_counter() - start
            if item is None:
                return
            self.frames[stage] += 1
            yield item

    def per_second(self) -> dict[str, float]:
        """Return frames a second of each stage that ran."""
        return {
            stage: count / max(self.seconds[stage], 1e-9)
            for stage, count in self.frames.items()
            if count
        }
