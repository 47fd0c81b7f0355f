"""The miniature of MELD: its form, its dialogues, and what each modality tells."""

import wave
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from emorec.cli import meld as commands
from emorec.cli.console import Parser, guarded
from emorec.corpora import meld_miniature, meld_script
from emorec.corpora.meld import SPLITS, fewer_neutral, read_meld
from emorec.corpora.meld_miniature import is_miniature, write_meld
from emorec.corpora.meld_script import write_dialogue
from emorec.errors import DataError, SpecError
from emorec.labels import MELD_ALPHABETICAL

pytest.importorskip("av", reason="needs the extra 'faces'")

from emorec.features.video import read_frames
from emorec.features.video_sound import read_sound_of_video


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return a folder to be read only."""
    folder = tmp_path_factory.mktemp("meld") / "new" / "folder"
    assert write_meld(folder, dialogues=2)
    return folder


@pytest.fixture(scope="module")
def corpus(written):
    return read_meld(written)


def contents(folder):
    """Return {file: bytes}."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def sound(path):
    """Return the samples of a sound, 1 being full scale."""
    with wave.open(str(path)) as file:
        assert file.getframerate() == 16_000
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768


@pytest.fixture(scope="module")
def script():
    """Many dialogues."""
    return [write_dialogue(np.random.default_rng((5, n))) for n in range(400)]


def test_the_reader_of_meld_reads_it(corpus, written):
    assert is_miniature(written) and corpus.dataset == "meld_miniature"
    assert [len(set(corpus.dialogues[corpus.rows(s)])) for s in SPLITS] == [2, 2, 2]
    assert all(corpus.utterances)
    for path in corpus.audio:
        if path:
            samples = sound(path)
            assert 0.5 < len(samples) / 16_000 < 3 and 0.003 < samples.std() < 0.5
    # Those that are missing have words, and the others both files.
    lacking = [n for n, p in enumerate(corpus.media("audio")) if p is None]
    assert lacking == [n for n, p in enumerate(corpus.media("video")) if p is None]
    assert lacking == [corpus.rows("train")[-1]]
    extra = corpus.report[corpus.report["left_out"]]["utterance"].tolist()
    assert extra == ["dev", "dev"]
    assert "SYNTHETIC" in contents(written)


def test_times_are_those_of_the_sounds_and_some_hours_have_one_digit(corpus):
    def seconds(text):
        hours, minutes, rest = text.replace(",", ".").split(":")
        return 3600 * int(hours) + 60 * int(minutes) + float(rest)

    for start, end, path in zip(corpus.starts, corpus.ends, corpus.audio, strict=True):
        if path:
            length = len(sound(path)) / 16_000
            assert seconds(end) - seconds(start) == pytest.approx(length, abs=0.02)
    assert {len(start) for start in corpus.starts.tolist()} == {11, 12}


def test_a_video_shows_a_face_that_says_the_sound(corpus):
    number = corpus.rows("test")[1]
    given = sound(corpus.audio[number])
    heard = read_sound_of_video(corpus.video[number])[: len(given)]
    assert np.corrcoef(heard, given[: len(heard)])[0, 1] > 0.95
    frames = [image for _, image in read_frames(corpus.video[number], 6, 1)]
    assert frames[0].shape == (96, 96, 3)
    assert len(frames) == pytest.approx(6 * len(given) / 16_000, abs=1)
    assert all(np.ptp(frame) > 100 for frame in frames)
    # Detectors of faces find those that are brighter than what is behind them.
    faces = [np.median(frame[38:62, 38:62]) for frame in frames]
    behind = [np.median(frame[:6]) for frame in frames]
    assert (np.subtract(faces, behind) > 30).all()


def test_writing_again_is_the_same_and_goes_on(written, tmp_path):
    before = contents(written)
    assert not write_meld(written, dialogues=2)
    write_meld(tmp_path, dialogues=2)
    assert contents(tmp_path) == before
    lost = [*sorted(tmp_path.rglob("*.wav"))[:2], tmp_path / "test_sent_emo.csv"]
    for path in lost:
        path.unlink()
    kept = tmp_path / "audio/train/dia1_utt0.wav"
    time = kept.stat().st_mtime_ns
    assert write_meld(tmp_path, dialogues=2)
    assert contents(tmp_path) == before and kept.stat().st_mtime_ns == time


