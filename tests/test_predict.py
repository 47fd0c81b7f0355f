"""Trained models are asked about recordings: tables over time, failures, resumption."""

import json

import numpy as np
import pandas as pd
import pytest
import soundfile

from emorec.artifacts.found_runs import find_runs
from emorec.cli.app import main
from emorec.corpora.drawn_videos import write_film
from emorec.errors import SpecError
from emorec.evaluation.single_label import softmax
from emorec.labels import FERPLUS, MOSEI
from emorec.prediction.inputs import find_recordings
from emorec.prediction.loading import load_predictors
from emorec.prediction.media import look_into
from emorec.prediction.outputs import FIRST, read_table
from emorec.prediction.predictor import Given
from emorec.prediction.recordings import FACE, VOICE
from emorec.prediction.run import PredictSettings, means, predict_clips
from emorec.prediction.spans import Spans
from emorec.training.clip_labels import aggregate, label_clip
from emorec.training.hearing import hear
from tests.small_runs import small_faces, small_voices
from tests.video_files import Finder, picture, write_video


def noise(seconds, rate=16_000, seed=0):
    random = np.random.default_rng(seed)
    return (random.standard_normal(round(seconds * rate)) * 0.1).astype(np.float32)


def film(path, seconds=5.0, seed=0):
    """Write a film of a square that moves, with noise."""
    count = round(seconds * 25)
    images = [picture((10 + k / 3 % 60, 40), level=200)[..., 0] for k in range(count)]
    write_film(path, images, 25, noise(seconds, seed=seed), 16_000)
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    small_faces(folder / "faces")
    small_voices(folder / "voices")
    return folder


@pytest.fixture
def predictors(models):
    """Return a face and a speech network, whose detector finds bright squares."""
    face, voice = load_predictors(find_runs([models / "faces", models / "voices"]))
    face.detect = lambda: Finder()
    return face, voice


def predict(predictors, paths, output, **changed):
    spans = changed.pop("spans", Spans())
    settings = PredictSettings(spans, changed.pop("batch", 16))
    return predict_clips(
        predictors, find_recordings(paths), output, settings, **changed
    )


class Loud:
    """A model that tells how loud a span is, for what networks are not needed."""

    name, schema, takes = "loud", FERPLUS, (VOICE,)

    def __init__(self, name="loud", broken=False):
        self.name, self.broken, self.calls = name, broken, []

    def given(self, recording, spans):
        from emorec.prediction.media import sound_of

        for sound in sound_of(recording, spans):
            if sound is None:
                yield Given(None, (), "silence")
            else:
                yield Given(float(np.abs(sound[0]).mean()), (VOICE,))

    def scores(self, contents):
        self.calls.append(len(contents))
        level = np.array(contents)
        rest = np.repeat((1 - level)[:, None] / 7, 7, axis=1)
        if self.broken:
            level = level * np.nan
        return np.column_stack([level, rest])


def test_a_recording_of_one_span_is_judged_as_in_training(predictors, tmp_path):
    face, voice = predictors
    path = film(tmp_path / "one.mp4", 3.0)
    # The speech network is taught by sound files.
    from emorec.features.video_sound import read_native_sound

    samples, rate = read_native_sound(path)
    soundfile.write(tmp_path / "two.wav", samples, rate, "FLOAT")
    predict(predictors, [path, tmp_path / "two.wav"], tmp_path / "out")
    one = read_table(tmp_path / "out" / "one.csv")
    two = read_table(tmp_path / "out" / "two.csv")

    from emorec.batches.images import predict as outputs

    def network(crops):
        return outputs(face.model, crops, face.image_input, 128)

    seen = label_clip(path, network, Finder, face.settings, 48)
    expected = softmax(aggregate(seen.logits, "mean")[None])[0]
    names = list(one.columns[len(FIRST) :])
    assert names == [
        *("neutral", "happy", "surprise", "sad", "anger", "disgust", "fear", "contempt")
    ]
    found = one[one.model == face.name][names].to_numpy(float)
    np.testing.assert_allclose(found, expected[None], atol=2e-6)
    model = load_model(predictors)
    heard = hear(model, spec_of(predictors, tmp_path), [tmp_path / "two.wav"])
    for table in (one, two):
        found = table[table.model == voice.name][names].to_numpy(float)
        np.testing.assert_allclose(found, softmax(heard.logits), atol=2e-6)
    assert two[two.model == face.name].reason.tolist() == ["no video"]
    assert two[two.model == face.name][names].isna().all(axis=None)


