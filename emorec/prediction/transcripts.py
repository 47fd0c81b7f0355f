"""What was said when: subtitles (SubRip, WebVTT) and plain text as spans."""

from __future__ import annotations

from pathlib import Path

from emorec.errors import DataError
from emorec.features.subtitles import read_subtitles, read_text
from emorec.prediction.recordings import Span

SUFFIXES = (".srt", ".vtt", ".txt")
# Of a text alone, which takes no time: one second, so that it is one span.
NOMINAL = 1.0


def read_transcript(
    path: str | Path, duration: float | None = None
) -> tuple[Span, ...]:
    """Read a transcript.

    Parameters
    ----------
    path : path
        Subtitles (`emorec.features.subtitles.read_subtitles`), or a plain ``.txt``.
    duration : float, optional
        Seconds of the recording that it belongs to; of a plain text, which has no
        times, the end of its one span. Without it that is `NOMINAL`.

    Returns
    -------
    tuple of Span
        One or more, in the order of their beginnings. Cues without words have none.

    Raises
    ------
    DataError
        When the file is none of these; see `read_subtitles`.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{path}: expected a transcript, {', '.join(SUFFIXES)}.")
    if path.suffix.lower() == ".txt":
        return (Span(0.0, duration or NOMINAL, " ".join(read_text(path).split())),)
    return tuple(Span(*cue) for cue in read_subtitles(path))
