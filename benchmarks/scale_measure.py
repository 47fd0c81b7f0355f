"""Unit costs on this machine: small samples, medians of rounds, one core.

Everything counts the processor's seconds of this process, which is bound to one core
with one thread, so that other programs disturb it little. Starting Ray is counted by
the clock, as its processes are not this one's.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import scale_media
from scale_model import line

# Sizes of the samples.
FILM_SECONDS, SOUNDS, SOUND_SECONDS = 6.0, 16, 8.0
FUSED_STEPS, FUSED_WIDTHS, FUSED_BATCH = 20, (300, 35, 74), 64
TRACKS, SIDE = 48, 160


def processor(function: Callable[[], object]) -> float:
    """Return the processor seconds of a call."""
    began = time.process_time()
    function()
    return time.process_time() - began


def median(function: Callable[[], object], rounds: int, warm: bool = True) -> float:
    """Return the median processor seconds of calls, without a first one."""
    if warm:
        function()
    return statistics.median(processor(function) for _ in range(rounds))


def one_core() -> None:
    """Bind this process and its libraries to one core; call before they are loaded."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    for name in ("OMP", "OPENBLAS", "MKL", "TF_NUM_INTRAOP", "TF_NUM_INTEROP"):
        os.environ[f"{name}_NUM_THREADS" if "TF" not in name else f"{name}_THREADS"] = (
            "1"
        )


def measure(
    scratch: Path, rounds: int, films: list[Path], say, only: list[str]
) -> dict[str, float]:
    """Return the unit costs by name.

    `films` are looked at instead of drawn ones; `only` names parts of the measurement.
    """
    found: dict[str, float] = {}
    parts = (starts, listing, shards, clips, frames)
    parts += (sounds, words, alignment, fusion, students, holding)
    for part in parts:
        if only and part.__name__ not in only:
            continue
        began = time.perf_counter()
        for name, value in part(scratch, rounds, films):
            found[name] = value
            say(f"{name:20s} {value:.4g}")
        say(f"  ({part.__name__}: {time.perf_counter() - began:.0f} s)")
    return found


def starts(scratch: Path, rounds: int, films) -> Iterator[tuple[str, float]]:
    """Processes that do next to nothing."""
    tracks = scratch / "one_track"
    scale_media.write_tracks(tracks, 1, 1, SIDE)
    run = scale_media.write_face_run(scratch / "faces")
    python = [sys.executable, "-m", "emorec"]
    seconds, most = [], 0
    for number in range(rounds):
        label = ["faces", "label", tracks, "--model", run, "--runs", scratch / "faces"]
        output = scratch / f"started_{time.time_ns()}_{number}"
        used, memory = child([*python, *label, "--output", output])
        seconds.append(used)
        most = max(most, memory)
    yield "start_network", statistics.median(seconds)
    yield "worker_bytes", most
    table = [*python, "mosei", "align", "--help"]
    imports = "import emorec.corpora.mosei, emorec.sequences.parallel, pandas, scipy"
    both = [child(table)[0] + child([sys.executable, "-c", imports])[0]]
    yield "start_program", statistics.median(both)
    ray = (
        "import ray; ray.init('local', num_cpus=2, include_dashboard=False, "
        "object_store_memory=100_000_000, log_to_driver=False); "
        "ray.get(ray.remote(lambda: 0).remote()); ray.shutdown()"
    )
    clock = []
    for _ in range(rounds):
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", ray], capture_output=True)
        clock.append(time.perf_counter() - began)
    # Without the extra it costs nothing, and cannot be used.
    yield "start_ray", 0.0 if done.returncode else statistics.median(clock)


