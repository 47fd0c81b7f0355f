"""What a sweep searches: options with their values, and the points of a search."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np

from emorec.errors import SpecError

_RANGE_KEYS = ("low", "high", "log", "step")
# Draws in a row that find nothing new before a search ends.
_PATIENCE = 1000
Point = dict[str, Any]


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`; whole ones when the bounds and the step are.

    Attributes
    ----------
    low, high : int or float
        Both belong to it.
    log : bool
        Drawn evenly on a logarithmic scale.
    step : int or float or None
        Distance of neighbours, counted from `low`.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def whole(self) -> bool:
        """Whether the numbers are integers."""
        return all(isinstance(x, int) for x in (self.low, self.high, self.step or 1))

    @property
    def values(self) -> list[float] | None:
        """All values, or None of a continuous range."""
        step = self.step or (1 if self.whole else None)
        if step is None:
            return None
        count = math.floor((self.high - self.low) / step + 1e-9) + 1
        return [self.tidy(self.low + i * step) for i in range(count)]

    def tidy(self, value: float) -> float:
        """Return a value of the range as a command line shows it: six digits."""
        if self.whole:
            return round(value)
        return min(max(float(f"{value:.6g}"), self.low), self.high)

    def draw(self, random: np.random.Generator) -> float:
        """Draw one value."""
        if self.step is None and not self.whole:
            low, high = self.low, self.high
            if self.log:
                return self.tidy(
                    math.exp(random.uniform(math.log(low), math.log(high)))
                )
            return self.tidy(random.uniform(low, high))
        values = self.values
        if self.log:
            place = random.uniform(math.log(self.low), math.log(self.high + 1))
            return min(self.tidy(math.floor(math.exp(place))), self.high)
        return values[int(random.integers(len(values)))]


Space = Mapping[str, "tuple | Range"]


def read_option(name: str, value: Any) -> tuple | Range:
    """Read what ``[search]`` says of an option.

    Parameters
    ----------
    name : str
        For the message.
    value : list or dict
        The choices, or ``low``, ``high`` and perhaps ``log`` and ``step``.

    Raises
    ------
    SpecError
        When it is neither.
    """
    where = f"[search] {name}"
    if isinstance(value, list):
        texts = [json.dumps(choice, sort_keys=True) for choice in value]
        if not value or len(set(texts)) < len(texts):
            raise SpecError(f"{where} = {value}: expected different values, 1 or more.")
        return tuple(value)
    if not isinstance(value, dict):
        raise SpecError(
            f"{where} = {value!r}: expected a list of values or {{low, high, log, "
            "step}; what is the same in all trials stands in [fixed]."
        )
    if unknown := sorted(set(value) - set(_RANGE_KEYS)):
        raise SpecError(
            f"{where}: unknown {', '.join(unknown)}; known: {', '.join(_RANGE_KEYS)}."
        )
    numbers = [value.get(key) for key in ("low", "high")]
    if "step" in value:
        numbers.append(value["step"])
    if not all(_is_number(number) for number in numbers):
        raise SpecError(f"{where}: expected numbers as low, high and step.")
    found = Range(**value)
    if not isinstance(found.log, bool):
        raise SpecError(f"{where}: log is true or false.")
    if not found.low < found.high or (found.step is not None and found.step <= 0):
        raise SpecError(f"{where}: expected low < high and a step above 0.")
    if found.log and (found.low <= 0 or found.step is not None):
        raise SpecError(f"{where}: log needs low above 0 and no step.")
    return found


def _is_number(value: Any) -> bool:
    real = isinstance(value, int | float) and not isinstance(value, bool)
    return real and math.isfinite(value)


def plain(space: Space) -> dict[str, Any]:
    """Return a space in containers for JSON, as `read_option` takes them."""
    return {
        name: asdict(option) if isinstance(option, Range) else list(option)
        for name, option in space.items()
    }


def key(point: Point) -> str:
    """Return a text that equal points have in common."""
    return json.dumps(point, sort_keys=True)


def _values(option: tuple | Range) -> list[Any] | None:
    return option.values if isinstance(option, Range) else list(option)


def count(space: Space) -> int | None:
    """Return how many points there are; None when a range is continuous."""
    sizes = [_values(option) for option in space.values()]
    if any(size is None for size in sizes):
        return None
    return math.prod(len(size) for size in sizes)


def grid(space: Space) -> list[Point]:
    """Return every point once; the last option changes fastest.

    Raises
    ------
    SpecError
        For a continuous range.
    """
    values = {name: _values(option) for name, option in space.items()}
    for name, own in values.items():
        if own is None:
            raise SpecError(
                f"[search] {name}: a grid needs a list of values, or a range of whole "
                "numbers or with a step."
            )
    return [
        dict(zip(values, chosen, strict=True)) for chosen in product(*values.values())
    ]


def drawn(space: Space, seed: int) -> Iterator[Point]:
    """Yield points drawn at random, none twice; ends when nothing new is found.

    Of one seed the points are the same, however many are taken.
    """
    random, seen = np.random.default_rng(seed), set()
    while True:
        for _ in range(_PATIENCE):
            point = draw(space, random)
            if key(point) not in seen:
                break
        else:
            return
        seen.add(key(point))
        yield point


def draw(space: Space, random: np.random.Generator) -> Point:
    """Draw one point."""
    return {
        name: option.draw(random)
        if isinstance(option, Range)
        else option[int(random.integers(len(option)))]
        for name, option in space.items()
    }


def corners(space: Space) -> list[Point]:
    """Return points in which every choice, and both ends of every range, occur."""
    ends = {
        name: [option.low, option.high] if isinstance(option, Range) else option
        for name, option in space.items()
    }
    longest = max(map(len, ends.values()))
    return [
        {name: own[min(i, len(own) - 1)] for name, own in ends.items()}
        for i in range(longest)
    ]
