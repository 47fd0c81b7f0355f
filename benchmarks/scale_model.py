"""What a corpus costs: a linear model of measured unit costs. Nothing is run here.

A job has four kinds of cost. What is paid once by each process that begins; what the
first process does clip by clip, alone; what the workers share; and bytes, on disk and
in the first process' memory. So

    wall seconds = start + driver + work / workers
    core hours   = wall seconds x workers

for reserved cores cost the same while they wait. A network may be moved to GPUs; they
work beside the cores, and the slower of the two decides.

All seconds are of one core unless a name says otherwise; GB are 10^9 bytes.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
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
        The first process: finding a clip, its bytes and time.
    clip, keep, shard
        A worker: opening a clip; a clip that it writes into a shard; a shard.
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
        The 62 voice features, a second of sound.
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
    file_there
        Looking past a file in the folder that another one is written to.
    bytes_clip, bytes_face, bytes_second_voice, bytes_plan
        On disk: a clip in a shard, a face's row, a second's rows, a clip in plan.csv.
    held_clip, held_voice, held_face
        Bytes in memory: of a clip that the first process of an extraction knows; of a
        clip, and of a row of the teacher, in the training of a speech student.
    worker_bytes
        Memory of a process with a face network.
    """

    start_program: float
    start_network: float
    start_ray: float
    list_clip: float
    clip: float
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
    word: float
    vector_line: float
    align_video: float
    align_value: float
    fuse_segment: float
    learn_compact: float
    learn_vggm: float
    file_there: float
    bytes_clip: float
    bytes_face: float
    bytes_second_voice: float
    bytes_plan: float
    held_clip: float
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
class Corpus:
    """What there is of a corpus.

    Attributes
    ----------
    clips : float
        Videos, tracks or utterances: what is one entry of a store.
    hours : float
        Of sound and of film.
    faces : float
        Frames that a face network judges.
    training : float
        Clips, or segments, of the training part.
    shown : {"films", "crops", "images"}
        Films of 640 x 360 in which faces are looked for, films of faces that were cut
        out (224 x 224), or their images.
    fps : float
        Frames a second of the films.
    source : str
        Where the numbers are from.
    """

    name: str
    clips: float
    hours: float
    faces: float
    training: float
    shown: str
    fps: float
    source: str

    @property
    def seconds(self) -> float:
        """Of sound and of film."""
        return 3600 * self.hours

    def times(self, factor: float) -> Corpus:
        """Return a corpus of the same kind that is so many times as large."""
        sizes = ("clips", "hours", "faces", "training")
        return replace(self, **{name: factor * getattr(self, name) for name in sizes})


# Frames that are judged: every sixth of 25 a second.
JUDGED = 25 / 6
# Of the judged frames of a film, those that are looked at by the detector: each fourth.
LOOKED = 1 / 4
# Numbers a second in the published files of CMU-MOSEI, two times with each row: words
# (300), FACET (35) and COVAREP (74).
MOSEI_NUMBERS = 2.6 * 302 + 30 * 37 + 100 * 76
SEGMENTS, FUSED_SEGMENTS = 23_259, 16_327
WORDS = 2.6
# Runs of Williams et al. (2018), and what is assumed of an epoch's number: at most 200.
RUNS, EPOCHS = 168, 30
# Clips of a shard.
SHARD = 64

MOSEI = Corpus(
    *("CMU-MOSEI", 3_293, 68.1, 68.1 * 3600 * JUDGED, FUSED_SEGMENTS, "films", 30),
    "labels of the SDK: 3,293 videos up to the end of their last segment",
)
VOXCELEB1 = Corpus(
    *("VoxCeleb1", 153_486, 352, 5_078_961, 118_485, "images", 25),
    "Albanie et al. (2018): tracks and face frames; Nagrani et al. (2017): hours",
)
VOXCELEB2 = Corpus(
    *("VoxCeleb2", 1_128_246, 2_442, 2_442 * 3600 * JUDGED, 1_092_009, "crops", 25),
    "Chung et al. (2018): utterances and hours",
)
MILLION = replace(
    VOXCELEB2.times(1e6 / VOXCELEB2.hours),
    name="a million hours",
    source="as VoxCeleb2, in utterances of 7.8 s",
)
MILLION_LONG = replace(
    *(MILLION,),
    name="the same, in films of an hour",
    clips=1e6,
    shown="films",
    source="a million films of 640 x 360",
)
CORPORA = (MOSEI, VOXCELEB1, VOXCELEB2, MILLION, MILLION_LONG)


@dataclass(frozen=True)
class Job:
    """Something to be done with a corpus: how many of each unit, and where.

    Attributes
    ----------
    start, driver, work, disk, held : dict
        Name of a field of `UnitCosts` -> how many; see the module.
    """

    name: str
    start: dict[str, float] = field(default_factory=dict)
    driver: dict[str, float] = field(default_factory=dict)
    work: dict[str, float] = field(default_factory=dict)
    disk: dict[str, float] = field(default_factory=dict)
    held: dict[str, float] = field(default_factory=dict)


def kept(corpus: Corpus) -> dict[str, float]:
    """Return what it takes to write the clips of a corpus into shards."""
    return {"keep": corpus.clips, "shard": corpus.clips / SHARD}


