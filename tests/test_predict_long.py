"""A recording of any length is judged in the memory that a short one takes."""

import subprocess
import sys

import numpy as np
import pytest

from emorec.corpora.drawn_videos import write_film
from tests.small_runs import small_faces, small_voices
from tests.video_files import picture

# A process of its own, whose peak is its own.
_CHILD = """
import resource, sys
from emorec.artifacts.found_runs import find_runs
from emorec.prediction.inputs import find_recordings
from emorec.prediction.loading import load_predictors
from emorec.prediction.run import predict_clips
from tests.video_files import Finder

film, models, output = sys.argv[1:]
face, voice = load_predictors(find_runs([models + "/faces", models + "/voices"]))
face.detect = lambda: Finder()
result = predict_clips([face, voice], find_recordings([film]), output)
assert not result.failures, result.failures
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(tmp_path):
    small_faces(tmp_path / "faces")
    small_voices(tmp_path / "voices")
    random = np.random.default_rng(0)
    second = (random.standard_normal(16_000) * 0.1).astype(np.float32)
    pictures = [picture((10 + k / 10, 40))[..., 0] for k in range(250)]
    peaks = []
    for minutes in (1, 20):
        film = tmp_path / f"{minutes}.mp4"
        images = [pictures[k % 250] for k in range(minutes * 60 * 25)]
        write_film(film, images, 25, np.tile(second, minutes * 60), 16_000)
        command = [sys.executable, "-c", _CHILD, film, tmp_path]
        command = [str(part) for part in (*command, tmp_path / f"out_{minutes}")]
        done = subprocess.run(command, capture_output=True, text=True, cwd=".")
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout.splitlines()[-1]))
    # The pictures of 19 minutes more are 1.6 GB.
    assert peaks[1] - peaks[0] < 100, peaks
