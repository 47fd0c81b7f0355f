"""Folds: which videos train, validate and test.

Folds are lists of video ids, read from the SDK or from a file, never guessed; of raw
clips of one's own they are shares of the videos where no file says otherwise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path

from emorec.errors import DataError, shorten
from emorec.files import read_json, write_json

FOLDS = ("train", "valid", "test")
FILE_NAME = "standard_folds.json"
# The SDK's own lists name two test videos without labels, 0.3 % of that fold.
_TOLERATED = 0.01
_SHARES = (0.70, 0.15, 0.15)

FoldLists = dict[str, list[str]]


def read_folds(path: str | Path) -> FoldLists:
    """Read {"train": [...], "valid": [...], "test": [...]} from JSON.

    Raises
    ------
    DataError
        When the file is not of this form or one video is in two folds.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not all(
        isinstance(content.get(fold), list)
        and all(isinstance(video, str) for video in content[fold])
        for fold in FOLDS
    ):
        raise DataError(
            f"{path}: expected an object with the lists of video ids "
            f"{', '.join(FOLDS)}."
        )
    folds = {fold: content[fold] for fold in FOLDS}
    check_disjoint(folds, str(path))
    return folds


def write_folds(path: str | Path, folds: FoldLists) -> None:
    """Write folds as `read_folds` reads them."""
    write_json(path, folds)


def check_disjoint(folds: FoldLists, where: str) -> None:
    """Refuse folds that share a video, or name one twice.

    Raises
    ------
    DataError
        With the videos.
    """
    for i, first in enumerate(FOLDS):
        if len(set(folds[first])) < len(folds[first]):
            raise DataError(f"{where}: fold '{first}' names a video twice.")
        for second in FOLDS[i + 1 :]:
            shared = set(folds[first]) & set(folds[second])
            if shared:
                raise DataError(
                    f"{where}: {len(shared)} videos are in both {first} and "
                    f"{second}: {shorten(sorted(shared))}. Scores on such folds "
                    "would measure memory; give each video to one fold."
                )


def mmsdk_folds() -> FoldLists | None:
    """Return the SDK's standard folds, or None where mmsdk is not installed."""
    if find_spec("mmsdk") is None:
        return None
    try:
        from mmsdk.mmdatasdk import cmu_mosei
    except ImportError:  # it does not declare all that it imports
        return None

    lists = cmu_mosei.standard_folds
    return {fold: list(getattr(lists, f"standard_{fold}_fold")) for fold in FOLDS}


def standard_folds(
    folder: str | Path, source: str = "auto"
) -> tuple[FoldLists, str, str | None]:
    """Find the standard folds of a dataset.

    Parameters
    ----------
    folder : path
        The dataset folder, which may hold `FILE_NAME`.
    source : str
        ``"auto"`` (mmsdk where installed, else the file beside the data),
        ``"mmsdk"``, or the path of a file.

    Returns
    -------
    folds : dict
        Fold -> video ids.
    origin : str
        Where they come from, for the run's report.
    note : str or None
        Set when a file beside the data says otherwise than mmsdk.

    Raises
    ------
    DataError
        When there is none.
    """
    beside = Path(folder) / FILE_NAME
    if source not in ("auto", "mmsdk"):
        return read_folds(source), str(source), None
    folds = mmsdk_folds()
    if folds is not None:
        check_disjoint(folds, "mmsdk")
        note = None
        if beside.is_file() and read_folds(beside) != folds:
            note = (
                f"{beside} differs from mmsdk's folds, which are used; choose it with "
                f"--folds {beside}."
            )
        return folds, "mmsdk", note
    if source == "mmsdk":
        raise DataError(
            "--folds mmsdk: mmsdk is not installed. It is not on the package index; "
            f"use a file {FILE_NAME} instead."
        )
    if not beside.is_file():
        raise DataError(
            f"{beside}: no such file, and mmsdk is not installed. Expected the lists "
            "of video ids train, valid and test; folds are never guessed."
        )
    return read_folds(beside), str(beside), None


