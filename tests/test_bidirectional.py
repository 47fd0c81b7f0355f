"""The bidirectional LSTM and the normalisation before it: equal to Keras' own."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from emorec.models.bidirectional import Bidirectional
from emorec.models.early_fusion import SpreadPresence, early_fusion
from tests.harness import run_on_jax

STEPS, WIDTHS, UNITS = 7, (3, 2), 8
LENGTHS = np.array([7, 1, 3, 2, 5, 4, 6, 7])
MASK = np.arange(STEPS) < LENGTHS[:, None]
SHAPE = (*MASK.shape, sum(WIDTHS))


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def near(received, expected, tolerance=1e-5):
    received, expected = map(ops.convert_to_numpy, (received, expected))
    np.testing.assert_allclose(received, expected, rtol=0, atol=tolerance)


def pair(return_sequences, **kwargs):
    """Return Keras' layer and emorec's, made from the same seed."""
    made = []
    for kind in (layers.Bidirectional, Bidirectional):
        keras.utils.set_random_seed(3)
        lstm = layers.LSTM(UNITS, return_sequences=return_sequences)
        made.append(kind(lstm, **(kwargs if kind is Bidirectional else {})))
        made[-1].build(SHAPE)
    return made


def outputs_and_gradients(layer, x, mask):
    """Return outputs, and gradients of a weighted sum of inputs and every weight."""
    weights = [variable.value for variable in layer.trainable_variables]
    if keras.backend.backend() == "jax":
        import jax

        def total(x, weights):
            output, _ = layer.stateless_call(
                weights,
                [variable.value for variable in layer.non_trainable_variables],
                x,
                mask=mask,
            )
            return ops.sum(output * draw(*output.shape, seed=1)), output

        (_, output), (inner, others) = jax.value_and_grad(total, (0, 1), has_aux=True)(
            x, weights
        )
        return [output, inner, *others]
    import tensorflow as tf

    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        output = layer(x, mask=mask)
        total = ops.sum(output * draw(*output.shape, seed=1))
    return [output, *tape.gradient(total, [x, *weights])]


def compare_with_keras(return_sequences, mask, **kwargs):
    theirs, mine = pair(return_sequences, **kwargs)
    for layer in (theirs, mine):
        # Biases away from 0 and 1, so that each counts.
        for number, weight in enumerate(layer.trainable_variables):
            weight.assign(weight + 0.1 * draw(*weight.shape, seed=number))
    expected = outputs_and_gradients(theirs, draw(*SHAPE), mask)
    received = outputs_and_gradients(mine, draw(*SHAPE), mask)
    assert len(received) == 8
    for one, other in zip(received, expected, strict=True):
        near(one, other)
        assert np.abs(ops.convert_to_numpy(other)).max() > 1e-2


@pytest.mark.parametrize("jit_compile", [True, False])
@pytest.mark.parametrize("mask", [MASK, None], ids=["mask", "no mask"])
@pytest.mark.parametrize("return_sequences", [True, False])
def test_outputs_and_gradients_are_those_of_keras(return_sequences, mask, jit_compile):
    compare_with_keras(return_sequences, mask, jit_compile=jit_compile)


def on_jax():
    """Compare where there is no TensorFlow."""
    for return_sequences in (True, False):
        for mask in (MASK, None):
            compare_with_keras(return_sequences, mask)


def test_on_jax_outputs_and_gradients_are_those_of_keras():
    run_on_jax("tests.test_bidirectional", "on_jax")


def test_fresh_weights_are_those_of_keras():
    theirs, mine = pair(True)
    for one, other in zip(mine.weights, theirs.weights, strict=True):
        assert one.name == other.name
        near(one, other, 0)


def test_the_mask_goes_on_only_beside_a_sequence():
    inputs = keras.Input((STEPS, 3))
    mask = ops.convert_to_tensor(MASK)
    for return_sequences, expected in ((True, mask), (False, None)):
        theirs, mine = pair(return_sequences)
        assert mine.compute_mask(inputs, mask) is expected
        assert theirs.compute_mask(inputs, mask) is expected


def test_outputs_of_padded_steps_are_exactly_zero():
    _, mine = pair(True)
    output = ops.convert_to_numpy(mine(3 * draw(*SHAPE), mask=MASK))
    assert (output[~MASK] == 0).all()
    assert (output[MASK] != 0).all()


def test_a_scale_and_a_shift_act_like_those_of_the_inputs():
    scale, shift, factors = draw(5), draw(2, 5, seed=1), draw(8, STEPS, 2, seed=2)
    x = draw(*SHAPE, seed=3)
    _, mine = pair(False)
    received = mine(x, mask=MASK, affine=(scale, shift, factors))
    near(received, mine(x * scale + factors @ shift, mask=MASK))


def of_keras(num_layers):
    """Build the network as of Keras' own layers, which trained before."""
    features = keras.Input((None, sum(WIDTHS)), name="features")
    mask = keras.Input((None,), dtype="bool", name="mask")
    presence = keras.Input((None, len(WIDTHS)), name="presence")
    spread = SpreadPresence(WIDTHS, name="spread_presence")(presence)
    x = layers.Multiply()([features, spread])
    x = layers.BatchNormalization(name="normalisation")(x, mask=mask)
    x = layers.Multiply()([x, spread])
    for number in range(1, num_layers + 1):
        lstm = layers.LSTM(64, return_sequences=number < num_layers)
        x = layers.Bidirectional(lstm, name=f"bidirectional_{number}")(x, mask=mask)
        x = layers.Dropout(0.0, name=f"dropout_{number}")(x)
    x = layers.Dense(9, activation="relu", name="dense")(x)
    x = layers.Dropout(0.0, name="dropout_dense")(x)
    inputs = {"features": features, "mask": mask, "presence": presence}
    return keras.Model(inputs, layers.Dense(4, name="emotions")(x), name="early_fusion")


