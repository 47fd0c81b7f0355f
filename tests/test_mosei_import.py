"""Processed pickles of other programs become a dataset that the main job trains on."""

import json
import os
import pickle
import shutil

import numpy as np
import pandas as pd
import pytest

from emorec.artifacts.pickles import read_pickle
from emorec.cli.app import main
from emorec.corpora.folds import FOLDS, read_folds
from emorec.corpora.mosei import LABELS, write_labels
from emorec.labels import MOSEI_ALL

STEPS, WIDTHS = 6, {"text": 9, "vision": 4, "audio": 5}
VIDEOS = {"train": ["-b_1", "a", "777", "d"], "valid": ["v"], "test": ["t_0", "u"]}
RNG = np.random.default_rng(0)


def table_of(videos, segments=12):
    """Return a labels table whose rows are not in the order of time."""
    rows = []
    for video in videos:
        starts = np.cumsum(RNG.uniform(2, 9, segments))
        for start in RNG.permutation(starts):
            scores = np.r_[RNG.integers(-9, 10), RNG.integers(0, 10, 6)] / 3
            rows.append([video, start, start + 1.5, *scores])
    return pd.DataFrame(rows, columns=["id", "start", "end", *MOSEI_ALL.labels])


def padded(lengths, width, front=False, steps=STEPS):
    used = np.arange(steps) < np.asarray(lengths)[:, None]
    used = used[:, ::-1] if front else used
    return RNG.uniform(1, 2, (len(lengths), steps, width)) * used[..., None]


def mmsa(table, front=False, splits=VIDEOS):
    """Return MMSA's layout, and by clip its entry and its number of steps."""
    content, truth = {}, {}
    for fold, videos in splits.items():
        ids, sentiment = [], []
        for video in videos:
            rows = table[table.id == video].reset_index(drop=True)
            numbers = np.sort(RNG.choice(99, len(rows), replace=False))
            by_start = np.argsort(rows.start.to_numpy())
            clips = {
                f"{video}$_${n}": int(r) for n, r in zip(numbers, by_start, strict=True)
            }
            for clip in sorted(clips):
                ids.append(clip)
                sentiment.append(round(rows.sentiment[clips[clip]], 1))
                truth[clip] = [f"{video}[{clips[clip]}]"]
        lengths = RNG.integers(2, STEPS + 1, len(ids))
        for clip, length in zip(ids, lengths, strict=True):
            truth[clip].append(int(length))
        content[fold] = {
            "id": ids,
            "raw_text": np.array(["some words"] * len(ids), object),
            "annotations": ["Neutral"] * len(ids),
            "regression_labels": np.array(sentiment),
            "classification_labels": np.zeros(len(ids)),
            **{name: padded(lengths, w, front) for name, w in WIDTHS.items()},
        }
    return content, truth


@pytest.fixture
def labels(tmp_path):
    table = table_of([video for videos in VIDEOS.values() for video in videos])
    table.to_csv(tmp_path / "labels.csv", index=False)
    return table


@pytest.fixture
def run(tmp_path, capsys):
    """Return a function that imports a content or a file, into ``data``."""

    def run(content, *options, name="mmsa.pkl", protocol=4):
        if not isinstance(content, bytes):
            content = pickle.dumps(content, protocol)
        (tmp_path / name).write_bytes(content)
        words = ["mosei", "import", tmp_path / name, "--output", tmp_path / "data"]
        code = main([str(word) for word in [*words, *options]])
        run.out, run.err = capsys.readouterr()
        assert "Traceback" not in run.err
        return code

    return run


def result(tmp_path, name="mmsa"):
    return read_pickle(tmp_path / "data" / "pickle_files" / f"{name}.pkl")


def findings(tmp_path, name="mmsa"):
    return pd.read_csv(tmp_path / "data" / f"{name}_import.csv", dtype=str)


