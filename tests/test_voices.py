"""Speech networks: the parts they hear, what they lose by, how they are taught."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from emorec.artifacts.runs import RunFolder
from emorec.batches.sound_parts import SoundChanges, Sounds
from emorec.batches.sounds import SoundPipeline
from emorec.batches.speakers import OtherVoices, band_statistics
from emorec.batches.speech_input import SpeechInput, place_around
from emorec.errors import DataError, SpecError
from emorec.features.audio import read_audio
from emorec.features.loudness import loud_part
from emorec.labels import FERPLUS, LabelSchema
from emorec.models.speech_layers import FrontEnd, SpecAugment
from emorec.training import voices
from emorec.training.distillation import Recalls, distillation_loss
from emorec.training.hearing import hear
from emorec.training.optimizers import Schedule
from emorec.training.voice_runs import find
from emorec.training.voices_config import (
    LABELLED_PRESETS,
    LOSSES,
    PRESETS,
    VoicesConfig,
    from_preset,
)
from tests.harness import run_on_jax

soundfile = pytest.importorskip("soundfile", reason="needs the extra 'voices'")

RATE = 16_000
TWO = LabelSchema("two", ("low", "high"), "single")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Twelve sounds, low and high by turns, one of them at 8 kHz."""
    folder = tmp_path_factory.mktemp("clips")
    random = np.random.default_rng(0)
    paths = []
    for number in range(12):
        rate = 8000 if number == 2 else RATE
        seconds = 1.3 + 0.1 * number
        time = np.arange(round(seconds * rate)) / rate
        pitch = (150, 900)[number % 2] * random.uniform(0.9, 1.1)
        wave = 0.2 * np.sin(2 * np.pi * pitch * time * (1 + 0.1 * np.sin(9 * time)))
        wave += random.normal(0, 0.02, len(wave))
        paths.append(folder / f"clip{number}.wav")
        soundfile.write(paths[-1], wave, rate)
    lengths = np.array([len(read_audio(path)) for path in paths])
    return paths, lengths


def one_hot(clip, start, length):
    return np.eye(2, dtype=np.float32)[clip % 2]


def pipeline(clips, cache=1 << 30, seconds=1.0, **kwargs):
    sounds = Sounds(*clips, cache=cache)
    kwargs.setdefault("speech_input", SpeechInput("logmel", seconds))
    return SoundPipeline(sounds, one_hot, 2, batch_size=5, **kwargs)


def test_memory_and_disk_serve_the_same_parts(clips):
    kept, read = (pipeline(clips, cache, shuffle=True) for cache in (1 << 30, 0))
    for number in range(3):
        for a, b in zip(kept.batch(4, number), read.batch(4, number), strict=True):
            np.testing.assert_allclose(a, b, atol=2e-4)


def test_an_epoch_has_each_clip_once_and_parts_of_its_own(clips):
    served = pipeline(clips, shuffle=True)
    assert sorted(served.order(0)) == list(range(12)) and len(served) == 3
    assert served.order(0).tolist() != served.order(1).tolist()
    again = pipeline(clips, shuffle=True).batch(1, 2)
    np.testing.assert_array_equal(served.batch(1, 2)[0], again[0])
    assert served.batch(1, 2)[0].shape == (2, 64, 100, 1)
    assert np.abs(served.batch(0, 0)[0] - served.batch(2, 0)[0]).max() > 0.1
    still = pipeline(clips)
    np.testing.assert_array_equal(still.batch(0, 0)[0], still.batch(7, 0)[0])
    few = pipeline(clips, shuffle=True, share=0.25)
    assert [few.count, len(few), len(few.order(3))] == [3, 1, 3]
    assert {tuple(sorted(few.order(epoch))) for epoch in range(9)} != {(0, 1, 2)}


