"""Progress bars for long work, silent where nobody watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")


def track(
    items: Iterable[Item], description: str, total: int | None = None
) -> Iterator[Item]:
    """Yield `items` under a progress bar on standard error.

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
    yield from rich_track(
        items, description, total, console=Console(stderr=True), transient=True
    )


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
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with progress.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(description, completed=done, total=total)
        yield lambda done: bar.update(task, completed=done)
