"""MELD: its csv files, what they may not hold, its media, and what is drawn of it."""

import argparse
import csv
import io
import os

import numpy as np
import pytest

from emorec.cli import meld as commands
from emorec.cli.console import Parser, guarded
from emorec.corpora.meld import SPLITS, WAYS, fewer_neutral, read_meld
from emorec.corpora.meld_subsets import SIZES, smaller
from emorec.corpora.meld_table import COLUMNS
from emorec.errors import BusyError, DataError, SpecError
from emorec.files import exclusive
from emorec.labels import MELD_ALPHABETICAL
from emorec.training import meld_sound
from emorec.training.meld_sound import NATIVE, extract_sound

pytest.importorskip("av", reason="needs the extra 'faces'")

from scipy.io import wavfile

from tests.av_files import sine, write_sounding_video
from tests.video_files import picture

VIDEOS = {
    "train": "train/train_splits",
    "dev": "dev/dev_splits_complete",
    "test": "test/output_repeated_splits_test",
}
# Poria et al.'s counts, in the alphabetical order of the classes.
COUNTS = {
    "train": [1109, 271, 268, 1743, 4710, 683, 1205],
    "dev": [153, 22, 40, 163, 470, 111, 150],
    "test": [345, 68, 50, 402, 1256, 208, 281],
}
SENTIMENTS = {
    "train": {"neutral": 4710, "negative": 2945, "positive": 2334},
    "dev": {"neutral": 470, "negative": 406, "positive": 233},
    "test": {"neutral": 1256, "negative": 833, "positive": 521},
}


def row(**fields):
    """Return one utterance as a dictionary of the csv's columns."""
    usual = ("Fine.", "Ada", "neutral", "neutral", 0, 0, 1, 1)
    times = ("00:00:01,000", "00:00:02,500")
    return dict(zip(COLUMNS, (*usual, *times), strict=True)) | fields


def write_csv(path, rows, encoding="utf-8", columns=("Sr No.", *COLUMNS)):
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, columns, extrasaction="ignore", restval="1")
    table.writeheader()
    table.writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.getvalue().encode(encoding))


def dialogue(number, *words, **fields):
    return [
        row(Dialogue_ID=number, Utterance_ID=place, Utterance=said, **fields)
        for place, said in enumerate(words)
    ]


@pytest.fixture
def corpus(tmp_path):
    """A folder of three small splits without media."""
    for season, split in enumerate(SPLITS, 1):
        own = {"Season": season, "Speaker": f"{split}’s Ada"}
        rows = dialogue(0, "Hello.", "Well.", **own)
        rows += dialogue(1, "No!", **own, Emotion="anger", Sentiment="negative")
        write_csv(tmp_path / f"{split}_sent_emo.csv", rows)
    return tmp_path


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def reasons(found):
    return dict(zip(found.report["utterance"], found.report["reason"], strict=True))


def main(arguments):
    parser = Parser()
    commands.add_commands(parser)
    parsed: argparse.Namespace = parser.parse_args(arguments)
    return guarded(lambda: parsed.run(parsed))


# The real corpus


@pytest.fixture(scope="module")
def real(corpora_dir):
    return read_meld(corpora_dir / "meld")


def test_the_real_corpus_has_the_published_counts(real):
    assert len(real) == len(set(real.ids)) == 13_708
    for split in SPLITS:
        rows = real.rows(split)
        assert np.bincount(real.classes[rows]).tolist() == COUNTS[split]
        found = {s: int((real.sentiments[rows] == s).sum()) for s in SENTIMENTS[split]}
        assert found == SENTIMENTS[split]
        assert len(real.rows(split, text=True)) == len(rows)
    dialogues = [len(set(real.dialogues[real.rows(split)])) for split in SPLITS]
    assert dialogues == [1038, 114, 280]


def test_dialogues_stand_together_in_order(real):
    new = real.dialogues[1:] != real.dialogues[:-1]
    assert new.sum() + 1 == len(set(real.dialogues.tolist()))
    assert (np.diff(real.numbers)[~new] > 0).all()


def test_the_one_moment_of_two_splits_is_told(real):
    shared = [name for name, why in reasons(real).items() if "another split" in why]
    assert shared == ["test/dia85_utt0"]
    first, second = (real.ids.index(n) for n in ("train/dia12_utt7", shared[0]))
    assert real.utterances[first] == real.utterances[second]