def test_the_target_is_that_of_the_part_that_is_heard(clips):
    asked = []

    def target(clip, start, length):
        asked.append((clip, start, length))
        return np.zeros(2)

    sounds = Sounds(*clips)
    waves = SoundPipeline(
        *(sounds, target, 2, SpeechInput("voxceleb", 1.0), 12), waves=True
    ).batch(0, 0)[0]
    for row, (clip, start, length) in zip(waves, asked, strict=True):
        whole = read_audio(clips[0][clip])[start - 1 : start - 1 + length]
        np.testing.assert_allclose(row, whole, atol=1e-6)
    asked.clear()
    fast = SoundChanges(speed=0.1)
    SoundPipeline(
        *(sounds, target, 2, SpeechInput("voxceleb", 1.0), 12), changes=fast, waves=True
    ).batch(0, 0)
    lengths = [length for _, _, length in asked]
    assert len(set(lengths)) > 5
    assert min(lengths) >= 0.9 * 16384 and max(lengths) <= 1.1 * 16384 + 1


def test_a_faster_sound_is_higher(clips):
    class Fast:
        """Draws the largest speed, and each clip's beginning."""

        def integers(self, low, high=None):
            return low

        def uniform(self, low, high):
            return high

    served = pipeline(clips, changes=SoundChanges(speed=0.25), waves=True)
    samples = served.parts.samples(served.parts.draw(0, Fast()))
    plain = served.sounds.part(0, 0, 16384)
    peaks = [np.abs(np.fft.rfft(x)).argmax() for x in (plain, samples)]
    assert peaks[1] / peaks[0] == pytest.approx(1.25, rel=0.08)


def test_loudness_and_noise_change_and_nothing_leaves_full_scale(clips):
    changes = SoundChanges(noise=0.5, gain=40)
    changed = pipeline(clips, changes=changes, waves=True).batch(0, 0)[0]
    plain = pipeline(clips, waves=True).batch(0, 0)[0]
    levels = changed.std(axis=1) / plain.std(axis=1)
    assert np.abs(changed).max() <= 1 and np.ptp(np.log(levels)) > 1
    noisy = SoundChanges(noise=0.5, noise_files=tuple(clips[0][:2]))
    heard = pipeline(clips, changes=noisy, waves=True).batch(0, 0)[0]
    # Of the first clip only, the place is drawn before any noise.
    assert 0.01 < np.abs(heard - plain)[0].max() < 0.2


@pytest.mark.parametrize("waves", [False, True])
@pytest.mark.parametrize("mixup", [0.0, 0.5])
def test_a_host_makes_its_rows_of_a_batch_and_reads_their_sounds_alone(
    clips, monkeypatch, waves, mixup
):
    bands = band_statistics(
        [SpeechInput("logmel").raw(read_audio(path)) for path in clips[0]],
        np.arange(12),
        np.array(["a", "b", "c"] * 4),
    )
    changes = SoundChanges(speed=0.2, shift=0.3, noise=0.5, gain=10)
    from_files = replace(changes, noise_files=tuple(clips[0][:2]))
    read, part = [], Sounds.part
    monkeypatch.setattr(
        Sounds, "part", lambda self, *of: read.append(of[0]) or part(self, *of)
    )
    for where, these in (("random", changes), ("speech", from_files)):
        served = pipeline(
            *(clips, 0),
            speech_input=SpeechInput("logmel", 1.0, part=where),
            shuffle=True,
            changes=these,
            voices=None if waves else OtherVoices(bands, 0.8),
            waves=waves,
            mixup=mixup,
        )
        assert [served.rows(number) for number in range(3)] == [5, 5, 2]
        for number in range(3):
            whole = served.batch(1, number)
            for rows in (slice(0, 1), slice(1, 5)):
                read.clear()
                made = served.batch(1, number, rows)
                for a, b in zip(made, whole, strict=True):
                    np.testing.assert_allclose(a, b[rows], atol=1e-4)
                if not mixup and not these.noise_files:
                    first = 5 * number
                    assert read == served.order(1)[first : first + 5][rows].tolist()


@pytest.mark.parametrize("features", ["voxceleb", "logmel"])
def test_spectrograms_of_numpy_and_of_the_network_are_one(clips, features):
    speech_input = SpeechInput(features, 1.0)
    waves, _ = pipeline(clips, speech_input=speech_input, waves=True).batch(0, 0)
    made, _ = pipeline(clips, speech_input=speech_input).batch(0, 0)
    graph = np.asarray(FrontEnd(features)(waves))
    # The third has nothing above 4 kHz: its upper bins are rounding alone.
    kept = [0, 1, 3, 4]
    np.testing.assert_allclose(graph[kept], made[kept], atol=1e-3)
    assert made.shape[1:] == (speech_input.bins, speech_input.frames, 1)


