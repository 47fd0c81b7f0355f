"""The programs that `audiovisual_training` compares, each for a process of its own.

Prints one JSON object when it is ready; then for every line that it reads one with the
seconds of so many steps. Beside NumPy the programs of PyTorch need only PyTorch.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from programs import keras_device, keras_step, torch_device, torch_kind, torch_step

LABELS, TIMES, COEFFICIENTS = 8, 156, 10
# Of .04 with a dampening of .9, in Keras' terms.
LEARNING_RATE, MOMENTUM, DECAY = 4e-3, 0.9, 1e-3
PRECISIONS = ("float32", "mixed_bfloat16")
FUSIONS = ("ia", "it", "lt")
WHAT = ("train", "infer")
# Frame network and fusion, and what stands before its names in a checkpoint.
PARTS = {"frames": "visual_model_", "fusion": ""}

Answer = Callable[[], Any]
Wait = Callable[[], None]


def draw(batch: int, frames: int, size: int) -> dict[str, np.ndarray]:
    """Return audio (B, T, 10), video (B, F, S, S, 3) from 0 to 1, targets (B, 8)."""
    random = np.random.default_rng(0)
    audio = random.standard_normal((batch, TIMES, COEFFICIENTS), np.float32)
    places = np.linspace(0, 1, size, dtype=np.float32)
    video = np.empty((batch, frames, size, size, 3), np.float32)
    # Waves of all lengths, so that no frame and no channel is like another.
    for frame in video.reshape(-1, size, size, 3):
        waves = random.uniform((1, 1, 0), (40, 40, 6), (3, 3)).astype(np.float32)
        for channel, (down, right, phase) in enumerate(waves):
            angles = down * places[:, None] + right * places + phase
            frame[..., channel] = 0.5 + 0.5 * np.sin(angles)
    targets = np.eye(LABELS, dtype=np.float32)[random.integers(LABELS, size=batch)]
    return {"audio": audio, "video": video, "targets": targets}


def build(arguments: argparse.Namespace):
    """Return emorec's network."""
    from emorec.models import image_layers
    from emorec.models.audiovisual import audiovisual

    loops = {"emorec, loops": True, "emorec, kernels": False}.get(arguments.run)
    if loops is not None:
        image_layers.compiled_for_a_cpu = lambda: loops
    return audiovisual(
        arguments.fusion, LABELS, frames=arguments.frames, size=arguments.size
    )


def weights_of(model) -> Iterator[tuple[str, Any]]:
    """Yield the names of emorec's weights, ``layer/weight``, and the variables."""
    for part, prefix in PARTS.items():
        for layer in model.get_layer(part).layers:
            for weight in layer.weights:
                yield f"{prefix}{layer.name}/{weight.name}", weight


def run_prepare(arguments: argparse.Namespace) -> dict:
    """Write weights and batches; count parameters and FLOPs."""
    from emorec.batches.modality_dropout import drop_modalities
    from emorec.training import backend

    backend.prepare(0)
    import keras

    model = build(arguments)
    random = np.random.default_rng(0)
    weights = {}
    for name, weight in weights_of(model):
        value = keras.ops.convert_to_numpy(weight)
        if value.ndim == 1:
            # Ones and zeros would hide what they multiply and are added to.
            value = value + 0.1 * np.abs(random.standard_normal(value.shape))
        weights[name] = value.astype(np.float32)
    np.savez(arguments.folder / "weights.npz", **weights)
    batch = draw(arguments.batch, arguments.frames, arguments.size)
    np.savez(arguments.folder / "infer.npz", **batch)
    targets = batch.pop("targets")
    inputs, targets = drop_modalities(batch, targets, arguments.mask, random)
    np.savez(arguments.folder / "train.npz", **inputs, targets=targets)
    products = 0
    for layer in model.get_layer("frames").layers:
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
            # Each place of an output takes one product with the whole kernel.
            places = int(np.prod(layer.output.shape[1:-1]))
            products += places * int(np.prod(layer.kernel.shape))
    return {
        "parameters": sum(int(np.prod(w.shape)) for w in model.trainable_weights),
        "clips": {"train": len(targets), "infer": arguments.batch},
        "frame_flops": 2 * products,
    }


def prepare_emorec(arguments: argparse.Namespace) -> tuple[Answer, Wait, dict]:
    """Return a step as emorec takes it."""
    from emorec.training import backend

    backend.prepare(0, arguments.precision)
    import keras

    from emorec.training.optimizers import GroupedSGD, Milestones

    model = build(arguments)
    with np.load(arguments.folder / "weights.npz") as archive:
        for name, weight in weights_of(model):
            weight.assign(archive[name])
    # As the training decides it.
    compiled = backend.compilation_of_convolutions(arguments.jit) is not False
    inputs = dict(np.load(arguments.folder / f"{arguments.what}.npz"))
    targets = inputs.pop("targets")
    if arguments.what == "infer":
        return *keras_answer(model, inputs, compiled), {}
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    optimizer = GroupedSGD(Milestones(LEARNING_RATE, (40,), 100), MOMENTUM, DECAY)
    step, wait = keras_step(model, optimizer, loss, inputs, targets, compiled)
    return step, wait, {}


