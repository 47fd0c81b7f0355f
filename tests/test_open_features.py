"""Raw clips to features, to a trained run, to predictions: the same numbers in all."""

import csv
import json
import shutil
from dataclasses import replace
from itertools import chain
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from emorec.artifacts.found_runs import find_runs
from emorec.artifacts.spec import Spec
from emorec.cli.app import main as emorec
from emorec.cli.mosei import main as train
from emorec.corpora import folds
from emorec.corpora.clips_miniature import CLIPS, LABELS, VECTORS, write_clips
from emorec.corpora.recorded import find_recorded
from emorec.errors import DataError, SpecError
from emorec.features.transcripts import read_transcript
from emorec.prediction.mosei import MoseiPredictor
from emorec.prediction.recordings import Recording, Span
from emorec.sequences.csd import open_sequence
from tests.small_runs import small_faces, small_mosei

NAMES = [f"clip_{number:02d}" for number in range(10)]
SHARES = folds.shares(NAMES)
# Of every fold one clip lacks something.
SILENT, BROKEN, (MUTE, WHOLE) = SHARES["train"][0], SHARES["valid"][0], SHARES["test"]


def options(folder, output, *more):
    return [
        *("mosei", "extract", folder, "--output", output, "--labels", folder / LABELS),
        *("--text", "glove", "--vectors", folder / VECTORS, "--voice", "librosa"),
        *("--face", folder / "faces" / "faces_seed_0", "--faces", "given"),
        *more,
    ]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, command):
    """Ten clips: one without words, one without sound, one damaged; and features."""
    folder = tmp_path_factory.mktemp("clips")
    write_clips(folder, videos=len(NAMES))
    small_faces(folder / "faces")
    clips = folder / CLIPS
    (clips / f"{SILENT}.srt").unlink()
    _without_sound(clips / f"{MUTE}.mp4")
    whole = (clips / f"{BROKEN}.mp4").read_bytes()
    (clips / f"{BROKEN}.mp4").write_bytes(whole[:50])
    result = command(emorec, *options(folder, folder / "open"))
    return SimpleNamespace(folder=folder, open=folder / "open", result=result)


def _without_sound(path):
    import av

    silent = path.with_name("silent.mp4")
    with av.open(str(path)) as source, av.open(str(silent), "w") as goal:
        own = goal.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = own
                goal.mux(packet)
    silent.replace(path)


@pytest.fixture(scope="module")
def run(corpus, command):
    """Return a function that trains on the features; it returns the finished run."""

    def of(name, *more):
        result = command(
            train,
            *("--features", "open", "--data", corpus.open, "-mn", name, "-e", 1),
            *("-n", 8, "-scm", "false", "-pf", corpus.folder / "pickles"),
            *("-mf", corpus.folder / "models", *more),
            eagerly=True,
        )
        assert result.code == 0, result.err
        (found,) = find_runs([corpus.folder / "models" / name])
        return found

    return of


@pytest.fixture(scope="module")
def whole(run):
    return run("whole")


def recording(corpus, name):
    clip = corpus.folder / CLIPS / f"{name}.mp4"
    text = clip.with_suffix(".srt")
    said = read_transcript(text) if text.is_file() else []
    cues = tuple(Span(*cue) for cue in said)
    sound = clip if name not in (MUTE, BROKEN) else None
    return Recording(name, clip, sound, cues, 30.0)


def segments(corpus, name):
    table = pd.read_csv(corpus.folder / LABELS)
    rows = table[table["id"] == name]
    return [Span(row.start, row.end) for row in rows.itertuples()]


def evaluated(found):
    """Return segment -> scores of the training's evaluation."""
    scores = {}
    for path in found.run.folder.glob("predictions_*.npz"):
        with np.load(path, allow_pickle=False) as stored:
            scores |= dict(zip(stored["ids"].tolist(), stored["scores"], strict=True))
    return scores


def assert_same_scores(corpus, found):
    predictor = MoseiPredictor.load(found)
    expected, seen = evaluated(found), []
    for name in sorted({segment.split("[")[0] for segment in expected}):
        given = predictor.given(recording(corpus, name), segments(corpus, name))
        for number, each in enumerate(given):
            key = f"{name}[{number}]"
            assert (each.content is not None) == (key in expected), each.reason
            if key in expected:
                (scores,) = predictor.scores([each.content])
                np.testing.assert_allclose(scores, expected[key], atol=1e-5)
                seen.append(each.present)
    assert len(seen) == len(expected) > 0
    return predictor, seen


