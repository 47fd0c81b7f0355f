"""A card says what the record and the results say, and what is not known."""

import json

import numpy as np
import pandas as pd
import pytest

from emorec.artifacts.found_runs import find_runs
from emorec.artifacts.licences import of_dataset, of_weights
from emorec.artifacts.predictions import Predictions
from emorec.artifacts.runs import RunFolder
from emorec.artifacts.spec import Modality, Spec
from emorec.cli.app import main
from emorec.errors import DataError
from emorec.evaluation import cards, incomplete, outputs, utterances, voice_results
from emorec.evaluation.faces import FaceScores
from emorec.evaluation.faces import write_results as write_faces
from emorec.evaluation.summary import plain
from emorec.evaluation.voices import Partition, VoiceScores
from emorec.labels import FERPLUS, MELD, MOSEI, RAVDESS, SENTIMENT, LabelSchema

DATA = {
    "faces": "FER+",
    "voices": "VoxCeleb in /home/someone/voxceleb",
    "ravdess": "ravdess",
    "mosei": "CMU-MOSEI",
    "mosi": "CMU-MOSI",
    "meld_text": "meld",
    "meld_audio": "meld",
    "meld_face": "meld",
}
SCHEMAS = {
    "faces": FERPLUS,
    "voices": FERPLUS,
    "ravdess": RAVDESS,
    "mosei": MOSEI,
    "mosi": SENTIMENT,
}


def _silent(line):
    pass


def _run(folder, system, name="one_seed_3", schema=None, dataset=None, **content):
    """Write a finished run's record, without its model: a card needs none."""
    schema = schema or SCHEMAS.get(system, MELD)
    kind = {"faces": "majority", "voices": "distilled"}.get(system, "all")
    data = {"dataset": DATA[system] if dataset is None else dataset, "train": 40}
    inputs = (Modality("audio", "some features", 7),)
    spec = Spec(schema, inputs, 0, kind, {"kind": "none"}, data)
    settings = content.pop("settings", {}) | {"seed": 3, "data": {"clips": "x"}}
    content = {"training": {"epochs": 9, "parameters": 1234}} | content
    run = RunFolder(folder, name)
    run.write_record(settings, spec, system=system, status="complete", **content)
    return run, spec


