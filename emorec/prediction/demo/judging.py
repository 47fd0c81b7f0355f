"""From what somebody gave to the page to what the page shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emorec.errors import DataError, EmorecError
from emorec.features.video import VIDEO_SUFFIXES
from emorec.prediction.asking import Fusion
from emorec.prediction.demo.limits import Limits
from emorec.prediction.inputs import Named, open_recording
from emorec.prediction.media import SOUND_SUFFIXES
from emorec.prediction.outputs import file_of, read_table
from emorec.prediction.predictor import Given, Predictor
from emorec.prediction.recordings import Recording, Span
from emorec.prediction.run import PredictSettings, predict_clips

Progress = Callable[[float, str], None]
_NOTHING = "Drop a clip, record one, or type words first."


@dataclass
class Judged:
    """What was found out about a clip.

    Attributes
    ----------
    recording : Recording
        What was given.
    table : pandas.DataFrame
        The predictions.
    figure : Path
        The timeline.
    files : list of Path
        To be downloaded: the table as CSV and JSON, and others that are there.
    overlay : Path or None
        The video with the scores.
    warnings : list of str
        What could not be read to its end.
    """

    recording: Recording
    table: pd.DataFrame
    figure: Path
    files: list[Path]
    overlay: Path | None = None
    warnings: list[str] = field(default_factory=list)


class Judge:
    """Models with what a page allows.

    Parameters
    ----------
    predictors : sequence of Predictor
        One or more.
    settings : PredictSettings
        Spans and batches.
    limits : Limits
        Of clips.
    fusion : Fusion, optional
        Joins the models' scores.
    """

    def __init__(
        self,
        predictors: Sequence[Predictor],
        settings: PredictSettings,
        limits: Limits,
        fusion: Fusion | None = None,
    ) -> None:
        self.predictors, self.settings = list(predictors), settings
        self.limits, self.fusion = limits, fusion

    @property
    def takes(self) -> set[str]:
        """What some model can use."""
        return {name for predictor in self.predictors for name in predictor.takes}

    def judge(
        self,
        folder: Path,
        media: Path | None,
        words: str,
        transcript: Path | None,
        overlay: bool,
        progress: Progress,
    ) -> Judged:
        """Ask the models about one clip.

        Parameters
        ----------
        folder : Path
            For everything that is written.
        media : Path or None
            Video or sound.
        words : str
            What is said, without times.
        transcript : Path or None
            srt, vtt or txt, in place of `words`.
        overlay : bool
            Also draw the scores into the video.
        progress : callable
            Receives the part that is done, 0 to 1, and what is done now.

        Raises
        ------
        EmorecError
            When something cannot be used; the message shows no path of this machine.
        """
        try:
            return self._judge(folder, media, words, transcript, overlay, progress)
        except EmorecError as error:
            # Who uses the page knows names of files, not where the server keeps them.
            text = str(error)
            for place in (folder / "given", folder / "scores", folder):
                text = text.replace(f"{place}/", "").replace(f"{place}\\", "")
            raise DataError(text) from error

    def _judge(
        self,
        folder: Path,
        media: Path | None,
        words: str,
        transcript: Path | None,
        overlay: bool,
        progress: Progress,
    ) -> Judged:
        text = self._text(folder, words, transcript)
        given = [file for file in (media, text) if file is not None]
        if not given:
            raise DataError(_NOTHING)
        for file in given:
            self.limits.check_size(file)
        if media is not None and media.suffix.lower() not in (
            VIDEO_SUFFIXES | SOUND_SUFFIXES
        ):
            raise DataError(
                f"{media.name}: expected a video or a sound, as mp4, webm, mov, wav, "
                "mp3 or m4a."
            )
        name = (media or Path("words")).stem[:80] or "clip"
        named = Named(name, media, None, text)
        progress(0.0, "Reading")
        recording = open_recording(named)
        self.limits.check_length(recording)
        watched = [
            _Watched(predictor, n, len(self.predictors), progress)
            for n, predictor in enumerate(self.predictors)
        ]
        output = folder / "scores"
        result = predict_clips(
            watched, [named], output, self.settings, fusion=self.fusion
        )
        reasons = [reason for _, reason in result.failures]
        if not result.tables:
            raise DataError("; ".join(reasons))
        table = read_table(result.tables[name])
        progress(0.85, "Drawing")
        found = Judged(recording, table, file_of(output, name, ".png"), [])
        found.warnings = reasons
        self._draw(found, output, overlay, progress)
        progress(1.0, "Done")
        return found

    def _text(self, folder: Path, words: str, transcript: Path | None) -> Path | None:
        if transcript is not None and words.strip():
            raise DataError(
                "Words: give a transcript file or type what is said, not both."
            )
        if not words.strip():
            return transcript
        path = folder / "given" / "words.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(words, encoding="utf-8")
        return path

    def _draw(
        self, found: Judged, output: Path, overlay: bool, progress: Progress
    ) -> None:
        from emorec.evaluation.figures import save
        from emorec.prediction.overlay import write_overlay
        from emorec.prediction.timeline import timeline_figure

        recording, name = found.recording, found.recording.id
        save(timeline_figure(found.table, name, recording.duration), found.figure)
        faces = file_of(output, name, ".faces.csv")
        if overlay and recording.video is not None:
            progress(0.9, "Drawing into the video")
            boxes = pd.read_csv(faces) if faces.is_file() else None
            film = file_of(output, name, ".scores.mp4")
            try:
                write_overlay(recording.video, found.table, boxes, film)
                found.overlay = film
            except DataError as error:
                found.warnings.append(str(error))
        parts = (
            file_of(output, name, ending)
            for ending in (".csv", ".json", ".png", ".faces.csv", ".scores.mp4")
        )
        found.files = [path for path in parts if path.is_file()]


class _Watched:
    """A predictor that tells how far it is."""

    def __init__(
        self, predictor: Predictor, number: int, count: int, progress: Progress
    ) -> None:
        self.name, self.schema = predictor.name, predictor.schema
        self.takes = predictor.takes
        self._inner, self._progress = predictor, progress
        # All models read the same spans by turns; the last one is the furthest behind.
        self._tells = number == count - 1

    def given(self, recording: Recording, spans: Sequence[Span]) -> Iterator[Given]:
        for number, given in enumerate(self._inner.given(recording, spans)):
            if self._tells:
                part = 0.05 + 0.75 * number / len(spans)
                self._progress(part, f"Span {number + 1} of {len(spans)}")
            yield given

    def scores(self, contents: Sequence[Any]) -> np.ndarray:
        return self._inner.scores(contents)