def judging(corpus: Corpus, network: str = "compact", ray: bool = False) -> Job:
    """Return the job of a face network's scores of all faces of a corpus."""
    work = {"clip": corpus.clips, **kept(corpus), f"judge_{network}": corpus.faces}
    if corpus.shown == "images":
        work["face_image"] = corpus.faces
    else:
        frame = "film_frame" if corpus.shown == "films" else "crop_frame"
        work |= {frame: corpus.seconds * corpus.fps, "face_crop": corpus.faces}
    if corpus.shown == "films":
        work["detect_frame"] = corpus.faces * LOOKED
    return Job(
        f"faces, {network}",
        {"start_network": 1} | ({"start_ray": 1} if ray else {}),
        {"list_clip": corpus.clips},
        work,
        {"bytes_clip": corpus.clips, "bytes_face": corpus.faces},
        {"held_clip": corpus.clips},
    )


def hearing(corpus: Corpus, network: str = "compact") -> Job:
    """Return the job of a speech network's scores of all sounds."""
    return Job(
        f"speech, {network}",
        {"start_network": 1},
        {"list_clip": corpus.clips},
        {f"hear_{network}": corpus.seconds, "clip": corpus.clips, **kept(corpus)},
        {"bytes_clip": corpus.clips},
        {"held_clip": corpus.clips},
    )


def voicing(corpus: Corpus) -> Job:
    """Return the job of the voice features of all sounds."""
    return Job(
        "voice features",
        {"start_program": 1},
        {"list_clip": corpus.clips},
        {"voice_librosa": corpus.seconds, "clip": corpus.clips, **kept(corpus)},
        {"bytes_clip": corpus.clips, "bytes_second_voice": corpus.seconds},
        {"held_clip": corpus.clips},
    )


def wording(corpus: Corpus, lines: float = 2_196_017) -> Job:
    """Return the job of word vectors; `lines` are those of GloVe's 840B file."""
    return Job(
        "word vectors",
        {"start_program": 1, "vector_line": lines},
        {"list_clip": corpus.clips},
        {"word": WORDS * corpus.seconds, "clip": corpus.clips, **kept(corpus)},
        {"bytes_clip": corpus.clips},
        {"held_clip": corpus.clips},
    )


def aligning(corpus: Corpus) -> Job:
    """Return the job of aligning the published files of CMU-MOSEI, or many such."""
    return Job(
        "align",
        {"start_program": 1},
        {},
        {
            "align_video": corpus.clips,
            "align_value": corpus.seconds * MOSEI_NUMBERS,
        },
    )


def fusing(corpus: Corpus, runs: float = 1, epochs: float = EPOCHS) -> Job:
    """Return the job of trainings of early fusion."""
    name = f"train, {runs:g} of {epochs:g} epochs" if runs > 1 else f"{epochs:g} epochs"
    return Job(
        name,
        {"start_network": 1},
        {},
        {"fuse_segment": runs * epochs * corpus.training},
    )


def learning(corpus: Corpus, student: str = "compact") -> Job:
    """Return the job of training the speech student once, with its preset's epochs."""
    # vggm: 300 mini-epochs of 5 %.
    epochs = {"compact": 20, "vggm": 15}[student]
    return Job(
        f"student, {student}",
        {"start_network": 1},
        {"list_clip": corpus.clips},
        {f"learn_{student}": epochs * corpus.training},
        held={"held_clip": corpus.clips},
    )


def jobs(corpus: Corpus) -> list[Job]:
    """Return all that is done with a corpus."""
    faces = [judging(corpus, network) for network in ("compact", "senet50")]
    if corpus is MOSEI:
        open_features = [faces[0], voicing(corpus), wording(corpus)]
        trained = [fusing(corpus, 1, EPOCHS), fusing(corpus, RUNS, EPOCHS)]
        return [aligning(corpus), *open_features, *trained]
    students = [learning(corpus, student) for student in ("compact", "vggm")]
    return [*faces, hearing(corpus), voicing(corpus), *students]


@dataclass(frozen=True)
class Prediction:
    """What a job costs on so many workers.

    Attributes
    ----------
    start, driver : float
        Seconds.
    work : float
        Core seconds that the workers share.
    gpu : float
        GPU seconds.
    workers, gpus : int
    disk, held : float
        Bytes.
    """

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
        return self.start + self.driver + max(self.work / self.workers, device)

    @property
    def processor(self) -> float:
        """Processor seconds that are used, not those that are waited."""
        return self.start + self.driver + self.work

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
        Cores that work.
    gpu : dict, optional
        Units of work -> GPU seconds of one; they leave the cores.
    gpus : int
        GPUs that share them.
    """
    if workers < 1 or gpus < 1:
        raise ValueError(f"{workers} workers, {gpus} GPUs: expected 1 or more.")
    gpu = gpu or {}

    def total(units: dict[str, float]) -> float:
        return sum(count * getattr(costs, unit) for unit, count in units.items())

    on_cores = {unit: n for unit, n in job.work.items() if unit not in gpu}
    return Prediction(
        *(total(job.start), total(job.driver), total(on_cores)),
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
