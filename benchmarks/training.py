"""How fast emorec trains its network, beside stock Keras, PyTorch and the reference.

    python benchmarks/training.py --torch /path/to/python/with/torch
    python benchmarks/training.py --layers 1 2 3 --batch 32 128 --rounds 5
    python benchmarks/training.py --lengths real

The network: normalisation of 409 features, bidirectional LSTMs of 64 units a direction,
dropout, a dense layer of 128, six outputs; Adam on the mean absolute error, float32.

    emorec     pipeline and network of emorec, on TensorFlow and on JAX
    keras      Keras' own layers, with a mask, on padded arrays
    pytorch    nn.LSTM on padded arrays; packed sequences with --lengths real
    reference  Keras' own layers on TensorFlow, without a mask, fed one float64 segment
               at a time by a Python generator

Every program runs in a process of its own, in turn, several rounds. `samples/s` is the
median over rounds of the median over epochs after the first, `CPU ms` the processor
time of a sample, over all cores, which other work on the machine disturbs less, and
`start s` the time from importing to the end of the first epoch, less a later epoch.
`of sgemm` is the rate of the floating-point operations that a training needs (products
of inputs and of hidden states with kernels, forward and for the gradients; no gradient
of the features) divided by that of a float32 product of two 2048 x 2048 matrices,
measured in each round. The last line is one JSON object with the ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np

WIDTHS, STEPS, UNITS, NODES, LABELS = (300, 35, 74), 45, 64, 128, 6
EPOCHS = 4
PROGRAMS = {
    "emorec, tensorflow": ("emorec", "tensorflow"),
    "emorec, jax": ("emorec", "jax"),
    "keras, tensorflow": ("keras", "tensorflow"),
    "keras, jax": ("keras", "jax"),
    "pytorch": ("pytorch", None),
    "reference": ("reference", "tensorflow"),
}


def draw_lengths(count: int, kind: str) -> np.ndarray:
    """Draw words per segment: all 45, or a mean of 19 as CMU-MOSEI's segments have."""
    if kind == "full":
        return np.full(count, STEPS)
    # A gamma distribution of shape 3, the last 45 words kept.
    drawn = np.random.default_rng(1).gamma(3.0, 6.5, count)
    return np.clip(drawn.round().astype(int), 1, STEPS)


def draw(count: int, kind: str) -> tuple[np.ndarray, ...]:
    """Return features (N, 45, 409), lengths (N,) and labels (N, 6)."""
    random = np.random.default_rng(0)
    lengths = draw_lengths(count, kind)
    features = random.standard_normal((count, STEPS, sum(WIDTHS)), dtype=np.float32)
    features *= (np.arange(STEPS) < lengths[:, None])[..., None]
    return features, lengths, random.random((count, LABELS), dtype=np.float32)


def summary(epochs: list[tuple[float, float]], began: float, count: int) -> dict:
    """Return rates of all epochs but the first; each is (seconds, CPU seconds)."""
    seconds, processor = zip(*epochs, strict=True)
    later = statistics.median(seconds[1:])
    return {
        "start_s": time.perf_counter() - began - sum(seconds[1:]) - later,
        "samples_per_s": count / later,
        "cpu_ms": 1e3 * statistics.median(processor[1:]) / count,
    }


def run_emorec(arguments: argparse.Namespace, began: float) -> dict[str, float]:
    from emorec.training import backend

    backend.prepare(0)
    from emorec.batches.order import BatchOrder
    from emorec.batches.pipeline import Pipeline
    from emorec.batches.ragged import RaggedStore
    from emorec.models.early_fusion import early_fusion

    features, lengths, labels = draw(arguments.samples, arguments.lengths)
    store = RaggedStore.build(
        (str(i), x[:length], np.ones((length, len(WIDTHS)), bool), y)
        for i, (x, length, y) in enumerate(zip(features, lengths, labels, strict=True))
    )
    order = BatchOrder(store.lengths, arguments.batch, STEPS, 0, True)
    pipeline = Pipeline(store, order)
    use_cudnn, jit_compile = backend.compilation(arguments.jit)
    model = early_fusion(
        WIDTHS,
        LABELS,
        arguments.layers,
        NODES,
        use_cudnn=use_cudnn,
        jit_compile=jit_compile is not False,
    )
    model.compile("adam", "mean_absolute_error", jit_compile=jit_compile)
    return fit(model, began, arguments.samples, x=pipeline.dataset, shuffle=False)


