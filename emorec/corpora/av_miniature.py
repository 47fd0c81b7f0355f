"""A miniature of RAVDESS: synthetic actors, as video files with sound and sound files.

Each actor has a face and a voice of their own, and in each clip one of the eight
emotions. Face and voice show it imperfectly, each in another way: on some faces two
emotions look much alike, and those two sound different; others sound alike and look
different. So a network of both can tell what neither face nor voice tells alone. No
picture or sound is of a person; scores on it say that the program works.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from emorec.corpora import drawn_faces, drawn_voices
from emorec.corpora.drawn_faces import EYES, MOUTH_OPEN, SHAPES
from emorec.corpora.drawn_voices import CONTROL, PROSODY, RATE, Prosody
from emorec.corpora.ravdess import ACTORS, AUDIO_ONLY, BOTH, SPEECH, Name
from emorec.errors import DataError, MissingExtraError, SpecError
from emorec.files import exclusive, whole_file
from emorec.labels import RAVDESS
from emorec.progress import track

DATASET = "emorec RAVDESS miniature (synthetic)"
FOLDER = "ravdess_miniature"
CLIPS, MOST = 8, 32  # of each actor
SIZE, FRAME_RATE = 96, Fraction(5, 2)
SHORTEST, LONGEST = 3.7, 4.2  # seconds

_MARK = "SYNTHETIC"
_CALM = (0.15, 0.02, 0.05, 0.1, 0.35, 0.0)
_FACES = {
    "neutral": SHAPES["neutral"],
    "calm": _CALM,
    "happy": SHAPES["happiness"],
    "sad": SHAPES["sadness"],
    "angry": SHAPES["anger"],
    "fearful": SHAPES["fear"],
    "disgust": SHAPES["disgust"],
    "surprised": SHAPES["surprise"],
}
_VOICES = {
    "neutral": PROSODY["neutral"],
    "calm": Prosody(-1.5, 0.9, -2.5, -5, 0.78, -0.25, 1.15, 0.12, 0.14, 1.5),
    "happy": PROSODY["happiness"],
    "sad": PROSODY["sadness"],
    "angry": PROSODY["anger"],
    "fearful": PROSODY["fear"],
    "disgust": PROSODY["disgust"],
    "surprised": Prosody(6.0, 4.0, 7.0, 2, 0.92, 0.0, 1.1, 0.2, 0.35, 1.1),
}
# What is taken for what: it shows itself as the other, but for a share of its own.
_LOOKS_LIKE = {"calm": "neutral", "disgust": "angry", "fearful": "surprised"}
_SOUNDS_LIKE = {
    "disgust": "neutral",
    "calm": "sad",
    "happy": "surprised",
    "fearful": "angry",
}
_OWN = 0.15
_WALL = 235.0
# The two intensities of RAVDESS: how strongly a clip shows its emotion.
_STRENGTHS = {1: 0.9, 2: 1.2}


def is_miniature(folder: str | Path) -> bool:
    """Tell whether a folder holds the miniature."""
    return (Path(folder) / _MARK).is_file()


def clips_in(folder: str | Path) -> int | None:
    """Return how many clips each actor of a miniature has; None where there is none."""
    mark = Path(folder) / _MARK
    found = re.search(r"(\d+) clips each", mark.read_text() if mark.is_file() else "")
    return int(found[1]) if found else None


def write_ravdess(folder: str | Path, seed: int = 0, clips: int = CLIPS) -> bool:
    """Write the miniature, with the files and names of RAVDESS.

    - ``Actor_NN/01-01-EE-II-SS-RR-NN.mp4``: 3.7 to 4.2 s; 96 x 96 pixels, all of them
      the face, 2.5 frames a second; with the sound;
    - ``Actor_NN/03-01-EE-II-SS-RR-NN.wav``: the same sound, 16 kHz, 16 bits, one
      channel.

    24 actors, men with odd numbers; the emotions of an actor are as even as `clips`
    allows. The file ``SYNTHETIC`` says what this is. An interrupted writing goes on.

    Parameters
    ----------
    folder : path
        Made when absent. Must hold no other clips.
    seed : int
        Everything follows from it.
    clips : int
        Of each actor, 1 to 32.

    Returns
    -------
    bool
        False when it was there already, complete.

    Raises
    ------
    SpecError
        For another number of clips.
    DataError
        When the folder holds other clips, or a miniature of other settings.
    MissingExtraError
        When PyAV is not installed.
    """
    if not 1 <= clips <= MOST:
        raise SpecError(
            f"A miniature of {clips} clips of each actor: expected 1 to 32."
        )
    folder = Path(folder)
    mark = f"Synthesised by emorec; no people. seed {seed}, {clips} clips each\n"
    names = list(_plan(clips))
    if _is_complete(folder, mark, names):
        return False
    _require_av()
    with exclusive(folder / ".lock"):
        if _is_complete(folder, mark, names):  # by who had the lock before
            return False
        with whole_file(folder / _MARK) as temporary:
            temporary.write_text(mark)
        for name in track(names, "Synthesising actors"):
            # The sound is written last, so a clip with it is whole.
            if not sound_path(folder, name).is_file():
                _write_clip(folder, name, seed)
    return True


def video_path(folder: Path, name: Name) -> Path:
    """Return where the video of a clip lies."""
    return folder / f"Actor_{name.speaker}" / f"{name._replace(modality=BOTH)}.mp4"


def sound_path(folder: Path, name: Name) -> Path:
    """Return where the sound of a clip lies."""
    sound = name._replace(modality=AUDIO_ONLY)
    return folder / f"Actor_{name.speaker}" / f"{sound}.wav"


def _require_av() -> None:
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("av", "faces", "Writing videos") from error


def _is_complete(folder: Path, mark: str, names: list[Name]) -> bool:
    """Tell whether this very miniature is there; refuse another's folder."""
    if is_miniature(folder):
        found = (folder / _MARK).read_text()
        if found != mark:
            raise DataError(
                f"{folder}: holds another miniature ({found.strip()}); asked for is "
                f"({mark.strip()}). Remove it or choose another folder."
            )
        return all(sound_path(folder, name).is_file() for name in names)
    if others := sorted(path.name for path in folder.glob("Actor_*")):
        raise DataError(
            f"{folder}: holds other files ({others[0]}), and no miniature. Choose "
            "another folder."
        )
    return False


