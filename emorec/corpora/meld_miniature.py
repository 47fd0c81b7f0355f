"""A miniature of MELD: synthetic dialogues with words, voices and drawn faces.

Words tell an emotion in a little more than half of the utterances that have one, the
voice in two of three, and one of them always does, so that fusion must beat either. No
sound, picture or word is of a person; scores on it say that the program works.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np

from emorec.corpora import drawn_faces, drawn_voices
from emorec.corpora.drawn_faces import EYES, MOUTH_OPEN, Look
from emorec.corpora.drawn_videos import write_film
from emorec.corpora.drawn_voices import CONTROL, RATE, Voice
from emorec.corpora.meld_files import (
    AUDIO,
    MARK,
    RAW,
    SPLITS,
    VIDEO_FOLDERS,
    table_name,
)
from emorec.corpora.meld_script import GUESTS, TALKERS, Line, write_dialogue
from emorec.corpora.meld_table import COLUMNS
from emorec.errors import DataError, SpecError
from emorec.files import exclusive, whole_file
from emorec.progress import track

FOLDER = "miniature"
# Dialogues of train; dev and test have half as many each, 2 or more.
DIALOGUES = 44
VIDEO_RATE, SIZE = 6, 96
# The face's box is the middle of the picture.
_ENLARGED, _ZOOM = 1.6, 2
# What the drawn faces and voices call otherwise.
_DRAWN = {"joy": "happiness"}
# Seconds of a word, and of an utterance beside its words.
_WORD, _REST, _LONGEST = 0.15, 0.6, 2.6
# Some hours of MELD's times have one digit.
_ONE_DIGIT_EACH = 4


class _Clip(NamedTuple):
    split: str
    dialogue: int
    number: int
    line: Line
    begin: float  # in the episode
    seconds: float

    @property
    def key(self) -> str:
        return f"dia{self.dialogue}_utt{self.number}"

    def video(self, folder: Path) -> Path:
        name = f"{self.key}.mp4"
        return folder / self.split / VIDEO_FOLDERS[self.split] / name

    def sound(self, folder: Path) -> Path:
        return folder / AUDIO / self.split / f"{self.key}.wav"


def is_miniature(folder: str | Path) -> bool:
    """Tell whether a folder holds the miniature."""
    return (Path(folder) / MARK).is_file()


def write_meld(
    folder: str | Path, seed: int = 0, dialogues: int = DIALOGUES, video: bool = True
) -> bool:
    """Write the miniature in the form of MELD.Raw.

    - ``{train,dev,test}_sent_emo.csv``: the columns of MELD;
    - ``train/train_splits/dia0_utt0.mp4`` and so on: a face, 96 x 96 pixels, 6 pictures
      a second, with its sound;
    - ``audio/train/dia0_utt0.wav`` and so on: the sound alone, 16 kHz, 16 bits.

    Moods come in runs within a dialogue. As in MELD most utterances are neutral, the
    main talkers are in every split, one utterance of train has no media, and a file
    of dev is of no utterance.

    Parameters
    ----------
    folder : path
        Made when absent. Must hold no other files of MELD.
    seed : int
        Everything follows from it.
    dialogues : int
        Of train, 2 or more; dev and test have half as many each, 2 or more. A
        dialogue has 4 to 8 utterances.
    video : bool
        False writes words and sounds only, which needs no PyAV.

    Returns
    -------
    bool
        False when it was there already, complete.

    Raises
    ------
    SpecError
        For fewer dialogues.
    DataError
        When the folder holds other files, or a miniature of other settings.
    MissingExtraError
        When videos are wanted and PyAV is not installed.
    """
    if dialogues < 2:
        raise SpecError(f"A miniature of {dialogues} dialogues: expected 2 or more.")
    folder = Path(folder)
    what = "video and sound" if video else "sound"
    mark = (
        "Synthesised by emorec; no people. "
        f"seed {seed}, {dialogues} dialogues to train, {what}\n"
    )
    if _is_complete(folder, mark):
        return False
    with exclusive(folder / ".lock"):
        if _is_complete(folder, mark):  # by who had the lock before
            return False
        with whole_file(folder / MARK) as temporary:
            temporary.write_text(mark)
        clips = _plan(seed, dialogues)
        last = [clip for clip in clips if clip.split == "train"][-1]
        first = next(clip for clip in clips if clip.split == "dev")
        # The last line of a dialogue of dev is lost, its file is there.
        lost = [c for c in clips if c[:2] == first[:2]][-1]
        talkers = {
            name: _Talker(np.random.default_rng((seed, 1, number)))
            for number, name in enumerate((*TALKERS, *GUESTS))
        }
        for number, clip in enumerate(track(clips, "Synthesising dialogues")):
            if clip is not last and not clip.sound(folder).is_file():
                random = np.random.default_rng((seed, 2, number))
                _write_clip(folder, clip, talkers[clip.line.speaker], video, random)
        # Last, so that an interrupted writing is taken up again.
        for split in SPLITS:
            rows = [c for c in clips if c.split == split and c is not lost]
            _write_table(folder / table_name(split), rows)
    return True


def _is_complete(folder: Path, mark: str) -> bool:
    """Tell whether this very miniature is there; refuse another's folder."""
    tables = [folder / table_name(split) for split in SPLITS]
    if is_miniature(folder):
        found = (folder / MARK).read_text()
        if found != mark:
            raise DataError(
                f"{folder}: holds another miniature ({found.strip()}); asked for is "
                f"({mark.strip()}). Remove it or choose another folder."
            )
        return all(path.is_file() for path in tables)
    parts = [*tables, folder / AUDIO, folder / RAW, *(folder / s for s in SPLITS)]
    if others := [path.name for path in parts if path.exists()]:
        raise DataError(
            f"{folder}: holds other files ({', '.join(others)}), and no miniature. "
            "Choose another folder."
        )
    return False


