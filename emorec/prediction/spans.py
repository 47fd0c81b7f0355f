"""The spans of a recording that models are asked about."""

from __future__ import annotations

from dataclasses import dataclass

from emorec.errors import DataError, SpecError
from emorec.prediction.recordings import Recording, Span

BY = ("auto", "cues", "windows")
# What the shortest sound of the speech networks is; see `features.crops`.
_SHORTEST = 1.1


@dataclass(frozen=True)
class Spans:
    """How recordings are divided.

    Attributes
    ----------
    by : {"auto", "cues", "windows"}
        At the cues of the transcript, or in windows; auto takes the cues of a
        transcript with more than one.
    window, step : float
        Seconds that a window lasts, and from one beginning to the next.
    """

    by: str = "auto"
    window: float = 4.0
    step: float = 2.0

    def __post_init__(self) -> None:
        if self.by not in BY:
            raise SpecError(f"--spans {self.by}: expected {', '.join(BY)}.")
        if not (_SHORTEST <= self.window <= 600 and 0.1 <= self.step <= self.window):
            raise SpecError(
                f"--window {self.window:g} --step {self.step:g}: expected a window of "
                f"{_SHORTEST:g} to 600 s, and a step from 0.1 s to that window."
            )

    def of(self, recording: Recording) -> list[Span]:
        """Return the spans of a recording in the order of time.

        Windows have the words of all cues that they overlap. The last one ends with
        the recording: it begins less than a step after the one before it, or, where
        less than half a step is left, that one is longer. A recording that is no
        longer than a window is one.

        Raises
        ------
        DataError
            When cues are asked for and the recording has none.
        """
        cues = recording.cues
        if self.by == "cues" and not cues:
            raise DataError(
                f"{recording.id}: --spans cues needs a transcript with times (srt or "
                "vtt); it has none."
            )
        if self.by == "cues" or (self.by == "auto" and len(cues) > 1):
            return list(cues)
        end, starts = recording.duration, [0.0]
        while starts[-1] + self.window < end - self.step / 2:
            starts.append(round(min(starts[-1] + self.step, end - self.window), 3))
        stops = [round(start + self.window, 3) for start in starts[:-1]] + [end]
        spans = []
        for start, stop in zip(starts, stops, strict=True):
            said = [c.text for c in cues if c.start < stop and c.end > start]
            spans.append(Span(start, stop, " ".join(filter(None, said))))
        return spans