def test_another_seed_is_another_miniature(written, tmp_path):
    write_meld(tmp_path, seed=1, dialogues=2, video=False)
    assert not list(tmp_path.rglob("*.mp4"))
    assert read_meld(tmp_path).utterances[:3] != read_meld(written).utterances[:3]


def test_the_command_writes_it_once(tmp_path, command):
    def main(arguments):
        parser = Parser()
        commands.add_commands(parser)
        parsed = parser.parse_args(arguments)
        return guarded(lambda: parsed.run(parsed))

    words = ("miniature", tmp_path, "--dialogues", 2, "--no-video")
    first, second = command(main, *words), command(main, *words)
    assert first.code == second.code == 0, first.err + second.err
    assert first.out.startswith("Written") and second.out.startswith("There already")
    assert "train: " in first.out and "0 with video" in first.out
    refused = command(main, *words[:3], 3, "--no-video")
    assert refused.code == 1 and "holds another miniature" in refused.err


def test_folders_of_others_are_left_alone(written, tmp_path):
    with pytest.raises(DataError, match=r"another miniature.*asked for is"):
        write_meld(written, dialogues=3)
    (tmp_path / "dev_sent_emo.csv").touch()
    with pytest.raises(DataError, match=r"other files .dev_sent_emo.csv., and no mini"):
        write_meld(tmp_path)
    with pytest.raises(SpecError, match="1 dialogues: expected 2 or more"):
        write_meld(tmp_path / "new", dialogues=1)


def test_most_lines_are_neutral_and_every_class_comes(script):
    counts = Counter(line.emotion for lines in script for line in lines)
    assert set(counts) == set(MELD_ALPHABETICAL.labels)
    total = sum(counts.values())
    assert counts.most_common(1)[0][0] == "neutral"
    for label, share in meld_script.SHARES.items():
        assert counts[label] / total == pytest.approx(share, abs=0.04)


def test_moods_come_in_runs(script):
    pairs = [
        (before.emotion, line.emotion)
        for lines in script
        for before, line in pairwise(lines)
    ]
    same = np.mean([first == second for first, second in pairs])
    shares = np.array(list(meld_script.SHARES.values()))
    assert same > (shares**2).sum() + 0.25
    speakers = [[line.speaker for line in lines] for lines in script]
    assert all(a != b for who in speakers for a, b in pairwise(who))


def test_words_or_voice_tell_and_each_alone_not_always(script):
    felt = [line for lines in script for line in lines if line.emotion != "neutral"]
    told = {by: np.array([line.shown[by] for line in felt]) for by in felt[0].shown}
    assert (told["words"] | told["voice"]).all()
    for by in ("words", "voice"):
        assert 0.5 < told[by].mean() < 0.85
    phrases = {
        emotion: set(sentences) for emotion, sentences in meld_script._PHRASES.items()
    }
    for line in felt:
        heard = {e for e, said in phrases.items() for s in said if s in line.words}
        assert heard == ({line.emotion} if line.shown["words"] else set())


def test_neutral_lines_are_thinned_as_those_of_meld(corpus):
    train, neutral = corpus.rows("train"), corpus.schema.index("neutral")
    many = (corpus.classes[train] == neutral).sum()
    kept = fewer_neutral(corpus, "ordered")
    assert len(train) - len(kept) == round(many * 2710 / 4710)


def test_voices_are_as_loud_as_the_moods_that_they_tell():
    talker = meld_miniature._Talker(np.random.default_rng(3))
    loudness = {}
    for emotion in ("joy", "neutral", "sadness"):
        line = meld_script.Line("", emotion, "", "", {"voice": True})
        randoms = [np.random.default_rng(n) for n in range(8)]
        sounds = [talker.perform(line, 1.2, random)[0] for random in randoms]
        loudness[emotion] = np.mean([samples.std() for samples in sounds])
    assert loudness["joy"] > 1.2 * loudness["neutral"]
    assert loudness["neutral"] > 1.2 * loudness["sadness"]
    hidden = meld_script.Line("", "joy", "", "", {"voice": False})
    plain = hidden._replace(emotion="neutral")
    same = [talker.perform(x, 1, np.random.default_rng(0))[0] for x in (hidden, plain)]
    np.testing.assert_array_equal(*same)