def check(aligned, content, truth, front=False):
    """Every clip has the right steps under the right entry."""
    clips = 0
    for part in content.values():
        for i, clip in enumerate(part["id"]):
            key, length = truth[clip]
            kept = slice(STEPS - length, None) if front else slice(length)
            for name in WIDTHS:
                received = aligned[name][key]
                assert received["features"].dtype == np.float32
                expected = part[name][i][kept].astype(np.float32)
                np.testing.assert_array_equal(received["features"], expected)
                assert received["intervals"].shape == (length, 2)
            clips += 1
    assert {len(aligned[name]) for name in (*WIDTHS, LABELS)} == {clips}


@pytest.mark.parametrize("front", [False, True])
@pytest.mark.parametrize("as_csd", [False, True])
def test_clips_get_the_labels_of_their_segment(run, tmp_path, labels, front, as_csd):
    content, truth = mmsa(labels, front)
    options = []
    if as_csd:
        write_labels(labels, tmp_path / "other" / "labels.csd")
        options = ["--labels", tmp_path / "other" / "labels.csd"]
        (tmp_path / "labels.csv").unlink()
    assert run(content, *options) == 0, run.err
    aligned = result(tmp_path)
    check(aligned, content, truth, front)
    for video, rows in labels.groupby("id"):
        for i, row in enumerate(rows.to_dict("records")):
            entry = aligned[LABELS][f"{video}[{i}]"]
            np.testing.assert_allclose(
                entry["features"][0], [row[name] for name in MOSEI_ALL.labels], 1e-6
            )
            times = [row["start"], row["end"]]
            np.testing.assert_allclose(entry["intervals"][0], times, 1e-6)
    assert read_folds(tmp_path / "data" / "standard_folds.json") == VIDEOS
    padding = sum(length < STEPS for _, length in truth.values())
    counts = (padding, 0) if front else (0, padding)
    assert "in front of {} segments, behind {}.".format(*counts) in run.out
    assert "train 48, valid 12, test 24" in run.out
    assert len(findings(tmp_path)) == 0


@pytest.mark.parametrize("protocol", [2, 5])
def test_pickles_of_old_programs_are_read(run, tmp_path, labels, protocol):
    content, truth = mmsa(labels)
    data = pickle.dumps(content, protocol)
    if protocol == 2:  # names with a length in front of them cannot be exchanged
        data = data.replace(b"numpy._core", b"numpy.core")
        assert b"numpy.core" in data
    assert run(data) == 0, run.err
    check(result(tmp_path), content, truth)


def test_the_tokens_mask_tells_the_steps_of_bert(run, tmp_path, labels):
    """BERT's vectors of padding are not zero."""
    content, truth = mmsa(labels)
    for part in content.values():
        lengths = np.array([truth[clip][1] for clip in part["id"]])
        part["text"] = RNG.uniform(1, 2, part["text"].shape).astype(np.float32)
        mask = np.arange(STEPS) < lengths[:, None]
        ones = np.ones_like(mask)
        part["text_bert"] = np.stack([ones, mask, 0 * ones], 1).astype(np.int64)
        # The token that begins a text has no sound.
        part["audio"][:, 0] = 0
    assert run(content) == 0, run.err
    check(result(tmp_path), content, truth)


def test_lengths_decide_where_they_are_told(run, tmp_path, labels):
    content, truth = mmsa(labels)
    for part in content.values():
        lengths = [truth[clip][1] for clip in part["id"]]
        part["audio_lengths"], part["vision_lengths"] = lengths, list(lengths)
        # Rows of zeros that are data.
        for name in ("text", "audio", "vision"):
            part[name][np.arange(len(lengths)), np.array(lengths) - 1] = 0
    assert run(content) == 0, run.err
    check(result(tmp_path), content, truth)
    content["valid"]["audio_lengths"][3] = 1
    content["valid"]["audio"][3] = 1.0
    assert run(content) == 1
    assert "valid, audio, segment" in run.err and "contradicts itself" in run.err


