"""Front ends of speech networks: VGGVox's spectrogram, log-mel, crops; on tensors."""

import keras
import numpy as np
import pytest

from emorec.errors import DataError, SpecError
from emorec.features.crops import (
    POOL_WIDTHS,
    centre_crop,
    crop_samples,
    draw_start,
    frame_numbers,
    teacher_frame,
    teacher_rows,
    width_at_test,
)
from emorec.features.mel import SCALES, logmel, mel_filters, to_hertz, to_mel
from emorec.features.spectrogram import (
    frame_count,
    magnitude,
    normalise,
    spectrogram,
)
from emorec.models import speech_frontend
from tests.harness import run_on_jax

RANDOM = np.random.default_rng(0)
TOLERANCES = {np.float64: 1e-5, np.float32: 1e-3}


def voice(samples=16384, seed=0):
    """A gliding tone with overtones, noise and a constant part, quiet at first."""
    random = np.random.default_rng(seed)
    time = np.arange(samples) / 16000
    phase = 2 * np.pi * (120 * time + 40 * time**2)
    tone = sum(np.sin(k * phase) / k for k in (1, 2, 3, 5, 8))
    swell = np.minimum(1, 4 * time)
    return 0.2 * swell * tone + random.normal(0, 0.002, samples) + 0.01


def far(found, expected):
    assert found.shape == expected.shape
    return np.abs(np.asarray(found) - expected).max()


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_spectrograms_are_the_published_programs(golden_dir, dtype):
    with np.load(golden_dir / "voices" / "vggvox_frontend_synthetic.npz") as file:
        golden = {name: file[name] for name in file.files if name != "recipe"}
    samples = golden["pcm_int16"] / 32768
    second = samples[:16384]
    spec = magnitude(second, half=True, dtype=dtype)
    assert spec.dtype == dtype
    largest = golden["spec_16384"].max()
    assert far(spec, golden["spec_16384"]) < 1e-6 * largest
    assert far(normalise(spec), golden["norm_16384"]) < TOLERANCES[dtype]
    whole = spectrogram(samples, half=True, dtype=dtype)
    assert whole.shape[-1] == 211
    assert far(centre_crop(whole), golden["test_norm"]) < TOLERANCES[dtype]
    # Integers count as they are, fractions of full scale are scaled to them.
    np.testing.assert_array_equal(
        magnitude(golden["pcm_int16"][:16384], half=True, dtype=dtype), spec
    )
    dithered = spectrogram(second, np.random.default_rng(0), half=True)
    assert 0 < far(dithered, golden["norm_16384"]) < 1e-4
    found = speech_frontend.spectrogram(second[None], half=True)
    assert far(found[0], golden["norm_16384"]) < 1e-3


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize(
    "clip, name",
    [
        ("c1", "Actor_01/03-01-03-01-01-01-01"),
        ("c2", "Actor_02/03-01-05-02-02-01-02"),
    ],
)
def test_voices_have_the_published_spectrograms(
    golden_dir, corpora_dir, clip, name, dtype
):
    pytest.importorskip("soundfile", reason="needs the extra 'voices'")
    from emorec.features.audio import read_audio

    samples = read_audio(corpora_dir / "ravdess" / f"{name}.flac")
    with np.load(golden_dir / "voices" / "vggvox_frontend.npz") as golden:
        for key, part in {
            "norm_16384": spectrogram(samples[:16384], dtype=dtype),
            "norm_16000": spectrogram(samples[:16000], dtype=dtype),
            "norm_mid": spectrogram(samples[16000:32384], half=True, dtype=dtype),
            "test_norm": centre_crop(spectrogram(samples, half=True, dtype=dtype)),
        }.items():
            assert far(part, golden[f"{clip}_{key}"]) < TOLERANCES[dtype], key


@pytest.mark.parametrize(
    "samples, frames",
    [(399, 0), (400, 1), (16000, 98), (16384, 100), (64000, 398), (64384, 400)],
)
def test_so_many_samples_have_so_many_frames(samples, frames):
    assert frame_count(samples) == frames
    if frames:
        assert magnitude(voice(samples)).shape == (512, frames)
    else:
        with pytest.raises(DataError, match="expected at least 400 of them"):
            magnitude(voice(samples))


