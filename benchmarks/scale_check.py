"""Whole commands at two sizes, beside what the model predicts of them."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from scale_corpora import MOSEI, VOXCELEB1, aligning, judging
from scale_model import predict
from scale_watch import EMOREC, Used, run


def table(rows: list[tuple[str, float, float, str]]) -> str:
    """Return what was predicted and measured, one below the other, with the ratio."""
    lines = [f"{'':34s} {'predicted':>10s} {'measured':>10s} {'ratio':>6s}"]
    for name, predicted, measured, unit in rows:
        ratio = f"{measured / predicted:6.2f}" if predicted else "     -"
        lines.append(f"{name:34s} {predicted:10.4g} {measured:10.4g} {ratio} {unit}")
    return "\n".join(lines)


def check_align(costs, options, say) -> None:
    """Align drawn features of CMU-MOSEI's own times, all videos and fewer."""
    import full_scale

    for videos in options.videos:
        corpus = options.scratch / f"mosei_{videos or 'all'}"
        full_scale.write_corpus(options.labels, corpus, "facet", videos)
        count = videos or int(MOSEI.clips)
        hours = hours_of(options.labels / "labels.csv", count)
        # Fewer videos than this are aligned by one process.
        workers = 1 if count < 400 else len(os.sched_getaffinity(0))
        output = options.scratch / f"aligned_{count}"
        words = ("mosei", "align", corpus, "--output", output / "aligned.pkl")
        used = run([*EMOREC, *words], output, options.scratch / f"align_{count}.log")
        job = aligning(replace(MOSEI, clips=count, hours=hours))
        told = predict(job, costs, workers)
        say(f"\nalign, {count:,} videos, {hours:.1f} h, {workers} processes:")
        rows = [
            ("processor seconds", told.processor, used.processor, "s"),
            ("seconds", told.wall, used.wall, "s"),
            ("memory, all processes", 0, used.memory / 1e6, "MB"),
            ("disk", 0, used.disk / 1e6, "MB"),
        ]
        say(table(rows))


def hours_of(labels: Path, videos: int) -> float:
    """Return the hours of the first videos, as `full_scale` draws them."""
    from emorec.corpora import mosei

    ends = mosei.read_labels_table(labels).groupby("id")["end"].max() + 1.0
    return float(ends.sort_index().iloc[:videos].sum()) / 3600


def check_extract(costs, options, say) -> None:
    """Score drawn face tracks with a face network, as VoxCeleb's are, at two sizes."""
    import scale_media

    run_name = scale_media.write_face_run(options.scratch / "faces")
    for clips in options.clips:
        tracks = options.scratch / f"tracks_{clips}"
        scale_media.write_tracks(tracks, clips, options.images, options.side)
        output = options.scratch / f"{options.what}ed_{clips}"
        words = (
            ["faces", "label"] if options.what == "label" else ["extract", "teacher"]
        )
        words += [tracks, "--model", run_name, "--runs", options.scratch / "faces"]
        words += ["--output", output]
        # A core each, as the model has it.
        words += ["--local", "--cpus", 1] if options.what == "extract" else []
        ray = options.what == "ray"
        used = run([*EMOREC, *words], output, options.scratch / f"{output.name}.log")
        # All have the same number of images, by default a power of two.
        faces = clips * options.images
        corpus = replace(VOXCELEB1, clips=clips, faces=faces, filled=1.0)
        workers = len(os.sched_getaffinity(0)) if ray else 1
        told = predict(judging(corpus, ray=ray), costs, workers)
        say(f"\n{options.what}, {clips:,} tracks of {options.images}:")
        # On Ray the first process has no network, and others have.
        held = 0 if ray else costs.worker_bytes + told.held
        rows = [
            ("processor seconds", told.processor, used.processor, "s"),
            ("seconds", told.wall, used.wall, "s"),
            ("memory, first process", held / 1e6, used.first / 1e6, "MB"),
            ("memory, all processes", 0, used.memory / 1e6, "MB"),
            ("disk", told.disk / 1e6, used.disk / 1e6, "MB"),
        ]
        say(table(rows))


# The same of three commands: here and on Ray, and the one that keeps a file a clip.
check_ray = check_label = check_extract


def check_join(costs, options, say) -> None:
    """Join the scores of a face network with sounds, up to as many as VoxCeleb1's."""
    rows = round(VOXCELEB1.faces / VOXCELEB1.clips)
    held = costs.held_voice + rows * costs.held_face
    begun = 0.0
    for clips in (100, *options.clips):
        path = options.scratch / f"scores_{clips}.npz"
        made_by("write_scores", path, clips, rows)
        used = made_by("join_scores", path, clips)
        path.unlink()
        # A process that joins next to nothing has its imports.
        begun = begun or used.memory
        told = (begun + held * clips) / 1e6
        say(f"\njoin, {clips:,} clips of {rows} faces:")
        say(table([("memory", told, used.memory / 1e6, "MB")]))


def check_plan(costs, options, say) -> None:
    """Plan an extraction of clips that are names only, up to as many as VoxCeleb2's."""
    held = costs.held_clip + costs.bytes_task
    begun = 0.0
    for clips in (100, *options.clips):
        output = options.scratch / f"planned_{clips}"
        used = made_by("plan", output, clips)
        disk = sum(path.stat().st_size for path in output.iterdir())
        shutil.rmtree(output)
        begun = begun or used.memory
        told = (begun + held * clips) / 1e6
        say(f"\nplan, {clips:,} clips, {used.processor:.0f} s:")
        rows = [("memory", told, used.memory / 1e6, "MB")]
        rows += [("disk", costs.bytes_plan * clips / 1e6, disk / 1e6, "MB")]
        say(table(rows))


def made_by(name: str, path: Path, *numbers: int) -> Used:
    """Call a function of scale_media in a process of its own."""
    code = "import sys, scale_media; from pathlib import Path; "
    code += "getattr(scale_media, sys.argv[1])(Path(sys.argv[2]), "
    code += "*map(int, sys.argv[3:]))"
    words = [sys.executable, "-c", code, name, path, *numbers]
    return run(words, path.parent / "nothing", path.parent / "made.log")
