"""Asynchronous successive halving: trials that are behind end early.

Li et al. (2020), "A System for Massively Parallel Hyperparameter Tuning", section 3.1,
with one bracket, in the stopping form: a trial is compared when it comes to a rung with
those that came there before, and nobody waits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def is_rung(epoch: int, grace: int, reduction: int) -> bool:
    """Tell whether trials are compared after this epoch, counted from 1.

    The rungs are `grace`, ``grace * reduction``, ``grace * reduction ** 2``, ...
    """
    while epoch > grace and epoch % reduction == 0:
        epoch //= reduction
    return epoch == grace


def falls_behind(
    value: float, others: Sequence[float], mode: str, reduction: int
) -> bool:
    """Tell whether a trial ends at a rung.

    Parameters
    ----------
    value : float
        Its metric there.
    others : sequence of float
        Of the trials that came there before.
    mode : {"min", "max"}
        Which is the better one.
    reduction : int
        It goes on when it is not worse than the best 1/reduction of them. So the best
        one of all goes on, whenever it comes.
    """
    if not len(others):
        return False
    sign = 1.0 if mode == "max" else -1.0
    limit = np.percentile(sign * np.asarray(others), 100 * (1 - 1 / reduction))
    return bool(sign * value < limit)
