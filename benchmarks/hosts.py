"""How much faster several processes, or several GPUs, train one network than one.

    PYTHONPATH=. python benchmarks/hosts.py                       # 1 and 2 processes
    PYTHONPATH=. python benchmarks/hosts.py --batch 64 256 --rounds 5
    PYTHONPATH=. python benchmarks/hosts.py --processes 1 --gpus 1 2 4
    PYTHONPATH=. python benchmarks/hosts.py --system voices --batch 32
    srun --ntasks-per-node=1 python benchmarks/hosts.py --join auto --batch 256

The network of the main job (409 features, 45 steps, two layers, Adam) on drawn
segments, trained by emorec's own pipeline and `fit` on JAX. With --system voices, the
compact speech student on FLAC files of 8 s of noise, 4 s of each at a time, which are
read from disk; `decoding` is the share of the processor time that goes to making
batches. The batch is that of all processes together, as in emorec. On CPUs each process
is bound to one core of its own and computes with one thread, so that two processes have
twice what one has.

`samples/s` is the median over rounds of the best epoch after the first: on a machine
with other work the best epoch is the least disturbed one. `CPU ms` is the processor
time of a sample, summed over the processes: where it does not grow with their number,
nothing is computed twice, and the speed-up on idle cores is the number of processes
less what messages take. With --join this process is one of several, started by srun
or by hand (--coordinator, --rank), and the first one prints. With --gpus the devices of
a process are GPUs. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WIDTHS, STEPS, NODES, LABELS, EPOCHS = (300, 35, 74), 45, 128, 6, 4
RATE = 16_000
# Seconds that threads computed to make batches of this epoch.
decoding: list[float] = []


def words(batch: int, count: int):
    """Return the pipeline of the main job, and what makes its network."""
    import numpy as np

    from emorec.batches.order import BatchOrder
    from emorec.batches.pipeline import Pipeline
    from emorec.batches.ragged import RaggedStore
    from emorec.models.early_fusion import early_fusion

    random = np.random.default_rng(0)
    lengths = np.clip(random.gamma(3.0, 6.5, count).round().astype(int), 1, STEPS)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    store = RaggedStore(
        random.standard_normal((offsets[-1], sum(WIDTHS)), dtype=np.float32),
        np.ones((offsets[-1], len(WIDTHS)), bool),
        offsets,
        random.standard_normal((count, LABELS), dtype=np.float32),
        [str(number) for number in range(count)],
    )
    data = Pipeline(store, BatchOrder(store.lengths, batch, STEPS, 0, True))

    def build():
        model = early_fusion(WIDTHS, LABELS, 2, NODES)
        model.compile(optimizer="adam", loss="mean_absolute_error")
        return model

    return data, build


def write_sounds(folder: Path, count: int) -> None:
    """Write files for --system voices."""
    import numpy as np
    import soundfile

    random = np.random.default_rng(0)
    for number in range(count):
        noise = random.normal(0, 0.1, 8 * RATE).clip(-1, 1)
        soundfile.write(folder / f"{number:05d}.flac", noise, RATE)


def voices(batch: int, count: int, folder: Path):
    """Return the pipeline of a speech student, and what makes its network."""
    import numpy as np

    from emorec.batches.sound_parts import Sounds
    from emorec.batches.sounds import SoundPipeline
    from emorec.training.distillation import distillation_loss
    from emorec.training.voice_learner import build as student_of
    from emorec.training.voice_learner import learner, optimizer_of
    from emorec.training.voices_config import PRESETS

    config = PRESETS["compact"]
    paths = sorted(folder.iterdir())[:count]
    sounds = Sounds(paths, np.full(len(paths), 8 * RATE), cache=0)
    target = np.eye(8, dtype=np.float32)
    data = SoundPipeline(
        *(sounds, lambda clip, start, length: target[clip % 8], 8),
        *(config.speech_input, batch),
        shuffle=True,
    )
    whole = data.batch

    def batch_of(*wanted):
        began = time.thread_time()
        made = whole(*wanted)
        decoding.append(time.thread_time() - began)
        return made

    data.batch = batch_of

    def build():
        model = learner(config, student_of(config, 8), data.shapes[0])
        model.compile(
            optimizer=optimizer_of(config, len(data)), loss=distillation_loss("kl")
        )
        return model

    return data, build


def train(options: argparse.Namespace, batch: int, gpus: int) -> dict[str, float]:
    """Train in this process, together with those it has joined; return its figures."""
    from emorec.training import backend, division, hosts

    backend.prepare(0)
    import keras

    count = batch * options.steps
    if options.system == "voices":
        data, build = voices(batch, count, Path(options.folder))
    else:
        data, build = words(batch, count)
    with backend.strategy(gpus, batch):
        model = build()
        model.optimizer.build(model.trainable_variables)
    dataset, divided = data.dataset, division.current()
    if divided:
        divided.compile(model)
        dataset = divided.divided(dataset)
    walls, processors, made = [], [], []

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            data.epoch = epoch
            decoding.clear()
            self.began = time.perf_counter(), time.process_time()

        def on_epoch_end(self, epoch, logs=None):
            if epoch:
                walls.append(time.perf_counter() - self.began[0])
                processors.append(time.process_time() - self.began[1])
                made.append(sum(decoding) / processors[-1])

    model.fit(dataset, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=[Clock()])
    own = {"wall": min(walls), "cpu": min(processors)}
    own["decoding"] = statistics.median(made)
    share = {"samples": count, "processes": hosts.here().count}
    return own | share | {"loss": float(model.history.history["loss"][-1])}


def alone_on_a_core(rank: int) -> None:
    """Bind this process to one core, and its arithmetic to one thread."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[rank % len(cores)]})
    os.environ["XLA_FLAGS"] = (
        os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
    )


