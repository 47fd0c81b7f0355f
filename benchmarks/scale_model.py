"""What a corpus costs: a linear model of measured unit costs. Nothing is run here.

A job has five kinds of cost. What is paid once; what every worker pays when it begins,
all at the same time; what the first process does clip by clip, alone; what the workers
share; and bytes, on disk and in the first process' memory. So

    wall seconds      = once + start + driver + work / workers
    processor seconds = once + start x workers + driver + work
    price             = wall seconds x workers x that of a core

for reserved cores cost the same while they wait. A network may be moved to GPUs; they
work beside the cores, and the slower of the two decides.

All seconds are of one core unless a name says otherwise; GB are 10^9 bytes.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path


@dataclass(frozen=True)
class UnitCosts:
    """Seconds of a core for one of each, and bytes; `scale.py measure` makes them.

    Attributes
    ----------
    start_program, start_network, start_ray
        Once: a command without a network; with a face network, until its first clip;
        Ray on this machine.
    list_clip
        The first process: finding a clip, its bytes and time, and giving it a shard.
    clip, note, keep, shard
        A worker: opening a clip; writing down which it has in hand; a clip that it
        writes into a shard; a shard.
    face_image
        Reading a face out of a JPEG of 160 x 160.
    film_frame, crop_frame
        Decoding a frame of 640 x 360, and of 224 x 224.
    detect_frame, face_crop
        MTCNN on a frame of 640 x 360; cutting a face out.
    judge_compact, judge_senet50
        The face networks, a face.
    hear_compact, hear_vggm
        The speech networks, a second of sound, with reading and spectrogram.
    voice_librosa
        The 62 voice features, a second of sound at 16 kHz.
    film_sound
        Reading a second of stereo sound at 44.1 kHz, and resampling it.
    word
        The vector of a word.
    vector_line
        Indexing a line of a file of word vectors, once.
    align_video, align_value
        Alignment: a video, and each number read (gzip 9), times among them.
    fuse_segment
        Training early fusion on all three modalities, a segment an epoch, mean of one
        to three layers, batches of 64, 20 words.
    learn_compact, learn_vggm
        Training the speech student, a part of 4 s.
    index_row
        Writing a row of the table of finished shards, or of failures.
    bytes_clip, bytes_face, bytes_second_voice, bytes_word, bytes_plan
        On disk: a clip in a shard, a face's row, a second's rows of the voice, a word's
        row, a clip in plan.csv.
    bytes_task
        What a process is sent of a clip.
    bytes_hear_compact, bytes_hear_vggm
        On disk: what a speech network says of a clip, and its embedding.
    held_clip, held_segment, held_voice, held_face
        Bytes in memory: of a clip that the first process of an extraction knows; of an
        aligned segment, its arrays on disk; of a clip, and of a row of the teacher, in
        the training of a speech student.
    worker_bytes
        Memory of a process with a face network.
    """

    start_program: float
    start_network: float
    start_ray: float
    list_clip: float
    clip: float
    note: float
    keep: float
    shard: float
    face_image: float
    film_frame: float
    crop_frame: float
    detect_frame: float
    face_crop: float
    judge_compact: float
    judge_senet50: float
    hear_compact: float
    hear_vggm: float
    voice_librosa: float
    film_sound: float
    word: float
    vector_line: float
    align_video: float
    align_value: float
    fuse_segment: float
    learn_compact: float
    learn_vggm: float
    index_row: float
    bytes_clip: float
    bytes_face: float
    bytes_second_voice: float
    bytes_word: float
    bytes_hear_compact: float
    bytes_hear_vggm: float
    bytes_plan: float
    bytes_task: float
    held_clip: float
    held_segment: float
    held_voice: float
    held_face: float
    worker_bytes: float

    def __post_init__(self) -> None:
        for each in fields(self):
            if not 0 <= getattr(self, each.name) < float("inf"):
                raise ValueError(f"{each.name}: {getattr(self, each.name)}.")

    @classmethod
    def read(cls, path: Path) -> UnitCosts:
        """Read them from the JSON of `scale.py measure`."""
        return cls(**json.loads(path.read_text())["costs"])

    def to_dict(self) -> dict[str, float]:
        """Return plain numbers."""
        return asdict(self)


@dataclass(frozen=True)
class Prices:
    """In any currency. The defaults are assumptions of November 2026, not quotations.

    Attributes
    ----------
    core_hour, gpu_hour
        A rented core with 4 GB of memory, a rented GPU.
    gb_month
        Object storage.
    """

    core_hour: float = 0.04
    gpu_hour: float = 2.50
    gb_month: float = 0.023


@dataclass(frozen=True)
class Job:
    """Something to be done with a corpus: how many of each unit, and where.

    Attributes
    ----------
    once, start, driver, work, disk, held : dict
        Name of a field of `UnitCosts` -> how many; see the module.
    widest : int, optional
        More workers than these do not help, and are not asked for.
    """

    name: str
    once: dict[str, float] = field(default_factory=dict)
    start: dict[str, float] = field(default_factory=dict)
    driver: dict[str, float] = field(default_factory=dict)
    work: dict[str, float] = field(default_factory=dict)
    disk: dict[str, float] = field(default_factory=dict)
    held: dict[str, float] = field(default_factory=dict)
    widest: int | None = None


@dataclass(frozen=True)
class Prediction:
    """What a job costs on so many workers.

    Attributes
    ----------
    once, start, driver : float
        Seconds; each worker has the `start`.
    work : float
        Core seconds that the workers share.
    gpu : float
        GPU seconds.
    workers, gpus : int
    disk, held : float
        Bytes.
    """

    once: float
    start: float
    driver: float
    work: float
    gpu: float
    workers: int
    gpus: int
    disk: float
    held: float

    @property
    def wall(self) -> float:
        """Seconds from the command to its end."""
        device = self.gpu / self.gpus if self.gpu else 0.0
        shared = max(self.work / self.workers, device)
        return self.once + self.start + self.driver + shared

    @property
    def processor(self) -> float:
        """Processor seconds that are used, not those that are waited."""
        return self.once + self.start * self.workers + self.driver + self.work

    def money(self, prices: Prices, months: float = 1.0) -> float:
        """Return the price of the reserved machines, and of the result's disk."""
        hours = self.wall / 3600
        machines = self.workers * prices.core_hour
        if self.gpu:
            machines += self.gpus * prices.gpu_hour
        return hours * machines + self.disk / 1e9 * months * prices.gb_month