def _plan(clips: int) -> Iterator[Name]:
    """Yield what each actor says in what mood: every emotion as often, if it can be."""
    for actor in range(1, ACTORS + 1):
        for number in range(clips):
            emotion = (number + actor) % len(RAVDESS) + 1
            take = number // len(RAVDESS)
            # As in RAVDESS, nobody is strongly neutral.
            strong = 0 if emotion == 1 else (take + actor + emotion) % 2
            yield Name(
                BOTH, SPEECH, emotion, 1 + strong, 1 + take % 2, 1 + take // 2, actor
            )


def _shown(table: dict, taken_for: dict[str, str], emotion: str) -> np.ndarray:
    """Return how an emotion shows itself: almost as the one that it is taken for."""
    own = np.array(table[emotion])
    other = np.array(table[taken_for.get(emotion, emotion)])
    return other + _OWN * (own - other)


class _Actor:
    """A face and a voice that stay the same in all clips."""

    def __init__(self, seed: int, number: int) -> None:
        random = np.random.default_rng((seed, 1, number))
        female = number % 2 == 0
        heights = (0.55, 1.0) if female else (0.0, 0.45)
        # The microphone is as far from everyone.
        self.voice = drawn_voices.any_voice(random, *heights)._replace(
            loudness=10 ** random.uniform(-1.4, -1.25)
        )
        # All sit before the same bright wall and in the same clothes.
        self.look = drawn_faces.any_look(random)._replace(
            background=_WALL,
            skin=random.uniform(165, 195),
            tilt=np.deg2rad(random.normal(0, 1.5)),
            centre=random.normal(0, 0.007, 2),
            scale=random.uniform(0.43, 0.445),
            blur=0.0,
            light=tuple(random.uniform(-5, 5, 2)),
            width=random.uniform(0.80, 0.86),
            mouth=random.uniform(0.38, 0.43),
            apart=random.uniform(0.33, 0.36),
            clothes=60.0,
        )
        # How much less green and blue than red the skin has; the wall has all.
        self.tint = np.cumsum(
            [0.0, random.uniform(0.14, 0.19), random.uniform(0.1, 0.16)]
        )
        self.rest = random.normal(0, 0.03, 6)

    def perform(
        self, name: Name, random: np.random.Generator
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return the sound of a clip and its frames (96, 96, 3) uint8."""
        emotion = RAVDESS.labels[name.class_index]
        seconds = round(random.uniform(SHORTEST, LONGEST), 2)
        strength = _STRENGTHS[name.intensity] + random.normal(0, 0.08)
        said = Prosody(*_shown(_VOICES, _SOUNDS_LIKE, emotion))
        prosody = drawn_voices.blend(said, strength, random)
        sound, opening = drawn_voices.speak(self.voice, prosody, seconds, random)
        sound = drawn_voices.room(sound, 10 ** random.uniform(-3.4, -3.0), random)
        strength = _STRENGTHS[name.intensity] + random.normal(0, 0.08)
        return sound, self._film(emotion, strength, opening, random)

    def _film(self, emotion, strength, opening, random) -> list[np.ndarray]:
        """Draw the frames: the mouth speaks, eyes blink, the head sways."""
        moments = np.arange(0, len(opening) / CONTROL, float(1 / FRAME_RATE))
        strengths = np.clip(strength + random.normal(0, 0.1, len(moments)), 0.1, 1.2)
        shown = _shown(_FACES, _LOOKS_LIKE, emotion)
        shapes = drawn_faces.blend(shown, strengths) + self.rest
        shapes += random.normal(0, 0.06, shapes.shape[1])
        shapes += random.normal(0, 0.03, shapes.shape)
        shapes[:, MOUTH_OPEN] += 0.2 * opening[(moments * CONTROL).astype(int)]
        shapes[random.random(len(moments)) < 0.04, EYES] = -0.4
        sway = np.cumsum(random.normal(0, 0.004, (len(moments), 3)), axis=0)
        frames = []
        for shape, move in zip(shapes, sway - sway.mean(axis=0), strict=True):
            look = self.look._replace(
                centre=self.look.centre + move[:2], tilt=self.look.tilt + move[2]
            )
            grey = drawn_faces.draw_face(shape, look, random, SIZE, noise=3.0, zoom=2)
            share = np.clip((_WALL - grey[..., None]) / _WALL, 0, 0.4) / 0.4
            coloured = grey[..., None] * (1 - share * self.tint)
            frames.append(np.rint(coloured).astype(np.uint8))
        return frames


def _write_clip(folder: Path, name: Name, seed: int) -> None:
    """Write the video, then the sound, by which a clip counts as written."""
    random = np.random.default_rng((seed, 2, *name))
    sound, frames = _Actor(seed, name.actor).perform(name, random)
    pcm = np.rint(sound * 32767).astype("<i2")
    with whole_file(video_path(folder, name)) as temporary:
        _write_video(temporary, frames, pcm)
    drawn_voices.write_sound(sound_path(folder, name), sound)


def _write_video(path: Path, frames: list[np.ndarray], pcm: np.ndarray) -> None:
    """Write frames and sound (N,) int16 as an mp4 file."""
    import av

    with av.open(str(path), "w", format="mp4") as container:
        # Both codecs come with every FFmpeg.
        film = container.add_stream("mpeg4", rate=FRAME_RATE)
        film.height, film.width = frames[0].shape[:2]
        film.pix_fmt, film.bit_rate = "yuv420p", 1_500_000
        film.thread_count = 1
        # The default search for the best coding takes longer than all the rest.
        search = {"aac_coder": "fast"}
        voice = container.add_stream("aac", rate=RATE, layout="mono", options=search)
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, 1 / FRAME_RATE
            container.mux(film.encode(frame))
        container.mux(film.encode())
        samples = (pcm / 32768).astype(np.float32)
        for first in range(0, len(samples), 1024):
            part = av.AudioFrame.from_ndarray(
                samples[None, first : first + 1024], format="fltp", layout="mono"
            )
            part.sample_rate, part.pts = RATE, first
            part.time_base = Fraction(1, RATE)
            container.mux(voice.encode(part))
        container.mux(voice.encode())
