"""What scale.py looks at: drawn face tracks, films and sounds, and a run."""

from __future__ import annotations

import io
import pickle
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

# Different face images; tracks take turns with them.
_IMAGES = 64


def faces(count: int, side: int, seed: int = 0) -> list[np.ndarray]:
    """Draw faces (side, side) uint8, their boxes enlarged as VoxCeleb's are."""
    from emorec.corpora.drawn_faces import SHAPES, any_look, blend, draw_face

    names, drawn = list(SHAPES), []
    for number in range(count):
        random = np.random.default_rng((seed, number))
        shape = blend(names[number % len(names)], random.uniform(0.6, 1.0))
        drawn.append(draw_face(shape, any_look(random), random, side, enlarged=1.6))
    return drawn


def write_tracks(folder: Path, tracks: int, images: int, side: int) -> list[Path]:
    """Write face tracks as VoxCeleb names them: SPEAKER/1.6/VIDEO/00001/0000001.jpg.

    A folder that has them is left as it is.
    """
    from PIL import Image

    coded = []
    for image in faces(_IMAGES, side):
        buffer = io.BytesIO()
        Image.fromarray(image).convert("RGB").save(buffer, "JPEG", quality=90)
        coded.append(buffer.getvalue())
    paths = []
    for number in range(tracks):
        speaker, rest = divmod(number, 120)
        video, clip = divmod(rest, 8)
        path = folder / f"id{speaker:05d}/1.6/video_{video:02d}/{clip + 1:05d}"
        paths.append(path)
        if path.is_dir():
            continue
        path.mkdir(parents=True)
        for frame in range(images):
            name = f"{6 * frame + 1:07d}.jpg"
            path.joinpath(name).write_bytes(coded[(number + frame) % _IMAGES])
    return paths


def write_film(path: Path, size: tuple[int, int], seconds: float, fps: int) -> None:
    """Write a film (width, height) of a face that moves before a grained background."""
    from emorec.corpora.drawn_videos import write_film

    width, height = size
    random = np.random.default_rng(0)
    wall = random.integers(40, 200, (height // 8 + 1, width // 8 + 1), np.uint8)
    wall = np.kron(wall, np.ones((8, 8), np.uint8))[:height, :width]
    side = height * 3 // 4 // 2 * 2
    (face,) = faces(1, side)
    images = []
    for number in range(round(seconds * fps)):
        image = wall.astype(np.int16)
        left = round((width - side) * (0.5 + 0.4 * np.sin(number / fps)))
        top = (height - side) // 2
        image[top : top + side, left : left + side] = face
        image += random.integers(-6, 7, image.shape, np.int16)
        images.append(image.clip(0, 255).astype(np.uint8))
    samples = 0.1 * random.standard_normal(round(16_000 * seconds))
    write_film(path, images, fps, samples, 16_000)


def write_sounds(folder: Path, count: int, seconds: float) -> list[Path]:
    """Write voices of a source and a filter, 16 kHz, 16 bits."""
    from emorec.corpora.drawn_voices import any_voice, blend, speak, write_sound

    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:05d}.wav" for number in range(count)]
    for number, path in enumerate(paths):
        random = np.random.default_rng(number)
        prosody = blend("neutral", 1.0, random)
        write_sound(path, speak(any_voice(random), prosody, seconds, random)[0])
    return paths


def write_stereo(path: Path, seconds: float) -> None:
    """Write noise of two channels at 44.1 kHz, as films have."""
    import soundfile

    noise = np.random.default_rng(0).normal(0, 0.1, (round(44_100 * seconds), 2))
    soundfile.write(path, noise, 44_100)


def write_scores(path: Path, clips: int, rows: int) -> None:
    """Write a face network's scores of clips, named as VoxCeleb's."""
    from emorec.artifacts.logits import Logits, write_logits
    from emorec.labels import FERPLUS

    total, random = clips * rows, np.random.default_rng(0)
    scores = {
        "times": np.tile(np.arange(rows) * 0.24, clips),
        "logits": random.standard_normal((total, 8), dtype=np.float32),
        "boxes": np.zeros((total, 4), np.float32),
        "tracks": np.zeros(total, np.int32),
        "settings": {"network": "drawn"},
    }
    edges = np.arange(clips + 1) * rows
    write_logits(path, Logits(FERPLUS, names(clips), edges, **scores))


def names(clips: int) -> list[str]:
    """Return names of clips, 8 to a video and 15 videos to a speaker."""
    return [f"id{n // 120:05d}/video_{n % 120 // 8:02d}/{n:05d}" for n in range(clips)]


def join_scores(path: Path, clips: int) -> None:
    """Join such scores with as many sounds, as the training of a student does."""
    import pandas as pd

    from emorec.corpora.voxceleb import PARTITIONS, Voices
    from emorec.training.voice_data import join

    ids = names(clips)
    voices = Voices(
        ids,
        [Path("/corpora/voxceleb/wav", f"{name}.wav") for name in ids],
        np.array([name.split("/")[0] for name in ids]),
        np.array([PARTITIONS[n % 3] for n in range(clips)]),
        np.full(clips, 128_000),
        pd.DataFrame([], columns=["id", "reason", "left_out"]),
    )
    join(voices, [path], "drawn")


@dataclass(frozen=True)
class Named:
    """A recipe of so many clips that are names and places only; nothing reads them."""

    count: int
    kind: ClassVar[str] = "named"

    def settings(self) -> dict:
        """Return what decides the arrays: nothing."""
        return {"arrays": []}

    def sources(self, paths) -> list:
        """Return the clips."""
        from emorec.training.recipes import Source

        folder, stamp = Path("/corpora/voxceleb/mp4"), (123_456, 1_700_000_000_000)
        return [
            Source(name, {"clip": folder / f"{name}.mp4"}, stamp)
            for name in names(self.count)
        ]


def plan(output: Path, clips: int) -> None:
    """Plan an extraction, and pack its tasks, as the first process does on Ray."""
    from emorec.cluster.extraction import opened

    with opened(Named(clips), [output], output, say=lambda text: None) as own:
        packed = [pickle.dumps(task) for task in own.tasks()]
        print(sum(map(len, packed)))


def write_face_run(folder: Path) -> str:
    """Write a run of the compact face network, weights as drawn; return its name."""
    from emorec.artifacts.runs import RunFolder
    from emorec.artifacts.spec import Modality, Spec
    from emorec.labels import FERPLUS
    from emorec.training import backend

    backend.prepare(0)
    from emorec.batches.images import ImageInput
    from emorec.models.face_networks import compact
    from emorec.training.face_config import from_preset

    name = "compact_drawn"
    if (folder / f"run_{name}.json").is_file():
        return name
    model = compact(len(FERPLUS))
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / f"model_{name}.keras")
    spec = Spec(
        FERPLUS,
        (Modality("image", "grey faces", 1),),
        *(0, "crossentropy", ImageInput(48, (127.0,), 64.0).to_dict()),
        {"dataset": "none: weights as drawn", "backend": "tensorflow"},
    )
    settings = asdict(from_preset("compact", {}))
    training = {"epochs": 0, "parameters": model.count_params()}
    RunFolder(folder, name).write_record(
        settings, spec, system="faces", status="complete", training=training
    )
    return name
