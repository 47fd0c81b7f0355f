"""What one run leaves: every file, its shape, its type, its place in the others."""

import json
from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from matplotlib import image

from emorec.artifacts.pickles import read_pickle
from emorec.artifacts.spec import Spec
from emorec.corpora.folds import FILE_NAME, FOLDS, read_folds
from emorec.evaluation import views
from emorec.labels import COARSE_LEVELS, MOSEI
from emorec.training.config import MoseiConfig

PARAM = "l_1_n_8_d_0.2_b_32_s_45"
NAME = "early_fusion_miniature"
WIDTHS = {"glove_vectors": 300, "FACET 4.2": 35, "COVAREP": 74, "All Labels": 7}
TABLES = {
    "regression": 1,
    "classification_coarse": 1,
    "classification_presence": 2,
    "classification_dominant": 1,
}


def pickle_of(finished, name):
    return read_pickle(finished.model / f"{name}.pkl")


@pytest.fixture(scope="module")
def stored(finished):
    """Return the arrays of the predictions on the test fold."""
    path = finished.model / f"predictions_test_{PARAM}.npz"
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def record(finished):
    return json.loads((finished.model / f"run_{PARAM}.json").read_text())


@pytest.fixture(scope="module")
def tables(finished):
    text = {"threshold_emo_present": str}
    return {
        name: pd.read_csv(finished.model / "csv" / f"{name}.csv", dtype=text)
        for name in TABLES
    }


def test_a_run_leaves_exactly_these_files(finished):
    def found(folder):
        paths = folder.rglob("*")
        names = {str(p.relative_to(folder)) for p in paths if p.is_file()}
        return {name for name in names if ".parts-" not in name}

    aligned = "cmu_mosei_aligned_miniature"
    assert found(finished.pickles) == {
        *(f"{aligned}.{ending}" for ending in ("pkl", "json")),
        *(f"cmu_mosei_miniature_{f}.{e}" for f in FOLDS for e in ("pkl", "json")),
        *(f"cmu_mosei_miniature_{name}.csv" for name in ("report", "nonfinite")),
    }
    assert found(finished.model) == {
        f"model_{PARAM}.keras",
        f"card_{PARAM}.md",
        f"run_{PARAM}.json",
        f"history_{PARAM}.csv",
        f"learning_curve_{PARAM}.png",
        *(f"predictions_{fold}_{PARAM}.npz" for fold in ("valid", "test")),
        *(f"true_scores_{view}.pkl" for view in ("all", "coarse")),
        *(f"true_classes_{view}.pkl" for view in ("pres", "dom")),
        f"pred_raw_{PARAM}.pkl",
        *(f"pred_scores_{view}_{PARAM}.pkl" for view in ("all", "coarse")),
        *(f"pred_classes_{view}_{PARAM}.pkl" for view in ("pres", "dom")),
        *(f"conf_matrix_{NAME}_{PARAM}.{ending}" for ending in ("pkl", "png")),
        f"conf_matrix_dom_{NAME}_{PARAM}.pkl",
        *(f"csv/{name}.csv" for name in TABLES),
    }


def test_every_written_result_is_told(finished):
    told = finished.out.split("\nWritten:\n")[1]
    for path in finished.model.rglob("*"):
        if path.suffix in (".pkl", ".npz", ".keras") or path.parent.name == "csv":
            assert f"  {path}\n" in told


def test_the_first_and_the_last_line_tell_synthetic_data(finished, miniature):
    first, *_, last = finished.out.splitlines()
    assert first == last
    assert first.startswith(f"DATA: the MINIATURE in {miniature}: synthetic")


def test_the_aligned_dataset_is_plain_containers(finished):
    aligned = read_pickle(finished.pickles / "cmu_mosei_aligned_miniature.pkl")
    assert {
        name: {rows["features"].shape[1] for rows in entries.values()}
        for name, entries in aligned.items()
    } == {name: {width} for name, width in WIDTHS.items()}
    for entries in aligned.values():
        for rows in entries.values():
            assert rows.keys() == {"intervals", "features"}
            assert rows["intervals"].shape == (len(rows["features"]), 2)
    assert {len(rows["features"]) for rows in aligned["All Labels"].values()} == {1}
    assert "miniature_00[0]" in aligned["All Labels"]


