"""The 185 means of librosa's features: order, laws, and what is refused."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from emorec.errors import DataError, MissingExtraError
from emorec.features import librosa_means
from emorec.features.librosa_loading import alone
from emorec.features.librosa_means import (
    BLOCKS,
    NAMES,
    means,
    means_of_file,
    means_of_files,
)

soundfile = pytest.importorskip("soundfile", reason="needs the extra 'voices'")
pytest.importorskip("librosa", reason="needs the extra 'voices'")

RATE = 16_000
OFFSETS = dict(zip(BLOCKS, np.cumsum([0, *BLOCKS.values()]), strict=False))


def part(features, name):
    return features[OFFSETS[name] : OFFSETS[name] + BLOCKS[name]]


def sine(hertz, seconds=0.5, level=0.5, rate=RATE):
    time = np.arange(round(rate * seconds)) / rate
    return (level * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def noise(n=8000, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, n).astype(np.float32)


def test_blocks_lie_where_the_notebooks_for_meld_have_them():
    assert list(BLOCKS.values()) == [1, 1, 1, 1, 1, 40, 12, 128]
    assert list(OFFSETS.values()) == [0, 1, 2, 3, 4, 5, 45, 57]
    assert len(NAMES) == len(set(NAMES)) == 185
    assert NAMES[5] == "mfcc_000" and NAMES[45] == "chroma_000"
    assert NAMES[57] == "mel_000" and NAMES[-1] == "mel_127"


def test_a_sine_has_the_features_of_a_sine():
    found = means(sine(1000), RATE)
    assert found.shape == (185,) and found.dtype == np.float32
    assert part(found, "rms")[0] == pytest.approx(0.5 / np.sqrt(2), rel=0.05)
    assert part(found, "centroid")[0] == pytest.approx(1000, rel=0.05)
    assert part(found, "rolloff")[0] == pytest.approx(1000, rel=0.1)
    # Twice in each period.
    assert part(found, "zero_crossings")[0] == pytest.approx(2000 / RATE, rel=0.1)
    assert part(means(sine(440), RATE), "chroma").argmax() == 9  # the note A, from C
    low, high = (part(means(sine(f), RATE), "mel").argmax() for f in (300, 3000))
    assert low < high


def test_louder_changes_what_is_loudness_and_nothing_else():
    one, four = means(noise(), RATE), means(4 * noise(), RATE)
    for name, factor in {
        "rms": 4,
        "centroid": 1,
        "bandwidth": 1,
        "rolloff": 1,
        "zero_crossings": 1,
        "chroma": 1,
        "mel": 16,
    }.items():
        np.testing.assert_allclose(
            part(four, name), factor * part(one, name), rtol=1e-3, err_msg=name
        )
    # The logarithm moves the first cepstral coefficient only: by 12 dB in every band.
    moved = part(four, "mfcc") - part(one, "mfcc")
    assert moved[0] == pytest.approx(20 * np.log10(4) * np.sqrt(128), rel=1e-3)
    np.testing.assert_allclose(moved[1:], 0, atol=1e-2)


def test_the_rate_scales_frequencies():
    samples = noise()
    one, twice = means(samples, RATE), means(samples, 2 * RATE)
    for name in ("centroid", "bandwidth", "rolloff"):
        np.testing.assert_allclose(part(twice, name), 2 * part(one, name), rtol=1e-4)
    np.testing.assert_array_equal(part(twice, "rms"), part(one, "rms"))


@pytest.mark.parametrize(
    "samples",
    [noise(2048), np.full(4000, 0.1), np.eye(1, 5000, 2500)[0], 1e-6 * noise()],
    ids=["one frame", "constant", "a click", "almost silent"],
)
def test_poor_sounds_have_finite_features(samples):
    assert np.isfinite(means(samples, RATE)).all()


@pytest.mark.parametrize(
    "samples, message",
    [
        (noise(2047), "2048 samples or more, received the shape"),
        (noise(0), "too short"),
        (np.zeros(8000), "silent"),
        (np.where(np.arange(8000) == 9, np.nan, 0.1), "finite samples"),
        (noise(8000).reshape(2, -1), "one channel"),
    ],
    ids=["short", "empty", "silent", "nan", "stereo"],
)
def test_sounds_without_features_are_refused(samples, message):
    with pytest.raises(DataError, match=message):
        means(samples, RATE)


def test_a_file_is_read_at_its_own_rate_and_named_when_it_fails(tmp_path):
    samples = noise()
    soundfile.write(tmp_path / "a.wav", samples, 22050, subtype="FLOAT")
    found = means_of_file(tmp_path / "a.wav")
    np.testing.assert_array_equal(found, means(samples, 22050))
    stereo = np.stack([samples, -0.5 * samples], axis=1)
    soundfile.write(tmp_path / "b.wav", stereo, 22050, subtype="FLOAT")
    half = part(means_of_file(tmp_path / "b.wav"), "rms")
    np.testing.assert_allclose(half, part(found, "rms") / 4, rtol=1e-5)
    soundfile.write(tmp_path / "short.wav", samples[:100], 22050)
    with pytest.raises(DataError, match=r"short\.wav: .*too short"):
        means_of_file(tmp_path / "short.wav")


@pytest.mark.parametrize(
    "worth_it",
    [100, pytest.param(1, marks=pytest.mark.slow)],  # processes import librosa
    ids=["here", "on processes"],
)
def test_files_give_the_same_in_one_process_and_in_several(
    tmp_path, monkeypatch, worth_it
):
    monkeypatch.setattr(librosa_means, "_WORTH_IT", worth_it)
    paths = [tmp_path / f"{i}.wav" for i in range(3)]
    for i, path in enumerate(paths):
        soundfile.write(path, noise(seed=i), RATE)
    paths.insert(1, tmp_path / "none.wav")
    found = dict(means_of_files(paths, workers=2))
    assert sorted(found) == [0, 1, 2, 3]
    assert "none.wav: no such file" in found[1]
    for place in (0, 2, 3):
        np.testing.assert_array_equal(found[place], means_of_file(paths[place]))


def test_without_librosa_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "librosa", None)
    with pytest.raises(MissingExtraError, match=r"emorec\[voices\]"):
        means(noise(), RATE)
    with pytest.raises(MissingExtraError, match="librosa"):
        next(means_of_files([tmp_path / "a.wav"]))


# Uses librosa as every feature does, and tells whether it read or wrote what numba
# keeps on disk after librosa was loaded.
USED = """
import numpy as np
from numba.core import caching
from emorec.features.librosa_loading import load_librosa
from emorec.features.librosa_means import means
from emorec.features.voice_frames import voice_rows
load_librosa()
caching.Cache.load_overload = caching.Cache.save_overload = None
sound = np.random.default_rng(0).normal(0, 0.1, 16_000)
means(sound, 16_000)
list(voice_rows([sound.astype(np.float32)]))
"""


def test_what_librosa_compiles_is_loaded_by_one_process_at_a_time(
    tmp_path, monkeypatch
):
    subprocess.run([sys.executable, "-c", USED], check=True, timeout=300)
    # The lock is where numba keeps it, and whoever has it is waited for.
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))

    def load():
        with alone():
            return True

    with ThreadPoolExecutor(1) as pool:
        with alone():
            assert len(list(tmp_path.iterdir())) == 1
            waiting = pool.submit(load)
            with pytest.raises(TimeoutError):
                waiting.result(0.2)
        assert waiting.result(5)
    assert not list(tmp_path.iterdir())
