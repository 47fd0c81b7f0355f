r"""How fast the face networks train: emorec under XLA, and an equal network of PyTorch.

    PYTHONPATH=. python benchmarks/face_networks.py --peak 989 --torch python
    PYTHONPATH=. KERAS_BACKEND=jax python benchmarks/face_networks.py --batch 64 256
    PYTHONPATH=. python benchmarks/face_networks.py --size 32 --batch 2 --steps 2 \
        --network resnet50 --precision float32 --programs emorec pytorch

The last runs on a CPU in minutes, which go into compiling. emorec runs on the backend
that KERAS_BACKEND names.
Programs:

    emorec             emorec's network and a step of its own, compiled by XLA
    pytorch            the same network, channels last, a fused optimiser
    pytorch, compiled  the same under torch.compile

A step is a whole training step (forward, gradients, SGD with momentum) on a batch of
images of float32 that lies on the device, and is compiled before it is timed. bf16 is
Keras' mixed_bfloat16 and PyTorch's autocast; float32 leaves to both what they do by
themselves, which is TF32 for convolutions on GPUs that have it. Utilisation is three
times the multiplications and additions of the forward pass, over the time, over
`--peak`. Programs take turns, each in a process of its own; medians over rounds of the
medians over groups of steps. The last line is one JSON object: ratios to emorec.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

LABELS, RATE, MOMENTUM, DROPOUT = 8, 1e-3, 0.9, 0.5
BLOCKS = (3, 4, 6, 3)
PROGRAMS = ("emorec", "pytorch", "pytorch, compiled")
NETWORKS = ("resnet50", "senet50")
PRECISIONS = {"float32": "float32", "bf16": "mixed_bfloat16"}


def draw(batch: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images (B, size, size, 3) and labels (B, K), each row a distribution."""
    random = np.random.default_rng(0)
    images = random.uniform(-130, 130, (batch, size, size, 3)).astype(np.float32)
    labels = random.random((batch, LABELS), dtype=np.float32)
    return images, labels / labels.sum(1, keepdims=True)


