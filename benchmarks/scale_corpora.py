"""Corpora in numbers, and the jobs that are done with them (see scale_model.py)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from scale_model import Job, UnitCosts


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
    filled : float
        Faces of a clip's last batch are computed as so many; see `judged`.
    """

    name: str
    clips: float
    hours: float
    faces: float
    training: float
    shown: str
    fps: float
    source: str
    filled: float = 4 / 3

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
# Of the judged frames of a film, those that the detector looks at: each fourth, and
# more where faces move. So many in 20 real clips of talking faces.
LOOKED = 0.34
# Numbers a second in the published files of CMU-MOSEI, two times with each row: words
# (300), FACET (35) and COVAREP (74).
MOSEI_NUMBERS = 2.6 * 302 + 30 * 37 + 100 * 76
SEGMENTS, FUSED_SEGMENTS = 23_259, 16_327
WORDS = 2.6
# Runs of Williams et al. (2018), and what is assumed of an epoch's number: at most 200.
RUNS, EPOCHS = 168, 30
# Cores of a training: so many were tried.
TRAINED_ON = 2
BATCH = 128
# Clips of a shard; clips that fail, an assumption.
SHARD, FAILED = 64, 0.01

MOSEI = Corpus(
    *("CMU-MOSEI", 3_293, 68.3, 68.3 * 3600 * JUDGED, FUSED_SEGMENTS, "films", 30),
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
    training=1e6,
    shown="films",
    source="a million films of 640 x 360",
)
CORPORA = (MOSEI, VOXCELEB1, VOXCELEB2, MILLION, MILLION_LONG)


def kept(corpus: Corpus) -> dict[str, float]:
    """Return what it takes to write the clips of a corpus into shards."""
    clips = corpus.clips
    return {"note": clips, "keep": clips, "shard": clips / SHARD}


def judged(corpus: Corpus) -> float:
    """Return the faces that a network computes, with those that fill up batches.

    The faces of a clip go in batches of 128, the last one filled up to a power of two:
    by a third, when numbers of faces between two powers are equally frequent.
    """
    if not corpus.clips:
        return 0.0
    full, last = divmod(corpus.faces / corpus.clips, BATCH)
    return corpus.clips * (full * BATCH + last * corpus.filled)


def judging(corpus: Corpus, network: str = "compact", ray: bool = False) -> Job:
    """Return the job of a face network's scores of all faces of a corpus."""
    work = {"clip": corpus.clips, **kept(corpus), f"judge_{network}": judged(corpus)}
    if corpus.shown == "images":
        work["face_image"] = corpus.faces
    else:
        frame = "film_frame" if corpus.shown == "films" else "crop_frame"
        work |= {frame: corpus.seconds * corpus.fps, "face_crop": corpus.faces}
    if corpus.shown == "films":
        work["detect_frame"] = corpus.faces * LOOKED
    return Job(
        f"faces, {network}",
        {"start_ray": 1} if ray else {},
        {"start_network": 1},
        {"list_clip": corpus.clips},
        work,
        {"bytes_clip": corpus.clips, "bytes_face": corpus.faces},
        {"held_clip": corpus.clips},
    )


def hearing(corpus: Corpus, network: str = "compact") -> Job:
    """Return the job of a speech network's scores of all sounds."""
    return Job(
        f"speech, {network}",
        {},
        {"start_network": 1},
        {"list_clip": corpus.clips},
        {f"hear_{network}": corpus.seconds, "clip": corpus.clips, **kept(corpus)},
        {"bytes_clip": corpus.clips, f"bytes_hear_{network}": corpus.clips},
        {"held_clip": corpus.clips},
    )


def voicing(corpus: Corpus) -> Job:
    """Return the job of the voice features of all sounds."""
    work = {"voice_librosa": corpus.seconds, "clip": corpus.clips, **kept(corpus)}
    if corpus.shown == "films":
        work["film_sound"] = corpus.seconds
    return Job(
        "voice features",
        {},
        {"start_program": 1},
        {"list_clip": corpus.clips},
        work,
        {"bytes_clip": corpus.clips, "bytes_second_voice": corpus.seconds},
        {"held_clip": corpus.clips},
    )


