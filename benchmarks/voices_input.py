"""How fast sounds become spectrograms, beside librosa, in one run.

    python benchmarks/voices_input.py [--clips 200] [--rounds 5]

Writes so many sounds of 8.2 s (the mean of VoxCeleb1), 16 kHz, 16 bits, into a
temporary folder, and then, by turns and on one core each, makes spectrograms of a
random 4 s part of every clip: emorec's pipeline from disk and from memory, the same
front ends on tensors by the backend, and librosa (load of the part, its log-mel or
its STFT, without the filters that emorec's have).
Prints clips per second, how many times faster than real time the 4 s parts are made,
and the ratio to librosa, each the median of the rounds with smallest and largest.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from emorec.batches.sound_parts import Sounds
from emorec.batches.sounds import SoundPipeline
from emorec.batches.speech_input import SpeechInput
from emorec.training import backend

SECONDS, PART, RATE = 8.2, 4.0, 16_000
BATCH = 20


def write_sounds(folder: Path, count: int) -> tuple[list[Path], np.ndarray]:
    """Write noise that swells, as speech does."""
    import soundfile

    random = np.random.default_rng(0)
    length = round(SECONDS * RATE)
    paths = [folder / f"{number:05d}.wav" for number in range(count)]
    for path in paths:
        swell = 0.2 * np.abs(np.sin(np.linspace(0, random.uniform(20, 60), length)))
        soundfile.write(path, swell * random.normal(0, 0.3, length), RATE)
    return paths, np.full(count, length)


def ours(paths, lengths, features: str, cache: int):
    """Return a function that makes the spectrograms of one epoch."""
    sounds = Sounds(paths, lengths, cache=cache)
    pipeline = SoundPipeline(
        *(sounds, lambda clip, start, length: np.zeros(8), 8),
        *(SpeechInput(features, PART), BATCH),
        shuffle=True,
    )

    def epoch(number: int) -> int:
        for batch in range(len(pipeline)):
            pipeline.batch(number, batch)
        return len(paths)

    return epoch


def by_backend(paths, lengths, features: str):
    """Return the same with the spectrograms made by the backend's graph."""
    import keras

    from emorec.models.speech_layers import FrontEnd

    sounds = Sounds(paths, lengths)
    speech_input = SpeechInput(features, PART)
    pipeline = SoundPipeline(
        *(sounds, lambda clip, start, length: np.zeros(8), 8, speech_input, BATCH),
        shuffle=True,
        waves=True,
    )
    inputs = keras.Input((speech_input.samples,))
    model = keras.Model(inputs, FrontEnd(features)(inputs))

    def epoch(number: int) -> int:
        for batch in range(len(pipeline)):
            model.predict_on_batch(pipeline.batch(number, batch)[0])
        return len(paths)

    return epoch


def by_librosa(paths, features: str):
    """Return what a script with librosa does for the same."""
    import librosa

    def epoch(number: int) -> int:
        random = np.random.default_rng(number)
        for path in paths:
            start = random.uniform(0, SECONDS - PART)
            wave, _ = librosa.load(path, sr=RATE, offset=start, duration=PART)
            if features == "logmel":
                power = librosa.feature.melspectrogram(
                    y=wave,
                    sr=RATE,
                    n_fft=512,
                    win_length=400,
                    hop_length=160,
                    n_mels=64,
                )
                values = librosa.power_to_db(power)
            else:
                values = np.abs(
                    librosa.stft(wave, n_fft=512, win_length=400, hop_length=160)
                )
                values = np.concatenate([values, values[-2:0:-1]])
            values -= values.mean(axis=1, keepdims=True)
            values /= values.std(axis=1, ddof=1, keepdims=True) + 1e-12
        return len(paths)

    return epoch


def main() -> None:
    # One core and one thread for all.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    threadpool_limits(1)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    name = backend.choose_backend()
    if name == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        paths, lengths = write_sounds(Path(folder), arguments.clips)
        for features in ("logmel", "voxceleb"):
            ways = {
                "librosa": by_librosa(paths, features),
                "emorec, from disk": ours(paths, lengths, features, 0),
                "emorec, from memory": ours(paths, lengths, features, 1 << 40),
                f"emorec, {name} graph": by_backend(paths, lengths, features),
            }
            rates: dict[str, list[float]] = {way: [] for way in ways}
            for number in range(arguments.rounds + 1):
                for way, epoch in ways.items():
                    began = time.perf_counter()
                    count = epoch(number)
                    if number:  # the first round compiles and fills caches
                        rates[way].append(count / (time.perf_counter() - began))
            print(f"\n{features}: parts of {PART:g} s, one core")
            for way, found in rates.items():
                ratio = np.array(found) / rates["librosa"]
                print(
                    f"  {way:24s} {np.median(found):7.1f} clips/s  "
                    f"{PART * np.median(found):7.0f} x real time  "
                    f"{np.median(ratio):5.2f} x librosa "
                    f"({ratio.min():.2f} to {ratio.max():.2f})"
                )


if __name__ == "__main__":
    main()
