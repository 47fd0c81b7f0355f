"""Voices and the teacher's scores of the faces that speak, clip by clip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emorec.artifacts.logits import Logits, find_logits, read_logits
from emorec.corpora import voxceleb
from emorec.corpora.clips import find_clips
from emorec.corpora.voxceleb import PARTITIONS, Voices, clip_id
from emorec.errors import DataError, shorten
from emorec.evaluation.voice_candidates import Candidate, candidates
from emorec.features.crops import EVERY, VIDEO_RATE, frame_numbers
from emorec.files import digest
from emorec.labels import FERPLUS, LabelSchema, check_same
from emorec.training.clip_labels import aggregate


@dataclass(frozen=True)
class VoiceData:
    """Clips that have a voice and a judged face.

    Attributes
    ----------
    voices : Voices
        n clips.
    schema : LabelSchema
        The K emotions.
    offsets : (n + 1,) int64
        Clip i has the rows ``offsets[i]:offsets[i + 1]``.
    logits : (rows, K) float32
        The teacher's scores, a row per face.
    numbers : (rows,) int64
        Which of the teacher's frames each row is, from 1, rising within a clip.
    dataset : str
        Its name, as every output tells it.
    teacher : str
        The network that gave the logits.
    """

    voices: Voices
    schema: LabelSchema
    offsets: np.ndarray
    logits: np.ndarray
    numbers: np.ndarray
    dataset: str
    teacher: str

    def __len__(self) -> int:
        return len(self.voices.ids)

    def identity(self) -> dict[str, Any]:
        """Return what a model trained on these data must record."""
        voices = self.voices
        content = [voices.ids, voices.partition.tolist(), voices.samples.tolist()]
        total = np.abs(self.logits).sum(axis=0, dtype=np.float64).round(1).tolist()
        return {
            "name": self.dataset,
            "clips": digest([content, self.schema.labels]),
            "logits": digest([total, self.offsets.tolist()]),
        }

    def rows(self, clip: int) -> slice:
        """Return the rows of a clip."""
        return slice(int(self.offsets[clip]), int(self.offsets[clip + 1]))

    def pooled(self, how: str = "max") -> np.ndarray:
        """Return one row of logits per clip (n, K), over all of its frames."""
        return np.stack(
            [aggregate(self.logits[self.rows(i)], how) for i in range(len(self))]
        )

    def frame_logits(self) -> Logits:
        """Return the teacher's scores of all frames as one file of them."""
        rows = len(self.logits)
        return Logits(
            self.schema,
            self.voices.ids,
            self.offsets,
            times=(self.numbers - 1) * EVERY / VIDEO_RATE,
            logits=self.logits,
            boxes=np.zeros((rows, 4), np.float32),
            tracks=np.zeros(rows, np.int32),
            settings={"network": self.teacher},
        )


def sample_candidates(
    data: VoiceData, faces: str | Path | None = None
) -> Iterator[Candidate]:
    """Return the clips as examples to choose from.

    Parameters
    ----------
    data : VoiceData
        Clips.
    faces : path, optional
        Face tracks, in folders such as ``SPEAKER/1.6/VIDEO/00001``; a clip without one
        has no pictures.
    """
    folders = {}
    if faces is not None and Path(faces).is_dir():
        found = find_clips([faces])
        folders = {clip_id(clip.id): clip.path for clip in found if clip.path.is_dir()}
    sounds = dict(zip(data.voices.ids, data.voices.paths, strict=True))
    return candidates(data.frame_logits(), sounds, folders)