def test_the_upper_half_mirrors_the_lower():
    spec = spectrogram(voice())
    np.testing.assert_array_equal(spec[1:256], spec[:256:-1])
    np.testing.assert_array_equal(spec[:257], spectrogram(voice(), half=True))


@pytest.mark.parametrize("front_end", [spectrogram, speech_frontend.spectrogram])
def test_louder_is_the_same(front_end):
    wave = voice()[None]
    np.testing.assert_allclose(
        front_end(wave), front_end(0.03 * wave), atol=1e-3, rtol=0
    )


def test_bins_have_mean_0_and_deviation_1():
    spec = spectrogram(voice())
    np.testing.assert_allclose(spec.mean(axis=1), 0, atol=1e-9)
    np.testing.assert_allclose(spec.std(axis=1, ddof=1), 1, atol=1e-9)


def test_a_single_frame_and_silence_give_zeros():
    assert not spectrogram(voice(400)).any()
    for dtype in TOLERANCES:
        assert not spectrogram(np.zeros(2000), dtype=dtype).any()
        assert not logmel(np.zeros(2000), dtype=dtype).any()
    assert not np.any(speech_frontend.spectrogram(np.zeros((1, 2000))))
    assert not np.any(speech_frontend.logmel(np.zeros((1, 2000))))


@pytest.mark.parametrize("front_end", [spectrogram, logmel])
def test_a_tail_shorter_than_a_hop_changes_nothing(front_end):
    wave = voice(400 + 30 * 160)
    longer = np.append(wave, np.full(159, 0.1))
    np.testing.assert_array_equal(front_end(longer), front_end(wave))


def test_clips_of_a_batch_are_each_their_own():
    waves = np.stack([voice(4000, 1), 3e4 * voice(4000, 2), np.zeros(4000)])
    found = spectrogram(waves)
    for wave, one in zip(waves, found, strict=True):
        np.testing.assert_allclose(one, spectrogram(wave), atol=1e-9)


def test_what_is_not_finite_is_refused():
    with pytest.raises(DataError, match="found NaN or infinity"):
        spectrogram(np.append(voice(), np.nan))


def tensors_equal_numpy():
    """Compare both front ends on the backend with NumPy's."""
    waves = np.stack([voice(6400, 1), 3e4 * voice(6400, 2), np.zeros(6400)])
    waves = waves.astype(np.float32)
    to_numpy = keras.ops.convert_to_numpy
    found = to_numpy(speech_frontend.spectrogram(waves))
    assert found.dtype == np.float32
    assert far(found, spectrogram(waves)) < 1e-3
    half = to_numpy(speech_frontend.spectrogram(waves, half=True))
    np.testing.assert_array_equal(half, found[:, :257])
    filters = mel_filters(40, scale="slaney")
    for normalised in (True, False):
        found = to_numpy(speech_frontend.logmel(waves, filters, normalised))
        assert far(found, logmel(waves, filters, normalised)) < 1e-3


def test_tensors_equal_numpy():
    tensors_equal_numpy()


def test_tensors_equal_numpy_on_jax():
    run_on_jax("tests.test_spectrogram", "tensors_equal_numpy")


def test_waveforms_of_another_shape_are_refused():
    for shape in ((16000,), (2, 399), (1, 16000, 1)):
        with pytest.raises(DataError, match=r"expected \(batch, samples\)"):
            speech_frontend.spectrogram(np.zeros(shape, np.float32))


@pytest.mark.parametrize("scale", SCALES)
def test_mel_scales_are_turned_back(scale):
    hertz = np.array([0, 50, 440, 999, 1000, 1001, 4000, 8000.0])
    np.testing.assert_allclose(to_hertz(to_mel(hertz, scale), scale), hertz, atol=1e-8)
    thousand = {"htk": 999.9855, "slaney": 15.0}
    assert to_mel(1000, scale) == pytest.approx(thousand[scale], abs=1e-3)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("bands", [40, 64])
def test_mel_filters_are_triangles(scale, bands):
    filters = mel_filters(bands, scale=scale)
    assert filters.shape == (bands, 257) and filters.min() == 0
    assert filters.max() <= 1
    # Neighbours share a slope: between first and last peak they sum to 1.
    peaks = filters.argmax(axis=1)
    assert (np.diff(peaks) >= 0).all()
    inside = filters[:, peaks[0] + 1 : peaks[-1]].sum(axis=0)
    np.testing.assert_allclose(inside, 1, atol=1e-9)


