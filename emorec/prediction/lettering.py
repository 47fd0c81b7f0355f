"""Fonts for texts of any script: names and titles are people's own."""

from __future__ import annotations

import unicodedata
from functools import cache

# Comes with matplotlib, so that it is there on every machine.
_OWN = "DejaVu Sans"
# Of what no font of this machine can draw; DejaVu Sans has it.
_UNKNOWN = "\N{WHITE SQUARE}"
# Draws boxes with the names of scripts, which tell readers nothing.
_NO_FONTS = ("Last Resort", "LastResort")


def lettered(text: str) -> tuple[str, list[str]]:
    """Return a text that can be drawn here, and the font families to draw it with.

    Parameters
    ----------
    text : str
        Any text. Line breaks stay, other control characters become spaces.

    Returns
    -------
    text : str
        With a square for each character that no font of this machine has.
    families : list of str
        The first has most; matplotlib asks the next for what one lacks.
    """
    # Fonts have letters with their accents rather than accents alone.
    text = unicodedata.normalize("NFC", text)
    families, letters = [_OWN], []
    for letter in text:
        if letter != "\n" and unicodedata.category(letter) in ("Cc", "Cs", "Cf"):
            letter = "" if unicodedata.category(letter) == "Cf" else " "
        family = _family(letter) if letter.strip() else _OWN
        if family is None:
            letter = _UNKNOWN
        elif family not in families:
            families.append(family)
        letters.append(letter)
    return "".join(letters), families


def font_file(text: str) -> tuple[str, str]:
    """Return a text and the file of the font to draw it with, for one font a text.

    The font is the one that has most of the letters; others become squares.
    """
    from matplotlib import font_manager

    text, families = lettered(text)
    files = [font_manager.findfont(family) for family in families]
    best = max(files, key=lambda file: sum(_has(file, c) for c in text))
    unknown = _UNKNOWN if _has(best, _UNKNOWN) else "?"
    return "".join(c if c == "\n" or _has(best, c) else unknown for c in text), best


@cache
def _family(letter: str) -> str | None:
    """Return a family of this machine that has a letter, the usual one if it can."""
    from matplotlib import font_manager

    if _has(font_manager.findfont(_OWN), letter):
        return _OWN
    for entry in _upright():
        # What the figure asks for by its family must be the file that was looked into.
        if _has(entry.fname, letter):
            found = font_manager.findfont(entry.name, fallback_to_default=False)
            if _has(found, letter):
                return entry.name
    return None


@cache
def _upright() -> list:
    from matplotlib import font_manager

    return sorted(
        (
            entry
            for entry in font_manager.fontManager.ttflist
            if entry.style == "normal"
            and entry.weight in (400, "normal", "regular")
            and not entry.name.startswith(_NO_FONTS)
        ),
        # Sans before others, as the rest of a figure is.
        key=lambda entry: ("Sans" not in entry.name, entry.name),
    )


@cache
def _font(file: str):
    from matplotlib.ft2font import FT2Font

    return FT2Font(file)


def _has(file: str, letter: str) -> bool:
    return _font(file).get_char_index(ord(letter)) != 0 if letter else True
