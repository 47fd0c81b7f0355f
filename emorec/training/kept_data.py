"""Data that trainings of one process share, where the next one needs the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

Data = TypeVar("Data")
# Of the context, so that a single training keeps nothing.
_place: ContextVar[dict | None] = ContextVar("kept_data", default=None)


@contextmanager
def keeping(place: dict) -> Iterator[None]:
    """Keep in `place` the last data that were loaded in the block."""
    token = _place.set(place)
    try:
        yield
    finally:
        _place.reset(token)


def kept(key: str, load: Callable[[], Data], say: Callable[[str], None]) -> Data:
    """Return the data of `key`, which nobody changes, loading them where not kept."""
    place = _place.get()
    if place is None:
        return load()
    if key in place:
        say("The data are those of the trial before, and still in memory.")
        return place[key]
    place.clear()
    place[key] = load()
    return place[key]
