"""Sounds read inside tf.data by tensorflow-io, beside the same read by soundfile."""

import sys
from pathlib import Path

import numpy as np
import pytest

from emorec.errors import MissingExtraError, SpecError
from emorec.features import audio, audio_graph

soundfile = pytest.importorskip("soundfile", reason="needs the extra 'voices'")
tf = pytest.importorskip("tensorflow")

RATE = 16_000
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def operations():
    if not audio_graph.available():
        pytest.skip("tensorflow-io's operations do not run here")


@pytest.fixture
def without_tensorflow_io(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_io", None)
    audio_graph.available.cache_clear()
    yield
    audio_graph.available.cache_clear()


def noise(seed, count=20_000, channels=1):
    return np.random.default_rng(seed).uniform(-0.9, 0.9, (count, channels))


def smooth(seed, rate, share=0.9, seconds=1.0):
    """Draw noise below `share` of the lower of the Nyquist rates, peak 0.5."""
    count = round(rate * seconds) + 7
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(size=count))
    spectrum[np.fft.rfftfreq(count, 1 / rate) > share * min(rate, RATE) / 2] = 0
    samples = np.fft.irfft(spectrum, count)
    return 0.5 * samples / np.abs(samples).max()


def write(path, samples, rate=RATE, **kwargs):
    soundfile.write(path, samples, rate, **kwargs)
    return str(path)


def read(paths, function=audio_graph.read_audio, parallel=None):
    names = tf.data.Dataset.from_tensor_slices(list(paths))
    return list(names.map(function, num_parallel_calls=parallel).as_numpy_iterator())


def test_without_tensorflow_io_the_extra_and_its_versions_are_named(
    without_tensorflow_io,
):
    assert not audio_graph.available()
    for ask in (
        lambda: audio_graph.read_audio("a.wav"),
        lambda: audio_graph.read_part("a.wav", 0, 1),
    ):
        with pytest.raises(MissingExtraError) as refusal:
            ask()
        told = str(refusal.value)
        assert "pip install -c constraints-tfio.txt 'emorec[tfio]'" in told
        assert "is not installed or cannot run beside this TensorFlow" in told


def test_what_imports_but_cannot_run_is_not_available(monkeypatch):
    class Broken:
        def __getattr__(self, name):
            raise NotImplementedError("unable to open file: libtensorflow_io.so")

    monkeypatch.setitem(sys.modules, "tensorflow_io", Broken())
    audio_graph.available.cache_clear()
    try:
        assert not audio_graph.available()
    finally:
        audio_graph.available.cache_clear()


def test_a_rate_that_cannot_be_is_refused_first(without_tensorflow_io):
    with pytest.raises(SpecError, match="rate 0: expected samples a second"):
        audio_graph.read_audio("a.wav", 0)


def test_the_constraints_pin_what_the_operations_need():
    lines = (ROOT / audio_graph.CONSTRAINTS).read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert pins["tensorflow-io"] == "0.37.1"
    assert pins["tensorflow"].startswith("2.17.")
    assert int(pins["numpy"].split(".")[0]) == 1


