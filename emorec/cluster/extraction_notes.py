"""Which clip a process has in hand: what is known of one that dies."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from emorec.artifacts.locations import Location
from emorec.errors import DataError

IN_HAND = "inhand"
DEATHS = 3


class Note:
    """Which clip a process has in hand, written down for the case of its death.

    A clip in whose hands three processes died is left out, so that a damaged file that
    breaks a library, or one too large for the memory, cannot end them for ever.

    Parameters
    ----------
    where : Location
        The store.
    name : str
        Of the work, as the shard's number.
    """

    def __init__(self, where: Location, name: str) -> None:
        self._where, self._name = where, f"{IN_HAND}/{name}.json"
        self._deaths: Counter[str] = Counter()
        before: dict[str, Any] = {}
        # The note of a killed process may be half a note.
        with suppress(DataError, ValueError):
            if where.exists(self._name):
                before = json.loads(where.read(self._name))
        self._again = bool(before)
        self._deaths.update(before.get("deaths", {}))
        if "clip" in before:
            self._deaths[before["clip"]] += 1

    def check_loading(self) -> None:
        """Refuse to load once more what processes died of.

        Raises
        ------
        DataError
            When it was so often enough.
        """
        if self.begin(""):
            raise DataError(
                f"{DEATHS} processes died while they loaded what judges the clips: the "
                "memory may not suffice for so many. Try fewer --workers."
            )

    def begin(self, clip: str) -> str:
        """Take a clip in hand; return why it must not be, or an empty text."""
        if self._deaths[clip] >= DEATHS:
            return (
                f"{DEATHS} processes died with it in hand: they ran out of memory, or "
                "the file broke a library."
            )
        # In an object store each note costs time, so there the first death only tells
        # that it is worth while.
        if self._where.is_local or self._again or not clip:
            self._write({"clip": clip, "deaths": self._deaths})
        return ""

    def _write(self, content: dict[str, Any]) -> None:
        data = json.dumps(content).encode()
        if not self._where.is_local:
            self._where.write(self._name, data)
            return
        path = self._where.root / self._name
        # A disk that is full is told when the shard is written.
        with suppress(OSError):
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)

    def end(self) -> None:
        """Forget it all: the work is done, or ended in order."""
        self._where.remove(self._name)


@contextmanager
def noted(where: Location, name: str) -> Iterator[Note]:
    """Yield a note for the block, which only the death of the process leaves behind."""
    note = Note(where, name)
    note.begin("")
    try:
        yield note
    finally:
        note.end()
