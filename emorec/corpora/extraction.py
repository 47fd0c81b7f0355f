"""What extracted sequences tell of how they were made.

A sequence that emorec extracts carries its settings as metadata, so that a model
trained on it can tell them on and prediction can repeat them.
"""

from __future__ import annotations

from typing import Any

from emorec.errors import DataError
from emorec.files import digest
from emorec.sequences.csd import ComputationalSequence

KEY = "emorec extraction"
# Where files lay does not change what was made of them.
PATH = "path"


def of_sequence(sequence: ComputationalSequence) -> dict[str, Any]:
    """Return the settings that a sequence was extracted with, and its columns' names.

    Raises
    ------
    DataError
        When emorec did not extract it.
    """
    told = sequence.metadata.get(KEY)
    if not isinstance(told, dict):
        raise DataError(
            f"{sequence.source}: does not tell how it was made. Expected a file of "
            "emorec mosei extract."
        )
    return told | {"names": sequence.metadata["dimension names"]}


def identity(sequence: ComputationalSequence) -> str:
    """Return eight digits that tell settings and columns from all others."""
    return identity_of(of_sequence(sequence))


def identity_of(settings: dict[str, Any]) -> str:
    """Return `identity` of settings as `of_sequence` tells them."""
    return digest({k: v for k, v in settings.items() if k != PATH})[:8]