def child(command: list) -> tuple[float, int]:
    """Run a command; return its processor seconds and its largest memory in bytes."""
    process = subprocess.Popen(
        [str(word) for word in command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    error = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command}:\n{error.decode()[-2000:]}")
    return used.ru_utime + used.ru_stime, 1024 * used.ru_maxrss


def listing(scratch: Path, rounds: int, films) -> Iterator[tuple[str, float]]:
    """Finding tracks, and what the first process keeps of each."""
    from emorec.corpora.clips import find_clips

    count = 2_000
    folder = scratch / "many"
    scale_media.write_tracks(folder, count, 1, SIDE)

    def look() -> list:
        found = [(clip, clip.path.stat()) for clip in find_clips([folder])]
        return [(clip, s.st_size, s.st_mtime_ns) for clip, s in found]

    yield "list_clip", median(look, rounds) / count
    tracemalloc.start()
    kept = look()
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    yield "held_clip", size / len(kept)


def shards(scratch: Path, rounds: int, films) -> Iterator[tuple[str, float]]:
    """Keeping what was made: shards, and the folder that they fill."""
    from emorec.artifacts.shards import write_shard

    from emorec.files import whole_file

    def path() -> Path:
        return scratch / "shards" / f"{time.time_ns()}.h5"

    counts, seconds = (8, 64), []
    for count in counts:
        entries = drawn_entries(count, 33)
        seconds.append(median(lambda e=entries: write_shard(path(), e, "x"), rounds))
    yield from zip(("shard", "keep"), line(counts, tuple(seconds)), strict=True)
    lengths, bytes_ = (33, 330), []
    for rows in lengths:
        written = path()
        write_shard(written, drawn_entries(64, rows), "x")
        bytes_.append(written.stat().st_size / 64)
    names = ("bytes_clip", "bytes_face")
    yield from zip(names, line(lengths, tuple(bytes_)), strict=True)
    name = "id00012/21Uxsk56VDQ/00001.mp4"
    yield "bytes_plan", len(f"17628,{name},123456,1700000000000000000\n")
    many, folder = 20_000, scratch / "many_files"
    folder.mkdir(exist_ok=True)
    for number in range(many):
        folder.joinpath(f"{number:05d}.h5").touch()

    def write() -> None:
        with whole_file(folder / "00000.h5") as temporary:
            temporary.touch()

    yield "file_there", median(write, 3 * rounds) / many


def drawn_entries(count: int, rows: int) -> list:
    """Return entries as those of a face network."""
    from emorec.artifacts.shards import Entry

    random = np.random.default_rng(0)
    return [
        Entry(
            f"id00012/21Uxsk56VDQ/{number:05d}.mp4",
            (123_456, 1_700_000_000_000_000_000 + number),
            {
                "times": np.arange(rows) * 0.24,
                "logits": random.standard_normal((rows, 8), dtype=np.float32),
                "boxes": random.random((rows, 4), np.float32),
                "tracks": np.zeros(rows, np.int32),
            },
            {},
        )
        for number in range(count)
    ]


def holding(scratch: Path, rounds: int, films) -> Iterator[tuple[str, float]]:
    """What the training of a student holds at most while it joins sound and face."""
    import pandas as pd

    from emorec.artifacts.logits import Logits, write_logits
    from emorec.corpora.voxceleb import PARTITIONS, Voices
    from emorec.labels import FERPLUS
    from emorec.training.voice_data import join

    count, lengths, held = 2_000, (1, 33), []
    random = np.random.default_rng(0)
    report = pd.DataFrame([], columns=["id", "reason", "left_out"])
    for rows in lengths:
        ids = [
            f"id{n // 120:05d}/video_{n % 120 // 8:02d}/{n:05d}" for n in range(count)
        ]
        total = count * rows
        path = scratch / f"logits_{rows}.npz"
        write_logits(
            path,
            Logits(
                *(FERPLUS, ids, np.arange(count + 1) * rows),
                times=np.tile(np.arange(rows) * 0.24, count),
                logits=random.standard_normal((total, 8), dtype=np.float32),
                boxes=np.zeros((total, 4), np.float32),
                tracks=np.zeros(total, np.int32),
                settings={"network": "drawn"},
            ),
        )
        tracemalloc.start()
        voices = Voices(
            list(ids),
            [Path("/corpora/voxceleb/wav", f"{name}.wav") for name in ids],
            np.array([name.split("/")[0] for name in ids]),
            np.array([PARTITIONS[n % 3] for n in range(count)]),
            np.full(count, 128_000),
            report,
        )
        join(voices, [path], "drawn")
        held.append(tracemalloc.get_traced_memory()[1] / count)
        tracemalloc.stop()
    yield from zip(("held_voice", "held_face"), line(lengths, tuple(held)), strict=True)


def clips(scratch: Path, rounds: int, films) -> Iterator[tuple[str, float]]:
    """A face track: what is paid by clip, and what by image; the networks."""
    from emorec.batches.images import ImageInput, predict
    from emorec.features import faces, video
    from emorec.labels import FERPLUS
    from emorec.models.face_networks import compact
    from emorec.models.resnet50 import MEAN_RGB, senet50
    from emorec.training.clip_labels import BATCH, LabelSettings, label_clip

    random = np.random.default_rng(0)
    for name, model, of_input, count in (
        ("compact", compact(len(FERPLUS)), ImageInput(48, (127.0,), 64.0), 512),
        ("senet50", senet50(num_labels=8), ImageInput(224, MEAN_RGB), 16),
    ):
        crops = random.integers(0, 256, (count, of_input.size, of_input.size), np.uint8)
        batch = min(BATCH, count)

        def judge(faces_, model=model, of_input=of_input, batch=batch):
            return predict(model, faces_, of_input, batch)

        seconds = median(lambda judge=judge, crops=crops: judge(crops), rounds)
        yield f"judge_{name}", seconds / count
        if name == "compact":
            network, judged = judge, seconds / count
    sizes, whole = (1, 33), []
    for images in sizes:
        folder = scratch / f"tracks_{images}"
        paths = scale_media.write_tracks(folder, TRACKS, images, SIDE)

        def label(paths=paths):
            for path in paths:
                label_clip(path, network, lambda: None, LabelSettings(), 48)

        whole.append(median(label, rounds) / TRACKS)

        def read(paths=paths):
            for path in paths:
                for _, image in video.read_frames(path):
                    faces.central_crop(image, 48)

    yield "face_image", median(read, rounds) / TRACKS / sizes[-1]
    fixed, each = line(sizes, tuple(whole))
    yield "clip", max(0.0, whole[0] - each)
    del fixed, judged


def frames(scratch: Path, rounds: int, films: list[Path]) -> Iterator:
    """Films: decoding, detection, cutting out."""
    from emorec.features import faces, video

    drawn = {"film_frame": ((640, 360), 30), "crop_frame": ((224, 224), 25)}
    for name, (size, fps) in drawn.items():
        path = scratch / f"{name}.mp4"
        if not path.is_file():
            scale_media.write_film(path, size, FILM_SECONDS, fps)
        looked = films if films and name == "film_frame" else [path]
        yield name, statistics.median(decoding(film, rounds, size) for film in looked)
    looked = films or [scratch / "film_frame.mp4"]
    detect = faces.mtcnn_detector()
    found = []
    for film in looked:
        images = [image for _, image in video.read_frames(film)][:8]
        area = images[0].shape[0] * images[0].shape[1] / (640 * 360)
        seconds = median(lambda images=images: detect(images), rounds)
        found.append(seconds / len(images) / area)
    yield "detect_frame", statistics.median(found)
    image, box = images[0], np.array([200.0, 60.0, 420.0, 280.0])
    many = 100
    yield (
        "face_crop",
        median(lambda: [faces.crop(image, box, 48) for _ in range(many)], rounds)
        / many,
    )


def decoding(film: Path, rounds: int, size: tuple[int, int]) -> float:
    """Return the seconds of a frame, for as many pixels as `size` has."""
    import av

    from emorec.features import video

    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        count = sum(1 for _ in container.decode(stream))
        pixels = stream.width * stream.height

    def read() -> None:
        for _ in video.read_frames(film):
            pass

    return median(read, rounds) / count * (size[0] * size[1] / pixels)


def sounds(scratch: Path, rounds: int, films) -> Iterator[tuple[str, float]]:
    """The speech networks and the voice features."""
    from emorec.artifacts.spec import Modality, Spec
    from emorec.labels import FERPLUS
    from emorec.training import open_features
    from emorec.training.hearing import hear
    from emorec.training.voice_learner import build
    from emorec.training.voices_config import PRESETS

    paths = scale_media.write_sounds(scratch / "sounds", SOUNDS, SOUND_SECONDS)
    total = SOUNDS * SOUND_SECONDS
    for name, config in PRESETS.items():
        model = build(config, len(FERPLUS))
        of_input = config.speech_input
        spec = Spec(
            FERPLUS,
            (Modality("speech", of_input.features, of_input.bins),),
            *(0, "distilled", of_input.to_dict(), {"dataset": "none"}),
        )
        # The published network takes seconds a sound.
        few = paths if name == "compact" else paths[:4]
        seconds = median(
            lambda model=model, spec=spec, few=few: hear(model, spec, few),
            rounds,
        )
        yield f"hear_{name}", seconds / len(few) / SOUND_SECONDS
    front = open_features.voice("librosa")
    yield (
        "voice_librosa",
        median(lambda: [front.rows(path) for path in paths], rounds) / total,
    )
    rows = front.rows(paths[0])
    yield (
        "bytes_second_voice",
        (rows.features.nbytes + rows.intervals.nbytes) / SOUND_SECONDS,
    )


def words(scratch: Path, rounds: int, films) -> Iterator[tuple[str, float]]:
    """A file of word vectors: its index, and words looked up."""
    from emorec.features.subtitles import Cue
    from emorec.training.open_features import words_by_vectors

    lines, path = 4_000, scratch / "vectors.txt"
    random = np.random.default_rng(0)
    if not path.is_file():
        rows = random.standard_normal((lines, 300)).round(4)
        text = (f"word{n} {' '.join(map(str, row))}\n" for n, row in enumerate(rows))
        path.write_text("".join(text))
    yield "vector_line", median(lambda: words_by_vectors(path), rounds) / lines
    said = random.zipf(1.3, 5_000) % lines
    cues = [
        Cue(i / 2.6, (i + 12) / 2.6, " ".join(f"word{n}" for n in said[i : i + 12]))
        for i in range(0, len(said), 12)
    ]
    seconds = [
        processor(lambda front=front: front.rows(cues))
        for front in (words_by_vectors(path) for _ in range(rounds))
    ]
    yield "word", statistics.median(seconds) / len(said)


def alignment(scratch: Path, rounds: int, films) -> Iterator[tuple[str, float]]:
    """Both stages, from packed files to parts, at two lengths of a video."""
    from alignment import write_corpus
    from scale_model import MOSEI_NUMBERS

    from emorec.corpora import mosei
    from emorec.sequences.parallel import align_on_cores

    videos, lengths, seconds = 24, (0.15, 1.2), []
    for minutes in lengths:
        folder = scratch / f"align_{minutes}"
        if not folder.is_dir():
            folder.mkdir()
            write_corpus(folder, videos, minutes, 9)

        def align(folder=folder):
            files = mosei.open_files(folder, mosei.sequence_names("facet"))
            parts = scratch / f"parts_{time.time_ns()}"
            align_on_cores(files.sequences, mosei.TEXT, mosei.LABELS, parts, 1)

        seconds.append(median(align, rounds) / videos)
    numbers = tuple(60 * minutes * MOSEI_NUMBERS for minutes in lengths)
    fixed, each = line(numbers, tuple(seconds))
    yield "align_video", fixed
    yield "align_value", each


def fusion(scratch: Path, rounds: int, films) -> Iterator[tuple[str, float]]:
    """Early fusion, the mean of one to three layers, a segment and epoch."""
    import keras

    from emorec.batches.order import BatchOrder
    from emorec.batches.pipeline import Pipeline
    from emorec.batches.ragged import RaggedStore
    from emorec.models.early_fusion import early_fusion

    count, random = 8 * FUSED_BATCH, np.random.default_rng(0)
    lengths = np.clip(random.gamma(3.0, 6.5, count).round().astype(int), 1, FUSED_STEPS)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    store = RaggedStore(
        random.standard_normal((offsets[-1], sum(FUSED_WIDTHS)), dtype=np.float32),
        np.ones((offsets[-1], len(FUSED_WIDTHS)), bool),
        offsets,
        random.standard_normal((count, 6), dtype=np.float32),
        [str(number) for number in range(count)],
    )
    seconds = []
    for layers in (1, 2, 3):
        order = BatchOrder(store.lengths, FUSED_BATCH, FUSED_STEPS, 0, True)
        data = Pipeline(store, order)
        model = early_fusion(FUSED_WIDTHS, 6, layers, 100)
        model.compile(optimizer="adam", loss="mean_absolute_error")
        epochs: list[float] = []

        class Clock(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None, data=data):
                data.epoch, self.began = epoch, time.process_time()

            def on_epoch_end(self, epoch, logs=None, epochs=epochs):
                epochs.append(time.process_time() - self.began)

        model.fit(
            data.dataset, epochs=rounds + 1, shuffle=False, verbose=0,
            callbacks=[Clock()],
        )  # fmt: skip
        seconds.append(statistics.median(epochs[1:]) / count)
    yield "fuse_segment", statistics.mean(seconds)


def students(scratch: Path, rounds: int, films) -> Iterator[tuple[str, float]]:
    """Training the speech student: parts of 4 s from files, forward and back."""
    from emorec.batches.sounds import SoundPipeline, Sounds
    from emorec.training.distillation import distillation_loss
    from emorec.training.voice_learner import build, learner, optimizer_of
    from emorec.training.voices_config import PRESETS

    paths = scale_media.write_sounds(scratch / "sounds", SOUNDS, SOUND_SECONDS)
    lengths = np.full(SOUNDS, int(16_000 * SOUND_SECONDS))
    for name, config in PRESETS.items():
        config = replace(config, batch_size=8, mini_epoch_ratio=1.0)
        data = SoundPipeline(
            *(Sounds(paths, lengths, cache=0), lambda *part: np.zeros(8), 8),
            *(config.speech_input, config.batch_size),
            shuffle=True,
        )
        student = build(config, 8)
        model = learner(config, student, data.shapes[0], data.speech_input)
        loss = distillation_loss(config.loss_type, config.temperature)
        model.compile(optimizer=optimizer_of(config, len(data)), loss=loss)

        def epoch(model=model, data=data, name=name):
            for number in range(len(data) if name == "compact" else 1):
                model.train_on_batch(*data.batch(0, number))

        served = SOUNDS if name == "compact" else config.batch_size
        few = rounds if name == "compact" else 1
        yield f"learn_{name}", median(epoch, few) / served
