"""MFCC equal librosa's, and do not depend on what lies around a clip."""

import numpy as np
import pytest

from emorec.errors import DataError, SpecError
from emorec.features.mfcc import RATE, frame_count, mfcc


def sounds():
    random = np.random.default_rng(0)
    time = np.arange(RATE) / RATE
    sweep = np.sin(2 * np.pi * (100 * time + 3000 * time**2))
    return {
        "noise": random.normal(0, 0.1, RATE),
        "sweep": 0.5 * sweep,
        "quiet": 1e-6 * sweep,
        "silence": np.zeros(RATE),
        "speech and silence": np.where(time < 0.4, sweep, 0),
        "short": random.normal(0, 0.1, 700),
    }


@pytest.mark.filterwarnings("ignore:n_fft=2048 is too large")
@pytest.mark.parametrize("name", sounds())
@pytest.mark.parametrize("coefficients", [10, 40])
def test_mfcc_are_librosas(name, coefficients):
    librosa = pytest.importorskip("librosa", reason="the comparison needs librosa")
    samples = sounds()[name]
    expected = librosa.feature.mfcc(y=samples, sr=RATE, n_mfcc=coefficients)
    found = mfcc(samples, coefficients=coefficients)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-6)


def test_3_6_seconds_have_156_frames():
    assert frame_count(79_380) == 156
    assert mfcc(np.zeros(79_380, np.float32)).shape == (10, 156)


def test_louder_moves_the_first_coefficient_only():
    samples = sounds()["noise"]
    moved = mfcc(10 * samples) - mfcc(samples)
    # 20 dB in each of 128 bands, by an orthonormal transform.
    np.testing.assert_allclose(moved[0], 20 * np.sqrt(128), atol=1e-3)
    np.testing.assert_allclose(moved[1:], 0, atol=1e-4)


def test_clips_of_a_batch_are_each_their_own():
    clips = np.stack([sounds()["noise"], 1e-4 * sounds()["sweep"]])
    np.testing.assert_array_equal(mfcc(clips)[1], mfcc(clips[1]))


def test_silence_has_the_least_power():
    found = mfcc(np.zeros(5000))
    np.testing.assert_allclose(found[0], -100 * np.sqrt(128), rtol=1e-6)
    np.testing.assert_allclose(found[1:], 0, atol=1e-4)


def test_what_cannot_be_is_refused():
    with pytest.raises(SpecError, match="0 coefficients: expected 1 to 128"):
        mfcc(np.zeros(5000), coefficients=0)
    with pytest.raises(DataError, match="finite"):
        mfcc(np.full(5000, np.nan))
    with pytest.raises(DataError, match="one or more"):
        mfcc(np.zeros(0))