@pytest.mark.tfio
@pytest.mark.parametrize(
    "name, subtype",
    [
        ("a.wav", "PCM_U8"),
        ("a.wav", "PCM_16"),
        ("a.wav", "PCM_24"),
        ("a.wav", "PCM_32"),
        ("a.wav", "FLOAT"),
        ("a.flac", "PCM_S8"),
        ("a.flac", "PCM_16"),
        ("a.flac", "PCM_24"),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_equal_those_of_soundfile(
    operations, tmp_path, name, subtype, channels
):
    path = write(tmp_path / name, noise(0, channels=channels), subtype=subtype)
    (found,) = read([path])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, audio.read_audio(path), rtol=0, atol=1e-6)


@pytest.mark.tfio
@pytest.mark.parametrize("name", ["a.ogg", "a.mp3"])
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_compressed_sound_equals_that_of_soundfile(operations, tmp_path, name, rate):
    path = write(tmp_path / name, smooth(0, rate), rate)
    (found,) = read([path], lambda name: audio_graph.read_audio(name, rate))
    np.testing.assert_allclose(found, audio.read_audio(path, rate), rtol=0, atol=2e-6)


@pytest.mark.tfio
@pytest.mark.parametrize("rate", [8000, 11_025, 22_050, 44_100, 48_000])
def test_resampled_sound_is_that_sound_at_the_same_time(operations, tmp_path, rate):
    samples = smooth(1, rate, share=0.7)
    path = write(tmp_path / "a.wav", samples, rate, subtype="FLOAT")
    (found,), expected = read([path]), audio.read_audio(path)
    assert found.shape == expected.shape
    # A sample's delay would differ by as much as the sound itself, 0.5.
    np.testing.assert_allclose(found[200:-200], expected[200:-200], atol=5e-3)


@pytest.mark.tfio
def test_a_parallel_pipeline_gives_each_file_its_own_samples(operations, tmp_path):
    paths = []
    for i in range(24):
        rate, name = (44_100, f"{i}.wav") if i % 3 else (RATE, f"{i}.flac")
        paths.append(write(tmp_path / name, smooth(i, rate, 0.7, 0.1 + i / 50), rate))
    for path, found in zip(paths, read(paths, parallel=8), strict=True):
        np.testing.assert_allclose(found, audio.read_audio(path), atol=0.05)


@pytest.mark.tfio
@pytest.mark.parametrize(
    "name, rate", [("a.wav", RATE), ("a.wav", 8000), ("a.flac", RATE)]
)
def test_a_part_is_that_part_of_the_whole(operations, tmp_path, name, rate):
    path = write(tmp_path / name, noise(2, channels=2), rate, subtype="PCM_16")
    (whole,) = read([path])
    bounds = [(0, 10), (777, 4000), (len(whole) - 5, 100), (len(whole) + 9, 3), (5, 0)]
    parts = tf.data.Dataset.from_tensor_slices(np.array(bounds)).map(
        lambda pair: audio_graph.read_part(path, pair[0], pair[1]), num_parallel_calls=4
    )
    for (start, length), part in zip(bounds, parts.as_numpy_iterator(), strict=True):
        np.testing.assert_array_equal(part, whole[start : start + length])


@pytest.mark.tfio
def test_a_part_of_a_wav_leaves_the_rest_unread(operations, tmp_path):
    path = write(tmp_path / "a.wav", noise(3), subtype="PCM_16")
    whole = audio.read_audio(path)
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[: len(content) // 2])
    part = audio_graph.read_part(path, 100, 50)
    np.testing.assert_array_equal(part, whole[100:150])
    with pytest.raises(tf.errors.OutOfRangeError):
        audio_graph.read_audio(path)


@pytest.mark.tfio
def test_what_is_no_sound_is_refused(operations, tmp_path):
    text = tmp_path / "a.wav"
    text.write_text("These are words and no sound. " * 9)
    bad = write(tmp_path / "b.wav", np.array([0, np.nan, 1.0]), subtype="FLOAT")
    with pytest.raises(tf.errors.InvalidArgumentError):
        audio_graph.read_audio(str(text))
    with pytest.raises(tf.errors.InvalidArgumentError, match="samples of a sound"):
        audio_graph.read_audio(bad)
    with pytest.raises(tf.errors.NotFoundError):
        audio_graph.read_audio(str(tmp_path / "missing.wav"))


@pytest.mark.tfio
def test_a_pipeline_reads_in_the_graph_what_it_reads_by_soundfile(tmp_path):
    if not audio_graph.available():
        pytest.skip("tensorflow-io does not run beside this TensorFlow")
    from emorec.batches import sounds_graph
    from emorec.batches.sound_parts import Sounds
    from emorec.batches.sounds import SoundPipeline
    from emorec.batches.speech_input import SpeechInput

    random = np.random.default_rng(0)
    paths, lengths = [], []
    for number, rate in enumerate((16_000, 16_000, 16_000, 8_000)):
        # Shorter than a part, longer, and of another rate (smooth, so far below it).
        seconds = (0.8, 1.4, 2.0, 1.5)[number]
        time = np.arange(round(seconds * rate)) / rate
        wave = 0.3 * np.sin(2 * np.pi * 300 * time + random.uniform(0, 6))
        paths.append(tmp_path / f"{number}.{'flac' if number == 1 else 'wav'}")
        soundfile.write(paths[-1], wave, rate)
        lengths.append(len(wave) * 16_000 // rate)
    sounds = Sounds(paths, np.array(lengths), cache=0)
    pipeline = SoundPipeline(
        *(sounds, lambda clip, start, length: np.array([clip, start]), 2),
        *(SpeechInput("logmel", 1.0), 3),
        shuffle=True,
        waves=True,
    )
    assert sounds_graph.serves(pipeline)
    pipeline.epoch = 5
    served = [
        (waves.numpy(), targets.numpy())
        for waves, targets in sounds_graph.dataset(pipeline)
    ]
    assert len(served) == len(pipeline) == 2
    for number, (waves, targets) in enumerate(served):
        expected, asked = pipeline.batch(5, number)
        np.testing.assert_array_equal(targets, asked)
        for found, wanted, (clip, _) in zip(waves, expected, asked, strict=True):
            if clip == 3:  # the filters differ at the ends of the file
                assert np.abs(found - wanted)[400:-400].max() < 1e-3
            else:
                np.testing.assert_allclose(found, wanted, atol=1e-6)
    # Sounds that are changed or kept in memory are not read there.
    kept = SoundPipeline(
        *(Sounds(paths, np.array(lengths)), pipeline.targets, 2),
        *(SpeechInput("logmel", 1.0), 3),
        waves=True,
    )
    assert not sounds_graph.serves(kept)
