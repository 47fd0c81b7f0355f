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


def run_emorec(arguments: argparse.Namespace) -> dict:
    import keras
    from keras import ops

    from emorec.models.resnet50 import resnet50

    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(PRECISIONS[arguments.precision])
    gated = arguments.network == "senet50"
    model = resnet50(LABELS, squeeze_excitation=gated, size=arguments.size)
    optimizer = keras.optimizers.SGD(RATE, MOMENTUM)

    def loss(labels, logits):
        return -ops.mean(ops.sum(labels * ops.log_softmax(logits), axis=-1))

    images, labels = draw(arguments.batch, arguments.size)
    step, wait = keras_step(model, optimizer, loss, images, labels)
    return timed(step, wait, arguments.steps) | keras_device()


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
    device, wait = torch_device()
    images, labels = map(torch.from_numpy, draw(arguments.batch, arguments.size))
    # A view: the memory already has the channels last.
    images, labels = images.to(device).permute(0, 3, 1, 2), labels.to(device)
    model = torch_network(arguments.network == "senet50").to(device)
    size = sum(x.numel() for x in model.parameters())
    model = model.to(memory_format=torch.channels_last)
    if arguments.run.endswith("compiled"):
        model = torch.compile(model)
    fused = device.type == "cuda"
    optimizer = torch.optim.SGD(model.parameters(), RATE, MOMENTUM, fused=fused)
    bf16 = arguments.precision == "bf16"
    loss = nn.functional.cross_entropy
    step = torch_step(model, optimizer, loss, (images,), labels, bf16)
    return timed(step, wait, arguments.steps) | torch_kind() | {"parameters": size}


def compare(arguments, network: str, batch: int, precision: str) -> dict[str, float]:
    """Run every program in turn; print the table, return ratios to emorec."""
    options = {
        "--network": network,
        "--batch": batch,
        "--size": arguments.size,
        "--steps": arguments.steps,
        "--precision": precision,
    }
    results = take_turns(
        __file__, arguments.programs, arguments.rounds, arguments.torch, options
    )
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
        seconds = median_of(each, "step_s")
        first = median_of(each, "first_s")
        times[program] = seconds
        rate = flops / seconds / 1e12
        share = f"{rate / peak:8.1%}" if peak else f"{'-':>8s}"
        print(
            f"{program:18s} {first:8.1f} {1e3 * seconds:10.2f} {batch / seconds:10.1f} "
            f"{rate:8.3f} {share}",
            flush=True,
        )
    return over_emorec(times)


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
