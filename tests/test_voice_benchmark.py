"""The external benchmarks: features kept on disk, tables, figures, comparisons."""

import numpy as np
import pandas as pd
import pytest

from emorec.artifacts.logits import Logits
from emorec.corpora.acted import read_acted
from emorec.errors import DataError, SpecError
from emorec.labels import FERPLUS
from emorec.training.voice_benchmark import applicable, benchmark
from emorec.training.voice_feature_sets import feature_sets
from emorec.training.voice_features import (
    extract,
    extract_librosa,
    visual_features,
)

LETTERS = "WLEAFTN"
RANDOM = np.random.default_rng(0)


@pytest.fixture
def corpus(tmp_path):
    """Return an EmoDB of 4 speakers; the files hold their own class as text."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for speaker in ("03", "08", "09", "10"):
        for text in ("a01", "a02", "b01"):
            for letter in LETTERS:
                name = f"{speaker}{text}{letter}a.wav"
                (folder / name).write_text(str(LETTERS.index(letter)))
    return read_acted(folder)


def ear(heard, width=4):
    def listen(path):
        heard.append(path.stem)
        told = np.eye(7)[int(path.read_text())]
        return told[:width], np.append(told, 1.0)

    return listen


def informative(corpus):
    columns = np.eye(7)[corpus.classes]
    return columns + RANDOM.normal(0, 0.25, columns.shape)


def test_features_are_in_the_order_of_the_corpus_and_kept(corpus, tmp_path):
    heard = []
    found = extract(corpus, ear(heard), tmp_path / "cache", "student 1")
    assert heard == corpus.ids and found.made == len(corpus) == 84
    assert found.arrays["logits"].shape == (84, 4)
    assert found.arrays["embeddings"].shape == (84, 8)
    told = np.array([LETTERS.index(name[5]) for name in corpus.ids])
    np.testing.assert_array_equal(found.arrays["embeddings"][:, :7].argmax(1), told)
    again = extract(corpus, ear(heard), tmp_path / "cache", "student 1")
    assert len(heard) == 84 and again.made == 0
    np.testing.assert_array_equal(again.arrays["logits"], found.arrays["logits"])
    with pytest.raises(SpecError, match="features that something else made"):
        extract(corpus, ear(heard), tmp_path / "cache", "student 2")


def test_an_interrupted_work_goes_on_where_it_was(corpus, tmp_path):
    heard = []

    def tired(path):
        if len(heard) == 30:
            raise KeyboardInterrupt
        return ear(heard)(path)

    with pytest.raises(KeyboardInterrupt):
        extract(corpus, tired, tmp_path / "cache", "student")
    found = extract(corpus, ear(heard), tmp_path / "cache", "student")
    assert heard == corpus.ids and found.made == 54
    # A take whose file changed is heard again, and no other one.
    corpus.paths[5].write_text("3 ")
    extract(corpus, ear(heard), tmp_path / "cache", "student")
    assert heard == [*corpus.ids, corpus.ids[5]]


def test_a_take_that_fails_is_a_row_and_tried_again(corpus, tmp_path):
    listen = ear([])

    def fails(path):
        if path == corpus.paths[2]:
            raise DataError("too short")
        logits, embedding = listen(path)
        return logits, np.nan * embedding if path == corpus.paths[3] else embedding

    corpus.paths[4].unlink()
    found = extract(corpus, fails, tmp_path / "cache", "student")
    assert found.made == 81
    assert dict(found.failures.values) == {
        corpus.ids[2]: "too short",
        corpus.ids[3]: "its features are not finite",
        corpus.ids[4]: f"{corpus.paths[4]}: no such file.",
    }
    for array in found.arrays.values():
        bad = np.flatnonzero(np.isnan(array).all(axis=1))
        assert list(bad) == [2, 3, 4]
    again = extract(corpus, listen, tmp_path / "cache", "student")
    assert again.made == 2 and list(again.failures["id"]) == [corpus.ids[4]]


def test_features_of_another_shape_are_refused(corpus, tmp_path):
    widths = iter(range(1, 100))
    with pytest.raises(SpecError, match="other takes have 1"):
        extract(
            corpus,
            lambda path: (np.ones(next(widths)), np.ones(2)),
            tmp_path / "a",
            "x",
        )
    with pytest.raises(SpecError, match=r"returned \(1, 3\)"):
        extract(corpus, lambda path: (np.ones((1, 3)), np.ones(2)), tmp_path / "b", "x")

    def deaf(path):
        raise DataError("deaf")

    with pytest.raises(DataError, match=r"none of 84 takes has features.*deaf"):
        extract(corpus, deaf, tmp_path / "c", "x")


def test_librosa_is_kept_as_a_network_is(corpus, tmp_path):
    soundfile = pytest.importorskip("soundfile", reason="needs the extra 'voices'")
    librosa_means = pytest.importorskip("emorec.features.librosa_means")
    pytest.importorskip("librosa", reason="needs the extra 'voices'")
    few = corpus.take(np.arange(3))
    for path in few.paths[:2]:
        soundfile.write(path, RANDOM.normal(0, 0.1, 4000), 16_000)
    found = extract_librosa(few, tmp_path / "cache", workers=1)
    for row, path in zip(found.arrays["librosa"][:2], few.paths, strict=False):
        np.testing.assert_array_equal(row, librosa_means.means_of_file(path))
    assert np.isnan(found.arrays["librosa"][2]).all()
    assert "cannot be read as a sound" in found.failures["reason"][0]
    assert extract_librosa(few, tmp_path / "cache", workers=1).made == 0


def test_sets_come_as_they_are_wanted_and_random_ones_are_as_wide(corpus, tmp_path):
    heard = []
    wanted = ["random", "logits"]
    sets, failures = feature_sets(corpus, wanted, tmp_path, ear(heard), "one")
    assert list(sets) == wanted and failures.empty
    assert sets["random"].shape == sets["logits"].shape == (84, 4)
    # Another network is heard anew, beside the first one.
    sets, _ = feature_sets(corpus, ["embeddings"], tmp_path, ear(heard, 5), "two")
    assert list(sets) == ["embeddings"] and len(heard) == 168
    feature_sets(corpus, wanted, tmp_path, ear(heard), "one")
    assert len(heard) == 168
    assert feature_sets(corpus, ["random"], tmp_path)[0]["random"].shape == (84, 8)
    with pytest.raises(SpecError, match="Features mfcc: expected some of logits"):
        feature_sets(corpus, ["mfcc"], tmp_path)
    with pytest.raises(SpecError, match="need a network"):
        feature_sets(corpus, ["logits"], tmp_path)


def frames(ids, lengths):
    offsets = np.cumsum([0, *lengths])
    n = offsets[-1]
    scores = np.random.default_rng(3).normal(0, 1, (n, 8)).astype(np.float32)
    zeros = np.zeros(n, np.int32)
    return Logits(
        FERPLUS, ids, offsets, zeros * 0.1, scores, np.zeros((n, 4)), zeros, {}
    )


@pytest.mark.parametrize("how", ["max", "mean", "peak"])
def test_frames_become_one_row_of_their_take(tmp_path, how):
    for name in ("s1/an1", "s1/di1", "s2/an1"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.wav").touch()
    corpus = read_acted(tmp_path)
    # Labelled as videos below another folder, in another order, one without a face.
    labelled = frames(["RML/s2/an1.avi", "RML/s1/an1.avi", "else.avi"], [5, 3, 1])
    found = visual_features(corpus, labelled, how)
    rows = found.arrays["faces"]
    for place, part in ((0, slice(5, 8)), (2, slice(0, 5))):
        scores = labelled.logits[part]
        if how == "peak":
            assert rows[place].max() == scores.max()
            assert (scores == rows[place]).all(axis=1).any()
        else:
            expected = getattr(scores, how)(axis=0)
            np.testing.assert_allclose(rows[place], expected, rtol=1e-6)
    assert np.isnan(rows[1]).all() and found.failures["id"].tolist() == ["s1/di1"]


def test_a_voice_of_ravdess_takes_the_face_of_the_same_take(tmp_path):
    for take in ("03-01-05-01-01-01-01", "03-01-06-01-01-01-01"):
        (tmp_path / f"{take}.wav").touch()
    corpus = read_acted(tmp_path)
    ids = ["Actor_01/02-01-06-01-01-01-01.mp4", "Actor_01/01-01-05-01-01-01-01.mp4"]
    labelled = frames(ids, [1, 1])
    rows = visual_features(corpus, labelled).arrays["faces"]
    np.testing.assert_array_equal(rows, labelled.logits[::-1])
    with pytest.raises(DataError, match="None of the 2 takes"):
        visual_features(corpus, frames(["one.mp4"], [1]))
    with pytest.raises(SpecError, match="Aggregate 'median'"):
        visual_features(corpus, labelled, "median")


def test_the_tables_hold_every_probe_and_say_what_was_left_out(corpus, tmp_path):
    good = informative(corpus)
    lacking = RANDOM.normal(0, 1, (84, 3))
    lacking[7] = np.nan
    lines = []
    failures = pd.DataFrame({"id": [corpus.ids[7]], "reason": ["too short"]})
    sets = {"voice logits": good, "random": lacking}
    table = benchmark(
        corpus, sets, None, tmp_path / "out", lines.append, failures=failures
    )
    assert applicable(corpus) == ["leave_speakers_out", "literal"]
    keys = list(zip(table["features"], table["protocol"], strict=True))
    assert len(keys) == len(set(keys)) == 4
    # All sets are compared on the same takes; who is left out counts as wrong.
    assert set(table["takes"]) == {83} and set(table["left_out"]) == {1}
    for row in table.to_dict("records"):
        slug = f"emodb_{row['features'].replace(' ', '_')}_{row['protocol']}"
        counts = pd.read_csv(tmp_path / f"out/confusion_{slug}.csv")
        assert list(counts) == ["true", *corpus.schema.labels]
        right = np.trace(counts.to_numpy()[:, 1:].astype(int))
        assert row["accuracy_of_all"] == pytest.approx(right / 84)
        assert (tmp_path / f"out/confusion_{slug}.png").stat().st_size > 5000
        with np.load(tmp_path / f"out/predictions_{slug}.npz") as kept:
            assert corpus.ids[7] not in kept["ids"] and len(kept["ids"]) == 83
            assert (kept["true"] == kept["predicted"]).sum() == right
    best = table[table["features"] == "voice logits"]["accuracy"]
    assert (best > 0.7).all() and (table["constant"] < 0.3).all()
    left_out = pd.read_csv(tmp_path / "out/left_out_emodb.csv")
    assert left_out.values.tolist() == [
        [corpus.ids[7], "no features random: too short"]
    ]
    text = "\n".join(lines)
    assert "emodb: 84 takes of 4 speakers" in text and "constant" in text
    assert "1 takes without features" in text and "every speaker is in training" in text


def test_another_run_adds_rows_and_the_same_replaces_its_own(corpus, tmp_path):
    out, quiet = tmp_path / "out", lambda line: None
    features = informative(corpus)
    only = ["leave_speakers_out"]
    benchmark(corpus, {"one": features}, only, out, quiet)
    benchmark(corpus, {"two": features}, only, out, quiet)
    benchmark(corpus, {"one": features}, only, out, quiet)
    table = pd.read_csv(out / "benchmark_emodb.csv")
    assert sorted(table["features"]) == ["one", "two"]
    one, two = (
        table[table["features"] == n]["accuracy"].item() for n in ("one", "two")
    )
    assert one == two
    folds = pd.read_csv(out / "folds_emodb.csv")
    assert folds.groupby("features").size().to_dict() == {"one": 4, "two": 4}
    assert folds["accuracy"][:4].mean() == pytest.approx(one)


def test_a_corpus_with_its_own_split_and_no_speakers_has_that_protocol(tmp_path):
    for part in ("Train", "Val"):
        for label in ("Angry", "Happy", "Sad"):
            for i in range(6):
                path = tmp_path / part / label / f"{i}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
    corpus = read_acted(tmp_path)
    assert applicable(corpus) == ["split"]
    features = np.eye(7)[corpus.classes] + RANDOM.normal(0, 0.1, (36, 7))
    features[[0, -1]] = np.nan  # one of each part
    table = benchmark(
        corpus, {"x": features}, None, tmp_path / "out", lambda line: None
    )
    (row,) = table.to_dict("records")
    assert (row["takes"], row["left_out"], row["accuracy"]) == (17, 1, 1.0)
    # As Albanie et al. count AFEW's two clips without a face.
    assert row["accuracy_of_all"] == pytest.approx(17 / 18)


def test_what_cannot_be_compared_is_refused(corpus, tmp_path):
    good = informative(corpus)
    with pytest.raises(DataError, match=r"Features 'a': expected \(84, D\)"):
        benchmark(corpus, {"a": good[:5]}, None, tmp_path)
    with pytest.raises(SpecError, match="names of their own"):
        benchmark(corpus, {"a b": good, "a_b": good}, None, tmp_path)
    with pytest.raises(SpecError, match="received none"):
        benchmark(corpus, {}, None, tmp_path)
    with pytest.raises(DataError, match="no take has all of a"):
        benchmark(corpus, {"a": np.full((84, 2), np.nan)}, None, tmp_path)
    with pytest.raises(DataError, match="no split of its own"):
        benchmark(corpus, {"a": good}, ["literal", "split"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
