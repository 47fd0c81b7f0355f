"""What a sweep may be, said before anything runs."""

import shlex
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emorec.cli import app
from emorec.cli.mosei_options import add_options, config_of
from emorec.cli.sweep_commands import COMMANDS, words_of
from emorec.cluster import space
from emorec.cluster.config import find_config, parse, read_config
from emorec.cluster.halving import falls_behind, is_rung
from emorec.cluster.space import Range, read_option
from emorec.errors import SpecError

MOSEI = {
    "command": ["mosei", "train"],
    "metric": "val_loss",
    "mode": "min",
    "search": {"num_nodes": [8, 16]},
}
VALUES = st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True)
SPACES = st.dictionaries(st.sampled_from("abcd"), VALUES, min_size=1).map(
    lambda content: {name: tuple(values) for name, values in content.items()}
)
RANGES = st.one_of(
    st.builds(
        lambda low, width, log: Range(low, low + width, log),
        st.floats(1e-6, 1e3),
        st.floats(1e-3, 1e3),
        st.booleans(),
    ),
    st.builds(
        lambda low, width, log: Range(low, low + width, log),
        st.integers(1, 50),
        st.integers(1, 200),
        st.booleans(),
    ),
    st.builds(
        lambda low, step, count: Range(low, low + step * count, False, step),
        st.integers(-5, 5),
        st.sampled_from([1, 2, 0.25]),
        st.integers(1, 9),
    ),
)


@given(SPACES)
def test_a_grid_is_the_full_product_once(content):
    points = space.grid(content)
    assert len(points) == space.count(content) == len(set(map(space.key, points)))
    for name, values in content.items():
        assert {point[name] for point in points} == set(values)


@given(SPACES, st.integers(0, 5))
def test_drawn_points_are_new_until_there_are_no_more(content, seed):
    points = list(space.drawn(content, seed))
    keys = list(map(space.key, points))
    assert len(set(keys)) == len(keys) == space.count(content)
    assert [p for p, _ in zip(space.drawn(content, seed), range(3), strict=False)] == (
        points[:3]
    )


@given(RANGES, st.integers(0, 99))
def test_a_drawn_number_lies_in_its_range(option, seed):
    import numpy as np

    value = option.draw(np.random.default_rng(seed))
    assert option.low <= value <= option.high
    assert isinstance(value, int) == option.whole
    if option.step:
        assert (value - option.low) / option.step % 1 == pytest.approx(0, abs=1e-6)


def test_a_logarithmic_range_is_drawn_evenly_over_magnitudes():
    points = space.drawn({"rate": Range(1e-4, 1.0, True)}, 0)
    rates = [point["rate"] for point, _ in zip(points, range(400), strict=False)]
    counts = [sum(10**-n >= rate > 10 ** -(n + 1) for rate in rates) for n in range(4)]
    assert min(counts) > 70


@given(
    st.lists(st.floats(-9, 9), min_size=1, max_size=30),
    st.sampled_from(["min", "max"]),
    st.integers(2, 5),
)
def test_the_best_at_a_rung_never_falls_behind(values, mode, reduction):
    best = min(values) if mode == "min" else max(values)
    for place, value in enumerate(values):
        behind = falls_behind(value, values[:place], mode, reduction)
        assert not (behind and value == best)