def load_model(predictors):
    """Return the speech network without its embedding."""
    import keras

    both = predictors[1].model
    return keras.Model(both.input, both.outputs[0])


def spec_of(predictors, tmp_path):
    from types import SimpleNamespace

    return SimpleNamespace(normalisation=predictors[1].speech_input.to_dict())


def test_tables_do_not_depend_on_batches_or_on_other_recordings(predictors, tmp_path):
    paths = [film(tmp_path / f"{k}.mp4", 5.0 + k, seed=k) for k in range(2)]
    predict(predictors, paths, tmp_path / "together", batch=16)
    predict(predictors, paths[1:], tmp_path / "alone", batch=1)
    together = read_table(tmp_path / "together" / "1.csv")
    alone = read_table(tmp_path / "alone" / "1.csv")
    pd.testing.assert_frame_equal(together, alone, atol=3e-6)
    assert together.groupby("model").size().tolist() == [2, 2]
    assert (together.end.max(), together.start.min()) == (pytest.approx(6, abs=0.1), 0)
    assert set(together.modalities) == {FACE, VOICE}


def test_batches_hold_spans_of_several_recordings(tmp_path):
    for k in range(5):
        soundfile.write(tmp_path / f"{k}.wav", noise(3, seed=k), 16_000)
    loud = Loud()
    result = predict([loud], [tmp_path], tmp_path / "out", batch=4)
    assert loud.calls == [4, 1] and len(result.tables) == 5
    assert result.media == pytest.approx(15)


def test_json_and_csv_say_the_same_and_name_what_made_them(predictors, tmp_path):
    predict(predictors, [film(tmp_path / "x.mp4")], tmp_path / "out")
    table = read_table(tmp_path / "out" / "x.csv")
    facts = json.loads((tmp_path / "out" / "x.json").read_text())
    rows = pd.DataFrame(facts["rows"])
    pd.testing.assert_frame_equal(rows, table, check_dtype=False)
    assert facts["models"]["faces_seed_0"]["schema"]["labels"] == list(FERPLUS.labels)
    assert facts["seconds"] == pytest.approx(5, abs=0.1)
    boxes = pd.read_csv(tmp_path / "out" / "x.faces.csv")
    assert (boxes.x2 - boxes.x1).between(30, 50).all() and len(boxes) >= 18


def test_what_is_finished_is_not_repeated_and_what_changed_is(predictors, tmp_path):
    path = film(tmp_path / "x.mp4")
    other = film(tmp_path / "y.mp4", seed=3)
    first = predict(predictors, [path], tmp_path / "out")
    made = (tmp_path / "out" / "x.csv").stat().st_mtime_ns
    second = predict(predictors, [path, other], tmp_path / "out")
    assert (first.before, second.before, len(second.tables)) == (0, 1, 2)
    assert (tmp_path / "out" / "x.csv").stat().st_mtime_ns == made
    film(path, seed=7)
    assert predict(predictors, [path], tmp_path / "out").before == 0
    with pytest.raises(SpecError, match="other settings"):
        predict(predictors, [path], tmp_path / "out", spans=Spans("windows", 3, 1))


def test_an_interrupted_recording_is_begun_anew(tmp_path):
    soundfile.write(tmp_path / "x.wav", noise(21), 16_000)

    class Stopped(Loud):
        def scores(self, contents):
            if self.calls:
                raise KeyboardInterrupt
            return super().scores(contents)

    with pytest.raises(KeyboardInterrupt):
        predict([Stopped()], [tmp_path / "x.wav"], tmp_path / "out", batch=3)
    part = read_table(tmp_path / "out" / "x.part.csv")
    assert len(part) == 3 and not (tmp_path / "out" / "x.csv").exists()
    predict([Loud()], [tmp_path / "x.wav"], tmp_path / "out", batch=3)
    whole = read_table(tmp_path / "out" / "x.csv")
    pd.testing.assert_frame_equal(whole.head(3), part)
    assert not (tmp_path / "out" / "x.part.csv").exists()


