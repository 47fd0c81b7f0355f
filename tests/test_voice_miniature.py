"""The miniature of VoxCeleb: its files, its talkers, and how their moods sound."""

import wave
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from emorec.corpora import drawn_voices
from emorec.corpora import voice_miniature as miniature
from emorec.corpora.drawn_faces import SHAPES, any_look, blend, draw_face
from emorec.corpora.voice_miniature import is_miniature, write_voxceleb
from emorec.errors import DataError, SpecError
from emorec.features.faces import central_crop
from emorec.labels import FERPLUS

SPEAKERS, CLIPS = 4, 8


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return a folder to be read only."""
    folder = tmp_path_factory.mktemp("voices") / "new" / "folder"
    assert write_voxceleb(folder, speakers=SPEAKERS, clips_per_speaker=CLIPS)
    return folder


def split(folder):
    """Return [(part, path)] of the split's file."""
    lines = (folder / "emovoxceleb_split.txt").read_text().splitlines()
    return [(int(line.split()[0]), line.split()[1]) for line in lines]


def frames(folder, path):
    """Return the files of the face track of a sound."""
    speaker, video, name = path.removesuffix(".wav").split("/")
    track = folder / "faces" / speaker / "1.6" / video / name
    assert track.is_dir()
    return sorted(track.iterdir())


def sound(folder, path):
    """Return the samples of a sound, 1 being full scale."""
    with wave.open(str(folder / "wav" / path)) as file:
        assert file.getframerate() == 16_000
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768


