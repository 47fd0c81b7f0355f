"""Laws that every network of emorec keeps, to be run on a small example of it.

A test of a network makes a `Subject` and is parametrised over `LAWS`::

    @pytest.mark.parametrize("law", LAWS, ids=law_name)
    def test_the_network_keeps(law): law(SUBJECT)

`run_on_jax` calls a function of a test module where TensorFlow cannot be imported.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
TOLERANCE = 1e-6
# No float in [-1, 1] that a sum could swallow.
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

    def model(self) -> keras.Model:
        """Build the network, always with the same weights."""
        keras.utils.set_random_seed(0)
        model = self.build(**self.kwargs)
        # Fresh weights hold zeros and ones, which hide what they multiply.
        random = np.random.default_rng(0)
        for weight in model.trainable_variables:
            noise = random.normal(0, 0.1, weight.shape)
            weight.assign(keras.ops.convert_to_numpy(weight) + noise)
        return model

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

    def spoilt_padding(self) -> dict[str, np.ndarray]:
        """Put garbage into the padded steps of all inputs but the mask."""
        changed = dict(self.inputs)
        for name in self.steps:
            if name != self.mask:
                changed[name] = changed[name].copy()
                changed[name][~self.inputs[self.mask]] = GARBAGE
        return changed

    def spoilt_absence(self) -> dict[str, np.ndarray]:
        """Put garbage where a modality is absent."""
        return self.inputs | {
            name: np.where(where, np.float32(GARBAGE), self.inputs[name])
            for name, where in self.absent.items()
        }

    def outputs(self, model: keras.Model, inputs: dict | None = None) -> np.ndarray:
        """Return the outputs (B, K); of a network per step those of real steps."""
        result = model(inputs or self.inputs, training=False)
        result = keras.ops.convert_to_numpy(result).astype(np.float32)
        if self.mask is not None and self.targets.ndim == 3:
            real = self.inputs[self.mask]
            result = result[:, : real.shape[1]][real]
        assert np.isfinite(result).all()
        return result


def equal(received, expected) -> None:
    """Compare to `TOLERANCE`."""
    np.testing.assert_allclose(received, expected, rtol=0, atol=TOLERANCE)


def outputs_have_the_shape_of_the_targets(subject: Subject) -> None:
    result = subject.model()(subject.inputs, training=False)
    assert tuple(result.shape) == subject.targets.shape


def outputs_differ_between_inputs(subject: Subject) -> None:
    outputs = subject.outputs(subject.model())
    assert (np.ptp(outputs, axis=0) > 1e-3).all()


def a_saved_network_is_loaded_in_safe_mode_with_equal_outputs(subject: Subject) -> None:
    model = subject.model()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        again = keras.saving.load_model(path, safe_mode=True)
    assert again.get_config() == model.get_config()
    np.testing.assert_array_equal(subject.outputs(again), subject.outputs(model))


def one_step_lowers_the_loss_and_moves_every_weight(subject: Subject) -> None:
    model = subject.model()
    optimizer = keras.optimizers.Adam(1e-3)
    model.compile(optimizer, "mse", run_eagerly=keras.backend.backend() != "jax")
    weights = None
    if subject.mask is not None and subject.targets.ndim == 3:
        weights = subject.inputs[subject.mask].astype(np.float32)

    def loss():
        output = model(subject.inputs, training=False)
        squares = (keras.ops.convert_to_numpy(output) - subject.targets) ** 2
        return np.average(squares.mean(-1), weights=weights)

    start = loss()
    before = [np.array(weight) for weight in model.trainable_variables]
    model.train_on_batch(subject.inputs, subject.targets, sample_weight=weights)
    assert loss() < start
    for weight, old in zip(model.trainable_variables, before, strict=True):
        assert (np.array(weight) != old).any(), weight.path


def appended_padding_changes_no_output(subject: Subject) -> None:
    model = subject.model()
    outputs = subject.outputs(model, subject.padded())
    equal(outputs, subject.outputs(model))


def garbage_in_padded_steps_changes_no_output(subject: Subject) -> None:
    model = subject.model()
    outputs = subject.outputs(model, subject.spoilt_padding())
    equal(outputs, subject.outputs(model))


def values_of_an_absent_modality_change_no_output(subject: Subject) -> None:
    model = subject.model()
    outputs = subject.outputs(model, subject.spoilt_absence())
    equal(outputs, subject.outputs(model))


def training_statistics_exclude_padding_and_absence(subject: Subject) -> None:
    def statistics(inputs):
        model = subject.model()
        model(inputs, training=True)
        layers = [
            layer
            for layer in model._flatten_layers()
            if isinstance(layer, keras.layers.BatchNormalization)
        ]
        found = [layer.moving_mean for layer in layers]
        found += [layer.moving_variance for layer in layers]
        return [keras.ops.convert_to_numpy(variable) for variable in found]

    changed = [subject.padded(), subject.spoilt_padding(), subject.spoilt_absence()]
    expected = statistics(subject.inputs)
    for inputs in changed:
        for mine, theirs in zip(statistics(inputs), expected, strict=True):
            equal(mine, theirs)


def outputs_stay_float32_under_mixed_precision(subject: Subject) -> None:
    expected = subject.outputs(subject.model())
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = subject.model()
    finally:
        keras.config.set_dtype_policy(before)
    result = model(subject.inputs, training=False)
    assert keras.backend.standardize_dtype(result.dtype) == "float32"
    # bfloat16 has eight bits of mantissa.
    received = subject.outputs(model)
    np.testing.assert_allclose(received, expected, atol=0.1)
    assert (received != expected).any()


LAWS = (
    outputs_have_the_shape_of_the_targets,
    outputs_differ_between_inputs,
    a_saved_network_is_loaded_in_safe_mode_with_equal_outputs,
    one_step_lowers_the_loss_and_moves_every_weight,
    appended_padding_changes_no_output,
    garbage_in_padded_steps_changes_no_output,
    values_of_an_absent_modality_change_no_output,
    training_statistics_exclude_padding_and_absence,
    outputs_stay_float32_under_mixed_precision,
)


def law_name(law: Callable) -> str:
    """Name the law in a test's id."""
    return law.__name__


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
