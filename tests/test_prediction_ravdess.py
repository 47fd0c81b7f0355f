"""Audio-visual networks asked about recordings: what training's evaluation says."""

from dataclasses import asdict, replace

import av
import numpy as np
import pytest
from scipy.special import softmax

from emorec.artifacts.found_runs import find_runs
from emorec.artifacts.runs import RunFolder
from emorec.artifacts.spec import Modality, Spec
from emorec.cli.app import main
from emorec.corpora.ravdess import read_ravdess
from emorec.errors import DataError, SpecError
from emorec.features.av_clips import AvSettings, wanted_frames
from emorec.features.video import read_frames
from emorec.files import read_json, write_json
from emorec.labels import RAVDESS
from emorec.prediction.av_frames import frames_of
from emorec.prediction.ravdess import RavdessPredictor
from emorec.prediction.recordings import Recording, Span
from emorec.training import audiovisual, av_scores
from emorec.training.av_config import AvConfig
from emorec.training.av_data import read_prepared, training_statistics
from emorec.training.av_preparation import prepare
from tests.av_files import sine, write_sounding_video
from tests.small_runs import small_ravdess
from tests.video_files import Finder, picture, write_video

ACTORS = ("01", "05", "11", "02")
SECONDS = (4.4, 2.0, 4.0, 1.0)