def test_each_fold_is_features_labels_and_ids(finished, miniature, record):
    aligned = read_pickle(finished.pickles / "cmu_mosei_aligned_miniature.pkl")
    videos = read_folds(miniature / FILE_NAME)
    for fold in FOLDS:
        path = finished.pickles / f"cmu_mosei_miniature_{fold}.pkl"
        features, labels, ids = read_pickle(path)
        assert len(features) == len(labels) == len(ids) == record["segments"][fold]
        assert {segment.split("[")[0] for segment in ids} <= set(videos[fold])
        for step, scores, segment in zip(features, labels, ids, strict=True):
            assert step.dtype == scores.dtype == np.float32
            assert step.shape == (len(aligned["COVAREP"][segment]["features"]), 409)
            assert scores.shape == (1, 6)
            # Column 0 of the label file is sentiment.
            true = aligned["All Labels"][segment]["features"][:, 1:]
            np.testing.assert_array_equal(scores, true)


def test_text_is_stored_as_it_is_and_the_rest_standardised(finished):
    aligned = read_pickle(finished.pickles / "cmu_mosei_aligned_miniature.pkl")
    features, _, ids = read_pickle(finished.pickles / "cmu_mosei_miniature_train.pkl")
    for step, segment in zip(features, ids, strict=True):
        words = aligned["glove_vectors"][segment]["features"]
        np.testing.assert_array_equal(step[:, :300], words.astype(np.float32))
        np.testing.assert_allclose(step[:, 300:].mean(axis=0), 0, atol=1e-5)
        assert (step[:, 300:].std(axis=0).round(3) == 1).mean() > 0.9


def test_predictions_carry_ids_labels_and_the_spec(stored, finished, record):
    _, labels, ids = read_pickle(finished.pickles / "cmu_mosei_miniature_test.pkl")
    assert stored["ids"].tolist() == ids
    np.testing.assert_array_equal(stored["labels"], np.concatenate(labels))
    assert stored["scores"].shape == (len(ids), 6)
    assert stored["scores"].dtype == np.float32
    assert np.isfinite(stored["scores"]).all()
    spec = Spec.from_dict(json.loads(str(stored["spec"])))
    assert spec.to_dict() == record["spec"]
    assert spec.schema == MOSEI
    assert [(m.name, m.features, m.width) for m in spec.modalities] == [
        ("text", "glove_vectors", 300),
        ("image", "FACET 4.2", 35),
        ("audio", "COVAREP", 74),
    ]
    assert spec.data["miniature"] is True


def test_the_pickles_are_the_four_views_of_the_same_scores(finished, stored):
    raw, true = stored["scores"], stored["labels"]
    np.testing.assert_array_equal(pickle_of(finished, f"pred_raw_{PARAM}"), raw)
    for which, scores, ending in (("true", true, ""), ("pred", raw, f"_{PARAM}")):
        expected = {
            "scores_all": views.nearest_level(scores, MOSEI.levels),
            "scores_coarse": views.nearest_level(scores, COARSE_LEVELS),
            "classes_pres": (scores > 0).astype(np.int8),
            "classes_dom": views.dominant(scores, MOSEI),
        }
        for view, array in expected.items():
            received = pickle_of(finished, f"{which}_{view}{ending}")
            np.testing.assert_array_equal(received, array)


def test_each_confusion_matrix_counts_every_segment_once(finished, stored):
    for name, view in ((f"{NAME}_{PARAM}", "pres"), (f"dom_{NAME}_{PARAM}", "dom")):
        matrix = pickle_of(finished, f"conf_matrix_{name}")
        assert matrix.shape == (6, 2, 2)
        assert (matrix.sum(axis=(1, 2)) == len(stored["ids"])).all()
        true = pickle_of(finished, f"true_classes_{view}")
        predicted = pickle_of(finished, f"pred_classes_{view}_{PARAM}")
        np.testing.assert_array_equal(matrix[:, 1].sum(axis=1), true.sum(axis=0))
        both = (true * predicted).sum(axis=0)
        np.testing.assert_array_equal(matrix[:, 1, 1], both)


