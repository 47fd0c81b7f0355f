"""The figure of emotions over time: means are kept, nothing is told by colour alone."""

import itertools
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emorec.evaluation.figures import save
from emorec.labels import SCHEMAS, canonical
from emorec.prediction import lettering
from emorec.prediction.asking import FUSED
from emorec.prediction.looks import looks
from emorec.prediction.outputs import FIRST, row
from emorec.prediction.series import models_of, series_of
from emorec.prediction.timeline import MOST_DRAWN, MOST_STEPS, mm_ss, timeline_figure

FERPLUS, MOSEI = SCHEMAS["ferplus"], SCHEMAS["mosei"]
NAMES = [canonical(label) for label in FERPLUS.labels]


def rows(spans, scores, model="face", schema=FERPLUS, used=("face",), names=NAMES):
    return [
        row(
            {"id": "clip", "start": start, "end": end},
            model,
            schema,
            values,
            used if values is not None else (),
            "" if values is not None else "no face in 17 frames",
            names,
        )
        for (start, end), values in zip(spans, scores, strict=True)
    ]


def table(*parts):
    names = list(FIRST)
    names += dict.fromkeys(key for part in parts for r in part for key in r)
    names = list(dict.fromkeys(names))
    return pd.DataFrame([r for part in parts for r in part], columns=names)


def probabilities(count, seed=0, width=8):
    walk = np.random.default_rng(seed).normal(size=(count, width)).cumsum(axis=0)
    scores = np.exp(walk / 2)
    return scores / scores.sum(axis=1, keepdims=True)


def windows(count, length=1.0, step=1.0):
    return [(k * step, k * step + length) for k in range(count)]


def drawn(figure):
    figure.canvas.draw()
    return "\n".join(
        text.get_text()
        for text in itertools.chain(
            figure.texts,
            *(axes.texts for axes in figure.axes),
            *(axes.get_legend().texts for axes in figure.axes if axes.get_legend()),
            [axes.title for axes in figure.axes],
            [axes._left_title for axes in figure.axes],
        )
    )


@given(
    st.lists(
        st.tuples(st.floats(0, 50), st.floats(0.05, 20), st.floats(0, 1)),
        min_size=1,
        max_size=12,
    )
)
def test_the_score_at_a_moment_is_the_mean_of_the_spans_that_hold_it(spans):
    ends = [(round(a, 3), round(a + b, 3)) for a, b, _ in spans]
    scores = [np.array([p, 1 - p] + [0.0] * 6) for _, _, p in spans]
    (one,) = series_of(table(rows(ends, scores)), 80.0)
    for edge, after in itertools.pairwise(one.edges):
        moment = (edge + after) / 2
        inside = [
            s[0] for (a, b), s in zip(ends, scores, strict=True) if a < moment < b
        ]
        got, used = one.at(moment)
        if after - edge > 1e-3:
            assert used[0] == pytest.approx(float(bool(inside)), abs=1e-6)
            expected = np.mean(inside) if inside else np.nan
            assert got[0] == pytest.approx(expected, abs=1e-5, nan_ok=True)
    assert np.isnan(one.at(-1.0)[0]).all() and np.isnan(one.at(1e6)[0]).all()


def test_fewer_steps_keep_the_means_and_the_gaps():
    scores = [*probabilities(3600)]
    scores[1000:1900] = [None] * 900
    content = table(rows(windows(3600), scores))
    (fine,) = series_of(content, 3600.0)
    (coarse,) = series_of(content, 3600.0, most=400)
    assert len(coarse.values) == 400 and len(fine.values) == 3600
    np.testing.assert_allclose(
        coarse.values[0], fine.values[:9].mean(axis=0), atol=1e-6
    )
    assert coarse.means() == pytest.approx(fine.means(), abs=2e-3)
    assert coarse.shares() == pytest.approx(fine.shares(), abs=1e-9)
    assert fine.shares()[0] == pytest.approx(0.75)
    assert np.isnan(coarse.at(1400.0)[0]).all()


def test_the_fusion_comes_last_and_labels_that_a_model_lacks_are_not_its():
    names = [*NAMES, "calm"]
    fused = rows(windows(2), probabilities(2), FUSED, used=("face", "words"))
    face = rows(windows(2), probabilities(2), names=names)
    content = table(fused, face)
    assert models_of(content) == ["face", FUSED]
    assert [one.emotions for one in series_of(content, 2.0)] == [tuple(NAMES)] * 2
    assert "calm" in content and np.isnan(content["calm"].astype(float)).all()


