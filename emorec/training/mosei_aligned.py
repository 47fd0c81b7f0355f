"""The aligned dataset of CMU-MOSEI: made once, kept as a pickle, read back."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from glob import escape
from pathlib import Path
from typing import Any

from emorec.artifacts.pickles import read_pickle, write_pickle
from emorec.corpora import mosei
from emorec.errors import DataError, SpecError, shorten
from emorec.files import digest, fingerprint, read_json, write_json
from emorec.sequences.alignment import AlignedDataset
from emorec.sequences.csd import ComputationalSequence
from emorec.sequences.parallel import align_on_cores
from emorec.training.config import MoseiConfig
from emorec.training.mosei_source import Say, Source


def load_aligned(config: MoseiConfig, source: Source, say: Say) -> AlignedDataset:
    """Align the sequences, or read them aligned where nothing has changed since.

    Raises
    ------
    SpecError
        When another program's file has the name of the pickle.
    """
    if source.files is None:
        say(f"Reading the aligned dataset {source.pickle}.")
        return read_aligned(source.pickle, source.names)
    path = Path(config.pickle_folder) / f"{config.pickle_name_dataset}.pkl"
    sequences = {name: source.files.sequences[name] for name in source.names}
    words, partial = source.steps, source.partial
    identity = identify(source.dataset, sequences, words, mosei.LABELS, partial)
    if is_current(path, identity):
        say(f"Reading the aligned dataset {path}, made before from the same files.")
        return make_aligned(path, sequences, words, mosei.LABELS, identity, partial)
    aligned = make_aligned(path, sequences, words, mosei.LABELS, identity, partial)
    videos = len({key.split("[")[0] for key in aligned.sequences[mosei.LABELS]})
    say(f"Aligned {videos} videos to {path}.")
    if aligned.dropped:
        say(f"Left out, for they are not in every sequence: {len(aligned.dropped)}.")
    return aligned


def identify(
    dataset: str,
    sequences: Mapping[str, ComputationalSequence],
    words: str | None,
    labels: str | None,
    partial: Collection[str] = (),
) -> dict[str, Any]:
    """Return what an aligned dataset is made from and how, JSON-able."""
    return {
        "dataset": dataset,
        "source": fingerprint([sequence.path for sequence in sequences.values()]),
        "sequences": list(sequences),
        "words": words,
        "labels": labels,
        **({"partial": list(partial)} if partial else {}),
    }


def make_aligned(
    path: Path,
    sequences: Mapping[str, ComputationalSequence],
    words: str | None,
    labels: str | None,
    identity: dict[str, Any],
    partial: Collection[str] = (),
) -> AlignedDataset:
    """Align to a pickle; go on where an interrupted alignment stopped.

    The pickle is for other programs. emorec itself reads the parts that lie in a folder
    beside it, for these need no memory; the folder's name tells what they are made
    from.
    """
    current = is_current(path, identity)
    parts = path.with_suffix(f".parts-{digest(identity)}")
    aligned = align_on_cores(sequences, words, labels, parts, partial=partial)
    if not current:
        written = write_aligned(path, aligned)
        left_out = {"dropped": aligned.dropped, "damaged": aligned.damaged}
        write_beside(path, written, identity | left_out)
        for earlier in set(path.parent.glob(f"{escape(path.stem)}.parts-*")) - {parts}:
            shutil.rmtree(earlier, ignore_errors=True)
    return aligned


def is_current(path: Path, identity: dict[str, Any]) -> bool:
    """Tell whether a derived file belongs to these sources; refuse foreign files."""
    if not path.is_file():
        return False
    beside = path.with_suffix(".json")
    if not beside.is_file():
        raise SpecError(
            f"{path}: exists, but was not written by emorec from known files "
            f"({beside.name} is missing), and would be overwritten. Move it away, or "
            "choose other names (--pickle_name_dataset, --pickle_name_fold)."
        )
    known = read_json(beside)
    identity = identity | {"file": fingerprint([path])}
    return all(known.get(key) == value for key, value in identity.items())


def write_beside(
    path: Path, written: dict[str, list[int]], identity: dict[str, Any]
) -> None:
    """Write what a derived file was made from, and which file that is.

    Another run may replace the file at any moment; then the two no longer fit.
    """
    write_json(path.with_suffix(".json"), identity | {"file": written})


def write_aligned(path: Path, aligned: AlignedDataset) -> dict[str, list[int]]:
    """Write {sequence: {entry: {"intervals", "features"}}} as a pickle.

    Returns what identifies the file (`emorec.artifacts.pickles.write_pickle`).
    """
    content = {
        name: {key: rows._asdict() for key, rows in entries.items()}
        for name, entries in aligned.sequences.items()
    }
    return write_pickle(path, content)


def read_aligned(path: Path, names: list[str]) -> AlignedDataset:
    """Read an aligned dataset, of emorec or of the reference program.

    Raises
    ------
    DataError
        When the file is not one, or lacks a sequence.
    """
    content = read_pickle(path)
    beside = path.with_suffix(".json")
    known = read_json(beside) if beside.is_file() else {}
    result = AlignedDataset(
        dropped=known.get("dropped", {}), damaged=known.get("damaged", {})
    )
    for name in names:
        entries = content.get(name) if isinstance(content, dict) else None
        if not isinstance(entries, dict):
            found = shorten(content) if isinstance(content, dict) else type(content)
            raise DataError(
                f"{path}: expected the aligned sequence '{name}', found {found}."
            )
        # Checks shapes and types as for a .csd file.
        sequence = ComputationalSequence(entries, {"root name": name}, str(path))
        result.sequences[name] = {key: sequence.read(key) for key in entries}
    return result
