"""What the settings of every training check of themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emorec.errors import SpecError


def check_settings(
    settings: Any,
    choices: Mapping[str, Sequence[str]],
    ranges: Mapping[str, tuple[float, float]],
) -> None:
    """Refuse fields that are no choice or lie outside of a range.

    Parameters
    ----------
    settings : object
        Fields are named as the long options are.
    choices : mapping
        Field -> the values that it may have; an empty one is not told.
    ranges : mapping
        Field -> smallest and largest value.

    Raises
    ------
    SpecError
        Naming option, value and what was expected.
    """
    for name, allowed in choices.items():
        if (value := getattr(settings, name)) not in allowed:
            shown = ", ".join(word for word in allowed if word)
            raise SpecError(f"--{name} {value}: expected one of {shown}.")
    for name, (low, high) in ranges.items():
        if not low <= (value := getattr(settings, name)) <= high:
            raise SpecError(f"--{name} {value}: expected {low:g} to {high:g}.")
