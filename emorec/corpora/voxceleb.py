"""VoxCeleb1 as the corpus of EmoVoxCeleb: sounds, speakers, partitions.

Nagrani, Chung and Zisserman (2017), "VoxCeleb: a large-scale speaker identification
dataset"; Albanie, Nagrani, Vedaldi and Zisserman (2018), section 3. A folder holds

- ``wav/SPEAKER/VIDEO/00001.wav``, or the tree itself without ``wav``;
- ``emovoxceleb_split.txt``: lines ``SET SPEAKER/VIDEO/00001.wav`` with set 1 for train,
  2 for unheardVal (speakers that train does not have), 3 for heardVal (speakers of
  train in other videos). VoxCeleb's own lists have the same form.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from emorec.corpora.sounds import at_rate, index_sounds
from emorec.errors import DataError, shorten
from emorec.features.audio import AUDIO_SUFFIXES, RATE

SPLIT_FILE = "emovoxceleb_split.txt"
SETS = {"1": "train", "2": "unheardVal", "3": "heardVal"}
PARTITIONS = ("train", "heardVal", "unheardVal")
# Of EmoVoxCeleb (published code): tracks of each partition, before 134 tracks without
# a face were removed; speakers of all and of unheardVal.
PUBLISHED = {"train": 118_485, "heardVal": 4_505, "unheardVal": 30_496}
PUBLISHED_SPEAKERS = {"all": 1_251, "unheardVal": 250}
# Shares of a split that is drawn here, after the published one's.
_UNHEARD, _HEARD = 0.2, 0.037
# Folders between a speaker and the videos that are no part of a name: the factor by
# which the boxes of face tracks were enlarged.
_FACTOR = re.compile(r"\d\.\d+")


@dataclass(frozen=True)
class Voices:
    """Sounds of speakers, n clips in the order of their ids.

    Attributes
    ----------
    ids : list of str
        ``SPEAKER/VIDEO/00001``.
    paths : list of Path
    speakers, partition : (n,) str
        `partition` is one of `PARTITIONS`.
    samples : (n,) int64
        Length at 16 kHz.
    report : DataFrame
        ``id``, ``reason``, ``left_out``: everything that is missing, spoilt or worth
        telling.
    """

    ids: list[str]
    paths: list[Path]
    speakers: np.ndarray
    partition: np.ndarray
    samples: np.ndarray
    report: pd.DataFrame


def clip_id(path: str | Path) -> str:
    """Return SPEAKER/VIDEO/00001 of a path below the root of sounds, videos or faces.

    Suffixes and the folder ``1.6`` of face tracks are left out, and a segment's number
    has five digits, so that a sound and its face track have one id. Of names such as
    ``SPEAKER/VIDEO_0000001`` the number is split off.
    """
    parts = [part for part in PurePosixPath(path).parts if not _FACTOR.fullmatch(part)]
    if PurePosixPath(parts[-1]).suffix.lower() in _SUFFIXES:
        parts[-1] = PurePosixPath(parts[-1]).stem
    if len(parts) == 2 and (found := re.fullmatch(r"(.+)_(\d+)", parts[-1])):
        parts[1:] = found.groups()
    if parts[-1].isdecimal():
        parts[-1] = f"{int(parts[-1]):05d}"
    return "/".join(parts)


_SUFFIXES = AUDIO_SUFFIXES | {".mp4", ".avi", ".mkv", ".webm", ".mpg", ".m4a"}


def read_voxceleb(
    folder: str | Path,
    split: str | Path | None = None,
    table: Path | None = None,
    seed: int = 0,
) -> Voices:
    """Read a folder of sounds and its split.

    Parameters
    ----------
    folder : path
        See the module.
    split : path, optional
        The list; by default the folder's own. ``"draw"`` draws one from `seed`: a fifth
        of the speakers is unheard, 3.7 % of the other speakers' videos are held back.
    table : Path, optional
        Remembers what was found in the sounds, see
        `emorec.corpora.sounds.index_sounds`.

    Raises
    ------
    DataError
        When there is no sound or no list, a line of the list cannot be read, a
        partition is empty, or unheardVal has a speaker of another partition.
    """
    folder = Path(folder)
    root = folder / "wav" if (folder / "wav").is_dir() else folder
    sounds = _find(root)
    if split == "draw":
        where, listed = "the drawn split", draw_split(list(sounds), seed)
    else:
        where = Path(split or folder / SPLIT_FILE)
        listed = read_split(where)
    missing = sorted(set(listed) - set(sounds))
    unlisted = sorted(set(sounds) - set(listed))
    names = sorted(set(sounds) & set(listed))
    if not names:
        raise DataError(
            f"{where}: none of its {len(listed):,} clips is in {root}, which has "
            f"{shorten(sorted(sounds))}."
        )
    check_speakers({name: listed[name] for name in names}, str(where))
    index = index_sounds({name: sounds[name] for name in names}, table)
    rows = [(name, "in the split, but no such sound", True) for name in missing]
    rows += [(name, "a sound that the split does not list", True) for name in unlisted]
    spoilt = index[index.problem != ""]
    rows += [(row.id, row.problem, True) for row in spoilt.itertuples()]
    noted = index[(index.problem == "") & (index.note != "")]
    rows += [(row.id, row.note, False) for row in noted.itertuples()]
    index = index[index.problem == ""]
    ids = index.id.tolist()
    samples = [at_rate(row.samples, row.rate) for row in index.itertuples()]
    partition = np.array([listed[name] for name in ids], dtype=np.str_)
    for wanted in PARTITIONS:
        if not (partition == wanted).any():
            raise DataError(
                f"{where}: no usable clip of {wanted} (set "
                f"{_number(wanted)}). Expected all of {', '.join(PARTITIONS)}."
            )
    return Voices(
        ids,
        [sounds[name] for name in ids],
        np.array([name.split("/")[0] for name in ids], dtype=np.str_),
        partition,
        np.array(samples, np.int64),
        pd.DataFrame(rows, columns=["id", "reason", "left_out"]),
    )


def _number(partition: str) -> str:
    return next(number for number, name in SETS.items() if name == partition)


def _find(root: Path) -> dict[str, Path]:
    """Return id -> sound file; a speaker's folder is the first below the root."""
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; expected SPEAKER/VIDEO/00001.wav.")
    found: dict[str, Path] = {}
    for folder, inner, files in os.walk(root):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in sorted(files):
            path = Path(folder, name)
            if path.suffix.lower() not in AUDIO_SUFFIXES or name.startswith("."):
                continue
            key = clip_id(path.relative_to(root).as_posix())
            if "/" not in key:
                raise DataError(
                    f"{path}: a sound without a speaker's folder; expected "
                    "SPEAKER/VIDEO/00001.wav."
                )
            if key in found:
                raise DataError(
                    f"{path} and {found[key]} are one clip, {key}. Keep one of them."
                )
            found[key] = path
    if not found:
        raise DataError(f"{root}: no sounds; expected SPEAKER/VIDEO/00001.wav.")
    return found


