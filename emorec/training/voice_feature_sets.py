"""The sets of features of a labelled corpus that are compared with one another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from emorec.corpora.acted import ActedSpeech
from emorec.errors import SpecError, shorten
from emorec.evaluation.linear_probe import random_features
from emorec.files import digest
from emorec.training.voice_features import Heard, extract, extract_librosa

SETS = ("logits", "embeddings", "librosa", "random")


def feature_sets(
    corpus: ActedSpeech,
    wanted: Sequence[str],
    cache: str | Path,
    heard: Heard | None = None,
    name: str = "",
    workers: int | None = None,
    seed: int = 0,
) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
    """Make the sets of features that `benchmark` compares.

    Parameters
    ----------
    corpus : ActedSpeech
        Of sounds.
    wanted : sequence of str
        Some of `SETS`: a network's scores and embeddings; the 185 means of librosa's
        features; random numbers, as many as the network has scores, else 8.
    cache : path
        Folder for what is kept of the takes; one for all networks.
    heard, name
        The network and what identifies it; see `voice_features.extract`.
    workers : int, optional
        Processes of librosa.
    seed : int
        Of the random numbers.

    Returns
    -------
    dict, pandas.DataFrame
        Name -> (n, D), in the order wanted; ``id`` and ``reason`` of failures.

    Raises
    ------
    SpecError
        For an unknown name, or a network's features without a network.
    """
    cache, found, failures = Path(cache), {}, []
    if unknown := [word for word in wanted if word not in SETS]:
        raise SpecError(
            f"Features {shorten(unknown)}: expected some of {', '.join(SETS)}."
        )
    if {"logits", "embeddings"} & set(wanted):
        if heard is None or not name:
            raise SpecError("Features logits and embeddings need a network: name one.")
        made = extract(corpus, heard, cache / digest([corpus.dataset, name]), name)
        found, failures = dict(made.arrays), [made.failures]
    if "librosa" in wanted:
        made = extract_librosa(corpus, cache / f"librosa_{corpus.dataset}", workers)
        found["librosa"] = made.arrays["librosa"]
        failures.append(made.failures)
    width = found["logits"].shape[1] if "logits" in found else 8
    found["random"] = random_features(len(corpus), width, seed)
    rows = [row for table in failures for row in table.to_numpy().tolist()]
    table = pd.DataFrame(rows, columns=["id", "reason"])
    return {word: found[word] for word in dict.fromkeys(wanted)}, table
