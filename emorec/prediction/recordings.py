"""A recording of a person, and the stretches of it that models are asked about."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

# What a recording may show, and models may take.
FACE, VOICE, WORDS = "face", "voice", "words"
MODALITIES = (FACE, VOICE, WORDS)


class Span(NamedTuple):
    """A stretch of a recording.

    Attributes
    ----------
    start, end : float
        Seconds since the recording's beginning; `end` is later than `start`.
    text : str
        What is said in it; empty where that is unknown.
    speaker : str
        Who says it; empty where that is unknown.
    """

    start: float
    end: float
    text: str = ""
    speaker: str = ""


@dataclass(frozen=True)
class Recording:
    """One clip of a person; at least one of its three parts is there.

    Attributes
    ----------
    id : str
        Unique among the clips that are asked about.
    video : Path or None
        A video file, or a folder of frames.
    sound : Path or None
        A sound file, or the video file again.
    cues : tuple of Span
        The transcript, in the order of time. Of a text without times, one span that
        begins at 0 and ends with the recording.
    duration : float
        Seconds; of a text alone, the end of its last cue.
    """

    id: str
    video: Path | None
    sound: Path | None
    cues: tuple[Span, ...]
    duration: float

    @property
    def has(self) -> tuple[str, ...]:
        """What the recording may show, of `MODALITIES`, before it is looked into."""
        parts = (self.video, self.sound, self.cues)
        return tuple(name for name, part in zip(MODALITIES, parts, strict=True) if part)
