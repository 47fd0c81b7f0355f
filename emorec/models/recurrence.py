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
import numpy as np
from keras import ops

# Closes a gate: the sigmoid of it is exactly 0 in every precision.
_CLOSED = -1e4


def recurrence(
    projected, bias, recurrent_kernel, mask, reverse: tuple[bool, ...], compiled: bool
):
    """Run W directions, one or both, over a batch.

    Parameters
    ----------
    projected : (B, T, 4WU) float
        Inputs times kernels: of each direction four gates (input, forget, candidate,
        output) of U units.
    bias : (4WU,) float
    recurrent_kernel : (W, U, 4U) float
    mask : (B, T) bool
        True at real steps, which must come first.
    reverse : tuple of bool
        Of each direction, whether it goes from the last step to the first.
    compiled : bool
        Whether XLA compiles the loops on TensorFlow; on JAX they always are.

    Returns
    -------
    (T, W, B, U) float
        Hidden states in the order in which each direction computes them, 0 at padded
        steps.
    """
    forward, backward = _passes(compiled and keras.backend.backend() == "tensorflow")

    @ops.custom_gradient
    def run(projected, bias, recurrent_kernel):
        # Else an eager tape of TensorFlow would also differentiate what is inside.
        inputs = map(ops.stop_gradient, (projected, bias, recurrent_kernel))
        hidden, *kept = forward(*inputs, mask, reverse)

        def gradient(*arguments, upstream=None):
            # Keras: the last argument on TensorFlow and JAX, a keyword elsewhere.
            upstream = arguments[-1] if upstream is None else upstream
            return backward(upstream, hidden, kept, recurrent_kernel, reverse)

        return hidden, gradient

    return run(projected, bias, recurrent_kernel)


def plain_recurrence(
    projected, bias, recurrent_kernel, mask, reverse: tuple[bool, ...]
):
    """Compute what `recurrence` does, forwards, on TensorFlow, for LiteRT.

    Its converter knows neither arrays of tensors in batches of any size nor an axis
    added behind an ellipsis. A step writes its row of all T, so time grows with T
    squared where the recurrence itself does not: for networks that are asked, not
    trained.
    """
    import tensorflow as tf

    directions, units = recurrent_kernel.shape[:2]
    closing = np.tile(np.repeat([_CLOSED, _CLOSED, 0, 0], units), directions)
    closing = ops.cast(closing, projected.dtype)
    gates = ops.where(ops.expand_dims(mask, -1), projected + bias, closing)
    rows = _by_direction(gates, reverse)
    steps = tf.shape(rows)[0]
    start = ops.zeros((directions, tf.shape(projected)[0], units), projected.dtype)
    places = tf.reshape(tf.range(steps), (-1, 1, 1, 1))

    def body(count, hidden, cell, written):
        hidden, cell, *_ = _step(hidden, cell, tf.gather(rows, count), recurrent_kernel)
        here = tf.equal(places, count)
        return (
            count + 1,
            hidden,
            cell,
            tf.where(here, tf.expand_dims(hidden, 0), written),
        )

    state = (0, start, start, tf.zeros_like(rows[:, :, :, :units]))
    return tf.while_loop(
        lambda count, *_: count < steps,
        body,
        state,
        shape_invariants=tuple(tf.TensorShape(getattr(x, "shape", ())) for x in state),
    )[-1]


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


def _forward(projected, bias, recurrent_kernel, mask, reverse):
    """Return the hidden states, and what the way back needs: gates, cells before."""
    directions, units = recurrent_kernel.shape[:2]
    real = mask[..., None, None, None]
    closing = ops.cast([_CLOSED, _CLOSED, 0, 0], projected.dtype)
    batch, steps = ops.shape(projected)[0], ops.shape(projected)[1]
    gates = ops.reshape(projected + bias, (batch, steps, directions, 4, units))
    # A padded step starts from nothing and leaves nothing, so that the backward
    # direction, which meets the padding first, begins at the last real step.
    gates = ops.reshape(ops.where(real, gates, closing[:, None]), ops.shape(projected))
    start = ops.zeros((directions, batch, units), projected.dtype)

    def step(state, entering):
        hidden, cell = state
        hidden, after, *gates = _step(hidden, cell, *entering, recurrent_kernel)
        # Each gate in an array of its own: XLA is slow at parting and joining them.
        return (hidden, after), (hidden, *gates, cell)

    return _scan(step, (start, start), (_by_direction(gates, reverse),), 6 * [units])


def _step(hidden, cell, entering, recurrent_kernel):
    """Return the hidden state, the cell and the four gates after a step."""
    z = entering + ops.matmul(hidden, recurrent_kernel)
    i, f, g, o = ops.split(z, 4, axis=-1)
    i, f, g, o = ops.sigmoid(i), ops.sigmoid(f), ops.tanh(g), ops.sigmoid(o)
    after = f * cell + i * g
    return o * ops.tanh(after), after, i, f, g, o


def _backward(upstream, hidden, kept, recurrent_kernel, reverse):
    """Return the gradients of projected inputs, bias and recurrent kernel."""
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

    directions, units = recurrent_kernel.shape[:2]
    entering = upstream, *kept
    (dz,) = _scan(step, (start, start), entering, [4 * units], reverse=True)
    # The batch comes first where it is joined with the steps: XLA can divide the first
    # of joined axes among devices, and would send all rows to all of them for another.
    drecurrent = ops.stack(
        [
            ops.matmul(
                ops.transpose(_rows_first(hidden[:-1, number])),
                _rows_first(dz[1:, number]),
            )
            for number in range(directions)
        ]
    )
    dbias = ops.reshape(ops.sum(dz, axis=(0, 2)), (-1,))
    return _by_batch(dz, reverse), dbias, drecurrent


def _rows_first(x):
    """Turn (T, B, N) into (BT, N)."""
    return ops.reshape(ops.transpose(x, (1, 0, 2)), (-1, x.shape[-1]))


def _by_direction(x, reverse):
    """Turn (B, T, WN) into (T, W, B, N), each direction in its own order of steps."""
    parts = ops.split(ops.transpose(x, (1, 0, 2)), len(reverse), axis=-1)
    return ops.stack(_turned(parts, reverse), axis=1)


def _by_batch(x, reverse):
    """Undo `_by_direction`."""
    parts = _turned([x[:, number] for number in range(len(reverse))], reverse)
    return ops.transpose(ops.concatenate(parts, axis=-1), (1, 0, 2))


def _turned(parts, reverse):
    pairs = zip(parts, reverse, strict=True)
    return [ops.flip(part, axis=0) if turn else part for part, turn in pairs]


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
