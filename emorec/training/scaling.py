"""Columns on one scale, by statistics of the training rows alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from emorec.errors import DataError, SpecError

KINDS = ("min_max", "standard", "none")
# A column whose values differ by less than this share of their size is constant.
_CONSTANT = 1e-12


@dataclass(frozen=True)
class Scaling:
    """(x - shift) / width of each column.

    Attributes
    ----------
    kind : str
        ``min_max``: the smallest training value becomes 0, the largest 1; ``standard``:
        mean 0, deviation 1; ``none``.
    shift, width : (D,) float64
        The width of a column without spread is 1, so that it becomes 0.
    """

    kind: str
    shift: np.ndarray
    width: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray, kind: str = "min_max") -> Scaling:
        """Take the statistics of training rows (n, D), finite.

        Raises
        ------
        SpecError
            For another kind.
        DataError
            When there is no row, or a value is not finite.
        """
        if kind not in KINDS:
            raise SpecError(f"--scaling {kind}: expected one of {', '.join(KINDS)}.")
        values = np.asarray(values, np.float64)
        if values.ndim != 2 or not len(values) or not np.isfinite(values).all():
            raise DataError(
                "Scaling: expected finite rows (n, D), one or more, received the shape "
                f"{values.shape}."
            )
        low, high = values.min(axis=0), values.max(axis=0)
        if kind == "min_max":
            shift, width = low, high - low
        elif kind == "standard":
            shift, width = values.mean(axis=0), values.std(axis=0)
        else:
            return cls(kind, np.zeros(values.shape[1]), np.ones(values.shape[1]))
        constant = high - low <= _CONSTANT * np.maximum(np.abs(low), np.abs(high))
        return cls(kind, np.where(constant, low, shift), np.where(constant, 1.0, width))

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Scaling:
        """Return the scaling that `to_dict` told.

        Raises
        ------
        SpecError
            When it told none.
        """
        try:
            shift, width = (
                np.array(content[name], np.float64) for name in ("shift", "width")
            )
        except (KeyError, TypeError, ValueError) as error:
            raise SpecError(
                f"Scaling: expected kind, shift and width of each column, but {error} "
                f"of {sorted(content)}."
            ) from error
        return cls(str(content.get("kind")), shift, width)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return rows (m, D) on the scale, float32; other rows may leave 0 to 1."""
        return ((np.asarray(values, np.float64) - self.shift) / self.width).astype(
            np.float32
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers for JSON."""
        return {
            "kind": self.kind,
            "shift": self.shift.tolist(),
            "width": self.width.tolist(),
        }
