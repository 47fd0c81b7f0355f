"""Specs are compared on loading; a run's folder is claimed by its settings."""

import json
from dataclasses import replace

import pytest

from emorec.artifacts.runs import RunFolder, environment
from emorec.artifacts.spec import Modality, Spec
from emorec.errors import LabelMismatchError, SpecError
from emorec.labels import MOSEI, MOSEI_ALPHABETICAL, MOSEI_NEUTRAL, SENTIMENT

TEXT = Modality("text", "glove_vectors", 300)
AUDIO = Modality("audio", "COVAREP", 74)
SPEC = Spec(
    MOSEI,
    (TEXT, AUDIO),
    max_steps=45,
    label_type="all",
    normalisation={"kind": "maxabs", "scale": [1.0, 0.1, 1 / 3]},
    data={"dataset": "CMU-MOSEI", "miniature": False},
)


def test_a_spec_survives_the_way_through_json():
    text = json.dumps(SPEC.to_dict())
    assert Spec.from_dict(json.loads(text)) == SPEC


@pytest.mark.parametrize("key", ["schema", "modalities", "max_steps", "label_type"])
def test_a_spec_that_lacks_something_is_refused(key):
    content = SPEC.to_dict()
    del content[key]
    with pytest.raises(SpecError, match=f"Not a spec of emorec .*{key}"):
        Spec.from_dict(content)


@pytest.mark.parametrize(
    "changes", [{"colour": 1}, {"modalities": [{"name": "text"}]}, {"modalities": 3}]
)
def test_a_spec_of_another_form_is_refused(changes):
    with pytest.raises(SpecError, match="Not a spec of emorec"):
        Spec.from_dict(SPEC.to_dict() | changes)


def test_equal_specs_agree_whatever_data_trained_the_model():
    SPEC.check(replace(SPEC, data={"dataset": "another"}), "here")
    other = {"kind": "maxabs", "scale": [2.0, 2.0, 2.0]}
    SPEC.check(replace(SPEC, normalisation=other), "here")


def test_another_order_of_labels_is_refused_showing_both_orders():
    with pytest.raises(LabelMismatchError) as caught:
        SPEC.check(replace(SPEC, schema=MOSEI_ALPHABETICAL), "model.keras")
    message = str(caught.value)
    assert message.startswith("model.keras: ")
    for schema in (MOSEI, MOSEI_ALPHABETICAL):
        assert ", ".join(schema.labels) in message
    order = [MOSEI_ALPHABETICAL.index(label) for label in MOSEI.labels]
    assert f"take columns {order}" in message


@pytest.mark.parametrize("schema", [MOSEI_NEUTRAL, SENTIMENT], ids=lambda s: s.name)
def test_other_labels_are_refused(schema):
    with pytest.raises(LabelMismatchError, match="The label sets differ"):
        SPEC.check(replace(SPEC, schema=schema), "here")


@pytest.mark.parametrize(
    "change, shown",
    [
        ({"modalities": (AUDIO, TEXT)}, ["text (glove", "audio (COVAREP, 74), text"]),
        ({"modalities": (TEXT,)}, ["audio (COVAREP, 74)"]),
        ({"modalities": (TEXT, replace(AUDIO, width=73))}, ["74)", "73)"]),
        ({"modalities": (TEXT, replace(AUDIO, features="eGeMAPS"))}, ["eGeMAPS"]),
        ({"max_steps": 20}, ["expected 45, received 20"]),
        ({"label_type": "present"}, ["expected all, received present"]),
        ({"normalisation": {"kind": "zscore"}}, ["expected maxabs, received zscore"]),
    ],
)
def test_other_input_is_refused_showing_both(change, shown):
    with pytest.raises(SpecError) as caught:
        SPEC.check(replace(SPEC, **change), "model.keras")
    message = str(caught.value)
    assert message.startswith("model.keras: the model was made for other input.")
    assert all(part in message for part in shown)
    assert message.count("expected") == 1


SETTINGS = {"num_layers": 2, "learning_rate": 1e-3, "data": {"name": "x", "bytes": [1]}}


@pytest.fixture
def run(tmp_path):
    """Return the folder of a run that was recorded."""
    run = RunFolder(tmp_path / "models" / "mine", "l_2_n_128")
    run.write_record(SETTINGS, SPEC, system="mosei", test={"mae": 0.5})
    return run


def test_a_record_holds_settings_spec_and_environment(run):
    record = run.record()
    assert record["settings"] == SETTINGS
    assert record["test"] == {"mae": 0.5}
    assert record["environment"] == json.loads(json.dumps(environment()))
    assert record["environment"]["versions"]["keras"].count(".") >= 1
    assert run.read_spec() == SPEC


def test_the_id_of_a_run_follows_from_its_settings(run):
    first = run.record()["run"]
    run.write_record(dict(reversed(SETTINGS.items())), SPEC, system="mosei")
    assert run.record()["run"] == first
    run.write_record(SETTINGS | {"num_layers": 3}, SPEC, system="mosei")
    assert run.record()["run"] != first


def test_a_name_that_is_free_can_be_claimed(tmp_path):
    run = RunFolder(tmp_path, "l_1")
    run.claim(SETTINGS, overwrite=False)
    assert run.record() is None


def test_the_same_settings_can_be_claimed_again(run):
    run.claim(json.loads(json.dumps(SETTINGS)), overwrite=False)


def test_a_name_is_not_given_to_other_settings(run):
    other = SETTINGS | {"learning_rate": 0.01, "seed": 4}
    del other["num_layers"]
    with pytest.raises(SpecError) as caught:
        run.claim(other, overwrite=False)
    message = str(caught.value)
    assert "learning_rate: 0.001 before, 0.01 now" in message
    assert "seed: None before, 4 now" in message
    assert "num_layers: 2 before, None now" in message
    assert "--overwrite" in message
    assert "data:" not in message
    run.claim(other, overwrite=True)


def test_runs_of_other_names_do_not_hinder_each_other(run):
    other = RunFolder(run.folder, "l_3_n_128")
    other.claim({"num_layers": 3}, overwrite=False)
    other.write_record({"num_layers": 3}, SPEC, system="mosei")
    assert run.record()["settings"] == SETTINGS
    assert other.resume_folder != run.resume_folder


def test_an_evaluation_takes_the_settings_of_the_training(run):
    assert run.trained_settings(SETTINGS["data"], overwrite=False) == SETTINGS
    other = {"name": "y", "bytes": [2]}
    with pytest.raises(SpecError, match=r"other data .*'x'.*'y'"):
        run.trained_settings(other, overwrite=False)
    assert run.trained_settings(other, overwrite=True) == SETTINGS | {"data": other}


def test_the_spec_of_a_run_that_is_not_there_names_those_that_are(run):
    with pytest.raises(SpecError, match=r"no such run.*: run_l_2_n_128\.json"):
        RunFolder(run.folder, "l_9").read_spec()
    with pytest.raises(SpecError, match=r"Runs in this folder: none"):
        RunFolder(run.folder / "empty", "l_9").read_spec()