def _plan(seed: int, dialogues: int) -> list[_Clip]:
    """Say who says what, when and in what mood."""
    clips = []
    for place, split in enumerate(SPLITS):
        count = dialogues if split == "train" else max(2, dialogues // 2)
        for dialogue in range(count):
            random = np.random.default_rng((seed, 3, place, dialogue))
            begin = random.uniform(10, 1200)
            for number, line in enumerate(write_dialogue(random)):
                words = len(line.words.split())
                seconds = _REST + _WORD * words + random.uniform(0, 0.3)
                seconds = round(min(seconds, _LONGEST), 2)
                clips.append(_Clip(split, dialogue, number, line, begin, seconds))
                begin += seconds + random.uniform(0.1, 1.0)
    return clips


class _Talker:
    """A face and a voice that stay the same in all dialogues."""

    def __init__(self, random: np.random.Generator) -> None:
        self.voice: Voice = drawn_voices.any_voice(random)
        self.look: Look = drawn_faces.any_look(random)._replace(
            centre=random.normal(0, 0.015, 2),
            tilt=np.deg2rad(random.normal(0, 4)),
            # MTCNN finds drawn faces like these, which are brighter than what is behind
            # them, and loses many of others.
            skin=random.uniform(130, 170),
            dark=random.uniform(30, 50),
            scale=random.uniform(0.43, 0.45),
            width=random.uniform(0.82, 0.88),
            mouth=random.uniform(0.33, 0.37),
            apart=random.uniform(0.345, 0.375),
            clothes=random.uniform(10, 250),
            blur=0.6,
        )
        self.rest = random.normal(0, 0.05, 6)

    def perform(
        self, line: Line, seconds: float, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the sound of a line and how far the mouth is open over time."""
        emotion = line.emotion if line.shown["voice"] else "neutral"
        strength = random.uniform(1.4, 1.7)  # more than people would
        emotion = _DRAWN.get(emotion, emotion)
        prosody = drawn_voices.blend(emotion, strength, random)
        sound, opening = drawn_voices.speak(self.voice, prosody, seconds, random)
        noise = 10 ** random.uniform(-3.4, -2.9)
        return drawn_voices.room(sound, noise, random), opening

    def film(
        self, line: Line, opening: np.ndarray, random: np.random.Generator
    ) -> list[np.ndarray]:
        """Draw the pictures: feelings come and go, the mouth speaks, eyes blink."""
        moments = np.arange(0, len(opening) / CONTROL, 1 / VIDEO_RATE)
        emotion = line.emotion if line.shown["face"] else "neutral"
        strengths = 0.8 + 0.2 * np.sin(2 * np.pi * (moments / 3 + random.random()))
        shapes = drawn_faces.blend(_DRAWN.get(emotion, emotion), strengths) + self.rest
        shapes += random.normal(0, 0.04, shapes.shape)
        steps = np.minimum((moments * CONTROL).astype(int), len(opening) - 1)
        shapes[:, MOUTH_OPEN] += 0.2 * opening[steps]
        shapes[random.random(len(moments)) < 0.03, EYES] = -0.4
        sway = np.cumsum(random.normal(0, 0.006, (len(moments), 3)), axis=0)
        look = self.look._replace(
            background=self.look.skin - random.uniform(50, 90),
            light=tuple(random.uniform(-8, 8, 2)),
        )
        return [
            drawn_faces.draw_face(
                shape,
                look._replace(centre=look.centre + move[:2], tilt=look.tilt + move[2]),
                *(random, SIZE, _ENLARGED, 4.0, _ZOOM),
            )
            for shape, move in zip(shapes, sway, strict=True)
        ]


def _write_clip(
    folder: Path, clip: _Clip, talker: _Talker, video: bool, random: np.random.Generator
) -> None:
    """Write the video, then the sound, by which a clip counts as written."""
    sound, opening = talker.perform(clip.line, clip.seconds, random)
    if video:
        images = talker.film(clip.line, opening, random)
        write_film(clip.video(folder), images, VIDEO_RATE, sound, RATE)
    drawn_voices.write_sound(clip.sound(folder), sound)


def _write_table(path: Path, clips: list[_Clip]) -> None:
    with (
        whole_file(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        table = csv.writer(file)
        table.writerow(["Sr No.", *COLUMNS])
        for number, clip in enumerate(clips, 1):
            line, end = clip.line, clip.begin + clip.seconds
            one_digit = clip.dialogue % _ONE_DIGIT_EACH == 1
            times = [_time(seconds)[one_digit:] for seconds in (clip.begin, end)]
            # A season for each split, so that none has a moment of another.
            season, episode = 1 + SPLITS.index(clip.split), 1 + clip.dialogue
            said = (line.words, line.speaker, line.emotion, line.sentiment)
            key = (clip.dialogue, clip.number)
            table.writerow([number, *said, *key, season, episode, *times])


def _time(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d},{rest % 1000:03d}"