def test_a_run_trains_on_what_was_imported(run, tmp_path, labels, command):
    from emorec.cli.mosei import main as train

    content, _ = mmsa(labels)
    assert run(content) == 0
    words = run.out.splitlines()[-1].split()[2:]
    words += ["-mf", tmp_path / "models", "-e", 1, "-n", 4]
    trained = command(train, *words, eagerly=True)
    assert trained.code == 0, trained.err
    assert "imported features: text, vision, audio of mmsa.pkl" in trained.out
    (record,) = (tmp_path / "models" / "mmsa").glob("run_*.json")
    spec = json.loads(record.read_text())["spec"]
    assert [(m["features"], m["width"]) for m in spec["modalities"]] == [
        *WIDTHS.items()
    ]
    fold = read_pickle(tmp_path / "data/pickle_files/cmu_mosei_train.pkl")
    assert fold[0][0].shape[1] == sum(WIDTHS.values()) and len(fold[2]) == 48
    refused = command(train, *words, "-f", "openface", eagerly=True)
    assert refused.code == 1 and "features of its own" in refused.err


def test_unaligned_modalities_are_trained_on_one_by_one(run, tmp_path, labels, command):
    from emorec.cli.mosei import main as train

    content, truth = mmsa(labels)
    for part in content.values():
        lengths = RNG.integers(3, 20, len(part["id"]))
        part["audio"] = padded(lengths, WIDTHS["audio"], steps=20)
        part["audio_lengths"] = lengths
    assert run(content) == 0, run.err
    assert "Not aligned: the modalities have different numbers of steps" in run.out
    aligned = result(tmp_path)
    clip = content["valid"]["id"][2]
    key, length = truth[clip]
    assert len(aligned["text"][key]["features"]) == length
    assert (
        len(aligned["audio"][key]["features"]) == content["valid"]["audio_lengths"][2]
    )
    words = run.out.splitlines()[-1].split()[2:]
    assert words[-8:-6] == ["-mn", "mmsa_A"]
    assert words[-6:] == ["-t", "false", "-m", "A", "-s", "0"]
    words += ["-mf", tmp_path / "models", "-e", 1, "-n", 4]
    trained = command(train, *words, eagerly=True)
    assert trained.code == 0, trained.err
    refused = command(train, *words, "-t", "true", "-m", "all")
    assert refused.code == 1 and "--align_to_text false" in refused.err


def test_modalities_padded_at_opposite_ends_are_not_fused(run, tmp_path, labels):
    content, truth = mmsa(labels)
    for part in content.values():
        lengths = [truth[clip][1] for clip in part["id"]]
        part["vision"] = padded(lengths, WIDTHS["vision"], front=True)
    assert run(content) == 0, run.err
    assert "padded in front and another behind" in run.out
    clip = content["test"]["id"][0]
    key, length = truth[clip]
    rows = result(tmp_path)["vision"][key]["features"]
    np.testing.assert_allclose(rows, content["test"]["vision"][0][-length:])


def without(content, fold, index):
    """Leave one segment out of a content."""
    part = content[fold]
    for key, value in part.items():
        if isinstance(value, list):
            part[key] = value[:index] + value[index + 1 :]
        else:
            part[key] = np.delete(value, index, axis=0)


def test_missing_clips_are_noticed_and_never_shift_the_others(run, tmp_path, labels):
    # All different, so each has one place; then two equal ones in a row.
    for video, rows in labels.groupby("id"):
        by_start = rows.sort_values("start").index
        labels.loc[by_start, "sentiment"] = np.arange(len(rows)) / 3 - 2
        if video == "a":
            labels.loc[by_start[:2], "sentiment"] = -2.0
    labels.to_csv(tmp_path / "labels.csv", index=False)
    content, truth = mmsa(labels)
    numbers = {c: int(c.split("$")[-1]) for c in content["train"]["id"]}
    first = {
        video: min((c for c in numbers if c.startswith(f"{video}$")), key=numbers.get)
        for video in ("a", "d")
    }
    for clip in first.values():
        without(content, "train", content["train"]["id"].index(clip))
    assert run(content) == 0, run.err
    (row,) = findings(tmp_path).to_dict("records")
    assert row["reason"] == "more than one segment fits" and row["fold"] == "train"
    assert row["segment"].startswith("a$_$")
    without(content, "train", content["train"]["id"].index(row["segment"]))
    check(result(tmp_path), content, truth)


