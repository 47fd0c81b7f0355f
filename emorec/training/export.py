"""A trained network as a file of another program, compared with Keras before it stays.

Beside the file lies a JSON that says what goes in and comes out.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emorec.artifacts.found_runs import FoundRun
from emorec.artifacts.runs import environment
from emorec.errors import DataError, SpecError, shorten
from emorec.files import whole_file, write_json
from emorec.training import backend, export_inputs
from emorec.training.export_formats import (
    OUTPUT,
    SUFFIXES,
    Asked,
    opened,
    prepared,
    require,
    write,
)

if TYPE_CHECKING:
    import keras

# Rounding alone gave up to 2e-4 in a network of fifty layers with drawn weights, and
# 9e-6 in the others.
TOLERANCE = 1e-3
Say = Callable[[str], None]


@dataclass(frozen=True)
class Exported:
    """A file that was written and compared.

    Attributes
    ----------
    path, facts : Path
        The network (a folder, of a SavedModel) and its JSON.
    difference : float
        The largest difference from Keras' outputs, in units of the outputs.
    """

    path: Path
    facts: Path
    difference: float


def refuse(runs: Sequence[FoundRun]) -> None:
    """Refuse runs that have no single Keras network.

    Raises
    ------
    SpecError
        Naming them all.
    """
    bad = [run for run in runs if run.system == "meld_text"]
    if bad:
        raise SpecError(
            f"{shorten([run.run.record_path for run in bad])}: of the words of MELD, "
            "no single network that could be exported: either no network at all "
            "(tfidf, embeddings), or the mean of several with weights of their own "
            "and a program for words before them. emorec predict asks them."
        )
    for run in runs:
        if not run.model_path.is_file():
            raise SpecError(f"{run.model_path}: no such model, though its run ended.")


def export(
    run: FoundRun,
    kind: str,
    output: Path | None = None,
    check: Path | None = None,
    tolerance: float = TOLERANCE,
    say: Say = print,
) -> Exported:
    """Write a run's network in a format, compare it with Keras, and describe it.

    Parameters
    ----------
    run : FoundRun
        One that `refuse` lets pass.
    kind : str
        One of `emorec.training.export_formats.FORMATS`.
    output : Path, optional
        Where; beside the model by default, ``export_NAME`` with the format's suffix.
    check : Path, optional
        An .npz of real inputs (`emorec.training.export_inputs.given`), on which both
        are compared, too.
    tolerance : float
        Largest difference that is accepted, times the largest output, if above 1.
    say : callable
        Receives a line for each comparison.

    Raises
    ------
    SpecError
        When the network cannot be written so, or differs: then nothing is left.
    DataError
        When `check` does not fit, or `output` is something else.
    MissingExtraError
        When the format needs a package that is not installed.
    """
    packages = require(kind)
    if not 0 < tolerance < float("inf"):
        raise SpecError(f"--tolerance {tolerance}: expected a positive number.")
    path = output or run.run.folder / f"export_{run.name}{SUFFIXES[kind]}"
    # Keras writes LiteRT under its own suffix only.
    if kind == "litert" and path.suffix != SUFFIXES[kind]:
        raise SpecError(f"--output {path}: expected a name that ends in .tflite.")
    single = export_inputs.SINGLE.get(run.system, "features")
    reference = prepared(
        backend.load_keras_model(run.model_path), single, portable=False
    )
    shapes = {name: tuple(x.shape) for name, x in reference.input.items()}
    dtypes = {name: str(x.dtype) for name, x in reference.input.items()}
    # Before minutes are spent on the file.
    tried = list(export_inputs.drawn(shapes, run.system))
    if check:
        inputs = export_inputs.given(check, shapes, dtypes)
        tried.append((f"{check.name}, {len(next(iter(inputs.values())))} rows", inputs))
    network = prepared(
        backend.load_keras_model(run.model_path), single, plain=kind == "litert"
    )
    with _whole(path, kind) as temporary:
        write(network, kind, temporary)
        compared = _compare(reference, opened(kind, temporary), tried, tolerance, path)
        sums = _sums(temporary)
    for row in compared:
        say(f"{row['inputs']}: differs by {row['difference']:.1e} at most")
    facts = path.with_name(f"{path.name}.json")
    write_json(
        facts,
        {
            "format": kind,
            "file": path.name,
            "sha256": sums,
            "run": run.record.get("run"),
            "name": run.name,
            "system": run.system,
            "inputs": [
                {
                    "name": name,
                    "shape": [None, *shape[1:]],
                    "dtype": dtypes[name],
                }
                for name, shape in shapes.items()
            ],
            "output": {
                "name": OUTPUT,
                "shape": [None, *reference.output[OUTPUT].shape[1:]],
                "dtype": "float32",
                "labels": list(run.spec.schema.labels),
                "meaning": export_inputs.outputs(run),
            },
            "preparation": export_inputs.preparation(run),
            "spec": run.record["spec"],
            "comparison": {"tolerance": tolerance, "with_keras": compared},
            "versions": environment()["versions"] | packages,
        },
    )
    return Exported(path, facts, max(row["difference"] for row in compared))


def _compare(
    reference: keras.Model,
    ask: Asked,
    tried: Sequence[tuple[str, dict[str, np.ndarray]]],
    tolerance: float,
    path: Path,
) -> list[dict[str, Any]]:
    """Return the largest difference for each of the inputs; refuse one too large."""
    rows = []
    for told, inputs in tried:
        expected = np.asarray(reference(inputs, training=False)[OUTPUT])
        try:
            received = ask(inputs)
        except Exception as error:
            # What other programs raise is all that is known.
            raise SpecError(
                f"{path.name}: fails on {told} ({str(error).strip()[:300]}). It was "
                "not kept."
            ) from error
        if received.shape != expected.shape:
            raise SpecError(
                f"{path.name}: on {told} its scores are {received.shape}, Keras' are "
                f"{expected.shape}. It was not kept."
            )
        difference = float(np.abs(received - expected).max())
        limit = tolerance * max(1.0, float(np.abs(expected).max()))
        # Written so that NaN is refused.
        if not difference <= limit:
            raise SpecError(
                f"{path.name}: on {told} its scores differ from Keras' by "
                f"{difference:.2e}, more than {limit:.2e} (--tolerance {tolerance:g} "
                "times the largest score, if above 1). It was not kept."
            )
        rows.append({"inputs": told, "difference": difference, "limit": limit})
    return rows


@contextmanager
def _whole(path: Path, kind: str) -> Iterator[Path]:
    """Yield where to write; when the block ends without error it becomes `path`."""
    if kind != "saved_model":
        with whole_file(path) as temporary:
            yield temporary
        return
    if path.exists() and not (path / "saved_model.pb").is_file():
        raise DataError(
            f"{path}: expected a SavedModel to replace, or nothing; found something "
            "else. Choose another --output."
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=path.parent, prefix=".exporting-"))
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror}). "
            "Choose a folder that you may write to."
        ) from error
    try:
        yield beside / path.name
        if path.exists():
            path.rename(beside / "before")
        (beside / path.name).rename(path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _sums(path: Path) -> str | dict[str, str]:
    """Return the SHA-256 of a file, or of each file of a folder."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return {file.relative_to(path).as_posix(): str(_sums(file)) for file in files}
