"""Rows of a voice: the same however a sound is divided, and what they tell."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emorec.errors import DataError
from emorec.features.audio import resample
from emorec.features.sound_blocks import resampled, sound_blocks
from emorec.features.voice_frames import NAMES, voice_rows

RATE = 16_000


def voice(seconds, hertz=200.0, level=0.3, seed=0):
    time = np.arange(int(seconds * RATE)) / RATE
    noise = np.random.default_rng(seed).normal(0, 0.002, len(time))
    tone = sum(np.sin(2 * np.pi * k * hertz * time) / k for k in range(1, 8))
    return (level * tone + noise).astype(np.float32)


def rows_of(*blocks):
    return np.concatenate([np.zeros((0, len(NAMES))), *voice_rows(blocks)])


def column(rows, name):
    return rows[:, NAMES.index(name)]


@settings(max_examples=10)
@given(st.lists(st.integers(1, 30_000), max_size=6))
def test_rows_are_the_same_however_the_sound_is_divided(sizes):
    sound = voice(3.04)
    blocks = np.split(sound, np.cumsum(sizes)[np.cumsum(sizes) < len(sound)])
    np.testing.assert_array_equal(rows_of(*blocks), rows_of(sound))


@pytest.mark.parametrize(
    "samples, rows", [(0, 0), (1, 1), (800, 1), (2399, 1), (2400, 2), (16_000, 10)]
)
def test_a_row_for_each_tenth_of_a_second(samples, rows):
    found = rows_of(voice(1)[:samples])
    assert found.shape == (rows, len(NAMES)) == (rows, 62)
    assert np.isfinite(found).all()


def test_a_later_voice_has_the_same_rows_later():
    sound = voice(2.0)
    later = np.concatenate([np.zeros(RATE, np.float32), sound])
    first, second = rows_of(sound), rows_of(later)
    np.testing.assert_allclose(second[11:], first[1:], atol=1e-3)
    assert (column(second[:9], "loudness") == -100).all()


@pytest.mark.parametrize("hertz", [90.0, 150.0, 320.0])
def test_pitch_and_voicing_of_a_tone(hertz):
    rows = rows_of(voice(1.0, hertz))[1:-1]
    expected = 12 * np.log2(hertz / 27.5)
    np.testing.assert_allclose(column(rows, "pitch"), expected, atol=0.2)
    assert (column(rows, "voicing") > 0.9).all()


def test_pitch_is_held_where_nothing_is_voiced():
    hiss = np.random.default_rng(0).normal(0, 0.05, RATE).astype(np.float32)
    rows = rows_of(voice(1.0, 250.0), hiss)
    assert (column(rows[12:], "voicing") < 0.5).all()
    assert np.ptp(column(rows[12:], "pitch")) < 0.1


def test_ten_times_the_amplitude_is_20_decibels_more():
    quiet, loud = rows_of(voice(1.0, level=0.02)), rows_of(voice(1.0, level=0.2))
    difference = column(loud, "loudness") - column(quiet, "loudness")
    np.testing.assert_allclose(difference[1:-1], 20, atol=0.5)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 16_000])
def test_a_sound_in_pieces_is_resampled_as_a_whole(rate):
    random = np.random.default_rng(rate)
    sound = (0.1 * random.normal(size=9 * rate + 7)).astype(np.float32)
    pieces = [(part, rate) for part in np.array_split(sound, 41)]
    found = np.concatenate(list(resampled(pieces, RATE)))
    np.testing.assert_allclose(found, resample(sound, rate, RATE), atol=1e-6)


def test_a_damaged_sound_is_named(tmp_path):
    import soundfile

    path = tmp_path / "bad.wav"
    soundfile.write(path, np.array([0.1, np.nan, 0.1]), 8000, subtype="FLOAT")
    with pytest.raises(DataError, match=r"bad\.wav: samples that are not finite"):
        list(sound_blocks(path))


def test_egemaps_rows_are_the_same_however_the_sound_is_divided():
    pytest.importorskip("opensmile", reason="the extra opensmile is not installed")
    from emorec.features.egemaps import egemaps_rows, names

    sound = np.concatenate([voice(12.0), voice(13.03, 140.0)])
    whole = np.concatenate(list(egemaps_rows([sound])))
    parts = np.concatenate(list(egemaps_rows(np.array_split(sound, 17))))
    assert whole.shape == (250, len(names())) == (250, 25)
    np.testing.assert_array_equal(whole, parts)
    at_once = np.concatenate(list(egemaps_rows([sound[: 16 * RATE]])))
    # Blocks end after 20 s, with a second more for what openSMILE smooths.
    np.testing.assert_allclose(whole[:150], at_once[:150], rtol=1e-4, atol=1e-4)
    pitch = whole[:, names().index("F0semitoneFrom27.5Hz_sma3nz")]
    np.testing.assert_allclose(pitch[5:110], 12 * np.log2(200 / 27.5), atol=0.3)
    for samples in (1, 500, 1200):
        assert np.isfinite(np.concatenate(list(egemaps_rows([sound[:samples]])))).all()