def quiet(line):
    pass


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Clips of several lengths at 10 frames a second: squares that move, and tones."""
    folder = tmp_path_factory.mktemp("clips")
    for k, (actor, seconds) in enumerate(zip(ACTORS, SECONDS, strict=True)):
        images = [picture((10 + n, 40 + k)) for n in range(round(10 * seconds))]
        (folder / f"Actor_{actor}").mkdir()
        write_sounding_video(
            folder / f"Actor_{actor}/01-01-0{k + 1}-01-01-01-{actor}.mkv",
            images,
            sine(300 + 100 * k, 16_000, seconds),
            codec="pcm_s16le",
            fps=10,
        )
    return folder


@pytest.fixture(scope="module")
def prepared(corpus, tmp_path_factory):
    output = tmp_path_factory.mktemp("prepared")
    settings = AvSettings(detect_every=3, literal=True)
    prepare(read_ravdess(corpus), output, 1, settings, Finder)
    return output


def whole(path, **parts):
    """A recording and the one span that is all of it."""
    duration = SECONDS[ACTORS.index(path.stem[-2:])]
    recording = Recording(
        path.stem, **{"video": path, "sound": path, **parts}, cues=(), duration=duration
    )
    return recording, [Span(0.0, duration)]


def contents(predictor, corpus, **parts):
    found = []
    for path in sorted(corpus.rglob("*.mkv"), key=lambda path: path.name):
        found += list(predictor.given(*whole(path, **parts)))
    return found


def small_fusion(folder, prepared, name="lt_seed_1", **changed):
    """Write a run of a small network of faces and voice with weights by seed."""
    from emorec.training import backend

    backend.prepare(1)
    import keras
    from keras import layers

    audio = keras.Input((156, 10), name="audio")
    video = keras.Input((15, 224, 224, 3), name="video")
    coarse = layers.Flatten()(layers.AveragePooling3D((5, 56, 56))(video))
    heard = layers.Flatten()(layers.AveragePooling1D(26)(audio))
    x = layers.Dense(8)(layers.Concatenate()([heard, coarse]))
    model = keras.Model({"audio": audio, "video": video}, x)
    run = RunFolder(folder, name)
    config = replace(AvConfig(fusion="lt"), **changed)
    data = read_prepared(prepared, RAVDESS, quiet)
    spec = Spec(
        RAVDESS,
        (Modality("audio", "MFCC at 22050 Hz", 10), Modality("video", "faces, BGR", 3)),
        0,
        "single",
        {"kind": "audiovisual", **training_statistics(data, ["audio"])},
        {"dataset": "small", "preparation": data.preparation},
    )
    settings = asdict(config) | {"lr_steps": list(config.lr_steps)}
    model.save(folder / f"model_{name}.keras")
    run.write_record(settings, spec, system="ravdess", status="complete")
    return run, settings, data


def test_scores_are_those_of_the_trainings_evaluation(corpus, prepared, tmp_path):
    run, settings, data = small_fusion(tmp_path, prepared)
    (found,) = find_runs([tmp_path])
    assert found.spec.data["preparation"]["literal"] is True
    predictor = RavdessPredictor.load(found, detect=Finder)
    assert predictor.takes == ("face", "voice")
    assert predictor.settings == AvSettings(detect_every=3, literal=True)
    given = contents(predictor, corpus)
    assert all(one.present == ("face", "voice") and not one.reason for one in given)
    stored = sorted(prepared.glob("*.npy"))
    for one, faces in zip(given, stored, strict=True):
        np.testing.assert_array_equal(one.content.video, np.load(faces))
    rows = np.argsort(data.clips.ids)
    model, data = audiovisual.load(run, settings, data, quiet)
    for modalities, parts in (
        (("audio", "video"), {}),
        (("audio",), {"video": None}),
        (("video",), {"sound": None}),
    ):
        asked = [one.content for one in contents(predictor, corpus, **parts)]
        expected = av_scores.score(model, data, rows, modalities)
        scores = predictor.scores(asked)
        np.testing.assert_allclose(scores, softmax(expected, axis=1), atol=1e-4)
    assert scores.dtype == np.float64 and scores.max() < 0.999


def test_noise_that_stands_for_a_modality_is_alike_in_any_company(
    corpus, prepared, tmp_path
):
    small_fusion(tmp_path, prepared, mask="noise")
    predictor = RavdessPredictor.load(*find_runs([tmp_path]), detect=Finder)
    assert predictor.facts["missing modality"] == "noise"
    alone = contents(predictor, corpus, video=None)
    assert {one.reason for one in alone} == {"no video"}
    asked = [one.content for one in alone]
    first, again = predictor.scores(asked), predictor.scores(asked[1:])
    np.testing.assert_allclose(first[1:], again, atol=1e-5)
    zeros = replace_fill(predictor, "zeros").scores(asked)
    assert np.abs(zeros - first).max() > 1e-3


def replace_fill(predictor, fill):
    predictor.fill = fill
    return predictor


def test_spans_of_a_long_recording_are_those_of_its_pieces(tmp_path):
    images = [picture((5 + n / 3, 40)) for n in range(300)]
    video = write_video(tmp_path / "a.mp4", images, rate=30)
    spans = [
        Span(0, 4),
        Span(2, 6),
        Span(2.5, 3),
        Span(3, 9.5),
        Span(9.9, 10),
        Span(10, 11),
    ]
    recording = Recording("a", video, None, (), 20.0)
    every = [image for _, image in read_frames(video, 30, 1)]
    found = list(frames_of(recording, spans))
    for span, frames in zip(spans[:-2], found, strict=False):
        first = round(span.start * 30)
        count = round(span.end * 30) - first
        wanted = first + wanted_frames(count)
        wanted = wanted[wanted < first + count]
        assert [round(30 * time) for time, _ in frames] == wanted.tolist()
        for number, (_, image) in zip(wanted, frames, strict=True):
            np.testing.assert_array_equal(image, every[number])
    assert found[-2:] == [[], []]
    # What is not held is decoded again.
    for least, most in zip(frames_of(recording, spans, most=0), found, strict=True):
        assert [time for time, _ in least] == [time for time, _ in most]


def test_no_more_frames_are_held_than_spans_need(tmp_path, monkeypatch):
    video = write_video(tmp_path / "a.mp4", [picture((5, 40))] * 900, rate=30)
    import weakref

    from emorec.prediction import av_frames

    alive, most = weakref.WeakSet(), []

    class Image(np.ndarray):
        __hash__ = object.__hash__

    def counted(path, *grid):
        for time, image in read_frames(path, *grid):
            image = image.view(Image)
            alive.add(image)
            most.append(len(alive))
            yield time, image

    monkeypatch.setattr(av_frames.video, "read_frames", counted)
    spans = [Span(start, start + 4) for start in range(26)]
    for frames in frames_of(Recording("a", video, None, (), 30.0), spans):
        assert len(frames) == 15
    assert max(most) <= 60 and len(most) < 910


def test_a_damaged_video_says_so_at_the_span_that_meets_it(tmp_path):
    whole = write_video(
        tmp_path / "a.mp4", [picture((5 + n / 4, 40)) for n in range(300)], rate=30
    )
    video = tmp_path / "cut.mp4"
    # With its index at the front, so that it can be read up to the cut.
    with (
        av.open(str(whole)) as source,
        av.open(str(video), "w", options={"movflags": "faststart"}) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    content = video.read_bytes()
    video.write_bytes(content[: len(content) // 2])
    spans = [Span(0, 2), Span(1, 3), Span(7, 10)]
    found = frames_of(Recording("a", video, None, (), 10.0), spans)
    assert len(next(found)) == len(next(found)) == 8
    with pytest.raises(DataError, match=r"cut off|damaged"):
        next(found)


def blind(frames):
    return [np.zeros((0, 5))] * len(frames)


def test_what_is_missing_has_its_reason(corpus, prepared, tmp_path):
    small_fusion(tmp_path, prepared)
    predictor = RavdessPredictor.load(*find_runs([tmp_path]), detect=lambda: blind)
    path = next(corpus.rglob("*.mkv"))
    (one,) = predictor.given(*whole(path))
    assert one.present == ("voice",) and one.reason == "no face in 15 frames"
    (one,) = predictor.given(*whole(path, sound=None))
    assert one == (None, (), "no face in 15 frames; no sound")
    silent = write_sounding_video(
        tmp_path / "silent-02.mkv", [picture((5, 40))] * 10, np.zeros(16_000), fps=10
    )
    (one,) = predictor.given(*whole(silent))
    assert one.reason.endswith("; silence")


def test_the_command_tells_with_what_settings_a_network_was_asked(corpus, tmp_path):
    small_ravdess(tmp_path)
    path = next(corpus.rglob("*.mkv"))
    output = tmp_path / "out"
    words = ["predict", path, "--models", tmp_path, "--output", output, "--no_figure"]
    assert main([str(word) for word in words]) == 0
    told = read_json(output / f"{path.stem}.json")["models"]["audio_seed_1"]
    assert told["takes"] == ["voice"] and "not told by the run" in told["preparation"]


def test_a_network_of_the_sound_alone_asks_for_no_video(corpus, tmp_path):
    small_ravdess(tmp_path)
    predictor = RavdessPredictor.load(*find_runs([tmp_path]))
    assert predictor.takes == ("voice",)
    assert "not told" in predictor.facts["preparation"]
    given = contents(predictor, corpus, video=None)
    assert {one.present for one in given} == {("voice",)}
    scores = predictor.scores([one.content for one in given])
    np.testing.assert_allclose(scores.sum(axis=1), 1)


@pytest.mark.parametrize("freeze_frames", [False, True])
def test_networks_of_given_features_cannot_be_asked(tmp_path, freeze_frames):
    run = small_ravdess(tmp_path)
    record = run.record()
    record["spec"]["modalities"] = [
        {"name": "video", "features": audiovisual.FEATURES, "width": 512}
    ]
    # Of faces the training would name the network whose features it froze.
    record["spec"]["data"]["preparation"] = None
    record["settings"]["freeze_frames"] = freeze_frames
    write_json(run.record_path, record)
    with pytest.raises(SpecError, match=r"given as \.npy files.*--freeze_frames"):
        RavdessPredictor.load(*find_runs([tmp_path]))