def contents(folder):
    """Return {file: bytes}."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_split_names_every_sound_once(written):
    paths = [path for _, path in split(written)]
    sounds = (written / "wav").rglob("*.wav")
    assert sorted(paths) == sorted(
        path.relative_to(written / "wav").as_posix() for path in sounds
    )
    assert len(paths) == len(set(paths)) == SPEAKERS * CLIPS


def test_talkers_of_unheard_are_in_no_other_part_and_videos_in_one(written):
    speakers, videos = {}, {}
    for part, path in split(written):
        speaker, video, _ = path.split("/")
        speakers.setdefault(part, set()).add(speaker)
        videos.setdefault(video, set()).add((part, speaker))
    assert set(speakers) == {1, 2, 3}
    assert speakers[3] <= speakers[1]
    assert not speakers[2] & speakers[1]
    assert all(len(where) == 1 for where in videos.values())


def test_sounds_have_the_length_that_was_promised_and_are_not_clipped(written):
    for _, path in split(written):
        samples = sound(written, path)
        assert 4.2 <= len(samples) / 16_000 <= 7
        assert 0.01 < np.abs(samples).max() < 0.999


def test_a_face_track_has_a_frame_each_six_twenty_fifths_of_its_sound(written):
    empty = 0
    for _, path in split(written):
        found = frames(written, path)
        seconds = len(sound(written, path)) / 16_000
        if not found:
            empty += 1
            continue
        assert len(found) == int(np.ceil(round(seconds / 0.24, 6)))
        assert [int(file.stem) for file in found[:3]] == [1, 7, 13]
    assert empty == 1


def test_one_face_has_no_sound(written):
    tracks = {
        path.parent.relative_to(written / "faces").as_posix().replace("1.6/", "")
        for path in (written / "faces").rglob("*.png")
    }
    known = {path.removesuffix(".wav") for _, path in split(written)}
    assert len(tracks - known) == 1


def test_every_clip_has_a_mood_of_ferplus_and_neutral_and_happy_are_most(written):
    table = pd.read_csv(written / "emotions.csv")
    assert table.id.tolist() == [path for _, path in split(written)]
    counts = Counter(table.emotion)
    assert set(counts) <= set(FERPLUS.labels)
    assert {name for name, _ in counts.most_common(2)} == {"neutral", "happiness"}


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_voxceleb(tmp_path / name, seed, 2, 3)
    a, b, c = (contents(tmp_path / name) for name in "abc")
    assert a == b
    assert all(a[file] != c[file] for file in a.keys() & c.keys() if "/" in file)


def test_what_was_interrupted_is_taken_up(tmp_path, monkeypatch):
    whole = tmp_path / "whole"
    write_voxceleb(whole, 0, 2, 3)
    written, real = [], miniature._write_clip

    def interrupted(folder, clip, *rest):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(clip)
        real(folder, clip, *rest)

    monkeypatch.setattr(miniature, "_write_clip", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_voxceleb(tmp_path / "part", 0, 2, 3)
    assert is_miniature(tmp_path / "part")
    assert not (tmp_path / "part" / "emovoxceleb_split.txt").exists()
    again = []

    def noted(folder, clip, *rest):
        again.append(clip)
        real(folder, clip, *rest)

    monkeypatch.setattr(miniature, "_write_clip", noted)
    assert write_voxceleb(tmp_path / "part", 0, 2, 3)
    assert not set(again) & set(written)
    assert contents(tmp_path / "part") == contents(whole)
    assert not write_voxceleb(tmp_path / "part", 0, 2, 3)


def test_other_files_and_other_settings_are_refused(tmp_path, written):
    with pytest.raises(DataError, match="another miniature"):
        write_voxceleb(written, 1, SPEAKERS, CLIPS)
    (tmp_path / "wav").mkdir()
    with pytest.raises(DataError, match="other files"):
        write_voxceleb(tmp_path)
    assert not is_miniature(tmp_path)
    with pytest.raises(SpecError, match="at least 2 and 3"):
        write_voxceleb(tmp_path / "new", speakers=1)


def test_the_centre_of_a_track_shows_a_face_as_the_faces_miniature_draws_it(written):
    def shapes(images):
        # Brows, eyes and mouth; beyond them skin may be lighter or darker than rooms.
        mean = np.mean(images, axis=0)[10:42, 11:37]
        return (mean - mean.mean()) / mean.std()

    random = np.random.default_rng(0)
    drawn = [
        draw_face(blend(emotion, 0.7), any_look(random), random, 48)
        for emotion in (*SHAPES, *SHAPES, *SHAPES, *SHAPES)
    ]
    crops, wholes = [], []
    for _, path in split(written):
        for file in frames(written, path)[::4]:
            image = np.asarray(Image.open(file).convert("RGB"))
            crops.append(central_crop(image, 48))
            wholes.append(central_crop(image, 48, 1.0))
    wanted = shapes(drawn)
    alike = np.mean(shapes(crops) * wanted)
    assert alike > 0.7
    assert alike > np.mean(shapes(wholes) * wanted) + 0.2


def envelope(samples):
    """Return the level each 10 ms."""
    count = len(samples) // 160
    return samples[: count * 160].reshape(count, 160).std(axis=1)


def test_moods_change_loudness_pitch_and_tempo_as_told():
    def measured(emotion):
        rows = []
        for seed in range(6):
            random = np.random.default_rng(seed)
            voice = drawn_voices.any_voice(random)
            prosody = drawn_voices.blend(emotion, 1.0, random)
            samples, opening = drawn_voices.speak(voice, prosody, 6.0, random)
            level = np.sort(envelope(samples))[-200:].mean()
            syllables = np.sum((opening[1:] > 0.3) & (opening[:-1] <= 0.3))
            rows.append((level, syllables, pitch(samples)))
        return np.median(rows, axis=0)

    angry, sad, surprised = map(measured, ("anger", "sadness", "surprise"))
    assert angry[0] > 2 * sad[0]
    assert angry[1] > 1.3 * sad[1]
    assert surprised[2] > 1.2 * sad[2]


def pitch(samples):
    """Return the median pitch in Hz of the louder frames, by autocorrelation."""
    starts = np.argsort(-envelope(samples)[:-8])[:80] * 160
    found = []
    for start in starts:
        part = samples[start : start + 1024]
        if len(part) == 1024:
            similar = np.fft.irfft(np.abs(np.fft.rfft(part, 2048)) ** 2)
            lags = np.arange(36, 230)
            found.append(16_000 / lags[similar[lags].argmax()])
    return np.median(found)


def test_talkers_differ_more_than_their_clips(written):
    voices, looks, speakers = [], [], []
    for _, path in split(written):
        if not (found := frames(written, path)):
            continue
        samples = sound(written, path)
        loud = envelope(samples)
        pieces = samples[: len(loud) * 160].reshape(-1, 160)[loud > np.median(loud)]
        spectrum = np.log(np.mean(np.abs(np.fft.rfft(pieces)) ** 2, axis=0) + 1e-9)
        voices.append(spectrum - spectrum.mean())
        images = [np.asarray(Image.open(file), float) for file in found]
        # The middle, as rooms and clothes change with the video.
        looks.append(np.mean([image[20:44, 24:40] for image in images], axis=0).ravel())
        speakers.append(path.split("/")[0])
    same = np.equal.outer(speakers, speakers)
    other = ~same
    np.fill_diagonal(same, False)
    for marks in (np.array(voices), np.array(looks)):
        apart = np.linalg.norm(marks[:, None] - marks[None], axis=-1)
        assert apart[other].mean() > 1.1 * apart[same].mean()
