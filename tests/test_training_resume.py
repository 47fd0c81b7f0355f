"""Resuming repeats no work and loses none."""

import json
import shutil
from types import SimpleNamespace

import pytest

from emorec.errors import DataError
from emorec.evaluation import outputs
from emorec.training import fit
from emorec.training.fit import Progress

QUICK = "-e 3 -b 128 -scm false -tp 0 -m A"


def results(folder):
    """Return the bytes of predictions, tables and history of a run."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".npz", ".csv", ".pkl")
    }


def interrupt(monkeypatch, owner, name, call):
    """Interrupt the process at the given call of a function, before it works."""
    original = getattr(owner, name)
    calls = []

    def function(*args, **kwargs):
        calls.append(name)
        if len(calls) == call:
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, function)


@pytest.fixture(scope="module")
def whole(train, tmp_path_factory):
    return train(tmp_path_factory.mktemp("whole"), QUICK)


@pytest.mark.parametrize(
    "owner, name, call, done",
    [
        # The weights of the second epoch are written then, its state is not.
        (fit, "write_json", 2, 1),
        (outputs, "metric_rows", 1, 3),
    ],
)
def test_an_interrupted_training_goes_on_to_the_same_bytes(
    whole, train, tmp_path, monkeypatch, owner, name, call, done
):
    with monkeypatch.context() as patch:
        interrupt(patch, owner, name, call)
        first = train(tmp_path, QUICK)
    assert first.code == 130
    assert "the same command goes on where it stopped" in first.err
    assert list(first.model.glob("unfinished_*"))
    assert not list(tmp_path.rglob(".writing-*"))
    second = train(tmp_path, QUICK)
    assert second.code == 0, second.err
    assert f"Going on after epoch {done} of an interrupted training." in second.out
    assert second.out.count("\nepoch ") == 3 - done
    assert results(second.model) == results(whole.model)
    assert not list(second.model.glob("unfinished_*"))
    record = json.loads(next(second.model.glob("run_*.json")).read_text())
    assert record["training"]["resumed_after"] == done
    assert record["training"]["epochs"] == 3


def test_the_state_of_other_settings_is_not_resumed(
    train, whole, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        interrupt(patch, outputs, "metric_rows", 1)
        train(tmp_path, QUICK, "--seed", 1)
    result = train(tmp_path, QUICK)
    assert result.code == 1
    assert "seed: 1 before, 0 now" in result.err
    result = train(tmp_path, QUICK, "--overwrite")
    assert "Going on" not in result.out
    assert results(result.model) == results(whole.model)


class Weights:
    """Stands for a model: its weights are a text, its optimiser is nothing."""

    def __init__(self, text=""):
        self.text = text
        self.optimizer = SimpleNamespace(build=lambda variables: None)
        self.trainable_variables = self.variables = []
        self.stop_training = False

    def save_weights(self, path):
        path.write_text(self.text)

    def load_weights(self, path):
        self.text = path.read_text()


@pytest.fixture
def progress(tmp_path):
    """Return a function that makes the bookkeeping of a training."""

    def make(monitor="val_loss", patience=2, settings="a"):
        pipeline = SimpleNamespace(epoch=None)
        made = Progress(
            pipeline, tmp_path / "state", monitor, patience, settings, print
        )
        made.set_model(Weights())
        return made

    return make


def run(progress, values, start=0):
    """Let epochs end with these validation values; return the epochs done."""
    for epoch, value in enumerate(values[start:], start):
        progress.on_epoch_begin(epoch)
        assert progress.pipeline.epoch == epoch
        progress.model.text = f"weights {epoch}"
        progress.on_epoch_end(epoch, {"loss": 1.0, progress.monitor: value})
        if progress.model.stop_training:
            return epoch + 1
    return len(values)


CURVE = [5, 3, 4, 2, 2, 3, 1, 9]  # 2 again is no improvement: patience 2 ends it


@pytest.mark.parametrize("monitor, sign", [("val_loss", 1), ("val_acc", -1)])
def test_patience_ends_a_training_and_the_best_weights_are_restored(
    progress, monitor, sign
):
    made = progress(monitor)
    assert run(made, [sign * value for value in CURVE]) == 6
    assert made.ended
    made.restore_best(made.model)
    assert made.model.text == "weights 3"
    assert made.state["history"][monitor] == [sign * v for v in CURVE[:6]]
    # Only what is still needed lies there.
    names = {path.name for path in made.folder.iterdir()}
    assert names == {"state.json", "epoch_3.weights.h5", "epoch_5.weights.h5"}


@pytest.mark.parametrize("stop", range(1, 6))
def test_patience_and_the_best_survive_an_interruption(progress, stop):
    assert run(progress(), CURVE[:stop]) == stop
    again = progress()
    assert again.resume(again.model) == stop
    assert again.model.text == f"weights {stop - 1}"
    assert run(again, CURVE, stop) == 6
    again.restore_best(again.model)
    assert again.model.text == "weights 3"
    assert again.state["history"]["val_loss"] == CURVE[:6]


def test_an_ended_training_is_not_continued(progress):
    run(progress(), CURVE)
    again = progress()
    again.resume(again.model)
    assert again.ended


def test_only_the_state_of_equal_settings_is_resumed(progress):
    run(progress(settings="a"), CURVE[:3])
    other = progress(settings="b")
    assert other.resume(other.model) == 0
    assert other.state["history"] == {}
    assert run(other, CURVE) == 6


@pytest.mark.parametrize("name", ["loss", "val_loss"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_diverged_epoch_is_refused_and_not_saved(progress, name, value):
    made = progress()
    run(made, CURVE[:2])
    with pytest.raises(DataError, match="not finite after epoch 3"):
        made.on_epoch_end(2, {"loss": 1.0, "val_loss": 1.0} | {name: value})
    again = progress()
    assert again.resume(again.model) == 2


def test_nothing_is_left_when_a_training_has_ended(progress):
    made = progress()
    run(made, CURVE)
    made.clean()
    assert not made.folder.exists()
    assert progress().resume(Weights()) == 0
    shutil.rmtree(made.folder, ignore_errors=True)
