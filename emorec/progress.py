"""Progress bars for long work, silent where nobody watches."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sized
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
