"""The command ``emorec predict``."""

from __future__ import annotations

import argparse
from pathlib import Path

from emorec.cli.console import INCOMPLETE, OK, say
from emorec.errors import SpecError, shorten

_PRINTED = 5


def add_command(parser: argparse.ArgumentParser) -> None:
    """Add ``emorec predict``."""
    parser.description = (
        "Ask trained models about recordings: what is written for each is a table of "
        "scores over time (csv, json) and a figure. Each model has the front end of "
        "its training. What a recording lacks, a model that was trained for it does "
        "without. Exits with 3 when a recording could not be read; failures.csv says "
        "why. Repeated, the command goes on where it stopped."
    )
    parser.add_argument(
        "clips",
        nargs="+",
        metavar="CLIP",
        help="video, sound, transcript (srt, vtt, txt), folder of these, or a csv with "
        "the columns id, video, sound, text; a transcript beside a file with its name "
        "belongs to it",
    )
    add_model_options(parser)
    parser.add_argument(
        "--output", default="predictions", metavar="DIR", help="made when absent"
    )
    parser.add_argument(
        "--overlay", action="store_true", help="also write the videos with the scores"
    )
    parser.add_argument(
        "--no_figure", action="store_true", help="write no figure of each recording"
    )
    parser.set_defaults(run=run)


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add which models are asked, about which spans, and how they are joined."""
    parser.add_argument(
        "--models",
        nargs="+",
        required=True,
        metavar="RUN",
        help="trained models: FOLDER/NAME, run_NAME.json or model_NAME.keras; a folder "
        "stands for all that finished in it",
    )
    parser.add_argument(
        "--spans",
        choices=("auto", "cues", "windows"),
        default="auto",
        help="ask about each cue of the transcript, or about windows; auto takes the "
        "cues of a transcript that has several",
    )
    parser.add_argument(
        "--window", type=float, default=4.0, metavar="S", help="length of a window"
    )
    parser.add_argument(
        "--step", type=float, default=2.0, metavar="S", help="from window to window"
    )
    parser.add_argument(
        "--batch", type=int, default=16, help="spans that a model judges at once"
    )
    parser.add_argument(
        "--every",
        type=int,
        default=6,
        metavar="N",
        help="take each Nth of 25 frames a second for the face networks",
    )
    parser.add_argument(
        "--detect_every",
        type=int,
        default=4,
        metavar="N",
        help="look for faces in each Nth of these, and follow them between",
    )
    parser.add_argument(
        "--min_face", type=int, default=40, metavar="PX", help="smallest face"
    )
    parser.add_argument(
        "--aggregate",
        choices=("mean", "max"),
        default="mean",
        help="joins a face's frames of a span",
    )
    fusion = parser.add_mutually_exclusive_group()
    fusion.add_argument(
        "--weights",
        nargs="+",
        metavar="NAME=WEIGHT",
        help="of the models in the fusion; equal ones where none are given",
    )
    fusion.add_argument(
        "--fusion_record",
        metavar="FILE",
        help="run_NAME.json of emorec fuse: the weights that were chosen there",
    )
    fusion.add_argument(
        "--no_fusion", action="store_true", help="do not join the models' scores"
    )


def fusion_of(arguments: argparse.Namespace, predictors):
    """Return the late fusion of the models, or None where they cannot be fused."""
    from emorec.prediction.fusion import LateFusion, parse_weights

    if arguments.no_fusion:
        return None
    weights = arguments.weights and parse_weights(arguments.weights)
    asked = bool(weights or arguments.fusion_record)
    try:
        fusion = LateFusion(predictors, weights, arguments.fusion_record)
    except SpecError as error:
        # One model is not to be fused; several that cannot be, somebody may expect.
        if asked:
            raise
        if len(predictors) > 1:
            say(f"note: not fused. {error}")
        return None
    for line in fusion.told():
        say(line)
    return fusion


def models_of(arguments: argparse.Namespace):
    """Return the predictors of the options, and what identifies them."""
    from emorec.artifacts.found_runs import find_runs
    from emorec.prediction.loading import identity, load_predictors
    from emorec.training.clip_faces import LabelSettings

    faces = LabelSettings(
        every=arguments.every,
        detect_every=arguments.detect_every,
        min_face=arguments.min_face,
    )
    runs = find_runs(arguments.models)
    own = identity(runs, faces=faces.to_dict(), aggregate=arguments.aggregate)
    return load_predictors(runs, faces, arguments.aggregate), own


def settings_of(arguments: argparse.Namespace):
    """Return how recordings are asked about."""
    from emorec.prediction.run import PredictSettings
    from emorec.prediction.spans import Spans

    spans = Spans(arguments.spans, arguments.window, arguments.step)
    return PredictSettings(spans, arguments.batch)


def run(arguments: argparse.Namespace) -> int:
    """Predict; return INCOMPLETE when a recording failed."""
    from emorec.prediction.inputs import find_recordings
    from emorec.prediction.run import FAILURES, means, predict_clips, real_time

    settings = settings_of(arguments)
    recordings = find_recordings(arguments.clips)
    predictors, own = models_of(arguments)
    fusion = fusion_of(arguments, predictors)
    own["fusion"] = fusion.describe() if fusion else None
    folder = Path(arguments.output)

    def finished(recording, table) -> None:
        for row in means(table).itertuples():
            say(f"{recording.id}: {row.model}: {_told(row)}")
        _draw(recording, table, folder, arguments)

    result = predict_clips(
        predictors, recordings, folder, settings, say, fusion, own, finished
    )
    for name, reason in result.failures[:_PRINTED]:
        say(f"failed: {name}: {reason}")
    if len(result.failures) > _PRINTED:
        say(f"failed: {len(result.failures) - _PRINTED} more, see {FAILURES}")
    if not result.tables:
        raise SpecError(
            f"None of {len(recordings)} recordings could be judged "
            f"({shorten([name for name, _ in result.failures])}); see "
            f"{folder / FAILURES}."
        )
    before = f", {result.before:,} finished before" if result.before else ""
    say(
        f"{len(result.tables) - result.before:,} recordings{before}, "
        f"{len(result.failures):,} failures. {real_time(result)}."
    )
    say(f"Written to {folder}: a csv and a json of each, {FAILURES}")
    return INCOMPLETE if result.failures else OK


def _draw(recording, table, folder: Path, arguments: argparse.Namespace) -> None:
    """Write the figure and, if wanted, the video with the scores."""
    from emorec.prediction.outputs import file_of

    if not arguments.no_figure:
        from emorec.evaluation import figures
        from emorec.prediction.timeline import timeline_figure

        figure = timeline_figure(table, recording.id, recording.duration)
        figures.save(figure, file_of(folder, recording.id, ".png"))
    if arguments.overlay and recording.video is not None and recording.video.is_file():
        import pandas as pd

        from emorec.prediction.overlay import write_overlay

        seen = file_of(folder, recording.id, ".faces.csv")
        boxes = pd.read_csv(seen) if seen.is_file() else None
        output = file_of(folder, recording.id, ".scores.mp4")
        write_overlay(recording.video, table, boxes, output)


def _told(row) -> str:
    """Return the two strongest emotions of a model's means."""
    scores = {
        name: value
        for name, value in row._asdict().items()
        if name not in ("Index", "model", "spans", "judged") and value == value
    }
    if not scores:
        return "nothing to judge"
    best = sorted(scores, key=scores.get, reverse=True)[:2]
    told = ", ".join(f"{name} {scores[name]:.2f}" for name in best)
    return f"{told} ({row.judged} of {row.spans} spans)"
