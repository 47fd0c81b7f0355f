"""The scale of image and audio in the main job: statistics of training, kept in specs.

``zscore`` needs none: `emorec.corpora.segments.clean` standardises over each segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from emorec.batches.ragged import RaggedStore
from emorec.training.scaling import Scaling


def fit(kind: str, train: RaggedStore, widths: Sequence[int], text: bool) -> dict:
    """Return what a spec tells of the scale, with the statistics of training.

    Parameters
    ----------
    kind : str
        One of `emorec.training.config.NORMALISATIONS`.
    train : RaggedStore
        Finite features, not scaled yet.
    widths : sequence of int
        Columns of each modality.
    text : bool
        Whether the first modality is the text, whose vectors are left as they are.

    Returns
    -------
    dict
        ``kind``; of maxabs ``scale``, one divisor a column; of standard ``shift`` and
        ``width``, mean and deviation of each column over the steps that have it.
    """
    fixed = widths[0] if text else 0
    if kind == "maxabs":
        return {"kind": kind, "scale": _max_abs(train, fixed)}
    if kind == "standard":
        shift, width = np.zeros(sum(widths)), np.ones(sum(widths))
        edges = np.cumsum([0, *widths])
        for number, (start, stop) in enumerate(pairwise(edges)):
            there = train.presence[:, number]
            if stop > fixed and there.any():
                own = Scaling.fit(train.values[there, start:stop], "standard")
                shift[start:stop], width[start:stop] = own.shift, own.width
        return {"kind": kind, "shift": shift.tolist(), "width": width.tolist()}
    return {"kind": kind}


def apply(store: RaggedStore, normalisation: dict[str, Any], widths) -> None:
    """Bring the features of a store to the scale of a spec, in place."""
    if normalisation["kind"] == "maxabs":
        store.values /= np.asarray(normalisation["scale"], np.float32)
    if normalisation["kind"] == "standard":
        store.values -= np.asarray(normalisation["shift"], np.float32)
        store.values /= np.asarray(normalisation["width"], np.float32)
        # What is absent stays 0.
        store.values *= np.repeat(store.presence, widths, axis=1)


def _max_abs(train: RaggedStore, text: int) -> list[float]:
    """Return each column's largest magnitude in train; 1 for `text` columns, zeros."""
    largest = np.abs(train.values).max(axis=0)
    largest[:text] = 1.0
    # Divided by less than this, values of the other folds might become infinite.
    return np.where(largest > 1e-30, largest, 1.0).astype(float).tolist()