def predict(
    job: Job,
    costs: UnitCosts,
    workers: int = 1,
    gpu: dict[str, float] | None = None,
    gpus: int = 1,
) -> Prediction:
    """Return what a job costs.

    Parameters
    ----------
    job : Job
    costs : UnitCosts
    workers : int
        Cores that work; fewer, where the job cannot be divided so far.
    gpu : dict, optional
        Units of work -> GPU seconds of one; they leave the cores.
    gpus : int
        GPUs that share them.
    """
    if workers < 1 or gpus < 1:
        raise ValueError(f"{workers} workers, {gpus} GPUs: expected 1 or more.")
    gpu, workers = gpu or {}, min(workers, job.widest or workers)

    def total(units: dict[str, float]) -> float:
        return sum(count * getattr(costs, unit) for unit, count in units.items())

    on_cores = {unit: n for unit, n in job.work.items() if unit not in gpu}
    return Prediction(
        *(total(job.once), total(job.start), total(job.driver), total(on_cores)),
        sum(n * gpu[unit] for unit, n in job.work.items() if unit in gpu),
        *(workers, gpus, total(job.disk), total(job.held)),
    )


def line(
    sizes: tuple[float, float], results: tuple[float, float]
) -> tuple[float, float]:
    """Return the fixed and the unit cost of results at two sizes; none is negative."""
    (few, many), (less, more) = sizes, results
    unit = max(0.0, (more - less) / (many - few))
    return max(0.0, less - unit * few), unit
