"""The page itself, by gradio; nothing of it asks another computer for anything."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from emorec.errors import EmorecError, MissingExtraError
from emorec.features.video import VIDEO_SUFFIXES
from emorec.prediction.demo import pieces
from emorec.prediction.demo.judging import Judge
from emorec.prediction.demo.workplace import Workplace
from emorec.prediction.inputs import TEXT_SUFFIXES
from emorec.prediction.media import SOUND_SUFFIXES
from emorec.prediction.recordings import MODALITIES, WORDS

TITLE = "emorec: emotions in a recording"
_FAULT = (
    "emorec failed here, which is no fault of your clip. The terminal in which it was "
    "started shows why."
)
# Who waits for their turn; more are told to come back.
_WAITING = 8


def require_gradio(place: Workplace) -> Any:
    """Import gradio with telemetry off and its files in our folder; return it.

    Raises
    ------
    MissingExtraError
        When it is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(place.cache)
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    try:
        import gradio
    except ImportError as error:
        raise MissingExtraError("gradio", "demo", "The page of emorec demo") from error
    return gradio


def build(gradio: Any, judge: Judge, place: Workplace) -> Any:
    """Return the page as gradio's Blocks.

    Parameters
    ----------
    gradio : module
        Of `require_gradio`.
    judge : Judge
        Asks the models.
    place : Workplace
        Holds all files.
    """
    takes = [name for name in MODALITIES if name in judge.takes]
    media = sorted(VIDEO_SUFFIXES | SOUND_SUFFIXES)
    names = [predictor.name for predictor in judge.predictors]
    with gradio.Blocks(title=TITLE, analytics_enabled=False) as page:
        gradio.HTML(pieces.notice(names, takes, judge.limits))
        with gradio.Row():
            with gradio.Column(scale=1, min_width=320):
                # Of several tabs the one that is open counts.
                chosen = gradio.State("file")
                with gradio.Tabs():
                    with gradio.Tab("File") as by_file:
                        dropped = gradio.File(
                            label="Video or sound", file_types=media, elem_id="clip"
                        )
                    with gradio.Tab("Camera") as by_camera:
                        filmed = gradio.Video(
                            label="Record a video",
                            sources=["webcam"],
                            include_audio=True,
                            webcam_options=gradio.WebcamOptions(mirror=False),
                            buttons=[],
                        )
                    with gradio.Tab("Microphone") as by_sound:
                        spoken = gradio.Audio(
                            label="Record a voice",
                            sources=["microphone"],
                            type="filepath",
                            buttons=[],
                            editable=False,
                        )
                with gradio.Accordion("Words", open=False, visible=WORDS in takes):
                    words = gradio.Textbox(
                        label="What is said", lines=3, max_length=20_000
                    )
                    transcript = gradio.File(
                        label="or a transcript (srt, vtt, txt)",
                        file_types=list(TEXT_SUFFIXES),
                        elem_id="transcript",
                    )
                overlay = gradio.Checkbox(
                    label="Also draw the scores into the video (takes longer)"
                )
                button = gradio.Button(
                    "Ask the models", variant="primary", elem_id="judge"
                )
            with gradio.Column(scale=2, min_width=320):
                shown = gradio.HTML(elem_id="result", min_height=120)
                film = gradio.Video(
                    label="With scores", visible=False, interactive=False, buttons=[]
                )
                files = gradio.Files(
                    label="Download", visible=False, interactive=False, elem_id="files"
                )
        for tab, name in ((by_file, "file"), (by_camera, "film"), (by_sound, "voice")):
            tab.select(lambda name=name: name, None, chosen, api_visibility="private")
        outputs = [shown, film, files, dropped, filmed, spoken, transcript]
        button.click(
            _answer(gradio, judge, place),
            [chosen, dropped, filmed, spoken, words, transcript, overlay],
            outputs,
            api_visibility="private",
            concurrency_id="models",
            concurrency_limit=1,
            trigger_mode="once",
            show_progress_on=[shown],
        )
        page.unload(_leave(gradio, place))
    page.queue(max_size=_WAITING, default_concurrency_limit=1, api_open=False)
    return page


def _answer(gradio: Any, judge: Judge, place: Workplace) -> Callable:
    """Return what happens when the button is pressed."""

    def answer(
        chosen, dropped, filmed, spoken, words, transcript, overlay, request, progress
    ):
        media = {"file": dropped, "film": filmed, "voice": spoken}[chosen]
        uploads = [dropped, filmed, spoken, transcript]
        hidden = gradio.update(value=None, visible=False)
        film = files = hidden
        try:
            with place.request(request.session_hash or "") as folder:
                try:
                    media = media and place.take(media, folder)
                    script = transcript and place.take(transcript, folder)

                    def tell(part: float, what: str) -> None:
                        progress(part, desc=what)

                    judged = judge.judge(
                        folder, media, words or "", script, overlay, tell
                    )
                    shown = pieces.result(judged)
                finally:
                    _remove(place, folder, uploads)
            files = gradio.update(value=[str(p) for p in judged.files], visible=True)
            if judged.overlay is not None:
                film = gradio.update(value=str(judged.overlay), visible=True)
        except EmorecError as error:
            shown = pieces.failure(str(error))
        except Exception:
            traceback.print_exc()
            shown = pieces.failure(_FAULT)
        # The inputs are emptied: their files are gone.
        return shown, film, files, None, None, None, None

    # gradio tells by annotations what it must give.
    answer.__annotations__ = {"request": gradio.Request}
    answer.__defaults__ = (None, gradio.Progress())
    return answer


def _remove(place: Workplace, folder: Path, uploads: list[str | None]) -> None:
    """Remove what was given: the files taken, and those that were not."""
    import shutil

    from emorec.errors import DataError

    for upload in filter(None, uploads):
        if Path(upload).is_file():
            try:
                place.take(upload, folder)
            except DataError:
                continue
    shutil.rmtree(folder / "given", ignore_errors=True)


def _leave(gradio: Any, place: Workplace) -> Callable:
    def leave(request) -> None:
        place.forget(request.session_hash or "")

    leave.__annotations__ = {"request": gradio.Request}
    return leave
