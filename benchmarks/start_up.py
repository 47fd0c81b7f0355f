"""How many seconds pass from ``python main.py`` to the end of the first training step.

    python benchmarks/start_up.py
    python benchmarks/start_up.py --rounds 5 --options "-l 3 -b 128"

Cold: the miniature is to be written and aligned, and Python compiles every module anew.
Warm: the pickles and the bytecode are there, as for a second run. Each start is a
process of its own, on both backends in turn; medians of the seconds at which each stage
was over. The files of a machine that was just switched on are slower still. The last
line is one JSON object with the medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("options read", "data ready", "network built", "first step")


def start(options: list[str]) -> None:
    """Run the main job in this process up to its first step; print the stages."""
    began = float(os.environ["EMOREC_BEGAN"])
    times = {}

    def over(stage):
        times.setdefault(stage, time.time() - began)

    from emorec.cli.mosei import main
    from emorec.training import backend, mosei

    over("options read")
    prepare = backend.prepare

    def prepared(*arguments):
        over("data ready")
        name = prepare(*arguments)
        from emorec.training.fit import Progress

        def on_train_begin(self, logs=None):
            over("network built")

        def on_train_batch_end(self, batch, logs=None):
            over("first step")
            print(json.dumps(times), flush=True)
            os._exit(0)

        Progress.on_train_begin = on_train_begin
        Progress.on_train_batch_end = on_train_batch_end
        return name

    mosei.backend.prepare = prepared
    main(options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--options", default="-l 2", help="options of main.py")
    arguments = parser.parse_args()
    results: dict[str, list[dict[str, float]]] = {}
    for _ in range(arguments.rounds):
        for backend in ("tensorflow", "jax"):
            with tempfile.TemporaryDirectory() as folder:
                (Path(folder) / "cmu_mosei").mkdir()  # for the miniature
                environment = os.environ | {
                    "KERAS_BACKEND": backend,
                    "PYTHONPATH": os.pathsep.join(
                        filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
                    ),
                    "PYTHONPYCACHEPREFIX": f"{folder}/bytecode",
                    "PYTHONDONTWRITEBYTECODE": "",
                }
                for kind in ("cold", "warm"):
                    environment["EMOREC_BEGAN"] = str(time.time())
                    script = [sys.executable, str(Path(__file__).resolve()), "START"]
                    done = subprocess.run(
                        [*script, "--overwrite", *arguments.options.split()],
                        cwd=folder,
                        env=environment,
                        capture_output=True,
                        text=True,
                    )
                    if done.returncode:
                        sys.exit(done.stderr)
                    line = json.loads(done.stdout.splitlines()[-1])
                    results.setdefault(f"{backend}, {kind}", []).append(line)
    print(f"{'start':18s}" + "".join(f"{stage:>15s}" for stage in STAGES))
    medians = {
        way: {s: round(statistics.median(x[s] for x in lines), 2) for s in STAGES}
        for way, lines in results.items()
    }
    for way, row in medians.items():
        print(f"{way:18s}" + "".join(f"{row[stage]:15.2f}" for stage in STAGES))
    print(json.dumps(medians))


if __name__ == "__main__":
    if sys.argv[1:2] == ["START"]:
        start(sys.argv[2:])
    else:
        main()