def test_what_cannot_be_extracted_is_a_row_and_the_rest_goes_on(corpus):
    assert corpus.result.code == 3
    with (corpus.open / "failures.csv").open() as file:
        rows = {
            (row["id"], row["modality"]): row["reason"] for row in csv.DictReader(file)
        }
    assert rows[SILENT, "text"] == "no transcript"
    assert "no sound" in rows[MUTE, "audio"]
    assert {
        (SILENT, "text"),
        (MUTE, "audio"),
        (BROKEN, "image"),
        (BROKEN, "audio"),
    } == {*rows}
    assert "python main.py --features open --data" in corpus.result.out


def test_sequences_tell_their_columns_and_how_they_were_made(corpus):
    widths = {"open_words": 16, "open_face": 8, "open_voice": 62, "open_steps": 1}
    for name, width in widths.items():
        sequence = open_sequence(corpus.open / f"{name}.csd")
        assert sequence.name == name and sequence.width == width
        assert len(sequence.metadata["dimension names"]) == width
        assert sequence.metadata["emorec extraction"]["kind"]
    face = open_sequence(corpus.open / "open_face.csd")
    for video in face.videos:
        rows = face.read_video(video)
        np.testing.assert_allclose(np.exp(rows.features).sum(axis=1), 1, rtol=1e-5)
        np.testing.assert_allclose(np.diff(rows.intervals[:, 0]), 0.24, atol=1e-9)


def test_words_lie_in_their_cues(corpus):
    words = open_sequence(corpus.open / "open_words.csd")
    for video in words.videos:
        cues = read_transcript(corpus.folder / CLIPS / f"{video}.srt")
        times = words.read_video(video).intervals
        starts = np.array([cue.start for cue in cues])
        ends = np.array([cue.end for cue in cues])
        cue = np.searchsorted(starts, times[:, 0], side="right") - 1
        assert (times[:, 1] <= ends[cue]).all()
        assert set(starts) == set(times[np.isin(times[:, 0], starts), 0])


def test_what_is_finished_is_not_repeated(corpus, command):
    before = {path: path.stat().st_mtime_ns for path in corpus.open.rglob("*.*")}
    again = command(emorec, *options(corpus.folder, corpus.open))
    assert again.code == 3
    assert "0 extracted, 26 finished before, 4 failed." in again.out
    kept = {path for path in before if path.name != "failures.csv"}
    assert {path for path in kept if path.stat().st_mtime_ns != before[path]} == set()


def test_a_changed_file_is_extracted_anew_and_the_order_does_not_matter(
    corpus, command, tmp_path
):
    shutil.copytree(corpus.folder, tmp_path / "copy")
    folder = tmp_path / "copy"
    source = folder / CLIPS / f"{WHOLE}.srt"
    source.write_text(source.read_text().replace("00:00:00,200", "00:00:00,100"))
    words = options(folder, folder / "open")[:11]
    again = command(emorec, *words)
    assert "1 extracted, 8 finished before, 1 failed." in again.out
    changed = open_sequence(folder / "open" / "open_words.csd").read_video(WHOLE)
    assert changed.intervals[0, 0] == 0.1


def test_other_settings_in_the_same_folder_are_refused(corpus, command):
    result = command(
        emorec, *options(corpus.folder, corpus.open, "--face_output", "both")
    )
    assert result.code == 1
    assert "outputs: there probabilities, now both" in result.err


@pytest.mark.parametrize(
    "more, message",
    [
        ([], "Nothing to extract"),
        (["--text", "glove"], "--vectors FILE"),
        (["--text", "sentences"], "--sentence_model MODEL"),
        (["--voice", "librosa", "--step", "0"], "--step 0: expected 0.1"),
        (["--face", "nowhere/run"], "no such run"),
    ],
)
def test_what_is_missing_is_said_before_any_work(
    corpus, command, tmp_path, more, message
):
    result = command(
        emorec, "mosei", "extract", corpus.folder, "--output", tmp_path / "o", *more
    )
    assert (result.code, (tmp_path / "o").exists()) == (1, False)
    assert message in result.err


