"""One vector per utterance of MELD: features of its sound, or vectors of a file."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from emorec.artifacts.logits import load_arrays
from emorec.corpora.meld import Meld
from emorec.corpora.meld_files import SPLITS
from emorec.errors import DataError, SpecError, shorten
from emorec.features import librosa_means, pooled_mel
from emorec.training.feature_cache import NO_FILE, Made, kept

SOUNDS = ("librosa", "logmel")


@dataclass(frozen=True)
class Vectors:
    """Vectors of the n utterances of a corpus.

    Attributes
    ----------
    name : str
        Of the features, as file names have it.
    values : (n, D) float32
        NaN in the rows of utterances without.
    failures : pandas.DataFrame
        ``id`` and ``reason`` of the utterances without.
    made : int
        Utterances whose features were computed now.
    """

    name: str
    values: np.ndarray
    failures: pd.DataFrame
    made: int = 0

    @property
    def there(self) -> np.ndarray:
        """Which utterances have a vector, (n,) bool."""
        return np.isfinite(self.values).all(axis=1)

    def identity(self) -> str:
        """Return 16 hexadecimal digits that identify the values."""
        content = np.ascontiguousarray(self.values).tobytes()
        return hashlib.sha256(content).hexdigest()[:16]


def sound_vectors(
    corpus: Meld, kind: str, cache: str | Path, workers: int | None = None
) -> Vectors:
    """Compute features of the sounds of all utterances, each once.

    Parameters
    ----------
    corpus : Meld
        Utterances and their media: a sound file, else the video's own sound.
    kind : {"librosa", "logmel"}
        185 means of librosa's features at each file's own rate, or mean and deviation
        of 64 mel bands at 16 kHz.
    cache : path
        Folder of what is kept; interrupted work goes on there.
    workers : int, optional
        Processes; see `emorec.features.sound_files.of_files`.

    Raises
    ------
    SpecError
        For another kind, or a cache of other features.
    DataError
        When no utterance has features.
    MissingExtraError
        When librosa, soundfile or PyAV is needed and not installed.
    """
    if kind not in SOUNDS:
        raise SpecError(f"Features '{kind}': expected one of {', '.join(SOUNDS)}.")
    media = corpus.media("audio")
    if not any(media):
        raise DataError(
            f"{corpus.folder}: holds neither sounds nor videos. Expected files like "
            "audio/train/dia0_utt0.wav, or the videos of MELD.Raw where it puts them; "
            "or give vectors of your own as .npz files."
        )
    names, of_files = {
        "librosa": (librosa_means.NAMES, librosa_means.means_of_files),
        "logmel": (pooled_mel.NAMES, pooled_mel.pooled_of_files),
    }[kind]

    def hear(paths: Sequence[Path]) -> Made:
        for place, found in of_files(paths, workers):
            yield place, found if isinstance(found, str) else (found,)

    found = kept(
        corpus.dataset,
        corpus.ids,
        media,
        hear,
        Path(cache) / kind,
        (kind,),
        {kind: list(names)},
        f"Sound features ({kind})",
    )
    failures = found.failures.replace(
        {"reason": {NO_FILE: "no sound and no video of it in the folder"}}
    )
    return Vectors(kind, found.arrays[kind], failures, found.made)


def file_vectors(
    corpus: Meld, paths: Sequence[str | Path], array: str = "embeddings"
) -> Vectors:
    """Take vectors that another program computed.

    Parameters
    ----------
    corpus : Meld
        n utterances.
    paths : sequence of path
        .npz files without pickles, together of all splits or some. Each has ``ids``
        (m,), text like ``train/dia0_utt0``; or ``dialogue`` and ``utterance``, (m,)
        int. Where the ids tell no split, an array ``split`` (m,) does, or the file's
        name, as in ``dev_embeddings.npz``.
    array : str
        Name of the vectors (m, D) in the files.

    Returns
    -------
    Vectors
        Utterances that no file has are failures.

    Raises
    ------
    DataError
        When a file is damaged, lacks an array, names an utterance that the corpus
        lacks or that an earlier row had, holds values that are not finite, or has
        another width than the files before it.
    """
    place = {name: row for row, name in enumerate(corpus.ids)}
    values: np.ndarray | None = None
    seen = np.zeros(len(corpus.ids), bool)
    for path in map(Path, paths):
        ids, found = _read(path, array)
        unknown = [name for name in ids if name not in place]
        if unknown:
            raise DataError(
                f"{path}: {len(unknown)} of {len(ids)} utterances are not in the "
                f"corpus: {shorten(unknown)}. Names are like {corpus.ids[0]}."
            )
        rows = np.array([place[name] for name in ids], int)
        if len(set(rows.tolist())) < len(rows) or seen[rows].any():
            again = [name for name, row in zip(ids, rows, strict=True) if seen[row]]
            again += [name for name in ids if ids.count(name) > 1] if not again else []
            raise DataError(
                f"{path}: utterances stand twice: {shorten(sorted(set(again)))}."
            )
        if values is None:
            values = np.full((len(seen), found.shape[1]), np.nan, np.float32)
        if found.shape[1] != values.shape[1]:
            raise DataError(
                f"{path}: {array} has {found.shape[1]} columns, the files before it "
                f"have {values.shape[1]}."
            )
        values[rows], seen[rows] = found, True
    if values is None:
        raise SpecError("Vectors of files: expected one .npz file or more.")
    told = ", ".join(str(path) for path in paths)
    rows = [
        (name, f"not in {told}")
        for name, there in zip(corpus.ids, seen, strict=True)
        if not there
    ]
    stem = "_".join(dict.fromkeys(Path(path).stem for path in paths))
    name = stem if array == "embeddings" else f"{stem}_{array}"
    return Vectors(name, values, pd.DataFrame(rows, columns=["id", "reason"]))


def _read(path: Path, array: str) -> tuple[list[str], np.ndarray]:
    """Return the utterances of a file and their vectors, (m, D) float32."""
    there = _names(path)
    if array not in there:
        raise DataError(
            f"{path}: has no array '{array}' (found: {shorten(there) or 'none'}). "
            "Name the one of the vectors with --array."
        )
    keys = ["ids"] if "ids" in there else ["dialogue", "utterance"]
    if missing := [key for key in keys if key not in there]:
        raise DataError(
            f"{path}: expected ids, or dialogue and utterance, to tell whose vectors "
            f"these are; missing: {', '.join(missing)}."
        )
    keys += ["split"] if "split" in there else []
    content = load_arrays(path, (array, *keys))
    found = content[array]
    if found.ndim != 2 or any(content[key].shape != (len(found),) for key in keys):
        shapes = ", ".join(f"{key} {content[key].shape}" for key in (array, *keys))
        raise DataError(
            f"{path}: expected vectors (m, D) and one entry a row of the others, "
            f"received {shapes}."
        )
    if found.dtype.kind not in "fiu" or not np.isfinite(found).all():
        raise DataError(f"{path}: {array} holds values that are not finite numbers.")
    return _ids(path, content), found.astype(np.float32)


def _ids(path: Path, content: dict[str, np.ndarray]) -> list[str]:
    if "ids" in content:
        ids = [str(name) for name in content["ids"]]
        if all("/" in name for name in ids):
            return ids
    else:
        pairs = zip(content["dialogue"], content["utterance"], strict=True)
        ids = [f"dia{int(dialogue)}_utt{int(number)}" for dialogue, number in pairs]
    if "split" in content:
        splits = [str(split) for split in content["split"]]
    else:
        words = re.split(r"[^a-z]+", path.stem.lower())
        named = [split for split in SPLITS if split in words]
        if len(named) != 1:
            raise DataError(
                f"{path}: nothing tells of which split its utterances are. Give ids "
                "like train/dia0_utt0, an array split, or a file of each split named "
                f"like {SPLITS[0]}_{path.name}."
            )
        splits = named * len(ids)
    return [f"{split}/{name}" for split, name in zip(splits, ids, strict=True)]


def _names(path: Path) -> list[str]:
    """Return the names of the arrays of an .npz."""
    if not path.is_file():
        raise DataError(f"{path}: no such file.")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            return list(content.files)
    # Of a single array there is no `files`, nor can it be closed.
    except (OSError, ValueError, EOFError, BadZipFile, AttributeError) as error:
        raise DataError(f"{path}: expected an .npz file ({error}).") from error
