"""Small parts of a page: escaped text, tables, figures, sections."""

from __future__ import annotations

import base64
import html
import io
import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from emorec.evaluation.report.style import CSS

UNDEFINED = "not defined"
# Tables of fewer rows are kept on one sheet of paper.
_SHORT = 16
_VOID = {"img", "meta", "link"}
# Nothing may be fetched from anywhere, not even by mistake.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


class Html(str):
    """Text that is HTML already; everything else is escaped."""


def markup(value: Any) -> Html:
    """Return a value as HTML; numbers as `number` writes them."""
    if isinstance(value, Html):
        return value
    if isinstance(value, float):
        value = number(value)
    return Html(html.escape(str(value)))


def tag(name: str, /, *children: Any, **attributes: Any) -> Html:
    """Return an element.

    Parameters
    ----------
    name : str
        Of the element.
    *children
        Escaped where they are not `Html`.
    **attributes
        ``class_`` is ``class``, ``aria_label`` is ``aria-label``; None leaves an
        attribute out.
    """
    own = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Html(f"<{name}{own}>")
    return Html(f"<{name}{own}>{''.join(map(markup, children))}</{name}>")


def joined(parts: Iterable[Any], between: str = "") -> Html:
    """Return parts one after another."""
    return Html(markup(between).join(map(markup, parts)))


def name(text: str) -> Html:
    """Return a name or id, in whatever direction its letters run."""
    return tag("bdi", text, class_="name")


def number(value: float, decimals: int = 3) -> str:
    """Return a number as text; what is undefined is said to be so."""
    if value is None or math.isnan(value):
        return UNDEFINED
    if math.isinf(value):
        return "infinite"
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text


def between(low: float, high: float, decimals: int = 3) -> str:
    """Return an interval in brackets; empty where there is none."""
    if any(value is None or math.isnan(value) for value in (low, high)):
        return ""
    return f"({number(low, decimals)} to {number(high, decimals)})"


def score(
    value: float, low: float = math.nan, high: float = math.nan, constant: Any = None
) -> Html:
    """Return a score with its interval and the constant predictor's, for a cell.

    `constant` is a number, or None where it stands in a row of its own.
    """
    parts = [number(value)]
    if interval := between(low, high):
        parts += [" ", tag("span", interval, class_="interval")]
    if constant is not None:
        said = f"constant {number(constant)}"
        parts += [" ", tag("span", said, class_="constant")]
    return joined(parts)


def table(
    caption: str,
    head: Sequence[Any],
    rows: Iterable[Sequence[Any]],
    note: str = "",
    kind: str = "",
) -> Html:
    """Return a table whose first column names the rows.

    It lies in a region of its own that scrolls where a screen is narrow, by keyboard,
    too.

    Parameters
    ----------
    caption : str
        Says what, of which split.
    head : sequence
        Names of the columns.
    rows : iterable of sequences
        Cells.
    note : str
        Below the caption's first line.
    kind : str
        A class of `emorec.evaluation.report.style`.
    """
    lines = [
        tag("tr", tag("th", first, scope="row"), *(_cell(cell) for cell in rest))
        for first, *rest in rows
    ]
    if not lines:
        return tag("p", f"{caption}: no rows.")
    top = tag("tr", *(tag("th", cell, scope="col") for cell in head))
    title = [caption, tag("span", note, class_="note")] if note else [caption]
    content = tag(
        "table",
        # Of a table wider than the screen the caption stays readable.
        tag("caption", tag("span", *title, class_="title")),
        tag("thead", top),
        tag("tbody", *lines),
    )
    short = "short" if len(lines) < _SHORT else ""
    return scrolling(content, caption, f"scroll {short} {kind}".strip())


def _cell(value: Any) -> Html:
    if isinstance(value, Html) and value.startswith("<td"):
        return value
    shown = markup(value)
    numeric = isinstance(value, int | float) or shown[:1].isdigit()
    return tag("td", shown, class_="number" if numeric else None)


def shaded(share: float, *content: Any) -> Html:
    """Return a cell whose shade is a share, 0 to 1; text keeps its contrast."""
    share = 0.0 if math.isnan(share) else share
    # From white to a blue; letters are black up to where white ones have contrast 4.5.
    red, green, blue = (round(255 - share * (255 - end)) for end in (0, 90, 160))
    ink = "#fff" if share >= 0.8 else "#000"
    style = f"background:rgb({red},{green},{blue});color:{ink}"
    return tag("td", *content, style=style, class_="shaded")


