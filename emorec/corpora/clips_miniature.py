"""A miniature of raw clips with CMU-MOSEI's labels: films, transcripts, word vectors.

Each talker says a few sentences in one film. What is felt shows in words, voice and
face, each for itself and not always, as much as its label says. No picture, sound or
word is of a person; scores on it say that the program works.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from emorec.corpora import drawn_faces, drawn_voices
from emorec.corpora.drawn_faces import EYES, MOUTH_OPEN
from emorec.corpora.drawn_videos import write_film
from emorec.corpora.drawn_voices import CONTROL, RATE
from emorec.errors import DataError, SpecError
from emorec.files import exclusive, whole_file
from emorec.labels import MOSEI, MOSEI_ALL
from emorec.progress import track

MARK = "SYNTHETIC"
LABELS, VECTORS = "labels.csv", "vectors.txt"
CLIPS, SEGMENTS = "clips", 4
VIDEO_RATE, SIZE = 5, 72
_ENLARGED, _ZOOM = 1.6, 2
_WIDTH = 16
# How often words, voice and face show what is felt.
_SHOWN = {"words": 0.75, "voice": 0.75, "face": 0.75}
_PAUSE, _WORD = 0.3, 0.26
_DRAWN = {"happy": "happiness", "sad": "sadness"}
_TELLING = {
    "happy": ("glad", "wonderful", "love", "great"),
    "sad": ("lonely", "lost", "cry", "miss"),
    "anger": ("furious", "unfair", "hate", "stop"),
    "surprise": ("suddenly", "wow", "really", "unexpected"),
    "disgust": ("rotten", "gross", "sick", "stink"),
    "fear": ("scared", "danger", "hide", "dark"),
}
_PLAIN = (
    *("the", "train", "and", "table", "goes", "to", "office", "on", "monday", "it's"),
    *("a", "blue", "bag", "for", "my", "sister", "with", "coffee", "at", "seven"),
)


class _Said(NamedTuple):
    """One sentence: when, what, and how it is felt and shown."""

    start: float
    end: float
    words: str
    emotion: str  # of `MOSEI`, or neutral
    strength: float  # 0 to 3
    shown: dict[str, bool]


def is_miniature(path: str | Path) -> bool:
    """Tell whether a path is a folder of the miniature."""
    return (Path(path) / MARK).is_file()


def write_clips(folder: str | Path, seed: int = 0, videos: int = 40) -> bool:
    """Write the miniature.

    - ``clips/clip_00.mp4`` and so on: a talker's face, 72 x 72 pixels, 5 pictures a
      second, and voice; about 10 s;
    - ``clips/clip_00.srt``: what is said, a cue a sentence;
    - ``labels.csv``: four segments a clip with sentiment and six emotions;
    - ``vectors.txt``: vectors of the words, in GloVe's form.

    Parameters
    ----------
    folder : path
        Made when absent. Must hold no other files.
    seed : int
        Everything follows from it.
    videos : int
        3 or more.

    Returns
    -------
    bool
        False when it was there already, complete.

    Raises
    ------
    SpecError
        For fewer videos.
    DataError
        When the folder holds other files.
    MissingExtraError
        When PyAV is not installed.
    """
    if videos < 3:
        raise SpecError(f"A miniature of {videos} clips: expected 3 or more.")
    folder = Path(folder)
    mark = f"Synthesised by emorec; no people. seed {seed}, {videos} clips\n"
    with exclusive(folder / ".lock"):
        if is_miniature(folder):
            if (folder / MARK).read_text() != mark:
                raise DataError(
                    f"{folder}: holds another miniature "
                    f"({(folder / MARK).read_text().strip()}). Choose another folder."
                )
            if (folder / LABELS).is_file():
                return False
        elif others := [path.name for path in folder.iterdir() if path.name[0] != "."]:
            raise DataError(
                f"{folder}: holds other files ({', '.join(others[:3])}). Choose "
                "another folder."
            )
        with whole_file(folder / MARK) as temporary:
            temporary.write_text(mark)
        _write_vectors(folder / VECTORS, np.random.default_rng((seed, 0)))
        rows = []
        for number in track(range(videos), "Writing clips"):
            name = f"clip_{number:02d}"
            random = np.random.default_rng((seed, 1, number))
            script = _script(random)
            path = folder / CLIPS / f"{name}.mp4"
            if not path.is_file():
                _write_film(path, script, np.random.default_rng((seed, 2, number)))
            _write_transcript(path.with_suffix(".srt"), script)
            rows += [_row(name, said) for said in script]
        # Last, so that an interrupted writing is taken up again.
        table = pd.DataFrame(rows, columns=["id", "start", "end", *MOSEI_ALL.labels])
        with whole_file(folder / LABELS) as temporary:
            table.to_csv(temporary, index=False)
    return True


def _script(random: np.random.Generator) -> list[_Said]:
    script, clock = [], 0.2
    for _ in range(SEGMENTS):
        emotion = str(random.choice([*MOSEI.labels, "neutral"]))
        strength = 0.0 if emotion == "neutral" else float(random.choice([1, 2, 3]))
        shown = {name: bool(random.random() < share) for name, share in _SHOWN.items()}
        shown[str(random.choice(list(_SHOWN)))] = True
        words = list(random.choice(_PLAIN, int(random.integers(5, 9))))
        if strength and shown["words"]:
            telling = random.choice(_TELLING[emotion], int(strength))
            places = random.permutation(len(words))[: len(telling)]
            for place, word in zip(places, telling, strict=True):
                words[place] = word
        end = round(clock + _WORD * len(words), 2)
        script.append(_Said(clock, end, " ".join(words), emotion, strength, shown))
        clock = round(end + _PAUSE, 2)
    return script


def _row(name: str, said: _Said) -> tuple:
    scores = [said.strength * (said.emotion == label) for label in MOSEI.labels]
    good = 1 if said.emotion == "happy" else -1
    unclear = said.emotion in ("surprise", "neutral")
    return name, said.start, said.end, 0.0 if unclear else good * said.strength, *scores


def _write_vectors(path: Path, random: np.random.Generator) -> None:
    lines = []
    for emotion, words in {**_TELLING, "neutral": _PLAIN}.items():
        meaning = random.normal(0, 1, _WIDTH) * (emotion != "neutral")
        # As read: contractions are two words.
        for word in dict.fromkeys(w for text in words for w in text.split("'")):
            vector = meaning + random.normal(0, 0.3, _WIDTH)
            lines.append(" ".join([word, *(f"{number:.4f}" for number in vector)]))
    with whole_file(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n")


def _write_transcript(path: Path, script: list[_Said]) -> None:
    cues = [
        f"{number}\n{_time(said.start)} --> {_time(said.end)}\n{said.words}\n"
        for number, said in enumerate(script, 1)
    ]
    with whole_file(path) as temporary:
        temporary.write_text("\n".join(cues), encoding="utf-8")


def _time(seconds: float) -> str:
    milliseconds = round(1000 * seconds)
    return (
        f"00:{milliseconds // 60_000:02d}:{milliseconds // 1000 % 60:02d}"
        f",{milliseconds % 1000:03d}"
    )


def _write_film(path: Path, script: list[_Said], random: np.random.Generator) -> None:
    """Draw and speak a clip."""
    voice = drawn_voices.any_voice(random)
    total = script[-1].end + _PAUSE
    sound, opening = np.zeros(int(total * RATE)), np.zeros(int(total * CONTROL) + 1)
    feeling = np.zeros((int(total * VIDEO_RATE), 6)) + drawn_faces.blend("neutral", 0.0)
    moments = np.arange(len(feeling)) / VIDEO_RATE
    for said in script:
        emotion = _DRAWN.get(said.emotion, said.emotion)
        strength = said.strength / 3
        prosody = drawn_voices.blend(
            emotion if said.shown["voice"] else "neutral", 1.6 * strength, random
        )
        spoken, opened = drawn_voices.speak(
            voice, prosody, said.end - said.start, random
        )
        for whole, part, rate in ((sound, spoken, RATE), (opening, opened, CONTROL)):
            first = int(said.start * rate)
            whole[first : first + len(part)] = part
        if said.shown["face"]:
            inside = (moments >= said.start) & (moments < said.end)
            feeling[inside] = drawn_faces.blend(emotion, 0.4 + 0.6 * strength)
    sound = drawn_voices.room(sound, 10**-3.2, random)
    shapes = feeling + random.normal(0, 0.05, 6) + random.normal(0, 0.04, feeling.shape)
    shapes[:, MOUTH_OPEN] += 0.2 * opening[(moments * CONTROL).astype(int)]
    shapes[random.random(len(shapes)) < 0.03, EYES] = -0.4
    look = drawn_faces.any_look(random)
    images = [
        drawn_faces.draw_face(shape, look, random, SIZE, _ENLARGED, 4.0, _ZOOM)
        for shape in shapes
    ]
    write_film(path, images, VIDEO_RATE, sound, RATE)
