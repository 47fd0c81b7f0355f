"""Training the fusion: on features of frames, without a modality, resumed."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from emorec.artifacts.runs import RunFolder
from emorec.batches.audiovisual import AvArrays
from emorec.corpora.av_clips import AvClips
from emorec.errors import DataError, SpecError
from emorec.labels import LabelSchema
from emorec.training import audiovisual, av_scores
from emorec.training.av_config import AvConfig
from emorec.training.av_data import AvData
from emorec.training.optimizers import Milestones

TWO = LabelSchema("two", ("low", "high"), "single")
CONFIG = AvConfig(
    freeze_frames=True, n_epochs=3, learning_rate=0.2, batch_size=8, lr_steps=(2,)
)


def drawn(missing=()):
    """Clips whose class both modalities tell, each by itself."""
    random = np.random.default_rng(0)
    n = 40
    classes = np.arange(n) % 2
    audio = random.normal(size=(n, 20, 10)) + 1.5 * classes[:, None, None]
    video = random.normal(size=(n, 15, 1024)) * 0.3 + 0.5 * classes[:, None, None]
    present = {"audio": np.ones(n, bool), "video": ~np.isin(np.arange(n), missing)}
    split = np.array(["train"] * 24 + ["valid"] * 8 + ["test"] * 8)
    clips = AvClips(
        "drawn",
        TWO,
        [f"c{i:02d}" for i in range(n)],
        [None] * n,
        [None] * n,
        classes,
        np.array([f"s{i // 4}" for i in range(n)]),
        np.ones(n, int),
        split,
        pd.DataFrame(columns=["clip", "left_out", "reason"]),
    )
    arrays = AvArrays(
        audio.astype("f"), video.astype("f"), present, np.eye(2, dtype="f")[classes]
    )
    return AvData(clips, arrays)


def quiet(line):
    pass


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = RunFolder(tmp_path_factory.mktemp("av"), "x")
    lines = []
    model, spec, data = audiovisual.run(CONFIG, drawn(), folder, lines.append)
    return folder, model, spec, data, lines


def test_a_run_leaves_a_whole_record(trained):
    folder, _, spec, _, lines = trained
    record = json.loads(folder.record_path.read_text())
    assert record["status"] == "complete" and record["training"]["epochs"] == 3
    assert spec.schema.labels == ("low", "high")
    assert spec.modalities[1].features == "features of frames"
    history = pd.read_csv(folder.folder / "history_x.csv")
    assert {"acc", "val_acc", "top1"} <= set(history)
    assert any("24 clips to learn from, 8 to validate on" in line for line in lines)


def test_without_validation_its_clips_are_learnt_from(tmp_path):
    lines, folder = [], RunFolder(tmp_path, "x")
    config = replace(CONFIG, no_val=True, n_epochs=1, lr_steps=(), jit="off")
    audiovisual.run(config, drawn(), folder, lines.append)
    assert any("32 clips to learn from, 0 to validate on" in line for line in lines)
    training = json.loads(folder.record_path.read_text())["training"]
    assert training["kept_epoch"] == 1 and training["val_acc"] is None


def test_each_condition_is_scored_on_the_same_clips(trained):
    folder, model, spec, data, _ = trained
    result = av_scores.evaluate(model, spec, data, folder, "test", quiet)
    assert set(result.logits) == set(av_scores.CONDITIONS)
    told = folder.folder / f"card_{folder.param_name}.md"
    assert "| test | both |" in told.read_text()
    whole = result.logits["both", ""]
    again = av_scores.score(model, data, data.rows("test"))
    np.testing.assert_array_equal(again, whole)
    # A clip's scores do not depend on its company.
    alone = av_scores.score(model, data, data.rows("test")[3:4])
    np.testing.assert_allclose(alone, whole[3:4], atol=1e-4)
    table = pd.read_csv(folder.folder / "incomplete.csv")
    assert table.given.tolist() == ["both", *["audio"] * 3, *["video"] * 3, "constant"]


def test_what_a_clip_lacks_is_what_the_condition_leaves_out(trained):
    _, model, _, data, _ = trained
    rows = data.rows("test")
    lacking = drawn(missing=rows)
    np.testing.assert_array_equal(
        av_scores.score(model, lacking, rows),
        av_scores.score(model, data, rows, ["audio"]),
    )


def test_an_interrupted_training_goes_on_to_the_same_weights(trained, tmp_path):
    class StopError(Exception):
        pass

    def stop(line):
        if line.startswith("epoch   2"):
            raise StopError

    folder = RunFolder(tmp_path, "x")
    with pytest.raises(StopError):
        audiovisual.run(CONFIG, drawn(), folder, stop)
    lines = []
    model, _, data = audiovisual.run(CONFIG, drawn(), folder, lines.append)
    assert any("Going on after epoch 2" in line for line in lines)
    for a, b in zip(model.weights, trained[1].weights, strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    again, _, _ = audiovisual.run(CONFIG, drawn(), folder, lines.append)
    assert lines[-1] == "x: trained before."
    rows = data.rows("test")
    np.testing.assert_allclose(
        av_scores.score(again, data, rows),
        av_scores.score(model, data, rows),
        atol=1e-5,
    )
    with pytest.raises(SpecError, match="exists with other settings"):
        audiovisual.run(CONFIG, drawn(missing=[0]), folder, quiet)


def test_a_split_without_clips_is_refused(tmp_path):
    data = drawn()
    clips = data.clips.only(data.clips.split != "valid")
    rest = np.flatnonzero(data.clips.split != "valid")
    arrays = AvArrays(
        data.arrays.audio[rest],
        data.arrays.video[rest],
        {name: there[rest] for name, there in data.arrays.present.items()},
        data.arrays.targets[rest],
    )
    with pytest.raises(DataError, match="no clip in the split valid"):
        audiovisual.run(CONFIG, AvData(clips, arrays), RunFolder(tmp_path, "y"), quiet)


def test_the_rate_falls_where_it_is_told():
    schedule = Milestones(0.1, (2, 5), 10)
    rates = [float(schedule(step)) for step in (0, 19, 20, 49, 50)]
    np.testing.assert_allclose(rates, [0.1, 0.1, 0.01, 0.01, 0.001], rtol=1e-5)
    assert AvConfig().rate == pytest.approx(0.004)


@pytest.mark.parametrize(
    "given, message",
    [
        ({"fusion": "early"}, "--fusion early: expected one of ia, it, lt"),
        ({"mask": "hard"}, "--mask hard: expected one of nodropout"),
        ({"dampening": 1.0}, "--dampening 1.0: expected"),
        ({"lr_steps": (5, 2)}, "--lr_steps .5, 2.: expected epochs in rising order"),
    ],
)
def test_settings_that_cannot_be_are_refused(given, message):
    with pytest.raises(SpecError, match=message):
        AvConfig(**given)
