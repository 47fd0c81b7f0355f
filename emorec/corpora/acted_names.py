"""What the file names of labelled speech corpora say: speaker, emotion, take, split.

Each function takes the parts of a path below the corpus folder, the last without its
suffix, and what is wanted, "sound" or "video". It returns a `Take`; a reason, when the
name is of the corpus but the file does not belong in it; or None for any other name.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from emorec.labels import RAVDESS


class Take(NamedTuple):
    """One utterance.

    Attributes
    ----------
    id : str
        Names the take in its corpus, whatever folder or format it lies in.
    speaker : str
        "" where the corpus names none.
    label : str
        A label of the corpus' schema.
    split : str
        "train", "valid", "test", or "" where the corpus has no split of its own.
    """

    id: str
    speaker: str
    label: str
    split: str = ""


Parts = tuple[str, ...]

# Published split of RAVDESS by actors (Chumachenko et al., 2022); the others train.
_TEST, _VALID = (5, 10, 16, 19), (11, 13, 18, 22)
_MODALITIES = {"01": "audio-video", "02": "video without sound", "03": "sound alone"}
_WANTED = {"sound": "03", "video": "01"}

# First letters of the German words: Wut, Langeweile, Ekel, Angst, Freude, Trauer.
_EMODB = {
    "A": "fear",
    "E": "disgust",
    "F": "happiness",
    "L": "boredom",
    "N": "neutral",
    "T": "sadness",
    "W": "anger",
}
_CODES = {
    "an": "angry",
    "di": "disgust",
    "fe": "fear",
    "ha": "happy",
    "sa": "sad",
    "su": "surprise",
}
# The emotion's two letters, or its word in one of the forms in use.
_EMOTION = (
    r"an(?:ger|gry)?|di(?:sgust)?|fe(?:ar)?|ha(?:ppy|ppiness)?|sa(?:d|dness)?"
    r"|su(?:rprised?)?"
)
_SUBJECT = re.compile(r"s(?:ubject)?[ _-]?0*(\d+)", re.IGNORECASE)
_SENTENCE = re.compile(r"sentence[ _-]?0*(\d+)", re.IGNORECASE)
_ENTERFACE = re.compile(
    r"s_?0*(\d+)_(an|di|fe|ha|sa|su)_?0*(\d+)(?:_?avi)?", re.IGNORECASE
)
_RML = re.compile(rf"({_EMOTION})(?![a-z])", re.IGNORECASE)
_AFEW_PART = re.compile(r"(train|val|valid|validation|test)(?:_?afew)?", re.IGNORECASE)


def ravdess(parts: Parts, media: str) -> Take | str | None:
    """Read ``Actor_NN/MM-VV-EE-II-SS-RR-AA`` (Livingstone & Russo, 2018).

    Sound is taken from modality 03, video from 01: the takes of both are the same, so
    a corpus of both would have each voice twice. Calm stays apart from neutral.
    """
    if not re.fullmatch(r"\d\d(-\d\d){6}", parts[-1]):
        return None
    modality, channel, emotion, *_, actor = parts[-1].split("-")
    if modality != _WANTED[media]:
        what = _MODALITIES.get(modality, "unknown")
        return f"modality {modality} ({what}); {media} is taken from {_WANTED[media]}"
    if channel != "01":
        return f"channel {channel}; speech is 01"
    if not 1 <= int(emotion) <= len(RAVDESS):
        return f"emotion {emotion}; expected 01 to 08"
    if not 1 <= int(actor) <= 24:
        return f"actor {actor}; expected 01 to 24"
    folders = [part for part in parts[:-1] if re.fullmatch(r"Actor_\d+", part)]
    if folders and int(folders[-1][6:]) != int(actor):
        return f"actor {actor} in the folder {folders[-1]}"
    split = "test" if int(actor) in _TEST else "train"
    split = "valid" if int(actor) in _VALID else split
    return Take(parts[-1], actor, RAVDESS.labels[int(emotion) - 1], split)


def emodb(parts: Parts, media: str) -> Take | str | None:
    """Read names like ``03a01Fa`` (Burkhardt et al., 2005), in any folder.

    Two digits of the speaker, three characters of the text, a letter of the German word
    for the emotion, and a letter of the version where there is more than one.
    """
    found = re.fullmatch(r"(\d\d)[a-z]\d\d([A-Z])[a-z]?", parts[-1])
    if not found:
        return None
    speaker, letter = found.groups()
    if letter not in _EMODB:
        return f"emotion letter {letter}; expected one of {', '.join(sorted(_EMODB))}"
    return Take(parts[-1], speaker, _EMODB[letter])


def enterface(parts: Parts, media: str) -> Take | str | None:
    """Read ``subject N/EMOTION/sentence M/sN_em_M`` (Martin et al., 2006).

    Or files named ``sN_em_M`` in any folder; or any name, where the three folders say
    all. Where name and folders contradict, the file is left out.
    """
    folders = {
        "subject": _last(_SUBJECT, parts[:-1]),
        "emotion": _code(_last(re.compile(_EMOTION, re.IGNORECASE), parts[:-1], 0)),
        "sentence": _last(_SENTENCE, parts[:-1]),
    }
    found = _ENTERFACE.fullmatch(parts[-1])
    if not found:
        if None in folders.values():
            return None
        names = folders
    else:
        subject, code, sentence = found.groups()
        names = {"subject": subject, "emotion": code.lower(), "sentence": sentence}
        for key, value in folders.items():
            if value is not None and value != names[key]:
                return f"{key} {names[key]} by its name, {value} by its folder"
    take = f"s{names['subject']}_{names['emotion']}_{names['sentence']}"
    return Take(take, names["subject"], _CODES[names["emotion"]])


def rml(parts: Parts, media: str) -> Take | str | None:
    """Read ``sN/an1``, also with folders between (Wang & Guan, 2008).

    The name begins with the two letters or the word of the emotion; the last folder
    ``sN`` or ``subject N`` above it is the speaker.
    """
    found = _RML.match(parts[-1])
    places = [i for i, part in enumerate(parts[:-1]) if _SUBJECT.fullmatch(part)]
    if not found or not places:
        return None
    speaker = _SUBJECT.fullmatch(parts[places[-1]])[1]
    take = "/".join((f"s{speaker}", *parts[places[-1] + 1 :]))
    return Take(take, speaker, _CODES[_code(found[1])])


def afew(parts: Parts, media: str) -> Take | str | None:
    """Read ``Train/Angry/CLIP`` and ``Val/...`` (Dhall et al., 2012).

    The split is the folders'. Speakers are not named. The test part has no labels.
    """
    found = [(i, _AFEW_PART.fullmatch(part)) for i, part in enumerate(parts[:-1])]
    found = [(i, match[1].lower()) for i, match in found if match]
    if not found:
        return None
    place, part = found[-1]
    emotions = re.compile(rf"{_EMOTION}|neutral", re.IGNORECASE)
    inner = [
        i for i in range(place + 1, len(parts) - 1) if emotions.fullmatch(parts[i])
    ]
    if part == "test":
        return "the test part; its labels are not published"
    if not inner:
        return None
    word = parts[inner[0]].lower()
    label = "neutral" if word == "neutral" else _CODES[_code(word)]
    split = "train" if part == "train" else "valid"
    return Take("/".join((split, label, *parts[inner[0] + 1 :])), "", label, split)


def _last(pattern: re.Pattern, parts: Parts, group: int = 1) -> str | None:
    """Return what the last part that is of the pattern says."""
    found = [match for match in map(pattern.fullmatch, parts) if match]
    return found[-1][group] if found else None


def _code(word: str | None) -> str | None:
    return word[:2].lower() if word else None
