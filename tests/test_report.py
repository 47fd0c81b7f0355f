"""Pages of runs: the metric functions' numbers, escaped names, what is missing told."""

import os
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from emorec.artifacts.predictions import read_predictions
from emorec.artifacts.runs import SYSTEMS
from emorec.cli.app import main
from emorec.evaluation import figures, utterances
from emorec.evaluation.intervals import class_rates
from emorec.evaluation.metrics import best_thresholds
from emorec.evaluation.report.html import number
from emorec.evaluation.single_label import calibration_error
from emorec.labels import LabelSchema
from tests import report_runs

VOID = {"meta", "link", "img"}


class Page(HTMLParser):
    """A page as lists of its elements; refuses tags that are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.tables, self.headings = [], [], {}, []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if tag not in VOID:
            self.open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "table":
            self.rows, self.caption = [], ""
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "table":
            self.tables[self.caption.strip()] = self.rows

    def handle_data(self, data):
        if "td" in self.open or "tr" in self.open:
            self.rows[-1][-1] += data
        elif "caption" in self.open and "note" not in self.where():
            self.caption += data

    def where(self):
        return self.elements[-1][1].get("class", "")

    def cells(self, caption):
        """Return row name -> column name -> text of a table."""
        head, *rows = self.tables[caption]
        return {row[0]: dict(zip(head, row, strict=True)) for row in rows}

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def drawn():
    """Tests that ask for this draw their figures; it takes most of the time."""


@pytest.fixture(autouse=True)
def undrawn(request, monkeypatch):
    monkeypatch.setattr(figures, "save", lambda figure, path: None)
    if "drawn" not in request.fixturenames:
        from matplotlib.figure import Figure

        monkeypatch.setattr(
            Figure, "savefig", lambda self, file, **_: file.write(b"<svg/>")
        )


@pytest.fixture
def report(command):
    """Return a function that reports runs and returns the text of the one page."""

    def run(*words, code=0):
        result = command(main, "report", *words)
        assert result.code == code, result.err + result.out
        (path,) = re.findall(r"Written: (.*\.html)", result.out)
        return Path(path).read_text(encoding="utf-8")

    return run


def sound(text):
    """Assert what every page promises; return it parsed."""
    page = Page(text)
    assert page.elements[0] == ("html", {"lang": "en"})
    assert not page.all("script") and not page.all("iframe")
    for tag, attributes in page.elements:
        source = attributes.get("src", "data:")
        assert source.startswith("data:"), (tag, source)
        assert not attributes.get("href", "").startswith(("http", "//"))
        assert not [key for key in attributes if key.startswith("on")]
    assert "@import" not in text and "url(" not in text
    assert all(len(picture["alt"]) > 20 for picture in page.all("img"))
    assert page.headings[0] == 1 and page.headings.count(1) == 1
    assert (np.diff(page.headings) <= 1).all()
    assert page.tables and all(page.tables)
    assert {cell["scope"] for cell in page.all("th")} == {"row", "col"}
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    inside = [a["href"][1:] for a in page.all("a") if a["href"].startswith("#")]
    assert inside and set(inside) <= set(ids)
    return page


def test_every_system_has_a_writer():
    assert set(report_runs.WRITERS) == set(SYSTEMS)


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_has_a_page(system, tmp_path, report):
    run = report_runs.WRITERS[system](tmp_path)
    text = report(tmp_path / run.param_name)
    page = sound(text)
    assert (tmp_path / f"report_{run.param_name}.html").read_text() == text
    assert page.cells("The run")["Seeds"]["Value"] == "seed 3"
    words = re.sub("<[^>]+>", " ", text)
    assert re.search("constant|always", words)
    assert re.search(r"scores are of the split (test|unheardVal)", words)
    versions = page.cells("Versions of packages")
    assert versions["numpy"]["Value"] == np.__version__
    assert "Worst mistakes" in text and "What this page lacks" in text


def test_a_fusion_has_a_page_with_its_weights(tmp_path, command, report):
    for name, strength in (("words", 2.0), ("voice", 1.0)):
        report_runs.meld(tmp_path, name, strength, seed=len(name) + int(strength))
    files = [tmp_path / f"predictions_test_{name}.npz" for name in ("words", "voice")]
    assert command(main, "fuse", *files, "--name", "both").code == 0
    text = report(tmp_path / "run_both_weights.json")
    page = sound(text)
    weights = page.cells("Weights, chosen on dev")["the fusion"]
    assert float(weights["words"]) + float(weights["voice"]) == pytest.approx(1)
    compared = pd.read_csv(tmp_path / "comparisons.csv").set_index("second")
    cells = page.cells("The fusion and each of its models")
    row = cells["both_weights less words"]
    assert row["p (McNemar)"].startswith(number(compared.mcnemar["words"]))
    assert "What 21 weightings are worth on dev" in text
    # All runs of the folder, the fusion among them.
    result = command(main, "report", tmp_path, "--output", tmp_path / "pages")
    assert len(list((tmp_path / "pages").glob("report_*.html"))) == 3, result.out


def test_numbers_of_choices_are_those_of_the_metric_functions(tmp_path, report):
    report_runs.meld(tmp_path)
    page = Page(report(tmp_path / "words"))
    part = read_predictions(tmp_path / "predictions_test_words.npz")
    table = page.cells("Scores and the constant predictor's, split by split")
    found = utterances.metrics(part)
    row = table["test: model"]
    for key, column in (("weighted_f1", "Weighted F1"), ("accuracy", "Accuracy")):
        low, high = (number(found[f"{key}_{end}"]) for end in ("low", "high"))
        assert row[column] == f"{number(found[key])} ({low} to {high})"
    assert row["NLL"] == number(found["nll"])
    assert row["ECE"] == number(calibration_error(part.true, part.scores))
    # The class that train has most often, which results.csv knows.
    always = utterances.metrics(utterances.constant_predictions(part, 0))
    assert table["test: always anger"]["Accuracy"].startswith(
        number(always["accuracy"])
    )
    each = page.cells("Each class of test")
    counts = sk.confusion_matrix(part.true, part.chosen)
    matrix = page.tables["Confusion matrix of test"]
    for place, label in enumerate(part.schema.labels):
        assert each[label]["F1"].startswith(number(found[f"f1_{label}"]))
        area = sk.roc_auc_score(part.true == place, part.scores[:, place])
        assert each[label]["AUC"].startswith(number(area))
        shown = [int(cell.split()[0]) for cell in matrix[place + 1][1:]]
        assert shown == counts[place].tolist()
    wrong = part.scores.max(axis=1) * (part.chosen != part.true)
    first = page.tables["Worst mistakes of test"][1]
    assert first[0] == part.ids[wrong.argmax()] and first[3] == number(wrong.max())


def test_numbers_of_scores_are_those_of_the_metric_functions(tmp_path, report):
    report_runs.mosei(tmp_path)
    page = Page(report(tmp_path / "l_1_n_8"))
    valid, test = (report_runs.mosei_scores(split, 1.0) for split in ("valid", "test"))
    limits = best_thresholds((valid.true > 0).astype(int), valid.predicted)
    true, said = test.true > 0, test.predicted >= limits
    table, balanced = page.cells("Presence of each emotion in test"), []
    for place, label in enumerate(test.schema.labels):
        pair = true[:, place], said[:, place]
        balanced.append(sk.balanced_accuracy_score(*pair))
        row = table[label]
        assert row["Weighted accuracy"].startswith(number(balanced[-1]))
        assert row["Weighted accuracy"].endswith("constant 0.500")
        assert row["F1"].startswith(number(sk.f1_score(*pair)))
        assert row["Precision"].startswith(number(sk.precision_score(*pair)))
        always = sk.f1_score(pair[0], np.ones_like(pair[0]))
        assert row["F1"].endswith(f"constant {number(always)}")
        area = sk.roc_auc_score(pair[0], test.predicted[:, place])
        assert row["AUC"].startswith(number(area))
    assert table["mean"]["Weighted accuracy"].startswith(number(np.mean(balanced)))
    totals = page.cells("Presence of emotions of test, threshold: chosen on validation")
    assert totals["model"]["Weighted accuracy"] == number(np.mean(balanced))
    amounts = page.cells("Intensities of test")
    mean = np.abs(test.true - test.train_mean).mean()
    assert amounts["constant: the training mean"]["MAE"] == number(float(mean))


def test_rates_of_classes_are_sklearns():
    random = np.random.default_rng(0)
    true, chosen = random.integers(0, 4, (2, 90))
    counts = sk.confusion_matrix(true, chosen, labels=range(5))
    rates = class_rates(counts)
    expected = sk.precision_recall_fscore_support(
        true, chosen, labels=range(4), zero_division=0
    )
    for name, values in zip(("precision", "recall", "f1"), expected, strict=False):
        np.testing.assert_allclose(rates[name][:4], values)
        assert np.isnan(rates[name][4])


HOSTILE = '<script>alert("1")</script>\'&amp; ﷽ 表情'


def test_hostile_names_are_text(tmp_path, report):
    name = 'a<b>"q"&\'é漢<img src=x onerror=alert(1)>'
    schema = LabelSchema("own", ("<i>calm</i>", '" onload="x', "ｊoy"), "single")
    parts = []
    for split in ("dev", "test"):
        one = report_runs.choices(name, split, 0.2, schema=schema)
        ids = [f"{HOSTILE}{row}" for row in range(len(one))]
        parts.append(report_runs.renamed(one, ids))
    report_runs.meld(tmp_path, name, parts=parts)
    failures = pd.DataFrame([(HOSTILE, "</td><script>x</script>")])
    failures.columns = ["id", "reason"]
    failures.to_csv(tmp_path / f"failures_{name}.csv", index=False)
    text = report(tmp_path / name)
    page = sound(text)
    assert f"Report of {name}" in "".join(_texts(text))
    assert page.tables["Worst mistakes of test"][1][0].startswith(HOSTILE)
    assert page.cells(f"Rows of failures_{name}.csv")[HOSTILE]
    assert set(schema.labels) <= set(page.cells("Each class of test"))


def _texts(text):
    found = []
    parser = HTMLParser()
    parser.handle_data = found.append
    parser.feed(text)
    return found


def test_what_is_missing_is_told(tmp_path, report):
    report_runs.meld(tmp_path)
    whole = report(tmp_path / "words")
    assert "Nothing: every part of the report found its files." in whole
    for file in ("history_words.csv", "results.csv", "failures_words.csv"):
        (tmp_path / file).unlink()
    text = report(tmp_path / "words")
    lacks = text.partition('id="missing"')[2]
    assert "history_words.csv" in lacks
    assert "No table says which class is the most frequent" in lacks
    assert "no table of data that were left out" in lacks
    assert "best that" not in whole
    (tmp_path / "predictions_test_words.npz").unlink()
    assert "no predictions of a test split" in report(tmp_path / "words")
    (tmp_path / "predictions_dev_words.npz").unlink()
    text = report(tmp_path / "words")
    assert "There are no predictions_SPLIT_words.npz" in text
    assert "What was trained on what" in text


def test_a_damaged_file_is_told_and_the_rest_goes_on(tmp_path, command):
    report_runs.meld(tmp_path)
    report_runs.meld(tmp_path, "other")
    (tmp_path / "predictions_test_words.npz").write_bytes(b"PK\x03\x04 half")
    result = command(main, "report", tmp_path)
    assert result.code == 3 and "predictions_test_words.npz" in result.out
    text = (tmp_path / "report_words.html").read_text()
    assert "expected an .npz of predictions" in text.partition('id="missing"')[2]
    assert (tmp_path / "report_other.html").is_file()


def test_clips_are_linked_where_one_file_fits(tmp_path, report):
    clips = tmp_path / "the clips"
    report_runs.meld(tmp_path / "runs")
    part = read_predictions(tmp_path / "runs" / "predictions_test_words.npz")
    page = Page(report(tmp_path / "runs" / "words"))
    worst = [row[0] for row in page.tables["Worst mistakes of test"][1:]]
    assert "--clips" in "".join(_texts(report(tmp_path / "runs" / "words")))
    for clip in worst[1:]:
        (clips / f"{clip}.mp4").parent.mkdir(parents=True, exist_ok=True)
        (clips / f"{clip}.mp4").touch()
    # Of the same name in another folder: only the whole id tells them apart.
    (clips / "dev").mkdir()
    for clip in worst:
        (clips / "dev" / f"{clip.split('/')[1]}.mp4").touch()
    (clips / f"{worst[2]}.wav").touch()
    output = tmp_path / "pages" / "a.html"
    text = report(
        tmp_path / "runs" / "words", "--clips", clips, "--output", output, "--worst", 20
    )
    links = [a["href"] for a in Page(text).all("a") if not a["href"].startswith("#")]
    assert len(part) > len(worst) > len(links) > 0
    found = [Path(os.path.normpath(output.parent / unquote(link))) for link in links]
    # The first has one file, in dev, that its last part fits; the third has two.
    expected = [clips / "dev" / f"{worst[0].split('/')[1]}.mp4"]
    expected += [clips / f"{clip}.mp4" for clip in (worst[1], *worst[3:])]
    assert found == expected
    assert f"1 of {len(worst)} clips are not linked" in text


def test_further_tables_of_dropped_data_are_shown(tmp_path, report):
    report_runs.mosei(tmp_path / "runs")
    pickles = tmp_path / "pickles"
    pickles.mkdir()
    rows = [("v[0]", "train", "dropped", "", "video not in COVAREP", "")] * 3
    columns = ["segment", "fold", "action", "modality", "reason", "steps"]
    table = pd.DataFrame(rows, columns=columns)
    table.to_csv(pickles / "cmu_mosei_report.csv", index=False)
    assert "pickle folder" in report(tmp_path / "runs" / "l_1_n_8")
    text = report(tmp_path / "runs" / "l_1_n_8", "--dropped", pickles)
    row = Page(text).tables["Why, in cmu_mosei_report.csv: 3 rows"][1]
    assert row == ["3", "dropped", "train", "", "video not in COVAREP"]


def test_the_same_run_gives_the_same_page(tmp_path, report, drawn):
    report_runs.mosi(tmp_path)
    report_runs.history(tmp_path, "T_seed_0")
    assert report(tmp_path / "T_seed_0") == report(tmp_path / "T_seed_0")


@pytest.mark.parametrize(
    "words, message",
    [
        (("nowhere/run",), "no such run"),
        (("words", "other", "--output", "x.html"), "one file for 2 runs"),
        (("words", "--compare"), "expected two runs or more"),
        (("words", "other", "--compare", "--clips", "."), "--clips: of the report"),
        (("words", "--clips", "none"), "no such folder"),
        (("words", "--dropped", "none"), "no such file"),
        (("words", "--worst", "0"), "expected 1 or more"),
    ],
)
def test_mistakes_are_told(words, message, tmp_path, command, monkeypatch):
    for name in ("words", "other"):
        report_runs.meld(tmp_path, name)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    result = command(main, "report", *words)
    assert result.code == 1 and message in result.err
    assert sorted(tmp_path.iterdir()) == before


def test_runs_of_one_name_do_not_overwrite_each_other(tmp_path, command):
    for folder in ("a", "b"):
        report_runs.meld(tmp_path / folder)
    words = ("report", tmp_path / "a", tmp_path / "b", "--output", tmp_path / "out")
    assert command(main, *words).code == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["report_a_words.html", "report_b_words.html"]
