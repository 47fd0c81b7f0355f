"""Report pages in a real browser: whole, offline, readable, on a phone and on paper."""

import re
from itertools import pairwise

import pandas as pd
import pytest

from emorec.cli.app import main
from emorec.evaluation import figures
from emorec.labels import LabelSchema
from tests import report_runs
from tests.browser import CONTRASTS, browser  # noqa: F401
from tests.test_report import HOSTILE

PAPER = 688  # A4 less its margins, in CSS pixels
PAGES = ("report_words", "report_l_1_n_8", "report_ia_softhard", "comparison")


@pytest.fixture(scope="module")
def pages(tmp_path_factory, command):
    """Return a folder with a page of every kind, one of hostile and long names."""
    folder = tmp_path_factory.mktemp("pages")
    schema = LabelSchema("own", ("<i>calm</i>", "表情", *"abcde"), "single")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "save", lambda figure, path: None)
        parts = []
        for split in ("dev", "test"):
            one = report_runs.choices("words", split, 0.5, schema=schema)
            ids = [f"{HOSTILE}{row}" for row in range(len(one))]
            ids[::2] = ["a_very_long_name_" * 6 + str(row) for row in range(30)]
            parts.append(report_runs.renamed(one, ids))
        report_runs.meld(folder, parts=parts)
        failures = pd.DataFrame([(HOSTILE, "no_sound_in_" * 9)] * 40)
        failures.columns = ["id", "reason"]
        failures.to_csv(folder / "failures_words.csv", index=False)
        report_runs.mosei(folder)
        report_runs.ravdess(folder)
        assert command(main, "report", folder).code == 0
        assert command(main, "report", folder, "--compare").code == 0
    return folder


@pytest.fixture(params=PAGES)
def shown(request, pages, browser):  # noqa: F811
    """Return the browser with a page open."""
    browser.open(pages / f"{request.param}.html")
    return browser


def test_a_page_loads_whole_and_asks_nobody(shown):
    assert shown.errors() == []
    requests = shown.requests()
    assert [one for one in requests if not one.startswith(("file:", "data:"))] == []
    assert len([one for one in requests if one.startswith("file:")]) == 1
    entries = "return performance.getEntriesByType('resource').map(e => e.name)"
    assert not [one for one in shown.ask(entries) if one.startswith("http")]
    broken = "return [...document.images].filter(i => !i.naturalWidth || !i.alt).length"
    assert shown.ask(broken) == 0
    assert shown.ask("return document.documentElement.lang") == "en"
    # What looks like markup in names made no elements.
    assert shown.ask("return document.querySelectorAll('script, main i').length") == 0


def test_headings_and_tables_say_what_they_are(shown):
    names = "return [...document.querySelectorAll('h1,h2,h3,h4')].map(h => h.tagName)"
    levels = [int(name[1]) for name in shown.ask(names)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    bad = """return [...document.querySelectorAll("table")].filter(t =>
      !t.caption || !t.caption.innerText.trim() || !t.tHead ||
      [...t.querySelectorAll("th")].some(h => !h.scope) ||
      [...t.rows].some(r => r.cells.length !== t.rows[0].cells.length)).length"""
    assert shown.ask(bad) == 0 and shown.ask("return document.querySelector('table')")
    landmarks = "return ['header', 'nav', 'main', 'footer'].map(n => " + (
        "document.querySelectorAll(n).length)"
    )
    assert shown.ask(landmarks) == [1, 1, 1, 1]


def test_letters_stand_out(shown):
    contrasts = shown.ask(CONTRASTS)
    assert len(contrasts) > 1
    assert {text: value for text, value in contrasts.items() if value < 4.5} == {}


@pytest.mark.parametrize("width", [360, 768])
def test_no_page_is_wider_than_the_screen(shown, width):
    shown.resize(width, 740)
    assert shown.ask("return document.documentElement.scrollWidth") <= width
    outside = """return [...document.querySelectorAll("h1,h2,h3,p,li,img,.scroll")]
      .filter(e => e.getBoundingClientRect().right > innerWidth + 1).length"""
    assert shown.ask(outside) == 0
    # A table that is wider scrolls in its own region, which the keyboard reaches.
    alone = """return [...document.querySelectorAll("table")].filter(t => {
      const r = t.closest(".scroll");
      return !r || r.tabIndex !== 0 || !r.getAttribute("aria-label");}).length"""
    assert shown.ask(alone) == 0


def test_the_keyboard_reaches_everything(shown):
    from selenium.webdriver.common.keys import Keys

    def tab():
        shown.driver.switch_to.active_element.send_keys(Keys.TAB)
        return shown.ask(
            "const e = document.activeElement; const s = getComputedStyle(e);"
            "return [e.innerText.slice(0, 14), e.className, s.outlineStyle]"
        )

    first = tab()
    assert first[0] == "To the content" and first[2] != "none"
    left = "return document.activeElement.getBoundingClientRect().left"
    assert shown.ask(left) >= 0
    links = shown.ask("return document.querySelectorAll('nav a').length")
    for _ in range(links):
        assert tab()[2] != "none"
    text, kind, outline = tab()
    assert (kind.startswith("scroll") or text) and outline != "none"


def test_paper_has_all_of_it(shown):
    shown.media("print")
    shown.resize(PAPER)
    cut = f"""return [...document.querySelectorAll("table,img,p,h1,h2,h3")]
      .filter(e => e.getBoundingClientRect().right > {PAPER} + 1)
      .map(e => e.innerText)"""
    assert shown.ask(cut) == []
    display = "return getComputedStyle(document.querySelector('nav')).display"
    assert shown.ask(display) == "none"
    content = shown.printed()
    assert content.startswith(b"%PDF-") and content.rstrip().endswith(b"%%EOF")
    pages = len(re.findall(rb"/Type\s*/Page\b(?!s)", content))
    assert 1 <= pages < 15
    # Upright A4, in points.
    assert re.search(rb"/MediaBox\s*\[0 0 59[4-6][.\d]* 84[0-3]", content)