def test_a_prediction_has_the_scores_of_the_evaluation(corpus, whole):
    predictor, seen = assert_same_scores(corpus, whole)
    assert predictor.takes == ("face", "voice", "words")
    # BROKEN and MUTE are asked about, too.
    assert {("face", "voice", "words"), ("face", "words"), ("words",)} == set(seen)


def test_the_run_tells_how_its_features_were_made(whole):
    spec = whole.spec
    assert [m.features.split()[0] for m in spec.modalities] == [
        *("open_words", "open_face", "open_voice")
    ]
    made = spec.data["extraction"]
    assert made["T"]["vectors"] == VECTORS and made["A"]["names"][0] == "mel_00"
    assert made["V"]["faces"] == "given"
    assert spec.normalisation["kind"] == "standard"
    # Vectors of words are left as they are.
    assert spec.normalisation["shift"][:16] == [0.0] * 16
    assert whole.record["settings"]["missing"] == "mask"


def test_a_missing_modality_is_masked_and_all_missing_refused(corpus, whole):
    predictor = MoseiPredictor.load(whole)
    one = recording(corpus, WHOLE)
    spans = segments(corpus, WHOLE)
    cases = {
        ("face", "voice", "words"): one,
        ("voice", "words"): replace(one, video=None),
        ("face", "words"): replace(one, sound=None),
        ("words",): replace(one, video=None, sound=None),
    }
    scores = {}
    for present, some in cases.items():
        given = list(predictor.given(some, spans))
        assert {each.present for each in given} == {present}
        assert all((each.reason == "") == (len(present) == 3) for each in given)
        scores[present] = predictor.scores([each.content for each in given])
        assert np.isfinite(scores[present]).all()
    assert np.ptp([each[0, 0] for each in scores.values()]) > 0
    for each in predictor.given(replace(one, cues=()), spans):
        assert each.content is None and "words: no transcript" in each.reason


def test_words_that_spans_bring_serve_where_there_is_no_transcript(corpus, whole):
    predictor = MoseiPredictor.load(whole)
    one = recording(corpus, WHOLE)
    expected = list(predictor.given(one, one.cues))
    found = list(predictor.given(replace(one, cues=()), one.cues))
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_array_equal(a.content.features, b.content.features)


def test_without_words_steps_are_windows(corpus, run):
    found = run("steps", "-t", "false", "-m", "VA")
    predictor, _ = assert_same_scores(corpus, found)
    assert predictor.takes == ("face", "voice")
    # The clip without a transcript has a place, too.
    one = recording(corpus, SILENT)
    (given,) = predictor.given(one, [Span(0.0, 3.0)])
    assert given.present == ("face", "voice") and len(given.content.features) == 6


def test_a_run_without_gaps_takes_none(corpus, run):
    found = run("drop", "--missing", "drop", "--normalise", "maxabs")
    predictor, seen = assert_same_scores(corpus, found)
    assert set(seen) == {("face", "voice", "words")}
    one = replace(recording(corpus, WHOLE), video=None)
    for each in predictor.given(one, segments(corpus, WHOLE)):
        assert each.content is None and "--missing drop" in each.reason


def test_features_of_a_moved_file_are_found_beside_the_model(corpus, whole, tmp_path):
    shutil.copytree(whole.run.folder, tmp_path / "moved")
    record = tmp_path / "moved" / whole.run.record_path.name
    text = record.read_text().replace(str(corpus.folder), "/nowhere")
    record.write_text(text)
    (moved,) = find_runs([tmp_path / "moved"])
    with pytest.raises(SpecError, match="no such file") as caught:
        MoseiPredictor.load(moved)
    assert str(tmp_path / "moved" / VECTORS) in str(caught.value)
    vectors = tmp_path / "moved" / VECTORS
    shutil.copy(corpus.folder / VECTORS, vectors)
    for path in (corpus.folder / "faces").iterdir():
        shutil.copy(path, tmp_path / "moved")
    one, spans = recording(corpus, WHOLE), segments(corpus, WHOLE)
    here, there = MoseiPredictor.load(moved), MoseiPredictor.load(whole)
    for a, b in zip(here.given(one, spans), there.given(one, spans), strict=True):
        np.testing.assert_array_equal(a.content.features, b.content.features)
    vectors.write_text(vectors.read_text().replace("glad", "sorry", 1))
    with pytest.raises(
        SpecError, match="not what the model was trained with"
    ) as caught:
        MoseiPredictor.load(moved)
    assert "content: expected" in str(caught.value)


