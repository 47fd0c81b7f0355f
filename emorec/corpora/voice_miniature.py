"""A miniature of VoxCeleb1 with EmoVoxCeleb's split: synthetic talkers.

Each talker has a face and a voice of their own, and in each clip one hidden emotion
that both show. So a network on faces can teach a network on voices, as Albanie,
Nagrani, Vedaldi and Zisserman (2018) had it. No sound or picture is of a person; scores
on it say that the program works.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from emorec.corpora import drawn_faces, drawn_voices
from emorec.corpora.drawn_faces import EYES, MOUTH_OPEN, Look
from emorec.corpora.drawn_voices import CONTROL, Voice
from emorec.errors import DataError, SpecError
from emorec.files import exclusive, whole_file
from emorec.labels import FERPLUS
from emorec.progress import track

DATASET = "emorec voices miniature (synthetic)"
FOLDER = "miniature"
WAV, FACES = "wav", "faces"
SPLIT_FILE, EMOTIONS_FILE = "emovoxceleb_split.txt", "emotions.csv"
# EmoVoxCeleb's numbers; the second holds talkers that are in neither other.
TRAIN, UNHEARD, HEARD = 1, 2, 3
# VoxCeleb enlarged the boxes of faces by this, and every 6th of 25 frames a second was
# kept (Albanie 2018, section 4.1).
ENLARGED = 1.6
VIDEO_RATE, EVERY = 25, 6
SIZE = 64
# Lines drawn only twice as large fall on whole pixels, and brows then look angry.
_ZOOM = 3

_MARK = "SYNTHETIC"
# In the order of FER+: as in the field, neutral and happy faces are most.
_SHARES = (0.30, 0.22, 0.13, 0.12, 0.12, 0.03, 0.05, 0.03)
_CLIPS_PER_VIDEO = 2
# One in so many of a talker's clips, of other videos, is for heardVal.
_HEARD_EACH = 7


class _Clip(NamedTuple):
    speaker: str
    video: str
    number: int
    part: int
    emotion: str

    @property
    def path(self) -> str:
        return f"{self.speaker}/{self.video}/{self.number:05d}.wav"

    def track(self, folder: Path) -> Path:
        name = f"{self.number:05d}"
        return folder / FACES / self.speaker / "1.6" / self.video / name


def is_miniature(folder: str | Path) -> bool:
    """Tell whether a folder holds the miniature."""
    return (Path(folder) / _MARK).is_file()


def write_voxceleb(
    folder: str | Path, seed: int = 0, speakers: int = 32, clips_per_speaker: int = 14
) -> bool:
    """Write the miniature: sounds, face tracks, the split, and the hidden emotions.

    - ``wav/ID/VIDEO/00001.wav``: 4.2 to 7 s, 16 kHz, 16 bits, one channel;
    - ``faces/ID/1.6/VIDEO/00001/0000001.png``: every 6th of 25 frames a second, the
      face's box enlarged 1.6 times;
    - ``emovoxceleb_split.txt``: ``SET ID/VIDEO/00001.wav``; 1 is train, 2 unheardVal,
      3 heardVal;
    - ``emotions.csv``: ``id,emotion``, for people to look at. Nothing reads it.

    A quarter of the talkers is unheard. As in the real corpus one sound has no frame of
    its face, and one face no sound.

    Parameters
    ----------
    folder : path
        Made when absent. Must hold no other sounds.
    seed : int
        Everything follows from it.
    speakers : int
        Talkers, 2 or more.
    clips_per_speaker : int
        3 or more.

    Returns
    -------
    bool
        False when it was there already, complete.

    Raises
    ------
    SpecError
        For too few talkers or clips.
    DataError
        When the folder holds other sounds, or a miniature of other settings.
    """
    if speakers < 2 or clips_per_speaker < 3:
        raise SpecError(
            f"A miniature of {speakers} speakers with {clips_per_speaker} clips each: "
            "expected at least 2 and 3."
        )
    folder = Path(folder)
    settings = f"seed {seed}, {speakers} speakers, {clips_per_speaker} clips each"
    mark = f"Synthesised by emorec; no people. {settings}\n"
    if _is_complete(folder, mark):
        return False
    with exclusive(folder / ".lock"):
        if _is_complete(folder, mark):  # by who had the lock before
            return False
        with whole_file(folder / _MARK) as temporary:
            temporary.write_text(mark)
        clips = _plan(np.random.default_rng(seed), speakers, clips_per_speaker)
        ids = sorted({clip.speaker for clip in clips})
        faceless = next(clip for clip in reversed(clips) if clip.part == TRAIN)
        for number, clip in enumerate(track(clips, "Synthesising talkers")):
            if (folder / WAV / clip.path).is_file():
                continue
            talker = _Talker(seed, ids.index(clip.speaker))
            random = np.random.default_rng((seed, 2, number))
            _write_clip(folder, clip, talker, random, clip is faceless)
        orphan = clips[0]._replace(video="mini_orphan", number=1)
        random = np.random.default_rng((seed, 2, len(clips)))
        talker = _Talker(seed, ids.index(orphan.speaker))
        _, images = talker.perform(orphan, random)
        _write_track(orphan.track(folder), images)
        table = pd.DataFrame(
            [(clip.path, clip.emotion) for clip in clips], columns=["id", "emotion"]
        )
        with whole_file(folder / EMOTIONS_FILE) as temporary:
            table.to_csv(temporary, index=False)
        # Last, so that an interrupted writing is taken up again.
        with whole_file(folder / SPLIT_FILE) as temporary:
            temporary.write_text("".join(f"{c.part} {c.path}\n" for c in clips))
    return True


def _is_complete(folder: Path, mark: str) -> bool:
    """Tell whether this very miniature is there; refuse another's folder."""
    if is_miniature(folder):
        found = (folder / _MARK).read_text()
        if found != mark:
            raise DataError(
                f"{folder}: holds another miniature ({found.strip()}); asked for is "
                f"({mark.strip()}). Remove it or choose another folder."
            )
        return (folder / SPLIT_FILE).is_file()
    others = [name for name in (WAV, FACES, SPLIT_FILE) if (folder / name).exists()]
    if others:
        raise DataError(
            f"{folder}: holds other files ({', '.join(others)}), and no miniature. "
            "Choose another folder."
        )
    return False