def test_masks_hide_bands_and_stretches_in_training_only():
    layer = SpecAugment(bands=1, widest_band=0.5, stretches=1, longest_stretch=0.5)
    ones = np.ones((64, 20, 30, 1), np.float32)
    np.testing.assert_array_equal(layer(ones), ones)
    masked = np.asarray(layer(ones, training=True))[..., 0]
    rows, columns = ((masked == 0).all(axis=axis).sum(axis=1) for axis in (2, 1))
    assert 0 < rows.max() <= 10 and 0 < columns.max() <= 15
    # What is hidden is whole rows and whole columns, each of them in one piece.
    for one in masked:
        outer = np.outer((one > 0).any(axis=1), (one > 0).any(axis=0))
        np.testing.assert_array_equal(one > 0, outer)
        hidden = np.flatnonzero((one == 0).all(axis=1))
        assert len(hidden) == 0 or np.ptp(hidden) == len(hidden) - 1
    again = SpecAugment.from_config(layer.get_config())
    np.testing.assert_array_equal(
        np.asarray(again(ones, training=True))[..., 0], masked
    )


def test_the_loud_part_of_a_sound_is_found():
    random = np.random.default_rng(0)
    quiet_then_loud = random.normal(0, 1e-4, 3 * RATE)
    quiet_then_loud[RATE : 2 * RATE] += random.normal(0, 0.1, RATE)
    first, last = loud_part(quiet_then_loud)
    assert abs(first - RATE) <= 400 and abs(last - 2 * RATE) <= 400
    # Loudness itself does not count, and what is all alike is loud throughout.
    assert loud_part(0.01 * quiet_then_loud) == pytest.approx((first, last), abs=400)
    assert loud_part(np.zeros(1040)) == (0, 1040) and loud_part(np.ones(9)) == (0, 9)
    assert place_around((100, 300), 1000, 100) == 150
    assert place_around((100, 300), 1000, 600) == 0
    assert place_around((800, 1000), 1000, 600, shift=999) == 400
    assert place_around((0, 100), 100, 600) == 0


def test_bands_are_normalised_by_the_training_clips(clips):
    sounds = Sounds(*clips)
    some, speakers = np.array([0, 1, 4, 5]), np.array(["a", "b"] * 6)
    raw = SpeechInput("logmel", 1.0)
    found = [raw.raw(sounds.whole(clip)) for clip in some]
    bands = band_statistics(found, some, speakers)
    every = np.concatenate(found, axis=1)
    np.testing.assert_allclose(bands.mean, every.mean(axis=1), atol=1e-3)
    np.testing.assert_allclose(bands.deviation, every.std(axis=1), atol=1e-2)
    assert bands.speakers[some].tolist() == [0, 1, 0, 1]
    assert (np.delete(bands.speakers, some) == -1).all()
    of_a = np.concatenate([found[0], found[2]], axis=1)
    scaled = (of_a - bands.mean[:, None]) / bands.deviation[:, None]
    np.testing.assert_allclose(bands.speaker_mean[0], scaled.mean(axis=1), atol=1e-2)
    np.testing.assert_allclose(
        bands.speaker_deviation[0], scaled.std(axis=1), atol=2e-2
    )
    of_train = replace(
        raw,
        normalisation="train",
        mean=tuple(bands.mean.tolist()),
        deviation=tuple(bands.deviation.tolist()),
    )
    waves = sounds.part(0, 0, of_train.samples)[None]
    made = of_train.of_part(waves)
    front = FrontEnd("logmel", of_train.mean, of_train.deviation)
    np.testing.assert_allclose(np.asarray(front(waves)), made, atol=1e-3)
    assert SpeechInput.from_dict(of_train.to_dict()) == of_train
    early = {"kind": "speech", "features": "logmel", "seconds": 1.0}
    assert SpeechInput.from_dict(early) == raw


