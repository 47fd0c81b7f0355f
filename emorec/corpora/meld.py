"""MELD: dialogues of a television series, each utterance with words, voice and face.

Poria et al. (2019), "MELD: A Multimodal Multi-Party Dataset for Emotion Recognition in
Conversations": seven emotions, three sentiments, three official splits by dialogue.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from emorec.corpora import meld_checks, meld_files
from emorec.corpora.meld_files import AUDIO, MARK, SPLITS, VIDEO
from emorec.corpora.meld_table import Row, read_rows
from emorec.errors import DataError, SpecError
from emorec.labels import MELD_ALPHABETICAL, LabelSchema

DATASET, MINIATURE = "meld", "meld_miniature"
REPORT = ("utterance", "left_out", "reason")
WAYS = ("ordered", "random", "joy")
# So many of the 4,710 neutral utterances of training go.
_DROPPED, _NEUTRAL = 2710, 4710


@dataclass(frozen=True)
class Meld:
    """N utterances in the order of split, dialogue and utterance.

    Attributes
    ----------
    folder : Path
        Where it was read.
    ids : list of str
        ``"train/dia0_utt0"``: official split, Dialogue_ID, Utterance_ID. Unique.
    split : (N,) text
        train, dev or test.
    dialogues : (N,) text
        ``"train/dia0"``; the utterances of one stand together.
    numbers : (N,) int
        Utterance_ID, which grows within a dialogue; some are missing.
    utterances : list of str
        The words; empty where there are none, see `rows`.
    speakers : (N,) text
        Names.
    classes : (N,) int
        Columns of `schema`.
    sentiments : (N,) text
        negative, neutral or positive.
    seasons, episodes : (N,) int
        Of the series.
    starts, ends : (N,) text
        Times in the episode as in the csv, ``hh:mm:ss,ms``.
    report : DataFrame
        What is missing or looks wrong: utterance (or file, or split), left_out, reason.
    schema : LabelSchema
        `labels.MELD_ALPHABETICAL`.
    dataset : str
        "meld", or "meld_miniature" for the synthetic one.
    video, audio : list of (Path or None)
        Files that lie there; `media` is what to use.
    """

    folder: Path
    ids: list[str]
    split: np.ndarray
    dialogues: np.ndarray
    numbers: np.ndarray
    utterances: list[str]
    speakers: np.ndarray
    classes: np.ndarray
    sentiments: np.ndarray
    seasons: np.ndarray
    episodes: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    report: pd.DataFrame
    schema: LabelSchema = MELD_ALPHABETICAL
    dataset: str = DATASET
    video: list[Path | None] = field(default_factory=list, repr=False)
    audio: list[Path | None] = field(default_factory=list, repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, split: str, text: bool = False) -> np.ndarray:
        """Return the numbers (m,) of a split's utterances, ascending.

        Parameters
        ----------
        split : str
            train, dev or test.
        text : bool
            Only utterances that have words.

        Raises
        ------
        SpecError
            For another split.
        """
        if split not in SPLITS:
            raise SpecError(f"Split '{split}': expected {', '.join(SPLITS)}.")
        inside = self.split == split
        if text:
            inside &= np.array([bool(words) for words in self.utterances], bool)
        return np.flatnonzero(inside)

    def media(self, kind: str) -> list[Path | None]:
        """Return of each utterance the file of a kind, None where there is none.

        Parameters
        ----------
        kind : {"audio", "video"}
            Where there is no sound file, the video stands for it: its own sound is
            meant.

        Raises
        ------
        SpecError
            For another kind.
        """
        if kind not in (AUDIO, VIDEO):
            raise SpecError(f"Media '{kind}': expected {AUDIO} or {VIDEO}.")
        if kind == VIDEO:
            return list(self.video)
        pairs = zip(self.audio, self.video, strict=True)
        return [sound or video for sound, video in pairs]

    def described(self) -> list[str]:
        """Return lines for people: each split with its classes and media."""
        lines = []
        media = {kind: self.media(kind) for kind in (AUDIO, VIDEO)}
        for split in SPLITS:
            rows = self.rows(split)
            dialogues = len(set(self.dialogues[rows].tolist()))
            speakers = len(set(self.speakers[rows].tolist()))
            there = {
                kind: sum(files[row] is not None for row in rows)
                for kind, files in media.items()
            }
            lines.append(
                f"{split}: {len(rows):,} utterances in {dialogues:,} dialogues of "
                f"{speakers:,} speakers; {there[AUDIO]:,} with sound, "
                f"{there[VIDEO]:,} with video"
            )
            counts = np.bincount(self.classes[rows], minlength=len(self.schema))
            counted = zip(self.schema.labels, counts.tolist(), strict=True)
            lines.append("  " + ", ".join(f"{k} {count:,}" for k, count in counted))
        return lines

    def only(self, chosen: np.ndarray) -> Meld:
        """Return the utterances that `chosen`, a mask or numbers, picks, in its order.

        The report stays whole.
        """
        numbers = np.arange(len(self))[chosen]
        lists = ("ids", "utterances", "video", "audio")
        return replace(
            self,
            **{name: getattr(self, name)[numbers] for name in _ARRAYS},
            **{name: [getattr(self, name)[n] for n in numbers] for name in lists},
        )


_ARRAYS = (
    "split",
    "dialogues",
    "numbers",
    "speakers",
    "classes",
    "sentiments",
    "seasons",
    "episodes",
    "starts",
    "ends",
)


def read_meld(folder: str | Path) -> Meld:
    """Read MELD's csv files and find its videos and sounds.

    The csv files, ``{train,dev,test}_sent_emo.csv``, lie in the folder, in
    ``MELD.Raw`` or as published there; videos in ``train/train_splits``,
    ``dev/dev_splits_complete`` and ``test/output_repeated_splits_test`` of the folder
    or of ``MELD.Raw``; sounds in ``audio/{train,dev,test}``. Without any media the
    corpus is its words.

    Raises
    ------
    DataError
        When the folder or a csv file is missing, or a row is not what MELD has.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected the files of MELD.")
    tables = {split: meld_files.find_table(folder, split) for split in SPLITS}
    problems: list[tuple[str, bool, str]] = []
    named: list[tuple[str, Row]] = []
    for split, path in tables.items():
        rows, notices = read_rows(path)
        problems += [(path.name, False, notice) for notice in notices]
        named += [(split, row) for row in rows]
    ids = [f"{split}/dia{row.dialogue}_utt{row.number}" for split, row in named]
    problems += [
        (name, False, "no words; used with its sound and video alone")
        for name, (_, row) in zip(ids, named, strict=True)
        if not row.utterance
    ]
    problems += meld_checks.repeated(ids, [row for _, row in named])
    video, audio, missing = meld_checks.find_files(folder, ids)
    problems += missing
    mark = (folder / MARK).is_file()

    def column(name: str, kind: type) -> np.ndarray:
        return np.array([getattr(row, name) for _, row in named], kind)

    return Meld(
        folder,
        ids,
        split=np.array([split for split, _ in named], str),
        dialogues=np.array([f"{split}/dia{row.dialogue}" for split, row in named], str),
        numbers=column("number", int),
        utterances=[row.utterance for _, row in named],
        speakers=column("speaker", str),
        classes=column("emotion", int),
        sentiments=column("sentiment", str),
        seasons=column("season", int),
        episodes=column("episode", int),
        starts=column("start", str),
        ends=column("end", str),
        report=pd.DataFrame(problems, columns=list(REPORT)),
        dataset=MINIATURE if mark else DATASET,
        video=video,
        audio=audio,
    )


