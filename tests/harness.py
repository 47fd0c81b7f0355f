"""Laws that every network of emorec keeps, to be run on a small example of it.

The test of a network names its examples and tries each law on each of them::

    SUBJECTS = {"two layers": Subject(build, {"num_layers": 2}, inputs, targets)}

    @pytest.mark.parametrize("subject, law", cases(SUBJECTS))
    def test_the_network_keeps_the_law(subject, law):
        law(subject)

`run_on_jax` calls a function of a test module where TensorFlow cannot be imported.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
TOLERANCE = 1e-6
GARBAGE = 1000.0


@dataclass(frozen=True, eq=False)
class Subject:
    """A network with a batch for it.

    Attributes
    ----------
    build : callable
        ``build(**kwargs)`` returns a `keras.Model` that takes `inputs`.
    kwargs : dict
        Arguments of `build`.
    inputs : dict
        Name -> array. With a `mask`, arrays of its leading shape (B, T) have steps.
    targets : array
        (B, K), or (B, T, K) for a network with an output per step.
    mask : str or None
        The input (B, T) that is True at real steps, which come first.
    absent : dict
        Name of an input -> bool array of its shape, True where a modality is absent,
        so that the values must not matter.
    """

    build: Callable[..., keras.Model]
    kwargs: dict[str, Any]
    inputs: dict[str, np.ndarray]
    targets: np.ndarray
    mask: str | None = None
    absent: dict[str, np.ndarray] = field(default_factory=dict)

    def fresh(self) -> keras.Model:
        """Build the network, always with the same weights."""
        keras.utils.set_random_seed(0)
        model = self.build(**self.kwargs)
        # Fresh weights hold zeros and ones, which hide what they multiply.
        random = np.random.default_rng(0)
        for weight in model.trainable_variables:
            noise = random.normal(0, 0.1, weight.shape)
            weight.assign(keras.ops.convert_to_numpy(weight) + noise)
        return model

    @cached_property
    def model(self) -> keras.Model:
        """The network for all laws that leave it as it is."""
        return self.fresh()

    @cached_property
    def expected(self) -> np.ndarray:
        """Its outputs for the inputs as they are."""
        return self.outputs(self.model)

    @property
    def steps(self) -> list[str]:
        """The inputs with an axis of steps; none where the network has no mask."""
        if self.mask is None:
            return []
        leading = self.inputs[self.mask].shape
        return [name for name, x in self.inputs.items() if x.shape[:2] == leading]

    def padded(self, count: int = 3) -> dict[str, np.ndarray]:
        """Append `count` padded steps, all zero, to the inputs."""
        return self.inputs | {
            name: np.concatenate([x, np.zeros_like(x[:, :1]).repeat(count, 1)], 1)
            for name in self.steps
            for x in [self.inputs[name]]
        }

    def spoilt(self, padding: bool = False, absence: bool = False) -> dict:
        """Put garbage into padded steps, and where a modality is absent."""
        changed = {name: x.copy() for name, x in self.inputs.items()}
        for name in self.steps if padding else ():
            if name != self.mask:
                changed[name][~self.inputs[self.mask]] = GARBAGE
        for name, where in self.absent.items() if absence else ():
            changed[name][where] = GARBAGE
        return changed

    def real(self, output) -> np.ndarray:
        """Return outputs (B, K) as they are, outputs per step of real steps."""
        output = keras.ops.convert_to_numpy(output).astype(np.float32)
        if self.mask is not None and self.targets.ndim == 3:
            mask = self.inputs[self.mask]
            output = output[:, : mask.shape[1]][mask]
        assert np.isfinite(output).all()
        return output

    def outputs(self, model: keras.Model, inputs: dict | None = None) -> np.ndarray:
        """Return the outputs at inference, as `real` does."""
        return self.real(call(model, inputs or self.inputs))


Law = Callable[[Subject], None]


def call(model: keras.Model, inputs: dict) -> Any:
    """Call at inference, compiled or not, whichever is faster for a single call."""
    if keras.backend.backend() == "jax":
        return model.predict_on_batch(inputs)
    return model(inputs, training=False)


def equal(received, expected) -> None:
    """Compare to `TOLERANCE`."""
    received, expected = map(keras.ops.convert_to_numpy, (received, expected))
    np.testing.assert_allclose(received, expected, rtol=0, atol=TOLERANCE)


def outputs_have_the_shape_of_the_targets_and_tell_inputs_apart(subject):
    output = call(subject.model, subject.inputs)
    assert tuple(output.shape) == subject.targets.shape
    assert (np.ptp(subject.expected, axis=0) > 1e-3).all()


def a_saved_network_is_loaded_in_safe_mode_with_equal_outputs(subject):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        subject.model.save(path)
        again = keras.saving.load_model(path, safe_mode=True)
    np.testing.assert_array_equal(subject.outputs(again), subject.expected)


def one_step_lowers_the_loss_and_moves_every_weight(subject):
    model, targets = subject.fresh(), subject.real(subject.targets)
    eagerly = keras.backend.backend() != "jax"
    model.compile(keras.optimizers.Adam(1e-3), "mse", run_eagerly=eagerly)
    weights = None
    if subject.mask is not None and subject.targets.ndim == 3:
        weights = subject.inputs[subject.mask].astype(np.float32)
    before = [keras.ops.convert_to_numpy(x) + 0 for x in model.trainable_variables]
    model.train_on_batch(subject.inputs, subject.targets, sample_weight=weights)
    trained = np.mean((subject.outputs(model) - targets) ** 2)
    assert trained < np.mean((subject.expected - targets) ** 2)
    for weight, old in zip(model.trainable_variables, before, strict=True):
        assert (keras.ops.convert_to_numpy(weight) != old).any(), weight.path


def appended_padding_changes_no_output(subject):
    equal(subject.outputs(subject.model, subject.padded()), subject.expected)


def garbage_in_padded_steps_changes_no_output(subject):
    spoilt = subject.spoilt(padding=True)
    equal(subject.outputs(subject.model, spoilt), subject.expected)


def values_of_an_absent_modality_change_no_output(subject):
    spoilt = subject.spoilt(absence=True)
    equal(subject.outputs(subject.model, spoilt), subject.expected)


def training_statistics_exclude_padding_and_absence(subject):
    model = subject.model
    names = [variable.path for variable in model.non_trainable_variables]
    moving = [name.endswith(("moving_mean", "moving_variance")) for name in names]
    if not any(moving):
        return  # nothing that a batch leaves behind
    step = partial(model.stateless_call, training=True)
    if keras.backend.backend() == "jax":
        from jax import jit

        step = jit(step)
    state = [
        [variable.value for variable in variables]
        for variables in (model.trainable_variables, model.non_trainable_variables)
    ]

    def statistics(inputs):
        _, after = step(*state, inputs)
        return [x for x, is_moving in zip(after, moving, strict=True) if is_moving]

    before = [x for x, is_moving in zip(state[1], moving, strict=True) if is_moving]
    expected = statistics(subject.inputs)
    found = statistics(subject.spoilt(padding=True, absence=True))
    for old, new, spoilt in zip(before, expected, found, strict=True):
        assert (np.asarray(new) != np.asarray(old)).any()
        equal(spoilt, new)


def outputs_stay_float32_under_mixed_precision(subject):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = subject.fresh()
    finally:
        keras.config.set_dtype_policy(before)
    for output in model.outputs:
        assert output.dtype == "float32"
    # bfloat16 has eight bits of mantissa.
    received = subject.outputs(model)
    np.testing.assert_allclose(received, subject.expected, atol=0.1)
    assert (received != subject.expected).any()


LAWS = (
    outputs_have_the_shape_of_the_targets_and_tell_inputs_apart,
    a_saved_network_is_loaded_in_safe_mode_with_equal_outputs,
    one_step_lowers_the_loss_and_moves_every_weight,
    appended_padding_changes_no_output,
    garbage_in_padded_steps_changes_no_output,
    values_of_an_absent_modality_change_no_output,
    training_statistics_exclude_padding_and_absence,
    outputs_stay_float32_under_mixed_precision,
)


def laws(subject: Subject) -> list[Law]:
    """Return the laws that have a meaning for this network."""
    meant = dict.fromkeys(LAWS, True)
    meant[appended_padding_changes_no_output] = subject.mask is not None
    meant[garbage_in_padded_steps_changes_no_output] = subject.mask is not None
    meant[values_of_an_absent_modality_change_no_output] = bool(subject.absent)
    return [law for law in LAWS if meant[law]]


def cases(subjects: dict[str, Subject]) -> list:
    """Return every subject with each of its laws, for ``pytest.mark.parametrize``."""
    return [
        pytest.param(subject, law, id=f"{name}-{law.__name__}")
        for name, subject in subjects.items()
        for law in laws(subject)
    ]


_WITHOUT_TENSORFLOW = """
import importlib, sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tensorflow":
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)

sys.meta_path.insert(0, Hidden())
module, function, *arguments = sys.argv[1:]
getattr(importlib.import_module(module), function)(*arguments)
import keras
assert keras.backend.backend() == "jax"
assert "tensorflow" not in sys.modules
"""


def run_on_jax(module: str, function: str, *arguments: Any) -> None:
    """Call ``module.function(*arguments)`` on JAX, where TensorFlow is not found.

    In a process of its own; the arguments arrive as text.
    """
    searched = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # compiling takes longer than running
        "PYTHONPATH": os.pathsep.join(filter(None, searched)),
    }
    result = subprocess.run(
        [sys.executable, "-c", _WITHOUT_TENSORFLOW, module, function]
        + [str(argument) for argument in arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-3000:]
