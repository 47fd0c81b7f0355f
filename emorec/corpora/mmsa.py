"""Processed pickles of CMU-MOSEI that circulate: MMSA's, and the reference program's.

MMSA (and those before it whose layout it took over) keeps a dict split -> {text, audio,
vision, id, labels, ...} of arrays padded with zeros; the reference program a list
[features, labels, ids] per fold, the modalities side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emorec.corpora.folds import FOLDS
from emorec.corpora.label_join import Clip, parse_id
from emorec.errors import DataError, SpecError, shorten
from emorec.labels import MOSEI, MOSEI_ALL

# Names that the modalities have in such files.
KEYS = {
    "T": ("text",),
    "V": ("vision", "visual", "video"),
    "A": ("audio", "acoustic"),
}
_SPLITS = {"train": ("train",), "valid": ("valid", "val", "dev"), "test": ("test",)}
_LABELS = ("regression_labels", "labels")
# Number of columns -> which of `MOSEI_ALL` they are.
_COLUMNS = {
    1: (0,),
    len(MOSEI): tuple(range(1, len(MOSEI_ALL))),
    len(MOSEI_ALL): tuple(range(len(MOSEI_ALL))),
}
# Columns of the reference's fused features: text, image, audio.
_FUSED = {409: (300, 35, 74), 1087: (300, 713, 74)}


@dataclass
class Split:
    """One split of a processed pickle.

    Attributes
    ----------
    clips : list of Clip
        What each segment is called.
    features : dict
        Letter of the modality -> n arrays (steps, d), padded or not.
    lengths : dict
        Letter -> n numbers of steps, where the file tells them.
    mask : (n, steps) bool or None
        Which steps are tokens, where the file tells it.
    scores : (n, k) float
        Labels.
    columns : tuple of int
        The k columns of `MOSEI_ALL` that these are.
    """

    clips: list[Clip]
    features: dict[str, Sequence[np.ndarray]]
    lengths: dict[str, np.ndarray]
    mask: np.ndarray | None
    scores: np.ndarray
    columns: tuple[int, ...]


@dataclass
class Processed:
    """A processed dataset.

    Attributes
    ----------
    splits : dict
        Fold -> Split.
    names : dict
        Letter of the modality -> its name in the file.
    widths : dict
        Letter -> number of columns.
    """

    splits: dict[str, Split]
    names: dict[str, str]
    widths: dict[str, int]


def is_fold(content: Any) -> bool:
    """Tell whether a pickle is one fold of the reference program."""
    return isinstance(content, list | tuple) and len(content) == 3


def read_splits(content: Any, where: str) -> Processed:
    """Read MMSA's layout: split -> {text, audio, vision, id, labels, ...}.

    Raises
    ------
    DataError
        When a split, the ids, the labels or every modality is missing, or arrays do not
        fit together.
    """
    if not isinstance(content, Mapping):
        raise DataError(
            f"{where}: expected a dict of the splits train, valid and test, or the "
            f"list [features, labels, ids] of a fold, found {type(content).__name__}."
        )
    found = {
        fold: next((content[key] for key in keys if key in content), None)
        for fold, keys in _SPLITS.items()
    }
    missing = [fold for fold in FOLDS if not isinstance(found[fold], Mapping)]
    if missing:
        raise DataError(
            f"{where}: expected the splits train, valid and test, each a dict; "
            f"{shorten(missing)} is missing. Found {shorten(content)}."
        )
    names = {
        letter: key
        for letter, keys in KEYS.items()
        for key in keys
        if all(key in part for part in found.values())
    }
    if not names:
        raise DataError(
            f"{where}: no split has text, audio or vision; found "
            f"{shorten(found['train'], 12)}."
        )
    splits = {
        fold: _read_split(part, names, f"{where}: {fold}")
        for fold, part in found.items()
    }
    if len({split.columns for split in splits.values()}) > 1:
        raise DataError(f"{where}: the splits have labels of different kinds.")
    return _processed(splits, names, where)


def read_folds(
    contents: Mapping[str, Any], widths: Sequence[int] | None, where: str
) -> Processed:
    """Read the reference program's folds: fold -> [features, labels, ids].

    Parameters
    ----------
    contents : mapping
        Fold -> content of its pickle.
    widths : sequence of int, optional
        Columns of text, image and audio; known for 409 and 1087 columns in all.

    Raises
    ------
    DataError
        When they are not of this form.
    SpecError
        When the widths do not tell the modalities apart.
    """
    splits = {}
    for fold, content in contents.items():
        here = f"{where}: {fold}"
        if not is_fold(content):
            raise DataError(f"{here}: expected the list [features, labels, ids].")
        features, labels, ids = content
        rows = _arrays(features, f"{here}: features")
        if not len(rows):
            raise DataError(f"{here}: no segments.")
        total = rows[0].shape[1]
        chosen = tuple(widths or _FUSED.get(total, ()))
        if len(chosen) != 3 or sum(chosen) != total or min(chosen) < 1:
            raise SpecError(
                f"{here}: {total} columns, of which nobody says what they are (known: "
                f"{shorten(_FUSED)}). Give --widths TEXT IMAGE AUDIO that add up to "
                f"{total}."
            )
        edges = np.cumsum([0, *chosen])
        scores = _scores(labels, len(rows), f"{here}: labels")
        splits[fold] = Split(
            clips=_clips(ids, len(rows), here),
            features={
                letter: [row[:, edges[k] : edges[k + 1]] for row in rows]
                for k, letter in enumerate("TVA")
            },
            lengths={},
            mask=None,
            scores=_without_neutral(scores, here),
            columns=_COLUMNS[len(MOSEI)],
        )
    return _processed(splits, {"T": "text", "V": "image", "A": "audio"}, where)


def _processed(splits: dict[str, Split], names: dict, where: str) -> Processed:
    widths: dict[str, int] = {}
    for fold, split in splits.items():
        for letter, name in names.items():
            for clip, rows in zip(split.clips, split.features[letter], strict=True):
                width = widths.setdefault(letter, rows.shape[1])
                if rows.shape[1] != width:
                    raise DataError(
                        f"{where}: {fold}, segment '{clip.id}': {name} has "
                        f"{rows.shape[1]} columns, those before have {width}."
                    )
    return Processed(splits, names, widths)


def _read_split(part: Mapping, names: Mapping[str, str], where: str) -> Split:
    if "id" not in part:
        raise DataError(f"{where}: expected the segments' names under 'id'.")
    features = {
        letter: _arrays(part[name], f"{where}: {name}")
        for letter, name in names.items()
    }
    count = len(part["id"])
    for letter, rows in features.items():
        if len(rows) != count:
            raise DataError(
                f"{where}: {count} ids, but {len(rows)} segments of {names[letter]}."
            )
    told = {
        key: _scores(part[key], count, f"{where}: {key}")
        for key in _LABELS
        if part.get(key) is not None
    }
    fitting = [scores for scores in told.values() if scores.shape[1] in _COLUMNS]
    if not fitting:
        found = [f"{key} of {scores.shape[1]} columns" for key, scores in told.items()]
        raise DataError(
            f"{where}: expected under {' or '.join(_LABELS)} the sentiment, the "
            f"emotions {', '.join(MOSEI.labels)}, or both; found "
            f"{' and '.join(found) or 'neither'}."
        )
    # Emotions, where a file has both.
    scores = max(fitting, key=lambda scores: scores.shape[1])
    lengths = {}
    for letter, name in names.items():
        told = part.get(f"{name}_lengths")
        if told is not None:
            lengths[letter] = _scores(told, count, f"{where}: {name}_lengths")[:, 0]
    return Split(
        clips=_clips(part["id"], count, where),
        features=features,
        lengths=lengths,
        mask=_mask(part.get("text_bert"), features.get("T"), where),
        scores=scores,
        columns=_COLUMNS[scores.shape[1]],
    )


def _arrays(value: Any, where: str) -> Sequence[np.ndarray]:
    """Return n arrays (steps, d) from an (n, steps, d) array or a list of them."""
    if isinstance(value, np.ndarray) and value.ndim == 3 and value.dtype.kind in "fiu":
        return value
    if isinstance(value, np.ndarray) and value.dtype != object:
        shape = f"{value.dtype} array of shape {value.shape}"
    elif isinstance(value, list | tuple | np.ndarray):
        arrays = [np.asarray(rows) for rows in value]
        bad = [a for a in arrays if a.ndim != 2 or a.dtype.kind not in "fiu"]
        if not bad:
            return arrays
        shape = f"a segment of {bad[0].dtype} and shape {bad[0].shape}"
    else:
        shape = type(value).__name__
    raise DataError(
        f"{where}: expected numbers of shape (segments, steps, columns), found {shape}."
    )


def _scores(value: Any, count: int, where: str) -> np.ndarray:
    try:
        scores = np.asarray(value, np.float64).reshape(count, -1)
    except (TypeError, ValueError):
        scores = np.zeros((0, 0))
    if not scores.size or not np.isfinite(scores).all():
        raise DataError(
            f"{where}: expected finite numbers, a row for each of {count} segments."
        )
    return scores


def _clips(ids: Any, count: int, where: str) -> list[Clip]:
    clips = [parse_id(name, where) for name in ids]
    if len(clips) != count or count == 0:
        raise DataError(f"{where}: {len(clips)} ids for {count} segments.")
    seen: set[str] = set()
    for clip in clips:
        if clip.id in seen:
            raise DataError(f"{where}: the segment '{clip.id}' comes twice.")
        seen.add(clip.id)
    return clips


def _mask(
    tokens: Any, text: Sequence[np.ndarray] | None, where: str
) -> np.ndarray | None:
    """Return the attention mask of BERT's input (n, 3, steps), if it fits the text."""
    if tokens is None or text is None:
        return None
    tokens = np.asarray(tokens)
    if tokens.ndim != 3 or tokens.shape[1] != 3 or len(tokens) != len(text):
        raise DataError(
            f"{where}: expected text_bert of shape ({len(text)}, 3, steps), found "
            f"{tokens.shape}."
        )
    if any(len(rows) != tokens.shape[2] for rows in text):
        return None  # tokens of another length than the text's features
    return tokens[:, 1] > 0


def _without_neutral(scores: np.ndarray, where: str) -> np.ndarray:
    """Return the six emotions of the reference's labels, which may end in neutral."""
    emotions = scores[:, : len(MOSEI)]
    if scores.shape[1] == len(MOSEI) + 1:
        neutral = (emotions <= 0).all(axis=1)
        if np.array_equal(scores[:, -1] > 0, neutral):
            return emotions
    elif scores.shape[1] == len(MOSEI):
        return emotions
    raise DataError(
        f"{where}: expected the {len(MOSEI)} emotions, or these and neutral, found "
        f"{scores.shape[1]} columns of other labels."
    )
