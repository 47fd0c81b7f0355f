"""The recurrence of a bidirectional LSTM, with a backward pass written out.

Hochreiter and Schmidhuber (1997), "Long Short-Term Memory", with the forget gate of
Gers, Schmidhuber and Cummins (2000), and backpropagation through time. Against the
differentiation of a loop by the backend, the loop back computes the gradients of the
gates alone; that of the recurrent kernel is one product over all steps after it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import keras
from keras import ops

# Closes a gate: the sigmoid of it is exactly 0 in every precision.
_CLOSED = -1e4


def recurrence(projected, bias, recurrent_kernel, mask, compiled: bool):
    """Run both directions over a batch.

    Parameters
    ----------
    projected : (B, T, 8U) float
        Inputs times kernels: four gates (input, forget, candidate, output) of U units
        each of the forward direction, then of the backward one.
    bias : (8U,) float
    recurrent_kernel : (2, U, 4U) float
    mask : (B, T) bool
        True at real steps, which must come first.
    compiled : bool
        Whether XLA compiles the loops on TensorFlow; on JAX they always are.

    Returns
    -------
    (T, 2, B, U) float
        Hidden states in the order in which each direction computes them, 0 at padded
        steps: the forward direction from the first step to the last, the backward one
        from the last to the first.
    """
    forward, backward = _passes(compiled and keras.backend.backend() == "tensorflow")

    @ops.custom_gradient
    def run(projected, bias, recurrent_kernel):
        # Else an eager tape of TensorFlow would also differentiate what is inside.
        inputs = map(ops.stop_gradient, (projected, bias, recurrent_kernel))
        hidden, *kept = forward(*inputs, mask)

        def gradient(*arguments, upstream=None):
            # Keras: the last argument on TensorFlow and JAX, a keyword elsewhere.
            upstream = arguments[-1] if upstream is None else upstream
            return backward(upstream, hidden, *kept, recurrent_kernel)

        return hidden, gradient

    return run(projected, bias, recurrent_kernel)


@cache
def _passes(xla: bool) -> tuple[Callable, Callable]:
    """Return the passes; one function for all layers, so that XLA compiles it once."""
    if not xla:
        return _forward, _backward
    import tensorflow as tf

    return tuple(
        tf.function(f, jit_compile=True, reduce_retracing=False)
        for f in (_forward, _backward)
    )


def _forward(projected, bias, recurrent_kernel, mask):
    """Return the hidden states, and what the way back needs: gates, cells before it."""
    units = recurrent_kernel.shape[1]
    padded = ops.cast(ops.logical_not(mask), projected.dtype)[..., None, None]
    closing = ops.cast([_CLOSED, _CLOSED, 0, 0], projected.dtype)
    batch, steps = ops.shape(projected)[0], ops.shape(projected)[1]
    gates = ops.reshape(projected + bias, (batch, steps, 8, units))
    # A padded step starts from nothing and leaves nothing, so that the backward
    # direction, which meets the padding first, begins at the last real step.
    closing = padded * ops.concatenate([closing, closing])[:, None]
    gates = ops.reshape(
        ops.where(padded > 0, closing, gates), (batch, steps, 8 * units)
    )
    start = ops.zeros((2, batch, units), projected.dtype)

    def step(state, entering):
        hidden, cell = state
        (entering,) = entering
        z = entering + ops.matmul(hidden, recurrent_kernel)
        i, f, g, o = ops.split(z, 4, axis=-1)
        i, f, g, o = ops.sigmoid(i), ops.sigmoid(f), ops.tanh(g), ops.sigmoid(o)
        after = f * cell + i * g
        hidden = o * ops.tanh(after)
        # Each gate in an array of its own: XLA is slow at parting and joining them.
        return (hidden, after), (hidden, i, f, g, o, cell)

    return _scan(step, (start, start), (_by_direction(gates),), 6 * [units])


def _backward(upstream, hidden, *kept_and_kernel):
    """Return the gradients of projected inputs, bias and recurrent kernel."""
    *kept, recurrent_kernel = kept_and_kernel
    transposed = ops.transpose(recurrent_kernel, (0, 2, 1))
    start = ops.zeros_like(hidden[0])

    def step(state, entering):
        dhidden, dcell = state
        outer, i, f, g, o, cell = entering
        squashed = ops.tanh(f * cell + i * g)
        dhidden = dhidden + outer
        dcell = dcell + dhidden * o * (1 - squashed * squashed)
        dz = ops.concatenate(
            [
                dcell * g * i * (1 - i),
                dcell * cell * f * (1 - f),
                dcell * i * (1 - g * g),
                dhidden * squashed * o * (1 - o),
            ],
            axis=-1,
        )
        return (ops.matmul(dz, transposed), dcell * f), (dz,)

    units = hidden.shape[-1]
    entering = upstream, *kept
    (dz,) = _scan(step, (start, start), entering, [4 * units], reverse=True)
    drecurrent = ops.stack(
        [
            ops.matmul(
                ops.transpose(ops.reshape(hidden[:-1, way], (-1, units))),
                ops.reshape(dz[1:, way], (-1, 4 * units)),
            )
            for way in (0, 1)
        ]
    )
    dbias = ops.reshape(ops.sum(dz, axis=(0, 2)), (8 * units,))
    return _by_batch(dz), dbias, drecurrent


def _by_direction(x):
    """Turn (B, T, 2N) into (T, 2, B, N), the second half from the last step on."""
    x = ops.transpose(x, (1, 0, 2))
    ahead, back = ops.split(x, 2, axis=-1)
    return ops.stack([ahead, ops.flip(back, axis=0)], axis=1)


def _by_batch(x):
    """Undo `_by_direction`."""
    x = ops.concatenate([x[:, 0], ops.flip(x[:, 1], axis=0)], axis=-1)
    return ops.transpose(x, (1, 0, 2))


def _scan(
    step: Callable,
    state: tuple,
    entering: tuple,
    widths: list[int],
    reverse: bool = False,
) -> tuple:
    """Loop over the first axis of `entering`; return what the steps gave, stacked.

    ``step(state, entering)`` returns the next state and a tuple of outputs, which are
    like the state but for their last axes, `widths`.
    """
    if keras.backend.backend() != "tensorflow":
        return ops.scan(step, state, entering, reverse=reverse)[1]
    # keras.ops.scan wants outputs of exactly the state's shapes here.
    import tensorflow as tf

    steps = tf.shape(entering[0])[0]
    rows = [tf.TensorArray(x.dtype, steps).unstack(x) for x in entering]
    written = tuple(
        tf.TensorArray(
            state[0].dtype, steps, element_shape=(*state[0].shape[:-1], width)
        )
        for width in widths
    )

    def body(count, state, written):
        number = steps - 1 - count if reverse else count
        state, outputs = step(state, tuple(x.read(number) for x in rows))
        pairs = zip(written, outputs, strict=True)
        return count + 1, state, tuple(x.write(number, y) for x, y in pairs)

    _, _, written = tf.while_loop(
        lambda count, *_: count < steps,
        body,
        (0, state, written),
        maximum_iterations=steps,
    )
    return tuple(x.stack() for x in written)
