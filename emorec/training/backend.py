"""Backend, devices, precision and seeds: set before anything is built."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import (
    AbstractContextManager,
    contextmanager,
    nullcontext,
    suppress,
)
from importlib.util import find_spec
from typing import TYPE_CHECKING

from emorec.errors import MissingExtraError, SpecError
from emorec.training import hosts

if TYPE_CHECKING:
    import keras

    from emorec.artifacts.found_runs import FoundRun

JIT = ("auto", "on", "off")
PRECISIONS = ("float32", "mixed_bfloat16")


def choose_backend() -> str:
    """Choose Keras' backend before Keras is imported.

    ``KERAS_BACKEND`` decides where it is set; else TensorFlow where installed, else
    JAX.

    Raises
    ------
    MissingExtraError
        When neither is installed.
    """
    # TensorFlow's notes (also those that it calls errors, on machines without a GPU)
    # bury the lines that a user should read.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    chosen = os.environ.get("KERAS_BACKEND")
    if not chosen:
        installed = [name for name in ("tensorflow", "jax") if find_spec(name)]
        if not installed:
            raise MissingExtraError("jax", "jax", "Training without TensorFlow")
        chosen = os.environ["KERAS_BACKEND"] = installed[0]
    if chosen not in ("tensorflow", "jax"):
        raise SpecError(
            f"KERAS_BACKEND={chosen}: emorec runs on tensorflow or jax. "
            "Unset the variable, or set it to one of them."
        )
    if chosen == "tensorflow" and chosen not in sys.modules and find_spec(chosen):
        with hidden_stderr():
            importlib.import_module(chosen)
    if find_spec(chosen) is None:
        extra = "jax" if chosen == "jax" else "cuda"
        raise MissingExtraError(chosen, extra, f"KERAS_BACKEND={chosen}")
    return chosen


@contextmanager
def hidden_stderr() -> Iterator[None]:
    """Hide what native code prints; show it when the block fails.

    TensorFlow prints notes on GPUs and processors while it is imported, before any
    setting of its log can silence it.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as hidden:
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        except BaseException:
            hidden.seek(0)
            os.write(saved, hidden.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def prepare(seed: int, precision: str = "float32") -> str:
    """Seed every generator and set the precision; return the backend's name.

    On a CPU two runs of one seed are bit-equal. On GPUs TensorFlow's operations are
    made deterministic, too.
    """
    backend = choose_backend()
    # Those that were done earlier wait here for the one that prepared or evaluated.
    hosts.here().meet()
    import keras

    from emorec.training import division

    division.end()
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(precision)
    if backend == "jax" and "tensorflow" not in sys.modules:
        # A training imports it all the same where it is installed, and it talks.
        with hidden_stderr(), suppress(ImportError):
            importlib.import_module("tensorflow")
    if backend == "tensorflow" and devices():
        # Not on a CPU, where runs are equal without and this would switch XLA off.
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    return backend


def devices() -> list[str]:
    """Return the accelerators that the backend sees."""
    if choose_backend() == "jax":
        import jax

        return [str(device) for device in jax.devices() if device.platform != "cpu"]
    import tensorflow as tf

    return [device.name for device in tf.config.list_physical_devices("GPU")]


def compilation(jit: str) -> tuple[bool | str, bool | str]:
    """Decide how recurrent layers are compiled.

    XLA cannot compile cuDNN's LSTM, so Keras turns XLA off on TensorFlow for a layer
    that might use it; JAX compiles always.

    Parameters
    ----------
    jit : {"auto", "on", "off"}
        auto leaves it to Keras. On TensorFlow and a CPU XLA takes longer to start and
        is no faster (benchmarks/), so auto is the better choice there, too.

    Returns
    -------
    use_cudnn : bool or "auto"
        For recurrent layers.
    jit_compile : bool or "auto"
        For ``Model.compile``.
    """
    return {"auto": ("auto", "auto"), "on": (False, True), "off": ("auto", False)}[jit]


def compilation_of_convolutions(jit: str) -> bool | str:
    """Decide whether XLA compiles a convolutional network: for ``Model.compile``.

    On TensorFlow and a CPU its convolutions are slower than TensorFlow's own
    (benchmarks/compile_modes.py --network compact_faces), so auto leaves it off there.
    """
    if jit != "auto":
        return jit == "on"
    return "auto" if choose_backend() == "jax" or devices() else False


def strategy(gpus: int, batch_size: int) -> AbstractContextManager:
    """Return the scope in which a model is built for several devices.

    Parameters
    ----------
    gpus : int
        Number of GPUs of each host; 0 and 1 leave the placement to Keras on one host,
        and 0 takes all of them on several (`emorec.training.hosts`).
    batch_size : int
        The global batch, divided among the devices.

    Raises
    ------
    SpecError
        When there are fewer devices, or the batch cannot be divided.
    """
    if choose_backend() == "jax":
        from emorec.training import division

        division.begin(gpus, batch_size)
        return division.scope()
    if gpus <= 1:
        return nullcontext()
    if batch_size % gpus:
        raise SpecError(
            f"--gpus {gpus}: the batch of {batch_size} cannot be divided among them. "
            f"Choose a --batch_size that is a multiple of {gpus}."
        )
    import tensorflow as tf

    logical = tf.config.list_logical_devices("GPU")
    # Tests divide the CPU into logical devices; a user has none of these.
    logical = logical or tf.config.list_logical_devices("CPU")
    if len(logical) < gpus:
        raise SpecError(
            f"--gpus {gpus}: this machine offers {len(logical)} "
            f"{logical[0].device_type} to TensorFlow. Choose fewer; for NVIDIA GPUs "
            "install emorec[cuda]."
        )
    return tf.distribute.MirroredStrategy(
        [device.name for device in logical[:gpus]]
    ).scope()


def load_keras_model(path: str | os.PathLike[str]) -> keras.Model:
    """Load a model that emorec wrote, never code from the file.

    Raises
    ------
    SpecError
        When the file is missing or is not such a model.
    """
    import keras

    # Makes their layers known.
    import emorec.models.audiovisual
    import emorec.models.early_fusion
    import emorec.models.landmark_lstm
    import emorec.models.vggm  # noqa: F401

    if not os.path.isfile(path):
        raise SpecError(f"{path}: no such model. Train it first, without --no_train.")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, OSError, TypeError, KeyError) as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise SpecError(f"{path}: not a model of emorec ({reason}).") from error


def load_found(found: FoundRun) -> keras.Model:
    """Load the network of a finished run.

    Raises
    ------
    SpecError
        When the file is missing, no such model, or has not one output for each label
        of the run's record.
    """
    choose_backend()
    model = load_keras_model(found.model_path)
    outputs, labels = model.output_shape[-1], found.spec.schema.labels
    if outputs != len(labels):
        raise SpecError(
            f"{found.model_path}: has {outputs} outputs, but {found.run.record_path} "
            f"has {len(labels)} labels ({', '.join(labels)}). They are not of one run; "
            "train it anew."
        )
    return model