def test_bad_recordings_are_rows_and_the_rest_goes_on(predictors, tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    film(folder / "good.mp4")
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "broken.wav").write_bytes(b"no sound at all")
    write_video(folder / "nobody.mp4", [picture()] * 50)
    soundfile.write(folder / "silent.wav", np.zeros(32_000), 16_000)
    whole = film(folder / "cut.mp4", 6.0).read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    result = predict(predictors, [folder], tmp_path / "out")
    reasons = dict(result.failures)
    assert set(result.tables) == {"good"}
    assert set(reasons) == {"empty", "broken", "nobody", "silent", "cut"}
    assert "empty" in reasons["empty"] and "cannot be read" in reasons["broken"]
    assert "no face" in reasons["nobody"] and "silence" in reasons["silent"]
    table = pd.read_csv(tmp_path / "out" / "failures.csv")
    assert table.id.tolist() == [name for name, _ in result.failures]
    assert not list((tmp_path / "out").glob("*.part.csv"))


def test_a_picture_that_breaks_off_does_not_silence_the_voice(predictors, tmp_path):
    """Of a film whose picture is damaged on its way, the sound is judged to its end."""
    images = [picture((10 + k / 10, 40))[..., 0] for k in range(250)]
    write_film(tmp_path / "x.mp4", images, 25, noise(10.0), 16_000)

    class Tired(Finder):
        def __call__(self, frames):
            from emorec.errors import DataError

            if self.seen > 8:
                raise DataError("x.mp4: damaged at 4 s")
            return super().__call__(frames)

    face, voice = predictors
    face.detect = lambda: tired
    tired = Tired()
    result = predict(predictors, [tmp_path / "x.mp4"], tmp_path / "out")
    assert [name for name, _ in result.failures] == ["x"]
    table = read_table(tmp_path / "out" / "x.csv")
    seen = table[table.model == face.name]
    assert seen.modalities.iloc[0] == FACE and seen.modalities.iloc[-1] == ""
    assert "damaged at 4 s" in seen.reason.iloc[-1]
    assert (table[table.model == voice.name].modalities == VOICE).all()


