r"""How fast the audio-visual fusion trains and answers, beside an equal one of PyTorch.

    PYTHONPATH=. python benchmarks/audiovisual_training.py --torch PYTHON
    PYTHONPATH=. KERAS_BACKEND=jax python benchmarks/audiovisual_training.py \
        --precision float32 mixed_bfloat16 --rounds 10 --steps 5
    PYTHONPATH=. python benchmarks/audiovisual_training.py --torch PYTHON --batch 1 \
        --frames 4 --cores 1 --programs emorec pytorch   # a busy machine

`train` is a whole training step of the published settings: of a batch of 8 clips of
15 frames of 224 x 224 `softhard` makes 32, and forward, gradients and SGD with momentum
and weight decay follow. `infer` is a batch of clips without dropout. Batches lie on the
device. All programs hold theirs at once.
Programs:

    emorec                   emorec's network and optimizer, compiled as the training
                             does it; `--jit on` has XLA compile it on TensorFlow, too
    emorec, loops            its depthwise and 1 x 1 convolutions and pooling as loops,
    emorec, kernels          or as the backend's kernels, whatever emorec would choose:
                             where `--programs` names them
    pytorch                  the same network, channels last, fused optimizer on a GPU
    pytorch, channels first  the same in PyTorch's own layout
    pytorch, compiled        channels last under torch.compile

Each is a process of its own with the same weights and batch. All take two steps first:
in float32 the logits of `infer` differ by less than 1e-4 of the largest and the first
loss of `train` by less than 1e-3 of itself, or the exit status is 1. Then they take
turns, a group of steps each, so that what else the machine does falls on all. `ms` is
the median of the groups by the clock; `core ms` that of the time in which cores worked
for the program: the better measure on a busy machine, with `--cores 1` (threads that
wait for each other work, too). Ratios of medians are over emorec's. PyTorch is that of
the interpreter `--torch`. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from audiovisual_programs import FUSIONS, PRECISIONS, WHAT
from programs import known_peak, over_emorec, run

PROGRAMS = ("emorec", "pytorch", "pytorch, channels first", "pytorch, compiled")
OTHERS = ("emorec, loops", "emorec, kernels")
# Of logits and losses. With channels last PyTorch's statistics of a batch are not so
# exact on a CPU: its loss was 2e-4 from that in float64, with channels first 1e-6.
TOLERANCE = {"infer": 1e-4, "train": 1e-3}
SCRIPT = Path(__file__).with_name("audiovisual_programs.py")
ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # All programs are on the device at once.
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
}


class Program:
    """A program that takes steps when it is told to."""

    def __init__(self, name: str, torch: str, words: list[str]) -> None:
        interpreter = torch if name.startswith("pytorch") else sys.executable
        self.name, self.groups = name, []
        self.process = subprocess.Popen(
            [interpreter, str(SCRIPT), "--run", name, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**ENVIRONMENT, **os.environ},
            text=True,
        )
        self.ready = self._line()

    def step(self) -> None:
        """Take a group of steps; keep what it says of them."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.groups.append(self._line())

    def _line(self) -> dict:
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        raise RuntimeError(f"{self.name}: exit {self.process.wait()}")

    def end(self) -> None:
        """Let it go."""
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def median(self, name: str) -> float:
        """Return the median of the groups."""
        return statistics.median(group[name] for group in self.groups)


def started(name: str, torch: str, words: list[str]) -> Program | None:
    """Start a program; None, and the reason on standard error, where it fails."""
    try:
        return Program(name, torch, words)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return None


