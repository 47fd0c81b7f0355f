"""Labelled speech: layouts, what is left out and why, folds of speakers."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from emorec.corpora.acted import CORPORA, ActedSpeech, read_acted
from emorec.corpora.speaker_folds import RAVDESS_FOLDS, folds_by_speaker
from emorec.errors import DataError, SpecError
from emorec.labels import EMODB


def tree(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


def ravdess_name(actor, emotion=1, modality="03", channel="01"):
    return f"{modality}-{channel}-{emotion:02d}-01-01-01-{actor:02d}"


def ravdess(folder, actors=range(1, 25), suffix=".wav"):
    return tree(
        folder,
        *(
            f"Actor_{actor:02d}/{ravdess_name(actor, emotion)}{suffix}"
            for actor in actors
            for emotion in range(1, 9)
        ),
    )


def corpus(speakers, dataset="emodb"):
    """Return takes of speakers, one row each as they are given."""
    n = len(speakers)
    return ActedSpeech(
        dataset,
        CORPORA[dataset][0],
        [f"{i:05d}" for i in range(n)],
        [None] * n,
        np.array(speakers, np.str_),
        np.zeros(n, np.int64),
        np.full(n, ""),
        pd.DataFrame(columns=["file", "reason"]),
    )


def labels(found):
    return [found.schema.labels[i] for i in found.classes]


def reasons(found):
    return dict(found.report.values)


def test_ravdess_says_emotion_actor_and_published_split(tmp_path):
    found = read_acted(ravdess(tmp_path))
    assert found.dataset == "ravdess" and len(found) == 24 * 8 and found.report.empty
    assert found.ids == sorted(found.ids)
    assert labels(found)[:48:24] == ["neutral", "calm"]
    for id_, path, speaker in zip(found.ids, found.paths, found.speakers, strict=True):
        assert path.is_file() and path.stem == id_ and speaker == id_[-2:]
    parts = {p: set(found.speakers[found.split == p]) for p in ("test", "valid")}
    assert parts["test"] == {"05", "10", "16", "19"}
    assert parts["valid"] == {"11", "13", "18", "22"}
    assert (found.split == "train").sum() == 16 * 8


def test_what_does_not_belong_in_ravdess_is_told(tmp_path):
    ravdess(tmp_path, [1, 2])
    strange = {
        f"Actor_01/{ravdess_name(1, modality='01')}.wav": "modality 01 (audio-video)",
        f"Actor_01/{ravdess_name(1, modality='01')}.mp4": "modality 01 (audio-video)",
        f"Actor_01/{ravdess_name(1, channel='02')}.wav": "channel 02; speech is 01",
        f"Actor_01/{ravdess_name(1, 9)}.wav": "emotion 09; expected 01 to 08",
        f"Actor_25/{ravdess_name(25)}.wav": "actor 25; expected 01 to 24",
        f"Actor_01/{ravdess_name(3)}.wav": "actor 03 in the folder Actor_01",
        "Actor_01/take.wav": "its name is not of ravdess's form",
        f"copy/Actor_02/{ravdess_name(2, 4)}.wav": "the same take as Actor_02/03-01-04",
    }
    tree(tmp_path, *strange, "readme.txt", ".hidden.wav")
    found = read_acted(tmp_path)
    assert len(found) == 16 and set(found.speakers) == {"01", "02"}
    told = reasons(found)
    assert told.keys() == strange.keys()
    for file, reason in strange.items():
        assert reason in told[file]
    assert "left out: 8 files" in found.describe()


def test_video_of_ravdess_is_that_with_sound(tmp_path):
    both = [f"{ravdess_name(1, 3, modality)}.mp4" for modality in ("01", "02")]
    found = read_acted(tree(tmp_path, *both), media="video")
    assert found.ids == [ravdess_name(1, 3, "01")] and labels(found) == ["happy"]
    assert list(reasons(found)) == [both[1]]


def test_emodb_says_speaker_and_the_german_letter(tmp_path):
    words = {
        "W": "anger",
        "L": "boredom",
        "E": "disgust",
        "A": "fear",
        "F": "happiness",
        "T": "sadness",
        "N": "neutral",
    }
    tree(tmp_path, *(f"wav/03a01{letter}a.wav" for letter in words), "wav/16b10Wb.wav")
    found = read_acted(tree(tmp_path, "wav/03a01Xa.wav"))
    assert found.schema is EMODB
    assert dict(zip(found.ids, labels(found), strict=True)) == {
        **{f"03a01{letter}a": word for letter, word in words.items()},
        "16b10Wb": "anger",
    }
    assert Counter(found.speakers) == {"03": 7, "16": 1}
    assert "emotion letter X" in reasons(found)["wav/03a01Xa.wav"]
    assert not found.split.any()


CODES = {
    "an": ("anger", "angry"),
    "di": ("disgust", "disgust"),
    "fe": ("fear", "fear"),
    "ha": ("happiness", "happy"),
    "sa": ("sadness", "sad"),
    "su": ("surprise", "surprise"),
}


def test_enterface_as_it_comes_and_flat_are_the_same(tmp_path):
    flat = [f"s{n}_{code}_{m}.wav" for n in (1, 12) for code in CODES for m in (1, 2)]
    deep = [
        f"subject {n}/{CODES[name[-8:-6]][0]}/sentence {name[-5]}/{name}"
        for name in flat
        for n in [name[1:].split("_")[0]]
    ]
    one = read_acted(tree(tmp_path / "flat", *flat))
    other = read_acted(tree(tmp_path / "deep", *deep))
    assert one.dataset == other.dataset == "enterface" and len(one) == 24
    assert one.ids == other.ids and labels(one) == labels(other)
    np.testing.assert_array_equal(one.speakers, other.speakers)
    for id_, label, speaker in zip(one.ids, labels(one), one.speakers, strict=True):
        number, code, _ = id_.split("_")
        assert label == CODES[code][1] and speaker == number[1:]


def test_enterface_folders_speak_for_an_odd_name_and_contradictions_are_told(tmp_path):
    tree(
        tmp_path,
        "subject 3/fear/sentence 2/clip.wav",
        "subject 3/fear/sentence 4/s_3_fe_4.wav",
        "subject 3/fear/sentence 5/s4_fe_5.wav",
        "subject 3/anger/sentence 1/s3_ha_1.wav",
    )
    found = read_acted(tmp_path)
    assert found.ids == ["s3_fe_2", "s3_fe_4"] and labels(found) == ["fear", "fear"]
    told = reasons(found)
    assert told["subject 3/fear/sentence 5/s4_fe_5.wav"] == (
        "subject 4 by its name, 3 by its folder"
    )
    assert told["subject 3/anger/sentence 1/s3_ha_1.wav"] == (
        "emotion ha by its name, an by its folder"
    )


def test_rml_begins_with_letters_or_word_under_its_subject(tmp_path):
    tree(
        tmp_path,
        "s1/an1.wav",
        "s1/English/an1.wav",
        "s2/Happy_03.wav",
        "Subject 8/sadness 2.wav",
        "s2/andrew.wav",
        "an9.wav",
    )
    found = read_acted(tmp_path)
    assert found.dataset == "rml"
    assert dict(zip(found.ids, labels(found), strict=True)) == {
        "s1/an1": "angry",
        "s1/English/an1": "angry",
        "s2/Happy_03": "happy",
        "s8/sadness 2": "sad",
    }
    assert set(found.speakers) == {"1", "2", "8"}
    assert set(reasons(found)) == {"s2/andrew.wav", "an9.wav"}


def test_afew_has_its_split_and_no_speakers(tmp_path):
    tree(
        tmp_path,
        "Train/Angry/000046280.avi",
        "Train_AFEW/Neutral/000046281.avi",
        "Val/Sad/000149120.avi",
        "Test/000149121.avi",
    )
    found = read_acted(tmp_path, media="video")
    assert found.dataset == "afew"
    assert found.ids == [
        "train/angry/000046280",
        "train/neutral/000046281",
        "valid/sad/000149120",
    ]
    assert list(found.split) == ["train", "train", "valid"]
    assert set(found.speakers) == {""}
    assert "labels are not published" in reasons(found)["Test/000149121.avi"]
    with pytest.raises(DataError, match="3 of 3 takes have no speaker"):
        folds_by_speaker(found)


def test_videos_where_sound_is_wanted_say_how_to_extract_it(tmp_path):
    tree(tmp_path / "avi", "s1/an1.avi", "s1/di1.avi")
    with pytest.raises(DataError, match=r"2 videos of rml but no sound(.|\n)*ffmpeg"):
        read_acted(tmp_path / "avi")
    # A tree of sounds beside, or a sound beside its video: the same takes.
    tree(tmp_path / "wav", "s1/an1.wav", "s1/di1.flac")
    assert read_acted(tmp_path / "wav").ids == read_acted(tmp_path).ids
    assert set(read_acted(tmp_path).report["reason"]) == {"not a sound file"}


def test_a_folder_that_cannot_be_told_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        read_acted(tmp_path / "none")
    with pytest.raises(SpecError, match="Corpus 'savee': expected auto or one of"):
        read_acted(tmp_path, "savee")
    with pytest.raises(SpecError, match="media 'text'"):
        read_acted(tmp_path, media="text")
    tree(tmp_path / "strange", "one.wav", "two.wav")
    with pytest.raises(DataError) as caught:
        read_acted(tmp_path / "strange")
    assert "found 2 sound or video files" in str(caught.value)
    for name, (_, _, layout) in CORPORA.items():
        assert f"{name}: {layout}" in str(caught.value)
    with pytest.raises(DataError, match=r"none of 2 files .* emodb"):
        read_acted(tmp_path / "strange", "emodb")
    two = tree(ravdess(tmp_path / "two", [1]), "emodb/03a01Fa.wav")
    with pytest.raises(DataError, match=r"ravdess \(8 files\), emodb \(1 files\)"):
        read_acted(two)
    found = read_acted(two, "emodb")
    assert found.ids == ["03a01Fa"] and len(found.report) == 8


def test_ravdess_folds_are_the_published_five(tmp_path):
    found = read_acted(ravdess(tmp_path))
    fold = folds_by_speaker(found)
    for number, actors in enumerate(RAVDESS_FOLDS):
        assert {int(name) for name in found.speakers[fold == number]} == set(actors)
    # Of a part of the actors the same groups, as far as they are there.
    part = found.take(np.isin(found.speakers, ["02", "05", "09", "22"]))
    np.testing.assert_array_equal(folds_by_speaker(part), part.speakers > "08")


@pytest.mark.parametrize("speakers, folds", [(2, 2), (12, 12), (13, 10), (40, 10)])
def test_folds_share_no_speaker_and_are_about_equal(speakers, folds):
    random = np.random.default_rng(speakers)
    counts = random.integers(5, 15, speakers)
    names = np.repeat([f"s{i}" for i in range(speakers)], counts)
    some = corpus(random.permutation(names))
    fold = folds_by_speaker(some)
    assert set(fold) == set(range(folds))
    for name in set(names):
        assert len(set(fold[some.speakers == name])) == 1
    sizes = np.bincount(fold)
    # No fold exceeds another by more than one speaker.
    assert sizes.max() - sizes.min() <= counts.max()


def test_folds_that_cannot_be_are_refused():
    with pytest.raises(DataError, match="2 speakers or more"):
        folds_by_speaker(corpus(["a", "a"]))
    with pytest.raises(SpecError, match="3 folds: expected 2 to 2"):
        folds_by_speaker(corpus(["a", "b"]), 3)


def test_parts_that_do_not_fit_are_refused():
    good = corpus(["a", "b"])
    with pytest.raises(DataError, match="different lengths"):
        ActedSpeech(**{**vars(good), "ids": ["1"]})
    with pytest.raises(DataError, match="ids in order"):
        ActedSpeech(**{**vars(good), "ids": ["2", "1"]})
    with pytest.raises(DataError, match="classes that 'emodb' lacks"):
        ActedSpeech(**{**vars(good), "classes": np.array([0, 7])})


def test_the_real_ravdess_is_complete(corpora_dir):
    found = read_acted(corpora_dir / "ravdess")
    assert len(found) == 1440 and found.report.empty
    assert Counter(labels(found)) == {"neutral": 96} | dict.fromkeys(
        found.schema.labels[1:], 192
    )
    assert list(np.bincount(folds_by_speaker(found))) == [300, 300, 300, 300, 240]
