"""Damaged and hostile .csd files are read or refused: no other error, crash or hang.

To see one file again: ``mutated(folder, seed)`` of `tests.csd_mutations` writes it.
"""

import json
import shutil
import subprocess
import sys

import pytest

from emorec.corpora.inspection import inspect_folder
from tests.csd_hostile import STRUCTURES
from tests.csd_mutations import MUTATIONS, mutated
from tests.harness import ROOT

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="measures memory as Linux tells it"
)
ROUND = len(MUTATIONS)  # seeds that bring every mutation once
# Not by chance: no file of these can be read whole.
REFUSED = {
    *("empty_dataset", "declare_terabytes", "declare_huge_chunks", "pack_a_bomb"),
    *("ask_for_an_unknown_filter", "store_outside", "group_for_dataset"),
    *("truncate", "rename_by_bytes"),
}


def outcomes(folder, first, stop, program=("-m", "tests.csd_mutations")):
    """Yield (seed, mutation, outcome); a reader that dies is followed by another."""
    while first < stop:
        command = [sys.executable, *program, str(folder), str(first), str(stop)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert lines, done.stderr
        for begun, ended in zip(lines[::2], lines[1::2], strict=False):
            yield begun["seed"], begun["how"], ended["outcome"]
        if len(lines) % 2 == 0:
            assert done.returncode == 0, done.stderr
            return
        begun = lines[-1]
        died = f"FAULT died of signal {-done.returncode} {done.stderr[-500:]}"
        yield begun["seed"], begun["how"], died
        first = begun["seed"] + 1


def assert_read_or_refused(folder, first, stop):
    found = list(outcomes(folder, first, stop))
    assert [seed for seed, _, _ in found] == list(range(first, stop))
    assert [one for one in found if one[2].startswith("FAULT")] == []
    read = {how for _, how, outcome in found if outcome == "read"}
    assert read
    assert not read & REFUSED


@pytest.mark.parametrize("number", range(4))
def test_damaged_and_hostile_files_are_read_or_refused(tmp_path, number):
    first = 3 * number * ROUND
    assert_read_or_refused(tmp_path / "file", first, first + 3 * ROUND)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(40))
def test_many_damaged_and_hostile_files_are_read_or_refused(tmp_path, number):
    first = (100 + 12 * number) * ROUND
    assert_read_or_refused(tmp_path / "file", first, first + 12 * ROUND)


FAULTS = """
import os, sys
from tests import csd_mutations as m

def read(path):
    seed = next(seeds)
    if seed == 1:
        os.abort()
    if seed == 2:
        raise KeyError("unforeseen")
    if seed == 3:
        b"x" * (m.MEGABYTES * 1_200_000)
    while seed == 4:
        pass
    return "read"

m.SECONDS, m.read_everything = 3, read
m.limit_memory()
seeds = iter(range(int(sys.argv[2]), 6))
m.main(*sys.argv[1:])
"""


def test_faults_of_the_reader_are_told_with_their_seed(tmp_path):
    found = list(outcomes(tmp_path / "file", 0, 6, ("-c", FAULTS)))
    assert [seed for seed, _, _ in found] == list(range(6))
    told = [outcome for _, _, outcome in found]
    assert told[0] == told[5] == "read"
    assert told[1].startswith("FAULT died of signal 6")
    assert told[2].startswith("FAULT KeyError")
    assert told[3].startswith("FAULT 1")
    assert told[4].startswith("FAULT died of signal 27")


def test_an_inspection_lists_every_bad_file_of_a_folder(tmp_path):
    folder = tmp_path / "all"
    folder.mkdir()
    bad = []
    for seed, mutate in enumerate(STRUCTURES):
        path, _ = mutated(tmp_path / "one", seed)
        shutil.copy(path, folder / f"{seed}.csd")
        if mutate.__name__ in REFUSED:
            bad.append(f"{seed}.csd")
    found = inspect_folder(folder)
    problems = [problem.text for problem in found.problems]
    unopened = sum("cannot be opened" in text for text in problems)
    assert len(found.table) + unopened > len(bad)
    for name in bad:
        # Its sequence is unknown, which is the other problem of every file here.
        assert any(name in p and "unknown sequence" not in p for p in problems), name
