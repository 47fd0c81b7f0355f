"""Unit costs of what looks at media: networks, decoding, detection, training."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import scale_media
from scale_model import line
from scale_watch import median

# Sizes of the samples.
FILM_SECONDS, SOUNDS, SOUND_SECONDS = 6.0, 16, 8.0
FUSED_STEPS, FUSED_WIDTHS, FUSED_BATCH = 20, (300, 35, 74), 64
TRACKS, SIDE = 48, 160

Costs = Iterator[tuple[str, float]]


def clips(scratch: Path, rounds: int, films) -> Costs:
    """Ask the face networks; tell what is paid by track, and what by image."""
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
            network = judge
    # Powers of two, for batches are filled up to one.
    sizes, whole = (1, 32), []
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
    # What does not grow with the images: opening, and asking the network at all.
    yield "clip", line(sizes, tuple(whole))[0]


def frames(scratch: Path, rounds: int, films: list[Path]) -> Costs:
    """Decode films, find faces in them, cut them out."""
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


def sounds(scratch: Path, rounds: int, films) -> Costs:
    """Ask the speech networks, and make the voice features."""
    from emorec.artifacts.spec import Modality, Spec
    from emorec.features.sound_blocks import sound_blocks
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
        heard = hear(model, spec, few)
        size = heard.logits.nbytes + heard.embeddings.nbytes
        yield f"bytes_hear_{name}", size / len(few)
    front = open_features.voice("librosa")
    yield (
        "voice_librosa",
        median(lambda: [front.rows(path) for path in paths], rounds) / total,
    )
    stereo = scratch / "stereo.wav"
    scale_media.write_stereo(stereo, 4 * SOUND_SECONDS)
    read = median(lambda: list(sound_blocks(stereo)), rounds)
    yield "film_sound", read / SOUND_SECONDS / 4
    rows = front.rows(paths[0])
    yield (
        "bytes_second_voice",
        (rows.features.nbytes + rows.intervals.nbytes) / SOUND_SECONDS,
    )


def fusion(scratch: Path, rounds: int, films) -> Costs:
    """Train early fusion of one to three layers; the mean of a segment and epoch."""
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


def students(scratch: Path, rounds: int, films) -> Costs:
    """Train the speech students on parts of 4 s from files."""
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
