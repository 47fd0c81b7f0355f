"""Recipes of emorec extract: what the commands for one machine make, bit for bit."""

import json
import os
import pickle
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from emorec.artifacts.logits import ARRAYS, load_arrays, read_logits
from emorec.artifacts.shards import Entry
from emorec.artifacts.stores import open_store
from emorec.cli import extract_options
from emorec.cli.app import main as emorec
from emorec.cli.console import Parser
from emorec.corpora.clips_miniature import CLIPS, VECTORS, write_clips
from emorec.errors import DataError, EmorecError, SpecError
from emorec.features.librosa_means import NAMES, means_of_file
from emorec.features.transcripts import read_transcript
from emorec.sequences.csd import open_sequence
from emorec.training import open_features, voice_runs
from emorec.training.clip_faces import LabelSettings
from emorec.training.open_sequences import write_sequences
from emorec.training.recipes import KINDS, Source, recipe, stamp
from tests.small_runs import small_faces, small_voices
from tests.small_stores import write_store
from tests.video_files import Finder, path_of, picture, write_video

RATE = 16_000
MANY = 140  # faces: more than a batch


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype, name
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def made(found, sources):
    """Return id -> arrays, and id -> reason, of all sources."""
    make = found.whole()
    arrays, reasons = {}, {}
    for source in sources:
        try:
            arrays[source.id], missing = make(source)
        except DataError as error:
            missing = {"": str(error)}
        reasons |= {(source.id, part): why for part, why in missing.items()}
    return arrays, reasons


def store_of(folder, found, sources):
    """Write a store as an extraction does."""
    arrays, reasons = made(found, sources)
    entries = []
    for source in sources:
        own = {part: why for (name, part), why in reasons.items() if name == source.id}
        entries.append(Entry(source.id, stamp(source), arrays.get(source.id, {}), own))
    folder.mkdir(exist_ok=True)
    write_store(folder, entries, found.settings(), 2, scratch=folder)
    return open_store(folder)


