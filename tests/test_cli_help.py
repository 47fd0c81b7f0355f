import argparse
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from emorec.cli import app, hosts, mosei
from emorec.cli.console import Parser
from emorec.cli.mosei_options import add_options, config_of
from emorec.training.config import MoseiConfig

ROOT = Path(__file__).resolve().parents[1]
FLAGS = {
    "-df": "dataset_folder",
    "-pnd": "pickle_name_dataset",
    "-pnf": "pickle_name_fold",
    "-pf": "pickle_folder",
    "-t": "align_to_text",
    "-al": "append_label_to_data",
    "-c": "with_custom_split",
    "-v": "val_metric",
    "-f": "image_feature",
    "-b": "batch_size",
    "-s": "fixed_num_steps",
    "-l": "num_layers",
    "-n": "num_nodes",
    "-d": "dropout_rate",
    "-a": "final_activ",
    "-mf": "model_folder",
    "-mn": "model_name",
    "-cf": "csv_folder",
    "-cn": "csv_name",
    "-e": "num_epochs",
    "-p": "patience",
    "-lr": "learning_rate",
    "-lf": "loss_function",
    "-rd": "round_decimals",
    "-nc": "predict_neutral_class",
    "-lt": "label_type",
    "-opt": "optimizer",
    "-tp": "threshold_emo_present",
    "-sp": "save_predictions",
    "-scm": "save_confusion_matrix",
    "-m": "modalities",
}
WITHOUT_SHORT = ["display_fig", "missing", "seed", "jit", "precision", "dry_run"]
SWITCHES = [field.name for field in fields(MoseiConfig) if field.type == "bool"]


@pytest.fixture
def parser():
    parser = Parser(prog="main.py")
    add_options(parser)
    return parser


@pytest.fixture
def action(parser):
    """Return a function from a flag to what argparse knows of it."""
    return parser._option_string_actions.get


# A process that prints its help and then, as its last line, what it has loaded.
LOADED = """
import runpy, sys
sys.argv = sys.argv[1:]
try:
    if sys.argv[0] == "emorec":
        runpy.run_module("emorec", run_name="__main__")
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as end:
    assert not end.code
print(*sys.modules)
"""


@pytest.fixture(scope="module", params=["main.py", "emorec"])
def help_process(request):
    return subprocess.run(
        [sys.executable, "-c", LOADED, request.param, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_help_is_printed(help_process):
    assert help_process.returncode == 0, help_process.stderr
    assert help_process.stdout.startswith("usage: ")
    assert help_process.stderr == ""


@pytest.mark.parametrize(
    "heavy",
    [
        *("tensorflow", "keras", "jax", "sklearn", "librosa"),
        "pandas",
    ],
)
def test_help_loads_nothing_heavy(help_process, heavy):
    loaded = help_process.stdout.splitlines()[-1].split()
    assert "emorec.cli.mosei_options" in loaded
    assert heavy not in loaded


@pytest.mark.parametrize("short, name", FLAGS.items())
def test_the_users_short_flags_stand_for_the_long_ones(action, short, name):
    assert action(short).dest == action(f"--{name}").dest == name


@pytest.mark.parametrize("name", WITHOUT_SHORT)
def test_other_long_flags_exist(action, name):
    assert action(f"--{name}").dest == name


def test_every_option_has_a_default_and_a_help(parser):
    parsed = parser.parse_args([])
    assert config_of(parsed) == MoseiConfig().resolve()
    assert not parsed.dry_run
    for option in parser._actions:
        assert option.help
        assert not option.required


@pytest.mark.parametrize(
    "name, value",
    {
        "align_to_text": True,
        "append_label_to_data": True,
        "image_feature": "facet",
        "batch_size": 32,
        "fixed_num_steps": 45,
        "num_layers": 1,
        "num_nodes": 100,
        "dropout_rate": 0.2,
        "final_activ": "linear",
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "loss_function": "mean_absolute_error",
        "val_metric": "loss",
        "round_decimals": 3,
    }.items(),
)
def test_the_defaults_are_the_users(parser, name, value):
    assert getattr(config_of(parser.parse_args([])), name) == value


def test_hyphens_are_underscores(parser):
    hyphens = parser.parse_args(["--num-layers", "3", "--model-name=my-model"])
    scores = parser.parse_args(["--num_layers", "3", "--model_name=my-model"])
    assert hyphens == scores
    assert (scores.num_layers, scores.model_name) == (3, "my-model")


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_switch_takes_true_false_or_nothing(parser, switch):
    def value(*words):
        return getattr(parser.parse_args([f"--{switch}", *words]), switch)

    assert value() is value("true") is value("True") is value("yes") is True
    assert value("false") is value("False") is value("no") is False


def test_a_switch_before_another_flag_is_on(parser):
    parsed = parser.parse_args(["-c", "-t", "false", "-nc", "-l", "2"])
    assert (parsed.with_custom_split, parsed.align_to_text) == (True, False)
    assert (parsed.predict_neutral_class, parsed.num_layers) == (True, 2)


def test_several_thresholds_are_taken(parser):
    parsed = parser.parse_args(["-tp", "0", "0.5", "valid"])
    assert parsed.threshold_emo_present == [0.0, 0.5, "valid"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("-l 4", "--num_layers: invalid choice: 4"),
        ("-n many", "--num_nodes: invalid int value: 'many'"),
        ("-d", "--dropout_rate: expected one argument"),
        ("-f openpose", "--image_feature/--features: invalid choice: 'openpose'"),
        ("-v f1", "--val_metric: invalid choice: 'f1'"),
        ("-opt adamw", "--optimizer: invalid choice: 'adamw'"),
        ("-lf mse", "--loss_function: invalid choice: 'mse'"),
        ("-a softmax", "--final_activ: invalid choice: 'softmax'"),
        ("-lt sentiment", "--label_type: invalid choice: 'sentiment'"),
        ("-t maybe", "--align_to_text: expected true or false, received 'maybe'"),
        ("-tp low", "--threshold_emo_present: expected a number or valid"),
        ("--jit always", "--jit: invalid choice: 'always'"),
        ("--precision float16", "--precision: invalid choice: 'float16'"),
        ("--missing fill", "--missing: invalid choice: 'fill'"),
        ("--normalise l2", "--normalise: invalid choice: 'l2'"),
        ("--layers 2", "unrecognized arguments: --layers 2"),
        # An abbreviation would be read as another flag after the next release.
        ("--num_l 2", "unrecognized arguments: --num_l 2"),
        ("data", "unrecognized arguments: data"),
    ],
)
def test_what_argparse_refuses_is_named_and_exits_with_2(capsys, arguments, message):
    with pytest.raises(SystemExit) as caught:
        mosei.main(arguments.split())
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.startswith("usage: main.py")


@pytest.mark.parametrize("arguments", ["", "mosei", "mosi", "mosei fly", "fly"])
def test_a_missing_or_unknown_command_exits_with_2(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        app.main(arguments.split())
    assert caught.value.code == 2
    assert "usage: emorec" in capsys.readouterr().err


def test_main_py_and_emorec_mosei_train_take_the_same_options():
    mine = argparse.ArgumentParser()
    add_options(mine)
    hosts.add_options(mine)
    group = argparse.ArgumentParser()
    mosei.add_commands(group)
    (commands,) = (a for a in group._actions if a.choices)
    theirs = commands.choices["train"]
    assert theirs._option_string_actions.keys() == mine._option_string_actions.keys()


def test_the_version_is_told(capsys):
    from emorec import __version__

    with pytest.raises(SystemExit) as caught:
        app.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.strip() == __version__