def read_split(path: str | Path) -> dict[str, str]:
    """Return id -> partition of a list of ``SET PATH`` lines.

    Raises
    ------
    DataError
        When the file is missing, or a line is not such a line or repeats a clip.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(
            f"{path}: no such split. Expected lines 'SET SPEAKER/VIDEO/00001.wav' with "
            "set 1 for train, 2 for unheardVal, 3 for heardVal. Without a list, "
            "--split draw draws one."
        )
    found: dict[str, str] = {}
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        words = line.split(None, 1)
        if not words:
            continue
        if len(words) != 2 or words[0] not in SETS:
            raise DataError(
                f"{path}, line {number}: expected 1, 2 or 3 and a path, found "
                f"'{line[:80]}'."
            )
        key = clip_id(words[1].strip())
        if found.setdefault(key, SETS[words[0]]) != SETS[words[0]]:
            raise DataError(
                f"{path}, line {number}: {key} is in {found[key]} and in "
                f"{SETS[words[0]]}."
            )
    return found


def check_speakers(listed: dict[str, str], where: str) -> None:
    """Refuse a split whose unheard speakers are heard elsewhere.

    Raises
    ------
    DataError
        Naming the speakers.
    """
    speakers: dict[str, set[str]] = {name: set() for name in PARTITIONS}
    for name, partition in listed.items():
        speakers[partition].add(name.split("/")[0])
    both = speakers["unheardVal"] & (speakers["train"] | speakers["heardVal"])
    if both:
        raise DataError(
            f"{where}: {len(both)} speakers are in unheardVal and in another partition "
            f"({shorten(sorted(both))}), so that it would not be unheard. VoxCeleb's "
            "list for identification (iden_split.txt) is such a list; use the one of "
            "EmoVoxCeleb, or --split draw."
        )


def draw_split(ids: list[str], seed: int = 0) -> dict[str, str]:
    """Draw partitions by speaker and video; at least one of each where there are.

    Raises
    ------
    DataError
        With fewer than three speakers.
    """
    videos: dict[str, list[str]] = {}
    for name in sorted(ids):
        videos.setdefault(name.split("/")[0], []).append(name.rsplit("/", 1)[0])
    if len(videos) < 3:
        raise DataError(f"{len(videos)} speakers: a split needs three or more.")
    random = np.random.default_rng(seed)
    order = random.permutation(sorted(videos))
    count = max(1, round(_UNHEARD * len(order)))
    unheard = set(order[:count].tolist())
    # A speaker's only video stays in train, or it would be unheard, too.
    several = [
        video for speaker in order[count:] for video in sorted(set(videos[speaker]))[1:]
    ]
    total = sum(len(set(videos[speaker])) for speaker in order[count:])
    held = min(len(several), max(1, round(_HEARD * total)))
    chosen = set(random.permutation(several)[:held].tolist()) if several else set()
    return {
        name: "unheardVal"
        if name.split("/")[0] in unheard
        else "heardVal"
        if name.rsplit("/", 1)[0] in chosen
        else "train"
        for name in ids
    }


def describe(voices: Voices) -> str:
    """Say what there is, beside what EmoVoxCeleb has, and what is left out."""
    lines = []
    for partition in PARTITIONS:
        chosen = voices.partition == partition
        hours = voices.samples[chosen].sum() / RATE / 3600
        lines.append(
            f"  {partition}: {chosen.sum():,} clips of "
            f"{len(set(voices.speakers[chosen].tolist())):,} speakers, {hours:.1f} h "
            f"(EmoVoxCeleb: {PUBLISHED[partition]:,} tracks)"
        )
    counts = voices.report.groupby(["left_out", "reason"]).size()
    for (left_out, reason), count in counts.sort_values(ascending=False)[:8].items():
        lines.append(f"  {count:,} {'left out' if left_out else 'kept'}: {reason}")
    if len(counts) > 8:
        lines.append(f"  {counts.sum() - sum(counts.nlargest(8)):,} more, see report")
    return "\n".join(lines)
