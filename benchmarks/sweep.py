"""What a sweep costs beside its trainings: seconds per trial, here and on Ray.

    python benchmarks/sweep.py
    python benchmarks/sweep.py --trials 8 --empty 60

Two measurements, each in processes of its own. *Empty*: trials that train nothing but
leave a record and a history, so all the time is the sweep's; the time is that from the
first trial's end to the last one's. *Trained*: the main job on a miniature of eight
videos, as often called in one process, swept with --local, and swept on Ray with one
worker; the first training of each process, which imports TensorFlow, counts apart. Ray
is left out where it is not installed. The metrics of the three must be equal. The last
line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = ["-m", "A", "-s", "4", "-n", "4", "-e", "1", "-b", "64", "-scm", "false"]
NAMES = {
    "-m": "modalities",
    "-s": "fixed_num_steps",
    "-n": "num_nodes",
    "-e": "num_epochs",
    "-b": "batch_size",
    "-scm": "save_confusion_matrix",
}


def timed(words: list[str], folder: Path) -> tuple[list[float], float]:
    """Run a program; return when each line of a trial came, and its processor's s."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    times = []
    for line in process.stdout:
        if re.match(r" +\d+/\d+  trial_", line):
            times.append(time.perf_counter() - began)
    error = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(error)
    return times, usage.ru_utime + usage.ru_stime


def directly(rates: list[float]) -> None:
    """Call the trainings one after another in this process."""
    from contextlib import redirect_stdout

    from emorec.cli.sweep_commands import call

    for number, rate in enumerate(rates):
        name = f"trial_{number:04d}"
        words = ["mosei", "train", "-df", "data", *SETTINGS, "-lr", str(rate)]
        with open(f"{name}.log", "w") as file, redirect_stdout(file):
            call([*words, "-mf", "direct", "-mn", name])
        print(f"   {number + 1}/{len(rates)}  {name}", flush=True)


def trained(folder: Path, count: int, ways: list[str]) -> dict[str, dict]:
    """Time the same trainings called directly and swept; compare their losses."""
    from emorec.corpora.miniature import write_mosei

    write_mosei(folder / "data", videos=8)
    rates = [round(0.001 * (n + 1), 6) for n in range(count)]
    fixed = {NAMES[k]: v for k, v in zip(SETTINGS[::2], SETTINGS[1::2], strict=True)}
    lines = [f'{name} = "{value}"' for name, value in fixed.items()]
    (folder / "s.toml").write_text(
        'command = ["mosei", "train"]\nmetric = "val_loss"\nmode = "min"\n[fixed]\n'
        + "\n".join([*lines, 'dataset_folder = "data"'])
        + f"\n[search]\nlearning_rate = {rates}\n"
    )
    script = str(Path(__file__).resolve())
    sweep = ["-m", "emorec", "sweep", "s.toml", "--output"]
    commands = {
        "direct": [script, "DIRECT", json.dumps(rates)],
        "local": [*sweep, "local", "--local"],
        "ray": [*sweep, "ray", "--workers", "1"],
    }
    # So that none of them finds the data aligned by another.
    timed([script, "DIRECT", json.dumps(rates[:1])], folder)
    results, losses = {}, {}
    for way in ways:
        times, processor = timed(commands[way], folder)
        between = (times[-1] - times[0]) / (len(times) - 1)
        results[way] = {
            "first_s": round(times[0], 2),
            "trial_s": round(between, 3),
            "processor_s": round(processor, 1),
        }
        records = sorted((folder / way).glob("trial_*/run_*.json"))
        losses[way] = [
            json.loads(path.read_text())["training"]["val_loss"] for path in records
        ]
        if way != "direct":
            beside = 0.0
            for path in sorted((folder / way / "trials").glob("*.json"))[1:]:
                beside += json.loads(path.read_text())["seconds"]
            outside = times[-1] - times[0] - beside
            results[way]["outside_s"] = round(outside / (len(times) - 1), 3)
            results[way]["equal"] = losses[way] == losses["direct"]
    return results


def empty(folder: Path, count: int, ways: list[str]) -> dict[str, dict]:
    """Time trials that train nothing."""
    content = {
        "command": ["mosei", "train"],
        "metric": "val_loss",
        "mode": "min",
        "search": {"nodes": list(range(count)), "rate": [0.1]},
    }
    results = {}
    for way in ways:
        words = ["-m", "tests.sweep_trainings", str(folder / way), json.dumps(content)]
        times, _ = timed([*words, *(["--ray"] if way == "ray" else [])], ROOT)
        between = (times[-1] - times[0]) / (len(times) - 1)
        results[way] = {"first_s": round(times[0], 2), "trial_s": round(between, 3)}
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=6, help="that train")
    parser.add_argument("--empty", type=int, default=40, help="that do not")
    arguments = parser.parse_args()
    ways = ["local", *(["ray"] if find_spec("ray") else [])]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        found = {
            "load": os.getloadavg()[0],
            "cores": os.cpu_count(),
            "empty": empty(place / "empty", arguments.empty, ways),
            "trained": trained(place, arguments.trials, ["direct", *ways]),
        }
    print("empty trials            first s  s a trial")
    for way, row in found["empty"].items():
        print(f"  {way:20s} {row['first_s']:8.2f} {row['trial_s']:10.3f}")
    print("trained trials          first s  s a trial  outside the training")
    for way, row in found["trained"].items():
        outside = row.get("outside_s", "")
        print(f"  {way:20s} {row['first_s']:8.2f} {row['trial_s']:10.3f}  {outside}")
    print(json.dumps(found))


if __name__ == "__main__":
    if sys.argv[1:2] == ["DIRECT"]:
        directly(json.loads(sys.argv[2]))
    else:
        main()
