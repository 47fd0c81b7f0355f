"""How fast a face and a speech network judge recordings, and beside frame by frame.

    python benchmarks/predict.py CLIP...
    python benchmarks/predict.py CLIP... --models RUN... --rounds 5

Without --models the networks are the compact ones of `emorec faces` and `emorec
voices`, not trained, for speed does not ask what was learnt. Three ways, each in a
process of its own, in turn, several rounds; the first two judge everything once before
they are timed:

- ``sampled``: `emorec predict` as it is, each 6th of 25 frames a second;
- ``every frame``: `emorec predict --every 1 --detect_every 12`;
- ``frame by frame``: as the examples of mtcnn and Keras do it: `detect_faces` on each
  of 25 frames a second, with its default of faces from 20 pixels, and `model.predict`
  on each face; the sound in the same windows as above.

Medians of seconds of media a second are printed as a table and, last, as one JSON
object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WAYS = ("sampled", "every frame", "frame by frame")


def untrained(folder: Path) -> list[str]:
    """Write a run of each kind; return their names."""
    from emorec.artifacts.runs import RunFolder
    from emorec.artifacts.spec import Modality, Spec
    from emorec.batches.images import ImageInput
    from emorec.batches.speech_input import SpeechInput
    from emorec.labels import FERPLUS
    from emorec.models import vggm
    from emorec.models.face_networks import compact
    from emorec.training import backend

    backend.prepare(0)
    heard = SpeechInput(features="logmel")
    made = (
        ("faces", compact(8), ImageInput(48, (127.0,), 64.0), "grey faces", 1),
        ("voices", vggm.compact(8), heard, "logmel", heard.bins),
    )
    for name, model, of_input, features, width in made:
        run = RunFolder(folder / name, name)
        run.folder.mkdir(parents=True, exist_ok=True)
        model.save(run.folder / f"model_{name}.keras")
        modality = (Modality(name, features, width),)
        spec = Spec(FERPLUS, modality, 0, "single", of_input.to_dict())
        run.write_record({}, spec, system=name, status="complete")
    return [str(folder / "faces"), str(folder / "voices")]


def predictors_of(models: list[str], every: int, detect_every: int):
    """Return the predictors."""
    from emorec.artifacts.found_runs import find_runs
    from emorec.prediction.loading import load_predictors
    from emorec.training.clip_faces import LabelSettings

    settings = LabelSettings(every=every, detect_every=detect_every)
    return load_predictors(find_runs(models), settings)


def by_emorec(clips: list[str], models: list[str], every: int, detect_every: int):
    """Return a function that judges all clips once and tells the stages' seconds."""
    from emorec.prediction.inputs import find_recordings
    from emorec.prediction.run import predict_clips

    predictors = predictors_of(models, every, detect_every)
    recordings = find_recordings(clips)

    def judge() -> dict[str, float]:
        with tempfile.TemporaryDirectory() as folder:
            result = predict_clips(predictors, recordings, folder)
        if result.failures:
            sys.exit(f"not judged: {result.failures}")
        watch = next(p.watch for p in predictors if hasattr(p, "watch"))
        stages = dict(watch.seconds)
        watch.seconds.clear()
        return stages

    return judge


def frame_by_frame(clips: list[str], models: list[str]):
    """Return a function that judges all clips once, one frame after another."""
    import numpy as np
    from mtcnn import MTCNN

    from emorec.features import faces, video
    from emorec.prediction.inputs import find_recordings, open_recording
    from emorec.prediction.spans import Spans

    face, voice = predictors_of(models, 1, 1)
    detector = MTCNN()
    recordings = [open_recording(named) for named in find_recordings(clips)]

    def judge() -> dict[str, float]:
        for recording in recordings:
            for _, image in video.read_frames(recording.video, 25, 1):
                for found in detector.detect_faces(image):
                    x, y, width, height = found["box"]
                    box = np.array([x, y, x + width, y + height])
                    crop = faces.crop(image, box, face.image_input.size)
                    face.model.predict(face.image_input(crop[None]), verbose=0)
            for given in voice.given(recording, Spans().of(recording)):
                if given.content is not None:
                    voice.scores([given.content])
        return {}

    return judge


def measure(arguments: argparse.Namespace) -> None:
    """Time one way and print it as JSON."""
    from emorec.prediction.inputs import find_recordings, open_recording

    media = sum(open_recording(n).duration for n in find_recordings(arguments.clips))
    if arguments.way == "frame by frame":
        judge = frame_by_frame(arguments.clips, arguments.models)
    else:
        rate = (1, 12) if arguments.way == "every frame" else (6, 4)
        judge = by_emorec(arguments.clips, arguments.models, *rate)
    if arguments.way != "frame by frame":
        judge()
    began = time.perf_counter()
    stages = judge()
    seconds = time.perf_counter() - began
    shares = {k: round(v / seconds, 2) for k, v in stages.items() if k != "tracking"}
    print(json.dumps({"media": media, "speed": media / seconds, "shares": shares}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="+", metavar="CLIP")
    parser.add_argument("--models", nargs="+", metavar="RUN")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", choices=WAYS, help="measure one way, in this process")
    arguments = parser.parse_args()
    if arguments.way:
        measure(arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        models = arguments.models or untrained(Path(folder))
        found: dict[str, list[dict]] = {way: [] for way in WAYS}
        for number in range(arguments.rounds):
            for way in WAYS:
                command = [sys.executable, __file__, *arguments.clips, "--way", way]
                command += ["--models", *models]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    sys.exit(done.stderr)
                found[way].append(json.loads(done.stdout.splitlines()[-1]))
                print(f"round {number + 1}, {way}: {found[way][-1]}", flush=True)
    speeds = {way: statistics.median(x["speed"] for x in found[way]) for way in WAYS}
    slowest = speeds["frame by frame"]
    media = found["sampled"][0]["media"]
    print(f"\n{media:.0f} s of media\n{'':<16}x real time  x frame by frame")
    for way, speed in speeds.items():
        print(f"{way:<16}{speed:>11.1f}{speed / slowest:>18.1f}")
    ratios = {way: round(speed / slowest, 2) for way, speed in speeds.items()}
    print(json.dumps({"x_real_time": speeds, "ratios": ratios}))


if __name__ == "__main__":
    main()
