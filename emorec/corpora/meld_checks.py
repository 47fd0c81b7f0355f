"""What is missing in a folder of MELD, and what stands in two of its splits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from emorec.corpora import meld_files
from emorec.corpora.meld_files import AUDIO, SPLITS, VIDEO
from emorec.corpora.meld_table import Row
from emorec.errors import shorten

# Their official files cannot be decoded or are empty; the words are whole.
WITHOUT_MEDIA = frozenset(("train/dia125_utt3", "dev/dia110_utt7"))
# (utterance, file or split; whether it is left out; reason)
Problem = tuple[str, bool, str]


def find_files(
    folder: Path, ids: Sequence[str]
) -> tuple[list[Path | None], list[Path | None], list[Problem]]:
    """Find the videos and the sounds of utterances.

    Parameters
    ----------
    folder : Path
        Of the corpus.
    ids : sequence of str
        ``"train/dia0_utt0"``.

    Returns
    -------
    video, audio : list of (Path or None)
        In the order of `ids`; None for the utterances known to have no usable media.
    problems : list of Problem
        Utterances without a file, where the split has others; splits without a folder;
        files that belong to no utterance.
    """
    wanted: dict[str, set[str]] = {split: set() for split in SPLITS}
    for name in ids:
        split, _, key = name.partition("/")
        wanted[split].add(key)
    problems: list[Problem] = [
        (name, False, "known to have no usable sound or video; its words are used")
        for name in ids
        if name in WITHOUT_MEDIA
    ]
    found: dict[str, list[Path | None]] = {}
    there = set()
    for kind in (VIDEO, AUDIO):
        files = {}
        for split in SPLITS:
            folders = meld_files.media_folders(folder, split, kind)
            media = meld_files.find_media(folders, kind)
            if media:
                there.add((kind, split))
            if extra := sorted(set(media) - wanted[split]):
                reason = f"{kind} files of no utterance in the csv: {shorten(extra, 3)}"
                problems.append((split, True, f"{len(extra):,} {reason}"))
            files |= {f"{split}/{key}": path for key, path in media.items()}
        found[kind] = [
            None if name in WITHOUT_MEDIA else files.get(name) for name in ids
        ]
    for split in SPLITS:
        if (VIDEO, split) not in there:
            place = f"{split}/{meld_files.VIDEO_FOLDERS[split]}"
            problems.append((split, False, f"no video in {place}"))
            if (AUDIO, split) not in there:
                problems.append((split, False, f"no sound in {AUDIO}/{split}"))
    for name, video, audio in zip(ids, found[VIDEO], found[AUDIO], strict=True):
        split = name.partition("/")[0]
        if name in WITHOUT_MEDIA:
            continue
        if video is None and (VIDEO, split) in there:
            problems.append((name, False, "no video file"))
        if audio is None and (AUDIO, split) in there:
            rest = "" if video is None else "; the video's own is taken"
            problems.append((name, False, f"no sound file{rest}"))
    return found[VIDEO], found[AUDIO], problems


def repeated(ids: Sequence[str], rows: Sequence[Row]) -> list[Problem]:
    """Return rows for what a later split has in common with an earlier one.

    An utterance is the same when season, episode, times and words agree; a dialogue,
    when its speakers and words do, for episodes quote one another.

    Parameters
    ----------
    ids : sequence of str
        In the order of splits and dialogues.
    rows : sequence of Row
        The same utterances.
    """
    first: dict[tuple, str] = {}
    dialogues: dict[str, list] = defaultdict(list)
    problems: list[Problem] = []
    for name, row in zip(ids, rows, strict=True):
        split = name.partition("/")[0]
        # Hours have one digit or two.
        times = (row.start.zfill(12), row.end.zfill(12))
        moment = (row.season, row.episode, *times, row.utterance)
        before = first.setdefault(moment, name)
        if not before.startswith(f"{split}/"):
            reason = f"the same moment and words as {before}, in another split"
            problems.append((name, False, reason))
        dialogues[f"{split}/dia{row.dialogue}"].append((row.speaker, row.utterance))
    told: dict[tuple, str] = {}
    for name, content in dialogues.items():
        split = name.partition("/")[0]
        before = told.setdefault(tuple(content), name)
        if not before.startswith(f"{split}/"):
            reason = f"the same dialogue as {before}, in another split"
            problems.append((name, False, reason))
    return problems