def test_what_cannot_be_joined_is_a_row_each(run, tmp_path, labels):
    content, _ = mmsa(labels)
    part = content["train"]
    part["regression_labels"][0] += 1  # of 84: more than one in a hundred
    assert run(content) == 1
    assert "the scores of 1 of 84 segments" in run.err and part["id"][0] in run.err
    assert len(findings(tmp_path)) == 1
    assert not (tmp_path / "data" / "pickle_files").exists()
    part["regression_labels"][0] -= 1
    part["id"][0] = "unknown$_$3"
    for name in WIDTHS:
        part[name][1] = 0
    part["vision"][2] = 0
    assert run(content) == 0, run.err
    table = findings(tmp_path)
    by_reason = table.groupby("reason").size().to_dict()
    assert by_reason.pop("video not in the labels") == 1
    assert by_reason["only zeros"] == by_reason["only zeros in vision"] == 1
    kept = table[table.reason == "only zeros in vision"].iloc[0]
    assert kept.action == "kept" and kept.entry in result(tmp_path)["vision"]


@pytest.mark.parametrize("columns", [6, 7])
def test_own_emotions_need_no_label_file(run, tmp_path, labels, columns):
    content, _ = mmsa(labels)
    (tmp_path / "labels.csv").unlink()
    for part in content.values():
        part["labels"] = RNG.integers(0, 10, (len(part["id"]), 1, columns)) / 3
    assert run(content) == 0, run.err
    names = ", ".join(MOSEI_ALL.labels[-columns:])
    assert f"Labels from the pickle, taken to be ({names})." in run.out
    clip = content["valid"]["id"][0]
    key = clip.replace("$_$", "[") + "]"
    scores = result(tmp_path)[LABELS][key]["features"]
    np.testing.assert_allclose(scores, content["valid"]["labels"][0], 1e-6)


def test_ids_with_times_are_joined_by_these(run, tmp_path, labels):
    """The layout before MMSA: rows of video, start and end."""
    content, truth = mmsa(labels)
    for part in content.values():
        rows = []
        for clip in part["id"]:
            video, row = truth[clip][0].rsplit("[", 1)
            known = labels[labels.id == video].iloc[int(row[:-1])]
            rows.append([video, f"{known.start:.3f}", f"{known.end:.3f}"])
        part["old"], part["id"] = part["id"], np.array(rows)
        part["labels"] = part.pop("regression_labels")[:, None, None]
    assert run(content) == 0, run.err
    for part in content.values():
        part["id"] = part.pop("old")
    check(result(tmp_path), content, truth)


def test_folds_of_the_reference_program_come_back(run, tmp_path, finished):
    """Its pickles are those that a run here writes, too."""
    for fold in FOLDS:
        source = finished.pickles / f"cmu_mosei_miniature_{fold}.pkl"
        shutil.copy(source, tmp_path / f"mini_{fold}.pkl")
    data = (tmp_path / "mini_valid.pkl").read_bytes()
    assert run(data, name="mini_valid.pkl") == 0, run.err
    aligned = result(tmp_path, "mini")
    names = {"text": slice(300), "image": slice(300, 335), "audio": slice(335, 409)}
    for fold in FOLDS:
        features, labels, ids = read_pickle(tmp_path / f"mini_{fold}.pkl")
        for rows, scores, key in zip(features, labels, ids, strict=True):
            np.testing.assert_array_equal(aligned[LABELS][key]["features"], scores)
            for name, columns in names.items():
                received = aligned[name][key]["features"]
                np.testing.assert_array_equal(received, rows[:, columns])
    (tmp_path / "mini_test.pkl").unlink()
    assert run(data, name="mini_valid.pkl") == 1
    assert "mini_test.pkl: no such file" in run.err
    assert run(data, name="alone.pkl") == 1
    assert "whose name does not tell which" in run.err


def folds_of(width, columns=6):
    scores = RNG.integers(0, 3, (2, columns)).astype("f4")
    features = [RNG.normal(0, 1, (3, width)).astype("f4") for _ in range(2)]
    return [features, list(scores[:, None]), ["{0}[0]", "{0}[4]"]]