def test_rungs_are_a_factor_apart():
    assert [n for n in range(1, 100) if is_rung(n, 2, 3)] == [2, 6, 18, 54]
    assert [n for n in range(1, 30) if is_rung(n, 3, 3)] == [3, 9, 27]
    assert [n for n in range(1, 9) if is_rung(n, 1, 2)] == [1, 2, 4, 8]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"metrik": "val_acc"}, "unknown key metrik; known: command, metric"),
        ({"metric": "test_accuracy"}, "reads test, which chooses nothing"),
        ({"metric": "accuracy_macro"}, "no score on validation"),
        ({"metric": "loss"}, "of the clips that are learnt from"),
        ({"mode": "best"}, "expected min or max"),
        ({"method": "bayes"}, "expected grid or random or tpe"),
        ({"trials": 3}, "a grid has all its points"),
        ({"method": "random"}, "trials: method random needs how many"),
        ({"method": "random", "trials": 3}, "there are only 2 points"),
        ({"seed": True}, "expected a whole number"),
        ({"grace": 0}, "grace = 0: at least 1"),
        ({"scheduler": "asha", "metric": "dev_f1"}, "column of the history"),
        ({"search": {}}, "expected an option with several values"),
        ({"search": {"a": 1}}, "expected a list of values or"),
        ({"search": {"a": [1, 1]}}, "different values"),
        ({"search": {"a": {"low": 1}}}, "expected numbers as low, high"),
        ({"search": {"a": {"low": 2, "high": 1}}}, "low < high"),
        ({"search": {"a": {"low": 0, "high": 1, "log": True}}}, "low above 0"),
        ({"search": {"a": {"low": 0, "high": 1, "by": 1}}}, "unknown by; known: low"),
        ({"search": {"a": {"low": 0.0, "high": 1.0}}}, "a grid needs a list"),
        ({"fixed": {"num-nodes": 1}}, "num_nodes: stands in"),
        ({"fixed": 3}, "expected a table"),
    ],
)
def test_what_cannot_be_a_sweep_is_refused(change, message):
    with pytest.raises(SpecError) as caught:
        parse(MOSEI | change, {})
    assert message in str(caught.value)


def test_what_lacks_a_key_is_refused():
    with pytest.raises(SpecError, match="metric, mode is missing"):
        parse({"command": ["mosei", "train"], "search": {"a": [1]}}, {})


@pytest.mark.parametrize(
    "command, options, message",
    [
        (["mosei", "align"], {}, "known: faces train, meld audio"),
        (["mosei"], {}, "expected a training"),
        (["mosei", "train", "-l", "2"], {}, "stand in [fixed]"),
        (["mosei", "train"], {"num_node": 8}, "known: align_to_text"),
        (["mosei", "train"], {"model_name": "a"}, "the sweep says where"),
        (["mosei", "train"], {"overwrite": True}, "what is finished stays"),
        (["mosei", "train"], {"hosts": 2}, "a trial is one process"),
        (["mosei", "train"], {"num_nodes": "many"}, "invalid int value: 'many'"),
        (["mosei", "train"], {"num_nodes": [8, 9]}, "not a list"),
        (["mosei", "train"], {"num_layers": 4}, "invalid choice: 4"),
        (["mosei", "train", "DIR"], {}, "unrecognized arguments: DIR"),
        (["faces", "train"], {"dedup": "yes"}, "expected true or false"),
        (["meld", "text"], {}, "required: DIR"),
    ],
)
def test_what_the_command_does_not_take_is_refused(command, options, message):
    with pytest.raises(SpecError) as caught:
        words_of(command, options, Path("out"), "trial_0000")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "command, options, expected",
    [
        (
            ["mosei", "train"],
            {"learning_rate": 1e-05, "align_to_text": False, "modalities": "T"},
            "--learning_rate=1e-05 --align_to_text=false --modalities=T "
            "--model_folder=out --model_name=t",
        ),
        (
            ["faces", "train", "DIR"],
            {"dedup": True, "partial": False, "erase": -0.5},
            "--dedup --erase=-0.5 --output=out --name=t",
        ),
        (
            ["ravdess", "train", "DIR"],
            {"lr_steps": [40, 80]},
            "--lr_steps 40 80 --output=out --name=t",
        ),
        (
            ["meld", "face", "DIR"],
            {"landmarks": "FILE", "no_size": True, "literal": False},
            "--landmarks=FILE --no_size --output=out --name=t",
        ),
        (["mosi", "train", "DIR"], {"seeds": 3}, "--seeds 3 --output=out/t"),
    ],
)
def test_a_command_line_says_what_the_options_say(command, options, expected):
    line = words_of(command, options, Path("out"), "t")
    assert shlex.join(line) == shlex.join([*command, *expected.split()])


