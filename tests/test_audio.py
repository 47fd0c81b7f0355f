"""Reading sound files: formats, rates, channels, and what is refused."""

import sys

import numpy as np
import pytest

from emorec.errors import DataError, MissingExtraError, SpecError
from emorec.features.audio import problems, read_audio, resample

soundfile = pytest.importorskip("soundfile", reason="needs the extra 'voices'")

RATE = 16_000


def sine(hertz, rate, seconds=0.5, level=0.5):
    time = np.arange(round(rate * seconds)) / rate
    return level * np.sin(2 * np.pi * hertz * time)


def write(path, samples, rate=RATE, **kwargs):
    soundfile.write(path, samples, rate, **kwargs)
    return path


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.aiff"])
def test_samples_of_16_bits_are_read_as_they_are(tmp_path, name):
    pcm = np.random.default_rng(0).integers(-32768, 32768, 1000).astype(np.int16)
    found = read_audio(write(tmp_path / name, pcm, subtype="PCM_16"))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found * 32768, pcm)


@pytest.mark.parametrize("name", ["a.ogg", "a.mp3"])
def test_compressed_sound_is_about_what_was_written(tmp_path, name):
    given = sine(440, RATE)
    found = read_audio(write(tmp_path / name, given))
    assert abs(len(found) - len(given)) < 2500  # mp3 appends silence
    strongest = np.abs(np.fft.rfft(found[:8000])).argmax() * RATE / 8000
    assert abs(strongest - 440) <= 2


def test_one_channel_is_taken_or_the_mean_of_all(tmp_path):
    both = np.stack([sine(300, RATE), np.zeros(8000)], axis=1)
    path = write(tmp_path / "a.wav", both, subtype="FLOAT")
    first, mean = read_audio(path), read_audio(path, channel="mean")
    np.testing.assert_array_equal(first, both[:, 0].astype(np.float32))
    np.testing.assert_allclose(mean, first / 2, atol=1e-7)
    with pytest.raises(SpecError, match="channel 'left': expected one of first, mean"):
        read_audio(path, channel="left")
    with pytest.raises(SpecError, match="rate 0: expected"):
        read_audio(path, rate=0)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
def test_a_resampled_sine_stays_that_sine(tmp_path, rate):
    path = write(tmp_path / "a.wav", sine(1000, rate), rate, subtype="FLOAT")
    found = read_audio(path)
    assert abs(len(found) - 8000) <= 1
    inside = slice(200, -200)  # at its ends the sound begins and stops at once
    expected = sine(1000, RATE, len(found) / RATE)
    np.testing.assert_allclose(found[inside], expected[inside], atol=1e-5)
    literal = read_audio(path, literal=True)
    np.testing.assert_array_equal(literal, sine(1000, rate).astype(np.float32))


def test_tones_beyond_the_wanted_rate_do_not_fold_back():
    found = resample(sine(9000, 44100).astype(np.float32), 44100, RATE)
    assert np.abs(found[200:-200]).max() < 1e-4


def test_resampling_keeps_full_scale():
    loud = np.sign(sine(440, 44100, level=1)).astype(np.float32)
    assert np.abs(resample(loud, 44100, RATE)).max() == 1
    assert np.abs(resample(2 * loud, 44100, RATE)).max() > 2


def spoilt(folder, kind):
    path = folder / f"{kind}.wav"
    if kind == "missing":
        return path
    if kind == "not finite":
        return write(path, np.array([0, np.nan, np.inf, 1]), subtype="FLOAT")
    if kind == "without samples":
        return write(path, np.zeros(0))
    if kind == "cut flac":
        path = path.with_suffix(".flac")
    noise = np.random.default_rng(0).normal(0, 0.1, 8000)
    content = write(path, noise).read_bytes()
    if kind == "empty":
        content = b""
    elif kind == "text":
        content = b"These are words and no sound. " * 9
    else:
        content = content[: len(content) // 2]
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "kind, message",
    [
        ("missing", "no such file"),
        ("empty", "the file is empty; expected a sound"),
        ("text", "cannot be read as a sound .* Expected wav, flac, ogg or mp3"),
        ("without samples", "holds no samples; it may be cut off"),
        ("not finite", "2 of 4 samples are not finite"),
        ("cut wav", r"holds 49\.\d% of the samples that it states; it is cut off"),
        ("cut flac", "cut off|cannot be read as a sound"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, kind, message):
    with pytest.raises(DataError, match=message) as refusal:
        read_audio(spoilt(tmp_path, kind))
    assert str(tmp_path) in str(refusal.value)


def test_without_soundfile_the_extra_is_named(tmp_path, monkeypatch):
    path = write(tmp_path / "a.wav", sine(440, RATE))
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'emorec\[voices\]'"):
        read_audio(path)


def test_silence_is_read_and_told(tmp_path):
    silence = read_audio(write(tmp_path / "a.wav", np.zeros(2 * RATE)))
    assert not silence.any()
    assert problems(silence) == ["silent: no sample beyond 0 of full scale"]


def test_problems_are_told():
    assert problems(sine(440, RATE, 2)) == []
    assert problems(sine(440, RATE, 1)) == ["lasts 1.00 s, shorter than 1.015 s"]
    clipped = np.clip(sine(440, RATE, 2, level=2), -1, 1)
    (told,) = problems(clipped)
    assert told.startswith("clipped: 66.") and told.endswith("at full scale")
    assert len(problems(np.zeros(0))) == 2
