"""The faces of a training, and what is told of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from emorec.corpora.ferplus import FerPlus, find_repeated
from emorec.files import digest


@dataclass(frozen=True)
class FaceData:
    """A corpus of faces and where it came from.

    Attributes
    ----------
    corpus : FerPlus
    dataset : str
        Its name, as every output tells it.
    """

    corpus: FerPlus
    dataset: str

    def identity(self) -> dict[str, Any]:
        """Return what a model trained on these data must record."""
        sums = [
            int(array.astype(np.int64).sum())
            for array in (self.corpus.images, self.corpus.votes)
        ]
        content = [sums, self.corpus.names.tolist(), self.corpus.split.tolist()]
        return {"name": self.dataset, "faces": digest(content)}


def describe(data: FaceData) -> str:
    """Say what a corpus holds, and what is left out or suspicious."""
    corpus, lines = data.corpus, []
    for split in ("train", "valid", "test"):
        lines.append(f"{split} {int((corpus.split == split).sum()):,}")
    text = [f"{data.dataset}: {', '.join(lines)} faces."]
    reasons = corpus.report.groupby(["reason", "left_out"], sort=False).size()
    for (reason, left_out), count in reasons.items():
        text.append(f"  {count:,} {'left out' if left_out else 'kept'}: {reason}")
    repeated = find_repeated(corpus)
    for kind, table in repeated.groupby("kind"):
        groups = table.groupby("group")["across"].first()
        text.append(
            f"  {len(groups):,} {kind}s occur more than once, {int(groups.sum()):,} of "
            "them in several splits"
        )
    return "\n".join(text)
