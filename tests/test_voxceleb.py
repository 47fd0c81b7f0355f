"""Sounds of speakers: what is read, told and refused; the teacher's logits."""

import numpy as np
import pandas as pd
import pytest

from emorec.artifacts.logits import Logits, write_logits
from emorec.corpora import sounds
from emorec.corpora.sounds import index_sounds
from emorec.corpora.voxceleb import clip_id, describe, draw_split, read_voxceleb
from emorec.errors import DataError, LabelMismatchError
from emorec.labels import FERPLUS, HSEMOTION8
from emorec.training import voice_data
from emorec.training.voice_data import join

soundfile = pytest.importorskip("soundfile", reason="needs the extra 'voices'")

RATE = 16_000
RANDOM = np.random.default_rng(0)


def write(path, seconds=1.2, rate=RATE, level=0.1, channels=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = RANDOM.normal(0, level, (round(seconds * rate), channels))
    soundfile.write(path, samples, rate)
    return path


def talk(folder, names):
    for name in names:
        write(folder / "wav" / f"{name}.wav")


# Speakers a and b are heard, c is not.
LISTED = {
    "a/x/00001": 1,
    "a/x/00002": 1,
    "b/y/00001": 1,
    "b/z/00001": 3,
    "c/w/00001": 2,
}


@pytest.fixture
def corpus(tmp_path):
    talk(tmp_path, LISTED)
    lines = [f"{number} {name}.wav" for name, number in LISTED.items()]
    (tmp_path / "emovoxceleb_split.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def logits(ids, schema=FERPLUS, frames=4, network="t 1"):
    offsets = np.arange(len(ids) + 1) * frames
    rows = int(offsets[-1])
    return Logits(
        schema,
        list(ids),
        offsets,
        times=np.tile(np.arange(frames) * 0.24, len(ids)),
        logits=RANDOM.normal(size=(rows, len(schema))).astype(np.float32),
        boxes=np.zeros((rows, 4), np.float32),
        tracks=np.zeros(rows, np.int32),
        settings={"network": network},
    )


def reasons(report):
    return dict(zip(report.id, report.reason, strict=True))


@pytest.mark.parametrize(
    "path, name",
    [
        ("id1/vid/00001.wav", "id1/vid/00001"),
        ("id1/1.6/vid/00001", "id1/vid/00001"),
        ("id1/vid/00001.mp4", "id1/vid/00001"),
        ("A.J._Buckley/vid_0000007.wav", "A.J._Buckley/vid/00007"),
        ("A.J._Buckley/1.6/vid_0000007", "A.J._Buckley/vid/00007"),
    ],
)
def test_a_sound_and_its_face_track_have_one_id(path, name):
    assert clip_id(path) == name


def test_sounds_and_their_split_are_read(corpus):
    voices = read_voxceleb(corpus)
    assert voices.ids == sorted(LISTED)
    assert voices.partition.tolist() == [
        *("train", "train", "train", "heardVal", "unheardVal")
    ]
    assert voices.speakers.tolist() == ["a", "a", "b", "b", "c"]
    assert (voices.samples == 19_200).all() and voices.report.empty
    text = describe(voices)
    assert "3 clips of 2 speakers" in text and "EmoVoxCeleb: 118,485" in text


def test_whatever_is_missing_or_spoilt_is_told_and_left_out(corpus):
    wav = corpus / "wav"
    (wav / "b/y/00001.wav").unlink()
    write(wav / "b/y/00002.wav")
    write(wav / "a/x/00003.wav", level=0)
    write(wav / "a/x/00004.wav", seconds=0.5)
    write(wav / "a/x/00005.wav", channels=2, rate=44_100)
    (wav / "a/x/00006.wav").write_bytes(b"RIFF\0\0\0\0no sound")
    write(wav / "a/x/00007.wav", level=9)
    with (corpus / "emovoxceleb_split.txt").open("a") as file:
        file.writelines(f"1 a/x/0000{n}.wav\n" for n in range(3, 8))
    voices = read_voxceleb(corpus)
    told = reasons(voices.report)
    left_out = set(voices.report.id[voices.report.left_out])
    assert told["b/y/00001"] == "in the split, but no such sound"
    assert told["b/y/00002"] == "a sound that the split does not list"
    assert told["a/x/00003"].startswith("silent")
    assert told["a/x/00004"].startswith("lasts 0.50 s, shorter than 1.015 s")
    assert told["a/x/00005"] == "2 channels, the first is taken; 44100 Hz"
    assert "cannot be read as a sound" in told["a/x/00006"]
    assert told["a/x/00007"].startswith("clipped")
    assert left_out == {
        *("b/y/00001", "b/y/00002", "a/x/00003", "a/x/00004", "a/x/00006")
    }
    # Of 44.1 kHz, what is there after resampling counts.
    assert voices.samples[voices.ids.index("a/x/00005")] == 19_200


def test_sounds_are_looked_into_once(corpus, monkeypatch, tmp_path):
    paths = {name: corpus / "wav" / f"{name}.wav" for name in LISTED}
    table = tmp_path / "index" / "sounds.csv"
    before = index_sounds(paths, table)
    looked = []

    def counting(path, **kwargs):
        looked.append(path)
        return sounds_read(path, **kwargs)

    sounds_read = sounds.read_audio
    monkeypatch.setattr(sounds, "read_audio", counting)
    pd.testing.assert_frame_equal(index_sounds(paths, table), before)
    assert not looked
    write(paths["a/x/00001"], seconds=1.5)
    after = index_sounds(paths, table)
    assert looked == [paths["a/x/00001"]] and after.samples[0] == 24_000
    # A table that is none is made anew.
    table.write_text("no,table\n1,2\n")
    assert index_sounds(paths, table).equals(after)


def test_a_speaker_in_two_partitions_is_refused(corpus):
    with (corpus / "emovoxceleb_split.txt").open("a") as file:
        file.write("1 c/v/00001.wav\n")
    talk(corpus, ["c/v/00001"])
    with pytest.raises(DataError, match=r"1 speakers are in unheardVal and in .*\(c\)"):
        read_voxceleb(corpus)


@pytest.mark.parametrize(
    "line, message",
    [
        ("4 a/x/00001.wav", "line 6: expected 1, 2 or 3 and a path"),
        ("a/x/00001.wav", "line 6: expected 1, 2 or 3 and a path"),
        ("2 a/x/00001.wav", "line 6: a/x/00001 is in train and in unheardVal"),
    ],
)
def test_a_line_that_is_none_is_refused(corpus, line, message):
    with (corpus / "emovoxceleb_split.txt").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DataError, match=message):
        read_voxceleb(corpus)


def test_a_corpus_without_list_or_sounds_is_refused(corpus, tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        read_voxceleb(tmp_path / "nowhere")
    with pytest.raises(DataError, match="none of its 1 clips is in"):
        (tmp_path / "other.txt").write_text("1 q/q/00001.wav\n")
        read_voxceleb(corpus, tmp_path / "other.txt")
    (corpus / "emovoxceleb_split.txt").unlink()
    with pytest.raises(DataError, match=r"no such split.*--split draw draws one"):
        read_voxceleb(corpus)
    write(corpus / "wav" / "a" / "x" / "00001.flac")
    with pytest.raises(DataError, match=r"are one clip, a/x/00001. Keep one"):
        read_voxceleb(corpus, "draw")


def test_a_drawn_split_keeps_speakers_and_videos_apart():
    ids = [f"s{s}/v{v}/0000{n}" for s in range(20) for v in range(3) for n in (1, 2)]
    drawn = draw_split(ids, seed=3)
    assert drawn == draw_split(ids[::-1], seed=3) and drawn != draw_split(ids, seed=4)
    of = {p: [n for n in ids if drawn[n] == p] for p in set(drawn.values())}
    speakers = {p: {n.split("/")[0] for n in names} for p, names in of.items()}
    videos = {p: {n.rsplit("/", 1)[0] for n in names} for p, names in of.items()}
    assert len(speakers["unheardVal"]) == 4
    assert not speakers["unheardVal"] & (speakers["train"] | speakers["heardVal"])
    assert speakers["heardVal"] <= speakers["train"]
    assert not videos["heardVal"] & videos["train"]
    with pytest.raises(DataError, match="2 speakers: a split needs three"):
        draw_split(["a/x/00001", "b/x/00001"])


def shard(folder, *parts):
    paths = []
    for number, part in enumerate(parts):
        paths.append(folder / f"shard{number}" / "logits.npz")
        paths[-1].parent.mkdir(exist_ok=True)
        write_logits(paths[-1], part)
    return paths


def test_shards_of_logits_are_put_beside_their_sounds(corpus):
    voices = read_voxceleb(corpus)
    # As labelled: face tracks and videos, in any order; one clip shows no face.
    first = logits(["c/1.6/w/00001", "a/1.6/x/00001"])
    second = logits(["b/z/00001.mp4", "a/x/00002.mp4", "orphan/o/00001.mp4"])
    shard(corpus / "wav", first, second)
    data = join(voices, [corpus / "wav"], "test")
    assert data.voices.ids == ["a/x/00001", "a/x/00002", "b/z/00001", "c/w/00001"]
    np.testing.assert_array_equal(data.logits[data.rows(0)], first.logits[4:])
    np.testing.assert_array_equal(data.logits[data.rows(3)], first.logits[:4])
    np.testing.assert_array_equal(data.logits[data.rows(2)], second.logits[:4])
    np.testing.assert_array_equal(data.numbers[data.rows(1)], [1, 2, 3, 4])
    np.testing.assert_array_equal(data.pooled()[3], first.logits[:4].max(axis=0))
    told = reasons(data.voices.report)
    assert told["b/y/00001"] == "no frame with a face"
    assert told["orphan/o/00001"] == "a face track without a usable sound"
    few = join(voices, [corpus / "wav"], "test", 3)
    np.testing.assert_array_equal(few.logits, data.logits[:, :3])
    assert few.schema.labels == ("neutral", "happiness", "surprise")
    assert few.identity() != data.identity()
    assert "teacher on heardVal" in voice_data.describe(data)


def test_logits_that_do_not_fit_are_refused(corpus):
    voices, ids = read_voxceleb(corpus), list(LISTED)
    with pytest.raises(LabelMismatchError, match="Contempt"):
        join(voices, shard(corpus, logits(ids, HSEMOTION8)), "test")
    with pytest.raises(DataError, match=r"a/x/00001 is in .*shard0.*, too"):
        join(voices, shard(corpus, logits(ids), logits(ids[:1])), "test")
    parts = logits(ids[:2]), logits(ids[2:], network="u 2")
    with pytest.raises(DataError, match=r"different networks \(t 1, u 2\)"):
        join(voices, shard(corpus, *parts), "test")
    with pytest.raises(DataError, match="no logits for any clip of unheardVal"):
        join(voices, shard(corpus, logits(ids[:4])), "test")
    with pytest.raises(DataError, match=r"no logits.npz; make one"):
        join(voices, [corpus / "wav" / "a"], "test")
    with pytest.raises(DataError, match="9 emotions: expected 2 to 8"):
        join(voices, shard(corpus, logits(ids)), "test", 9)
