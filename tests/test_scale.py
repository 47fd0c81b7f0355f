"""The laws of what a corpus costs (benchmarks/scale_model.py), and its watch."""

import json
import os
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import scale
import scale_corpora as corpora
import scale_watch
from scale_model import Prices, UnitCosts, line, predict

COSTS = UnitCosts(
    **{each.name: 0.001 * n for n, each in enumerate(fields(UnitCosts), 1)}
)
JOBS = [(corpus, job) for corpus in corpora.CORPORA for job in corpora.jobs(corpus)]
NAMES = [f"{corpus.name}: {job.name}" for corpus, job in JOBS]
times = st.floats(0.01, 1e6)
# Of each of many jobs.
few = settings(max_examples=5)


def job_of(corpus, name):
    """Return a job of a corpus of another size, by the name of the known corpus."""
    makers = [
        *(lambda c, n=n: corpora.judging(c, n) for n in ("compact", "senet50")),
        *(lambda c, n=n: corpora.hearing(c, n) for n in ("compact", "vggm")),
        *(lambda c, n=n: corpora.learning(c, n) for n in ("compact", "vggm")),
        *(corpora.voicing, corpora.wording, corpora.aligning, corpora.fusing),
        lambda c: corpora.fusing(c, corpora.RUNS),
    ]
    return next(made for made in (make(corpus) for make in makers) if made.name == name)


@few
@pytest.mark.parametrize(("corpus", "job"), JOBS, ids=NAMES)
@given(factor=times)
def test_all_but_the_start_is_linear_in_the_size_of_a_corpus(corpus, job, factor):
    once = predict(job, COSTS)
    more = predict(job_of(corpus.times(factor), job.name), COSTS)
    assert (more.once, more.start) == (once.once, once.start)
    for name in ("driver", "work", "disk", "held"):
        assert getattr(more, name) == pytest.approx(factor * getattr(once, name))


@pytest.mark.parametrize(("corpus", "job"), JOBS, ids=NAMES)
def test_two_workers_halve_their_own_time_and_nothing_else(corpus, job):
    alone, two = predict(job, COSTS, 1), predict(job, COSTS, 2)
    assert alone.wall - two.wall == pytest.approx(alone.work / 2)
    assert replace(two, workers=1) == alone
    more = alone.processor + alone.start
    assert two.processor == pytest.approx(more, rel=1e-12)


def test_what_cannot_be_divided_further_asks_for_no_more_workers():
    job = corpora.learning(corpora.VOXCELEB1)
    assert predict(job, COSTS, 64) == predict(job, COSTS, job.widest)
    sweep = corpora.fusing(corpora.MOSEI, corpora.RUNS)
    assert predict(sweep, COSTS, 64).workers == 64


@pytest.mark.parametrize(("corpus", "job"), JOBS, ids=NAMES)
def test_no_clips_cost_only_the_start(corpus, job):
    nothing = predict(job_of(corpus.times(0), job.name), COSTS, 3)
    assert nothing.wall == nothing.start > 0
    assert nothing.processor == nothing.workers * nothing.start
    assert nothing.disk == nothing.held == 0


@pytest.mark.parametrize(("corpus", "job"), JOBS, ids=NAMES)
def test_every_unit_is_a_cost_that_is_measured(corpus, job):
    known = {each.name for each in fields(UnitCosts)}
    for part in (job.once, job.start, job.driver, job.work, job.disk, job.held):
        assert set(part) <= known


def test_a_dearer_unit_makes_a_job_dearer_by_so_many():
    job = corpora.judging(corpora.VOXCELEB1)
    dearer = replace(COSTS, judge_compact=COSTS.judge_compact + 2)
    difference = predict(job, dearer).work - predict(job, COSTS).work
    assert difference == pytest.approx(2 * corpora.judged(corpora.VOXCELEB1))


def test_batches_are_filled_up_by_a_third_at_most_where_clips_are_short():
    for corpus in corpora.CORPORA:
        assert corpus.faces <= corpora.judged(corpus) <= 4 / 3 * corpus.faces
    long = corpora.MILLION_LONG
    assert corpora.judged(long) == pytest.approx(long.faces, rel=0.01)
    short = corpora.VOXCELEB1
    assert corpora.judged(short) == pytest.approx(4 / 3 * short.faces)


def test_ray_costs_its_start_and_nothing_else():
    corpus = corpora.VOXCELEB1
    without, ray = (corpora.judging(corpus, ray=ray) for ray in (False, True))
    difference = predict(ray, COSTS).wall - predict(without, COSTS).wall
    assert difference == pytest.approx(COSTS.start_ray)