def keras_answer(model, inputs, compiled: bool) -> tuple[Answer, Wait]:
    """Return the function that gives logits of a batch on the device, and its wait."""
    import keras

    last = []
    if keras.backend.backend() == "jax":
        import jax

        inputs = jax.device_put(inputs)
        groups = (model.trainable_variables, model.non_trainable_variables)
        state = [[variable.value for variable in group] for group in groups]
        apply = jax.jit(
            lambda state, x: model.stateless_call(*state, x, training=False)[0]
        )

        def answer():
            last[:] = [apply(state, inputs)]
            return last[0]

        return answer, lambda: jax.block_until_ready(last)
    import tensorflow as tf

    inputs = tf.nest.map_structure(tf.constant, inputs)
    apply = tf.function(lambda x: model(x, training=False), jit_compile=compiled)

    def answer():
        last[:] = [apply(inputs)]
        return last[0]

    return answer, lambda: last[0].numpy()


def prepare_pytorch(arguments: argparse.Namespace) -> tuple[Answer, Wait, dict]:
    """Return the same step of PyTorch."""
    import torch
    from audiovisual_torch import Network, load, of_keras

    device, wait = torch_device()
    # XLA's default; PyTorch's own is TF32 in convolutions only.
    torch.set_float32_matmul_precision("high")
    first = arguments.run.endswith("channels first")
    network = Network(arguments.fusion, channels_last=not first)
    with np.load(arguments.folder / "weights.npz") as archive:
        load(network, of_keras(network, dict(archive)))
    network.to(device).train(arguments.what == "train")
    batch = dict(np.load(arguments.folder / f"{arguments.what}.npz"))
    batch = {name: torch.from_numpy(x).to(device) for name, x in batch.items()}
    targets, inputs = batch.pop("targets"), (batch["audio"], batch["video"])
    bf16 = arguments.precision == "mixed_bfloat16"
    model = torch.compile(network) if arguments.run.endswith("compiled") else network
    about = {"parameters": sum(tensor.numel() for tensor in network.parameters())}
    if arguments.what == "infer":

        @torch.inference_mode()
        def answer():
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                return model(*inputs).float().cpu()

        return answer, wait, about
    optimizer = torch.optim.SGD(
        network.parameters(),
        LEARNING_RATE,
        MOMENTUM,
        weight_decay=DECAY,
        fused=device.type == "cuda",
    )
    loss = torch.nn.functional.cross_entropy
    return torch_step(model, optimizer, loss, inputs, targets, bf16), wait, about


def serve(arguments: argparse.Namespace) -> None:
    """Take two steps, say what came of them, and then steps by turns."""
    emorec = arguments.run.startswith("emorec")
    prepare = prepare_emorec if emorec else prepare_pytorch
    step, wait, about = prepare(arguments)
    began = time.perf_counter()
    # Logits, or the loss; the second step is of other weights in training.
    values = [np.asarray(step(), np.float32).tolist()]
    about["first_s"] = time.perf_counter() - began
    values.append(np.asarray(step(), np.float32).tolist())
    wait()
    kind = keras_device if emorec else torch_kind
    print(json.dumps({**about, **kind(), "values": values}), flush=True)
    for _ in sys.stdin:
        began, worked = time.perf_counter(), time.process_time()
        for _ in range(arguments.steps):
            step()
        wait()
        seconds = time.perf_counter() - began, time.process_time() - worked
        wall, core = (value / arguments.steps for value in seconds)
        most = kind()["peak_bytes"]
        print(json.dumps({"s": wall, "core_s": core, "peak_bytes": most}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", required=True)
    parser.add_argument("--what", choices=WHAT, default="train")
    parser.add_argument("--fusion", choices=FUSIONS, default="ia")
    parser.add_argument("--mask", default="softhard")
    parser.add_argument("--precision", choices=PRECISIONS, default="float32")
    parser.add_argument("--jit", default="auto")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--frames", type=int, default=15)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--cores", type=int, help="threads; all cores by default")
    parser.add_argument("--folder", type=Path, required=True, help="of the arrays")
    arguments = parser.parse_args()
    if arguments.cores:
        # Before anything is imported that reads them. The system may still choose the
        # least busy cores.
        names = ("OMP_NUM_THREADS", "NPROC", "PJRT_NPROC")
        names += ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
        os.environ |= dict.fromkeys(names, str(arguments.cores))
    if arguments.run == "prepare":
        print(json.dumps(run_prepare(arguments)))
    else:
        serve(arguments)


if __name__ == "__main__":
    main()
