"""Exported networks answer as Keras does, whatever the batch and the length."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from emorec.artifacts.found_runs import find_runs
from emorec.artifacts.runs import RunFolder
from emorec.artifacts.spec import Modality, Spec
from emorec.cli.app import main
from emorec.errors import DataError, MissingExtraError, SpecError
from emorec.labels import MELD, RAVDESS, SENTIMENT
from tests import small_runs


def _write(folder, system, model, schema, modalities, **normalisation):
    spec = Spec(schema, modalities, 0, "all", {"kind": "none", **normalisation})
    model.save(folder / f"model_{system}.keras")
    run = RunFolder(folder, system)
    run.write_record({}, spec, system=system, status="complete")
    return run


def _sequences(folder):
    from emorec.models.early_fusion import early_fusion

    model = early_fusion([4, 3], 1, num_nodes=5, per_step=True)
    columns = (Modality("text", "vectors", 4), Modality("audio", "vectors", 3))
    return _write(folder, "mosi", model, SENTIMENT, columns)


def _sounds(folder):
    from emorec.models.meld_audio import mlp

    shift = {"shift": [0.0] * 9, "width": [1.0] * 9}
    column = (Modality("audio", "librosa", 9),)
    return _write(folder, "meld_audio", mlp(9), MELD, column, **shift)


def _landmarks(folder):
    from emorec.models.landmark_lstm import landmark_lstm

    column = (Modality("face", "68 landmarks", 136),)
    return _write(folder, "meld_face", landmark_lstm(units=6), MELD, column)


def _attention(folder):
    from emorec.models.audiovisual import fusion_network

    model = fusion_network("it", frames=3, features=8, coefficients=5)
    columns = Modality("audio", "MFCC", 5), Modality("frames", "features", 8)
    return _write(folder, "ravdess", model, RAVDESS, columns)


MAKERS = {
    "faces": small_runs.small_faces,
    "voices": small_runs.small_voices,
    "ravdess": small_runs.small_ravdess,
    "mosei": small_runs.small_mosei,
    "mosi": _sequences,
    "meld_audio": _sounds,
    "meld_face": _landmarks,
    "attention": _attention,
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return a function from a system to a finished run of it; not to be changed."""
    made = {}

    def run(name):
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            made[name] = find_runs([MAKERS[name](folder).record_path])[0]
        return made[name]

    return run


def _agrees(run, kind, tmp_path):
    """Export, and compare with Keras on a shape that the export has not tried."""
    from emorec.training import backend, export_formats, export_inputs
    from emorec.training.export import export

    path = tmp_path / f"net{export_formats.SUFFIXES[kind]}"
    done = export(run, kind, path, say=lambda line: None)
    assert done.path == path and path.exists()
    facts = json.loads(done.facts.read_text())
    tried = facts["comparison"]["with_keras"]
    assert len(tried) == 3 and all(row["difference"] < 1e-4 for row in tried)
    shapes = {i["name"]: tuple(i["shape"]) for i in facts["inputs"]}
    *_, (_, inputs) = export_inputs.drawn(shapes, run.system, seed=7)
    inputs = {name: np.repeat(value, 2, axis=0) for name, value in inputs.items()}
    model = backend.load_keras_model(run.model_path)
    first = inputs if isinstance(model.input, dict) else next(iter(inputs.values()))
    expected = np.asarray(model(first, training=False))
    received = export_formats.opened(kind, path)(inputs)
    assert received.shape == expected.shape == (4, *expected.shape[1:])
    assert np.abs(received - expected).max() < 1e-4
    # Not equal because nothing comes out.
    assert np.ptp(expected) > 1e-4
    assert facts["output"]["labels"] == list(run.spec.schema.labels)
    assert facts["spec"] == run.record["spec"]
    told = {line.partition(":")[0] for line in facts["preparation"]}
    assert shapes.keys() <= told | {"frames"}
    return facts


@pytest.mark.parametrize("system", ["ravdess", "mosei", "meld_audio"])
def test_a_saved_model_answers_as_keras(runs, system, tmp_path):
    _agrees(runs(system), "saved_model", tmp_path)


@pytest.mark.parametrize("system", ["mosei"])
def test_onnx_answers_as_keras(runs, system, tmp_path):
    for package in ("tf2onnx", "onnx", "onnxruntime"):
        pytest.importorskip(package, reason="pip install 'emorec[export]'")
    facts = _agrees(runs(system), "onnx", tmp_path)
    assert {"tf2onnx", "onnx", "onnxruntime"} <= facts["versions"].keys()


@pytest.mark.parametrize("system", ["meld_face", "voices"])
def test_litert_answers_as_keras(runs, system, tmp_path):
    pytest.importorskip("ai_edge_litert", reason="pip install 'emorec[export]'")
    _agrees(runs(system), "litert", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["saved_model", "onnx", "litert"])
@pytest.mark.parametrize("system", MAKERS)
def test_every_network_in_every_format(runs, system, kind, tmp_path):
    package = {"onnx": "tf2onnx", "litert": "ai_edge_litert"}.get(kind, "tensorflow")
    pytest.importorskip(package, reason="pip install 'emorec[export]'")
    _agrees(runs(system), kind, tmp_path)


