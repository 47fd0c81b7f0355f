"""Late fusion of a span: weights, labels by name, models that say nothing."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emorec.artifacts.predictions import Predictions, write_predictions
from emorec.cli.app import main
from emorec.errors import LabelMismatchError, SpecError
from emorec.evaluation.fusion_weights import mix
from emorec.evaluation.joining import join
from emorec.files import read_json, write_json
from emorec.labels import FERPLUS, MELD, MELD_TEXT, MOSEI, RAVDESS, LabelSchema
from emorec.prediction.fusion import LateFusion, parse_weights


def model(name, schema):
    return SimpleNamespace(name=name, schema=schema, takes=())


def drawn(rows, width, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(width), rows)


def predictions(name, schema, scores):
    n = len(scores)
    return Predictions(
        *(name, "drawn", "test", schema, [f"u{i}" for i in range(n)], scores),
        *(np.arange(n) % len(schema), np.array([f"d{i // 3}" for i in range(n)])),
    )


TEXT, AUDIO = model("text", MELD_TEXT), model("audio", MELD)


def test_spans_are_fused_as_the_evaluation_fuses_utterances():
    parts = [
        predictions(*pair)
        for pair in (
            ("text", MELD_TEXT, drawn(12, 7)),
            ("audio", MELD_TEXT, drawn(12, 7, 1)),
        )
    ]
    # The same truth in both orders.
    joined = join(parts)
    fusion = LateFusion([TEXT, model("audio", MELD_TEXT)], {"text": 0.7, "audio": 0.3})
    expected = mix(joined, np.array([0.7, 0.3]))
    for row, (text, audio) in enumerate(zip(*(p.scores for p in parts), strict=True)):
        np.testing.assert_allclose(fusion.fuse([text, audio]), expected[row])


@given(st.permutations(range(7)), st.integers(0, 1000))
def test_labels_are_found_by_name(order, seed):
    text, audio = drawn(1, 7, seed)[0], drawn(1, 7, seed + 1)[0]
    fused = LateFusion([TEXT, AUDIO]).fuse([text, audio])
    mixed = LabelSchema("mixed", tuple(MELD.labels[i] for i in order), "single")
    other = LateFusion([TEXT, model("audio", mixed)])
    np.testing.assert_allclose(other.fuse([text, audio[list(order)]]), fused)
    assert abs(fused.sum() - 1) < 1e-12


def test_labels_that_not_all_know_are_left_out_and_told():
    fusion = LateFusion([model("face", FERPLUS), model("voice", RAVDESS)])
    assert set(fusion.schema.labels) == {
        *("neutral", "happy", "surprise", "sad", "anger", "disgust", "fear")
    }
    assert fusion.labels_left_out == {"face": ["contempt"], "voice": ["calm"]}
    assert any("calm left out" in line for line in fusion.told())
    voice = np.zeros(8)
    voice[[RAVDESS.index("calm"), RAVDESS.index("sad")]] = 0.8, 0.2
    fused = fusion.fuse([None, voice])
    assert fused[fusion.schema.index("sad")] == 1
    # Who is sure of what the others do not know says nothing of the rest.
    calm = np.eye(8)[RAVDESS.index("calm")]
    face = drawn(1, 8)[0]
    np.testing.assert_array_equal(fusion.fuse([face, calm]), fusion.fuse([face, None]))
    assert fusion.fuse([None, calm]) is None


def test_a_model_without_an_answer_drops_out():
    fusion = LateFusion([TEXT, AUDIO, model("more", MELD)], {"text": 0.5, "audio": 0.3})
    assert fusion.weights == pytest.approx({"text": 0.5, "audio": 0.3, "more": 0.2})
    text, audio = drawn(1, 7)[0], drawn(1, 7, 1)[0]
    order = [MELD.index(label) for label in MELD_TEXT.labels]
    expected = (0.5 * text + 0.3 * audio[order]) / 0.8
    np.testing.assert_allclose(fusion.fuse([text, audio, None]), expected)
    np.testing.assert_allclose(fusion.fuse([text, None, None]), text)
    assert fusion.fuse([None, None, None]) is None


def test_intensities_are_left_out_and_that_is_said():
    fusion = LateFusion([model("mosei", MOSEI), TEXT, AUDIO])
    assert "kind intensity" in fusion.left_out["mosei"]
    assert any(line.startswith("  mosei: left out") for line in fusion.told())
    text = drawn(1, 7)[0]
    np.testing.assert_allclose(fusion.fuse([np.full(6, 3.0), text, None]), text)
    assert fusion.fuse([np.full(6, 3.0), None, None]) is None
    assert fusion.describe()["models_left_out"] == fusion.left_out
    with pytest.raises(SpecError, match=r"two or more models.*mosei is left out"):
        LateFusion([model("mosei", MOSEI), TEXT])
    with pytest.raises(SpecError, match="mosei is left out"):
        LateFusion([model("mosei", MOSEI), TEXT, AUDIO], {"mosei": 0.5})


@pytest.mark.parametrize("nested", [False, True])
def test_the_weights_of_a_record_are_taken(tmp_path, capsys, nested):
    for split in ("dev", "test"):
        for name, seed in (("text", 0), ("audio", 1)):
            part = predictions(name, MELD, drawn(30, 7, seed + 10 * (split == "dev")))
            part.ids[:] = [f"{split}/{one}" for one in part.ids]
            object.__setattr__(part, "split", split)
            write_predictions(tmp_path / f"predictions_{split}_{name}.npz", part)
    files = [str(tmp_path / f"predictions_test_{n}.npz") for n in ("text", "audio")]
    words = ["--nested", "3"] if nested else []
    assert main(["fuse", *files, *words]) == 0, capsys.readouterr().err
    record = tmp_path / "run_text-audio_weights.json"
    chosen = [one["weights"] for one in read_json(record)["fusions"]]
    fusion = LateFusion([AUDIO, TEXT], record=record)
    for name in ("text", "audio"):
        assert fusion.weights[name] == pytest.approx(np.mean([w[name] for w in chosen]))
    assert len(chosen) == (3 if nested else 1)
    with pytest.raises(SpecError, match="has weights of audio, text, but asked are"):
        LateFusion([AUDIO, TEXT, model("more", MELD)], record=record)
    capsys.readouterr()
    assert main(["fuse", *files, *words, "--method", "stacking"]) == 0
    with pytest.raises(SpecError, match=r"stacking.*--method weights or convex"):
        LateFusion([AUDIO, TEXT], record=tmp_path / "run_text-audio_stacking.json")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"other": 1}, "Weights of other: expected names of models"),
        ({"text": -1}, "expected 0 or more"),
        ({"text": 0, "audio": 0}, "one above 0"),
        ({"text": 1.5}, "leaves nothing for audio"),
        ({"text": float("nan")}, "expected 0 or more"),
    ],
)
def test_weights_that_cannot_be_are_refused(weights, message):
    with pytest.raises(SpecError, match=message):
        LateFusion([TEXT, AUDIO], weights)


def test_weights_are_written_with_names():
    assert parse_weights(["a=b=0.6", "c=1"]) == {"a=b": 0.6, "c": 1}
    for wrong in ("text", "=1", "text=", "text=-1", "text=nan"):
        with pytest.raises(SpecError, match=f"Weight {wrong}: expected"):
            parse_weights([wrong])
    with pytest.raises(SpecError, match="already"):
        parse_weights(["a=1", "a=2"])


def test_what_cannot_be_fused_is_refused(tmp_path):
    abc = model("abc", LabelSchema("abc", ("a", "b", "anger"), "single"))
    with pytest.raises(SpecError, match="share 1 labels"):
        LateFusion([TEXT, abc])
    with pytest.raises(LabelMismatchError, match="text has no calm of"):
        LateFusion([TEXT, AUDIO], schema=RAVDESS)
    with pytest.raises(SpecError, match="not both"):
        LateFusion([TEXT, AUDIO], {"text": 1}, tmp_path / "x.json")
    write_json(tmp_path / "run_x.json", {"status": "complete"})
    with pytest.raises(SpecError, match="expected a record of emorec fuse"):
        LateFusion([TEXT, AUDIO], record=tmp_path / "run_x.json")