def test_a_voice_becomes_another_only_as_far_as_its_bands_go(clips):
    random = np.random.default_rng(0)
    one, two = random.normal(0, 1, (64, 500)), random.normal(3, 2, (64, 500))
    bands = band_statistics([one, two], np.arange(2), np.array(["a", "b"]))
    scaled = (one - bands.mean[:, None]) / bands.deviation[:, None]
    given = np.repeat(scaled[None, ..., None], 200, axis=0)
    clips = np.zeros(200, int)
    same = OtherVoices(bands, 0.0).change(given, clips, random)
    np.testing.assert_allclose(same, given, atol=1e-5)
    changed = OtherVoices(bands, 1.0).change(given, clips, random)
    means = changed.mean(axis=(2, 3))
    low, high = bands.speaker_mean
    assert ((means > low - 1e-3) & (means < high + 1e-3)).all()
    assert means[:, 0].std() > 0.1
    # Within a clip the order of its frames in a band stays.
    order = np.argsort(given[0, 5, :, 0])
    assert (np.diff(changed[:, 5, order, 0], axis=1) >= -1e-5).all()


def test_parts_around_speech_hold_it_and_the_same_is_heard_at_test(clips):
    samples = np.zeros(4 * RATE, np.float32)
    samples[2 * RATE : 3 * RATE] = 0.1
    around = SpeechInput("logmel", 1.5, part="speech", speeds=(100, 110))
    heard = around.of_clip(samples)
    assert [clip.shape for clip in heard] == [(64, around.frames, 1)] * 2
    first = place_around(loud_part(samples), len(samples), around.samples)
    assert first < 2 * RATE and first + around.samples > 3 * RATE
    part = around.of_part(samples[None, first : first + around.samples])
    np.testing.assert_allclose(heard[0], part[0], atol=1e-6)


TEACHER = np.array([[2.0, 0.0, -1.0], [0.0, 3.0, 0.0]], np.float32)
STUDENT = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 2.0]], np.float32)


def test_losses_are_those_written_out():
    def soften(x):
        e = np.exp(x / 2)
        return e / e.sum(axis=1, keepdims=True)

    q, p = soften(TEACHER), soften(STUDENT)
    entropy = -(q * np.log(q)).sum(axis=1)
    cross = -(q * np.log(p)).sum(axis=1)
    hard = -np.log(np.exp(STUDENT) / np.exp(STUDENT).sum(axis=1, keepdims=True))
    apart = np.abs(STUDENT - TEACHER)
    expected = {
        "hot-cross-ent": cross,
        "kl": cross - entropy,
        "softmaxlog": hard[[0, 1], [0, 1]],
        "euclidean": 0.5 * (apart**2).sum(axis=1),
        "huber": np.where(apart < 1, 0.5 * apart**2, apart - 0.5).sum(axis=1),
    }
    assert set(expected) == set(LOSSES)
    for name, values in expected.items():
        found = np.asarray(distillation_loss(name, 2.0)(TEACHER, STUDENT))
        np.testing.assert_allclose(found, values, rtol=1e-5)


def test_a_network_distilled_into_itself_loses_nothing():
    for name in ("kl", "euclidean", "huber"):
        same = np.asarray(distillation_loss(name, 3.0)(TEACHER, TEACHER))
        np.testing.assert_allclose(same, 0, atol=1e-6)
    # A shift of all logits changes no distribution.
    moved = np.asarray(distillation_loss("kl")(TEACHER, TEACHER + 5))
    np.testing.assert_allclose(moved, 0, atol=1e-6)
    with pytest.raises(SpecError, match="loss_type mse"):
        distillation_loss("mse")


def test_recall_is_counted_per_class():
    metric = Recalls(("a", "b", "c"))
    targets = np.eye(3)[[0, 0, 1, 1]]
    metric.update_state(targets[:2], np.eye(3)[[0, 1]])
    metric.update_state(targets[2:], np.eye(3)[[1, 1]])
    found = {name: float(value) for name, value in metric.result().items()}
    assert found["recall_a"] == 0.5 and found["recall_b"] == 1
    assert np.isnan(found["recall_c"]) and found["recall_mean"] == 0.75
    assert [found[f"share_{k}"] for k in "abc"] == [0.5, 0.5, 0]


