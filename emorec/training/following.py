"""Following a training from outside: who is told of each epoch, and may end it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

# Takes the epoch, from 1, and its logged values by name.
Follower = Callable[[int, dict[str, float]], None]
# Of the context, not an argument: between the command and the fit of a network lie the
# functions of every system, none of which has to do with it.
_follower: ContextVar[Follower | None] = ContextVar("follower", default=None)


@contextmanager
def followed_by(follower: Follower) -> Iterator[None]:
    """Tell `follower` of every epoch of the trainings in the block.

    It is called once an epoch's state is saved, and of a training that goes on, first
    with the epochs before the interruption. An error that it raises ends the training
    there; the same command would go on after that epoch.
    """
    token = _follower.set(follower)
    try:
        yield
    finally:
        _follower.reset(token)


def tell(epoch: int, history: Mapping[str, Sequence[float]]) -> None:
    """Tell the follower, if there is one, of an epoch counted from 1."""
    follower = _follower.get()
    if follower is not None:
        follower(epoch, {name: values[epoch - 1] for name, values in history.items()})