def test_fewer_neutral_of_the_real_corpus(real):
    train, neutral = real.rows("train"), real.schema.index("neutral")
    wanted = {"ordered": 7279, "random": 7279, "joy": 7022}
    for how, count in wanted.items():
        kept = fewer_neutral(real, how)
        assert len(kept) == count
        gone = np.setdiff1d(train, kept)
        assert (real.classes[gone] == neutral).all()
    ordered = np.setdiff1d(train, fewer_neutral(real, "ordered"))
    stay = fewer_neutral(real, "ordered")
    stay = stay[real.classes[stay] == neutral]
    places = [(real.seasons[n], real.episodes[n]) for n in ordered]
    # An episode is on one side of the cut or the cut goes through it.
    assert max(places) <= min((real.seasons[n], real.episodes[n]) for n in stay)


def test_the_smaller_datasets_are_the_published_ones(real):
    wanted = {"small": (173, 14, 17), "medium": (297, 47, 31), "large": (584, 97, 108)}
    before = set()
    for size, counts in wanted.items():
        found = smaller(real, size)
        assert tuple(len(found.rows(split)) for split in SPLITS) == counts
        assert before <= {found.ids[n] for n in found.rows("train")}
        before = set(found.ids)
    labels = np.bincount(found.classes[found.rows("train")]).tolist()
    assert labels == [53, 15, 13, 106, 276, 48, 73]
    # Two dialogues that the published lists begin with.
    assert "train/dia1000_utt0" in found.ids and "train/dia834_utt0" in found.ids


# Reading


def test_words_labels_and_order_of_a_small_corpus(corpus):
    found = read_meld(corpus)
    assert found.ids[:3] == ["train/dia0_utt0", "train/dia0_utt1", "train/dia1_utt0"]
    assert found.schema == MELD_ALPHABETICAL
    assert [found.schema.labels[c] for c in found.classes[:3]] == (
        ["neutral", "neutral", "anger"]
    )
    assert found.rows("dev").tolist() == [3, 4, 5]
    assert found.dialogues[5] == "dev/dia1" and found.dataset == "meld"
    assert (found.starts == "00:00:01,000").all()
    with pytest.raises(SpecError, match=r"valid.*expected train, dev, test"):
        found.rows("valid")


def test_rows_in_any_order_are_read_in_theirs(corpus):
    rows = [row(Dialogue_ID=d, Utterance_ID=u) for d, u in [(10, 1), (2, 0), (10, 0)]]
    write_csv(corpus / "train_sent_emo.csv", rows)
    assert read_meld(corpus).ids[:3] == (
        ["train/dia2_utt0", "train/dia10_utt0", "train/dia10_utt1"]
    )


def test_the_layouts_of_the_published_files(corpus, tmp_path):
    plain = read_meld(corpus)
    for place in ("MELD.Raw/{0}", "MELD.Raw/{0}/{0}", "data/MELD/{0}"):
        for split in SPLITS:
            target = tmp_path / place[:8] / (place.format(split) + "_sent_emo.csv")
            target.parent.mkdir(parents=True, exist_ok=True)
            source = corpus / f"{split}_sent_emo.csv"
            target.write_bytes(source.read_bytes())
        assert read_meld(tmp_path / place[:8]).ids == plain.ids


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_every_encoding_gives_the_same_words(corpus, encoding):
    words = "It’s Café “Perk” — okay…"
    write_csv(corpus / "train_sent_emo.csv", [row(Utterance=words)], encoding)
    found = read_meld(corpus)
    assert found.utterances[0] == words
    told = "Windows-1252" in reasons(found).get("train_sent_emo.csv", "")
    assert told == (encoding == "cp1252")


def test_control_characters_are_the_apostrophes_they_were(corpus):
    write_csv(corpus / "train_sent_emo.csv", [row(Utterance="It\x92s \x97 me")])
    found = read_meld(corpus)
    assert found.utterances[0] == "It’s — me"
    assert reasons(found)["train_sent_emo.csv"].startswith("2 control characters")


def test_times_keep_hours_of_one_digit(corpus):
    write_csv(corpus / "train_sent_emo.csv", [row(StartTime="0:10:44,769")])
    assert read_meld(corpus).starts[0] == "0:10:44,769"


def test_an_utterance_without_words_is_kept_out_of_text_alone(corpus):
    write_csv(corpus / "train_sent_emo.csv", dialogue(0, "Hello.", "  ", "Bye."))
    found = read_meld(corpus)
    assert found.rows("train").tolist() == [0, 1, 2]
    assert found.rows("train", text=True).tolist() == [0, 2]
    assert "no words" in reasons(found)["train/dia0_utt1"]


