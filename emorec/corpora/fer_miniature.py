"""A miniature of FER+: drawn faces and drawn votes, in FER+'s own files.

Nothing in it is a photograph of a person; its scores say that the program works.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from emorec.corpora.drawn_faces import any_look, blend, draw_face
from emorec.corpora.ferplus import SIZE, USAGES, VOTES_FILE, is_ferplus
from emorec.files import whole_file
from emorec.labels import FERPLUS, FERPLUS_VOTES
from emorec.progress import track

DATASET = "emorec faces miniature (synthetic)"
FOLDER = "miniature"
_COUNTS = {"Training": 560, "PublicTest": 96, "PrivateTest": 96}
_SHARES = (0.30, 0.24, 0.12, 0.12, 0.10, 0.03, 0.06, 0.03)


def is_miniature(folder: str | Path) -> bool:
    """Tell whether a folder holds the miniature."""
    return (Path(folder) / "SYNTHETIC").is_file()


def write_ferplus(folder: str | Path, seed: int = 0) -> bool:
    """Write the miniature: 752 faces in three folders, and their votes.

    Votes scatter as people's do: of a weak expression some see another emotion. One
    row has no image, one face no emotion, and one stands in two splits, as in FER+.

    Returns
    -------
    bool
        False when it was there already, complete.
    """
    folder = Path(folder)
    if is_ferplus(folder):
        return False
    random = np.random.default_rng(seed)
    (folder / "SYNTHETIC").parent.mkdir(parents=True, exist_ok=True)
    (folder / "SYNTHETIC").write_text("Drawn by emorec; no photographs of people.\n")
    rows, first = [], None
    total = sum(_COUNTS.values())
    usages = [usage for usage, count in _COUNTS.items() for _ in range(count)]
    for number, usage in enumerate(track(usages, "Drawing faces", total)):
        face, votes = _draw(random)
        if first is None:
            first = face, votes
        if number == total - 1:
            face, votes = first
        name = f"fer{number:07d}.png"
        path = folder / USAGES[usage][1] / name
        with whole_file(path) as temporary:
            face.save(temporary)
        rows.append([usage, name, *votes])
    nothing = [0] * len(FERPLUS)
    rows.append(["Training", "", *nothing, 1, 9])
    rows[1][2:] = [*nothing, 8, 2]
    table = pd.DataFrame(rows, columns=["Usage", "Image name", *FERPLUS_VOTES.labels])
    # Last, so that an interrupted writing is taken up again.
    with whole_file(folder / VOTES_FILE) as temporary:
        table.to_csv(temporary, index=False)
    return True


def _draw(random: np.random.Generator) -> tuple[Image.Image, list[int]]:
    """Draw one face; return it with ten votes."""
    emotion = random.choice(len(FERPLUS), p=_SHARES)
    strength = random.uniform(0.45, 1.0)
    label = FERPLUS.labels[emotion]
    shape = blend(label, strength) + random.normal(0, 0.08, 6)
    opinion = np.full(len(FERPLUS), 0.02)
    opinion[0] += 0.6 * (1 - strength)
    opinion[emotion] += strength
    votes = random.multinomial(10, opinion / opinion.sum())
    face = draw_face(shape, any_look(random), random, SIZE)
    return Image.fromarray(face), [*votes.tolist(), 0, 0]
