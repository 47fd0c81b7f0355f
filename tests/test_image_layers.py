"""Layers written for XLA on a CPU: they compute what Keras' own do."""

import keras
import numpy as np
import pytest
from keras import layers

from emorec.models import image_layers
from tests.harness import run_on_jax

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.standard_normal((2, 9, 8, 6), np.float32)
CASES = [
    (layers.DepthwiseConv2D, image_layers.DepthwiseConv2D, (3, 1, "same")),
    (layers.DepthwiseConv2D, image_layers.DepthwiseConv2D, (3, 2, "valid")),
    (layers.DepthwiseConv2D, image_layers.DepthwiseConv2D, (3, 2, "valid", 4)),
    (layers.Conv2D, image_layers.Pointwise, (5, 1)),
    (layers.MaxPooling2D, image_layers.MaxPooling2D, (3, 2)),
]


def pair(theirs, ours, arguments):
    """Return both layers with equal weights."""
    made = theirs(*arguments), ours(*arguments)
    for layer in made:
        layer.build(IMAGES.shape)
    weights = [RANDOM.standard_normal(w.shape, np.float32) for w in made[0].weights]
    for layer in made:
        layer.set_weights(weights)
    return made


def is_keras_own(theirs, ours, arguments):
    known, written = pair(theirs, ours, arguments)
    expected = keras.ops.convert_to_numpy(known(IMAGES))
    received = keras.ops.convert_to_numpy(written(IMAGES))
    assert received.shape == written.compute_output_shape(IMAGES.shape)
    np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("written_for_xla", [False, True])
@pytest.mark.parametrize("theirs, ours, arguments", CASES)
def test_the_layer_computes_what_keras_own_does(
    theirs, ours, arguments, written_for_xla, monkeypatch
):
    monkeypatch.setattr(image_layers, "compiled_for_a_cpu", lambda: written_for_xla)
    is_keras_own(theirs, ours, arguments)


def values_and_gradients_are_keras_own():
    """Compare results and the gradients of images and weights, on JAX."""
    import jax

    assert image_layers.compiled_for_a_cpu()
    for case in CASES:
        found = []
        for layer in pair(*case):

            def total(state, images, layer=layer):
                result, _ = layer.stateless_call(state, [], images)
                return (result * result[::-1] ** 2).sum(), result

            state = [weight.value for weight in layer.trainable_variables]
            # Compiled, which is sooner than one operation at a time.
            gradients = jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True))
            found.append(jax.tree.leaves(gradients(state, IMAGES)))
        for received, expected in zip(*found, strict=True):
            worst = np.abs(received - expected).max()
            assert worst < 1e-5 * np.abs(expected).max(), case


def test_values_and_gradients_are_keras_own_on_jax():
    run_on_jax("tests.test_image_layers", "values_and_gradients_are_keras_own")


def test_on_tensorflow_the_layers_are_keras_own():
    assert keras.backend.backend() != "tensorflow" or not (
        image_layers.compiled_for_a_cpu()
    )
