"""What the synthetic talkers of MELD's miniature say, in what order and mood."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from emorec.labels import MELD_ALPHABETICAL

# As in MELD, near half is neutral, and disgust and fear are few.
SHARES = {
    "anger": 0.12,
    "disgust": 0.05,
    "fear": 0.05,
    "joy": 0.17,
    "neutral": 0.41,
    "sadness": 0.08,
    "surprise": 0.12,
}
# How often a mood stays as it was from one utterance to the next.
_KEPT = 0.5
# How often words, voice and face show an emotion, each on its own; words or voice
# always do, so that the two together know more than either.
SHOWN = {"words": 0.45, "voice": 0.6, "face": 0.6}
_SHORTEST, _LONGEST = 4, 8
_GUEST = 0.2

TALKERS = ("Ada", "Bruno", "Clara", "Dario", "Elsa", "Felix")
GUESTS = ("The Neighbour", "Milo’s Aunt", "Waiter")
_PHRASES = {
    "anger": (
        "How dare you!",
        "I am so angry with you!",
        "Stop it, right now!",
        "You always ruin everything!",
        "Leave me alone!",
        "I have had enough of this!",
        "That is so unfair!",
    ),
    "disgust": (
        "Ugh, that is gross.",
        "Eww, this smells rotten.",
        "Yuck, how disgusting.",
        "That makes me sick.",
        "What a revolting mess.",
    ),
    "fear": (
        "I am so scared.",
        "Please hide, something is out there.",
        "I am terrified of this.",
        "Help, I am frightened!",
        "What if we get hurt?",
    ),
    "joy": (
        "That is wonderful!",
        "I am so happy!",
        "Hooray, we did it!",
        "I love this so much!",
        "What great news!",
        "This is fantastic, thank you!",
        "Congratulations!",
    ),
    "sadness": (
        "I miss her so much.",
        "I am so sorry.",
        "It makes me want to cry.",
        "I feel terribly lonely.",
        "We lost it for ever.",
        "That breaks my heart.",
    ),
    "surprise": (
        "Oh my goodness!",
        "Wait, what?!",
        "I can’t believe it!",
        "Really? Since when?",
        "Wow, I had no idea!",
        "You did what?",
    ),
}
_SUBJECTS = (
    "the train",
    "my sister",
    "the coffee",
    "your letter",
    "the meeting",
    "the blue bag",
    "our table",
    "the man from the bank",
    "the key",
    "that song",
)
_VERBS = (
    "is here",
    "comes at seven",
    "was on the second floor",
    "goes to the office",
    "is for Monday",
    "was next to the door",
    "belongs to the house",
    "takes about an hour",
)
_OPENINGS = ("", "Well, ", "So, ", "Okay, ", "I think ", "You know, ", "And ")


class Line(NamedTuple):
    """One utterance.

    Attributes
    ----------
    speaker : str
    emotion : str
        A label of MELD.
    sentiment : str
    words : str
    shown : dict
        words, voice and face -> whether it shows the emotion.
    """

    speaker: str
    emotion: str
    sentiment: str
    words: str
    shown: dict[str, bool]


def write_dialogue(random: np.random.Generator) -> list[Line]:
    """Write a dialogue of 4 to 8 lines in which moods come in runs."""
    cast = random.choice(TALKERS, random.integers(2, 4), replace=False).tolist()
    if random.random() < _GUEST:
        cast[-1] = str(random.choice(GUESTS))
    labels = MELD_ALPHABETICAL.labels
    shares = [SHARES[label] for label in labels]
    lines: list[Line] = []
    for number in range(random.integers(_SHORTEST, _LONGEST + 1)):
        if number and random.random() < _KEPT:
            emotion = lines[-1].emotion
        else:
            emotion = str(random.choice(labels, p=shares))
        shown = {by: bool(random.random() < p) for by, p in SHOWN.items()}
        if not (shown["words"] or shown["voice"]):
            shown[str(random.choice(["words", "voice"]))] = True
        others = [name for name in cast if not lines or name != lines[-1].speaker]
        lines.append(
            Line(
                str(random.choice(others)),
                emotion,
                _sentiment(emotion, random),
                _words(emotion if shown["words"] else "neutral", random),
                shown,
            )
        )
    return lines


def _sentiment(emotion: str, random: np.random.Generator) -> str:
    if emotion == "surprise":
        return str(random.choice(["positive", "negative"]))
    return {"joy": "positive", "neutral": "neutral"}.get(emotion, "negative")


def _words(emotion: str, random: np.random.Generator) -> str:
    opening, subject, verb = (
        str(random.choice(words)) for words in (_OPENINGS, _SUBJECTS, _VERBS)
    )
    sentence = f"{opening}{subject} {verb}."
    sentence = sentence[0].upper() + sentence[1:]
    if emotion == "neutral":
        return sentence
    phrase = str(random.choice(_PHRASES[emotion]))
    return f"{phrase} {sentence}" if random.random() < 0.7 else phrase