def join(
    voices: Voices,
    shards: Sequence[str | Path],
    dataset: str,
    num_emotions: int = len(FERPLUS),
) -> VoiceData:
    """Put the teacher's logits beside the sounds.

    Parameters
    ----------
    voices : Voices
        From `emorec.corpora.voxceleb.read_voxceleb`.
    shards : sequence of path
        Files of ``emorec faces label``, stores of ``emorec extract teacher`` (their
        folders or addresses), or folders that hold such, also several levels below.
    dataset : str
        Name of the corpus.
    num_emotions : int
        The first so many of FER+'s emotions are kept.

    Returns
    -------
    VoiceData
        Its report has, besides that of `voices`, the sounds without a face and the
        face tracks without a sound.

    Raises
    ------
    DataError
        When a shard is damaged, two shards have one clip, different networks judged
        them, or nothing is left of a partition.
    LabelMismatchError
        When a shard's emotions are others than FER+'s or in another order.
    """
    if not 2 <= num_emotions <= len(FERPLUS):
        raise DataError(
            f"{num_emotions} emotions: expected 2 to {len(FERPLUS)}, the first of "
            f"{', '.join(FERPLUS.labels)}."
        )
    files = find_logits(shards)
    parts, teachers = [], set()
    places: dict[str, tuple[int, int]] = {}
    for number, path in enumerate(files):
        part = read_logits(path)
        check_same(FERPLUS, part.schema, str(path))
        teachers.add(str(part.settings.get("network", "unknown")))
        for row, name in enumerate(part.ids):
            earlier = places.setdefault(clip_id(name), (number, row))
            if earlier != (number, row):
                raise DataError(
                    f"{path}: {clip_id(name)} is in {files[earlier[0]]}, too. Give "
                    "each clip once."
                )
        parts.append(part)
    if len(teachers) > 1:
        raise DataError(
            f"The logits come of different networks ({shorten(sorted(teachers))}). "
            "Label all clips with one."
        )
    have = np.array([name in places for name in voices.ids])
    report = [
        (voices.ids[i], "no frame with a face", True) for i in np.flatnonzero(~have)
    ]
    orphans = sorted(set(places) - set(voices.ids))
    report += [(name, "a face track without a usable sound", True) for name in orphans]
    kept = np.flatnonzero(have)
    for wanted in PARTITIONS:
        if not (voices.partition[kept] == wanted).any():
            raise DataError(
                f"{shorten([str(f) for f in files])}: no logits for any clip of "
                f"{wanted}. Sounds are named such as {shorten(voices.ids[:2])}, face "
                f"tracks {shorten(orphans[:2]) or 'as these'}."
            )
    voices = Voices(
        [voices.ids[i] for i in kept],
        [voices.paths[i] for i in kept],
        voices.speakers[kept],
        voices.partition[kept],
        voices.samples[kept],
        pd.concat(
            [voices.report, pd.DataFrame(report, columns=list(voices.report.columns))],
            ignore_index=True,
        ),
    )
    chosen = [_rows(parts[p], row) for p, row in map(places.__getitem__, voices.ids)]
    counts = [len(numbers) for numbers, _ in chosen]
    schema = FERPLUS
    if num_emotions < len(FERPLUS):
        schema = LabelSchema(
            f"ferplus_{num_emotions}", FERPLUS.labels[:num_emotions], FERPLUS.kind
        )
    return VoiceData(
        voices,
        schema,
        np.cumsum([0, *counts], dtype=np.int64),
        np.concatenate([logits for _, logits in chosen])[:, :num_emotions],
        np.concatenate([numbers for numbers, _ in chosen]),
        dataset,
        teachers.pop(),
    )


def _rows(part: Logits, clip: int) -> tuple[np.ndarray, np.ndarray]:
    rows = slice(part.offsets[clip], part.offsets[clip + 1])
    numbers = frame_numbers(part.times[rows])
    order = np.argsort(numbers, kind="stable")
    return numbers[order], part.logits[rows][order].astype(np.float32)


def describe(data: VoiceData) -> str:
    """Say what there is, how the teacher's emotions are spread, what is left out."""
    lines = [
        f"{data.dataset}, logits of {data.teacher}",
        voxceleb.describe(data.voices),
    ]
    dominant = data.pooled().argmax(axis=1)
    for partition in PARTITIONS:
        part = dominant[data.voices.partition == partition]
        shares = np.bincount(part, minlength=len(data.schema)) / max(1, len(part))
        text = ", ".join(
            f"{label} {share:.1%}"
            for label, share in zip(data.schema.labels, shares, strict=True)
        )
        lines.append(f"  teacher on {partition}: {text}")
    return "\n".join(lines)