def test_other_widths_must_be_told(run, tmp_path):
    for fold in FOLDS:
        content = folds_of(20)
        content[2] = [name.format(fold) for name in content[2]]
        (tmp_path / f"x_{fold}.pkl").write_bytes(pickle.dumps(content))
    data = (tmp_path / "x_test.pkl").read_bytes()
    assert run(data, name="x_test.pkl") == 1
    assert "20 columns" in run.err and "--widths" in run.err
    assert run(data, "--widths", 10, 6, 5, name="x_test.pkl") == 1
    assert run(data, "--widths", 10, 6, 4, name="x_test.pkl") == 0, run.err
    assert result(tmp_path, "x")["image"]["test[4]"]["features"].shape == (3, 6)


class Runs:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_code_in_a_pickle_is_refused_and_not_run(run, tmp_path, labels):
    content, _ = mmsa(labels)
    content["train"]["raw_text"] = [Runs(tmp_path / "was run")]
    assert run(content) == 1
    assert "forbidden global" in run.err and not (tmp_path / "was run").exists()


def change(content, key, value):
    content["valid"][key] = value


DAMAGE = {
    "no split": (lambda c: c.pop("valid"), "the splits train, valid and test"),
    "no ids": (lambda c: c["valid"].pop("id"), "names under 'id'"),
    "ids": (lambda c: change(c, "id", ["x"] * 12), "ids like video"),
    "twice": (lambda c: change(c, "id", ["v$_$1"] * 12), "comes twice"),
    "fewer rows": (lambda c: change(c, "text", c["valid"]["text"][1:]), "12 ids"),
    "one step": (lambda c: change(c, "text", c["valid"]["text"][0]), "of shape"),
    "texts": (lambda c: change(c, "audio", ["a"] * 12), "expected numbers of shape"),
    "width": (
        lambda c: change(c, "audio", c["valid"]["audio"][..., :2]),
        "audio has 2 columns, those before have 5",
    ),
    "no labels": (lambda c: c["valid"].pop("regression_labels"), "found neither"),
    "labels": (
        lambda c: change(c, "regression_labels", np.full(12, np.nan)),
        "finite numbers",
    ),
    "no features": (
        lambda c: [c["valid"].pop(name) for name in WIDTHS],
        "no split has text, audio or vision",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named_and_nothing_is_written(run, tmp_path, labels, name):
    content, _ = mmsa(labels)
    damage, message = DAMAGE[name]
    damage(content)
    assert run(content) == 1
    assert "mmsa.pkl" in run.err and message in run.err
    assert not (tmp_path / "data" / "pickle_files").exists()


def test_videos_in_two_folds_are_refused(run, tmp_path, labels):
    splits = VIDEOS | {"valid": ["v", "a"]}
    content, _ = mmsa(labels, splits=splits)
    emotions = {fold: len(part["id"]) for fold, part in content.items()}
    for fold, count in emotions.items():
        content[fold]["labels"] = np.ones((count, 6))
    content["valid"]["id"] = [f"{name}1" for name in content["valid"]["id"]]
    assert run(content) == 1
    assert "both train and valid: a." in run.err
    assert not (tmp_path / "data" / "pickle_files").exists()


def test_labels_must_be_somewhere(run, tmp_path, labels, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content, _ = mmsa(labels)
    (tmp_path / "labels.csv").unlink()
    assert run(content) == 1
    assert "the sentiment only" in run.err and "--labels" in run.err
    assert run(content, "--labels", "absent.csd") == 1
    assert "absent.csd: no such file" in run.err


def test_other_data_in_the_folder_are_not_shadowed(run, tmp_path, labels):
    content, _ = mmsa(labels)
    target = tmp_path / "data" / "pickle_files" / "mmsa.pkl"
    target.parent.mkdir(parents=True)
    target.write_bytes(b"mine")
    assert run(content) == 1
    assert "would be overwritten" in run.err and target.read_bytes() == b"mine"
    target.unlink()
    assert run(content) == run(content) == 0
    write_labels(labels, tmp_path / "data" / "labels" / "labels.csd")
    assert run(content) == 1
    assert "holds .csd files" in run.err


@pytest.mark.parametrize("content", [[1, 2], 3, {"a": 1}, b"no pickle"])
def test_other_files_are_refused(run, content):
    assert run(content) == 1
    assert "mmsa.pkl" in run.err
