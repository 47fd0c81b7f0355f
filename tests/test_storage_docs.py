"""The example of docs/storage.md runs as it stands."""

import re
import subprocess
import sys
from pathlib import Path

from tests.small_stores import toys, write_store

ROOT = Path(__file__).resolve().parents[1]


def test_the_example_reads_a_store(tmp_path):
    text = (ROOT / "docs/storage.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    entries = [
        entry._replace(
            arrays={
                {"wide": "logits"}.get(name, name): array
                for name, array in entry.arrays.items()
            }
        )
        for entry in toys(4, first=1)
    ]
    write_store(tmp_path / "logits", entries, scratch=tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "toy 3 clips" and "no face in 7 frames" in done.stdout
    assert [line[:5] for line in lines[-3:]] == ["toy01", "toy02", "toy04"]