def compare(arguments, case: dict, network: dict) -> dict:
    """Let all programs take turns; print the table, return what was found."""
    words = [str(word) for pair in case.items() for word in pair]
    words += options(arguments, "steps", "jit", "folder")
    alive = [started(name, arguments.torch, words) for name in arguments.programs]
    alive = [program for program in alive if program]
    tolerance = TOLERANCE[case["--what"]]
    if case["--precision"] != "float32":
        tolerance = np.inf
    alike = agree(alive, tolerance, network["parameters"])
    try:
        for _ in range(arguments.rounds):
            for program in alive:
                program.step()
    finally:
        for program in alive:
            program.end()
    what, precision = case["--what"], case["--precision"]
    clips = network["clips"][what]
    kinds = sorted({program.ready["device"] for program in alive})
    backends = [x.ready["backend"] for x in alive if "backend" in x.ready]
    print(
        f"\n{arguments.fusion}, {what}, {clips} clips of {arguments.frames} frames of "
        f"{arguments.size} pixels, {precision}, {', '.join(kinds)}; emorec on "
        f"{', '.join(backends) or 'nothing'}; load {os.getloadavg()[0]:.1f}\n"
        f"{'program':24s} {'first s':>8s} {'ms':>9s} {'smallest, largest':>19s} "
        f"{'core ms':>9s} {'clips/s':>8s} {'TFLOP/s':>8s} {'of peak':>8s} {'GiB':>6s}"
    )
    flops = network["frame_flops"] * arguments.frames * clips
    flops *= 3 if what == "train" else 1
    peak = known_peak(kinds[0], precision) if len(kinds) == 1 else None
    found = {}
    for program in alive:
        walls = [group["s"] for group in program.groups]
        seconds, core = program.median("s"), program.median("core_s")
        rate, most = flops / seconds / 1e12, program.groups[-1]["peak_bytes"]
        found[program.name] = {
            "step_s": seconds,
            "groups_s": walls,
            "core_s": core,
            "clips_per_s": clips / seconds,
            "tflops": rate,
            "peak_bytes": most,
        }
        span = f"{1e3 * min(walls):.1f}, {1e3 * max(walls):.1f}"
        print(
            f"{program.name:24s} {program.ready['first_s']:8.1f} {1e3 * seconds:9.1f} "
            f"{span:>19s} {1e3 * core:9.1f} {clips / seconds:8.2f} {rate:8.3f} "
            f"{f'{rate / peak:.1%}' if peak else '-':>8s} "
            f"{f'{most / 2**30:.2f}' if most else '-':>6s}",
            flush=True,
        )
    ratios = {
        measure: over_emorec({name: x[measure] for name, x in found.items()})
        for measure in ("step_s", "core_s")
    }
    for measure, each in ratios.items():
        print(f"{measure} over emorec's: {each}")
    named = {key.removeprefix("--"): value for key, value in case.items()}
    return named | {"programs": found, "over_emorec": ratios, "agree": alike}


def agree(programs: list[Program], tolerance: float, parameters: int) -> bool | None:
    """Print how far values are from emorec's; say whether the networks are equal.

    None where there is nothing to compare. Rounding to bfloat16 is told, not judged.
    """
    by_name = {program.name: program.ready for program in programs}
    if "emorec" not in by_name or len(by_name) < 2:
        print("values: nothing to compare")
        return None
    mine = [np.asarray(value) for value in by_name.pop("emorec")["values"]]
    alike = True
    for name, ready in by_name.items():
        theirs = [np.asarray(value) for value in ready["values"]]
        first, second = (
            float(np.abs(a - b).max() / np.abs(b).max())
            for a, b in zip(theirs, mine, strict=True)
        )
        print(f"{name}: relative difference {first:.1e}, after a step {second:.1e}")
        # "not <", as NaN must not pass.
        if not first < tolerance:
            print(f"  expected less than {tolerance:g}: these networks are different")
            alike = False
        if ready.get("parameters", parameters) != parameters:
            print(f"  {ready['parameters']:,} parameters, emorec has {parameters:,}")
            alike = False
    return alike


def options(arguments, *names: str) -> list[str]:
    """Return options of all programs as words of a command."""
    names += ("fusion", "mask", "batch", "frames", "size", "cores")
    given = {name: getattr(arguments, name) for name in names}
    pairs = [(f"--{name}", str(x)) for name, x in given.items() if x is not None]
    return [word for pair in pairs for word in pair]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--what", nargs="+", choices=WHAT, default=[*WHAT])
    parser.add_argument("--fusion", choices=FUSIONS, default="ia")
    parser.add_argument(
        "--mask", choices=("nodropout", "noise", "softhard"), default="softhard"
    )
    parser.add_argument("--batch", type=int, default=8, help="clips before dropout")
    parser.add_argument("--frames", type=int, default=15)
    parser.add_argument("--size", type=int, default=224, help="a multiple of 16")
    parser.add_argument(
        "--precision", nargs="+", choices=PRECISIONS, default=["float32"]
    )
    parser.add_argument("--jit", choices=("auto", "on", "off"), default="auto")
    parser.add_argument("--steps", type=int, default=1, help="steps timed as one")
    parser.add_argument("--rounds", type=int, default=5, help="groups of each program")
    parser.add_argument("--cores", type=int, help="threads; all cores by default")
    parser.add_argument(
        "--programs", nargs="+", choices=PROGRAMS + OTHERS, default=PROGRAMS
    )
    parser.add_argument("--torch", default=sys.executable, metavar="PYTHON")
    arguments = parser.parse_args()
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        arguments.folder = folder
        words = options(arguments, "folder")
        network = run([sys.executable, SCRIPT, "--run", "prepare", *words], "prepare")
        if network is None:
            raise SystemExit("Without emorec's weights there is nothing to compare.")
        for precision in arguments.precision:
            for what in arguments.what:
                case = {"--what": what, "--precision": precision}
                cases.append(compare(arguments, case, network))
    print(json.dumps({"cases": cases}))
    if any(case["agree"] is False for case in cases):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