# Faces


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Two videos, one with two squares; a long and a short face track; a broken one."""
    folder = tmp_path_factory.mktemp("faces") / "clips"
    folder.mkdir()
    write_video(folder / "a.mp4", [picture(path_of(k)) for k in range(50)])
    both = [picture(path_of(k), (110, 70)) if k > 20 else picture() for k in range(60)]
    for image in both[30:]:
        image[60:115, 100:155] = 250
    write_video(folder / "both.mp4", both)
    for name, count in (("track", 3), ("long", MANY)):
        (folder / name).mkdir()
        for k in range(count):
            grey = np.full((24, 24, 3), 40 + k, np.uint8)
            grey[8 : 10 + k % 9] = 200
            Image.fromarray(grey).save(folder / name / f"{k:04}.png")
    (folder / "broken.mp4").write_bytes(b"no video")
    small_faces(folder.parent / "runs")
    return folder


@pytest.fixture
def squares(monkeypatch):
    """Squares are found instead of faces, by every command."""
    monkeypatch.setattr(
        "emorec.features.faces.mtcnn_detector", lambda min_face: Finder()
    )


def teacher_of(clips, **more):
    return recipe("teacher", model="faces_seed_0", runs=clips.parent / "runs", **more)


def test_a_teacher_has_the_arrays_of_faces_label(clips, squares, command, tmp_path):
    runs = ("--model", "faces_seed_0", "--runs", clips.parent / "runs")
    result = command(emorec, "faces", "label", clips, *runs, "--output", tmp_path)
    assert result.code == 3, result.err
    found = teacher_of(clips)
    sources = found.sources([clips])
    arrays, reasons = made(found, sources)
    assert [source.id for source in sources] == sorted([*arrays, "broken.mp4"])
    for name, own in arrays.items():
        expected = load_arrays(tmp_path / "clips" / f"{name}.npz", (*ARRAYS, "frames"))
        expected["frames"] = expected["frames"][None]
        assert_same(own, expected)
    table = pd.read_csv(tmp_path / "failures.csv")
    assert table["id"].tolist() == ["broken.mp4"] == [name for name, _ in reasons]
    settings, before = (
        found.settings(),
        json.loads((tmp_path / "settings.json").read_text()),
    )
    assert before.items() <= json.loads(json.dumps(settings)).items()
    assert settings["arrays"] == list(arrays["a.mp4"])


def test_a_store_of_the_command_reads_as_logits_of_faces_label(
    clips, squares, command, tmp_path
):
    runs = ("--model", "faces_seed_0", "--runs", clips.parent / "runs")
    one, other = tmp_path / "label", tmp_path / "store"
    for words, place in ((("faces", "label"), one), (("extract", "teacher"), other)):
        options = ("--output", place, *(("--local",) if place is other else ()))
        result = command(emorec, *words, clips, *runs, *options)
        assert result.code == 3, result.err
    labelled, found = read_logits(one / "logits.npz"), read_logits(other)
    assert found.schema == labelled.schema and sorted(found.ids) == sorted(labelled.ids)
    for row, name in enumerate(found.ids):
        at = labelled.ids.index(name)
        for array in ARRAYS:
            left, right = getattr(found, array), getattr(labelled, array)
            np.testing.assert_array_equal(
                left[slice(*found.offsets[row : row + 2])],
                right[slice(*labelled.offsets[at : at + 2])],
            )
    assert found.settings["network"] == labelled.settings["network"]


@pytest.mark.parametrize("tracks", ["main", "largest", "all"])
def test_reading_and_judging_apart_is_the_whole(clips, squares, tracks):
    found = teacher_of(clips, sampling=LabelSettings(tracks=tracks))
    read, judge = found.reader(), found.judge()
    whole = found.whole()
    counts = set()
    for name in ("both.mp4", "long"):
        source = Source(name, {"clip": clips / name})
        expected, reasons = whole(source)
        assert not reasons
        assert_same(judge(read(source)), expected)
        counts.add(len(expected["times"]))
    assert MANY in counts and len(counts) == 2
    with pytest.raises(DataError, match=r"broken\.mp4"):
        read(Source("broken.mp4", {"clip": clips / "broken.mp4"}))


def test_crops_of_a_store_are_judged_as_the_clips(clips, squares, tmp_path):
    crops = recipe("faces", size=48, sampling=LabelSettings(tracks="all"))
    sources = crops.sources([clips])
    with store_of(tmp_path, crops, sources) as store:
        faces = store.read("both.mp4")
        assert faces["crops"].shape == (len(faces["times"]), 48, 48)
        assert faces["crops"].dtype == np.uint8
        assert faces["boxes"].shape == (len(faces["times"]), 4)
    for tracks in ("main", "largest", "all"):
        sampling = LabelSettings(tracks=tracks)
        direct = teacher_of(clips, sampling=sampling)
        stored = teacher_of(clips, sampling=sampling, faces=tmp_path)
        assert stored.settings() == direct.settings()
        found = stored.sources([])
        assert [each.id for each in found] == [each.id for each in sources]
        assert [*map(stamp, found)] == [*map(stamp, sources)]
        arrays, reasons = made(stored, found)
        expected, why = made(direct, sources)
        assert arrays.keys() == expected.keys()
        for name, own in arrays.items():
            assert_same(own, expected[name])
        ((_, reason),) = reasons.items()
        assert why["broken.mp4", ""] in reason
    assert_same(stored.judge()(stored.reader()(found[0])), arrays[found[0].id])


def test_the_commands_judge_crops_of_a_store(clips, squares, command, tmp_path):
    faces, output = tmp_path / "faces", tmp_path / "scores"
    result = command(
        *(emorec, "extract", "faces", clips, "--output", faces, "--local"),
        *("--size", 48, "--tracks", "all"),
    )
    assert result.code == 3, result.err
    result = command(
        *(emorec, "extract", "teacher", "--from_faces", faces, "--output", output),
        *("--model", clips.parent / "runs/model_faces_seed_0.keras"),
        *("--tracks", "largest", "--local"),
    )
    assert result.code == 3, result.err
    direct = teacher_of(clips, sampling=LabelSettings(tracks="largest"))
    expected, _ = made(direct, direct.sources([clips]))
    with open_store(output) as store:
        assert store.settings == json.loads(json.dumps(direct.settings()))
        assert sorted(store.ids) == sorted(expected)
        for name, own in expected.items():
            assert_same(store.read(name), {k: own[k] for k in sorted(own)})
        ((name, part, reason),) = store.failures.to_numpy().tolist()
    assert (name, part) == ("broken.mp4", "") and "cannot be read as a video" in reason


def test_a_store_of_other_crops_is_refused(clips, squares, tmp_path):
    sources = [Source("track", {"clip": clips / "track"})]
    store_of(tmp_path / "main", recipe("faces", size=48), sources)
    store_of(tmp_path / "small", recipe("faces", size=32), sources)
    assert teacher_of(clips, faces=tmp_path / "main").settings()["tracks"] == "main"
    with pytest.raises(SpecError, match="made with --tracks main, not largest"):
        own = LabelSettings(tracks="largest")
        teacher_of(clips, faces=tmp_path / "main", sampling=own)
    with pytest.raises(SpecError, match=r"32 pixels, but .* takes 48"):
        teacher_of(clips, faces=tmp_path / "small").settings()
    with pytest.raises(SpecError, match="name no others"):
        teacher_of(clips, faces=tmp_path / "main").sources([clips])
    teacher = teacher_of(clips)
    store_of(tmp_path / "scores", teacher, sources)
    with pytest.raises(SpecError, match="kind faces, found teacher"):
        teacher_of(clips, faces=tmp_path / "scores")
    with pytest.raises(DataError, match="expected a store"):
        teacher_of(clips, faces=tmp_path)


def judge_tracks(runs, folder):
    """Judge face tracks where TensorFlow is not installed."""
    found = recipe("teacher", model="faces_seed_0", runs=runs)
    settings = found.settings()
    assert "keras" not in sys.modules
    assert settings["schema"]["labels"][0] == "neutral"
    sources = found.sources([folder])
    arrays, reasons = made(found, sources)
    assert not reasons and [len(own["logits"]) for own in arrays.values()] == [2]
    read, judge = found.reader(), found.judge()
    assert_same(judge(read(sources[0])), arrays[sources[0].id])


def test_face_tracks_are_judged_on_jax_without_tensorflow(clips, tmp_path):
    from tests.harness import run_on_jax  # which loads Keras

    track = tmp_path / "tracks" / "one"
    track.mkdir(parents=True)
    for name in ("0000.png", "0001.png"):
        shutil.copy(clips / "track" / name, track)
    run_on_jax(
        "tests.test_recipes", "judge_tracks", clips.parent / "runs", track.parent
    )


# Sounds


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    import soundfile

    folder = tmp_path_factory.mktemp("sounds")
    random = np.random.default_rng(0)
    for name, seconds, rate in (
        ("a", 1.4, RATE),
        ("b", 2.3, 8000),
        ("short", 0.5, RATE),
    ):
        time = np.arange(round(seconds * rate)) / rate
        wave = 0.3 * np.sin(2 * np.pi * 180 * time) + random.normal(0, 0.02, len(time))
        (folder / name).mkdir()
        soundfile.write(folder / name / "x.wav", wave, rate)
    small_voices(folder / "runs")
    small_voices(folder / "runs", "fast", speeds=(90, 100))
    return folder


@pytest.mark.parametrize("run", ["voices_seed_0", "fast"])
def test_speech_has_what_the_network_says_of_one_sound(sounds, run):
    found = recipe("speech", model=run, runs=sounds / "runs")
    sources = found.sources([sounds])
    assert [source.id for source in sources] == ["a/x.wav", "b/x.wav", "short/x.wav"]
    arrays, reasons = made(found, sources)
    ((failed, reason),) = reasons.items()
    assert failed == ("short/x.wav", "") and "1.015 s" in reason
    ear = voice_runs.find(run, sounds / "runs")
    read, judge = found.reader(), found.judge()
    for source in sources[:2]:
        logits, embedding = voice_runs.hear_one(ear, source.paths["clip"])
        expected = {"logits": logits[None], "embedding": embedding[None]}
        assert_same(arrays[source.id], expected)
        assert_same(judge(read(source)), expected)
    settings = found.settings()
    assert settings["network"] == f"{run} {ear.content}"
    assert settings["schema"] == ear.spec.schema.to_dict()


def test_means_are_those_of_the_benchmark(sounds):
    found = recipe("speech", features="librosa_means")
    sources = found.sources([sounds])
    arrays, reasons = made(found, sources[:2])
    assert not reasons and found.settings()["names"] == list(NAMES)
    for source in sources[:2]:
        expected = {"features": means_of_file(source.paths["clip"])[None]}
        assert expected["features"].shape == (1, 185)
        assert_same(arrays[source.id], expected)


@pytest.mark.parametrize("kind", ["librosa", "egemaps"])
def test_rows_of_voices_are_the_open_features(sounds, kind):
    if kind == "egemaps":
        pytest.importorskip("opensmile", reason="the extra opensmile is not installed")
    found = recipe("speech", features=kind)
    sources = found.sources([sounds / "a"])
    arrays, _ = made(found, sources)
    front = open_features.voice(kind)
    assert_same(arrays["x.wav"], front.rows(sources[0].paths["clip"])._asdict())
    assert found.settings()["names"] == list(front.names)
    assert arrays["x.wav"]["intervals"].shape == (14, 2)


# Words, face and voice of videos


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, command):
    """Four clips: one without words, one damaged; and their sequences."""
    folder = tmp_path_factory.mktemp("corpus")
    write_clips(folder, videos=4)
    small_faces(folder / "faces")
    (folder / CLIPS / "clip_01.srt").unlink()
    (folder / CLIPS / "clip_02.mp4").write_bytes(b"no video")
    options = [
        *("--text", "glove", "--vectors", folder / VECTORS, "--voice", "librosa"),
        *("--face", folder / "faces/faces_seed_0", "--faces", "given"),
        *("--face_output", "both", "--name", "four"),
    ]
    clips = folder / CLIPS
    result = command(
        emorec, "mosei", "extract", clips, "--output", folder / "open", *options
    )
    assert result.code == 3, result.err
    return SimpleNamespace(clips=clips, open=folder / "open", options=options)


def parsed(kind, *options):
    parser = Parser()
    extract_options.add_recipe_options(parser, kind)
    return parser.parse_args([str(option) for option in options])


def test_open_features_of_a_store_are_the_sequences_of_mosei_extract(
    corpus, command, tmp_path
):
    store, output = tmp_path / "store", tmp_path / "open"
    last = [*corpus.clips.glob("clip_03.*")]
    for clips, more in ((last, []), ([corpus.clips], ["--sequences", output])):
        # What came first stays in front.
        result = command(
            *(emorec, "extract", "open", *clips, "--output", store, "--local"),
            *(corpus.options if more else corpus.options[:-2]),
            *more,
        )
        assert result.code == (3 if more else 0), result.err
    assert f"main.py --features open --data {output}" in result.out
    with open_store(store) as opened:
        assert opened.ids == ["clip_03", "clip_00", "clip_01", "clip_02"]
        assert set(opened.settings["arrays"]) == set(opened.read("clip_00"))
    paths = [
        output / f"{name}.csd"
        for name in ("open_words", "open_face", "open_voice", "open_steps")
    ]
    for path in paths:
        ours, theirs = open_sequence(path), open_sequence(corpus.open / path.name)
        changing = {"uuid", "emorec parts"}
        assert {k: v for k, v in ours.metadata.items() if k not in changing} == {
            k: v for k, v in theirs.metadata.items() if k not in changing
        }
        assert [*ours.data] == [*theirs.data]
        for video in theirs.data:
            assert_same(
                ours.read_video(video)._asdict(), theirs.read_video(video)._asdict()
            )
    columns = ["id", "modality"]
    ours, theirs = (
        pd.read_csv(folder / "failures.csv")[columns].sort_values(columns)
        for folder in (output, corpus.open)
    )
    assert ours.to_numpy().tolist() == theirs.to_numpy().tolist()
    assert ["clip_01", "text"] in ours.to_numpy().tolist()
    # The same videos again: what was aligned of the files stays. Without places, files
    # are looked for by their names.
    times = [path.stat().st_mtime_ns for path in paths]
    with open_store(store) as opened:
        places = extract_options.recipe_of(parsed("open", "x", *corpus.options[:-2]))
        again, _ = write_sequences(opened, output, "four", places=places.places())
        assert again == paths
        assert [path.stat().st_mtime_ns for path in paths] == times
        write_sequences(opened, output, "four")
    told = open_sequence(paths[0]).metadata["emorec extraction"]
    assert told["path"] == told["vectors"] == VECTORS


def test_sequences_of_a_part_that_nothing_has_are_refused(corpus, tmp_path):
    words = recipe("open", text="glove", vectors=corpus.clips.parent / VECTORS)
    sources = [each for each in words.sources([corpus.clips]) if not each.paths]
    assert [source.id for source in sources] == ["clip_01"]
    store = store_of(tmp_path / "store", words, sources)
    with pytest.raises(DataError, match="extracted for the text:\n  text: no trans"):
        write_sequences(store, tmp_path, "four")
    store_of(tmp_path / "text", recipe("text", vectors=words.vectors), sources)
    with pytest.raises(SpecError, match="kind open, found text"):
        write_sequences(open_store(tmp_path / "text"), tmp_path, "four")


def test_vectors_of_words_alone(corpus):
    found = recipe("text", vectors=corpus.clips.parent / VECTORS)
    sources = found.sources([corpus.clips])
    arrays, reasons = made(found, sources)
    assert reasons == {("clip_01", ""): "no transcript"}
    front = open_features.words_by_vectors(corpus.clips.parent / VECTORS)
    for name, own in arrays.items():
        cues = read_transcript(corpus.clips / f"{name}.srt")
        assert_same(own, front.rows(cues)._asdict())
    assert found.settings()["text"]["names"] == list(front.names)


# All kinds


def test_recipes_go_to_other_processes_and_folders(
    clips, sounds, corpus, monkeypatch, tmp_path
):
    monkeypatch.chdir(clips.parent)
    vectors = os.path.relpath(corpus.clips.parent / VECTORS)
    found = [
        recipe("faces"),
        recipe("teacher", model="faces_seed_0", runs="runs"),
        recipe("teacher", model="runs/model_faces_seed_0.keras"),
        recipe("speech", model="fast", runs=os.path.relpath(sounds / "runs")),
        recipe("speech", features="librosa"),
        recipe("text", vectors=vectors),
        recipe("open", face="runs/faces_seed_0", voice="librosa"),
    ]
    (source,) = found[0].sources(["clips/track"])
    assert source.paths["clip"].is_absolute()
    before = [each.settings() for each in found]
    assert {each["kind"] for each in before} == set(KINDS)
    monkeypatch.chdir(tmp_path)
    for each, settings in zip(found, before, strict=True):
        again = pickle.loads(pickle.dumps(each))
        assert again == each and again.settings() == settings
        assert json.loads(json.dumps(settings))["arrays"] == settings["arrays"]
        assert (again.reader is None) == (again.judge is None)


def test_stamps_tell_changes(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"abc")
    second.write_bytes(b"de")
    os.utime(first, ns=(5, 5))
    os.utime(second, ns=(7, 7))
    assert stamp(Source("a", {"clip": first})) == (3, 5)
    assert stamp(Source("a", {"text": first, "video": second})) == (5, 7)
    # A video with its own sound is one file.
    assert stamp(Source("a", {"sound": first, "video": first})) == (3, 5)
    assert stamp(Source("a", {"clip": tmp_path}))[0] == 0
    assert stamp(Source("a", {"clip": tmp_path / "gone"})) == (0, 0)
    assert stamp(Source("a", {"clip": first}, (1, 2))) == (1, 2)


@pytest.mark.parametrize(
    "kind, options, message",
    [
        ("faces", ["--size", "4"], "--size 4: expected 8 to 2048 pixels"),
        ("faces", ["--min_face", "10"], "Smallest face 10: expected 20"),
        ("faces", ["--every", "0"], "expected numbers above 0"),
        ("teacher", ["--model", "none"], "no such run"),
        ("teacher", ["--model", "resnet50=none.pth"], "none.pth: expected a trained"),
        ("teacher", ["--model", "x", "--from_faces", "none"], "expected a store"),
        ("speech", [], "no finished run"),
        ("speech", ["--model", "x", "--features", "librosa"], "give one of both"),
        ("text", [], "--text : expected glove or sentences"),
        ("text", ["--text", "glove"], "--vectors FILE"),
        ("text", ["--text", "glove", "--vectors", "none"], "file of word vectors"),
        ("open", [], "Nothing to extract"),
        ("open", ["--text", "sentences"], "--sentence_model MODEL"),
        ("open", ["--voice", "librosa", "--step", "0"], "--step 0: expected 0.1"),
        ("open", ["--voice", "librosa", "--labels", "x"], "give --sequences DIR"),
        ("open", ["--face", "none"], "no such run"),
    ],
)
def test_what_cannot_be_is_said_before_any_work(
    kind, options, message, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EmorecError) as caught:
        extract_options.recipe_of(parsed(kind, "clip", *options)).settings()
    assert message in str(caught.value)


def test_every_kind_has_its_own_options():
    assert set(extract_options.KINDS) == set(KINDS) == set(extract_options.CLIPS)
    with pytest.raises(SystemExit):
        parsed("faces", "clip", "--model", "x")
    with pytest.raises(SystemExit):
        parsed("text", "clip", "--rate", "5")
    with pytest.raises(SpecError, match="name files or folders"):
        recipe("faces").sources([])
    with pytest.raises(SpecError, match="'films': expected one of faces"):
        recipe("films")