def batch():
    present = np.random.default_rng(5).random((*MASK.shape, 2)) < 0.7
    return {
        "features": 3 * draw(*SHAPE, seed=6) + 2,
        "mask": MASK,
        "presence": (present & MASK[..., None]).astype(np.float32),
    }


@pytest.fixture(params=[1, 2])
def networks(request):
    """Return the network of Keras' layers and emorec's, with unequal weights."""
    made = []
    for seed, build in enumerate(
        [of_keras, lambda n: early_fusion(WIDTHS, 4, n, 9, 0.0, jit_compile=False)]
    ):
        keras.utils.set_random_seed(seed)
        model = build(request.param)
        model.compile(keras.optimizers.SGD(0.3), "mse", jit_compile=False)
        made.append(model)
    return made


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
@pytest.mark.parametrize("direction", ["to emorec", "to keras"])
def test_files_of_either_network_are_loaded(networks, direction, suffix, tmp_path):
    source, target = networks if direction == "to emorec" else networks[::-1]
    # Away from the first values of statistics, scale and shift.
    source.fit(batch(), draw(8, 4, seed=7), epochs=2, verbose=0)
    path = tmp_path / f"model{suffix}"
    expected = source.predict_on_batch(batch())
    if suffix == ".keras":
        source.save(path)
        near(keras.saving.load_model(path).predict_on_batch(batch()), expected)
        # Also as weights for the other network.
        source.save_weights(path := tmp_path / "more.weights.h5")
    else:
        source.save_weights(path)
    assert np.abs(target.predict_on_batch(batch()) - expected).max() > 1e-2
    target.load_weights(path)
    near(target.predict_on_batch(batch()), expected)


def test_training_is_that_of_the_network_of_keras(networks):
    theirs, mine = networks
    mine.set_weights(theirs.get_weights())
    fresh = theirs.get_weights()
    losses = [
        [model.train_on_batch(batch(), draw(8, 4, seed=7)) for _ in range(4)]
        for model in networks
    ]
    near(losses[1], losses[0])
    for one, other, old in zip(
        mine.get_weights(), theirs.get_weights(), fresh, strict=True
    ):
        near(one, other)
        assert np.abs(other - old).max() > 1e-4


@pytest.mark.parametrize(
    "precision", ["float32", pytest.param("mixed_bfloat16", marks=pytest.mark.slow)]
)
def test_two_trainings_from_one_seed_are_equal_to_the_bit(precision):
    before = keras.config.dtype_policy()
    trained = []
    try:
        for _ in "ab":
            keras.utils.set_random_seed(0)
            keras.config.set_dtype_policy(precision)
            model = early_fusion(WIDTHS, 4, 2, 9, per_step=True)
            model.compile("adam", "mse", jit_compile=False)
            targets = draw(*MASK.shape, 4, seed=8)
            model.fit(batch(), targets, batch_size=4, epochs=2, verbose=0)
            trained.append(model.get_weights())
    finally:
        keras.config.set_dtype_policy(before)
    for one, other in zip(*trained, strict=True):
        np.testing.assert_array_equal(one, other)
        assert np.isfinite(one).all()
