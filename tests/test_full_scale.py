"""CMU-MOSEI at full size: the real ids, times, labels and folds, drawn features.

Ten gigabytes of disk and a quarter of an hour: run with ``--full``.
"""

import csv
import json
import pickle
import random
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emorec.corpora import mosei
from emorec.sequences.alignment import align

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import full_scale

pytestmark = [pytest.mark.full, pytest.mark.data]
# Segments of the SDK's folds, and of videos in none.
SEGMENTS = {"train": 16327, "valid": 1871, "test": 4662}
FOLDLESS, ALL, VIDEOS = 399, 23259, 3293


@pytest.fixture(scope="module")
def corpus(corpora_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("full") / "corpus"
    full_scale.write_corpus(corpora_dir / "mosei", folder, "facet", 0)
    return folder


@pytest.fixture(scope="module")
def measured(corpus):
    output = corpus.parent / "output"
    return full_scale.measure(corpus, output, "facet", ["-l", "1", "-b", "128"])


@pytest.fixture(scope="module")
def report(corpus, measured):
    return pd.read_csv(corpus.parent / "output/pickles/cmu_mosei_report.csv")


def test_every_segment_is_in_a_fold_or_in_the_report(corpus, report):
    pickles = corpus.parent / "output/pickles"
    left_out = report[report["action"].isin(["dropped", "foldless", "damaged"])]
    assert left_out["segment"].is_unique
    assert (left_out["action"] == "foldless").sum() == FOLDLESS
    kept = []
    for fold, count in SEGMENTS.items():
        with (pickles / f"cmu_mosei_{fold}.pkl").open("rb") as file:
            features, labels, ids = pickle.load(file)
        assert len(features) == len(labels) == len(ids)
        missing = left_out[left_out["fold"] == fold]
        assert len(ids) + len(missing) == count
        assert all(f.shape[1] == 409 and np.isfinite(f).all() for f in features)
        kept += ids
    assert len(set(kept)) == len(kept)
    assert len(kept) + len(left_out) == ALL
    # Only videos without sound and words without a face are left out.
    assert len(kept) > 0.97 * (ALL - FOLDLESS)


def test_videos_aligned_among_thousands_are_aligned_as_alone(corpus, measured):
    with (corpus.parent / "output/pickles/cmu_mosei_aligned.pkl").open("rb") as file:
        everything = pickle.load(file)
    files = mosei.open_files(corpus, mosei.sequence_names("facet")).sequences
    shared = set.intersection(*(set(s.videos) for s in files.values()))
    chosen = random.Random(0).sample(sorted(shared), 10)
    for sequence in files.values():
        sequence.videos = {video: sequence.videos[video] for video in chosen}
    alone = align(files, mosei.TEXT, mosei.LABELS)
    for name, entries in alone.sequences.items():
        assert entries
        for key, rows in entries.items():
            stored = everything[name][key]
            assert stored["features"].tobytes() == rows.features.tobytes()
            assert stored["intervals"].tobytes() == rows.intervals.tobytes()


def test_memory_stays_small(measured):
    by_stage = {row["stage"]: row for row in measured}
    # Over the imports of the three processes, in MB.
    assert by_stage["align"]["memory"] < 1500
    assert by_stage["inspect"]["memory"] < 500


def test_the_run_is_recorded_and_scored(corpus, measured):
    (record,) = corpus.parent.glob("output/models/*/run_*.json")
    content = json.loads(record.read_text())
    assert content["status"] == "complete"
    (table,) = record.parent.glob("csv/regression.csv")
    with table.open() as file:
        rows = {row["predictor"]: row for row in csv.DictReader(file)}
    # Noise teaches nothing: no better than a constant, and no worse than a little.
    constant = min(float(row["mae"]) for n, row in rows.items() if n != "model")
    assert 0.9 * constant < float(rows["model"]["mae"]) < 2 * constant