def test_the_published_rate_falls_to_a_tenth_by_equal_factors():
    schedule = Schedule("logspace", 1e-4, 300, 92)
    rates = [float(schedule(epoch * 92)) for epoch in range(300)]
    np.testing.assert_allclose(rates, np.logspace(-4, -5, 300), rtol=1e-5)
    assert float(schedule(91)) == float(schedule(0)) > float(schedule(92))


@pytest.mark.parametrize(
    "given, message",
    [
        ({"loss_type": "mse"}, "--loss_type mse: expected one of hot-cross-ent"),
        ({"student": "vggm", "features": "logmel"}, "takes 512 bins"),
        ({"mini_epoch_ratio": 0}, "--mini_epoch_ratio 0: expected"),
        ({"num_seconds": 11}, "--num_seconds 11: expected 1 to 10"),
        ({"num_pred_emotions": 9}, "--num_pred_emotions 9: expected 2 to 8"),
        ({"patience": 3}, "--patience needs --keep best"),
        ({"speed": 0.9}, r"--speed 0.9.*expected 0 to 0.5"),
    ],
)
def test_settings_that_cannot_be_are_refused(given, message):
    with pytest.raises(SpecError, match=message):
        from_preset("vggm", given)


def test_the_published_training_is_the_preset():
    config = PRESETS["vggm"]
    assert (config.learning_rate, config.schedule, config.num_epochs) == (
        *(1e-4, "logspace", 300),
    )
    assert (config.batch_size, config.mini_epoch_ratio, config.temperature) == (
        *(64, 0.05, 2),
    )
    assert (config.momentum, config.weight_decay, config.mini_val) == (0.9, 5e-4, 0.2)
    with pytest.raises(SpecError, match="--preset big: expected one of vggm, compact"):
        from_preset("big", {})


# What labels are learnt with, made small.
LABELLED = replace(
    LABELLED_PRESETS["compact"],
    num_seconds=1.0,
    num_epochs=2,
    warmup=1,
    batch_size=4,
    test_speeds=(94, 106),
)
SMALL = VoicesConfig(
    student="compact",
    features="logmel",
    num_seconds=1.0,
    mini_epoch_ratio=1.0,
    batch_size=4,
    num_epochs=3,
    learning_rate=0.02,
    schedule="constant",
    bands=1,
    dropout_rate=0.1,
)


def task(clips, **kwargs):
    paths, lengths = clips
    fields = {
        "sounds": Sounds(paths, lengths),
        "targets": one_hot,
        "train": np.arange(8),
        "valid": np.arange(8, 12),
        "schema": TWO,
        "speakers": np.array(["a", "b", "c", "d"] * 3),
        "dataset": "tones",
        "identity": {"name": "tones"},
        "label_type": "single",
    }
    return voices.Task(**fields | kwargs)


def quiet(line):
    pass


