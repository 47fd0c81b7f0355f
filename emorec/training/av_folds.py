"""The audio-visual fusion in folds: every speaker is tested once, by a stranger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from emorec.artifacts.runs import RunFolder
from emorec.artifacts.tables import write_table
from emorec.corpora.av_clips import AvClips
from emorec.corpora.ravdess import FOLDS, fold_split
from emorec.corpora.speaker_folds import share_speakers
from emorec.errors import DataError
from emorec.evaluation.cards import card_after
from emorec.evaluation.incomplete import IncompleteScores, pooled, write_results
from emorec.labels import RAVDESS
from emorec.training import audiovisual, av_scores, hosts
from emorec.training.av_config import AvConfig
from emorec.training.av_data import AvData

Say = Callable[[str], None]
# What the results of all folds together are called where a split's name stands.
FOLDS_SPLIT = "folds"


def fold_splits(clips: AvClips, count: int) -> list[np.ndarray]:
    """Return a split (n,) of train, valid and test for each fold.

    Each speaker is in one fold's test and in the next one's validation. Five folds of
    RAVDESS are those of Luna-Jiménez et al. (2021); others have about equally many
    clips each.

    Parameters
    ----------
    clips : AvClips
        With named speakers.
    count : int
        Folds, 3 to the number of speakers.

    Raises
    ------
    DataError
        When a clip has no speaker.
    SpecError
        For a number of folds that cannot be.
    """
    if unnamed := int((clips.speakers == "").sum()):
        raise DataError(
            f"{clips.dataset}: {unnamed} of {len(clips)} clips have no speaker, so "
            "folds cannot keep speakers apart."
        )
    actors = {str(actor) for actors in FOLDS for actor in actors}
    speakers = [name.lstrip("0") for name in clips.speakers.tolist()]
    if clips.schema == RAVDESS and count == len(FOLDS) and set(speakers) <= actors:
        numbers = [int(speaker) for speaker in speakers]
        return [fold_split(numbers, fold + 1) for fold in range(count)]
    fold = share_speakers(clips.speakers, count, least=3)
    return [
        np.select(
            [fold == number, fold == (number + 1) % count], ["test", "valid"], "train"
        )
        for number in range(count)
    ]


def run_folds(
    config: AvConfig, data: AvData, folder: Path, name: str, count: int, say: Say
) -> IncompleteScores | None:
    """Train and test a network per fold; finished folds are not repeated.

    Of several hosts (`emorec.training.hosts`) all train, the first one tests, and the
    others return None.

    Writes the results of each fold, and under `name` those of all clips, each tested
    by the network that knows nothing of its speaker.

    Parameters
    ----------
    config : AvConfig
        The settings of each.
    data : AvData
        Clips; their own split is not used.
    folder : Path
        Of the runs ``NAME_fold_1`` and so on.
    name : str
        Of the whole.
    count : int
        See `fold_splits`.
    say : callable
        Receives lines for the user.
    """
    parts, spec = [], None
    for number, split in enumerate(fold_splits(data.clips, count), 1):
        part = replace(data, clips=data.clips.with_split(split))
        run = RunFolder(folder, f"{name}_fold_{number}")
        told = sorted(set(part.clips.speakers[split == "test"].tolist()))
        say(f"\nFold {number} of {count}: tested on speakers {', '.join(told)}.")
        begun = config.pretrain_audio.replace("{fold}", str(number))
        own = replace(config, pretrain_audio=begun)
        if trained := audiovisual.run(own, part, run, say):
            model, spec, part = trained
            parts.append(av_scores.scores(model, spec, part, "test"))
    if not hosts.here().lead:
        return None
    whole = pooled(parts, FOLDS_SPLIT)
    run = RunFolder(folder, name)
    write_results(whole, run, spec, say)
    table = fold_table(parts)
    write_table(folder / f"folds_{name}.csv", table)
    for number in range(1, count + 1):
        card_after(RunFolder(folder, f"{name}_fold_{number}"), say)
    for (given, fill), rows in table.groupby(["given", "fill"], sort=False):
        told = given + (f", rest: {fill}" if fill else "")
        mean, spread = 100 * rows.accuracy.mean(), 100 * rows.accuracy.std(ddof=0)
        say(f"{told}: {mean:.1f} +- {spread:.1f} % over {count} folds")
    return whole


def fold_table(parts: list[IncompleteScores]) -> pd.DataFrame:
    """Return fold, given, fill, clips, accuracy and the constant's accuracy."""
    rows = []
    for number, part in enumerate(parts, 1):
        for (given, fill), logits in part.logits.items():
            rows.append(
                {
                    "fold": number,
                    "given": given,
                    "fill": fill,
                    "clips": len(part.ids),
                    "accuracy": float((logits.argmax(axis=1) == part.true).mean()),
                    "constant": float((part.constant == part.true).mean()),
                }
            )
    return pd.DataFrame(rows)
