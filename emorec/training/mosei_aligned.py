"""The aligned dataset of a CMU-MOSEI run: made once, kept as a pickle, read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from emorec.artifacts.pickles import read_pickle, write_pickle
from emorec.corpora import mosei
from emorec.errors import DataError, SpecError, shorten
from emorec.files import read_json, write_json
from emorec.sequences.alignment import AlignedDataset, Entries
from emorec.sequences.csd import ComputationalSequence
from emorec.sequences.parallel import align_on_cores
from emorec.training.config import MoseiConfig
from emorec.training.mosei_source import Say, Source


def load_aligned(config: MoseiConfig, source: Source, say: Say) -> dict[str, Entries]:
    """Align the sequences, or read them aligned where nothing has changed since.

    Returns
    -------
    dict
        Sequence name -> entries.

    Raises
    ------
    SpecError
        When another program's file has the name of the pickle.
    """
    if source.files is None:
        say(f"Reading the aligned dataset {source.pickle}.")
        return read_aligned(source.pickle, source.names)
    path = Path(config.pickle_folder) / f"{config.pickle_name_dataset}.pkl"
    identity = {
        "dataset": source.dataset,
        "source": source.fingerprint(),
        "sequences": source.names,
        "align_to_text": config.align_to_text,
    }
    if is_current(path, identity):
        say(f"Reading the aligned dataset {path}, made before from the same files.")
        return read_aligned(path, source.names)
    words = mosei.TEXT if config.align_to_text else None
    aligned = align_on_cores(source.files.sequences, words, mosei.LABELS)
    write_aligned(path, aligned)
    write_json(path.with_suffix(".json"), identity | {"dropped": aligned.dropped})
    videos = len({key.split("[")[0] for key in aligned.sequences[mosei.LABELS]})
    say(f"Aligned {videos} videos to {path}.")
    if aligned.dropped:
        say(f"Left out, for they are not in every sequence: {len(aligned.dropped)}.")
    return aligned.sequences


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
    return all(known.get(key) == value for key, value in identity.items())


def write_aligned(path: Path, aligned: AlignedDataset) -> None:
    """Write {sequence: {entry: {"intervals", "features"}}} as a pickle."""
    content = {
        name: {key: rows._asdict() for key, rows in entries.items()}
        for name, entries in aligned.sequences.items()
    }
    write_pickle(path, content)


def read_aligned(path: Path, names: list[str]) -> dict[str, Entries]:
    """Read an aligned dataset, of emorec or of the reference program.

    Raises
    ------
    DataError
        When the file is not one, or lacks a sequence.
    """
    content = read_pickle(path)
    result = {}
    for name in names:
        entries = content.get(name) if isinstance(content, dict) else None
        if not isinstance(entries, dict):
            found = shorten(content) if isinstance(content, dict) else type(content)
            raise DataError(
                f"{path}: expected the aligned sequence '{name}', found {found}."
            )
        # Checks shapes and types as for a .csd file.
        sequence = ComputationalSequence(entries, {"root name": name}, str(path))
        result[name] = {key: sequence.read(key) for key in entries}
    return result
