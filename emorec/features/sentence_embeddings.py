"""Frozen embeddings of utterances: from a sentence model, a text backbone, or a file.

Reimers and Gurevych (2019), "Sentence-BERT: Sentence Embeddings using Siamese
BERT-Networks": one vector per sentence, usually the mean over its tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from emorec.errors import DataError, MissingExtraError, SpecError, shorten
from emorec.files import digest, fingerprint, read_json, whole_file
from emorec.progress import track

PROGRAMS = ("auto", "sentence-transformers", "keras-hub")
_BATCH = 32


def embeddings_of(
    texts: Sequence[str],
    ids: Sequence[str],
    source: str,
    program: str = "auto",
    cache: Path | None = None,
    longest: int = 128,
) -> np.ndarray:
    """Return one vector per text.

    Parameters
    ----------
    texts : sequence of str
        n texts.
    ids : sequence of str
        Their names; an .npz is searched by them.
    source : str
        An .npz (see `read_embeddings`), a folder, or a model's name, which needs a
        network connection the first time.
    program : {"auto", "sentence-transformers", "keras-hub"}
        What loads a folder or a name. auto takes keras-hub for its own folders, else
        sentence-transformers.
    cache : Path, optional
        Folder in which vectors are kept, under a name made of the texts and the model,
        so that they are computed once.
    longest : int
        Tokens of a text that keras-hub's backbones read.

    Returns
    -------
    (n, D) float32
        Finite.

    Raises
    ------
    DataError
        When a file lacks an id, is damaged, or a vector is not finite.
    SpecError
        When there is no such model, or program.
    MissingExtraError
        When the program is not installed.
    """
    if program not in PROGRAMS:
        raise SpecError(f"--program {program}: expected {', '.join(PROGRAMS)}.")
    if source.endswith(".npz"):
        return read_embeddings(source, ids)
    if program == "auto":
        program = "keras-hub" if _is_keras_hub(source) else "sentence-transformers"
    path = None
    if cache is not None:
        key = digest([list(texts), program, source, _identity(source), longest])
        path = cache / f"embeddings_{key}.npz"
        if path.is_file():
            return read_embeddings(path, ids)
    if program == "keras-hub":
        vectors = _with_keras_hub(texts, source, longest)
    else:
        vectors = _with_sentence_transformers(texts, source)
    vectors = _checked(np.asarray(vectors, np.float32), ids, source)
    if path is not None:
        write_embeddings(path, ids, vectors)
    return vectors


def write_embeddings(path: str | Path, ids: Sequence[str], vectors: np.ndarray) -> None:
    """Write ``ids`` (n,) text and ``embeddings`` (n, D) float32 as one .npz."""
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            ids=np.array(list(ids), np.str_),
            embeddings=np.asarray(vectors, np.float32),
        )


def read_embeddings(path: str | Path, ids: Sequence[str]) -> np.ndarray:
    """Return the vectors (n, D) float32 of these ids from an .npz.

    The file has arrays ``ids`` (m,) text and ``embeddings`` (m, D), in any order.

    Raises
    ------
    DataError
        When it is missing, damaged, or lacks an id.
    """
    path = Path(path)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            names, vectors = content["ids"], content["embeddings"]
    except Exception as error:  # damage shows as nearly any error
        raise DataError(
            f"{path}: expected arrays ids (n,) and embeddings (n, D), but {error}."
        ) from error
    if names.ndim != 1 or vectors.ndim != 2 or len(names) != len(vectors):
        raise DataError(
            f"{path}: expected ids (n,) and embeddings (n, D), found {names.shape} and "
            f"{vectors.shape}."
        )
    rows = {str(name): row for row, name in enumerate(names)}
    missing = [name for name in ids if name not in rows]
    if missing:
        raise DataError(
            f"{path}: has no embedding of {shorten(missing)}; {len(missing)} of "
            f"{len(ids)} are missing."
        )
    chosen = [rows[name] for name in ids]
    return _checked(np.asarray(vectors[chosen], np.float32), ids, str(path))


def _checked(vectors: np.ndarray, ids: Sequence[str], source: str) -> np.ndarray:
    if vectors.ndim != 2 or len(vectors) != len(ids):
        raise DataError(
            f"{source}: expected one vector for each of {len(ids)} texts, received the "
            f"shape {vectors.shape}."
        )
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise DataError(f"{source}: the embedding of {ids[bad[0]]} is not finite.")
    return vectors


def _is_keras_hub(source: str) -> bool:
    config = Path(source) / "config.json"
    if not config.is_file():
        return False
    content = read_json(config)
    return isinstance(content, dict) and "registered_name" in content


def _identity(source: str) -> dict[str, list[int]]:
    """Return sizes and times of a folder's files; of a name nothing."""
    folder = Path(source)
    if not folder.is_dir():
        return {}
    return fingerprint([path for path in folder.rglob("*") if path.is_file()])


