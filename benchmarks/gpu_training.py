"""How fast the network trains on a GPU: emorec under XLA, stock Keras, cuDNN, PyTorch.

    PYTHONPATH=. python benchmarks/gpu_training.py
    PYTHONPATH=. python benchmarks/gpu_training.py --batch 32 512 4096 --precision bf16
    PYTHONPATH=. python benchmarks/gpu_training.py --tiny   # seconds, also on a CPU

Needs Keras, JAX with its GPU libraries and, for two of the programs, PyTorch; not
TensorFlow. Where Keras is missing, ``pip install --no-deps keras namex optree
ml_dtypes`` from wheels is enough beside JAX, NumPy, h5py, rich, absl-py and packaging.
Programs:

    emorec          emorec's network: one loop for both directions, a mask, XLA
    keras           Keras' own layers, with the mask, which keeps them from cuDNN
    keras, cudnn    Keras' own layers without a mask: cuDNN's LSTM on a GPU
    pytorch         nn.LSTM, which is cuDNN's on a GPU, without a mask
    pytorch, packed the same on packed sequences, which is what a mask means

A step is a whole training step (forward, gradients, Adam) on a batch that lies on the
device, segments of 45 x 409 with lengths of 19 on average, and is compiled before it is
timed. `epoch s` is the time of the 16,327 training segments of CMU-MOSEI at that rate.
Programs take turns, each in a process of its own; medians over rounds of the medians
over steps. The last line is one JSON object with the ratios to emorec.
"""

from __future__ import annotations

import argparse
import json
import sys

import numpy as np
from programs import (
    keras_device,
    keras_step,
    median_of,
    over_emorec,
    take_turns,
    timed,
    torch_device,
    torch_kind,
    torch_step,
)

SEGMENTS = 16_327
WIDTHS, STEPS, UNITS, NODES, LABELS = (300, 35, 74), 45, 64, 128, 6
PROGRAMS = ("emorec", "keras", "keras, cudnn", "pytorch", "pytorch, packed")
PRECISIONS = {"float32": "float32", "bf16": "mixed_bfloat16"}


def draw(batch: int, steps: int) -> dict[str, np.ndarray]:
    """Return one batch: features, mask, presence and labels."""
    random = np.random.default_rng(0)
    lengths = np.clip(random.gamma(3.0, 6.5, batch).round().astype(int), 1, steps)
    lengths[0] = steps
    mask = np.arange(steps) < lengths[:, None]
    features = random.standard_normal((batch, steps, sum(WIDTHS)), dtype=np.float32)
    return {
        "features": features * mask[..., None],
        "mask": mask,
        "presence": np.repeat(mask[..., None], len(WIDTHS), -1).astype(np.float32),
        "labels": random.random((batch, LABELS), dtype=np.float32),
    }


def stock_network(num_layers: int, masked: bool):
    import keras
    from keras import layers

    features = keras.Input((STEPS, sum(WIDTHS)), name="features")
    mask = keras.Input((STEPS,), dtype="bool", name="mask") if masked else None
    x = layers.BatchNormalization()(features, mask=mask)
    for number in range(1, num_layers + 1):
        lstm = layers.LSTM(UNITS, return_sequences=number < num_layers)
        x = layers.Dropout(0.2)(layers.Bidirectional(lstm)(x, mask=mask))
    x = layers.Dropout(0.2)(layers.Dense(NODES, activation="relu")(x))
    inputs = {"features": features} | ({"mask": mask} if masked else {})
    return keras.Model(inputs, layers.Dense(LABELS, dtype="float32")(x))


def run_keras(arguments: argparse.Namespace) -> dict:
    """Train a network of Keras on JAX by a compiled step of its own."""
    import keras

    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(PRECISIONS[arguments.precision])
    if arguments.run == "emorec":
        from emorec.models.early_fusion import early_fusion

        model = early_fusion(WIDTHS, LABELS, arguments.layers, NODES)
    else:
        model = stock_network(arguments.layers, masked=arguments.run == "keras")
    optimizer = keras.optimizers.Adam()
    data = draw(arguments.batch, STEPS)
    inputs = {tensor.name: data[tensor.name] for tensor in model.inputs}

    def loss(labels, outputs):
        return abs(outputs - labels).mean()

    step, wait = keras_step(model, optimizer, loss, inputs, data["labels"])
    return timed(step, wait, arguments.steps) | keras_device()


def run_pytorch(arguments: argparse.Namespace) -> dict:
    import torch
    from torch import nn

    torch.manual_seed(0)
    device, wait = torch_device()
    packing = arguments.run.endswith("packed")

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

    data = draw(arguments.batch, STEPS)
    features = torch.from_numpy(data["features"]).to(device)
    labels = torch.from_numpy(data["labels"]).to(device)
    lengths = torch.from_numpy(data["mask"].sum(1))  # PyTorch wants them on the host
    model = Network().to(device)
    optimizer = torch.optim.Adam(model.parameters(), fused=device.type == "cuda")
    bf16 = arguments.precision == "bf16"
    loss, inputs = nn.functional.l1_loss, (features, lengths)
    step = torch_step(model, optimizer, loss, inputs, labels, bf16)
    return timed(step, wait, arguments.steps) | torch_kind()


def compare(arguments, layers: int, batch: int, precision: str) -> dict[str, float]:
    """Run every program in turn; print the table, return ratios to emorec."""
    options = {
        "--layers": layers,
        "--batch": batch,
        "--steps": arguments.steps,
        "--precision": precision,
    }
    results = take_turns(
        *(__file__, arguments.programs, arguments.rounds, arguments.torch, options),
        {"KERAS_BACKEND": "jax"},
    )
    kinds = {line["device"] for lines in results.values() for line in lines}
    print(
        f"\n{layers} layers, batch {batch}, {precision}, {', '.join(sorted(kinds))}\n"
        f"{'program':16s} {'first s':>8s} {'ms a step':>10s} {'samples/s':>10s} "
        f"{'epoch s':>8s}"
    )
    times = {}
    for program, lines in results.items():
        seconds = median_of(lines, "step_s")
        first = median_of(lines, "first_s")
        times[program] = seconds
        print(
            f"{program:16s} {first:8.1f} {1e3 * seconds:10.2f} {batch / seconds:10.0f} "
            f"{SEGMENTS / batch * seconds:8.2f}",
            flush=True,
        )
    return over_emorec(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--batch", type=int, nargs="+", default=[32, 128, 512, 4096])
    parser.add_argument(
        "--precision", nargs="+", choices=PRECISIONS, default=[*PRECISIONS]
    )
    parser.add_argument("--steps", type=int, default=20, help="steps timed as one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=PROGRAMS)
    parser.add_argument("--torch", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--tiny", action="store_true", help="one small size, one round")
    parser.add_argument("--run", choices=PROGRAMS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.tiny:
        arguments.layers, arguments.batch, arguments.rounds = [1], [4], 1
        arguments.steps = 2
    if arguments.run:
        arguments.layers, arguments.batch = arguments.layers[0], arguments.batch[0]
        arguments.precision = arguments.precision[0]
        pytorch = arguments.run.startswith("pytorch")
        print(json.dumps((run_pytorch if pytorch else run_keras)(arguments)))
        return
    ratios = {
        f"{layers} layers, batch {batch}, {precision}": compare(
            arguments, layers, batch, precision
        )
        for precision in arguments.precision
        for layers in arguments.layers
        for batch in arguments.batch
    }
    print(json.dumps({"time_over_emorec": ratios}))


if __name__ == "__main__":
    main()
