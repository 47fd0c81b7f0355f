"""What large corpora cost, from measured unit costs, and how far that can be trusted.

    PYTHONPATH=. python benchmarks/scale.py measure --output costs.json
    PYTHONPATH=. python benchmarks/scale.py predict --costs costs.json --workers 2 64
    PYTHONPATH=. python benchmarks/scale.py check extract --costs costs.json
    PYTHONPATH=. python benchmarks/scale.py check align --costs costs.json --labels DIR

`measure` takes some minutes on one core: medians of rounds over small samples, drawn by
emorec itself; `--films` looks at real films instead of a drawn one. `predict` computes
tables of time, memory, disk and money (see `scale_model.py`) for corpora, and where the
limits of the design lie. `check` runs whole commands at two sizes that fit on one
machine and prints what was predicted of them, what was measured, and the ratio.

Prices are assumptions of November 2026; give your own. GPUs are counted only with
`--gpu UNIT=SECONDS`, measured elsewhere (say judge_senet50=0.0005).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path

from scale_corpora import CORPORA, Corpus, jobs, limits
from scale_model import Prices, UnitCosts, predict

CHECKS = ("extract", "ray", "label", "align", "join", "plan")


def say(text: str) -> None:
    print(text, flush=True)


def duration(seconds: float) -> str:
    """Return milliseconds up to years, whichever is readable."""
    for limit, unit, name in (
        (0.1, 1e-3, "ms"),
        (120, 1, "s"),
        (7_200, 60, "min"),
        (48 * 3600, 3600, "h"),
        (730 * 86400, 86400, "d"),
    ):
        if seconds < limit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds / 365.25 / 86400:.3g} a"


def size(count: float) -> str:
    """Return bytes with a readable unit of powers of ten."""
    if not count:
        return "-"
    for limit, name in ((1e6, "kB"), (1e9, "MB"), (1e12, "GB"), (1e15, "TB")):
        if count < limit:
            return f"{count / limit * 1e3:.3g} {name}"
    return f"{count / 1e15:.3g} PB"


def print_jobs(
    corpus: Corpus, costs: UnitCosts, workers: list[int], gpu: dict, prices: Prices
) -> list[dict]:
    say(
        f"\n{corpus.name}: {corpus.clips:,.0f} clips, {corpus.hours:,.4g} h, "
        f"{corpus.faces:,.0f} faces ({corpus.source})"
    )
    say(
        f"{'':24s} {'alone':>8s} {'core time':>10s}"
        + "".join(f" {f'on {count}':>9s}" for count in workers)
        + f" {'disk':>8s} {'held':>8s} {'money':>10s}"
    )
    rows = []
    for job in jobs(corpus):
        each = [
            predict(job, costs, count, gpu, max(1, count // 8)) for count in workers
        ]
        first = each[0]
        say(
            f"{job.name:24s} {duration(first.once + first.start + first.driver):>8s} "
            f"{duration(first.work):>10s}"
            + "".join(f" {duration(one.wall):>9s}" for one in each)
            + f" {size(first.disk):>8s} {size(first.held):>8s} "
            f"{each[-1].money(prices):10,.2f}"
        )
        rows.append({"corpus": corpus.name, "job": job.name} | vars(first))
    return rows


def print_limits(corpora: tuple[Corpus, ...], costs: UnitCosts) -> None:
    say("\nWhat grows with a corpus, beside the machines' hours")
    columns = [limits(corpus, costs) for corpus in corpora]
    text = {"": lambda n: f"{n:,.3g}", "s": duration, "B": size}
    say(f"{'':40s}" + "".join(f" {corpus.name[:14]:>14s}" for corpus in corpora))
    for name in columns[0]:
        values = (column[name] for column in columns)
        cells = (f" {text[unit](value):>14s}" for value, unit in values)
        say(f"{name:40s}" + "".join(cells))


def units(words: list[str]) -> dict[str, float]:
    """Read UNIT=SECONDS."""
    found = {}
    for word in words:
        name, _, value = word.partition("=")
        if name not in UnitCosts.__dataclass_fields__ or not value:
            raise SystemExit(f"--gpu {word}: expected UNIT=SECONDS.")
        found[name] = float(value)
    return found


def run_measure(options: argparse.Namespace) -> None:
    # Before NumPy and TensorFlow choose their threads.
    import scale_watch

    scale_watch.one_core()
    import scale_measure

    costs = {}
    if options.only and options.output.is_file():
        costs = json.loads(options.output.read_text())["costs"]
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        for part in options.only or scale_measure.PARTS:
            began = time.perf_counter()
            make = scale_measure.PARTS[part]
            for name, value in make(Path(folder), options.rounds, options.films):
                costs[name] = value
                say(f"{name:20s} {value:.4g}")
            say(f"  ({part}: {time.perf_counter() - began:.0f} s)")
            content = {"processor": platform.processor(), "costs": costs}
            options.output.write_text(json.dumps(content, indent=1) + "\n")


def run_predict(options: argparse.Namespace) -> None:
    costs = UnitCosts.read(options.costs)
    prices = Prices(options.core_hour, options.gpu_hour, options.gb_month)
    rows = []
    for corpus in CORPORA:
        gpu = units(options.gpu)
        rows += print_jobs(corpus, costs, options.workers, gpu, prices)
    print_limits(CORPORA, costs)
    say(json.dumps(rows))


def run_check(options: argparse.Namespace) -> None:
    import scale_check

    costs = UnitCosts.read(options.costs)
    options.scratch.mkdir(parents=True, exist_ok=True)
    # For processes that draw.
    own = os.pathsep.join(
        [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    )
    os.environ["PYTHONPATH"] = own
    getattr(scale_check, f"check_{options.what}")(costs, options, say)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    own = commands.add_parser("measure", help="unit costs of this machine")
    own.add_argument("--output", type=Path, default=Path("costs.json"))
    own.add_argument("--scratch", type=Path, help="folder for samples")
    own.add_argument("--rounds", type=int, default=3)
    own.add_argument("--films", type=Path, nargs="+", default=[])
    own.add_argument("--only", nargs="+", metavar="PART", help="into the same file")
    own.set_defaults(run=run_measure)
    own = commands.add_parser("predict", help="tables for corpora")
    own.add_argument("--costs", type=Path, default=Path("costs.json"))
    own.add_argument("--workers", type=int, nargs="+", default=[2, 64])
    own.add_argument("--gpu", nargs="+", default=[], metavar="UNIT=SECONDS")
    for name, value in vars(Prices()).items():
        own.add_argument(f"--{name}", type=float, default=value)
    own.set_defaults(run=run_predict)
    own = commands.add_parser("check", help="predicted and measured, at two sizes")
    own.add_argument("what", choices=[*CHECKS])
    own.add_argument("--costs", type=Path, default=Path("costs.json"))
    own.add_argument("--clips", type=int, nargs="+", default=[1_000, 10_000])
    own.add_argument("--videos", type=int, nargs="+", default=[330, 0])
    own.add_argument("--images", type=int, default=2, help="of a face track")
    own.add_argument("--side", type=int, default=160, help="pixels of an image")
    own.add_argument("--labels", type=Path, help="labels.csv and standard_folds.json")
    own.add_argument("--scratch", type=Path, default=Path("scale_scratch"))
    own.set_defaults(run=run_check)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
