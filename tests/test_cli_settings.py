"""Settings that cannot be, runs that would be overwritten, models that do not fit."""

import json
import shutil

import numpy as np
import pytest

from emorec.cli.mosei import main
from emorec.errors import DataError
from emorec.training import mosei as job

ILLEGAL = {
    "-al false": "--append_label_to_data false",
    "-t false": "--align_to_text false with --modalities TVA",
    "-t false -m AV": "--align_to_text false with --modalities VA",
    "-t false -m A --missing mask": "--missing mask with --align_to_text false",
    "--drop_facet_emotions -f openface": "--drop_facet_emotions",
    "--drop_facet_emotions -m AT": "--drop_facet_emotions",
    "-c --folds mine.json": "--with_custom_split with --folds mine.json",
    "-nc -lt coarse": "--predict_neutral_class with --label_type coarse",
    "--gpus 2 -b 33": "--gpus 2: the batch of 33",
    "-m X": "--modalities X",
    "-m AA": "--modalities AA",
    "-m ATX": "--modalities ATX",
    "-lt all -lf binary_crossentropy": "--label_type all with --loss_function",
    "-lt coarse -lf binary_focal_crossentropy": "--label_type coarse with --loss_f",
    "-lt present -lf mean_squared_error": "--label_type present with --loss_function",
    "-lt dominant -lf huber": "--label_type dominant with --loss_function",
    "-lt present -a linear": "--label_type present with --final_activ linear",
    "-lt dominant -a tanh": "--label_type dominant with --final_activ tanh",
    "-lt all -a sigmoid": "--label_type all with --final_activ sigmoid",
    "-lt coarse -a tanh": "--label_type coarse with --final_activ tanh",
    "-b 0": "--batch_size 0: expected at least 1",
    "-n 0": "--num_nodes 0: expected at least 1",
    "-e 0": "--num_epochs 0: expected at least 1",
    "-p 0": "--patience 0: expected at least 1",
    "-s -1": "--fixed_num_steps -1: expected at least 0",
    "-rd -1": "--round_decimals -1: expected at least 0",
    "--seed -1": "--seed -1: expected at least 0",
    "--gpus -1": "--gpus -1: expected at least 0",
    "-d 1": "--dropout_rate 1.0",
    "-d -0.1": "--dropout_rate -0.1",
    "-d nan": "--dropout_rate nan",
    "-lr 0": "--learning_rate 0.0",
    "-lr -1": "--learning_rate -1.0",
    "-lr nan": "--learning_rate nan",
    "-tp -1": "--threshold_emo_present",
    "-tp valid -0.5": "--threshold_emo_present",
    "-tp nan": "--threshold_emo_present",
}


@pytest.mark.parametrize(
    "words, flags",
    [
        *ILLEGAL.items(),
        ("-lr inf", "--learning_rate inf"),
    ],
)
def test_an_illegal_setting_is_refused_before_any_data_is_looked_for(
    tmp_path, monkeypatch, capsys, words, flags
):
    monkeypatch.chdir(tmp_path)
    assert main(["-df", "gone", *words.split()]) == 1
    out, err = capsys.readouterr()
    assert err.startswith("emorec: error: ")
    assert flags in err
    assert "gone" not in err
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_legal_setting_is_not(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    legal = "-lt present -a sigmoid -lf binary_focal_crossentropy -nc -m VA -s 0"
    assert main(["-df", "gone", *legal.split(), "-tp", "valid", "0.5"]) == 1
    assert "gone: no such folder" in capsys.readouterr().err


@pytest.fixture
def copied(finished, train, tmp_path):
    """Return a function that runs the main job beside a copy of a finished run."""
    shutil.copytree(finished.model, tmp_path / "models" / finished.model.name)
    shutil.copytree(finished.pickles, tmp_path / "pickles")

    def run(*options):
        return train(tmp_path, "-e", 3, *options)

    run.model = tmp_path / "models" / finished.model.name
    (run.record,) = run.model.glob("run_*.json")
    return run


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "options, lines",
    [
        ("-lr 0.01", ["learning_rate: 0.001 before, 0.01 now"]),
        ("--seed 1 -m AT", ["seed: 0 before, 1 now", "modalities: 'TVA' before"]),
        ("-nc", ["predict_neutral_class: False before, True now"]),
        ("-c", ["with_custom_split: False before, True now", "folds"]),
    ],
)
def test_a_run_of_the_same_name_with_other_settings_is_refused(copied, options, lines):
    before = contents(copied.model)
    result = copied(*options.split())
    assert result.code == 1
    for line in [*lines, "run named l_1_n_8_d_0.2_b_32_s_45", "--overwrite"]:
        assert line in result.err
    assert contents(copied.model) == before


