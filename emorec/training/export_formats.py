"""Networks in other programs' formats: written by Keras, and asked by those programs.

Keras writes a SavedModel, ONNX (by tf2onnx) and LiteRT from TensorFlow's graph of a
network; what stands in the way in emorec's own layers is put aside here.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emorec.errors import MissingExtraError, SpecError
from emorec.training import backend

if TYPE_CHECKING:
    import keras

OUTPUT = "scores"
FORMATS = ("saved_model", "onnx", "litert")
SUFFIXES = {"saved_model": ".saved_model", "onnx": ".onnx", "litert": ".tflite"}
# By the name of the module that is imported.
_PACKAGES = {
    "saved_model": {},
    "onnx": {"tf2onnx": "tf2onnx", "onnx": "onnx", "onnxruntime": "onnxruntime"},
    "litert": {"ai_edge_litert": "ai-edge-litert"},
}
# A length that every network takes.
_ANY = 100
# Named arrays in, scores out.
Asked = Callable[[Mapping[str, np.ndarray]], np.ndarray]


def require(kind: str) -> dict[str, str]:
    """Check that a format can be written and tried; return what its packages are.

    Returns
    -------
    dict
        Package -> version.

    Raises
    ------
    SpecError
        When Keras runs on another backend than TensorFlow.
    MissingExtraError
        When a package is missing.
    """
    name = backend.choose_backend()
    if name != "tensorflow":
        raise SpecError(
            f"KERAS_BACKEND={name}: networks are exported by TensorFlow, also those "
            "that were trained on JAX. Unset the variable where TensorFlow is "
            "installed."
        )
    from importlib.metadata import version

    for module, package in _PACKAGES[kind].items():
        if find_spec(module) is None:
            raise MissingExtraError(package, "export", f"Export to {kind}")
    return {package: version(package) for package in _PACKAGES[kind].values()}


def prepared(
    model: keras.Model, single: str, portable: bool = True, plain: bool = False
) -> keras.Model:
    """Return a network with the same weights, named inputs and a named output.

    Parameters
    ----------
    model : keras.Model
        Freshly loaded: some of its layers are changed.
    single : str
        What the input is called where it is one array.
    portable : bool
        Compute by operations that every machine has and every converter knows.
    plain : bool
        And recurrences by those that LiteRT's converter knows.

    Returns
    -------
    keras.Model
        Output ``{"scores": ...}``. It computes in float32, whatever it was trained in.
    """
    import keras

    from emorec.models.bidirectional import Bidirectional

    for layer in model._flatten_layers():
        layer.dtype_policy = keras.dtype_policies.DTypePolicy("float32")
        if isinstance(layer, Bidirectional):
            # XLA would compile its loops anew for every shape.
            layer.jit_compile, layer.plain = False, plain
        if portable and isinstance(layer, Bidirectional):
            # cuDNN's LSTM is not.
            layer.forward_layer.use_cudnn = layer.backward_layer.use_cudnn = False
        if portable and getattr(layer, "activation", None) is keras.activations.gelu:
            layer.activation = _gelu
    named = isinstance(model.input, dict)
    given = model.input if named else {single: model.input}
    inputs = {
        name: keras.Input(x.shape[1:], dtype=x.dtype, name=name)
        for name, x in given.items()
    }
    outputs = model(inputs if named else inputs[single])
    return keras.Model(inputs, {OUTPUT: outputs})


def _gelu(x):
    # Keras takes TensorFlow's, of erfc, which tf2onnx does not know.
    from keras import ops

    return 0.5 * x * (1 + ops.erf(x * 0.5**0.5))


def write(model: keras.Model, kind: str, path: Path) -> None:
    """Write a network of `prepared`.

    Raises
    ------
    SpecError
        When it holds what the format lacks.
    """
    try:
        with _quiet():
            if kind == "saved_model":
                model.export(path, format="tf_saved_model", verbose=False)
            elif kind == "onnx":
                # Which Keras does only for networks that have been called.
                model(_some(model), training=False)
                model.export(path, format="onnx", verbose=False)
                _name_dimensions(path, model)
            else:
                model.export(
                    path,
                    format="litert",
                    verbose=False,
                    # The others would need TensorFlow on the device.
                    target_spec={"supported_ops": _builtin()},
                )
    except Exception as error:
        # Converters raise all sorts; what they say is all that is known.
        raise SpecError(
            f"This network cannot be written as {kind} ({type(error).__name__}: "
            f"{str(error).strip()[:300]})."
        ) from error


def _some(model: keras.Model) -> dict[str, np.ndarray]:
    return {
        name: np.zeros([n or _ANY for n in (1, *x.shape[1:])], x.dtype)
        for name, x in model.input.items()
    }


def _builtin() -> list:
    import tensorflow as tf

    return [tf.lite.OpsSet.TFLITE_BUILTINS]


def _name_dimensions(path: Path, model: keras.Model) -> None:
    """Call the free dimensions of an ONNX file batch and steps; check the file."""
    import onnx

    graph = onnx.load(path)
    for value in (*graph.graph.input, *graph.graph.output):
        for axis, dimension in enumerate(value.type.tensor_type.shape.dim):
            if not dimension.HasField("dim_value"):
                dimension.dim_param = "steps" if axis else "batch"
    (output,) = graph.graph.output
    for node in graph.graph.node:
        node.output[:] = [OUTPUT if x == output.name else x for x in node.output]
        node.input[:] = [OUTPUT if x == output.name else x for x in node.input]
    output.name = OUTPUT
    onnx.checker.check_model(graph)
    onnx.save(graph, path)


def opened(kind: str, path: Path) -> Asked:
    """Load a written network in the program that the format is for.

    Raises
    ------
    SpecError
        When that program refuses it.
    """
    try:
        with _quiet():
            return {"saved_model": _tensorflow, "onnx": _onnx, "litert": _litert}[kind](
                path
            )
    except Exception as error:
        raise SpecError(
            f"This network was written as {kind}, but cannot be loaded "
            f"({str(error).strip()[:300]})."
        ) from error


def _tensorflow(path: Path) -> Asked:
    import tensorflow as tf

    loaded = tf.saved_model.load(path)
    serve = loaded.signatures["serving_default"]

    # Kept as a default, or its variables would be gone.
    def ask(inputs, _loaded=loaded):
        tensors = {name: tf.constant(value) for name, value in inputs.items()}
        return serve(**tensors)[OUTPUT].numpy()

    return ask


def _onnx(path: Path) -> Asked:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run([OUTPUT], dict(inputs))[0]


def _litert(path: Path) -> Asked:
    # Not by name at the top of the file: its type stubs are incomplete.
    interpreter = import_module("ai_edge_litert.interpreter").Interpreter(str(path))
    runner = interpreter.get_signature_runner()
    # A copy, for the array is the interpreter's own.
    return lambda inputs: np.array(runner(**inputs)[OUTPUT])


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the converters' notes; show them when the block fails."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with backend.hidden_stderr(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
