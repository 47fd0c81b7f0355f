"""How fast each way of compiling trains a network.

    python benchmarks/compile_modes.py
    python benchmarks/compile_modes.py --steps 45 --layers 2 --rounds 5
    python benchmarks/compile_modes.py --network compact_faces

Every way runs in a process of its own, in turn, several rounds; medians are printed as
a table and, last, as one JSON object with ratios to the first way. The GPU numbers come
from the same command on a machine that has one.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

WAYS = [
    ("tensorflow", "auto"),
    ("tensorflow", "on"),
    ("jax", "auto"),
]


def early_fusion(arguments: argparse.Namespace, jit: str):
    """Return the compiled network of the main job, and its batches."""
    import numpy as np

    from emorec.batches.order import BatchOrder
    from emorec.batches.pipeline import Pipeline
    from emorec.batches.ragged import RaggedStore
    from emorec.models.early_fusion import early_fusion
    from emorec.training import backend

    random = np.random.default_rng(0)
    count, steps, widths = arguments.samples, arguments.steps, [300, 35, 74]
    store = RaggedStore.build(
        (
            str(i),
            random.standard_normal((steps, sum(widths)), dtype=np.float32),
            np.ones((steps, len(widths)), bool),
            random.random(6, dtype=np.float32),
        )
        for i in range(count)
    )
    order = BatchOrder(store.lengths, arguments.batch, steps, 0, True)
    use_cudnn, jit_compile = backend.compilation(jit)
    model = early_fusion(widths, 6, arguments.layers, 128, use_cudnn=use_cudnn)
    model.compile("adam", "mean_absolute_error", jit_compile=jit_compile)
    return model, Pipeline(store, order)


def compact_faces(arguments: argparse.Namespace, jit: str):
    """Return the compiled compact face network, and its batches."""
    import keras
    import numpy as np

    from emorec.batches.images import ImageInput, ImagePipeline
    from emorec.models.face_networks import compact
    from emorec.training import backend

    random = np.random.default_rng(0)
    faces = random.integers(0, 256, (arguments.samples, 48, 48), np.uint8)
    targets = random.dirichlet(np.ones(8), arguments.samples).astype(np.float32)
    model = compact(8)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    jit_compile = backend.compilation_of_convolutions(jit)
    model.compile("sgd", loss, jit_compile=jit_compile)
    image_input = ImageInput(48, (128.0,), 64.0)
    return model, ImagePipeline(faces, targets, image_input, arguments.batch)


NETWORKS = {"early_fusion": early_fusion, "compact_faces": compact_faces}


def measure(arguments: argparse.Namespace) -> None:
    """Train in this process; print the start-up in seconds, and samples per second."""
    began = time.perf_counter()
    from emorec.training import backend

    backend.prepare(0)
    import keras

    model, pipeline = NETWORKS[arguments.network](arguments, arguments.jit)
    seconds = []

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.start = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            seconds.append(time.perf_counter() - self.start)

    model.fit(pipeline.dataset, epochs=4, verbose=0, shuffle=False, callbacks=[Clock()])
    start_up = time.perf_counter() - began - sum(seconds[1:])
    speed = arguments.samples / statistics.median(seconds[1:])
    print(json.dumps({"start_s": start_up, "samples_per_s": speed}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=NETWORKS, default="early_fusion")
    parser.add_argument("--steps", type=int, default=45)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--samples", type=int, default=640)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jit", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.jit:
        measure(arguments)
        return
    results: dict[str, list[dict[str, float]]] = {}
    for _ in range(arguments.rounds):
        for name, jit in WAYS:
            command = [sys.executable, *sys.argv, "--jit", jit]
            output = subprocess.run(
                command,
                env={**os.environ, "KERAS_BACKEND": name},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            line = json.loads(output.splitlines()[-1])
            results.setdefault(f"{name}, jit {jit}", []).append(line)
    print(f"{'way':22s} {'start-up s':>11s} {'samples/s':>10s} {'ratio':>6s}")
    first, ratios = None, {}
    for way, lines in results.items():
        start = statistics.median(line["start_s"] for line in lines)
        speed = statistics.median(line["samples_per_s"] for line in lines)
        first = first or speed
        ratios[way] = round(speed / first, 3)
        print(f"{way:22s} {start:11.1f} {speed:10.0f} {ratios[way]:6.2f}")
    print(json.dumps({"ratio_to_first": ratios}))


if __name__ == "__main__":
    main()