def _evaluate(folder, system, random):
    """Write a run and what its evaluation writes, of scores that mean nothing."""
    n = 30
    schema = SCHEMAS.get(system, MELD)
    true = random.integers(0, len(schema), n)
    ids = [f"clip_{k:02}" for k in range(n)]
    logits = random.standard_normal((n, len(schema))).astype(np.float32)
    content = {}
    if system == "mosei":
        levels = random.integers(0, 4, (n, 6)).astype(np.float32)
        scores = outputs.Scores(MOSEI, ids, levels, logits, levels.mean(axis=0), "all")
        tables = outputs.metric_rows(scores, scores, [0.0])
        content = {"metrics": plain(tables), "segments": {"train": 40, "test": n}}
    if system == "mosi":
        content = {"metrics": {"mae": 1.23456, "acc7": 0.3}, "utterances": {"test": n}}
        rows = [{"predictor": "zero", "mae": 1.5, "acc7": 0.2}]
        pd.DataFrame(rows).to_csv(folder / "sentiment.csv", index=False)
    run, spec = _run(folder, system, **content)
    if system == "faces":
        votes = np.zeros((n, 10), int)
        votes[np.arange(n), true] = 10
        both = {split: logits for split in ("valid", "test")}
        result = FaceScores(
            FERPLUS,
            "FER+",
            {split: np.array(ids) for split in both},
            both,
            {split: votes for split in both},
            {split: np.zeros(n, bool) for split in both},
            votes,
        )
        write_faces(result, run, spec, "majority", _silent)
    elif system == "voices":
        speakers = np.array([f"s{k % 6}" for k in range(n)])
        part = Partition(ids, speakers, logits, np.eye(8)[true])
        result = VoiceScores(FERPLUS, DATA["voices"], {"unheardVal": part})
        voice_results.write_results(result, run, spec, _silent, rounds=20)
    elif system == "ravdess":
        result = incomplete.IncompleteScores(
            RAVDESS,
            "ravdess",
            "test",
            ids,
            true,
            np.array([f"{k % 5:02}" for k in range(n)]),
            np.ones(n, int),
            {("both", ""): logits, ("audio", "zeros"): logits[::-1]},
            np.full(n, 2),
        )
        incomplete.write_results(result, run, spec, _silent)
    elif system.startswith("meld"):
        scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        dialogues = np.array([str(k // 4) for k in range(n)])
        part = Predictions(
            run.param_name, "meld", "test", MELD, ids, scores, true, dialogues
        )
        utterances.write_results([part], folder, 0, _silent)
    return run


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """Return a function from a system to its run's folder and card."""
    made = {}

    def of(system):
        if system not in made:
            folder = tmp_path_factory.mktemp(system)
            run = _evaluate(folder, system, np.random.default_rng(5))
            (found,) = find_runs([run.record_path])
            made[system] = run, cards.write_card(found).read_text()
        return made[system]

    return of


SYSTEMS = tuple(DATA)


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_has_a_card_in_the_hubs_shape(evaluated, system):
    run, text = evaluated(system)
    _, front, body = text.split("---\n", 2)
    fields = dict(line.split(": ", 1) for line in front.splitlines() if ": " in line)
    assert fields["library_name"] == "keras" and fields["license"]
    assert body.startswith(f"\n# {run.param_name}\n")
    titles = [line[3:] for line in body.splitlines() if line.startswith("## ")]
    assert titles == [
        *("Labels", "Data", "Input", "Scores", "Licences", "Use", "Limits", "Law"),
        "How it was made",
    ]
    for fact in ("1,234", "seed | 3", "epochs | 9", "train 40", "Article 5(1)(f)"):
        assert fact in body or (fact == "train 40" and system == "mosi"), fact


@pytest.mark.parametrize("system", SYSTEMS)
def test_labels_stand_in_the_order_of_the_columns(evaluated, system):
    _, text = evaluated(system)
    labels = SCHEMAS.get(system, MELD).labels
    lines = [f"| {column} | {label} |" for column, label in enumerate(labels)]
    assert "\n".join(lines) in text


def _cells(text):
    return {
        cell.strip()
        for line in text.splitlines()
        for cell in line.strip("|").split("|")
    }


@pytest.mark.parametrize(
    ("system", "table", "values", "low", "high"),
    [
        ("faces", "accuracy.csv", "accuracy", "accuracy_low", "accuracy_high"),
        ("voices", "agreement.csv", "agreement", "low", "high"),
        ("voices", "auc.csv", "auc", "low", "high"),
        ("ravdess", "incomplete.csv", "accuracy", "low", "high"),
        ("ravdess", "incomplete.csv", "f1_macro", "f1_low", "f1_high"),
        ("meld_text", "results.csv", "weighted_f1", "weighted_f1_low", None),
        ("meld_audio", "results.csv", "macro_f1", "macro_f1_low", None),
    ],
)
def test_numbers_are_those_of_the_results(evaluated, system, table, values, low, high):
    run, text = evaluated(system)
    rows = pd.read_csv(run.folder / table, dtype=str, keep_default_na=False)
    rows = rows.to_dict("records")
    cells = _cells(text)
    high = high or low.replace("low", "high")
    for row in rows:
        if system == "faces" and row["predictor"] == "constant":
            assert row[values] in cells
        elif row[low]:
            assert f"{row[values]} ({row[low]} to {row[high]})" in cells
        else:
            assert row[values] in cells
        count = next(row[k] for k in ("images", "clips", "utterances") if k in row)
        assert count in cells or f"{row.get('positives')} of {count}" in cells


def test_numbers_of_intensities_are_those_of_the_record(evaluated):
    run, text = evaluated("mosei")
    tables, cells = run.record()["metrics"], _cells(text)
    for table, name in (
        ("regression", "mae"),
        ("classification_presence", "f1_macro"),
        ("classification_presence", "auc_macro"),
    ):
        assert {row["predictor"] for row in tables[table]} == {
            "model",
            "zero",
            "train_mean",
        }
        for row in tables[table]:
            assert f"{row[name]:.4f}" in cells
    _, text = evaluated("mosi")
    assert {"1.2346", "1.5", "0.3000"} <= _cells(text)


def test_the_weakest_label_is_the_one_with_the_lowest_score(evaluated):
    run, text = evaluated("meld_face")
    rows = pd.read_csv(run.folder / "results.csv")
    each = rows[rows.predictor == "model"].iloc[0][[f"f1_{x}" for x in MELD.labels]]
    worst = each.astype(float).idxmin().removeprefix("f1_")
    assert f"Weakest label by F1 on test: {worst} ({each.min()})" in text
    counts = pd.read_csv(run.folder / f"conf_matrix_test_{run.param_name}.csv")
    values = counts.drop(columns="true").to_numpy()
    np.fill_diagonal(values, 0)
    i, j = np.unravel_index(values.argmax(), values.shape)
    assert f"{counts.true[i]} taken for {counts.true[j]}, {values[i, j]} of" in text


def test_a_permuted_schema_shows(tmp_path):
    turned = LabelSchema("own", RAVDESS.labels[::-1], "single")
    run, _ = _run(tmp_path, "ravdess", schema=turned)
    text = cards.write_card(find_runs([run.record_path])[0]).read_text()
    assert "| 0 | surprised |" in text and "| 7 | neutral |" in text
    assert "`own`" in text and "Not evaluated yet" in text


def test_terms_are_told_or_said_to_be_unknown(evaluated, tmp_path):
    assert "license: cc-by-nc-sa-4.0" in evaluated("ravdess")[1]
    assert "license: gpl-3.0" in evaluated("meld_text")[1]
    assert "license: unknown" in evaluated("mosei")[1]
    voices = evaluated("voices")[1]
    assert "/home" not in voices and "could not settle it" in voices
    assert "see its own card" in voices
    run, _ = _run(tmp_path, "ravdess", dataset="my_clips")
    text = cards.write_card(find_runs([run.record_path])[0]).read_text()
    assert "license: unknown" in text and "unknown to emorec: data of one's own" in text
    assert of_dataset("").name == "not recorded"
    assert of_weights("senet50_x.pth").identifier == "unknown"


def test_weights_of_others_are_named_by_file_alone(tmp_path):
    settings = {"weights": "/home/someone/senet50.pth", "vectors": "x/glove.npz"}
    run, _ = _run(tmp_path, "faces", settings=settings)
    text = cards.write_card(find_runs([run.record_path])[0]).read_text()
    assert "| senet50.pth | unknown to emorec" in text
    assert "GloVe word vectors (glove.npz)" in text
    assert "someone" not in text


def test_what_is_synthetic_says_so_loudly(evaluated, tmp_path):
    run, _ = _run(tmp_path, "faces", dataset="emorec faces miniature (synthetic)")
    text = cards.write_card(find_runs([run.record_path])[0]).read_text()
    assert text.index("mean nothing about people") < text.index("## Labels")
    assert "license: mit" in text
    assert "mean nothing about people" not in evaluated("faces")[1]


def test_the_same_files_give_the_same_card(evaluated):
    run, text = evaluated("ravdess")
    (found,) = find_runs([run.record_path])
    assert cards.card(found) == text


def test_the_card_stands_after_an_evaluation_and_by_command(tmp_path, capsys):
    run = _evaluate(tmp_path, "ravdess", np.random.default_rng(1))
    path = tmp_path / f"card_{run.param_name}.md"
    before = path.read_text()
    path.unlink()
    assert main(["card", str(tmp_path)]) == 0
    assert str(path) in capsys.readouterr().out
    assert path.read_text() == before
    assert main(["card", str(tmp_path / "none")]) == 1
    assert "no such run" in capsys.readouterr().err


def test_a_card_that_cannot_be_written_ends_no_training_and_is_told(tmp_path):
    run, _ = _run(tmp_path, "faces")
    (tmp_path / "accuracy.csv").write_text("run\none_seed_3\n")
    told = []
    cards.card_after(run, told.append)
    (line,) = told
    assert "could not be written" in line and "emorec card" in line
    # By the command it is an error.
    with pytest.raises(DataError, match="lack 'predictor'"):
        cards.write_card(find_runs([run.record_path])[0])


def test_results_without_a_model_have_no_card(tmp_path):
    told = []
    cards.card_after(RunFolder(tmp_path, "one_on_other"), told.append)
    assert not told and not list(tmp_path.iterdir())


def test_folds_show_their_own_and_all(tmp_path):
    for name in ("x_fold_1", "x_fold_2"):
        run, spec = _run(tmp_path, "ravdess", name=name)
    random = np.random.default_rng(0)
    result = incomplete.IncompleteScores(
        RAVDESS,
        "ravdess",
        "folds",
        [str(k) for k in range(16)],
        np.arange(16) % 8,
        np.array([str(k % 4) for k in range(16)]),
        np.ones(16, int),
        {("both", ""): random.standard_normal((16, 8))},
        np.zeros(16, int),
    )
    incomplete.write_results(result, RunFolder(tmp_path, "x"), spec, _silent)
    rows = [{"fold": k, "accuracy": 0.125 * k, "clips": 8} for k in (1, 2)]
    pd.DataFrame(rows).to_csv(tmp_path / "folds_x.csv", index=False)
    text = cards.card(find_runs([run.record_path])[0])
    assert "| 2 | 0.25 | 8 |" in text and "| 1 | 0.125 | 8 |" not in text
    assert "by a network that has not met its speaker" in text
    assert json.loads(run.record_path.read_text())["system"] == "ravdess"