def test_overwrite_lets_it_go_on_to_the_data(copied, monkeypatch):
    def load(*arguments):
        raise DataError("reached the data")

    monkeypatch.setattr(job, "load_data", load)
    assert "reached the data" not in copied("-lr", 0.01).err
    assert "reached the data" in copied("-lr", 0.01, "--overwrite").err


def change_record(copied, change):
    record = json.loads(copied.record.read_text())
    change(record["spec"])
    copied.record.write_text(json.dumps(record))


def test_a_model_of_other_label_order_is_refused_with_both_orders(copied):
    def swap(spec):
        labels = spec["schema"]["labels"]
        labels[0], labels[1] = labels[1], labels[0]

    change_record(copied, swap)
    before = contents(copied.model)
    result = copied("--no_train")
    assert result.code == 1
    assert "sad, happy, anger" in result.err
    assert "happy, sad, anger" in result.err
    assert contents(copied.model) == before


@pytest.mark.parametrize(
    "options, message",
    [
        ("-m A", "received audio (COVAREP, 74)"),
        ("-nc", "neutral"),
        ("-lt present", "label type: expected all, received present"),
        ("--normalise maxabs", "normalisation: expected zscore, received maxabs"),
    ],
)
def test_a_model_of_other_input_or_output_is_refused(copied, options, message):
    before = contents(copied.model)
    result = copied("--no_train", *options.split())
    assert result.code == 1
    assert message in result.err
    assert contents(copied.model) == before


def test_without_a_run_there_is_nothing_to_evaluate(train, copied, tmp_path):
    result = copied("--no_train", "-n", 9)
    assert result.code == 1
    assert "run_l_1_n_9_d_0.2_b_32_s_45.json: no such run" in result.err
    assert f"Runs in this folder: {copied.record.name}" in result.err
    result = train(tmp_path / "empty", "--no_train")
    assert result.code == 1
    assert "Runs in this folder: none" in result.err


@pytest.mark.parametrize("damage", ["missing", "text", "truncated"])
def test_a_model_file_that_is_none_is_refused(copied, damage):
    (path,) = copied.model.glob("*.keras")
    whole = path.read_bytes()
    path.unlink()
    if damage == "text":
        path.write_text("not a model")
    if damage == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    result = copied("--no_train")
    assert result.code == 1
    expected = "no such model" if damage == "missing" else "not a model of emorec"
    assert f"{path}: {expected}" in result.err


def test_a_damaged_record_is_named(copied):
    copied.record.write_text("{")
    for options in ([], ["--no_train"]):
        result = copied(*options)
        assert result.code == 1
        assert f"{copied.record}: expected JSON" in result.err


def test_a_table_of_other_columns_is_refused_and_kept(copied):
    path = copied.model / "csv" / "regression.csv"
    path.write_text(mine := "my,own,table\n1,2,3\n")
    result = copied("--no_train")
    assert result.code == 1
    assert f"{path}: its columns are not those of this version" in result.err
    assert path.read_text() == mine


def test_another_backend_than_the_two_is_refused(copied, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    result = copied("--seed", 1, "--overwrite")
    assert result.code == 1
    assert "KERAS_BACKEND=torch" in result.err


def test_a_diverging_training_is_told_and_scores_nothing(train, tmp_path):
    result = train(tmp_path, "-e", 2, "-b", 128, "-lr", 1e38, "-opt", "sgd", "-m", "A")
    assert result.code == 1
    assert "The loss is not finite after epoch" in result.err
    assert "--learning_rate" in result.err
    assert not list(result.model.rglob("*.csv"))
    assert not list(result.model.rglob("*.npz"))


def test_a_refused_device_leaves_the_name_of_the_run_free(train, tmp_path):
    result = train(tmp_path, "--gpus", 2, "-m", "A")
    assert result.code == 1
    assert "--gpus 2: this machine offers 1 CPU to TensorFlow" in result.err
    assert not list(tmp_path.rglob("run_*.json"))


def test_the_results_of_a_damaged_segment_name_it(finished):
    from emorec.evaluation.outputs import check_scores

    with pytest.raises(DataError, match="segment 'b' is not"):
        check_scores(np.array([[1.0], [np.inf]]), ["a", "b"])