def wording(corpus: Corpus, lines: float = 2_196_017) -> Job:
    """Return the job of word vectors; `lines` are those of GloVe's 840B file."""
    return Job(
        "word vectors",
        {},
        {"start_program": 1, "vector_line": lines},
        {"list_clip": corpus.clips},
        {"word": WORDS * corpus.seconds, "clip": corpus.clips, **kept(corpus)},
        {"bytes_clip": corpus.clips, "bytes_word": WORDS * corpus.seconds},
        {"held_clip": corpus.clips},
    )


def aligning(corpus: Corpus) -> Job:
    """Return the job of aligning the published files of CMU-MOSEI, or many such."""
    return Job(
        "align",
        {},
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
        {},
        {"start_network": 1},
        {},
        {"fuse_segment": runs * epochs * corpus.training},
        widest=int(runs) * TRAINED_ON,
    )


def learning(corpus: Corpus, student: str = "compact") -> Job:
    """Return the job of training the speech student once, with its preset's epochs."""
    # vggm: 300 mini-epochs of 5 %.
    epochs = {"compact": 20, "vggm": 15}[student]
    return Job(
        f"student, {student}",
        {},
        {"start_network": 1},
        {"list_clip": corpus.clips},
        {f"learn_{student}": epochs * corpus.training},
        held={"held_clip": corpus.clips},
        widest=TRAINED_ON,
    )


def jobs(corpus: Corpus) -> list[Job]:
    """Return all that is done with a corpus."""
    faces = [judging(corpus, network) for network in ("compact", "senet50")]
    if corpus is MOSEI:
        open_features = [faces[0], voicing(corpus), wording(corpus)]
        trained = [fusing(corpus, 1, EPOCHS), fusing(corpus, RUNS, EPOCHS)]
        return [aligning(corpus), *open_features, *trained]
    if corpus is MILLION_LONG:
        # A speech network hears 10 s of a sound, and a student 4 s.
        return [*faces, voicing(corpus)]
    students = [learning(corpus, student) for student in ("compact", "vggm")]
    heard = [hearing(corpus, network) for network in ("compact", "vggm")]
    return [*faces, *heard, voicing(corpus), *students]


def limits(corpus: Corpus, costs: UnitCosts) -> dict[str, tuple[float, str]]:
    """Return what grows with a corpus beside the hours: numbers and their units."""
    shards = corpus.clips / SHARD
    faces = corpus.faces / corpus.clips if corpus.clips else 0.0
    shard = SHARD * (costs.bytes_clip + faces * costs.bytes_face)
    segments = SEGMENTS * corpus.hours / MOSEI.hours
    failed = FAILED * corpus.clips
    return {
        "clips": (corpus.clips, ""),
        "finding all clips": (costs.list_clip * corpus.clips, "s"),
        "first process of an extraction holds": (costs.held_clip * corpus.clips, "B"),
        "on Ray, what is sent": (costs.bytes_task * corpus.clips, "B"),
        "plan.csv": (costs.bytes_plan * corpus.clips, "B"),
        "files in shards/": (shards, ""),
        "a shard of faces": (shard, "B"),
        "writing shards.csv once": (costs.index_row * shards, "s"),
        f"writing failures.csv once, {FAILED:.0%}": (costs.index_row * failed, "s"),
        "segments if labelled as CMU-MOSEI": (segments, ""),
        "alignment holds": (costs.held_segment * segments, "B"),
        "student: the teacher's rows": (costs.held_face * corpus.faces, "B"),
        "student: the clips": (costs.held_voice * corpus.clips, "B"),
        "sounds, 16 kHz, 16 bits": (32_000 * corpus.seconds, "B"),
    }