@pytest.mark.parametrize("scale", SCALES)
def test_mel_filters_are_librosas(scale):
    librosa = pytest.importorskip("librosa")
    for equal_area in (False, True):
        expected = librosa.filters.mel(
            sr=16000,
            n_fft=512,
            n_mels=64,
            fmin=20.0,
            fmax=8000.0,
            htk=scale == "htk",
            norm="slaney" if equal_area else None,
        )
        found = mel_filters(64, scale=scale, equal_area=equal_area)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_mel_filters_that_cannot_be_are_refused():
    with pytest.raises(SpecError, match="lie between two of the 31 Hz wide bins"):
        mel_filters(200)
    with pytest.raises(SpecError, match="within 0 to 8000 Hz"):
        mel_filters(40, 100, 9000)
    with pytest.raises(SpecError, match="mel scale 'bark': expected one of htk"):
        mel_filters(40, scale="bark")


def test_a_tone_lies_in_its_band():
    wave = 0.3 * np.sin(2 * np.pi * 2000 * np.arange(8000) / 16000)
    filters = mel_filters()
    band = logmel(wave, filters, normalised=False).mean(axis=1).argmax()
    assert filters[band, 64] > 0.4  # bin 64 of 512 is 2000 Hz at 16 kHz


@pytest.mark.parametrize(
    "frames, width, start",
    [(100, 100, 1), (101, 100, 1), (199, 100, 50), (345, 300, 23), (1500, 1000, 250)],
)
def test_the_test_hears_the_middle(frames, width, start):
    assert width_at_test(frames) == width
    columns = centre_crop(np.arange(frames)[None]) + 1  # counted from 1
    assert (columns[0, 0], columns.shape[1]) == (start, width)


def test_a_clip_too_short_to_test_is_refused():
    with pytest.raises(DataError, match="99 frames: expected at least 100"):
        centre_crop(np.zeros((512, 99)))
    assert list(POOL_WIDTHS) == [*range(100, 1001, 100)]


def test_training_hears_a_random_part():
    assert crop_samples(4) == 64_384 and frame_count(crop_samples(3)) == 300
    random = np.random.default_rng(0)
    starts = {draw_start(16384 + 3, 16384, random) for _ in range(50)}
    assert starts == {1, 2, 3}
    assert [draw_start(n, 16384, random) for n in (16384, 9000, 0)] == [1, 1, 1]
    # Nothing is heard of what lies beyond 19.9 s.
    starts = [draw_start(40 * 16000, 64384, random) for _ in range(99)]
    assert max(starts) + 64384 <= 19.9 * 16000


@pytest.mark.parametrize(
    "seconds, frame", [(0, 1), (0.04, 1), (0.279, 1), (0.28, 2), (0.52, 3), (4.023, 17)]
)
def test_a_time_has_its_teacher_frame(seconds, frame):
    assert teacher_frame(seconds) == frame
    # Of all borders, each falls on the frame that begins there.
    assert all(teacher_frame((6 * k + 1) / 25) == k + 1 for k in range(99))


def test_a_crop_has_its_teacher_rows():
    every, few = np.arange(1, 101), np.arange(1, 7)
    assert teacher_rows(every, 1, 64384) == slice(0, 17)
    assert teacher_rows(every, 16000, 64384) == slice(4, 21)
    assert teacher_rows(few, 16000, 64384) == slice(4, 6)
    assert teacher_rows(few, 160_000, 64384) == slice(5, 6)  # the face left early
    # Frames 2 to 8 show no face.
    gap = np.array([1, 9, 10])
    assert teacher_rows(gap, 1, 64384) == slice(0, 3)
    assert teacher_rows(gap, 1, 320) == slice(0, 1)
    assert teacher_rows(gap, 10_000, 320) == slice(0, 1)
    assert teacher_rows(gap, 25_000, 320) == slice(1, 2)
    numbers = frame_numbers(np.array([0.0, 0.24, 0.5, 2.41]))
    np.testing.assert_array_equal(numbers, [1, 2, 3, 11])
    with pytest.raises(DataError, match="without teacher logits"):
        teacher_rows(every[:0], 1, 64384)