def test_a_model_is_not_evaluated_on_features_of_another_extraction(
    corpus, whole, command, tmp_path
):
    shutil.copytree(corpus.folder, tmp_path / "copy")
    other = tmp_path / "copy" / "other"
    face = ["--face", tmp_path / "copy/faces/faces_seed_0", "--faces", "given"]
    base = options(tmp_path / "copy", other)[:13]
    assert command(emorec, *base, *face, "--every", 12).code == 3
    result = command(
        train,
        *("--features", "open", "--data", other, "-mn", "whole", "-n", 8, "-e", 1),
        *("-scm", "false"),
        *("-pf", tmp_path / "pickles", "-mf", tmp_path / "copy/models"),
        *("--no_train", "--overwrite"),
        eagerly=True,
    )
    assert result.code == 1
    assert "the model was made for other input" in result.err
    assert "image (open_face" in result.err


def test_what_was_not_extracted_is_named_with_a_way_out(corpus, command, tmp_path):
    for name in ("open_voice.csd", "open_steps.csd", "labels"):
        source = corpus.open / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, tmp_path / name)
    result = command(train, "--features", "open", "--data", tmp_path)
    assert result.code == 1
    assert "'open_words' (usually open_words.csd)" in result.err
    assert "--align_to_text false" in result.err


def test_runs_on_features_of_other_programs_say_what_to_train_instead(tmp_path):
    small_mosei(tmp_path)
    (found,) = find_runs([tmp_path])
    with pytest.raises(SpecError, match="COVAREP") as caught:
        MoseiPredictor.load(found)
    assert "emorec mosei extract" in str(caught.value)
    assert "main.py --features open" in str(caught.value)


def test_folds_are_shares_of_the_videos_unless_they_are_given(corpus, whole, tmp_path):
    assert whole.spec.data["folds"] == "shares of 70/15/15 %, by video"
    names = [f"video {number}" for number in range(40)]
    found = folds.shares(names)
    assert [len(found[fold]) for fold in folds.FOLDS] == [28, 6, 6]
    assert sorted(chain(*found.values())) == sorted(names)
    assert folds.shares(names[::-1]) == found
    own = {"train": names[:2], "valid": names[2:3], "test": names[3:4]}
    folds.write_folds(tmp_path / folds.FILE_NAME, own)
    assert folds.folds_of_corpus(tmp_path, "auto", names)[0] == own
    with pytest.raises(DataError, match="2 videos with labels"):
        folds.shares(names[:2])


def test_files_of_one_name_are_one_video_wherever_they_lie(tmp_path):
    for name in ("film/a.mp4", "voice/a.wav", "said/a.srt", "film/b.mp4", "said/c.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    first, second = find_recorded([tmp_path])
    assert (first.id, first.sound.name, first.transcript.name) == (
        "a",
        "a.wav",
        "a.srt",
    )
    assert (second.id, second.sound, second.transcript) == ("b", second.video, None)
    (tmp_path / "said" / "a.vtt").touch()
    with pytest.raises(DataError, match="are both the transcript of 'a'"):
        find_recorded([tmp_path])
    with pytest.raises(DataError, match="no such file"):
        find_recorded([tmp_path / "nothing"])
    (tmp_path / "film" / "d[1].mp4").touch()
    with pytest.raises(DataError, match=r"Names that no video can have: d\[1\]"):
        find_recorded([tmp_path / "film"])


@pytest.mark.slow
def test_the_miniature_is_learnt(tmp_path, command):
    folder = tmp_path / "clips"
    assert command(emorec, "mosei", "miniature_clips", folder).code == 0
    small_faces(folder / "faces")
    more = ["--face_output", "both"]
    assert command(emorec, *options(folder, tmp_path / "open", *more)).code == 0
    result = command(
        train,
        *("--features", "open", "--data", tmp_path / "open", "-e", 40),
        *("-pf", tmp_path / "pickles", "-mf", tmp_path / "models"),
    )
    assert result.code == 0, result.err
    table = pd.read_csv(
        next((tmp_path / "models").rglob("csv/regression.csv"))
    ).set_index("predictor")
    assert table.loc["model", "mae"] < 0.85 * table.loc["zero", "mae"]
    record = json.loads(next((tmp_path / "models").rglob("run_*.json")).read_text())
    assert Spec.from_dict(record["spec"]).data["miniature"]