def _plan(
    random: np.random.Generator, speakers: int, clips_per_speaker: int
) -> list[_Clip]:
    """Say who speaks in which clip, for which part and in what mood."""
    ids = [f"id{10001 + number}" for number in range(speakers)]
    unheard = set(random.permutation(ids)[: max(1, speakers // 4)].tolist())
    heard = max(1, clips_per_speaker // _HEARD_EACH)
    clips = []
    for talker, speaker in enumerate(ids):
        parts = [UNHEARD] * clips_per_speaker
        if speaker not in unheard:
            parts = [TRAIN] * (clips_per_speaker - heard) + [HEARD] * heard
        video = number = 0
        for before, part in zip([None, *parts], parts, strict=False):
            number += 1
            # No video is in two parts.
            if part != before or number > _CLIPS_PER_VIDEO:
                video, number = video + 1, 1
            clips.append(
                _Clip(speaker, f"mini_{talker:03d}_{video:02d}", number, part, "")
            )
    for part in (TRAIN, UNHEARD, HEARD):
        places = [place for place, clip in enumerate(clips) if clip.part == part]
        # Shares are kept as well as whole clips allow, so that small parts, too, have
        # the emotions that are common.
        levels = (np.arange(len(places)) + 0.5) / len(places)
        emotions = np.searchsorted(np.cumsum(_SHARES), levels)
        for place, emotion in zip(places, random.permutation(emotions), strict=True):
            label = FERPLUS.labels[min(int(emotion), len(FERPLUS) - 1)]
            clips[place] = clips[place]._replace(emotion=label)
    return clips


class _Talker:
    """A face and a voice that stay the same, in videos that do not."""

    def __init__(self, seed: int, number: int) -> None:
        random = np.random.default_rng((seed, 1, number))
        self.voice: Voice = drawn_voices.any_voice(random)
        self.look: Look = drawn_faces.any_look(random)._replace(
            centre=random.normal(0, 0.015, 2),
            tilt=np.deg2rad(random.normal(0, 4)),
            width=random.uniform(0.78, 0.92),
            mouth=random.uniform(0.35, 0.45),
            apart=random.uniform(0.31, 0.38),
        )
        self.rest = random.normal(0, 0.05, 6)
        self.seed, self.number = seed, number

    def perform(
        self, clip: _Clip, random: np.random.Generator
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return the sound of a clip and the images of its face."""
        video = np.random.default_rng((self.seed, 3, self.number, *clip.video.encode()))
        look = self.look._replace(
            background=video.uniform(20, 240),
            light=tuple(video.uniform(-20, 20, 2)),
            blur=0.0,  # making them smaller is enough, and three times as fast
            clothes=video.uniform(10, 250),
        )
        noise = 10 ** video.uniform(-3.4, -2.7)
        seconds = round(4.2 + 2.8 * random.beta(1, 3), 2)
        strength = random.uniform(0.6, 1.0)
        prosody = drawn_voices.blend(clip.emotion, strength, random)
        sound, opening = drawn_voices.speak(self.voice, prosody, seconds, random)
        sound = drawn_voices.room(sound, noise, random)
        return sound, self._film(clip.emotion, strength, opening, look, random)

    def _film(self, emotion, strength, opening, look, random) -> list[np.ndarray]:
        """Draw the frames: feelings come and go, the mouth speaks, eyes blink."""
        seconds = len(opening) / CONTROL
        moments = np.arange(0, seconds, EVERY / VIDEO_RATE)
        period = random.uniform(2, 5)
        swell = np.sin(2 * np.pi * (moments / period + random.random()))
        strengths = np.clip(strength + 0.25 * swell, 0.1, 1.05)
        shapes = drawn_faces.blend(emotion, strengths) + self.rest
        shapes += random.normal(0, 0.04, shapes.shape)
        steps = np.minimum((moments * CONTROL).astype(int), len(opening) - 1)
        shapes[:, MOUTH_OPEN] += 0.2 * opening[steps]
        shapes[random.random(len(moments)) < 0.04, EYES] = -0.4
        sway = np.cumsum(random.normal(0, 0.006, (len(moments), 3)), axis=0)
        sway -= sway.mean(axis=0)
        return [
            drawn_faces.draw_face(
                shape,
                look._replace(centre=look.centre + move[:2], tilt=look.tilt + move[2]),
                *(random, SIZE, ENLARGED, 4.0, _ZOOM),
            )
            for shape, move in zip(shapes, sway, strict=True)
        ]


def _write_clip(
    folder: Path,
    clip: _Clip,
    talker: _Talker,
    random: np.random.Generator,
    faceless: bool,
) -> None:
    """Write the face track, then the sound, by which a clip counts as written."""
    sound, images = talker.perform(clip, random)
    _write_track(clip.track(folder), [] if faceless else images)
    drawn_voices.write_sound(folder / WAV / clip.path, sound)


def _write_track(path: Path, images: list[np.ndarray]) -> None:
    """Write images beside their place, then move the folder: no track is half."""
    if path.is_dir():
        return
    unfinished = path.with_name(f".writing-{path.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    for number, image in enumerate(images):
        name = f"{1 + EVERY * number:07d}.png"
        Image.fromarray(image).save(unfinished / name, compress_level=1)
    os.replace(unfinished, path)
