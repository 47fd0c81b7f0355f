"""The HTML of results; every text in it is escaped, as names are people's own."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

import numpy as np

from emorec.prediction.demo.judging import Judged
from emorec.prediction.demo.limits import Limits
from emorec.prediction.demo.summary import agreements, headline, model_rows
from emorec.prediction.series import emotions_of, series_of

STYLE = """
.emorec { font-size: 16px; line-height: 1.5; }
.emorec h2 { font-size: 1.25em; margin: 0 0 .4em; }
.emorec h3 { font-size: 1.05em; margin: 1.2em 0 .3em; }
.emorec p { margin: .3em 0; }
.emorec .sure { font-size: 1.15em; font-weight: 600; }
.emorec .wide { overflow-x: auto; }
.emorec table { border-collapse: collapse; width: auto; }
.emorec caption { text-align: left; }
.emorec th, .emorec td { border-bottom: 1px solid #8888; padding: .25em .7em;
  text-align: left; vertical-align: top; }
.emorec td.number, .emorec th.number { text-align: right;
  font-variant-numeric: tabular-nums; }
.emorec td { min-width: 6em; }
.emorec td.best { font-weight: 700; text-decoration: underline; }
.emorec img { width: 100%; min-width: 640px; height: auto; background: #fff; }
.emorec .error { border: 2px solid #b00020; border-radius: 6px; padding: .7em 1em; }
.emorec .note { border-left: 4px solid #0072b2; padding: .1em 0 .1em .9em; }
footer { display: none !important; }
"""


def notice(models: Sequence[str], takes: Sequence[str], limits: Limits) -> str:
    """Return what stands above everything: what this is, and what it is not for."""
    return _page(
        "<h1>Emotions in a recording</h1>"
        f"<p>Models: {escape(', '.join(models))}. They use "
        f"{escape(_and(list(takes)))}. Clips of up to {limits.max_seconds:g} s and "
        f"{limits.max_mb:g} MB.</p>"
        '<div class="note"><p><strong>Scores are estimates of expression, not of '
        "feelings.</strong> They say how a face, a voice or words look to a model that "
        "learnt from other people's judgements; it is often wrong, and more so for "
        "people unlike those it learnt from.</p>"
        "<p>Judge recordings only of people who agreed. The EU AI Act, Art. 5(1)(f), "
        "forbids to infer emotions at work and in education, except for medical or "
        "safety reasons.</p>"
        "<p>Recordings are removed from the server as soon as they are judged, results "
        "with the next clip or after an hour. This page asks no other computer for "
        "anything.</p></div>"
    )


def failure(message: str) -> str:
    """Return a message that stays in the page."""
    return _page(
        f'<div class="error" role="alert"><h2>This could not be judged</h2>'
        f"<p>{escape(message)}</p></div>"
    )


def result(judged: Judged) -> str:
    """Return everything that the page shows of a clip, but the video."""
    series = series_of(judged.table, judged.recording.duration)
    parts = [f'<p class="sure">{escape(headline(series))}</p>']
    parts += [
        f'<p class="error" role="alert">{escape(text)}</p>' for text in judged.warnings
    ]
    parts.append(
        "<p>Means over the clip hide what changes in it; look at the figure. Scores of "
        "different models are on scales of their own. None of them was checked on your "
        "recordings.</p>"
    )
    picture = base64.b64encode(judged.figure.read_bytes()).decode("ascii")
    parts.append(
        f'<h3>Over time</h3><div class="wide" tabindex="0"><img alt="Scores of each '
        f'model over time; the tables below hold the means" '
        f'src="data:image/png;base64,{picture}"></div>'
    )
    rows = model_rows(series)
    parts.append("<h3>Which model used what, and what it says</h3>")
    parts.append(
        _table(
            ["model", "used (share of the time)", "strongest", "missing because"],
            [[row.model, row.used, row.verdict, row.reason] for row in rows],
        )
    )
    names = [n for n in emotions_of(judged.table) if any(n in r.means for r in rows)]
    told = [row for row in rows if row.means]
    if told:
        best = [max(row.means, key=row.means.get) for row in told]
        parts.append("<h3>Means over the clip</h3>")
        parts.append(
            _table(
                ["emotion", *(f"{row.model} ({row.kind})" for row in told)],
                [[n, *(row.means.get(n, np.nan) for row in told)] for n in names],
                [
                    [1 + k for k, strongest in enumerate(best) if strongest == name]
                    for name in names
                ],
            )
        )
    pairs = agreements(series)
    if pairs:
        parts.append("<h3>Where models disagree</h3>")
        parts.append(
            _table(
                [
                    "models",
                    "same strongest emotion (share of the time)",
                    "distance of their means (0 same, 1 exclude one another)",
                ],
                [
                    [f"{p.first} and {p.second}", f"{p.same:.0%}", p.distance]
                    for p in pairs
                ],
            )
        )
    return _page("".join(parts))


def _table(
    head: Sequence[str],
    rows: Sequence[Sequence[str | float]],
    best: Sequence[Sequence[int]] | None = None,
) -> str:
    numeric = [all(isinstance(row[k], float) for row in rows) for k in range(len(head))]
    cells = "".join(
        f'<th scope="col"{_class("number" if number else "")}>{escape(text)}</th>'
        for text, number in zip(head, numeric, strict=True)
    )
    body = []
    for n, row in enumerate(rows):
        line = ""
        for k, value in enumerate(row):
            kinds = ["number"] * numeric[k]
            kinds += ["best"] * bool(best and k in best[n])
            if isinstance(value, float):
                value = "–" if np.isnan(value) else f"{value:.2f}"
            tag = 'th scope="row"' if k == 0 else "td"
            text = escape(value)
            line += f"<{tag}{_class(' '.join(kinds))}>{text}</{tag.split()[0]}>"
        body.append(f"<tr>{line}</tr>")
    return (
        f'<div class="wide" tabindex="0"><table><thead><tr>{cells}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _class(names: str) -> str:
    return f' class="{names}"' if names else ""


def _page(inner: str) -> str:
    return f'<div class="emorec">{inner}</div>'


def _and(words: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
