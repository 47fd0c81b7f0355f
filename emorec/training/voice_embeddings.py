"""What a speech network says of many sounds, in one file; resumable.

The output folder holds

- ``embeddings.npz``: ``ids``, ``embeddings`` (n, E) of fc7, ``logits`` (n, K) and the
  network's ``spec`` as a JSON text;
- ``scores.csv``: a row per sound, its probabilities by emotion, and the largest;
- ``failures.csv``: the sounds that could not be heard, and why;
- ``parts/``: blocks of sounds that are finished. They are not heard again while their
  files and the network stay as they are.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from emorec.artifacts.logits import load_arrays
from emorec.artifacts.tables import write_table
from emorec.errors import DataError, shorten
from emorec.evaluation.single_label import softmax
from emorec.features.audio import AUDIO_SUFFIXES
from emorec.files import digest, exclusive, fingerprint, whole_file
from emorec.progress import track
from emorec.training.hearing import hear
from emorec.training.voice_runs import Ear

EMBEDDINGS, SCORES, FAILURES = "embeddings.npz", "scores.csv", "failures.csv"
_BLOCK = 512
_ARRAYS = ("ids", "logits", "embeddings", "failed", "reasons")


def find_sounds(
    paths: Sequence[str | Path], suffixes: Collection[str] = AUDIO_SUFFIXES
) -> dict[str, Path]:
    """List sound files by id: the name of a file, or its path below a named folder.

    In folders, files with one of `suffixes` are sounds.

    Raises
    ------
    DataError
        When a folder holds no sounds, or two sounds have one id.
    """
    found: dict[str, Path] = {}
    for path in map(Path, paths):
        inside = [path]
        if path.is_dir():
            inside = sorted(
                file
                for file in path.rglob("*")
                if file.suffix.lower() in suffixes
                and not any(part.startswith(".") for part in file.parts)
            )
            if not inside:
                told = ", ".join(sorted(suffixes))
                raise DataError(f"{path}: no sounds ({told}).")
        for file in inside:
            below = file.relative_to(path) if path.is_dir() else Path(file.name)
            name = below.as_posix()
            if name in found:
                raise DataError(
                    f"{file} and {found[name]} have one name, {name}. Name the folder "
                    "that holds both instead."
                )
            found[name] = file
    return found


def embed(
    ear: Ear, sounds: Mapping[str, Path], output: Path
) -> tuple[int, list[tuple[str, str]]]:
    """Hear all sounds and write the results; see the module for the files.

    Parameters
    ----------
    ear : Ear
        The network.
    sounds : mapping
        Id -> file.
    output : Path
        Folder, made where it is not there.

    Returns
    -------
    heard : int
        Sounds that could be heard.
    failures : list of (str, str)
        Id and reason of the others.

    Raises
    ------
    DataError
        When no sound could be heard.
    BusyError
        When another process writes to the folder.
    """
    names = sorted(sounds)
    blocks = [names[i : i + _BLOCK] for i in range(0, len(names), _BLOCK)]
    busy = f"{output}: another process writes there; choose another --output."
    with exclusive(output / ".lock", busy):
        parts = [
            _part(ear, sounds, block, output) for block in track(blocks, "Hearing")
        ]
        joined = {key: np.concatenate([part[key] for part in parts]) for key in _ARRAYS}
        failures = list(
            zip(joined["failed"].tolist(), joined["reasons"].tolist(), strict=True)
        )
        write_table(output / FAILURES, pd.DataFrame(failures, columns=["id", "reason"]))
        if not len(joined["ids"]):
            raise DataError(
                f"None of {len(names)} sounds could be heard ({shorten(names)}). The "
                f"first: {failures[0][1]}"
            )
        with whole_file(output / EMBEDDINGS) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                ids=joined["ids"],
                embeddings=joined["embeddings"],
                logits=joined["logits"],
                spec=np.array(json.dumps(ear.spec.to_dict())),
            )
        labels = list(ear.spec.schema.labels)
        table = pd.DataFrame(softmax(joined["logits"]), columns=labels)
        table.insert(0, "id", joined["ids"])
        table["dominant"] = np.array(labels)[joined["logits"].argmax(axis=1)]
        write_table(output / SCORES, table.round(5))
    return len(joined["ids"]), failures


def _part(
    ear: Ear, sounds: Mapping[str, Path], block: list[str], output: Path
) -> dict[str, np.ndarray]:
    there = [sounds[name] for name in block if sounds[name].is_file()]
    key = digest([ear.content, block, fingerprint(there)])
    path = output / "parts" / f"{key}.npz"
    if path.is_file():
        try:
            return load_arrays(path, _ARRAYS)
        except DataError:  # damaged by something else; it is made anew
            pass
    heard = hear(ear.model, ear.spec, [sounds[name] for name in block])
    arrays = {
        "ids": np.array([block[i] for i in heard.rows], np.str_),
        "logits": heard.logits,
        "embeddings": heard.embeddings,
        "failed": np.array([block[i] for i, _ in heard.failures], np.str_),
        "reasons": np.array([reason for _, reason in heard.failures], np.str_),
    }
    # What failed may be there the next time.
    if not heard.failures:
        with whole_file(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)
    return arrays