def test_a_gpu_takes_work_from_the_cores_and_the_slower_of_both_decides():
    job, corpus = corpora.judging(corpora.VOXCELEB2, "senet50"), corpora.VOXCELEB2
    cores = predict(job, COSTS, 4)
    fast = predict(job, COSTS, 4, {"judge_senet50": 1e-9})
    slow = predict(job, COSTS, 4, {"judge_senet50": 1.0}, gpus=2)
    judged = corpora.judged(corpus)
    assert cores.wall - fast.wall == pytest.approx(COSTS.judge_senet50 * judged / 4)
    alone = slow.once + slow.start + slow.driver
    assert slow.wall - alone == pytest.approx(judged / 2)
    # What a job does not have, no GPU takes.
    assert predict(job, COSTS, 4, {"word": 1.0}) == cores


@pytest.mark.parametrize(
    "corpus", corpora.CORPORA, ids=[c.name for c in corpora.CORPORA]
)
@given(factor=times)
def test_limits_are_linear_but_the_folder_that_is_looked_through(corpus, factor):
    once, more = (corpora.limits(c, COSTS) for c in (corpus, corpus.times(factor)))
    for name, (value, unit) in once.items():
        power = 2 if name.startswith("looking") else 0 if name.startswith("a ") else 1
        assert more[name] == (pytest.approx(factor**power * value), unit)


@given(cores=times, storage=times)
def test_money_is_cores_by_the_hour_and_disk_by_the_month(cores, storage):
    found = predict(corpora.judging(corpora.VOXCELEB1), COSTS, 8)
    prices = Prices(cores, 1.0, storage)
    hours, kept = found.wall / 3600, found.disk / 1e9
    assert found.money(prices, 3) == pytest.approx(
        8 * hours * cores + 3 * kept * storage
    )
    assert found.money(Prices(0, 0, 0)) == 0


@given(fixed=st.floats(0, 1e3), unit=st.floats(0, 1e3))
def test_two_sizes_tell_what_is_fixed_and_what_grows(fixed, unit):
    found = line((10, 100), (fixed + 10 * unit, fixed + 100 * unit))
    assert found == pytest.approx((fixed, unit), rel=1e-6, abs=1e-6)


def test_noise_makes_no_cost_negative():
    assert line((1, 2), (5.0, 4.0)) == (5.0, 0.0)
    assert line((1, 2), (1.0, 4.0)) == (0.0, 3.0)


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_costs_that_cannot_be_are_refused(value):
    with pytest.raises(ValueError, match="judge_compact"):
        replace(COSTS, judge_compact=value)


def test_numbers_of_workers_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="0 workers"):
        predict(corpora.judging(corpora.MOSEI), COSTS, 0)


def test_predictions_are_printed_for_all_corpora_and_told_as_json(
    tmp_path, capsys, monkeypatch
):
    path = tmp_path / "costs.json"
    path.write_text(json.dumps({"costs": COSTS.to_dict()}))
    words = ["predict", "--costs", str(path), "--workers", "3", "--core_hour", "2"]
    monkeypatch.setattr(sys, "argv", ["scale.py", *words])
    scale.main()
    out = capsys.readouterr().out
    assert [c.name for c in corpora.CORPORA if f"\n{c.name}: " not in out] == []
    told = json.loads(out.splitlines()[-1])
    assert [(row["corpus"], row["job"]) for row in told] == [
        (corpus.name, job.name) for corpus, job in JOBS
    ]
    for row, (_, job) in zip(told, JOBS, strict=True):
        assert row["work"] == pytest.approx(predict(job, COSTS).work)


@pytest.mark.parametrize("word", ["judge_senet50", "judge=1", "=1"])
def test_units_that_are_none_are_refused(word):
    with pytest.raises(SystemExit, match="UNIT=SECONDS"):
        scale.units([word])


def test_numbers_are_told_in_units_that_can_be_read():
    assert scale.duration(0.02) == "20 ms"
    assert scale.duration(90) == "90 s"
    assert scale.duration(7200) == "2 h"
    assert scale.duration(3 * 365.25 * 86400) == "3 a"
    assert scale.size(2.5e9) == "2.5 GB"
    assert scale.size(0) == "-"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_watch_counts_what_a_command_and_its_children_use(tmp_path):
    code = (
        "import subprocess, sys, time; held = bytearray(80_000_000)\n"
        "busy = 'import time; e = time.process_time() + 0.5\\n'\n"
        "busy += 'while time.process_time() < e: pass'\n"
        "subprocess.run([sys.executable, '-c', busy]); time.sleep(0.4)\n"
        "open('made', 'wb').write(bytes(1000))"
    )
    output = tmp_path / "output"
    output.mkdir()
    began = time.perf_counter()
    before = os.getcwd()
    os.chdir(output)
    try:
        used = scale_watch.run([sys.executable, "-c", code], output, tmp_path / "log")
    finally:
        os.chdir(before)
    assert 0.5 <= used.processor < time.perf_counter() - began + 0.5
    assert used.wall <= time.perf_counter() - began
    assert used.memory >= used.first >= 80e6
    assert (used.disk, used.code) == (1000, 0)