def fit(model, began: float, count: int, **data) -> dict[str, float]:
    """Time the epochs of one call of ``Model.fit``, as a training makes it."""
    import keras

    clocks = []

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            clocks.append((time.perf_counter(), time.process_time()))

        def on_epoch_end(self, epoch, logs=None):
            wall, used = clocks[-1]
            clocks[-1] = time.perf_counter() - wall, time.process_time() - used

    model.fit(epochs=EPOCHS, verbose=0, callbacks=[Clock()], **data)
    return summary(clocks, began, count)


def stock_network(num_layers: int, masked: bool):
    import keras
    from keras import layers

    features = keras.Input((STEPS, sum(WIDTHS)))
    mask = keras.Input((STEPS,), dtype="bool") if masked else None
    x = layers.BatchNormalization()(features, mask=mask)
    for number in range(1, num_layers + 1):
        lstm = layers.LSTM(UNITS, return_sequences=number < num_layers)
        x = layers.Dropout(0.2)(layers.Bidirectional(lstm)(x, mask=mask))
    x = layers.Dropout(0.2)(layers.Dense(NODES, activation="relu")(x))
    inputs = [features, mask] if masked else features
    model = keras.Model(inputs, layers.Dense(LABELS)(x))
    model.compile("adam", "mean_absolute_error")
    return model


def run_keras(arguments: argparse.Namespace, began: float) -> dict[str, float]:
    features, lengths, labels = draw(arguments.samples, arguments.lengths)
    mask = np.arange(STEPS) < lengths[:, None]
    model = stock_network(arguments.layers, masked=True)
    return fit(
        model,
        began,
        arguments.samples,
        x=[features, mask],
        y=labels,
        batch_size=arguments.batch,
    )


def run_reference(arguments: argparse.Namespace, began: float) -> dict[str, float]:
    import tensorflow as tf

    count = min(arguments.samples, 128)  # it is slow
    features, lengths, labels = draw(count, arguments.lengths)
    segments = [x[:n].astype(float) for x, n in zip(features, lengths, strict=True)]

    def generate():
        for segment, label in zip(segments, labels, strict=True):
            padded = np.zeros((STEPS, sum(WIDTHS)))
            padded[: len(segment)] = segment
            yield padded, label

    dataset = tf.data.Dataset.from_generator(
        generate,
        output_signature=(
            tf.TensorSpec((STEPS, sum(WIDTHS)), tf.float64),
            tf.TensorSpec((LABELS,), tf.float64),
        ),
    )
    model = stock_network(arguments.layers, masked=False)
    return fit(model, began, count, x=dataset.batch(1))


def run_pytorch(arguments: argparse.Namespace, began: float) -> dict[str, float]:
    import torch
    from torch import nn

    torch.manual_seed(0)
    packing = arguments.lengths == "real"

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.normalisation = nn.BatchNorm1d(sum(WIDTHS))
            self.lstm = nn.LSTM(
                sum(WIDTHS),
                UNITS,
                arguments.layers,
                batch_first=True,
                bidirectional=True,
                dropout=0.2 if arguments.layers > 1 else 0.0,
            )
            self.head = nn.Sequential(
                nn.Dropout(0.2),
                nn.Linear(2 * UNITS, NODES),
                nn.ReLU(),
                nn.Dropout(0.2),
                nn.Linear(NODES, LABELS),
            )

        def forward(self, x, lengths):
            if packing:
                x = nn.utils.rnn.pack_padded_sequence(x, lengths, True, False)
                x = x._replace(data=self.normalisation(x.data))
            else:
                x = self.normalisation(x.flatten(0, 1)).unflatten(0, x.shape[:2])
            last = self.lstm(x)[1][0]
            return self.head(torch.cat([last[-2], last[-1]], dim=-1))

    arrays = draw(arguments.samples, arguments.lengths)
    features, lengths, labels = map(torch.from_numpy, arrays)
    model = Network()
    optimizer = torch.optim.Adam(model.parameters())
    loss = nn.L1Loss()

    def epoch():
        order = torch.randperm(len(features))
        for index in order.split(arguments.batch):
            optimizer.zero_grad()
            output = model(features[index], lengths[index])
            loss(output, labels[index]).backward()
            optimizer.step()

    epochs = []
    for _ in range(EPOCHS):
        wall, used = time.perf_counter(), time.process_time()
        epoch()
        epochs.append((time.perf_counter() - wall, time.process_time() - used))
    return summary(epochs, began, arguments.samples)