def test_an_interrupted_training_goes_on_to_the_same_weights(clips, tmp_path):
    whole, _ = voices.run(SMALL, task(clips), RunFolder(tmp_path / "a", "x"), quiet)

    class StopError(Exception):
        pass

    def stop(line):
        if line.startswith("epoch   2"):
            raise StopError

    folder = RunFolder(tmp_path / "b", "x")
    with pytest.raises(StopError):
        voices.run(SMALL, task(clips), folder, stop)
    lines = []
    resumed, spec = voices.run(SMALL, task(clips), folder, lines.append)
    assert any("Going on after epoch 2" in line for line in lines)
    for a, b in zip(whole.weights, resumed.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    assert spec.normalisation["kind"] == "speech"
    # Another identity of data has another name.
    other = task(clips, identity={"name": "others"})
    with pytest.raises(SpecError, match="exists with other settings"):
        voices.run(SMALL, other, folder, quiet)
    ear = find("x", tmp_path / "b")
    heard = hear(ear.model, ear.spec, [*clips[0], tmp_path / "none.wav"])
    assert heard.rows.tolist() == list(range(12)) and heard.logits.shape == (12, 2)
    assert heard.embeddings.shape == (12, 128)
    assert heard.failures == [(12, f"{tmp_path}/none.wav: no such file.")]
    # Neither the order nor the company of a clip changes what is heard in it.
    back = hear(ear.model, ear.spec, clips[0][::-1][:5])
    np.testing.assert_allclose(back.logits[::-1], heard.logits[-5:], atol=1e-4)
    with pytest.raises(SpecError, match=r"no finished run 'y'\. Finished: x"):
        find("y", tmp_path / "b")


@pytest.mark.slow
def test_what_labels_are_learnt_with_is_repeated_bit_by_bit(clips, tmp_path):
    runs = []
    for name in "ab":
        folder = RunFolder(tmp_path, name)
        model, spec = voices.run(LABELLED, task(clips), folder, quiet)
        runs.append(hear(model, spec, clips[0]).logits)
    np.testing.assert_array_equal(*runs)
    assert len(spec.normalisation["mean"]) == 64
    ear = find("a", tmp_path)
    np.testing.assert_allclose(
        hear(ear.model, ear.spec, clips[0]).logits, runs[0], atol=1e-5
    )
    # Logits of averaged probabilities are log probabilities.
    np.testing.assert_allclose(np.exp(runs[0]).sum(axis=1), 1, atol=1e-4)


def test_weights_are_taken_over_and_another_classifier_is_new(clips, tmp_path):
    first, _ = voices.run(SMALL, task(clips), RunFolder(tmp_path, "x"), quiet)
    keras.utils.set_random_seed(1)
    config = from_preset(
        "compact", {"features": "logmel", "weights": str(tmp_path / "model_x.keras")}
    )
    same, wider = voices.build(config, 2), voices.build(config, 8)
    for model in (same, wider):
        np.testing.assert_array_equal(
            model.get_layer("fc7").get_weights()[0],
            first.get_layer("fc7").get_weights()[0],
        )
    assert wider.get_layer("fc8").bias.shape == (8,)
    np.testing.assert_array_equal(
        same.get_layer("fc8").get_weights()[0], first.get_layer("fc8").get_weights()[0]
    )
    other = from_preset(
        "compact", {"features": "voxceleb", "weights": str(tmp_path / "model_x.keras")}
    )
    with pytest.raises(SpecError, match=r"its layer .* has the shapes"):
        voices.build(other, 2)


def test_a_sound_that_vanishes_in_training_is_named(clips, tmp_path):
    copies = []
    for path in clips[0]:
        copies.append(tmp_path / path.name)
        copies[-1].write_bytes(path.read_bytes())
    copies[3].unlink()
    with pytest.raises(DataError, match=r"clip3.wav: no such file"):
        voices.run(
            SMALL, task((copies, clips[1])), RunFolder(tmp_path / "r", "x"), quiet
        )


def learns_on_any_backend(folder):
    """Train on tones of two heights; tell them apart."""
    random = np.random.default_rng(0)
    paths = []
    for number in range(8):
        time = np.arange(20_000) / RATE
        wave = 0.2 * np.sin(2 * np.pi * (200, 1500)[number % 2] * time)
        paths.append(folder / f"{number}.wav")
        soundfile.write(paths[-1], wave + random.normal(0, 0.01, 20_000), RATE)
    clips = paths, np.full(8, 20_000)
    given = task(clips, valid=np.arange(8), train=np.arange(8))
    config = from_preset(
        "compact", {"num_seconds": 1.0, "num_epochs": 6, "batch_size": 4, "bands": 1}
    )
    model, spec = voices.run(config, given, RunFolder(folder, "x"), quiet)
    # A tone that does not change is nothing but noise once normalised, so only that
    # training ends with finite outputs is asked.
    assert np.isfinite(hear(model, spec, paths).logits).all()


def on_jax():
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        learns_on_any_backend(Path(folder))


def test_a_student_is_trained_on_jax():
    run_on_jax("tests.test_voices", "on_jax")


def test_eight_emotions_are_those_of_the_teacher():
    assert voices.build(PRESETS["compact"], len(FERPLUS)).output_shape == (None, 8)
