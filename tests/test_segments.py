"""Segments: rows find their words, nothing is lost silently, features are cleaned."""

from collections import Counter

import numpy as np
import pytest

from emorec.corpora import mosei
from emorec.corpora.folds import FILE_NAME, FOLDS, read_folds
from emorec.corpora.segments import (
    MISSING,
    Report,
    build_segments,
    select_columns,
)
from emorec.errors import SpecError
from emorec.labels import MOSEI, MOSEI_ALL, label_map
from emorec.sequences.alignment import align
from emorec.sequences.csd import Rows, video_of
from emorec.training.config import MoseiConfig
from emorec.training.mosei_data import load_data
from emorec.training.mosei_source import locate

LABEL_MAP = label_map(MOSEI_ALL, MOSEI)


@pytest.fixture(scope="module")
def aligned(miniature):
    """Return the aligned sequences of the miniature."""
    names = mosei.sequence_names("facet")
    sequences = mosei.open_files(miniature, names).sequences
    return align(sequences, mosei.TEXT, mosei.LABELS).sequences


def timed(intervals, features):
    features = np.asarray(features, np.float32)
    return Rows(np.array(intervals, np.float32).reshape(-1, 2), features)


def labelled(*scores):
    """Return a label row: sentiment and six emotions."""
    return timed([[0, 9]], [[-3.0, *scores]])


SCORES = (0.0, 1.0, 2.0, 3.0, 0.33, 0.66)
WORDS = [[0, 1], [1, 2], [2, 4]]
TEXT = timed(WORDS, [[1, 2], [3, 4], [5, 6]])
IMAGE = timed([[0, 1], [2.5, 4]], [[10.0], [30.0]])
AUDIO = timed(WORDS, [[7, 1, 0], [8, 2, 0], [9, 6, 0]])


def build(
    by_modality, labels, missing="drop", standardise=False, fold_of=None, used=""
):
    """Return the segments by id, and the report."""
    entries = {
        letter: {"other[0]": ALL[letter]} if rows is None else {"v[0]": rows}
        for letter, rows in by_modality.items()
    }
    report = Report()
    found = build_segments(
        entries,
        {"v[0]": TEXT},
        {"v[0]": labels},
        LABEL_MAP,
        {"v": "valid"} if fold_of is None else fold_of,
        missing,
        standardise,
        report,
        "".join(by_modality),
    )
    return dict(found), report


ALL = {"T": TEXT, "V": IMAGE, "A": AUDIO}
ROWS_OF_ALL = ALL | {"V": timed(WORDS, [[10.0], [20.0], [30.0]])}


def test_a_step_holds_text_image_and_audio_in_this_order():
    segments, report = build(ROWS_OF_ALL, labelled(*SCORES))
    segment = segments["valid"]
    assert (segment.id, report.rows) == ("v[0]", [])
    parts = [rows.features for rows in ROWS_OF_ALL.values()]
    np.testing.assert_array_equal(segment.features, np.concatenate(parts, 1))
    assert segment.presence.tolist() == [[True] * 3] * 3
    np.testing.assert_array_equal(segment.labels, np.float32(SCORES))
    assert segment.features.dtype == segment.labels.dtype == np.float32


def test_unequal_steps_are_dropped_and_reported():
    segments, report = build(ALL, labelled(*SCORES))
    assert not segments
    (row,) = report.rows
    expected = ("v[0]", "valid", "dropped", "image", "words without frames", 1)
    assert tuple(row.values()) == expected


def test_masked_steps_are_zero_and_the_others_stay_at_their_word():
    segments, report = build(ALL, labelled(*SCORES), "mask")
    segment = segments["valid"]
    assert segment.features[:, 2].tolist() == [10, 0, 30]
    assert segment.presence.T.tolist() == [[True] * 3, [True, False, True], [True] * 3]
    np.testing.assert_array_equal(segment.features[:, :2], TEXT.features)
    (row,) = report.rows
    expected = ("v[0]", "valid", "filled", "image", "words without frames", 1)
    assert tuple(row.values()) == expected


def test_a_modality_that_is_not_there_at_all_is_absent_at_every_step():
    segments, report = build(ROWS_OF_ALL | {"A": None}, labelled(*SCORES), "mask")
    segment = segments["valid"]
    assert segment.features.shape == (3, 6)
    assert not segment.features[:, 3:].any()
    assert segment.presence.tolist() == [[True, True, False]] * 3
    (row,) = report.rows
    expected = ("v[0]", "valid", "filled", "audio", "no frames", 3)
    assert tuple(row.values()) == expected


def test_a_segment_without_any_modality_is_dropped():
    segments, report = build({"V": None, "A": None}, labelled(*SCORES), "mask")
    assert not segments
    assert report.rows[-1]["reason"] == "no modality present"