def sgemm() -> float:
    """Return the float32 operations per second of a matrix product, in 10^9."""
    matrix = np.random.default_rng(0).random((2048, 2048), dtype=np.float32)
    seconds = []
    for _ in range(7):
        began = time.perf_counter()
        matrix @ matrix
        seconds.append(time.perf_counter() - began)
    return 2 * 2048**3 / min(seconds) / 1e9


def operations(num_layers: int, steps: float) -> float:
    """Count the floating-point operations of training on one sample."""
    total, entering = 0.0, sum(WIDTHS)
    for number in range(num_layers):
        # Forward, gradient of the kernel, and of the inputs but for the features.
        inputs = (3 if number else 2) * 2 * entering * 8 * UNITS
        total += steps * (inputs + 3 * 2 * UNITS * 8 * UNITS)
        entering = 2 * UNITS
    return total + 3 * 2 * (entering * NODES + NODES * LABELS)


def compare(arguments: argparse.Namespace, layers: int, batch: int) -> dict:
    """Run all programs on one size of the network; print the table."""
    results: dict[str, list[dict[str, float]]] = {}
    rates = []
    for _ in range(arguments.rounds):
        rates.append(sgemm())
        for name, (program, backend) in PROGRAMS.items():
            if program not in arguments.programs:
                continue
            interpreter = arguments.torch if program == "pytorch" else sys.executable
            if interpreter is None:
                continue
            sizes = f"--layers {layers} --batch {batch} --samples {arguments.samples}"
            kinds = f"--jit {arguments.jit} --lengths {arguments.lengths}"
            output = subprocess.run(
                [interpreter, __file__, "--run", program, *f"{sizes} {kinds}".split()],
                env={
                    **os.environ,
                    "KERAS_BACKEND": backend or "",
                    "TF_CPP_MIN_LOG_LEVEL": "3",
                },
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            results.setdefault(name, []).append(json.loads(output.splitlines()[-1]))
    steps = float(draw_lengths(arguments.samples, arguments.lengths).mean())
    peak = statistics.median(rates)
    print(
        f"\n{layers} layers, batch {batch}, {arguments.lengths} lengths (mean "
        f"{steps:.0f}), sgemm {peak:.0f} GFLOP/s, load {os.getloadavg()[0]:.1f} on "
        f"{os.cpu_count()} cores\n{'program':20s} {'start s':>8s} {'samples/s':>10s} "
        f"{'CPU ms':>8s} {'of sgemm':>9s}"
    )
    table = {}
    for name, lines in results.items():
        row = {key: statistics.median(x[key] for x in lines) for key in lines[0]}
        done = operations(layers, steps) * row["samples_per_s"] / 1e9
        row["of_sgemm"] = done / peak
        table[name] = {key: round(value, 4) for key, value in row.items()}
        print(
            f"{name:20s} {row['start_s']:8.1f} {row['samples_per_s']:10.0f} "
            f"{row['cpu_ms']:8.2f} {row['of_sgemm']:9.3f}",
            flush=True,
        )
    return table


def ratios(table: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return how many times as fast emorec is as each other program."""
    mine = [name for name in table if name.startswith("emorec")]
    return {
        name: {"of_sgemm": table[name]["of_sgemm"]}
        | {
            f"over {other}": round(
                table[name]["samples_per_s"] / table[other]["samples_per_s"], 2
            )
            for other in table
            if other not in mine
        }
        | {
            f"CPU time of {other}": round(
                table[other]["cpu_ms"] / table[name]["cpu_ms"], 2
            )
            for other in table
            if other not in mine
        }
        for name in mine
    }


def main() -> None:
    began = time.perf_counter()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--batch", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--samples", type=int, default=640)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lengths", choices=("full", "real"), default="full")
    parser.add_argument("--jit", choices=("auto", "on", "off"), default="auto")
    parser.add_argument("--torch", metavar="PYTHON", help="Python that has PyTorch")
    names = sorted({program for program, _ in PROGRAMS.values()})
    parser.add_argument("--programs", nargs="+", choices=names, default=names)
    parser.add_argument("--run", choices=names, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        arguments.layers, arguments.batch = arguments.layers[0], arguments.batch[0]
        program = globals()[f"run_{arguments.run}"]
        print(json.dumps(program(arguments, began)))
        return
    print(
        json.dumps(
            {
                f"{layers} layers, batch {batch}": ratios(
                    compare(arguments, layers, batch)
                )
                for layers in arguments.layers
                for batch in arguments.batch
            }
        )
    )


if __name__ == "__main__":
    main()
