"""The programs that `voices_training` compares, each for a process of its own.

Prints one JSON object. Beside NumPy the programs of PyTorch need nothing but PyTorch.
"""

from __future__ import annotations

import argparse
import inspect
import json
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from programs import (
    keras_device,
    keras_step,
    timed,
    torch_device,
    torch_kind,
    torch_step,
)

LABELS, RATE, TEMPERATURE = 8, 16_000, 2.0
LEARNING_RATE, MOMENTUM, DECAY = 1e-3, 0.9, 5e-4
# What is trained on which features.
PRESETS = {"voxceleb": "vggm", "logmel": "compact"}
PRECISIONS = ("float32", "mixed_bfloat16")


def draw(batch: int, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Return waveforms (B, N), each a voice of its own, and a teacher's logits (B, K).

    Were all of them noise, batch normalisation would divide by what rounding leaves.
    """
    random = np.random.default_rng(0)
    time_of = np.arange(samples, dtype=np.float32) / RATE
    waves = 0.01 * random.standard_normal((batch, samples), dtype=np.float32)
    for wave in waves:
        drawn = random.uniform((80, 0.5, 1), (300, 20, 8)).astype(np.float32)
        pitch, bend, rate = drawn
        phase = 2 * np.pi * pitch * time_of + bend * np.sin(rate * time_of)
        for harmonic in (1, 2, 3, 5, 8):
            wave += random.uniform(0, 0.1) * np.sin(harmonic * phase)
        wave *= 0.2 + np.abs(np.sin(rate * time_of))
    logits = 2 * random.standard_normal((batch, LABELS), dtype=np.float32)
    return waves, logits


def settings(arguments: argparse.Namespace):
    """Return the configuration that is trained: a preset with a constant rate."""
    from emorec.training.voices_config import PRESETS as CONFIGS

    return replace(
        CONFIGS[PRESETS[arguments.features]],
        num_seconds=arguments.seconds,
        batch_size=arguments.batch,
        precision=arguments.precision,
        **{"schedule": "constant", "warmup": 0.0, "learning_rate": LEARNING_RATE},
        **{"momentum": MOMENTUM, "weight_decay": DECAY, "temperature": TEMPERATURE},
    )


def build(config, narrow: int, frames: int | None = None):
    """Build the student of a configuration, its channels divided by `narrow`."""
    from emorec.models import vggm

    make = vggm.student if config.student == "vggm" else vggm.compact
    widths = inspect.signature(make).parameters["widths"].default
    narrowed = [max(2, width // narrow) for width in widths]
    return make(LABELS, frames=frames, widths=narrowed)


def run_prepare(arguments: argparse.Namespace) -> dict:
    """Write the archive of weights; count parameters and FLOPs of one clip."""
    from emorec.features.mel import mel_filters
    from emorec.training import backend

    config = settings(arguments)
    backend.prepare(0)
    import keras

    student = build(config, arguments.narrow, config.speech_input.frames)
    weights = {
        f"{layer.name}/{weight.name}": np.asarray(weight)
        for layer in student.layers
        for weight in layer.weights
    }
    if config.features == "logmel":
        weights["filters"] = mel_filters()
    np.savez(arguments.weights, **weights)
    products = 0
    for layer in student.layers:
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense)):
            # Each place of an output takes one product with the whole kernel.
            places = int(np.prod(layer.output.shape[1:-1]))
            products += places * int(np.prod(layer.kernel.shape))
    return {
        "parameters": sum(int(np.prod(w.shape)) for w in student.trainable_weights),
        "forward_flops": 2 * products,
        "input": [config.speech_input.bins, config.speech_input.frames],
        "samples": config.speech_input.samples,
    }


def measured(step, wait, count: int) -> dict:
    """Time a step and keep its first losses."""
    losses = []

    def kept():
        value = step()
        if len(losses) < 3:
            losses.append(value)

    times = timed(kept, wait, count)
    return times | {"losses": [float(value) for value in losses]}


def run_emorec(arguments: argparse.Namespace) -> dict:
    from emorec.training import backend

    config = settings(arguments)
    backend.prepare(0, config.precision)
    from keras import ops

    from emorec.models.speech_layers import FrontEnd
    from emorec.training.distillation import distillation_loss
    from emorec.training.voice_learner import learner, optimizer_of

    student = build(config, arguments.narrow)
    with np.load(arguments.weights) as weights:
        for layer in student.layers:
            names = [f"{layer.name}/{weight.name}" for weight in layer.weights]
            layer.set_weights([weights[name] for name in names])
    of_rows = distillation_loss(config.loss_type, config.temperature)
    # As the training decides it.
    compiled = backend.compilation_of_convolutions(config.jit) is not False

    def loss(teacher, logits):
        return ops.mean(of_rows(teacher, logits))

    def made(inputs):
        model = learner(config, student, inputs.shape[1:])
        optimizer = optimizer_of(config, 1000)
        step, wait = keras_step(model, optimizer, loss, inputs, logits, compiled)
        return measured(step, wait, arguments.steps)

    waves, logits = draw(arguments.batch, config.speech_input.samples)
    result = made(waves) | keras_device()
    # TensorFlow's variables have learnt in the meantime, which changes no time.
    without = made(np.asarray(FrontEnd(config.features)(waves)))
    return result | {"without_s": without["step_s"]}


def run_pytorch(arguments: argparse.Namespace) -> dict:
    import torch
    from voices_torch import FrontEnd, Heard, Network, soft_loss

    device, wait = torch_device()
    # XLA's default; PyTorch's own is TF32 in convolutions only.
    torch.set_float32_matmul_precision("high")
    with np.load(arguments.weights) as archive:
        weights = dict(archive)
    waves, logits = draw(arguments.batch, arguments.samples)
    waves, logits = (torch.from_numpy(x).to(device) for x in (waves, logits))
    published = arguments.features == "voxceleb"
    network = Network(weights, published).to(device)
    network = network.to(memory_format=torch.channels_last)
    front_end = FrontEnd(arguments.samples, weights.get("filters")).to(device)
    optimizer = torch.optim.SGD(
        network.parameters(),
        LEARNING_RATE,
        MOMENTUM,
        weight_decay=DECAY,
        fused=device.type == "cuda",
    )
    bf16 = arguments.precision == "mixed_bfloat16"

    def loss(outputs, teacher):
        return soft_loss(outputs, teacher, TEMPERATURE)

    def made(model, inputs):
        if arguments.run.endswith("compiled"):
            model = torch.compile(model)
        step = torch_step(model, optimizer, loss, (inputs,), logits, bf16)
        return measured(step, wait, arguments.steps)

    count = sum(tensor.numel() for tensor in network.parameters())
    result = made(Heard(front_end, network), waves) | torch_kind()
    with torch.no_grad():
        spectrograms = front_end(waves)
    without = made(network, spectrograms)
    return result | {"without_s": without["step_s"], "parameters": count}


def run_input(arguments: argparse.Namespace) -> dict:
    """Serve waveforms from disk; return clips per second of each way, by round."""
    from voices_input import write_sounds

    from emorec.batches.sound_parts import Sounds
    from emorec.batches.sounds import SoundPipeline, SpeechInput
    from emorec.training import backend

    name = backend.choose_backend()
    from emorec.batches.threaded import THREADS

    rates: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        paths, lengths = write_sounds(Path(folder), arguments.clips)
        # The files lie in the system's cache after the first time, so a few are enough.
        paths, lengths = 4 * paths, np.tile(lengths, 4)
        pipeline = SoundPipeline(
            *(Sounds(paths, lengths, cache=0), lambda *part: np.zeros(LABELS), LABELS),
            *(SpeechInput(seconds=arguments.seconds), arguments.batch),
            shuffle=True,
            waves=True,
        )

        def by_threads(count):
            def serve(epoch):
                with ThreadPoolExecutor(count) as threads:
                    made = threads.map(
                        lambda number: len(pipeline.batch(epoch, number)[0]),
                        range(len(pipeline)),
                    )
                    return sum(made)

            return serve

        def as_trained(epoch):
            pipeline.epoch = epoch
            data = pipeline.dataset
            if name == "jax":
                return sum(len(data[number][0]) for number in range(len(data)))
            return sum(len(waves) for waves, _ in data)

        ways = {f"{count} threads": by_threads(count) for count in arguments.threads}
        ways[f"as {name} is served, {THREADS} threads"] = as_trained
        for epoch in range(max(3, arguments.rounds) + 1):
            for way, serve in ways.items():
                began = time.perf_counter()
                count = serve(epoch)
                if epoch:  # the first fills the system's cache
                    rate = count / (time.perf_counter() - began)
                    rates.setdefault(way, []).append(rate)
    return {"clips_per_s": rates}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", required=True)
    parser.add_argument("--features", choices=PRESETS, default="voxceleb")
    parser.add_argument("--precision", choices=PRECISIONS, default="float32")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--samples", type=int, help="of a clip, for PyTorch")
    parser.add_argument("--narrow", type=int, default=1, help="divides all channels")
    parser.add_argument("--weights", type=Path, help="the archive")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--clips", type=int, default=512)
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    arguments = parser.parse_args()
    programs = {"prepare": run_prepare, "emorec": run_emorec, "input": run_input}
    print(json.dumps(programs.get(arguments.run, run_pytorch)(arguments)))


if __name__ == "__main__":
    main()