def folds_of_corpus(
    folder: str | Path, source: str, videos: Collection[str]
) -> tuple[FoldLists, str, str | None]:
    """Find the folds of a corpus of any videos.

    Parameters
    ----------
    folder : path
        May hold `FILE_NAME`.
    source : str
        As of `standard_folds`. With ``"auto"`` the file beside the data is taken; else
        the SDK's folds, where mmsdk is installed and knows one of the videos; else
        `shares`.
    videos : collection of str
        Those with labels.

    Returns
    -------
    folds, origin, note
        As of `standard_folds`.

    Raises
    ------
    DataError
        As `standard_folds` and `shares`.
    """
    beside = Path(folder) / FILE_NAME
    if source == "auto" and not beside.is_file():
        known = mmsdk_folds()
        if known is None or not set(videos) & {v for f in FOLDS for v in known[f]}:
            note = (
                "no folds were given: videos are divided by their names. Where one "
                "person is in several videos, give folds that keep people apart."
            )
            percent = "/".join(f"{share:.0%}".rstrip("%") for share in _SHARES)
            return shares(videos), f"shares of {percent} %, by video", note
    if source == "auto" and beside.is_file():
        source = str(beside)
    return standard_folds(folder, source)


def shares(videos: Collection[str]) -> FoldLists:
    """Divide videos into 70, 15 and 15 %, each fold one at least.

    The order is that of a digest of the names: a function of the videos alone, and
    further videos move few of the others.

    Raises
    ------
    DataError
        For fewer than three videos.
    """
    if len(videos) < len(FOLDS):
        raise DataError(
            f"{len(videos)} videos with labels: expected three or more, one to train, "
            "one to validate and one to test."
        )
    order = sorted(videos, key=lambda video: hashlib.sha256(video.encode()).hexdigest())
    _, valid, test = (max(1, round(share * len(order))) for share in _SHARES)
    train = len(order) - valid - test
    parts = (order[:train], order[train : train + valid], order[train + valid :])
    return {fold: sorted(part) for fold, part in zip(FOLDS, parts, strict=True)}


def custom_split(folds: FoldLists) -> FoldLists:
    """Split again as Williams et al. (2018) did.

    Validation is the first half of the standard validation videos and the last 10 % of
    what remains of train; test is the standard test, the second half of validation and
    the last 5 % of train; train is the rest. Every video keeps a place (the published
    code loses the one at the cut).
    """
    train, valid = folds["train"], folds["valid"]
    half = len(valid) // 2
    to_test = len(train) // 20
    remaining = train[: len(train) - to_test]
    to_valid = len(remaining) // 10
    split = len(remaining) - to_valid
    return {
        "train": remaining[:split],
        "valid": valid[:half] + remaining[split:],
        "test": folds["test"] + valid[half:] + train[len(train) - to_test :],
    }


def check_known(
    folds: FoldLists, videos: Collection[str], origin: str, ignore: bool = False
) -> list[str]:
    """Compare the videos of folds with those of the label file.

    Returns
    -------
    list of str
        Notes on unknown videos that are few enough to be let pass.

    Raises
    ------
    DataError
        When more than one in a hundred of a fold is unknown and `ignore` is off, or a
        fold has no known video at all.
    """
    notes = []
    for fold in FOLDS:
        unknown = [video for video in folds[fold] if video not in videos]
        if len(unknown) == len(folds[fold]):
            raise DataError(
                f"{origin}: none of the {len(folds[fold])} videos of fold '{fold}' is "
                "in the label file. Are they folds of another dataset?"
            )
        if len(unknown) > _TOLERATED * len(folds[fold]) and not ignore:
            raise DataError(
                f"{origin}: fold '{fold}' names {len(unknown)} unknown videos of "
                f"{len(folds[fold])}, absent from the label file: {shorten(unknown)}. "
                "Correct the folds, or pass --ignore_unknown_videos to go on without "
                "them."
            )
        if unknown:
            notes.append(
                f"{origin}: {len(unknown)} videos of fold '{fold}' have no labels: "
                f"{shorten(unknown)}."
            )
    return notes
