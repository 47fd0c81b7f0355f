"""Example clips of each emotion, for people to listen to and look at.

One folder a clip, ``<destination>/<emotion>/<number>/``, with the sound, what the
teacher scored, and the face on which it was surest (Albanie et al., 2018, published
code). The emotion is that of the clip's single largest frame score.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import zlib
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from emorec.errors import DataError, SpecError, shorten
from emorec.evaluation.figures import save
from emorec.evaluation.voice_candidates import Candidate, check, digest
from emorec.evaluation.voice_figures import distribution_figure
from emorec.evaluation.voices import IGNORED, check_ignored
from emorec.files import exclusive, read_json, write_json
from emorec.labels import LabelSchema
from emorec.progress import track

RECORD, META = "samples.json", "meta.txt"
_PREFIX = ".writing-"
_SHOWN = 5


@dataclass
class Exported:
    """What was written.

    Attributes
    ----------
    counts : dict of str to int
        Clips in the folder of each emotion.
    wanted : int
        How many were asked for.
    failures : list of (str, str)
        Clips that were passed over, and why.
    """

    wanted: int
    counts: dict[str, int] = field(default_factory=dict)
    failures: list[tuple[str, str]] = field(default_factory=list)

    def summary(self) -> str:
        """Say per emotion how many clips there are, and what is missing."""
        lines = []
        for emotion, count in self.counts.items():
            fewer = count < self.wanted
            note = f" of {self.wanted}: there are no more" if fewer else ""
            lines.append(f"{emotion}: {count} clips{note}")
        lines += [f"passed over {name}: {why}" for name, why in self.failures[:_SHOWN]]
        if len(self.failures) > _SHOWN:
            lines.append(f"and {len(self.failures) - _SHOWN:,} more were passed over")
        return "\n".join(lines)


def export_samples(
    destination: str | Path,
    candidates: Iterable[Candidate],
    schema: LabelSchema,
    count: int = 20,
    seed: int = 0,
    ignored: Collection[str] = IGNORED,
    peaks: bool = True,
    sequence: bool = False,
    overwrite: bool = False,
) -> Exported:
    """Write up to `count` clips of each emotion, drawn at random.

    Each folder holds the sound under its own name; ``meta.txt`` with the clip's name
    and its K scores, the largest over frames; ``distribution.png``, their bars;
    ``peakFrame`` with the image's own suffix; and ``frames/``. The same clips and seed
    give the same sample, whatever the order of the clips. After an interruption the
    same call goes on.

    Parameters
    ----------
    destination : path
        An empty or new folder, or one of earlier samples.
    candidates : iterable of Candidate
        To draw from.
    schema : LabelSchema
        Names of the K columns.
    count : int
        Clips of an emotion.
    seed : int
        Of the draw.
    ignored : collection of str
        Emotions without samples.
    peaks : bool
        Copy the image with the largest score, of clips that have images.
    sequence : bool
        Copy all images, numbered in their order.
    overwrite : bool
        Remove earlier samples of other clips or settings first.

    Returns
    -------
    Exported
        Also tells where there are fewer clips than asked. Of a clip whose files cannot
        be read the next one takes the place.

    Raises
    ------
    SpecError
        When `count` is below 1, or the folder holds something else.
    DataError
        When two clips have one name, or the folder cannot be written.
    LabelMismatchError
        When scores have not K columns, or an ignored emotion is nobody's.
    """
    destination = Path(destination)
    if count < 1:
        raise SpecError(f"count {count}: expected 1 clip of an emotion or more.")
    check_ignored(ignored, schema)
    wanted = [label for label in schema.labels if label not in ignored]
    clips = sorted(candidates, key=lambda clip: clip.id)
    check(clips, schema)
    settings = {
        "clips": digest(clips),
        "labels": list(schema.labels),
        "emotions": wanted,
        "count": count,
        "seed": seed,
        "peaks": peaks,
        "sequence": sequence,
    }
    by_tag: dict[int, list[Candidate]] = {}
    for clip in clips:
        by_tag.setdefault(clip.peak()[1], []).append(clip)
    busy = f"{destination}: another process is writing samples there now."
    with exclusive(destination / ".samples.lock", busy):
        _claim(destination, settings, overwrite)
        result = Exported(count)
        for emotion in track(wanted, "Writing samples"):
            column = schema.index(emotion)
            drawn = by_tag.get(column, [])
            # A generator each, so that what is ignored changes no other's clips.
            random = np.random.default_rng([seed, zlib.crc32(emotion.encode())])
            drawn = [drawn[i] for i in random.permutation(len(drawn))]
            folder = destination / emotion
            result.counts[emotion] = _fill(
                folder, drawn, count, schema, peaks, sequence, result.failures
            )
    return result


def _claim(destination: Path, settings: dict[str, Any], overwrite: bool) -> None:
    """Reserve the folder for these samples; remove earlier ones when asked."""
    record = destination / RECORD
    there = [path for path in destination.iterdir() if not path.name.startswith(".")]
    before = read_json(record) if record.is_file() else None
    if there and not _is_record(before):
        # Never to be removed: emorec did not write it.
        raise SpecError(
            f"{destination}: holds {shorten(sorted(p.name for p in there))}, which are "
            "no samples. Choose an empty folder."
        )
    if there:
        if before == settings:
            return
        if not overwrite:
            different = [
                f"  {key}: {before.get(key)!r} before, {settings[key]!r} now"
                for key in settings
                if before.get(key) != settings[key]
            ]
            raise SpecError(
                f"{destination}: holds samples of other clips or settings.\n"
                + "\n".join(different)
                + "\nChoose another folder, or pass --overwrite."
            )
        # The earlier record goes last, so that an interruption here mixes nothing.
        for emotion in before["emotions"]:
            for _, folder in _written(destination / emotion):
                shutil.rmtree(folder)
            with suppress(OSError):  # not there, or something else in it
                (destination / emotion).rmdir()
    write_json(record, settings)


def _is_record(content: Any) -> bool:
    """Tell an earlier export's record, whose folders may be removed, from others."""
    emotions = content.get("emotions") if isinstance(content, dict) else None
    return isinstance(emotions, list) and all(
        isinstance(name, str) and Path(name).name == name for name in emotions
    )


