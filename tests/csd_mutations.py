"""Damaged and hostile .csd files, each a function of its seed, and their reader.

As a program this reads the files of a range of seeds as users' files are read, one
after another, and writes a line before and after each, so that the test which started
it knows which one killed it::

    python -m tests.csd_mutations FOLDER FIRST STOP
"""

import json
import resource
import shutil
import signal
import sys
from pathlib import Path

import numpy as np

from emorec.errors import DataError
from emorec.sequences.csd import open_sequence
from tests.csd_damage import BYTES, whole_file
from tests.csd_hostile import SECRET, STRUCTURES

SECONDS, MEGABYTES = 10, 1000  # of computing and memory that one file may take
# Damage by chance needs the more tries.
MUTATIONS = (*STRUCTURES, *(BYTES * 4))


def mutated(folder, seed):
    """Write the file of this seed; return its path and how it was damaged."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rng, path = np.random.default_rng(seed), folder / "toy.csd"
    mutate = MUTATIONS[seed % len(MUTATIONS)]
    whole_file(path, rng)
    mutate(path, rng)
    return path, mutate.__name__


def read_everything(path):
    """Return "read", or how much was refused; other exceptions are faults."""
    try:
        sequence = open_sequence(path)
    except DataError as error:
        str(error).encode()
        return "refused"
    json.dumps(sequence.metadata).encode()
    refused = 0
    for entry in sequence.data:
        entry.encode()
        try:
            rows = sequence.read(entry)
        except DataError as error:
            str(error).encode()
            refused += 1
        else:
            assert not (rows.features == SECRET).any(), "read another file"
            assert not (rows.intervals == SECRET).any(), "read another file"
    assert str(SECRET) not in str(sequence.metadata), "read another file"
    return f"{refused} refused" if refused else "read"


def memory(name):
    """Return VmSize, VmRSS or VmHWM, the peak of VmRSS, in megabytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(x.split()[1]) for x in lines if x.startswith(name)) // 1024


def main(folder, first, stop):
    folder = Path(folder)
    for seed in range(int(first), int(stop)):
        path, how = mutated(folder, seed)
        print(json.dumps({"seed": seed, "how": how}), flush=True)
        # HDF5 keeps the processor, so no handler would run: the default one ends it.
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = memory("VmRSS")
        try:
            outcome = read_everything(path)
        except BaseException as error:
            outcome = f"FAULT {type(error).__name__}: {error}"[:300]
        signal.setitimer(signal.ITIMER_PROF, 0)
        taken = memory("VmHWM") - before
        if taken > MEGABYTES:
            outcome = f"FAULT {taken} MB"
        print(json.dumps({"outcome": outcome}), flush=True)


def limit_memory():
    """Keep a fault from taking the whole machine; imports have what they need."""
    limit = (memory("VmSize") + 4 * MEGABYTES) << 20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    limit_memory()
    main(*sys.argv[1:])