def test_words_that_look_like_nothing_are_words(corpus):
    write_csv(corpus / "train_sent_emo.csv", dialogue(0, "None", "NA", "null"))
    assert read_meld(corpus).utterances[:3] == ["None", "NA", "null"]


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"Emotion": "bored"}, r"line 2: Emotion 'bored': expected anger, disgust"),
        ({"Emotion": ""}, r"line 2: Emotion ''"),
        ({"Sentiment": "good"}, r"Sentiment 'good': expected negative, neutral"),
        ({"Dialogue_ID": "x"}, r"Dialogue_ID 'x': expected a whole number"),
        ({"Utterance_ID": "-1"}, r"Utterance_ID '-1'"),
        ({"Season": "1.0"}, r"Season '1.0'"),
        ({"StartTime": "16:16"}, r"StartTime '16:16': expected a time as 00:16:16,059"),
    ],
)
def test_a_field_that_cannot_be_is_refused(corpus, fields, message):
    write_csv(corpus / "dev_sent_emo.csv", [row(**fields)])
    with pytest.raises(DataError, match=rf"dev_sent_emo\.csv, {message}|{message}"):
        read_meld(corpus)


def test_the_line_of_a_fault_is_that_of_the_file(corpus):
    rows = [*dialogue(0, "Two\r\nlines.", "Fine."), row(Dialogue_ID=1, Emotion="odd")]
    write_csv(corpus / "test_sent_emo.csv", rows)
    with pytest.raises(DataError, match=r"test_sent_emo\.csv, line 5: Emotion 'odd'"):
        read_meld(corpus)


def test_a_key_twice_names_both_lines(corpus):
    write_csv(corpus / "dev_sent_emo.csv", dialogue(3, "A", "B") + dialogue(3, "C"))
    with pytest.raises(DataError, match=r"line 4: a second dia3_utt0; .* in line 2"):
        read_meld(corpus)


