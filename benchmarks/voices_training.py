r"""How fast the speech student trains: emorec under XLA, and an equal one of PyTorch.

    PYTHONPATH=. KERAS_BACKEND=jax python benchmarks/voices_training.py
    PYTHONPATH=. python benchmarks/voices_training.py --torch python --batch 64 \
        --precision float32 --rounds 3
    PYTHONPATH=. python benchmarks/voices_training.py --tiny   # minutes, on a CPU

Needs Keras and JAX or TensorFlow; soundfile for the input; for two of the programs
PyTorch, in this environment or in that of `--torch`. Where Keras is missing, ``pip
install --no-deps keras namex optree`` from wheels is enough beside JAX and emorec's
other needs. emorec runs on the backend that KERAS_BACKEND names.
Programs:

    emorec             what `emorec voices distill` trains: front end, network, loss
                       and optimizer, in one step compiled as it does it, by XLA
    pytorch            the same written in PyTorch, channels last, fused optimizer
    pytorch, compiled  the same under torch.compile

A step is a whole training step (spectrograms of 4 s from waveforms, forward, gradients,
SGD with momentum and weight decay, distillation loss) on a batch of waveforms that lies
on the device. `voxceleb` trains the published student on 512 x 400, `logmel` the
compact network on 64 x 400. All programs begin with one archive of weights; the losses
of their first steps are compared, and differ by less than 1e-3 in float32, or the exit
status is 1. Third losses show whether the steps learn alike. float32 is TF32 in
products on GPUs that have it, in both.

`ms` is the median over rounds and groups of steps, with the smallest and the largest.
FLOPs are multiplications and additions of the layers, forward times three (a little too
many: the first convolution, 6 % of the published network, hands no gradient on); the
spectrogram's are not among them. The peak is of dense products: `--peak` and
`--peak-float32`, or the data sheet's of an H100 or H200. `GiB` is the most that the
framework held. `spectrogram` is the share of the step that is saved when spectrograms
lie on the device instead of waveforms.

Then the input: parts of synthetic sounds, read from disk by emorec's pipeline with
several threads, and as the training itself is served; beside what the steps demand.
The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from os import cpu_count
from pathlib import Path

from programs import known_peak, median_of, over_emorec, run, take_turns
from voices_programs import PRECISIONS, PRESETS

PROGRAMS = ("emorec", "pytorch", "pytorch, compiled")
TOLERANCE = 1e-3
SCRIPT = Path(__file__).with_name("voices_programs.py")


def compare(arguments, case: dict, network: dict, weights: Path) -> dict:
    """Run every program in turn; print the table, return what was found."""
    options = case | {
        "--weights": weights,
        "--seconds": arguments.seconds,
        "--samples": network["samples"],
        "--narrow": arguments.narrow,
        "--steps": arguments.steps,
    }
    # Later rounds need not compile anew.
    caches = {"JAX_COMPILATION_CACHE_DIR": str(weights.parent / "compiled")}
    results = take_turns(
        *(SCRIPT, arguments.programs, arguments.rounds, arguments.torch, options),
        caches,
    )
    features, precision, batch = case.values()
    lines = [line for each in results.values() for line in each]
    kinds = sorted({line["device"] for line in lines})
    backends = sorted({line["backend"] for line in lines if "backend" in line})
    print(
        f"\n{PRESETS[features]} on {features}, {' x '.join(map(str, network['input']))}"
        f", {network['parameters']:,} parameters, "
        f"{network['forward_flops'] / 1e9:.4g} GFLOP forward a clip\n"
        f"batch {batch}, {precision}, {', '.join(kinds)}; emorec on "
        f"{', '.join(backends) or 'nothing'}\n"
        f"{'program':17s} {'first s':>7s} {'ms':>9s} {'smallest, largest':>19s} "
        f"{'steps/s':>8s} {'clips/s':>9s} {'TFLOP/s':>8s} {'of peak':>8s} {'GiB':>6s} "
        f"{'spectrogram':>11s}"
    )
    flops = 3 * batch * network["forward_flops"]
    given = arguments.peak_float32 if precision == "float32" else arguments.peak
    peak = given or (known_peak(kinds[0], precision) if len(kinds) == 1 else None)
    found = {}
    for program, each in results.items():
        groups = [seconds for line in each for seconds in line["groups_s"]]
        seconds = statistics.median(groups)
        rate = flops / seconds / 1e12
        share = f"{rate / peak:.1%}" if peak else "unknown"
        most = max(line["peak_bytes"] or 0 for line in each)
        front = 1 - median_of(each, "without_s") / seconds
        found[program] = {
            "step_s": seconds,
            "range_s": [min(groups), max(groups)],
            "clips_per_s": batch / seconds,
            "tflops": rate,
            "of_peak": rate / peak if peak else None,
            "peak_bytes": most or None,
            "spectrogram_share": front,
            "losses": each[0]["losses"],
        }
        print(
            f"{program:17s} {max(line['first_s'] for line in each):7.1f} "
            f"{1e3 * seconds:9.2f} "
            f"{f'{1e3 * min(groups):.2f}, {1e3 * max(groups):.2f}':>19s} "
            f"{1 / seconds:8.2f} {batch / seconds:9.1f} {rate:8.3f} {share:>8s} "
            f"{f'{most / 2**30:.2f}' if most else '-':>6s} {front:11.1%}",
            flush=True,
        )
    alike = agree(found, results, network, precision)
    times = {program: result["step_s"] for program, result in found.items()}
    named = {key.removeprefix("--"): value for key, value in case.items()}
    return named | {
        "programs": found,
        "time_over_emorec": over_emorec(times),
        "agree": alike,
    }


def agree(found, results, network: dict, precision: str) -> bool | None:
    """Print how far the losses are from emorec's; say whether the networks are equal.

    None where there is nothing to compare. Rounding to bfloat16 is told, not judged.
    """
    if "emorec" not in found or len(found) < 2:
        print("losses: nothing to compare")
        return None
    mine = found["emorec"]["losses"]
    print(f"losses of emorec: first {mine[0]:.6f}, third {mine[2]:.6f}")
    alike = True
    for program in sorted(found.keys() - {"emorec"}):
        theirs = found[program]["losses"]
        first, third = (abs(theirs[i] - mine[i]) / abs(mine[i]) for i in (0, 2))
        found[program]["loss_difference"] = [first, third]
        print(f"  {program}: relative difference {first:.1e}, {third:.1e}")
        # "not <", as NaN must not pass.
        if precision == "float32" and not first < TOLERANCE:
            print(f"  expected less than {TOLERANCE:g}: these networks are different")
            alike = False
        count = results[program][0]["parameters"]
        if count != network["parameters"]:
            print(f"  {count:,} parameters: these networks are different")
            alike = False
    return alike


def print_input(rates: dict[str, list[float]], cases: list[dict]) -> None:
    print("\ninput, waveforms from disk")
    for way, each in rates.items():
        print(
            f"  {way:30s} {statistics.median(each):9.1f} clips/s "
            f"({min(each):.1f} to {max(each):.1f})"
        )
    served = max(statistics.median(each) for each in rates.values())
    for case in cases:
        emorec = case["programs"].get("emorec")
        if emorec:
            demand = emorec["clips_per_s"]
            limit = "the step" if served > demand else "the input"
            print(
                f"  {case['features']}, batch {case['batch']}, {case['precision']}: "
                f"the step takes {demand:.1f} clips/s, {demand / served:.0%} of the "
                f"most served; {limit} is the limit"
            )


def main() -> None:
    cores = cpu_count() or 1
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", nargs="+", choices=PRESETS, default=["voxceleb"])
    parser.add_argument("--batch", type=int, nargs="+", default=[64, 256, 512])
    parser.add_argument(
        "--precision", nargs="+", choices=PRECISIONS, default=[*PRECISIONS]
    )
    parser.add_argument("--seconds", type=float, default=4.0, help="of a clip, 1 to 10")
    parser.add_argument("--steps", type=int, default=10, help="steps timed as one")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=PROGRAMS)
    parser.add_argument("--torch", default=sys.executable, metavar="PYTHON")
    parser.add_argument(
        "--peak", type=float, metavar="TFLOPS", help="of the device, in bfloat16"
    )
    parser.add_argument("--peak-float32", type=float, metavar="TFLOPS")
    parser.add_argument("--clips", type=int, default=512, help="sounds of the input")
    parser.add_argument(
        "--threads", type=int, nargs="+", default=sorted({1, min(8, cores), cores})
    )
    parser.add_argument("--narrow", type=int, default=1, help="divide all channels")
    parser.add_argument("--tiny", action="store_true", help="one small size, one round")
    arguments = parser.parse_args()
    if arguments.tiny:
        arguments.batch, arguments.seconds, arguments.narrow = [8], 1.0, 16
        arguments.rounds, arguments.steps, arguments.clips = 1, 2, 40
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        for features in arguments.features:
            weights = Path(folder) / f"{features}.npz"
            words = ["--features", features, "--seconds", arguments.seconds]
            words += ["--narrow", arguments.narrow, "--weights", weights]
            network = run(
                [sys.executable, SCRIPT, "--run", "prepare", *words], "prepare"
            )
            if network is None:
                raise SystemExit(
                    "Without emorec's weights there is nothing to compare."
                )
            cases += [
                compare(
                    arguments,
                    {
                        "--features": features,
                        "--precision": precision,
                        "--batch": batch,
                    },
                    network,
                    weights,
                )
                for precision in arguments.precision
                for batch in arguments.batch
            ]
    words = ["--clips", arguments.clips, "--batch", arguments.batch[0]]
    words += ["--seconds", arguments.seconds, "--rounds", arguments.rounds]
    words += ["--threads", *arguments.threads]
    served = run([sys.executable, SCRIPT, "--run", "input", *words], "input")
    rates = served["clips_per_s"] if served else {}
    if rates:
        print_input(rates, cases)
    print(json.dumps({"cases": cases, "input_clips_per_s": rates}))
    if any(case["agree"] is False for case in cases):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
