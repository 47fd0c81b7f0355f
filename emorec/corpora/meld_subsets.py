"""The smaller datasets that the notebooks on MELD's faces are about."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np

from emorec.corpora.meld import SPLITS, Meld
from emorec.errors import DataError, SpecError

# Dialogues of each.
SIZES = {"small": 20, "medium": 40, "large": 80}


def smaller(corpus: Meld, size: str) -> Meld:
    """Return one of the smaller datasets that were made of MELD's training dialogues.

    Dialogues of train are sorted as text and shuffled by Python's generator with seed
    0; the first 80 are sorted again, and the first 20, 40 or all of them make train,
    dev and test, 80, 10 and 10 %, in this order. Each smaller one lies in the next
    one's train.

    Parameters
    ----------
    corpus : Meld
    size : {"small", "medium", "large"}

    Returns
    -------
    Meld
        Utterances of the corpus with another `split`: 173, 14, 17 (small), 297, 47, 31
        (medium) or 584, 97, 108 (large). Ids and dialogues keep the name of train.

    Raises
    ------
    SpecError
        For another size.
    DataError
        When the corpus has fewer than 80 dialogues in train.
    """
    if size not in SIZES:
        raise SpecError(f"Size '{size}': expected {', '.join(SIZES)}.")
    dialogues = sorted(set(corpus.dialogues[corpus.rows("train")].tolist()))
    most = max(SIZES.values())
    if len(dialogues) < most:
        raise DataError(
            f"{corpus.folder}: {len(dialogues)} dialogues in train; the smaller "
            f"datasets are made of {most}."
        )
    random.Random(0).shuffle(dialogues)
    chosen = sorted(dialogues[:most])[: SIZES[size]]
    bounds = (8 * len(chosen) // 10, 9 * len(chosen) // 10)
    parts = np.split(np.array(chosen), bounds)
    split = {name: word for word, p in zip(SPLITS, parts, strict=True) for name in p}
    kept = corpus.only(np.isin(corpus.dialogues, chosen))
    return replace(kept, split=np.array([split[name] for name in kept.dialogues], str))
