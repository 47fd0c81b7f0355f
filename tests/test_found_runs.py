"""Runs are found by file, by name and by folder."""

import json

import pytest

from emorec.artifacts.found_runs import find_runs
from emorec.artifacts.runs import RunFolder
from emorec.artifacts.spec import Modality, Spec
from emorec.errors import SpecError
from emorec.labels import FERPLUS

SPEC = Spec(
    FERPLUS, (Modality("image", "grey faces", 1),), 0, "majority", {"kind": "image"}
)


@pytest.fixture
def folder(tmp_path):
    """Return a folder with two finished runs, one unfinished and a part of a run."""
    for name, more in (
        ("one_seed_0", {"status": "complete"}),
        ("two_seed_1", {"status": "complete"}),
        ("half", {"status": "training"}),
        ("inner", {"status": "complete", "part_of": "two_seed_1"}),
    ):
        RunFolder(tmp_path, name).write_record({}, SPEC, system="faces", **more)
    (tmp_path / "run_fused.json").write_text(json.dumps({"fusions": []}))
    return tmp_path


def test_every_way_to_name_a_run_finds_it(folder):
    named = ["run_one_seed_0.json", "model_one_seed_0.keras", "one_seed_0"]
    for name in named:
        (found,) = find_runs([folder / name])
        assert (found.name, found.system) == ("one_seed_0", "faces")
        assert found.spec == SPEC
        assert found.model_path == folder / "model_one_seed_0.keras"


def test_a_folder_stands_for_all_that_finished_in_it_each_once(folder):
    found = find_runs([folder / "two_seed_1", folder, folder / "one_seed_0"])
    assert [run.name for run in found] == ["two_seed_1", "one_seed_0"]


def test_a_part_of_a_run_is_found_by_its_own_name_only(folder):
    assert [run.name for run in find_runs([folder / "inner"])] == ["inner"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none", "one_seed_0"),
        ("half", "not a finished run"),
        ("run_fused.json", "not a finished run"),
        ("nowhere/x", "none"),
    ],
)
def test_what_is_no_finished_run_is_refused(folder, name, said):
    with pytest.raises(SpecError, match=said):
        find_runs([folder / name])


def test_a_folder_without_finished_runs_is_refused(folder, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(SpecError, match="no finished run"):
        find_runs([empty])


def test_records_of_earlier_versions_are_known_by_their_input(folder):
    path = folder / "run_one_seed_0.json"
    record = json.loads(path.read_text())
    del record["system"]
    path.write_text(json.dumps(record))
    assert find_runs([path])[0].system == "faces"
    record["spec"]["normalisation"]["kind"] = "none"
    path.write_text(json.dumps(record))
    with pytest.raises(SpecError, match="another version"):
        find_runs([path])
    path.write_text("{")
    with pytest.raises(SpecError, match="cannot be read"):
        find_runs([path])