def test_statistics_are_those_of_the_steps_that_are_there():
    segments, _ = build(ALL, labelled(*SCORES), "mask", standardise=True)
    features = segments["valid"].features
    np.testing.assert_array_equal(features[:, :2], TEXT.features)
    assert features[:, 2].tolist() == [-1, 0, 1]
    np.testing.assert_allclose(features[:, 3:5].mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(features[:, 3:5].std(0), 1, rtol=1e-6)


def test_labels_beyond_the_scale_are_clamped_and_reported():
    segments, report = build(ROWS_OF_ALL, labelled(3.33, -0.1, 0, 0, 0, 3))
    assert segments["valid"].labels.tolist() == [3, 0, 0, 0, 0, 3]
    assert [row["action"] for row in report.rows] == ["clamped"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_label_that_is_not_finite_drops_its_segment(value):
    segments, report = build(ROWS_OF_ALL, labelled(0, 0, value, 0, 0, 0))
    assert not segments
    assert [row["reason"] for row in report.rows] == ["label not finite"]


def test_a_video_in_no_fold_is_reported_whatever_else_it_has():
    labels = labelled(0, np.nan, 9, 0, 0, 0)
    segments, report = build(ALL, labels, fold_of={"other": "train"})
    assert not segments
    assert [row["action"] for row in report.rows] == ["foldless"]


def test_another_way_to_treat_what_is_missing_is_refused():
    with pytest.raises(SpecError, match="drop or mask, received 'guess'"):
        build(ALL, labelled(*SCORES), "guess")


def test_without_findings_the_tables_have_their_columns():
    report = Report()
    columns = ["segment", "fold", "action", "modality", "reason", "steps"]
    assert list(report.table().columns) == columns
    assert list(report.nonfinite_table().columns) == ["modality", "feature", "replaced"]
    assert len(report.table()) == len(report.nonfinite_table()) == 0
    assert len(report.summary()) == 0


WIDTHS = {"T": 300, "V": 35, "A": 74}
LEFT_OUT = {"dropped", "foldless"}


def build_miniature(miniature, aligned, missing, letters):
    """Return the (fold, segment) pairs, the folds' videos, and the report."""
    folds = read_folds(miniature / FILE_NAME)
    fold_of = {video: fold for fold in FOLDS for video in folds[fold]}
    names = {"T": mosei.TEXT, "V": mosei.IMAGE["facet"], "A": mosei.AUDIO}
    by_modality = {letter: aligned[name] for letter, name in names.items()}
    words, labels, report = aligned[mosei.TEXT], aligned[mosei.LABELS], Report()
    found = build_segments(
        by_modality, words, labels, LABEL_MAP, fold_of, missing, True, report, letters
    )
    return list(found), fold_of, report


@pytest.mark.parametrize("letters", ["TVA", "VA", "A"])
@pytest.mark.parametrize("missing", MISSING)
def test_every_segment_is_used_or_reported_once(miniature, aligned, missing, letters):
    pairs, fold_of, report = build_miniature(miniature, aligned, missing, letters)
    found = Counter(segment.id for _, segment in pairs)
    assert 0 < len(found) < len(aligned[mosei.LABELS])
    found.update(row["segment"] for row in report.rows if row["action"] in LEFT_OUT)
    assert found == Counter(list(aligned[mosei.LABELS]))
    assert all(fold == fold_of[video_of(segment.id)] for fold, segment in pairs)


@pytest.mark.parametrize("missing", MISSING)
def test_features_are_finite_and_zero_where_absent(miniature, aligned, missing):
    pairs, _, _ = build_miniature(miniature, aligned, missing, "TVA")
    absent = 0
    for _, segment in pairs:
        there = np.repeat(segment.presence, list(WIDTHS.values()), axis=1)
        assert np.isfinite(segment.features).all()
        assert not segment.features[~there].any()
        absent += (~there).sum()
    assert (absent > 0) == (missing == "mask")


def test_dropping_leaves_every_subset_the_same_segments(miniature, aligned):
    together, _, _ = build_miniature(miniature, aligned, "drop", "TVA")
    for letters in ("VA", "TA", "V"):
        pairs, _, _ = build_miniature(miniature, aligned, "drop", letters)
        assert [s.id for _, s in pairs] == [s.id for _, s in together]
        columns = np.repeat(list(WIDTHS), list(WIDTHS.values()))
        mine = np.isin(columns, list(letters))
        for (_, segment), (_, whole) in zip(pairs, together, strict=True):
            np.testing.assert_array_equal(segment.features, whole.features[:, mine])


@pytest.mark.parametrize("missing", MISSING)
def test_every_segment_of_the_label_file_is_used_or_reported_once(
    miniature, tmp_path, missing
):
    config = MoseiConfig(
        dataset_folder=str(miniature),
        pickle_folder=str(tmp_path),
        missing=missing,
        folds=str(miniature / FILE_NAME),
    )
    config, source = locate(config.resolve(), lambda line: None)
    data = load_data(config, source, lambda line: None)
    found = Counter(key for store in data.stores.values() for key in store.ids)
    rows = data.report.rows
    found.update(row["segment"] for row in rows if row["action"] in LEFT_OUT)
    labels = source.files.sequences[mosei.LABELS]
    stored = {video: len(labels.read(video).intervals) for video in labels.data}
    expected = (f"{video}[{i}]" for video in stored for i in range(stored[video]))
    assert found == Counter(expected)


def test_facets_own_estimates_can_be_left_out(miniature, aligned):
    image = mosei.open_files(miniature, ["FACET 4.2"]).sequences["FACET 4.2"]
    estimates = mosei.facet_estimates(image)
    names = np.array(image.metadata["dimension names"])
    assert all(name.startswith("AU") for name in np.delete(names, estimates))
    assert not any(name.startswith("AU") for name in names[estimates])
    before = aligned["FACET 4.2"]
    after = select_columns(before, estimates)
    assert list(after) == list(before)
    others = [i for i in range(35) if i not in estimates]
    for key, rows in after.items():
        np.testing.assert_array_equal(rows.features, before[key].features[:, others])
        assert rows.intervals is before[key].intervals