def test_the_example_of_the_documentation_runs(runs, tmp_path, monkeypatch, capsys):
    for package in ("tf2onnx", "onnx", "onnxruntime"):
        pytest.importorskip(package, reason="pip install 'emorec[export]'")
    folder = shutil.copytree(runs("faces").run.folder, tmp_path / "copy")
    assert main(["export", str(folder), "--format", "onnx"]) == 0
    page = Path(__file__).parents[1] / "docs" / "export.md"
    code = page.read_text().split("```python\n")[1].split("```")[0]
    assert len(code.strip().splitlines()) <= 15
    monkeypatch.chdir(folder)
    capsys.readouterr()
    exec(compile(code, str(page), "exec"), {})
    told = dict(line.split(": ") for line in capsys.readouterr().out.splitlines())
    assert tuple(told) == runs("faces").spec.schema.labels
    assert sum(map(float, told.values())) == pytest.approx(1, abs=0.01)


def test_real_inputs_are_compared_too(runs, tmp_path, capsys):
    run = runs("meld_audio")
    rows = np.random.default_rng(0).random((5, 9))
    np.savez(tmp_path / "real.npz", features=rows)
    command = ["export", str(run.model_path), "--format", "saved_model"]
    command += [
        "--output",
        str(tmp_path / "net"),
        "--check",
        str(tmp_path / "real.npz"),
    ]
    assert main(command) == 0
    assert "real.npz, 5 rows: differs by" in capsys.readouterr().out
    facts = json.loads((tmp_path / "net.json").read_text())
    assert facts["comparison"]["with_keras"][-1]["inputs"] == "real.npz, 5 rows"
    # Again, over the first.
    assert main(command) == 0
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"other": np.ones((2, 9))}, "missing: features"),
        ({"features": np.ones((2, 8))}, "any, 9"),
        ({"features": np.full((2, 9), np.nan)}, "not finite"),
    ],
)
def test_real_inputs_that_do_not_fit_are_refused(runs, tmp_path, arrays, said):
    from emorec.training.export import export

    np.savez(tmp_path / "real.npz", **arrays)
    with pytest.raises(DataError, match=said):
        export(
            runs("meld_audio"),
            "saved_model",
            tmp_path / "net",
            tmp_path / "real.npz",
            say=lambda line: None,
        )
    assert not (tmp_path / "net").exists()


def test_a_file_that_answers_otherwise_is_not_kept(runs, tmp_path, monkeypatch):
    from emorec.training import export as exports

    def other(kind, path):
        assert path.exists()
        return lambda inputs: exports_opened(kind, path)(inputs) + 0.01

    exports_opened = exports.opened
    monkeypatch.setattr(exports, "opened", other)
    path = tmp_path / "net"
    with pytest.raises(SpecError, match=r"differ from Keras' by 1\.0"):
        exports.export(runs("meld_audio"), "saved_model", path, say=lambda line: None)
    assert not list(tmp_path.iterdir())
    exports.export(
        *(runs("meld_audio"), "saved_model", path),
        tolerance=0.02,
        say=lambda line: None,
    )
    assert path.is_dir()


@pytest.mark.parametrize(
    ("kind", "module", "package"),
    [("onnx", "tf2onnx", "tf2onnx"), ("litert", "ai_edge_litert", "ai-edge-litert")],
)
def test_a_missing_package_names_the_extra(runs, monkeypatch, kind, module, package):
    from emorec.training import export_formats

    monkeypatch.setattr(
        export_formats, "find_spec", lambda name: None if name == module else object()
    )
    with pytest.raises(MissingExtraError, match=r"emorec\[export\]") as error:
        export_formats.require(kind)
    assert error.value.package == package


def test_what_cannot_be_exported_is_refused(runs, tmp_path, capsys):
    spec = Spec(MELD, (Modality("text", "TF-IDF", 9),), 0, "single")
    text = RunFolder(tmp_path, "words")
    text.write_record({}, spec, system="meld_text", status="complete")
    command = ["export", str(tmp_path / "words"), "--format", "saved_model"]
    assert main(command) == 1
    assert "no single network" in capsys.readouterr().err
    sounds = str(runs("meld_audio").model_path)
    both = ["export", sounds, str(runs("faces").model_path), "--format", "saved_model"]
    assert main([*both, "--output", str(tmp_path / "net")]) == 1
    assert "--output and --check are of one run" in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    here = ["export", sounds, "--format", "saved_model", "--output"]
    assert main([*here, str(tmp_path / "mine")]) == 1
    assert "expected a SavedModel to replace" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["export", sounds, "--format", "pickle"])


def test_another_backend_is_refused(monkeypatch):
    from emorec.training import export_formats

    monkeypatch.setattr(export_formats.backend, "choose_backend", lambda: "jax")
    with pytest.raises(SpecError, match="KERAS_BACKEND=jax"):
        export_formats.require("saved_model")
