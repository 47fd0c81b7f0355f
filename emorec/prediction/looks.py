"""How emotions are drawn: by colour, and by more than colour."""

from __future__ import annotations

from typing import NamedTuple


class Look(NamedTuple):
    """How an emotion is drawn.

    Attributes
    ----------
    area, line : str
        Colours of areas and lines.
    hatch : str
        matplotlib's name of the pattern of areas.
    dashes : str or tuple
        matplotlib's style of lines.
    """

    area: str
    line: str
    hatch: str
    dashes: str | tuple


# Okabe and Ito's colours; lines of the light ones are darker, to be seen on white.
_LOOKS = {
    "neutral": Look("#C8C8C8", "#767676", "", (0, (3, 1, 1, 1))),
    "happy": Look("#F0E442", "#A39400", "..", "-"),
    "sad": Look("#0072B2", "#0072B2", "//", "--"),
    "anger": Look("#D55E00", "#D55E00", "xx", (0, (9, 1.5))),
    "fear": Look("#CC79A7", "#B05688", "\\\\", "-."),
    "disgust": Look("#009E73", "#009E73", "++", ":"),
    "surprise": Look("#56B4E9", "#3A93C5", "oo", (0, (6, 2))),
    "calm": Look("#F3F3F3", "#A0A0A0", "--", (0, (1, 1))),
    "contempt": Look("#E69F00", "#B87F00", "||", (0, (5, 1, 1, 1, 1, 1))),
    "sentiment": Look("#1B1B1B", "#1B1B1B", "", "-"),
}
# Of emotions that are drawn as one.
TOGETHER = Look("#FFFFFF", "#FFFFFF", "", "-")
_MORE = (
    Look("#8C6BB1", "#6E4D93", "**", (0, (3, 1))),
    Look("#A6761D", "#7F5A14", "OO", (0, (8, 2, 2, 2))),
    Look("#7A7A7A", "#1B1B1B", "//..", (0, (2, 2))),
    Look("#B3DE69", "#7FA63C", "\\\\..", (0, (1, 3))),
    Look("#FBB4AE", "#C77A72", "//", (0, (10, 2))),
    Look("#80B1D3", "#5583A3", "--..", (0, (4, 4))),
    Look("#01665E", "#01665E", "xx..", (0, (1, 1, 4, 1))),
    Look("#DFC27D", "#9C7F35", "||..", (0, (12, 3, 1, 3))),
    Look("#C51B7D", "#C51B7D", "++..", (0, (6, 1, 1, 1))),
)


def looks(emotions: list[str]) -> dict[str, Look]:
    """Return how each emotion is drawn; the same one alike in every figure.

    Words that `_LOOKS` does not know get the other looks in their order, which repeat
    after nine.
    """
    others = [emotion for emotion in emotions if emotion not in _LOOKS]
    return {
        emotion: _LOOKS.get(emotion) or _MORE[others.index(emotion) % len(_MORE)]
        for emotion in emotions
    }
