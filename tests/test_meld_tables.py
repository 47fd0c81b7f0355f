"""The published tables of MELD with our runs beside them, and fusion by name."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from emorec.artifacts.predictions import Predictions
from emorec.cli import meld_fuse, meld_table
from emorec.cli.console import Parser, guarded
from emorec.evaluation import figures
from emorec.evaluation.meld_tables import beside, read_results
from emorec.evaluation.utterances import write_results
from emorec.files import read_json, write_json
from emorec.labels import MELD_ALPHABETICAL


def main(arguments):
    parser = Parser()
    commands = parser.add_subparsers(required=True)
    meld_table.add_command(commands)
    meld_fuse.add_command(commands)
    parsed = parser.parse_args(arguments)
    return guarded(lambda: parsed.run(parsed))


@pytest.fixture(autouse=True, scope="module")
def undrawn():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "save", lambda figure, path: None)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two text runs and an audio run of train, dev and test; audio lacks one of dev."""
    folder = tmp_path_factory.mktemp("meld")
    runs = {
        "text_roberta": (2.0, "text"),
        "text_other": (1.0, "text"),
        "audio_mlp_librosa_joy_s_0": (0.7, "audio"),
    }
    for number, (name, (strength, kind)) in enumerate(runs.items()):
        parts = []
        for split in ("train", "dev", "test"):
            random = np.random.default_rng([number, len(split)])
            true = np.random.default_rng(len(split)).choice(7, 90, p=[0.1] * 6 + [0.4])
            scores = np.exp(
                random.standard_normal((90, 7)) + strength * np.eye(7)[true]
            )
            dialogues = [f"{split}/dia{row // 5}" for row in range(90)]
            ids = [f"{name}_utt{row % 5}" for row, name in enumerate(dialogues)]
            scores /= scores.sum(axis=1, keepdims=True)
            part = Predictions(
                *(name, "meld", split, MELD_ALPHABETICAL, ids, scores, true),
                np.array(dialogues),
            )
            if (kind, split) == ("audio", "dev"):
                part = part.take(range(89))
            parts.append(part)
        write_results(parts, folder, 6, lambda text: None)
        spec = {"modalities": [{"name": kind, "features": "x", "width": 1}]}
        write_json(folder / f"run_{name}.json", {"settings": {}, "spec": spec})
    return folder


def test_the_best_runs_on_dev_are_fused_and_stand_beside_the_published(folder, command):
    result = command(main, "fuse", folder, "--split", "test", "train", "--name", "f")
    assert result.code == 0, result.err
    assert "Text: text_roberta; audio: audio_mlp_librosa_joy_s_0" in result.out
    assert "dev: 89 utterances, 1 left out" in result.out
    record = read_json(folder / "run_f_weights.json")
    assert record["results"][0]["split"] == "test"
    assert len(pd.read_csv(folder / "alphas_f_weights.csv")) == 21

    result = command(main, "table", folder)
    assert result.code == 0, result.err
    assert (folder / "meld_table.md").read_text().strip() in result.out
    table = pd.read_csv(folder / "meld_table.csv")
    fusion = table[
        (table["table"] == "fusion") & (table["published"] == "audio + text")
    ]
    assert fusion["split"].tolist() == ["train", "dev", "test"]
    assert fusion["published_weighted_f1"].tolist() == [0.656, 0.587, 0.619]
    assert set(fusion["model"]) == {"f_weights"}
    results = read_results(folder).set_index(["model", "split", "predictor"])
    for _, row in fusion.iterrows():
        measured = results.loc[("f_weights", row["split"], "model"), "weighted_f1"]
        assert row["weighted_f1"] == measured
    # Of two text runs only the one that is fused.
    text = table[(table["table"] == "fusion") & (table["published"] == "text")]
    assert set(text["model"]) == {"text_roberta"}


def test_what_has_not_been_run_says_so_and_what_is_new_is_shown(folder):
    table = beside(read_results(folder))
    text = table[table["table"] == "text"].set_index("published")["model"]
    assert text["fine-tuned RoBERTa"] == "text_roberta"
    assert text["embeddings + SVM"] == "not run"
    assert text[""].tolist() == ["text_other", "always the most frequent class"]
    audio = table[table["table"] == "audio"].set_index("published")["model"]
    assert audio["MLP, down-sampled"] == "audio_mlp_librosa_joy_s_0"
    assert audio["MLP, original data"] == audio["linear, down-sampled"] == "not run"
    assert set(table.loc[table["table"] == "face", "model"]) == {"not run"}
    cosmic = table[table["published"] == "COSMIC"]
    assert cosmic["model"].tolist() == [""]


def test_runs_without_a_record_are_known_by_their_name(tmp_path):
    base = Predictions(
        *("face_last", "meld_large", "test", MELD_ALPHABETICAL, ["a"]),
        *(np.full((1, 7), 1 / 7), np.zeros(1, int), np.array([""])),
    )
    for part in (base, replace(base, model="faces")):
        write_results([part], tmp_path, 4, lambda text: None)
    results = read_results(tmp_path)
    assert results["kind"].tolist() == ["face", "face", "faces", "faces"]


def test_runs_that_are_not_there_are_named(folder, tmp_path, command):
    result = command(main, "table", tmp_path)
    assert result.code == 1
    assert "results.csv: expected the results of runs on MELD" in result.err
    result = command(main, "fuse", folder, "--audio", "audio_linear")
    assert result.code == 1
    assert "expected the audio run audio_linear" in result.err
    assert "there are audio_mlp_librosa_joy_s_0" in result.err