def test_missing_columns_are_named(corpus):
    columns = [name for name in COLUMNS if name not in ("Speaker", "Season")]
    write_csv(corpus / "train_sent_emo.csv", [row()], columns=columns)
    with pytest.raises(DataError, match="missing: Speaker, Season; found: Utterance"):
        read_meld(corpus)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "missing: Utterance"),
        (b"\x81\x8d", "UTF-8"),
        (",".join(COLUMNS).encode(), "found none"),
        (",".join(COLUMNS).encode() + b"\nHi, you,Ada,joy", "line 2: expected 10 fie"),
    ],
)
def test_a_file_that_is_no_table_is_refused(corpus, content, message):
    (corpus / "train_sent_emo.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_meld(corpus)


def test_a_missing_file_says_where_it_comes_from(corpus):
    (corpus / "dev_sent_emo.csv").unlink()
    with pytest.raises(DataError, match=r"dev_sent_emo\.csv in it.*declare-lab/MELD"):
        read_meld(corpus)
    with pytest.raises(DataError, match="no such folder"):
        read_meld(corpus / "nowhere")


def test_what_two_splits_share_is_told(corpus):
    same = dialogue(7, "One.", "Two.", Season=9)
    own = dialogue(0, "Hello there.", Season=8)
    write_csv(corpus / "train_sent_emo.csv", same + own)
    quoted = [r | {"Season": 4, "Dialogue_ID": 5} for r in same]
    moved = same[0] | {"Dialogue_ID": 6, "StartTime": "0:00:01,000"}
    write_csv(corpus / "test_sent_emo.csv", [*quoted, moved])
    found = reasons(read_meld(corpus))
    assert found["test/dia5"].startswith("the same dialogue as train/dia7")
    assert found["test/dia6_utt0"].startswith("the same moment and words as train/dia7")
    assert "test/dia5_utt0" not in found


# Media


def test_without_media_the_corpus_is_its_words(corpus):
    found = read_meld(corpus)
    assert found.media("audio") == found.media("video") == [None] * 9
    assert (found.report["utterance"].isin(SPLITS)).all() and len(found.report) == 6


@pytest.mark.parametrize("root", ["", "MELD.Raw/"])
def test_media_are_found_in_both_layouts(corpus, root):
    touch(corpus, *(f"{root}{VIDEOS[s]}/dia0_utt0.mp4" for s in SPLITS))
    touch(corpus, f"{root}audio/train/dia0_utt0.mp3", f"{root}audio/dev/dia1_utt0.wav")
    found = read_meld(corpus)
    sounds = dict(zip(found.ids, found.media("audio"), strict=True))
    assert sounds["train/dia0_utt0"].suffix == ".mp3"
    assert sounds["dev/dia0_utt0"].suffix == ".mp4"  # its own sound
    assert sounds["dev/dia1_utt0"].suffix == ".wav"
    assert sounds["train/dia1_utt0"] is None
    seen = dict(zip(found.ids, found.media("video"), strict=True))
    assert seen["train/dia0_utt0"] == corpus / root / VIDEOS["train"] / "dia0_utt0.mp4"
    assert seen["dev/dia1_utt0"] is None
    rows = found.report[found.report["utterance"] == "dev/dia0_utt0"]
    assert rows["reason"].tolist() == ["no sound file; the video's own is taken"]
    with pytest.raises(SpecError, match="expected audio or video"):
        found.media("face")


def test_of_several_sounds_the_wav_is_taken(corpus):
    touch(corpus, *(f"audio/train/dia0_utt0.{s}" for s in ("mp3", "wav", "flac")))
    assert read_meld(corpus).media("audio")[0].suffix == ".wav"


def test_more_files_than_utterances_are_counted(corpus):
    names = ("dia9_utt0", "final_videos_testdia0_utt0", "._dia0_utt0", "dia0_utt0")
    touch(corpus, *(f"{VIDEOS['test']}/{name}.mp4" for name in names))
    found = read_meld(corpus)
    rows = found.report[found.report["left_out"]]
    assert rows["utterance"].tolist() == ["test"]
    assert rows["reason"].iloc[0].startswith("2 video files of no utterance")
    assert len(found) == 9


def test_the_broken_clips_have_words_and_no_media(corpus):
    rows = [row(Dialogue_ID=125, Utterance_ID=3), row(Dialogue_ID=125, Utterance_ID=4)]
    write_csv(corpus / "train_sent_emo.csv", rows)
    names = ("dia125_utt3", "dia125_utt4")
    touch(corpus, *(f"train/train_splits/{name}.mp4" for name in names))
    touch(corpus, "audio/train/dia125_utt3.wav")
    found = read_meld(corpus)
    assert found.rows("train", text=True).tolist() == [0, 1]
    for kind in ("audio", "video"):
        assert found.media(kind)[0] is None and found.media(kind)[1] is not None
    assert "no usable" in reasons(found)["train/dia125_utt3"]


# Choosing


def test_fewer_neutral_keeps_a_share_of_any_corpus(corpus):
    rows = [
        row(Dialogue_ID=n, Emotion="joy" if n % 3 == 0 else "neutral", Season=1 + n % 4)
        for n in range(60)
    ]
    write_csv(corpus / "train_sent_emo.csv", rows)
    found = read_meld(corpus)
    joy = found.schema.index("joy")
    for how in WAYS:
        kept = fewer_neutral(found, how, seed=3)
        assert (np.diff(kept) > 0).all() and (found.split[kept] == "train").all()
        assert (found.classes[kept] == joy).sum() == 20
        assert len(kept) == (40 if how == "joy" else 60 - 23)
        np.testing.assert_array_equal(kept, fewer_neutral(found, how, seed=3))
    assert (fewer_neutral(found, "random", 4) != fewer_neutral(found, "random")).any()
    kept = fewer_neutral(found, "ordered")
    gone = np.setdiff1d(found.rows("train"), kept)
    neutral = kept[found.classes[kept] != joy]
    assert found.seasons[gone].max() <= found.seasons[neutral].min()
    with pytest.raises(SpecError, match="expected ordered, random, joy"):
        fewer_neutral(found, "all")


def test_the_smaller_datasets_need_enough_dialogues(corpus):
    with pytest.raises(DataError, match=r"2 dialogues in train; .* made of 80"):
        smaller(read_meld(corpus), "small")
    with pytest.raises(SpecError, match=f"expected {', '.join(SIZES)}"):
        smaller(read_meld(corpus), "tiny")


# Sounds out of videos


@pytest.fixture
def seen(corpus):
    """The small corpus with two videos that sound and one that does not."""
    for place, name in enumerate(("dia0_utt0", "dia0_utt1")):
        path = corpus / VIDEOS["train"] / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        both = np.stack([sine(300 + 200 * place, 44_100, 0.5), np.zeros(22_050)])
        frames = [picture((30, 40))] * 12
        write_sounding_video(path, frames, both, rate=44_100, layout="stereo")
    touch(corpus, f"{VIDEOS['train']}/dia1_utt0.mp4")
    return corpus


def test_sounds_come_out_of_videos_once(seen):
    done = extract_sound(read_meld(seen), seen)
    assert (done.made, done.before, done.without) == (2, 0, 6)
    assert [name for name, _ in done.failures] == ["train/dia1_utt0"]
    found = read_meld(seen)
    path = found.media("audio")[1]
    assert path == seen / "audio" / "train" / "dia0_utt1.wav"
    rate, samples = wavfile.read(path)
    assert (rate, samples.dtype, samples.ndim) == (16_000, np.int16, 1)
    spectrum = np.abs(np.fft.rfft(samples[:8000]))
    assert abs(spectrum.argmax() * 2 - 500) <= 4
    # The mean of silence and a tone of half of full scale.
    assert samples[2000:6000].std() / 32768 == pytest.approx(0.25 / 2**0.5, rel=0.1)
    before = path.stat().st_mtime_ns
    again = extract_sound(found, seen)
    assert (again.made, again.before, len(again.failures)) == (0, 2, 1)
    assert path.stat().st_mtime_ns == before
    os.utime(seen / VIDEOS["train"] / "dia0_utt1.mp4")
    assert extract_sound(found, seen).made == 1


def test_helper_processes_make_the_same_sounds(seen, monkeypatch):
    alone = extract_sound(read_meld(seen), seen / "alone", workers=1)
    monkeypatch.setattr(meld_sound, "_WORTH_IT", 0)
    shared = extract_sound(read_meld(seen), seen / "shared", workers=2)
    assert (shared.made, shared.failures) == (alone.made, alone.failures)
    for name in ("dia0_utt0", "dia0_utt1"):
        path = f"audio/train/{name}.wav"
        assert (seen / "shared" / path).read_bytes() == (
            (seen / "alone" / path).read_bytes()
        )


def test_sounds_at_the_own_rate_of_videos_and_no_two_rates(seen):
    extract_sound(read_meld(seen), seen, NATIVE)
    assert wavfile.read(seen / "audio/train/dia0_utt0.wav")[0] == 44_100
    with pytest.raises(SpecError, match="rate: there 0, now 16000"):
        extract_sound(read_meld(seen), seen)
    with pytest.raises(SpecError, match="rate -1"):
        extract_sound(read_meld(seen), seen, -1)
    with pytest.raises(SpecError, match="0 workers"):
        extract_sound(read_meld(seen), seen, NATIVE, workers=0)


def test_sounds_that_are_there_are_kept(seen):
    touch(seen, "audio/train/dia0_utt0.mp3")
    done = extract_sound(read_meld(seen), seen)
    assert (done.made, done.before) == (1, 1)
    assert not (seen / "audio/train/dia0_utt0.wav").exists()


def test_one_process_writes_sounds_at_a_time(seen):
    held = exclusive(seen / "audio" / ".lock")
    with held, pytest.raises(BusyError, match="another process"):
        extract_sound(read_meld(seen), seen)


def test_prepare_counts_extracts_and_reports(seen, command):
    result = command(main, "prepare", seen, "--audio")
    assert result.code == 3, result.err
    assert (
        "train: 3 utterances in 2 dialogues of 1 speakers; 3 with sound" in result.out
    )
    assert "anger 1, disgust 0, fear 0, joy 0, neutral 2" in result.out
    assert "2 made" in result.out and "1 failures" in result.out
    lines = (seen / "meld_report.csv").read_text().splitlines()
    assert lines[0] == "utterance,left_out,reason"
    assert sum("sound not extracted" in line for line in lines) == 1


def test_a_corpus_that_may_not_be_written_is_prepared_elsewhere(seen, command):
    output = seen / "other"
    words = ("prepare", seen, "--audio", "--output", output)
    assert command(main, *words, "--rate", 8000).code == 3
    found = read_meld(output)
    assert found.ids == read_meld(seen).ids
    assert wavfile.read(found.media("audio")[0])[0] == 8000
    assert not (seen / "audio").exists() and not (seen / "meld_report.csv").exists()
    result = command(main, *words)
    assert result.code == 1 and "rate: there 8000, now 16000" in result.err
    write_csv(seen / "dev_sent_emo.csv", [row()])
    result = command(main, *words, "--rate", 8000)
    assert result.code == 1 and "differs from" in result.err


def test_words_alone_are_no_failure(corpus, command):
    result = command(main, "prepare", corpus)
    assert result.code == 0, result.err
    assert "note: train: no video in train/train_splits" in result.out