@pytest.mark.parametrize("table", TABLES)
def test_a_table_has_a_row_per_predictor_and_threshold(tables, record, table):
    rows = tables[table]
    count = TABLES[table]
    expected = [p for p in ("model", "zero", "train_mean") for _ in range(count)]
    assert rows["predictor"].tolist() == expected
    thresholds = ["0", "valid"] if count == 2 else [""]
    assert rows["threshold_emo_present"].fillna("").tolist() == thresholds * 3
    assert set(rows["run"]) == {record["run"]}
    assert set(rows["segments"]) == {record["segments"]["test"]}


@pytest.mark.parametrize("table", TABLES)
def test_a_row_tells_every_setting_that_decides_the_scores(tables, record, table):
    rows = tables[table]
    silent = {*MoseiConfig._SILENT, "threshold_emo_present"}
    settings = {field.name for field in fields(MoseiConfig)} - silent
    assert settings >= {"seed", "learning_rate", "loss_function", "modalities"}
    assert settings <= set(rows.columns)
    for name in settings:
        (told,) = set(rows[name])
        assert told == record["settings"][name]


def test_the_tables_hold_the_errors_of_the_saved_predictions(tables, stored):
    true, raw = stored["labels"], stored["scores"]
    rows = tables["regression"].set_index("predictor")
    for predictor, scores in (("model", raw), ("zero", np.zeros_like(raw))):
        row = rows.loc[predictor]
        assert row["mae"] == pytest.approx(np.abs(true - scores).mean(), abs=6e-4)
        for k, label in enumerate(MOSEI.labels):
            error = ((true - scores)[:, k] ** 2).mean()
            assert row[f"mse_{label}"] == pytest.approx(error, abs=6e-4)
    presence = tables["classification_presence"]
    chosen = (presence["predictor"] == "model") & (
        presence["threshold_emo_present"] == "0"
    )
    for k, label in enumerate(MOSEI.labels):
        correct = ((true > 0) == (raw > 0))[:, k].mean()
        received = presence.loc[chosen, f"accuracy_{label}"].item()
        assert received == pytest.approx(correct, abs=6e-4)


def test_a_constant_predictor_cannot_tell_emotions_apart(tables):
    for rows in tables.values():
        if "auc_macro" in rows:
            constant = rows[rows["predictor"] != "model"]
            assert (constant["auc_macro"] == 0.5).all()


def test_the_history_has_a_row_per_epoch_and_the_record_its_best(finished, record):
    history = pd.read_csv(finished.model / f"history_{PARAM}.csv")
    assert list(history) == ["epoch", "acc", "loss", "val_acc", "val_loss"]
    assert history["epoch"].tolist() == [1, 2, 3]
    training = record["training"]
    assert record["status"] == "complete"
    assert training["epochs"] == 3
    assert training["best_epoch"] == history["val_loss"].argmin() + 1
    assert history["val_loss"].iloc[-1] < history["val_loss"].iloc[0]


@pytest.mark.parametrize(
    "name", [f"learning_curve_{PARAM}", f"conf_matrix_{NAME}_{PARAM}"]
)
def test_a_figure_is_not_blank(finished, name):
    picture = image.imread(finished.model / f"{name}.png")[..., :3]
    assert min(picture.shape[:2]) > 200
    ink = (picture < 0.9).any(axis=2)
    assert 0.005 < ink.mean() < 0.9
    # Everywhere, not in one corner.
    assert all(quarter.any() for half in np.array_split(ink, 2)
               for quarter in np.array_split(half, 2, axis=1))  # fmt: skip


def test_what_was_left_out_is_listed(finished):
    report = pd.read_csv(finished.pickles / "cmu_mosei_miniature_report.csv")
    reasons = {"video not in COVAREP", "video in no fold", "words without frames"}
    assert set(report["reason"]) >= reasons
    listed = report.groupby("action")["segment"].nunique()
    told = finished.out.split("Left out, filled or repaired:")[1]
    for action in ("dropped", "foldless"):
        assert listed[action] > 0
        assert action in told
    replaced = pd.read_csv(finished.pickles / "cmu_mosei_miniature_nonfinite.csv")
    assert set(replaced["modality"]) == {"audio"}
    assert f"{replaced['replaced'].sum()} feature values were not finite" in told