def forward_flops(size: int, gated: bool) -> int:
    """Count multiplications and additions of one image, in products of matrices."""
    side = size // 2
    products = 7 * 7 * 3 * 64 * side**2
    side, entering = side // 2, 64
    for stage, count in enumerate(BLOCKS):
        width = 64 << stage
        for number in range(count):
            side = -(-side // 2) if stage and not number else side
            inner = width * (entering + 9 * width + 4 * width)
            inner += 4 * width * entering if not number else 0
            products += inner * side**2
            products += 2 * (4 * width) ** 2 // 16 if gated else 0
            entering = 4 * width
    return 2 * (products + entering * LABELS)


def timed(step: Callable[[], None], wait: Callable[[], None], count: int) -> dict:
    """Time groups of steps, waiting for the device at the end of each."""
    began = time.perf_counter()
    step()
    wait()
    first = time.perf_counter() - began
    step()  # some compile what they have seen twice
    wait()
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(count):
            step()
        wait()
        seconds.append((time.perf_counter() - began) / count)
    return {"first_s": first, "step_s": statistics.median(seconds)}


def run_emorec(arguments: argparse.Namespace) -> dict:
    import keras

    from emorec.models.resnet50 import resnet50

    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(PRECISIONS[arguments.precision])
    gated = arguments.network == "senet50"
    model = resnet50(LABELS, squeeze_excitation=gated, size=arguments.size)
    optimizer = keras.optimizers.SGD(RATE, MOMENTUM)
    optimizer.build(model.trainable_variables)
    step = on_jax if keras.backend.backend() == "jax" else on_tensorflow
    return step(model, optimizer, arguments) | {"backend": keras.backend.backend()}


def on_jax(model, optimizer, arguments: argparse.Namespace) -> dict:
    import jax

    images, labels = jax.device_put(draw(arguments.batch, arguments.size))

    def loss(trainable, others, images, labels):
        logits, others = model.stateless_call(trainable, others, images, training=True)
        return -(labels * jax.nn.log_softmax(logits)).sum(-1).mean(), others

    def train(state, images, labels):
        trainable, others, moments = state
        gradient = jax.grad(loss, has_aux=True)
        gradients, others = gradient(trainable, others, images, labels)
        trainable, moments = optimizer.stateless_apply(moments, gradients, trainable)
        return trainable, others, moments

    # Donated, a state leaves its memory to the next one.
    train = jax.jit(train, donate_argnums=0)
    groups = (
        model.trainable_variables,
        model.non_trainable_variables,
        optimizer.variables,
    )
    states = [tuple([variable.value for variable in group] for group in groups)]

    def step():
        states[0] = train(states[0], images, labels)

    times = timed(step, lambda: jax.block_until_ready(states[0]), arguments.steps)
    return times | {"device": jax.devices()[0].device_kind}


def on_tensorflow(model, optimizer, arguments: argparse.Namespace) -> dict:
    import tensorflow as tf

    images, labels = map(tf.constant, draw(arguments.batch, arguments.size))

    @tf.function(jit_compile=True)
    def train(images, labels):
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            loss = tf.nn.softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_mean(loss)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    last = []

    def step():
        last[:] = [train(images, labels)]

    times = timed(step, lambda: last[0].numpy(), arguments.steps)
    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    return times | {"device": names[0]["device_name"] if names else "cpu"}


def torch_network(gated: bool):
    """Build emorec's network of PyTorch's parts."""
    import torch
    from torch import nn

    def convolution(entering, leaving, size, stride=1):
        return nn.Sequential(
            nn.Conv2d(entering, leaving, size, stride, size // 2, bias=False),
            nn.BatchNorm2d(leaving, eps=1e-5),
        )

    class Block(nn.Module):
        def __init__(self, entering, width, stride, project):
            super().__init__()
            leaving = 4 * width
            self.inner = nn.Sequential(
                convolution(entering, width, 1, stride),
                nn.ReLU(inplace=True),
                convolution(width, width, 3),
                nn.ReLU(inplace=True),
                convolution(width, leaving, 1),
            )
            self.gate = self.project = None
            if gated:
                self.gate = nn.Sequential(
                    nn.AdaptiveAvgPool2d(1),
                    nn.Conv2d(leaving, leaving // 16, 1),
                    nn.ReLU(inplace=True),
                    nn.Conv2d(leaving // 16, leaving, 1),
                    nn.Sigmoid(),
                )
            if project:
                self.project = convolution(entering, leaving, 1, stride)

        def forward(self, x):
            y = self.inner(x)
            if self.gate is not None:
                y = y * self.gate(y)
            return torch.relu(y + (x if self.project is None else self.project(x)))

    parts = [
        convolution(3, 64, 7, 2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, ceil_mode=True),
    ]
    entering = 64
    for stage, count in enumerate(BLOCKS):
        for number in range(count):
            stride = 2 if stage and not number else 1
            parts.append(Block(entering, 64 << stage, stride, not number))
            entering = 256 << stage
    return nn.Sequential(
        *parts,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(DROPOUT),
        nn.Linear(entering, LABELS),
    )


def run_pytorch(arguments: argparse.Namespace) -> dict:
    import torch
    from torch import nn

    torch.manual_seed(0)
    gpu = torch.cuda.is_available()
    device = torch.device("cuda" if gpu else "cpu")
    torch.backends.cudnn.benchmark = True
    images, labels = map(torch.from_numpy, draw(arguments.batch, arguments.size))
    # A view: the memory already has the channels last.
    images, labels = images.to(device).permute(0, 3, 1, 2), labels.to(device)
    model = torch_network(arguments.network == "senet50").to(device)
    size = sum(x.numel() for x in model.parameters())
    model = model.to(memory_format=torch.channels_last)
    if arguments.run.endswith("compiled"):
        model = torch.compile(model)
    optimizer = torch.optim.SGD(model.parameters(), RATE, MOMENTUM, fused=gpu)
    bf16 = arguments.precision == "bf16"

    def step():
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            logits = model(images)
        nn.functional.cross_entropy(logits.float(), labels).backward()
        optimizer.step()

    wait = torch.cuda.synchronize if gpu else lambda: None
    kind = torch.cuda.get_device_name() if gpu else "cpu"
    return timed(step, wait, arguments.steps) | {"device": kind, "parameters": size}


def compare(arguments, network: str, batch: int, precision: str) -> dict[str, float]:
    """Run every program in turn; print the table, return ratios to emorec."""
    results: dict[str, list[dict]] = {}
    for _ in range(arguments.rounds):
        for program in arguments.programs:
            pytorch = program.startswith("pytorch")
            options = {
                "--run": program,
                "--network": network,
                "--batch": batch,
                "--size": arguments.size,
                "--steps": arguments.steps,
                "--precision": precision,
            }
            words = [str(word) for pair in options.items() for word in pair]
            done = subprocess.run(
                [arguments.torch if pytorch else sys.executable, __file__, *words],
                env={"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ},
                capture_output=True,
                text=True,
            )
            if done.returncode:
                reason = done.stderr.strip().splitlines()[-1:]
                print(f"{program}: {' '.join(reason)}", file=sys.stderr)
                continue
            line = json.loads(done.stdout.splitlines()[-1])
            results.setdefault(program, []).append(line)
    lines = [line for each in results.values() for line in each]
    kinds = sorted({line["device"] for line in lines})
    backends = sorted({line["backend"] for line in lines if "backend" in line})
    print(
        f"\n{network}, {arguments.size} pixels, batch {batch}, {precision}, "
        f"{', '.join(kinds)}; emorec on {', '.join(backends) or 'nothing'}\n"
        f"{'program':18s} {'first s':>8s} {'ms a step':>10s} {'images/s':>10s} "
        f"{'TFLOP/s':>8s} {'of peak':>8s}"
    )
    flops = 3 * batch * forward_flops(arguments.size, network == "senet50")
    peak = arguments.peak if precision == "bf16" else arguments.peak_float32
    times = {}
    for program, each in results.items():
        seconds = statistics.median(line["step_s"] for line in each)
        first = statistics.median(line["first_s"] for line in each)
        times[program] = seconds
        rate = flops / seconds / 1e12
        share = f"{rate / peak:8.1%}" if peak else f"{'-':>8s}"
        print(
            f"{program:18s} {first:8.1f} {1e3 * seconds:10.2f} {batch / seconds:10.1f} "
            f"{rate:8.3f} {share}",
            flush=True,
        )
    mine = times.get("emorec")
    return {k: round(v / mine, 3) for k, v in times.items()} if mine else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--batch", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--size", type=int, default=224, help="pixels, a multiple of 4")
    parser.add_argument(
        "--precision", nargs="+", choices=PRECISIONS, default=[*PRECISIONS]
    )
    parser.add_argument("--steps", type=int, default=20, help="steps timed as one")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=PROGRAMS)
    parser.add_argument("--torch", default=sys.executable, metavar="PYTHON")
    parser.add_argument(
        "--peak", type=float, metavar="TFLOPS", help="of the device, in bf16"
    )
    parser.add_argument("--peak-float32", type=float, metavar="TFLOPS")
    parser.add_argument("--run", choices=PROGRAMS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        arguments.network, arguments.batch = arguments.network[0], arguments.batch[0]
        arguments.precision = arguments.precision[0]
        pytorch = arguments.run.startswith("pytorch")
        print(json.dumps((run_pytorch if pytorch else run_emorec)(arguments)))
        return
    ratios = {
        f"{network}, batch {batch}, {precision}": compare(
            arguments, network, batch, precision
        )
        for precision in arguments.precision
        for network in arguments.network
        for batch in arguments.batch
    }
    print(json.dumps({"time_over_emorec": ratios}))


if __name__ == "__main__":
    main()
