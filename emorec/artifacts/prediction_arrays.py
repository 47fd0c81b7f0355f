"""The arrays of prediction files as emorec's systems write them."""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from scipy.special import softmax

from emorec.corpora.fer_votes import label
from emorec.errors import DataError, shorten
from emorec.labels import FERPLUS, FERPLUS_VOTES, LabelSchema


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read every array of an .npz, never code.

    Raises
    ------
    DataError
        When the file is missing, damaged or no .npz.
    """
    try:
        # numpy leaves a damaged file open that it opened itself.
        with path.open("rb") as file:
            content = np.load(file, allow_pickle=False)
            if isinstance(content, np.ndarray):
                raise DataError(f"{path}: expected an .npz, found a single array.")
            with content:
                return {name: content[name] for name in content.files}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise DataError(
            f"{path}: expected an .npz of predictions ({error})."
        ) from error


def labelled(
    path: Path, content: dict[str, np.ndarray], schema: LabelSchema
) -> tuple[LabelSchema, np.ndarray, np.ndarray, np.ndarray]:
    """Return what of a file is one choice among classes.

    Parameters
    ----------
    path : Path
        Named in errors.
    content : dict
        From `read_arrays`.
    schema : LabelSchema
        That of the file.

    Returns
    -------
    schema : LabelSchema
        Of the K columns: of faces the eight emotions, also where there are ten.
    kept : (n,) bool
        Which rows have a true class: of faces those with a majority.
    scores : (m, K) float64
        Probabilities of these.
    true : (m,) int
        Their classes; of voices the emotion that the teacher says dominates.

    Raises
    ------
    DataError
        When there are no scores of classes or no true ones.
    """
    scores = _scores(path, content)
    kept = np.ones(len(scores), bool)
    if "labels" in content:
        true = content["labels"]
    elif "teacher" in content:
        true = content["teacher"].argmax(axis=1)
    else:
        raise DataError(f"{path}: has no array labels: the true classes are missing.")
    if true.ndim == 2:
        expected = (len(scores), len(FERPLUS_VOTES))
        if true.shape != expected or schema.labels[: len(FERPLUS)] != FERPLUS.labels:
            raise DataError(
                f"{path}: expected a class or the votes of FER+ for each of "
                f"{len(scores)} rows, found labels of the shape {true.shape}."
            )
        votes = label(true, "majority")
        kept, true = votes.kept, votes.classes
        # Of a network with ten outputs the categories that are no emotion are left out.
        scores = scores[kept, : len(FERPLUS)]
        scores = scores / scores.sum(axis=1, keepdims=True)
        schema = FERPLUS
    return schema, kept, scores, true


def _scores(path: Path, content: dict[str, np.ndarray]) -> np.ndarray:
    """Return (n, K) float64 probabilities."""
    names = [k for k in ("scores", "logits", "logits_both") if k in content]
    # A network of one modality has logits of that one alone.
    given = [k for k in content if k.startswith("logits_")]
    names += given if len(given) == 1 else []
    if not names:
        raise DataError(
            f"{path}: expected scores of classes (an array scores, logits or "
            f"logits_both), found {shorten(sorted(content))}."
        )
    name = names[0]
    values = np.asarray(content[name], np.float64)
    if values.ndim != 2:
        raise DataError(
            f"{path}: expected {name} of two dimensions, found the shape "
            f"{values.shape}."
        )
    return values if name == "scores" else softmax(values, axis=1)