def child(options: argparse.Namespace) -> None:
    """Be one process of a measurement; print its figures."""
    os.environ["KERAS_BACKEND"] = "jax"
    if not options.gpus:
        alone_on_a_core(options.rank or 0)
        os.environ["JAX_PLATFORMS"] = "cpu"
    # Where it is installed, Keras would import it.
    sys.modules["tensorflow"] = None
    from emorec.training import hosts

    if options.join and options.join != "1":
        hosts.join(options.join, options.coordinator, options.rank)
    gpus = (options.gpus or [0])[0]
    figures = train(options, options.batch[0], gpus)
    if hosts.here().lead or options.coordinator:
        print(json.dumps(figures), flush=True)


def measure(options: argparse.Namespace, processes: int, gpus: int, batch: int) -> dict:
    """Start the processes of one measurement and return their figures together."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{door.getsockname()[1]}"
    started = []
    for rank in range(processes):
        words = ["--join", str(processes), "--rank", str(rank), "--batch", str(batch)]
        words += ["--steps", str(options.steps), "--system", options.system]
        words += ["--folder", options.folder] if options.folder else []
        words += ["--coordinator", address] if processes > 1 else []
        words += ["--gpus", str(gpus)] if gpus else []
        started.append(
            subprocess.Popen(
                [sys.executable, __file__, *words], stdout=subprocess.PIPE, text=True
            )
        )
    told = []
    for process in started:
        out, _ = process.communicate(timeout=options.limit)
        if process.returncode:
            raise SystemExit(f"a process ended with {process.returncode}")
        told.append(json.loads(out.splitlines()[-1]))
    samples = told[0]["samples"]
    return {
        "samples/s": samples / max(own["wall"] for own in told),
        "CPU ms": 1000 * sum(own["cpu"] for own in told) / samples,
        "decoding": statistics.mean(own["decoding"] for own in told),
        "loss": told[0]["loss"],
    }


def main() -> None:
    """Measure, print a table, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--system", default="mosei", choices=("mosei", "voices"))
    parser.add_argument("--folder", default="", help=argparse.SUPPRESS)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--gpus", type=int, nargs="+", default=[])
    parser.add_argument("--batch", type=int, nargs="+", default=[128])
    parser.add_argument("--steps", type=int, default=8, help="batches an epoch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=int, default=900, help="s of a measurement")
    parser.add_argument("--join", default="", help=argparse.SUPPRESS)
    parser.add_argument("--coordinator", default="", help=argparse.SUPPRESS)
    parser.add_argument("--rank", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.join:
        child(options)
        return
    ways = [
        (count, gpus) for count in options.processes for gpus in options.gpus or [0]
    ]
    found: dict = {}
    with tempfile.TemporaryDirectory() as folder:
        if options.system == "voices":
            options.folder = folder
            write_sounds(Path(folder), max(options.batch) * options.steps)
        for _ in range(options.rounds):
            for batch in options.batch:
                for way in ways:
                    found.setdefault((batch, *way), []).append(
                        measure(options, *way, batch)
                    )
    print("batch processes GPUs  samples/s  speed-up  CPU ms  decoding      loss")
    ratios = {}
    for (batch, count, gpus), rounds in found.items():
        each = {
            name: statistics.median(one[name] for one in rounds) for name in rounds[0]
        }
        first = found[(batch, *ways[0])]
        base = statistics.median(one["samples/s"] for one in first)
        ratio = each["samples/s"] / base
        ratios[f"batch {batch}, {count} processes, {gpus} GPUs"] = round(ratio, 3)
        print(
            f"{batch:5d} {count:9d} {gpus:4d} {each['samples/s']:10.1f} {ratio:9.2f} "
            f"{each['CPU ms']:7.2f} {each['decoding']:9.2f} {each['loss']:9.6f}",
            flush=True,
        )
    print(json.dumps(ratios))


if __name__ == "__main__":
    main()
