"""Alignment on several cores gives what one process gives."""

import h5py
import pytest

from emorec.corpora import mosei
from emorec.corpora.miniature import write_mosei
from emorec.errors import DataError
from emorec.sequences import parallel
from emorec.sequences.alignment import align
from emorec.sequences.csd import ComputationalSequence

NAMES = mosei.sequence_names("facet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parallel")
    write_mosei(folder, videos=12)
    return folder


@pytest.fixture
def always(monkeypatch):
    """Use processes for few videos, in tasks of a few."""
    monkeypatch.setattr(parallel, "_WORTH_IT", 2)
    monkeypatch.setattr(parallel, "_CHUNK", 3)


def equal(first, second):
    for name, entries in first.sequences.items():
        assert list(entries) == list(second.sequences[name])
        for key, rows in entries.items():
            for mine, theirs in zip(rows, second.sequences[name][key], strict=True):
                assert mine.dtype == theirs.dtype
                assert mine.tobytes() == theirs.tobytes()
    assert first.dropped == second.dropped


def test_two_processes_give_the_same_bits_in_the_same_order(folder, always):
    sequences = mosei.open_files(folder, NAMES).sequences
    expected = align(sequences, mosei.TEXT, mosei.LABELS)
    equal(
        expected,
        parallel.align_on_cores(sequences, mosei.TEXT, mosei.LABELS, workers=2),
    )


def test_damage_met_by_another_process_is_told(folder, always, tmp_path):
    write_mosei(tmp_path, videos=12)
    with h5py.File(tmp_path / mosei.FILES[mosei.AUDIO], "a") as file:
        del file["COVAREP/data/miniature_03/features"]
    sequences = mosei.open_files(tmp_path, NAMES).sequences
    with pytest.raises(DataError, match=r"COVAREP.*miniature_03"):
        parallel.align_on_cores(sequences, mosei.TEXT, mosei.LABELS, workers=2)


def test_sequences_without_a_file_are_aligned_here(folder, always):
    sequences = mosei.open_files(folder, NAMES).sequences
    expected = align(sequences, mosei.TEXT, mosei.LABELS)
    loaded = {
        name: ComputationalSequence(
            {key: sequence.read(key)._asdict() for key in sequence.data},
            sequence.metadata,
            "memory",
        )
        for name, sequence in sequences.items()
    }
    equal(
        expected, parallel.align_on_cores(loaded, mosei.TEXT, mosei.LABELS, workers=2)
    )
