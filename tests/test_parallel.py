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
    monkeypatch.setattr(parallel, "_PART", 3)


def equal(first, second):
    for name, entries in first.sequences.items():
        assert list(entries) == list(second.sequences[name])
        for key, rows in entries.items():
            for mine, theirs in zip(rows, second.sequences[name][key], strict=True):
                assert mine.dtype == theirs.dtype
                assert mine.tobytes() == theirs.tobytes()
    assert first.dropped == second.dropped


def aligned_on(sequences, folder, workers=2):
    return parallel.align_on_cores(sequences, mosei.TEXT, mosei.LABELS, folder, workers)


def test_two_processes_give_the_same_bits_in_the_same_order(folder, always, tmp_path):
    sequences = mosei.open_files(folder, NAMES).sequences
    expected = align(sequences, mosei.TEXT, mosei.LABELS)
    equal(expected, aligned_on(sequences, tmp_path))


def test_a_damaged_video_is_left_out_by_every_process(always, tmp_path):
    write_mosei(tmp_path, videos=12)
    with h5py.File(tmp_path / mosei.FILES[mosei.AUDIO], "a") as file:
        del file["COVAREP/data/miniature_03/features"]
    sequences = mosei.open_files(tmp_path, NAMES).sequences
    found = aligned_on(sequences, tmp_path / "parts")
    assert list(found.damaged) == ["miniature_03"]
    assert "COVAREP" in found.damaged["miniature_03"]
    here = align(sequences, mosei.TEXT, mosei.LABELS)
    equal(here, found)
    assert here.damaged == found.damaged


def test_too_many_damaged_videos_end_the_alignment(always, tmp_path):
    write_mosei(tmp_path, videos=12)
    with h5py.File(tmp_path / mosei.FILES[mosei.AUDIO], "a") as file:
        for number in (3, 5):
            del file[f"COVAREP/data/miniature_{number:02d}/features"]
    sequences = mosei.open_files(tmp_path, NAMES).sequences
    with pytest.raises(DataError, match=r"2 of 1\d videos.*\n.*miniature_03"):
        aligned_on(sequences, tmp_path / "parts")


@pytest.mark.parametrize("workers", [1, 2])
def test_parts_that_are_there_are_not_made_again(folder, always, tmp_path, workers):
    sequences = mosei.open_files(folder, NAMES).sequences
    expected = aligned_on(sequences, tmp_path, workers)
    parts = sorted(tmp_path.glob("*.json"))
    assert len(parts) >= 3
    parts[1].unlink()
    before = {path: path.stat().st_mtime_ns for path in parts if path.is_file()}
    equal(expected, aligned_on(sequences, tmp_path, workers))
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_part_cut_short_is_an_error_that_names_it(folder, always, tmp_path):
    sequences = mosei.open_files(folder, NAMES).sequences
    aligned_on(sequences, tmp_path, workers=1)
    part = min(tmp_path.glob("*.bin"))
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(DataError, match=rf"{part.name}: expected \d+ bytes"):
        aligned_on(sequences, tmp_path)


def test_sequences_without_a_file_are_aligned_here(folder, always, tmp_path):
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
    equal(expected, aligned_on(loaded, tmp_path))