def _with_sentence_transformers(texts: Sequence[str], source: str) -> np.ndarray:
    network = _sentence_model(source)
    parts = [
        network.encode(list(texts[start : start + _BATCH]), show_progress_bar=False)
        for start in track(range(0, len(texts), _BATCH), "sentence embeddings")
    ]
    return np.concatenate(parts)


@lru_cache(maxsize=1)  # corpora are read video by video
def _sentence_model(source: str):
    if find_spec("sentence_transformers") is None:
        raise MissingExtraError(
            "sentence-transformers", "sentences", f"The sentence model {source}"
        )
    from sentence_transformers import SentenceTransformer

    try:
        return SentenceTransformer(source)
    except Exception as error:  # from the file system, the network or PyTorch
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise SpecError(
            f"{source}: no sentence model that can be loaded ({reason[0][:200]}). Give "
            "a folder of sentence-transformers, or a name and a network connection."
        ) from error


def _with_keras_hub(texts: Sequence[str], source: str, longest: int) -> np.ndarray:
    """Mean over the tokens of the last hidden states, special tokens included."""
    backbone, tokenizer = _keras_hub(source)
    start, end = tokenizer.start_token_id, tokenizer.end_token_id
    tokens = [[start, *t[: longest - 2], end] for t in token_ids(tokenizer, texts)]
    # Texts of one length share a batch, in few widths.
    order = np.argsort([len(t) for t in tokens], kind="stable")
    result = None
    for begin in track(range(0, len(order), _BATCH), "sentence embeddings"):
        rows = order[begin : begin + _BATCH]
        width = -(-max(len(tokens[row]) for row in rows) // 8) * 8
        padded = np.full((len(rows), width), tokenizer.pad_token_id, np.int32)
        real = np.zeros((len(rows), width), np.int32)
        for place, row in enumerate(rows):
            padded[place, : len(tokens[row])] = tokens[row]
            real[place, : len(tokens[row])] = 1
        inputs = {"token_ids": padded, "padding_mask": real}
        states = np.asarray(backbone.predict_on_batch(inputs), np.float64)
        if result is None:
            result = np.zeros((len(tokens), states.shape[-1]), np.float32)
        weights = real[..., None] / real.sum(axis=1)[:, None, None]
        result[rows] = (states * weights).sum(axis=1)
    return np.zeros((0, 0), np.float32) if result is None else result


@lru_cache(maxsize=1)  # corpora are read video by video
def _keras_hub(source: str):
    """Return backbone and tokenizer of a preset."""
    if find_spec("keras_hub") is None:
        raise MissingExtraError("keras-hub", "text", f"The text network {source}")
    import keras_hub

    try:
        return (
            keras_hub.models.Backbone.from_preset(source),
            keras_hub.models.Tokenizer.from_preset(source),
        )
    except Exception as error:  # from the file system, the network or keras-hub
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise SpecError(
            f"{source}: no text network that keras-hub can load ({reason[0][:200]})."
        ) from error


def token_ids(tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Return the numbers of each text's tokens, without special ones.

    Parameters
    ----------
    tokenizer
        Of keras-hub, without a fixed length.
    texts : sequence of str
    """
    if not len(texts):
        return []
    tokens = tokenizer(list(texts))
    tokens = tokens.to_list() if hasattr(tokens, "to_list") else tokens
    return [[int(number) for number in row] for row in tokens]