@pytest.mark.parametrize("command", COMMANDS)
def test_every_training_of_emorec_can_be_repeated(command):
    needed = [] if command[0] in ("mosei", "faces", "ravdess") else ["DIR"]
    options = {"landmarks": "FILE"} if command == ("meld", "face") else {}
    seed = {"ravdess": "manual_seed", "mosi": "seeds"}.get(command[0], "seed")
    line = words_of([*command, *needed], {**options, seed: 3}, Path("out"), "t")
    assert any("out" in word for word in line)


def test_the_shipped_grid_is_that_of_williams():
    """The same 168 settings as those of ``emorec mosei williams``."""
    import argparse
    from dataclasses import replace

    from emorec.training import williams
    from emorec.training.config import MoseiConfig

    config = read_config(find_config("williams"))
    parser = argparse.ArgumentParser()
    add_options(parser)
    mine = [
        config_of(
            parser.parse_args(
                words_of(config.command, config.fixed | point, Path("out"), "t")[2:]
            )
        ).identity()
        for point in space.grid(config.search)
    ]
    base = MoseiConfig(num_epochs=200)
    theirs = [
        point.identity()
        for subset in williams.SUBSETS
        for point in williams.grid(
            replace(base, **williams.FIXED, modalities=subset).resolve()
        )
    ]
    assert mine == theirs
    assert len(mine) == 168


def test_options_of_the_command_line_win_over_those_of_the_file():
    path = find_config("williams")
    config = read_config(path, {"dataset_folder": "DIR", "dropout_rate": 0.1})
    assert config.fixed["dataset_folder"] == "DIR"
    assert config.trials == 84 and "dropout_rate" not in config.search


def test_a_dry_run_prints_the_command_lines_and_writes_nothing(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    options = ["--set", "num_layers=1", "dropout_rate=0.1", "modalities='T'"]
    assert app.main(["sweep", "williams", "--dry_run", *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and all(x.startswith("emorec mosei train") for x in lines)
    assert "--fixed_num_steps=30" in lines[3] and "trial_0003" in lines[3]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nothing"], "the name of one that emorec brings: williams"),
        (["williams", "--set", "nodes"], "expected OPTION=VALUE"),
        (
            ["williams", "--set", "nodes=3"],
            "nodes: not an option of emorec mosei train",
        ),
        (["williams", "--set", "seed=many"], "argument --seed: invalid int value"),
    ],
)
def test_a_mistake_is_named_before_anything_is_written(
    tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    assert app.main(["sweep", *arguments, "--local"]) == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_without_ray_the_message_names_the_extra_and_what_needs_none(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "ray", None)
    assert app.main(["sweep", "williams"]) == 1
    err = capsys.readouterr().err
    assert "emorec[cluster]" in err and "--local" in err
    assert not list(tmp_path.iterdir())


def test_tpe_without_optuna_names_the_extra(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "optuna", None)
    Path("sweep.toml").write_text(
        'command = ["mosei", "train"]\nmetric = "val_loss"\nmode = "min"\n'
        'method = "tpe"\ntrials = 2\n[search]\nnum_nodes = {low = 8, high = 64}\n'
    )
    assert app.main(["sweep", "sweep.toml", "--local"]) == 1
    assert "emorec[cluster]" in capsys.readouterr().err
    assert not Path("models").exists()


def test_a_sweep_of_failures_ends_with_their_reasons(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("sweep.toml").write_text(
        'command = ["mosi", "train", "nowhere"]\nmetric = "val_loss"\nmode = "min"\n'
        "[search]\nnum_layers = [1, 2]\n"
    )
    assert app.main(["sweep", "sweep.toml", "--local"]) == 3
    out = capsys.readouterr().out
    assert "No trial finished" in out and "2 trials failed" in out
    assert out.count("nowhere") >= 3
    assert Path("models/sweeps/sweep/sweep.png").stat().st_size > 5_000


def test_a_range_reads_what_it_writes():
    option = read_option("rate", {"low": 1, "high": 9, "step": 2})
    assert option.values == [1, 3, 5, 7, 9]
    assert read_option("rate", space.plain({"rate": option})["rate"]) == option
