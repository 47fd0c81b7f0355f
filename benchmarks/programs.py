"""What benchmarks of training share: programs that take turns, timed steps, peaks.

Imported by the scripts beside it, also where PyTorch but not emorec is installed.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

# Dense products in TFLOP/s, in bfloat16 and in TF32, of NVIDIA's data sheets; the first
# name that a device's name contains counts.
PEAKS = {
    "H200 NVL": (835, 418),
    "H200": (989, 495),
    "H100 NVL": (835, 418),
    "H100 PCIe": (756, 378),
    "H100": (989, 495),
}
GROUPS = 5


def known_peak(device: str, precision: str) -> float | None:
    """Return the TFLOP/s of a device, in TF32 for float32; None for an unknown one."""
    found = [peaks for name, peaks in PEAKS.items() if name in device]
    return float(found[0][precision == "float32"]) if found else None


def timed(step: Callable[[], Any], wait: Callable[[], None], count: int) -> dict:
    """Time groups of steps, waiting for the device at the end of each.

    Returns ``first_s``, which is mostly compiling; the seconds of a step in each group,
    ``groups_s``; and their median, ``step_s``.
    """
    began = time.perf_counter()
    step()
    wait()
    first = time.perf_counter() - began
    step()  # some compile what they have seen twice
    wait()
    seconds = []
    for _ in range(GROUPS):
        began = time.perf_counter()
        for _ in range(count):
            step()
        wait()
        seconds.append((time.perf_counter() - began) / count)
    return {
        "first_s": first,
        "step_s": statistics.median(seconds),
        "groups_s": seconds,
    }


def run(
    command: Iterable[Any], name: str, environment: Mapping[str, str] | None = None
) -> dict | None:
    """Run a program; return the JSON object of its last line.

    None, and the reason on standard error, where it failed.
    """
    done = subprocess.run(
        [str(word) for word in command],
        env={"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, **(environment or {})},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or [f"exit {done.returncode}"]
        print(f"{name}: {' '.join(reason)}", file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def take_turns(
    script: str,
    programs: Iterable[str],
    rounds: int,
    torch: str,
    options: Mapping[str, Any],
    environment: Mapping[str, str] | None = None,
) -> dict[str, list[dict]]:
    """Run each program once a round, in a process of its own; return what they say.

    Those whose names begin with pytorch are run by the interpreter `torch`. `script`
    gets ``--run PROGRAM`` and the options.
    """
    results: dict[str, list[dict]] = {}
    words = [word for pair in options.items() for word in pair]
    for _ in range(rounds):
        for program in programs:
            interpreter = torch if program.startswith("pytorch") else sys.executable
            command = [interpreter, script, "--run", program, *words]
            line = run(command, program, environment)
            if line is not None:
                results.setdefault(program, []).append(line)
    return results


def median_of(lines: Iterable[dict], name: str) -> float:
    return statistics.median(line[name] for line in lines)


def over_emorec(times: Mapping[str, float]) -> dict[str, float]:
    """Return each time over that of emorec; nothing where that is missing."""
    mine = times.get("emorec")
    return {name: round(x / mine, 3) for name, x in times.items()} if mine else {}


def keras_step(
    model, optimizer, loss, inputs, targets, compiled: bool = True
) -> tuple[Callable[[], Any], Callable[[], None]]:
    """Return a training step of Keras' model, which returns the loss, and its wait.

    `loss` takes targets and outputs and returns one number. JAX compiles always;
    TensorFlow by XLA where `compiled`.
    """
    import keras

    optimizer.build(model.trainable_variables)
    make = _jax_step if keras.backend.backend() == "jax" else _tensorflow_step
    return make(model, optimizer, loss, inputs, targets, compiled)


def _jax_step(model, optimizer, loss, inputs, targets, compiled):
    import jax

    inputs, targets = jax.device_put((inputs, targets))

    def objective(trainable, others, inputs, targets):
        outputs, others = model.stateless_call(trainable, others, inputs, training=True)
        return loss(targets, outputs), others

    def train(state, inputs, targets):
        trainable, others, moments = state
        gradient = jax.value_and_grad(objective, has_aux=True)
        (value, others), gradients = gradient(trainable, others, inputs, targets)
        trainable, moments = optimizer.stateless_apply(moments, gradients, trainable)
        # Always lists: another kind of container would be compiled anew.
        return value, [list(group) for group in (trainable, others, moments)]

    # Donated, a state leaves its memory to the next one.
    train = jax.jit(train, donate_argnums=0)
    groups = (
        model.trainable_variables,
        model.non_trainable_variables,
        optimizer.variables,
    )
    # Copies, so that the model keeps its own.
    state = [[jax.numpy.array(variable.value) for variable in g] for g in groups]
    states = [state]

    def step():
        value, states[0] = train(states[0], inputs, targets)
        return value

    return step, lambda: jax.block_until_ready(states[0])


def _tensorflow_step(model, optimizer, loss, inputs, targets, compiled):
    import tensorflow as tf

    inputs = tf.nest.map_structure(tf.constant, inputs)
    targets = tf.constant(targets)
    last = []

    @tf.function(jit_compile=compiled)
    def train(inputs, targets):
        with tf.GradientTape() as tape:
            value = loss(targets, model(inputs, training=True))
        gradients = tape.gradient(value, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return value

    def step():
        last[:] = [train(inputs, targets)]
        return last[0]

    return step, lambda: last[0].numpy()


def keras_device() -> dict:
    """Return backend, device and, on an accelerator, the most bytes held so far."""
    import keras

    name = keras.backend.backend()
    if name == "jax":
        import jax

        device = jax.devices()[0]
        most = (device.memory_stats() or {}).get("peak_bytes_in_use")
        return {"backend": name, "device": device.device_kind, "peak_bytes": most}
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return {"backend": name, "device": "cpu", "peak_bytes": None}
    details = tf.config.experimental.get_device_details(gpus[0])
    most = tf.config.experimental.get_memory_info("GPU:0")["peak"]
    return {"backend": name, "device": details["device_name"], "peak_bytes": most}


def torch_device() -> tuple[Any, Callable[[], None]]:
    """Return PyTorch's device and the function that waits for it."""
    import torch

    gpu = torch.cuda.is_available()
    torch.backends.cudnn.benchmark = True
    wait = torch.cuda.synchronize if gpu else lambda: None
    return torch.device("cuda" if gpu else "cpu"), wait


def torch_kind() -> dict:
    """Return the device and, on a GPU, the most bytes held so far."""
    import torch

    if not torch.cuda.is_available():
        return {"device": "cpu", "peak_bytes": None}
    return {
        "device": torch.cuda.get_device_name(),
        "peak_bytes": torch.cuda.max_memory_allocated(),
    }


def torch_step(
    model, optimizer, loss, inputs: tuple, targets, bf16: bool
) -> Callable[[], Any]:
    """Return a training step of PyTorch's model, which returns the loss.

    `loss` takes outputs in float32 and targets.
    """
    import torch

    def step():
        optimizer.zero_grad()
        with torch.autocast(inputs[0].device.type, torch.bfloat16, enabled=bf16):
            outputs = model(*inputs)
        value = loss(outputs.float(), targets)
        value.backward()
        optimizer.step()
        return value.detach()

    return step