@pytest.mark.parametrize("turn", [90, 180])
def test_a_rotated_video_is_judged_upright(predictors, tmp_path, turn):
    frames = [picture((20 + k / 3, 30), level=215) for k in range(50)]
    write_video(tmp_path / "up.mp4", frames)
    # Players turn against the clock by as much as the file says.
    turned = [np.rot90(frame, -turn // 90) for frame in frames]
    write_video(tmp_path / "phone.mp4", turned, rotation=turn)
    predict(predictors[:1], [tmp_path], tmp_path / "out")
    up, phone = (
        read_table(tmp_path / "out" / f"{n}.csv").iloc[:, len(FIRST) :]
        for n in ("up", "phone")
    )
    np.testing.assert_allclose(phone, up, atol=0.01)


def test_a_varying_rate_keeps_the_clock(predictors, tmp_path):
    times = np.cumsum([0, *([0.02] * 100), *([0.08] * 50)])
    frames = [picture((20, 30)) for _ in times]
    write_video(tmp_path / "x.mp4", frames, times=times)
    predict(predictors[:1], [tmp_path / "x.mp4"], tmp_path / "out")
    boxes = pd.read_csv(tmp_path / "out" / "x.faces.csv")
    assert np.allclose(np.diff(boxes.time), 0.24, atol=1e-3)
    assert boxes.time.iloc[-1] == pytest.approx(6.0, abs=0.2)


def test_bytes_at_8_khz_are_heard(predictors, tmp_path):
    soundfile.write(tmp_path / "x.wav", noise(3, 8_000), 8_000, "PCM_U8")
    predict(predictors[1:], [tmp_path / "x.wav"], tmp_path / "out")
    assert read_table(tmp_path / "out" / "x.csv").dominant.ne("").all()


def test_a_model_without_finite_scores_is_no_result(tmp_path):
    soundfile.write(tmp_path / "x.wav", noise(3), 16_000)
    with pytest.raises(Exception, match="loud: expected finite scores"):
        predict([Loud(broken=True)], [tmp_path / "x.wav"], tmp_path / "out")


def test_models_need_names_of_their_own(tmp_path):
    with pytest.raises(SpecError, match="name of its own"):
        predict([Loud(), Loud()], [], tmp_path)


def test_runs_of_one_name_are_told_apart(tmp_path):
    small_voices(tmp_path / "a", "same")
    small_voices(tmp_path / "b", "same", seed=1)
    both = load_predictors(find_runs([tmp_path / "a", tmp_path / "b"]))
    assert [each.name for each in both] == ["a_same", "b_same"]


def test_means_weigh_spans_by_their_length():
    rows = [
        ("x", "m", 0.0, 1.0, "voice", "", "probability", "sad", 0.2, 0.8),
        ("x", "m", 1.0, 4.0, "voice", "", "probability", "happy", 0.6, 0.4),
        ("x", "m", 4.0, 5.0, "", "silence", "probability", "", np.nan, np.nan),
    ]
    table = means(pd.DataFrame(rows, columns=[*FIRST, "happy", "sad"]))
    assert table.iloc[0].to_dict() == {
        **{"model": "m", "spans": 3, "judged": 2, "happy": 0.5, "sad": 0.5}
    }


def test_fused_rows_follow_those_of_the_models(tmp_path):
    soundfile.write(tmp_path / "x.wav", np.r_[noise(4), np.zeros(64_000)], 16_000)

    class Mean:
        schema = FERPLUS

        def fuse(self, scores):
            there = [row for row in scores if row is not None]
            return np.mean(there, axis=0) if there else None

        def describe(self):
            return {"how": "mean"}

    windows = Spans("windows", 4, 4)
    one, two = Loud("one"), Loud("two")
    predict(
        [one, two], [tmp_path / "x.wav"], tmp_path / "out", spans=windows, fusion=Mean()
    )
    table = read_table(tmp_path / "out" / "x.csv")
    assert table.model.tolist() == ["one", "two", "fused"] * 2
    assert table.modalities.tolist() == [VOICE] * 3 + [""] * 3
    emotions = table.columns[len(FIRST) :]
    np.testing.assert_allclose(
        table.loc[2, emotions], table.loc[0, emotions].astype(float)
    )
    assert table.loc[5, "dominant"] == "" and table.loc[5, "reason"]


def test_the_command_judges_a_folder(models, tmp_path, capsys, monkeypatch):
    from emorec.features import faces

    monkeypatch.setattr(faces, "mtcnn_detector", lambda smallest: Finder())
    folder = tmp_path / "Clips mit Leerzeichen é"
    folder.mkdir()
    film(folder / "eins zwei.mp4")
    (folder / "bad.mp4").write_bytes(b"x" * 100)
    output = tmp_path / "out"
    command = [
        *("predict", str(folder), "--models", str(models / "faces")),
        *(str(models / "voices" / "voices_seed_0"), "--output", str(output)),
        *("--window", "3", "--step", "1.5", "--overlay"),
    ]
    assert main(command) == 3
    told = capsys.readouterr().out
    assert "x real time" in told and "failed: bad:" in told
    assert (output / "eins zwei.png").read_bytes()[1:4] == b"PNG"
    assert look_into(output / "eins zwei.scores.mp4")[:2] == (True, True)
    table = read_table(output / "eins zwei.csv")
    assert set(table.model) == {"faces_seed_0", "voices_seed_0", "fused"}
    assert main(command) == 3
    assert "1 finished before" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("clip", "options", "said"),
    [
        ("none.mp4", (), "no such file"),
        ("x.wav", ("--window", "0.2"), "expected a window"),
        ("x.wav", ("--models", "nowhere/at_all"), "no such run"),
        ("x.wav", ("--spans", "cues"), "needs a transcript"),
    ],
)
def test_mistakes_are_said(models, tmp_path, capsys, clip, options, said):
    soundfile.write(tmp_path / "x.wav", noise(2), 16_000)
    command = [
        *("predict", str(tmp_path / clip), "--models", str(models / "voices")),
        *("--output", str(tmp_path / "out"), *options),
    ]
    assert main(command) == 1
    heard = capsys.readouterr()
    assert said in heard.out + heard.err and "Traceback" not in heard.err


def test_a_model_of_another_schema_or_version_is_refused(models, tmp_path):
    run = small_voices(tmp_path)
    record = json.loads(run.record_path.read_text())
    record["spec"]["schema"]["labels"] = list(MOSEI.labels)
    run.record_path.write_text(json.dumps(record))
    with pytest.raises(SpecError, match="outputs"):
        load_predictors(find_runs([tmp_path]))