def _written(folder: Path) -> list[tuple[int, Path]]:
    """Return the numbered samples of an emotion."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if path.name.isdigit()]
    return [(int(path.name), path) for path in found if (path / META).is_file()]


def _fill(
    folder: Path,
    drawn: list[Candidate],
    count: int,
    schema: LabelSchema,
    peaks: bool,
    sequence: bool,
    failures: list[tuple[str, str]],
) -> int:
    """Write samples of one emotion until there are `count`; return how many are."""
    for left in folder.glob(f"{_PREFIX}*"):
        shutil.rmtree(left, ignore_errors=True)
    done = {_source(path): number for number, path in _written(folder)}
    for clip in drawn:
        if len(done) >= count:
            break
        if clip.id in done:
            continue
        number = min({*range(1, count + 1)} - {*done.values()})
        try:
            images = _readable(clip, peaks or sequence)
        except DataError as error:
            failures.append((clip.id, str(error)))
            continue
        # What cannot be written is no failure of the clip: the next would fail, too.
        _write(folder / str(number), clip, images, schema, peaks, sequence)
        done[clip.id] = number
    return len(done)


def _source(folder: Path) -> str:
    first = (folder / META).read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("source ")


def _readable(clip: Candidate, with_images: bool) -> list[Path]:
    """Return the images; refuse a clip whose files are not all there."""
    images = clip.images() if with_images else []
    bad = [
        path
        for path in (clip.sound, *images)
        if not (path.is_file() and os.access(path, os.R_OK))
    ]
    if bad:
        raise DataError(f"{shorten(bad)}: no such file, or not to be read.")
    return images


def _write(
    place: Path,
    clip: Candidate,
    images: list[Path],
    schema: LabelSchema,
    peaks: bool,
    sequence: bool,
) -> None:
    """Write one sample, whole or not at all."""
    frame, tag = clip.peak()
    largest = clip.logits.max(axis=0)
    lines = [f"source {clip.id}", f"peak {clip.times[frame]:.2f} s, frame {frame + 1}"]
    lines += [
        f"{label} {value:.4f}"
        for label, value in zip(schema.labels, largest, strict=True)
    ]
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=place.parent, prefix=_PREFIX))
        try:
            temporary.chmod(0o755)  # mkdtemp's are private
            shutil.copyfile(clip.sound, temporary / clip.sound.name)
            if images and peaks:
                peak = images[frame]
                shutil.copyfile(peak, temporary / f"peakFrame{peak.suffix.lower()}")
            if images and sequence:
                (temporary / "frames").mkdir()
                for number, path in enumerate(images, 1):
                    name = f"{number:05}{path.suffix.lower()}"
                    shutil.copyfile(path, temporary / "frames" / name)
            title = f"{clip.id} ({schema.labels[tag]})"
            figure = distribution_figure(largest, schema.labels, title)
            save(figure, temporary / "distribution.png")
            text = "\n".join(lines) + "\n"
            (temporary / META).write_text(text, encoding="utf-8")
            temporary.rename(place)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise DataError(f"{place}: cannot be written ({error}).") from error
