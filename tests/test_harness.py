"""The harness itself: each of its laws catches a network that breaks it."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers, ops

from tests import harness
from tests.harness import Subject, laws, run_on_jax


class Forgetful(layers.Layer):
    """A layer whose config lacks its factor."""

    def __init__(self, factor=1.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x):
        return self.factor * x

    def get_config(self):
        config = super().get_config()
        return {name: config[name] for name in ("name", "dtype")}


keras.saving.register_keras_serializable("tests")(Forgetful)


def mean_network(defect=""):
    """Average present features over real steps; with one defect, if any."""
    features = keras.Input((None, 3), name="features")
    mask = keras.Input((None,), dtype="bool", name="mask")
    presence = keras.Input((None, 1), name="presence")
    x = features if defect == "reads absence" else features * presence
    x = layers.BatchNormalization()(
        x, mask=None if defect == "counts padding in statistics" else mask
    )
    real = ops.expand_dims(ops.cast(mask, "float32"), -1)
    if defect != "reads padding":
        x = x * real
    count = ops.sum(ops.ones_like(real) if defect == "divides by all" else real, 1)
    x = ops.sum(x, 1) / count
    if defect == "a dead weight":
        x = x + 0 * layers.Dense(3)(x)
    if defect == "forgets an argument":
        x = Forgetful(2.0)(x)
    if defect == "says always the same":
        x = 0 * x
    output = layers.Dense(2, dtype=None if defect == "narrow" else "float32")(x)
    if defect == "learns backwards":
        output = 2 * ops.stop_gradient(output) - output
    inputs = {"features": features, "mask": mask, "presence": presence}
    return keras.Model(inputs, output)


RNG = np.random.default_rng(0)
MASK = np.arange(4) < np.array([4, 2, 1])[:, None]
PRESENT = np.array([[1, 1, 0, 1], [1, 0, 0, 0], [1, 0, 0, 0]], bool)
SOUND = Subject(
    mean_network,
    {},
    {
        "features": RNG.normal(0, 1, (3, 4, 3)).astype(np.float32) * PRESENT[..., None],
        "mask": MASK,
        "presence": PRESENT[..., None].astype(np.float32),
    },
    RNG.uniform(1, 2, (3, 2)).astype(np.float32),
    mask="mask",
    absent={"features": np.repeat((MASK & ~PRESENT)[..., None], 3, axis=-1)},
)


@pytest.mark.parametrize("law", laws(SOUND), ids=lambda law: law.__name__)
def test_a_sound_network_passes(law):
    law(SOUND)


DEFECTS = {
    "says always the same": (
        harness.outputs_have_the_shape_of_the_targets_and_tell_inputs_apart
    ),
    "forgets an argument": (
        harness.a_saved_network_is_loaded_in_safe_mode_with_equal_outputs
    ),
    "learns backwards": harness.one_step_lowers_the_loss_and_moves_every_weight,
    "a dead weight": harness.one_step_lowers_the_loss_and_moves_every_weight,
    "divides by all": harness.appended_padding_changes_no_output,
    "reads padding": harness.garbage_in_padded_steps_changes_no_output,
    "reads absence": harness.values_of_an_absent_modality_change_no_output,
    "counts padding in statistics": (
        harness.training_statistics_exclude_padding_and_absence
    ),
    "narrow": harness.outputs_stay_float32_under_mixed_precision,
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_network_with_a_defect_is_caught(defect):
    subject = replace(SOUND, kwargs={"defect": defect})
    with pytest.raises(AssertionError):
        DEFECTS[defect](subject)


def test_a_network_without_steps_is_not_asked_about_padding():
    left = set(laws(SOUND)) - set(laws(replace(SOUND, mask=None, absent={})))
    assert left == {
        harness.appended_padding_changes_no_output,
        harness.garbage_in_padded_steps_changes_no_output,
        harness.values_of_an_absent_modality_change_no_output,
    }


def test_a_failure_in_the_process_without_tensorflow_is_shown():
    with pytest.raises(AssertionError, match="No module named 'tensorflow'"):
        run_on_jax("importlib", "import_module", "tensorflow")
