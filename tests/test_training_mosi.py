"""emorec mosi train: a table of subsets and seeds that grows without repetition."""

import json

import numpy as np
import pandas as pd
import pytest

from emorec.cli import app
from emorec.training import mosi

WIDTHS = {"text": 6, "video": 5, "audio": 4}
KEYS = ["predictor", "modalities", "seed"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Return a folder of 30 videos whose words tell the sentiment."""
    folder = tmp_path_factory.mktemp("mosi")
    rng = np.random.default_rng(0)
    rows = []
    for video in range(30):
        for place in range(1, 1 + rng.integers(3, 7)):
            sent = rng.integers(-15, 16) / 5
            split = "test" if video % 3 == 2 else "train"
            rows.append((split, f"v{video:02d}_{place}", f"v{video:02d}", sent))
    # The order of lines is not that of the videos.
    rows = [rows[i] for i in rng.permutation(len(rows))]
    index = pd.DataFrame(rows, columns=["file", "id", "video", "sent"])
    index.to_csv(folder / "index.csv", index=False)
    arrays = {
        name: rng.normal(0, 1, (len(rows), width)) for name, width in WIDTHS.items()
    }
    arrays["text"][:, 2] += 2 * index["sent"]
    np.savez(folder / "mosi_features.npz", **arrays)
    return folder


@pytest.fixture(scope="module")
def mosi_train(corpus, command):
    """Return a function that trains into a folder; TensorFlow runs eagerly."""

    def run(output, *options):
        words = "mosi", "train", corpus, "--output", output, "-n", 8, "-e", 1
        words = *words, "-b", 32  # one batch an epoch
        return command(app.main, *words, *options, eagerly=True)

    return run


@pytest.fixture(scope="module")
def output(mosi_train, tmp_path_factory):
    """Return the results of two subsets with two seeds each."""
    folder = tmp_path_factory.mktemp("results")
    result = mosi_train(folder, "-m", "T", "AT", "--seeds", 0, 1)
    assert result.code == 0, result.err
    return folder


def rows_of(folder):
    table = pd.read_csv(folder / "sentiment.csv", dtype={"seed": str})
    return table.fillna({"modalities": "", "seed": ""}).set_index(KEYS)


def test_the_table_has_a_row_per_subset_and_seed_and_the_constants(output):
    table = rows_of(output)
    assert table.index.is_unique
    assert set(table.index) == {
        ("zero", "", ""),
        ("train_mean", "", ""),
        *(("model", letters, str(s)) for letters in ("T", "TA") for s in (0, 1)),
    }
    assert set(table["split"]) == {"test"}
    assert len(list(output.glob("card_*_seed_*.md"))) == 4


def test_the_constants_rows_are_what_knowing_nothing_scores(output, corpus):
    index = pd.read_csv(corpus / "index.csv")
    true = index["sent"][index["file"] == "test"].to_numpy()
    # Every sixth of the training videos validates; the constant is of the others.
    videos = sorted(set(index["video"][index["file"] == "train"]))
    learning = set(videos) - set(videos[5::6])
    mean = index["sent"][index["video"].isin(learning)].mean()
    table = rows_of(output)
    for name, value in (("zero", 0.0), ("train_mean", mean)):
        row = table.loc[name, "", ""]
        assert row["mae"] == pytest.approx(np.abs(true - value).mean(), abs=1e-4)
        assert np.isnan(row["corr"])
        share = ((true >= 0) == (value >= 0)).mean()
        assert row["acc2_has0"] == pytest.approx(share, abs=1e-4)


@pytest.mark.parametrize("letters, seed", [("T", 0), ("TA", 1)])
def test_a_row_holds_the_errors_of_the_saved_predictions(output, corpus, letters, seed):
    (path,) = output.glob(f"predictions_test_{letters}_*_seed_{seed}.npz")
    with np.load(path) as stored:
        ids, true, scores = stored["ids"], stored["labels"], stored["scores"]
        spec = json.loads(str(stored["spec"]))
    index = pd.read_csv(corpus / "index.csv").set_index("id")
    assert set(ids) == set(index.index[index["file"] == "test"])
    np.testing.assert_allclose(true[:, 0], index["sent"][ids], rtol=1e-6)
    assert spec["schema"]["labels"] == ["sentiment"]
    assert [m["name"] for m in spec["modalities"]] == ["text", "audio"][: len(letters)]
    row = rows_of(output).loc["model", letters, str(seed)]
    assert row["mae"] == pytest.approx(np.abs(true - scores).mean(), abs=1e-4)
    rated = true != 0
    share = ((true > 0) == (scores > 0))[rated].mean()
    assert row["acc2_non0"] == pytest.approx(share, abs=1e-4)


def test_the_summary_is_mean_and_deviation_over_seeds(output):
    summary = pd.read_csv(output / "summary.csv").fillna({"modalities": ""})
    summary = summary.set_index(["predictor", "modalities"])
    table = rows_of(output).sort_index()
    for letters in ("T", "TA"):
        values = table.loc["model", letters]["mae"]
        row = summary.loc["model", letters]
        assert row["seeds"] == 2
        assert row["mae_mean"] == pytest.approx(values.mean(), abs=1e-4)
        assert row["mae_std"] == pytest.approx(values.std(ddof=1), abs=1e-4)
        assert row["mae_std"] > 0
    assert np.isnan(summary.loc["zero", ""]["mae_std"])


def test_no_training_is_repeated_and_only_new_ones_are_added(
    output, mosi_train, monkeypatch
):
    before = {path: path.read_bytes() for path in output.iterdir()}
    trained = []
    original = mosi._train

    def counting(corpus, config, *arguments):
        trained.append(config.param_name)
        return original(corpus, config, *arguments)

    monkeypatch.setattr(mosi, "_train", counting)
    result = mosi_train(output, "-m", "T", "AT", "--seeds", 0, 1)
    assert result.code == 0
    assert trained == []
    assert result.out.count("done before") == 4
    assert {path: path.read_bytes() for path in output.iterdir()} == before
    result = mosi_train(output, "-m", "T", "--seeds", 1, 2)
    assert trained == ["T_l_1_n_8_d_0.2_b_32_seed_2"]
    assert result.out.count("done before") == 1
    assert len(rows_of(output)) == 7


def test_an_interrupted_table_goes_on_where_it_stopped(
    output, mosi_train, tmp_path, monkeypatch
):
    from emorec.training import fit

    write, calls = fit.write_json, []

    def interrupting(*arguments):
        calls.append(arguments)
        if len(calls) == 4:  # after the second run's second epoch, before its state
            raise KeyboardInterrupt
        write(*arguments)

    options = "-m", "T", "--seeds", 0, 1, "-e", 2, "-d", 0
    with monkeypatch.context() as patch:
        patch.setattr(fit, "write_json", interrupting)
        assert mosi_train(tmp_path, *options).code == 130
    assert len(rows_of(tmp_path)) == 3
    result = mosi_train(tmp_path, *options)
    assert result.code == 0
    assert result.out.count("done before") == 1
    assert len(rows_of(tmp_path)) == 4
    assert not list(tmp_path.glob("unfinished_*"))


def test_the_words_of_the_corpus_are_learnt(corpus, mosi_train, tmp_path):
    options = "-m", "T", "--seeds", 0, "-e", 10, "-lr", 0.05
    assert mosi_train(tmp_path, *options).code == 0
    table = rows_of(tmp_path)
    model, zero = table.loc["model", "T", "0"], table.loc["zero", "", ""]
    assert model["mae"] < 0.7 * zero["mae"]
    assert model["corr"] > 0.8