def scrolling(content: Html, label: str, kind: str) -> Html:
    """Return a region that scrolls sideways, reached by keyboard."""
    return tag(
        "div", content, class_=kind, tabindex="0", role="group", aria_label=label
    )


def figure(drawn: Figure, alt: str, caption: str = "") -> Html:
    """Return a drawing as SVG inside the page.

    Parameters
    ----------
    drawn : Figure
        Of matplotlib.
    alt : str
        What the drawing tells, for who does not see it.
    caption : str
        Under the drawing.
    """
    file = io.BytesIO()
    # The same bytes for the same drawing: no date, no random names. Letters stay
    # letters, so that the reader's fonts have those that matplotlib's lack.
    own = {"svg.hashsalt": "emorec", "svg.fonttype": "none"}
    with mpl.rc_context(own), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        drawn.savefig(file, format="svg", metadata={"Date": None})
    data = base64.b64encode(file.getvalue()).decode("ascii")
    width, height = (round(side * 96) for side in drawn.get_size_inches())
    picture = tag(
        "img",
        src=f"data:image/svg+xml;base64,{data}",
        alt=alt,
        width=width,
        height=height,
    )
    below = [tag("figcaption", caption)] if caption else []
    return tag("figure", picture, *below)


def figures(parts: Sequence[Html]) -> Html:
    """Return figures side by side where there is room."""
    return tag("div", *parts, class_="sheet")


@dataclass
class Section:
    """A part of a page under a heading.

    Attributes
    ----------
    id, title : str
        Anchor and heading.
    parts : list of Html
        Its content.
    lacks : list of str
        What could not be told, in whole sentences.
    headline : str
        What of it belongs at the top of the page; may be empty.
    """

    id: str
    title: str
    parts: list[Html] = field(default_factory=list)
    lacks: list[str] = field(default_factory=list)
    headline: str = ""

    def put(self, *parts: Html) -> None:
        """Add content."""
        self.parts += parts

    def say(self, *text: Any) -> None:
        """Add a paragraph."""
        self.put(tag("p", *text))

    def under(self, title: str) -> None:
        """Add a heading."""
        self.put(tag("h3", title))

    def lack(self, text: str) -> None:
        """Say in its place what is missing, and remember it."""
        self.lacks.append(text)
        self.put(tag("p", tag("strong", "Missing: "), text, class_="missing"))

    def render(self) -> Html:
        """Return the section."""
        title = tag("h2", self.title, id=f"{self.id}-title")
        return tag(
            "section",
            title,
            *self.parts,
            id=self.id,
            aria_labelledby=f"{self.id}-title",
        )


def page(title: str, lead: Sequence[Html], sections: Sequence[Section]) -> str:
    """Return a whole page.

    Parameters
    ----------
    title : str
        Heading and title.
    lead : sequence of Html
        Under the heading.
    sections : sequence of Section
        In their order, also in the list of contents. What they lack is listed in the
        end.
    """
    sections = [*sections, _lacking(sections)]
    links = [tag("li", tag("a", s.title, href=f"#{s.id}")) for s in sections]
    contents = tag("nav", tag("ul", *links), aria_label="Contents")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light"),
        tag("link", rel="icon", href="data:,"),
        tag("title", title),
        Html(f"<style>{CSS}</style>"),
    )
    body = tag(
        "body",
        tag("a", "To the content", href="#content", class_="skip"),
        tag("header", tag("h1", title), *lead),
        contents,
        tag("main", *(section.render() for section in sections), id="content"),
        tag(
            "footer",
            tag("p", "Made by emorec report. The page needs no network and no script."),
        ),
    )
    return "<!DOCTYPE html>\n" + tag("html", head, body, lang="en") + "\n"


def _lacking(sections: Sequence[Section]) -> Section:
    own = Section("missing", "What this page lacks")
    found = [(section, text) for section in sections for text in section.lacks]
    if not found:
        own.say("Nothing: every part of the report found its files.")
        return own
    own.put(
        tag(
            "ul",
            *(
                tag("li", tag("a", s.title, href=f"#{s.id}"), ": ", text)
                for s, text in found
            ),
        )
    )
    return own