def test_one_span_and_an_hour_are_drawn(tmp_path):
    one = timeline_figure(table(rows([(0, 3.4)], probabilities(1))), "clip", 3.4)
    save(one, tmp_path / "one.png")
    hour = rows(windows(3600), probabilities(3600))
    voice = rows(
        windows(3600), 3 * probabilities(3600, 1, 6), "mosei", MOSEI, ("voice",)
    )
    begin = time.process_time()
    figure = timeline_figure(table(hour, voice), "an hour", 3600)
    save(figure, tmp_path / "hour.png")
    assert time.process_time() - begin < 20
    said = drawn(figure)
    assert "3,600 spans, drawn as means of 9 s" in said
    assert "means of" not in drawn(one)
    assert max(len(line.get_xdata()) for a in figure.axes for line in a.lines) <= (
        2 * MOST_STEPS
    )


def test_panels_tell_models_means_gaps_and_reasons():
    face = rows(windows(10), [*probabilities(8), None, None])
    dead = rows(windows(10), [None] * 10, "dead", used=("voice",))
    fused = rows(windows(10), probabilities(10), FUSED)
    figure = timeline_figure(table(fused, face, dead), "clip", 10)
    titles = [axes._left_title.get_text() for axes in figure.axes]
    assert titles[:3] == ["face", "dead", "fused (all models)"]
    said = drawn(figure)
    assert "no scores" in said and "no face in 17 frames" in said
    mean = np.mean(probabilities(8), axis=0)[NAMES.index("happy")]
    assert f"happy  {mean:.2f}" in said
    assert "used 80% of the time" in said and said.count("not used") == 2


def test_every_emotion_of_every_schema_is_told_by_more_than_its_colour():
    names = {canonical(x) for schema in SCHEMAS.values() for x in schema.labels}
    styles = looks(sorted(names))
    for kind in ("hatch", "dashes"):
        patterns = [getattr(look, kind) for look in styles.values()]
        assert len(set(patterns)) >= len(patterns) - 1  # sentiment stands alone
    figure = timeline_figure(table(rows(windows(4), probabilities(4))), "clip", 4)
    areas = figure.axes[0].collections[1:]
    assert len({area.get_hatch() for area in areas}) == len(areas) == 8


def test_of_many_emotions_the_strongest_are_drawn_and_the_others_added():
    names = [f"emotion {k}" for k in range(28)]
    schema = type(FERPLUS)("wide", tuple(names), "single")
    content = rows(windows(5), probabilities(5, width=28), "m", schema, names=names)
    figure = timeline_figure(table(content), "clip", 5)
    legend = [text.get_text() for text in figure.axes[0].get_legend().texts]
    assert len(legend) == MOST_DRAWN and legend[0].startswith("the others")
    means = [float(text.split()[-1]) for text in legend]
    assert sum(means) == pytest.approx(1, abs=0.05)
    assert f"Of 28 emotions the {MOST_DRAWN - 1} strongest" in drawn(figure)


@pytest.mark.parametrize(
    "title",
    [
        "日本語の会議",
        "Ελληνικά",
        "عربي",
        "🎉 \udc80 \x07 a\tb",
        "$x_1$ and $",
        "",
        "long " * 99,
    ],
    ids=str.__len__,
)
def test_titles_of_any_script_are_drawn_without_a_warning(title, tmp_path):
    # Tables of pandas with pyarrow hold no half characters; names of models have none.
    model = title.replace("\udc80", "") or "x"
    content = table(rows(windows(2), probabilities(2), model=model))
    save(timeline_figure(content, title, 2), tmp_path / "figure.png")
    shown, families = lettering.lettered(title)
    assert len(shown) <= len(title) and families[0] == "DejaVu Sans"
    if title == "Ελληνικά":
        assert shown == title


def test_what_one_font_lacks_another_has(monkeypatch):
    font = lettering.font_file("Ελλη 日")
    assert font[0].startswith("Ελλη ") and font[1].endswith(".ttf")
    # 日 is in no font that matplotlib brings; a machine may have others.
    assert font[0][-1] in "□日"


def test_times_are_written_as_clocks_show_them():
    assert [mm_ss(t) for t in (0, 59.6, 61, 600, 3599, 3600, 36_061)] == [
        *("0:00", "1:00", "1:01", "10:00", "59:59", "1:00:00", "10:01:01")
    ]