def fewer_neutral(corpus: Meld, how: str, seed: int = 0) -> np.ndarray:
    """Choose training utterances so that the neutral ones do not drown the others.

    Parameters
    ----------
    corpus : Meld
        Only its train split is chosen from.
    how : {"ordered", "random", "joy"}
        ordered: without the first 2,710 neutral ones by season, episode and times (as
        text), that is the earlier part of the series; random: without 2,710 drawn
        ones; joy: with as many neutral ones, drawn, as there are of joy. A corpus of
        other size than MELD loses the same share, 2,710 of 4,710.
    seed : int
        Of what is drawn.

    Returns
    -------
    (m,) int
        Ascending numbers of utterances of train: 7,279, 7,279 or 7,022 of MELD's 9,989.

    Raises
    ------
    SpecError
        For another way.
    """
    if how not in WAYS:
        raise SpecError(f"Fewer neutral '{how}': expected {', '.join(WAYS)}.")
    rows = corpus.rows("train")
    labels = corpus.classes[rows]
    neutral = rows[labels == corpus.schema.index("neutral")]
    dropped = round(len(neutral) * _DROPPED / _NEUTRAL)
    if how == "joy":
        joy = np.count_nonzero(labels == corpus.schema.index("joy"))
        dropped = max(0, len(neutral) - joy)
    if how == "ordered":
        # The last key is the first to sort by.
        keys = (corpus.ends, corpus.starts, corpus.episodes, corpus.seasons)
        gone = neutral[np.lexsort([key[neutral] for key in keys])][:dropped]
    else:
        gone = np.random.default_rng(seed).choice(neutral, dropped, replace=False)
    return np.setdiff1d(rows, gone)
